//! A challenger beside a champion, and rows beside a baseline: both are told, and change nothing of what lands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::program::{bad, fixture, foretell, good, text};

const PIPELINE: &str = "\
pipeline: watched
source: { file: { path: in.csv } }
decode: { csv: { columns: [PNO: utf8, ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: MODELS
query: SELECT PNO, CAST(mri(*) AS DOUBLE) AS seconds FROM records
sinks: { out: { file: { path: out, format: csv } } }
trigger: available_now
";

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/mri").join(name)
}

fn model(name: &str) -> String {
    example("models").join(name).display().to_string()
}

/// A folder with the example's orders, some times over, and a pipeline over them.
fn folder(models: &str, times: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let orders = std::fs::read_to_string(example("orders.csv")).unwrap();
    let (header, rows) = orders.split_once('\n').unwrap();
    std::fs::write(folder.path().join("in.csv"), format!("{header}\n{}", rows.repeat(times))).unwrap();
    pipeline(folder.path(), models, |text| text.to_string());
    folder
}

fn pipeline(folder: &Path, models: &str, edit: impl Fn(&str) -> String) {
    std::fs::write(folder.join("p.yaml"), edit(&PIPELINE.replace("MODELS", models))).unwrap();
}

/// Runs it from the beginning; its log, and the rows that landed.
fn run(folder: &Path) -> (String, BTreeSet<String>) {
    for old in ["out", ".foretell"] {
        let _ = std::fs::remove_dir_all(folder.join(old));
    }
    let path = folder.join("p.yaml").display().to_string();
    let output = foretell(&["run", &path, "--workers", "1"]);
    let log = text(&output.stderr);
    assert!(output.status.success(), "{log}");
    let files = std::fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let rows = files.filter(|path| path.is_file()).flat_map(|path| {
        let text = std::fs::read_to_string(path).unwrap();
        text.lines().map(str::to_string).collect::<Vec<_>>()
    });
    (log, rows.collect())
}

fn line<'l>(log: &'l str, what: &str) -> &'l str {
    log.lines().find(|line| line.contains(what)).unwrap_or_else(|| panic!("no `{what}` in {log}"))
}

fn number(line: &str, name: &str) -> f64 {
    let (_, rest) = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn a_challenger_is_asked_about_the_same_rows_and_changes_nothing() {
    let (xgb, rf) = (model("mri_xgb.joblib"), model("mri_rf.joblib"));
    let folder = folder(&format!("{{ mri: {{ file: \"{xgb}\" }} }}"), 1);
    let (_, alone) = run(folder.path());
    assert_eq!(alone.len(), 201, "200 rows and a header");

    pipeline(
        folder.path(),
        &format!("{{ mri: {{ file: \"{xgb}\", shadow: forest }}, forest: {{ file: \"{rf}\" }} }}"),
        |text| text.to_string(),
    );
    let (log, beside) = run(folder.path());
    assert_eq!(alone, beside);
    let told = line(&log, "the challenger was asked");
    assert_eq!(number(told, "same") + number(told, "different"), 200.0, "{told}");
    assert!(number(told, "different") > 150.0 && number(told, "mean_difference") > 0.0, "{told}");
    assert_eq!((number(told, "refused"), number(told, "failed"), number(told, "skipped")), (0.0, 0.0, 0.0), "{told}");

    // The same model under another name says the same, of every row once.
    pipeline(
        folder.path(),
        &format!("{{ mri: {{ file: \"{xgb}\", shadow: twin }}, twin: {{ file: \"{xgb}\" }} }}"),
        |text| text.replace("AS seconds FROM records", "AS seconds FROM records WHERE mri(*) > 0 OR mri(*) <= 0"),
    );
    let told = run(folder.path()).0;
    let told = line(&told, "the challenger was asked");
    assert_eq!((number(told, "same"), number(told, "different")), (200.0, 0.0), "{told}");
    assert_eq!(number(told, "largest_difference"), 0.0, "{told}");

    // Where the query asks for it, its answer is a column.
    pipeline(
        folder.path(),
        &format!("{{ mri: {{ file: \"{xgb}\", shadow: forest }}, forest: {{ file: \"{rf}\" }} }}"),
        |text| text.replace("AS seconds", "AS seconds, mri_shadow(*) AS s, mri_shadow(*) = forest(*) AS same"),
    );
    let (_, rows) = run(folder.path());
    assert_eq!(rows.iter().filter(|row| row.ends_with(",true")).count(), 200, "{:?}", rows.iter().next());
}

#[test]
fn what_a_challenger_refuses_is_no_bad_record() {
    let countries = fixture("containers/countries.pickle");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("in.csv"), "cc\nDE\nFR\nXX\n").unwrap();
    let text = format!(
        "pipeline: p\nsource: {{ file: {{ path: in.csv }} }}\ndecode: {{ csv: {{ columns: [cc: utf8] }} }}\n\
         models: {{ a: {{ file: \"{countries}\", shadow: b }}, b: {{ file: \"{countries}\" }} }}\n\
         query: \"SELECT cc, CASE WHEN cc <> 'XX' THEN a(cc) ELSE 1 END AS p, a_shadow(cc) IS NULL AS refused FROM records\"\n\
         sinks: {{ out: {{ file: {{ path: out, format: csv }} }} }}\ntrigger: available_now\n"
    );
    std::fs::write(folder.path().join("p.yaml"), text).unwrap();
    let (log, rows) = run(folder.path());
    assert!(line(&log, "ended").contains("bad=0"), "{log}");
    let refused: Vec<&String> = rows.iter().filter(|row| row.ends_with(",true")).collect();
    assert!(refused.len() == 1 && refused[0].starts_with("XX,"), "{rows:?}");
}

