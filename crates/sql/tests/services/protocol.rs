//! Positions, fences, cuts, refused rows, plans.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use foretell_flow::testing::sinks::Cut;
use foretell_flow::{Fault, Sink};
use serde_json::json;

use crate::proxy::Proxy;
use crate::target::{Server, Target, batch, claim, context, parse, partition, write};

fn rows(range: std::ops::Range<i64>) -> RecordBatch {
    let text: StringArray = range.clone().map(|i| Some(format!("patient {i}"))).collect();
    batch(vec![("PNO", Arc::new(text)), ("PRETIME", Arc::new(Int64Array::from_iter_values(range)))])
}

fn schema() -> SchemaRef {
    rows(0..0).schema()
}

async fn table(target: &mut Target) {
    let options = if target.server == Server::MariaDb { " ENGINE=InnoDB" } else { "" };
    let q = if target.server == Server::MariaDb { '`' } else { '"' };
    target.run(&format!("CREATE TABLE result ({q}PNO{q} VARCHAR(20) NOT NULL, {q}PRETIME{q} SMALLINT){options}")).await;
    if target.server == Server::Sqlite {
        // SQLite takes anything anywhere unless it is told not to.
        target.run("DROP TABLE result").await;
        target
            .run(
                "CREATE TABLE result (PNO VARCHAR(20) NOT NULL CHECK (length(PNO) <= 20), \
             PRETIME SMALLINT CHECK (PRETIME BETWEEN -32768 AND 32767))",
            )
            .await;
    }
}

async fn stored(target: &mut Target) -> Vec<i64> {
    let mut all: Vec<i64> = target.rows(&["PRETIME"], "result").await.iter().map(|v| v.parse().unwrap()).collect();
    all.sort_unstable();
    all
}

async fn next(sink: &mut Box<dyn Sink>, index: i32) -> i64 {
    sink.claim(&[claim(index, 0)]).await.unwrap()[0].next
}

/// Another sink of the pipeline has positions of its own, whatever a collation takes for the same.
pub async fn names_differ_by_case(target: &mut Target) {
    table(target).await;
    let mut sink = target.open(&schema(), json!({})).await.unwrap();
    sink.claim(&[claim(0, 5)]).await.unwrap();
    // A range is wider than its rows: offsets have holes.
    sink.write(&write(0, 5, 20, rows(0..10))).await.unwrap();
    assert_eq!(target.rows(&["PNO"], "result").await[3], "patient 3");
    let mut other = context(&schema());
    other.sink = "DB".into();
    let mut other = parse(target.settings(json!({}))).open(&other).await.unwrap();
    assert!(other.positions().await.unwrap().is_empty());
    assert_eq!(other.claim(&[claim(0, 3)]).await.unwrap()[0].next, 3);
    assert_eq!(next(&mut sink, 0).await, 20);
}

pub async fn one_of_two_writers_wins(target: &mut Target) {
    table(target).await;
    let mut one = target.open(&schema(), json!({})).await.unwrap();
    let mut two = target.open(&schema(), json!({})).await.unwrap();
    for round in 0..20 {
        let (from, to) = (round * 10, round * 10 + 10);
        assert_eq!((next(&mut one, 0).await, next(&mut two, 0).await), (from, from));
        let this = write(0, from, to, rows(from..to));
        let (a, b) = tokio::join!(one.write(&this), two.write(&this));
        let lost = match (a, b) {
            (Ok(_), Err(lost)) | (Err(lost), Ok(_)) => lost,
            other => panic!("{other:?}"),
        };
        assert_eq!(lost.fault, Fault::Fenced, "{lost}");
        assert!(lost.message.contains(&format!("Pdata[0] is not at {from} any more")), "{lost}");
    }
    assert_eq!(stored(target).await, (0..200).collect::<Vec<_>>());
}

/// Who runs the pipeline reads that nobody knows; the suite holds what follows.
pub async fn an_unknown_outcome_is_called_so(target: &mut Target) {
    table(target).await;
    if target.server == Server::Sqlite {
        // A file has no connection that could be cut.
        return;
    }
    let proxy = Proxy::new(&target.url).await;
    let mut sink = target.open(&schema(), json!({ "url": target.told(&proxy.url) })).await.unwrap();
    assert_eq!(next(&mut sink, 0).await, 0);
    proxy.cutter()(Cut::AfterCommit);
    let error = sink.write(&write(0, 0, 10, rows(0..10))).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unavailable, "{error}");
    assert!(error.message.contains("the outcome of COMMIT is unknown"), "{error}");
    // A replay of what landed is fenced.
    assert_eq!(sink.write(&write(0, 0, 10, rows(0..10))).await.unwrap_err().fault, Fault::Fenced);
}

