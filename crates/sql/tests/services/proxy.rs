//! A TCP proxy that cuts a connection at a chosen place, as a failing network or a dying process would.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use foretell_flow::testing::sinks::Cut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Statements of a death are counted from the first of these on: what comes before it changes nothing.
const FIRST: [&[u8]; 3] = [b"CREATE TABLE", b"START TRANSACTION", b"BEGIN"];

#[derive(Default)]
struct State {
    /// How the next COMMIT is cut; 0 is not at all.
    cut: AtomicU8,
    /// Of a client that dies: after which message; and how many it has sent.
    dies_at: Mutex<Option<usize>>,
    sent: AtomicUsize,
    /// Nothing gets through any more.
    is_dead: AtomicBool,
    died: Notify,
}

pub struct Proxy {
    pub url: String,
    state: Arc<State>,
}

impl Proxy {
    /// In front of the server that a URL names.
    pub async fn new(url: &str) -> Self {
        let at = url.find('@').unwrap() + 1;
        let end = at + url[at..].find('/').unwrap();
        let server = url[at..end].to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if shared.is_dead.load(Ordering::SeqCst) {
                    continue;
                }
                let server = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(carry(client, server, shared.clone()));
            }
        });
        Proxy { url: format!("{}{here}{}", &url[..at], &url[end..]), state }
    }

    /// The next COMMIT is cut so; then no more.
    pub fn cutter(&self) -> impl Fn(Cut) + Send + Sync + 'static {
        let state = self.state.clone();
        move |cut| {
            let how = if cut == Cut::BeforeCommit { BEFORE } else { AFTER };
            state.cut.store(how, Ordering::SeqCst);
        }
    }

    /// The client dies: before its message `nth / 2` reaches the server where `nth` is even, else behind it.
    pub fn kill_at(&self, nth: usize) {
        *self.state.dies_at.lock().unwrap() = Some(nth);
    }
}

const BEFORE: u8 = 1;
const AFTER: u8 = 2;

impl State {
    /// What becomes of a message of the client's: nothing, [`BEFORE`] or [`AFTER`].
    fn fate(&self, message: &[u8]) -> u8 {
        let holds = |text: &[u8]| message.windows(text.len()).any(|window| window == text);
        if let Some(nth) = *self.dies_at.lock().unwrap() {
            let begun = self.sent.load(Ordering::SeqCst) > 0 || FIRST.iter().any(|first| holds(first));
            let dies = begun && self.sent.fetch_add(1, Ordering::SeqCst) == nth / 2;
            if dies {
                self.is_dead.store(true, Ordering::SeqCst);
            }
            return if dies { [BEFORE, AFTER][nth % 2] } else { 0 };
        }
        if holds(b"COMMIT") { self.cut.swap(0, Ordering::SeqCst) } else { 0 }
    }
}

async fn carry(mut client: TcpStream, mut server: TcpStream, state: Arc<State>) {
    let (mut asked, mut answered) = ([0; 65_536], [0; 65_536]);
    loop {
        let died = state.died.notified();
        if state.is_dead.load(Ordering::SeqCst) {
            return;
        }
        tokio::select! {
            () = died => return,
            read = client.read(&mut asked) => {
                let Ok(n @ 1..) = read else { return };
                let fate = state.fate(&asked[..n]);
                if fate != BEFORE && server.write_all(&asked[..n]).await.is_err() {
                    return;
                }
                if fate == AFTER {
                    // The answer is there, so it has been done; nobody hears of it. Some messages have none, such as that a
                    // statement is no longer needed.
                    let _ = timeout(Duration::from_secs(1), server.read(&mut answered)).await;
                }
                if fate != 0 {
                    state.died.notify_waiters();
                    return;
                }
            }
            read = server.read(&mut answered) => {
                let Ok(n @ 1..) = read else { return };
                if client.write_all(&answered[..n]).await.is_err() {
                    return;
                }
            }
        }
    }
}
