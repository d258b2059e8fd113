//! A database's replica that lags takes the place of the database.

use std::time::Duration;

use crate::harness::case::same;
use crate::harness::forwarder::Forwarder;
use crate::harness::replicated::{Replicated, Server};
use crate::harness::sandbox::Sandbox;
use crate::harness::streams::{SHARED, expected};
use crate::harness::{kafka, until};

#[test]
fn a_replica_that_lags_takes_over_and_gets_what_it_lacks() {
    let mut servers = Replicated::start();
    let forwarder = Forwarder::new(servers.address(Server::Primary));
    let mut sandbox = Sandbox::new("failover");
    let url = Replicated::url(&forwarder.address());
    sandbox.env.iter_mut().filter(|(name, _)| name == "MARIADB_URL").for_each(|(_, old)| old.clone_from(&url));
    sandbox.pipeline(SHARED);
    sandbox.topics(SHARED);
    let table = sandbox.name("result");
    let columns = "PNO VARCHAR(64) NOT NULL, PRETIME BIGINT NOT NULL, Time DATETIME NOT NULL";
    servers.execute(Server::Primary, &format!("CREATE TABLE foretell.{table} ({columns})"));
    let landed = |servers: &Replicated, server, count| servers.rows(server, ["PNO", "PRETIME"], &table).len() == count;
    let values = || -> Vec<String> { kafka::read(&sandbox.name("utime")).iter().map(kafka::Record::value).collect() };

    let running = sandbox.start(&["run"]);
    sandbox.orders(0..100);
    until("the replica has 100 rows", || landed(&servers, Server::Replica, 100));
    servers.execute(Server::Replica, "STOP SLAVE");
    sandbox.orders(100..200);
    until("the primary has 200 rows", || landed(&servers, Server::Primary, 200));
    until("the topic has 200", || values().len() == 200);
    // Positions and rows of the replica are of the same moment: it lacks both of the last 100.
    forwarder.cut();
    servers.kill(Server::Primary);
    forwarder.lead_to(servers.address(Server::Replica));
    forwarder.mend();
    until("it is told", || running.log().contains("sink `db` is away: "));
    sandbox.orders(200..250);
    assert!(landed(&servers, Server::Replica, 100), "it is read only until it leads");
    servers.execute(Server::Replica, "RESET SLAVE ALL; SET GLOBAL read_only = 0");
    until("the replica has all rows", || landed(&servers, Server::Replica, 250));
    until("the topic has all", || values().len() >= 250);
    running.terminate();
    running.ended(Duration::from_secs(15)).well();
    same("table", expected(0..250), servers.rows(Server::Replica, ["PNO", "PRETIME"], &table));
    same("topic", expected(0..250), values());
}
