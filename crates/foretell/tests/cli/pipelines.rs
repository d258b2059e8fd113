//! `check` and `run` over files: what stops a run is found before, and a run of which nothing came does not end as a good
//! one.

use std::path::Path;
use std::process::Output;

use crate::program::{bad, foretell, good, text};

const PIPELINE: &str = "pipeline: orders
source: { file: { path: in } }
decode: { csv: { columns: [AGE: int64, DEPT: utf8] } }
query: SELECT AGE, DEPT FROM records
sinks: { out: { file: { path: out/, format: csv } } }
trigger: available_now
";

struct Job {
    folder: tempfile::TempDir,
}

impl Job {
    fn new(pipeline: &str) -> Job {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("in")).unwrap();
        std::fs::write(folder.path().join("p.yaml"), pipeline).unwrap();
        Job { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path().join("in").join(name), content).unwrap();
    }

    fn pipeline(&self) -> String {
        self.path().join("p.yaml").display().to_string()
    }

    fn run(&self) -> Output {
        foretell(&["run", &self.pipeline()])
    }

    /// The one error of `check`.
    fn check(&self) -> String {
        bad(&["check", &self.pipeline()])
    }
}

#[test]
fn check_opens_the_files_that_a_run_would_open() {
    let job = Job::new(PIPELINE);
    job.write("a.csv", "AGE,DEPT\n64,ICU\n");
    assert!(good(&["check", &job.pipeline()]).contains("\nok "));
    // Another order would feed one column as another; the second file counts as the first does.
    job.write("b.csv", "DEPT,AGE\nICU,64\n");
    let error = job.check();
    assert!(error.contains("b.csv: the first line is not `AGE, DEPT`"), "{error}");
    job.write("b.csv", "64,ICU\n65,ICU\n");
    let error = job.check();
    assert!(error.contains("b.csv: the first line is not `AGE, DEPT`") && !error.contains("64"), "{error}");
    assert_eq!(std::fs::read_dir(job.path()).unwrap().count(), 2, "nothing was written");
    assert_ne!(job.run().status.code(), Some(0), "a run stops there, too");
}

#[test]
fn check_says_what_is_bad_of_the_first_records() {
    let job = Job::new(PIPELINE);
    job.write("a.csv", "AGE,DEPT\n64,ICU\nseventy,ICU\n");
    let told = good(&["check", &job.pipeline()]);
    assert!(
        told.contains("a.csv: 1 of its first 2 records is bad, the first on line 3: decode csv: field 1 (AGE): "),
        "{told}"
    );
    assert!(!told.contains("seventy"), "{told}");
    job.write("a.csv", "AGE,DEPT\nsixty,ICU\nseventy,ICU\n");
    let error = job.check();
    assert!(error.contains("p.yaml:2: source.file: ") && error.contains("2 of its first 2 records are bad"), "{error}");
    job.write("a.csv.gz", "this is not gzip");
    assert!(job.check().contains("a.csv.gz: it is not gzip data"));
}

#[test]
fn a_batch_job_of_which_every_record_was_bad_ends_with_3() {
    let job = Job::new(PIPELINE);
    job.write("a.csv", "AGE,DEPT\nsixty,ICU\nseventy,ICU\n");
    let output = job.run();
    let error = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(
        error.ends_with(
            "error: all 2 records were bad: no result was stored; the dead letters (or the log) have the reasons\n"
        ),
        "{error}"
    );
    job.write("b.csv", "AGE,DEPT\n64,ICU\nseventy,ICU\n");
    assert_eq!(job.run().status.code(), Some(0), "some were good");
}

#[test]
fn a_run_that_finds_nothing_new_says_so() {
    let job = Job::new(PIPELINE);
    job.write("a.csv", "AGE,DEPT\n64,ICU\n");
    let log = |output: Output| text(&output.stderr);
    assert!(!log(job.run()).contains("nothing new"));
    assert!(log(job.run()).contains("nothing new: 1 file was read before"));
}

#[test]
fn positions_are_forgotten_only_when_somebody_says_so() {
    let job = Job::new(PIPELINE);
    job.write("a.csv", "AGE,DEPT\n64,ICU\n");
    assert!(job.run().status.success());
    let error = bad(&["positions", "forget", &job.pipeline()]);
    assert!(error.contains("forgets all positions of pipeline `orders` in `out`"), "{error}");
    assert!(error.contains("come a second time; `--yes` does it"), "{error}");
    assert!(good(&["positions", "show", &job.pipeline()]).contains("files[0]"), "still there");
    assert_eq!(good(&["positions", "forget", &job.pipeline(), "--yes"]), "out: all positions are forgotten\n");
}

#[test]
fn an_error_text_is_never_empty() {
    let job = Job::new(&PIPELINE.replace("decode: { csv: { columns: [AGE: int64, DEPT: utf8] } }\n", ""));
    job.write("a.csv", "AGE,DEPT,AGE\n64,ICU,65\n");
    for command in ["check", "run"] {
        let error = bad(&[command, &job.pipeline()]);
        assert!(error.contains("`AGE`") && error.contains("twice"), "{error}");
    }
}
