//! `http:` from the outside: what Prometheus, an orchestrator and a browser get of a running pipeline.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use foretell_http::{METRICS, MetricKind};
use serde_json::Value;

use crate::program::{bad, fixture};

/// A file that grows is read as it grows; the model refuses what it does not know.
const PIPELINE: &str = "\
pipeline: watched
source: { file: { path: in/ } }
decode: { csv: { columns: [{ cc: utf8? }, { x: float64 }] } }
models: { countries: { file: MODEL, shadow: next, drift: { first: 100, window: 100 } }, next: { file: MODEL } }
query: SELECT x, countries(*) AS p FROM records
sinks: { out: { file: { path: out/, format: jsonl } } }
dead_letters: { file: { path: bad/, format: jsonl } }
trigger: continuous
http: { listen: \"127.0.0.1:0\" }
";

/// A run that serves, and what it logs.
struct Served {
    child: Child,
    address: String,
    log: Receiver<String>,
}

impl Served {
    fn start(folder: &Path) -> Served {
        let mut child = Command::new(env!("CARGO_BIN_EXE_foretell"))
            .args(["run", "p.yaml", "--workers", "1"])
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, log) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
        let mut told = Vec::new();
        let address = loop {
            let line = log.recv_timeout(Duration::from_secs(120)).unwrap_or_else(|_| panic!("no address: {told:?}"));
            match line.split_once("address=") {
                Some((_, rest)) => break rest.split_whitespace().next().unwrap().to_string(),
                None => told.push(line),
            }
        };
        Served { child, address, log }
    }

    /// The status, the head in lower case, and the body.
    fn get(&self, path: &str, accept: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), body.to_string())
    }

    fn body(&self, path: &str) -> String {
        let (status, _, body) = self.get(path, "*/*");
        assert_eq!(status, 200, "{path}: {body}");
        body
    }

    /// Asks until the answer holds; panics with the last one after two minutes.
    fn until(&self, path: &str, holds: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + Duration::from_secs(120);
        loop {
            let (_, _, body) = self.get(path, "*/*");
            if holds(&body) {
                return body;
            }
            assert!(Instant::now() < deadline, "{path}: {body}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Told to stop, it ends well.
    fn stop(mut self) -> Vec<String> {
        let process = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        self.log.iter().collect()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

fn folder(pipeline: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("in")).unwrap();
    let model = fixture("containers/countries.pickle");
    std::fs::write(folder.path().join("p.yaml"), pipeline.replace("MODEL", &format!("\"{model}\""))).unwrap();
    folder
}

/// The value of the one sample that begins like this.
fn value(page: &str, sample: &str) -> f64 {
    let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(sample)).collect();
    assert_eq!(lines.len(), 1, "{sample}: {lines:?}");
    lines[0].rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_running_pipeline_is_seen_by_prometheus_by_an_orchestrator_and_in_a_browser() {
    let folder = folder(PIPELINE);
    std::fs::write(folder.path().join("in/a.csv"), "cc,x\nDE,1\nFR,2\nDE,4711a\nDE,\nFR,3\n").unwrap();
    let served = Served::start(folder.path());
    let page = served.until("/metrics", |page| page.contains("\nforetell_records_total{pipeline=\"watched\"} 5\n"));

    // Counts and reasons, and no value of a record.
    let bad = |page: &str| {
        let lines = page.lines().filter(|line| line.starts_with("foretell_bad_records_total{"));
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum::<u64>()
    };
    assert_eq!(bad(&page), 2, "{page}");
    assert!(page.contains("stage=\"decode") && !page.contains("4711"), "{page}");
    let labels = "{pipeline=\"watched\",sink=\"out\"";
    served.until("/metrics", |page| page.contains(&format!("foretell_sink_waiting_records{labels}}} 0")));
    let page = served.until("/metrics", |page| page.contains("\nforetell_lag_records{"));
    assert_eq!(value(&page, &format!("foretell_sink_up{labels}")), 1.0);
    assert_eq!(value(&page, &format!("foretell_rejected_rows_total{labels}")), 0.0);
    assert!(value(&page, &format!("foretell_sink_last_commit_timestamp_seconds{labels}")) > 1.7e9);
    assert!(value(&page, &format!("foretell_sink_write_duration_seconds_count{labels}")) >= 1.0);
    assert!(value(&page, "foretell_stage_duration_seconds_count{pipeline=\"watched\",stage=\"query\"") >= 1.0);
    assert!(value(&page, "foretell_batch_duration_seconds_bucket{pipeline=\"watched\",le=\"+Inf\"") >= 1.0);
    assert_eq!(value(&page, "foretell_worker_claimed{"), 1.0);
    let model = page.lines().find(|line| line.starts_with("foretell_model_info{")).unwrap();
    let sha256 = model.split("sha256=\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(model.contains("model=\"countries\"") && sha256.len() == 64, "{model}");

    // A challenger, and the baseline with a full window behind it.
    std::fs::write(folder.path().join("in/b.csv"), "cc,x\n".to_string() + &"DE,1\nFR,2\n".repeat(150)).unwrap();
    let page = served.until("/metrics", |page| page.contains("foretell_drift_alarm{"));
    let compared =
        "foretell_shadow_rows_total{pipeline=\"watched\",model=\"countries\",shadow=\"next\",outcome=\"same\"}";
    let page = match page.contains(&format!("{compared} 303")) {
        true => page,
        false => served.until("/metrics", |page| page.contains(&format!("{compared} 303"))),
    };
    let drift = "foretell_drift_psi{pipeline=\"watched\",model=\"countries\",column=\"prediction\"}";
    assert!(value(&page, drift) < 0.1, "{page}");

    served.until("/metrics", |page| page.contains("\nforetell_records_total{pipeline=\"watched\"} 305\n"));

    // Every metric of the list is there, and no other.
    let families: BTreeSet<&str> =
        page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    // The system tells of processes where it has `/proc`.
    let told =
        |name: &String| cfg!(target_os = "linux") || !name.starts_with("process_") || name.contains("start_time");
    let listed: BTreeSet<String> = METRICS.iter().map(|metric| metric.exposed()).filter(told).collect();
    assert_eq!(families, listed.iter().map(String::as_str).collect());

    // Either text, by what the scraper accepts.
    let (_, head, prometheus) = served.get("/metrics", "text/plain;version=0.0.4");
    assert!(head.contains("content-type: text/plain; version=0.0.4") && !prometheus.contains("# EOF"), "{head}");
    let (_, head, open) = served.get("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5");
    assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"), "{head}");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE foretell_records counter\n"), "{open}");

    assert_eq!(served.body("/livez"), "ok\n");
    assert_eq!(served.until("/readyz", |body| body == "ok\n"), "ok\n");
    let status: Value = serde_json::from_str(&served.body("/status")).unwrap();
    assert_eq!(
        (&status["pipeline"], &status["records"], &status["bad_records"]),
        (&Value::from("watched"), &Value::from(305), &Value::from(2))
    );
    let place = status["recent"][0]["place"].as_str().unwrap();
    assert!(place.contains("a.csv line "), "{status}");
    assert!(!status.to_string().contains("4711"), "{status}");
    let html = served.body("/");
    assert!(html.starts_with("<!doctype html>") && !html.contains("http://") && !html.contains("https://"));
    let (status, _, body) = served.get("/predict", "*/*");
    assert_eq!(status, 404, "{body}");
    assert!(body.contains("/metrics"), "{body}");

    let log = served.stop();
    assert!(log.iter().any(|line| line.contains("ended")), "{log:?}");
}

