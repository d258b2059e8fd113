//! Which files a path, a folder or a glob means.

#![allow(clippy::arithmetic_side_effects, reason = "counts of folders")]

use foretell_flow::StageError;
use glob::{MatchOptions, Pattern};

use foretell_connect::storage::{Error, ErrorKind, Reading, Stat};

/// A glob that lists more folders than this is taken for a mistake.
const MOST_FOLDERS: usize = 100_000;

const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Whether a part of a path is a pattern.
fn wild(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// What Hadoop's tools and Spark pass over, too: markers, and files that are still being written.
fn hidden(name: &str) -> bool {
    name.starts_with(['_', '.']) || name.ends_with("._COPYING_")
}

/// The files, by path.
///
/// # Errors
/// A path or folder that is not there; a pattern that does not read.
pub(super) async fn find(storage: &dyn Reading, path: &str) -> Result<Vec<(String, Stat)>, StageError> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let fixed = parts.iter().take_while(|part| !wild(part)).count();
    let folder = format!("/{}", parts.get(..fixed).unwrap_or_default().join("/"));
    let Some(stat) = storage.stat(&folder).await? else {
        let url = storage.url(&folder);
        let what = if fixed == parts.len() { "no such file or folder" } else { "no such folder" };
        return Err(StageError::settings(format!("{url}: {what}")));
    };
    let mut files = Vec::new();
    if fixed == parts.len() && !stat.folder {
        files.push((folder, stat));
        return Ok(files);
    }
    let mut patterns = Vec::new();
    for part in parts.iter().skip(fixed) {
        patterns
            .push(Pattern::new(part).map_err(|error| {
                StageError::settings(format!("`{path}` is not a pattern: `{part}`: {}", error.msg))
            })?);
    }
    // A folder means the files in it.
    if patterns.is_empty() {
        patterns.push(Pattern::new("*").expect("a star is a pattern"));
    }
    let mut open = vec![(folder, &patterns[..])];
    let mut listed = 0;
    while let Some((folder, patterns)) = open.pop() {
        let Some((pattern, rest)) = patterns.split_first() else { continue };
        listed += 1;
        if listed > MOST_FOLDERS {
            return Err(StageError::settings(format!("`{path}` means more than {MOST_FOLDERS} folders")));
        }
        let any_depth = pattern.as_str() == "**";
        if any_depth && !rest.is_empty() {
            open.push((folder.clone(), rest));
        }
        let entries = match storage.list(&folder).await {
            Ok(entries) => entries,
            // It went while we looked.
            Err(Error { kind: ErrorKind::Missing, .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        for entry in entries.into_iter().filter(|entry| !hidden(&entry.name)) {
            let below = format!("{}/{}", folder.trim_end_matches('/'), entry.name);
            if any_depth {
                match entry.stat.folder {
                    true => open.push((below, patterns)),
                    false if rest.is_empty() => files.push((below, entry.stat)),
                    false => {}
                }
            } else if pattern.matches_with(&entry.name, OPTIONS) {
                match (entry.stat.folder, rest.is_empty()) {
                    (true, false) => open.push((below, rest)),
                    (false, true) => files.push((below, entry.stat)),
                    _ => {}
                }
            }
        }
    }
    // An empty file is one that is about to be written, or has nothing to say.
    files.retain(|(_, stat)| stat.length > 0);
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files.dedup_by(|a, b| a.0 == b.0);
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foretell_connect::storage::Local;

    #[tokio::test]
    async fn files_folders_and_globs() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        for name in ["a.csv", "b.csv", "c.txt", "_SUCCESS", ".hidden.csv", "x._COPYING_", "sub/d.csv", "sub/deep/e.csv"]
        {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "1\n").unwrap();
        }
        std::fs::write(folder.path().join("empty.csv"), "").unwrap();
        let cases = [
            ("a.csv", "a.csv"),
            ("", "a.csv b.csv c.txt"),
            ("*.csv", "a.csv b.csv"),
            ("[bc].*", "b.csv c.txt"),
            ("*/*.csv", "sub/d.csv"),
            ("**/*.csv", "a.csv b.csv sub/d.csv sub/deep/e.csv"),
            ("**", "a.csv b.csv c.txt sub/d.csv sub/deep/e.csv"),
            ("s?b/**/e.csv", "sub/deep/e.csv"),
            ("*.parquet", ""),
        ];
        for (pattern, expected) in cases {
            let found = find(&Local, &format!("{root}/{pattern}")).await.unwrap();
            let names: Vec<&str> = found.iter().map(|(path, _)| path.strip_prefix(root).unwrap()).collect();
            assert_eq!(
                names.join(" ").replace('/', "").replace("sub", "sub/").replace("deep", "deep/"),
                expected,
                "{pattern}"
            );
        }
        for (missing, what) in
            [("no.csv", "no such file or folder"), ("no/*.csv", "no such folder"), ("[", "not a pattern")]
        {
            let error = find(&Local, &format!("{root}/{missing}")).await.unwrap_err();
            assert!(error.message.contains(what), "{error}");
        }
    }
}
