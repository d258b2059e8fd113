//! Runs of the program.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) fn foretell(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_foretell")).args(args).output().unwrap()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a run that must succeed.
pub(crate) fn good(args: &[&str]) -> String {
    let output = foretell(args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// As [`good`], with this on standard input.
pub(crate) fn good_of(args: &[&str], input: &str) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_foretell"));
    let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{args:?}");
    text(&output.stdout)
}

/// Standard error of a run that must end with exit code 1.
pub(crate) fn bad(args: &[&str]) -> String {
    let output = foretell(args);
    assert_eq!(output.status.code(), Some(1), "{args:?}: {}", text(&output.stdout));
    let error = text(&output.stderr);
    assert_eq!(error.lines().count(), 1, "one line: {error}");
    error.trim_end().to_string()
}

pub(crate) fn fixture(name: &str) -> String {
    fixtures().join(name).display().to_string()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures")
}
