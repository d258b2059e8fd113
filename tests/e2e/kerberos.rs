//! HDFS and Kafka that let nobody in without a ticket: `dev/services up kdc secure_name secure_data secure_kafka`.

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::harness::sandbox::Sandbox;
use crate::harness::{foretell, hdfs, root, service, until, wait};

/// One test at a time: one of them restarts the NameNode.
static NAMENODE: Mutex<()> = Mutex::new(());

/// From now on tickets are those of a keytab; they lie in the sandbox.
fn with_keytab(sandbox: &mut Sandbox, keytab: &str) {
    sandbox.env.retain(|(name, _)| !name.starts_with("KRB5"));
    sandbox.env.push(("KRB5_CONFIG".into(), service("FORETELL_KRB5_CONFIG")));
    sandbox.env.push(("KRB5CCNAME".into(), format!("FILE:{}", tickets(sandbox).display())));
    sandbox.env.push(("KRB5_CLIENT_KTNAME".into(), format!("FILE:{keytab}")));
}

fn tickets(sandbox: &Sandbox) -> std::path::PathBuf {
    sandbox.dir.path().join("tickets")
}

/// Whether there is a ticket that has not ended.
fn good(tickets: &Path) -> bool {
    Command::new("klist").arg("-s").arg(tickets).status().unwrap().success()
}

/// What `klist` says of the tickets there are.
fn listed(sandbox: &Sandbox) -> String {
    let listed = Command::new("klist").arg(tickets(sandbox)).output().unwrap();
    String::from_utf8(listed.stdout).unwrap()
}

fn topic(name: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", service("FORETELL_SECURE_KAFKA_OPEN"));
    let admin: AdminClient<DefaultClientContext> = config.create().unwrap();
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(20)));
    for outcome in wait(admin.create_topics([&NewTopic::new(name, 3, TopicReplication::Fixed(1))], &options)).unwrap() {
        outcome.unwrap();
    }
}

/// The numbers `a` of the lines of all files at a path, where there is something.
fn numbers(path: &Path) -> Vec<i64> {
    if !path.exists() {
        return Vec::new();
    }
    let files = hdfs::local(path);
    let lines =
        files.iter().flat_map(|(_, content)| content.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty());
    let mut numbers: Vec<i64> =
        lines.map(|line| serde_json::from_slice::<Value>(line).unwrap()["a"].as_i64().unwrap()).collect();
    numbers.sort();
    numbers
}

/// Writes a file into the folder that a pipeline watches, as a whole.
fn drop_in(sandbox: &Sandbox, number: i64) {
    let (folder, hidden) = (sandbox.dir.path().join("in"), sandbox.dir.path().join("hidden"));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(&hidden, format!("a\n{number}\n")).unwrap();
    std::fs::rename(hidden, folder.join(format!("{number}.csv"))).unwrap();
}

/// One pipeline hands numbers on to another one, with tickets that last for 15 s, until they have ended twice and the
/// connections that they opened have been cut.
fn renewed(mut sandbox: Sandbox, there: &str, back: &str, cut: impl Fn()) {
    with_keytab(&mut sandbox, &service("FORETELL_BRIEF_KEYTAB"));
    drop_in(&sandbox, 1);
    sandbox.pipeline(there);
    let writer = sandbox.start(&["run"]);
    until("the writer has a ticket", || good(&tickets(&sandbox)));
    let out = sandbox.dir.path().join("out");
    // The reader's file is another one.
    let text = sandbox.text(back);
    std::fs::write(sandbox.dir.path().join("back.yaml"), text).unwrap();
    let file = sandbox.dir.path().join("back.yaml").display().to_string();
    until("there is something to read", || foretell::run(&["check", &file], &sandbox.env).code == Some(0));
    let reader = foretell::start(&["run", &file], &sandbox.env);
    until("the first record is through", || numbers(&out) == [1]);
    // By when the tickets that there were have ended, both have new ones.
    for (number, through) in [(2, vec![1, 2]), (3, vec![1, 2, 3])] {
        let kept = sandbox.dir.path().join("kept");
        std::fs::copy(tickets(&sandbox), &kept).unwrap();
        until("the tickets have ended", || !good(&kept));
        cut();
        drop_in(&sandbox, number);
        until("the next record is through", || numbers(&out) == through);
        assert!(good(&tickets(&sandbox)), "{}", listed(&sandbox));
    }
    for running in [writer, reader] {
        running.terminate();
        running.ended(Duration::from_secs(15)).well();
    }
}

const SECURE: &str = "brokers: \"BROKERS\", security: { sasl: { mechanism: GSSAPI } }";

fn secure(text: &str) -> String {
    text.replace("SECURE", SECURE).replace("BROKERS", &service("FORETELL_SECURE_KAFKA"))
}

