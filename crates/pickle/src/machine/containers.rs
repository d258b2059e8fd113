//! Tuples, lists, dicts and sets.

use super::{Machine, Result};
use crate::meter::ALLOCATION;
use crate::{ErrorKind, Id, Role, Value};

impl Machine<'_> {
    /// A tuple of the topmost `count` values.
    pub(super) fn tuple(&mut self, count: usize) -> Result<()> {
        let items = self.take_top(count)?;
        self.add(Value::Tuple(items)).map(drop)
    }

    /// The topmost `count` values, which must all stand above the topmost mark.
    fn take_top(&mut self, count: usize) -> Result<Box<[Id]>> {
        let from = self.context.stack.len().checked_sub(count).filter(|from| *from >= self.fence());
        let from = from.ok_or(ErrorKind::EmptyStack)?;
        self.meter.memory(count.saturating_mul(size_of::<Id>()).saturating_add(ALLOCATION))?;
        Ok(self.context.stack.drain(from..).collect())
    }

    /// Charges the memory of values that were taken from the stack to stay.
    fn keep(&mut self, items: &[Id]) -> Result<()> {
        self.meter.memory(size_of_val(items).saturating_add(ALLOCATION))
    }

    pub(super) fn list(&mut self) -> Result<()> {
        let items = self.pop_mark()?;
        self.keep(&items)?;
        self.add(Value::List(items)).map(drop)
    }

    pub(super) fn frozen_set(&mut self) -> Result<()> {
        let items = self.pop_mark()?;
        self.hashable(&items)?;
        self.keep(&items)?;
        self.add(Value::FrozenSet(items.into_boxed_slice())).map(drop)
    }

    pub(super) fn dict(&mut self) -> Result<()> {
        let flat = self.pop_mark()?;
        self.keep(&flat)?;
        let pairs = self.pairs(&flat)?;
        self.add(Value::Dict(pairs)).map(drop)
    }

    pub(super) fn append(&mut self) -> Result<()> {
        let item = self.pop()?;
        self.append_all(&[item])
    }

    pub(super) fn appends(&mut self) -> Result<()> {
        let items = self.pop_mark()?;
        self.append_all(&items)
    }

    fn append_all(&mut self, items: &[Id]) -> Result<()> {
        let target = self.top()?;
        let takes = self.takes_items(target);
        let list = match node(&mut self.nodes, target) {
            Some(Value::List(list)) => list,
            Some(Value::Object(object)) if takes => &mut object.items,
            _ => return self.unless_scanning(Err(self.expected("a list", target))),
        };
        self.meter.extend(list, items)
    }

    pub(super) fn add_items(&mut self) -> Result<()> {
        let items = self.pop_mark()?;
        self.hashable(&items)?;
        let target = self.top()?;
        let Some(Value::Set(set)) = node(&mut self.nodes, target) else {
            return self.unless_scanning(Err(self.expected("a set", target)));
        };
        self.meter.extend(set, &items)
    }

    pub(super) fn set_item(&mut self) -> Result<()> {
        let value = self.pop()?;
        let key = self.pop()?;
        self.hashable(&[key])?;
        self.set_all(&[(key, value)])
    }

    pub(super) fn set_items(&mut self) -> Result<()> {
        let flat = self.pop_mark()?;
        let pairs = self.pairs(&flat)?;
        self.set_all(&pairs)
    }

    fn set_all(&mut self, pairs: &[(Id, Id)]) -> Result<()> {
        let target = self.top()?;
        self.set_all_of(target, pairs)
    }

    /// Gives what a dict holds to an object as well.
    pub(super) fn copy_pairs(&mut self, from: Id, to: Id) -> Result<()> {
        let Value::Dict(pairs) = self.value(from) else { return Err(self.expected("a dict", from)) };
        let bytes = size_of_val(pairs.as_slice());
        self.meter.memory(bytes.saturating_add(ALLOCATION))?;
        let Value::Dict(pairs) = self.value(from) else { return Ok(()) };
        let pairs = pairs.clone();
        self.set_all_of(to, &pairs)
    }

    fn set_all_of(&mut self, target: Id, pairs: &[(Id, Id)]) -> Result<()> {
        let takes = self.takes_items(target);
        let dict = match node(&mut self.nodes, target) {
            Some(Value::Dict(dict)) => dict,
            Some(Value::Object(object)) if takes => &mut object.pairs,
            _ => return self.unless_scanning(Err(self.expected("a dict", target))),
        };
        self.meter.extend(dict, pairs)
    }

    /// Keys and values in turn, as pairs; every key must be one that Python can hash.
    fn pairs(&self, flat: &[Id]) -> Result<Vec<(Id, Id)>> {
        let (chunks, rest) = flat.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(ErrorKind::OddPairs);
        }
        let pair = |[key, value]: &[Id; 2]| self.hashable(&[*key]).map(|()| (*key, *value));
        chunks.iter().map(pair).collect()
    }

    pub(super) fn hashable(&self, keys: &[Id]) -> Result<()> {
        let open = |id: &&Id| {
            let value = self.value(**id);
            matches!(value, Value::List(_) | Value::Dict(_) | Value::Set(_) | Value::ByteArray(_) | Value::Slice(_))
                || matches!(value, Value::Array(array) if !array.shape.is_empty())
        };
        match keys.iter().find(open) {
            Some(key) => Err(ErrorKind::Unhashable(self.describe(*key))),
            None => Ok(()),
        }
    }

    /// Whether it is an object of a class that takes list and dict items.
    fn takes_items(&self, id: Id) -> bool {
        match self.value(id) {
            Value::Object(object) => match self.names.role(object.class) {
                Some(Role::Class { items, .. }) => items,
                Some(Role::Opaque) | None => true,
                Some(_) => false,
            },
            _ => false,
        }
    }
}

/// A value to change, beside a meter that is borrowed too.
fn node(nodes: &mut [Value], id: Id) -> Option<&mut Value> {
    usize::try_from(id.0).ok().and_then(|index| nodes.get_mut(index))
}
