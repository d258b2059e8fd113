//! `foretell test`: a pipeline's own tests, which a change breaks.

use crate::program::{bad, fixture, foretell, good, text};

const PIPELINE: &str = "\
pipeline: p
source: { kafka: { brokers: \"localhost:9\", topic: orders } }
decode: { csv: { columns: [{ cc: utf8? }, { x: float64 }] } }
models: { countries: { file: MODEL } }
query: SELECT _key AS id, x * 2 AS twice, countries(*) AS p, now() AS at, _offset AS n FROM records
sinks:
  out: { console: {} }
  big: { console: {}, query: SELECT id FROM result WHERE twice > 3 }
";

const TESTS: &str = "\
- name: rows, a sink's own rows, and what is bad
  time: 2026-11-29T10:00:00Z
  records:
    - { key: A, value: \"DE,1\" }
    - { key: B, value: \"FR,2.5\", partition: 3, offset: 40 }
    - \"DE,four\"
  rows:
    - { id: A, twice: 2, at: \"2026-11-29T10:00:00Z\", n: 0 }
    - { id: B, twice: 5.0, n: 40 }
  sinks: { big: [{ id: B }] }
  bad: [\"decode\"]
- name: nothing in, nothing out
  records: []
  rows: []
";

#[test]
fn a_pipeline_is_tested_without_its_services() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture("containers/countries.pickle");
    std::fs::write(path("p.yaml"), PIPELINE.replace("MODEL", &format!("\"{model}\""))).unwrap();
    let error = bad(&["test", &path("p.yaml")]);
    assert!(error.contains("p.tests.yaml"), "{error}");

    std::fs::write(path("p.tests.yaml"), TESTS).unwrap();
    let said = good(&["test", &path("p.yaml")]);
    assert_eq!(said.lines().filter(|line| line.starts_with("ok ")).count(), 2, "{said}");
    assert!(good(&["test", &path("p.yaml"), "--only", "nothing in"]).lines().count() == 1);

    // Each of these is noticed, with what was found.
    for (was, is, told) in [
        ("twice: 2,", "twice: 3,", "rows, row 1: twice is 2.0 and not 3"),
        (
            "{ id: B, twice: 5.0, n: 40 }",
            "{ id: B, other: 1 }",
            "rows: the result has no column `other`: it has id, twice, p, at, n",
        ),
        ("big: [{ id: B }]", "big: []", "sink big: 0 are expected, and there are 1"),
        ("big: [{ id: B }]", "bag: []", "there is no sink `bag`: there are out, big"),
        ("bad: [\"decode\"]", "bad: []", "a bad record: "),
        ("bad: [\"decode\"]", "bad: [\"query\"]", "bad record 1: `query` is expected, and `decode"),
        ("2026-11-29T10:00:00Z\n", "2026-11-29T11:00:00Z\n", "at is \"2026-11-29T11:00:00"),
    ] {
        assert!(TESTS.contains(was), "{was}");
        std::fs::write(path("t.yaml"), TESTS.replacen(was, is, 1)).unwrap();
        let output = foretell(&["test", &path("p.yaml"), &path("t.yaml")]);
        let (said, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(1), "{is}: {said}");
        assert!(said.contains("FAILED") && said.contains(told), "{told}: {said}");
        assert!(error.contains("t.yaml: 1 of 2 tests failed"), "{error}");
    }

    std::fs::write(path("t.yaml"), TESTS.replace("records: []", "recrods: []")).unwrap();
    let error = bad(&["test", &path("p.yaml"), &path("t.yaml")]);
    assert!(error.contains("recrods"), "{error}");
    let error = bad(&["test", &path("p.yaml"), "--only", "no such"]);
    assert!(error.contains("no test of the 2 has `no such` in its name"), "{error}");
    std::fs::write(path("t.yaml"), TESTS.replacen("{ id: A, ", "{ id: A, nme: a, ", 1)).unwrap();
    let said = text(&foretell(&["test", &path("p.yaml"), &path("t.yaml")]).stdout);
    assert!(said.contains("the result has no column `nme`"), "{said}");
    std::fs::write(path("t.yaml"), "[]\n").unwrap();
    assert!(bad(&["test", &path("p.yaml"), &path("t.yaml")]).contains("there is no test in it"));
}
