//! Numbers, texts, bytes, and the memo.

use super::{BYTES, Machine, Result, UNSET};
use crate::literal::{self, Integer};
use crate::opcode as op;
use crate::wide::wide;
use crate::{ErrorKind, Id, Value};

impl Machine<'_> {
    pub(super) fn int(&mut self, value: i64) -> Result<()> {
        match u8::try_from(value) {
            Ok(byte) => self.push(Id(BYTES.saturating_add(u32::from(byte)))),
            Err(_) => self.add(Value::Int(value)).map(drop),
        }
    }

    pub(super) fn decimal(&mut self, text: &[u8]) -> Result<()> {
        let limit = self.meter.limits.digits;
        if text.len() > limit {
            return Err(ErrorKind::Limit { what: "digits in an integer", limit: wide(limit) });
        }
        self.meter.work(wide(text.len().saturating_mul(text.len())))?;
        match literal::decimal(text)? {
            Integer::Small(value) => self.int(value),
            Integer::Large(bytes) => {
                let blob = self.decode(&bytes)?;
                self.add(Value::Long(blob)).map(drop)
            }
        }
    }

    pub(super) fn long(&mut self, len: u64) -> Result<()> {
        let limit = wide(self.meter.limits.digits);
        let blob = self.stream.blob(len)?;
        // A byte is some 2.4 digits.
        if len.saturating_mul(12) / 5 > limit {
            return Err(ErrorKind::Limit { what: "digits in an integer", limit });
        }
        match literal::small(self.blob(blob)) {
            Some(value) => self.int(value),
            None => self.add(Value::Long(blob)).map(drop),
        }
    }

    pub(super) fn bytes(&mut self, opcode: u8, len: u64) -> Result<()> {
        let blob = self.stream.blob(len)?;
        self.meter.string(len)?;
        let value = match opcode {
            op::SHORT_BINBYTES | op::BINBYTES | op::BINBYTES8 => Value::Bytes(blob),
            op::BYTEARRAY8 => Value::ByteArray(blob),
            op::SHORT_BINSTRING | op::BINSTRING => Value::OldStr(blob),
            _ => {
                std::str::from_utf8(self.blob(blob)).map_err(|_| ErrorKind::NotUtf8)?;
                Value::Str(blob)
            }
        };
        self.add(value).map(drop)
    }

    // -- the memo

    pub(super) fn index(&mut self) -> Result<u64> {
        let line = self.stream.line()?;
        let index = std::str::from_utf8(line).ok().and_then(|text| text.parse().ok());
        index.ok_or(ErrorKind::Literal("a memo entry"))
    }

    pub(super) fn put(&mut self, index: u64) -> Result<()> {
        let value = self.top()?;
        // A writer numbers what it has written, so that an honest entry is never above the opcodes so far.
        let opcodes = self.context.opcodes;
        let at = usize::try_from(index).ok().filter(|_| index <= opcodes);
        let at = at.ok_or(ErrorKind::MemoRange { index, opcodes })?;
        let limit = self.meter.limits.memo;
        if at >= limit {
            return Err(ErrorKind::Limit { what: "memo entries", limit: wide(limit) });
        }
        let memo = &mut self.context.memo;
        let missing = at.saturating_add(1).saturating_sub(memo.len());
        self.meter.room(memo, missing)?;
        memo.resize(memo.len().saturating_add(missing), UNSET);
        if let Some(entry) = memo.get_mut(at) {
            let new = *entry == UNSET;
            *entry = value;
            self.context.memo_entries = self.context.memo_entries.saturating_add(usize::from(new));
        }
        Ok(())
    }

    pub(super) fn get(&mut self, index: u64) -> Result<()> {
        let entry = usize::try_from(index).ok().and_then(|index| self.context.memo.get(index));
        let entry = entry.copied().filter(|id| *id != UNSET).ok_or(ErrorKind::NoMemo(index))?;
        self.push(entry)
    }
}
