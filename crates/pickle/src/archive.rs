//! Zip archives as Python's `zipfile` writes them, and no others: every byte of the archive belongs to one entry or to
//! the directory, both headers of an entry say the same, and what unpacks is what they say.

use std::io::Read;
use std::ops::Range;

use crate::unpack::{XZ_MEMORY_KIB, drain};
use crate::wide::wide;
use crate::{Container, ErrorKind, Limits};

/// One file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    /// Where its bytes are in what was unpacked.
    pub(crate) data: Range<usize>,
}

/// The directory's end: its signature, eight numbers, and a comment that must be empty.
const END: usize = 22;
/// An entry of the directory, before its name.
const CENTRAL: usize = 46;
/// Bits of the flags that may be set: hints of the compressors, and names in UTF-8.
const FLAGS: u16 = 0x0806;
const ENCRYPTED: u16 = 0x0001;
/// Longer than any name that skops or numpy give.
const NAME: usize = 255;
/// What stands in a header whose sizes are in the zip64 field after it.
const IN_ZIP64: u32 = u32::MAX;

/// An entry as the directory tells of it.
struct Told<'b> {
    name: &'b [u8],
    flags: u16,
    method: u16,
    crc: u32,
    packed: u32,
    unpacked: u32,
    at: u32,
}

/// Unpacks all entries to the end of `out`, `first` (where it is there) before the others. All that is in `out` then
/// counts against the `whole` file, so that an archive inside of an archive is bound by the outer one's size.
pub(crate) fn unpack(
    bytes: &[u8],
    whole: usize,
    first: &str,
    out: &mut Vec<u8>,
    limits: &Limits,
) -> Result<Vec<Entry>, ErrorKind> {
    let (mut told, directory) = directory(bytes)?;
    told.sort_by_key(|entry| entry.at);
    let mut end = 0usize;
    let mut pieces = Vec::new();
    for entry in told {
        let name = name(entry.name)?;
        let wrong = |what| ErrorKind::ZipEntry { name: name.clone(), what };
        let at = usize::try_from(entry.at).unwrap_or(usize::MAX);
        if at < end {
            return Err(wrong("overlaps another"));
        }
        if at > end {
            return Err(wrong("has bytes before it that belong to none"));
        }
        let from = local(bytes, at, &entry).map_err(wrong)?;
        let packed = usize::try_from(entry.packed).ok().and_then(|packed| from.checked_add(packed));
        end = packed.filter(|end| *end <= directory).ok_or_else(|| wrong("reaches into the directory"))?;
        pieces.push((name.clone(), entry, from..end));
    }
    if end != directory {
        return Err(ErrorKind::Zip("has bytes before its directory that belong to no entry"));
    }
    let mut names: Vec<&str> = pieces.iter().map(|(name, ..)| name.as_str()).collect();
    names.sort_unstable();
    if let Some(pair) = names.windows(2).find(|pair| pair.first() == pair.last()) {
        let name = pair.first().copied().unwrap_or_default().to_owned();
        return Err(ErrorKind::ZipEntry { name, what: "is there twice" });
    }
    pieces.sort_by_key(|(name, ..)| name != first);
    let promised =
        pieces.iter().map(|(_, entry, _)| u64::from(entry.unpacked)).fold(wide(out.len()), u64::saturating_add);
    // Checked before the first byte is unpacked; what an entry has beyond its promise is not unpacked either.
    crate::unpack::room(Container::Zip, wide(whole), promised, limits)?;
    let mut entries = Vec::with_capacity(pieces.len());
    for (name, entry, place) in pieces {
        let start = out.len();
        let packed = bytes.get(place).unwrap_or(&[]);
        extract(&entry, packed, out, limits).map_err(|kind| match kind {
            ErrorKind::Zip(what) => ErrorKind::ZipEntry { name: name.clone(), what },
            other => other,
        })?;
        entries.push(Entry { name, data: start..out.len() });
    }
    Ok(entries)
}

