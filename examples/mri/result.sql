-- The table that pipeline.yaml fills, for MariaDB and MySQL.
CREATE TABLE result (
  PNO     VARCHAR(32) NOT NULL,  -- patient number
  PRETIME BIGINT      NOT NULL,  -- predicted minutes
  Time    DATETIME    NOT NULL   -- time of the batch
) ENGINE = InnoDB;
