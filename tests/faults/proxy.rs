//! A TCP proxy between foretell and one service, which fails as networks do.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it does with what passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Passes it on.
    Pass,
    /// Ends every connection, and each new one at once.
    Cut,
    /// Keeps connections open, takes new ones, and passes nothing on: nobody is told.
    HalfOpen,
    /// Passes requests on and keeps the answers back.
    HoldAnswers,
    /// This many bytes a second, each way.
    Slow(u32),
}

/// A request at which a connection is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trigger {
    /// It has these bytes.
    Text(&'static [u8]),
    /// It is a request of Kafka's protocol with this number.
    Kafka(i16),
}

/// Whether the request still arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    After,
}

struct State {
    /// `host:port` of new connections.
    service: String,
    mode: Mode,
    /// Cuts that are still to come.
    cuts: Option<(Trigger, When, usize)>,
    /// Both ends of each connection, by its number.
    open: HashMap<u64, [TcpStream; 2]>,
    connections: u64,
}

pub(crate) struct Proxy {
    pub(crate) name: &'static str,
    pub(crate) port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// How many of the cuts that were ordered last came to pass.
    done: AtomicUsize,
}

impl Proxy {
    /// Before a service (`host:port`), at this port, or at any that is free.
    pub(crate) fn new(name: &'static str, service: &str, port: u16) -> Proxy {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (service, mode, open) = (service.to_string(), Mode::Pass, HashMap::new());
        let state = Mutex::new(State { service, mode, cuts: None, open, connections: 0 });
        let shared = Arc::new(Shared { state, done: AtomicUsize::new(0) });
        let all = shared.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let service = all.state.lock().unwrap().service.clone();
                let Ok(server) = TcpStream::connect(service) else { continue };
                let mut state = all.state.lock().unwrap();
                if state.mode == Mode::Cut {
                    continue;
                }
                let pair = || (client.try_clone().unwrap(), server.try_clone().unwrap());
                let ((client_in, server_out), (client_out, server_in)) = (pair(), pair());
                state.connections += 1;
                let number = state.connections;
                state.open.insert(number, [client, server]);
                let (up, down) = (all.clone(), all.clone());
                std::thread::spawn(move || {
                    carry(client_in, server_out, &up, true);
                    up.state.lock().unwrap().open.remove(&number);
                });
                std::thread::spawn(move || carry(server_in, client_out, &down, false));
            }
        });
        Proxy { name, port, shared }
    }

    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub(crate) fn set(&self, mode: Mode) {
        let mut state = self.shared.state.lock().unwrap();
        // What was held back in between belongs to nobody any more.
        let void = matches!(state.mode, Mode::HalfOpen | Mode::HoldAnswers) && mode == Mode::Pass;
        state.mode = mode;
        if mode == Mode::Cut || void {
            for stream in state.open.drain().flat_map(|(_, streams)| streams) {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }

    /// Ends all connections; new ones go to this service.
    pub(crate) fn lead_to(&self, service: &str) {
        self.set(Mode::Cut);
        self.shared.state.lock().unwrap().service = service.to_string();
        self.set(Mode::Pass);
    }

    /// Cuts the connections of the next requests of this kind.
    pub(crate) fn cut_at(&self, trigger: Trigger, when: When, times: usize) {
        self.shared.done.store(0, SeqCst);
        self.shared.state.lock().unwrap().cuts = Some((trigger, when, times));
    }

    /// How many of them came to pass.
    pub(crate) fn cuts(&self) -> usize {
        self.shared.done.load(SeqCst)
    }

    pub(crate) fn mend(&self) {
        self.shared.state.lock().unwrap().cuts = None;
        self.set(Mode::Pass);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Shared, requests: bool) {
    let mut buffer = vec![0; 64 * 1024];
    // Of Kafka's protocol: how many bytes of the request at hand are still to come.
    let mut rest = 0_usize;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(read) => read,
        };
        let bytes = &buffer[..read];
        let cut = if requests { shared.cut(bytes, &mut rest) } else { None };
        if cut == Some(When::Before) {
            break;
        }
        loop {
            let mode = shared.state.lock().unwrap().mode;
            match mode {
                Mode::HalfOpen => {}
                Mode::HoldAnswers if !requests => {}
                _ => break,
            }
            std::thread::sleep(Duration::from_millis(20));
            if matches!(to.take_error(), Ok(Some(_))) {
                break;
            }
        }
        let mode = shared.state.lock().unwrap().mode;
        if let Mode::Slow(per_second) = mode {
            std::thread::sleep(Duration::from_secs_f64(read as f64 / f64::from(per_second)));
        }
        if mode == Mode::Cut || to.write_all(bytes).is_err() {
            break;
        }
        if cut == Some(When::After) {
            // It arrives, and its answer does not.
            std::thread::sleep(Duration::from_millis(30));
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

impl Shared {
    /// Whether a connection is cut at these bytes of a request.
    fn cut(&self, bytes: &[u8], rest: &mut usize) -> Option<When> {
        let mut state = self.state.lock().unwrap();
        let trigger = state.cuts.map(|(trigger, ..)| trigger);
        let mut found = match trigger {
            Some(Trigger::Text(text)) => bytes.windows(text.len()).any(|window| window == text),
            _ => false,
        };
        // Requests are followed also while nothing is to be cut. Other protocols make no sense here, and are not asked.
        let mut at = 0;
        while at < bytes.len() {
            if *rest == 0 {
                let Some(head) = bytes.get(at..at + 6) else { break };
                *rest = 4 + u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
                found |= trigger == Some(Trigger::Kafka(i16::from_be_bytes([head[4], head[5]])));
            }
            let step = (*rest).min(bytes.len() - at);
            *rest -= step;
            at += step;
        }
        let (_, when, times) = state.cuts.filter(|_| found)?;
        if times == 0 {
            return None;
        }
        state.cuts = state.cuts.map(|(trigger, when, times)| (trigger, when, times - 1));
        self.done.fetch_add(1, SeqCst);
        Some(when)
    }
}
