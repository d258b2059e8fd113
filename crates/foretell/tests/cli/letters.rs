//! Dead letters in files and tables come back: listed by reason, and stored exactly once after the pipeline was mended.

use std::path::Path;

use crate::program::{bad, foretell, good, text};

const PIPELINE: &str = "\
pipeline: p
source: { file: { path: in.csv } }
decode: { csv: { columns: [name: utf8, x: int64] } }
query: SELECT name, 100 / (x - 7) AS y FROM records
sinks: { out: { file: { path: out/, format: csv, header: false } } }
dead_letters: { file: { path: bad/, format: jsonl } }
trigger: available_now
";

fn rows(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    let mut rows: Vec<String> = files
        .flat_map(|path| std::fs::read_to_string(path).unwrap().lines().map(str::to_string).collect::<Vec<_>>())
        .collect();
    rows.sort();
    rows
}

#[test]
fn letters_in_files_are_listed_and_read_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("p.yaml").display().to_string();
    std::fs::write(at("p.yaml"), PIPELINE).unwrap();
    std::fs::write(at("in.csv"), "name,x\na,2\nb,7\nc,12\nd,x\n").unwrap();
    good(&["run", &path]);
    assert_eq!((rows(&at("out")), rows(&at("bad")).len()), (vec!["a,-20".to_string(), "c,20".to_string()], 2));

    let listed = good(&["dead-letters", "list", &path]);
    assert!(listed.starts_with("2 dead letters\n") && listed.contains("division by zero"), "{listed}");
    let shown = good(&["dead-letters", "replay", &path, "--console"]);
    assert!(!shown.contains("| b "), "it is still bad: {shown}");

    // The query is mended, and one of the two is not: it goes into a file of its own, and waits for the next replay.
    std::fs::write(at("p.yaml"), PIPELINE.replace("100 / (x - 7)", "x")).unwrap();
    std::fs::remove_dir_all(at("out")).unwrap();
    good(&["dead-letters", "replay", &path]);
    assert_eq!((rows(&at("out")), rows(&at("bad")).len()), (vec!["b,7".to_string()], 3));
    let again = foretell(&["dead-letters", "replay", &path]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
    assert_eq!(rows(&at("out")), ["b,7"], "what was stored is not stored again");
    let letters = rows(&at("bad"));
    assert_eq!(letters.len(), 4);
    assert!(
        letters.iter().any(|letter| letter.contains("__connect.errors.topic")),
        "its old place is kept: {letters:?}"
    );

    for (letters, told) in [
        ("{ path: bad/, format: csv }", "files of JSON Lines"),
        ("{ path: bad.jsonl, mode: append }", "files of JSON Lines"),
    ] {
        std::fs::write(at("q.yaml"), PIPELINE.replace("{ path: bad/, format: jsonl }", letters)).unwrap();
        let error = bad(&["dead-letters", "list", at("q.yaml").to_str().unwrap()]);
        assert!(error.contains("q.yaml:6: dead_letters: ") && error.contains(told), "{error}");
    }
}

#[test]
fn letters_in_a_table_are_listed_and_read_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("p.yaml").display().to_string();
    let pipeline = PIPELINE.replace(
        "{ file: { path: bad/, format: jsonl } }",
        "{ sql: { url: \"sqlite://bad.db\", table: bad, create: true } }",
    );
    std::fs::write(at("p.yaml"), &pipeline).unwrap();
    let none = bad(&["dead-letters", "list", &path]);
    assert!(none.contains("the file does not exist; there are no dead letters yet"), "{none}");
    std::fs::write(at("in.csv"), b"name,x\na,2\nb,7\nc,12\nd,x\n\xff,7\n").unwrap();
    good(&["run", &path]);
    assert_eq!(rows(&at("out")), ["a,-20", "c,20"]);
    let listed = good(&["dead-letters", "list", &path]);
    assert!(listed.starts_with("3 dead letters\n") && listed.contains("division by zero"), "{listed}");
    let shown = good(&["dead-letters", "replay", &path, "--console"]);
    assert!(!shown.contains("| b "), "it is still bad: {shown}");

    // The query is mended; what is bad again is another letter, and waits for the next replay.
    std::fs::write(at("p.yaml"), pipeline.replace("100 / (x - 7)", "x")).unwrap();
    std::fs::remove_dir_all(at("out")).unwrap();
    good(&["dead-letters", "replay", &path]);
    assert_eq!(rows(&at("out")), ["b,7"]);
    let listed = good(&["dead-letters", "list", &path]);
    assert!(listed.starts_with("5 dead letters\n") && listed.contains("(dead letters)[0] offset"), "{listed}");
    let again = foretell(&["dead-letters", "replay", &path]);
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
    assert_eq!(rows(&at("out")), ["b,7"], "what was stored is not stored again");
    assert!(good(&["dead-letters", "list", &path]).contains("(dead letters 2)[0] offset"));

    // All of it once more, by a pipeline that takes texts: each value is what it was, byte by byte.
    let texts = pipeline
        .replace("x: int64", "x: utf8")
        .replace("name, 100 / (x - 7) AS y", "name, x, _headers")
        .replace("path: out/", "path: all/");
    std::fs::write(at("p.yaml"), texts.replace("pipeline: p", "pipeline: q")).unwrap();
    let lines = good(&["dead-letters", "replay", &path, "--console"]);
    assert!(lines.contains("| d ") && lines.contains("| b "), "{lines}");
}