#[test]
fn an_address_that_is_taken_is_told_with_its_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = folder(&PIPELINE.replace("127.0.0.1:0", &address));
    let pipeline = folder.path().join("p.yaml").display().to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_foretell")).args(["run", &pipeline]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.contains(&format!("p.yaml:9: http.listen: cannot listen on {address}: ")), "{error}");

    let pipeline = folder.path().join("q.yaml");
    let yaml = PIPELINE.replace("MODEL", &fixture("containers/countries.pickle"));
    std::fs::write(&pipeline, yaml.replace("127.0.0.1:0", "localhost")).unwrap();
    let error = bad(&["check", pipeline.to_str().unwrap()]);
    assert!(error.contains("q.yaml:9: http.listen: "), "{error}");
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let mut names = BTreeSet::new();
    for metric in METRICS {
        let name = metric.name;
        assert!(names.insert(name), "{name} is there twice");
        assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
        assert!(name.starts_with("foretell_") || name.starts_with("process_"), "{name}");
        assert!(!metric.help.is_empty() && !metric.help.ends_with('.'), "{name}: {}", metric.help);
        if metric.kind == MetricKind::Histogram {
            assert!(name.ends_with("_seconds"), "{name}");
        }
        assert!(!name.ends_with("_total") && !name.contains("_ms"), "{name}");
        assert!(!metric.labels.contains(&"pipeline") && !metric.labels.contains(&"le"), "{name}");
    }
    assert!(names.len() > 15, "{}", names.len());
}
