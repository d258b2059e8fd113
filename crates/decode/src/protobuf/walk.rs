//! Messages of plain values straight into their columns, in one walk over their bytes. What is not as usual (an enum's number
//! without a name, one oneof set twice, a group, anything wrong) is left to the way by JSON: it alone says what a message
//! means, and here it is only said sooner. So this may be stricter than that way, and never laxer.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use std::borrow::Cow;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::scan::Unfit;
use super::super::slot::Slot;
use super::plan::{Blank, Field, MOST_ONEOFS, Node, Plan, Scalar, Shape};

/// Messages within messages are followed so deep: less deep than any parser of JSON would.
const DEPTH: usize = 32;

/// How a value is stored.
const VARINT: u64 = 0;
const EIGHT: u64 = 1;
const LENGTH: u64 = 2;
const FOUR: u64 = 5;

/// Messages around the one that is walked: their node, and where they end.
pub(super) type Around = Vec<(usize, usize)>;

impl Plan {
    /// Fills a slot for each column from a message.
    ///
    /// # Errors
    /// The message is not of this kind; the slots mean nothing then.
    pub(super) fn read<'v>(
        &'v self,
        body: &'v [u8],
        slots: &mut Vec<Slot<'v>>,
        around: &mut Around,
    ) -> Result<(), Unfit> {
        slots.clear();
        slots.resize(self.columns, Slot::Absent);
        around.clear();
        let (mut at, mut end, mut index, mut likely, mut oneofs) = (0, body.len(), 0, 0, 0_u64);
        let mut node = self.enter(index, slots)?;
        loop {
            while at == end {
                let Some((outer, until)) = around.pop() else { return Ok(()) };
                (index, end, likely) = (outer, until, 0);
                node = self.nodes.get(index).ok_or(Unfit)?;
            }
            let data = body.get(..end).ok_or(Unfit)?;
            let key = varint(data, &mut at)?;
            let (number, stored) = (u32::try_from(key >> 3).map_err(|_| Unfit)?, key & 7);
            let Some((place, field)) = find(node, number, likely) else {
                if node.extended || number == 0 {
                    return Err(Unfit);
                }
                pass_over(data, &mut at, stored)?;
                continue;
            };
            likely = place + 1;
            if let Some(oneof) = field.oneof {
                let bit = 1_u64.checked_shl(oneof).filter(|_| oneof < MOST_ONEOFS).ok_or(Unfit)?;
                if oneofs & bit != 0 {
                    return Err(Unfit);
                }
                oneofs |= bit;
            }
            match field.shape {
                Shape::Other => return Err(Unfit),
                Shape::Message(inner) => {
                    let inside = length(data, &mut at, stored)?;
                    if around.len() == DEPTH {
                        return Err(Unfit);
                    }
                    around.push((index, end));
                    (index, end, likely) = (inner, at + inside.len(), 0);
                    node = self.enter(index, slots)?;
                }
                _ if field.list && stored == LENGTH && packs(field.shape) => {
                    let inside = length(data, &mut at, stored)?;
                    at += inside.len();
                    let mut within = 0;
                    while within < inside.len() {
                        self.value(field.shape, false, inside, &mut within, stores(field.shape))?;
                    }
                }
                shape => {
                    let value = self.value(shape, field.column.is_some(), data, &mut at, stored)?;
                    if let Some(slot) = field.column.and_then(|column| slots.get_mut(column)) {
                        // A message that comes again is added to the one before.
                        if matches!(shape, Shape::Time | Shape::Wrapped(_)) && *slot != Slot::Absent {
                            return Err(Unfit);
                        }
                        *slot = value;
                    }
                }
            }
        }
    }

    /// What columns hold where a message is there and its fields are not.
    fn enter<'v>(&'v self, index: usize, slots: &mut [Slot<'v>]) -> Result<&'v Node, Unfit> {
        let node = self.nodes.get(index).ok_or(Unfit)?;
        for (column, blank) in &node.blanks {
            let slot = slots.get_mut(*column).ok_or(Unfit)?;
            if *slot == Slot::Absent {
                *slot = match blank {
                    Blank::Number => Slot::Unsigned(0),
                    Blank::Fraction => Slot::Float(0.0),
                    Blank::Bool => Slot::Bool(false),
                    Blank::Text(text) => Slot::Text(Cow::Borrowed(text)),
                };
            }
        }
        Ok(node)
    }

    /// The value at `at`, which is stored like this. What is not `wanted` is only looked at.
    #[inline]
    fn value<'v>(
        &'v self,
        shape: Shape,
        wanted: bool,
        data: &'v [u8],
        at: &mut usize,
        stored: u64,
    ) -> Result<Slot<'v>, Unfit> {
        if stored != stores(shape) {
            return Err(Unfit);
        }
        Ok(match shape {
            Shape::Int64 => signed(varint(data, at)? as i64),
            Shape::Int32 => signed((varint(data, at)? as i32).into()),
            Shape::Uint64 => Slot::Unsigned(varint(data, at)?),
            Shape::Uint32 => Slot::Unsigned((varint(data, at)? as u32).into()),
            Shape::Sint64 => signed(zigzag(varint(data, at)?)),
            Shape::Sint32 => signed(zigzag((varint(data, at)? as u32).into()) as i32 as i64),
            Shape::Bool => Slot::Bool(varint(data, at)? != 0),
            Shape::Fixed64 => Slot::Unsigned(u64::from_le_bytes(fixed(data, at)?)),
            Shape::Sfixed64 => signed(i64::from_le_bytes(fixed(data, at)?)),
            Shape::Fixed32 => Slot::Unsigned(u32::from_le_bytes(fixed(data, at)?).into()),
            Shape::Sfixed32 => signed(i32::from_le_bytes(fixed(data, at)?).into()),
            Shape::Double => fraction(f64::from_le_bytes(fixed(data, at)?), wanted)?,
            Shape::Float => {
                let number = f32::from_le_bytes(fixed(data, at)?);
                fraction(if wanted { as_written(number)? } else { 0.0 }, wanted)?
            }
            Shape::Text => {
                let text = length(data, at, stored)?;
                *at += text.len();
                Slot::Text(Cow::Borrowed(std::str::from_utf8(text).map_err(|_| Unfit)?))
            }
            Shape::Bytes => {
                let bytes = length(data, at, stored)?;
                *at += bytes.len();
                if wanted { Slot::Text(Cow::Owned(STANDARD.encode(bytes))) } else { Slot::Null }
            }
            Shape::Enum(names) => {
                let (number, names) = (varint(data, at)? as i32, self.enums.get(names).ok_or(Unfit)?);
                let place = names.binary_search_by_key(&number, |(number, _)| *number).map_err(|_| Unfit)?;
                Slot::Text(Cow::Borrowed(names.get(place).map(|(_, name)| name.as_str()).ok_or(Unfit)?))
            }
            Shape::Time => {
                let inside = length(data, at, stored)?;
                *at += inside.len();
                Slot::Micros(time(inside)?)
            }
            Shape::Wrapped(scalar) => {
                let inside = length(data, at, stored)?;
                *at += inside.len();
                self.wrapped(scalar, wanted, inside)?
            }
            Shape::Message(_) | Shape::Other => return Err(Unfit),
        })
    }

    fn wrapped<'v>(&'v self, scalar: Scalar, wanted: bool, inside: &'v [u8]) -> Result<Slot<'v>, Unfit> {
        let mut value = match scalar {
            Scalar::Bool => Slot::Bool(false),
            Scalar::Float | Scalar::Double => Slot::Float(0.0),
            Scalar::Text | Scalar::Bytes => Slot::Text(Cow::Borrowed("")),
            _ => Slot::Unsigned(0),
        };
        let mut at = 0;
        while at < inside.len() {
            let key = varint(inside, &mut at)?;
            if key >> 3 != 1 {
                return Err(Unfit);
            }
            value = self.value(scalar.shape(), wanted, inside, &mut at, key & 7)?;
        }
        Ok(value)
    }
}

