//! A loaded model.

#![allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "columns of equal lengths")]

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, make_array};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_schema::DataType;

use crate::categories::texts;
use crate::labels::Labels;
use crate::matrix::{ArrayRule, Frame, Matrix, read};
use crate::step::{Answer, Run, Step};
use crate::{Columns, Description, Error, Method, Output, Outputs, Refusal, Signature};

/// A model, ready to be scored: immutable, `Send` and `Sync`, without threads of its own.
#[derive(Debug)]
pub struct Model {
    pub(crate) step: Step,
    pub(crate) labels: Vec<Labels>,
    pub(crate) signature: Signature,
    pub(crate) description: Description,
    pub(crate) rule: ArrayRule,
}

impl Model {
    /// The inputs and outputs.
    pub fn signature(&self) -> &Signature {
        &self.signature
    }

    /// What the model is made of.
    pub fn describe(&self) -> &Description {
        &self.description
    }

    /// The class labels of one target (from 0), as Python's `str` writes them and in the order of its probabilities;
    /// empty for a regression.
    pub fn classes(&self, target: usize) -> Vec<String> {
        self.labels.get(target).map_or_else(Vec::new, |labels| (0..labels.len()).map(|at| labels.text(at)).collect())
    }

    /// What the model says of each row of a batch, whose columns are matched by name, or by position where the model
    /// knows no names: `predict`, or `transform` of a model that does nothing else. Everything else is
    /// [`Model::answer`]'s.
    ///
    /// # Errors
    /// The batch lacks a column, or has one of a type that the model does not take.
    pub fn predict(&self, batch: &RecordBatch) -> Result<Outputs, Error> {
        let own = if self.signature.predict.is_empty() { Method::Transform } else { Method::Predict };
        self.answer(batch, own)
    }

    /// The same for any response method; no columns where the model does not have it.
    ///
    /// # Errors
    /// The batch lacks a column, or has one of a type that the model does not take.
    pub fn answer(&self, batch: &RecordBatch, method: Method) -> Result<Outputs, Error> {
        let bound = self.signature.bind(batch.schema_ref())?;
        let arrays: Vec<ArrayRef> = bound.iter().map(|index| batch.column(*index).clone()).collect();
        Ok(self.score(&Columns::new(&arrays, batch.num_rows()), method))
    }

    /// Scores rows. The columns are the features in the signature's order, of types that [`Signature::bind`] lets
    /// through; a column of another type has its rows refused.
    ///
    /// The outputs are those of `signature().outputs(want)`; there are none where the model does not have what is wanted.
    ///
    /// # Panics
    /// If the number of columns is not the number of features: a bug in the caller, never in the data.
    pub fn score(&self, columns: &Columns<'_>, want: Method) -> Outputs {
        let wanted = self.signature.outputs(want);
        let rows = columns.rows();
        assert_eq!(columns.arrays().len(), self.signature.inputs.len(), "one column a feature");
        if wanted.is_empty() {
            return Outputs::default();
        }
        let x = Matrix::Frame(Frame { columns: columns.arrays().to_vec(), rows, rule: self.rule });
        let mut run = Run::default();
        if let (Step::Predict(step), Method::Contribs | Method::Reasons) = (&self.step, want) {
            let columns = step.contribs(x, &mut run).unwrap_or_default();
            let mut outputs = run.told();
            let nulls = nulls(&outputs.refusals, rows);
            outputs.columns = match want {
                Method::Contribs => self.contribs(columns, rows, nulls),
                _ => vec![self.reasons(&columns, rows, nulls)],
            };
            return outputs;
        }
        if let (Step::Predict(step), Method::Leaves) = (&self.step, want) {
            let mut columns = step.leaves(x, &mut run).unwrap_or_default();
            columns.resize_with(wanted.len(), || vec![-1; rows]);
            let mut outputs = run.told();
            outputs.columns = arrays(Answer::Ints(columns), &self.labels, nulls(&outputs.refusals, rows));
            return outputs;
        }
        let table = match &self.step {
            Step::Predict(step) if want != Method::Transform => Err(step.answer(x, want, &mut run)),
            Step::Predict(step) => Ok(step.table(x, &mut run)),
            Step::Transform(step) => Ok(step.transform(x, &mut run)),
        };
        let answer = match table {
            Err(answer) => answer,
            Ok(Matrix::Frame(frame)) => {
                let typed = |(column, output): (ArrayRef, &Output)| typed(column, output, &mut run);
                let columns: Vec<ArrayRef> = frame.columns.into_iter().zip(wanted).map(typed).collect();
                let mut outputs = run.told();
                let nulls = nulls(&outputs.refusals, rows);
                outputs.columns = columns.into_iter().map(|one| emptied(one, nulls.as_ref())).collect();
                return outputs;
            }
            Ok(other) => match other.into_dense() {
                Ok(dense) => Answer::F64((0..dense.cols).map(|col| dense.column(col).to_vec()).collect()),
                Err(_) => Answer::F64(vec![vec![f64::NAN; rows]; wanted.len()]),
            },
        };
        let mut outputs = run.told();
        outputs.columns = arrays(answer, &self.labels, nulls(&outputs.refusals, rows));
        debug_assert_eq!(outputs.columns.len(), wanted.len());
        outputs
    }
}

