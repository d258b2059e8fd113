//! Lines from TCP connections: foretell connects to a server such as `nc -lk 9999`, or listens for `nc HOST 9999`.
//!
//! A socket cannot be replayed, so lines go into a `log` first: on disk (`spool`), synced before a sink can see
//! them, or in memory (`memory`), which ends with the process. Either one has a bounded size; where it is full, nothing
//! is read from the connections (`peers`).

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod lines;
mod log;
mod memory;
mod peers;
mod spool;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use foretell_flow::{Bounds, Chunk, Demand, Event, Housekeeping, Partition, Position, Sharing, Source, StageError};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::net::{TcpListener, lookup_host};
use tokio::task::block_in_place;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use foretell_connect::human::{HumanDuration, HumanSize};
use foretell_connect::kind::{Kind, SettingsError, SourceContext, SourceSettings, schema_of, settings_of};
use foretell_connect::storage::{Local, Storage, path};
use log::{Extent, Keeper, Log, TOPIC};
use memory::Memory;
use peers::{Limits, Peers};
use spool::Spool;

/// How the kind is listed.
pub const KIND: Kind<dyn SourceSettings> = Kind { name: "socket", inherits: &[], schema: schema_of::<Settings>, parse };

/// As long as a decoder takes.
const MAX_LINE: HumanSize = HumanSize(1 << 20);
/// Half of what a frame of the spool could hold.
const LONGEST_LINE: usize = 512 << 20;
const MAX_CONNECTIONS: NonZero<u32> = NonZero::new(100).unwrap();
const BUFFER: HumanSize = HumanSize(128 << 20);
const SPOOL_SIZE: HumanSize = HumanSize(1 << 30);
/// A smaller spool could hold no lines while a segment waits for the sinks.
const LEAST_SPOOL: usize = 16 << 20;
/// Peers that connect to us and say nothing hold one of the connections.
const IDLE: Duration = Duration::from_secs(3600);

/// Reads lines from TCP connections: `connect` to a server such as `nc -lk 9999`, or `listen` for `nc HOST 9999`. A line
/// ends with `\n` or `\r\n`; its record has no key, and the time when it came.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server to read from: `host:port`. When it goes away, foretell connects again.
    #[serde(default)]
    connect: Option<String>,
    /// The address to listen at for any number of peers: `127.0.0.1:9999`.
    #[serde(default)]
    listen: Option<String>,
    /// With `listen`: whether the address may be one that other machines reach. There is no login and no encryption.
    /// Default: false.
    #[serde(default)]
    allow_remote: bool,
    /// A folder on a local disk where lines are kept from their arrival until every sink has them, so that a crash loses
    /// none of those that came there. Default: no folder; a crash loses the lines in memory.
    #[serde(default)]
    spool: Option<String>,
    /// The spool's largest size; when it is full, nothing is read from the connections. Default: 1 GiB.
    #[serde(default = "spool_size")]
    spool_size: HumanSize,
    /// Without `spool`: memory for lines that some sink still lacks; when it is full, nothing is read. Default: 128 MiB.
    #[serde(default = "buffer")]
    buffer: HumanSize,
    /// A longer line is a bad record, and its end is skipped. Default: 1 MiB.
    #[serde(default = "max_line")]
    max_line: HumanSize,
    /// With `listen`: further connections are closed at once. Default: 100.
    #[serde(default = "max_connections")]
    max_connections: NonZero<u32>,
    /// Lines that are read from one connection in a second at most; the peer waits. Default: no limit.
    #[serde(default)]
    max_lines_per_second: Option<NonZero<u32>>,
    /// Bytes that are read from one connection in a second at most; the peer waits. Default: no limit.
    #[serde(default)]
    max_bytes_per_second: Option<HumanSize>,
    /// A connection on which nothing comes for this long is closed. Default: `1h` with `listen`, never with `connect`.
    /// Peers whose machine is gone are found within a minute in any case (TCP keepalive).
    #[serde(default)]
    idle_timeout: Option<HumanDuration>,
}

