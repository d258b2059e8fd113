//! JSON objects that hold plain values, straight into their columns, in one walk. What is not as usual (a member that is
//! nested, comes twice or is lacking, an escape, a long number, anything wrong) is left to the parser: it alone says
//! what a record means, and here it is only said sooner.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use super::column::{Column, Columns};
use super::scan::{Unfit, digits, each, word};
use super::slot::Slot;
use super::types::Type;
use super::values::Values;

/// Members are told apart by the bits of a word.
const MOST_MEMBERS: usize = 128;

/// Where a member's values go.
#[derive(Debug, Clone)]
pub(super) struct Flat {
    /// Names in quotes, as they stand in an object, in the order of the columns.
    names: Vec<Box<[u8]>>,
    /// Whether numbers are read as they are written.
    decimals: bool,
}

impl Flat {
    /// For columns that are read from the members of these names; `None` where an object may hold them in other ways.
    pub(super) fn new<'n>(names: impl Iterator<Item = &'n str>, decimals: bool) -> Option<Flat> {
        let plain = |name: &str| name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
        let names: Option<Vec<_>> =
            names.map(|name| plain(name).then(|| format!("\"{name}\"").into_bytes().into())).collect();
        names.filter(|names| names.len() <= MOST_MEMBERS).map(|names| Flat { names, decimals })
    }

    /// Adds the members of the object `data[start..end]` to their columns.
    ///
    /// # Errors
    /// The object is not of this kind; some columns may have its value by then.
    pub(super) fn record(
        &self,
        data: &[u8],
        start: usize,
        end: usize,
        columns: &Columns,
        values: &mut [Values],
    ) -> Result<(), Unfit> {
        let data = data.get(..end).ok_or(Unfit)?;
        std::str::from_utf8(data.get(start..).ok_or(Unfit)?).map_err(|_| Unfit)?;
        let mut at = expect(data, space(data, start), b'{')?;
        let (mut seen, mut likely) = (0_u128, 0);
        at = space(data, at);
        if data.get(at) != Some(&b'}') {
            loop {
                let (member, behind) = self.name(data, at, likely)?;
                at = space(data, expect(data, space(data, behind), b':')?);
                at = match member {
                    Some(member) => {
                        let bit = 1 << member;
                        let (column, values) =
                            (columns.get(member).ok_or(Unfit)?, values.get_mut(member).ok_or(Unfit)?);
                        if seen & bit != 0 {
                            return Err(Unfit);
                        }
                        seen |= bit;
                        likely = member + 1;
                        self.value(data, at, column, values)?
                    }
                    None => over(data, at)?,
                };
                at = space(data, at);
                match data.get(at) {
                    Some(b',') => at = space(data, at + 1),
                    Some(b'}') => break,
                    _ => return Err(Unfit),
                }
            }
        }
        if space(data, at + 1) != end {
            return Err(Unfit);
        }
        if seen.count_ones() as usize != values.len() {
            for (member, (column, values)) in columns.iter().zip(values).enumerate() {
                match (seen & 1 << member, column.optional) {
                    (0, true) => values.push_null(),
                    (0, false) => return Err(Unfit),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Which member the name at `at` is, and where it ends. Most objects have their members in the columns' order.
    #[inline]
    fn name(&self, data: &[u8], at: usize, likely: usize) -> Result<(Option<usize>, usize), Unfit> {
        let rest = data.get(at..).ok_or(Unfit)?;
        let is = |name: &[u8]| rest.starts_with(name);
        if let Some(name) = self.names.get(likely)
            && is(name)
        {
            return Ok((Some(likely), at + name.len()));
        }
        match self.names.iter().position(|name| is(name)) {
            Some(member) => Ok((Some(member), at + self.names.get(member).map_or(0, |name| name.len()))),
            None => Ok((None, text(data, at)? + 1)),
        }
    }

    /// Adds the value at `at`; where it ends.
    #[inline]
    fn value(&self, data: &[u8], at: usize, column: &Column, values: &mut Values) -> Result<usize, Unfit> {
        if values.numeric()
            && let Some((number, stop)) = digits(data, at, data.len())
            && ends(data, stop)
        {
            let leads = data.get(at) == Some(&b'0') && stop - at > 1;
            return if !leads && values.push_number(number) { Ok(stop) } else { Err(Unfit) };
        }
        self.other(data, at, column, values)
    }

    /// Adds any value but a few digits. Apart, so that the walk over digits stays small.
    #[inline(never)]
    fn other(&self, data: &[u8], at: usize, column: &Column, values: &mut Values) -> Result<usize, Unfit> {
        let (slot, stop) = match data.get(at).ok_or(Unfit)? {
            b'"' => {
                let stop = text(data, at)?;
                (Slot::Text(within(data, at + 1, stop)?.into()), stop + 1)
            }
            b'n' => (Slot::Null, literal(data, at, b"null")?),
            b't' => (Slot::Bool(true), literal(data, at, b"true")?),
            b'f' => (Slot::Bool(false), literal(data, at, b"false")?),
            _ => {
                let (stop, whole) = number(data, at)?;
                (self.number(within(data, at, stop)?, whole, column)?, stop)
            }
        };
        values.push(column, &&slot).map_err(|_| Unfit)?;
        Ok(stop)
    }

    /// A number as the parser gives it.
    fn number<'a>(&self, text: &'a str, whole: bool, column: &Column) -> Result<Slot<'a>, Unfit> {
        match whole {
            true if text.len() > 15 || text == "-0" => Err(Unfit),
            true if self.decimals => Ok(Slot::Digits(text)),
            true if text.starts_with('-') => text.parse().map(Slot::Signed).map_err(|_| Unfit),
            true => text.parse().map(Slot::Unsigned).map_err(|_| Unfit),
            false => {
                let number: f64 = text.parse().map_err(|_| Unfit)?;
                // Such are read by their digits, or are none.
                let unusual = number.abs() >= u64::MAX as f64 || column.data_type == Type::Timestamp;
                match (unusual, self.decimals) {
                    (true, _) => Err(Unfit),
                    (false, true) => Ok(Slot::Digits(text)),
                    (false, false) => Ok(Slot::Float(number)),
                }
            }
        }
    }
}

/// Behind this byte, which must be at `at`.
#[inline]
fn expect(data: &[u8], at: usize, byte: u8) -> Result<usize, Unfit> {
    if data.get(at) == Some(&byte) { Ok(at + 1) } else { Err(Unfit) }
}

/// Behind what JSON passes over.
#[inline]
fn space(data: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\t' | b'\r') = data.get(at) {
        at += 1;
    }
    at
}