impl Model {
    /// One column each, also of no rows.
    fn contribs(&self, mut columns: Vec<Vec<f64>>, rows: usize, nulls: Option<NullBuffer>) -> Vec<ArrayRef> {
        columns.resize_with(self.signature.contribs.len(), || vec![f64::NAN; rows]);
        arrays(Answer::F64(columns), &self.labels, nulls)
    }

    /// The columns that add or take most, each with what it adds: `AGE +12.5, DEPT_n -3.1, POS_n +0.4`.
    fn reasons(&self, columns: &[Vec<f64>], rows: usize, nulls: Option<NullBuffer>) -> ArrayRef {
        let names: Vec<&str> = self.signature.contribs.iter().map(|output| output.name.as_str()).collect();
        let columns = columns.split_last().map_or(&[][..], |(_, columns)| columns);
        let reason = |row: usize| {
            let added = columns.iter().zip(&names).map(|(column, name)| (column[row], *name));
            let mut added: Vec<(f64, &str)> = added.filter(|(value, _)| *value != 0.0 && !value.is_nan()).collect();
            // Of equal ones the first column comes first.
            added.sort_by(|(a, _), (b, _)| b.abs().total_cmp(&a.abs()));
            added.truncate(REASONS);
            let texts: Vec<String> = added.iter().map(|(value, name)| format!("{name} {}", signed(*value))).collect();
            texts.join(", ")
        };
        let valid = |row: &usize| nulls.as_ref().is_none_or(|nulls| nulls.is_valid(*row));
        Arc::new((0..rows).map(|row| valid(&row).then(|| reason(row))).collect::<StringArray>())
    }
}

/// How many reasons a text has.
const REASONS: usize = 3;

/// A number with its sign and three digits that count.
fn signed(value: f64) -> String {
    let size = value.abs();
    if !(1e-9..1e15).contains(&size) {
        return format!("{value:+.2e}");
    }
    let places = 2 - size.log10().floor() as i32;
    let text = format!("{value:+.*}", usize::try_from(places).unwrap_or(0));
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

/// Which rows are refused; `None` where none is.
fn nulls(refusals: &[Refusal], rows: usize) -> Option<NullBuffer> {
    (!refusals.is_empty()).then(|| {
        let mut valid = BooleanBufferBuilder::new(rows);
        valid.append_n(rows, true);
        refusals.iter().for_each(|refusal| valid.set_bit(refusal.row as usize, false));
        NullBuffer::new(valid.finish())
    })
}

/// A column that was let through, in the type that the signature says.
fn typed(column: ArrayRef, output: &Output, run: &mut Run) -> ArrayRef {
    let rows = column.len();
    match &output.data_type {
        wanted if wanted == column.data_type() => column,
        DataType::Utf8 => {
            let mut out = vec![None; rows];
            texts(&column, |row, text| out[row] = text);
            Arc::new(StringArray::from(out))
        }
        _ => {
            let mut numbers = vec![0.0; rows];
            if !read(&column, 0..rows, &mut numbers) {
                run.refuse_all(rows, "transform", Some(&output.name), "not a number");
            }
            Arc::new(Float64Array::from(numbers))
        }
    }
}

/// The column with NULL in the rows that are refused.
fn emptied(column: ArrayRef, nulls: Option<&NullBuffer>) -> ArrayRef {
    let Some(nulls) = nulls else { return column };
    let both = NullBuffer::union(column.nulls(), Some(nulls));
    column.to_data().into_builder().nulls(both).build().map_or(column, make_array)
}

fn arrays(answer: Answer, labels: &[Labels], nulls: Option<NullBuffer>) -> Vec<ArrayRef> {
    let nulls = || nulls.clone();
    match answer {
        Answer::F32(all) => {
            all.into_iter().map(|one| Arc::new(Float32Array::new(one.into(), nulls())) as ArrayRef).collect()
        }
        Answer::F64(all) => {
            all.into_iter().map(|one| Arc::new(Float64Array::new(one.into(), nulls())) as ArrayRef).collect()
        }
        Answer::Ints(all) => {
            all.into_iter().map(|one| Arc::new(Int64Array::new(one.into(), nulls())) as ArrayRef).collect()
        }
        Answer::Texts(all) => {
            let text =
                |row: usize, text: &Arc<str>| nulls().is_none_or(|nulls| nulls.is_valid(row)).then(|| text.to_string());
            let texts =
                |one: Vec<Arc<str>>| one.iter().enumerate().map(|(row, one)| text(row, one)).collect::<StringArray>();
            all.into_iter().map(|one| Arc::new(texts(one)) as ArrayRef).collect()
        }
        Answer::Class(all) => all.iter().zip(labels).map(|(one, labels)| labels.array(one, nulls())).collect(),
    }
}