fn spool_size() -> HumanSize {
    SPOOL_SIZE
}

fn buffer() -> HumanSize {
    BUFFER
}

fn max_line() -> HumanSize {
    MAX_LINE
}

fn max_connections() -> NonZero<u32> {
    MAX_CONNECTIONS
}

fn parse(value: serde_json::Value) -> Result<Box<dyn SourceSettings>, SettingsError> {
    let settings: Settings = settings_of(value)?;
    let wrong = |field: &str, message: &str| {
        let path = if field.is_empty() { Vec::new() } else { vec![field.to_string()] };
        Err(SettingsError { path, message: message.to_string() })
    };
    let named = |address: &Option<String>| address.as_ref().is_some_and(|address| address.contains('@'));
    if named(&settings.connect) || named(&settings.listen) {
        // What stands before it may be a password, which nobody shall look up or show.
        return wrong("", "an address is written `host:port`, without a user: there is no login");
    }
    match (&settings.connect, &settings.listen) {
        (None, None) => return wrong("", "either `connect: \"host:port\"` or `listen: \"127.0.0.1:port\"` is needed"),
        (Some(_), Some(_)) => return wrong("listen", "either `connect` or `listen`, not both"),
        (Some(_), None) if settings.allow_remote => return wrong("allow_remote", "it is for `listen`"),
        _ => {}
    }
    if settings.max_line.0 == 0 || settings.max_line.0 > LONGEST_LINE {
        return wrong("max_line", "1 B to 512 MiB");
    }
    if settings.buffer.0 == 0 {
        return wrong("buffer", "without room no line can come");
    }
    if settings.spool.as_ref().is_some_and(|folder| folder.is_empty() || folder.contains("://")) {
        return wrong("spool", "a folder on a local disk is needed");
    }
    if settings.spool_size.0 < LEAST_SPOOL.max(settings.max_line.0.saturating_mul(8)) {
        return wrong("spool_size", "at least 16 MiB, and eight times `max_line`");
    }
    if settings.max_bytes_per_second == Some(HumanSize(0)) {
        return wrong("max_bytes_per_second", "at this rate no line can come");
    }
    if settings.idle_timeout.is_some_and(|idle| idle.0.is_zero()) {
        return wrong("idle_timeout", "at least a millisecond");
    }
    Ok(Box::new(settings))
}

impl Settings {
    fn limits(&self) -> Limits {
        Limits {
            max_line: self.max_line.0,
            max_connections: self.max_connections.get() as usize,
            lines_per_second: self.max_lines_per_second.map(NonZero::get),
            bytes_per_second: self.max_bytes_per_second.map(|size| size.0),
            idle: self.idle_timeout.map(|idle| idle.0).or(self.listen.is_some().then_some(IDLE)),
        }
    }

    fn folder(&self, context: &SourceContext) -> Option<PathBuf> {
        self.spool.as_ref().map(|folder| context.base.join(folder))
    }

    /// Where to listen, if that is what is wanted.
    async fn listener(&self, probe: bool) -> Result<Option<TcpListener>, StageError> {
        let Some(address) = &self.listen else { return Ok(None) };
        let mut addresses = resolve("listen", address).await?;
        if let Some(remote) = addresses.iter().find(|address| !address.ip().is_loopback())
            && !self.allow_remote
        {
            let error =
                format!("`listen: {address}` lets other machines in ({}), without login or encryption", remote.ip());
            return Err(StageError::settings(error)
                .remedy("listen at 127.0.0.1, or write `allow_remote: true` if that is what you want"));
        }
        // `localhost` has two addresses; most who connect to it try this one.
        addresses.sort_by_key(SocketAddr::is_ipv6);
        match TcpListener::bind(&addresses[..]).await {
            Ok(listener) => Ok(Some(listener)),
            // By this pipeline, perhaps, which runs while it is checked.
            Err(error) if probe && error.kind() == std::io::ErrorKind::AddrInUse => {
                warn!("`listen: {address}` is in use");
                Ok(None)
            }
            Err(error) => {
                let error = StageError::settings(format!("`listen: {address}`: {error}"));
                Err(error.remedy("listen at another address or port: `127.0.0.1:PORT`"))
            }
        }
    }

