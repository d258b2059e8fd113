//! Bars: horizontal ones with their names, vertical ones for a histogram.

use std::fmt::Write as _;

use super::frame::{WIDTH, svg};
use super::{Frame, cut, escape};

/// A horizontal bar.
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) value: f64,
    /// The value as it is shown at the right.
    pub(crate) shown: String,
    /// What its tooltip says.
    pub(crate) says: String,
}

const HEIGHT: f64 = 24.0;
const NAMES: f64 = 132.0;
const VALUES: f64 = 62.0;

/// Bars one below the other, from zero; `mean` is drawn across all.
pub(crate) fn bars(bars: &[Bar], mean: Option<f64>, title: &str, description: &str) -> String {
    let room = WIDTH - NAMES - VALUES;
    let most = bars.iter().map(|bar| bar.value.abs()).chain(mean).fold(f64::MIN_POSITIVE, f64::max);
    let mut body = String::new();
    for (index, bar) in bars.iter().enumerate() {
        let y = 4.0 + index as f64 * HEIGHT;
        let length = (bar.value.max(0.0) / most * room).max(0.5);
        let _ = write!(
            body,
            r#"<g><title>{}</title><text class="name" x="{:.1}" y="{:.1}" text-anchor="end">{}</text><rect class="bar" x="{NAMES}" y="{y:.1}" width="{length:.1}" height="{:.1}" rx="2"/><text class="value" x="{:.1}" y="{:.1}" text-anchor="end">{}</text></g>"#,
            escape(&bar.says),
            NAMES - 8.0,
            y + 13.5,
            escape(&cut(&bar.name, 19)),
            HEIGHT - 6.0,
            WIDTH - 4.0,
            y + 13.5,
            escape(&bar.shown)
        );
    }
    let height = 8.0 + bars.len() as f64 * HEIGHT;
    if let Some(mean) = mean {
        let x = NAMES + mean / most * room;
        let _ = write!(body, r#"<line class="reference" x1="{x:.1}" x2="{x:.1}" y1="0" y2="{:.1}"/>"#, height - 2.0);
    }
    svg(height, title, description, &body)
}

/// Vertical bars side by side: from, to, how high, and each one's tooltip.
pub(crate) fn histogram(frame: &mut Frame<'_>, columns: &[(f64, f64, f64, String)]) {
    let mut body = String::new();
    for (from, to, height, says) in columns {
        let (left, right) = (frame.at_x(*from), frame.at_x(*to));
        let (top, bottom) = (frame.at_y(*height), frame.at_y(frame.y.scale.from));
        let _ = write!(
            body,
            r#"<rect class="bar" x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>{}</title></rect>"#,
            left + 0.5,
            (right - left - 1.0).max(0.5),
            bottom - top,
            escape(says)
        );
    }
    frame.draw(&body);
}
