//! Trees of predicates.

use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::predicate::Predicate;
use super::value::Val;
use super::xml::{Element, number};
use crate::Error;

#[derive(Debug)]
struct Node {
    predicate: Predicate,
    children: Vec<usize>,
    value: Option<Val>,
    shares: Vec<(Arc<str>, f64)>,
    /// The child that is taken where no predicate is known.
    default: Option<usize>,
}

/// What becomes of a row of which a predicate is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// It counts as a no.
    No,
    LastPrediction,
    NullPrediction,
    DefaultChild,
}

#[derive(Debug)]
pub(super) struct Tree {
    nodes: Vec<Node>,
    missing: Missing,
    /// Whether a node without a fitting child answers itself.
    returns_last: bool,
}

impl Tree {
    pub(super) fn read(
        element: Element<'_>,
        compiler: &mut Compiler<'_>,
        is_classifier: bool,
        narrow: bool,
    ) -> Result<Tree, Error> {
        let missing = match element.get("missingValueStrategy").unwrap_or("none") {
            "none" => Missing::No,
            "lastPrediction" => Missing::LastPrediction,
            "nullPrediction" => Missing::NullPrediction,
            "defaultChild" => Missing::DefaultChild,
            other => {
                let known = "none, lastPrediction, nullPrediction, defaultChild";
                return Err(element.unsupported(format!("missingValueStrategy='{other}'"), known));
            }
        };
        let returns_last = element.get("noTrueChildStrategy") == Some("returnLastPrediction");
        let mut nodes: Vec<Node> = Vec::new();
        let mut open = vec![(element.needed("Node")?, None::<usize>)];
        while let Some((node, parent)) = open.pop() {
            let place = nodes.len();
            if let Some(parent) = parent.and_then(|parent| nodes.get_mut(parent)) {
                parent.children.push(place);
            }
            let value = match node.get("score") {
                None => None,
                Some(class) if is_classifier => Some(Val::Text(compiler.class(class))),
                Some(text) => {
                    let x = number(text).ok_or_else(|| node.error("its score is no number"))?;
                    Some(Val::Number(if narrow {
                        f64::from(text.trim().parse::<f32>().unwrap_or(x as f32))
                    } else {
                        x
                    }))
                }
            };
            let shares = shares(node, compiler)?;
            let predicate = Predicate::inside(node, &compiler.scope)?;
            nodes.push(Node { predicate, children: Vec::new(), value, shares, default: None });
            if node
                .children()
                .any(|child| super::compiler::is_model(child) || matches!(child.name(), "Regression" | "DecisionTree"))
            {
                return Err(node.unsupported("a model in a node", "scores"));
            }
            // The stack gives them in their order.
            let children: Vec<Element<'_>> = node.all("Node").collect();
            open.extend(children.into_iter().rev().map(|child| (child, Some(place))));
        }
        defaults(element, &mut nodes)?;
        compiler.trees.0 = compiler.trees.0.saturating_add(1);
        compiler.trees.1 = compiler.trees.1.saturating_add(nodes.len());
        Ok(Tree { nodes, missing, returns_last })
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let none = || Told::value(Val::Missing);
        let Some(mut node) = self.nodes.first() else { return none() };
        if node.predicate.holds(row) != Some(true) {
            return none();
        }
        'down: while !node.children.is_empty() {
            for child in &node.children {
                let Some(child) = self.nodes.get(*child) else { return none() };
                match child.predicate.holds(row) {
                    Some(true) => {
                        node = child;
                        continue 'down;
                    }
                    Some(false) => {}
                    None => match self.missing {
                        Missing::No => {}
                        Missing::LastPrediction => return told(node),
                        Missing::NullPrediction => return none(),
                        Missing::DefaultChild => match node.default.and_then(|default| self.nodes.get(default)) {
                            Some(default) => {
                                node = default;
                                continue 'down;
                            }
                            None => return none(),
                        },
                    },
                }
            }
            return if self.returns_last { told(node) } else { none() };
        }
        told(node)
    }
}

/// What a node says.
fn told(node: &Node) -> Told {
    match &node.value {
        Some(value) => Told { value: value.clone(), shares: node.shares.clone() },
        None if !node.shares.is_empty() => Told::likeliest(node.shares.clone()),
        None => Told::value(Val::Missing),
    }
}

/// The probabilities of a node's classes: as they are told, else by their counts.
fn shares(node: Element<'_>, compiler: &mut Compiler<'_>) -> Result<Vec<(Arc<str>, f64)>, Error> {
    let (mut counts, mut told) = (Vec::new(), Vec::new());
    for one in node.all("ScoreDistribution") {
        let class = compiler.class(one.attribute("value")?);
        if let Some(share) = one.number("probability")? {
            told.push((class.clone(), share));
        }
        counts.push((class, one.number_or("recordCount", 0.0)?));
    }
    if told.len() == counts.len() {
        return Ok(told);
    }
    let sum: f64 = counts.iter().map(|(_, count)| count).sum();
    Ok(counts.into_iter().map(|(class, count)| (class, count / sum)).collect())
}

/// Finds the children that nodes name as those to take.
fn defaults(element: Element<'_>, nodes: &mut [Node]) -> Result<(), Error> {
    // In the same order as they were read.
    let mut ids = Vec::with_capacity(nodes.len());
    let mut open = vec![element.needed("Node")?];
    while let Some(node) = open.pop() {
        ids.push((node.get("id"), node.get("defaultChild")));
        let children: Vec<Element<'_>> = node.all("Node").collect();
        open.extend(children.into_iter().rev());
    }
    for (at, (_, wanted)) in ids.iter().enumerate() {
        let Some(wanted) = wanted else { continue };
        if let Some(node) = nodes.get_mut(at) {
            let is_it = |child: &&usize| ids.get(**child).is_some_and(|(id, _)| id == &Some(*wanted));
            node.default = node.children.iter().find(is_it).copied();
        }
    }
    Ok(())
}
