//! What `inspect` shows: plain data, made while loading.

/// What a loaded model is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Description {
    /// The library that wrote the model: `scikit-learn`, `XGBoost`.
    pub library: String,
    /// The version of the library, where the file tells it.
    pub version: Option<String>,
    /// Every library that wrote a part of the file, this one first, with its version.
    pub libraries: Vec<(String, Option<String>)>,
    /// The tree of steps; the root is the model itself.
    pub root: StepReport,
    /// All trees of all ensembles.
    pub trees: usize,
    /// All nodes of all trees, leaves included.
    pub nodes: usize,
    /// The depth of the deepest tree (a lone leaf has depth 0).
    pub max_depth: usize,
    /// The names of the kernels that score it, e.g. `ranks (f32)`; `none` where there is no ensemble of trees.
    pub kernel: String,
    /// Roughly how many bytes the loaded model holds in memory.
    pub bytes: usize,
    /// What whoever uses the model should know: functions that are not run and what follows, models beside it.
    pub notes: Vec<String>,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// One estimator of a model, with what it contains.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct StepReport {
    /// The name it has in its parent (a pipeline's step, a transformer), if any.
    pub name: Option<String>,
    /// Its class as the file names it, e.g. `sklearn.pipeline.Pipeline`.
    pub class: String,
    /// Its parameters as Python would show them, in alphabetical order.
    pub parameters: Vec<(String, String)>,
    /// The columns it is given, where its parent chooses them.
    pub columns: Vec<String>,
    /// Its trees, where it is an ensemble of them.
    pub trees: Option<TreesReport>,
    /// The estimators inside, in order.
    pub children: Vec<StepReport>,
}

/// The trees of one ensemble.
#[derive(Debug, Clone, PartialEq)]
pub struct TreesReport {
    /// How many trees are scored.
    pub trees: usize,
    /// Nodes of these, leaves included.
    pub nodes: usize,
    /// The depth of the deepest.
    pub max_depth: usize,
    /// The kernel chosen for them.
    pub kernel: String,
    /// Bytes in memory.
    pub bytes: usize,
    /// The features that the trees look at, in their order.
    pub features: Vec<FeatureUse>,
}

/// What a feature did for an ensemble of trees while it was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct FeatureUse {
    /// Its name as the trees know it: a model's input, or a column that an earlier step made of it.
    pub name: String,
    /// How many splits look at it.
    pub splits: usize,
    /// What these gained together, to be compared within the ensemble only: the reduction of the loss (XGBoost,
    /// LightGBM, histogram boosting; all trees summed) or of the impurity (scikit-learn's `feature_importances_` but
    /// for a factor). All are 0 where the file does not tell.
    pub gain: f64,
}

impl StepReport {
    /// Every step in the order of the tree, this one first.
    pub fn walk(&self) -> Vec<&StepReport> {
        let mut all = Vec::new();
        let mut open = vec![self];
        while let Some(step) = open.pop() {
            all.push(step);
            open.extend(step.children.iter().rev());
        }
        all
    }
}
