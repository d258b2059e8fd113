//! Python's regular expressions in the syntax of the `regex` crate, or a refusal where that cannot say the same.
//!
//! Two things stand between them. Classes differ: `\w` and `\s` are written out. And `\b` goes by the class of words,
//! which cannot be written out: for such patterns the text is read with stand-ins, characters of the same length that
//! both sides agree on, in place of those that they do not.

use std::borrow::Cow;
use std::iter::Peekable;
use std::str::Chars;

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use super::words::{self, SPACE, WORD};

/// A compiled pattern; its matches, or those of its only group, are the tokens.
#[derive(Debug)]
pub(crate) struct Pattern {
    regex: Regex,
    /// What the text is read with, where word boundaries matter.
    swaps: Option<Vec<Swap>>,
}

/// Characters that Python and Rust do not agree on, and what stands for them.
#[derive(Debug)]
struct Swap {
    characters: ClassUnicode,
    stand_in: char,
}

/// Bytes of a compiled pattern: honest ones need some ten thousand.
const COMPILED: usize = 1 << 20;

impl Pattern {
    /// What the pattern cannot be read for, as an error.
    pub(crate) fn new(python: &str) -> Result<Pattern, String> {
        let translated = translate(python)?;
        let hir = regex_syntax::parse(&translated).map_err(|_| "syntax that only Python has".to_string())?;
        let properties = hir.properties();
        if properties.explicit_captures_len() > 1 {
            return Err("more than one group".to_string());
        }
        if properties.minimum_len() == Some(0) {
            return Err("matches of no character".to_string());
        }
        let swaps = if properties.look_set().contains_word() {
            let swaps = swaps();
            if !agrees(&hir, &swaps) {
                return Err("word boundaries beside marks or odd numbers".to_string());
            }
            Some(swaps)
        } else {
            None
        };
        let regex = RegexBuilder::new(&translated).size_limit(COMPILED).build();
        Ok(Pattern { regex: regex.map_err(|_| "a pattern too large".to_string())?, swaps })
    }

    /// Whether it matches anywhere in a text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        let mut found = false;
        self.tokens(text, |_| found = true);
        found
    }

    /// The text with another in the place of each match. `\1` and `\g<1>` in it are the match's group.
    pub(crate) fn replaced(&self, text: &str, by: &Replacement) -> String {
        let read = match &self.swaps {
            Some(swaps) if !text.is_ascii() => swapped(text, swaps),
            _ => Cow::Borrowed(text),
        };
        let (mut out, mut last) = (String::with_capacity(text.len()), 0);
        for found in self.regex.captures_iter(&read) {
            let Some(whole) = found.get(0) else { continue };
            out.push_str(text.get(last..whole.start()).unwrap_or_default());
            for (before, group) in &by.parts {
                out.push_str(before);
                let group = group.and_then(|group| found.get(group)).and_then(|group| text.get(group.range()));
                out.push_str(group.unwrap_or_default());
            }
            last = whole.end();
        }
        out.push_str(text.get(last..).unwrap_or_default());
        out
    }

    /// What lies between the matches, before the first and behind the last.
    pub(crate) fn between<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let read = match &self.swaps {
            Some(swaps) if !text.is_ascii() => swapped(text, swaps),
            _ => Cow::Borrowed(text),
        };
        let (mut out, mut last) = (Vec::new(), 0);
        for found in self.regex.find_iter(&read) {
            out.push(text.get(last..found.start()).unwrap_or_default());
            last = found.end();
        }
        out.push(text.get(last..).unwrap_or_default());
        out
    }

    /// How many groups a replacement may name.
    pub(crate) fn groups(&self) -> usize {
        self.regex.captures_len().saturating_sub(1)
    }

    /// The tokens of a text, in order.
    pub(crate) fn tokens<'t>(&self, text: &'t str, mut each: impl FnMut(&'t str)) {
        let read = match &self.swaps {
            Some(swaps) if !text.is_ascii() => swapped(text, swaps),
            _ => Cow::Borrowed(text),
        };
        if self.regex.captures_len() == 1 {
            self.regex.find_iter(&read).for_each(|found| each(text.get(found.range()).unwrap_or_default()));
        } else {
            for found in self.regex.captures_iter(&read) {
                each(found.get(1).and_then(|group| text.get(group.range())).unwrap_or_default());
            }
        }
    }
}

/// What stands in the place of a match: texts, and behind each the group of the match that follows it.
#[derive(Debug)]
pub(crate) struct Replacement {
    parts: Vec<(String, Option<usize>)>,
}

impl Replacement {
    /// A text as it is.
    pub(crate) fn text(text: &str) -> Replacement {
        Replacement { parts: vec![(text.to_string(), None)] }
    }

