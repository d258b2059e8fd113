//! What is left of the budgets.

use crate::wide::wide;
use crate::{ErrorKind, Limits};

/// Charged before anything is taken; nothing is ever given back, so that it bounds the time as well.
#[derive(Debug)]
pub(crate) struct Meter<'l> {
    pub(crate) limits: &'l Limits,
    pub(crate) opcodes: u64,
    memory: u64,
    memory_limit: u64,
    work: u64,
    work_limit: u64,
}

/// Bytes that may be looked at more than once (texts decoded, states searched), for each byte of the file …
const WORK_FACTOR: u64 = 16;
/// … and for a file of any size. Both pass in well under a second.
const WORK: u64 = 256 << 20;

impl<'l> Meter<'l> {
    pub(crate) fn new(limits: &'l Limits, file: usize) -> Self {
        let file = wide(file);
        Meter {
            limits,
            opcodes: 0,
            memory: 0,
            memory_limit: limits.memory.saturating_add(limits.memory_factor.saturating_mul(file)),
            work: 0,
            work_limit: WORK.saturating_add(WORK_FACTOR.saturating_mul(file)),
        }
    }

    pub(crate) fn opcode(&mut self) -> Result<(), ErrorKind> {
        let limit = self.limits.opcodes;
        if self.opcodes >= limit {
            return Err(ErrorKind::Limit { what: "opcodes", limit });
        }
        self.opcodes = self.opcodes.saturating_add(1);
        Ok(())
    }

    /// Charges memory that is about to be taken.
    pub(crate) fn memory(&mut self, bytes: usize) -> Result<(), ErrorKind> {
        self.memory = self.memory.saturating_add(wide(bytes));
        if self.memory > self.memory_limit {
            return Err(ErrorKind::Limit { what: "bytes of memory for values", limit: self.memory_limit });
        }
        Ok(())
    }

    /// Charges bytes that are about to be looked at again.
    pub(crate) fn work(&mut self, bytes: u64) -> Result<(), ErrorKind> {
        self.work = self.work.saturating_add(bytes);
        if self.work > self.work_limit {
            return Err(ErrorKind::Limit { what: "bytes handled", limit: self.work_limit });
        }
        Ok(())
    }

    pub(crate) fn string(&self, len: u64) -> Result<u64, ErrorKind> {
        let limit = self.limits.string;
        if len > limit { Err(ErrorKind::Limit { what: "bytes in one text", limit }) } else { Ok(len) }
    }

    /// Makes room for `more` items, charged by capacity: half as much again where it grows, exact where
    /// it is filled at once.
    pub(crate) fn room<T>(&mut self, vec: &mut Vec<T>, more: usize) -> Result<(), ErrorKind> {
        let free = vec.capacity().saturating_sub(vec.len());
        if more <= free {
            return Ok(());
        }
        let grown = vec.capacity().saturating_add(vec.capacity() / 2);
        let least = if more == 1 { 4 } else { 0 };
        let wanted = vec.len().saturating_add(more).max(grown).max(least);
        let added = wanted.saturating_sub(vec.capacity());
        self.memory(added.saturating_mul(size_of::<T>()).saturating_add(ALLOCATION))?;
        let limit = self.memory_limit;
        vec.try_reserve_exact(wanted.saturating_sub(vec.len()))
            .map_err(|_| ErrorKind::Limit { what: "bytes of memory for values", limit })
    }

    pub(crate) fn push<T>(&mut self, vec: &mut Vec<T>, item: T) -> Result<(), ErrorKind> {
        self.room(vec, 1)?;
        vec.push(item);
        Ok(())
    }

    pub(crate) fn extend<T: Copy>(&mut self, vec: &mut Vec<T>, items: &[T]) -> Result<(), ErrorKind> {
        self.room(vec, items.len())?;
        vec.extend_from_slice(items);
        Ok(())
    }
}

/// What an allocator keeps beside each piece.
pub(crate) const ALLOCATION: usize = 16;
