//! What a case's text cannot say: several runs, counts, other tables.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::datatypes::{Float32Type, Float64Type, Int32Type, Int64Type};
use arrow::util::display::array_value_to_string;
use arrow::util::pretty::pretty_format_batches;
use chrono::TimeDelta;
use foretell_query::{Context, Error, Failure, Input, Provenance, Query, QueryScope, Reason, Scorer};

use crate::data::{batch, context, input, sexes, show, tables, time};
use crate::models::{Fake, models, mri};

async fn prepare(sql: &str) -> Query {
    Query::prepare(sql, &input(), &models(), tables()).await.unwrap()
}

async fn with_mri(sql: &str) -> (Query, Arc<Fake>) {
    let model = mri();
    let models: BTreeMap<String, Arc<dyn Scorer>> = BTreeMap::from([("mri".to_owned(), Arc::clone(&model) as _)]);
    (Query::prepare(sql, &input(), &models, tables()).await.unwrap(), model)
}

/// `rows` records in which `AGE` and `raw` are the row's number.
fn numbered(rows: i64, raw: impl Fn(i64) -> String) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|_| "F"))),
        Arc::new(StringArray::from_iter_values((0..rows).map(raw))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("P{row}")))),
        Arc::new(Int32Array::from_iter_values((0..rows).map(|_| 0))),
        Arc::new(Int64Array::from_iter_values(1000..1000 + rows)),
        arrow::compute::cast(&Int64Array::from_iter_values(0..rows), batch().column(7).data_type()).unwrap(),
    ];
    RecordBatch::try_new(batch().schema(), columns).unwrap()
}

#[tokio::test]
async fn a_query_runs_again_and_again() {
    for sql in [
        "SELECT _key, mri(*) AS p FROM records WHERE AGE > 0",
        "SELECT r._key, s.name FROM records r JOIN sexes s ON r.SEX = s.code",
        "SELECT SEX, count(*) AS n FROM records GROUP BY SEX",
        "SELECT _key, (SELECT max(name) FROM sexes) AS m FROM records",
        "SELECT _key FROM records ORDER BY DUR LIMIT 2",
        "SELECT CAST(raw AS BIGINT) AS n FROM records",
        "SELECT count(*) AS n FROM (SELECT AGE FROM records UNION ALL SELECT AGE FROM records) AS both",
        "SELECT _key, rank() OVER (ORDER BY SEX) AS n FROM records",
    ] {
        let mut query = prepare(sql).await;
        let first = query.run(&batch(), &context()).await.unwrap();
        let first = show(&query, &first);
        for _ in 0..3 {
            query.run(&numbered(20_000, |row| row.to_string()), &context()).await.unwrap();
            let again = query.run(&batch(), &context()).await.unwrap();
            assert_eq!(show(&query, &again), first, "{sql}");
        }
    }
}

#[tokio::test]
async fn a_replay_by_another_process_gives_the_same_bytes() {
    /// Where the other process, which is this very test, writes what it answers.
    const ANSWERS: &str = "FORETELL_REPLAY_ANSWERS";
    let batch = numbered(30_000, |row| (row % 97).to_string());
    let mut answers = String::new();
    for sql in [
        "SELECT raw, count(*) AS n, avg(mri(*)) AS p, now() AS t FROM records GROUP BY raw",
        "SELECT s.name, r.raw, sum(DUR) AS d FROM records r JOIN sexes s ON r.SEX = s.code GROUP BY s.name, r.raw",
        "SELECT DISTINCT raw, _partition FROM records",
        "SELECT raw, rank() OVER (PARTITION BY raw ORDER BY AGE) AS n FROM records",
    ] {
        let rows = prepare(sql).await.run(&batch, &context()).await.unwrap().rows;
        assert!(rows.num_rows() > 0, "{sql}");
        // Numbers are written with as many digits as tell them from their neighbours.
        answers += &format!("{sql}\n{}\n", pretty_format_batches(&[rows]).unwrap());
    }
    if let Some(path) = std::env::var_os(ANSWERS) {
        return std::fs::write(path, answers).unwrap();
    }
    let path = std::env::temp_dir().join(format!("foretell-replay-{}", std::process::id()));
    let own = std::thread::current().name().unwrap().to_string();
    let mut other = std::process::Command::new(std::env::current_exe().unwrap());
    let done = other.args([&own, "--exact"]).env(ANSWERS, &path).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stdout));
    let others = std::fs::read_to_string(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert!(answers == others, "another process answers otherwise");
}

