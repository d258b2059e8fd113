//! Errors as exceptions, in the same words as everywhere.

use foretell_model::Refusal;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::{create_exception, intern};

create_exception!(foretell, Error, PyValueError, "A model file or data that cannot be used; the text says what to do.");
create_exception!(foretell, Refused, Error, "The model refuses a row, as the library that it comes from would.");

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("Error", module.py().get_type::<Error>())?;
    module.add("Refused", module.py().get_type::<Refused>())
}

/// An exception with the text of an error.
pub(crate) fn raise(error: impl std::fmt::Display) -> PyErr {
    Error::new_err(error.to_string())
}

/// Why a row is refused: the step, the column, the reason, and never the value.
pub(crate) fn why(refusal: &Refusal) -> String {
    let column = refusal.column.as_deref().map(|column| format!(": column `{column}`")).unwrap_or_default();
    format!("{}{column}: {}", refusal.step, refusal.reason)
}

/// An exception for a row, counted from 0.
pub(crate) fn refused(py: Python<'_>, row: usize, refusal: &Refusal) -> PyErr {
    let error = Refused::new_err(format!("row {row}: the model refuses this row: {}", why(refusal)));
    let value = error.value(py);
    let set = || {
        value.setattr(intern!(py, "row"), row)?;
        value.setattr(intern!(py, "step"), &refusal.step)?;
        value.setattr(intern!(py, "column"), refusal.column.as_deref())?;
        value.setattr(intern!(py, "reason"), &refusal.reason)
    };
    // The text says it all; an exception takes attributes.
    let _ = set();
    error
}
