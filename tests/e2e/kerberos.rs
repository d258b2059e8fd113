//! HDFS and Kafka that let nobody in without a ticket: `dev/services up kdc secure_name secure_data secure_kafka`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::Value;

use crate::harness::sandbox::Sandbox;
use crate::harness::{hdfs, service, until, wait};

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

/// The numbers `a` of the lines of all files at a path.
fn numbers(path: &Path) -> Vec<i64> {
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
    drop_in(&sandbox, 1);
    // Without a ticket.
    sandbox.pipeline(&there);
    with_keytab(&mut sandbox, "/no/such/keytab");
    let refused = sandbox.run(&["check"]);
    assert!(refused.code != Some(0) && refused.err.contains("set KRB5_CLIENT_KTNAME to a keytab"), "{}", refused.err);
    // Its tickets last for 15 s, and each connection has to show one anew after 3 s.
    with_keytab(&mut sandbox, &service("FORETELL_BRIEF_KEYTAB"));
    let writer = sandbox.start(&["run"]);
    until("the first record's ticket is there", || listed(&sandbox).contains("kafka/localhost"));
    sandbox.pipeline(&back);
    let reader = sandbox.start(&["run"]);
    let out = sandbox.dir.path().join("out");
    until("the first record is through", || numbers(&out) == [1]);
    let first = listed(&sandbox);
    let expiries = |listed: &str| -> BTreeSet<String> {
        listed.lines().filter(|line| line.contains("krbtgt")).map(str::to_string).collect()
    };
    until("there is a new ticket", || {
        !expiries(&listed(&sandbox)).is_empty() && expiries(&listed(&sandbox)) != expiries(&first)
    });
    drop_in(&sandbox, 2);
    until("the second record is through", || numbers(&out) == [1, 2]);
    let second = listed(&sandbox);
    until("and another one", || {
        !expiries(&listed(&sandbox)).is_empty() && expiries(&listed(&sandbox)) != expiries(&second)
    });
    drop_in(&sandbox, 3);
    until("the third record is through", || numbers(&out) == [1, 2, 3]);
    for running in [writer, reader] {
        running.terminate();
        running.ended(Duration::from_secs(15)).well();
    }
}

#[test]
#[ignore = "needs a key distribution centre and a NameNode of its own"]
fn hdfs_with_kerberos_is_read_and_written_with_a_keytab() {
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
