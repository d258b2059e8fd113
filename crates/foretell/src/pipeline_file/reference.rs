//! Every setting as a page of Markdown, from the schema, so that `docs/settings.md` cannot say anything else.

use std::fmt::Write;

use serde_json::Value;

use super::schema::{Registry, pipeline_schema};

/// The page.
pub(super) fn settings_page(registry: Registry) -> String {
    let schema = pipeline_schema(registry);
    let mut page = String::from(
        "# Settings\nEvery setting of a pipeline file, from the program itself (`foretell schema` gives the same to \
         editors). Any scalar may be written by reference: `{ env: NAME }` or `{ file: PATH }`; secrets must be. Within a \
         value `${NAME}` is an environment variable, and `--set KEY=VALUE` puts another value in a setting's place. \
         **Bold** settings are required.\n",
    );
    let top = |name: &str| &schema["properties"][name];
    let _ = write!(page, "\n## The pipeline\n");
    table(&mut page, &schema, &schema, &["source", "decode", "models", "encodings", "tables", "sinks", "dead_letters"]);
    for (title, kinds, skip) in [
        ("source", top("source"), &[][..]),
        ("decode", top("decode"), &[]),
        ("sinks.NAME", &top("sinks")["additionalProperties"], &super::SINK_KEYS),
    ] {
        for (kind, settings) in properties(kinds).filter(|(kind, _)| !skip.contains(kind)) {
            let settings = resolve(&schema, settings);
            let _ = write!(page, "\n## `{title}: {{ {kind}: … }}`\n{}\n\n", description(settings));
            table(&mut page, &schema, settings, &[]);
        }
    }
    let _ = write!(page, "\n## Beside a sink's kind\n");
    let sink = &top("sinks")["additionalProperties"];
    for (name, setting) in properties(sink).filter(|(name, _)| super::SINK_KEYS.contains(name)) {
        let _ = writeln!(page, "- `{name}`: {}", description(setting));
    }
    let _ = write!(page, "\n## `dead_letters`\n{} Any kind of sink, as above.\n", description(top("dead_letters")));
    for section in ["models", "encodings", "tables"] {
        let settings = resolve(&schema, &top(section)["additionalProperties"]);
        let _ = write!(page, "\n## `{section}: {{ NAME: … }}`\n{}\n\n", description(settings));
        table(&mut page, &schema, settings, &[]);
    }
    page
}

fn table(page: &mut String, root: &Value, settings: &Value, skip: &[&str]) {
    let mut rows = String::new();
    // Settings of settings are few and never circular: the types are Rust structs.
    let mut open: Vec<(String, &Value)> = vec![(String::new(), settings)];
    while let Some((prefix, settings)) = open.pop() {
        let required =
            |name: &str| settings["required"].as_array().is_some_and(|all| all.iter().any(|key| key == name));
        for (name, setting) in properties(settings).filter(|(name, _)| !skip.contains(name)) {
            let path = format!("{prefix}{name}");
            let inner = resolve(root, setting);
            let text = match description(setting) {
                text if text.is_empty() => description(inner),
                text => text,
            };
            let text = format!("{text}{}", allowed(&text, inner));
            let mark = if required(name) { "**" } else { "" };
            let _ = writeln!(rows, "| {mark}`{path}`{mark} | {} |", text.replace('|', "\\|"));
            if inner["properties"].is_object() {
                open.push((format!("{path}."), inner));
            }
        }
    }
    if rows.is_empty() {
        page.push_str("No settings.\n");
    } else {
        let _ = write!(page, "| setting | |\n|---|---|\n{rows}");
    }
}

/// The values of a setting that has only some, so far as the text does not say them.
fn allowed(text: &str, schema: &Value) -> String {
    let named = schema["enum"].as_array().into_iter().flatten().map(|value| (value, String::new()));
    let told = schema["oneOf"].as_array().into_iter().flatten();
    let told = told.flat_map(|one| {
        let values = one["enum"].as_array().cloned().unwrap_or_else(|| vec![one["const"].clone()]);
        values.into_iter().map(|value| (value, description(one)))
    });
    let values: Vec<(String, String)> = (named.map(|(value, says)| (value.clone(), says)).chain(told))
        .filter_map(|(value, says)| Some((value.as_str()?.to_string(), says)))
        .collect();
    if values.iter().all(|(value, _)| text.contains(&format!("`{value}`"))) {
        return String::new();
    }
    let each = values.iter().map(|(value, says)| match says.trim_end_matches('.') {
        "" => format!("`{value}`"),
        says => format!("`{value}` ({says})"),
    });
    format!(" One of {}.", each.collect::<Vec<_>>().join(", "))
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    schema["properties"].as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// What a `$ref`, alone or beside `null`, stands for.
fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let any = schema["anyOf"].as_array().into_iter().flatten().find(|one| one["$ref"].is_string());
    match any.unwrap_or(schema)["$ref"].as_str().and_then(|place| root.pointer(place.trim_start_matches('#'))) {
        Some(definition) => definition,
        None => schema,
    }
}

/// In one line.
fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::schema::REGISTRY;
    use super::settings_page;

    #[test]
    fn the_page_in_docs_is_this_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let page = settings_page(REGISTRY);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let written = std::fs::read_to_string(path).unwrap();
        assert!(written == page, "docs/settings.md is not up to date: `UPDATE=1 cargo test -p foretell` writes it");
    }

    #[test]
    fn every_setting_says_what_it_is() {
        let page = settings_page(REGISTRY);
        let bare: Vec<&str> =
            page.lines().filter(|line| line.ends_with("` |  |") || line.ends_with("`** |  |")).collect();
        assert!(bare.is_empty(), "without a description: {bare:#?}");
    }
}