#[tokio::test]
async fn groups_by_partition_are_the_same_whatever_partitions_a_batch_has() {
    for sql in [
        "SELECT SEX, count(*) AS n FROM records GROUP BY SEX, _partition",
        "SELECT _key, row_number() OVER (PARTITION BY _partition ORDER BY _offset DESC) AS n FROM records",
    ] {
        let mut query = prepare(sql).await;
        let all = query.run(&batch(), &context()).await.unwrap();
        let place = all.provenance.clone().unwrap();
        assert!(place.partition.values().is_sorted());
        let mut seen = 0;
        for (partition, last) in [(0, 102), (1, 52)] {
            let own = batch().column_by_name("_partition").unwrap().as_primitive::<Int32Type>().clone();
            let mask = own.iter().map(|found| Some(found == Some(partition))).collect();
            let alone = arrow::compute::filter_record_batch(&batch(), &mask).unwrap();
            let alone = query.run(&alone, &context()).await.unwrap();
            let rows = alone.rows.num_rows();
            assert_eq!(all.rows.slice(seen, rows), alone.rows, "{sql}");
            assert!(
                (seen..seen + rows)
                    .all(|row| (place.partition.value(row), place.offset.value(row)) == (partition, last))
            );
            seen += rows;
        }
        assert_eq!(seen, all.rows.num_rows());
    }
}

#[tokio::test]
async fn now_is_the_time_of_each_batch() {
    let mut query = prepare("SELECT now() AS t, mri(*) AS p FROM records WHERE now() > to_timestamp(0)").await;
    for minutes in [0, 1] {
        let time = time() + TimeDelta::minutes(minutes);
        let answer = query.run(&batch(), &Context { batch_time: time, provenance: None }).await.unwrap();
        let times = answer.rows.column(0).as_primitive::<arrow::datatypes::TimestampMicrosecondType>();
        assert_eq!(times.len(), 5);
        assert!(times.values().iter().all(|found| *found == time.timestamp_micros()));
    }
}

#[tokio::test]
async fn reference_tables_can_be_replaced() {
    let mut query = prepare("SELECT s.name FROM records r JOIN sexes s ON r.SEX = s.code").await;
    assert_eq!(query.run(&batch(), &context()).await.unwrap().rows.num_rows(), 6);
    query.replace_table("sexes", vec![sexes(&[("X", "other")]), sexes(&[("M", "man")])]).unwrap();
    let answer = query.run(&batch(), &context()).await.unwrap();
    let names: Vec<_> = answer.rows.column(0).as_string::<i32>().iter().flatten().collect();
    assert_eq!(names, ["man", "man", "other"]);
    assert_eq!(answer.origin.unwrap().values(), &[1, 4, 5]);
    query.replace_table("sexes", vec![]).unwrap();
    assert_eq!(query.run(&batch(), &context()).await.unwrap().rows.num_rows(), 0);

    let error = query.replace_table("sexes", vec![batch()]).unwrap_err();
    assert_eq!(error.to_string(), "`sexes`: it has 8 columns instead of 2");
    let error = query.replace_table("sexs", vec![]).unwrap_err();
    assert_eq!(error.to_string(), "there is no table `sexs` (did you mean `sexes`?): the table is `sexes`");
}

