//! Errors of the stages: what happened, whose fault it is, and so whether trying again can help.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

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
    /// Records cannot be computed as the pipeline asks, and none of them alone is at fault: an aggregate over them fails.
    /// The pipeline stops before their batch.
    Data,
    /// A defect of this program, which nobody who runs it can mend: the remedy asks for a report. The pipeline stops.
    Defect,
}

/// An error of a source, a query or a sink.
#[derive(Debug, Clone)]
pub struct StageError {
    /// Whose fault.
    pub fault: Fault,
    /// What happened, where; without record values and secrets.
    pub message: String,
    /// What the user can do, often a command; empty where nothing is known.
    pub remedy: String,
    /// What it came from, where that is an error of its own; the message tells it already.
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// Equal are errors that read the same.
impl PartialEq for StageError {
    fn eq(&self, other: &Self) -> bool {
        (self.fault, &self.message, &self.remedy) == (other.fault, &other.message, &other.remedy)
    }
}

impl Eq for StageError {}

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

    /// Records cannot be computed as the pipeline asks.
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(Fault::Data, message)
    }

    /// A state that this program should never come to.
    pub fn defect(message: impl Into<String>) -> Self {
        Self::new(Fault::Defect, format!("{}: a defect of this program", message.into())).remedy(
            "nothing is lost: the next start goes on from what the sinks hold; please report it, with this line, the \
             log's lines before it and the pipeline file without its secrets",
        )
    }

    /// A task or thread panicked, which the log tells: nothing more comes from it, and the run must end.
    pub fn panicked(who: &str) -> Self {
        Self::new(Fault::Defect, format!("{who} ended by a defect of this program, which is told above"))
            .remedy("nothing is lost: the next start goes on from what the sinks hold; please report it")
    }

    /// Runs what must not end silently: a panic is a [`Fault::Defect`].
    ///
    /// # Errors
    /// It panicked.
    pub fn guarded<T>(who: &str, work: impl FnOnce() -> T) -> Result<T, Self> {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).map_err(|_| Self::panicked(who))
    }

    /// An error of this fault.
    pub fn new(fault: Fault, message: impl Into<String>) -> Self {
        StageError { fault, message: message.into(), remedy: String::new(), cause: None }
    }

    /// Keeps the error that it came from, for [`source`](Error::source).
    #[must_use]
    pub fn caused_by(mut self, cause: impl Error + Send + Sync + 'static) -> Self {
        self.cause = Some(Arc::new(cause));
        self
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

impl Error for StageError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.as_deref().map(|cause| cause as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_kept_and_told_once() {
        let io = std::io::Error::other("the disk is full");
        let error = StageError::unavailable(format!("write: {io}")).caused_by(io);
        assert_eq!(error.to_string(), "write: the disk is full");
        assert!(error.source().unwrap().downcast_ref::<std::io::Error>().is_some());
        assert_eq!(error.clone(), StageError::unavailable("write: the disk is full"));
    }

    #[test]
    fn a_defect_asks_for_a_report() {
        for error in [StageError::defect("a row too many"), StageError::guarded("x", || panic!("no")).unwrap_err()] {
            assert_eq!(error.fault, Fault::Defect);
            assert!(
                error.message.contains("a defect of this program") && error.remedy.contains("report it"),
                "{error}"
            );
        }
    }
}
