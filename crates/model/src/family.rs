//! What a family of estimators declares of itself.

use foretell_pickle::Entry;

use crate::loader::Load;

/// Estimators that one loader reads.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// What people call it: `random forests and trees`.
    pub name: &'static str,
    /// Every path its classes have had: module and name.
    pub classes: &'static [(&'static str, &'static str)],
    /// What their files name beside the classes.
    pub globals: &'static [Entry],
    pub(crate) load: Load,
}
