//! Plots as SVG: what a browser needs to draw them is in the text, colours are the page's.

mod bars;
mod frame;
mod hexagons;
mod lines;
mod scale;

pub(crate) use bars::{Bar, bars, histogram};
pub(crate) use frame::{Axis, Frame, clip};
pub(crate) use hexagons::{Hexagons, hexagons};
pub(crate) use lines::{Dot, curve, dots, reference};
pub(crate) use scale::{Scale, inner_range};

/// Text as HTML and SVG take it, wherever it stands.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            // Of the characters that XML and people cannot see, only white space is let through.
            '\n' | '\r' | '\t' => out.push(' '),
            letter if letter.is_control() || is_direction(letter) => out.push('\u{fffd}'),
            letter => out.push(letter),
        }
    }
    out
}

/// Marks that turn the direction of what follows, so that it reads as something else.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text cut to this many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_string();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    kept + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_is_markup() {
        let hostile = "</text><script>alert('x')</script>\" onload=\"y\u{202e}\u{0}&";
        let safe = escape(hostile);
        assert!(!safe.contains(['<', '>', '"', '\'', '\u{202e}', '\u{0}']), "{safe}");
        assert!(safe.starts_with("&lt;/text&gt;"));
        assert_eq!(cut("äöüß", 3), "äö…");
    }
}
