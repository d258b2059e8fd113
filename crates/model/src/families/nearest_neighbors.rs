//! `NearestNeighbors`: how far the nearest rows of the training are, and which they are, as columns: `distance_0`,
//! `neighbor_0` and so on. `KNeighborsTransformer`: the same as a sparse table of all rows of the training.

use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr};
use crate::families::shared::near;
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "tables of neighbours",
    classes: &[
        ("sklearn.neighbors._graph", "KNeighborsTransformer"),
        ("sklearn.neighbors._unsupervised", "NearestNeighbors"),
        ("sklearn.neighbors.unsupervised", "NearestNeighbors"),
    ],
    globals: near::ENTRIES,
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let training = near::any_training(view)?;
    let mut neighbours = view.attr("n_neighbors")?.as_usize()?;
    let as_graph = class == "KNeighborsTransformer";
    let mut distances = true;
    if as_graph {
        distances = match some_attr(view, "mode")? {
            Some(mode) => mode.as_str()? == "distance",
            None => true,
        };
        // A row of the training is its own nearest one.
        neighbours = neighbours.saturating_add(usize::from(distances));
    }
    if neighbours == 0 || neighbours > training.count() {
        let message = format!("{neighbours} neighbours among {} rows", training.count());
        return Err(Error::state(view.path(), message));
    }
    let sources = loader.sources(view, given, training.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.bytes());
    let out: Vec<Source> = if as_graph {
        loader.charge(view, training.count())?;
        (0..training.count()).map(|row| Source::made(format!("kneighborstransformer{row}"))).collect()
    } else {
        let names = |stem: &'static str| (0..neighbours).map(move |index| Source::made(format!("{stem}_{index}")));
        names("distance").chain(names("neighbor")).collect()
    };
    let finite = Finite::new(&class, &sources, false, false);
    let step = run::Near { training, neighbours, as_graph, distances, finite };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::families::shared::near::Training;
    use crate::families::shared::rows::Points;
    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix};
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Near {
        pub(super) training: Training,
        pub(super) neighbours: usize,
        pub(super) as_graph: bool,
        /// Whether a graph tells how far, not only that.
        pub(super) distances: bool,
        pub(super) finite: Finite,
    }

    impl Transform for Near {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            self.finite.check(&x, run);
            let (rows, features) = (x.rows(), self.training.features);
            if matches!(x, Matrix::Csr(_)) && !self.training.takes_sparse() {
                run.refuse_all(rows, &self.finite.step, None, "a sparse table");
            }
            let mut points = Points::new(x, features);
            let mut table = Dense::zeros(rows, 2 * self.neighbours);
            let mut graph = Csr::empty(self.training.count(), rows);
            for at in 0..rows {
                let mut nearest = self.training.nearest(points.at(at), self.neighbours);
                nearest.iter_mut().for_each(|(reduced, _)| *reduced = self.training.metric.distance(*reduced));
                if self.as_graph {
                    nearest.sort_by_key(|(_, row)| *row);
                    for (distance, row) in nearest {
                        graph.push(row as u32, if self.distances { distance } else { 1.0 });
                    }
                    graph.end_row();
                    continue;
                }
                for (place, (distance, row)) in nearest.into_iter().enumerate() {
                    table.data[place * rows + at] = distance;
                    table.data[(self.neighbours + place) * rows + at] = row as f64;
                }
            }
            if self.as_graph { Matrix::Csr(graph) } else { Matrix::Dense(table) }
        }
    }
}
