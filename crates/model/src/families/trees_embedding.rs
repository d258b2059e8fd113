//! `RandomTreesEmbedding`: a column for each leaf of each tree, 1 where a row ends in it.

use std::collections::HashMap;

use foretell_pickle::{Entry, View};

use super::forest::{Shape, allows_nan, read_tree};
use crate::attributes::{feature_names, flag, version};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::trees::{Ensemble, Rule};
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "embeddings by random trees",
    classes: &[
        ("sklearn.ensemble._forest", "RandomTreesEmbedding"),
        ("sklearn.ensemble.forest", "RandomTreesEmbedding"),
    ],
    globals: &[Entry::class("sklearn.tree._tree", "Tree")],
    load,
};

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let trees = view.attr("estimators_")?.items()?;
    let Some(first) = trees.first() else {
        return Err(Error::state(view.path(), "the forest has no tree"));
    };
    let shape = Shape::read(first)?;
    let encoder = view.attr("one_hot_encoder_")?;
    let categories = encoder.attr("categories_")?.items()?;
    if categories.len() != trees.len() || shape.outputs != 1 || shape.classes != 1 {
        return Err(Error::counts(view.path(), (categories.len(), "lists of leaves"), (trees.len(), "trees")));
    }
    let (features, rule) = (shape.features, Rule::LessEqual);
    let mut ensemble = Ensemble { trees: Vec::new(), width: 1, outputs: 1, features, rule };
    let mut leaves = Vec::new();
    let mut knows_missing = true;
    let mut count = 0u32;
    for (tree, categories) in trees.iter().zip(&categories) {
        if Shape::read(tree)? != shape {
            return Err(Error::state(tree.path(), "the tree has other features or outputs than the first one"));
        }
        let (read, has_missing) = read_tree(&tree.attr("tree_")?, 1)?;
        knows_missing &= has_missing;
        ensemble.trees.push(read);
        let known = categories.array()?.f64s()?;
        leaves.push(known.into_iter().map(|leaf| leaf as u32).zip(count..).collect::<HashMap<_, _>>());
        count = count.saturating_add(leaves.last().map_or(0, HashMap::len) as u32);
    }
    ensemble.check(&view.path())?;
    let sources = loader.sources(view, given, shape.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.charge(view, count as usize)?;
    loader.hold(ensemble.bytes());
    let allows_nan = knows_missing && allows_nan(first, true, version(view)?)?;
    let out = (0..count).map(|index| Source::made(format!("randomtreesembedding_{index}"))).collect();
    let finite = Finite::new("RandomTreesEmbedding", &sources, allows_nan, true);
    let sparse = flag(view, "sparse_output", true)?;
    let step = run::Embedding { trees: ensemble.trees, leaves, count: count as usize, finite, sparse };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "trees are checked while loading")]
mod run {
    use std::collections::HashMap;

    use crate::finite::Finite;
    use crate::matrix::{Csr, Dense, Matrix};
    use crate::step::{Run, Transform};
    use crate::trees::{NONE, Tree};

    #[derive(Debug)]
    pub(super) struct Embedding {
        pub(super) trees: Vec<Tree>,
        /// By tree, the column of each leaf.
        pub(super) leaves: Vec<HashMap<u32, u32>>,
        pub(super) count: usize,
        pub(super) finite: Finite,
        pub(super) sparse: bool,
    }

    /// The leaf that a row ends in.
    fn leaf(tree: &Tree, x: &Dense, row: usize) -> u32 {
        let mut at = 0u32;
        loop {
            let node = &tree.nodes[at as usize];
            if node.left == NONE {
                return at;
            }
            let value = x.column(node.feature as usize)[row] as f32;
            let left = if value.is_nan() { node.missing_left } else { f64::from(value) <= node.threshold };
            at = if left { node.left } else { node.right };
        }
    }

    impl Transform for Embedding {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            // NaN is never allowed in a sparse table.
            if matches!(x, Matrix::Csr(_)) && self.finite.allows_nan {
                Finite { allows_nan: false, ..self.finite.clone() }.check(&x, run);
            } else {
                self.finite.check(&x, run);
            }
            let (rows, cols) = (x.rows(), x.cols());
            let x = x.into_dense().unwrap_or_else(|_| Dense::zeros(rows, cols));
            let mut out = Csr::empty(self.count, rows);
            for row in 0..rows {
                for (tree, leaves) in self.trees.iter().zip(&self.leaves) {
                    match leaves.get(&leaf(tree, &x, row)) {
                        Some(column) => out.push(*column, 1.0),
                        None => run.refuse(row, &self.finite.step, None, "a leaf that no row of training was in"),
                    }
                }
                out.end_row();
            }
            if self.sparse { Matrix::Csr(out) } else { Matrix::Dense(out.to_dense()) }
        }
    }
}
