//! A graph on columns: what goes in, what comes out, and rows that it cannot answer.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "widths were found out while loading")]

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Float32Array, Float64Array, Int64Array};
use arrow_schema::DataType;

use super::ops::Classes;
use super::program::{Failure, Program};
use super::tensor::{Context, Data, Kind, Tensor};
use crate::categories::texts;
use crate::labels::Labels;
use crate::matrix::{ArrayRule, Frame, Matrix, read};
use crate::step::{Answer, Predict, Run};
use crate::types::is_text;
use crate::{Error, Method, TreesReport};

/// What an input takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Given {
    Number,
    Text,
    Bool,
}

/// An output that is told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) data_type: DataType,
    pub(crate) width: usize,
    kind: Kind,
}

/// Which outputs answer what.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers {
    pub(crate) predict: Option<usize>,
    pub(crate) proba: Option<usize>,
    pub(crate) decision: Option<usize>,
    /// The answer again, as the table that a transformer gives.
    pub(crate) table: Option<usize>,
    /// The classes that `predict` tells one of.
    pub(crate) labels: Option<Labels>,
    /// What the columns of the probabilities or scores are of.
    pub(crate) classes: Option<Labels>,
    /// Outputs that are not told.
    pub(crate) others: Vec<String>,
}

/// A graph, ready to be scored.
#[derive(Debug)]
pub(crate) struct Scorer {
    program: Program,
    pub(crate) producer: String,
    pub(crate) opsets: String,
    /// The first column of each input, and how many it has.
    columns: Vec<(usize, usize)>,
    labels: Vec<String>,
    pub(crate) outputs: Vec<Told>,
    pub(crate) answers: Answers,
    /// The place of each class in the answer.
    texts: HashMap<Arc<str>, u32>,
    numbers: HashMap<i64, u32>,
}

/// Values that a run may make, at least, and for each constant of the file.
const VALUES: usize = 1 << 22;
const VALUES_A_CONSTANT: usize = 8;
/// Rows that go through a graph at once.
const ROWS: usize = 256;
/// Columns of one output.
const WIDTH: usize = 1 << 14;

const STEP: &str = "ONNX";

impl Scorer {
    pub(super) fn new(program: Program, producer: String, opsets: String) -> Self {
        Scorer {
            program,
            producer,
            opsets,
            columns: Vec::new(),
            labels: Vec::new(),
            outputs: Vec::new(),
            answers: Answers::default(),
            texts: HashMap::new(),
            numbers: HashMap::new(),
        }
    }

