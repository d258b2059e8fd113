//! What an earlier version stored is read for ever: `fixtures/state/N` is what pipelines of stored format N left when they
//! were killed in the middle of their work. Each is taken up here as a user would, and nothing is lost or doubled.
//!
//! No service is needed. `fixtures/make/state.py` made the folders; they are never made again for a format that was
//! released.

#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

/// A copy of a fixture, with its own place and times filled in.
fn restored(name: &str) -> tempfile::TempDir {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folder = tempfile::tempdir().unwrap();
    copy(&root.join("fixtures/state/1").join(name), folder.path(), &folder.path().display().to_string());
    folder
}

fn copy(from: &Path, to: &Path, place: &str) {
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        if from.is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&from, &to, place);
            continue;
        }
        let bytes = std::fs::read(&from).unwrap();
        let bytes = String::from_utf8(bytes)
            .map_or_else(|error| error.into_bytes(), |text| text.replace("${folder}", place).into_bytes());
        std::fs::write(&to, bytes).unwrap();
        // The stored state knows files by the times that they were written at.
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        std::fs::File::options().write(true).open(&to).unwrap().set_modified(then).unwrap();
    }
}

/// Changes the pipeline file.
fn edit(folder: &Path, changes: &[(&str, &str)]) {
    let path = folder.join("pipeline.yaml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "the pipeline has `{from}`");
        text = text.replace(from, to);
    }
    std::fs::write(path, text).unwrap();
}

/// `foretell run pipeline.yaml`, which must end well.
fn run(folder: &Path) {
    let here = std::env::current_exe().unwrap();
    let binary: PathBuf = here.parent().and_then(Path::parent).unwrap().join("foretell");
    let output = Command::new(binary).args(["run", "pipeline.yaml"]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A table's rows as texts, by their first column.
fn rows(folder: &Path, database: &str) -> Vec<String> {
    let url = format!("sqlite://{}", folder.join(database).display());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let columns = match database {
            "lines.db" => "id || ' ' || dept",
            _ => "id || ' ' || twice || ' ' || dept",
        };
        let sql = AssertSqlSafe(format!("SELECT {columns} FROM result ORDER BY id, 1"));
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    })
}

/// What files wrote: a manifest, the sidecar of an appended file, a commit log, positions and a plan in SQL, and the
/// recipe, model and encoding that the plan names.
#[test]
fn a_batch_that_a_sink_lacked_is_made_again_with_what_was_stored() {
    let folder = restored("files");
    let folder = folder.path();
    assert_eq!(rows(folder, "late.db"), ["1 20.0 1.0", "2 40.0 2.0"], "it lacks the second batch");
    // Today's query, model and encoding are others: the leftover batch can be made with the stored ones alone.
    edit(folder, &[("continuous", "available_now"), ("age * 2", "age * 100")]);
    std::fs::write(folder.join("dept.csv"), "label,code\nICU,10\nER,20\n").unwrap();
    std::fs::write(folder.join("in/c.csv"), "id,age,dept\n5,50,ICU\n").unwrap();
    run(folder);
    let expected = ["1 20.0 1.0", "2 40.0 2.0", "3 60.0 1.0", "4 80.0 2.0", "5 5000.0 10.0"];
    for database in ["first.db", "late.db"] {
        assert_eq!(rows(folder, database), expected, "{database}");
    }
    let lines = std::fs::read_to_string(folder.join("lines.csv")).unwrap();
    let lines: Vec<String> = lines.lines().map(|line| line.replace(',', " ")).collect();
    assert_eq!(lines, expected.map(|row| row.strip_suffix(".0").unwrap().to_string()), "a code is a whole number");
    let mut parts: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(folder.join("parts")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            parts.extend(std::fs::read_to_string(path).unwrap().lines().map(str::to_string));
        }
    }
    parts.sort();
    let expected = [
        r#"{"id":1,"twice":20.0,"dept":1}"#,
        r#"{"id":2,"twice":40.0,"dept":2}"#,
        r#"{"id":3,"twice":60.0,"dept":1}"#,
        r#"{"id":4,"twice":80.0,"dept":2}"#,
        r#"{"id":5,"twice":5000.0,"dept":10}"#,
    ];
    assert_eq!(parts, expected);
    run(folder);
    assert_eq!(rows(folder, "late.db").len(), 5, "nothing comes twice");
}

/// Another hash of the same words would make leftover batches of before those of another query.
#[test]
fn a_recipe_keeps_its_hash() {
    let folder = restored("files");
    let folder = folder.path();
    edit(folder, &[("continuous", "available_now")]);
    run(folder);
    let recipes = std::fs::read_dir(folder.join("state/recipes")).unwrap();
    let names: Vec<String> = recipes.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(names, ["688dd8f256d0d2f212904d4a4cda27d50294db6591c83ca1ac5bb7602e3a811f"]);
}

#[test]
fn lines_of_a_spool_that_had_not_landed_land() {
    let folder = restored("spool");
    let folder = folder.path();
    assert_eq!(rows(folder, "lines.db"), ["1 ICU", "2 ER"]);
    edit(folder, &[("continuous", "available_now")]);
    run(folder);
    let expected = ["1 ICU", "2 ER", "3 ICU", "4 ER"];
    assert_eq!(rows(folder, "lines.db"), expected);
    run(folder);
    assert_eq!(rows(folder, "lines.db"), expected, "nothing comes twice");
}
