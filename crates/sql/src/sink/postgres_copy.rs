//! Many rows by COPY, which the server takes in a third to half less time than an INSERT.
//!
//! Only where it does what the INSERT would: into a table that has no rules (COPY passes them by), each column of the
//! type that its values have, so that nothing is converted. What COPY refuses is tried again by smaller parts, which are
//! INSERTs in the end: what is said of a row is the same.

use sqlx::PgConnection;
use sqlx::error::BoxDynError;

use super::insert::Insert;
use super::postgres_rows::{cast_type, put_value};
use super::schema::Column;
use super::values::Data;

/// Fewer rows are not worth asking for.
const ROWS: usize = 512;

/// The head of the binary form: its signature, no flags, no extension.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Its end.
const END: [u8; 2] = (-1_i16).to_be_bytes();

/// Whether the rows of an INSERT can go by COPY.
pub(super) fn fits(insert: &Insert, columns: &[Data], rows: &[u32]) -> bool {
    let own = |(column, data): (&Column, &Data)| {
        matches!(
            (data, cast_type(&column.type_name).as_str()),
            (Data::Int(_), "bigint")
                | (Data::Float32(_), "real")
                | (Data::Float64(_), "double precision")
                | (Data::Bool(_), "boolean")
                | (Data::Text(_), "text" | "character varying")
                | (Data::Binary(_), "bytea")
                | (Data::Date(_), "date")
                | (Data::Time(_), "timestamp without time zone" | "timestamp with time zone")
        )
    };
    rows.len() >= ROWS && insert.key.is_none() && !insert.deletes && insert.columns.iter().zip(columns).all(own)
}

/// Says of the table with a name whether it takes rows by COPY as it does by INSERT.
pub(super) const TAKES: &str = "SELECT (relkind IN ('r', 'p') AND NOT relhasrules AND version() LIKE 'PostgreSQL %')::text \
                                FROM pg_class WHERE oid = to_regclass(?)";

/// The rows in COPY's binary form.
pub(super) fn encoded(columns: &[Data], rows: &[u32]) -> Result<Vec<u8>, BoxDynError> {
    let width = u16::try_from(columns.len())?.to_be_bytes();
    let mut bytes = HEAD.to_vec();
    for &row in rows {
        bytes.extend(width);
        for data in columns {
            put_value(&mut bytes, data, row as usize)?;
        }
    }
    bytes.extend(END);
    Ok(bytes)
}

/// Sends them into columns of a table, both as SQL has them; how many rows were stored.
pub(super) async fn send(
    connection: &mut PgConnection,
    table: &str,
    columns: &str,
    bytes: Vec<u8>,
) -> Result<u64, sqlx::Error> {
    let mut copy = connection.copy_in_raw(&format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")).await?;
    copy.send(bytes).await?;
    copy.finish().await
}