/// The files of any zip archive whose names are wanted, as other programs write them: found by the directory alone, which
/// may have a comment after it.
pub(crate) fn files(
    bytes: &[u8],
    wanted: &dyn Fn(&str) -> bool,
    limits: &Limits,
) -> Result<Vec<(String, Vec<u8>)>, ErrorKind> {
    let told = any_directory(bytes)?;
    let named = told.into_iter().map(|entry| (String::from_utf8_lossy(entry.name).into_owned(), entry));
    let chosen: Vec<(String, Told<'_>)> = named.filter(|(name, _)| !name.ends_with('/') && wanted(name)).collect();
    let promised = chosen.iter().map(|(_, entry)| u64::from(entry.unpacked)).fold(0, u64::saturating_add);
    crate::unpack::room(Container::Zip, wide(bytes.len()), promised, limits)?;
    let mut files = Vec::new();
    for (name, entry) in chosen {
        let wrong = |what| ErrorKind::ZipEntry { name: name.clone(), what };
        if entry.flags & ENCRYPTED != 0 {
            return Err(wrong("is encrypted"));
        }
        let packed = data_of(bytes, &entry).ok_or_else(|| wrong("is not where the directory says"))?;
        let mut data = Vec::new();
        extract(&entry, packed, &mut data, limits).map_err(|kind| match kind {
            ErrorKind::Zip(what) => wrong(what),
            other => other,
        })?;
        files.push((name, data));
    }
    Ok(files)
}

/// More entries than an archive of a model has.
const ENTRIES: usize = 10_000;

/// The entries of a directory that ends somewhere near the end of the file.
fn any_directory(bytes: &[u8]) -> Result<Vec<Told<'_>>, ErrorKind> {
    let no_end = ErrorKind::Zip("has no directory at its end");
    // A comment has at most 64 KiB.
    let from = bytes.len().saturating_sub(END.saturating_add(usize::from(u16::MAX)));
    let tail = bytes.get(from..).unwrap_or(&[]);
    let at = tail.windows(4).rposition(|window| window == b"PK\x05\x06").ok_or_else(|| no_end.clone())?;
    let mut end = Fields { bytes: tail, at: at.saturating_add(10) };
    let (count, _, start) = (end.u16(), end.u32(), end.u32());
    let (Some(count), Some(start)) = (count, start) else { return Err(no_end) };
    if start == u32::MAX || count == u16::MAX {
        return Err(ErrorKind::Zip("is larger than 4 GiB"));
    }
    if usize::from(count) > ENTRIES {
        return Err(ErrorKind::Limit { what: "entries in the zip file", limit: wide(ENTRIES) });
    }
    let mut fields = Fields { bytes, at: usize::try_from(start).unwrap_or(usize::MAX) };
    let entries: Option<Vec<Told<'_>>> = (0..count).map(|_| fields.central()).collect();
    entries.ok_or(ErrorKind::Zip("has fewer entries than its directory says"))
}

/// The packed bytes of an entry, which follow its own header.
fn data_of<'b>(bytes: &'b [u8], entry: &Told<'_>) -> Option<&'b [u8]> {
    let mut fields = Fields { bytes, at: usize::try_from(entry.at).ok()? };
    if fields.u32()? != 0x0403_4b50 {
        return None;
    }
    fields.skip(22);
    let (name, extra) = (fields.u16()?, fields.u16()?);
    fields.skip(usize::from(name).saturating_add(usize::from(extra)));
    fields.take(usize::try_from(entry.packed).ok()?)
}

/// The entries that the directory lists, and where it starts.
fn directory(bytes: &[u8]) -> Result<(Vec<Told<'_>>, usize), ErrorKind> {
    let no_end = ErrorKind::Zip("has no directory at its end");
    let at = bytes.len().checked_sub(END).ok_or_else(|| no_end.clone())?;
    let mut end = Fields { bytes, at };
    if end.u32() != Some(0x0605_4b50) {
        return Err(no_end);
    }
    let disks = (end.u16(), end.u16());
    let (here, all) = (end.u16(), end.u16());
    let (size, start, comment) = (end.u32(), end.u32(), end.u16());
    if (here, size, start) == (Some(u16::MAX), Some(u32::MAX), Some(u32::MAX)) || start == Some(u32::MAX) {
        return Err(ErrorKind::Zip("is larger than 4 GiB"));
    }
    let whole = |n: Option<u32>| n.and_then(|n| usize::try_from(n).ok());
    let start = whole(start).zip(whole(size)).filter(|(start, size)| start.checked_add(*size) == Some(at));
    let (Some((start, _)), (Some(0), Some(0)), Some(0)) = (start, disks, comment) else {
        return Err(ErrorKind::Zip("has an end that is not where its directory ends"));
    };
    if here != all {
        return Err(ErrorKind::Zip("is one of several parts"));
    }
    let count = usize::from(here.unwrap_or(0));
    let mut told = Vec::with_capacity(count.min(bytes.len() / CENTRAL));
    let mut fields = Fields { bytes: bytes.get(..at).unwrap_or(&[]), at: start };
    for _ in 0..count {
        told.push(fields.central().ok_or(ErrorKind::Zip("has fewer entries than its directory says"))?);
    }
    if fields.at != at {
        return Err(ErrorKind::Zip("has more entries than its directory says"));
    }
    Ok((told, start))
}

