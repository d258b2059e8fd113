//! What an estimator beside others is: one that makes columns, or one that predicts.

use foretell_pickle::View;

use crate::families;
use crate::loaded::Out;
use crate::loader::Loader;
use crate::options::LoadOptions;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Makes so many columns.
    Transforms { columns: usize },
    /// Takes so many columns; and whether it knows their names.
    Predicts { columns: usize, named: bool },
    /// Not scored, or neither.
    Other,
}

impl Role {
    pub(crate) fn of(view: &View<'_>, options: &LoadOptions) -> Role {
        let mut loader = Loader::new(options, families::LOOKUP);
        loader.set_size(view.document().unpacked_len());
        let Ok(loaded) = loader.load(view, None) else { return Role::Other };
        match loaded.out {
            Out::Table(table) => Role::Transforms { columns: table.len() },
            Out::Codes(_) => Role::Other,
            Out::Answers(_) => {
                let inputs = loader.signature_inputs();
                Role::Predicts { columns: inputs.len(), named: inputs.iter().any(|input| input.name.is_some()) }
            }
        }
    }
}
