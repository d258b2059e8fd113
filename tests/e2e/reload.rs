//! A model file that is replaced between two runs serves the records after it.

use crate::harness::case::same;
use crate::harness::hdfs::local;
use crate::harness::orders::order;
use crate::harness::root;
use crate::harness::sandbox::Sandbox;

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
