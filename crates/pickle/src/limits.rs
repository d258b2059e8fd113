//! What one file may cost, and why each limit is where it is.

/// The budgets of one read. Every one is charged before the memory is taken or the work is done.
///
/// The defaults carry forests of some 100 MB; a caller raises single fields for a model that is known to be larger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Opcodes run, nested streams included.
    pub opcodes: u64,
    /// Values on the stack at one time.
    pub stack: usize,
    /// Marks on the stack at one time.
    pub marks: usize,
    /// Entries in one memo.
    pub memo: usize,
    /// Levels of values inside values: of the shortest way from the root when reading, of the way taken in a view.
    pub nesting: usize,
    /// Bytes of one text or one run of bytes (array data is bound by the file alone).
    pub string: u64,
    /// Decimal digits of one integer.
    pub digits: usize,
    /// Attributes in the state of one object.
    pub attributes: usize,
    /// Bytes of the file after decompression.
    pub unpacked: u64,
    /// Bytes after decompression for each byte before it.
    pub ratio: u64,
    /// Memory for values, on top of what [`Limits::memory_factor`] allows.
    pub memory: u64,
    /// Memory for values for each byte of the decompressed file.
    pub memory_factor: u64,
}

/// A forest of 1,000 trees has some 100,000 opcodes; a vocabulary of a million words some 5 million.
const OPCODES: u64 = 100_000_000;
/// Python's pickler empties lists and dicts in runs of 1,000; a large tuple is the only honest way to a tall stack.
const STACK: usize = 4_000_000;
/// One mark for each container that is open; honest files have as many as their nesting.
const MARKS: usize = 10_000;
/// Python's pickler remembers each container and text once.
const MEMO: usize = 20_000_000;
/// A pipeline in a search in a pipeline is some 40 levels; Python's own unpickler of such values stops near 1,000.
const NESTING: usize = 500;
/// XGBoost keeps a whole booster in one run of bytes.
const STRING: u64 = 2 << 30;
/// Python itself refuses to parse longer decimal integers.
const DIGITS: usize = 4_300;
/// The largest estimator of scikit-learn has fewer than 100; a lookup in a state must stay cheap.
const ATTRIBUTES: usize = 4_096;
/// What a machine that scores a model has memory for.
const UNPACKED: u64 = 4 << 30;
/// deflate reaches at most 1,032; arrays of zeros come near it, bombs in bz2 and xz go far beyond.
const RATIO: u64 = 1_100;
/// Enough for every small file, whatever its shape.
const MEMORY: u64 = 24 << 20;
/// An honest file needs 1 (arrays) to 10 (lists of small numbers).
const MEMORY_FACTOR: u64 = 12;

impl Default for Limits {
    fn default() -> Self {
        Self {
            opcodes: OPCODES,
            stack: STACK,
            marks: MARKS,
            memo: MEMO,
            nesting: NESTING,
            string: STRING,
            digits: DIGITS,
            attributes: ATTRIBUTES,
            unpacked: UNPACKED,
            ratio: RATIO,
            memory: MEMORY,
            memory_factor: MEMORY_FACTOR,
        }
    }
}
