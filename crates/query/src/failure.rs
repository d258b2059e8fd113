//! Rows that a model or the query itself refuses, and what may be said about them.

use std::fmt;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use foretell_model::Refusal;

use crate::Role;

/// A row of the input batch that gives no output row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFailure {
    /// Index of the row in the batch that was handed in.
    pub row: usize,
    /// What failed, where and why; never the row's values.
    pub failure: Failure,
}

/// What failed on a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// A model or an encoding refuses the row, as the library it comes from would.
    Model {
        /// Which of the two.
        role: Role,
        /// Its name in the query.
        model: String,
        /// The step of the model that refuses.
        step: String,
        /// The feature at fault, where one is.
        column: Option<String>,
        /// Why, without the value.
        reason: String,
    },
    /// The query fails on the row.
    Query {
        /// The failing expression, as far as it is known.
        expression: Option<String>,
        /// What kind of failure.
        reason: Reason,
    },
}

/// The kinds of failure that data can cause. The engine's own messages quote values, so only the kind is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A cast of a value that the target type does not hold.
    Cast,
    /// Division by zero.
    DivisionByZero,
    /// A result beyond the type's range.
    Overflow,
    /// Text that is not a number, date or time.
    Parse,
    /// A function does not take the value.
    Argument,
    /// A function fails.
    Computation,
}

/// What stops a run inside a model's function.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScoreError {
    /// A row that comes from no single record is refused.
    #[error("refused")]
    Refused {
        /// The model.
        model: String,
        /// Its words.
        refusal: Refusal,
    },
    /// The model broke its contract.
    #[error("wrong answer")]
    Wrong {
        /// The model.
        model: String,
        /// What differs.
        difference: String,
    },
}

impl RowFailure {
    /// `model`, `encoding` or `query`: which of them refuses.
    pub fn kind(&self) -> &'static str {
        match self.failure {
            Failure::Model { role, .. } => role.name(),
            Failure::Query { .. } => "query",
        }
    }
}

impl Reason {
    /// The kind of an engine's error, or `None` where data is not to blame.
    pub(crate) fn of(error: &DataFusionError) -> Option<Reason> {
        match error {
            DataFusionError::ArrowError(error, _) => Reason::of_arrow(error),
            DataFusionError::Execution(_) => Some(Reason::Computation),
            DataFusionError::External(error) => Reason::of_other(error.as_ref()),
            DataFusionError::Context(_, error) | DataFusionError::Diagnostic(_, error) => Reason::of(error),
            DataFusionError::Shared(error) => Reason::of(error),
            DataFusionError::Collection(errors) => errors.first().and_then(Reason::of),
            _ => None,
        }
    }

    fn of_arrow(error: &ArrowError) -> Option<Reason> {
        match error {
            ArrowError::CastError(_) => Some(Reason::Cast),
            ArrowError::DivideByZero => Some(Reason::DivisionByZero),
            ArrowError::ArithmeticOverflow(_) => Some(Reason::Overflow),
            ArrowError::ParseError(_) => Some(Reason::Parse),
            ArrowError::InvalidArgumentError(_) => Some(Reason::Argument),
            ArrowError::ComputeError(_) => Some(Reason::Computation),
            ArrowError::OffsetOverflowError(_) => Some(Reason::Overflow),
            ArrowError::JsonError(_) => Some(Reason::Parse),
            ArrowError::ExternalError(error) => Reason::of_other(error.as_ref()),
            _ => None,
        }
    }

    /// Of an error that the engine hands on: a library's own, such as that of a pattern that a record gives, is about the
    /// value; a model's is told elsewhere.
    fn of_other(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<Reason> {
        if let Some(error) = error.downcast_ref::<DataFusionError>() {
            return Reason::of(error);
        }
        if let Some(error) = error.downcast_ref::<ArrowError>() {
            return Reason::of_arrow(error);
        }
        (!error.is::<ScoreError>()).then_some(Reason::Computation)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Cast => "the value cannot be cast",
            Reason::DivisionByZero => "division by zero",
            Reason::Overflow => "the result is out of range",
            Reason::Parse => "the text cannot be read as that type",
            Reason::Argument => "the value is not accepted",
            Reason::Computation => "the computation fails",
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Model { role, model, step, column, reason } => {
                write!(f, "{} `{model}`: ", role.name())?;
                if *role == Role::Model {
                    write!(f, "step `{step}`: ")?;
                }
                if let Some(column) = column {
                    write!(f, "column `{column}`: ")?;
                }
                f.write_str(reason)
            }
            Failure::Query { expression: Some(expression), reason } => write!(f, "`{expression}`: {reason}"),
            Failure::Query { expression: None, reason } => write!(f, "{reason}"),
        }
    }
}
