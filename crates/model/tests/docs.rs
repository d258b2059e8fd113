//! `docs/models.md` is written from the list of families, so that it cannot promise more or less.

use std::collections::BTreeSet;
use std::fmt::Write;

use foretell_model::FAMILIES;

fn page() -> String {
    let mut page = String::from(
        "# Models that foretell reads\nEvery class, from the list of families in `crates/model/src/families/mod.rs`. A \
         file that holds any other class is refused, naming the class, its place and its byte: `foretell inspect` tells \
         what is in it. XGBoost's own files (`.json`, `.ubj`, the old binary) and LightGBM's model texts are read as they are.\n\n\
         | family | classes |\n|---|---|\n",
    );
    for family in FAMILIES {
        let classes: BTreeSet<&str> = family.classes.iter().map(|(_, name)| *name).collect();
        let classes: Vec<String> = classes.into_iter().map(|name| format!("`{name}`")).collect();
        let _ = writeln!(page, "| {} | {} |", family.name, classes.join(", "));
    }
    page
}

#[test]
fn the_page_in_docs_is_this_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/models.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, page()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page(),
        "docs/models.md is not up to date: `UPDATE=1 cargo test -p foretell-model --test docs` writes it"
    );
}
