//! `Isomap` and `LocallyLinearEmbedding` for new rows: from the distances to their neighbours, or the weights that make them
//! of these.

use foretell_pickle::{Entry, Kind, View};

use crate::attributes::{feature_names, some_attr, version};
use crate::families::shared::kernels::{Projection, projection, weights};
use crate::families::shared::near;
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "manifolds",
    classes: &[
        ("sklearn.manifold._isomap", "Isomap"),
        ("sklearn.manifold._locally_linear", "LocallyLinearEmbedding"),
        ("sklearn.manifold.isomap", "Isomap"),
        ("sklearn.manifold.locally_linear", "LocallyLinearEmbedding"),
    ],
    globals: &[
        Entry::class("sklearn.decomposition._kernel_pca", "KernelPCA"),
        Entry::class("sklearn.decomposition.kernel_pca", "KernelPCA"),
        Entry::class("sklearn.neighbors._unsupervised", "NearestNeighbors"),
        Entry::class("sklearn.neighbors.unsupervised", "NearestNeighbors"),
        Entry::class("sklearn.preprocessing._data", "KernelCenterer"),
        Entry::class("sklearn.preprocessing.data", "KernelCenterer"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let nearest = view.attr("nbrs_")?;
    let training = near::training(&nearest)?;
    let count = training.count();
    let Some(neighbours) = some_attr(view, "n_neighbors")? else {
        return Err(Error::unsupported(view.path(), "neighbours within a radius", "n_neighbors"));
    };
    let neighbours = neighbours.as_usize()?;
    if neighbours == 0 || neighbours > count {
        return Err(Error::state(view.path(), format!("{neighbours} neighbours among {count} rows")));
    }
    let names = feature_names(view)?;
    let how = if class == "Isomap" {
        // From 1.2 on it keeps the type of an array, where it is not given a DataFrame.
        let keeps = version(view)?.is_some_and(|version| version >= KEEPS) && (given.is_some() || names.is_none());
        isomap(view, count, keeps)?
    } else {
        let narrow = is_narrow(&nearest.attr("_fit_X")?);
        linear(view, count, narrow)?
    };
    let sources = loader.sources(view, given, training.features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(training.points.len().saturating_mul(8));
    let out = numbered(&class.to_ascii_lowercase(), how.width(), &sources);
    let finite = Finite::new(&class, &sources, false, false);
    let step = Rows { inner: run::Manifold { training, neighbours, how }, finite, takes_sparse: false };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

/// The first version of scikit-learn whose Isomap does so.
const KEEPS: (u32, u32) = (1, 2);

/// Whether it is float32.
fn is_narrow(view: &View<'_>) -> bool {
    view.array().is_ok_and(|array| array.dtype().kind == Kind::Float && array.dtype().size == 4)
}

fn isomap(view: &View<'_>, count: usize, keeps: bool) -> Result<run::How, Error> {
    let distances = view.attr("dist_matrix_")?.array()?;
    if distances.shape() != [count, count] {
        return Err(Error::state(view.path(), format!("the distances are not those of {count} rows")));
    }
    let narrow = is_narrow(&view.attr("dist_matrix_")?);
    let Projection { axes, rows, all } = projection(&view.attr("kernel_pca_")?, count)?;
    Ok(run::How::Isomap { distances: distances.f64s()?, axes, rows, all, keeps, narrow })
}

fn linear(view: &View<'_>, count: usize, narrow: bool) -> Result<run::How, Error> {
    let embedding = weights(&view.attr("embedding_")?, count)?;
    Ok(run::How::Linear { embedding, ridge: view.attr("reg")?.as_f64()?, narrow })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::dot;
    use crate::families::shared::near::Training;
    use crate::families::shared::rows::OfRow;
    use crate::math::scores::pairwise_sum;
    use crate::matrix::round;

    #[derive(Debug)]
    pub(super) enum How {
        Isomap {
            /// Of each row of training to each along the manifold.
            distances: Vec<f64>,
            axes: Vec<Vec<f64>>,
            rows: Vec<f64>,
            all: f64,
            /// Whether float32 stays that.
            keeps: bool,
            /// Whether it was learned from float32.
            narrow: bool,
        },
        Linear {
            /// By axis.
            embedding: Vec<Vec<f64>>,
            ridge: f64,
            /// Whether it was learned from float32.
            narrow: bool,
        },
    }

    impl How {
        pub(super) fn width(&self) -> usize {
            match self {
                How::Isomap { axes, .. } => axes.len(),
                How::Linear { embedding, .. } => embedding.len(),
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Manifold {
        pub(super) training: Training,
        pub(super) neighbours: usize,
        pub(super) how: How,
    }

    impl OfRow for Manifold {
        fn of_row(&self, row: &[f64], _: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            let near = self.training.nearest(row, self.neighbours);
            match &self.how {
                How::Isomap { distances, axes, rows, all, keeps, narrow: learned } => {
                    let count = rows.len();
                    let own_type = |value: f64| round(value, narrow && *keeps);
                    let mut shortest = vec![f64::INFINITY; count];
                    for (reduced, neighbour) in near {
                        let own = self.training.metric.distance(reduced);
                        let along = &distances[neighbour * count..(neighbour + 1) * count];
                        shortest
                            .iter_mut()
                            .zip(along)
                            .for_each(|(shortest, along)| *shortest = shortest.min(along + own));
                    }
                    let mut kernels: Vec<f64> =
                        shortest.into_iter().map(own_type).map(|one| own_type(own_type(one * one) * -0.5)).collect();
                    if kernels.iter().any(|kernel| !kernel.is_finite()) {
                        return Err("a distance that no number is large enough for");
                    }
                    let one = |value: f64| round(value, narrow && *keeps && *learned);
                    let own = one(pairwise_sum(&kernels) / count as f64);
                    let centred = |kernel: f64, mean: f64| one(one(one(kernel - mean) - own) + all);
                    kernels.iter_mut().zip(rows).for_each(|(kernel, mean)| *kernel = centred(*kernel, *mean));
                    out.extend(axes.iter().map(|axis| dot(&kernels, axis)));
                }
                How::Linear { embedding, ridge, narrow: learned } => {
                    let rows: Vec<usize> = near.into_iter().map(|(_, row)| row).collect();
                    let mut weights = self
                        .barycentre(row, &rows, *ridge, narrow && *learned)
                        .ok_or("neighbours that no weights are found for")?;
                    // They are of the rows' type.
                    weights.iter_mut().for_each(|weight| *weight = round(*weight, narrow));
                    let place = |axis: &Vec<f64>| {
                        rows.iter().zip(&weights).map(|(row, weight)| axis[*row] * weight).sum::<f64>()
                    };
                    out.extend(embedding.iter().map(place));
                }
            }
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.how.width()
        }

        fn makes_narrow(&self, rows: bool) -> bool {
            matches!(self.how, How::Isomap { keeps: true, narrow: true, .. } if rows)
        }
    }

    impl Manifold {
        /// The weights of a row's neighbours that make it.
        fn barycentre(&self, row: &[f64], neighbours: &[usize], ridge: f64, narrow: bool) -> Option<Vec<f64>> {
            let apart = |neighbour: &usize| -> Vec<f64> {
                self.training.row(*neighbour).iter().zip(row).map(|(a, b)| round(a - b, narrow)).collect()
            };
            let apart: Vec<Vec<f64>> = neighbours.iter().map(apart).collect();
            let mut gram: Vec<Vec<f64>> = apart.iter().map(|a| apart.iter().map(|b| dot(a, b)).collect()).collect();
            let trace: f64 = gram.iter().enumerate().map(|(at, row)| row[at]).sum();
            let more = if trace > 0.0 { ridge * trace } else { ridge };
            gram.iter_mut().enumerate().for_each(|(at, row)| row[at] += more);
            let weights = solve(gram)?;
            let sum = pairwise_sum(&weights);
            Some(weights.into_iter().map(|weight| weight / sum).collect())
        }
    }

    /// What a positive definite matrix makes ones of, by Cholesky's factors.
    fn solve(mut matrix: Vec<Vec<f64>>) -> Option<Vec<f64>> {
        let count = matrix.len();
        for at in 0..count {
            for below in at..count {
                let known = dot(&matrix[below][..at], &matrix[at][..at]);
                let value = matrix[below][at] - known;
                if below == at {
                    if value.is_nan() || value <= 0.0 {
                        return None;
                    }
                    matrix[at][at] = value.sqrt();
                } else {
                    matrix[below][at] = value / matrix[at][at];
                }
            }
        }
        let mut x = Vec::with_capacity(count);
        for row in &matrix {
            let known = dot(row, &x);
            x.push((1.0 - known) / row[x.len()]);
        }
        for at in (0..count).rev() {
            let known: f64 = (at + 1..count).map(|below| matrix[below][at] * x[below]).sum();
            x[at] = (x[at] - known) / matrix[at][at];
        }
        Some(x)
    }
}
