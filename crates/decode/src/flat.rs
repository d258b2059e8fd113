//! JSON objects straight into their columns, in one walk. What is not as usual (a member that comes twice or is lacking, a
//! column of objects, an escape, a long number, anything wrong) is left to the parser: it alone says what a record means, and
//! here it is only said sooner.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use std::collections::VecDeque;
use std::ops::Range;

use super::column::{Column, Columns};
use super::scan::{Unfit, digits, each, word};
use super::slot::Slot;
use super::tree::Tree;
use super::types::Type;
use super::values::Values;

/// Members are told apart by the bits of a word.
const MOST_MEMBERS: usize = 128;

/// Paths lead no deeper than this.
const MOST_LEVELS: usize = 8;

/// Objects and arrays that no column is read from are nested no deeper than there are bits in a word.
const MOST_NESTED: u32 = u64::BITS;

/// Where members' values go.
#[derive(Debug, Clone)]
pub(super) struct Flat {
    /// The first is that of the object itself.
    levels: Vec<Level>,
    /// How many columns there are.
    columns: usize,
    /// Whether numbers are read as they are written.
    decimals: bool,
}

/// The members of an object that columns are read from, or from within.
#[derive(Debug, Clone, Default)]
struct Level(Vec<Member>);

#[derive(Debug, Clone)]
struct Member {
    /// In quotes, as it stands in an object.
    name: Box<[u8]>,
    feeds: Feeds,
}

#[derive(Debug, Clone, Copy)]
enum Feeds {
    Column(usize),
    /// Columns within the object that it is.
    Level(usize),
}

