//! HDFS that lets nobody in without a ticket: `dev/services up kdc secure_name secure_data`.

use serde_json::Value;

use crate::harness::sandbox::Sandbox;
use crate::harness::{hdfs, service};

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
    sandbox.env.push(("KRB5_CONFIG".into(), service("FORETELL_KRB5_CONFIG")));
    let cache = format!("FILE:{}", sandbox.dir.path().join("tickets").display());
    sandbox.env.push(("KRB5CCNAME".into(), cache));
    // Without a word of Kerberos, and then without a ticket.
    let refused = sandbox.run(&["check"]);
    assert!(
        refused.code != Some(0) && refused.err.contains("if it asks for Kerberos, `HADOOP_CONF_DIR`"),
        "{}",
        refused.err
    );
    sandbox.env.push(("HADOOP_CONF_DIR".into(), service("FORETELL_SECURE_HDFS_CONF")));
    sandbox.env.push(("KRB5_CLIENT_KTNAME".into(), "FILE:/no/such/keytab".into()));
    let refused = sandbox.run(&["check"]);
    assert!(refused.code != Some(0) && refused.err.contains("KRB5_CLIENT_KTNAME"), "{}", refused.err);
    sandbox.env.pop();
    sandbox.env.push(("KRB5_CLIENT_KTNAME".into(), format!("FILE:{}", service("FORETELL_KEYTAB"))));
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
    let files = hdfs::local(&sandbox.dir.path().join("again.jsonl"));
    let lines =
        files.iter().flat_map(|(_, content)| content.split(|byte| *byte == b'\n')).filter(|line| !line.is_empty());
    let rows: Vec<Value> = lines.map(|line| serde_json::from_slice(line).unwrap()).collect();
    assert_eq!(rows.len(), 2);
}
