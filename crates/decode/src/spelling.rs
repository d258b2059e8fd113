//! Types as people write them: `int64?`, `decimal(10,2)`, `struct<x: float64, tags: list<utf8?>>`; and by SQL's names,
//! `STRUCT<x DOUBLE, tags LIST<VARCHAR?>>`.

use std::sync::Arc;

use super::types::{MOST_DIGITS, Member, TYPES, Type};

/// Types are nested no deeper than this.
const DEPTH: usize = 16;

/// What SQL calls the types that have another name here.
const SQL: &[(&str, Type)] = &[
    ("tinyint", Type::Int8),
    ("smallint", Type::Int16),
    ("int", Type::Int32),
    ("integer", Type::Int32),
    ("bigint", Type::Int64),
    ("real", Type::Float32),
    ("double", Type::Float64),
    ("varchar", Type::Utf8),
    ("text", Type::Utf8),
    ("string", Type::Utf8),
    ("boolean", Type::Bool),
];

/// A pattern of what is read here, for editors: what stands inside of `<` and `>` it does not look at.
pub(super) fn pattern() -> String {
    let names = TYPES.iter().chain(SQL).flat_map(|(name, _)| [(*name).to_string(), name.to_uppercase()]);
    let names = names.collect::<Vec<_>>().join("|");
    let digits = r"\([0-9]{1,2}(, ?[0-9]{1,2})?\)";
    format!("^({names}|(decimal|DECIMAL|numeric|NUMERIC){digits}|(struct|STRUCT|list|LIST|array|ARRAY)<.+>)\\??$")
}

/// A type, and whether a value may be missing: whether a `?` stands behind it.
///
/// # Errors
/// What does not read, and what would.
pub(super) fn parse(text: &str) -> Result<(Type, bool), String> {
    let mut rest = Rest(text);
    let read = rest.value_type(0)?;
    if rest.0.trim().is_empty() { Ok(read) } else { Err(rest.unexpected()) }
}

/// What is left of a text.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn value_type(&mut self, depth: usize) -> Result<(Type, bool), String> {
        if depth > DEPTH {
            return Err(format!("types are nested more than {DEPTH} deep"));
        }
        let deeper = depth.saturating_add(1);
        let word = self.word().to_ascii_lowercase();
        let found = match word.as_str() {
            "struct" => self.members(deeper)?,
            "list" | "array" => {
                self.expect('<', "a list is written with the type of its elements: `list<utf8?>`")?;
                let (data_type, optional) = self.value_type(deeper)?;
                self.expect('>', "a list ends with `>`: `list<utf8?>`")?;
                Type::List(Arc::new(Member::new("item", data_type, optional)))
            }
            "decimal" | "numeric" => self.decimal()?,
            name => match TYPES.iter().chain(SQL).find(|(known, _)| *known == name) {
                Some((_, found)) => found.clone(),
                None => return Err(unknown()),
            },
        };
        Ok((found, self.take('?')))
    }

    fn members(&mut self, depth: usize) -> Result<Type, String> {
        const HOW: &str = "a struct is written with its members: `struct<x: float64, y: utf8?>`";
        self.expect('<', HOW)?;
        let mut members: Vec<Member> = Vec::new();
        loop {
            let name = self.name().ok_or(HOW)?;
            self.take(':');
            let (data_type, optional) = self.value_type(depth)?;
            if members.iter().any(|member| member.name == name) {
                return Err(format!("member `{name}` is there twice"));
            }
            members.push(Member::new(&name, data_type, optional));
            if !self.take(',') {
                break;
            }
        }
        self.expect('>', HOW)?;
        Ok(Type::Struct(Arc::new(members)))
    }

    fn decimal(&mut self) -> Result<Type, String> {
        let wrong = || {
            format!(
                "a decimal is written with its digits in all (at most {MOST_DIGITS}) and those behind the point, in quotes: \
                 `\"decimal(10,2)\"`"
            )
        };
        let inner = self.0.trim_start().strip_prefix('(').ok_or_else(wrong)?;
        let (inner, rest) = inner.split_once(')').ok_or_else(wrong)?;
        self.0 = rest;
        let (digits, behind) = inner.split_once(',').unwrap_or((inner, "0"));
        let number = |text: &str| text.trim().parse::<u8>().map_err(|_| wrong());
        let (digits, behind) = (number(digits)?, number(behind)?);
        if (1..=MOST_DIGITS).contains(&digits) && behind <= digits {
            Ok(Type::Decimal(digits, behind))
        } else {
            Err(wrong())
        }
    }

    /// A member's name: a word, or anything in quotes.
    fn name(&mut self) -> Option<String> {
        let text = self.0.trim_start();
        for quote in ['"', '`'] {
            if let Some((name, rest)) = text.strip_prefix(quote).and_then(|text| text.split_once(quote)) {
                self.0 = rest;
                return Some(name.to_string()).filter(|name| !name.is_empty());
            }
        }
        let name = self.word();
        (!name.is_empty()).then(|| name.to_string())
    }

    fn word(&mut self) -> &'a str {
        let text = self.0.trim_start();
        let inner = |c: char| !c.is_whitespace() && !matches!(c, '<' | '>' | '(' | ')' | ',' | ':' | '?' | '"' | '`');
        let (word, rest) = text.split_at(text.find(|c| !inner(c)).unwrap_or(text.len()));
        self.0 = rest;
        word
    }

    fn take(&mut self, mark: char) -> bool {
        match self.0.trim_start().strip_prefix(mark) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, mark: char, how: &str) -> Result<(), String> {
        if self.take(mark) { Ok(()) } else { Err(how.to_string()) }
    }

    fn unexpected(&self) -> String {
        format!("`{}` stands behind the type", self.0.trim())
    }
}

