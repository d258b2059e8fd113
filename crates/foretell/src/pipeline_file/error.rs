//! What is wrong with a pipeline file, and where.

use std::fmt;

/// An error in a pipeline file: `pipeline.yaml:12: sinks.db.sql: unknown key `tabel`; did you mean `table`?`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FileError {
    /// The file as the user named it.
    pub(crate) file: String,
    /// The line, from 1; `None` where the file as a whole is at fault.
    pub(crate) line: Option<usize>,
    /// The column in that line, from 1; 0 where it is not known.
    pub(crate) column: u32,
    /// The keys down to the setting, joined by dots; empty at the top.
    pub(crate) path: String,
    /// What is wrong; never a secret nor the value of a reference.
    pub(crate) message: String,
    /// What to do about it; may be empty.
    pub(crate) remedy: String,
    /// Whether only a service is away, so that trying again can help.
    pub(crate) away: bool,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
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

/// All that is wrong with a pipeline file: one error or several, a line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileErrors(pub(crate) Vec<FileError>);

impl fmt::Display for FileErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for FileErrors {}

impl From<FileError> for FileErrors {
    fn from(error: FileError) -> Self {
        FileErrors(vec![error])
    }
}

/// Errors as they are found, so that one does not hide the others.
#[derive(Debug, Default)]
pub(crate) struct Wrong(Vec<FileError>);

impl Wrong {
    /// The value, or its error is noted.
    pub(crate) fn keep<T>(&mut self, result: Result<T, FileError>) -> Option<T> {
        result.map_err(|error| self.0.push(error)).ok()
    }

    /// The same for errors that may be others than a file's.
    ///
    /// # Errors
    /// The error, where it is not one of a pipeline file.
    pub(crate) fn keep_any<T>(&mut self, result: anyhow::Result<T>) -> anyhow::Result<Option<T>> {
        match result.map_err(|error| error.downcast::<FileError>()) {
            Ok(value) => Ok(Some(value)),
            Err(Ok(error)) => {
                self.0.push(error);
                Ok(None)
            }
            Err(Err(other)) => Err(other),
        }
    }

    /// The values that are right; the errors of the others are noted.
    pub(crate) fn keep_all<T>(&mut self, results: impl IntoIterator<Item = Result<T, FileError>>) -> Vec<T> {
        results.into_iter().filter_map(|result| self.keep(result)).collect()
    }

    pub(crate) fn extend(&mut self, errors: impl IntoIterator<Item = FileError>) {
        self.0.extend(errors);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of the file.
    pub(crate) fn into_errors(mut self) -> FileErrors {
        self.0.sort_by_key(|error| error.line);
        FileErrors(self.0)
    }

    /// Nothing, or all that was found.
    ///
    /// # Errors
    /// Something was found.
    pub(crate) fn none(self) -> Result<(), FileErrors> {
        if self.is_empty() { Ok(()) } else { Err(self.into_errors()) }
    }
}

/// Names as a sentence lists them: `` `a`, `b` ``.
pub(crate) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