    /// The inputs: name, type, and the number of columns where the file tells it.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&str, Given, Option<usize>)> {
        self.program.inputs.iter().map(|input| {
            let given = match input.kind {
                Kind::Text => Given::Text,
                Kind::Bool => Given::Bool,
                Kind::F32 | Kind::F64 | Kind::I64 => Given::Number,
            };
            (input.name.as_str(), given, input.width)
        })
    }

    pub(crate) fn operators(&self) -> impl Iterator<Item = (&str, Option<&TreesReport>)> {
        self.program.operators()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.program.holds()
    }

    /// Finds out what the graph gives for inputs of these widths, by running it on a few rows.
    pub(crate) fn prepare(&mut self, widths: &[usize], labels: Vec<String>) -> Result<(), Error> {
        let mut first = 0usize;
        for width in widths {
            self.columns.push((first, *width));
            first = first.saturating_add(*width);
        }
        self.labels = labels;
        let failed =
            |(place, fault): Failure| Error::state(place, format!("{fault} (on rows of numbers as a table has them)"));
        let together = self.program.run(self.samples(0..SAMPLES), &[], &self.context()).map_err(failed)?;
        for ((name, _), tensor) in self.program.outputs.iter().zip(&together) {
            let width = match tensor.shape.as_slice() {
                // Some graphs give their labels as a single row.
                [SAMPLES] | [1, SAMPLES] => 1,
                [SAMPLES, width] => *width,
                _ => {
                    let message = format!("output `{name}` has not one row for each of the input");
                    return Err(Error::state("", message));
                }
            };
            if width > WIDTH {
                return Err(Error::Limit { place: format!("output `{name}`"), what: "columns", limit: WIDTH });
            }
            let kind = tensor.data.kind();
            let data_type = match kind {
                Kind::F32 => DataType::Float32,
                Kind::F64 => DataType::Float64,
                Kind::I64 | Kind::Bool => DataType::Int64,
                Kind::Text => DataType::Utf8,
            };
            self.outputs.push(Told { name: name.clone(), data_type, width, kind });
        }
        for row in 0..SAMPLES {
            let alone = self.program.run(self.samples(row..row + 1), &[], &self.context()).map_err(failed)?;
            for ((alone, all), told) in alone.iter().zip(&together).zip(&self.outputs) {
                let own = all.data.pick(row * told.width..(row + 1) * told.width);
                // NaN is not equal to itself; as text it is.
                if alone.data.len() != told.width || format!("{:?}", alone.data) != format!("{own:?}") {
                    let message = format!("output `{}` of a row depends on the other rows", told.name);
                    return Err(Error::state("", message));
                }
            }
        }
        self.choose();
        Ok(())
    }

    fn context(&self) -> Context {
        Context::new(VALUES.saturating_add(self.program.values.saturating_mul(VALUES_A_CONSTANT)))
    }

    /// Rows to try, of numbers that differ.
    fn samples(&self, rows: std::ops::Range<usize>) -> Vec<Arc<Tensor>> {
        let inputs = self.program.inputs.iter().zip(&self.columns);
        let sample = |(input, (_, width)): (&super::program::Input, &(usize, usize))| {
            let all = rows.clone().flat_map(|row| (0..*width).map(move |column| (row * 31 + column * 17 + 5) % 23));
            let data = match input.kind {
                Kind::F32 => Data::F32(all.map(|n| n as f32 * 0.25 - 2.0).collect()),
                Kind::F64 => Data::F64(all.map(|n| n as f64 * 0.25 - 2.0).collect()),
                Kind::I64 => Data::I64(all.map(|n| (n % 4) as i64).collect()),
                Kind::Bool => Data::Bool(all.map(|n| n % 2 == 1).collect()),
                Kind::Text => Data::Text(all.map(|n| n.to_string().into()).collect()),
            };
            let shape = if input.is_list { vec![rows.len()] } else { vec![rows.len(), *width] };
            Arc::new(Tensor { shape, data })
        };
        inputs.map(sample).collect()
    }

    /// Which output answers what: a column of labels, then probabilities or scores of classes; a number; or a table.
    fn choose(&mut self) {
        let is_float = |told: &Told| matches!(told.kind, Kind::F32 | Kind::F64);
        let places = || self.outputs.iter().enumerate();
        let mut label = places().find(|(_, told)| !is_float(told) && told.width == 1).map(|(at, _)| at);
        let float = places().find(|(_, told)| is_float(told)).map(|(at, _)| at);
        let classes = self.program.classes.as_ref().map(|classes| match classes {
            Classes::Ints(all) => Labels::Int(all.clone()),
            Classes::Texts(all) => Labels::Text(all.clone()),
        });
        let answers = &mut self.answers;
        if label.is_none() && float.is_none() {
            label = (!self.outputs.is_empty()).then_some(0);
        }
        match (label, float) {
            (Some(label), float) => {
                answers.predict = Some(label);
                let told = &self.outputs[label];
                answers.labels = classes.clone().filter(|classes| {
                    told.width == 1
                        && matches!((classes, told.kind), (Labels::Int(_), Kind::I64) | (Labels::Text(_), Kind::Text))
                });
                if let Some(float) = float {
                    let told = &self.outputs[float];
                    let by_class = classes.filter(|classes| classes.len() == told.width);
                    let is_share = told.name.to_ascii_lowercase().contains("prob");
                    if is_share || (by_class.is_some() && !told.name.to_ascii_lowercase().contains("score")) {
                        answers.proba = Some(float);
                    } else {
                        answers.decision = Some(float);
                    }
                    answers.classes = by_class;
                }
            }
            (None, float) => {
                answers.predict = float;
                answers.table = float.filter(|_| !self.program.predicts);
            }
        }
        let told = [answers.predict, answers.proba, answers.decision, answers.table];
        answers.others =
            places().filter(|(at, _)| !told.contains(&Some(*at))).map(|(_, told)| told.name.clone()).collect();
        match &answers.labels {
            Some(Labels::Int(all)) => {
                self.numbers = all.iter().copied().zip(0..).collect();
            }
            Some(Labels::Text(all)) => {
                self.texts = all.iter().map(|text| Arc::from(text.as_str())).zip(0..).collect();
            }
            _ => {}
        }
    }

    /// The inputs of some rows.
    fn tensors(&self, x: &Matrix, from: usize, rows: usize, run: &mut Run) -> Vec<Arc<Tensor>> {
        let mut all = Vec::with_capacity(self.columns.len());
        for (input, (first, width)) in self.program.inputs.iter().zip(&self.columns) {
            let mut columns = Vec::with_capacity(*width);
            for column in *first..first + width {
                let label = self.labels.get(column).map_or("", String::as_str);
                columns.push(column_of(x, column, (from, rows), input.kind, label, run));
            }
            let data = by_row(columns, rows, input.kind);
            let shape = if input.is_list { vec![rows] } else { vec![rows, *width] };
            all.push(Arc::new(Tensor { shape, data }));
        }
        all
    }

    /// One output for all rows.
    fn output(&self, x: &Matrix, wanted: usize, run: &mut Run) -> Data {
        let told = &self.outputs[wanted];
        let mut out = empty(told.kind);
        let mut open: Vec<(usize, usize)> =
            (0..x.rows()).step_by(ROWS).map(|from| (from, ROWS.min(x.rows() - from))).rev().collect();
        while let Some((from, rows)) = open.pop() {
            let mut own = Run::default();
            let inputs = self.tensors(x, from, rows, &mut own);
            let context = self.context();
            let made = self.program.run(inputs, &[], &context);
            let made = made.map(|made| made[wanted].data.clone());
            match made {
                Ok(data) if data.len() == rows * told.width && data.kind() == told.kind => {
                    run.add_block(own, from);
                    for (row, reason) in context.refused.take() {
                        run.refuse(from + row, STEP, None, reason);
                    }
                    let _ = out.append(&data);
                }
                // Some row among them is at fault: which one is found by halves.
                _ if rows > 1 => {
                    let half = rows / 2;
                    open.push((from + half, rows - half));
                    open.push((from, half));
                }
                failed => {
                    run.add_block(own, from);
                    let reason = match failed {
                        Err((place, fault)) => format!("{place}: {fault}"),
                        Ok(_) => "an output of another shape".to_string(),
                    };
                    run.refuse(from, STEP, None, &reason);
                    let _ = out.append(&zeros(told.kind, told.width));
                }
            }
        }
        out
    }

    fn classes(&self, data: &Data, run: &mut Run) -> Vec<u32> {
        let found: Vec<Option<u32>> = match data {
            Data::I64(all) => all.iter().map(|one| self.numbers.get(one).copied()).collect(),
            Data::Text(all) => all.iter().map(|one| self.texts.get(one).copied()).collect(),
            other => vec![None; other.len()],
        };
        let each = found.into_iter().enumerate().map(|(row, found)| {
            found.unwrap_or_else(|| {
                run.refuse(row, STEP, None, "a label that is not among the model's classes");
                0
            })
        });
        each.collect()
    }
}