#[tokio::test]
async fn a_model_scores_each_row_once() {
    for sql in [
        "SELECT mri(*) AS p, mri(*) + 1 AS q, CAST(mri(AGE, DUR) AS VARCHAR) AS t FROM records",
        "SELECT p FROM (SELECT mri(*) AS p FROM records) AS scored WHERE p > 5 AND p < 1000",
        "SELECT p, p + 1 AS q, p * p AS r FROM (SELECT mri(*) AS p FROM records) AS scored",
        "WITH scored AS (SELECT *, mri(*) AS p FROM records) \
         SELECT s.name, p FROM scored JOIN sexes s ON scored.SEX = s.code WHERE p > 1",
        "SELECT mri(*) AS p FROM records WHERE mri(*) > 5",
        "SELECT mri(*) AS p, mri(*) / 2 AS q FROM records WHERE mri(AGE, DUR) > 5 AND mri(*) < 40 ORDER BY mri(*)",
        "SELECT SEX, avg(mri(*)) AS p FROM records r WHERE mri(r.*) BETWEEN 5 AND 9 GROUP BY SEX",
        "SELECT mri(*) AS p, row_number() OVER (ORDER BY mri(*)) AS n FROM records WHERE sqrt(mri(*)) > 5",
        "SELECT mri(*) AS p FROM records ORDER BY p",
        "SELECT avg(mri(*)) AS a, max(mri(*)) AS m FROM records",
    ] {
        let (mut query, model) = with_mri(sql).await;
        assert_eq!(model.rows.load(Ordering::Relaxed), 0, "scored while planning: {sql}");
        query.run(&numbered(50, |row| row.to_string()), &context()).await.unwrap();
        assert_eq!(model.rows.load(Ordering::Relaxed), 50, "{sql}");
    }
}

#[tokio::test]
async fn a_model_scores_only_rows_that_are_let_through() {
    for (sql, rows) in [
        ("SELECT mri(*) AS p FROM records WHERE AGE < 10", 10),
        ("SELECT mri(*) AS p FROM records WHERE mri(*) > 5 AND AGE < 10", 10),
        ("SELECT mri(*) AS p FROM records WHERE CAST(raw AS BIGINT) < 20 AND mri(*) > 5", 20),
        ("SELECT p FROM (SELECT mri(*) AS p, AGE FROM records WHERE AGE < 10) AS young WHERE p > 5", 10),
        ("SELECT CASE WHEN AGE < 10 THEN mri(*) END AS p FROM records", 10),
    ] {
        let (mut query, model) = with_mri(sql).await;
        query.run(&numbered(50, |row| row.to_string()), &context()).await.unwrap();
        assert_eq!(model.rows.load(Ordering::Relaxed), rows, "{sql}");
    }
}

#[tokio::test]
async fn refused_rows_of_a_row_wise_query_are_not_scored_again() {
    let (mut query, model) = with_mri("SELECT mri(*) AS p FROM records").await;
    let answer = query.run(&batch(), &context()).await.unwrap();
    assert_eq!((answer.rows.num_rows(), answer.refused.len()), (5, 1));
    assert_eq!(model.rows.load(Ordering::Relaxed), 6);
}

#[tokio::test]
async fn failing_rows_are_found_among_many() {
    let mut query = prepare("SELECT _key, CAST(raw AS BIGINT) / (AGE % 1000 - 7) AS n FROM records").await;
    let bad = |row: i64| row % 911 == 3;
    let batch = numbered(5_000, |row| if bad(row) { format!("secret {row}") } else { row.to_string() });
    let answer = query.run(&batch, &context()).await.unwrap();
    let expected: Vec<usize> = (0..5_000).filter(|row| bad(*row) || row % 1000 == 7).map(|row| row as usize).collect();
    assert_eq!(answer.refused.iter().map(|failure| failure.row).collect::<Vec<_>>(), expected);
    assert_eq!(answer.rows.num_rows() + expected.len(), 5_000);
    let provenance = answer.provenance.unwrap();
    let kept: Vec<i64> = (0..5_000).filter(|row| !expected.contains(&(*row as usize))).map(|row| row + 1000).collect();
    assert_eq!(provenance.offset.values(), kept.as_slice());
    for failure in &answer.refused {
        let (place, why) = if bad(failure.row as i64) {
            ("CAST(raw AS Int64)", Reason::Cast)
        } else {
            ("CAST(raw AS Int64) / (AGE % 1000 - 7)", Reason::DivisionByZero)
        };
        assert_eq!(failure.failure, Failure::Query { expression: Some(place.into()), reason: why });
    }
}

