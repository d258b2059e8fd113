//! Lines from real `nc`, in both directions: what comes is what Python says, whatever dies and whoever sends.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use crate::harness::case::same;
use crate::harness::nc::{self, free_port};
use crate::harness::orders::{ORDERS, Order, order};
use crate::harness::sandbox::Sandbox;
use crate::harness::{root, until, wait};

/// The committed example's listener with other addresses.
fn listener(name: &str, port: u16, more: &str) -> Sandbox {
    let sandbox = Sandbox::new(name);
    sandbox.pipeline(&example(
        "listen.yaml",
        &[
            ("127.0.0.1:9999\"", &format!("127.0.0.1:{port}\"{more}")),
            ("{ every: 5s }", "{ every: 100ms }\nprogress: 1s"),
        ],
    ));
    sandbox
}

fn example(file: &str, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(root().join("examples/socket").join(file)).unwrap();
    for (from, to) in changes.iter().chain(&[("../mri/", "${root}/examples/mri/")]) {
        assert!(text.contains(from), "the example has `{from}`");
        text = text.replace(from, to);
    }
    text
}

fn line(order: &Order) -> String {
    format!("{},{}\n", order.pno, order.features)
}

/// Made-up patients.
fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("p{number},{}\n", order(number).features)).collect()
}

fn expected(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("p{number} {}", order(number).minutes)).collect()
}

/// What is in the pipeline's SQLite table, as `PNO minutes`.
fn table(sandbox: &Sandbox) -> Vec<String> {
    let url = format!("sqlite://{}", sandbox.dir.path().join("result.db").display());
    wait(async {
        let Ok(mut connection) = SqliteConnection::connect(&url).await else { return Vec::new() };
        let sql = AssertSqlSafe("SELECT PNO || ' ' || PRETIME FROM result".to_string());
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap_or_default();
        rows.iter().map(|row| row.get::<String, _>(0)).collect()
    })
}

/// The dead letters' reasons.
fn reasons(sandbox: &Sandbox) -> Vec<String> {
    let text = std::fs::read_to_string(sandbox.dir.path().join("bad.jsonl")).unwrap_or_default();
    let reason = |line: &str| {
        let letter: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&letter["topic"], &letter["key"]), (&"socket".into(), &serde_json::Value::Null));
        format!(
            "{}: {} ({})",
            letter["stage"].as_str().unwrap(),
            letter["reason"].as_str().unwrap(),
            letter["value_size"]
        )
    };
    text.lines().map(reason).collect()
}

/// Where the spool ends, by `positions show`.
fn log_ends(sandbox: &Sandbox) -> usize {
    let shown = sandbox.run(&["positions", "show"]).well().out;
    let row = shown.lines().find(|line| line.starts_with("db ")).unwrap_or_else(|| panic!("{shown}"));
    row.split_whitespace().nth(4).unwrap().parse().unwrap()
}

/// The committed example, with batches of one second: `nc -lk` serves, dies, and comes again.
#[test]
fn a_table_on_the_console_from_a_server() {
    let port = free_port();
    let sandbox = Sandbox::new("socket-connect");
    sandbox.pipeline(&example(
        "pipeline.yaml",
        &[
            ("localhost:9999", &format!("localhost:{port}")),
            ("rows: 20", "rows: 1000"),
            ("{ every: 5s }", "{ every: 1s }\nprogress: 1s"),
        ],
    ));
    let checked = sandbox.run(&["check"]).well();
    assert!(checked.out.contains("no spool: a crash loses the lines in memory"), "{}", checked.out);
    let run = sandbox.start(&["run"]);
    until("it looks for the server", || run.log().contains("connecting again in"));
    let (first, second) = ORDERS.split_at(120);
    for orders in [first, second] {
        let mut server = nc::server(port);
        let counts = |log: &str| log.matches(" connected ").count();
        let before = counts(&run.log());
        until("it connects", || counts(&run.log()) > before);
        server.send(orders.iter().map(line).collect::<String>());
        std::thread::sleep(Duration::from_secs(2));
    }
    run.terminate();
    let ended = run.ended(Duration::from_secs(10)).well();
    let expected = ORDERS.iter().map(|order| format!("{} {}", order.pno, order.minutes)).collect();
    let cells = |row: &str| row.split('|').map(str::trim).filter(|cell| !cell.is_empty()).collect::<Vec<_>>().join(" ");
    let rows = ended.out.lines().filter(|line| line.starts_with("| ") && !line.contains("PNO")).map(cells);
    same("table", expected, rows.collect());
    assert!(ended.err.contains("no `spool`: lines that are not in every sink"), "{}", ended.err);
    assert!(
        ended.err.contains("the peer closed the connection (after 120 lines): connecting again in"),
        "{}",
        ended.err
    );
    let mut words = ended.err.split(|letter: char| !letter.is_alphanumeric());
    assert_eq!(words.find(|word| ORDERS.iter().any(|order| order.pno == *word)), None, "no value is in the log");
}

/// Killed in the middle of batches; what `positions show` says is in the spool comes, each once.
#[test]
fn kill_9_loses_and_doubles_nothing_that_was_spooled() {
    const KILLS: usize = 4;
    let port = free_port();
    let sandbox = listener("socket-kill", port, "");
    let mut spooled = 0;
    for kill in 0..=KILLS {
        let landed = table(&sandbox).len();
        let run = sandbox.start(&["run"]);
        until("it listens", || run.log().contains("listening"));
        let from = spooled;
        let send = std::thread::spawn(move || {
            let mut client = nc::client(port);
            // The line's number is its offset: this run's lines begin where the spool ends.
            let all = (from..from + 6000).step_by(200).all(|at| client.send(lines(at..at + 200)));
            client.finish();
            all
        });
        if kill == KILLS {
            assert!(send.join().unwrap());
            until("the rest", || table(&sandbox).len() == spooled + 6000);
            run.terminate();
            run.ended(Duration::from_secs(10)).well();
        } else {
            until("rows of this run", || table(&sandbox).len() > landed + 300 * kill);
            std::thread::sleep(Duration::from_millis(13 * kill as u64));
            run.kill();
            send.join().unwrap();
        }
        spooled = log_ends(&sandbox);
    }
    same("table", expected(0..spooled), table(&sandbox));
    assert!(reasons(&sandbox).is_empty());
}

