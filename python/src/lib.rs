//! The module `foretell._foretell`: models for Python. What a person calls is in `../foretell`, in Python; this knows how
//! columns come in (`columns`, `matrix`, `objects`), how rows are shared by threads (`rows`), and how answers go out
//! (`answers`).

mod answers;
mod columns;
mod error;
mod matrix;
mod model;
mod objects;
mod rows;

use pyo3::prelude::*;

#[pymodule]
fn _foretell(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    error::register(module)?;
    module.add_class::<model::Model>()?;
    module.add_class::<answers::Table>()?;
    module.add_function(wrap_pyfunction!(model::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(model::join, module)?)?;
    module.add_function(wrap_pyfunction!(model::mlmodel, module)?)?;
    Ok(())
}
