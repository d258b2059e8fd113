//! Packs bytes as joblib does.

use std::io::Write;

use foretell_pickle::Container;

use crate::asm::cat;

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn bz2(bytes: &[u8]) -> Vec<u8> {
    let mut out = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut out = lzma_rust2::XzWriter::new(Vec::new(), lzma_rust2::XzOptions::with_preset(6)).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn lzma(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::LzmaOptions::with_preset(6);
    let mut out = lzma_rust2::LzmaWriter::new_use_header(Vec::new(), &options, None).unwrap();
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn lz4(bytes: &[u8]) -> Vec<u8> {
    let mut out = lz4_flex::frame::FrameEncoder::new(Vec::new());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

pub(crate) fn zf(bytes: &[u8]) -> Vec<u8> {
    cat![b"ZF", format!("{:<19}", format!("{:#x}", bytes.len())), zlib(bytes)]
}

pub(crate) type Pack = fn(&[u8]) -> Vec<u8>;

/// Every container but zip.
pub(crate) const PACKED: &[(Container, Pack)] = &[
    (Container::Zlib, zlib),
    (Container::Gzip, gzip),
    (Container::Bz2, bz2),
    (Container::Xz, xz),
    (Container::Lzma, lzma),
    (Container::Lz4, lz4),
    (Container::Zf, zf),
];
