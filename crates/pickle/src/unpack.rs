//! Unpacking a file under a budget.

use std::io::{ErrorKind as IoKind, Read};

use crate::wide::wide;
use crate::{Container, ErrorKind, Limits};

/// Unpacked bytes that any file may have, whatever the ratio: a small file is not a bomb, however well it packs.
const ALWAYS: u64 = 4 << 20;
/// The dictionary of the strongest preset of xz and lzma (64 MiB), with the decoder's own memory.
pub(crate) const XZ_MEMORY_KIB: u32 = 66 << 10;
/// 64 MiB, which `zstd` itself needs for all but its `--ultra` levels and `--long`.
const ZSTD_WINDOW_LOG: u32 = 26;
/// `ZF`, then the length in hexadecimal, padded with spaces to 19 characters.
const ZF_LENGTH: std::ops::Range<usize> = 2..21;

/// What came out of a container, and why there is not more of it.
pub(crate) struct Unpacked {
    pub(crate) container: Container,
    pub(crate) data: Vec<u8>,
    pub(crate) broken: Option<ErrorKind>,
}

/// Finds out what the bytes are packed with, and unpacks them.
pub(crate) fn unpack(bytes: Vec<u8>, limits: &Limits) -> Result<(Container, Vec<u8>), ErrorKind> {
    let Unpacked { container, mut data, broken } = unpack_some(bytes, limits)?;
    data.shrink_to_fit();
    match broken {
        Some(kind) => Err(kind),
        None => Ok((container, data)),
    }
}

/// The first bytes of what a container holds; none where it is damaged or is none.
pub(crate) fn peek(bytes: &[u8], count: usize) -> Option<Vec<u8>> {
    let container = Container::sniff(bytes)?;
    let mut start = Vec::new();
    let mut some = |from: &mut dyn Read| from.take(wide(count)).read_to_end(&mut start).ok();
    match container {
        Container::Gzip => some(&mut flate2::bufread::MultiGzDecoder::new(bytes)),
        Container::Bz2 => some(&mut bzip2::bufread::MultiBzDecoder::new(bytes)),
        Container::Lz4 => some(&mut lz4_flex::frame::FrameDecoder::new(bytes)),
        Container::Xz => some(&mut lzma_rust2::XzReader::new_mem_limit(bytes, true, XZ_MEMORY_KIB)),
        Container::Lzma => some(&mut lzma_rust2::LzmaReader::new_mem_limit(bytes, XZ_MEMORY_KIB, None).ok()?),
        Container::Zlib => some(&mut flate2::bufread::ZlibDecoder::new(bytes)),
        Container::Zstd => {
            let mut reader = zstd::Decoder::with_buffer(bytes).ok()?;
            reader.window_log_max(ZSTD_WINDOW_LOG).ok()?;
            some(&mut reader)
        }
        Container::Plain | Container::Zip | Container::Zf => None,
    }?;
    Some(start)
}

/// Unpacks as much as there is before the damage.
pub(crate) fn unpack_some(bytes: Vec<u8>, limits: &Limits) -> Result<Unpacked, ErrorKind> {
    let container = Container::sniff(&bytes).ok_or_else(|| ErrorKind::NotPickle(first_bytes(&bytes)))?;
    let packed = bytes.as_slice();
    let mut data = Vec::new();
    let mut all = |from: &mut dyn Read| drain(from, container, packed, limits, &mut data);
    let whole = match container {
        Container::Plain => {
            let limit = limits.unpacked;
            if wide(bytes.len()) > limit {
                return Err(ErrorKind::Limit { what: "bytes in the file", limit });
            }
            return Ok(Unpacked { container, data: bytes, broken: None });
        }
        Container::Zip => return Err(ErrorKind::Zip("is not a pickle")),
        Container::Zlib => all(&mut flate2::bufread::ZlibDecoder::new(packed)),
        Container::Gzip => all(&mut flate2::bufread::MultiGzDecoder::new(packed)),
        Container::Bz2 => all(&mut bzip2::bufread::MultiBzDecoder::new(packed)),
        Container::Lz4 => all(&mut lz4_flex::frame::FrameDecoder::new(packed)),
        Container::Zstd => zstd::Decoder::with_buffer(packed)
            .and_then(|mut reader| reader.window_log_max(ZSTD_WINDOW_LOG).map(|()| reader))
            .map_err(|e| damage(container, &e))
            .and_then(|mut reader| all(&mut reader)),
        Container::Xz => all(&mut lzma_rust2::XzReader::new_mem_limit(packed, true, XZ_MEMORY_KIB)),
        Container::Lzma => lzma_rust2::LzmaReader::new_mem_limit(packed, XZ_MEMORY_KIB, None)
            .map_err(|e| damage(container, &e))
            .and_then(|mut reader| all(&mut reader)),
        Container::Zf => {
            let (length, rest) = zf_header(packed)?;
            all(&mut flate2::bufread::ZlibDecoder::new(rest)).and_then(|()| {
                let reason = format!("it unpacks to {} bytes, its header says {length}", data.len());
                if wide(data.len()) == length { Ok(()) } else { Err(ErrorKind::Damaged { container, reason }) }
            })
        }
    };
    Ok(Unpacked { container, data, broken: whole.err() })
}