#[tokio::test]
async fn a_pattern_that_a_record_gives_is_the_records_fault() {
    let mut query = prepare("SELECT regexp_replace('a', raw, 'b') AS n FROM records").await;
    let batch = numbered(10, |row| if row == 4 { "(".into() } else { row.to_string() });
    let answer = query.run(&batch, &context()).await.unwrap();
    assert_eq!(answer.rows.num_rows(), 9);
    assert_eq!(answer.refused.iter().map(|failure| failure.row).collect::<Vec<_>>(), [4]);
    assert!(matches!(&answer.refused[0].failure, Failure::Query { reason: Reason::Computation, .. }));
}

#[tokio::test]
async fn rows_refused_by_a_model_and_by_the_query_are_told_apart() {
    let mut query = prepare("SELECT mri(*) AS p, CAST(raw AS BIGINT) AS n, triage(*) AS t FROM records").await;
    let answer = query.run(&batch(), &context()).await.unwrap();
    let refused: Vec<_> = answer.refused.iter().map(|failure| (failure.row, failure.kind())).collect();
    assert_eq!(refused, [(2, "query"), (3, "model"), (4, "model"), (5, "model")]);
    assert_eq!(answer.provenance.unwrap().offset.values(), &[100, 50]);
}

#[tokio::test]
async fn no_error_quotes_a_value() {
    for sql in [
        "SELECT CAST(raw AS BIGINT) AS n FROM records",
        "SELECT CAST(raw AS DATE) AS n FROM records",
        "SELECT CAST(raw AS TIMESTAMP) AS n FROM records",
        "SELECT CAST(raw AS BOOLEAN) AS n FROM records",
        "SELECT CAST(raw AS DECIMAL(5, 2)) AS n FROM records",
        "SELECT CAST(raw AS INTERVAL) AS n FROM records",
        "SELECT to_timestamp(raw) AS n FROM records",
        "SELECT to_date(raw) AS n FROM records",
        "SELECT decode(raw, 'hex') AS n FROM records",
        "SELECT regexp_replace('a', raw || '(', 'b') AS n FROM records",
        "SELECT arrow_cast(raw, 'Int8') AS n FROM records",
        "SELECT sum(CAST(raw AS BIGINT)) AS n FROM records",
        "SELECT CAST(raw AS BIGINT) AS n, count(*) AS k FROM records GROUP BY 1",
    ] {
        let mut query = match Query::prepare(sql, &input(), &models(), tables()).await {
            Ok(query) => query,
            Err(error) => panic!("{sql}: {error}"),
        };
        let said = match query.run(&batch(), &context()).await {
            Ok(answer) => {
                assert!(answer.refused.iter().any(|failure| failure.row == 2), "{sql}: the bad row is not refused");
                answer.refused.iter().map(|failure| failure.failure.to_string()).collect::<String>()
            }
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!said.contains("secret"), "{sql}: {said}");
    }
}

#[tokio::test]
async fn a_failing_aggregate_names_the_expression() {
    let mut query = prepare("SELECT SEX, sum(CAST(raw AS BIGINT)) AS s FROM records GROUP BY SEX").await;
    let error = query.run(&batch(), &context()).await.unwrap_err();
    assert_eq!(error, Error::Failed { expression: Some("CAST(raw AS Int64)".into()), reason: Reason::Cast });
    // It is not broken for the next batch.
    assert_eq!(query.run(&numbered(3, |row| row.to_string()), &context()).await.unwrap().rows.num_rows(), 1);
}