    /// From Python's template of a pattern with this many groups.
    pub(crate) fn new(python: &str, groups: usize) -> Result<Replacement, String> {
        let (mut parts, mut text) = (Vec::new(), String::new());
        let mut rest = python.chars();
        while let Some(c) = rest.next() {
            if c != '\\' {
                text.push(c);
                continue;
            }
            let group = match rest.next() {
                Some('n') => {
                    text.push('\n');
                    continue;
                }
                Some('t') => {
                    text.push('\t');
                    continue;
                }
                Some('\\') => {
                    text.push('\\');
                    continue;
                }
                Some(digit @ '1'..='9') if !rest.as_str().starts_with(|c: char| c.is_ascii_digit()) => {
                    digit.to_string()
                }
                Some('g') => {
                    let inside = rest.as_str().strip_prefix('<').and_then(|rest| rest.split_once('>'));
                    let Some((name, after)) = inside else { return Err("`\\g` without a group".to_string()) };
                    let name = name.to_string();
                    rest = after.chars();
                    name
                }
                other => return Err(format!("`\\{}` in what stands for a match", other.unwrap_or(' '))),
            };
            match group.parse::<usize>() {
                Ok(group) if group <= groups => parts.push((std::mem::take(&mut text), Some(group))),
                _ => return Err("a group that the pattern does not have, or one by its name".to_string()),
            }
        }
        parts.push((text, None));
        Ok(Replacement { parts })
    }
}

/// The text with stand-ins; every character keeps its place.
fn swapped<'t>(text: &'t str, swaps: &[Swap]) -> Cow<'t, str> {
    let stand_in = |c: char| {
        let has = |swap: &&Swap| swap.characters.iter().any(|range| range.start() <= c && c <= range.end());
        if c.is_ascii() || words::is_word(c) && c.is_alphabetic() {
            return None;
        }
        swaps.iter().find(has).map(|swap| swap.stand_in)
    };
    if !text.chars().any(|c| stand_in(c).is_some()) {
        return Cow::Borrowed(text);
    }
    text.chars().map(|c| stand_in(c).unwrap_or(c)).collect::<String>().into()
}

/// By length in UTF-8: what Rust alone counts as part of a word, and what Python alone does.
fn swaps() -> Vec<Swap> {
    let (rust, python) = (words::class(r"\w"), words::class(&format!("[{WORD}]")));
    let lengths = [
        ('\u{80}', '\u{7ff}', '\u{a6}', '\u{5d0}'),
        ('\u{800}', '\u{ffff}', '\u{e000}', '\u{4e00}'),
        ('\u{10000}', '\u{10ffff}', '\u{f0000}', '\u{20000}'),
    ];
    let mut swaps = Vec::new();
    for (start, end, outside, inside) in lengths {
        for (more, less, stand_in) in [(&rust, &python, outside), (&python, &rust, inside)] {
            let mut characters = more.clone();
            characters.difference(less);
            characters.intersect(&ClassUnicode::new([ClassUnicodeRange::new(start, end)]));
            swaps.push(Swap { characters, stand_in });
        }
    }
    swaps
}

/// Whether a pattern treats each stand-in as it does all that it stands for.
fn agrees(hir: &Hir, swaps: &[Swap]) -> bool {
    let within = |class: &ClassUnicode, part: &ClassUnicode| {
        let mut both = class.clone();
        both.intersect(part);
        both
    };
    let mut open = vec![hir];
    while let Some(hir) = open.pop() {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => {}
            HirKind::Literal(literal) => {
                let text = std::str::from_utf8(&literal.0).unwrap_or_default();
                let class = ClassUnicode::new(text.chars().map(|c| ClassUnicodeRange::new(c, c)));
                if swaps.iter().any(|swap| within(&class, &swap.characters).iter().next().is_some()) {
                    return false;
                }
            }
            HirKind::Class(Class::Unicode(class)) => {
                for swap in swaps {
                    let both = within(class, &swap.characters);
                    let one = ClassUnicode::new([ClassUnicodeRange::new(swap.stand_in, swap.stand_in)]);
                    let has_stand_in = within(class, &one).iter().next().is_some();
                    let agrees = if has_stand_in { both == swap.characters } else { both.iter().next().is_none() };
                    if !agrees {
                        return false;
                    }
                }
            }
            HirKind::Class(Class::Bytes(_)) => return false,
            HirKind::Repetition(repetition) => open.push(&repetition.sub),
            HirKind::Capture(capture) => open.push(&capture.sub),
            HirKind::Concat(parts) | HirKind::Alternation(parts) => open.extend(parts),
        }
    }
    true
}

