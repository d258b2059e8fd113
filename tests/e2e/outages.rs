//! An outage looks like one: a line at once, one when it is over, and nothing of the clients' own; and a start that waits.

use std::time::Duration;

use crate::harness::database::Database;
use crate::harness::forwarder::{Forwarder, authority};
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, exactly, expected, landed};
use crate::harness::{service, until};

#[test]
fn a_database_that_goes_away_is_told_once_and_told_when_it_is_back() {
    let forwarder = Forwarder::new(authority(&Database::MariaDb.url()));
    let mut sandbox = Sandbox::ready("outage", SHARED);
    sandbox.env.iter_mut().filter(|(name, _)| name == "MARIADB_URL").for_each(|(_, url)| *url = forwarder.url(url));
    let running = sandbox.start(&["run"]);
    sandbox.orders(0..100);
    until("100 rows", || landed(&sandbox) == 100);
    forwarder.cut();
    sandbox.orders(100..200);
    let lines = |what: &str| running.log().lines().filter(|line| line.contains(what)).count();
    until("it is told", || lines("sink `db` is away: ") == 1);
    forwarder.mend();
    until("it is back", || lines("sink `db` is back after ") == 1);
    until("200 rows", || landed(&sandbox) == 200);
    assert_eq!((lines("is away"), lines("trying again")), (1, 0), "{}", running.log());
    running.terminate();
    let log = running.ended(Duration::from_secs(10)).well().err;
    assert!(log.lines().all(|line| line.contains(&format!("pipeline={}", sandbox.id))), "{log}");
    exactly(&sandbox, expected(0..200));
}

#[test]
fn a_broker_that_goes_away_is_told_and_its_clients_lines_are_not() {
    let forwarder = Forwarder::new(service("FORETELL_KAFKA"));
    let sandbox = Sandbox::new("broker");
    let text = SHARED.replace("source: { kafka: { brokers: \"${kafka}\"", "source: { kafka: { brokers: \"BROKER\"");
    sandbox.topics(&text);
    sandbox.table();
    // Nobody is there yet.
    forwarder.cut();
    let broker = forwarder.address();
    sandbox.pipeline(&text.replace("BROKER", &broker));
    let ended = sandbox.run(&["run"]);
    assert_eq!(ended.code, Some(1), "{}", ended.err);
    assert!(
        ended.err.contains("`foretell run --wait 5m` waits for it") || ended.err.contains(&broker),
        "{}",
        ended.err
    );
    assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    let running = sandbox.start(&["run", "--wait", "2m"]);
    until("it waits", || running.log().contains("waiting for a service: "));
    forwarder.mend();
    until("it runs", || running.log().contains("claimed"));
    sandbox.orders(0..50);
    until("50 rows", || landed(&sandbox) == 50);
    running.terminate();
    running.ended(Duration::from_secs(15)).well();
}