#[tokio::test]
async fn a_sink_has_its_own_query_over_the_result() {
    let mut first = prepare("SELECT _key AS PNO, CAST(mri(*) AS BIGINT) AS MIN FROM records WHERE AGE > 0").await;
    let answer = first.run(&batch(), &context()).await.unwrap();
    let schema = Arc::clone(first.output_schema());
    let decoded = schema.fields().iter().map(|field| field.name().clone()).collect();
    let result = Input { table: "result".into(), schema, decoded };
    let sql = "SELECT 'No. ' || PNO AS line FROM result WHERE MIN > 20";
    let mut second = Query::prepare(sql, &result, &BTreeMap::new(), vec![]).await.unwrap();
    let context = Context { provenance: answer.provenance, ..context() };
    let answer = second.run(&answer.rows, &context).await.unwrap();
    assert_eq!(answer.rows.column(0).as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["No. P2", "No. P6"]);
    let expected = Provenance { partition: Int32Array::from(vec![1, 1]), offset: Int64Array::from(vec![50, 52]) };
    assert_eq!(answer.provenance, Some(expected));
    let error = Query::prepare("SELECT 1 FROM records", &result, &BTreeMap::new(), vec![]).await.err().unwrap();
    assert_eq!(error.to_string(), "line 1, column 15: there is no table `records`: the table is `result`");
}

#[tokio::test]
async fn names_of_models_and_tables_are_checked() {
    let with = async |names: &[&str]| {
        let models = names.iter().map(|name| ((*name).to_owned(), mri() as Arc<dyn Scorer>)).collect();
        Query::prepare("SELECT AGE FROM records", &input(), &models, vec![]).await.err().map(|error| error.to_string())
    };
    assert_eq!(with(&["mri", "other"]).await, None);
    let taken = "a function cannot be called `Sum`: `sum` is a word of SQL; call it `Sum_model`";
    assert_eq!(with(&["Sum"]).await.as_deref(), Some(taken));
    for word in ["case", "cast", "unnest", "now", "uuid", "upper", "select", "row_number", "substring"] {
        assert!(with(&[word]).await.is_some(), "{word}");
    }
    let letters = "a function cannot be called `my-model`: a name is letters, digits and `_`, and begins with a letter";
    assert_eq!(with(&["my-model"]).await.as_deref(), Some(letters));
    let both = "a function cannot be called `mri`: `MRI` gives a function `mri`, too; case does not matter";
    assert_eq!(with(&["MRI", "mri"]).await.as_deref(), Some(both));

    let mut two = tables();
    two.extend(tables());
    let error = Query::prepare("SELECT AGE FROM records", &input(), &models(), two).await.err().unwrap();
    assert_eq!(error, Error::DuplicateTable { table: "sexes".into() });
}

#[tokio::test]
async fn batches_of_other_columns_are_refused() {
    let mut query = prepare("SELECT AGE FROM records").await;
    let error = query.run(&sexes(&[]), &context()).await.unwrap_err();
    assert_eq!(error.to_string(), "`records`: it has 2 columns instead of 8");
    let other = batch().project(&[1, 0, 2, 3, 4, 5, 6, 7]).unwrap();
    let error = query.run(&other, &context()).await.unwrap_err();
    assert_eq!(error.to_string(), "`records`: column `DUR` stands where `AGE` belongs");
}

#[tokio::test]
async fn an_empty_batch_gives_what_sql_says() {
    let empty = batch().slice(0, 0);
    let mut query = prepare("SELECT mri(*) AS p FROM records").await;
    let answer = query.run(&empty, &context()).await.unwrap();
    assert_eq!((answer.rows.num_rows(), answer.origin.map(|origin| origin.len())), (0, Some(0)));
    let mut query = prepare("SELECT count(*) AS n FROM records").await;
    let answer = query.run(&empty, &context()).await.unwrap();
    assert_eq!(answer.rows.column(0).as_primitive::<Int64Type>().values(), &[0]);
    assert!(matches!(query.scope(), QueryScope::BatchWise { .. }));
}

