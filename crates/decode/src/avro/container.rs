//! Avro object files: a header with the schema, and blocks of records, packed or not.

use std::io::{self, Read};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Fields, Schema, SchemaRef};
use serde_json::Value;

use super::columns::{natural_columns, natural_field};
use super::reader::Reader;
use super::skip::{Shape, number};

/// What a file begins with.
const MAGIC: &[u8] = b"Obj\x01";
/// A header is no longer than this.
const HEADER: u64 = 16 << 20;
/// Nor is a block, packed or not: it is held in memory.
const BLOCK: u64 = 256 << 20;
/// Rows of a batch.
const ROWS: usize = 8 << 10;
/// What unpacking may take, in KiB.
const XZ_MEMORY_KIB: u32 = 256 << 10;
/// The bytes between blocks.
const SYNC: u64 = 16;

/// An Avro object file as columns, read from its begin to its end.
pub struct AvroFile<R> {
    input: R,
    codec: Codec,
    sync: Vec<u8>,
    shape: Arc<Shape>,
    reader: Reader,
    schema: SchemaRef,
    /// Records of a block: those from here on, and how many there are.
    block: Vec<u8>,
    at: usize,
    left: u64,
    /// How many rows came before.
    row: u64,
}

/// How blocks are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
    Bzip2,
    Xz,
}

fn damaged(message: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, message.into())
}

impl<R: Read> AvroFile<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`InvalidData`](io::ErrorKind::InvalidData): not such a file, or one of a kind that is not read; else the reader's own.
    pub fn open(mut input: R) -> io::Result<AvroFile<R>> {
        let mut head = Head { input: &mut input, left: HEADER };
        if head.bytes(MAGIC.len() as u64)? != MAGIC {
            return Err(damaged("not an Avro file: it begins with other bytes"));
        }
        let (mut schema, mut codec) = (None, Codec::Null);
        loop {
            let mut count = head.number()?;
            if count == 0 {
                break;
            }
            if count < 0 {
                // The block's size comes with it.
                head.number()?;
                count = count.checked_neg().ok_or_else(|| damaged("the header does not read"))?;
            }
            for _ in 0..count {
                let (key, value) = (head.text()?, head.text()?);
                match key.as_slice() {
                    b"avro.schema" => {
                        schema = Some(String::from_utf8(value).map_err(|_| damaged("the schema is not UTF-8"))?);
                    }
                    b"avro.codec" => codec = Codec::named(&value)?,
                    _ => {}
                }
            }
        }
        let sync = head.bytes(SYNC)?;
        let schema = schema.ok_or_else(|| damaged("the header has no schema"))?;
        let root: Value = serde_json::from_str(&schema).map_err(|_| damaged("the schema is not JSON"))?;
        let wrong = |why: String| damaged(format!("the file's schema: {why}"));
        let shape = Shape::of(&root).map_err(wrong)?;
        let reader = Reader::new(0, &schema, None).map_err(wrong)?;
        let natural: Fields = reader.schema().fields().iter().map(natural_field).collect();
        let schema = Arc::new(Schema::new(natural));
        Ok(AvroFile { input, codec, sync, shape, reader, schema, block: Vec::new(), at: 0, left: 0, row: 0 })
    }

    /// The columns.
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn next_rows(&mut self) -> io::Result<Option<RecordBatch>> {
        while self.left == 0 {
            if self.at < self.block.len() {
                return Err(damaged(format!("behind row {}: a block has more bytes than its records", self.row)));
            }
            if !self.next_block()? {
                return Ok(None);
            }
        }
        let mut bodies: Vec<&[u8]> = Vec::new();
        let mut rest = self.block.get(self.at..).unwrap_or_default();
        while self.left > 0 && bodies.len() < ROWS {
            let Some(behind) = self.shape.skip(rest) else {
                let row = self.row.saturating_add(bodies.len() as u64).saturating_add(1);
                return Err(damaged(format!("row {row} does not end within its block")));
            };
            let length = rest.len().saturating_sub(behind.len());
            bodies.push(rest.get(..length).unwrap_or_default());
            rest = behind;
            self.left = self.left.saturating_sub(1);
        }
        let (read, unfit) = self.reader.read(&bodies);
        if let Some(first) = unfit.first() {
            let row = self.row.saturating_add(*first as u64).saturating_add(1);
            return Err(damaged(format!("row {row} is not a record of the file's schema")));
        }
        self.row = self.row.saturating_add(bodies.len() as u64);
        self.at = self.block.len().saturating_sub(rest.len());
        let arrays = natural_columns(&self.schema, &read);
        RecordBatch::try_new(self.schema.clone(), arrays).map(Some).map_err(|error| damaged(error.to_string()))
    }

    /// Reads a block; false at the end of the file.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut first = [0_u8];
        if self.input.read(&mut first)? == 0 {
            return Ok(false);
        }
        let [first] = first;
        let row = self.row;
        let wrong = |what: &str| damaged(format!("behind row {row}: {what}"));
        let mut head = Head { input: &mut self.input, left: BLOCK };
        let count = head.number_from(first)?;
        let size = head.number()?;
        let (Ok(count), Ok(size)) = (u64::try_from(count), u64::try_from(size)) else {
            return Err(wrong("a block has no size"));
        };
        if size > BLOCK {
            return Err(wrong(&format!("a block has {size} bytes, and {BLOCK} are the most that are read")));
        }
        let packed = Head { input: &mut self.input, left: size }.bytes(size)?;
        let mark = Head { input: &mut self.input, left: SYNC }.bytes(SYNC)?;
        if mark != self.sync {
            return Err(wrong("a block does not end with the file's mark"));
        }
        self.block = self.codec.unpack(packed).map_err(|why| wrong(&why))?;
        if self.block.is_empty() && count > 0 {
            return Err(wrong("a block has records without a byte"));
        }
        (self.at, self.left) = (0, count);
        Ok(true)
    }
}

