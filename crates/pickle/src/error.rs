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
        /// As `pickletools` names it; `?` where there is none.
        opcode: &'static str,
    },
    /// A value: `steps[1].encoder.categories_`; empty at the root.
    Path(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File => Ok(()),
            Place::Byte { at, opcode } => write!(f, "byte {at} ({opcode}): "),
            Place::Path(path) if path.is_empty() => Ok(()),
            Place::Path(path) => write!(f, "{path}: "),
        }
    }
}

/// What was wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    // -- the container
    /// The first bytes belong to no container that this crate reads.
    #[error("not a pickle or joblib file: no such file starts with {0}")]
    NotPickle(String),
    /// A zip archive that Python did not write.
    #[error("the zip file {0}")]
    Zip(&'static str),
    /// An entry of a zip archive that Python did not write.
    #[error("zip entry `{name}` {what}")]
    ZipEntry {
        /// Its name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The compressed stream is damaged.
    #[error("the {container} stream is damaged: {reason}")]
    Damaged {
        /// Which container.
        container: Container,
        /// The decoder's words.
        reason: String,
    },
    /// The compressed stream gives far more than an honest one: a bomb, or an array of zeros.
    #[error("the {container} stream unpacks to more than {limit} bytes ({packed} packed); raise `{raise}` if it may")]
    Bomb {
        /// Which container.
        container: Container,
        /// Bytes of the file.
        packed: u64,
        /// What the limits let it unpack to.
        limit: u64,
        /// The limit that decided: `ratio` or `unpacked`.
        raise: &'static str,
    },

    // -- the stream
    /// The stream ends inside of something.
    #[error("{need} bytes are needed and {left} are left in the {within}")]
    Ends {
        /// What the opcode asks for.
        need: u64,
        /// What is left.
        left: u64,
        /// `file` or `frame`.
        within: &'static str,
    },
    /// The file ends where an opcode should be.
    #[error("the file ends without STOP")]
    NoStop,
    /// A line without an end.
    #[error("the line has no end")]
    NoLineEnd,
    /// A length that is negative.
    #[error("the length {0} is negative")]
    NegativeLength(i64),
    /// A byte that is not an opcode.
    #[error("0x{0:02x} is not an opcode")]
    NoOpcode(u8),
    /// An opcode that reaches outside of the file.
    #[error("{0} are not allowed")]
    Forbidden(&'static str),
    /// A protocol that does not exist.
    #[error("protocol {0} does not exist")]
    Protocol(u8),
    /// `PROTO` in mid-stream.
    #[error("the protocol is declared in mid-stream")]
    LateProtocol,
    /// A frame that begins before the one around it ends.
    #[error("a frame begins {left} bytes before the end of another")]
    FrameInFrame {
        /// What is left of the outer one.
        left: u64,
    },
    /// Array bytes or `STOP` inside a frame.
    #[error("{what} {left} bytes before the end of the frame")]
    InFrame {
        /// `array bytes begin` or `the stream stops`.
        what: &'static str,
        /// What is left of the frame.
        left: u64,
    },
    /// Text that is not UTF-8.
    #[error("the text is not valid UTF-8")]
    NotUtf8,
    /// Text of an opcode of protocol 0 that does not parse.
    #[error("this is not {0}")]
    Literal(&'static str),

    // -- the machine
    /// Nothing to take from the stack.
    #[error("the stack is empty")]
    EmptyStack,
    /// Nothing was marked.
    #[error("there is no mark")]
    NoMark,
    /// Values are left over at the end.
    #[error("{0} values are left on the stack")]
    LeftOver(u64),
    /// A memo entry that was never written.
    #[error("the memo has no entry {0}")]
    NoMemo(u64),
    /// A memo entry that no honest writer would use.
    #[error("memo entry {index} is out of range: {opcodes} opcodes have run")]
    MemoRange {
        /// The entry.
        index: u64,
        /// Opcodes run so far.
        opcodes: u64,
    },
    /// A dict from an odd number of values.
    #[error("a key has no value")]
    OddPairs,
    /// A key that Python could not hash.
    #[error("{0} cannot be a key")]
    Unhashable(String),

    // -- globals
    /// A global that is not listed.
    #[error("global `{module}.{name}` is not allowed")]
    Global {
        /// As the file writes it.
        module: String,
        /// As the file writes it.
        name: String,
    },
    /// A listed name that may not be called, or not in this way.
    #[error("`{0}` may be named here, but not called in this way")]
    NotCallable(String),
    /// A built-in constructor with arguments that it does not take.
    #[error("`{callee}` is not called with {found}")]
    Arguments {
        /// The constructor.
        callee: String,
        /// What it was called with.
        found: String,
    },
    /// A state that the class does not take.
    #[error("`{class}` does not take a state that is {found}")]
    State {
        /// The class.
        class: String,
        /// What `BUILD` brought.
        found: String,
    },
    /// A second state.
    #[error("`{0}` already has a state")]
    StateTwice(String),

    // -- arrays
    /// A dtype outside of the closed list.
    #[error("dtype `{0}` is not supported")]
    Dtype(String),
    /// A state that no dtype has.
    #[error("the dtype's {0} is not what numpy writes")]
    DtypeState(&'static str),
    /// Fields that lie over each other or outside of the record.
    #[error("field `{0}` overlaps another or leaves the record")]
    FieldOverlap(String),
    /// A shape that is negative, too long, or overflows.
    #[error("the array's shape is negative or too large")]
    Shape,
    /// Array data of another size than dtype and shape say.
    #[error("the array needs {need} {unit} and has {have}")]
    ArraySize {
        /// dtype × shape.
        need: u64,
        /// What is there.
        have: u64,
        /// `bytes` or `values`.
        unit: &'static str,
    },
    /// joblib's padding is not what joblib writes.
    #[error("the array's padding is not {0}")]
    Padding(&'static str),
    /// A nested pickle where none may be, or one that gives something else than an array of objects.
    #[error("{0}")]
    Nested(&'static str),

    /// An array that joblib before 0.10 put into a file of its own.
    #[error(
        "an array of the model is in a file of its own, `{0}`, as joblib before 0.10 wrote it; load the model where it \
         was made and save it with `joblib.dump(model, file, compress=3)`, which gives one file"
    )]
    ArrayFile(String),

    /// An array's file in a skops file that numpy did not write.
    #[error("the numpy file's {0} is not what numpy writes")]
    Npy(&'static str),

    // -- skops
    /// A node of a kind that skops does not have.
    #[error("`{0}` is not a kind of node")]
    Node(String),
    /// A part of a node that is not there, not once, or not what skops writes.
    #[error("`{0}` is not what skops writes")]
    Part(&'static str),
    /// A file that the archive does not have.
    #[error("there is no file `{0}`")]
    NoFile(String),
    /// A protocol of skops that does not exist.
    #[error("protocol {0} of skops is not known")]
    SkopsProtocol(i64),
    /// An id that stands for two nodes.
    #[error("`__id__` {0} stands for two different nodes")]
    IdTwice(i64),

    // -- budgets
    /// A budget is used up.
    #[error("more than {limit} {what}")]
    Limit {
        /// The thing that is limited, in the plural.
        what: &'static str,
        /// The limit.
        limit: u64,
    },

    // -- views
    /// A value has another type than its reader needs.
    #[error("expected {expected}, found {found}")]
    Type {
        /// With its article: `a list`.
        expected: String,
        /// With its article.
        found: String,
    },
    /// An attribute, key or item that must be there is not.
    #[error("`{0}` is missing")]
    Missing(String),
    /// A number that does not fit where it belongs.
    #[error("{0} is out of range")]
    Range(&'static str),
    /// A value inside of itself.
    #[error("contains itself")]
    Cycle,
}

impl ErrorKind {
    /// Puts the error at a byte.
    pub(crate) fn at(self, at: u64, opcode: &'static str) -> Error {
        Error { kind: self, place: Place::Byte { at, opcode } }
    }

    /// Puts the error at the file as a whole.
    pub(crate) fn of_file(self) -> Error {
        Error { kind: self, place: Place::File }
    }
}
