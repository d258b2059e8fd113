//! The small commands and the command line itself, from the outside.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{bad, fixture, foretell, good, text};

#[test]
fn exit_codes() {
    assert_eq!(foretell(&["--version"]).status.code(), Some(0));
    assert_eq!(foretell(&["predict", "--help"]).status.code(), Some(0));
    for usage in [&[][..], &["predict"], &["predict", "a", "b", "--formt", "csv"], &["swim"], &["--log-level", "="]] {
        assert_eq!(foretell(usage).status.code(), Some(2), "{usage:?}");
    }
    assert_eq!(foretell(&["inspect", "none"]).status.code(), Some(1));
    assert_eq!(good(&["--version"]), format!("foretell {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_pipeline_file_that_is_wrong_is_one_line_and_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pipeline.yaml");
    std::fs::write(&path, "pipeline: p\nsorce: {}\n").unwrap();
    for command in ["run", "check"] {
        let output = foretell(&[command, path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let error = String::from_utf8(output.stderr).unwrap();
        let expected = format!("error: {}:2: unknown key `sorce`; did you mean `source`? ", path.display());
        assert!(error.starts_with(&expected) && error.lines().count() == 1, "{error}");
    }
}

#[test]
fn inspect_shows_a_model_as_text_and_as_json() {
    let model = fixture("sklearn-1.9/pipeline-mixed/model.joblib");
    let text = good(&["inspect", &model]);
    for part in [
        "file       zlib, protocol 4, 4992 bytes (13883 unpacked)\n",
        "library    scikit-learn 1.9.1\n",
        "trees      3, 81 nodes, depth at most 4\nkernel     ranks (f32)\nmemory     about ",
        "\nsteps\n  sklearn.pipeline.Pipeline\n    memory = None\n",
        "\n      numbers: sklearn.pipeline.Pipeline\n        columns: AGE, POS_n\n",
        "\n    forest: sklearn.ensemble._forest.RandomForestClassifier (3 trees, 81 nodes, depth at most 4)\n",
        "\ninputs (7)\n",
        "\n  AGE: number\n",
        "\n  ITEM: text\n",
        "\n  predict_proba: proba_",
        "\n  allowed  sklearn.pipeline.Pipeline  at byte ",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    let json: Value = serde_json::from_str(&good(&["inspect", &model, "--json"])).unwrap();
    assert_eq!(json["container"], "zlib");
    assert_eq!((&json["protocol"], &json["size"], &json["unpacked"]), (&4.into(), &4992.into(), &13883.into()));
    let model = &json["model"];
    assert_eq!((&model["library"], &model["libraries"][0]["version"]), (&"scikit-learn".into(), &"1.9.1".into()));
    assert_eq!((&model["trees"], &model["max_depth"], &model["kernel"]), (&3.into(), &4.into(), &"ranks (f32)".into()));
    assert_eq!(model["steps"]["class"], "sklearn.pipeline.Pipeline");
    assert_eq!(model["steps"]["steps"][1]["parameters"]["n_estimators"], "3");
    assert_eq!(
        (&model["inputs"][5]["kind"], &model["outputs"]["predict"][0]["type"]),
        (&"text".into(), &"Utf8".into())
    );
    assert!(json["globals"].as_array().unwrap().iter().all(|global| global["allowed"] == true));
}

#[test]
fn inspect_names_what_a_refused_file_would_have_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evil.pickle");
    std::fs::write(&path, b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R0cos\nsystem\n\x8c\x09").unwrap();
    let output = foretell(&["inspect", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("REFUSED  os.system  at byte 2, 2 times"), "{text}");
    assert!(text.contains("ended early, more may follow: byte 36 (SHORT_BINUNICODE)"), "{text}");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("`os.system`") && error.lines().count() == 1, "{error}");
}

#[test]
fn the_schema_is_json_and_knows_every_kind() {
    let schema: Value = serde_json::from_str(&good(&["schema"])).unwrap();
    assert_eq!(schema["title"], "foretell pipeline");
    assert!(schema["properties"]["decode"]["properties"].get("csv").is_some());
    assert!(schema["$defs"].get("Reference").is_some());
}

#[test]
fn completions_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(good(&["completions", shell]).contains("predict"), "{shell}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_not_an_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_foretell"))
        .args(["schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    // Far less is read than is written; then the pipe closes.
    BufReader::with_capacity(16, child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success());
}

#[test]
fn what_the_demo_says_comes_next_works_as_it_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let shell = |line: &str| Command::new("sh").args(["-c", line]).current_dir(folder.path()).output().unwrap();
    let demo = shell(&format!("{} demo --seconds 1 --dir 'my demo'", env!("CARGO_BIN_EXE_foretell")));
    let (shown, log) = (text(&demo.stdout), text(&demo.stderr));
    assert!(demo.status.success(), "{log}");
    let (_, next) = shown.split_once("\nNext:\n").expect("what comes next");
    let lines: Vec<&str> = next.lines().filter(|line| !line.trim().is_empty()).collect();
    assert_eq!(lines.len(), 3, "{next}");
    for line in lines {
        let output = shell(line);
        assert!(output.status.success() && !output.stdout.is_empty(), "{line}: {}", text(&output.stderr));
    }
}

#[test]
fn a_setting_under_its_earlier_name_is_refused_with_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pipeline.yaml");
    let text = "pipeline: p\nsource: { file: { path: cc.csv, lanes: 3 } }\nquery: SELECT cc FROM records\nsinks: { o: { console: {} } }\n";
    std::fs::write(&file, text).unwrap();
    let error = bad(&["check", file.to_str().unwrap()]);
    assert!(error.contains(":2: source.file: unknown key `lanes`; did you mean `partitions`?"), "{error}");
}

#[test]
fn what_stands_in_the_wrong_place_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let model = fixture("containers/countries.pickle");
    std::fs::write(path("cc.csv"), "cc,x\nDE,1\n").unwrap();
    assert!(bad(&["predict", &path("cc.csv"), &model]).ends_with("is not: the model comes first"));
    let error = bad(&["check", &model]);
    assert!(
        error.contains("is not a pipeline file; of a model file `foretell inspect` tells what is in it"),
        "{error}"
    );
    let yaml = |url: &str| {
        let text = format!(
            "pipeline: p\nsource: {{ file: {{ path: cc.csv }} }}\nquery: SELECT cc FROM records\n\
             sinks: {{ db: {{ sql: {{ url: \"{url}\", table: t }} }} }}\n"
        );
        std::fs::write(path("p.yaml"), text).unwrap();
        bad(&["check", &path("p.yaml")])
    };
    let error = yaml("${DATABASE_URL}");
    assert!(
        error.contains("p.yaml:4: sinks.db.sql.url: the environment variable `DATABASE_URL` is not set; set it before"),
        "{error}"
    );
    let error = yaml("mysql://u:${HOME}@h/db");
    assert!(error.contains("the URL holds a password") && error.contains("write `{ env: NAME }`"), "{error}");
}

#[test]
fn whoever_reads_the_output_may_stop_reading() {
    let folder = tempfile::tempdir().unwrap();
    let pipeline = folder.path().join("p.yaml");
    std::fs::create_dir(folder.path().join("in")).unwrap();
    std::fs::write(folder.path().join("in/a.csv"), "a\n1\n").unwrap();
    let text_of = "pipeline: p\nsource: { file: { path: in } }\nquery: SELECT a FROM records\n\
        sinks: { out: { file: { path: out.csv } } }\ntrigger: available_now\n";
    std::fs::write(&pipeline, text_of).unwrap();
    let pipeline = pipeline.to_str().unwrap();
    good(&["run", pipeline]);
    for args in [&["positions", "show", pipeline][..], &["check", pipeline], &["demo", "--help"]] {
        let command = "\"$0\" \"$@\" | true; exit ${PIPESTATUS[0]}";
        let mut all = vec!["-c", command, env!("CARGO_BIN_EXE_foretell")];
        all.extend(args);
        let output = std::process::Command::new("bash").args(all).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    }
    let full = std::process::Command::new("bash")
        .args(["-c", "\"$0\" positions show \"$1\" >/dev/full", env!("CARGO_BIN_EXE_foretell"), pipeline])
        .output()
        .unwrap();
    if std::path::Path::new("/dev/full").exists() {
        assert_eq!(full.status.code(), Some(1));
        assert!(text(&full.stderr).starts_with("error: standard output: "), "{}", text(&full.stderr));
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    good(&["man", &folder.path().display().to_string()]);
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert!(page("foretell.1").contains("foretell\\-run(1)"), "{}", page("foretell.1"));
    assert!(page("foretell-run.1").contains("worker\\-id"));
}
