//! A TCP proxy in front of a broker that cuts what a client says at a chosen place, as a failing network or a dying process
//! would. It follows the protocol as far as that needs: requests by their kind, and the broker's address in answers, which
//! it replaces by its own.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foretell_flow::testing::sinks::Cut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Requests that change what is stored, by their number in Kafka's protocol.
const PRODUCE: i16 = 0;
const CREATE_TOPICS: i16 = 19;
const INIT_PRODUCER_ID: i16 = 22;
const END_TXN: i16 = 26;

#[derive(Default)]
struct State {
    /// How the next end of a transaction is cut.
    cut: Mutex<Option<Cut>>,
    /// Of a client that dies: at which of its changes.
    dies_at: Mutex<Option<usize>>,
    changes: AtomicUsize,
    /// Nothing gets through any more.
    is_dead: AtomicBool,
    died: Notify,
    /// How long a KiB of records takes.
    per_kib: Mutex<Duration>,
}

pub(crate) struct Proxy {
    pub(crate) broker: String,
    state: Arc<State>,
}

impl Proxy {
    /// In front of the broker, which is the only one.
    pub(crate) async fn new(broker: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = |port: &str| [b"127.0.0.1".as_slice(), &port.parse::<i32>().unwrap().to_be_bytes()].concat();
        let theirs = address(broker.strip_prefix("127.0.0.1:").expect("the broker is on this machine"));
        let ours = address(&port.to_string());
        let state = Arc::new(State::default());
        let (shared, broker) = (state.clone(), broker.to_owned());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.is_dead.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(server) = TcpStream::connect(&broker).await else { continue };
                tokio::spawn(carry(client, server, shared.clone(), (theirs.clone(), ours.clone())));
            }
        });
        Proxy { broker: format!("127.0.0.1:{port}"), state }
    }

    /// The next end of a transaction is cut so; then no more.
    pub(crate) fn cutter(&self) -> impl Fn(Cut) + Send + Sync + 'static {
        let state = self.state.clone();
        move |cut| *state.cut.lock().unwrap() = Some(cut)
    }

    /// The client dies: before its change `nth / 2` where `nth` is even, else behind it.
    pub(crate) fn kill_at(&self, nth: usize) {
        *self.state.dies_at.lock().unwrap() = Some(nth);
    }

    /// From now on records are taken this slowly.
    pub(crate) fn slow_down(&self, per_kib: Duration) {
        *self.state.per_kib.lock().unwrap() = per_kib;
    }

    /// Resolves when the client is dead.
    pub(crate) fn death(&self) -> impl Future<Output = ()> + Send + 'static {
        let state = self.state.clone();
        async move { death(&state).await }
    }
}

async fn death(state: &State) {
    loop {
        let mut died = std::pin::pin!(state.died.notified());
        // From here on, so that none is missed.
        died.as_mut().enable();
        if state.is_dead.load(Ordering::SeqCst) {
            return;
        }
        died.await;
    }
}

impl State {
    /// What becomes of a request.
    fn fate(&self, kind: i16) -> Option<Cut> {
        if let Some(nth) = *self.dies_at.lock().unwrap() {
            let changes = [PRODUCE, CREATE_TOPICS, INIT_PRODUCER_ID, END_TXN].contains(&kind);
            let dies = changes && self.changes.fetch_add(1, Ordering::SeqCst) == nth / 2;
            return dies.then(|| [Cut::BeforeCommit, Cut::AfterCommit][nth % 2]);
        }
        if kind == END_TXN { self.cut.lock().unwrap().take() } else { None }
    }

    fn end(&self) {
        if self.dies_at.lock().unwrap().is_some() {
            self.is_dead.store(true, Ordering::SeqCst);
            self.died.notify_waiters();
        }
    }
}

/// A request or an answer: its length in four bytes, then its bytes.
async fn message(from: &mut OwnedReadHalf) -> Option<Vec<u8>> {
    let length = from.read_i32().await.ok()?;
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    from.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn send(to: &mut OwnedWriteHalf, bytes: &[u8]) -> Option<()> {
    to.write_i32(i32::try_from(bytes.len()).ok()?).await.ok()?;
    to.write_all(bytes).await.ok()
}

async fn carry(client: TcpStream, server: TcpStream, state: Arc<State>, addresses: (Vec<u8>, Vec<u8>)) {
    let (mut asks, mut hears) = client.into_split();
    let (mut answers, mut told) = server.into_split();
    // The answer with this number is not handed on.
    let hidden: Mutex<HashSet<[u8; 4]>> = Mutex::default();
    let up = async {
        while let Some(request) = message(&mut asks).await {
            let kind = i16::from_be_bytes([request[0], request[1]]);
            let fate = state.fate(kind);
            if fate == Some(Cut::BeforeCommit) {
                state.end();
                return;
            }
            if fate == Some(Cut::AfterCommit) {
                hidden.lock().unwrap().insert(request[4..8].try_into().unwrap());
            }
            if kind == PRODUCE {
                let per_kib = *state.per_kib.lock().unwrap();
                tokio::time::sleep(per_kib * u32::try_from(request.len() / 1024).unwrap()).await;
            }
            if send(&mut told, &request).await.is_none() {
                return;
            }
        }
    };
    let down = async {
        while let Some(mut answer) = message(&mut answers).await {
            if hidden.lock().unwrap().contains(&answer[..4]) {
                state.end();
                return;
            }
            let (theirs, ours) = &addresses;
            for at in 0..answer.len().saturating_sub(theirs.len() - 1) {
                if answer[at..].starts_with(theirs) {
                    answer[at..at + ours.len()].copy_from_slice(ours);
                }
            }
            if send(&mut hears, &answer).await.is_none() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
        () = death(&state) => {}
    }
}
