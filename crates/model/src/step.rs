//! The two things an estimator can be once it is loaded, and what they share while they run.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use crate::math::scaling::Scaling;
use crate::matrix::Matrix;
use crate::{Method, Outputs, Refusal};

/// Gives a table for a table. Never fails: rows that the library would raise on are refused in `run`, and whatever
/// value stands in them afterwards is not looked at.
pub(crate) trait Transform: Send + Sync + Debug {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix;

    /// Whether the library holds what this gives as bools or as integers of up to 16 bits.
    fn gives_small(&self) -> bool {
        false
    }

    /// The scaling of columns that it is, where it is nothing else.
    fn scaling(&self) -> Option<&Scaling> {
        None
    }
}

/// Gives an answer a row. Asked only for what its targets declare.
pub(crate) trait Predict: Send + Sync + Debug {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer;

    /// The answer for columns before they are scaled, with the bits that the two steps would give; `None` where there
    /// is no shorter way, or where a step would refuse a row.
    fn answer_scaled(&self, _x: &Matrix, _scaling: &Scaling, _want: Method) -> Option<Answer> {
        None
    }

    /// How many rows should go through a chain that ends here at once, where that is quicker than all of them.
    fn rows_at_once(&self) -> Option<usize> {
        None
    }

    /// What each column adds to each output, and the mean, as its targets declare; `None` where it cannot say.
    fn contribs(&self, _x: Matrix, _run: &mut Run) -> Option<Vec<Vec<f64>>> {
        None
    }

    /// In which leaf of each tree the rows end, tree by tree, as its targets declare; `None` where it cannot say.
    fn leaves(&self, _x: Matrix, _run: &mut Run) -> Option<Vec<Vec<i64>>> {
        None
    }

    /// What it hands on as a transformer, where its targets declare a table.
    fn table(&self, x: Matrix, _run: &mut Run) -> Matrix {
        x
    }
}

/// A predictor that stands where a transformer is needed.
#[derive(Debug)]
pub(crate) struct Table(pub(crate) Box<dyn Predict>);

impl Transform for Table {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.0.table(x, run)
    }
}

/// A loaded estimator.
#[derive(Debug)]
pub(crate) enum Step {
    Transform(Box<dyn Transform>),
    Predict(Box<dyn Predict>),
}

/// What a predictor says, one vector an output column.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    F32(Vec<Vec<f32>>),
    F64(Vec<Vec<f64>>),
    /// Indices into the labels of each target.
    Class(Vec<Vec<u32>>),
    /// Whole numbers that are no classes.
    Ints(Vec<Vec<i64>>),
    Texts(Vec<Vec<Arc<str>>>),
}

impl Answer {
    /// Floats that the library holds in float64, or in float32 where `narrow`.
    pub(crate) fn floats(columns: Vec<Vec<f64>>, narrow: bool) -> Self {
        if !narrow {
            return Answer::F64(columns);
        }
        let round = |column: Vec<f64>| column.into_iter().map(|value| value as f32).collect();
        Answer::F32(columns.into_iter().map(round).collect())
    }

    /// Appends the answer for the rows that follow.
    fn append(&mut self, next: Answer) {
        fn each<T>(columns: &mut [Vec<T>], next: Vec<Vec<T>>) {
            columns.iter_mut().zip(next).for_each(|(column, mut next)| column.append(&mut next));
        }
        match (self, next) {
            (Answer::F32(columns), Answer::F32(next)) => each(columns, next),
            (Answer::F64(columns), Answer::F64(next)) => each(columns, next),
            (Answer::Class(columns), Answer::Class(next)) => each(columns, next),
            (Answer::Ints(columns), Answer::Ints(next)) => each(columns, next),
            (Answer::Texts(columns), Answer::Texts(next)) => each(columns, next),
            _ => debug_assert!(false, "a step answers alike for all rows"),
        }
    }

