//! A loaded model.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use foretell_model::{LoadOptions, Method, Outputs, Signature, paths};
use numpy::PyUntypedArray;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};
use pyo3_arrow::input::AnyRecordBatch;

use crate::answers::{self, Table};
use crate::columns::Given;
use crate::error::{raise, refused};
use crate::rows;

/// A model and the bytes that it was read from, which go with it to other processes.
#[pyclass(module = "foretell._foretell", frozen, subclass)]
pub(crate) struct Model {
    bytes: Vec<u8>,
    options: LoadOptions,
    model: foretell_model::Model,
    /// The same with what explaining needs, once it was asked for.
    explains: OnceLock<Arc<foretell_model::Model>>,
    threads: usize,
    /// What was said of these: another machine has other cores.
    wanted: Option<usize>,
    at: Option<String>,
}

/// Where in the file, the names of the inputs, levels of columns, threads.
type ReadWith = (Option<String>, Vec<String>, BTreeMap<String, Vec<String>>, Option<usize>);

/// How a file is read.
fn options(at: Option<&str>, columns: Vec<String>, categories: BTreeMap<String, Vec<String>>) -> LoadOptions {
    LoadOptions { at: at.map(paths).unwrap_or_default(), columns, categories, ..LoadOptions::default() }
}

fn method(name: &str) -> PyResult<Method> {
    Ok(match name {
        "predict" => Method::Predict,
        "predict_proba" => Method::Proba,
        "decision_function" => Method::Decision,
        "score_samples" => Method::Samples,
        "transform" => Method::Transform,
        "contribs" => Method::Contribs,
        "reasons" => Method::Reasons,
        _ => {
            return Err(raise(format!(
                "there is no method `{name}`; there are predict, predict_proba, decision_function, score_samples, \
                 transform, contribs and reasons"
            )));
        }
    })
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (bytes, at=None, columns=Vec::new(), categories=BTreeMap::new(), threads=None))]
    fn new(
        py: Python<'_>,
        bytes: &[u8],
        at: Option<&str>,
        columns: Vec<String>,
        categories: BTreeMap<String, Vec<String>>,
        threads: Option<usize>,
    ) -> PyResult<Model> {
        let options = options(at, columns, categories);
        let bytes = bytes.to_vec();
        let model = py.detach(|| foretell_package::load(&bytes, &options)).map_err(raise)?;
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let wanted = threads.filter(|threads| *threads > 0);
        let (threads, at) = (wanted.unwrap_or_else(cores), at.map(str::to_string));
        Ok(Model { bytes, options, model, explains: OnceLock::new(), threads, wanted, at })
    }

    /// The file's bytes.
    #[getter]
    fn _bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.bytes)
    }

    /// What it was read with.
    #[getter]
    fn _options(&self) -> ReadWith {
        (self.at.clone(), self.options.columns.clone(), self.options.categories.clone(), self.wanted)
    }

    #[getter]
    fn _described(&self) -> String {
        foretell_package::described(&self.model).to_string()
    }

    #[getter]
    fn sha256(&self) -> &str {
        &self.model.describe().sha256
    }

    /// How many threads share the rows of one call.
    #[getter]
    fn threads(&self) -> usize {
        self.threads
    }

    /// The names of a method's outputs; none where the model does not have it.
    fn _outputs(&self, py: Python<'_>, name: &str) -> PyResult<Vec<String>> {
        let want = method(name)?;
        let model = self.to(py, want)?;
        Ok(model.signature().outputs(want).iter().map(|output| output.name.clone()).collect())
    }

    /// The classes of a target as text, in the order of the probabilities.
    fn _classes(&self, target: usize) -> Vec<String> {
        self.model.classes(target)
    }

    /// The answers as one array. `data` is an array of numpy, a table of Arrow, or a list of names with columns.
    fn _array<'py>(
        &self,
        py: Python<'py>,
        data: &Bound<'py, PyAny>,
        name: &str,
        flat: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let want = method(name)?;
        let model = self.to(py, want)?;
        let outputs = model.signature().outputs(want);
        if outputs.is_empty() {
            return Err(self.lacks(name));
        }
        let given = given(data, model.signature())?;
        let (pieces, lengths) = self.score(py, model, &given, want);
        if let Some((row, refusal)) = answers::refusals(&pieces, &lengths).first() {
            return Err(refused(py, *row, refusal));
        }
        answers::array(py, &pieces, outputs, given.rows, flat)
    }

    /// The answers as a table, rows that are refused with their reason.
    fn _table(&self, py: Python<'_>, data: &Bound<'_, PyAny>, names: Vec<String>) -> PyResult<Table> {
        let wants: Vec<Method> = names.iter().map(|name| method(name)).collect::<PyResult<_>>()?;
        let explain = wants.iter().find(|want| matches!(want, Method::Contribs | Method::Reasons));
        let model = self.to(py, explain.copied().unwrap_or(Method::Predict))?;
        let given = given(data, model.signature())?;
        let (mut all, mut lengths) = (Vec::new(), Vec::new());
        for (want, name) in wants.iter().zip(&names) {
            let outputs = model.signature().outputs(*want);
            if outputs.is_empty() {
                return Err(self.lacks(name));
            }
            let (pieces, rows) = self.score(py, model, &given, *want);
            lengths = rows;
            all.push((pieces, outputs));
        }
        Table::new(&all, &lengths, given.rows)
    }
}

