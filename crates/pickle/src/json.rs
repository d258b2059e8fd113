//! JSON as a flat list of tokens: checked once, without recursion, nothing copied.

use std::borrow::Cow;
use std::ops::Range;

use crate::ErrorKind;
use crate::meter::Meter;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Null,
    True,
    False,
    /// A number, or Python's `NaN`, `Infinity`, `-Infinity`.
    Number,
    /// Its text has the quotes.
    Text,
    Array,
    Object,
}

/// One value: where its text is, and which token follows what it contains.
#[derive(Debug, Clone, Copy)]
struct Token {
    kind: TokenKind,
    start: u32,
    end: u32,
    next: u32,
}

/// A token's place in the list. Tokens of what a value contains follow it; in an object, keys and values take turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At(u32);

/// A checked JSON text.
#[derive(Debug)]
pub(crate) struct Json<'d> {
    text: &'d str,
    tokens: Vec<Token>,
}

impl<'d> Json<'d> {
    /// Checks a text and lists its tokens; where it is wrong, the byte.
    pub(crate) fn parse(bytes: &'d [u8], meter: &mut Meter<'_>) -> Result<Json<'d>, (u64, ErrorKind)> {
        let text = std::str::from_utf8(bytes).map_err(|_| (0, ErrorKind::NotUtf8))?;
        if u32::try_from(bytes.len()).is_err() {
            return Err((0, ErrorKind::Limit { what: "bytes of JSON", limit: u32::MAX.into() }));
        }
        let mut parser = Parser { bytes, at: 0, tokens: Vec::new(), open: Vec::new() };
        match parser.run(meter) {
            Ok(()) => Ok(Json { text, tokens: parser.tokens }),
            Err(kind) => Err((crate::wide::wide(parser.at), kind)),
        }
    }

    pub(crate) fn root() -> At {
        At(0)
    }

    /// All tokens, the last one first: what a value contains comes before it.
    pub(crate) fn backwards(&self) -> impl Iterator<Item = At> + use<> {
        (0..u32::try_from(self.tokens.len()).unwrap_or(0)).rev().map(At)
    }

    /// How many tokens there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    fn token(&self, at: At) -> Token {
        let end = Token { kind: TokenKind::Null, start: 0, end: 0, next: u32::MAX };
        usize::try_from(at.0).ok().and_then(|index| self.tokens.get(index)).copied().unwrap_or(end)
    }

    pub(crate) fn index(&self, at: At) -> usize {
        usize::try_from(at.0).unwrap_or(usize::MAX)
    }

    pub(crate) fn kind(&self, at: At) -> TokenKind {
        self.token(at).kind
    }

    /// The byte where a value starts.
    pub(crate) fn byte(&self, at: At) -> u64 {
        self.token(at).start.into()
    }

    /// A value's text as it is written.
    pub(crate) fn text(&self, at: At) -> &'d str {
        let token = self.token(at);
        let range = usize::try_from(token.start).unwrap_or(0)..usize::try_from(token.end).unwrap_or(0);
        self.text.get(range).unwrap_or("")
    }

    /// The place of a text without escapes in the whole; `None` where it has some.
    pub(crate) fn plain(&self, at: At) -> Option<Range<u64>> {
        let token = self.token(at);
        let inner = u64::from(token.start).saturating_add(1)..u64::from(token.end).saturating_sub(1);
        (token.kind == TokenKind::Text && !self.text(at).contains('\\')).then_some(inner)
    }

    /// A text without its quotes and escapes; `None` where it is not a text, or has half a character.
    pub(crate) fn string(&self, at: At) -> Option<Cow<'d, str>> {
        let inner = self.text(at).strip_prefix('"')?.strip_suffix('"')?;
        unescape(inner)
    }

    pub(crate) fn int(&self, at: At) -> Option<i64> {
        if self.kind(at) == TokenKind::Number { self.text(at).parse().ok() } else { None }
    }

    /// The items of an array, or the keys and values of an object in turns.
    pub(crate) fn inside(&self, at: At) -> impl Iterator<Item = At> {
        let token = self.token(at);
        let open = matches!(token.kind, TokenKind::Array | TokenKind::Object);
        let end = if open { token.next } else { 0 };
        let mut next = at.0.saturating_add(1);
        std::iter::from_fn(move || {
            let here = At(next);
            (next < end).then(|| {
                next = self.token(here).next;
                here
            })
        })
    }

    /// The members of an object.
    pub(crate) fn members(&self, at: At) -> impl Iterator<Item = (At, At)> {
        let mut inside = if self.kind(at) == TokenKind::Object { Some(self.inside(at)) } else { None };
        std::iter::from_fn(move || {
            let inside = inside.as_mut()?;
            inside.next().zip(inside.next())
        })
    }

    /// The member of an object with this key, which must not be there twice.
    pub(crate) fn get(&self, at: At, key: &str) -> Option<At> {
        let mut found = self.members(at).filter(|(name, _)| self.string(*name).is_some_and(|name| name == key));
        let (_, value) = found.next()?;
        found.next().is_none().then_some(value)
    }

    /// The tokens of a value, itself first.
    pub(crate) fn all(&self, at: At) -> impl Iterator<Item = At> + use<> {
        let end = self.token(at).next;
        (at.0..end).map(At)
    }
}

