//! Python's own types, where a file makes them by a call.

use super::{Machine, Result};
use crate::meter::ALLOCATION;
use crate::{Blob, Builtin, Id, Value};

impl Machine<'_> {
    /// A built-in type called with `args`; `None` where the arguments are not what files call it with.
    pub(super) fn python(&mut self, builtin: Builtin, args: &[Id]) -> Result<Option<Id>> {
        let value = match builtin {
            Builtin::Encode => match args {
                [text, encoding] if self.is_latin(*encoding) => self.latin(*text)?.map(Value::Bytes),
                _ => None,
            },
            Builtin::ByteArray => self.raw(args)?.map(Value::ByteArray),
            Builtin::Bytes => self.raw(args)?.map(Value::Bytes),
            Builtin::Complex => match args {
                [re, im] => self.float(*re).zip(self.float(*im)).map(|(re, im)| Value::Complex(re, im)),
                _ => None,
            },
            Builtin::Slice => args.try_into().ok().map(Value::Slice),
            Builtin::Set => self.copied(args)?.map(Value::Set),
            Builtin::FrozenSet => self.copied(args)?.map(|items| Value::FrozenSet(items.into_boxed_slice())),
            Builtin::List => self.copied(args)?.map(Value::List),
            Builtin::Tuple => self.copied(args)?.map(|items| Value::Tuple(items.into_boxed_slice())),
            Builtin::Dict | Builtin::OrderedDict => self.pair_items(args)?.map(Value::Dict),
            // The factory only matters for keys that are missing.
            Builtin::DefaultDict => self.pair_items(args.get(1..).unwrap_or(&[]))?.map(Value::Dict),
            _ => None,
        };
        if let Some(Value::Set(items)) = &value {
            self.hashable(items)?;
        }
        if let Some(Value::FrozenSet(items)) = &value {
            self.hashable(items)?;
        }
        value.map(|value| self.make(value)).transpose()
    }

    /// What `bytes` and `bytearray` are called with: nothing, bytes, or latin-1 text and its encoding.
    fn raw(&mut self, args: &[Id]) -> Result<Option<Blob>> {
        match args {
            [] => Ok(Some(Blob { start: 0, len: 0 })),
            [bytes] => Ok(self.raw_bytes(*bytes)),
            [text, encoding] if self.is_latin(*encoding) => self.latin(*text),
            _ => Ok(None),
        }
    }

    /// The bytes of a bytes value.
    pub(super) fn raw_bytes(&self, id: Id) -> Option<Blob> {
        match self.value(id) {
            Value::Bytes(blob) | Value::ByteArray(blob) | Value::OldStr(blob) => Some(*blob),
            _ => None,
        }
    }

    fn is_latin(&self, encoding: Id) -> bool {
        matches!(self.text(encoding), Some("latin1" | "latin-1"))
    }

    /// Text that stands for bytes, one character a byte; `None` where a character is not a byte.
    fn latin(&mut self, id: Id) -> Result<Option<Blob>> {
        let blob = match self.value(id) {
            Value::Str(blob) => *blob,
            Value::OldStr(blob) => return Ok(Some(*blob)),
            _ => return Ok(None),
        };
        self.meter.work(blob.len)?;
        let bytes = self.blob(blob);
        if bytes.is_ascii() {
            return Ok(Some(blob));
        }
        let Ok(text) = std::str::from_utf8(bytes) else { return Ok(None) };
        let count = text.chars().count();
        self.meter.memory(count)?;
        let text = std::str::from_utf8(self.blob(blob)).unwrap_or("");
        let decoded: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
        decoded.map(|decoded| self.decode(&decoded)).transpose()
    }

    fn float(&self, id: Id) -> Option<f64> {
        match self.value(id) {
            Value::Float(value) => Some(*value),
            _ => None,
        }
    }

    /// The items of a list, tuple or set, copied; none for a call without arguments.
    fn copied(&mut self, args: &[Id]) -> Result<Option<Vec<Id>>> {
        let [from] = args else { return Ok(args.is_empty().then(Vec::new)) };
        let Some(bytes) = self.sequence(*from).map(size_of_val) else { return Ok(None) };
        self.meter.memory(bytes.saturating_add(ALLOCATION))?;
        Ok(self.sequence(*from).map(<[Id]>::to_vec))
    }

    /// The pairs of a dict or of a list of two-item lists, copied.
    fn pair_items(&mut self, args: &[Id]) -> Result<Option<Vec<(Id, Id)>>> {
        let [from] = args else { return Ok(args.is_empty().then(Vec::new)) };
        let len = match self.value(*from) {
            Value::Dict(pairs) => pairs.len(),
            Value::List(items) => items.len(),
            _ => return Ok(None),
        };
        self.meter.memory(len.saturating_mul(size_of::<(Id, Id)>()).saturating_add(ALLOCATION))?;
        let pair = |id: &Id| match self.sequence(*id) {
            Some([key, value]) => Some((*key, *value)),
            _ => None,
        };
        let pairs: Option<Vec<(Id, Id)>> = match self.value(*from) {
            Value::Dict(pairs) => Some(pairs.clone()),
            Value::List(items) => items.iter().map(pair).collect(),
            _ => None,
        };
        for (key, _) in pairs.iter().flatten() {
            self.hashable(&[*key])?;
        }
        Ok(pairs)
    }
}