    /// Looks without reading a line: not even a connection is made, for a server may say what it has to say only once.
    async fn look(&self, context: &SourceContext) -> Result<Box<dyn Source>, StageError> {
        self.listener(true).await?;
        if let Some(address) = &self.connect {
            resolve("connect", address).await?;
        }
        let mut found = None;
        if let (Some(spool), Some(folder)) = (&self.spool, self.folder(context)) {
            Local.check_folder(&path::local(spool, &context.base)?).await?;
            found = block_in_place(|| Spool::look(&folder))?;
        }
        Ok(Box::new(Look(found.map(|(identity, extent)| bounds(identity, extent)))))
    }

    fn log(&self, context: &SourceContext) -> Result<Arc<dyn Log>, StageError> {
        if context.observe {
            return Ok(Arc::new(Memory::new(self.buffer.0)));
        }
        let Some(folder) = self.folder(context) else {
            warn!("no `spool`: lines that are not in every sink when this process dies are lost");
            return Ok(Arc::new(Memory::new(self.buffer.0)));
        };
        let spool = block_in_place(|| Spool::open(&folder, self.spool_size.0 as u64))?;
        let Extent { first, end, .. } = spool.extent();
        info!(spool = %folder.display(), lines = end.saturating_sub(first), "lines come exactly once from when they are in the spool");
        Ok(Arc::new(spool))
    }
}

#[async_trait]
impl SourceSettings for Settings {
    fn describe(&self) -> String {
        let peers = match (&self.connect, &self.listen) {
            (Some(server), _) => format!("lines from {server}"),
            (_, Some(address)) => format!("lines sent to {address}"),
            (None, None) => "lines".to_string(),
        };
        let promise = match &self.spool {
            Some(folder) => format!("spool {folder}: a crash loses no line that came there"),
            None => "no spool: a crash loses the lines in memory".to_string(),
        };
        format!("{peers} ({promise})")
    }

    fn sharing(&self) -> Sharing {
        Sharing::Single
    }

    fn replays(&self) -> bool {
        self.spool.is_some()
    }

    async fn open(&self, context: &SourceContext, probe: bool) -> Result<Box<dyn Source>, StageError> {
        if probe {
            return self.look(context).await;
        }
        let listener = self.listener(false).await?;
        let log = self.log(context)?;
        let keeper = Keeper::start(log)
            .map_err(|error| StageError::unavailable(format!("no thread for the socket's lines: {error}")))?;
        let peers = match (listener, &self.connect) {
            (Some(listener), _) => {
                if let Ok(address) = listener.local_addr() {
                    info!(%address, "listening");
                }
                Some(peers::listen(listener, self.limits(), keeper.sender()))
            }
            (None, Some(server)) => {
                resolve("connect", server).await?;
                Some(peers::connect(server.clone(), self.limits(), keeper.sender()))
            }
            (None, None) => None,
        };
        Ok(Box::new(SocketSource { peers, replays: self.replays(), assigned: false, at: None, keeper }))
    }
}

async fn resolve(setting: &str, address: &str) -> Result<Vec<SocketAddr>, StageError> {
    let error = match lookup_host(address).await {
        Ok(found) => match found.collect::<Vec<_>>() {
            found if found.is_empty() => "no such host".to_string(),
            found => return Ok(found),
        },
        Err(error) => error.to_string(),
    };
    Err(StageError::settings(format!("`{setting}: {address}`: {error}"))
        .remedy("an address is written `host:port`, e.g. `127.0.0.1:9999`"))
}

fn partition() -> Partition {
    Partition { topic: TOPIC.into(), index: 0 }
}

fn bounds(identity: String, extent: Extent) -> Bounds {
    let Extent { first, end, committed } = extent;
    Bounds { partition: partition(), identity, first, end, start: first, committed }
}