impl Model {
    /// The model for what is wanted of it.
    fn to(&self, py: Python<'_>, want: Method) -> PyResult<&foretell_model::Model> {
        if !matches!(want, Method::Contribs | Method::Reasons) {
            return Ok(&self.model);
        }
        if let Some(model) = self.explains.get() {
            return Ok(model);
        }
        let options = LoadOptions { explain: true, ..self.options.clone() };
        let model = py.detach(|| foretell_package::load(&self.bytes, &options)).map_err(raise)?;
        Ok(self.explains.get_or_init(|| Arc::new(model)))
    }

    fn lacks(&self, name: &str) -> PyErr {
        let class = &self.model.describe().root.class;
        let signature = self.model.signature();
        let all = [
            ("predict", &signature.predict),
            ("predict_proba", &signature.proba),
            ("decision_function", &signature.decision),
            ("score_samples", &signature.samples),
            ("transform", &signature.transform),
        ];
        let has: Vec<String> =
            all.iter().filter(|(_, outputs)| !outputs.is_empty()).map(|(name, _)| format!("`{name}`")).collect();
        raise(format!("a `{class}` has no `{name}`; it has {}", has.join(", ")))
    }

    fn score(
        &self,
        py: Python<'_>,
        model: &foretell_model::Model,
        given: &Given,
        want: Method,
    ) -> (Vec<Outputs>, Vec<usize>) {
        let pieces = py.detach(|| rows::score(model, given, want, self.threads));
        let lengths = given.lengths();
        (pieces, lengths)
    }
}

fn given(data: &Bound<'_, PyAny>, signature: &Signature) -> PyResult<Given> {
    if let Ok(array) = data.cast::<PyUntypedArray>() {
        return Given::matrix(array, signature);
    }
    if let Ok(list) = data.cast::<PyList>() {
        return Given::columns(list.extract()?, signature);
    }
    if let Ok((names, array)) = data.extract::<(Vec<String>, Bound<'_, PyUntypedArray>)>() {
        return Given::named(names, &array, signature);
    }
    Given::table(data.extract::<AnyRecordBatch>()?, signature)
}

/// What is in bytes, as JSON, whether or not it can be scored.
#[pyfunction]
#[pyo3(signature = (bytes, at=None, columns=Vec::new()))]
pub(crate) fn inspect(py: Python<'_>, bytes: &[u8], at: Option<&str>, columns: Vec<String>) -> PyResult<String> {
    let options = options(at, columns, BTreeMap::new());
    let bytes = bytes.to_vec();
    let report = py.detach(|| foretell_package::inspect(&bytes, &options)).map_err(raise)?;
    Ok(foretell_package::json(&report).to_string())
}

/// Several files as one.
#[pyfunction]
pub(crate) fn join<'py>(py: Python<'py>, files: Vec<Vec<u8>>) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &foretell_package::join(files))
}

/// What MLflow's description of a model says: the file, and the names of the inputs.
#[pyfunction]
pub(crate) fn mlmodel(text: &[u8]) -> PyResult<(String, Vec<String>)> {
    let read = foretell_package::MlModel::read(text).map_err(raise)?;
    Ok((read.path, read.columns))
}