/// The begin of something, of which so much may be read yet.
struct Head<'r, R> {
    input: &'r mut R,
    left: u64,
}

impl<R: Read> Head<'_, R> {
    fn bytes(&mut self, count: u64) -> io::Result<Vec<u8>> {
        if count > self.left {
            return Err(damaged("a length is larger than what it stands in"));
        }
        self.left = self.left.saturating_sub(count);
        // As much memory as there are bytes.
        let mut bytes = Vec::new();
        self.input.by_ref().take(count).read_to_end(&mut bytes)?;
        if (bytes.len() as u64) < count { Err(damaged("the file is cut off")) } else { Ok(bytes) }
    }

    fn text(&mut self) -> io::Result<Vec<u8>> {
        let length = u64::try_from(self.number()?).map_err(|_| damaged("the header does not read"))?;
        self.bytes(length)
    }

    fn number(&mut self) -> io::Result<i64> {
        let [first] = self.bytes(1)?.try_into().map_err(|_| damaged("the file is cut off"))?;
        self.number_from(first)
    }

    fn number_from(&mut self, first: u8) -> io::Result<i64> {
        let mut bytes = vec![first];
        while bytes.last().is_some_and(|byte| byte & 0x80 != 0) && bytes.len() < 10 {
            bytes.extend(self.bytes(1)?);
        }
        number(&bytes).map(|(number, _)| number).ok_or_else(|| damaged("a number does not read"))
    }
}

impl Codec {
    fn named(name: &[u8]) -> io::Result<Codec> {
        Ok(match name {
            b"" | b"null" => Codec::Null,
            b"deflate" => Codec::Deflate,
            b"snappy" => Codec::Snappy,
            b"zstandard" => Codec::Zstandard,
            b"bzip2" => Codec::Bzip2,
            b"xz" => Codec::Xz,
            other => {
                let name: String = String::from_utf8_lossy(other).chars().filter(|c| c.is_alphanumeric()).collect();
                return Err(damaged(format!("blocks are packed with `{name}`, which is not read")));
            }
        })
    }

    /// A block's records.
    fn unpack(self, packed: Vec<u8>) -> Result<Vec<u8>, String> {
        let bytes = packed.as_slice();
        match self {
            Codec::Null => Ok(packed),
            Codec::Deflate => all(flate2::read::DeflateDecoder::new(bytes)),
            Codec::Snappy => snappy(bytes),
            Codec::Zstandard => all(zstd::Decoder::new(bytes).map_err(|_| UNPACKED)?),
            Codec::Bzip2 => all(bzip2::read::MultiBzDecoder::new(bytes)),
            Codec::Xz => all(lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB)),
        }
    }
}

const UNPACKED: &str = "a block does not unpack";

fn all(unpacked: impl Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = unpacked.take(BLOCK.saturating_add(1)).read_to_end(&mut bytes);
    read.map_err(|_| UNPACKED.to_string())?;
    if bytes.len() as u64 > BLOCK { Err(format!("a block unpacks to more than {BLOCK} bytes")) } else { Ok(bytes) }
}

/// Each three bytes of it stand for 64 at most.
const SNAPPY: usize = 24;

/// A checksum of what is unpacked stands behind it.
fn snappy(bytes: &[u8]) -> Result<Vec<u8>, String> {
    let wrong = || UNPACKED.to_string();
    let (packed, sum) = bytes.split_last_chunk::<4>().ok_or_else(wrong)?;
    let claimed = snap::raw::decompress_len(packed).map_err(|_| wrong())?;
    if claimed > packed.len().saturating_mul(SNAPPY) {
        return Err(wrong());
    }
    let unpacked = snap::raw::Decoder::new().decompress_vec(packed).map_err(|_| wrong())?;
    let mut found = flate2::Crc::new();
    found.update(&unpacked);
    if found.sum() == u32::from_be_bytes(*sum) { Ok(unpacked) } else { Err("a block's checksum is wrong".to_string()) }
}
