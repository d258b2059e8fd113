//! Lines and dots in a frame.

use std::fmt::Write as _;

use super::Frame;

/// A straight line from one point to another, to compare with; cut at the frame.
pub(crate) fn reference(frame: &mut Frame<'_>, from: (f64, f64), to: (f64, f64)) {
    let (x1, y1, x2, y2) = (frame.at_x(from.0), frame.at_y(from.1), frame.at_x(to.0), frame.at_y(to.1));
    let line = format!(r#"<line class="reference" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#);
    frame.draw(&line);
}

/// A curve through the points, in one of the page's colours: `c0` to `c5`, or `mean`.
pub(crate) fn curve(frame: &mut Frame<'_>, points: &[(f64, f64)], color: &str) {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", frame.at_x(*x), frame.at_y(*y));
    }
    frame.draw(&format!(r#"<path class="curve {color}" d="{path}"/>"#));
}

/// A dot.
pub(crate) struct Dot {
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// How much it stands for, from 0 to 1: its area.
    pub(crate) size: f64,
    /// What its tooltip says.
    pub(crate) says: String,
}

/// Dots in the colour of a curve.
pub(crate) fn dots(frame: &mut Frame<'_>, dots: &[Dot], color: &str) {
    for dot in dots {
        let (x, y) = (frame.at_x(dot.x), frame.at_y(dot.y));
        let radius = 2.5 + 4.5 * dot.size.sqrt();
        let says = super::escape(&dot.says);
        frame.draw(&format!(
            r#"<circle class="dot {color}" cx="{x:.1}" cy="{y:.1}" r="{radius:.1}"><title>{says}</title></circle>"#
        ));
    }
}