/// Rows that are tried.
const SAMPLES: usize = 3;

fn empty(kind: Kind) -> Data {
    zeros(kind, 0)
}

fn zeros(kind: Kind, count: usize) -> Data {
    match kind {
        Kind::F32 => Data::F32(vec![0.0; count]),
        Kind::F64 => Data::F64(vec![0.0; count]),
        Kind::I64 => Data::I64(vec![0; count]),
        Kind::Bool => Data::Bool(vec![false; count]),
        Kind::Text => Data::Text(vec![Arc::from(""); count]),
    }
}

/// One column of some rows in the type of its input.
fn column_of(x: &Matrix, column: usize, (from, rows): (usize, usize), kind: Kind, label: &str, run: &mut Run) -> Data {
    let mut refuse = |row: usize, reason: &str| run.refuse(row, STEP, Some(label), reason);
    let array: ArrayRef = match x {
        Matrix::Frame(frame) => frame.columns[column].slice(from, rows),
        Matrix::Dense(dense) => Arc::new(Float64Array::from(dense.column(column)[from..from + rows].to_vec())),
        Matrix::Csr(_) => return zeros(kind, rows),
    };
    if kind == Kind::Text {
        let mut out: Vec<Arc<str>> = vec![Arc::from(""); rows];
        if !is_text(array.data_type()) {
            (0..rows).for_each(|row| refuse(row, "a number where text is needed"));
            return Data::Text(out);
        }
        texts(&array, |row, text| match text {
            Some(text) => out[row] = text.into(),
            None => refuse(row, "missing value"),
        });
        return Data::Text(out);
    }
    if kind == Kind::F32 {
        let mut out = vec![f32::NAN; rows];
        if !read(&array, 0..rows, &mut out) {
            (0..rows).for_each(|row| refuse(row, "not a number"));
        }
        return Data::F32(out);
    }
    let mut numbers = vec![f64::NAN; rows];
    if !read(&array, 0..rows, &mut numbers) {
        (0..rows).for_each(|row| refuse(row, "not a number"));
    }
    match kind {
        Kind::Bool => {
            let flags = numbers.iter().enumerate().map(|(row, number)| {
                if number.is_nan() {
                    refuse(row, "missing value");
                }
                *number != 0.0
            });
            Data::Bool(flags.collect())
        }
        Kind::I64 => {
            if array.data_type() == &DataType::Int64 && array.null_count() == 0 {
                return Data::I64(array.as_primitive::<Int64Type>().values().to_vec());
            }
            let whole = numbers.iter().enumerate().map(|(row, number)| {
                if number.is_nan() {
                    refuse(row, "missing value");
                } else if number.fract() != 0.0 || number.abs() > 9_007_199_254_740_992.0 {
                    refuse(row, "not a whole number");
                }
                *number as i64
            });
            Data::I64(whole.collect())
        }
        _ => Data::F64(numbers),
    }
}

