//! Why a file was refused, and where.

use std::fmt;

use crate::Container;

/// A refused file: what was wrong and where it stands. Holds no contents of the file but names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}{kind}")]
pub struct Error {
    /// What was wrong.
    pub kind: ErrorKind,
    /// Where.
    pub place: Place,
}

/// Where an error stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file as a whole.
    File,
    /// A byte of the decompressed stream, with the opcode that starts there.
    Byte {
        /// Counted from 0.
        at: u64,
        /// As `pickletools` names it.
        opcode: &'static str,
    },
    /// A value: `steps[1].encoder.categories_`.
    Path(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File => Ok(()),
            Place::Byte { at, opcode } => write!(f, "byte {at} ({opcode}): "),
            Place::Path(path) => write!(f, "`{path}`: "),
        }
    }
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The first bytes belong to no container that this crate reads.
    #[error("not a pickle or joblib file: it starts with {0}")]
    NotPickle(String),
    /// A container that is recognised and not read here.
    #[error("a {0} file is not a pickle or joblib file")]
    Container(Container),
    /// The compressed stream is damaged.
    #[error("the {container} stream is damaged: {reason}")]
    Damaged {
        /// Which container.
        container: Container,
        /// The decoder's words.
        reason: String,
    },
    /// A global that is not listed.
    #[error("global `{module}.{name}` is not allowed")]
    Global {
        /// As the file writes it.
        module: String,
        /// As the file writes it.
        name: String,
    },
    /// A budget is used up.
    #[error("more than {limit} {what}")]
    Limit {
        /// The thing that is limited, in the plural.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A value has another type than its reader needs.
    #[error("expected {expected}, found {found}")]
    Type {
        /// With its article: `a list`.
        expected: &'static str,
        /// With its article.
        found: String,
    },
    /// An attribute, key or item that must be there is not.
    #[error("`{0}` is missing")]
    Missing(String),
    /// Anything else that a sentence says best.
    #[error("{0}")]
    Invalid(String),
}
