//! How well a score puts one class before the others.

use super::weight;

/// The figures and curves of one class against the rest.
#[derive(Debug, Clone, PartialEq)]
pub struct Ranking {
    /// The area under the ROC curve: the probability that a row of the class has a higher score than another one,
    /// equal scores counting half.
    pub auc: f64,
    /// `Σ (recall - recall before) · precision` over all thresholds.
    pub average_precision: f64,
    /// Share of the others that are above the threshold, share of the class that is; thinned for drawing.
    pub roc: Vec<(f64, f64)>,
    /// Recall and precision; thinned for drawing.
    pub precision_recall: Vec<(f64, f64)>,
}

/// Points of a drawn curve are at least this far apart.
const STEP: f64 = 1.0 / 256.0;

/// Ranks rows by their score; `None` where the class or the rest does not occur.
pub fn rank(scores: &[f64], is_class: impl Fn(usize) -> bool, weights: &[f64]) -> Option<Ranking> {
    let (mut positive, mut negative) = (0.0, 0.0);
    for row in 0..scores.len() {
        *(if is_class(row) { &mut positive } else { &mut negative }) += weight(weights, row);
    }
    if positive <= 0.0 || negative <= 0.0 {
        return None;
    }
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_unstable_by(|a, b| scores[*b as usize].total_cmp(&scores[*a as usize]));

    let (mut area, mut average_precision) = (0.0, 0.0);
    let (mut hits, mut misses) = (0.0, 0.0);
    let (mut roc, mut precision_recall) = (Thinned::new((0.0, 0.0)), None::<Thinned>);
    // Rows of one score stand on one side of every threshold.
    for tie in order.chunk_by(|a, b| scores[*a as usize] == scores[*b as usize]) {
        let before = (misses, hits);
        for row in tie.iter().map(|row| *row as usize) {
            *(if is_class(row) { &mut hits } else { &mut misses }) += weight(weights, row);
        }
        if hits + misses == 0.0 {
            continue;
        }
        area += (misses - before.0) * (hits + before.1) / 2.0;
        let precision = hits / (hits + misses);
        average_precision += (hits - before.1) / positive * precision;
        roc.push((misses / negative, hits / positive));
        let point = (hits / positive, precision);
        precision_recall.get_or_insert_with(|| Thinned::new((0.0, precision))).push(point);
    }
    let auc = area / (positive * negative);
    let precision_recall = precision_recall.map(Thinned::points).unwrap_or_default();
    Some(Ranking { auc, average_precision, roc: roc.points(), precision_recall })
}

/// A curve without points too close together to be seen.
struct Thinned {
    points: Vec<(f64, f64)>,
    last: Option<(f64, f64)>,
}

impl Thinned {
    fn new(first: (f64, f64)) -> Self {
        Thinned { points: vec![first], last: None }
    }

    fn push(&mut self, point: (f64, f64)) {
        let kept = self.points[self.points.len() - 1];
        if (point.0 - kept.0).abs() >= STEP || (point.1 - kept.1).abs() >= STEP {
            self.points.push(point);
            self.last = None;
        } else {
            self.last = Some(point);
        }
    }

    fn points(mut self) -> Vec<(f64, f64)> {
        self.points.extend(self.last);
        self.points
    }
}
