//! What a file is by its first bytes.

use super::settings::Compression;

/// This many first bytes tell what a file is.
pub(super) const HEAD: usize = 64;

/// What some editors put before a text in UTF-8.
pub(super) const MARK: &[u8] = b"\xef\xbb\xbf";

/// What is wrong with a file, and what would help.
pub(super) type Wrong = (String, &'static str);

/// Where a kind's magic number stands, and what it is.
const KINDS: &[(&[u8], &str, &str)] = &[
    (b"\xff\xfe\0\0", "UTF-32", "`iconv -f UTF-32 -t UTF-8` converts it"),
    (b"\0\0\xfe\xff", "UTF-32", "`iconv -f UTF-32 -t UTF-8` converts it"),
    (b"\xff\xfe", UTF_16, CONVERT),
    (b"\xfe\xff", UTF_16, CONVERT),
    (b"\x1f\x8b", "gzip data", "say `compression: gzip`, or end its name with `.gz`"),
    (b"\x28\xb5\x2f\xfd", "Zstandard data", "say `compression: zstd`, or end its name with `.zst`"),
    (b"BZh", "bzip2 data", "unpack it, or pack it with gzip"),
    (b"\xfd7zXZ\0", "xz data", "unpack it, or pack it with gzip"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"PK\x03\x04", "a zip archive, as .xlsx files are", "unpack it, or save it as CSV"),
    (b"PAR1", "Parquet", "say `format: parquet`"),
    (b"Obj\x01", "Avro", "say `format: avro`, or end its name with `.avro`"),
    (b"ORC", "ORC", "convert it to Parquet"),
    (b"SQLite format 3\0", "an SQLite database", "read its table by `tables`, or export it"),
];
const UTF_16: &str = "UTF-16";
const CONVERT: &str = "say `encoding: utf-16`";

/// What a file is by its first bytes, where it is not text.
pub(super) fn no_text(head: &[u8]) -> Result<(), Wrong> {
    let (_, what, remedy) = match KINDS.iter().find(|(magic, _, _)| is(head, magic)) {
        Some(kind) => *kind,
        None if is_wide(head) => (&b""[..], UTF_16, CONVERT),
        None => return Ok(()),
    };
    Err((format!("it is {what}, not a text in UTF-8"), remedy))
}

/// A magic number of letters may begin a text, too: then a letter follows.
fn is(head: &[u8], magic: &[u8]) -> bool {
    let letters = magic.iter().all(u8::is_ascii_graphic);
    let more = head.get(magic.len()..).unwrap_or_default();
    let binary = match magic {
        b"BZh" => more.get(1..5) == Some(b"1AY&"),
        _ => more.iter().any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace()),
    };
    head.starts_with(magic) && (!letters || binary)
}

/// 16-bit text without a byte order mark: every other byte is zero.
fn is_wide(head: &[u8]) -> bool {
    const PAIRS: usize = 4;
    let pairs = || head.chunks_exact(2).take(PAIRS);
    let zero = |at: usize| pairs().all(|pair| pair.get(at) == Some(&0) && pair.get(usize::from(at == 0)) != Some(&0));
    pairs().count() == PAIRS && (zero(0) || zero(1))
}

/// Whether packed bytes are packed like this.
pub(super) fn packed(head: &[u8], compression: Compression) -> Result<(), Wrong> {
    let (right, name) = match compression {
        Compression::None => return Ok(()),
        Compression::Gzip => (head.starts_with(b"\x1f\x8b"), "gzip"),
        // A frame that is to be passed over may come first.
        Compression::Zstd => {
            let passed_over = head.first().is_some_and(|byte| byte & 0xf0 == 0x50) && head.get(1..4) == Some(b"*M\x18");
            (head.starts_with(b"\x28\xb5\x2f\xfd") || passed_over, "Zstandard")
        }
    };
    if right {
        return Ok(());
    }
    Err((
        format!("it is not {name} data, as its name or `compression` says"),
        "`compression: none` where it is not packed; or correct its name",
    ))
}

/// Lines that end as on old Macs are one line here.
pub(super) fn line_ends(begin: &[u8]) -> Result<(), Wrong> {
    let one_line = !begin.contains(&b'\n') && begin.trim_ascii_end().contains(&b'\r');
    if !one_line {
        return Ok(());
    }
    Err(("its lines end with CR alone, as on old Macs".to_string(), "`tr '\\r' '\\n'` converts it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let told = |head: &[u8]| no_text(head).err().map(|(what, _)| what).unwrap_or_default();
        for (head, what) in [
            (&b"\xff\xfea\0,\0"[..], "UTF-16"),
            (b"\xfe\xff\0a", "UTF-16"),
            (b"a\0,\0b\0\n\0", "UTF-16"),
            (b"\0a\0,\0b\0\n", "UTF-16"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x28\xb5\x2f\xfd\x04", "Zstandard"),
            (b"PK\x03\x04\x14\0", "zip archive"),
            (b"PAR1\x15\x04\x15", "Parquet"),
            (b"BZh91AY&SY", "bzip2"),
            (b"ORC\x0a\x03\0", "ORC"),
        ] {
            assert!(told(head).contains(what), "{head:?}: {}", told(head));
        }
        for text in
            ["", "a", "id,name\n", "PAR1,PAR2\n1,2\n", "ORC,x\n", "BZh9,1\n", "Obj,x\n", "\u{feff}id", "数据,值\n"]
        {
            assert_eq!(told(text.as_bytes()), "", "{text}");
        }
        assert!(told(b"a\0b,c\0\n").is_empty(), "some zeros make no UTF-16");
    }

    #[test]
    fn packed_files_are_packed_as_they_say() {
        assert!(packed(b"\x1f\x8b\x08", Compression::Gzip).is_ok() && packed(b"id,name", Compression::Gzip).is_err());
        assert!(
            packed(b"\x28\xb5\x2f\xfd", Compression::Zstd).is_ok() && packed(b"\x50*M\x18", Compression::Zstd).is_ok()
        );
        assert!(packed(b"\x1f\x8b\x08", Compression::Zstd).is_err() && packed(b"x", Compression::None).is_ok());
        assert!(
            line_ends(b"a,b\r1,2\r").is_err() && line_ends(b"a,b\r\n1,2\r\n").is_ok() && line_ends(b"a,b\r").is_ok()
        );
    }
}