/// A model that breaks its contract.
struct Broken(Fake, Breaking);

type Breaking = fn(&mut foretell_model::Outputs);

impl Scorer for Broken {
    fn signature(&self) -> &foretell_model::Signature {
        self.0.signature()
    }

    fn score(&self, columns: &foretell_model::Columns<'_>, want: foretell_model::Method) -> foretell_model::Outputs {
        let mut outputs = self.0.score(columns, want);
        (self.1)(&mut outputs);
        outputs
    }
}

#[tokio::test]
async fn a_model_that_answers_wrongly_stops_the_query() {
    let breakings: [(Breaking, &str); 4] = [
        (|outputs| outputs.columns.clear(), "0 columns instead of 1"),
        (|outputs| outputs.columns[0] = outputs.columns[0].slice(0, 1), "`prediction` has 1 rows instead of 6"),
        (
            |outputs| outputs.columns[0] = Arc::new(Int32Array::from(vec![0; outputs.columns[0].len()])),
            "`prediction` is Int32 instead of Float32",
        ),
        (|outputs| outputs.refusals[0].row = 6, "it refuses row 6 of 6"),
    ];
    for (breaking, difference) in breakings {
        let model = Broken(Arc::into_inner(mri()).unwrap(), breaking);
        let models: BTreeMap<String, Arc<dyn Scorer>> = BTreeMap::from([("mri".to_owned(), Arc::new(model) as _)]);
        let mut query = Query::prepare("SELECT mri(*) AS p FROM records", &input(), &models, vec![]).await.unwrap();
        let error = query.run(&batch(), &context()).await.unwrap_err();
        assert_eq!(error, Error::Model { model: "mri".into(), difference: difference.into() });
    }
}

#[tokio::test]
async fn long_and_deep_queries_are_planned() {
    let long = |terms: i64, operator: &str| {
        let terms: Vec<String> = (0..terms).map(|term| format!("AGE + {term} > {}", term + 10)).collect();
        format!("SELECT mri(*) AS p FROM records WHERE AGE < 100 AND ({})", terms.join(operator))
    };
    for operator in [" OR ", " AND "] {
        let mut query = prepare(&long(190, operator)).await;
        assert_eq!(query.run(&batch(), &context()).await.unwrap().rows.num_rows(), 2, "{operator}");
        let error = Query::prepare(&long(2_000, operator), &input(), &models(), tables()).await.err().unwrap();
        assert_eq!(error, Error::TooDeep { most: 200 });
    }
    let deep = (0..12).fold("records".to_owned(), |from, depth| {
        format!("(SELECT * FROM {from} AS t{depth} WHERE AGE > -{depth} - 1)")
    });
    let mut query = prepare(&format!("SELECT mri(*) AS p FROM {deep} AS t")).await;
    assert_eq!(query.run(&batch(), &context()).await.unwrap().rows.num_rows(), 4);
}

#[tokio::test]
async fn a_panic_stops_the_query_not_the_process() {
    let model = Broken(Arc::into_inner(mri()).unwrap(), |outputs| assert!(outputs.columns.is_empty(), "a bug"));
    let models: BTreeMap<String, Arc<dyn Scorer>> = BTreeMap::from([("mri".to_owned(), Arc::new(model) as _)]);
    let mut query = Query::prepare("SELECT mri(*) AS p FROM records", &input(), &models, vec![]).await.unwrap();
    for _ in 0..2 {
        let error = query.run(&batch(), &context()).await.unwrap_err();
        assert!(
            matches!(&error, Error::Engine { expression: Some(at), reason: "an internal error" } if at.starts_with("mri(")),
            "{error}"
        );
    }
}

