//! `KMeans`, `MiniBatchKMeans`, `BisectingKMeans`, `Birch`, `MeanShift`, `AffinityPropagation`: the nearest of the centres that were learned, and how far
//! each of them is.
//!
//! The square of a distance is `|x|² - 2 x·c + |c|²`, as in the library, whose products go through BLAS: within 1e-12 of
//! the terms.

use foretell_pickle::{Entry, State, View};

use crate::attributes::{feature_names, some_attr, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "clusters with centres",
    classes: &[
        ("sklearn.cluster._affinity_propagation", "AffinityPropagation"),
        ("sklearn.cluster._birch", "Birch"),
        ("sklearn.cluster._bisect_k_means", "BisectingKMeans"),
        ("sklearn.cluster._k_means", "KMeans"),
        ("sklearn.cluster._k_means", "MiniBatchKMeans"),
        ("sklearn.cluster._kmeans", "KMeans"),
        ("sklearn.cluster._kmeans", "MiniBatchKMeans"),
        ("sklearn.cluster._mean_shift", "MeanShift"),
        ("sklearn.cluster.affinity_propagation_", "AffinityPropagation"),
        ("sklearn.cluster.birch", "Birch"),
        ("sklearn.cluster.k_means_", "KMeans"),
        ("sklearn.cluster.k_means_", "MiniBatchKMeans"),
        ("sklearn.cluster.mean_shift_", "MeanShift"),
    ],
    globals: &[
        Entry::class("sklearn.cluster._birch", "_CFNode"),
        Entry::class("sklearn.cluster._birch", "_CFSubcluster"),
        Entry::class("sklearn.cluster._bisect_k_means", "_BisectingTree"),
        Entry::class("sklearn.cluster.birch", "_CFNode"),
        Entry::class("sklearn.cluster.birch", "_CFSubcluster"),
        Entry::function("sklearn.cluster._k_means_common", "_euclidean_dense_dense_wrapper").with_state(State::EMPTY),
        Entry::inert("sklearn.cluster._k_means_lloyd", "lloyd_iter_chunked_dense"),
        Entry::inert("sklearn.cluster._k_means_lloyd", "lloyd_iter_chunked_sparse"),
        Entry::inert("sklearn.cluster._kmeans", "_kmeans_single_elkan"),
        Entry::inert("sklearn.cluster._kmeans", "_kmeans_single_lloyd"),
    ],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let is_birch = class == "Birch";
    let found = view.attr(if is_birch { "subcluster_centers_" } else { "cluster_centers_" })?;
    let narrow = found.array()?.dtype().size == 4;
    let (centres, features) = centres(&found)?;
    let count = centres.count();
    let (labels, codes) =
        if is_birch { numbered(view, count)? } else { (Labels::counted(count), (0..).take(count).collect()) };
    let tree = if class == "BisectingKMeans" { Some(tree(view, count, features)?) } else { None };
    let names = feature_names(view)?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(centres.values.len().saturating_mul(if tree.is_some() { 24 } else { 8 }));
    let mut targets = Targets::classes(vec![labels], arrow_schema::DataType::Float64);
    targets.proba.clear();
    let prefix = class.to_ascii_lowercase();
    let is_shift = matches!(class.as_str(), "MeanShift" | "AffinityPropagation");
    if !is_shift {
        targets.table = (0..count).map(|index| Source::made(format!("{prefix}{index}"))).collect();
    }
    // Until 0.22 the square of the row was added, as it is for Birch since: a row may be too large for it.
    let version = version(view)?;
    let adds_square =
        if is_birch { version >= Some((0, 22)) } else { is_shift || version.is_none_or(|version| version < (0, 23)) };
    // From 0.23 on it compares nothing in float32 with centres in float64, and the other way round.
    let alike = !is_birch && !is_shift && version >= Some((0, 23));
    let finite = Finite::new(&class, &sources, false, false);
    let step = run::Clusters { centres, codes, tree, features, adds_square, narrow, alike, finite };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report: Default::default() })
}

