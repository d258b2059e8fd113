//! What goes into a model and what comes out.

use arrow_schema::DataType;

use crate::Method;

/// The inputs and outputs of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// One entry a feature, in the model's order.
    pub inputs: Vec<Input>,
    /// What `predict` gives: one entry an output (a target), in the model's order.
    pub predict: Vec<Output>,
    /// What `predict_proba` gives: one entry a class (all classes of the first target, then of the second, …);
    /// empty where the model has none.
    pub proba: Vec<Output>,
    /// What `decision_function` gives; empty where the model has none.
    pub decision: Vec<Output>,
    /// What `score_samples` gives; empty where the model has none.
    pub samples: Vec<Output>,
    /// What `transform` gives; empty where the model has none.
    pub transform: Vec<Output>,
    /// What each column of the last step adds to its raw answer, and `bias`, the mean answer: their sum is what
    /// `decision_function` says (of averaged trees what `predict` or `predict_proba` says). Output after output. Empty where
    /// the model was loaded without [`LoadOptions::explain`](crate::LoadOptions::explain), or cannot say it.
    pub contribs: Vec<Output>,
    /// The three columns that add or take most, as a text; where there are contributions to a single output.
    pub reasons: Vec<Output>,
    /// In which leaf of each tree a row ends, one entry a tree. Empty where the model was loaded without
    /// [`LoadOptions::explain`](crate::LoadOptions::explain), or is not made of trees whose library numbers the leaves.
    pub leaves: Vec<Output>,
    /// Whether the library wrote the names in its own way: LightGBM makes `_` of a blank.
    pub rewritten: bool,
}

/// One feature.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    /// The feature's name, or `None` where the model knows none (`f0` of XGBoost and `Column_0` of LightGBM are none).
    pub name: Option<String>,
    /// What values it takes.
    pub kind: InputKind,
}

/// The type of a feature's values.
#[derive(Debug, Clone, PartialEq)]
pub enum InputKind {
    /// Any number; NULL is NaN.
    Number,
    /// Text; NULL is the encoder's own missing.
    Text,
    /// True or false.
    Bool,
    /// A category by one of these levels (in the order of their codes).
    Category(Vec<String>),
    /// A list of texts or numbers.
    List,
    /// Numbers or text: the model takes both.
    Any,
}

/// One output column.
#[derive(Debug, Clone, PartialEq)]
pub struct Output {
    /// `prediction`, or `prediction_0`, `prediction_1`, … where there are several; `proba_<class>` for probabilities.
    pub name: String,
    /// `Float32` (XGBoost), `Float64`, `Int64`, `Utf8` or `Boolean` (class labels in their own type).
    pub data_type: DataType,
    /// The class that a probability belongs to, as text; `None` for all else.
    pub class: Option<String>,
}

impl Signature {
    /// Of a model that only transforms.
    pub(crate) fn transformer(inputs: Vec<Input>, transform: Vec<Output>) -> Self {
        Signature {
            inputs,
            predict: vec![],
            proba: vec![],
            decision: vec![],
            samples: vec![],
            transform,
            contribs: vec![],
            reasons: vec![],
            leaves: vec![],
            rewritten: false,
        }
    }

    /// The outputs for one kind of answer; empty where the model has none.
    pub fn outputs(&self, want: Method) -> &[Output] {
        match want {
            Method::Predict => &self.predict,
            Method::Proba => &self.proba,
            Method::Decision => &self.decision,
            Method::Samples => &self.samples,
            Method::Transform => &self.transform,
            Method::Contribs => &self.contribs,
            Method::Reasons => &self.reasons,
            Method::Leaves => &self.leaves,
        }
    }

    /// The place of the column that a feature of this name is. Where the library rewrote the names, a column whose name it
    /// would have rewritten to that one is meant too, if there is no other.
    pub fn column<'c>(&self, feature: &str, columns: impl Iterator<Item = &'c str> + Clone) -> Option<usize> {
        columns.clone().position(|column| column == feature).or_else(|| {
            let is_own = |name: &str| self.inputs.iter().any(|input| input.name.as_deref() == Some(name));
            let mut found = columns
                .enumerate()
                .filter(|(_, column)| self.rewritten && is_rewritten(column, feature) && !is_own(column));
            let first = found.next().map(|(place, _)| place);
            first.filter(|_| found.next().is_none())
        })
    }

    /// The feature names, or `None` where the model knows none.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.inputs.iter().map(|input| input.name.as_deref()).collect()
    }
}

/// Whether LightGBM would write a column's name so: `_` for characters that are neither letters nor digits.
fn is_rewritten(column: &str, feature: &str) -> bool {
    let mut pairs = column.chars().zip(feature.chars());
    let same = |(own, written): (char, char)| own == written || (written == '_' && !own.is_alphanumeric());
    column.chars().count() == feature.chars().count() && pairs.all(same)
}
