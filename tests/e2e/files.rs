//! Files in: the two batch examples, crashes in mid-file, new files, S3.

use std::path::Path;
use std::time::Duration;

use crate::harness::case::{rows, same};
use crate::harness::database::Database;
use crate::harness::hdfs::{self, hdfs, local};
use crate::harness::sandbox::Sandbox;
use crate::harness::{foretell, root, s3, until};

/// An example's pipeline with the addresses of a test.
fn example(sandbox: &Sandbox, name: &str) {
    let text = std::fs::read_to_string(root().join("examples").join(name).join("pipeline.yaml")).unwrap();
    let mut text = text.replace("models/", &format!("${{root}}/examples/{name}/models/"));
    for (from, to) in [(format!("pipeline: {name}"), "pipeline: ${id}"), ("hdfs://localhost:9000".into(), "${hdfs}")] {
        assert!(text.contains(&from), "the example has `{from}`");
        text = text.replace(&from, to);
    }
    sandbox.pipeline(&text);
    hdfs::put(&format!("{}/data/orders.csv", sandbox.hdfs()), read(&format!("examples/{name}/orders.csv")).into());
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The lines of text files, without a header where each has one.
fn lines(files: &[(String, bytes::Bytes)], header: bool) -> Vec<String> {
    let text = |bytes: &bytes::Bytes| String::from_utf8(bytes.to_vec()).unwrap();
    let lines = |text: String| text.lines().skip(usize::from(header)).map(str::to_string).collect::<Vec<_>>();
    files.iter().flat_map(|(_, bytes)| lines(text(bytes))).collect()
}

#[test]
fn a_batch_as_a_data_frame() {
    let sandbox = Sandbox::new("batch-dataframe");
    example(&sandbox, "batch-dataframe");
    let checked = sandbox.run(&["check"]).well().out;
    for text in ["1 files", "orders.csv", "with a header", "AGE float64?", "MD_NO_n int64?", "from the header"] {
        assert!(checked.contains(text), "`{text}` is not in: {checked}");
    }
    sandbox.run(&["run"]).well();
    let expected: Vec<String> =
        read("examples/batch-dataframe/expected.csv").lines().skip(1).map(str::to_string).collect();
    assert_eq!(expected.len(), 1940);
    let folder = |name: &str| format!("{}/output/{name}", sandbox.hdfs());
    same("CSV", expected.clone(), lines(&hdfs(&folder("minutes.csv")), true));
    let parquet = hdfs(&folder("minutes.parquet"));
    let parquet: String = parquet.into_iter().map(|(_, bytes)| rows(bytes)).collect();
    let of_row = |line: &str| {
        let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let text = |(name, value): (&String, &serde_json::Value)| match name.as_str() {
            "SECONDS" => (value.as_f64().unwrap() as f32).to_string(),
            _ => value.to_string(),
        };
        row.iter().map(text).collect::<Vec<_>>().join(",")
    };
    // Of the two nearest texts of a float each library has its own.
    let again = |line: &String| {
        let mut fields: Vec<String> = line.split(',').map(str::to_string).collect();
        fields[11] = fields[11].parse::<f32>().unwrap().to_string();
        fields.join(",")
    };
    same("Parquet", expected.iter().map(again).collect(), parquet.lines().map(of_row).collect());
    for name in ["minutes.csv", "minutes.parquet"] {
        assert!(hdfs::exists(&format!("{}/_SUCCESS", folder(name))), "{name} is marked");
    }
    // Nothing new, nothing more.
    sandbox.run(&["run"]).well();
    same("CSV", expected, lines(&hdfs(&folder("minutes.csv")), true));
    assert!(hdfs::exists(&format!("{}/_SUCCESS", folder("minutes.csv"))));
}

#[test]
fn a_batch_of_lines_with_the_bad_ones_set_aside() {
    let sandbox = Sandbox::new("batch-lines");
    example(&sandbox, "batch-lines");
    sandbox.run(&["run"]).well();
    let text = read("examples/batch-lines/orders.csv");
    let orders: Vec<&str> = text.lines().collect();
    let expected = read("examples/batch-lines/expected.csv");
    let expected = expected.lines().skip(1).map(|line| {
        let (number, minutes) = line.split_once(',').unwrap();
        let fields: Vec<&str> = orders[number.parse::<usize>().unwrap() - 1].split(',').collect();
        format!("{},{},{},{minutes}", fields[0], fields[7], fields[3])
    });
    same("minutes", expected.collect(), lines(&hdfs(&format!("{}/output/minutes", sandbox.hdfs())), false));
    let bad = lines(&hdfs(&format!("{}/output/bad", sandbox.hdfs())), true);
    let number = |line: &String| line.split(',').nth(1).unwrap().to_string();
    let expected = read("examples/batch-lines/expected_bad.txt").lines().map(str::to_string).collect();
    same("bad lines", expected, bad.iter().map(number).collect());
    let file = format!("{}/data/orders.csv,", sandbox.text("${hdfs}"));
    assert!(bad.iter().all(|line| line.starts_with(&file)), "{bad:?}");
    assert!(bad.iter().any(|line| line.contains("field 1 (AGE): not a float64")), "{bad:?}");
}

const MINUTES: &str = "
pipeline: ${id}
source: { file: { path: \"PATH\", format: csv, header: false, split: 20000, partitions: 5, poll: 100ms } }
decode: { csv: { columns: [PNO: utf8, ITEM_n: int64, ORDERDR_n: int64, DEPT_n: int64, SEX_n: int64, AGE: int64, POS_n: int64, IO_n: int64] } }
models: { mri: { file: \"${root}/examples/mri/models/mri_xgb.joblib\" } }
query: |
  SELECT PNO, CAST(mri(ITEM_n, ORDERDR_n, DEPT_n, SEX_n, AGE, POS_n, IO_n) AS BIGINT) / 60 AS PRETIME FROM records
sinks:
  out: { file: { path: \"OUT\", format: csv, header: false, success: true } }
  db: { sql: { url: { env: POSTGRES_URL }, table: result_${id}, create: true } }
dead_letters: { file: { path: bad, format: jsonl } }
trigger: { mode: MODE, max_rows: 300 }
";

fn minutes(path: &str, out: &str, mode: &str) -> String {
    MINUTES.replace("PATH", path).replace("OUT", out).replace("MODE", mode)
}

/// Orders of made-up patients as lines, every hundredth broken, and what must come of them.
fn patients(numbers: std::ops::Range<usize>) -> (String, Vec<String>) {
    use crate::harness::orders::order;
    let mut text = String::new();
    let mut expected = Vec::new();
    for number in numbers {
        text.push_str(&format!("p{number},{}\n", order(number).features));
        expected.push(format!("p{number},{}", order(number).minutes));
        if number % 100 == 50 {
            text.push_str("broken\n");
        }
    }
    (text, expected)
}

/// The numbers of the broken lines that were set aside.
fn broken(sandbox: &Sandbox) -> Vec<String> {
    let letters = lines(&local(&sandbox.dir.path().join("bad")), false);
    let number = |line: &String| {
        let letter: serde_json::Value = serde_json::from_str(line).unwrap();
        letter["line"].to_string()
    };
    letters.iter().map(number).collect()
}

fn table(sandbox: &Sandbox) -> Vec<String> {
    use crate::harness::database::Database;
    let rows = Database::Postgres.select(&["PNO", "PRETIME"], &sandbox.name("result"));
    rows.into_iter().map(|row| row.into_iter().map(Option::unwrap).collect::<Vec<_>>().join(",")).collect()
}

#[test]
fn kill_9_in_mid_file_loses_and_doubles_nothing() {
    let sandbox = Sandbox::new("files-crash");
    let (text, expected) = patients(0..20_000);
    hdfs::put(&format!("{}/in/orders.csv", sandbox.hdfs()), text.clone().into());
    let pipeline = minutes("${hdfs}/in/*.csv", "${hdfs}/out", "available_now");
    sandbox.pipeline(&pipeline.replace("header: false, split", "header: true, split"));
    sandbox.run(&["check"]).says(&["pipeline.yaml:3: source.file", "orders.csv: the first line is not `PNO, "]);
    sandbox.pipeline(&pipeline);
    let out = format!("{}/out", sandbox.hdfs());
    let landed = || if hdfs::exists(&out) { lines(&hdfs(&out), false).len() } else { 0 };
    let mut before = 0;
    for kill in 0..3 {
        let run = sandbox.start(&["run", "--workers", "2"]);
        until("rows of this run", || landed() > before + 1000);
        std::thread::sleep(Duration::from_millis(13 * kill));
        run.kill();
        before = landed();
        assert!(before < expected.len(), "killed before the end, at {before}");
    }
    // Told to stop, it is not complete.
    let run = sandbox.start(&["run", "--workers", "2"]);
    until("rows of this run", || landed() > before + 300);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    assert!(!hdfs::exists(&format!("{out}/_SUCCESS")), "{} of {} rows", landed(), expected.len());
    // With another number of workers, too.
    sandbox.run(&["run", "--workers", "1"]).well();
    same("part files", expected.clone(), lines(&hdfs(&out), false));
    same("table", expected, table(&sandbox));
    let numbers =
        (1..).zip(text.lines()).filter(|(_, line)| *line == "broken").map(|(number, _): (usize, _)| number.to_string());
    same("bad lines", numbers.collect(), broken(&sandbox));
    assert!(hdfs::exists(&format!("{out}/_SUCCESS")));
}

#[test]
fn new_files_become_new_rows_each_once() {
    let sandbox = Sandbox::new("files-watch");
    sandbox.pipeline(&minutes("in", "out", "continuous"));
    let folder = sandbox.dir.path().join("in");
    std::fs::create_dir(&folder).unwrap();
    let mut all = Vec::new();
    let mut put = |name: &str, numbers| {
        let (text, expected) = patients(numbers);
        // Written aside and moved in whole, as whoever delivers files should.
        std::fs::write(folder.join(format!(".{name}")), text).unwrap();
        std::fs::rename(folder.join(format!(".{name}")), folder.join(name)).unwrap();
        all.extend(expected);
        all.len()
    };
    let rows = || {
        if sandbox.dir.path().join("out").exists() {
            lines(&local(&sandbox.dir.path().join("out")), false).len()
        } else {
            0
        }
    };
    let first = put("b.csv", 0..500);
    let run = sandbox.start(&["run"]);
    until("the file that was there", || rows() == first);
    let second = put("a.csv", 500..1700);
    until("the one that came", || rows() == second);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    put("c.csv", 1700..1800);
    let third = put("d.csv", 1800..1801);
    let run = sandbox.start(&["run", "--workers", "1"]);
    until("those that came meanwhile", || rows() == third);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    same("part files", all.clone(), lines(&local(&sandbox.dir.path().join("out")), false));
    same("table", all, table(&sandbox));

    std::fs::write(folder.join("a.csv"), "another\n").unwrap();
    sandbox.run(&["run"]).says(&[
        "a.csv: another file has its name now",
        "a file is read once",
        "`foretell positions forget`",
    ]);
}

#[test]
fn compressed_files_on_s3() {
    let mut sandbox = Sandbox::new("files-s3");
    let folder = format!("{}/in", sandbox.id);
    let s3 = format!(
        "PATH\", s3: {{ endpoint: \"{}\", access_key_id: {{ env: S3_KEY }}, secret_access_key: {{ env: S3_SECRET }} }}, format: csv",
        s3::endpoint()
    );
    let text = minutes("PATH", "out", "available_now").replace("PATH\", format: csv", &s3);
    sandbox.env.extend([("S3_KEY".to_string(), s3::key()), ("S3_SECRET".to_string(), s3::secret())]);
    sandbox.pipeline(&text.replace("PATH", &format!("s3://foretell/{folder}/*.csv*")));
    let mut all = Vec::new();
    for (at, name) in ["a.csv", "b.csv.gz", "c.csv.zst", "d.txt"].into_iter().enumerate() {
        let (text, expected) = patients(at * 1000..at * 1000 + 900);
        s3::put(&format!("{folder}/{name}"), s3::pack(name, text.as_bytes()));
        if at < 3 {
            all.extend(expected);
        }
    }
    // `check` opens them, packed or not, where they are.
    let pipeline = text.replace("PATH", &format!("s3://foretell/{folder}/*.csv*"));
    sandbox.pipeline(&pipeline.replace("header: false, split", "header: true, split"));
    sandbox.run(&["check"]).says(&[
        "pipeline.yaml:3: source.file",
        "s3://foretell",
        "a.csv: the first line is not `PNO, ",
    ]);
    sandbox.pipeline(&pipeline);
    sandbox.run(&["check"]).well();
    sandbox.run(&["run"]).well();
    same("part files", all.clone(), lines(&local(&sandbox.dir.path().join("out")), false));
    same("table", all, table(&sandbox));
    assert_eq!(broken(&sandbox).len(), 27);
    sandbox.env.last_mut().unwrap().1 = "wrong".into();
    sandbox.run(&["check"]).says(&["pipeline.yaml:3: source.file", "s3://foretell"]);
}

/// What clients of S3 take from the environment.
fn s3_environment() -> Vec<(String, String)> {
    let all = [
        ("AWS_ENDPOINT_URL", s3::endpoint()),
        ("AWS_ACCESS_KEY_ID", s3::key()),
        ("AWS_SECRET_ACCESS_KEY", s3::secret()),
    ];
    all.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

#[test]
fn results_and_state_on_s3_outlive_kill_9() {
    let mut sandbox = Sandbox::new("files-to-s3");
    sandbox.env.extend(s3_environment());
    let (text, expected) = patients(0..20_000);
    std::fs::write(sandbox.dir.path().join("orders.csv"), text).unwrap();
    let out = format!("{}/out", sandbox.id);
    let pipeline = minutes("orders.csv", &format!("s3://foretell/{out}"), "available_now");
    sandbox.pipeline(&format!("state: s3://foretell/{}/state\n{pipeline}", sandbox.id));
    let landed = || lines(&s3::get(&out), false).len();
    let mut before = 0;
    for kill in 0..3 {
        let run = sandbox.start(&["run", "--workers", "2"]);
        until("rows of this run", || landed() > before + 1000);
        std::thread::sleep(Duration::from_millis(17 * kill));
        run.kill();
        before = landed();
        assert!(before < expected.len(), "killed before the end, at {before}");
    }
    sandbox.run(&["run"]).well();
    same("objects", expected.clone(), lines(&s3::get(&out), false));
    same("table", expected, table(&sandbox));
    sandbox.run(&["run"]).well();
    assert_eq!(landed(), 20_000);
}

#[test]
fn predict_reads_what_sources_read_wherever_it_is() {
    let mut sandbox = Sandbox::new("files-predict");
    sandbox.env.extend(s3_environment());
    let example = root().join("examples/batch-dataframe");
    let model = std::fs::read_dir(example.join("models")).unwrap().map(|entry| entry.unwrap().path()).min().unwrap();
    // The example's later lines are broken here and there.
    let text = read("examples/batch-dataframe/orders.csv");
    let data: Vec<u8> = text.lines().take(151).flat_map(|line| format!("{line}\n").into_bytes()).collect();
    let file = sandbox.dir.path().join("orders.csv");
    std::fs::write(&file, &data).unwrap();
    let predict = |data: &[&str]| {
        let mut args = vec!["predict", model.to_str().unwrap()];
        args.extend(data);
        foretell::run(&args, &sandbox.env).well().out
    };
    let expected = predict(&[file.to_str().unwrap()]);
    assert_eq!(expected.lines().count(), 151);
    let folder = format!("{}/in", sandbox.id);
    s3::put(&format!("{folder}/orders.csv.gz"), s3::pack("orders.csv.gz", &data));
    assert_eq!(predict(&[&format!("s3://foretell/{folder}/*.gz")]), expected);
    let hdfs_folder = sandbox.text("${hdfs}/in");
    hdfs::put(&format!("{}/in/orders.csv", sandbox.hdfs()), data.into());
    assert_eq!(predict(&[&hdfs_folder]), expected);
    let twice = predict(&[&format!("{hdfs_folder}/orders.csv"), &format!("s3://foretell/{folder}")]);
    assert_eq!(twice.lines().count(), 2 * expected.lines().count() - 1);
}

/// A decimal in a file, and one of a table that is joined to it, land in databases and files with all their digits.
const EXACT: &str = "
pipeline: ${id}
source: { file: { path: in.jsonl } }
decode: { json: { columns: [id: int64, d: \"decimal(38,9)?\"] } }
tables:
  prices: { sql: { url: { env: POSTGRES_URL }, table: prices_${id} }, key: id }
query: SELECT id, d, d + 1 AS more, prices.p AS p FROM records LEFT JOIN prices USING (id)
sinks:
  out: { file: { path: out.csv } }
  maria: { sql: { url: { env: MARIADB_URL }, table: exact_${id} } }
  postgres: { sql: { url: { env: POSTGRES_URL }, table: exact_${id}, create: true } }
dead_letters: { file: { path: bad.jsonl } }
trigger: available_now
";

#[test]
fn decimals_are_exact_from_file_and_table_to_every_sink() {
    let sandbox = Sandbox::new("exact");
    let text =
        "{\"id\":1,\"d\":12345678901234567890.123456789}\n{\"id\":2,\"d\":\"-0.1\"}\n{\"id\":3,\"d\":0.0000000001}\n";
    std::fs::write(sandbox.dir.path().join("in.jsonl"), text).unwrap();
    let (prices, exact) = (sandbox.name("prices"), sandbox.name("exact"));
    Database::Postgres.execute(&format!(
        "CREATE TABLE {prices} (id INT, p NUMERIC(30,12)); INSERT INTO {prices} VALUES (1, 123456789012345678.000000000001)"
    ));
    Database::MariaDb
        .execute(&format!("CREATE TABLE {exact} (id INT, d DECIMAL(38,9), more DECIMAL(38,9), p DECIMAL(38,12))"));
    sandbox.pipeline(EXACT);
    sandbox.run(&["run"]).well();
    let expected = [
        "1 12345678901234567890.123456789 12345678901234567891.123456789 123456789012345678.000000000001",
        "2 -0.100000000 0.900000000 ",
    ];
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    for database in [Database::MariaDb, Database::Postgres] {
        let rows = database.select(&["id", "d", "more", "p"], &format!("{exact} ORDER BY id"));
        let shown =
            |row: &Vec<Option<String>>| row.iter().map(|v| v.clone().unwrap_or_default()).collect::<Vec<_>>().join(" ");
        assert_eq!(rows.iter().map(shown).collect::<Vec<_>>(), expected, "{database:?}");
    }
    let written = lines(&local(&sandbox.dir.path().join("out.csv")), true);
    assert_eq!(written, expected.iter().map(|row| row.replace(' ', ",")).collect::<Vec<_>>());
    let bad = lines(&local(&sandbox.dir.path().join("bad.jsonl")), false);
    assert_eq!(bad.len(), 1);
    assert!(bad[0].contains("more digits behind the point than a decimal(38,9) has"), "{bad:?}");
}

#[test]
fn what_is_wrong_with_files_is_said_at_start() {
    let sandbox = Sandbox::new("files-wrong");
    let out = Path::new("out").display().to_string();
    std::fs::write(sandbox.dir.path().join("a.csv"), "p1,0,1,2,0,4,5,1\n").unwrap();
    for (path, texts) in [
        ("*.tsv", ["pipeline.yaml:3: source.file", "no file matches *.tsv"]),
        ("no/*.csv", ["pipeline.yaml:3: source.file", "no such folder"]),
        ("s3://bucket/x", ["pipeline.yaml:3: source.file", "no credentials"]),
    ] {
        sandbox.pipeline(&minutes(path, &out, "available_now"));
        sandbox.run(&["check"]).says(&texts);
        sandbox.run(&["run"]).says(&texts);
    }
    // Wider than its header says: no order, and no other column either.
    sandbox.pipeline(&minutes("a.csv", &out, "available_now").replace("header: false, split", "header: true, split"));
    for command in ["check", "run"] {
        sandbox.run(&[command]).says(&["a.csv: the first line is not `PNO, ITEM_n,", "`header: false`"]);
    }
    sandbox.pipeline(&minutes("a.csv", &out, "available_now"));
    sandbox.run(&["run"]).well();
    assert_eq!(table(&sandbox).len(), 1);
}
