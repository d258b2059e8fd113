//! A model element: what goes into it, what it makes of a row, and what it hands on.

use std::collections::HashMap;
use std::sync::Arc;

use super::bayes::Bayes;
use super::clusters::Clusters;
use super::compiler::{Compiler, Told};
use super::expression::{Expression, Reader};
use super::fields::{Field, Refused, Treatment};
use super::general::General;
use super::mining::Mining;
use super::network::Network;
use super::regression::Regression;
use super::scorecard::Scorecard;
use super::tree::Tree;
use super::value::{Kind, Val};
use super::vectors::Vectors;
use super::xml::Element;
use crate::Error;

#[derive(Debug)]
pub(super) enum Body {
    Tree(Tree),
    Mining(Mining),
    Regression(Regression),
    General(General),
    Scorecard(Scorecard),
    Bayes(Bayes),
    Clusters(Clusters),
    Vectors(Vectors),
    Network(Network),
}

/// A value that later segments may use.
#[derive(Debug)]
enum Feature {
    Predicted,
    Probability(Arc<str>),
    Transformed(Expression),
}

/// What is done to a predicted number.
#[derive(Debug, Clone, Copy)]
struct Target {
    min: f64,
    max: f64,
    factor: f64,
    constant: f64,
    cast: Option<fn(f64) -> f64>,
    default: Option<f64>,
}

#[derive(Debug)]
pub(super) struct Model {
    treatments: Vec<Treatment>,
    derived: Vec<(usize, Kind, Expression)>,
    pub(super) body: Body,
    target: Option<Target>,
    outputs: Vec<(usize, Kind, Feature)>,
    /// What models after it may use, by name.
    handed: Vec<(String, Field)>,
    /// Whether it tells classes.
    pub(super) is_classifier: bool,
    /// Whether its numbers are float32.
    narrow: bool,
}

/// Models in models: more are an attack on the stack.
const NESTING: usize = 12;
/// What is told where a model is not scored.
pub(super) const MODELS: &str = "TreeModel, MiningModel, RegressionModel, GeneralRegressionModel, Scorecard, \
                                 NaiveBayesModel, ClusteringModel, SupportVectorMachineModel, NeuralNetwork";

impl Compiler<'_> {
    /// Compiles a model; `given` are derived fields of the whole document, for the outermost one.
    pub(super) fn model(&mut self, element: Element<'_>, given: Option<Element<'_>>) -> Result<Model, Error> {
        self.depth = self.depth.saturating_add(1);
        if self.depth > NESTING {
            return Err(element.error(format!("more than {NESTING} models in each other")));
        }
        self.scope.enter();
        let model = self.compile(element, given);
        self.scope.leave();
        self.depth = self.depth.saturating_sub(1);
        model
    }

    fn compile(&mut self, element: Element<'_>, given: Option<Element<'_>>) -> Result<Model, Error> {
        let name = element.name();
        match self.parts.iter_mut().find(|(known, _)| known == name) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => self.parts.push((name.to_string(), 1)),
        }
        let is_classifier = matches!(element.get("functionName"), Some("classification" | "clustering"));
        if !matches!(element.get("functionName"), Some("classification" | "clustering" | "regression")) {
            let what = format!("functionName='{}'", element.get("functionName").unwrap_or_default());
            return Err(element.unsupported(what, "classification, regression, clustering"));
        }
        let mut treatments = Vec::new();
        for field in element.needed("MiningSchema")?.all("MiningField") {
            if !matches!(field.get("usageType").unwrap_or("active"), "active" | "supplementary") {
                continue;
            }
            let name = field.attribute("name")?;
            let own = self.scope.get(name).ok_or_else(|| field.error(format!("there is no field `{name}`")))?;
            let declared = self.declared.get(name).filter(|_| self.depth == 1);
            let mut treatment = Treatment::read(field, own, declared)?;
            let slot = if treatment.is_nothing() { own.slot } else { self.scope.slot()? };
            self.scope.name(name, Field { slot, ..own });
            if slot != own.slot {
                treatment.to = slot;
                treatments.push(treatment);
            }
        }
        let mut derived = Vec::new();
        if let Some(dictionary) = given {
            self.derive(dictionary, &mut derived, true)?;
        }
        if let Some(local) = element.child("LocalTransformations") {
            self.derive(local, &mut derived, false)?;
        }
        let narrow = element.get("x-mathContext") == Some("float");
        let body = match name {
            "TreeModel" => Body::Tree(Tree::read(element, self, is_classifier, narrow)?),
            "MiningModel" => Body::Mining(Mining::read(element, self, is_classifier, narrow)?),
            "RegressionModel" => Body::Regression(Regression::read(element, self, is_classifier, narrow)?),
            "GeneralRegressionModel" => Body::General(General::read(element, self, is_classifier)?),
            "Scorecard" => Body::Scorecard(Scorecard::read(element, self)?),
            "NaiveBayesModel" => Body::Bayes(Bayes::read(element, self)?),
            "ClusteringModel" => Body::Clusters(Clusters::read(element, self)?),
            "SupportVectorMachineModel" => Body::Vectors(Vectors::read(element, self, is_classifier)?),
            "NeuralNetwork" => Body::Network(Network::read(element, self, is_classifier)?),
            other => return Err(element.unsupported(other, MODELS)),
        };
        let target = element.child("Targets").and_then(|targets| targets.child("Target"));
        let target = target.map(Target::read).transpose()?.flatten();
        let mut model =
            Model { treatments, derived, body, target, outputs: Vec::new(), handed: Vec::new(), is_classifier, narrow };
        if let Some(output) = element.child("Output") {
            self.output(output, &mut model)?;
        }
        // What nothing looks at is never invalid.
        model.treatments.retain(|treatment| self.scope.is_used(treatment.to));
        model.treatments.iter().for_each(|treatment| self.scope.use_slot(treatment.from));
        Ok(model)
    }

    /// Names what a model hands on, for those after it.
    pub(super) fn keep(&mut self, model: &Model) {
        model.handed.iter().for_each(|(name, field)| self.scope.name(name, *field));
    }

    /// What a model hands on to those after it.
    fn output(&mut self, element: Element<'_>, model: &mut Model) -> Result<(), Error> {
        for field in element.all("OutputField") {
            let feature = match field.get("feature").unwrap_or("predictedValue") {
                "predictedValue" => Feature::Predicted,
                "probability" => match field.get("value") {
                    Some(class) => Feature::Probability(class.into()),
                    None => continue,
                },
                "transformedValue" => {
                    let mut reader =
                        Reader { scope: &self.scope, functions: &self.functions, parameters: HashMap::new(), cost: 0 };
                    match reader.inside(field) {
                        Ok(expression) => Feature::Transformed(expression),
                        // It may need what is not computed; who uses it is told that there is no such field.
                        Err(_) => continue,
                    }
                }
                _ => continue,
            };
            let by_feature =
                if matches!(feature, Feature::Predicted) && model.is_classifier { Kind::Text } else { Kind::Double };
            let kind = if field.get("dataType").is_some() { Kind::of(field)? } else { by_feature };
            let slot = self.scope.slot()?;
            let name = field.attribute("name")?;
            self.scope.name(name, Field { slot, kind });
            model.handed.push((name.to_string(), Field { slot, kind }));
            model.outputs.push((slot, kind, feature));
        }
        Ok(())
    }
}

