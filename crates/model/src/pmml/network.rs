//! Neural networks of layers.

use std::collections::HashMap;
use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::expression::{Expression, Reader};
use super::regression::Normalization;
use super::value::Val;
use super::xml::{Element, number};
use crate::Error;

type Activation = fn(f64) -> f64;

#[derive(Debug)]
struct Layer {
    /// Bias, and the neurons before it with their weights.
    neurons: Vec<(f64, Vec<(usize, f64)>)>,
    activation: Activation,
    normalization: Normalization,
}

#[derive(Debug)]
enum Output {
    Class(usize, Arc<str>),
    /// A number, and the line that it was put on in training.
    Number(usize, Option<((f64, f64), (f64, f64))>),
}

#[derive(Debug)]
pub(super) struct Network {
    inputs: Vec<Expression>,
    layers: Vec<Layer>,
    outputs: Vec<Output>,
}

fn activation(element: Element<'_>, name: &str) -> Result<Activation, Error> {
    Ok(match name {
        "logistic" => |x| 1.0 / (1.0 + (-x).exp()),
        "tanh" => f64::tanh,
        "identity" => |x| x,
        "exponential" => f64::exp,
        "reciprocal" => |x| 1.0 / x,
        "square" => |x| x * x,
        "Gauss" => |x| (-x * x).exp(),
        "sine" => f64::sin,
        "cosine" => f64::cos,
        "Elliott" => |x| x / (1.0 + x.abs()),
        "arctan" => |x| 2.0 * x.atan() / std::f64::consts::PI,
        "rectifier" => |x| x.max(0.0),
        other => {
            let known = "logistic, tanh, identity, exponential, reciprocal, square, Gauss, sine, cosine, Elliott, arctan, \
                         rectifier";
            return Err(element.unsupported(format!("activationFunction='{other}'"), known));
        }
    })
}

impl Network {
    pub(super) fn read(
        element: Element<'_>,
        compiler: &mut Compiler<'_>,
        is_classifier: bool,
    ) -> Result<Network, Error> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut inputs = Vec::new();
        for input in element.needed("NeuralInputs")?.all("NeuralInput") {
            let (scope, functions) = (&compiler.scope, &compiler.functions);
            let mut reader = Reader { scope, functions, parameters: HashMap::new(), cost: 0 };
            inputs.push(reader.inside(input.needed("DerivedField")?)?);
            places.insert(input.attribute("id")?, places.len());
        }
        let mut layers = Vec::new();
        for layer in element.all("NeuralLayer") {
            let name = layer.get("activationFunction").map_or_else(|| element.attribute("activationFunction"), Ok)?;
            let of = |name| layer.get(name).or_else(|| element.get(name));
            let normalization = match of("normalizationMethod").unwrap_or("none") {
                "none" => Normalization::None,
                "softmax" => Normalization::Softmax,
                "simplemax" => Normalization::Simplemax,
                other => return Err(layer.error(format!("there is no normalization `{other}`"))),
            };
            let mut neurons = Vec::new();
            for neuron in layer.all("Neuron") {
                let mut from = Vec::new();
                for connection in neuron.all("Con") {
                    let place = places.get(connection.attribute("from")?).copied();
                    let place = place.ok_or_else(|| connection.error("there is no such neuron before it"))?;
                    from.push((place, connection.number_or("weight", 0.0)?));
                }
                neurons.push((neuron.number_or("bias", 0.0)?, from));
            }
            for neuron in layer.all("Neuron") {
                let id = neuron.attribute("id")?;
                let place = places.len();
                if places.insert(id, place).is_some() {
                    return Err(neuron.error(format!("`{id}` is there twice")));
                }
            }
            layers.push(Layer { neurons, activation: activation(layer, name)?, normalization });
        }
        let mut outputs = Vec::new();
        for output in element.needed("NeuralOutputs")?.all("NeuralOutput") {
            let place = places.get(output.attribute("outputNeuron")?).copied();
            let place = place.ok_or_else(|| output.error("there is no such neuron"))?;
            let derived = output.needed("DerivedField")?;
            outputs.push(match (derived.child("NormDiscrete"), derived.child("NormContinuous")) {
                (Some(discrete), _) => Output::Class(place, compiler.class(discrete.attribute("value")?)),
                (None, Some(line)) => {
                    let point = |norm: Element<'_>| {
                        let of = |name| norm.get(name).and_then(number);
                        of("orig").zip(of("norm")).ok_or_else(|| norm.error("it is no point"))
                    };
                    let points = line.all("LinearNorm").map(point).collect::<Result<Vec<_>, _>>()?;
                    let [first, second] = points.as_slice() else {
                        return Err(line.unsupported("a line of other than two points", "two points"));
                    };
                    Output::Number(place, Some((*first, *second)))
                }
                (None, None) => Output::Number(place, None),
            });
        }
        let fits = |output: &Output| matches!(output, Output::Class(..)) == is_classifier;
        if outputs.is_empty() || !outputs.iter().all(fits) || (!is_classifier && outputs.len() > 1) {
            return Err(element.error("its outputs are not those of its function"));
        }
        Ok(Network { inputs, layers, outputs })
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let inputs: Option<Vec<f64>> = self.inputs.iter().map(|input| input.value(row, &[]).number()).collect();
        let Some(mut values) = inputs else { return Told::value(Val::Missing) };
        for layer in &self.layers {
            let sum = |(bias, from): &(f64, Vec<(usize, f64)>)| {
                let each = from.iter().filter_map(|(at, weight)| Some(values.get(*at)? * weight));
                (layer.activation)(each.fold(0.0, |sum, one| sum + one) + bias)
            };
            let mut own: Vec<f64> = layer.neurons.iter().map(sum).collect();
            if layer.normalization != Normalization::None {
                layer.normalization.shares(&mut own, false);
            }
            values.extend(own);
        }
        let at = |place: &usize| values.get(*place).copied().unwrap_or(f64::NAN);
        let mut shares = Vec::new();
        for output in &self.outputs {
            match output {
                Output::Class(place, class) => shares.push((class.clone(), at(place))),
                Output::Number(place, line) => {
                    let back = |((a, b), (c, d)): ((f64, f64), (f64, f64))| (at(place) - b) / (d - b) * (c - a) + a;
                    return Told::value(Val::Number(line.map_or_else(|| at(place), back)));
                }
            }
        }
        // One output of two classes tells the other by what it leaves.
        Told::likeliest(shares)
    }
}
