//! Text with columns in it: `Patient {PNO}: {PRETIME} minutes`. Pure.

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text(String),
    /// A column, by name.
    Column(String),
}

/// Splits a template.
///
/// # Errors
/// A brace without its partner, with its place (in characters, from 1).
pub(super) fn parse(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut characters = template.char_indices().enumerate().peekable();
    while let Some((place, (start, character))) = characters.next() {
        let doubled = characters.peek().is_some_and(|(_, (_, next))| *next == character);
        match character {
            '{' | '}' if doubled => {
                characters.next();
                text.push(character);
            }
            '{' => {
                let rest = template.get(start.saturating_add(1)..).unwrap_or_default();
                let Some((name, _)) = rest.split_once('}').filter(|(name, _)| !name.contains('{')) else {
                    return Err(format!(
                        "character {}: `{{` has no `}}`; write `{{{{` for a brace",
                        place.saturating_add(1)
                    ));
                };
                if name.is_empty() {
                    return Err(format!("character {}: `{{}}` names no column", place.saturating_add(1)));
                }
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Column(name.to_owned()));
                // The name and its closing brace.
                for _ in 0..=name.chars().count() {
                    characters.next();
                }
            }
            '}' => {
                return Err(format!(
                    "character {}: `}}` has no `{{`; write `}}}}` for a brace",
                    place.saturating_add(1)
                ));
            }
            character => text.push(character),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_text_and_braces() {
        let text = |text: &str| Part::Text(text.into());
        let column = |name: &str| Part::Column(name.into());
        let parts = [text("The Patient NO. is "), column("PNO"), text(", need "), column("PRETIME"), text(" minutes")];
        assert_eq!(parse("The Patient NO. is {PNO}, need {PRETIME} minutes").unwrap(), parts);
        assert_eq!(parse("{a}{é b}").unwrap(), [column("a"), column("é b")]);
        assert_eq!(parse("{{\"x\": {x}}}").unwrap(), [text("{\"x\": "), column("x"), text("}")]);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn a_brace_alone_is_an_error() {
        assert_eq!(parse("é{a").unwrap_err(), "character 2: `{` has no `}`; write `{{` for a brace");
        assert_eq!(parse("a}").unwrap_err(), "character 2: `}` has no `{`; write `}}` for a brace");
        assert_eq!(parse("{}").unwrap_err(), "character 1: `{}` names no column");
        assert_eq!(parse("{a{b}}").unwrap_err(), "character 1: `{` has no `}`; write `{{` for a brace");
    }

    proptest::proptest! {
        /// Each part written as the settings say it comes back.
        #[test]
        fn what_is_written_is_read(all in proptest::collection::vec(("[^{}]{1,5}", "[{}a]{0,4}"), 0..5)) {
            let (mut template, mut expected) = (String::new(), Vec::new());
            for (name, text) in all {
                template.push_str(&format!("{{{name}}}{}", text.replace('{', "{{").replace('}', "}}")));
                expected.push(Part::Column(name));
                if !text.is_empty() {
                    expected.push(Part::Text(text));
                }
            }
            proptest::prop_assert_eq!(parse(&template), Ok(expected));
        }

        #[test]
        fn no_template_is_too_odd(template: String) {
            let _ = parse(&template);
        }
    }
}
