//! Each file in `tests/cases` holds queries and what they give, over the batch of `data.rs` and the models of
//! `models.rs`. `UPDATE_CASES=1` writes what they give now.

use std::fs;
use std::path::Path;

use foretell_query::Query;

use crate::data::{batch, context, input, show, tables};
use crate::models::models;

async fn outcome(sql: &str) -> String {
    let mut query = match Query::prepare(sql, &input(), &models(), tables()).await {
        Ok(query) => query,
        Err(error) => return format!("error: {error}\n"),
    };
    match query.run(&batch(), &context()).await {
        Ok(answer) => show(&query, &answer),
        Err(error) => format!("stops: {error}\n"),
    }
}

#[tokio::test]
async fn cases_give_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut wrong = Vec::new();
    let mut count = 0;
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let mut now = Vec::new();
        for case in text.trim_end().split("\n\n") {
            let (sql, _) = case.split_once("\n----").unwrap_or((case, ""));
            now.push(format!("{sql}\n----\n{}", outcome(sql).await));
            count += 1;
        }
        let now = now.join("\n");
        if std::env::var_os("UPDATE_CASES").is_some() {
            fs::write(file, now).unwrap();
        } else if now != text {
            wrong.push(format!("{}:\n{}", file.display(), difference(&text, &now)));
        }
    }
    assert!(count > 60, "only {count} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn difference(expected: &str, found: &str) -> String {
    let pairs = expected.lines().zip(found.lines()).enumerate();
    let lines = pairs.filter(|(_, (expected, found))| expected != found).take(5);
    let mut text: String =
        lines.map(|(line, (expected, found))| format!("{}:\n  - {expected}\n  + {found}\n", line + 1)).collect();
    if expected.lines().count() != found.lines().count() {
        text.push_str("another number of lines\n");
    }
    text
}
