//! What a file is packed with.

use std::fmt;

use crate::opcode as op;

/// What a file is packed with, decided by its first bytes alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// A pickle as it is.
    Plain,
    /// zlib, joblib's default.
    Zlib,
    /// gzip.
    Gzip,
    /// bzip2.
    Bz2,
    /// xz.
    Xz,
    /// lzma in its old form.
    Lzma,
    /// An lz4 frame.
    Lz4,
    /// Zstandard.
    Zstd,
    /// `ZF`, zlib with a length before it: joblib until 0.9.
    Zf,
    /// zip, as skops files are.
    Zip,
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Container::Plain => "pickle",
            Container::Zlib => "zlib",
            Container::Gzip => "gzip",
            Container::Bz2 => "bzip2",
            Container::Xz => "xz",
            Container::Lzma => "lzma",
            Container::Lz4 => "lz4",
            Container::Zstd => "zstd",
            Container::Zf => "ZF",
            Container::Zip => "skops",
        })
    }
}

/// The first bytes of each packed container.
const MAGIC: &[(&[u8], Container)] = &[
    (b"\x1f\x8b", Container::Gzip),
    (b"BZh", Container::Bz2),
    (b"\xfd7zXZ\x00", Container::Xz),
    (b"\x5d\x00\x00", Container::Lzma),
    (b"\x04\x22\x4d\x18", Container::Lz4),
    (b"\x28\xb5\x2f\xfd", Container::Zstd),
    (b"ZF", Container::Zf),
    (b"PK\x03\x04", Container::Zip),
    (b"x", Container::Zlib),
];

/// What a pickle can start with: `PROTO`, or in protocols 0 and 1 an opcode that makes a value.
const STARTS: &[u8] = &[
    op::PROTO,
    op::MARK,
    op::EMPTY_LIST,
    op::EMPTY_DICT,
    op::EMPTY_TUPLE,
    op::GLOBAL,
    op::NONE,
    op::INT,
    op::BININT,
    op::BININT1,
    op::BININT2,
    op::LONG,
    op::FLOAT,
    op::BINFLOAT,
    op::STRING,
    op::BINSTRING,
    op::SHORT_BINSTRING,
    op::UNICODE,
    op::BINUNICODE,
];

impl Container {
    /// Looks at the first bytes; `None` where they belong to none of these.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Container> {
        let magic = MAGIC.iter().find(|(magic, _)| bytes.starts_with(magic));
        magic.map(|(_, container)| *container).or_else(|| {
            let starts = bytes.first().is_some_and(|first| STARTS.contains(first));
            starts.then_some(Container::Plain)
        })
    }
}