/// Replaces escapes; pairs of surrogates are one character.
pub(crate) fn unescape(inner: &str) -> Option<Cow<'_, str>> {
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner;
    let unit = |rest: &str| u16::from_str_radix(rest.get(..4)?, 16).ok();
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut chars = escape.chars();
        let escaped = match chars.next()? {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let high = unit(chars.as_str())?;
                chars = chars.as_str().get(4..)?.chars();
                match char::from_u32(high.into()) {
                    Some(char) => char,
                    None => {
                        let low = unit(chars.as_str().strip_prefix("\\u")?)?;
                        chars = chars.as_str().get(6..)?.chars();
                        char::decode_utf16([high, low]).next()?.ok()?
                    }
                }
            }
            other => other,
        };
        out.push(escaped);
        rest = chars.as_str();
    }
    out.push_str(rest);
    Some(Cow::Owned(out))
}

struct Parser<'d> {
    bytes: &'d [u8],
    at: usize,
    tokens: Vec<Token>,
    /// The arrays and objects that are open.
    open: Vec<u32>,
}

const WRONG: ErrorKind = ErrorKind::Literal("JSON");

impl Parser<'_> {
    fn run(&mut self, meter: &mut Meter<'_>) -> Result<(), ErrorKind> {
        self.value(meter)?;
        while let Some(container) = self.open.last().copied() {
            let (kind, first) = self.container(container)?;
            match (self.peek(), kind) {
                (Some(b']'), TokenKind::Array) | (Some(b'}'), TokenKind::Object) => {
                    self.at = self.at.saturating_add(1);
                    self.open.pop();
                    self.close(container)?;
                    continue;
                }
                (Some(b','), _) if !first => {
                    self.at = self.at.saturating_add(1);
                    self.peek();
                }
                _ if first => {}
                _ => return Err(WRONG),
            }
            if kind == TokenKind::Object {
                if self.peek() != Some(b'"') {
                    return Err(WRONG);
                }
                self.value(meter)?;
                if self.peek() != Some(b':') {
                    return Err(WRONG);
                }
                self.at = self.at.saturating_add(1);
            }
            self.value(meter)?;
        }
        if self.peek().is_some() { Err(WRONG) } else { Ok(()) }
    }

    /// The kind of an open container, and whether nothing is in it yet.
    fn container(&self, index: u32) -> Result<(TokenKind, bool), ErrorKind> {
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        let token = self.tokens.get(at).ok_or(WRONG)?;
        Ok((token.kind, self.tokens.len() == at.saturating_add(1)))
    }

    fn close(&mut self, index: u32) -> Result<(), ErrorKind> {
        let next = u32::try_from(self.tokens.len()).map_err(|_| WRONG)?;
        let end = u32::try_from(self.at).map_err(|_| WRONG)?;
        let token = usize::try_from(index).ok().and_then(|at| self.tokens.get_mut(at)).ok_or(WRONG)?;
        (token.next, token.end) = (next, end);
        Ok(())
    }

    /// The next byte that is not a space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(*byte);
            }
            self.at = self.at.saturating_add(1);
        }
        None
    }

    /// One value, or the start of an array or object.
    fn value(&mut self, meter: &mut Meter<'_>) -> Result<(), ErrorKind> {
        let first = self.peek().ok_or(WRONG)?;
        let start = self.at;
        let index = u32::try_from(self.tokens.len()).map_err(|_| WRONG)?;
        let kind = match first {
            b'[' | b'{' => {
                self.at = self.at.saturating_add(1);
                meter.push(&mut self.open, index)?;
                if first == b'[' { TokenKind::Array } else { TokenKind::Object }
            }
            b'"' => {
                self.string()?;
                TokenKind::Text
            }
            b'-' | b'0'..=b'9' | b'N' | b'I' => {
                self.number()?;
                TokenKind::Number
            }
            b'n' => self.word(b"null", TokenKind::Null)?,
            b't' => self.word(b"true", TokenKind::True)?,
            b'f' => self.word(b"false", TokenKind::False)?,
            _ => return Err(WRONG),
        };
        let place = |at: usize| u32::try_from(at).map_err(|_| WRONG);
        let token = Token { kind, start: place(start)?, end: place(self.at)?, next: index.saturating_add(1) };
        meter.push(&mut self.tokens, token)
    }

    fn word(&mut self, word: &[u8], kind: TokenKind) -> Result<TokenKind, ErrorKind> {
        let end = self.at.saturating_add(word.len());
        if self.bytes.get(self.at..end) != Some(word) {
            return Err(WRONG);
        }
        self.at = end;
        Ok(kind)
    }

    fn string(&mut self) -> Result<(), ErrorKind> {
        self.at = self.at.saturating_add(1);
        loop {
            let byte = *self.bytes.get(self.at).ok_or(WRONG)?;
            self.at = self.at.saturating_add(1);
            match byte {
                b'"' => return Ok(()),
                b'\\' => {
                    let escape = *self.bytes.get(self.at).ok_or(WRONG)?;
                    if !b"\"\\/bfnrtu".contains(&escape) {
                        return Err(WRONG);
                    }
                    self.at = self.at.saturating_add(1);
                    if escape == b'u' {
                        let end = self.at.saturating_add(4);
                        let digits = self.bytes.get(self.at..end).ok_or(WRONG)?;
                        if !digits.iter().all(u8::is_ascii_hexdigit) {
                            return Err(WRONG);
                        }
                        self.at = end;
                    }
                }
                0..0x20 => return Err(WRONG),
                _ => {}
            }
        }
    }

    fn number(&mut self) -> Result<(), ErrorKind> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let len = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)).count();
        let text = rest.get(..len).unwrap_or(&[]);
        self.at = self.at.saturating_add(len);
        if is_number(text) { Ok(()) } else { Err(WRONG) }
    }
}

