//! Support vector machines.

use std::collections::HashMap;
use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::value::Val;
use super::xml::Element;
use crate::Error;

#[derive(Debug, Clone, Copy)]
enum Kernel {
    Linear,
    Polynomial { gamma: f64, coef0: f64, degree: f64 },
    Radial { gamma: f64 },
    Sigmoid { gamma: f64, coef0: f64 },
}

#[derive(Debug)]
enum Part {
    Number(usize),
    Category(usize, Val),
}

#[derive(Debug)]
struct Machine {
    class: Option<Arc<str>>,
    other: Option<Arc<str>>,
    threshold: Option<f64>,
    vectors: Vec<(usize, f64)>,
    /// Coefficients of the fields themselves, where there are no vectors.
    direct: Vec<f64>,
    constant: f64,
}

#[derive(Debug)]
pub(super) struct Vectors {
    kernel: Kernel,
    parts: Vec<Part>,
    vectors: Vec<Vec<f64>>,
    machines: Vec<Machine>,
    is_classifier: bool,
    one_against_one: bool,
    max_wins: bool,
    threshold: f64,
}

impl Vectors {
    pub(super) fn read(
        element: Element<'_>,
        compiler: &mut Compiler<'_>,
        is_classifier: bool,
    ) -> Result<Vectors, Error> {
        let kernel = element.children().find_map(|child| {
            let number = |name, default| child.number_or(name, default);
            Some(match child.name() {
                "LinearKernelType" => Ok(Kernel::Linear),
                "PolynomialKernelType" => (|| {
                    Ok(Kernel::Polynomial {
                        gamma: number("gamma", 1.0)?,
                        coef0: number("coef0", 1.0)?,
                        degree: number("degree", 1.0)?,
                    })
                })(),
                "RadialBasisKernelType" => number("gamma", 1.0).map(|gamma| Kernel::Radial { gamma }),
                "SigmoidKernelType" => {
                    (|| Ok(Kernel::Sigmoid { gamma: number("gamma", 1.0)?, coef0: number("coef0", 1.0)? }))()
                }
                _ => return None,
            })
        });
        let kernel = kernel.ok_or_else(|| element.error("it has no kernel"))??;
        let dictionary = element.needed("VectorDictionary")?;
        let mut parts = Vec::new();
        for field in dictionary.needed("VectorFields")?.children() {
            match field.name() {
                "FieldRef" => parts.push(Part::Number(compiler.scope.find(field, "field")?.slot)),
                "CategoricalPredictor" => {
                    let own = compiler.scope.find(field, "name")?;
                    let value = own.kind.parse(field.attribute("value")?);
                    let value = value.ok_or_else(|| field.error("its value is not of the field's type"))?;
                    parts.push(Part::Category(own.slot, value));
                }
                _ => {}
            }
        }
        let (mut vectors, mut places) = (Vec::new(), HashMap::new());
        for instance in dictionary.all("VectorInstance") {
            let list = instance.list().ok_or_else(|| instance.error("it has no list"))?;
            let vector = list.numbers(parts.len())?;
            if vector.len() != parts.len() {
                return Err(instance.error(format!("{} numbers for {} fields", vector.len(), parts.len())));
            }
            places.insert(instance.attribute("id")?, vectors.len());
            vectors.push(vector);
        }
        let direct = element.get("svmRepresentation") == Some("Coefficients");
        let mut machines = Vec::new();
        for machine in element.all("SupportVectorMachine") {
            let coefficients = machine.needed("Coefficients")?;
            let weights = coefficients.all("Coefficient").map(|one| one.number_or("value", 0.0));
            let weights = weights.collect::<Result<Vec<f64>, _>>()?;
            let mut own = Vec::new();
            if let Some(support) = machine.child("SupportVectors").filter(|_| !direct) {
                for vector in support.all("SupportVector") {
                    let place = places.get(vector.attribute("vectorId")?).copied();
                    own.push(place.ok_or_else(|| vector.error("there is no such vector"))?);
                }
            }
            if (!direct && own.len() != weights.len()) || (direct && weights.len() != parts.len()) {
                return Err(machine.error(format!("{} coefficients for {} vectors", weights.len(), own.len())));
            }
            machines.push(Machine {
                class: machine.get("targetCategory").map(|class| compiler.class(class)),
                other: machine.get("alternateTargetCategory").map(|class| compiler.class(class)),
                threshold: machine.number("threshold")?,
                vectors: if direct { Vec::new() } else { own.into_iter().zip(weights.iter().copied()).collect() },
                direct: if direct { weights } else { Vec::new() },
                constant: coefficients.number_or("absoluteValue", 0.0)?,
            });
        }
        let one_against_one = element.get("classificationMethod") == Some("OneAgainstOne");
        let complete = |machine: &Machine| machine.class.is_some() && (!one_against_one || machine.other.is_some());
        if machines.is_empty()
            || (is_classifier && !machines.iter().all(complete))
            || (!is_classifier && machines.len() > 1)
        {
            return Err(element.error("its machines do not name the classes that they tell apart"));
        }
        let threshold = element.number_or("threshold", 0.0)?;
        let max_wins = element.flag("maxWins");
        Ok(Vectors { kernel, parts, vectors, machines, is_classifier, one_against_one, max_wins, threshold })
    }

    fn kernel(&self, x: &[f64], vector: &[f64]) -> f64 {
        let dot = || x.iter().zip(vector).map(|(a, b)| a * b).sum::<f64>();
        match self.kernel {
            Kernel::Linear => dot(),
            Kernel::Polynomial { gamma, coef0, degree } => (gamma * dot() + coef0).powf(degree),
            Kernel::Sigmoid { gamma, coef0 } => (gamma * dot() + coef0).tanh(),
            Kernel::Radial { gamma } => {
                (-gamma * x.iter().zip(vector).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).exp()
            }
        }
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let at = |slot: &usize| row.get(*slot).unwrap_or(&Val::Missing);
        let part = |part: &Part| match part {
            Part::Number(slot) => at(slot).number(),
            Part::Category(slot, value) => (!at(slot).is_missing()).then(|| f64::from(u8::from(at(slot).same(value)))),
        };
        let x: Option<Vec<f64>> = self.parts.iter().map(part).collect();
        let Some(x) = x else { return Told::value(Val::Missing) };
        let values: Vec<f64> = self.vectors.iter().map(|vector| self.kernel(&x, vector)).collect();
        let score = |machine: &Machine| {
            let vectors = machine.vectors.iter().filter_map(|(at, weight)| Some(values.get(*at)? * weight));
            let direct = machine.direct.iter().zip(&x).map(|(weight, x)| weight * x);
            vectors.chain(direct).fold(0.0, |sum, one| sum + one) + machine.constant
        };
        if !self.is_classifier {
            return Told::number(self.machines.first().map(score));
        }
        let mut votes: Vec<(Arc<str>, f64)> = Vec::new();
        let mut vote = |class: &Option<Arc<str>>, count: f64| {
            let Some(class) = class else { return };
            match votes.iter_mut().find(|(own, _)| own == class) {
                Some((_, sum)) => *sum += count,
                None => votes.push((class.clone(), count)),
            }
        };
        for machine in &self.machines {
            let own = score(machine);
            if self.one_against_one {
                let is_own = own < machine.threshold.unwrap_or(self.threshold);
                vote(if is_own { &machine.class } else { &machine.other }, 1.0);
                vote(if is_own { &machine.other } else { &machine.class }, 0.0);
            } else {
                vote(&machine.class, if self.max_wins { own } else { -own });
            }
        }
        Told { shares: Vec::new(), ..Told::likeliest(votes) }
    }
}
