//! What somebody meets who answers for a pipeline: several of them in one process, files that change while it runs, models
//! that are swapped, too many bad records, and models that answer over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{bad, foretell, good, text};

/// A run, and what it has logged so far.
struct Running {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
}

impl Running {
    fn start(folder: &Path, args: &[&str]) -> Running {
        // Whoever runs the tests may have told their programs to ignore a hangup.
        let mut child = Command::new("env")
            .args(["--default-signal=HUP", env!("CARGO_BIN_EXE_foretell")])
            .args(args)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = log.clone();
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(|line| kept.lock().unwrap().push(line)));
        Running { child, log }
    }

    fn lines(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until a line holds this, and gives it.
    fn says(&self, what: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            if let Some(line) = self.lines().into_iter().find(|line| line.contains(what)) {
                return line;
            }
            assert!(Instant::now() < deadline, "it does not say `{what}`: {:#?}", self.lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn stop(mut self) -> (ExitStatus, Vec<String>) {
        self.signal("TERM");
        (self.child.wait().unwrap(), self.lines())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

/// What a folder's files hold together.
fn rows(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let files = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut rows: Vec<String> = files.flat_map(|path| lines_of(&path)).collect();
    rows.sort();
    rows
}

fn lines_of(path: &Path) -> Vec<String> {
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_string).collect()
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../model/tests/contribs").join(format!("{name}.model"))
}

fn write(path: PathBuf, content: &str) {
    std::fs::write(path, content).unwrap();
}

fn copying(name: &str, to: &str, trigger: &str) -> String {
    format!(
        "pipeline: {name}\nsource: {{ file: {{ path: in/ }} }}\ndecode: {{ csv: {{ columns: [a: int64] }} }}\n\
         query: |\n  SELECT a,\n    a * 2 AS b FROM records\n\
         sinks: {{ out: {{ file: {{ path: {to}, format: jsonl }} }} }}\nstate: state-{name}\ntrigger: {trigger}\n"
    )
}

#[test]
fn several_pipelines_run_in_one_process_and_their_lines_name_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("in")).unwrap();
    std::fs::create_dir(path("all")).unwrap();
    write(path("in/a.csv"), "a\n1\n2\n");
    let absolute = |text: String| text.replace("path: ", &format!("path: {}/", folder.path().display()));
    write(path("all/one.yaml"), &absolute(copying("one", "one", "available_now")));
    write(path("all/two.yml"), &absolute(copying("two", "two", "available_now")));
    write(path("all/one.tests.yaml"), "not a pipeline");
    let output = foretell(&["run", &path("all").display().to_string(), "--log-format", "json"]);
    let log = text(&output.stderr);
    assert!(output.status.success(), "{log}");
    for name in ["one", "two"] {
        assert_eq!(rows(&path(name)), [r#"{"a":1,"b":2}"#, r#"{"a":2,"b":4}"#], "{log}");
    }
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for name in ["one", "two"] {
        let own: Vec<&Value> = lines.iter().filter(|line| line["pipeline"] == name).collect();
        let ended = own.iter().find(|line| line["message"] == "ended").unwrap();
        assert!(ended["records"] == 2 && ended["seconds"].is_number(), "{ended}");
        assert!(own.iter().any(|line| line["message"] == "claimed"), "{name}: {log}");
    }
    assert!(lines.iter().all(|line| line["pipeline"].is_string()), "{log}");

    // All are checked before any begins.
    write(path("all/three.yaml"), &absolute(copying("one", "three", "available_now")));
    let error = bad(&["run", &path("all").display().to_string()]);
    assert!(error.contains("the pipeline is called `one` as that of") && !path("three").exists(), "{error}");
}

#[test]
fn all_mistakes_are_told_at_once_with_the_files_lines_and_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.yaml");
    let pipeline = path.display().to_string();
    let good_file = copying("p", "out", "available_now");
    write(path.clone(), &good_file.replace("a * 2 AS b", "aa * 2 AS b"));
    let error = bad(&["check", &pipeline]);
    assert!(error.contains("p.yaml:6:5: query: there is no column `aa`"), "{error}");
    for (written, told) in [
        ("a * (2 AS b", "p.yaml:6:12: query: expected"),
        ("date_sub(a, 1) AS b", "p.yaml:6:5: query: there is no function `date_sub`: write `d - INTERVAL '1' DAY`"),
        ("CAST(a AS BIGNT) AS b", "there is no type `BIGNT`: did you mean `BIGINT`?"),
        ("sum(a) AS b", "`a` stands beside an aggregate: name it in GROUP BY"),
        ("struct(a)[1] AS b", "a part of a STRUCT is taken by its name"),
    ] {
        write(path.clone(), &good_file.replace("a * 2 AS b", written));
        let error = bad(&["check", "--offline", &pipeline]);
        assert!(error.contains(told), "{written}: {error}");
        assert!(error.len() < 500, "{error}");
    }
    let wrong = good_file.replace("a: int64", "a: int46").replace("format: jsonl", "format: jsnl") + "windw: 1\n";
    write(path.clone(), &wrong);
    let output = foretell(&["check", &pipeline]);
    let errors = text(&output.stderr);
    let places: Vec<&str> =
        errors.lines().map(|line| line.split("p.yaml:").nth(1).unwrap().split(':').next().unwrap()).collect();
    assert_eq!(places, ["3", "7", "10"], "{errors}");
    let json = text(&foretell(&["check", "--json", &pipeline]).stdout);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((report["errors"].as_array().unwrap().len(), &report["error"]["line"]), (3, &Value::from(3)), "{json}");
    // What the file says is put right by the command line.
    write(path.clone(), &good_file.replace("{ file: { path: out, format: jsonl } }", "{ console: {} }"));
    let set = ["--set", "query=SELECT a AS z FROM records", "--offline", "--json"];
    let report = good(&[&["check", &pipeline], &set[..]].concat());
    assert!(report.contains("\"name\": \"z\""), "{report}");
}

#[test]
fn a_hangup_reads_the_file_again_and_refuses_one_that_does_not_check() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("in")).unwrap();
    write(path("p.yaml"), &copying("p", "out", "continuous"));
    write(path("in/a.csv"), "a\n1\n");
    let running = Running::start(folder.path(), &["run", "p.yaml", "--workers", "1"]);
    until("the first row", || rows(&path("out")) == [r#"{"a":1,"b":2}"#]);
    write(path("p.yaml"), &copying("p", "out", "continuous").replace("a * 2", "nothing"));
    running.signal("HUP");
    let refused = running.says("is refused");
    assert!(refused.contains("there is no column `nothing`"), "{refused}");
    write(path("in/b.csv"), "a\n2\n");
    until("the pipeline goes on as it was", || rows(&path("out")).len() == 2);
    write(path("p.yaml"), &copying("p", "out", "continuous").replace("a * 2", "a * 100"));
    running.signal("HUP");
    running.says("was read again: going on with it");
    until("it runs again", || running.lines().iter().filter(|line| line.contains(" running ")).count() == 2);
    write(path("in/c.csv"), "a\n3\n");
    let all = [r#"{"a":1,"b":2}"#, r#"{"a":2,"b":4}"#, r#"{"a":3,"b":300}"#];
    until("the new query", || rows(&path("out")) == all);
    let (status, log) = running.stop();
    assert!(status.success() && log.iter().all(|line| line.contains("pipeline=p")), "{log:#?}");
}

#[test]
fn a_model_file_that_changes_takes_over_at_the_next_batch() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("in")).unwrap();
    let pipeline = "pipeline: p\nsource: { file: { path: in/ } }\n\
        decode: { csv: { columns: [age: float64, dept: float64, dose: float64, sex: float64, weight: float64] } }\n\
        models: { m: { file: m.model, refresh: 50ms, golden: golden.csv } }\n\
        query: SELECT m(*) AS y, m_reasons(*) AS why, m_contribs(*)['bias'] AS bias, m_sha256() AS version FROM records\n\
        sinks: { out: { file: { path: out, format: jsonl } } }\ntrigger: continuous\n";
    write(path("p.yaml"), pipeline);
    let header = "age,dept,dose,sex,weight\n";
    let put = |name: &str| {
        // Under its name only when it is whole, as whoever deploys should do it.
        std::fs::copy(model(name), path("new")).unwrap();
        std::fs::rename(path("new"), path("m.model")).unwrap();
    };
    let golden = |answer: &str| {
        write(path("golden.csv"), &format!("age,dept,dose,sex,weight,prediction\n28,10,0.7,1,49,{answer}\n"));
    };
    let golden_of = |name: &str| {
        write(path("row.csv"), &format!("{header}28,10,0.7,1,49\n"));
        let output = foretell(&["predict", model(name).to_str().unwrap(), path("row.csv").to_str().unwrap()]);
        golden(text(&output.stdout).lines().nth(1).unwrap().rsplit(',').next().unwrap());
    };
    put("sklearn-tree");
    golden_of("sklearn-forest");
    write(path("in/a.csv"), &format!("{header}28,10,0.7,1,49\n"));
    let running = Running::start(folder.path(), &["run", "p.yaml", "--workers", "1"]);
    until("a row of the first model", || rows(&path("out")).len() == 1);

    write(path("m.model"), "this is not a model");
    assert!(running.says("is refused").contains("and the model goes on as it was"));
    write(path("in/b.csv"), &format!("{header}28,10,0.7,1,49\n"));
    until("another row of the first model", || rows(&path("out")).len() == 2);

    put("sklearn-forest");
    running.says("another model file serves the batches from now on");
    write(path("in/c.csv"), &format!("{header}28,10,0.7,1,49\n"));
    until("a row of the second model", || rows(&path("out")).len() == 3);
    let found: Vec<Value> = rows(&path("out")).iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    let versions: std::collections::BTreeSet<&str> = found.iter().map(|row| row["version"].as_str().unwrap()).collect();
    assert_eq!(versions.len(), 2, "{found:?}");
    for row in &found {
        assert!(row["why"].as_str().unwrap().split(", ").count() == 3 && row["bias"].is_number(), "{row}");
    }

    // One that says another thing of the golden rows than it should stays outside, and so does one that the query cannot be planned with.
    golden("-1");
    put("sklearn-boosting");
    assert!(running.says("golden.csv: line 2: the model says another thing").contains("m.model is refused"));
    write(path("golden.csv"), "age,dept,dose,sex,weight,prediction\n");
    put("sklearn-forest-three");
    assert!(running.says("has no rows").contains("m.model is refused"));
    golden_of("sklearn-extra-trees");
    put("sklearn-extra-trees");
    running.says("model `m` gives no reasons");
    let (status, log) = running.stop();
    assert!(status.success());
    let started: Vec<&String> = log.iter().filter(|line| line.contains(" loaded ")).collect();
    assert!(started[0].contains("class=\"sklearn.tree._classes.DecisionTreeRegressor\""), "{started:?}");
}

#[test]
fn too_many_bad_records_end_a_batch_job_with_3() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("in")).unwrap();
    let text_of = copying("p", "out", "available_now") + "on_bad_record: { stop_above: 5% }\n";
    write(path("p.yaml"), &text_of);
    let pipeline = path("p.yaml").display().to_string();
    write(path("in/a.csv"), &format!("a\n{}x\n", "1\n".repeat(19)));
    let output = foretell(&["run", &pipeline]);
    assert_eq!(output.status.code(), Some(0), "one of twenty: {}", text(&output.stderr));
    write(path("in/b.csv"), &format!("a\n{}x\nx\n", "1\n".repeat(18)));
    let output = foretell(&["run", &pipeline]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("2 of 20 records were bad, which is more than `stop_above` allows"));
    let stored = rows(&path("out")).len();
    write(path("in/c.csv"), &format!("a\n{}{}", "1\n".repeat(900), "x\n".repeat(200)));
    let output = foretell(&["run", &pipeline, "--workers", "1"]);
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains("200 of the latest 1100 records are bad") && error.contains("c.csv line 902"), "{error}");
    assert_eq!(rows(&path("out")).len(), stored, "nothing of the batch is stored");
}

