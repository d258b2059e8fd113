//! What a file is packed with.

use std::fmt;

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
    /// `ZF`, zlib with a length before it: joblib until 0.9.
    Zf,
    /// zip: skops files, npz files.
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
            Container::Zf => "ZF",
            Container::Zip => "zip",
        })
    }
}

impl Container {
    /// Looks at the first bytes; nothing where they belong to none of these.
    #[must_use]
    pub fn sniff(bytes: &[u8]) -> Option<Container> {
        let _ = bytes;
        todo!()
    }
}