#[tokio::test]
async fn many_rows_go_through_whole() {
    let mut query = prepare("SELECT mri(*) AS p FROM records WHERE AGE % 2 = 0").await;
    let answer = query.run(&numbered(100_000, |row| row.to_string()), &context()).await.unwrap();
    let found = answer.rows.column(0).as_primitive::<Float32Type>();
    assert_eq!(found.len(), 50_000);
    assert!(found.values().iter().zip((0..).step_by(2)).all(|(found, row)| *found == row as f32));
}

#[tokio::test]
async fn decimals_stay_exact_and_models_take_their_nearest_float() {
    let value = |text: &str| text.replace('.', "").parse::<i128>().unwrap();
    let texts = ["12345678901234567890.123456789", "-0.000000001", "644461693.100611747"];
    let decimals = Decimal128Array::from(vec![value(texts[0]), value(texts[1]), value(texts[2])]);
    let decimals = decimals.with_precision_and_scale(38, 9).unwrap();
    let batch = RecordBatch::try_from_iter([("d", Arc::new(decimals) as ArrayRef)]).unwrap();
    let input = Input { table: "records".into(), schema: batch.schema(), decoded: vec!["d".into()] };
    let sql = "SELECT d, d + d AS sum, d * 3 AS times, two(d, 0)['prediction_1'] AS twice FROM records WHERE d <> 0";
    let mut query = Query::prepare(sql, &input, &models(), vec![]).await.unwrap();
    let rows = query.run(&batch, &Context::default()).await.unwrap().rows;
    let column = |name: &str| {
        let column = rows.column_by_name(name).unwrap();
        (0..rows.num_rows()).map(|row| array_value_to_string(column, row).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(column("d"), texts);
    assert_eq!(column("sum")[..2], ["24691357802469135780.246913578", "-0.000000002"]);
    assert_eq!(column("times")[..2], ["37037036703703703670.370370367", "-0.000000003"]);
    let floats = rows.column_by_name("twice").unwrap().as_primitive::<Float64Type>();
    let nearest: Vec<f64> = texts.iter().map(|text| 2.0 * text.parse::<f64>().unwrap()).collect();
    assert_eq!(floats.values().to_vec(), nearest);
}

#[tokio::test]
async fn a_float_becomes_a_decimal_only_where_a_cast_says_so() {
    let decimals = Decimal128Array::from(vec![None, Some(15)]).with_precision_and_scale(20, 1).unwrap();
    let floats = Float64Array::from(vec![Some(1e-20), None]);
    let columns = [("d", Arc::new(decimals) as ArrayRef), ("f", Arc::new(floats) as ArrayRef)];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let input = Input { table: "records".into(), schema: batch.schema(), decoded: vec!["d".into(), "f".into()] };
    for expr in [
        "COALESCE(d, f)",
        "CASE WHEN f > 0 THEN f ELSE d END",
        "greatest(d, f)",
        "COALESCE(d, f) + CAST(f AS DECIMAL(31, 15))",
    ] {
        let error = Query::prepare(&format!("SELECT {expr} AS v FROM records"), &input, &models(), vec![]).await;
        let error = error.err().unwrap_or_else(|| panic!("{expr} is taken")).to_string();
        assert!(error.contains("a float and a decimal meet here"), "{expr}: {error}");
    }
    for (expr, expected) in [
        ("COALESCE(CAST(d AS DOUBLE), f)", ["1e-20", "1.5"]),
        ("COALESCE(d, CAST(f AS DECIMAL(20, 1)))", ["0.0", "1.5"]),
        ("COALESCE(d, 0.25)", ["0.25", "1.50"]),
        ("COALESCE(d, 7)", ["7.0", "1.5"]),
    ] {
        let sql = format!("SELECT {expr} AS v FROM records");
        let mut query = Query::prepare(&sql, &input, &models(), vec![]).await.unwrap();
        let rows = query.run(&batch, &Context::default()).await.unwrap().rows;
        let texts: Vec<f64> =
            (0..2).map(|row| array_value_to_string(rows.column(0), row).unwrap().parse().unwrap()).collect();
        assert_eq!(texts, expected.map(|text| text.parse::<f64>().unwrap()), "{expr}");
    }
}
