//! One walk over the text of an object: which member feeds which column, and what stands there.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::column::element;
use crate::elements::elements_of;
use crate::members::Members;
use crate::slot::Slot;
use crate::tree::{Member, Tree};

/// Reads one object's members into their slots.
pub(super) fn object<'de>(tree: &Tree, value: &'de [u8], slots: &mut [Slot<'de>]) -> Result<(), String> {
    let text = std::str::from_utf8(value).map_err(|error| format!("byte {}: not UTF-8", error.valid_up_to()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let read = Root { tree, slots }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    read.map_err(|error| match error.classify() {
        // The only such error is our own: the value is not an object.
        serde_json::error::Category::Data => "not a JSON object".to_string(),
        _ => {
            let message = error.to_string();
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            format!("byte {}: not JSON: {message}", byte_of(text, error.line(), error.column()))
        }
    })
}

/// Gives the numbers of an object that was read all the digits that they are written with, and nested values their text.
pub(super) fn as_written<'de>(tree: &Tree, value: &'de [u8], slots: &mut [Slot<'de>]) {
    let mut open = VecDeque::from([(tree, std::str::from_utf8(value).unwrap_or_default())]);
    while let Some((tree, object)) = open.pop_front() {
        for (key, text) in parts(object) {
            let Some(member) = tree.find(&key) else { continue };
            if !member.inner.members.is_empty() && text.starts_with(['{', '[']) {
                open.push_back((&member.inner, text));
            }
            if let Some(column) = member.column {
                match slots.get_mut(column) {
                    Some(slot @ (Slot::Signed(_) | Slot::Unsigned(_) | Slot::Float(_) | Slot::Digits(_)))
                        if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') =>
                    {
                        *slot = Slot::Digits(text);
                    }
                    Some(slot @ (Slot::Object | Slot::Array)) if text.starts_with(['{', '[']) => {
                        *slot = Slot::Nested(text);
                    }
                    _ => {}
                }
            }
        }
    }
}

/// The members of an object, or the elements of an array by the names that paths have for them.
fn parts(text: &str) -> Box<dyn Iterator<Item = (Cow<'_, str>, &str)> + '_> {
    if !text.starts_with('[') {
        return Box::new(Members::of(text));
    }
    Box::new(elements_of(text).enumerate().map(|(index, text)| (Cow::Owned(element(index)), text)))
}

/// The index of a byte that is given by line and column (both from 1).
fn byte_of(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    lines.map(str::len).sum::<usize>().saturating_add(column.saturating_sub(1))
}

// ---------------------------------------------------------------- visitors

/// Reads an object's members into slots; anything else is an error.
struct Root<'t, 's, 'de> {
    tree: &'t Tree,
    slots: &'s mut [Slot<'de>],
}

impl<'de> DeserializeSeed<'de> for Root<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        members(self.tree, self.slots, map)
    }
}

fn members<'de, A: MapAccess<'de>>(tree: &Tree, slots: &mut [Slot<'de>], mut map: A) -> Result<(), A::Error> {
    while let Some(member) = map.next_key_seed(Key(tree))? {
        match member {
            None => {
                map.next_value::<IgnoredAny>()?;
            }
            Some(member) => map.next_value_seed(Inner { member, slots: &mut *slots })?,
        }
    }
    Ok(())
}

/// Finds a key's member.
struct Key<'t>(&'t Tree);

impl<'de, 't> DeserializeSeed<'de> for Key<'t> {
    type Value = Option<&'t Member>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'t> Visitor<'_> for Key<'t> {
    type Value = Option<&'t Member>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.find(key))
    }
}

/// Implements the visits of everything that is not a container, each as a slot.
macro_rules! scalars {
    ($give:expr) => {
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value")
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Null))
        }

        fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Bool(value)))
        }

        fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Signed(value)))
        }

        fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Unsigned(value)))
        }

        fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Float(value)))
        }

        fn visit_borrowed_str<E: Error>(self, value: &'de str) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Text(Cow::Borrowed(value))))
        }

        fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
            Ok($give(self, Slot::Text(Cow::Owned(value.to_string()))))
        }
    };
}

/// A column's value.
struct Value;

impl<'de> DeserializeSeed<'de> for Value {
    type Value = Slot<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
    type Value = Slot<'de>;

    scalars!(|_, slot| slot);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Slot<'de>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Slot::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Slot<'de>, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Slot::Object)
    }
}

/// A value that feeds a column, or has within it what does. Where it has no parts, the columns within are absent.
struct Inner<'t, 's, 'de> {
    member: &'t Member,
    slots: &'s mut [Slot<'de>],
}

impl<'de> Inner<'_, '_, 'de> {
    fn keep(&mut self, value: Slot<'de>) {
        if let Some(slot) = self.member.column.and_then(|column| self.slots.get_mut(column)) {
            *slot = value;
        }
    }
}

impl<'de> DeserializeSeed<'de> for Inner<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        let mut inner = self;
        match inner.member.inner.members.is_empty() {
            true => Value.deserialize(deserializer).map(|value| inner.keep(value)),
            false => deserializer.deserialize_any(inner),
        }
    }
}

impl<'de> Visitor<'de> for Inner<'_, '_, 'de> {
    type Value = ();

    scalars!(|mut inner: Self, value| inner.keep(value));

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<(), A::Error> {
        self.keep(Slot::Array);
        let Inner { member, slots } = self;
        for index in 0_usize.. {
            // No deeper than the paths of the pipeline file.
            let found = match member.inner.find(&element(index)) {
                None => list.next_element::<IgnoredAny>()?.map(drop),
                Some(member) => list.next_element_seed(Inner { member, slots: &mut *slots })?,
            };
            if found.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, map: A) -> Result<(), A::Error> {
        self.keep(Slot::Object);
        members(&self.member.inner, self.slots, map)
    }
}
