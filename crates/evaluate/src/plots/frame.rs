//! The frame of a plot: its axes, and its name for those who cannot see it.

use std::fmt::Write as _;

use super::{Scale, escape};
use crate::format::{fixed, number, percent};

pub(super) const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 330.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 46.0;

/// One axis.
pub(crate) struct Axis<'a> {
    pub(crate) scale: Scale,
    pub(crate) label: &'a str,
    /// Whether the values are shares.
    pub(crate) percent: bool,
}

/// A plot that is being drawn.
pub(crate) struct Frame<'a> {
    pub(crate) x: Axis<'a>,
    pub(crate) y: Axis<'a>,
    body: String,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(x: Axis<'a>, y: Axis<'a>) -> Self {
        Frame { x, y, body: String::new() }
    }

    /// The width and height of what is inside of the axes.
    pub(super) fn inner() -> (f64, f64) {
        (WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM)
    }

    /// Where a value of the horizontal axis is drawn.
    pub(super) fn at_x(&self, value: f64) -> f64 {
        LEFT + self.x.scale.place(value) * Self::inner().0
    }

    /// Where a value of the vertical axis is drawn.
    pub(super) fn at_y(&self, value: f64) -> f64 {
        TOP + (1.0 - self.y.scale.place(value)) * Self::inner().1
    }

    /// Adds a drawing.
    pub(crate) fn draw(&mut self, svg: &str) {
        self.body.push_str(svg);
    }

    /// The whole plot. `title` names it, `description` says in a sentence what can be seen.
    pub(crate) fn finish(self, title: &str, description: &str) -> String {
        let (width, height) = Self::inner();
        let mut axes = String::new();
        for tick in &self.y.scale.ticks {
            let y = self.at_y(*tick);
            let _ = write!(
                axes,
                r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="tick" x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
                LEFT + width,
                LEFT - 7.0,
                y + 4.0,
                tick_text(*tick, &self.y)
            );
        }
        for tick in &self.x.scale.ticks {
            let x = self.at_x(*tick);
            let bottom = TOP + height;
            let _ = write!(
                axes,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{TOP}" y2="{bottom:.1}"/><text class="tick" x="{x:.1}" y="{:.1}" text-anchor="middle">{}</text>"#,
                bottom + 17.0,
                tick_text(*tick, &self.x)
            );
        }
        let labels = format!(
            r#"<text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="axis" transform="translate(13 {:.1}) rotate(-90)" text-anchor="middle">{}</text>"#,
            LEFT + width / 2.0,
            HEIGHT - 8.0,
            escape(self.x.label),
            TOP + height / 2.0,
            escape(self.y.label)
        );
        svg(HEIGHT, title, description, &format!("{axes}{}{labels}", self.body))
    }
}

/// What a page holds once, so that no drawing leaves its frame: the shape that [`CLIP`] speaks of.
pub(crate) fn clip() -> String {
    let (width, height) = Frame::inner();
    format!(
        r#"<svg class="hidden" aria-hidden="true" width="0" height="0"><clipPath id="inner"><rect x="{LEFT}" y="{TOP}" width="{width}" height="{height}"/></clipPath></svg>"#
    )
}

/// Keeps a drawing within the frame.
pub(super) const CLIP: &str = r#"clip-path="url(#inner)""#;

/// A drawing of this height, with its name and description.
pub(super) fn svg(height: f64, title: &str, description: &str, body: &str) -> String {
    format!(
        r#"<svg role="img" viewBox="0 0 {WIDTH} {height:.0}"><title>{}</title><desc>{}</desc>{body}</svg>"#,
        escape(title),
        escape(description)
    )
}

fn tick_text(tick: f64, axis: &Axis<'_>) -> String {
    if axis.percent {
        return percent(tick);
    }
    let ticks = &axis.scale.ticks;
    let step = if ticks.len() > 1 { (ticks[1] - ticks[0]).abs() } else { 1.0 };
    let largest = ticks.iter().fold(0.0f64, |most, tick| most.max(tick.abs()));
    // Ticks of one axis have the decimals of their step.
    if largest < 1e6 && step >= 1e-4 {
        fixed(tick, (-step.log10().floor()).max(0.0) as usize)
    } else if tick.abs() < step / 1e3 {
        "0".to_string()
    } else {
        compact(tick)
    }
}

/// `1.5M`, `20G`; beyond that with an exponent.
fn compact(x: f64) -> String {
    let units = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    match units.iter().find(|(unit, _)| x.abs() >= *unit && x.abs() < 1e12) {
        Some((unit, name)) => number(x / unit) + name,
        None => number(x),
    }
}
