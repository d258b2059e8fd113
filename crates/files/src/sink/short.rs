//! Cells of a few bytes, of which most tables consist, each in a word: made column by column, then stored one after the
//! other without a branch.

#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "texts of at most seven bytes in a word, and a table that is made while compiling"
)]

/// A text of at most seven bytes, the first one lowest, and in the highest byte how many there are. Zero stands for any other text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short(u64);

/// Where the length is.
const LEN: u32 = 56;
/// The longest text.
const MOST: usize = 7;

impl Short {
    /// A text that is longer, or not known.
    pub(super) const NONE: Short = Short(0);

    /// A text of one byte.
    #[inline]
    pub(super) const fn byte(byte: u8) -> Self {
        Short(byte as u64 | 1 << LEN)
    }

    /// This text with a byte behind it.
    #[inline]
    pub(super) const fn ended(self, byte: u8) -> Self {
        let shift = self.0 >> (LEN - 3);
        if self.0 == 0 || shift >= 8 * MOST as u64 {
            return Short::NONE;
        }
        Short((self.0 | (byte as u64) << shift) + (1 << LEN))
    }

    /// How many bytes there are.
    #[inline]
    pub(super) const fn len(self) -> usize {
        (self.0 >> LEN) as usize
    }

    /// This text with another one behind it.
    #[inline]
    pub(super) const fn then(self, next: Short) -> Self {
        let len = self.len() + next.len();
        if self.0 == 0 || next.0 == 0 || len > MOST {
            return Short::NONE;
        }
        Short(self.text() | next.text() << (8 * self.len()) | (len as u64) << LEN)
    }

    const fn text(self) -> u64 {
        self.0 & ((1 << LEN) - 1)
    }
}

/// The numbers below 1000: as short as they are, and with three digits each.
static DIGITS: [[Short; 1000]; 2] = digits();

const fn digits() -> [[Short; 1000]; 2] {
    let mut tables = [[Short::NONE; 1000]; 2];
    let mut number = 0;
    while number < 1000 {
        let ones = Short::byte(b'0' + (number % 10) as u8);
        let tens = Short::byte(b'0' + (number / 10 % 10) as u8);
        let padded = Short::byte(b'0' + (number / 100) as u8).then(tens).then(ones);
        tables[0][number] = match number {
            0..10 => ones,
            10..100 => tens.then(ones),
            _ => padded,
        };
        tables[1][number] = padded;
        number += 1;
    }
    tables
}

/// A whole number.
#[inline]
pub(super) fn unsigned(number: u64) -> Short {
    let [short, padded] = &DIGITS;
    let below = |table: &[Short; 1000], number: u64| table.get(number as usize).copied().unwrap_or(Short::NONE);
    if number < 1000 { below(short, number) } else { below(short, number / 1000).then(below(padded, number % 1000)) }
}

/// A whole number with its sign.
#[inline]
pub(super) fn signed(number: i64) -> Short {
    let digits = unsigned(number.unsigned_abs());
    if number < 0 { Short::byte(b'-').then(digits) } else { digits }
}

/// A float: whole numbers alone are short.
#[inline]
pub(super) fn float(number: f64) -> Short {
    const POINT: Short = Short::byte(b'.').then(Short::byte(b'0'));
    let whole = number as i32;
    if f64::from(whole) == number && (whole != 0 || number.is_sign_positive()) {
        signed(whole.into()).then(POINT)
    } else {
        Short::NONE
    }
}

/// Stores texts one behind the other as far as they are short and there is room: how many, and the bytes.
#[inline(never)]
pub(super) fn store(texts: &[Short], to: &mut [u8]) -> (usize, usize) {
    let mut len = 0;
    for (index, short) in texts.iter().enumerate() {
        let room = to.get_mut(len..).and_then(<[u8]>::first_chunk_mut);
        let Some(room) = room.filter(|_| *short != Short::NONE) else { return (index, len) };
        // The bytes behind the text are overwritten by the next one.
        *room = short.0.to_le_bytes();
        len += short.len();
    }
    (texts.len(), len)
}

#[cfg(test)]
mod tests {
    use super::super::digits;
    use super::*;

    fn written(texts: &[Short]) -> Vec<u8> {
        let mut to = vec![0; texts.len() * 8];
        let (count, len) = store(texts, &mut to);
        assert_eq!(count, texts.len());
        to.truncate(len);
        to
    }

    /// What is short is written as elsewhere, and what is not has its reason.
    fn check<T: Copy>(numbers: &[T], short: fn(T) -> Short, write: fn(&mut Vec<u8>, T)) {
        for number in numbers {
            let mut text = Vec::new();
            write(&mut text, *number);
            let short = short(*number);
            if short != Short::NONE {
                assert_eq!(written(&[short]), text);
            } else {
                let whole = text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
                assert!(text.len() >= MOST || !whole, "{}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn short_numbers_are_written_as_all_numbers_are() {
        let whole = (0..12_000).chain((0..2000).map(|n| n * 7919)).chain((0..64).map(|bit| u64::MAX >> bit));
        let whole: Vec<u64> = whole.collect();
        check(&whole, unsigned, digits::unsigned);
        let signs: Vec<i64> = whole.iter().flat_map(|n| [*n as i64, (*n as i64).wrapping_neg()]).collect();
        check(&signs, signed, digits::signed);
        let special = [-0.0, 0.5, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, 1e300, 2_147_483_648.0];
        let floats: Vec<f64> = signs.iter().map(|n| *n as f64).chain(special).collect();
        check(&floats, float, digits::float64);
        assert_eq!(float(-0.0), Short::NONE);
        assert_eq!(
            written(&[float(0.0), signed(-70), unsigned(999_999)].map(|short| short.ended(b';'))),
            b"0.0;-70;999999;"
        );
        assert_eq!(float(99_999.0).ended(b','), Short::NONE, "with its end it has eight bytes");
    }
}
