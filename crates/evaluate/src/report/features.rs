//! What is shown of features: where the model is wrong, and what it looks at.

use super::{Section, folded, plot, plots, table};
use crate::findings::{Findings, Outcome};
use crate::format::{count, fixed, number, percent};
use crate::groups::{Feature, Group};
use crate::importance::{Importance, Measure};
use crate::plots::{Bar, bars, cut};

/// Features whose errors are shown.
const SHOWN: usize = 6;
/// Features of the importances.
const IMPORTANT: usize = 15;

pub(super) fn sections(findings: &Findings) -> Vec<Section> {
    let mut sections = Vec::new();
    let are_classes = matches!(findings.outcome, Outcome::Classification(..));
    if !findings.features.is_empty() {
        let mut body = format!("<p class=\"quiet\">{}</p>", explanation(findings, are_classes));
        let shown = findings.features.iter().take(SHOWN);
        body += &plots(&shown.map(|feature| by_feature(feature, are_classes)).collect::<Vec<_>>());
        sections.push(Section { id: "features", title: "Where it is wrong", body });
    }
    if let Some(importance) = &findings.importance {
        sections.push(Section {
            id: "importance",
            title: "What the model looks at",
            body: important(importance, are_classes),
        });
    }
    sections
}

fn explanation(findings: &Findings, are_classes: bool) -> String {
    let what = if are_classes { "The share of wrong predictions" } else { "The mean absolute error" };
    let seen = match findings.sampled as u64 == findings.compared {
        true => String::new(),
        false => format!(", seen in {} taken evenly from all", count(findings.sampled as f64, "row")),
    };
    let first = match findings.features.len() > SHOWN {
        true => {
            format!(" The {SHOWN} features of {} that tell good from bad predictions best.", findings.features.len())
        }
        false => " The features that tell good from bad predictions best come first.".to_string(),
    };
    format!(
        "{what} among rows that are alike in a feature{seen}. The dashed line is the mean of all. Groups of fewer than 5 rows are put together.{first}"
    )
}

fn by_feature(feature: &Feature, are_classes: bool) -> String {
    let show = if are_classes { percent } else { number };
    let rows: usize = feature.groups.iter().map(|group| group.rows).sum();
    let mean = feature.groups.iter().map(|group| group.error * group.rows as f64).sum::<f64>() / rows as f64;
    let bar = |group: &Group| Bar {
        name: group.label.clone(),
        value: group.error,
        shown: show(group.error),
        says: format!("{}: {}, {}", group.label, show(group.error), count(group.rows as f64, "row")),
    };
    let all: Vec<Bar> = feature.groups.iter().map(bar).collect();
    let title = cut(&feature.name, 60);
    let worst = feature.groups.iter().max_by(|a, b| a.error.total_cmp(&b.error));
    let worst =
        worst.map_or(String::new(), |group| format!("Worst where it is {}: {}.", group.label, show(group.error)));
    let svg = bars(&all, Some(mean), &format!("Error by {title}"), &worst);
    let cells = |group: &Group| {
        let mut cells = vec![group.label.clone(), fixed(group.rows as f64, 0), show(group.error)];
        cells.extend((!are_classes).then(|| number(group.bias)));
        cells
    };
    let head: &[&str] =
        if are_classes { &["group", "rows", "wrong"] } else { &["group", "rows", "mean absolute error", "bias"] };
    let cells: Vec<Vec<String>> = feature.groups.iter().map(cells).collect();
    plot(&title, &svg, &folded("The numbers", &table(&format!("Error by {title}"), head, &cells)))
}

fn important(importance: &Importance, are_classes: bool) -> String {
    let what = match importance.measure {
        Measure::Gain => "How much the trees gained by splitting on each feature while they were trained, as a share of all (the gain, summed over all trees). It says what the model uses, not what causes the outcome.".to_string(),
        Measure::Splits => "How many of the trees’ splits look at each feature, as a share of all; the file does not keep what they gained.".to_string(),
        Measure::Shuffled(rows) => format!(
            "How much {} grows when a feature’s values are shuffled among {} (the mean of three times). Features that say the same share the blame.",
            if are_classes { "the loss" } else { "the mean absolute error" },
            count(rows as f64, "row")
        ),
    };
    let show = match importance.measure {
        Measure::Shuffled(_) => number,
        _ => percent,
    };
    let bar = |(name, value): &(String, f64)| {
        let shown = show(*value);
        Bar { name: name.clone(), value: *value, says: format!("{name}: {shown}"), shown }
    };
    let all: Vec<Bar> = importance.features.iter().take(IMPORTANT).map(bar).collect();
    let first = importance.features.first().map_or(String::new(), |(name, _)| format!("The most important is {name}."));
    let svg = bars(&all, None, "Importance of the features", &first);
    let rest = importance.features.len().saturating_sub(IMPORTANT);
    let below = match rest {
        0 => String::new(),
        rest => format!("{} of less importance.", count(rest as f64, "more feature")),
    };
    let rows: Vec<Vec<String>> =
        importance.features.iter().take(100).map(|(name, value)| vec![cut(name, 60), show(*value)]).collect();
    let numbers = folded("The numbers", &table("Importance of the features", &["feature", "importance"], &rows));
    format!("<p class=\"quiet\">{what}</p>") + &plots(&[plot("Importance", &svg, &(below + &numbers))])
}