impl Target {
    fn read(element: Element<'_>) -> Result<Option<Target>, Error> {
        let cast: Option<fn(f64) -> f64> = match element.get("castInteger") {
            None => None,
            Some("round") => Some(|x| (x + 0.5).floor()),
            Some("ceiling") => Some(f64::ceil),
            Some("floor") => Some(f64::floor),
            Some(other) => return Err(element.error(format!("there is no rounding `{other}`"))),
        };
        let default = element.child("TargetValue").map(|value| value.number("defaultValue")).transpose()?.flatten();
        Ok(Some(Target {
            min: element.number_or("min", f64::NEG_INFINITY)?,
            max: element.number_or("max", f64::INFINITY)?,
            factor: element.number_or("rescaleFactor", 1.0)?,
            constant: element.number_or("rescaleConstant", 0.0)?,
            cast,
            default,
        }))
    }

    fn value(&self, value: Val, narrow: bool) -> Val {
        let Some(x) = value.number().or(self.default) else { return Val::Missing };
        let round = |x: f64| if narrow { f64::from(x as f32) } else { x };
        // NaN is not within anything, and stays.
        let x = if x < self.min {
            self.min
        } else if x > self.max {
            self.max
        } else {
            x
        };
        let x = round(round(x * self.factor) + round(self.constant));
        Val::Number(self.cast.map_or(x, |cast| cast(x)))
    }
}

impl Model {
    pub(super) fn evaluate(&self, row: &mut Vec<Val>) -> Result<Told, Refused> {
        let at = |row: &[Val], slot: usize| row.get(slot).cloned().unwrap_or(Val::Missing);
        for treatment in &self.treatments {
            let value = treatment.treat(at(row, treatment.from))?;
            set(row, treatment.to, value);
        }
        for (slot, kind, expression) in &self.derived {
            let value = kind.cast(expression.value(row, &[]));
            let value = value.ok_or(Refused { column: None, reason: "a derived value is not of its type" })?;
            set(row, *slot, value);
        }
        let mut told = match &self.body {
            Body::Tree(tree) => tree.evaluate(row),
            Body::Mining(mining) => mining.evaluate(row)?,
            Body::Regression(regression) => regression.evaluate(row),
            Body::General(general) => general.evaluate(row),
            Body::Scorecard(scorecard) => scorecard.evaluate(row),
            Body::Bayes(bayes) => bayes.evaluate(row),
            Body::Clusters(clusters) => clusters.evaluate(row),
            Body::Vectors(vectors) => vectors.evaluate(row),
            Body::Network(network) => network.evaluate(row),
        };
        let selects = matches!(&self.body, Body::Mining(mining) if mining.selects());
        if let Some(target) = self.target.as_ref().filter(|_| !self.is_classifier && !selects) {
            told.value = target.value(told.value, self.narrow);
        }
        for (slot, kind, feature) in &self.outputs {
            let value = match feature {
                Feature::Predicted => told.value.clone(),
                Feature::Probability(class) => told.share(class).map_or(Val::Missing, Val::Number),
                Feature::Transformed(expression) => expression.value(row, &[]),
            };
            let value = kind.cast(value).ok_or(Refused { column: None, reason: "an output is not of its type" })?;
            set(row, *slot, value);
        }
        Ok(told)
    }
}

fn set(row: &mut [Val], slot: usize, value: Val) {
    row.get_mut(slot).into_iter().for_each(|own| *own = value.clone());
}
