//! Databases with a replica each, which takes the place of its database: the one that leads is killed, the replica is
//! promoted, and the address that everybody knows leads to it.

use std::time::{Duration, Instant};

use super::pipelines::{World, authority, by};
use super::proxy::Proxy;
use super::read::{execute, select};
use super::services::Services;

/// Two servers, and the address of the one that leads.
pub(crate) struct Pair {
    names: [&'static str; 2],
    /// As an administrator.
    urls: [String; 2],
    leads: usize,
    front: Proxy,
    /// The database, whoever leads.
    pub(crate) url: String,
}

impl Pair {
    /// Of services that run, of which the first leads.
    pub(crate) fn new(services: &Services, names: [&'static str; 2]) -> Pair {
        let all = names.map(|name| services.at(&format!("FORETELL_{}_URL", name.to_uppercase())));
        let front = Proxy::new(names[0], &authority(&all[0]), 0);
        let url = by(&all[0], &front);
        let urls = all.map(|url| url.replace("//app@", "//root@"));
        Pair { names, urls, leads: 0, front, url }
    }

    fn is_mariadb(&self) -> bool {
        self.url.starts_with("mysql")
    }

    fn leader(&self) -> &str {
        &self.urls[self.leads]
    }

    fn replica(&self) -> &str {
        &self.urls[1 - self.leads]
    }

    /// What is committed is on both from now on.
    pub(crate) fn together(&self) {
        if self.is_mariadb() {
            done(self.leader(), &["SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'"]);
            done(self.leader(), &["SET GLOBAL rpl_semi_sync_master_timeout = 600000"]);
            done(self.leader(), &["SET GLOBAL rpl_semi_sync_master_enabled = 1"]);
            done(self.replica(), &["STOP SLAVE", "SET GLOBAL rpl_semi_sync_slave_enabled = 1", "START SLAVE"]);
            let semi = "information_schema.GLOBAL_STATUS WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_CLIENTS'";
            until(self.leader(), &format!("SELECT VARIABLE_VALUE FROM {semi}"), 1);
        } else {
            done(self.leader(), &["ALTER SYSTEM SET synchronous_standby_names = '*'", RELOAD]);
            until(self.leader(), "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'", 1);
        }
    }

    /// What is committed is on one of them only from now on.
    pub(crate) fn apart(&self) {
        if self.is_mariadb() {
            done(self.leader(), &["SET GLOBAL rpl_semi_sync_master_enabled = 0"]);
            done(self.replica(), &["STOP SLAVE"]);
        } else {
            done(self.leader(), &["ALTER SYSTEM RESET synchronous_standby_names", RELOAD]);
            done(self.replica(), &["ALTER SYSTEM SET primary_conninfo = ''", RELOAD]);
            until(self.replica(), "SELECT count(*) FROM pg_stat_wal_receiver", 0);
        }
    }

    /// The replica takes on what the other does.
    fn again(&self) {
        if self.is_mariadb() {
            done(self.replica(), &["START SLAVE"]);
        } else {
            let (host, port) =
                authority(self.leader()).split_once(':').map(|(h, p)| (h.to_string(), p.to_string())).unwrap();
            let follow = format!("ALTER SYSTEM SET primary_conninfo = 'host={host} port={port} user=postgres'");
            done(self.replica(), &[&follow, RELOAD]);
        }
    }

    /// Where the pipeline's sinks are there, by sink and partition.
    fn positions(&self, url: &str) -> Vec<(i32, i64)> {
        let quote = if self.is_mariadb() { "`" } else { "\"" };
        let stored = format!("SELECT {quote}partition{quote}, next FROM foretell_progress WHERE pipeline = 'copied'");
        let rows = super::wait(select(url, &stored)).unwrap_or_default();
        rows.iter().map(|row| (row[0] as i32, row[1])).collect()
    }

    /// How many offsets of what was committed the replica lacks.
    fn lag(&self) -> i64 {
        let sum = |url: &str| self.positions(url).iter().map(|(_, next)| next).sum::<i64>();
        sum(self.leader()) - sum(self.replica())
    }

    /// Whether the replica lacks what was committed.
    pub(crate) fn lags(&self) -> bool {
        self.lag() > 0
    }

    /// The replica does all that it has been told, and leads.
    fn promote(&mut self) {
        if self.is_mariadb() {
            done(self.replica(), &["STOP SLAVE", "RESET SLAVE ALL", "SET GLOBAL read_only = 0"]);
        } else {
            done(self.replica(), &["ALTER SYSTEM RESET synchronous_standby_names", RELOAD, "SELECT pg_promote()"]);
        }
        self.leads = 1 - self.leads;
    }
}

const RELOAD: &str = "SELECT pg_reload_conf()";

/// Statements of an administrator, on a server that is there.
fn done(url: &str, statements: &[&str]) {
    execute(url, statements).unwrap_or_else(|error| panic!("{statements:?}: {error}"));
}

/// Until a query's answer is this number.
fn until(url: &str, query: &str, number: i64) {
    let since = Instant::now();
    loop {
        let found = super::wait(select(url, query));
        match &found {
            Ok(rows) if rows.len() == 1 && rows[0][0] == number => return,
            _ => assert!(since.elapsed() < super::ENDS_WITHIN, "{query}: {found:?}, and not {number}"),
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The replica takes over; `behind`: without what was committed last. What it lacks may be planned anew, with another time.
pub(crate) fn take_over(world: &mut World, which: usize, behind: bool) {
    let World { pairs, services, sinks, replanned, .. } = world;
    let pair = &mut pairs[which];
    // A partition of which it knows nothing at all begins where the other sinks are (docs/reliability.md).
    let count = |pair: &Pair, url: &str| pair.positions(url).len();
    while behind && count(pair, pair.leader()) != count(pair, pair.replica()) {
        pair.again();
        std::thread::sleep(Duration::from_millis(200));
    }
    if behind {
        println!("         the replica lacks {} offsets that were committed", pair.lag());
    }
    let killed = pair.names[pair.leads];
    services.kill(killed);
    // It is read only until it leads.
    pair.front.lead_to(&authority(pair.replica()));
    if pair.is_mariadb() {
        done(pair.replica(), &["START SLAVE SQL_THREAD", "STOP SLAVE IO_THREAD"]);
        let idle = "information_schema.PROCESSLIST WHERE STATE LIKE 'Slave has read all relay log%'";
        until(pair.replica(), &format!("SELECT count(*) FROM {idle}"), 1);
    }
    if behind {
        let positions = pair.positions(pair.replica());
        replanned.extend(positions.into_iter().map(|(part, next)| ("copied", part, next, i64::MAX)));
        sinks.iter_mut().filter(|sink| sink.service() == Some(&pair.url)).for_each(super::checker::SinkCheck::restored);
    }
    pair.promote();
    let _ = std::fs::remove_dir_all(services.dir.join(killed));
    services.start(&[killed]);
}
