//! `KNNImputer`: what is missing becomes the mean of what the nearest rows of the training have there.
//!
//! How near a row is counts over the features that neither lacks. The library's squares go through BLAS: of rows that are
//! nearly as near another may be taken.

use foretell_pickle::View;

use super::neighbors::by_distance;
use super::simple_imputer::{Fill, fill};
use crate::attributes::{feature_names, flag, some_attr};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family =
    Family { name: "imputers by neighbours", classes: &[("sklearn.impute._knn", "KNNImputer")], globals: &[], load };

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let training = view.attr("_fit_X")?.array()?;
    let [rows, features] = training.dims()?;
    let metric = view.attr("metric")?;
    if metric.as_str() != Ok("nan_euclidean") {
        return Err(Error::unsupported(metric.path(), "such a metric", "nan_euclidean"));
    }
    let neighbours = view.attr("n_neighbors")?.as_usize()?;
    if rows == 0 || features == 0 || neighbours == 0 {
        return Err(Error::state(view.path(), format!("{neighbours} neighbours among {rows} rows")));
    }
    let missing = match fill(&view.attr("missing_values")?)? {
        Fill::Number(number) => number,
        Fill::Text(_) => return Err(Error::unsupported(view.path(), "a text for what is missing", "a number")),
    };
    let points = training.f64s()?;
    let keeps_empty = flag(view, "keep_empty_features", false)?;
    let is_missing = |value: &f64| if missing.is_nan() { value.is_nan() } else { *value == missing };
    let valid: Vec<bool> =
        (0..features).map(|col| points.iter().skip(col).step_by(features).any(|value| !is_missing(value))).collect();
    let sources = loader.sources(view, given, features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(points.len().saturating_mul(8));
    let kept = |(source, valid): (&Source, &bool)| (*valid || keeps_empty).then(|| source.clone().changed());
    let mut out: Vec<Source> = sources.iter().zip(&valid).filter_map(kept).collect();
    let indicated = indicated(view, &sources, &mut out)?;
    let finite = Finite::new("KNNImputer", &sources, missing.is_nan(), false);
    let by_distance = by_distance(view)?;
    let step =
        run::Imputer { points, features, neighbours, missing, by_distance, valid, keeps_empty, indicated, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// The features whose missing values have a column of their own behind the others.
pub(super) fn indicated(view: &View<'_>, sources: &[Source], out: &mut Vec<Source>) -> Result<Vec<usize>, Error> {
    let mut indicated = Vec::new();
    if flag(view, "add_indicator", false)?
        && let Some(indicator) = some_attr(view, "indicator_")?
    {
        for feature in indicator.attr("features_")?.array()?.u64s()? {
            let feature = usize::try_from(feature).unwrap_or(usize::MAX);
            let Some(source) = sources.get(feature) else {
                return Err(Error::state(view.path(), format!("the indicator looks at feature {feature}")));
            };
            out.push(Source::made_of(format!("missing {}", source.label), sources));
            indicated.push(feature);
        }
    }
    Ok(indicated)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::finite::Finite;
    use crate::math::scores::pairwise_sum;
    use crate::matrix::{Dense, Matrix, round};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Imputer {
        /// The rows of training, one after the other.
        pub(super) points: Vec<f64>,
        pub(super) features: usize,
        pub(super) neighbours: usize,
        pub(super) missing: f64,
        /// Whether a nearer row counts more.
        pub(super) by_distance: bool,
        /// Which features training had any value of.
        pub(super) valid: Vec<bool>,
        /// Whether the others stay, as zeros.
        pub(super) keeps_empty: bool,
        pub(super) indicated: Vec<usize>,
        pub(super) finite: Finite,
    }

    impl Imputer {
        fn is_missing(&self, value: f64) -> bool {
            if self.missing.is_nan() { value.is_nan() } else { value == self.missing }
        }

        /// How far a row is from each of the training; NaN where they share no feature, or where one has a number whose
        /// square is infinite: the library multiplies it by 0.
        fn distances(&self, row: &[f64]) -> Vec<f64> {
            let is_endless = |row: &[f64]| row.iter().any(|x| !self.is_missing(*x) && (x * x).is_infinite());
            let row_is_endless = is_endless(row);
            let distance = |point: &[f64]| {
                if row_is_endless || is_endless(point) {
                    return f64::NAN;
                }
                let (mut sum, mut shared) = (0.0, 0usize);
                for (x, y) in row.iter().zip(point) {
                    if !self.is_missing(*x) && !self.is_missing(*y) {
                        sum += (x - y) * (x - y);
                        shared += 1;
                    }
                }
                if shared == 0 { f64::NAN } else { (sum / shared as f64 * self.features as f64).sqrt() }
            };
            self.points.chunks_exact(self.features).map(distance).collect()
        }

        /// The value of a feature that a row lacks.
        fn imputed(&self, col: usize, distances: &[f64]) -> f64 {
            let value = |row: usize| self.points[row * self.features + col];
            let donors = || (0..distances.len()).filter(|row| !self.is_missing(value(*row)));
            let mut near: Vec<(f64, usize)> =
                donors().map(|row| (distances[row], row)).filter(|(distance, _)| !distance.is_nan()).collect();
            if near.is_empty() {
                let all: Vec<f64> = donors().map(value).collect();
                return pairwise_sum(&all) / all.len() as f64;
            }
            // Of rows as near as each other the first ones.
            near.sort_by(|a, b| a.0.total_cmp(&b.0));
            near.truncate(self.neighbours);
            let has_zero = near.iter().any(|(distance, _)| *distance == 0.0);
            let weight = |distance: f64| match (self.by_distance, has_zero) {
                (false, _) => 1.0,
                (true, true) => f64::from(u8::from(distance == 0.0)),
                (true, false) => 1.0 / distance,
            };
            let weights: Vec<f64> = near.iter().map(|(distance, _)| weight(*distance)).collect();
            let weighted: Vec<f64> = near.iter().zip(&weights).map(|((_, row), weight)| value(*row) * weight).collect();
            let total = pairwise_sum(&weights);
            // Where all are infinitely far away none counts.
            if total == 0.0 { 0.0 } else { pairwise_sum(&weighted) / total }
        }
    }

    impl Transform for Imputer {
        #[allow(clippy::needless_range_loop, reason = "the row indexes several tables")]
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let rows = x.rows();
            if matches!(x, Matrix::Csr(_)) {
                run.refuse_all(rows, "KNNImputer", None, "a sparse table");
            }
            let mut x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
            let mut masks: Vec<Vec<f64>> = vec![vec![0.0; rows]; self.features];
            let mut row = vec![0.0; self.features];
            for at in 0..rows {
                row.iter_mut().enumerate().for_each(|(col, value)| *value = x.data[col * rows + at]);
                let lacks: Vec<usize> = (0..self.features).filter(|col| self.is_missing(row[*col])).collect();
                lacks.iter().for_each(|col| masks[*col][at] = 1.0);
                if !lacks.iter().any(|col| self.valid[*col]) {
                    continue;
                }
                let distances = self.distances(&row);
                for col in lacks.into_iter().filter(|col| self.valid[*col]) {
                    x.data[col * rows + at] = round(self.imputed(col, &distances), x.narrow);
                }
            }
            let mut data = Vec::with_capacity(x.data.len());
            for (col, valid) in self.valid.iter().enumerate() {
                if *valid {
                    data.extend_from_slice(x.column(col));
                } else if self.keeps_empty {
                    data.extend(std::iter::repeat_n(0.0, rows));
                }
            }
            self.indicated.iter().for_each(|col| data.extend_from_slice(&masks[*col]));
            let kept = self.valid.iter().filter(|valid| **valid || self.keeps_empty).count();
            Matrix::Dense(Dense { data, rows, cols: kept + self.indicated.len(), narrow: x.narrow })
        }
    }
}
