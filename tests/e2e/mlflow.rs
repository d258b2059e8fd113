//! A model of MLflow's registry by its alias, which is given to another version while the pipeline runs.

use std::process::Command;

use crate::harness::orders::order;
use crate::harness::sandbox::Sandbox;
use crate::harness::{root, service, until};

const PIPELINE: &str = "
pipeline: ${id}
source: { file: { path: in/ } }
decode: { csv: { columns: [PNO: utf8, ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"models:/${id}@champion\", refresh: 200ms } }
query: SELECT PNO, CAST(mri(*) AS DOUBLE) AS seconds FROM records
sinks: { out: { file: { path: out.csv, mode: append } } }
trigger: continuous
";

/// Registers model files as versions, as MLflow's own client does it; the first is the champion.
const REGISTER: &str = "
import sys, mlflow
from mlflow import MlflowClient
name, files = sys.argv[1], sys.argv[2:]
client = MlflowClient()
client.create_registered_model(name)
for file in files:
    with mlflow.start_run() as run:
        folder = mlflow.get_artifact_uri('model')
        mlflow.log_text('flavors:\\n  sklearn:\\n    pickled_model: model.pkl\\n    sklearn_version: 1.6.1\\n', 'model/MLmodel')
        import shutil, tempfile, os
        with tempfile.TemporaryDirectory() as place:
            shutil.copy(file, os.path.join(place, 'model.pkl'))
            mlflow.log_artifact(os.path.join(place, 'model.pkl'), 'model')
        client.create_model_version(name, folder, run.info.run_id)
client.set_registered_model_alias(name, 'champion', '1')
";

const PROMOTE: &str = "
import sys
from mlflow import MlflowClient
MlflowClient().set_registered_model_alias(sys.argv[1], 'champion', sys.argv[2])
";

fn python(script: &str, arguments: &[&str]) {
    let output = Command::new(service("FORETELL_MLFLOW_PYTHON"))
        .args([&["-c", script], arguments].concat())
        .env("MLFLOW_TRACKING_URI", service("FORETELL_MLFLOW"))
        .env("MLFLOW_DISABLE_TELEMETRY", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "needs `dev/services up mlflow`; `make test-long` runs it"]
fn an_alias_that_moves_changes_the_model() {
    let mut sandbox = Sandbox::new("mlflow");
    let model = |name: &str| root().join("examples/mri/models").join(name).display().to_string();
    python(REGISTER, &[&sandbox.id, &model("mri_xgb.joblib"), &model("mri_rf.joblib")]);
    sandbox.env.push(("MLFLOW_TRACKING_URI".to_string(), service("FORETELL_MLFLOW")));
    sandbox.pipeline(PIPELINE);
    let folder = sandbox.dir.path().to_path_buf();
    std::fs::create_dir_all(folder.join("in")).unwrap();
    let put = |name: &str| {
        let row = |at: usize| format!("p{at},{}\n", order(at).features);
        let text =
            "PNO,ITEM_n,ORDERDR_n,DEPT_n,SEX_n,AGE,POS_n,IO_n\n".to_string() + &(0..5).map(row).collect::<String>();
        std::fs::write(folder.join("new"), text).unwrap();
        std::fs::rename(folder.join("new"), folder.join("in").join(name)).unwrap();
    };
    let rows = || std::fs::read_to_string(folder.join("out.csv")).unwrap_or_default();
    put("a.csv");
    let running = sandbox.start(&["run", "--workers", "1"]);
    until("five rows", || rows().lines().count() == 5);
    python(PROMOTE, &[&sandbox.id, "2"]);
    until("the other version", || running.log().contains("another model file serves the batches from now on"));
    put("b.csv");
    until("ten rows", || rows().lines().count() == 10);
    let number = |line: &str| line.split(',').nth(1).unwrap().parse::<f64>().unwrap();
    for (at, line) in rows().lines().enumerate() {
        let of = order(at % 5);
        match at < 5 {
            true => assert_eq!(number(line) as f32, of.xgb.parse::<f32>().unwrap(), "{line}"),
            false => assert_eq!(number(line), of.rf.parse::<f64>().unwrap(), "{line}"),
        }
    }
    running.terminate();
    running.ended(std::time::Duration::from_secs(60)).well();

    // By its number, an earlier version; and what is not there.
    let version = |which: &str| {
        sandbox.pipeline(&PIPELINE.replace("@champion", which).replace("continuous", "available_now"));
        sandbox.run(&["check"])
    };
    version("/1").well();
    version("/7").says(&["models.mri", "RESOURCE_DOES_NOT_EXIST", "version"]);
    version("@nobody").says(&["models.mri", "alias nobody not found"]);
}
