//! What is shown of numbers: predicted against actual, and the errors.

use super::{Section, plot, plots, shades};
use crate::format::{count, number, percent};
use crate::metrics::regression::Pairs;
use crate::plots::{Axis, Dot, Frame, Scale, curve, dots, hexagons, histogram, inner_range, reference};

/// The share of rows at each end that does not widen an axis.
const OUTSIDE: f64 = 0.005;
/// Parts of the predictions whose mean error is drawn, and the fewest rows that one is drawn of.
const PARTS: usize = 12;
const FEWEST: usize = 5;

pub(super) fn sections(pairs: &Pairs) -> Vec<Section> {
    let body = plots(&[against(pairs), distribution(pairs), by_prediction(pairs)]);
    vec![Section { id: "errors", title: "Predicted and actual", body }]
}

fn axis(scale: Scale, label: &str) -> Axis<'_> {
    Axis { scale, label, percent: false }
}

fn against(pairs: &Pairs) -> String {
    let all = pairs.actual.iter().chain(&pairs.predicted).copied();
    let (from, to) = inner_range(all, OUTSIDE);
    let scale = Scale::nice(from, to, 5);
    let mut frame = Frame::new(axis(scale.clone(), "actual"), axis(scale.clone(), "predicted"));
    let found = hexagons(&mut frame, pairs.actual.iter().copied().zip(pairs.predicted.iter().copied()));
    reference(&mut frame, (scale.from, scale.from), (scale.to, scale.to));
    let title = "Predicted against actual";
    let description = "The darker a cell, the more rows; on the dashed line predictions are right.";
    let svg = frame.finish(title, description);
    let below = format!(
        "On the dashed line predictions are right; above it they are too high.{}",
        shades(&found, pairs.actual.len())
    );
    plot(title, &svg, &below)
}

fn distribution(pairs: &Pairs) -> String {
    let (from, to) = inner_range(pairs.errors(), OUTSIDE);
    let edges = Scale::nice(from.min(0.0), to.max(0.0), 24);
    let bins = edges.ticks.len() - 1;
    let mut counts = vec![0usize; bins];
    let mut outside = 0;
    for error in pairs.errors() {
        match edges.holds(error) {
            true => counts[((edges.place(error) * bins as f64) as usize).min(bins - 1)] += 1,
            false => outside += 1,
        }
    }
    let rows = pairs.actual.len() as f64;
    let columns: Vec<(f64, f64, f64, String)> = edges
        .ticks
        .windows(2)
        .zip(&counts)
        .map(|(edge, many)| {
            let says = format!("{} to {}: {}", number(edge[0]), number(edge[1]), count(*many as f64, "row"));
            (edge[0], edge[1], *many as f64 / rows, says)
        })
        .collect();
    let highest = columns.iter().map(|column| column.2).fold(0.0, f64::max);
    let x = Scale { ticks: Scale::nice(edges.from, edges.to, 5).ticks, ..edges.clone() };
    let x = Scale { ticks: x.ticks.iter().copied().filter(|tick| x.holds(*tick)).collect(), ..x };
    let y = Axis { scale: Scale::nice(0.0, highest, 5), label: "share of the rows", percent: true };
    let mut frame = Frame::new(axis(x, "error: predicted − actual"), y);
    histogram(&mut frame, &columns);
    let top = frame.y.scale.to;
    reference(&mut frame, (0.0, 0.0), (0.0, top));
    let title = "How large the errors are";
    let above = pairs.errors().filter(|error| *error > 0.0).count() as f64 / rows;
    let svg = frame.finish(title, &format!("{} of the predictions are too high.", percent(above)));
    let mut below = format!("Right of the dashed line predictions are too high: {} of them.", percent(above));
    if outside > 0 {
        below +=
            &format!(" {} ({}) outside of the frame.", count(outside as f64, "row"), percent(outside as f64 / rows));
    }
    plot(title, &svg, &below)
}

fn by_prediction(pairs: &Pairs) -> String {
    let (from, to) = inner_range(pairs.predicted.iter().copied(), OUTSIDE);
    let x = Scale::nice(from, to, 5);
    let (from, to) = inner_range(pairs.errors(), OUTSIDE);
    let y = Scale::nice(from.min(0.0), to.max(0.0), 5);
    let mut frame = Frame::new(axis(x.clone(), "predicted"), axis(y, "error: predicted − actual"));
    let found = hexagons(&mut frame, pairs.predicted.iter().copied().zip(pairs.errors()));
    reference(&mut frame, (x.from, 0.0), (x.to, 0.0));
    let mut sums = [(0usize, 0.0, 0.0); PARTS];
    for (predicted, error) in pairs.predicted.iter().zip(pairs.errors()) {
        if x.holds(*predicted) {
            let sum = &mut sums[((x.place(*predicted) * PARTS as f64) as usize).min(PARTS - 1)];
            *sum = (sum.0 + 1, sum.1 + predicted, sum.2 + error);
        }
    }
    let most = sums.iter().map(|sum| sum.0).max().unwrap_or(1) as f64;
    let means: Vec<Dot> = sums
        .iter()
        .filter(|sum| sum.0 >= FEWEST)
        .map(|(many, predicted, error)| {
            let (x, y) = (predicted / *many as f64, error / *many as f64);
            let says = format!("predicted {}: {} on average", number(x), number(y));
            Dot { x, y, size: *many as f64 / most, says: format!("{says}, {}", count(*many as f64, "row")) }
        })
        .filter(|dot| frame.y.scale.holds(dot.y))
        .collect();
    let line: Vec<(f64, f64)> = means.iter().map(|dot| (dot.x, dot.y)).collect();
    curve(&mut frame, &line, "mean");
    dots(&mut frame, &means, "mean");
    let title = "Errors by prediction";
    let description = "The darker a cell, the more rows; the line is the mean error, which should stay at zero.";
    let svg = frame.finish(title, description);
    let below = format!(
        "The line is the mean error: where it leaves zero, the model is wrong in one direction.{}",
        shades(&found, pairs.actual.len())
    );
    plot(title, &svg, &below)
}