#[test]
fn drift_is_told_by_column_and_the_same_however_rows_are_cut() {
    let xgb = model("mri_xgb.joblib");
    let folder = folder("{}", 20);
    let baseline = folder.path().join("mri.baseline.json").display().to_string();
    let data = folder.path().join("in.csv").display().to_string();
    good(&["baseline", &xgb, &data, "-o", &baseline]);

    let models = format!("{{ mri: {{ file: \"{xgb}\", drift: {{ baseline: mri.baseline.json, window: 1000 }} }} }}");
    pipeline(folder.path(), &models, |text| text.to_string());
    let (log, _) = run(folder.path());
    assert!(!log.contains("drift"), "the rows of the baseline are not far from it: {log}");

    // From the third thousand of rows on, everybody is thirty years older.
    let orders = std::fs::read_to_string(&data).unwrap();
    let older = |(at, line): (usize, &str)| {
        let mut fields: Vec<String> = line.split(',').map(str::to_string).collect();
        if at > 2000 {
            fields[5] = (fields[5].parse::<i64>().unwrap() + 30).to_string();
        }
        fields.join(",") + "\n"
    };
    std::fs::write(folder.path().join("in.csv"), orders.lines().enumerate().map(older).collect::<String>()).unwrap();
    let told = |log: &str| -> Vec<String> {
        let lines = log.lines().filter(|line| line.contains("drift"));
        lines.map(|line| line.split_once("drift").unwrap().1.to_string()).collect()
    };
    let (whole, _) = run(folder.path());
    let age = line(&whole, "column=\"AGE\"");
    assert!(age.contains("WARN") && number(age, "ks") > 0.2, "{age}");
    let others = ["ITEM_n", "ORDERDR_n", "DEPT_n", "SEX_n", "POS_n", "IO_n"];
    assert!(others.iter().all(|name| !whole.contains(&format!("column=\"{name}\""))), "{whole}");
    for rows in [7, 333] {
        let cut = format!("trigger: {{ mode: available_now, max_rows: {rows} }}");
        pipeline(folder.path(), &models, |text| text.replace("trigger: available_now", &cut));
        let (log, _) = run(folder.path());
        assert_eq!(told(&log), told(&whole), "{rows} rows a batch");
    }

    // The first rows as the baseline, which the next start finds again.
    let models = format!("{{ mri: {{ file: \"{xgb}\", drift: {{ first: 1000, window: 1000 }} }} }}");
    pipeline(folder.path(), &models, |text| text.to_string());
    let (log, _) = run(folder.path());
    assert!(line(&log, "the baseline is made").contains("rows=1000"), "{log}");
    line(&log, "column=\"AGE\"");
    let kept = folder.path().join(".foretell/baselines/watched/mri");
    assert!(kept.exists());
    std::fs::write(folder.path().join("in.csv"), orders).unwrap();
    std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    std::fs::rename(&kept, folder.path().join("kept")).unwrap();
    std::fs::remove_dir_all(folder.path().join(".foretell")).unwrap();
    std::fs::create_dir_all(kept.parent().unwrap()).unwrap();
    std::fs::rename(folder.path().join("kept"), &kept).unwrap();
    let path = folder.path().join("p.yaml").display().to_string();
    let log = text(&foretell(&["run", &path]).stderr);
    assert!(!log.contains("the baseline is made") && !log.contains("drift"), "{log}");
    std::fs::write(&kept, "{}").unwrap();
    assert!(bad_run(&path).contains("is damaged: delete it"), "a damaged baseline is not passed over");
}

fn bad_run(path: &str) -> String {
    let output = foretell(&["run", path]);
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr)
}

#[test]
fn what_cannot_be_watched_is_told_with_its_line() {
    let (xgb, countries) = (model("mri_xgb.joblib"), fixture("containers/countries.pickle"));
    let folder = folder("{}", 1);
    let path = folder.path().join("p.yaml").display().to_string();
    std::fs::write(folder.path().join("data.csv"), "x\n1\n").unwrap();
    for (models, told) in [
        (
            "{ mri: { file: \"XGB\", shadow: mir } }",
            "models.mri.shadow: there is no model of this name; did you mean `mri`?",
        ),
        ("{ mri: { file: \"XGB\", shadow: mri } }", "models.mri.shadow: a model is not its own challenger"),
        ("{ mri: { file: \"XGB\", shadow: cc }, cc: { file: \"CC\" } }", "models.mri.shadow: it takes "),
        ("{ mri: { file: \"XGB\", drift: {} } }", "models.mri.drift: either `baseline` or `first` is needed"),
        ("{ mri: { file: \"XGB\", drift: { first: 5 } } }", "models.mri.drift.first: a baseline is made of 100 to"),
        (
            "{ mri: { file: \"XGB\", drift: { first: 500, window: 5 } } }",
            "models.mri.drift.window: a window holds 100 to",
        ),
        ("{ mri: { file: \"XGB\", drift: { first: 500, psi: 0 } } }", "models.mri.drift.psi: a distance "),
        (
            "{ mri: { file: \"XGB\", drift: { baseline: data.csv } } }",
            "data.csv: it is not a baseline as `foretell baseline` writes it",
        ),
        ("{ mri: { file: \"XGB\", drift: { baseline: nowhere } } }", "models.mri.drift.baseline: "),
    ] {
        pipeline(folder.path(), &models.replace("XGB", &xgb).replace("CC", &countries), |text| text.to_string());
        let error = bad(&["check", "--offline", &path]);
        assert!(error.contains("p.yaml:4: ") && error.contains(told), "{error}");
    }
}
