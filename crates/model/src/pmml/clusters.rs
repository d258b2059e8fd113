//! Clusters by their centres.

use std::sync::Arc;

use super::compiler::{Compiler, Told};
use super::value::Val;
use super::xml::Element;
use crate::Error;

#[derive(Debug, Clone, Copy)]
enum Measure {
    Euclidean,
    Squared,
    CityBlock,
    Chebychev,
}

#[derive(Debug)]
pub(super) struct Clusters {
    measure: Measure,
    /// Each field with its weight.
    fields: Vec<(usize, f64)>,
    centres: Vec<(Arc<str>, Vec<f64>)>,
    /// How much each field counts where others are missing.
    weights: Vec<f64>,
}

impl Clusters {
    pub(super) fn read(element: Element<'_>, compiler: &mut Compiler<'_>) -> Result<Clusters, Error> {
        if element.get("modelClass").is_some_and(|class| class != "centerBased") {
            return Err(element.unsupported("modelClass='distributionBased'", "centerBased"));
        }
        let compared = element.needed("ComparisonMeasure")?;
        let measure = compared.children().find_map(|child| {
            Some(match child.name() {
                "euclidean" => Measure::Euclidean,
                "squaredEuclidean" => Measure::Squared,
                "cityBlock" => Measure::CityBlock,
                "chebychev" => Measure::Chebychev,
                _ => return None,
            })
        });
        let known = "euclidean, squaredEuclidean, cityBlock, chebychev";
        let measure = measure.ok_or_else(|| compared.unsupported("another measure", known))?;
        let differs = |of: Element<'_>| of.get("compareFunction").is_some_and(|function| function != "absDiff");
        let mut fields = Vec::new();
        for field in element.all("ClusteringField") {
            if differs(field) || differs(compared) {
                return Err(field.unsupported("a comparison other than absDiff", "absDiff"));
            }
            if field.get("isCenterField") == Some("false") {
                continue;
            }
            fields.push((compiler.scope.find(field, "field")?.slot, field.number_or("fieldWeight", 1.0)?));
        }
        let mut centres = Vec::new();
        for (number, cluster) in (1..).zip(element.all("Cluster")) {
            let list = cluster.list().ok_or_else(|| cluster.error("it has no centre"))?;
            let centre = list.numbers(fields.len())?;
            if centre.len() != fields.len() {
                return Err(cluster.error(format!("a centre of {} numbers for {} fields", centre.len(), fields.len())));
            }
            let id = cluster.get("id").map_or_else(|| format!("{number}"), str::to_string);
            centres.push((compiler.class(&id), centre));
        }
        let weights = match element.child("MissingValueWeights").and_then(Element::list) {
            Some(list) => list.numbers(fields.len())?,
            None => vec![1.0; fields.len()],
        };
        if centres.is_empty() || weights.len() != fields.len() {
            return Err(element.error("it has no clusters, or weights of another number"));
        }
        Ok(Clusters { measure, fields, centres, weights })
    }

    pub(super) fn evaluate(&self, row: &[Val]) -> Told {
        let values: Vec<Option<f64>> =
            self.fields.iter().map(|(slot, _)| row.get(*slot).and_then(Val::number)).collect();
        let there: f64 = values.iter().zip(&self.weights).filter(|(x, _)| x.is_some()).map(|(_, weight)| weight).sum();
        if there == 0.0 {
            return Told::value(Val::Missing);
        }
        let adjusted = self.weights.iter().sum::<f64>() / there;
        let mut best: Option<(&Arc<str>, f64)> = None;
        for (id, centre) in &self.centres {
            let each = values.iter().zip(centre).zip(&self.fields);
            let mut sum = 0.0f64;
            for ((x, centre), (_, weight)) in each {
                let Some(x) = x else { continue };
                let apart = (x - centre).abs();
                sum = match self.measure {
                    Measure::Euclidean | Measure::Squared => sum + apart * apart * weight,
                    Measure::CityBlock => sum + apart * weight,
                    Measure::Chebychev => sum.max(apart * weight),
                };
            }
            let distance = match self.measure {
                Measure::Euclidean => (sum * adjusted).sqrt(),
                _ => sum * adjusted,
            };
            if best.is_none_or(|(_, nearest)| distance < nearest) {
                best = Some((id, distance));
            }
        }
        Told::value(best.map_or(Val::Missing, |(id, _)| Val::Text(id.clone())))
    }
}
