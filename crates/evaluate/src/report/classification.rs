//! What is shown of classes: the confusion matrix, ROC, precision and recall, calibration.

use std::fmt::Write as _;

use super::{Section, folded, plot, plots, scrolling, table};
use crate::format::{count, fixed, number, percent};
use crate::metrics::classification::{ClassFigures, Classification};
use crate::metrics::ranking::Ranking;
use crate::plots::{Axis, Dot, Frame, Scale, curve, cut, dots, escape, reference};

/// Classes that are shown one by one, the most frequent first; all others in one.
const SHOWN: usize = 10;
/// Curves in one plot: as many as there are colours.
const CURVES: usize = 6;
/// Rows of the table of classes.
const LISTED: usize = 100;

pub(super) fn sections(names: &[String], found: &Classification) -> Vec<Section> {
    let mut sections = vec![Section {
        id: "confusion",
        title: "Which classes are mistaken for which",
        body: matrix(names, found) + &each(names, found),
    }];
    let ranked = ranked(names, &found.classes);
    if !ranked.is_empty() {
        let body = plots(&[roc(&ranked, names.len()), precision_recall(&ranked, names.len())]);
        sections.push(Section { id: "ranking", title: "How well scores rank", body });
    }
    if found.calibration.is_some() {
        let body = calibration(names, found);
        sections.push(Section { id: "calibration", title: "Whether probabilities come true", body });
    }
    sections
}

/// The classes by how often they occur.
fn frequent(classes: &[ClassFigures]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..classes.len()).collect();
    order.sort_by(|a, b| classes[*b].actual.total_cmp(&classes[*a].actual));
    order
}

