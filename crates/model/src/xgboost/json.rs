//! JSON as XGBoost writes it: fractions are float32, and `NaN`, `Infinity` and `-Infinity` may stand for numbers.

use super::value::{Builder, Value};
use crate::Error;

/// Parses a whole document.
pub(super) fn parse(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader { bytes, at: 0, builder: Builder::new("XGBoost JSON", bytes.len()) };
    reader.run()?;
    reader.builder.finish(reader.at)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    builder: Builder,
}

impl Reader<'_> {
    fn fail<T>(&self, message: impl Into<String>) -> Result<T, Error> {
        Err(self.builder.error(self.at, message))
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !byte.is_ascii_whitespace() {
                return Some(*byte);
            }
            self.at = self.at.saturating_add(1);
        }
        None
    }

    fn skip(&mut self, count: usize) {
        self.at = self.at.saturating_add(count);
    }

    fn run(&mut self) -> Result<(), Error> {
        // Whether a value may follow without a comma: at the start of the document, an array or an object.
        let mut first = true;
        loop {
            let Some(byte) = self.peek() else {
                return if self.builder.is_done() { Ok(()) } else { self.fail("the document ends too early") };
            };
            if self.builder.is_done() {
                return self.fail("something follows the end of the document");
            }
            match byte {
                b']' | b'}' => {
                    let at = self.at;
                    self.skip(1);
                    self.builder.end(byte == b']', at)?;
                    first = false;
                    continue;
                }
                b',' if !first => {
                    self.skip(1);
                    if matches!(self.peek(), Some(b']' | b'}' | b',')) {
                        return self.fail("a comma that nothing follows");
                    }
                }
                _ if !first => return self.fail("a comma or closing bracket is missing"),
                _ => {}
            }
            if self.builder.wants_key() {
                if self.peek() != Some(b'"') {
                    return self.fail("a key is missing");
                }
                let at = self.at;
                let key = self.text()?;
                self.builder.key(key, at)?;
                if self.peek() != Some(b':') {
                    return self.fail("`:` is missing after a key");
                }
                self.skip(1);
            }
            first = self.value()?;
        }
    }

    /// One value, or the opening of a nested one; true where the next thing needs no comma.
    fn value(&mut self) -> Result<bool, Error> {
        let Some(byte) = self.peek() else { return self.fail("the document ends too early") };
        let at = self.at;
        let value = match byte {
            b'[' => {
                self.skip(1);
                self.builder.begin_array(at)?;
                return Ok(true);
            }
            b'{' => {
                self.skip(1);
                self.builder.begin_object(at)?;
                return Ok(true);
            }
            b'"' => Value::Text(self.text()?),
            _ => self.word()?,
        };
        self.builder.push(value, at)?;
        Ok(false)
    }

    /// A number or a literal.
    fn word(&mut self) -> Result<Value, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b']' | b'}' | b':');
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        let word = rest.get(..length).and_then(|word| std::str::from_utf8(word).ok()).unwrap_or_default();
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "NaN" | "nan" => Value::Float(f32::NAN),
            "Infinity" | "inf" => Value::Float(f32::INFINITY),
            "-Infinity" | "-inf" => Value::Float(f32::NEG_INFINITY),
            _ => {
                let numeric = word.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'+' | b'.' | b'e' | b'E'));
                let parsed = match word.parse::<i64>() {
                    Ok(int) => Some(Value::Int(int)),
                    Err(_) => word.parse::<f32>().ok().map(Value::Float),
                };
                match parsed.filter(|_| numeric && !word.starts_with('+')) {
                    Some(value) => value,
                    None => return self.fail("neither a number nor a literal"),
                }
            }
        };
        self.skip(length);
        Ok(value)
    }

    /// A string in quotes.
    fn text(&mut self) -> Result<String, Error> {
        self.skip(1);
        let mut out: Vec<u8> = Vec::new();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let Some(length) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
                return self.fail("a string does not end");
            };
            out.extend_from_slice(rest.get(..length).unwrap_or_default());
            let quote = rest.get(length) == Some(&b'"');
            self.skip(length.saturating_add(1));
            if quote {
                break;
            }
            self.escape(&mut out)?;
        }
        String::from_utf8(out).or_else(|_| self.fail("a string is not UTF-8"))
    }

    /// What follows a backslash.
    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let Some(byte) = self.bytes.get(self.at).copied() else { return self.fail("a string does not end") };
        self.skip(1);
        let plain = match byte {
            b'"' | b'\\' | b'/' => byte,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'b' => 8,
            b'f' => 12,
            b'u' => {
                let high = self.hex()?;
                let code = if (0xD800..0xDC00).contains(&high) {
                    if self.bytes.get(self.at..self.at.saturating_add(2)) != Some(b"\\u") {
                        return self.fail("half a surrogate pair");
                    }
                    self.skip(2);
                    let low = self.hex()?;
                    let low = low.wrapping_sub(0xDC00);
                    let high = high.wrapping_sub(0xD800);
                    if low >= 0x400 {
                        return self.fail("half a surrogate pair");
                    }
                    0x10000_u32.saturating_add(high << 10 | low)
                } else {
                    high
                };
                let Some(character) = char::from_u32(code) else { return self.fail("half a surrogate pair") };
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return self.fail("an unknown escape"),
        };
        out.push(plain);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let digits = self.bytes.get(self.at..self.at.saturating_add(4)).unwrap_or_default();
        let text = std::str::from_utf8(digits).unwrap_or_default();
        match u32::from_str_radix(text, 16) {
            Ok(code) if text.len() == 4 && !text.starts_with('+') => {
                self.skip(4);
                Ok(code)
            }
            _ => self.fail("four hexadecimal digits are missing"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str) -> String {
        match parse(text.as_bytes()) {
            Ok(value) => format!("{value:?}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn numbers_are_packed_and_fractions_are_float32() {
        assert_eq!(show("[1, 2, -3]"), "Ints([1, 2, -3])");
        assert_eq!(show("[1, 2.5E-1]"), "Floats([1.0, 0.25])");
        assert_eq!(show("[1, \"a\", null]"), "List([Int(1), Text(\"a\"), Null])");
        assert_eq!(show("{\"a\": [], \"b\": {}}"), "Object([(\"a\", Ints([])), (\"b\", Object([]))])");
        assert_eq!(show("\"\\u00e9\\ud83d\\ude00\\n\""), "Text(\"é😀\\n\")");
    }

    #[test]
    fn broken_documents_are_refused_with_their_byte() {
        let cases = [
            ("", "byte 0: the document ends too early"),
            ("[1, 2", "byte 5: the document ends too early"),
            ("[1 2]", "byte 3: a comma or closing bracket is missing"),
            ("[1,]", "byte 3: a comma that nothing follows"),
            ("[1}", "byte 2: a closing bracket that fits no opening one"),
            ("{\"a\" 1}", "byte 5: `:` is missing after a key"),
            ("{1: 2}", "byte 1: a key is missing"),
            ("{\"a\":}", "byte 5: neither a number nor a literal"),
            ("[1] 2", "byte 4: something follows the end of the document"),
            ("[+1]", "byte 1: neither a number nor a literal"),
            ("\"abc", "byte 1: a string does not end"),
            ("\"\\ud800\"", "byte 7: half a surrogate pair"),
        ];
        for (text, error) in cases {
            assert_eq!(show(text), format!("XGBoost JSON: {error}"), "{text}");
        }
        let deep = "[".repeat(1000);
        assert_eq!(show(&deep), "XGBoost JSON: byte 64: more than 64 levels of nesting");
    }
}