#[test]
#[ignore = "needs a key distribution centre and a broker of its own"]
fn kafka_with_kerberos_is_read_and_written_and_tickets_are_renewed() {
    let there = secure(
        "
pipeline: there_${id}
source: { file: { path: in } }
sinks: { out: { kafka: { SECURE, topic: in_${id} } } }
decode: { csv: { columns: [a: int64] } }
query: SELECT a FROM records
trigger: { every: 100ms }
",
    );
    let back = secure(
        "
pipeline: back_${id}
source: { kafka: { SECURE, topic: in_${id} } }
sinks: { out: { file: { path: out, format: jsonl } } }
decode: { json: { columns: [a: int64] } }
query: SELECT a FROM records
trigger: { every: 100ms }
",
    );
    let mut sandbox = Sandbox::new("kerberos");
    topic(&sandbox.name("in"));
    // Without a ticket.
    std::fs::create_dir(sandbox.dir.path().join("in")).unwrap();
    sandbox.pipeline(&there);
    with_keytab(&mut sandbox, "/no/such/keytab");
    let refused = sandbox.run(&["check"]);
    assert!(refused.code != Some(0) && refused.err.contains("set KRB5_CLIENT_KTNAME to a keytab"), "{}", refused.err);
    // The broker asks each connection for a ticket anew every 3 s.
    renewed(sandbox, &there, &back, || ());
}

#[test]
#[ignore = "needs a key distribution centre and a NameNode of its own"]
fn hdfs_with_kerberos_is_read_and_written_with_a_keytab() {
    let _alone = NAMENODE.lock().unwrap_or_else(PoisonError::into_inner);
    let text = "
pipeline: ${id}
source: { file: { path: in.csv } }
sinks: { out: { file: { path: \"SECURE/foretell/${id}/out\", format: jsonl } } }
decode: { csv: { columns: [a: int64] } }
query: SELECT a FROM records
state: state
trigger: available_now
";
    let place = service("FORETELL_SECURE_HDFS");
    let mut sandbox = Sandbox::new("kerberos");
    std::fs::write(sandbox.dir.path().join("in.csv"), "a\n1\n2\n").unwrap();
    sandbox.pipeline(&text.replace("SECURE", &place));
    with_keytab(&mut sandbox, "/no/such/keytab");
    // Without a word of Kerberos, and then without a ticket.
    let refused = sandbox.run(&["check"]);
    assert!(
        refused.code != Some(0) && refused.err.contains("if it asks for Kerberos, `HADOOP_CONF_DIR`"),
        "{}",
        refused.err
    );
    sandbox.env.push(("HADOOP_CONF_DIR".into(), service("FORETELL_SECURE_HDFS_CONF")));
    let refused = sandbox.run(&["check"]);
    assert!(refused.code != Some(0) && refused.err.contains("KRB5_CLIENT_KTNAME"), "{}", refused.err);
    with_keytab(&mut sandbox, &service("FORETELL_KEYTAB"));
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);

    // And read again, by another pipeline.
    let again = "
pipeline: again_${id}
source: { file: { path: \"SECURE/foretell/${id}/out/*.jsonl\" } }
sinks: { out: { file: { path: again.jsonl } } }
decode: { json: { columns: [a: int64] } }
query: SELECT a FROM records
trigger: available_now
";
    sandbox.pipeline(&again.replace("SECURE", &place));
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(numbers(&sandbox.dir.path().join("again.jsonl")), [1, 2]);
}

#[test]
#[ignore = "needs a key distribution centre and a NameNode of its own"]
fn tickets_for_hdfs_are_renewed() {
    let _alone = NAMENODE.lock().unwrap_or_else(PoisonError::into_inner);
    let place = service("FORETELL_SECURE_HDFS");
    let there = "
pipeline: there_${id}
source: { file: { path: in } }
sinks: { out: { file: { path: \"SECURE/foretell/${id}/out\", format: jsonl } } }
decode: { csv: { columns: [a: int64] } }
query: SELECT a FROM records
state: there
trigger: { every: 100ms }
";
    let back = "
pipeline: back_${id}
source: { file: { path: \"SECURE/foretell/${id}/out\", format: jsonl } }
sinks: { out: { file: { path: out, format: jsonl } } }
decode: { json: { columns: [a: int64] } }
query: SELECT a FROM records
state: back
trigger: { every: 100ms }
";
    let mut sandbox = Sandbox::new("kerberos");
    sandbox.env.push(("HADOOP_CONF_DIR".into(), service("FORETELL_SECURE_HDFS_CONF")));
    renewed(sandbox, &there.replace("SECURE", &place), &back.replace("SECURE", &place), || {
        let services = service("FORETELL_SERVICES_DIR");
        let restart = ["--dir", &services, "restart", "secure_name"];
        assert!(Command::new(root().join("dev/services")).args(restart).status().unwrap().success());
    });
}
