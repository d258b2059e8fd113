//! Builds zip archives and the nodes of skops files, honest or not.

use std::io::Write;

use crate::asm::cat;

/// One file of an archive, and what its headers say of it.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) crc: u32,
    pub(crate) flags: u16,
    pub(crate) method: u16,
    /// Packed and unpacked.
    pub(crate) sizes: (u32, u32),
    /// Where its header is said to be, if not where it is.
    pub(crate) at: Option<u32>,
}

pub(crate) fn file(name: &str, data: impl AsRef<[u8]>) -> File {
    let data = data.as_ref().to_vec();
    let mut crc = flate2::Crc::new();
    crc.update(&data);
    let size = data.len() as u32;
    File { name: name.to_owned(), data, crc: crc.sum(), flags: 0, method: 0, sizes: (size, size), at: None }
}

pub(crate) fn deflated(mut file: File) -> File {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&file.data).unwrap();
    file.data = encoder.finish().unwrap();
    (file.method, file.sizes.0) = (8, file.data.len() as u32);
    file
}

pub(crate) fn local(file: &File) -> Vec<u8> {
    let (packed, unpacked) = file.sizes;
    cat![
        b"PK\x03\x04\x14\0",
        file.flags.to_le_bytes(),
        file.method.to_le_bytes(),
        [0; 4],
        file.crc.to_le_bytes(),
        packed.to_le_bytes(),
        unpacked.to_le_bytes(),
        (file.name.len() as u16).to_le_bytes(),
        [0; 2],
        file.name
    ]
}

/// An archive: the files with their headers, then the directory, then its end.
pub(crate) fn zip(files: &[File]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut directory = Vec::new();
    for file in files {
        let at = file.at.unwrap_or(body.len() as u32);
        let header = local(file);
        body.extend(cat![header, file.data]);
        directory.extend(cat![b"PK\x01\x02\x14\0", header[4..28], [0; 12], at.to_le_bytes(), file.name]);
    }
    end(body, &directory, files.len() as u16)
}

pub(crate) fn end(body: Vec<u8>, directory: &[u8], count: u16) -> Vec<u8> {
    let tail = cat![
        b"PK\x05\x06",
        [0; 4],
        count.to_le_bytes(),
        count.to_le_bytes(),
        (directory.len() as u32).to_le_bytes(),
        (body.len() as u32).to_le_bytes(),
        [0; 2]
    ];
    cat![body, directory, tail]
}

/// The node of `None`.
pub(crate) const NONE: &str =
    r#"{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode", "content": "null"}"#;

/// `schema.json` whose root is this node.
pub(crate) fn schema(node: &str) -> File {
    file("schema.json", node.replacen('{', "{\"protocol\": 2, ", 1))
}

pub(crate) fn only(node: &str) -> Vec<u8> {
    zip(&[schema(node)])
}

pub(crate) fn node(loader: &str, module: &str, class: &str, rest: &str) -> String {
    format!(r#"{{"__class__": "{class}", "__module__": "{module}", "__loader__": "{loader}"{rest}}}"#)
}

pub(crate) fn list(items: &[String]) -> String {
    node("ListNode", "builtins", "list", &format!(r#", "content": [{}]"#, items.join(", ")))
}

pub(crate) fn array(file: &str) -> String {
    node("NdArrayNode", "numpy", "ndarray", &format!(r#", "type": "numpy", "file": "{file}""#))
}

pub(crate) fn npy(header: &str, data: &[u8]) -> Vec<u8> {
    cat![b"\x93NUMPY\x01\x00", (header.len() as u16).to_le_bytes(), header, data]
}