/// A field by its number. Most messages have their fields in the order of their numbers.
#[inline]
fn find(node: &Node, number: u32, likely: usize) -> Option<(usize, &Field)> {
    match node.fields.get(likely) {
        Some(field) if field.number == number => Some((likely, field)),
        _ => {
            let place = node.fields.binary_search_by_key(&number, |field| field.number).ok()?;
            Some((place, node.fields.get(place)?))
        }
    }
}

/// How values of a shape are stored.
fn stores(shape: Shape) -> u64 {
    match shape {
        Shape::Double | Shape::Fixed64 | Shape::Sfixed64 => EIGHT,
        Shape::Float | Shape::Fixed32 | Shape::Sfixed32 => FOUR,
        Shape::Text | Shape::Bytes | Shape::Time | Shape::Wrapped(_) | Shape::Message(_) | Shape::Other => LENGTH,
        _ => VARINT,
    }
}

/// Whether a list of them may be stored as one value.
fn packs(shape: Shape) -> bool {
    stores(shape) != LENGTH
}

#[inline]
fn varint(data: &[u8], at: &mut usize) -> Result<u64, Unfit> {
    let first = *data.get(*at).ok_or(Unfit)?;
    *at += 1;
    if first < 0x80 { Ok(first.into()) } else { more(data, at, first) }
}

