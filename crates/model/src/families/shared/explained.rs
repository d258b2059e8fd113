//! A predictor that can also say why.

use arrow_schema::DataType;

use crate::loaded::{Source, Targets};
use crate::math::scaling::Scaling;
use crate::matrix::Matrix;
use crate::step::{Answer, Predict, Run};
use crate::trees::{ExplainWork, Explainer};
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

    fn explain(&self, row: &[f64], work: &mut ExplainWork) -> Vec<f64> {
        match self {
            Shares::Trees(explainer) => explainer.explain(row, work),
            Shares::Weights { weights, intercept } => {
                let output = |(weights, intercept): (&[f64], &f64)| {
                    // Where a missing value is not refused, it adds nothing.
                    let added = weights.iter().zip(row).map(|(weight, value)| match value.is_nan() {
                        true => 0.0,
                        false => weight * value,
                    });
                    added.chain([*intercept]).collect::<Vec<_>>()
                };
                weights.chunks(row.len().max(1)).zip(intercept).flat_map(output).collect()
            }
        }
    }
}

/// The step with an explainer beside it, which the targets then declare.
pub(in crate::families) fn explained(
    step: Box<dyn Predict>,
    shares: Option<Shares>,
    before: Before,
    sources: &[Source],
    targets: &mut Targets,
) -> Box<dyn Predict> {
    let columns = |shares: &Shares| shares.outputs().saturating_mul(sources.len().saturating_add(1));
    let Some(shares) = shares.filter(|shares| columns(shares) <= MOST) else { return step };
    let outputs = shares.outputs();
    let classes = targets.labels.first().filter(|labels| outputs > 1 && labels.len() == outputs);
    for output in 0..outputs {
        let end = match classes {
            _ if outputs == 1 => String::new(),
            Some(labels) => format!("_{}", labels.text(output)),
            None => format!("_{output}"),
        };
        let labels = sources.iter().map(|source| source.label.as_str()).chain(["bias"]);
        targets.contribs.extend(labels.map(|label| Output {
            name: format!("{label}{end}"),
            data_type: DataType::Float64,
            class: None,
        }));
    }
    Box::new(Explained { step, shares, before })
}

#[derive(Debug)]
struct Explained {
    step: Box<dyn Predict>,
    shares: Shares,
    before: Before,
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
        // It refuses the rows that it would refuse to answer.
        self.step.answer(x.clone(), Method::Predict, run);
        let (rows, width) = (x.rows(), x.cols());
        let sparse = match &x {
            Matrix::Csr(csr) => Some(csr.clone()),
            Matrix::Frame(_) | Matrix::Dense(_) => None,
        };
        let dense = match sparse {
            Some(_) => None,
            None => Some(x.into_dense().ok()?),
        };
        let mut work = ExplainWork::default();
        let mut columns: Vec<Vec<f64>> = Vec::new();
        let mut values = vec![0.0; width];
        for row in 0..rows {
            if let Some(csr) = &sparse {
                values.fill(self.before.absent);
                for (feature, value) in csr.row(row) {
                    if let Some(slot) = values.get_mut(feature as usize) {
                        *slot = value;
                    }
                }
            }
            if let Some(dense) = &dense {
                for (col, slot) in values.iter_mut().enumerate() {
                    *slot = dense.column(col).get(row).copied().unwrap_or(f64::NAN);
                }
            }
            if let Some(missing) = self.before.missing {
                values.iter_mut().filter(|value| **value as f32 == missing as f32).for_each(|value| *value = f64::NAN);
            }
            for feature in &self.before.zero_missing {
                if let Some(value) = values.get_mut(*feature as usize).filter(|value| value.abs() <= self.before.zero) {
                    *value = f64::NAN;
                }
            }
            let added = self.shares.explain(&values, &mut work);
            columns.resize_with(added.len(), || Vec::with_capacity(rows));
            columns.iter_mut().zip(added).for_each(|(column, value)| column.push(value));
        }
        Some(columns)
    }
}