fn unknown() -> String {
    let known: Vec<String> = TYPES.iter().map(|(known, _)| format!("`{known}`")).collect();
    format!(
        "unknown type; known are {}, `decimal(10,2)`, `struct<x: float64, y: utf8?>`, `list<utf8?>` (and each with `?` behind \
         it, where values may be missing)",
        known.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_written_as_they_are_read() {
        for (text, shown) in [
            ("int64", "int64"),
            ("INT64?", "int64?"),
            ("double", "float64"),
            ("BIGINT", "int64"),
            ("NUMERIC(10, 2)?", "decimal(10,2)?"),
            ("list<utf8?>", "list<utf8?>"),
            ("ARRAY<VARCHAR>", "list<utf8>"),
            ("STRUCT<x DOUBLE, y VARCHAR?>", "struct<x: float64, y: utf8?>"),
            ("struct<\"a b\": list<struct<q: decimal(5)?>>?>?", "struct<\"a b\": list<struct<q: decimal(5,0)?>>?>?"),
        ] {
            let (read, optional) = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
            assert_eq!(format!("{read}{}", if optional { "?" } else { "" }), shown);
            assert_eq!(parse(shown), Ok((read, optional)), "{shown}");
        }
    }

    #[test]
    fn what_does_not_read_says_what_would() {
        let deep = format!("{}int8{}", "list<".repeat(20), ">".repeat(20));
        for (text, says) in [
            ("whole", "unknown type; known are `int8`"),
            ("", "unknown type"),
            ("int64 int64", "`int64` stands behind the type"),
            ("int64??", "`?` stands behind the type"),
            ("struct", "a struct is written with its members"),
            ("struct<>", "a struct is written with its members"),
            ("struct<a: int8", "a struct is written with its members"),
            ("struct<a: int8, a: int8>", "member `a` is there twice"),
            ("struct<a: list>", "a list is written with the type of its elements"),
            ("list<int8", "a list ends with `>`"),
            ("decimal", "at most 38"),
            (&deep, "more than 16 deep"),
        ] {
            let why = parse(text).unwrap_err();
            assert!(why.contains(says), "{text}: {why}");
        }
    }
}
