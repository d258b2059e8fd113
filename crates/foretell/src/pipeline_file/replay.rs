//! The pipeline that reads a pipeline's own dead letters: the same file with another source and another name.

use serde_json::Value;

use super::node::{Data, Entry, Node};

/// Where the records come from instead: a topic, or files.
const KIND: &str = "kafka";
const FILES: &str = "file";
const TABLE: &str = "sql";

fn text_of(node: &Node) -> Option<&str> {
    match &node.data {
        Data::Scalar(Value::String(text)) => Some(text),
        _ => None,
    }
}

/// Whether letters are in whole files of JSON Lines.
fn is_read_again(letters: &Node) -> bool {
    let text = |key: &str| letters.get(key).and_then(text_of);
    let path = text("path").unwrap_or_default().trim_end_matches('/').to_ascii_lowercase();
    let format = text("format")
        .map_or_else(|| path.ends_with(".jsonl") || path.ends_with(".ndjson"), |format| format == "jsonl");
    format && text("mode") != Some("append")
}

/// What the pipeline is called, so that its positions are its own.
fn name(of: &str) -> String {
    format!("{of}.dead_letters")
}

/// Makes of a file's tree the one that reads its dead letters, all that are there, and ends.
///
/// # Errors
/// There are none, or they are not where they can be read again.
pub(super) fn replay(tree: &mut Node) -> Result<(), (Vec<&'static str>, String, String)> {
    let Some(letters) = tree.get("dead_letters") else {
        let remedy = "without them bad records are counted and logged, and not kept";
        return Err((vec![], "the pipeline has no `dead_letters`".to_string(), remedy.to_string()));
    };
    let line = tree.get("source").map_or(1, |source| source.line);
    let scalar = |text: &str| Node { line, data: Data::Scalar(Value::from(text)), reference: None };
    let (kind, settings) = match (letters.get(KIND), letters.get(FILES)) {
        (Some(letters), _) => {
            let source = tree.get("source").and_then(|source| source.get(KIND));
            let mut settings: Vec<Entry> = Vec::new();
            for key in ["brokers", "security", "options", "topic"] {
                // As a sink inherits them from the source.
                let own = letters.get(key).or_else(|| source.filter(|_| key != "topic" && key != "options")?.get(key));
                settings.extend(own.map(|node| Entry { key: key.to_string(), line: node.line, node: node.clone() }));
            }
            settings.push(Entry { key: "start".to_string(), line, node: scalar("earliest") });
            (KIND, settings)
        }
        (None, Some(letters)) => {
            let path = letters.get("path").filter(|_| is_read_again(letters)).cloned();
            let key = tree.get("decode").and_then(|decode| decode.entries().first()?.node.get("key"));
            let bytes = key.and_then(text_of).is_some_and(|key| !["utf8", "int64"].contains(&key));
            let (Some(path), false) = (path, bytes) else {
                let message = match bytes {
                    true => {
                        "keys that are bytes are not read again from files of JSON, which do not keep them as they were"
                    }
                    false => {
                        "dead letters are read again from a Kafka topic, or from files of JSON Lines, one for each batch"
                    }
                };
                let remedy = "`dead_letters: { kafka: { topic: NAME } }`, or `file: { path: FOLDER, format: jsonl }` for \
                              what is still to come";
                return Err((vec!["dead_letters"], message.to_string(), remedy.to_string()));
            };
            if tree.get("decode").is_none() {
                let remedy = "write the `decode` that `foretell check` tells";
                return Err((vec![], "what letters hold is not found out from them".to_string(), remedy.to_string()));
            }
            let entry = |key: &str, node: Node| Entry { key: key.to_string(), line: node.line, node };
            let mut settings = vec![entry("path", path), entry("format", scalar("jsonl"))];
            settings.extend(letters.get("s3").cloned().map(|s3| entry("s3", s3)));
            (FILES, settings)
        }
        (None, None) => {
            let Some(letters) = letters.get(TABLE) else {
                let message = "dead letters are read again from a Kafka topic, files or a table".to_string();
                let remedy = "keep those that are to come in one of these";
                return Err((vec!["dead_letters"], message, remedy.to_string()));
            };
            if tree.get("decode").is_none() {
                let remedy = "write the `decode` that `foretell check` tells";
                return Err((vec![], "what letters hold is not found out from them".to_string(), remedy.to_string()));
            }
            let entry = |key: &str, node: &Node| Entry { key: key.to_string(), line: node.line, node: node.clone() };
            let own = ["url", "table"].into_iter().filter_map(|key| Some(entry(key, letters.get(key)?)));
            (TABLE, own.chain(tree.get("timezone").map(|zone| entry("timezone", zone))).collect())
        }
    };
    let map = |entries| Node { line, data: Data::Map(entries), reference: None };
    let source = map(vec![Entry { key: kind.to_string(), line, node: map(settings) }]);
    let Data::Map(entries) = &mut tree.data else { return Ok(()) };
    for entry in entries.iter_mut() {
        match entry.key.as_str() {
            "source" => entry.node = source.clone(),
            "pipeline" => {
                if let Data::Scalar(Value::String(text)) = &mut entry.node.data {
                    *text = name(text);
                }
            }
            _ => {}
        }
    }
    // Of the trigger only its limits stay: what is there now is read, and then it ends.
    let limits = entries.iter().find(|entry| entry.key == "trigger").map(|trigger| trigger.node.entries().to_vec());
    let mut trigger = vec![Entry { key: "mode".to_string(), line, node: scalar("available_now") }];
    trigger.extend(limits.into_iter().flatten().filter(|entry| entry.key.starts_with("max_")));
    entries.retain(|entry| entry.key != "trigger" && entry.key != "http");
    entries.push(Entry { key: "trigger".to_string(), line, node: map(trigger) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dead_letters_become_the_source() {
        let text = "pipeline: mri\nsource: { kafka: { brokers: b, topic: in, group: g, security: { tls: {} } } }\n\
                    query: SELECT 1\nsinks: {}\ndead_letters: { kafka: { topic: bad } }\ntrigger: { every: 3s, max_rows: 5 }\n\
                    http: {}\n";
        let mut tree = Node::parse(text).unwrap();
        replay(&mut tree).unwrap();
        assert_eq!(
            tree.to_json().to_string(),
            r#"{"pipeline":"mri.dead_letters","source":{"kafka":{"brokers":"b","security":{"tls":{}},"topic":"bad","start":"earliest"}},"query":"SELECT 1","sinks":{},"dead_letters":{"kafka":{"topic":"bad"}},"trigger":{"mode":"available_now","max_rows":5}}"#
        );
    }

    #[test]
    fn what_is_not_in_a_topic_is_not_read() {
        let error = |text: &str| replay(&mut Node::parse(text).unwrap()).unwrap_err().1;
        assert!(error("pipeline: p\n").contains("no `dead_letters`"));
        for letters in ["file: { path: bad, format: csv }", "file: { path: bad.jsonl, mode: append }"] {
            let text = format!("pipeline: p\ndead_letters: {{ {letters} }}\ndecode: {{ csv: {{ columns: [x] }} }}\n");
            assert!(error(&text).contains("from a Kafka topic"), "{letters}");
        }
        let keys = "pipeline: p\ndead_letters: { file: { path: bad.jsonl } }\ndecode: { csv: { key: binary, columns: [x] } }\n";
        assert!(error(keys).contains("keys that are bytes"));
    }

    #[test]
    fn letters_in_a_table_become_the_source() {
        let text = "pipeline: mri\nsource: { kafka: { brokers: b, topic: in } }\ndecode: { csv: { columns: [x] } }\n\
                    timezone: Asia/Shanghai\ndead_letters: { sql: { url: \"sqlite://b\", table: bad, create: true } }\n";
        let mut tree = Node::parse(text).unwrap();
        replay(&mut tree).unwrap();
        let expected = r#"{"sql":{"url":"sqlite://b","table":"bad","timezone":"Asia/Shanghai"}}"#;
        assert_eq!(tree.to_json()["source"].to_string(), expected);
    }

    #[test]
    fn letters_in_files_become_the_source() {
        let text = "pipeline: mri\nsource: { kafka: { brokers: b, topic: in } }\ndecode: { csv: { columns: [x] } }\n\
                    dead_letters: { file: { path: bad/, format: jsonl } }\n";
        let mut tree = Node::parse(text).unwrap();
        replay(&mut tree).unwrap();
        assert_eq!(tree.to_json()["source"].to_string(), r#"{"file":{"path":"bad/","format":"jsonl"}}"#);
    }
}
