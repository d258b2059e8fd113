//! ONNX files: what a graph takes and gives, as a model's signature.

use crate::labels::Labels;
use crate::loaded::{Loaded, Out, Source, Targets};
use crate::loader::Loader;
use crate::onnx::{self, Given, Scorer, Told};
use crate::step::Step;
use crate::{Error, InputKind, Output, StepReport};

/// Reads a file.
pub(crate) fn raw(loader: &mut Loader<'_>, bytes: &[u8], given: Option<&[Source]>) -> Result<Loaded, Error> {
    loader.set_library(onnx::FORMAT, None);
    loader.set_size(bytes.len());
    let mut scorer = onnx::read(bytes)?;
    let sources = sources(loader, &scorer, given)?;
    let (widths, kinds) = (sources.1, sources.2);
    let sources = sources.0;
    for (source, kind) in sources.iter().zip(kinds) {
        let kind = match kind {
            Given::Number => InputKind::Number,
            Given::Text => InputKind::Text,
            Given::Bool => InputKind::Bool,
        };
        loader.demand(source, kind);
    }
    scorer.prepare(&widths, sources.iter().map(|source| source.label.clone()).collect())?;
    loader.hold(scorer.bytes());
    if !scorer.answers.others.is_empty() {
        let names: Vec<String> = scorer.answers.others.iter().map(|name| format!("`{name}`")).collect();
        loader.note(format!("outputs of the graph that are not told: {}", names.join(", ")));
    }
    let report = report(&scorer);
    let targets = targets(&scorer);
    Ok(Loaded { step: Step::Predict(Box::new(scorer)), out: Out::Answers(targets), report })
}

fn told(scorer: &Scorer, at: usize) -> Option<&Told> {
    scorer.outputs.get(at)
}

fn columns(told: &Told) -> Vec<Source> {
    (0..told.width).map(|at| Source::made(numbered(&told.name, at, told.width))).collect()
}

fn numbered(stem: &str, at: usize, of: usize) -> String {
    if of == 1 { stem.to_string() } else { format!("{stem}_{at}") }
}

/// The columns that the graph takes: by its inputs' names where it has several, else by their place.
type Columns = (Vec<Source>, Vec<usize>, Vec<Given>);

fn sources(loader: &mut Loader<'_>, scorer: &Scorer, given: Option<&[Source]>) -> Result<Columns, Error> {
    let inputs: Vec<(&str, Given, Option<usize>)> = scorer.inputs().collect();
    let told = given.map_or(loader.options.columns.len(), <[Source]>::len);
    let (mut widths, mut kinds, mut names) = (Vec::new(), Vec::new(), Vec::new());
    for (name, kind, width) in &inputs {
        let width = match width {
            Some(width) => *width,
            None if inputs.len() > 1 => 1,
            None if told > 0 => told,
            None => return Err(Error::UnknownWidth { place: String::new() }),
        };
        if width > MOST {
            return Err(Error::Limit { place: format!("input `{name}`"), what: "columns", limit: MOST });
        }
        widths.push(width);
        kinds.extend(std::iter::repeat_n(*kind, width));
        names.extend((0..width).map(|at| numbered(name, at, width)));
    }
    let names = (inputs.len() > 1).then_some(names);
    let sources = loader.sources_at("", given, kinds.len(), names)?;
    Ok((sources, widths, kinds))
}

/// Columns of one input.
const MOST: usize = 1 << 17;

fn targets(scorer: &Scorer) -> Targets {
    let answers = &scorer.answers;
    let named = |stem: &str, at: usize, told: &Told, class: Option<String>| Output {
        name: match &class {
            Some(class) => format!("{stem}_{class}"),
            None => numbered(stem, at, told.width),
        },
        data_type: told.data_type.clone(),
        class,
    };
    let all = |stem: &str, wanted: Option<usize>, classes: Option<&Labels>| -> Vec<Output> {
        let Some(told) = wanted.and_then(|at| told(scorer, at)) else { return Vec::new() };
        let class = |at: usize| classes.map(|classes| classes.text(at));
        (0..told.width).map(|at| named(stem, at, told, class(at))).collect()
    };
    let mut proba = all("proba", answers.proba, answers.classes.as_ref());
    for (at, output) in proba.iter_mut().enumerate() {
        output.class.get_or_insert_with(|| at.to_string());
    }
    Targets {
        predict: all("prediction", answers.predict, None),
        proba,
        decision: all("decision", answers.decision, answers.classes.as_ref()),
        table: answers.table.and_then(|at| told(scorer, at)).map(columns).unwrap_or_default(),
        labels: answers.labels.iter().cloned().collect(),
        ..Targets::default()
    }
}

/// Each operator once, with how often it is there; ensembles of trees one by one.
fn report(scorer: &Scorer) -> StepReport {
    let mut children: Vec<StepReport> = Vec::new();
    let mut counts: Vec<usize> = Vec::new();
    for (op, trees) in scorer.operators() {
        let known = children.iter().position(|child| child.class == op && child.trees.is_none() && trees.is_none());
        match known.and_then(|at| counts.get_mut(at)) {
            Some(count) => *count = count.saturating_add(1),
            None => {
                children.push(StepReport { class: op.to_string(), trees: trees.cloned(), ..StepReport::default() });
                counts.push(1);
            }
        }
    }
    for (child, count) in children.iter_mut().zip(counts).filter(|(_, count)| *count > 1) {
        child.parameters.push(("times".to_string(), count.to_string()));
    }
    let parameters = [("opset", &scorer.opsets), ("producer", &scorer.producer)];
    let parameters = parameters.into_iter().filter(|(_, value)| !value.is_empty());
    StepReport {
        class: onnx::FORMAT.to_string(),
        parameters: parameters.map(|(name, value)| (name.to_string(), format!("'{value}'"))).collect(),
        children,
        ..StepReport::default()
    }
}