/// Whether a value may end here.
#[inline]
fn ends(data: &[u8], at: usize) -> bool {
    matches!(data.get(at), Some(b',' | b'}' | b' ' | b'\n' | b'\t' | b'\r'))
}

/// The closing quote of the text without escapes that begins at `at`.
#[inline]
fn text(data: &[u8], at: usize) -> Result<usize, Unfit> {
    let mut at = expect(data, at, b'"')?;
    loop {
        let word = word(data, at);
        // The high bit of the first byte that is zero; behind it a carry may set others.
        let zero = |word: u64| word.wrapping_sub(each(1)) & !word;
        let control = word.wrapping_sub(each(b' ')) & !word;
        let found = (zero(word ^ each(b'"')) | zero(word ^ each(b'\\')) | control) & each(0x80);
        if found != 0 {
            at += found.trailing_zeros() as usize / 8;
            return if data.get(at) == Some(&b'"') { Ok(at) } else { Err(Unfit) };
        }
        at += 8;
    }
}

fn within(data: &[u8], from: usize, to: usize) -> Result<&str, Unfit> {
    std::str::from_utf8(data.get(from..to).ok_or(Unfit)?).map_err(|_| Unfit)
}

/// Behind this word, which must be at `at`.
fn literal(data: &[u8], at: usize, word: &[u8]) -> Result<usize, Unfit> {
    if data.get(at..).is_some_and(|rest| rest.starts_with(word)) { Ok(at + word.len()) } else { Err(Unfit) }
}

/// Behind the number at `at`, and whether it is written as a whole one.
fn number(data: &[u8], at: usize) -> Result<(usize, bool), Unfit> {
    let run = |mut at: usize| {
        let from = at;
        while data.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        if at > from { Ok(at) } else { Err(Unfit) }
    };
    let first = at + usize::from(data.get(at) == Some(&b'-'));
    let mut stop = run(first)?;
    if data.get(first) == Some(&b'0') && stop - first > 1 {
        return Err(Unfit);
    }
    let mut whole = true;
    if data.get(stop) == Some(&b'.') {
        (stop, whole) = (run(stop + 1)?, false);
    }
    if let Some(b'e' | b'E') = data.get(stop) {
        let sign = usize::from(matches!(data.get(stop + 1), Some(b'+' | b'-')));
        (stop, whole) = (run(stop + 1 + sign)?, false);
    }
    if ends(data, stop) { Ok((stop, whole)) } else { Err(Unfit) }
}

/// Behind a value that no column has.
#[inline(never)]
fn over(data: &[u8], at: usize) -> Result<usize, Unfit> {
    match data.get(at).ok_or(Unfit)? {
        b'"' => text(data, at).map(|stop| stop + 1),
        b'n' => literal(data, at, b"null"),
        b't' => literal(data, at, b"true"),
        b'f' => literal(data, at, b"false"),
        _ => match number(data, at)? {
            // The parser refuses a number that is too large for a float.
            (stop, _) if stop - at > 15 => Err(Unfit),
            (stop, true) => Ok(stop),
            (stop, false) if within(data, at, stop)?.parse().is_ok_and(f64::is_finite) => Ok(stop),
            _ => Err(Unfit),
        },
    }
}