fn matrix(names: &[String], found: &Classification) -> String {
    let many = names.len() > SHOWN;
    let mut shown: Vec<usize> = frequent(&found.classes).into_iter().take(SHOWN).collect();
    shown.sort_unstable();
    // Of each class of the matrix those that it puts together.
    let mut groups: Vec<(String, Vec<usize>)> =
        shown.iter().map(|class| (names[*class].clone(), vec![*class])).collect();
    if many {
        let rest: Vec<usize> = (0..names.len()).filter(|class| !shown.contains(class)).collect();
        groups.push((format!("{} others", rest.len()), rest));
    }
    let columns = groups.clone();
    let strangers: f64 = found.confusion[names.len()].iter().sum();
    if strangers > 0.0 {
        groups.push(("unknown to the model".to_string(), vec![names.len()]));
    }
    let head: String =
        columns.iter().map(|(name, _)| format!(r#"<th scope="col">{}</th>"#, escape(&cut(name, 24)))).collect();
    let mut body = String::new();
    for (row, (name, actual)) in groups.iter().enumerate() {
        let cells: Vec<f64> = columns
            .iter()
            .map(|(_, predicted)| actual.iter().flat_map(|a| predicted.iter().map(|p| found.confusion[*a][*p])).sum())
            .collect();
        let total: f64 = cells.iter().sum();
        let _ = write!(body, r#"<tr><th scope="row">{}</th>"#, escape(&cut(name, 40)));
        for (column, cell) in cells.iter().enumerate() {
            let share = if total > 0.0 { cell / total } else { 0.0 };
            let right = if row == column && actual.len() == 1 { r#" class="right""# } else { "" };
            // Light enough for the text on top in both colour schemes.
            let _ = write!(
                body,
                r#"<td{right} style="background:color-mix(in srgb, var(--c0) {:.0}%, var(--card))">{}<small>{}</small></td>"#,
                share * 42.0,
                plain(*cell),
                percent(share)
            );
        }
        body.push_str("</tr>");
    }
    let caption =
        "Rows are what happened, columns what was predicted; each cell with its share of the row. Framed: right.";
    let rows = format!(r#"<thead><tr><th scope="col">actual \ predicted</th>{head}</tr></thead><tbody>{body}</tbody>"#);
    scrolling(caption, &rows, "matrix")
}

/// A number of rows, or a weight.
fn plain(many: f64) -> String {
    if many.fract() == 0.0 { fixed(many, 0) } else { number(many) }
}

fn each(names: &[String], found: &Classification) -> String {
    let order = frequent(&found.classes);
    let mut listed: Vec<usize> = order.iter().copied().take(LISTED).collect();
    listed.sort_unstable();
    let rows: Vec<Vec<String>> = listed
        .iter()
        .map(|class| {
            let figures = &found.classes[*class];
            let auc = figures.ranking.as_ref().map_or("–".to_string(), |ranking| number(ranking.auc));
            let (precision, recall) = (percent(figures.precision), percent(figures.recall));
            let counts = [plain(figures.actual), plain(figures.predicted)];
            let [actual, predicted] = counts;
            vec![cut(&names[*class], 60), actual, predicted, precision, recall, number(figures.f1), auc]
        })
        .collect();
    let more = match names.len() > LISTED {
        true => format!(" The {LISTED} most frequent of {}.", names.len()),
        false => String::new(),
    };
    let caption = format!(
        "Precision: of the rows predicted to be of a class, how many are. Recall: of the rows of a class, how many are found.{more}"
    );
    table(&caption, &["class", "actual", "predicted", "precision", "recall", "F1", "AUC"], &rows)
}

/// The classes whose curves are drawn, with their places among the colours.
fn ranked<'a>(names: &'a [String], classes: &'a [ClassFigures]) -> Vec<(&'a str, &'a Ranking, f64)> {
    let total: f64 = classes.iter().map(|class| class.actual).sum();
    let all = frequent(classes).into_iter().filter_map(|class| {
        let ranking = classes[class].ranking.as_ref()?;
        Some((names[class].as_str(), ranking, classes[class].actual / total))
    });
    all.take(CURVES).collect()
}

fn unit(label: &str) -> Axis<'_> {
    Axis { scale: Scale::unit(), label, percent: true }
}

fn legend(ranked: &[(&str, &Ranking, f64)], classes: usize, figure: impl Fn(&Ranking) -> String) -> String {
    let item = |(color, (name, ranking, _)): (usize, &(&str, &Ranking, f64))| {
        let name = escape(&cut(name, 40));
        format!(r#"<li><span class="swatch c{color}"></span>{name}: {}</li>"#, figure(ranking))
    };
    let items: String = ranked.iter().enumerate().map(item).collect();
    let more = if classes > 2 && classes > ranked.len() { " The most frequent classes." } else { "" };
    format!(r#"{more}<ul class="legend">{items}</ul>"#)
}

fn roc(ranked: &[(&str, &Ranking, f64)], classes: usize) -> String {
    let mut frame = Frame::new(unit("share of the others above the threshold"), unit("share of the class above it"));
    reference(&mut frame, (0.0, 0.0), (1.0, 1.0));
    for (color, (_, ranking, _)) in ranked.iter().enumerate() {
        curve(&mut frame, &ranking.roc, &format!("c{color}"));
    }
    let title = "ROC";
    let areas: Vec<String> =
        ranked.iter().map(|(name, ranking, _)| format!("{name} {}", number(ranking.auc))).collect();
    let svg = frame.finish("ROC curve", &format!("Area under the curve: {}.", areas.join(", ")));
    let below =
        "The nearer to the upper left corner, the better; on the dashed line scores are chance. Area under the curve:";
    plot(title, &svg, &format!("{below}{}", legend(ranked, classes, |ranking| number(ranking.auc))))
}

fn precision_recall(ranked: &[(&str, &Ranking, f64)], classes: usize) -> String {
    let mut frame = Frame::new(
        unit("recall: share of the class that is found"),
        unit("precision: share of the found that is right"),
    );
    if let [(_, _, share)] = ranked {
        reference(&mut frame, (0.0, *share), (1.0, *share));
    }
    for (color, (_, ranking, _)) in ranked.iter().enumerate() {
        curve(&mut frame, &ranking.precision_recall, &format!("c{color}"));
    }
    let title = "Precision and recall";
    let means: Vec<String> =
        ranked.iter().map(|(name, ranking, _)| format!("{name} {}", number(ranking.average_precision))).collect();
    let svg = frame.finish(title, &format!("Average precision: {}.", means.join(", ")));
    let chance = if ranked.len() == 1 { " The dashed line is chance." } else { "" };
    let below = format!(
        "What is right among what is found, the further one goes down in the ranking.{chance} Average precision:"
    );
    plot(title, &svg, &format!("{below}{}", legend(ranked, classes, |ranking| number(ranking.average_precision))))
}

fn calibration(names: &[String], found: &Classification) -> String {
    let Some(calibration) = &found.calibration else { return String::new() };
    let of = match names {
        [_, second] => format!("of class {second}"),
        _ => "of the predicted class".to_string(),
    };
    let x = format!("predicted probability {}", cut(&of, 30));
    let mut frame = Frame::new(unit(&x), unit("share that came true"));
    reference(&mut frame, (0.0, 0.0), (1.0, 1.0));
    let most = calibration.bins().map(|bin| bin.weight).fold(0.0, f64::max);
    let bins: Vec<Dot> = calibration
        .bins()
        .map(|bin| {
            let says = format!("predicted {}, came true {}", percent(bin.predicted()), percent(bin.happened()));
            let says = format!("{says}, {}", count(bin.weight, "row"));
            Dot { x: bin.predicted(), y: bin.happened(), size: bin.weight / most, says }
        })
        .collect();
    let line: Vec<(f64, f64)> = bins.iter().map(|dot| (dot.x, dot.y)).collect();
    curve(&mut frame, &line, "c0");
    dots(&mut frame, &bins, "c0");
    let title = "Calibration";
    let error = percent(calibration.error());
    let svg = frame.finish(title, &format!("Probabilities are {error} away from what happens, on average."));
    let rows: Vec<Vec<String>> = calibration
        .bins()
        .map(|bin| vec![percent(bin.predicted()), percent(bin.happened()), plain(bin.weight)])
        .collect();
    let numbers =
        folded("The numbers", &table("Rows by their probability", &["predicted", "came true", "rows"], &rows));
    let below = format!(
        "Ten equal parts of the probabilities {}. On the dashed line they come true as often as they say; below it the model is too sure. The larger a dot, the more rows.{numbers}",
        escape(&of)
    );
    plots(&[plot(title, &svg, &below)])
}
