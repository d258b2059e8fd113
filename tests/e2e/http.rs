//! What Prometheus and an orchestrator see of a pipeline whose database goes away and comes back.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::harness::database::Database;
use crate::harness::foretell::Running;
use crate::harness::forwarder::{Forwarder, authority};
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, landed};
use crate::harness::{root, until};

/// Status and body.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
}

fn address(running: &Running) -> String {
    let mut found = String::new();
    until("the address in the log", || {
        let log = running.log();
        let line = log.lines().find_map(|line| line.split_once("address="));
        found = line.map_or(String::new(), |(_, rest)| rest.split_whitespace().next().unwrap().to_string());
        !found.is_empty()
    });
    found
}

/// Runs promtool, which must find nothing wrong; `input` goes to its standard input.
fn promtool(args: &[&str], input: &str) {
    let tool = Command::new("promtool")
        .args(args)
        .current_dir(root().join("docs/operate"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut tool = tool.expect("promtool is missing: `dev/install` installs it");
    tool.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = tool.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {args:?}: {said}");
}

/// A Prometheus that scrapes one address every second.
struct Prometheus {
    child: Child,
    address: String,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn start(target: &str) -> Prometheus {
        let folder = tempfile::tempdir().unwrap();
        let rules = root().join("docs/operate/alerts.yml").display().to_string();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: [\"{rules}\"]\n\
             scrape_configs:\n  - job_name: foretell\n    static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        std::fs::write(folder.path().join("prometheus.yml"), config).unwrap();
        // A port that is free now; nobody else takes it in between, or Prometheus says so and the test fails.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"))
            .current_dir(folder.path())
            .stderr(log)
            .spawn()
            .expect("prometheus is missing: `dev/install` installs it");
        let mut prometheus = Prometheus { child, address, _folder: folder };
        until("Prometheus answers", || {
            assert!(prometheus.child.try_wait().unwrap().is_none(), "Prometheus has ended");
            TcpStream::connect(&prometheus.address).is_ok()
        });
        prometheus
    }

    /// The values that a query gives.
    fn values(&self, query: &str) -> Vec<f64> {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02x}")).collect();
        let (_, body) = get(&self.address, &format!("/api/v1/query?query={encoded}"));
        let answer: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
        let results = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        results.iter().map(|result| result["value"][1].as_str().unwrap().parse().unwrap()).collect()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn an_outage_is_seen_while_it_lasts_and_no_longer() {
    let url = Database::MariaDb.url();
    let forwarder = Forwarder::new(authority(&url));
    let text = format!("{SHARED}http: {{ listen: \"127.0.0.1:0\" }}\n");
    let mut sandbox = Sandbox::ready("http", &text);
    sandbox.env.iter_mut().filter(|(name, _)| name == "MARIADB_URL").for_each(|(_, url)| *url = forwarder.url(url));
    let running = sandbox.start(&["run", "--workers", "2"]);
    let address = address(&running);
    until("ready", || get(&address, "/readyz") == (200, "ok\n".to_string()));
    sandbox.orders(0..100);
    until("100 rows", || landed(&sandbox) == 100);

    let prometheus = Prometheus::start(&address);
    let of = |metric: &str| format!("sum({metric}{{pipeline=\"{}\"}})", sandbox.id);
    until("Prometheus has the records", || prometheus.values(&of("foretell_records_total")) == [100.0]);
    until("three partitions without a lag", || {
        prometheus.values(&of("foretell_lag_records")) == [0.0]
            && prometheus.values(&format!("count(foretell_lag_records{{pipeline=\"{}\"}})", sandbox.id)) == [3.0]
    });
    let positions = format!("sum(foretell_sink_position{{pipeline=\"{}\",sink=\"db\"}})", sandbox.id);
    until("the positions of the table", || prometheus.values(&positions) == [100.0]);
    promtool(&["check", "metrics"], &get(&address, "/metrics").1);
    promtool(&["check", "rules", "alerts.yml"], "");
    promtool(&["test", "rules", "alerts-test.yml"], "");

    forwarder.cut();
    sandbox.orders(100..150);
    until("not ready, with the reason", || {
        let (status, body) = get(&address, "/readyz");
        status == 503 && body.contains("sink `db`: ")
    });
    assert_eq!(get(&address, "/livez"), (200, "ok\n".to_string()), "a new process would not reach it either");
    let up = format!("min(foretell_sink_up{{pipeline=\"{}\",sink=\"db\"}})", sandbox.id);
    until("Prometheus sees the sink down", || prometheus.values(&up) == [0.0]);
    let pending = format!("ALERTS{{alertname=\"ForetellSinkAway\",pipeline=\"{}\"}}", sandbox.id);
    until("the alert is pending", || prometheus.values(&pending) == [1.0]);

    forwarder.mend();
    until("150 rows", || landed(&sandbox) == 150);
    until("ready again", || get(&address, "/readyz") == (200, "ok\n".to_string()));
    until("Prometheus sees the sink up", || prometheus.values(&up) == [1.0]);
    until("no alert", || prometheus.values(&pending).is_empty());
    running.terminate();
    running.ended(std::time::Duration::from_secs(60)).well();
}
