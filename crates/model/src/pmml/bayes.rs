//! Naive Bayes: counts of values, or normal distributions, by class.

use std::collections::HashMap;
use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::expression::{Expression, Reader};
use super::value::Val;
use super::xml::Element;
use crate::Error;

#[derive(Debug)]
enum Of {
    /// By value, then class; and the counts of each class.
    Counts(HashMap<Arc<str>, Vec<f64>>, Vec<f64>),
    /// Mean and variance of each class.
    Normal(Vec<Option<(f64, f64)>>),
}

#[derive(Debug)]
struct Input {
    slot: usize,
    made: Option<Expression>,
    of: Of,
}

#[derive(Debug)]
pub(super) struct Bayes {
    classes: Vec<(Arc<str>, f64)>,
    inputs: Vec<Input>,
    threshold: f64,
}

impl Bayes {
    pub(super) fn read(element: Element<'_>, compiler: &mut Compiler<'_>) -> Result<Bayes, Error> {
        let output = element.needed("BayesOutput")?.needed("TargetValueCounts")?;
        let mut classes = Vec::new();
        for count in output.all("TargetValueCount") {
            classes.push((compiler.class(count.attribute("value")?), count.number_or("count", 0.0)?));
        }
        let place = |class: &str| classes.iter().position(|(own, _)| &**own == class);
        let mut inputs = Vec::new();
        for input in element.needed("BayesInputs")?.all("BayesInput") {
            let field = compiler.scope.find(input, "fieldName")?;
            let made = match input.child("DerivedField") {
                None => None,
                Some(derived) => {
                    let (scope, functions) = (&compiler.scope, &compiler.functions);
                    let mut reader = Reader { scope, functions, parameters: Default::default(), cost: 0 };
                    Some(reader.inside(derived)?)
                }
            };
            let of = match input.child("TargetValueStats") {
                Some(stats) => {
                    let mut all = vec![None; classes.len()];
                    for stat in stats.all("TargetValueStat") {
                        let normal = stat.child("GaussianDistribution");
                        let normal =
                            normal.ok_or_else(|| stat.unsupported("another distribution", "GaussianDistribution"))?;
                        let values = (normal.number_or("mean", f64::NAN)?, normal.number_or("variance", f64::NAN)?);
                        let slot = place(stat.attribute("value")?).and_then(|at| all.get_mut(at));
                        *slot.ok_or_else(|| stat.error("there is no such class"))? = Some(values);
                    }
                    Of::Normal(all)
                }
                None => {
                    let mut counts = HashMap::new();
                    let mut sums = vec![0.0; classes.len()];
                    for pair in input.all("PairCounts") {
                        let own = pair.needed("TargetValueCounts")?;
                        // What is made of a field is compared as it is written.
                        let parsed = if made.is_some() {
                            Some(Val::Text(pair.attribute("value")?.into()))
                        } else {
                            field.kind.parse(pair.attribute("value")?)
                        };
                        let value = parsed.and_then(|value| value.text());
                        let value = value.ok_or_else(|| pair.error("its value is not of the field's type"))?;
                        let mut by_class = vec![0.0; classes.len()];
                        for count in own.all("TargetValueCount") {
                            let at = place(count.attribute("value")?);
                            let at = at.ok_or_else(|| count.error("there is no such class"))?;
                            let number = count.number_or("count", 0.0)?;
                            by_class.get_mut(at).into_iter().for_each(|slot| *slot = number);
                            sums.get_mut(at).into_iter().for_each(|sum| *sum += number);
                        }
                        counts.insert(value, by_class);
                    }
                    Of::Counts(counts, sums)
                }
            };
            inputs.push(Input { slot: field.slot, made, of });
        }
        Ok(Bayes { classes, inputs, threshold: element.number_or("threshold", 0.0)? })
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        // In logarithms, so that many small shares do not vanish.
        let mut logs: Vec<f64> = self.classes.iter().map(|(_, count)| count.ln()).collect();
        for input in &self.inputs {
            let value = match &input.made {
                Some(expression) => expression.value(row, &[]),
                None => row.get(input.slot).cloned().unwrap_or(Val::Missing),
            };
            // What is missing says nothing.
            if value.is_missing() {
                continue;
            }
            for (at, log) in logs.iter_mut().enumerate() {
                let share = match &input.of {
                    Of::Counts(counts, sums) => {
                        let own = value.text().and_then(|text| counts.get(&text));
                        // A value that was never seen says nothing either.
                        let Some(own) = own else { continue };
                        let share = own.get(at).zip(sums.get(at)).map_or(0.0, |(count, sum)| count / sum);
                        if share > 0.0 { share } else { self.threshold }
                    }
                    Of::Normal(all) => match (all.get(at).copied().flatten(), value.number()) {
                        (Some((mean, variance)), Some(x)) => {
                            let density = (-(x - mean) * (x - mean) / (2.0 * variance)).exp()
                                / (2.0 * std::f64::consts::PI * variance).sqrt();
                            density.max(self.threshold)
                        }
                        _ => continue,
                    },
                };
                *log += share.ln();
            }
        }
        let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let raised: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
        let sum: f64 = raised.iter().sum();
        let shares = self.classes.iter().zip(raised).map(|((class, _), share)| (class.clone(), share / sum));
        Told::likeliest(shares.collect())
    }
}
