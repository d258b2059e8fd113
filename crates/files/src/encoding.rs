//! Texts in other encodings than UTF-8.

use std::borrow::Cow;

use encoding_rs::{DecoderResult, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, Error};

/// Not a byte of UTF-8: it stands where bytes are not in the encoding, so that the record is refused.
const INVALID: u8 = 0xff;

/// The encoding of a text that is not in UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoding(&'static encoding_rs::Encoding);

impl Encoding {
    /// The encoding of this name, as browsers know it (`gbk`, `utf-16`, `latin1`); `None` for UTF-8.
    ///
    /// # Errors
    /// The name is not known; the message lists those that are.
    pub fn named(name: &str) -> Result<Option<Encoding>, String> {
        let found = encoding_rs::Encoding::for_label(name.as_bytes());
        // Others keep a state from line to line.
        let is_read = |found: &&'static encoding_rs::Encoding| found.is_ascii_compatible() || is_wide(found);
        match found.filter(|found| *found != REPLACEMENT).filter(is_read) {
            Some(found) if found == UTF_8 => Ok(None),
            Some(found) => Ok(Some(Encoding(found))),
            None => Err(format!(
                "`{name}` is not an encoding that can be read: there are `utf-16`, `utf-16be`, `latin1`, `windows-1252`, \
                 `iso-8859-2`, `gbk`, `gb18030`, `big5`, `shift_jis`, `euc-jp`, `euc-kr`, `koi8-r` and the others of the \
                 Encoding Standard"
            )),
        }
    }

    /// Whether letters have 16 bits, so that a line end is not one byte.
    pub(crate) fn is_wide(self) -> bool {
        is_wide(self.0)
    }

    /// Whether a byte that looks like ASCII is ASCII, whatever stands before it.
    pub(crate) fn is_single_byte(self) -> bool {
        self.0.is_single_byte()
    }

    /// A line as UTF-8. Only of an encoding that is not wide.
    pub(crate) fn line(self, line: &[u8]) -> Cow<'_, [u8]> {
        match self.0.decode_without_bom_handling_and_without_replacement(line) {
            Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
            Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
            None => {
                let mut bytes = Vec::with_capacity(line.len().saturating_mul(2));
                Transcoder::new(self).push(line, true, &mut bytes);
                Cow::Owned(bytes)
            }
        }
    }

    /// A whole text as UTF-8.
    pub fn text(self, text: &[u8]) -> Vec<u8> {
        let mut into = Vec::with_capacity(text.len());
        Transcoder::new(self).push(text, true, &mut into);
        into
    }
}

fn is_wide(encoding: &encoding_rs::Encoding) -> bool {
    encoding == UTF_16LE || encoding == UTF_16BE
}

/// As the pipeline file writes it; UTF-8 itself is accepted, too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EncodingSetting(pub Option<Encoding>);

impl<'de> Deserialize<'de> for EncodingSetting {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Encoding::named(&name).map(EncodingSetting).map_err(D::Error::custom)
    }
}

impl JsonSchema for EncodingSetting {
    fn schema_name() -> Cow<'static, str> {
        "Encoding".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        schemars::json_schema!({ "type": "string" })
    }
}

/// A text on its way into UTF-8, block by block. A mark at its beginning says more than the name of the encoding.
pub(crate) struct Transcoder(Option<encoding_rs::Decoder>);

impl Transcoder {
    pub(crate) fn new(encoding: Encoding) -> Transcoder {
        Transcoder(Some(encoding.0.new_decoder()))
    }

    /// Adds these bytes; with `last` the text ends, and nothing can be added.
    pub(crate) fn push(&mut self, mut bytes: &[u8], last: bool, into: &mut Vec<u8>) {
        let Some(decoder) = &mut self.0 else { return };
        loop {
            let room = decoder.max_utf8_buffer_length_without_replacement(bytes.len()).unwrap_or(bytes.len());
            let begin = into.len();
            into.resize(begin.saturating_add(room), 0);
            let free = into.get_mut(begin..).unwrap_or_default();
            let (result, read, written) = decoder.decode_to_utf8_without_replacement(bytes, free, last);
            into.truncate(begin.saturating_add(written));
            bytes = bytes.get(read..).unwrap_or_default();
            match result {
                DecoderResult::InputEmpty => break,
                DecoderResult::OutputFull => {}
                DecoderResult::Malformed(..) => into.push(INVALID),
            }
        }
        if last {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str) -> Encoding {
        Encoding::named(name).unwrap().unwrap()
    }

    #[test]
    fn names_are_those_of_browsers() {
        assert_eq!(Encoding::named("UTF-8").unwrap(), None);
        assert!(named("utf-16").is_wide() && named("UTF-16BE").is_wide() && !named("GBK").is_wide());
        for unknown in ["ebcdic", "utf-32", "iso-2022-jp", "iso-2022-kr", ""] {
            assert!(Encoding::named(unknown).unwrap_err().contains("is not an encoding that can be read"), "{unknown}");
        }
    }

    #[test]
    fn bytes_that_are_not_in_the_encoding_are_no_utf8() {
        assert_eq!(named("latin1").line(b"K\xf6ln"), "Köln".as_bytes());
        assert_eq!(named("gbk").line(b"\xca\xfd\xbe\xdd,1"), "数据,1".as_bytes());
        for (encoding, bytes) in [("gbk", &b"a\xff,1"[..]), ("utf-16", b"a\0\0\xd8b\0"), ("utf-16", b"a\0b")] {
            let text = named(encoding).text(bytes);
            assert!(text.starts_with(b"a") && std::str::from_utf8(&text).is_err(), "{encoding}: {text:?}");
        }
        // The mark says which of the two it is.
        assert_eq!(named("utf-16").text(b"\xfe\xff\0a"), b"a");
    }

    proptest! {
        #[test]
        fn blocks_of_any_size_give_the_same_text(text in "[aé数𝄞\n,]{0,40}", cut in 0_usize..100) {
            let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let (mut transcoder, mut found) = (Transcoder::new(named("utf-16le")), Vec::new());
            transcoder.push(first, false, &mut found);
            transcoder.push(second, true, &mut found);
            prop_assert_eq!(found, text.as_bytes());
        }
    }
}