/// The rest of a number of more than one byte.
#[inline]
fn more(data: &[u8], at: &mut usize, first: u8) -> Result<u64, Unfit> {
    let mut value = u64::from(first & 0x7f);
    for shift in (7..64).step_by(7) {
        let byte = *data.get(*at).ok_or(Unfit)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            // Of the tenth byte a bit is left.
            return if shift == 63 && byte > 1 { Err(Unfit) } else { Ok(value) };
        }
    }
    Err(Unfit)
}

#[inline]
fn fixed<const BYTES: usize>(data: &[u8], at: &mut usize) -> Result<[u8; BYTES], Unfit> {
    let bytes = data.get(*at..).and_then(|rest| rest.first_chunk()).ok_or(Unfit)?;
    *at += BYTES;
    Ok(*bytes)
}

/// What has a length before it; `at` stands at its beginning then.
#[inline]
fn length<'v>(data: &'v [u8], at: &mut usize, stored: u64) -> Result<&'v [u8], Unfit> {
    if stored != LENGTH {
        return Err(Unfit);
    }
    let len = usize::try_from(varint(data, at)?).map_err(|_| Unfit)?;
    data.get(*at..at.checked_add(len).ok_or(Unfit)?).ok_or(Unfit)
}

/// Behind a value that no field has.
fn pass_over(data: &[u8], at: &mut usize, stored: u64) -> Result<(), Unfit> {
    match stored {
        VARINT => varint(data, at).map(drop),
        EIGHT => fixed::<8>(data, at).map(drop),
        FOUR => fixed::<4>(data, at).map(drop),
        _ => length(data, at, stored).map(<[u8]>::len).map(|len| *at += len),
    }
}

fn zigzag(number: u64) -> i64 {
    (number >> 1) as i64 ^ -((number & 1) as i64)
}

#[inline]
fn signed<'v>(number: i64) -> Slot<'v> {
    u64::try_from(number).map_or(Slot::Signed(number), Slot::Unsigned)
}

/// JSON has a text for what is not finite.
#[inline]
fn fraction<'v>(number: f64, wanted: bool) -> Result<Slot<'v>, Unfit> {
    if wanted && !number.is_finite() { Err(Unfit) } else { Ok(Slot::Float(number)) }
}

/// Up to here every whole number is a 32-bit float.
const SINGLE: f32 = (1 << f32::MANTISSA_DIGITS) as f32;

/// The number that is written as this one is: 0.1 of 32 bits is 0.1 of 64.
fn as_written(number: f32) -> Result<f64, Unfit> {
    if number.trunc() == number && number.abs() <= SINGLE {
        return Ok(number.into());
    }
    let mut text = String::with_capacity(24);
    write!(text, "{number:e}").map_err(|_| Unfit)?;
    text.parse().map_err(|_| Unfit)
}

/// The years 1 to 9999, in seconds since 1970.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// A timestamp in microseconds; what is finer is cut off.
fn time(inside: &[u8]) -> Result<i64, Unfit> {
    let (mut seconds, mut nanos, mut at) = (0_i64, 0_i32, 0);
    while at < inside.len() {
        match varint(inside, &mut at)? {
            0x08 => seconds = varint(inside, &mut at)? as i64,
            0x10 => nanos = varint(inside, &mut at)? as i32,
            _ => return Err(Unfit),
        }
    }
    if SECONDS.contains(&seconds) && (0..1_000_000_000).contains(&nanos) {
        Ok(seconds * 1_000_000 + i64::from(nanos / 1000))
    } else {
        Err(Unfit)
    }
}