#[test]
fn models_answer_over_http_as_predict_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::copy(model("xgboost-two"), path("risk.json")).unwrap();
    write(path("rows.csv"), "age,dept,dose,sex,weight\n28,10,0.73,1,49.2\n63,8,,1,80\n");
    let (model_path, data) = (path("risk.json").display().to_string(), path("rows.csv").display().to_string());
    let printed = good(&["predict", &model_path, &data, "--contribs"]);
    let mut lines = printed.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    assert_eq!(header[..3], ["prediction", "contrib_age", "contrib_dept"], "{printed}");
    let expected: Vec<f64> = lines.map(|cells| cells[0].parse().unwrap()).collect();

    let running = Running::start(folder.path(), &["serve", "risk.json", "--listen", "127.0.0.1:0"]);
    let line = running.says("address=");
    let address = line.split("address=").nth(1).unwrap().split_whitespace().next().unwrap().to_string();
    let ask = |request: &str| -> (u16, Value) {
        let mut stream = TcpStream::connect(&address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), serde_json::from_str(body).unwrap_or_default())
    };
    let post = |path: &str, body: &str| {
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        ask(&(head + body))
    };
    let body = r#"[{"age": 28, "dept": 10, "dose": 0.73, "sex": 1, "weight": 49.2}, [63, 8, null, 1, 80]]"#;
    let (status, answer) = post("/predict", body);
    assert_eq!(status, 200, "{answer}");
    let found: Vec<f64> = answer["predictions"].as_array().unwrap().iter().map(|one| one.as_f64().unwrap()).collect();
    assert_eq!(
        found.iter().map(|one| *one as f32).collect::<Vec<_>>(),
        expected.iter().map(|one| *one as f32).collect::<Vec<_>>()
    );
    let (status, answer) = post("/predict", "[[1]]");
    assert_eq!((status, answer["error"].as_str()), (400, Some("row 0 has 1 values, and the model takes 5")));
    let (status, answer) = ask("GET /v2/models/risk HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_eq!((status, answer["name"].as_str()), (200, Some("risk")));
    assert_eq!(ask("GET /elsewhere HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").0, 404);
    assert!(running.stop().0.success());
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_ending() {
    let folder = tempfile::tempdir().unwrap();
    let socket = std::os::unix::net::UnixDatagram::bind(folder.path().join("notify")).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(120))).unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    write(folder.path().join("in/a.csv"), "a\n1\n");
    write(folder.path().join("p.yaml"), &copying("told", "out", "{ every: 100ms }"));
    let mut child = Command::new(env!("CARGO_BIN_EXE_foretell"))
        .args(["run", "p.yaml"])
        .current_dir(folder.path())
        .env("NOTIFY_SOCKET", folder.path().join("notify"))
        .env("WATCHDOG_USEC", "600000")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut heard = String::new();
    let mut hear = |what: &str| {
        while !heard.lines().any(|line| line.starts_with(what)) {
            let mut part = [0; 4096];
            let length = socket.recv(&mut part).unwrap_or_else(|error| panic!("no `{what}`: {error}: {heard}"));
            heard.push_str(&String::from_utf8_lossy(&part[..length]));
            heard.push('\n');
        }
    };
    hear("READY=1");
    hear("STATUS=running");
    hear("WATCHDOG=1");
    assert!(Command::new("kill").arg(child.id().to_string()).status().unwrap().success());
    hear("STOPPING=1");
    assert!(child.wait().unwrap().success());
    let first = |what: &str| heard.lines().position(|line| line.starts_with(what)).unwrap();
    assert!(first("READY=1") < first("STATUS=running") && first("STATUS=running") < first("STOPPING=1"), "{heard}");
}
