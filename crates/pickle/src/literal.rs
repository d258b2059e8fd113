//! Numbers and texts as protocol 0 writes them, and integers of any length.

use crate::ErrorKind;

/// An integer: small, or little-endian two's complement.
pub(crate) enum Integer {
    Small(i64),
    Large(Vec<u8>),
}

/// Decimal digits with a sign, as `INT` and `LONG` have them. Quadratic in the digits, which the caller bounds.
pub(crate) fn decimal(text: &[u8]) -> Result<Integer, ErrorKind> {
    let wrong = || ErrorKind::Literal("an integer");
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    if let Some(small) = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()) {
        return Ok(Integer::Small(small));
    }
    let mut bytes: Vec<u8> = Vec::new();
    for digit in digits {
        let mut carry = u16::from(digit.wrapping_sub(b'0'));
        for byte in &mut bytes {
            let value = u16::from(*byte).saturating_mul(10).saturating_add(carry);
            let [low, high] = value.to_le_bytes();
            *byte = low;
            carry = u16::from(high);
        }
        if carry > 0 {
            bytes.push(carry.to_le_bytes()[0]);
        }
    }
    if negative {
        let mut carry = true;
        for byte in &mut bytes {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
        bytes.push(0xff);
    } else {
        bytes.push(0);
    }
    Ok(Integer::Large(bytes))
}

/// Little-endian two's complement where it fits 64 bits.
pub(crate) fn small(bytes: &[u8]) -> Option<i64> {
    let (low, rest) = bytes.split_at_checked(bytes.len().min(8))?;
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let fill = if negative { 0xff } else { 0 };
    let mut whole = [fill; 8];
    whole.iter_mut().zip(low).for_each(|(to, from)| *to = *from);
    let value = i64::from_le_bytes(whole);
    (rest.iter().all(|byte| *byte == fill) && (value < 0) == negative).then_some(value)
}

/// Little-endian two's complement where it is not negative and fits 64 bits.
pub(crate) fn unsigned(bytes: &[u8]) -> Option<u64> {
    let (low, rest) = bytes.split_at_checked(bytes.len().min(8))?;
    if bytes.last().is_some_and(|byte| *byte >= 0x80) || rest.iter().any(|byte| *byte != 0) {
        return None;
    }
    let mut whole = [0; 8];
    whole.iter_mut().zip(low).for_each(|(to, from)| *to = *from);
    Some(u64::from_le_bytes(whole))
}

/// The nearest float of little-endian two's complement (numbers of this size only serve as such in models).
pub(crate) fn float(bytes: &[u8]) -> f64 {
    let negative = bytes.last().is_some_and(|byte| *byte >= 0x80);
    let magnitude = |byte: u8| f64::from(if negative { !byte } else { byte });
    let value = bytes.iter().rev().fold(0.0, |sum, byte| sum * 256.0 + magnitude(*byte));
    if negative { -value - 1.0 } else { value }
}

/// The value of `FLOAT`: what Python's `repr` of a float gives.
pub(crate) fn float_text(text: &[u8]) -> Result<f64, ErrorKind> {
    let text = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    text.ok_or(ErrorKind::Literal("a float"))
}

/// The bytes of `STRING`: a Python 2 literal in quotes, with escapes.
pub(crate) fn quoted(text: &[u8]) -> Result<Vec<u8>, ErrorKind> {
    let wrong = || ErrorKind::Literal("a quoted string");
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    let inner = match text {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => return Err(wrong()),
    };
    let mut out = Vec::with_capacity(inner.len());
    let mut rest = inner.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match rest.next().ok_or_else(wrong)? {
            b'n' => out.push(b'\n'),
            b't' => out.push(b'\t'),
            b'r' => out.push(b'\r'),
            quote @ (b'\\' | b'\'' | b'"') => out.push(quote),
            b'x' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high << 4 | low);
                out.push(value.and_then(|value| u8::try_from(value).ok()).ok_or_else(wrong)?);
            }
            _ => return Err(wrong()),
        }
    }
    Ok(out)
}

/// The text of `UNICODE`: latin-1 with `\uXXXX` and `\UXXXXXXXX`.
pub(crate) fn raw_unicode(text: &[u8]) -> Result<String, ErrorKind> {
    let wrong = || ErrorKind::Literal("a unicode string");
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut high: Option<u32> = None;
    while let Some((byte, tail)) = rest.split_first() {
        let digits = match (byte, tail.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => 0,
        };
        let code = if digits == 0 {
            rest = tail;
            u32::from(*byte)
        } else {
            let (hex, after) = tail.get(1..).and_then(|tail| tail.split_at_checked(digits)).ok_or_else(wrong)?;
            if !hex.iter().all(u8::is_ascii_hexdigit) {
                return Err(wrong());
            }
            rest = after;
            std::str::from_utf8(hex).ok().and_then(|hex| u32::from_str_radix(hex, 16).ok()).ok_or_else(wrong)?
        };
        // Narrow builds of Python 2 write characters beyond the first plane as two surrogates.
        match (high.take(), code) {
            (None, 0xd800..=0xdbff) => high = Some(code),
            (None, _) => out.push(char::from_u32(code).ok_or_else(wrong)?),
            (Some(first), 0xdc00..=0xdfff) => {
                let upper = (first & 0x3ff) << 10 | (code & 0x3ff);
                out.push(char::from_u32(upper.saturating_add(0x1_0000)).ok_or_else(wrong)?);
            }
            (Some(_), _) => return Err(wrong()),
        }
    }
    if high.is_some() { Err(wrong()) } else { Ok(out) }
}