/// Checks the header before an entry's data against the directory; gives where the data starts.
fn local(bytes: &[u8], at: usize, told: &Told<'_>) -> Result<usize, &'static str> {
    let differs = "has a header that says something else than the directory";
    if told.flags & ENCRYPTED != 0 {
        return Err("is encrypted");
    }
    if told.flags & !FLAGS != 0 {
        return Err("has flags that Python does not write");
    }
    let mut fields = Fields { bytes, at };
    if fields.u32() != Some(0x0403_4b50) {
        return Err("has no header");
    }
    fields.skip(2);
    let same = (fields.u16(), fields.u16()) == (Some(told.flags), Some(told.method));
    fields.skip(4);
    let same = same && fields.u32() == Some(told.crc);
    let (packed, unpacked) = (fields.u32(), fields.u32());
    let (name, extra) = (fields.u16(), fields.u16());
    let lengths = name.zip(extra).map(|(name, extra)| (usize::from(name), usize::from(extra)));
    let (name, extra) =
        lengths.and_then(|(name, extra)| Some((fields.take(name)?, fields.take(extra)?))).ok_or(differs)?;
    let sizes = match (packed, unpacked) {
        (Some(IN_ZIP64), Some(IN_ZIP64)) => zip64(extra).ok_or(differs)?,
        (Some(packed), Some(unpacked)) => (u64::from(packed), u64::from(unpacked)),
        _ => return Err(differs),
    };
    let same = same && sizes == (u64::from(told.packed), u64::from(told.unpacked)) && name == told.name;
    if same { Ok(fields.at) } else { Err(differs) }
}

/// Packed and unpacked size in the zip64 field, which numpy writes whatever the size.
fn zip64(extra: &[u8]) -> Option<(u64, u64)> {
    let mut fields = Fields { bytes: extra, at: 0 };
    if (fields.u16()?, fields.u16()?) != (1, 16) {
        return None;
    }
    let unpacked = fields.u64()?;
    Some((fields.u64()?, unpacked))
}

/// A name without any way to another folder.
fn name(bytes: &[u8]) -> Result<String, ErrorKind> {
    let good = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\' | b':');
    if bytes.is_empty() || bytes.len() > NAME || !bytes.iter().all(good) || bytes.starts_with(b".") {
        return Err(ErrorKind::Zip("has an entry whose name is not a plain file name"));
    }
    Ok(bytes.iter().map(|byte| char::from(*byte)).collect())
}

/// Unpacks one entry: exactly as many bytes as its header says, with the checksum that it says.
fn extract(entry: &Told<'_>, packed: &[u8], out: &mut Vec<u8>, limits: &Limits) -> Result<(), ErrorKind> {
    let start = out.len();
    let size = u64::from(entry.unpacked);
    let mut take = |reader: &mut dyn Read| {
        // One byte more tells whether there is more.
        drain(&mut reader.take(size.saturating_add(1)), Container::Zip, packed, limits, out)
    };
    match entry.method {
        0 if entry.packed != entry.unpacked => return Err(ErrorKind::Zip("is stored in another size than its own")),
        0 => take(&mut &*packed)?,
        8 => take(&mut flate2::bufread::DeflateDecoder::new(packed))?,
        12 => take(&mut bzip2::bufread::BzDecoder::new(packed))?,
        14 => {
            // The version of the packer, the length of the properties, and then they as `.lzma` has them.
            let (head, rest) = packed.split_at_checked(9).ok_or(ErrorKind::Zip("is damaged"))?;
            let properties = head.get(4..).unwrap_or(&[]);
            let header = [properties, &[0xff; 8]].concat();
            let reader = header.as_slice().chain(rest);
            let reader = lzma_rust2::LzmaReader::new_mem_limit(reader, XZ_MEMORY_KIB, None);
            take(&mut reader.map_err(|_| ErrorKind::Zip("is damaged"))?)?;
        }
        _ => return Err(ErrorKind::Zip("is packed in a way that Python does not write")),
    }
    let unpacked = out.get(start..).unwrap_or(&[]);
    if wide(unpacked.len()) != size {
        return Err(ErrorKind::Zip("does not unpack to the size that its header says"));
    }
    let mut crc = flate2::Crc::new();
    crc.update(unpacked);
    if crc.sum() != entry.crc { Err(ErrorKind::Zip("has another checksum than its header says")) } else { Ok(()) }
}

/// Reads little-endian numbers one after another.
struct Fields<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Fields<'b> {
    fn take(&mut self, len: usize) -> Option<&'b [u8]> {
        let end = self.at.checked_add(len)?;
        let piece = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(piece)
    }

    fn skip(&mut self, len: usize) {
        self.at = self.at.saturating_add(len);
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }

    /// One entry of the directory.
    fn central(&mut self) -> Option<Told<'b>> {
        if self.u32()? != 0x0201_4b50 {
            return None;
        }
        self.skip(4);
        let (flags, method) = (self.u16()?, self.u16()?);
        self.skip(4);
        let (crc, packed, unpacked) = (self.u32()?, self.u32()?, self.u32()?);
        let (name, extra, comment) = (self.u16()?, self.u16()?, self.u16()?);
        self.skip(8);
        let at = self.u32()?;
        let name = self.take(usize::from(name))?;
        self.take(usize::from(extra))?;
        self.take(usize::from(comment))?;
        Some(Told { name, flags, method, crc, packed, unpacked, at })
    }
}