/// Points, one after the other, and how many features they have.
fn centres(view: &View<'_>) -> Result<(run::Centres, usize), Error> {
    let array = view.array()?;
    let [count, features] = array.dims()?;
    if count == 0 || features == 0 {
        return Err(Error::state(view.path(), "no centre"));
    }
    Ok((run::Centres::new(array.f64s()?, features), features))
}

/// The cluster of each of Birch's centres: its labels, and for each centre which of them.
fn numbered(view: &View<'_>, count: usize) -> Result<(Labels, Vec<u32>), Error> {
    let clusters = view.attr("subcluster_labels_")?.array()?.i64s()?;
    if clusters.len() != count {
        return Err(Error::counts(view.path(), (clusters.len(), "clusters"), (count, "centres")));
    }
    let mut labels = clusters.clone();
    labels.sort_unstable();
    labels.dedup();
    let code = |cluster: &i64| labels.binary_search(cluster).ok().and_then(|code| u32::try_from(code).ok());
    let codes = clusters.iter().map(|cluster| code(cluster).unwrap_or(0)).collect();
    Ok((Labels::Int(labels), codes))
}

/// The tree that `BisectingKMeans` goes down; its centres are counted from the mean of the training.
fn tree(view: &View<'_>, clusters: usize, features: usize) -> Result<Vec<run::Node>, Error> {
    let mean = match some_attr(view, "_X_mean")? {
        Some(mean) => mean.array()?.f64s()?,
        None => vec![0.0; features],
    };
    let mut nodes = Vec::new();
    let mut open = vec![(view.attr("_bisecting_tree")?, None)];
    while let Some((node, above)) = open.pop() {
        let index = nodes.len();
        if index > clusters.saturating_mul(2) {
            return Err(Error::state(view.path(), format!("a tree of more than {clusters} leaves")));
        }
        if let Some((parent, side)) = above
            && let Some(run::Node::Split { below, .. }) = nodes.get_mut::<usize>(parent)
            && let Some(place) = below.get_mut::<usize>(side)
        {
            *place = index;
        }
        match (some_attr(&node, "left")?, some_attr(&node, "right")?) {
            (Some(left), Some(right)) => {
                let mut centres = Vec::new();
                for side in [&left, &right] {
                    let centre = side.attr("center")?.array()?.f64s()?;
                    if centre.len() != features || mean.len() != features {
                        return Err(Error::state(side.path(), format!("a centre of {} features", centre.len())));
                    }
                    centres.extend(centre.iter().zip(&mean).map(|(value, mean)| value + mean));
                }
                nodes.push(run::Node::Split { centres: run::Centres::new(centres, features), below: [0, 0] });
                open.push((right, Some((index, 1))));
                open.push((left, Some((index, 0))));
            }
            _ => {
                let label = node.attr("label")?.as_usize()?;
                if label >= clusters {
                    return Err(Error::out_of_range(node.path(), format!("cluster {label}")));
                }
                nodes.push(run::Node::Cluster(u32::try_from(label).unwrap_or(0)));
            }
        }
    }
    Ok(nodes)
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix, round};
    use crate::step::{Answer, Predict, Run};

    #[derive(Debug)]
    pub(super) struct Centres {
        /// One after the other.
        pub(super) values: Vec<f64>,
        features: usize,
        /// The square of each one's length.
        squares: Vec<f64>,
    }

    /// The numbers of one row that are not zero.
    type Row<'r> = &'r [(usize, f64)];

    impl Centres {
        pub(super) fn new(values: Vec<f64>, features: usize) -> Self {
            let square = |centre: &[f64]| centre.iter().map(|value| value * value).sum();
            let squares = values.chunks_exact(features).map(square).collect();
            Centres { values, features, squares }
        }

        pub(super) fn count(&self) -> usize {
            self.squares.len()
        }

        fn product(&self, centre: usize, row: Row<'_>) -> f64 {
            let centre = &self.values[centre * self.features..];
            row.iter().map(|(col, value)| value * centre[*col]).sum()
        }

        /// The nearest one; of several as near the first.
        fn nearest(&self, row: Row<'_>, adds_square: bool) -> usize {
            let square: f64 = if adds_square { row.iter().map(|(_, value)| value * value).sum() } else { 0.0 };
            let mut best = (0, f64::INFINITY);
            for centre in 0..self.count() {
                let distance = self.squares[centre] + (square - 2.0 * self.product(centre, row));
                if centre == 0 || distance < best.1 {
                    best = (centre, distance);
                }
            }
            best.0
        }

        /// In float32 the square is rounded before its root is.
        fn distance(&self, centre: usize, row: Row<'_>, narrow: bool) -> f64 {
            let square: f64 = row.iter().map(|(_, value)| value * value).sum();
            let distance = -2.0 * self.product(centre, row) + square + self.squares[centre];
            // What is not a number stays so.
            if distance < 0.0 { 0.0 } else { round(round(distance, narrow).sqrt(), narrow) }
        }
    }

    #[derive(Debug)]
    pub(super) enum Node {
        Split { centres: Centres, below: [usize; 2] },
        Cluster(u32),
    }

    #[derive(Debug)]
    pub(super) struct Clusters {
        pub(super) centres: Centres,
        /// The label of each centre.
        pub(super) codes: Vec<u32>,
        /// From the root down; `None` where the nearest centre decides.
        pub(super) tree: Option<Vec<Node>>,
        pub(super) features: usize,
        /// Whether the square of the row is added to what is compared, which is the same for all centres.
        pub(super) adds_square: bool,
        /// Whether the centres are float32.
        pub(super) narrow: bool,
        /// Whether rows of another type than the centres' are refused.
        pub(super) alike: bool,
        pub(super) finite: Finite,
    }

    impl Clusters {
        fn each(&self, x: Matrix, run: &mut Run, mut take: impl FnMut(Row<'_>)) {
            self.finite.check(&x, run);
            let rows = x.rows();
            let mut row = Vec::new();
            let of_sparse = |csr: &Csr, at: usize, row: &mut Vec<(usize, f64)>| {
                row.extend(csr.row(at).map(|(col, value)| (col as usize, value)));
            };
            match x {
                Matrix::Csr(csr) => {
                    for at in 0..rows {
                        row.clear();
                        of_sparse(&csr, at, &mut row);
                        take(&row);
                    }
                }
                other => {
                    let dense = other.into_dense().unwrap_or_else(|_| Dense::zeros(rows, self.features));
                    for at in 0..rows {
                        row.clear();
                        row.extend((0..dense.cols).map(|col| (col, dense.data[col * rows + at])));
                        take(&row);
                    }
                }
            }
        }

        fn cluster(&self, row: Row<'_>) -> u32 {
            let Some(tree) = &self.tree else { return self.codes[self.centres.nearest(row, self.adds_square)] };
            let mut at = 0;
            loop {
                match &tree[at] {
                    Node::Cluster(cluster) => return *cluster,
                    Node::Split { centres, below } => at = below[centres.nearest(row, self.adds_square)],
                }
            }
        }
    }

    impl Predict for Clusters {
        fn answer(&self, x: Matrix, _want: Method, run: &mut Run) -> Answer {
            if self.alike && x.is_narrow() != self.narrow {
                let reason = if self.narrow {
                    "float64, where the centres are float32: cast the columns to FLOAT"
                } else {
                    "float32, where the centres are float64"
                };
                run.refuse_all(x.rows(), &self.finite.step, None, reason);
            }
            let mut clusters = Vec::with_capacity(x.rows());
            self.each(x, run, |row| clusters.push(self.cluster(row)));
            Answer::Class(vec![clusters])
        }

        fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
            let (rows, count) = (x.rows(), self.centres.count());
            // The library adds up in float64, and rounds where both are float32.
            let narrow = self.narrow && x.is_narrow();
            let mut data = vec![0.0; rows * count];
            let mut at = 0;
            self.each(x, run, |row| {
                (0..count).for_each(|centre| data[centre * rows + at] = self.centres.distance(centre, row, narrow));
                at += 1;
            });
            Matrix::Dense(Dense { data, rows, cols: count, narrow })
        }
    }
}