/// Whether a text is a number as JSON or Python writes it.
fn is_number(text: &[u8]) -> bool {
    let positive = text.strip_prefix(b"-").unwrap_or(text);
    if matches!(positive, b"NaN" | b"Infinity") {
        return true;
    }
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let whole = digits(positive);
    let mut rest = positive.get(whole..).unwrap_or(&[]);
    if whole == 0 || (whole > 1 && positive.first() == Some(&b'0')) {
        return false;
    }
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = fraction.get(count..).unwrap_or(&[]);
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let count = digits(exponent);
        return count > 0 && count == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;

    fn parses(text: &str) -> bool {
        let limits = Limits::default();
        let mut meter = Meter::new(&limits, text.len());
        Json::parse(text.as_bytes(), &mut meter).is_ok()
    }

    #[test]
    fn what_json_is_and_what_not() {
        for good in ["1", " [ ] ", "{\"a\": [1, -0.5e+3, NaN, -Infinity, null, true, {}]}", "\"\\u00e9\\n\""] {
            assert!(parses(good), "{good}");
        }
        for bad in ["", "[", "[1,]", "[,1]", "{\"a\"}", "{1: 2}", "{\"a\": 1,}", "01", "1.", "--1", "1 2", "\"\n\""] {
            assert!(!parses(bad), "{bad}");
        }
        for bad in ["\"\\x\"", "\"\\u12\"", "[1 2]", "{\"a\": 1 \"b\": 2}", "]", "nul", "\"", "+1", "1e", "[}"] {
            assert!(!parses(bad), "{bad}");
        }
    }

    #[test]
    fn escapes() {
        assert_eq!(unescape("a\\n\\u00e9\\ud83d\\ude00\\\\\\/b").unwrap(), "a\né😀\\/b");
        assert_eq!(unescape("\\ud83d"), None);
        assert_eq!(unescape("\\ud83d\\u0041"), None);
    }
}
