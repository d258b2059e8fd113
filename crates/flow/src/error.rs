//! Errors of the stages: what happened, whose fault it is, and so whether trying again can help.

use std::fmt;

/// Whose fault an error is. The run loop alone decides what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The pipeline file, a permission or a schema is wrong: only a person can change that. The pipeline stops.
    Settings,
    /// A service is away or busy, or the outcome of a commit is unknown: claim again, see what is stored, try again.
    Unavailable,
    /// Another worker owns the partition now, or wrote past us: drop what is buffered and start from the claim.
    Fenced,
    /// What is stored does not fit what is there (topic recreated, position out of range): stop loudly, never reset.
    State,
}

/// An error of a source or a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageError {
    /// Whose fault.
    pub fault: Fault,
    /// What happened, where; without record values and secrets.
    pub message: String,
    /// What the user can do, often a command; empty where nothing is known.
    pub remedy: String,
}

impl StageError {
    /// The pipeline file, a permission or a schema is wrong.
    pub fn settings(message: impl Into<String>) -> Self {
        Self::new(Fault::Settings, message)
    }

    /// A service is away, or the outcome is unknown.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Fault::Unavailable, message)
    }

    /// Another worker owns the partition.
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(Fault::Fenced, message)
    }

    /// What is stored does not fit what is there.
    pub fn state(message: impl Into<String>) -> Self {
        Self::new(Fault::State, message)
    }

    /// A task or thread panicked, which the log tells: nothing more comes from it, and the run must end.
    pub fn defect(who: &str) -> Self {
        Self::settings(format!("{who} ended by a defect of this program, which is told above"))
            .remedy("nothing is lost: the next start goes on from what the sinks hold; please report it")
    }

    /// Runs what must not end silently: a panic becomes [`defect`](StageError::defect).
    ///
    /// # Errors
    /// It panicked.
    pub fn guarded<T>(who: &str, work: impl FnOnce() -> T) -> Result<T, Self> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|_| Self::defect(who))
    }

    fn new(fault: Fault, message: impl Into<String>) -> Self {
        StageError { fault, message: message.into(), remedy: String::new() }
    }

    /// Adds what the user can do.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }
}

impl fmt::Display for StageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for StageError {}
