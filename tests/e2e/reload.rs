//! A model file that is replaced serves the records after it: between two runs, and in the middle of one.

use crate::harness::case::same;
use crate::harness::hdfs::{self, local};
use crate::harness::orders::order;
use crate::harness::sandbox::Sandbox;
use crate::harness::{root, s3, until};

const PIPELINE: &str = "
pipeline: ${id}
source: { kafka: { brokers: \"${kafka}\", topic: in_${id} } }
decode: { csv: { columns: [ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: mri.joblib } }
query: SELECT _key AS pno, CAST(mri(*) AS DOUBLE) AS seconds FROM records
sinks: { out: { file: { path: out.csv, mode: append } } }
trigger: available_now
";

#[test]
fn a_replaced_model_serves_what_comes_after_it() {
    let sandbox = Sandbox::new("reload");
    sandbox.pipeline(PIPELINE);
    sandbox.topics(PIPELINE);
    let model = |name: &str| {
        let from = root().join("examples/mri/models").join(name);
        std::fs::copy(from, sandbox.dir.path().join("mri.joblib")).unwrap();
    };
    model("mri_xgb.joblib");
    sandbox.orders(0..100);
    sandbox.run(&["run"]).well();
    model("mri_rf.joblib");
    sandbox.orders(100..200);
    sandbox.run(&["run"]).well();

    let files = local(&sandbox.dir.path().join("out.csv"));
    let lines = String::from_utf8(files[0].1.to_vec()).unwrap();
    // XGBoost answers in float32: its digits are compared as such.
    let number = |line: &str| {
        let (pno, seconds) = line.split_once(',').unwrap();
        let of_xgb = pno[1..].parse::<usize>().unwrap() < 100;
        let seconds: f64 = seconds.parse().unwrap();
        if of_xgb { format!("{pno} {}", seconds as f32) } else { format!("{pno} {seconds}") }
    };
    let expected = |at: usize| match at < 100 {
        true => format!("p{at} {}", order(at).xgb.parse::<f32>().unwrap()),
        false => format!("p{at} {}", order(at).rf.parse::<f64>().unwrap()),
    };
    same("rows of both models", (0..200).map(expected).collect(), lines.lines().map(number).collect());
}

const WATCHED: &str = "
pipeline: ${id}
source: { file: { path: in/ } }
decode: { csv: { columns: [PNO: utf8, ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"FILE\", refresh: 100ms } }
query: SELECT PNO, CAST(mri(*) AS DOUBLE) AS seconds FROM records
sinks: { out: { file: { path: out.csv, mode: append } } }
trigger: continuous
";

/// Runs while the file changes: a broken one is refused, and the model goes on; a good one takes over.
fn watched(sandbox: &Sandbox, file: &str, put: impl Fn(Vec<u8>)) {
    let model = |name: &str| std::fs::read(root().join("examples/mri/models").join(name)).unwrap();
    put(model("mri_xgb.joblib"));
    sandbox.pipeline(&WATCHED.replace("FILE", file));
    let folder = sandbox.dir.path();
    std::fs::create_dir_all(folder.join("in")).unwrap();
    let give = |name: &str| {
        let row = |at: usize| format!("p{at},{}\n", order(at).features);
        let header = "PNO,ITEM_n,ORDERDR_n,DEPT_n,SEX_n,AGE,POS_n,IO_n\n";
        std::fs::write(folder.join("new"), header.to_string() + &(0..5).map(row).collect::<String>()).unwrap();
        std::fs::rename(folder.join("new"), folder.join("in").join(name)).unwrap();
    };
    let rows = || std::fs::read_to_string(folder.join("out.csv")).unwrap_or_default();
    give("a.csv");
    let running = sandbox.start(&["run", "--workers", "1"]);
    until("five rows", || rows().lines().count() == 5);
    let whole = model("mri_rf.joblib");
    put(whole[..whole.len() / 2].to_vec());
    until("the broken one to be refused", || running.log().contains("is refused, and the model goes on as it was"));
    give("b.csv");
    until("ten rows", || rows().lines().count() == 10);
    put(whole);
    until("the other model", || running.log().contains("another model file serves the batches from now on"));
    give("c.csv");
    until("fifteen rows", || rows().lines().count() == 15);
    let number = |line: &str| line.split(',').nth(1).unwrap().parse::<f64>().unwrap();
    for (at, line) in rows().lines().enumerate() {
        let of = order(at % 5);
        match at < 10 {
            true => assert_eq!(number(line) as f32, of.xgb.parse::<f32>().unwrap(), "{line}"),
            false => assert_eq!(number(line), of.rf.parse::<f64>().unwrap(), "{line}"),
        }
    }
    running.terminate();
    running.ended(std::time::Duration::from_secs(60)).well();
}

#[test]
fn a_model_on_hdfs_changes_while_it_serves() {
    let sandbox = Sandbox::new("reload-hdfs");
    let path = format!("{}/mri.joblib", sandbox.hdfs());
    watched(&sandbox, "${hdfs}/mri.joblib", |bytes| hdfs::replace(&path, bytes.into()));
}

#[test]
fn a_model_on_s3_changes_while_it_serves() {
    let mut sandbox = Sandbox::new("reload-s3");
    sandbox.env.push(("AWS_ENDPOINT_URL".to_string(), s3::endpoint()));
    sandbox.env.push(("AWS_ACCESS_KEY_ID".to_string(), s3::key()));
    sandbox.env.push(("AWS_SECRET_ACCESS_KEY".to_string(), s3::secret()));
    let key = format!("{}/mri.joblib", sandbox.id);
    watched(&sandbox, &format!("s3://foretell/{key}"), |bytes| s3::put(&key, bytes));
}
