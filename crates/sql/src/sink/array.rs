//! Lists as PostgreSQL writes arrays: `{1,NULL,"two, three"}`. Pure.

use serde_json::Value;

/// An array of an array's JSON. `None` where that is none, or where it is nested deeper than an array can be.
pub(super) fn of_json(json: &str) -> Option<String> {
    let Value::Array(items) = serde_json::from_str(json).ok()? else { return None };
    let mut out = String::with_capacity(json.len());
    write(&mut out, &items, DEEPEST)?;
    Some(out)
}

/// PostgreSQL's own limit of dimensions.
const DEEPEST: usize = 6;

fn write(out: &mut String, items: &[Value], deeper: usize) -> Option<()> {
    let deeper = deeper.checked_sub(1)?;
    out.push('{');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        match item {
            Value::Null => out.push_str("NULL"),
            Value::Bool(truth) => out.push(if *truth { 't' } else { 'f' }),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::String(text) => quoted(out, text),
            Value::Array(items) => write(out, items, deeper)?,
            Value::Object(_) => quoted(out, &item.to_string()),
        }
    }
    out.push('}');
    Some(())
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_are_as_postgresql_reads_them() {
        for (json, expected) in [
            ("[]", "{}"),
            ("[1,null,2.5]", "{1,NULL,2.5}"),
            (r#"["a","","NULL","q\"b\\,{}"]"#, r#"{"a","","NULL","q\"b\\,{}"}"#),
            ("[[1,2],[3,4]]", "{{1,2},{3,4}}"),
            ("[true,false]", "{t,f}"),
            (r#"[{"a":1}]"#, r#"{"{\"a\":1}"}"#),
        ] {
            assert_eq!(of_json(json).unwrap(), expected, "{json}");
        }
        assert_eq!(of_json("[[[[[[[1]]]]]]]"), None);
        assert_eq!(of_json("1"), None);
    }
}