#[test]
fn without_a_spool_a_restart_begins_anew_and_doubles_nothing() {
    let port = free_port();
    let sandbox = listener("socket-memory", port, "");
    let text = std::fs::read_to_string(sandbox.dir.path().join("pipeline.yaml")).unwrap();
    sandbox.pipeline(&text.replace(", spool: spool", ""));
    assert!(sandbox.run(&["check"]).well().out.contains("(at most once, one worker)"));
    let mut sent = 0;
    for kill in [true, false, true] {
        let run = sandbox.start(&["run"]);
        until("it listens", || run.log().contains("listening"));
        let mut client = nc::client(port);
        client.send(lines(sent..sent + 50));
        client.finish();
        sent += 50;
        until("all of it", || table(&sandbox).len() == sent);
        match kill {
            true => run.kill(),
            false => {
                run.terminate();
                run.ended(Duration::from_secs(10)).well();
            }
        }
        same("table", expected(0..sent), table(&sandbox));
    }
}

/// Junk, a line of 10 MB, a half-dead peer, one too many, one that takes its time.
#[test]
fn peers_that_misbehave_harm_nobody_else() {
    let port = free_port();
    let sandbox = listener("socket-peers", port, ", max_connections: 3, idle_timeout: 3s");
    let run = sandbox.start(&["run"]);
    until("it listens", || run.log().contains("listening"));

    let mut slow = nc::client(port);
    assert!(slow.send("p0,"));
    let mut half_dead = nc::client(port);
    assert!(half_dead.send("p1,1,2"));
    let mut junk = nc::client(port);
    junk.send([&b"\x00\xff\xfe\x80\n"[..], &vec![b'x'; 10_000_000], b"\r\n", lines(2..3).as_bytes()].concat());
    until("what followed the junk", || table(&sandbox).contains(&expected(2..3)[0]));
    // Three are connected.
    let mut refused = nc::client(port);
    refused.send(lines(900..901));
    until("it is refused", || run.log().contains("3 are open, which is `max_connections`"));
    junk.finish();
    let mut honest = nc::client(port);
    for at in (3..1003).step_by(100) {
        assert!(honest.send(lines(at..at + 100)));
        slow.send(&order(0).features[at / 100..at / 100 + 1]);
    }
    until("the honest one's orders", || table(&sandbox).len() == 1001);
    honest.finish();
    slow.send(format!("{}\n", &order(0).features[10..]));
    until("the slow one's order", || table(&sandbox).len() == 1002);
    until("the half-dead one is gone", || run.log().contains("the peer was silent for `idle_timeout`"));
    until("four bad lines", || reasons(&sandbox).len() == 3);
    run.terminate();
    let ended = run.ended(Duration::from_secs(10)).well();

    same("table", expected(2..1003).into_iter().chain(expected(0..1)).collect(), table(&sandbox));
    let told = [
        "decode csv: 8 fields expected, 1 found (4)",
        "source socket: a line of 10000000 bytes, which is more than `max_line` (1048576) (10000000)",
        "source socket: the connection broke within this line (6)",
    ];
    same("dead letters", told.map(str::to_string).to_vec(), reasons(&sandbox));
    assert!(!ended.err.contains("xxxx") && !ended.err.contains("p1,1"), "no value is in the log: {}", ended.err);
}

#[test]
fn what_cannot_be_is_told_at_start() {
    let port = free_port();
    let sandbox = listener("socket-start", port, "");
    let run = sandbox.start(&["run"]);
    until("it listens", || run.log().contains("listening"));
    sandbox.run(&["run", "--workers", "2"]).says(&["source.socket", "one worker", "`--workers 1`"]);
    sandbox.run(&["run"]).says(&["source.socket", "in use"]);
    // The same spool behind another port.
    let pipeline = sandbox.dir.path().join("pipeline.yaml");
    let text = std::fs::read_to_string(&pipeline).unwrap();
    sandbox.pipeline(&text.replace(&port.to_string(), &free_port().to_string()));
    sandbox.run(&["run"]).says(&["source.socket", "spool", "in use by another process", "another folder"]);
    sandbox.pipeline(&text.replace("127.0.0.1", "0.0.0.0"));
    sandbox.run(&["check"]).says(&["source.socket", "lets other machines in", "`allow_remote: true`"]);
    // A check beside the running pipeline is none of its business.
    sandbox.pipeline(&text);
    assert!(sandbox.run(&["check"]).well().out.contains("nothing moved"));
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
}

#[test]
fn a_batch_that_takes_longer_than_the_interval_is_in_the_progress_line() {
    let port = free_port();
    let sandbox = listener("socket-late", port, "");
    let run = sandbox.start(&["run"]);
    until("it listens", || run.log().contains("listening"));
    let mut client = nc::client(port);
    client.send(lines(0..60_000));
    client.finish();
    until("it is told", || run.log().contains("s, longer than every 0.1 s"));
    until("all of it", || table(&sandbox).len() == 60_000);
    run.terminate();
    run.ended(Duration::from_secs(10)).well();
    same("table", expected(0..60_000), table(&sandbox));
}
