//! `LocalOutlierFactor` for new rows (`novelty=True`): how much thinner the training is around a row than around its
//! neighbours.

use foretell_pickle::View;

use crate::attributes::{feature_names, flag};
use crate::families::shared::near;
use crate::families::shared::rows::{Rows, outliers};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "local outlier factors",
    classes: &[("sklearn.neighbors._lof", "LocalOutlierFactor"), ("sklearn.neighbors.lof", "LocalOutlierFactor")],
    globals: near::ENTRIES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    if !flag(view, "novelty", false)? {
        let message = "tells of the rows of its training only; train it with `novelty=True` for others";
        return Err(Error::state(view.path(), message));
    }
    let training = near::any_training(view)?;
    let count = training.count();
    let neighbours = view.attr("n_neighbors_")?.as_usize()?;
    if neighbours == 0 || neighbours > count {
        return Err(Error::state(view.path(), format!("{neighbours} neighbours among {count} rows")));
    }
    let density = view.attr("_lrd")?.array()?.f64s()?;
    let distances = view.attr("_distances_fit_X_")?.array()?;
    let [rows, width] = distances.dims()?;
    if rows != count || density.len() != count || width < neighbours {
        return Err(Error::state(view.path(), format!("distances of {rows} rows for {count}")));
    }
    let narrow = distances.dtype().size == 4;
    let last = neighbours.saturating_sub(1);
    let reach = distances.f64s()?.into_iter().skip(last).step_by(width).collect();
    let offset = view.attr("offset_")?.as_f64()?;
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.bytes());
    let finite = Finite::new("LocalOutlierFactor", &sources, false, false);
    let takes_sparse = training.takes_sparse();
    let inner = run::Factor { training, neighbours, density, reach, offset, narrow };
    let step = Rows { inner, finite, takes_sparse };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(outliers()), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::near::Training;
    use crate::families::shared::rows::OfRow;
    use crate::math::scores::pairwise_sum;
    use crate::matrix::round;

    #[derive(Debug)]
    pub(super) struct Factor {
        pub(super) training: Training,
        pub(super) neighbours: usize,
        /// By row of training, how dense it is around it.
        pub(super) density: Vec<f64>,
        /// By row of training, how far its last neighbour is.
        pub(super) reach: Vec<f64>,
        pub(super) offset: f64,
        /// Whether the training was in float32: so is what is added up of rows in float32.
        pub(super) narrow: bool,
    }

    impl Factor {
        fn score(&self, reach: &[f64], rows: &[usize]) -> f64 {
            let count = reach.len() as f64;
            let density = 1.0 / (pairwise_sum(reach) / count + 1e-10);
            let ratios: Vec<f64> = rows.iter().map(|row| self.density[*row] / density).collect();
            -(pairwise_sum(&ratios) / count)
        }

        fn narrow_score(&self, reach: &[f64], rows: &[usize]) -> f64 {
            let count = reach.len() as f32;
            let reach: Vec<f32> = reach.iter().map(|one| *one as f32).collect();
            let density = 1.0 / (pairwise_sum(&reach) / count + 1e-10);
            let ratios: Vec<f32> = rows.iter().map(|row| self.density[*row] as f32 / density).collect();
            f64::from(-(pairwise_sum(&ratios) / count))
        }
    }

    impl OfRow for Factor {
        fn of_row(&self, row: &[f64], want: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let nearest = self.training.nearest(row, self.neighbours);
            let reach = |(reduced, row): &(f64, usize)| {
                round(self.training.metric.distance(*reduced), narrow).max(self.reach[*row])
            };
            let reach: Vec<f64> = nearest.iter().map(reach).collect();
            let rows: Vec<usize> = nearest.iter().map(|(_, row)| *row).collect();
            let score =
                if narrow && self.narrow { self.narrow_score(&reach, &rows) } else { self.score(&reach, &rows) };
            out.push(match want {
                Method::Samples => score,
                Method::Decision => score - self.offset,
                _ => f64::from(u8::from(score - self.offset >= 0.0)),
            });
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            1
        }

        fn is_class(&self, want: Method) -> bool {
            want == Method::Predict
        }
    }
}