/// Columns as rows.
fn by_row(columns: Vec<Data>, rows: usize, kind: Kind) -> Data {
    let width = columns.len();
    let mut all = empty(kind);
    columns.iter().for_each(|column| {
        let _ = all.append(column);
    });
    if width == 1 {
        return all;
    }
    all.pick((0..rows).flat_map(|row| (0..width).map(move |column| column * rows + row)))
}

/// Rows as columns.
fn by_column<T: Clone>(all: &[T], width: usize) -> Vec<Vec<T>> {
    (0..width).map(|column| all.iter().skip(column).step_by(width).cloned().collect()).collect()
}

fn densified(x: Matrix) -> Matrix {
    match x {
        Matrix::Csr(csr) => Matrix::Dense(csr.to_dense()),
        other => other,
    }
}

impl Predict for Scorer {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let wanted = match want {
            Method::Proba => self.answers.proba,
            Method::Decision => self.answers.decision,
            _ => self.answers.predict,
        };
        let Some(wanted) = wanted else { return Answer::F64(Vec::new()) };
        let data = self.output(&densified(x), wanted, run);
        let width = self.outputs[wanted].width;
        if Some(wanted) == self.answers.predict && self.answers.labels.is_some() {
            return Answer::Class(vec![self.classes(&data, run)]);
        }
        match data {
            Data::F32(all) => Answer::F32(by_column(&all, width)),
            Data::F64(all) => Answer::F64(by_column(&all, width)),
            Data::I64(all) => Answer::Ints(by_column(&all, width)),
            Data::Bool(all) => Answer::Ints(by_column(&all.into_iter().map(i64::from).collect::<Vec<_>>(), width)),
            Data::Text(all) => Answer::Texts(by_column(&all, width)),
        }
    }

    fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
        let rows = x.rows();
        let Some(wanted) = self.answers.table else { return x };
        let width = self.outputs[wanted].width;
        let columns: Vec<ArrayRef> = match self.output(&densified(x), wanted, run) {
            Data::F32(all) => {
                by_column(&all, width).into_iter().map(|one| Arc::new(Float32Array::from(one)) as ArrayRef).collect()
            }
            Data::F64(all) => {
                by_column(&all, width).into_iter().map(|one| Arc::new(Float64Array::from(one)) as ArrayRef).collect()
            }
            Data::I64(all) => {
                by_column(&all, width).into_iter().map(|one| Arc::new(Int64Array::from(one)) as ArrayRef).collect()
            }
            _ => Vec::new(),
        };
        Matrix::Frame(Frame { columns, rows, rule: ArrayRule::default() })
    }
}
