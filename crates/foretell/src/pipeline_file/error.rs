//! What is wrong with a pipeline file, and where.

use std::fmt;

/// An error in a pipeline file: `pipeline.yaml:12: sinks.db.sql: unknown key `tabel`; did you mean `table`?`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileError {
    /// The file as the user named it.
    pub(crate) file: String,
    /// The line, from 1; `None` where the file as a whole is at fault.
    pub(crate) line: Option<usize>,
    /// The keys down to the setting, joined by dots; empty at the top.
    pub(crate) path: String,
    /// What is wrong; never a secret nor the value of a reference.
    pub(crate) message: String,
    /// What to do about it; may be empty.
    pub(crate) remedy: String,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for FileError {}

/// Names as a sentence lists them: `` `a`, `b` ``.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
