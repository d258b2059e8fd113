//! A predictor that can also say why, and in which leaf of each tree a row ends.

use arrow_schema::DataType;

use crate::loaded::{Source, Targets};
use crate::math::scaling::Scaling;
use crate::matrix::Matrix;
use crate::step::{Answer, Predict, Run};
use crate::trees::{Explainer, Landing};
use crate::{Method, Output};

/// More columns than these nobody looks at.
const MOST: usize = 1 << 13;

/// What a library makes of a row before its trees see it.
#[derive(Debug, Default)]
pub(in crate::families) struct Before {
    /// What stands for a missing value beside NaN.
    pub(in crate::families) missing: Option<f64>,
    /// What a sparse row does not hold.
    pub(in crate::families) absent: f64,
    /// The features of which zero is missing, and how near to zero that is.
    pub(in crate::families) zero_missing: Vec<u32>,
    pub(in crate::families) zero: f64,
}

/// What a step is explained by.
#[derive(Debug)]
pub(in crate::families) enum Shares {
    Trees(Explainer),
    /// A column adds its value times its weight (by output), and the mean is the intercept: what the answer is where all
    /// columns are zero.
    Weights {
        weights: Vec<f64>,
        intercept: Vec<f64>,
    },
}

impl Shares {
    fn outputs(&self) -> usize {
        match self {
            Shares::Trees(explainer) => explainer.outputs(),
            Shares::Weights { intercept, .. } => intercept.len(),
        }
    }

    /// By output, what each column adds to each row's answer, and the mean.
    fn explain(&self, columns: &[Vec<f64>], rows: usize) -> Vec<Vec<f64>> {
        match self {
            Shares::Trees(explainer) => explainer.explain(columns, rows),
            Shares::Weights { weights, intercept } => {
                // Where a missing value is not refused, it adds nothing.
                let added = |(weight, column): (&f64, &Vec<f64>)| {
                    column.iter().map(|value| if value.is_nan() { 0.0 } else { weight * value }).collect()
                };
                let output = |(weights, intercept): (&[f64], &f64)| {
                    let mean = std::iter::once(vec![*intercept; rows]);
                    weights.iter().zip(columns).map(added).chain(mean).collect::<Vec<Vec<f64>>>()
                };
                weights.chunks(columns.len().max(1)).zip(intercept).flat_map(output).collect()
            }
        }
    }
}

/// What a step can say beside its answer.
#[derive(Debug, Default)]
pub(in crate::families) struct Told {
    pub(in crate::families) shares: Option<Shares>,
    pub(in crate::families) landing: Option<Landing>,
    pub(in crate::families) before: Before,
}

/// The step with an explainer beside it, which the targets then declare.
pub(in crate::families) fn explained(
    step: Box<dyn Predict>,
    told: Told,
    sources: &[Source],
    targets: &mut Targets,
) -> Box<dyn Predict> {
    let columns = |shares: &Shares| shares.outputs().saturating_mul(sources.len().saturating_add(1));
    let shares = told.shares.filter(|shares| columns(shares) <= MOST);
    let landing = told.landing.filter(|landing| landing.trees() <= MOST);
    if shares.is_none() && landing.is_none() {
        return step;
    }
    if let Some(shares) = &shares {
        let labels = sources.iter().map(|source| source.label.as_str());
        targets.contribs = contribs(shares.outputs(), labels, targets);
    }
    targets.leaves = leaves(landing.as_ref().map_or(0, Landing::trees));
    Box::new(Explained { step, shares, landing, before: told.before })
}

/// One output a tree.
pub(in crate::families) fn leaves(trees: usize) -> Vec<Output> {
    let leaf = |tree| Output { name: format!("leaf_{tree}"), data_type: DataType::Int64, class: None };
    (0..trees).map(leaf).collect()
}

