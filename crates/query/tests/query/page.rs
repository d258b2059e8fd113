//! `docs/sql.md` lists the functions that there are.

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/sql.md");

#[test]
fn the_page_in_docs_lists_all_functions() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once("--workspace` -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let names: Vec<String> = foretell_query::functions().iter().map(|name| format!("`{name}`")).collect();
    assert!(names.len() > 200 && names.contains(&"`date_trunc`".to_string()), "{names:?}");
    let expected = format!("{before}--workspace` -->\n{}\n<!-- end -->{after}", names.join(", "));
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(PAGE, expected).unwrap();
        return;
    }
    assert!(page == expected, "docs/sql.md is not up to date: `UPDATE=1 cargo test --workspace` writes it");
}
