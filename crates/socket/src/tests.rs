//! The source with peers of every kind, over real connections.

use std::io::{Read, Write};
use std::net::{TcpListener as StdListener, TcpStream as StdStream};
use std::path::Path;
use std::thread::JoinHandle;

use foretell_flow::{Fault, Records};
use serde_json::{Value, json};

use super::*;
use foretell_connect::kind::DecodeSpec;
use foretell_connect::storage::Local;

fn settings(settings: Value) -> Box<dyn SourceSettings> {
    (KIND.parse)(settings).unwrap()
}

fn context(base: &Path) -> SourceContext {
    SourceContext {
        pipeline: "test".into(),
        worker: "0".into(),
        index: 0,
        workers: 1,
        ends: false,
        decode: DecodeSpec { kind: "csv".into(), settings: json!({}) },
        state: (Arc::new(Local), base.join("state").display().to_string()),
        home: String::new(),
        base: base.into(),
        observe: false,
    }
}

fn free_port() -> u16 {
    StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A source at work, and what came of it.
struct Bed {
    source: Box<dyn Source>,
    port: u16,
    next: i64,
    lines: Vec<(String, Option<String>)>,
}

impl Bed {
    /// Listens with these settings beside.
    async fn listen(more: Value) -> Bed {
        let port = free_port();
        let mut all = json!({ "listen": format!("127.0.0.1:{port}") });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Bed::open(all, port).await
    }

    async fn open(all: Value, port: u16) -> Bed {
        let source = settings(all).open(&context(Path::new("/")), false).await.unwrap();
        let mut bed = Bed { source, port, next: 0, lines: Vec::new() };
        let Event::Assigned(partitions) = bed.event().await else { panic!("assigned first") };
        let start = bed.source.bounds(&partitions).await.unwrap()[0].start;
        bed.source.seek(&[Position { partition: partition(), next: start }]).await.unwrap();
        bed.next = start;
        bed
    }

    async fn event(&mut self) -> Event {
        let demand = Demand { rows: 1000, bytes: 1 << 20, wait: Duration::from_millis(100) };
        self.source.next(demand).await.unwrap()
    }

    fn peer(&self) -> StdStream {
        StdStream::connect(("127.0.0.1", self.port)).unwrap()
    }

    async fn commit(&mut self) {
        self.source.housekeeping().commit(&[Position { partition: partition(), next: self.next }], "").await.unwrap();
    }

    fn take(&mut self, records: &Records) {
        for row in 0..records.len() {
            assert_eq!(records.offsets.value(row), self.next, "no gap");
            assert!(records.keys.value(row).is_empty() && records.timestamps.value(row) > 1_700_000_000_000);
            let cut = records.cut.iter().find(|cut| cut.row == row).map(|cut| cut.reason.clone());
            self.lines.push((String::from_utf8_lossy(records.values.value(row)).into_owned(), cut));
            self.next += 1;
        }
    }

    /// Reads until there are this many lines.
    async fn until(&mut self, lines: usize) {
        let since = std::time::Instant::now();
        while self.lines.len() < lines {
            assert!(since.elapsed() < Duration::from_secs(60), "{} of {lines} lines after a minute", self.lines.len());
            if let Event::Records(chunk) = self.event().await {
                self.take(&chunk.records);
            }
        }
        assert_eq!(self.lines.len(), lines);
    }

    fn texts(&self) -> Vec<&str> {
        self.lines.iter().map(|(text, _)| text.as_str()).collect()
    }
}

/// Whether the peer's connection was closed from here.
fn is_closed(peer: &mut StdStream) -> bool {
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    match peer.read(&mut [0]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn peers_send_lines_of_every_kind() {
    let mut bed = Bed::listen(json!({ "max_line": 1000 })).await;
    let mut peer = bed.peer();
    let long = std::thread::spawn(move || {
        peer.write_all(b"one\r\ntwo\n\xff\x00\n").unwrap();
        let part = [b'x'; 4096];
        (0..2560).for_each(|_| peer.write_all(&part).unwrap());
        peer.write_all(b"\nlast").unwrap();
    });
    bed.until(5).await;
    long.join().unwrap();
    assert_eq!(bed.texts()[..3], ["one", "two", "\u{fffd}\0"]);
    let (text, reason) = &bed.lines[3];
    assert_eq!((text.len(), bed.texts()[4]), (1000, "last"));
    assert_eq!(reason.as_deref(), Some("a line of 10485760 bytes, which is more than `max_line` (1000)"));
    assert_eq!(bed.lines.iter().filter(|(_, reason)| reason.is_some()).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_too_many_is_refused_and_a_silent_one_makes_room() {
    let mut bed = Bed::listen(json!({ "max_connections": 2, "idle_timeout": "700ms" })).await;
    let mut silent = bed.peer();
    silent.write_all(b"whole\nhalf").unwrap();
    let mut second = bed.peer();
    second.write_all(b"second\n").unwrap();
    bed.until(2).await;
    assert!(is_closed(&mut bed.peer()), "the third is refused");
    let keep = std::thread::spawn(move || {
        for _ in 0..15 {
            second.write_all(b"again\n").unwrap();
            std::thread::sleep(Duration::from_millis(100));
        }
        second
    });
    assert!(is_closed(&mut silent), "silent for too long");
    bed.until(2 + 15 + 1).await;
    let half = bed.lines.iter().find(|(text, _)| text == "half").unwrap();
    assert_eq!(half.1.as_deref(), Some("the connection broke within this line"), "nobody knows what it would become");
    let mut fourth = bed.peer();
    fourth.write_all(b"fourth\n").unwrap();
    bed.until(2 + 15 + 2).await;
    drop(keep.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_pipeline_slows_the_peers_down_and_loses_nothing() {
    const LINES: usize = 200_000;
    let mut bed = Bed::listen(json!({ "buffer": "1MiB" })).await;
    let peers: Vec<JoinHandle<()>> = (0..2)
        .map(|peer| {
            let mut stream = bed.peer();
            let send = move || {
                for line in 0..LINES / 2 {
                    stream.write_all(format!("{peer} {line} {}\n", "x".repeat(100)).as_bytes()).unwrap();
                }
            };
            std::thread::spawn(send)
        })
        .collect();
    std::thread::sleep(Duration::from_secs(1));
    assert!(peers.iter().any(|peer| !peer.is_finished()), "22 MB do not fit: the peers wait");
    let bounds = bed.source.bounds(&[partition()]).await.unwrap().remove(0);
    assert!(bounds.end - bounds.first < 60_000, "{} lines in memory", bounds.end - bounds.first);
    while bed.lines.len() < LINES {
        let some = bed.lines.len() + 1;
        while bed.lines.len() < some {
            if let Event::Records(chunk) = bed.event().await {
                bed.take(&chunk.records);
            }
        }
        bed.commit().await;
    }
    for peer in ["0", "1"] {
        let lines = bed.texts().into_iter().map(|line| line.split(' ').collect::<Vec<_>>());
        let numbers = lines.filter(|words| words[0] == peer).map(|words| words[1].parse::<usize>().unwrap());
        assert!(numbers.eq(0..LINES / 2), "all of peer {peer}, in order");
    }
    peers.into_iter().for_each(|peer| peer.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_holds_one_peer_back_and_no_other() {
    let mut bed = Bed::listen(json!({ "max_lines_per_second": 1000 })).await;
    let since = std::time::Instant::now();
    let mut fast = bed.peer();
    fast.write_all("fast\n".repeat(4000).as_bytes()).unwrap();
    let mut slow = bed.peer();
    slow.write_all(b"a li").unwrap();
    let mut other = bed.peer();
    other.write_all(b"other\n").unwrap();
    while !bed.texts().contains(&"other") {
        if let Event::Records(chunk) = bed.event().await {
            bed.take(&chunk.records);
        }
    }
    assert!(since.elapsed() < Duration::from_secs(2), "neither the fast nor the slow one is in the way");
    bed.until(4001).await;
    let took = since.elapsed();
    assert!(took > Duration::from_secs(3), "4000 lines at 1000 a second took {took:?}");
    slow.write_all(b"ne\n").unwrap();
    bed.until(4002).await;
    assert_eq!(bed.texts().last(), Some(&"a line"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_comes_and_goes_is_connected_to_again() {
    let port = free_port();
    let mut bed = Bed::open(json!({ "connect": format!("127.0.0.1:{port}") }), port).await;
    for round in 0..3 {
        // Nobody is there for a while.
        std::thread::sleep(Duration::from_millis(300));
        let server = StdListener::bind(("127.0.0.1", port)).unwrap();
        let (mut stream, _) = server.accept().unwrap();
        stream.write_all(format!("round {round}\nunfinished").as_bytes()).unwrap();
        drop((stream, server));
        bed.until(2 * (round + 1)).await;
    }
    assert_eq!(bed.texts()[4..], ["round 2", "unfinished"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spooled_source_goes_on_where_the_sinks_are() {
    let folder = tempfile::tempdir().unwrap();
    let spool = folder.path().join("spool");
    let mut bed = Bed::listen(json!({ "spool": spool })).await;
    bed.peer().write_all(b"a\nb\nc\n").unwrap();
    bed.until(3).await;
    let identity = bed.source.bounds(&[partition()]).await.unwrap().remove(0).identity;
    drop(bed);
    let mut bed = Bed::listen(json!({ "spool": spool })).await;
    bed.peer().write_all(b"d\n").unwrap();
    bed.until(4).await;
    assert_eq!(bed.texts(), ["a", "b", "c", "d"]);
    assert_eq!(bed.source.bounds(&[partition()]).await.unwrap()[0].identity, identity);

    // Someone looks meanwhile.
    let looks = settings(json!({ "connect": "localhost:1", "spool": spool }));
    let mut look = looks.open(&context(Path::new("/")), true).await.unwrap();
    let bounds = look.bounds(&[partition()]).await.unwrap().remove(0);
    assert_eq!((bounds.identity, bounds.first, bounds.end), (identity, 0, 4));
}

/// A spool. Lines that are only in memory end with their process, so that nothing of the suite can be asked of them.
struct Spooled {
    folder: tempfile::TempDir,
}

const SPOOLED: usize = 40;

#[async_trait]
impl foretell_flow::testing::sources::Log for Spooled {
    async fn open(&mut self) -> Box<dyn Source> {
        let all = json!({ "listen": "127.0.0.1:0", "spool": self.folder.path() });
        settings(all).open(&context(Path::new("/")), false).await.unwrap()
    }

    fn records(&self) -> usize {
        SPOOLED
    }

    fn ends(&self) -> bool {
        false
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spooled_source_holds_what_every_source_must() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::listen(json!({ "spool": folder.path() })).await;
    let mut peer = bed.peer();
    // Several frames.
    for part in [0..10, 10..25, 25..SPOOLED] {
        let end = part.end;
        peer.write_all(part.map(|number| format!("line {number}\n")).collect::<String>().as_bytes()).unwrap();
        bed.until(end).await;
    }
    drop((peer, bed));
    foretell_flow::testing::sources::run(&mut Spooled { folder }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_start_without_a_spool_is_another_log() {
    let first = Bed::listen(json!({})).await.source.bounds(&[partition()]).await.unwrap().remove(0);
    let second = Bed::listen(json!({})).await.source.bounds(&[partition()]).await.unwrap().remove(0);
    assert!(first.identity.starts_with(foretell_flow::EPHEMERAL_LOG) && first.identity != second.identity);
    assert!(first.start < second.start, "no offset comes twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_machines_are_let_in_only_on_demand() {
    let open = |more: Value| async move {
        let mut all = json!({ "listen": format!("0.0.0.0:{}", free_port()) });
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        settings(all).open(&context(Path::new("/")), false).await.err()
    };
    let error = open(json!({})).await.unwrap();
    assert_eq!(error.fault, Fault::Settings);
    assert!(error.message.contains("lets other machines in"), "{error}");
    assert!(error.remedy.contains("`allow_remote: true`"), "{error}");
    assert_eq!(open(json!({ "allow_remote": true })).await, None);
}

#[test]
fn settings_that_cannot_be_meant() {
    for (given, told) in [
        (json!({}), ": either `connect:"),
        (
            json!({ "connect": "user:secret@h:1" }),
            ": an address is written `host:port`, without a user: there is no login",
        ),
        (json!({ "connect": "h:1", "listen": "h:1" }), "listen: either `connect` or `listen`, not both"),
        (json!({ "connect": "h:1", "allow_remote": true }), "allow_remote: it is for `listen`"),
        (json!({ "listen": "h:1", "max_line": 0 }), "max_line: "),
        (json!({ "listen": "h:1", "max_connections": 0 }), "max_connections: "),
        (json!({ "listen": "h:1", "spool_size": "1MiB" }), "spool_size: at least 16 MiB"),
        (json!({ "listen": "h:1", "spool": "hdfs://h/spool" }), "spool: a folder on a local disk"),
        (json!({ "listen": "h:1", "idle_timeout": "0s" }), "idle_timeout: "),
        (json!({ "listen": "h:1", "lisen": 1 }), ": unknown field `lisen`"),
    ] {
        let error = (KIND.parse)(given.clone()).err().unwrap();
        let text = format!("{}: {}", error.path.join("."), error.message);
        assert!(text.contains(told), "{given}: {text}");
    }
}