async fn a_dropped_write(target: &mut Target) {
    let mut sink = target.open(&schema(), json!({})).await.unwrap();
    let mut from = next(&mut sink, 0).await;
    for micros in [1, 300, 1_000, 3_000, 10_000] {
        let this = write(0, from, from + 3_000, rows(from..from + 3_000));
        let _ = tokio::time::timeout(Duration::from_micros(micros), sink.write(&this)).await;
        let at = next(&mut sink, 0).await;
        assert!(at == from || at == from + 3_000);
        assert_eq!(target.count("result").await as i64, at);
        from = at;
    }
    sink.write(&write(0, from, from + 3_000, rows(from..from + 3_000))).await.unwrap();
    assert_eq!(stored(target).await, (0..from + 3_000).collect::<Vec<_>>());
}

pub async fn a_dropped_write_stores_nothing(target: &mut Target) {
    table(target).await;
    a_dropped_write(target).await;
}

pub async fn refused_rows_are_kept_beside_the_table(target: &mut Target) {
    table(target).await;
    let bad = [0, 1, 77, 500, 501, 998, 999];
    let text: StringArray = (0..1000)
        .map(|i| match i {
            77 => None,
            500 => Some("a name that is far longer than twenty letters".to_owned()),
            _ => Some(format!("patient {i}")),
        })
        .collect();
    let number: Int64Array =
        (0..1000).map(|i| Some(if bad.contains(&i) && i != 77 && i != 500 { 1_000_000 + i } else { i })).collect();
    let rows = batch(vec![("PNO", Arc::new(text)), ("PRETIME", Arc::new(number))]);
    let mut sink = target.open(&schema(), json!({})).await.unwrap();
    next(&mut sink, 2).await;
    let written = sink.write(&write(2, 0, 1000, rows)).await.unwrap();
    assert_eq!(written.rejected, 7);
    let good: Vec<i64> = (0..1000).filter(|i| !bad.contains(i)).collect();
    assert_eq!(stored(target).await, good);

    let kept = target.rows(&["pipeline", "sink", "topic", "partition", "offset", "row"], "foretell_rejected").await;
    assert_eq!(kept.len(), 7);
    assert_eq!(kept[0], r#"mri|db|Pdata|2|0|{"PNO":"patient 0","PRETIME":1000000}"#);
    assert_eq!(kept[2], r#"mri|db|Pdata|2|77|{"PNO":null,"PRETIME":77}"#);
    assert_eq!(kept[6], r#"mri|db|Pdata|2|999|{"PNO":"patient 999","PRETIME":1000999}"#);
    let reasons = target.rows(&["reason"], "foretell_rejected").await;
    let expected = match target.server {
        // Its words, which name the column, may hold values.
        Server::MariaDb if target.odbc => [
            "a number out of range (SQLSTATE 22003, error 1264)",
            "a constraint does not hold (SQLSTATE 23000, error 1048)",
            "too long (SQLSTATE 22001, error 1406)",
        ],
        Server::Postgres if target.odbc => [
            "a number out of range (SQLSTATE 22003)",
            "NULL in a column that is NOT NULL (SQLSTATE 23502)",
            "too long (SQLSTATE 22001)",
        ],
        Server::MariaDb => [
            "a number out of range (`PRETIME`, error 1264)",
            "NULL in a column that is NOT NULL (`PNO`, error 1048)",
            "too long (`PNO`, error 1406)",
        ],
        Server::Postgres => [
            "a number out of range (SQLSTATE 22003)",
            "NULL in a column that is NOT NULL (`PNO`, SQLSTATE 23502)",
            "too long (SQLSTATE 22001)",
        ],
        Server::Sqlite => [
            "CHECK constraint failed: PRETIME BETWEEN -32768 AND 32767",
            "NOT NULL constraint failed: result.PNO",
            "CHECK constraint failed: length(PNO) <= 20",
        ],
    };
    assert_eq!([&reasons[0], &reasons[2], &reasons[3]], expected);
    let time = &target.rows(&["time"], "foretell_rejected").await[0];
    assert!(time.starts_with("2026-11-24 12:39:14.123456"), "{time}");
}

pub async fn without_provenance_refused_rows_have_no_offset(target: &mut Target) {
    table(target).await;
    let mut sink = target.open(&schema(), json!({})).await.unwrap();
    next(&mut sink, 0).await;
    let mut this = write(0, 0, 3, rows(40_000..40_003));
    this.provenance = None;
    assert_eq!(sink.write(&this).await.unwrap().rejected, 3);
    let kept = target.rows(&["topic", "partition", "offset"], "foretell_rejected").await;
    assert_eq!(kept, ["NULL|NULL|NULL"; 3]);
    assert_eq!(target.count("result").await, 0);
    assert_eq!(next(&mut sink, 0).await, 3);
}

pub async fn many_partitions_move_together(target: &mut Target) {
    table(target).await;
    let mut sink = target.open(&schema(), json!({})).await.unwrap();
    let claims: Vec<_> = (0..50).map(|i| claim(i, 0)).collect();
    sink.claim(&claims).await.unwrap();
    let mut this = write(0, 0, 10, rows(0..100));
    this.ranges = (0..50).map(|i| foretell_flow::Range { partition: partition(i), from: 0, to: 10 }).collect();
    sink.write(&this).await.unwrap();
    // One range that is not where it should be takes all others back.
    for range in &mut this.ranges {
        (range.from, range.to) = (10, 20);
    }
    this.ranges[49].from = 9;
    assert_eq!(sink.write(&this).await.unwrap_err().fault, Fault::Fenced);
    assert!(sink.claim(&claims).await.unwrap().iter().all(|h| h.next == 10));
    assert_eq!(target.count("result").await, 100);
}

pub async fn at_least_once_keeps_no_tables(target: &mut Target) {
    table(target).await;
    let settings = json!({ "delivery": "at_least_once" });
    assert!(!parse(target.settings(settings.clone())).traits().keeps_positions);
    let mut sink = target.open(&schema(), settings).await.unwrap();
    assert_eq!(sink.claim(&[claim(0, 4)]).await.unwrap()[0].next, 4);
    assert_eq!(sink.write(&write(0, 0, 10, rows(0..10))).await.unwrap().rejected, 0);
    assert_eq!(sink.write(&write(0, 0, 10, rows(40_000..40_010))).await.unwrap().rejected, 10);
    assert_eq!(stored(target).await, (0..10).collect::<Vec<_>>());
    assert!(sink.positions().await.unwrap().is_empty());
    let tables = match target.server {
        Server::Sqlite => target.rows(&["name"], "sqlite_master WHERE name LIKE 'foretell%'").await,
        Server::MariaDb => {
            let own = "information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'foretell%'";
            target.rows(&["TABLE_NAME"], own).await
        }
        Server::Postgres => target.rows(&["tablename"], "pg_tables WHERE tablename LIKE 'foretell%'").await,
    };
    assert!(tables.is_empty(), "{tables:?}");
}

pub async fn a_connection_that_was_killed(target: &mut Target) {
    table(target).await;
    let mut sink = target.open(&schema(), json!({})).await.unwrap();
    next(&mut sink, 0).await;
    sink.write(&write(0, 0, 10, rows(0..10))).await.unwrap();
    match target.server {
        Server::MariaDb => {
            let others = "information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()";
            let ids = target.rows(&["ID"], others).await;
            assert_eq!(ids.len(), 1);
            target.run(&format!("KILL CONNECTION {}", ids[0])).await;
        }
        Server::Postgres => {
            let others = "pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
            target.run(&format!("SELECT pg_terminate_backend(pid) FROM {others}")).await;
        }
        // A file has no connections; another process that holds its lock for a moment is waited for.
        Server::Sqlite => {
            target.run("BEGIN IMMEDIATE").await;
            let this = write(0, 10, 20, rows(10..20));
            let waiting = tokio::spawn(async move { sink.write(&this).await });
            tokio::time::sleep(Duration::from_millis(300)).await;
            assert!(!waiting.is_finished());
            target.run("ROLLBACK").await;
            waiting.await.unwrap().unwrap();
            assert_eq!(stored(target).await, (0..20).collect::<Vec<_>>());
            return;
        }
    }
    let error = sink.write(&write(0, 10, 20, rows(10..20))).await.unwrap_err();
    assert_eq!(error.fault, Fault::Unavailable, "{error}");
    assert_eq!(next(&mut sink, 0).await, 10);
    sink.write(&write(0, 10, 20, rows(10..20))).await.unwrap();
    assert_eq!(stored(target).await, (0..20).collect::<Vec<_>>());
}
