//! Connections: who may connect, how fast lines come, and when a peer counts as gone.
//!
//! Each connection has its own task. It waits where its lines find no room, so a slow pipeline slows the peers down, and
//! a slow peer nobody.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::lines::{Lines, Splitter};

/// What is read at once: of a connection with a rate, little, so that it does not come in bursts.
const READ: (usize, usize) = (64 * 1024, 4 * 1024);

/// Waits before connecting again, doubled from the first to the last.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// A connection that takes longer is given up.
const CONNECTING: Duration = Duration::from_secs(10);

/// How often refused connections are told of.
const REFUSALS: Duration = Duration::from_secs(10);

/// Finds peers whose machine is gone: silent for this long, then asked at this interval, three times.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// What a connection may do.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_line: usize,
    pub(super) max_connections: usize,
    pub(super) lines_per_second: Option<u32>,
    pub(super) bytes_per_second: Option<usize>,
    pub(super) idle: Option<Duration>,
}

/// The tasks; dropped, every connection closes.
pub(super) struct Peers(AbortHandle);

impl Peers {
    /// Whether they ended by themselves, which they do by a defect only, or where the log has failed.
    pub(super) fn ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Takes connections.
pub(super) fn listen(listener: TcpListener, limits: Limits, lines: mpsc::Sender<Lines>) -> Peers {
    Peers(tokio::spawn(accept(listener, limits, lines)).abort_handle())
}

/// Connects, again and again.
pub(super) fn connect(address: String, limits: Limits, lines: mpsc::Sender<Lines>) -> Peers {
    Peers(tokio::spawn(reconnect(address, limits, lines)).abort_handle())
}

async fn accept(listener: TcpListener, limits: Limits, lines: mpsc::Sender<Lines>) {
    let slots = Arc::new(Semaphore::new(limits.max_connections));
    let mut connections = JoinSet::new();
    let mut refused = Refused::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(ended) = connections.join_next() => match ended {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => continue,
            },
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: others must close first.
                warn!("a connection is not taken: {error}");
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            refused.add(peer, limits.max_connections);
            continue;
        };
        debug!(%peer, "connected");
        let lines = lines.clone();
        connections.spawn(async move {
            let (count, end) = serve(stream, limits, &lines).await;
            drop(slot);
            match end {
                End::Closed | End::Stopped => debug!(%peer, lines = count, "{end}"),
                End::Idle | End::Broken(_) => info!(%peer, lines = count, "{end}"),
            }
        });
    }
}

/// Counts what is told of now and then only.
#[derive(Default)]
struct Refused {
    count: u64,
    told: Option<Instant>,
}

impl Refused {
    fn add(&mut self, peer: SocketAddr, most: usize) {
        self.count = self.count.saturating_add(1);
        if self.told.is_none_or(|told| told.elapsed() >= REFUSALS) {
            warn!(%peer, connections = self.count, "refused: {most} are open, which is `max_connections`");
            *self = Refused { count: 0, told: Some(Instant::now()) };
        }
    }
}

async fn reconnect(address: String, limits: Limits, lines: mpsc::Sender<Lines>) {
    let mut wait = BACKOFF.0;
    loop {
        let begun = Instant::now();
        let why = match timeout(CONNECTING, TcpStream::connect(&address)).await {
            Ok(Ok(stream)) => {
                info!(server = address, "connected");
                let (count, end) = serve(stream, limits, &lines).await;
                if matches!(end, End::Stopped) {
                    return;
                }
                if count > 0 || begun.elapsed() > BACKOFF.1 {
                    wait = BACKOFF.0;
                }
                format!("{end} (after {count} lines)")
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", CONNECTING.as_secs()),
        };
        warn!(server = address, "{why}: connecting again in {:.1} s", wait.as_secs_f64());
        sleep(wait).await;
        wait = wait.saturating_mul(2).min(BACKOFF.1);
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    Closed,
    Idle,
    Broken(std::io::Error),
    /// Nobody takes lines any more.
    Stopped,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("the peer closed the connection"),
            End::Idle => f.write_str("the peer was silent for `idle_timeout`: the connection is closed"),
            End::Broken(error) => write!(f, "the connection broke: {error}"),
            End::Stopped => f.write_str("the connection is closed"),
        }
    }
}

/// Reads a connection to its end. Returns how many lines came.
async fn serve(mut stream: TcpStream, limits: Limits, sender: &mpsc::Sender<Lines>) -> (u64, End) {
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE.0).with_interval(KEEPALIVE.1).with_retries(KEEPALIVE.2);
    if let Err(error) = SockRef::from(&stream).set_tcp_keepalive(&keepalive) {
        debug!("no keepalive: {error}");
    }
    let mut pace = Pace::new(&limits);
    let mut buffer = vec![0; if pace.is_free() { READ.0 } else { READ.1 }];
    let mut splitter = Splitter::new(limits.max_line);
    let mut count = 0u64;
    loop {
        sleep_until(pace.next.into()).await;
        let read = match limits.idle {
            Some(idle) => timeout(idle, stream.read(&mut buffer)).await,
            None => Ok(stream.read(&mut buffer).await),
        };
        let mut lines = Lines::at(now());
        let end = match read {
            Ok(Ok(0)) => Some(End::Closed),
            Ok(Ok(bytes)) => {
                splitter.feed(buffer.get(..bytes).unwrap_or_default(), &mut lines);
                pace.spend(lines.len(), bytes);
                None
            }
            Ok(Err(error)) => Some(End::Broken(error)),
            Err(_) => Some(End::Idle),
        };
        if let Some(end) = &end {
            splitter.end(!matches!(end, End::Closed), &mut lines);
        }
        count = count.saturating_add(lines.len() as u64);
        if !lines.is_empty() && sender.send(lines).await.is_err() {
            return (count, End::Stopped);
        }
        if let Some(end) = end {
            return (count, end);
        }
    }
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

/// Holds a connection to its rate: what came early is paid for with a pause before the next read.
struct Pace {
    lines: Option<u32>,
    bytes: Option<usize>,
    /// When to read again.
    next: Instant,
}

impl Pace {
    fn new(limits: &Limits) -> Self {
        Pace { lines: limits.lines_per_second, bytes: limits.bytes_per_second, next: Instant::now() }
    }

    fn is_free(&self) -> bool {
        self.lines.is_none() && self.bytes.is_none()
    }

    fn spend(&mut self, lines: usize, bytes: usize) {
        let seconds = |count: usize, rate: Option<f64>| rate.map_or(0.0, |rate| count as f64 / rate);
        let cost = seconds(lines, self.lines.map(f64::from)).max(seconds(bytes, self.bytes.map(|rate| rate as f64)));
        let begin = self.next.max(Instant::now());
        self.next = begin.checked_add(Duration::from_secs_f64(cost)).unwrap_or(begin);
    }
}