    /// Makes room for this many more rows.
    fn reserve(&mut self, rows: usize) {
        match self {
            Answer::F32(columns) => columns.iter_mut().for_each(|column| column.reserve_exact(rows)),
            Answer::F64(columns) => columns.iter_mut().for_each(|column| column.reserve_exact(rows)),
            Answer::Class(columns) => columns.iter_mut().for_each(|column| column.reserve_exact(rows)),
            Answer::Ints(columns) => columns.iter_mut().for_each(|column| column.reserve_exact(rows)),
            Answer::Texts(columns) => columns.iter_mut().for_each(|column| column.reserve_exact(rows)),
        }
    }
}

/// The state of one call: the rows refused so far, and the values that no encoder knew.
#[derive(Debug, Default)]
pub(crate) struct Run {
    refused: BTreeMap<u32, Refusal>,
    unseen: BTreeMap<String, usize>,
}

impl Run {
    /// Refuses a row; the first step that does so is the one that is told.
    pub(crate) fn refuse(&mut self, row: usize, step: &str, column: Option<&str>, reason: &str) {
        let row = row as u32;
        self.refused.entry(row).or_insert_with(|| Refusal {
            row,
            step: step.to_string(),
            column: column.map(str::to_string),
            reason: reason.to_string(),
        });
    }

    /// Refuses every row: the column is of a type that no binding would have let through.
    pub(crate) fn refuse_all(&mut self, rows: usize, step: &str, column: Option<&str>, reason: &str) {
        (0..rows).for_each(|row| self.refuse(row, step, column, reason));
    }

    /// Takes over what happened to those rows that were wanted, of others asked beside them.
    pub(crate) fn add_wanted(&mut self, told: Run, wanted: impl Fn(usize) -> bool) {
        for (row, refusal) in told.refused {
            if wanted(row as usize) {
                self.refused.entry(row).or_insert(refusal);
            }
        }
        told.unseen.iter().for_each(|(column, rows)| self.unseen(column, *rows));
    }

    /// Counts the rows in which a column's value was not a level of training and was let pass. Several encoders of one
    /// column see the same values: the largest of their counts is told.
    pub(crate) fn unseen(&mut self, column: &str, rows: usize) {
        if rows > 0 {
            let known = self.unseen.entry(column.to_string()).or_default();
            *known = rows.max(*known);
        }
    }

    /// Takes over what happened to a block of rows, the first of which is row `first`.
    pub(crate) fn add_block(&mut self, block: Run, first: usize) {
        for refusal in block.refused.into_values() {
            let row = refusal.row.saturating_add(first as u32);
            self.refused.entry(row).or_insert(Refusal { row, ..refusal });
        }
        for (column, rows) in block.unseen {
            let known = self.unseen.entry(column).or_default();
            *known = known.saturating_add(rows);
        }
    }

    /// Takes over why rows were refused that were picked from others, whose numbers are given.
    pub(crate) fn add_picked(&mut self, told: Run, picked: &[usize]) {
        for (row, refusal) in told.refused {
            if let Some(row) = picked.get(row as usize).map(|row| *row as u32) {
                self.refused.entry(row).or_insert(Refusal { row, ..refusal });
            }
        }
    }

    /// What is told of the call, for columns to be put beside it.
    pub(crate) fn told(self) -> Outputs {
        Outputs {
            columns: Vec::new(),
            refusals: self.refused.into_values().collect(),
            unseen: self.unseen.into_iter().collect(),
        }
    }
}

/// A chain of transformers, and a predictor at its end where there is one.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) transforms: Vec<Box<dyn Transform>>,
    pub(crate) last: Option<Box<dyn Predict>>,
}

impl Transform for Chain {
    fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.transforms.iter().fold(x, |x, step| step.transform(x, run))
    }

    fn gives_small(&self) -> bool {
        self.last.is_none() && self.transforms.last().is_some_and(|step| step.gives_small())
    }
}

