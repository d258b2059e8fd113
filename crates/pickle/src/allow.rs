//! Which names a file may use.

use std::collections::BTreeMap;

use crate::common::COMMON;
use crate::opaque::is_harmless;
use crate::{Entry, Role};

/// The exact list of names that a file may use. Everything else is refused with its name and byte, or kept as an opaque
/// value ([`Allow::and_opaque`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    pub(crate) names: BTreeMap<&'static str, BTreeMap<&'static str, Role>>,
    opaque: bool,
}

impl Allow {
    /// The caller's names and the containers of this crate. Of a name listed twice the last one holds, but a name of
    /// this crate always means what it means here.
    #[must_use]
    pub fn new<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Allow {
        let mut allow = Allow { names: BTreeMap::new(), opaque: false };
        for entry in entries.into_iter().chain(COMMON) {
            allow.names.entry(entry.module).or_default().insert(entry.name, entry.role);
        }
        allow
    }

    /// Lets names that are not listed be opaque values, but for those that run code or reach the system where Python
    /// loads the file.
    #[must_use]
    pub fn and_opaque(self) -> Allow {
        Allow { opaque: true, ..self }
    }

    /// What a file may do with `module.name`: what is listed, or nothing that means anything; `None` where it is refused.
    #[must_use]
    pub fn of_file(&self, module: &str, name: &str) -> Option<Role> {
        self.role(module, name).or_else(|| (self.opaque && is_harmless(module, name)).then_some(Role::Opaque))
    }

    /// What `module.name` may do; `None` where it is not listed.
    #[must_use]
    pub fn role(&self, module: &str, name: &str) -> Option<Role> {
        self.names.get(module)?.get(name).copied()
    }

    /// Every listed name in alphabetical order, those of this crate included.
    pub fn globals(&self) -> impl Iterator<Item = (&'static str, &'static str, Role)> + '_ {
        self.names.iter().flat_map(|(module, names)| names.iter().map(|(name, role)| (*module, *name, *role)))
    }
}
