//! PMML documents: their fields and answers, as a model's signature.

use arrow_schema::DataType;

use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::pmml::{self, Answer, Scorer};
use crate::step::Step;
use crate::{Error, StepReport, TreesReport};

/// Reads a document.
pub(crate) fn raw(loader: &mut Loader<'_>, bytes: &[u8], given: Option<&[Source]>) -> Result<Loaded, Error> {
    loader.set_library(pmml::FORMAT, None);
    loader.set_size(bytes.len());
    let scorer = pmml::read(bytes)?;
    let names: Vec<String> = scorer.inputs().map(|(name, _)| name.to_string()).collect();
    let sources = loader.sources_at("", given, names.len(), Some(names))?;
    for (source, (_, kind)) in sources.iter().zip(scorer.inputs()) {
        loader.demand(source, kind);
    }
    loader.hold(scorer.about.bytes);
    let targets = match &scorer.answer {
        Answer::Number => Targets::numbers(1, DataType::Float64),
        Answer::Class(labels, tells) => {
            let mut targets = Targets::classes(vec![labels.clone()], DataType::Float64);
            if !tells {
                targets.proba.clear();
            }
            targets
        }
    };
    let report = report(&scorer);
    Ok(Loaded { step: Step::Predict(Box::new(scorer)), out: Out::Answers(targets), report })
}

fn report(scorer: &Scorer) -> StepReport {
    let about = &scorer.about;
    let parameters = [("producer", &about.producer), ("version", &about.version)];
    let told = parameters.into_iter().filter(|(_, value)| !value.is_empty());
    let child = |(name, count): &(String, usize)| StepReport {
        class: name.clone(),
        parameters: if *count > 1 { vec![("times".to_string(), count.to_string())] } else { Vec::new() },
        ..StepReport::default()
    };
    let (trees, nodes) = scorer.trees;
    let trees = (trees > 0).then(|| TreesReport {
        trees,
        nodes,
        max_depth: 0,
        kernel: "walk (predicates)".to_string(),
        bytes: 0,
        features: Vec::new(),
    });
    StepReport {
        class: format!("PMML.{}", about.name),
        parameters: told.map(|(name, value)| (name.to_string(), format!("'{value}'"))).collect(),
        trees,
        children: scorer.parts.iter().filter(|(name, _)| *name != about.name).map(child).collect(),
        ..StepReport::default()
    }
}
