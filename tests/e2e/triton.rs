//! Triton's own client of KServe's protocol gets the answers of `/predict`, whether it sends values as JSON or as bytes.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::harness::foretell::binary;
use crate::harness::orders::order;
use crate::harness::{root, service};

/// Prints the answers for a row: sent column by column and as one tensor, as JSON and as bytes.
const CLIENT: &str = "
import sys, numpy as np, tritonclient.http as triton
address, names, values = sys.argv[1], sys.argv[2].split(','), [float(x) for x in sys.argv[3].split(',')]
client = triton.InferenceServerClient(address)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready('mri_xgb')
metadata = client.get_model_metadata('mri_xgb')
assert [i['name'] for i in metadata['inputs']] == names, metadata
for binary in (True, False):
    columns = []
    for name, value in zip(names, values):
        column = triton.InferInput(name, [2, 1], 'FP64')
        column.set_data_from_numpy(np.full((2, 1), value), binary_data=binary)
        columns.append(column)
    all = triton.InferInput('x', [2, len(values)], 'FP32')
    all.set_data_from_numpy(np.array([values, values], dtype=np.float32), binary_data=binary)
    for inputs in (columns, [all]):
        answer = client.infer('mri_xgb', inputs).as_numpy('prediction')
        assert answer.shape == (2,) and answer[0] == answer[1], answer
        print(repr(float(answer[0])))
try:
    client.infer('nobody', [all])
except triton.InferenceServerException as error:
    assert 'there is no model' in str(error), error
else:
    raise SystemExit('an unknown model was answered')
";

#[test]
#[ignore = "needs `dev/services up mlflow`, which brings the client; `make test-long` runs it"]
fn tritons_client_is_answered() {
    let model = root().join("examples/mri/models/mri_xgb.joblib");
    let mut server = Command::new(binary())
        .args(["serve", model.to_str().unwrap(), "--listen", "127.0.0.1:0"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| Some(line.split_once("address=")?.1.split_whitespace().next()?.to_string()));
    std::thread::spawn(move || lines.for_each(drop));
    let names = "ITEM_n,ORDERDR_n,DEPT_n,SEX_n,AGE,POS_n,IO_n";
    let output = Command::new(service("FORETELL_MLFLOW_PYTHON"))
        .args(["-c", CLIENT, &address.unwrap(), names, &order(3).features])
        .output()
        .unwrap();
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<f32> = answers.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(answers, [order(3).xgb.parse::<f32>().unwrap(); 4]);
}