/// The one partition of a socket.
struct SocketSource {
    /// Dropped first: no line comes any more.
    peers: Option<Peers>,
    replays: bool,
    assigned: bool,
    /// The next line to hand out, once that is known.
    at: Option<i64>,
    keeper: Keeper,
}

impl Drop for SocketSource {
    fn drop(&mut self) {
        let Extent { end, committed, .. } = self.keeper.log.extent();
        let lost = end.saturating_sub(committed.unwrap_or(end));
        if lost > 0 && !self.replays {
            warn!(lines = lost, "lost: lines that came and are not in every sink, and there is no `spool`");
        }
    }
}

#[async_trait]
impl Source for SocketSource {
    async fn next(&mut self, demand: Demand) -> Result<Event, StageError> {
        if !std::mem::replace(&mut self.assigned, true) {
            return Ok(Event::Assigned(vec![partition()]));
        }
        let begun = Instant::now();
        loop {
            if let Some(error) = self.keeper.failed() {
                return Err(error);
            }
            if self.peers.as_ref().is_some_and(Peers::ended) {
                return Err(StageError::panicked("the socket source"));
            }
            if let Some(at) = self.at
                && let Some(records) = block_in_place(|| self.keeper.log.read(at, demand))?
            {
                let next = at.saturating_add(records.len() as i64);
                self.at = Some(next);
                return Ok(Event::Records(Chunk { records, reached: vec![Position { partition: partition(), next }] }));
            }
            if timeout(demand.wait.saturating_sub(begun.elapsed()), self.keeper.arrived.notified()).await.is_err() {
                return Ok(Event::Idle);
            }
        }
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(1)
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let log = &self.keeper.log;
        let ours = partitions.iter().filter(|asked| **asked == partition());
        Ok(ours.map(|_| bounds(log.identity(), log.extent())).collect())
    }

    async fn seek(&mut self, positions: &[Position]) -> Result<(), StageError> {
        for position in positions {
            block_in_place(|| self.keeper.log.begin(position.next));
            self.at = Some(position.next);
        }
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(LogHousekeeping(self.keeper.log.clone()))
    }
}

/// The log as housekeeping sees it.
struct LogHousekeeping(Arc<dyn Log>);

#[async_trait]
impl Housekeeping for LogHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        let end = self.0.extent().end;
        Ok(positions.iter().map(|position| end.saturating_sub(position.next).max(0)).collect())
    }

    async fn commit(&self, positions: &[Position], _: &str) -> Result<(), StageError> {
        if let Some(lowest) = positions.iter().map(|position| position.next).min() {
            block_in_place(|| self.0.commit(lowest));
        }
        Ok(())
    }
}

/// A socket that was opened only to look: what its spool has, if there is one.
struct Look(Option<Bounds>);

#[async_trait]
impl Source for Look {
    async fn next(&mut self, _: Demand) -> Result<Event, StageError> {
        Err(StageError::settings("the socket was opened only to look"))
    }

    async fn partitions(&mut self) -> Result<usize, StageError> {
        Ok(1)
    }

    async fn bounds(&mut self, partitions: &[Partition]) -> Result<Vec<Bounds>, StageError> {
        let found = self.0.iter().filter(|bounds| partitions.contains(&bounds.partition));
        Ok(found.cloned().collect())
    }

    async fn seek(&mut self, _: &[Position]) -> Result<(), StageError> {
        Ok(())
    }

    fn housekeeping(&mut self) -> Arc<dyn Housekeeping> {
        Arc::new(LookHousekeeping(self.0.as_ref().map_or(0, |bounds| bounds.end)))
    }
}

/// Where the log that was looked at ends.
struct LookHousekeeping(i64);

#[async_trait]
impl Housekeeping for LookHousekeeping {
    async fn behind(&self, positions: &[Position]) -> Result<Vec<i64>, StageError> {
        Ok(positions.iter().map(|position| self.0.saturating_sub(position.next).max(0)).collect())
    }

    async fn commit(&self, _: &[Position], _: &str) -> Result<(), StageError> {
        Ok(())
    }
}