impl Chain {
    fn answer_at_once(&self, mut x: Matrix, want: Method, run: &mut Run) -> Answer {
        let Some(last) = &self.last else { return Answer::F64(Vec::new()) };
        let mut transforms = self.transforms.as_slice();
        if let Some((scaler, before)) = transforms.split_last()
            && let Some(scaling) = scaler.scaling()
        {
            x = before.iter().fold(x, |x, step| step.transform(x, run));
            if let Some(answer) = last.answer_scaled(&x, scaling, want) {
                return answer;
            }
            transforms = std::slice::from_ref(scaler);
        }
        last.answer(transforms.iter().fold(x, |x, step| step.transform(x, run)), want, run)
    }
}

impl Predict for Chain {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let rows = x.rows();
        let at_once = self.last.as_ref().and_then(|last| last.rows_at_once()).unwrap_or(rows);
        let frame = match x {
            Matrix::Frame(frame) if rows > at_once => frame,
            x => return self.answer_at_once(x, want, run),
        };
        // Each block goes through all steps while it is in a cache.
        let mut told = Run::default();
        let mut block = |from: usize| {
            let mut own = Run::default();
            let answer = self.answer_at_once(Matrix::Frame(frame.slice(from, at_once)), want, &mut own);
            told.add_block(own, from);
            answer
        };
        let mut answer = block(0);
        answer.reserve(rows.saturating_sub(at_once));
        (at_once..rows).step_by(at_once).for_each(|from| answer.append(block(from)));
        for (row, refusal) in told.refused {
            run.refused.entry(row).or_insert(refusal);
        }
        told.unseen.iter().for_each(|(column, rows)| run.unseen(column, *rows));
        answer
    }

    fn contribs(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<f64>>> {
        let x = self.transform(x, run);
        self.last.as_ref()?.contribs(x, run)
    }

    fn leaves(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<i64>>> {
        let x = self.transform(x, run);
        self.last.as_ref()?.leaves(x, run)
    }

    fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
        let x = self.transform(x, run);
        match &self.last {
            Some(last) => last.table(x, run),
            None => x,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Float64Array};

    use super::*;
    use crate::matrix::{ArrayRule, Frame};

    /// Refuses negative numbers, and does not know those above 100.
    #[derive(Debug)]
    struct Picky;

    impl Transform for Picky {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let values = x.numbers(0).unwrap();
            values
                .iter()
                .enumerate()
                .filter(|(_, x)| **x < 0.0)
                .for_each(|(row, _)| run.refuse(row, "Picky", None, "no"));
            run.unseen("x", values.iter().filter(|x| **x > 100.0).count());
            x
        }
    }

    #[derive(Debug)]
    struct Doubles(Option<usize>);

    impl Predict for Doubles {
        fn answer(&self, x: Matrix, _want: Method, _run: &mut Run) -> Answer {
            Answer::F64(vec![x.numbers(0).unwrap().iter().map(|x| 2.0 * x).collect()])
        }

        fn rows_at_once(&self) -> Option<usize> {
            self.0
        }
    }

    #[test]
    fn blocks_of_rows_tell_what_all_rows_at_once_do() {
        let values = [1.0, -2.0, 300.0, 4.0, -5.0, 6.0, 700.0, 800.0, -9.0, 10.0];
        let columns = vec![Arc::new(Float64Array::from(values.to_vec())) as ArrayRef];
        let frame = Frame { columns, rows: values.len(), rule: ArrayRule::Common };
        for rows_at_once in [None, Some(1), Some(3), Some(5), Some(9), Some(10), Some(11)] {
            let chain = Chain { transforms: vec![Box::new(Picky)], last: Some(Box::new(Doubles(rows_at_once))) };
            let mut run = Run::default();
            let answer = chain.answer(Matrix::Frame(frame.clone()), Method::Predict, &mut run);
            let Answer::F64(columns) = answer else { panic!("floats") };
            assert_eq!(columns, [values.map(|x| 2.0 * x)], "{rows_at_once:?}");
            let told = run.told();
            assert_eq!(told.refusals.iter().map(|refusal| refusal.row).collect::<Vec<_>>(), [1, 4, 8]);
            assert_eq!(told.unseen, [("x".to_string(), 3)]);
        }
    }
}
