//! A pipeline over made-up patients, and the proof that each of them is in each sink once.

use super::case::same;
use super::database::Database;
use super::orders::order;
use super::sandbox::Sandbox;
use super::{hdfs, kafka};

/// Orders to MariaDB (which leads) and a topic, both of which workers can share.
pub(crate) const SHARED: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id}, options: { session.timeout.ms: 6000 } } }
decode: { csv: { columns: [ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"${root}/examples/mri/models/mri_xgb.joblib\" } }
query: SELECT _key AS PNO, CAST(mri(*) AS BIGINT) / 60 AS PRETIME, now() AS Time FROM records
sinks:
  db: { sql: { url: { env: MARIADB_URL }, table: result_${id} } }
  utime: { kafka: { brokers: \"${kafka}\", topic: utime_${id}, value: \"{PNO} {PRETIME}\" } }
dead_letters: { kafka: { brokers: \"${kafka}\", topic: bad_${id} } }
trigger: { mode: continuous, max_rows: 500 }
";

/// The same with a growing file on HDFS, which takes one worker; it ends when everything is read.
pub(crate) fn three_sinks() -> String {
    let file =
        "  hdfs: { file: { path: \"${hdfs}/utime.csv\", columns: [PNO, PRETIME], mode: append } }\ndead_letters:";
    SHARED.replace("dead_letters:", file).replace("mode: continuous", "mode: available_now")
}

/// `PNO minutes` of some patients.
pub(crate) fn expected(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("p{number} {}", order(number).minutes)).collect()
}

/// What is in the table, as `PNO minutes`.
pub(crate) fn table(sandbox: &Sandbox) -> Vec<String> {
    let rows = Database::MariaDb.select(&["PNO", "PRETIME"], &sandbox.name("result"));
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap).collect::<Vec<_>>().join(" ")).collect()
}

/// How many rows are in the table.
pub(crate) fn landed(sandbox: &Sandbox) -> usize {
    Database::MariaDb.count(&sandbox.name("result"))
}

/// Table and topic hold just these patients.
#[track_caller]
pub(crate) fn exactly(sandbox: &Sandbox, expected: Vec<String>) {
    same("table", expected.clone(), table(sandbox));
    let values = kafka::read(&sandbox.name("utime")).iter().map(kafka::Record::value).collect();
    same("topic", expected, values);
}

/// And so does the file on HDFS.
#[track_caller]
pub(crate) fn exactly_in_the_file(sandbox: &Sandbox, expected: Vec<String>) {
    let files = hdfs::hdfs(&format!("{}/utime.csv", sandbox.hdfs()));
    let text = String::from_utf8(files[0].1.to_vec()).unwrap();
    same("file", expected, text.lines().map(|line| line.replace(',', " ")).collect());
}
