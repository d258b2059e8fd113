//! The operators: one line each in the lists of the files beside this one. An operator that is in no list is refused by
//! its name.

mod elementwise;
mod features;
mod labels;
mod layout;
mod linear;
mod products;
mod reduce;
mod scores;
mod select;
mod svm;
mod texts;
mod tree_ensemble;
mod tree_scores;
mod trees;

use super::proto::Node;
use super::tensor::{Context, Fault, Tensor};
use crate::{Error, TreesReport};

/// What an operator gives.
pub(super) type Outcome = Result<Vec<Tensor>, Fault>;

/// An operator, ready to be computed: inputs that are left out are `None`.
pub(super) type Kernel = Box<dyn Fn(&[Option<&Tensor>], &Context) -> Outcome + Send + Sync>;

/// An operator by its name, and what makes a kernel of a node of it. The version is that of the operator's domain.
pub(super) type Operator = (&'static str, fn(&Node<'_>, i64) -> Result<Compiled, Error>);

/// What is known of an operator before it runs.
pub(super) struct Compiled {
    pub(super) kernel: Kernel,
    /// The classes that it tells, where it is a classifier or names columns.
    pub(super) classes: Option<Classes>,
    pub(super) trees: Option<TreesReport>,
    /// Bytes that it holds.
    pub(super) bytes: usize,
    /// Whether it answers what a model is asked, so that its table is no transformed one.
    pub(super) predicts: bool,
}

/// Class labels.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::onnx) enum Classes {
    Ints(Vec<i64>),
    Texts(Vec<String>),
}

impl Classes {
    /// As an operator's attributes name them; `None` where they do not.
    fn of(node: &Node<'_>, texts: &str, ints: &str) -> Result<Option<Classes>, Error> {
        let texts = node.texts(texts)?;
        if !texts.is_empty() {
            return Ok(Some(Classes::Texts(texts.into_iter().map(str::to_string).collect())));
        }
        let ints = node.ints(ints);
        Ok((!ints.is_empty()).then(|| Classes::Ints(ints.to_vec())))
    }

    /// A constant of which labels are picked.
    pub(in crate::onnx) fn among(tensor: &Tensor) -> Option<Classes> {
        use super::tensor::Data;
        match &tensor.data {
            Data::I64(all) => Some(Classes::Ints(all.clone())),
            Data::Text(all) => Some(Classes::Texts(all.iter().map(|text| text.to_string()).collect())),
            _ => None,
        }
    }

    pub(in crate::onnx) fn len(&self) -> usize {
        match self {
            Classes::Ints(all) => all.len(),
            Classes::Texts(all) => all.len(),
        }
    }

    /// A tensor of the labels with these positions.
    fn tensor(&self, picked: &[usize]) -> Result<Tensor, Fault> {
        use super::tensor::Data;
        let data = match self {
            Classes::Ints(all) => {
                let found: Option<Vec<i64>> = picked.iter().map(|at| all.get(*at).copied()).collect();
                Data::I64(found.ok_or(Fault::Index)?)
            }
            Classes::Texts(all) => {
                let found: Option<Vec<_>> =
                    picked.iter().map(|at| all.get(*at).map(|text| text.as_str().into())).collect();
                Data::Text(found.ok_or(Fault::Index)?)
            }
        };
        Ok(Tensor { shape: vec![picked.len()], data })
    }
}

impl Compiled {
    fn plain(
        kernel: impl Fn(&[Option<&Tensor>], &Context) -> Outcome + Send + Sync + 'static,
    ) -> Result<Compiled, Error> {
        Ok(Compiled { kernel: Box::new(kernel), classes: None, trees: None, bytes: 0, predicts: false })
    }

    fn predicting(self) -> Compiled {
        Compiled { predicts: true, ..self }
    }
}

/// An input that has to be there.
fn input<'t>(inputs: &[Option<&'t Tensor>], at: usize) -> Result<&'t Tensor, Fault> {
    inputs.get(at).copied().flatten().ok_or(Fault::Absent)
}

/// One tensor.
fn one(shape: Vec<usize>, data: super::tensor::Data) -> Outcome {
    Ok(vec![Tensor { shape, data }])
}

/// The lists by domain.
const DOMAINS: &[(&str, &[&[Operator]])] = &[
    (
        "",
        &[
            elementwise::OPERATORS,
            layout::OPERATORS,
            products::OPERATORS,
            reduce::OPERATORS,
            select::OPERATORS,
            texts::OPERATORS,
        ],
    ),
    (
        "ai.onnx.ml",
        &[
            features::OPERATORS,
            labels::OPERATORS,
            linear::OPERATORS,
            svm::OPERATORS,
            tree_ensemble::OPERATORS,
            trees::OPERATORS,
        ],
    ),
    ("com.microsoft", &[products::MICROSOFT, texts::MICROSOFT]),
];

/// Makes a kernel of a node.
pub(super) fn compile(node: &Node<'_>, version: i64) -> Result<Compiled, Error> {
    let domain = DOMAINS.iter().find(|(domain, _)| *domain == node.domain);
    let found = domain.and_then(|(_, lists)| {
        lists.iter().flat_map(|list| list.iter()).find(|(name, _)| *name == node.op).map(|(_, make)| make)
    });
    let Some(make) = found else {
        let name = if node.domain.is_empty() { node.op.to_string() } else { format!("{}.{}", node.domain, node.op) };
        return Err(Error::unsupported(node.place.clone(), name, super::SUPPORTED));
    };
    make(node, version)
}
