//! Logins with tokens: the sink writes and the source reads by a listener that takes nothing else and asks again every
//! three seconds.

use std::collections::BTreeMap;

use foretell_connect::kind::{DecodeSpec, SourceContext};
use foretell_connect::storage::Local;
use foretell_flow::{Demand, Event, Position, Source};

use super::*;
use crate::testing::tokens::TokenServer;

fn brokers_with_login() -> String {
    std::env::var("FORETELL_KAFKA_OAUTH").expect("FORETELL_KAFKA_OAUTH names a listener: `dev/services up kafka`")
}

async fn source(settings: Value) -> Box<dyn Source> {
    let settings = (crate::SOURCE.parse)(settings).unwrap();
    let context = SourceContext {
        pipeline: unique("oauth"),
        worker: "0".into(),
        index: 0,
        workers: 1,
        ends: false,
        decode: DecodeSpec { kind: "json".into(), settings: json!({}) },
        state: (Arc::new(Local), "/nowhere".into()),
        home: String::new(),
        base: ".".into(),
        observe: false,
    };
    settings.open(&context, false).await.unwrap()
}

const DEMAND: Demand = Demand { rows: 1000, bytes: 1 << 20, wait: Duration::from_millis(100) };

/// Reads as the run loop does: where a token ran out at a bad moment, the group may assign the partitions anew, and each
/// goes on where it was.
struct Reader {
    source: Box<dyn Source>,
    reached: BTreeMap<Partition, i64>,
    seen: usize,
}

impl Reader {
    async fn next(&mut self) {
        match self.source.next(DEMAND).await.unwrap() {
            Event::Assigned(partitions) => {
                let position = |partition: Partition| {
                    let next = self.reached.get(&partition).copied().unwrap_or(0);
                    Position { partition, next }
                };
                let all: Vec<Position> = partitions.into_iter().map(position).collect();
                self.source.seek(&all).await.unwrap();
            }
            Event::Records(chunk) => {
                self.seen += chunk.records.len();
                self.reached.extend(chunk.reached.into_iter().map(|position| (position.partition, position.next)));
            }
            _ => {}
        }
    }

    /// Reads until so many records have come in all.
    async fn read(&mut self, count: usize) {
        let begin = Instant::now();
        while self.seen < count {
            assert!(begin.elapsed() < Duration::from_secs(60), "{} of {count} records after a minute", self.seen);
            self.next().await;
        }
        assert_eq!(self.seen, count);
    }
}

/// Writes as the run loop does: a token that runs out at that moment passes, and a claim tells whether the rows landed.
async fn stored(sink: &mut dyn Sink, write: &Write) {
    let begin = Instant::now();
    let Err(mut error) = sink.write(write).await else { return };
    loop {
        assert_eq!(error.fault, Fault::Unavailable, "{error}");
        assert!(begin.elapsed() < Duration::from_secs(120), "{error}");
        error = match sink.claim(&claims(0..1)).await {
            Ok(found) if found.iter().any(|checkpoint| checkpoint.next == 103) => return,
            Ok(_) => match sink.write(write).await {
                Ok(_) => return,
                Err(error) => error,
            },
            Err(error) => error,
        };
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_fetched_and_renewed() {
    let server = TokenServer::new(4);
    let bench = Bench::new("oauth").await;
    let security = server.security("right");
    let mut settings = bench.settings();
    settings["brokers"] = json!(brokers_with_login());
    settings["security"] = security.clone();
    let mut sink = try_open(settings.clone(), &bench.context).await.unwrap();
    sink.claim(&claims(0..1)).await.unwrap();
    sink.write(&write(&[range(0, 100, 101)], &[(0, 100)])).await.unwrap();
    let reads =
        json!({ "brokers": brokers_with_login(), "security": security, "topic": bench.topic, "start": "earliest" });
    let mut reader = Reader { source: source(reads).await, reached: BTreeMap::new(), seen: 0 };
    reader.read(1).await;
    // Sink and source have each outlived their first tokens, and more.
    let begin = Instant::now();
    let first = server.issued();
    while server.issued() < first + 6 {
        assert!(begin.elapsed() < Duration::from_secs(60), "tokens are not renewed: {first}, {}", server.issued());
        reader.next().await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stored(sink.as_mut(), &write(&[range(0, 101, 103)], &[(0, 101), (0, 102)])).await;
    reader.read(3).await;
    assert_eq!(values(&bench.topic), ["100", "101", "102"]);

    settings["security"] = server.security("wrong");
    let error = refused(settings, &bench.context).await;
    assert_eq!(error.fault, Fault::Settings, "{error}");
    assert!(error.message.contains("refuses: invalid_client (status 401)"), "{error}");
    assert!(!error.to_string().contains("wrong") && !error.to_string().contains("right"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_while_it_runs_is_told_before_records_time_out() {
    told_while_it_runs("refused", 1, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_fails_is_told_while_records_wait_for_room() {
    told_while_it_runs("full", 100, json!({ "queue.buffering.max.messages": 10 })).await;
}

/// Writes so many rows at a time until the login is refused, which writes and claims tell; then it goes on.
async fn told_while_it_runs(name: &str, rows: i64, options: Value) {
    let tells = |text: &str| text.contains("the login: ") || text.contains("invalid_client");
    let server = TokenServer::new(4);
    let bench = Bench::new(name).await;
    let mut settings = bench.settings();
    settings["brokers"] = json!(brokers_with_login());
    settings["security"] = server.security("right");
    settings["options"] = options;
    let mut sink = try_open(settings, &bench.context).await.unwrap();
    sink.claim(&claims(0..1)).await.unwrap();
    server.close(true);
    // The token that it has holds for some seconds.
    let begin = Instant::now();
    let mut at = 100;
    let error = loop {
        assert!(begin.elapsed() < Duration::from_secs(120), "it goes on to write, at {at}");
        let offsets: Vec<(i32, i64)> = (at..at + rows).map(|offset| (0, offset)).collect();
        match sink.write(&write(&[range(0, at, at + rows)], &offsets)).await {
            Ok(_) => at += rows,
            Err(error) => break error,
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(error.fault, Fault::Unavailable, "{error}");
    assert!(error.message.contains("the brokers refuse the login: "), "{error}");
    assert!(!error.to_string().contains("app:wrong"), "{error}");
    // A connection may still be there for a moment. Once it is told, it is told by each claim.
    let mut told = 0;
    while told < 3 {
        assert!(begin.elapsed() < Duration::from_secs(240), "claims do not tell it");
        match sink.claim(&claims(0..1)).await {
            Err(error) if tells(&error.message) => {
                assert_eq!(error.fault, Fault::Unavailable, "{error}");
                assert!(!error.to_string().contains("app:wrong"), "{error}");
                told += 1;
            }
            Err(error) => {
                assert!(told == 0 && !error.message.contains("no answer within"), "{error}");
                assert_eq!(error.fault, Fault::Unavailable, "{error}");
            }
            Ok(_) => assert_eq!(told, 0, "it was claimed without a login"),
        }
    }
    server.close(false);
    let next = loop {
        assert!(begin.elapsed() < Duration::from_secs(480), "it does not go on");
        match sink.claim(&claims(0..1)).await {
            Ok(found) => break found[0].next,
            Err(error) => assert_eq!(error.fault, Fault::Unavailable, "{error}"),
        }
    };
    assert!(next == at || next == at + rows, "{next} after {at}");
    let all: Vec<String> = (100..next).map(|offset| offset.to_string()).collect();
    assert_eq!(values(&bench.topic), all);
}
