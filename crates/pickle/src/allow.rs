//! Which names a file may use.

use std::collections::BTreeMap;

use crate::common::COMMON;
use crate::{Entry, Role};

/// The exact list of names that a file may use. Everything else is refused with its name and byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    pub(crate) names: BTreeMap<&'static str, BTreeMap<&'static str, Role>>,
}

impl Allow {
    /// The caller's names and the containers of this crate. Of a name listed twice the last one holds, but a name of
    /// this crate always means what it means here.
    #[must_use]
    pub fn new<'e>(entries: impl IntoIterator<Item = &'e Entry>) -> Allow {
        let mut allow = Allow { names: BTreeMap::new() };
        for entry in entries.into_iter().chain(COMMON) {
            allow.names.entry(entry.module).or_default().insert(entry.name, entry.role);
        }
        allow
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
