//! The pages that people copy from.

use crate::root;

/// Examples whose pipeline stands in `docs/from-pyspark.md`, in its order.
const PROGRAMS: &[&str] = &["batch-dataframe", "batch-lines", "socket", "forest-console", "mri"];

#[test]
fn every_page_is_in_the_book_and_every_link_leads_somewhere() {
    let check = std::process::Command::new(root().join("dist/book/build")).arg("--check").output().unwrap();
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
}

#[test]
fn pipelines_beside_pyspark_are_those_of_the_examples() {
    let page = std::fs::read_to_string(root().join("docs/from-pyspark.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap().trim()).collect();
    assert_eq!(blocks.len(), PROGRAMS.len());
    for (block, example) in blocks.iter().zip(PROGRAMS) {
        let path = root().join("examples").join(example).join("pipeline.yaml");
        let pipeline = std::fs::read_to_string(path).unwrap();
        let lines = pipeline.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert_eq!(*block, lines.trim(), "{example}");
    }
}
