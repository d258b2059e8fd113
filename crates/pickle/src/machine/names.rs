//! Globals: looked up on the exact list, kept once each.

use std::collections::BTreeMap;

use super::{Machine, Result};
use crate::wide::wide;
use crate::{ErrorKind, Global, Role, Value};

/// One global of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedGlobal {
    /// The byte of the opcode that names it first.
    pub at: u64,
    /// As the file writes it.
    pub module: String,
    /// As the file writes it.
    pub name: String,
    /// How often it is named.
    pub times: u64,
}

/// The globals of a file, each once, with what the list says of it (nothing, in a scan, for a name not on it).
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) globals: Vec<Global>,
    roles: Vec<Option<Role>>,
    index: BTreeMap<String, BTreeMap<String, u32>>,
}

/// Longer than any module path or class name.
pub(super) const NAME: usize = 512;

impl Names {
    pub(super) fn role(&self, global: u32) -> Option<Role> {
        self.roles.get(usize::try_from(global).ok()?).copied().flatten()
    }

    pub(super) fn get(&self, global: u32) -> Option<&Global> {
        self.globals.get(usize::try_from(global).ok()?)
    }

    /// The name with its module, for messages.
    pub(super) fn show(&self, global: u32) -> String {
        self.get(global).map(ToString::to_string).unwrap_or_default()
    }
}

impl Machine<'_> {
    /// Looks a name up; refuses what is not on the list.
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<u32> {
        if module.len().max(name.len()) > NAME {
            return Err(ErrorKind::Limit { what: "bytes in the name of a global", limit: wide(NAME) });
        }
        if let Some(index) = self.names.index.get(module).and_then(|names| names.get(name)) {
            let index = *index;
            self.count(module, name);
            return Ok(index);
        }
        let role = self.allow.of_file(module, name);
        if role.is_none() && !self.scanning() {
            return Err(ErrorKind::Global { module: module.to_owned(), name: name.to_owned() });
        }
        // Each name is kept in the list, in the index, and in a scan's findings.
        let text = module.len().saturating_add(name.len());
        self.meter.memory(text.saturating_mul(3).saturating_add(512))?;
        let index = u32::try_from(self.names.globals.len()).unwrap_or(u32::MAX);
        self.names.globals.push(Global { module: module.to_owned(), name: name.to_owned() });
        self.names.roles.push(role);
        self.names.index.entry(module.to_owned()).or_default().insert(name.to_owned(), index);
        let at = self.at;
        if let Some(found) = &mut self.found {
            found.push(NamedGlobal { at, module: module.to_owned(), name: name.to_owned(), times: 1 });
        }
        Ok(index)
    }

    fn count(&mut self, module: &str, name: &str) {
        let index = self.names.index.get(module).and_then(|names| names.get(name)).copied();
        let index = index.and_then(|index| usize::try_from(index).ok());
        if let Some(found) = self.found.as_mut().zip(index).and_then(|(found, index)| found.get_mut(index)) {
            found.times = found.times.saturating_add(1);
        }
    }

    /// The two lines of `GLOBAL` and `INST`.
    pub(super) fn name_lines(&mut self) -> Result<(String, String)> {
        let module = self.stream.line()?;
        let name = self.stream.line()?;
        if module.len().max(name.len()) > NAME {
            return Err(ErrorKind::Limit { what: "bytes in the name of a global", limit: wide(NAME) });
        }
        let text = |line: &[u8]| {
            let text = str::from_utf8(line).map_err(|_| ErrorKind::NotUtf8)?;
            // A table whose header begins with a `c` is not a pickle, and its second line somebody's record: not to be told.
            let is_name = text.chars().all(|char| char.is_alphanumeric() || "._<>".contains(char));
            if is_name { Ok(text.to_owned()) } else { Err(ErrorKind::Literal("a name of a global")) }
        };
        Ok((text(module)?, text(name)?))
    }

    pub(super) fn stack_global(&mut self) -> Result<()> {
        let name = self.pop()?;
        let module = self.pop()?;
        let text = |id| match self.value(id) {
            Value::Str(blob) | Value::OldStr(blob) if blob.len > wide(NAME) => {
                Err(ErrorKind::Limit { what: "bytes in the name of a global", limit: wide(NAME) })
            }
            Value::Str(_) | Value::OldStr(_) => self.text(id).map(str::to_owned).ok_or(ErrorKind::NotUtf8),
            _ => Err(self.expected("a text", id)),
        };
        let (module, name) = (text(module)?, text(name)?);
        let global = self.global(&module, &name)?;
        self.add(Value::Global(global)).map(drop)
    }
}
