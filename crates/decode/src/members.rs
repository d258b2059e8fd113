//! The members of a JSON object as they are written. The parser gives numbers as it can hold them; here are all their
//! digits.

#![allow(clippy::arithmetic_side_effects, reason = "places within bytes that are in memory")]

use std::borrow::Cow;

/// The members of the object that a text holds, in its order: key and value, each as written. The text must have been
/// parsed before: what comes of one that is not JSON means nothing.
pub struct Members<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Members<'a> {
    /// Of this object.
    pub fn of(object: &'a str) -> Members<'a> {
        let at = object.find('{').map_or(object.len(), |brace| brace + 1);
        Members { text: object, at }
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn pass_over(&mut self, over: impl Fn(u8) -> bool) {
        while self.byte().is_some_and(&over) {
            self.at += 1;
        }
    }

    /// Passes over a text in quotes.
    fn quoted(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.byte()? {
                b'\\' => self.at += 2,
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at)
    }

    /// Passes over a value.
    fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        let mut depth = 0_usize;
        loop {
            match self.byte()? {
                b'"' => {
                    self.quoted()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.pass_over(|byte| !matches!(byte, b'"' | b'{' | b'[' | b'}' | b']' | b',')),
            }
            if depth == 0 {
                break;
            }
            if self.byte() == Some(b',') {
                self.at += 1;
            }
        }
        self.text.get(start..self.at).map(|value| value.trim_ascii_end())
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = (Cow<'a, str>, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.pass_over(|byte| byte.is_ascii_whitespace() || byte == b',');
        if self.byte()? != b'"' {
            return None;
        }
        let key = self.quoted()?;
        self.pass_over(|byte| byte.is_ascii_whitespace() || byte == b':');
        let value = self.value()?;
        let key = match key.contains('\\') {
            true => Cow::Owned(serde_json::from_str(key).ok()?),
            false => Cow::Borrowed(key.get(1..key.len() - 1)?),
        };
        Some((key, value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(String, String)> {
        Members::of(text).map(|(key, value)| (key.into_owned(), value.to_string())).collect()
    }

    #[test]
    fn values_keep_all_their_digits() {
        let text = " { \"a\" : 12345678901234567890.123456789 , \"b\":-1e400,\"c\\u00e9\":\"x,}\\\"\\\\\", \"d\":[1,{\"a\":2}], \
                    \"e\": {\"a\": [3, \"]\"] } ,\"f\":null,\"g\" :true\n}\n";
        let expected = [
            ("a", "12345678901234567890.123456789"),
            ("b", "-1e400"),
            ("cé", "\"x,}\\\"\\\\\""),
            ("d", "[1,{\"a\":2}]"),
            ("e", "{\"a\": [3, \"]\"] }"),
            ("f", "null"),
            ("g", "true"),
        ];
        let expected: Vec<_> = expected.map(|(key, value)| (key.to_string(), value.to_string())).into();
        assert_eq!(members(text), expected);
        assert!(members("{}").is_empty() && members("{ }").is_empty());
    }

    #[test]
    fn what_is_not_json_ends() {
        for text in [
            "",
            "{",
            "{\"",
            "{\"a",
            "{\"a\"",
            "{\"a\":",
            "{\"a\":[",
            "{\"a\":\"\\",
            "[1]",
            "{,,,",
            "{\"\\",
            "{\"a\":}}}",
        ] {
            assert!(members(text).len() <= 1, "{text}");
        }
        let deep = format!("{{\"a\":{}1{},\"b\":2}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(members(&deep).len(), 2);
    }
}