impl Flat {
    /// For columns that are read from these members; `None` where an object may hold them in other ways.
    pub(super) fn new(tree: &Tree, decimals: bool) -> Option<Flat> {
        let (mut levels, mut columns) = (vec![Level::default()], 0);
        let mut open = VecDeque::from([(0, 1, tree)]);
        while let Some((index, depth, tree)) = open.pop_front() {
            let mut members = Vec::with_capacity(tree.members.len());
            for (name, member) in &tree.members {
                let plain = name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\'));
                let feeds = match (member.column, member.inner.members.is_empty()) {
                    (Some(column), true) => {
                        columns += 1;
                        Feeds::Column(column)
                    }
                    (None, false) if depth < MOST_LEVELS => {
                        open.push_back((levels.len(), depth + 1, &member.inner));
                        levels.push(Level::default());
                        Feeds::Level(levels.len() - 1)
                    }
                    _ => return None,
                };
                if !plain {
                    return None;
                }
                members.push(Member { name: format!("\"{name}\"").into_bytes().into(), feeds });
            }
            *levels.get_mut(index)? = Level(members);
        }
        (columns + levels.len() <= MOST_MEMBERS).then_some(Flat { levels, columns, decimals })
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
        let mut at = space(data, expect(data, space(data, start), b'{')?);
        let (mut level, mut likely, mut seen) = (self.levels.first().ok_or(Unfit)?, 0, 0_u128);
        // The objects around this one, and the members that are likely to follow there.
        let mut around: [(usize, usize); MOST_LEVELS] = [(0, 0); MOST_LEVELS];
        let (mut depth, mut here, mut opened) = (0, 0, true);
        loop {
            match data.get(at) {
                Some(b'}') if depth == 0 => break,
                Some(b'}') => {
                    depth -= 1;
                    (here, likely) = *around.get(depth).ok_or(Unfit)?;
                    (level, opened) = (self.levels.get(here).ok_or(Unfit)?, false);
                    at = space(data, at + 1);
                    continue;
                }
                Some(b',') if !opened => at = space(data, at + 1),
                _ if opened => {}
                _ => return Err(Unfit),
            }
            opened = false;
            let (member, behind) = level.name(data, at, likely)?;
            at = space(data, expect(data, space(data, behind), b':')?);
            let Some(member) = member else {
                at = space(data, over(data, at)?);
                continue;
            };
            likely = member + 1;
            let feeds = level.0.get(member).ok_or(Unfit)?.feeds;
            let bit = match feeds {
                Feeds::Column(column) => 1 << column,
                Feeds::Level(inner) => 1_u128.checked_shl((self.columns + inner) as u32).ok_or(Unfit)?,
            };
            if seen & bit != 0 {
                return Err(Unfit);
            }
            seen |= bit;
            match feeds {
                Feeds::Column(number) => {
                    let (column, values) = (columns.get(number).ok_or(Unfit)?, values.get_mut(number).ok_or(Unfit)?);
                    at = space(data, self.value(data, at, column, values)?);
                }
                Feeds::Level(inner) if data.get(at) == Some(&b'{') => {
                    *around.get_mut(depth).ok_or(Unfit)? = (here, likely);
                    (depth, here, likely, opened) = (depth + 1, inner, 0, true);
                    level = self.levels.get(here).ok_or(Unfit)?;
                    at = space(data, at + 1);
                }
                // It has no members.
                Feeds::Level(_) => at = space(data, over(data, at)?),
            }
        }
        if space(data, at + 1) != end {
            return Err(Unfit);
        }
        let read = seen & (1_u128.checked_shl(self.columns as u32).unwrap_or_default().wrapping_sub(1));
        if read.count_ones() as usize != values.len() {
            for (number, (column, values)) in columns.iter().zip(values).enumerate() {
                match (seen & 1 << number, column.optional) {
                    (0, true) => values.push_null(),
                    (0, false) => return Err(Unfit),
                    _ => {}
                }
            }
        }
        Ok(())
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

impl Level {
    /// Which member the name at `at` is, and where it ends. Most objects have their members in the columns' order.
    #[inline]
    fn name(&self, data: &[u8], at: usize, likely: usize) -> Result<(Option<usize>, usize), Unfit> {
        let rest = data.get(at..).ok_or(Unfit)?;
        if let Some(Member { name, .. }) = self.0.get(likely)
            && rest.starts_with(name)
        {
            return Ok((Some(likely), at + name.len()));
        }
        match self.0.iter().position(|member| rest.starts_with(&member.name)) {
            Some(member) => Ok((Some(member), at + self.0.get(member).map_or(0, |member| member.name.len()))),
            None => Ok((None, text(data, at)? + 1)),
        }
    }
}

/// Where the members of these names (in quotes) stand in the object `data[start..end]`.
///
/// # Errors
/// The object is not of this kind, or has one of them twice.
pub(super) fn places<const NAMES: usize>(
    data: &[u8],
    start: usize,
    end: usize,
    names: &[&[u8]; NAMES],
) -> Result<[Option<Range<usize>>; NAMES], Unfit> {
    let data = data.get(..end).ok_or(Unfit)?;
    std::str::from_utf8(data.get(start..).ok_or(Unfit)?).map_err(|_| Unfit)?;
    let mut places = [const { None }; NAMES];
    let mut at = space(data, expect(data, space(data, start), b'{')?);
    while data.get(at) != Some(&b'}') {
        let name = at;
        let behind = text(data, at)? + 1;
        at = space(data, expect(data, space(data, behind), b':')?);
        let value = at;
        at = over(data, at)?;
        let found = names.iter().position(|wanted| data.get(name..behind) == Some(*wanted));
        if let Some(place) = found.and_then(|found| places.get_mut(found))
            && place.replace(value..at).is_some()
        {
            return Err(Unfit);
        }
        at = space(data, at);
        match data.get(at) {
            Some(b',') => {
                at = space(data, at + 1);
                if data.get(at) == Some(&b'}') {
                    return Err(Unfit);
                }
            }
            Some(b'}') => {}
            _ => return Err(Unfit),
        }
    }
    if space(data, at + 1) == end { Ok(places) } else { Err(Unfit) }
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
    matches!(data.get(at), Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r'))
}

/// The closing quote of the text without escapes that begins at `at`.
#[inline]
fn text(data: &[u8], at: usize) -> Result<usize, Unfit> {
    let at = special(data, expect(data, at, b'"')?);
    if data.get(at) == Some(&b'"') { Ok(at) } else { Err(Unfit) }
}

/// The next quote, backslash or control character, or a place behind the end.
#[inline]
fn special(data: &[u8], mut at: usize) -> usize {
    loop {
        let word = word(data, at);
        // The high bit of the first byte that is zero; behind it a carry may set others.
        let zero = |word: u64| word.wrapping_sub(each(1)) & !word;
        let control = word.wrapping_sub(each(b' ')) & !word;
        let found = (zero(word ^ each(b'"')) | zero(word ^ each(b'\\')) | control) & each(0x80);
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
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
fn over(data: &[u8], mut at: usize) -> Result<usize, Unfit> {
    // Of what is open around a value, the innermost lowest: whether it is an object.
    let (mut objects, mut depth) = (0_u64, 0_u32);
    loop {
        match data.get(at).ok_or(Unfit)? {
            open @ (b'{' | b'[') => {
                let is_object = *open == b'{';
                if depth == MOST_NESTED {
                    return Err(Unfit);
                }
                (objects, depth) = (objects << 1 | u64::from(is_object), depth + 1);
                at = space(data, at + 1);
                if data.get(at) != Some(if is_object { &b'}' } else { &b']' }) {
                    at = if is_object { name_over(data, at)? } else { at };
                    continue;
                }
                (objects, depth, at) = (objects >> 1, depth - 1, at + 1);
            }
            b'"' => at = text_over(data, at)? + 1,
            b'n' => at = literal(data, at, b"null")?,
            b't' => at = literal(data, at, b"true")?,
            b'f' => at = literal(data, at, b"false")?,
            _ => at = number_over(data, at)?,
        }
        loop {
            if depth == 0 {
                return Ok(at);
            }
            at = space(data, at);
            match (data.get(at), objects & 1 == 1) {
                (Some(b','), true) => {
                    at = name_over(data, space(data, at + 1))?;
                    break;
                }
                (Some(b','), false) => {
                    at = space(data, at + 1);
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => (objects, depth, at) = (objects >> 1, depth - 1, at + 1),
                _ => return Err(Unfit),
            }
        }
    }
}

/// Behind a name and its colon.
fn name_over(data: &[u8], at: usize) -> Result<usize, Unfit> {
    let behind = text_over(data, at)? + 1;
    Ok(space(data, expect(data, space(data, behind), b':')?))
}

/// The closing quote of the text that begins at `at`, which may have escapes of one character.
fn text_over(data: &[u8], at: usize) -> Result<usize, Unfit> {
    let mut at = expect(data, at, b'"')?;
    loop {
        at = special(data, at);
        match (data.get(at), data.get(at + 1)) {
            (Some(b'"'), _) => return Ok(at),
            (Some(b'\\'), Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => at += 2,
            _ => return Err(Unfit),
        }
    }
}

fn number_over(data: &[u8], at: usize) -> Result<usize, Unfit> {
    match number(data, at)? {
        // The parser refuses a number that is too large for a float.
        (stop, _) if stop - at > 15 => Err(Unfit),
        (stop, true) => Ok(stop),
        (stop, false) if within(data, at, stop)?.parse().is_ok_and(f64::is_finite) => Ok(stop),
        _ => Err(Unfit),
    }
}