/// The length in a `ZF` header, and the zlib stream after it (very old files have one space in between).
fn zf_header(packed: &[u8]) -> Result<(u64, &[u8]), ErrorKind> {
    let header = packed.get(ZF_LENGTH).and_then(|digits| std::str::from_utf8(digits).ok());
    let digits = header.map(str::trim).and_then(|digits| digits.strip_prefix("0x"));
    let length = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let length = length.ok_or_else(|| ErrorKind::Damaged {
        container: Container::Zf,
        reason: "its header has no length".to_owned(),
    })?;
    let rest = packed.get(ZF_LENGTH.end..).unwrap_or(&[]);
    Ok((length, rest.strip_prefix(b" ").unwrap_or(rest)))
}

/// How many bytes `packed` may unpack to, and the limit that decides.
fn ceiling(packed: u64, limits: &Limits) -> (u64, &'static str) {
    let by_ratio = ALWAYS.max(limits.ratio.saturating_mul(packed));
    if by_ratio < limits.unpacked { (by_ratio, "ratio") } else { (limits.unpacked, "unpacked") }
}

/// Checks that there is room for `unpacked` bytes.
pub(crate) fn room(container: Container, packed: u64, unpacked: u64, limits: &Limits) -> Result<(), ErrorKind> {
    let (limit, raise) = ceiling(packed, limits);
    if unpacked > limit { Err(ErrorKind::Bomb { container, packed, limit, raise }) } else { Ok(()) }
}

/// Reads a decoder to its end, growing the buffer only as far as the limits go.
pub(crate) fn drain(
    from: &mut dyn Read,
    container: Container,
    packed: &[u8],
    limits: &Limits,
    out: &mut Vec<u8>,
) -> Result<(), ErrorKind> {
    let packed = wide(packed.len());
    let (limit, raise) = ceiling(packed, limits);
    let bomb = || ErrorKind::Bomb { container, packed, limit, raise };
    let start = out.len();
    let mut piece = vec![0u8; 64 << 10];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => piece.get(..read).unwrap_or(&[]),
            Err(e) if e.kind() == IoKind::Interrupted => continue,
            Err(e) => return Err(damage(container, &e)),
        };
        let total = out.len().saturating_add(read.len());
        if wide(total.saturating_sub(start)) > limit {
            return Err(bomb());
        }
        if total > out.capacity() {
            let more = out.capacity().max(read.len()).max(64 << 10);
            out.try_reserve_exact(more).map_err(|_| bomb())?;
        }
        out.extend_from_slice(read);
    }
    Ok(())
}

fn damage(container: Container, e: &std::io::Error) -> ErrorKind {
    let reason = match e.kind() {
        IoKind::UnexpectedEof => "it ends too early".to_owned(),
        _ => e.to_string(),
    };
    ErrorKind::Damaged { container, reason }
}

fn first_bytes(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "nothing: it is empty".to_owned();
    }
    let hex: Vec<String> = bytes.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("the bytes {}", hex.join(" "))
}