/// Writes a Python pattern in Rust's syntax.
fn translate(python: &str) -> Result<String, String> {
    let mut out = String::with_capacity(python.len());
    let mut rest = python.chars().peekable();
    let mut in_class = false;
    let mut quantified = false;
    while let Some(c) = rest.next() {
        let was_quantified = std::mem::take(&mut quantified);
        match c {
            '\\' => escape(&mut rest, in_class, &mut out)?,
            '[' if in_class => out.push_str("\\["),
            '[' => {
                in_class = true;
                out.push('[');
                if rest.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                if rest.next_if_eq(&']').is_some() {
                    out.push_str("\\]");
                }
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '-' if in_class && rest.peek() == Some(&'-') => return Err("`--` in a class".to_string()),
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            _ if in_class => out.push(c),
            '$' => return Err("`$`, which Python also matches before a last line break".to_string()),
            '(' => {
                out.push('(');
                if rest.next_if_eq(&'?').is_some() {
                    out.push('?');
                    group(&mut rest, &mut out)?;
                }
            }
            '+' if was_quantified => return Err("possessive quantifiers".to_string()),
            '*' | '+' | '?' | '}' => {
                quantified = !was_quantified;
                out.push(c);
            }
            _ => out.push(c),
        }
    }
    Ok(out)
}

fn escape(rest: &mut Peekable<Chars<'_>>, in_class: bool, out: &mut String) -> Result<(), String> {
    let Some(c) = rest.next() else { return Err("a lone `\\`".to_string()) };
    match c {
        'w' if in_class => out.push_str(WORD),
        's' if in_class => out.push_str(SPACE),
        'w' => out.push_str(&format!("[{WORD}]")),
        's' => out.push_str(&format!("[{SPACE}]")),
        'W' => out.push_str(&format!("[^{WORD}]")),
        'S' => out.push_str(&format!("[^{SPACE}]")),
        'b' if in_class => out.push_str("\\x08"),
        'b' | 'B' | 'A' if !in_class => {
            out.push('\\');
            out.push(c);
        }
        'd' | 'D' | 'n' | 'r' | 't' | 'f' | 'v' | 'a' | 'x' | 'u' | 'U' => {
            out.push('\\');
            out.push(c);
        }
        '<' | '>' => out.push(c),
        c if c.is_ascii_alphanumeric() => return Err(format!("`\\{c}`")),
        c => {
            if c.is_ascii_punctuation() {
                out.push('\\');
            }
            out.push(c);
        }
    }
    Ok(())
}

/// What follows `(?`: a group without number, a name, or flags that mean the same on both sides.
fn group(rest: &mut Peekable<Chars<'_>>, out: &mut String) -> Result<(), String> {
    match rest.next() {
        Some(':') => out.push(':'),
        Some('P') if rest.peek() == Some(&'<') => out.push('P'),
        Some(flag @ ('u' | 's' | 'm')) => {
            out.push(flag);
            while let Some(flag) = rest.next_if(|flag| matches!(flag, 'u' | 's' | 'm')) {
                out.push(flag);
            }
            match rest.next() {
                Some(')') => out.push(')'),
                _ => return Err("flags other than `u`, `s` and `m`".to_string()),
            }
        }
        _ => return Err("looking around, and flags other than `u`, `s` and `m`".to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    fn tokens(pattern: &str, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        Pattern::new(pattern).unwrap().tokens(text, |token| all.push(token.to_string()));
        all
    }

    /// The answers are those of `re.findall`.
    #[test]
    fn tokens_are_those_of_python() {
        assert_eq!(tokens(r"(?u)\b\w\w+\b", "हिन्दी a² No½x ⒶⒷ don't"), ["a²", "No½x", "don"]);
        assert_eq!(tokens(r"\w+", "हिन्दी x‿y"), ["ह", "न", "द", "x", "y"]);
        assert_eq!(tokens(r"\b[^\W\d_]+\b", "ab1 cd_ é e\u{301}f g"), ["é", "e", "f", "g"]);
        assert_eq!(tokens(r"[^\s,]+", "a\u{1c}b,ç d"), ["a", "b", "ç", "d"]);
        assert_eq!(tokens(r"(?:x|y)([a-z&&[]+)", "xab y&[ z"), ["ab", "&["]);
        assert_eq!(tokens(r"\S+\-\d{2}", "ab-12 c-3"), ["ab-12"]);
    }

    #[test]
    fn what_only_python_has_is_refused() {
        let refusal = |pattern: &str| Pattern::new(pattern).unwrap_err();
        assert_eq!(refusal(r"(?<=a)b"), "looking around, and flags other than `u`, `s` and `m`");
        assert_eq!(refusal(r"(?i)[a-z]+"), "looking around, and flags other than `u`, `s` and `m`");
        assert_eq!(refusal(r"(a)(b)"), "more than one group");
        assert_eq!(refusal(r"(a)\1"), "`\\1`");
        assert_eq!(refusal(r"\w++"), "possessive quantifiers");
        assert_eq!(refusal(r"\w*"), "matches of no character");
        assert_eq!(refusal(r"\b[ऀ-ॿ]+\b"), "word boundaries beside marks or odd numbers");
    }
}
