//! Many points as a honeycomb: the darker a cell, the more of them lie in it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::Frame;
use super::frame::CLIP;

/// Cells from left to right.
const ACROSS: f64 = 34.0;
/// Shades of a cell.
const SHADES: usize = 5;

/// What the honeycomb shows.
pub(crate) struct Hexagons {
    /// For each shade that occurs: its number from 1, the fewest and the most points of a cell.
    pub(crate) shades: Vec<(usize, usize, usize)>,
    /// Points that lie outside of the frame.
    pub(crate) outside: usize,
}

/// Draws the points that lie in the frame.
pub(crate) fn hexagons(frame: &mut Frame<'_>, points: impl Iterator<Item = (f64, f64)>) -> Hexagons {
    let (width, _) = Frame::inner();
    let radius = width / ACROSS / 3f64.sqrt();
    let (step_x, step_y) = (radius * 3f64.sqrt(), radius * 1.5);
    let mut cells: BTreeMap<(i32, i32), usize> = BTreeMap::new();
    let mut outside = 0;
    for (x, y) in points {
        if !frame.x.scale.holds(x) || !frame.y.scale.holds(y) {
            outside += 1;
            continue;
        }
        *cells.entry(cell(frame.at_x(x), frame.at_y(y), step_x, step_y)).or_default() += 1;
    }
    // Steps of the logarithm: counts of neighbours differ by factors, not by terms.
    let most = cells.values().copied().max().unwrap_or(1) as f64;
    let shade = |count: usize| match most {
        most if most <= SHADES as f64 => count,
        most => 1 + ((count as f64).ln() / most.ln() * SHADES as f64).min(SHADES as f64 - 1.0) as usize,
    };
    let mut paths: BTreeMap<usize, (String, usize, usize)> = BTreeMap::new();
    for ((column, row), count) in cells {
        let x = (f64::from(column) + if row % 2 == 0 { 0.0 } else { 0.5 }) * step_x;
        let y = f64::from(row) * step_y;
        let entry = paths.entry(shade(count)).or_insert((String::new(), count, count));
        (entry.1, entry.2) = (entry.1.min(count), entry.2.max(count));
        let (half, edge) = (step_x / 2.0, radius / 2.0);
        let _ = write!(
            entry.0,
            "M{x:.1} {:.1}l{half:.2} {edge:.2}v{radius:.2}l-{half:.2} {edge:.2}l-{half:.2} -{edge:.2}v-{radius:.2}z",
            y - radius
        );
    }
    let mut shades = Vec::new();
    for (shade, (path, fewest, most)) in paths {
        frame.draw(&format!(r#"<path class="cell s{shade}" {CLIP} d="{path}"/>"#));
        shades.push((shade, fewest, most));
    }
    Hexagons { shades, outside }
}

/// The cell whose middle is nearest: of two lattices of rectangles, whichever's is.
fn cell(x: f64, y: f64, step_x: f64, step_y: f64) -> (i32, i32) {
    let candidate = |odd: bool| {
        let row = if odd { 2.0 * ((y / step_y - 1.0) / 2.0).round() + 1.0 } else { 2.0 * (y / step_y / 2.0).round() };
        let shift = if odd { 0.5 } else { 0.0 };
        let column = (x / step_x - shift).round();
        let (dx, dy) = (x - (column + shift) * step_x, y - row * step_y);
        (dx * dx + dy * dy, (column as i32, row as i32))
    };
    let (even, odd) = (candidate(false), candidate(true));
    if odd.0 < even.0 { odd.1 } else { even.1 }
}

#[cfg(test)]
mod tests {
    use super::super::{Axis, Scale};
    use super::*;

    #[test]
    fn every_point_is_in_one_cell_or_outside() {
        let axis = || Axis { scale: Scale::nice(0.0, 10.0, 5), label: "", percent: false };
        let mut frame = Frame::new(axis(), axis());
        let points = (0..10_000).map(|n| (f64::from(n % 97) / 8.0, f64::from(n % 89) / 9.0));
        let found = hexagons(&mut frame, points.clone());
        let inside = points.filter(|(x, y)| *x <= 10.0 && *y <= 10.0).count();
        assert_eq!(found.outside, 10_000 - inside);
        assert!(found.shades.len() <= SHADES);
        assert!(found.shades.windows(2).all(|two| two[0].2 < two[1].1), "{:?}", found.shades);
    }

    #[test]
    fn a_point_belongs_to_the_nearest_middle() {
        assert_eq!(cell(0.0, 0.0, 10.0, 8.0), (0, 0));
        assert_eq!(cell(5.0, 8.0, 10.0, 8.0), (0, 1));
        assert_eq!(cell(10.4, 16.1, 10.0, 8.0), (1, 2));
    }
}