/// What is declared where the columns of these names are explained.
pub(in crate::families) fn contribs<'l>(
    outputs: usize,
    labels: impl Iterator<Item = &'l str> + Clone,
    targets: &Targets,
) -> Vec<Output> {
    let classes = targets.labels.first().filter(|labels| outputs > 1 && labels.len() == outputs);
    let end = |output: usize| match classes {
        _ if outputs == 1 => String::new(),
        Some(labels) => format!("_{}", labels.text(output)),
        None => format!("_{output}"),
    };
    let columns = |output: usize| {
        let end = end(output);
        let column = |label: &str| Output { name: format!("{label}{end}"), data_type: DataType::Float64, class: None };
        labels.clone().chain(["bias"]).map(column).collect::<Vec<_>>()
    };
    (0..outputs).flat_map(columns).collect()
}

#[derive(Debug)]
struct Explained {
    step: Box<dyn Predict>,
    shares: Option<Shares>,
    landing: Option<Landing>,
    before: Before,
}

/// Rows that are laid out at once: a sparse table may have many columns.
const ROWS: usize = 128;

impl Explained {
    /// Calls `say` with the columns as the trees see them, some rows at a time, and puts what it says one below the other.
    fn by_rows<T>(&self, x: Matrix, say: impl Fn(&[Vec<f64>], usize) -> Vec<Vec<T>>) -> Option<Vec<Vec<T>>> {
        let (rows, width) = (x.rows(), x.cols());
        let (sparse, dense) = match x {
            Matrix::Csr(csr) => (Some(csr), None),
            x => (None, Some(x.into_dense().ok()?)),
        };
        let mut all: Vec<Vec<T>> = say(&vec![Vec::new(); width], 0);
        let mut columns: Vec<Vec<f64>> = vec![Vec::new(); width];
        for from in (0..rows).step_by(ROWS) {
            let to = from.saturating_add(ROWS).min(rows);
            let count = to.saturating_sub(from);
            for (at, column) in columns.iter_mut().enumerate() {
                column.clear();
                match &dense {
                    Some(dense) => column.extend_from_slice(dense.column(at).get(from..to)?),
                    None => column.resize(count, self.before.absent),
                }
            }
            if let Some(csr) = &sparse {
                for (place, row) in (from..to).enumerate() {
                    for (feature, value) in csr.row(row) {
                        let column = columns.get_mut(feature as usize);
                        column.and_then(|column| column.get_mut(place)).into_iter().for_each(|slot| *slot = value);
                    }
                }
            }
            self.before.apply(&mut columns);
            all.iter_mut().zip(say(&columns, count)).for_each(|(all, some)| all.extend(some));
        }
        Some(all)
    }
}

impl Before {
    fn apply(&self, columns: &mut [Vec<f64>]) {
        if let Some(missing) = self.missing {
            let values = columns.iter_mut().flatten();
            values.filter(|value| **value as f32 == missing as f32).for_each(|value| *value = f64::NAN);
        }
        for feature in &self.zero_missing {
            let values = columns.get_mut(*feature as usize).into_iter().flatten();
            values.filter(|value| value.abs() <= self.zero).for_each(|value| *value = f64::NAN);
        }
    }
}

impl Predict for Explained {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        self.step.answer(x, want, run)
    }

    fn answer_scaled(&self, x: &Matrix, scaling: &Scaling, want: Method) -> Option<Answer> {
        self.step.answer_scaled(x, scaling, want)
    }

    fn rows_at_once(&self) -> Option<usize> {
        self.step.rows_at_once()
    }

    fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.step.table(x, run)
    }

    fn contribs(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<f64>>> {
        let shares = self.shares.as_ref()?;
        // It refuses the rows that it would refuse to answer.
        self.step.answer(x.clone(), Method::Predict, run);
        self.by_rows(x, |columns, rows| shares.explain(columns, rows))
    }

    fn leaves(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<i64>>> {
        let landing = self.landing.as_ref()?;
        self.step.answer(x.clone(), Method::Predict, run);
        self.by_rows(x, |columns, rows| landing.leaves(columns, rows))
    }
}
