//! What systemd is told, where it started the program with `Type=notify`: that every pipeline is claimed and loaded, that
//! none has stopped moving (`WatchdogSec`), what is being done, and that the program is ending.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use foretell_http::Telemetry;
use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// How often is looked, where the watchdog does not ask for more.
const LOOK: Duration = Duration::from_secs(1);

/// A copy without partitions stands by for the others, and is as ready as it will be.
const STANDS_BY: Duration = Duration::from_secs(10);

/// The pipelines of this process.
static PIPELINES: Mutex<Vec<Weak<Telemetry>>> = Mutex::new(Vec::new());

/// Takes a pipeline into account for as long as it is there.
pub(super) fn count(telemetry: &Arc<Telemetry>) {
    let mut all = PIPELINES.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|one| one.strong_count() > 0);
    all.push(Arc::downgrade(telemetry));
}

/// Tells of this many pipelines until the process ends; of nothing where nobody asked.
pub(super) async fn tell(pipelines: usize, shutdown: CancellationToken) {
    if std::env::var_os("NOTIFY_SOCKET").is_none() {
        return;
    }
    // Twice in the time that the watchdog gives, and more often.
    let every = sd_notify::watchdog_enabled().map_or(LOOK, |within| (within / 3).clamp(LOOK / 10, LOOK));
    let mut told = Told::default();
    loop {
        let all: Vec<Arc<Telemetry>> = {
            let all = PIPELINES.lock().unwrap_or_else(PoisonError::into_inner);
            all.iter().filter_map(Weak::upgrade).collect()
        };
        let states: Vec<State> = all.iter().map(|one| State::of(one)).collect();
        send(&told.next(&states, pipelines, Instant::now()));
        drop(all);
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = shutdown.cancelled() => break,
        }
    }
    send(&[NotifyState::Stopping, NotifyState::Status("finishing what is under way")]);
    // The drain has a time limit of its own: the watchdog is not to end it earlier.
    loop {
        send(&[NotifyState::Watchdog]);
        tokio::time::sleep(every).await;
    }
}

fn send(states: &[NotifyState<'_>]) {
    if !states.is_empty()
        && let Err(error) = sd_notify::notify(states)
    {
        debug!("systemd does not hear: {error}");
    }
}

/// A pipeline as far as systemd is concerned.
struct State {
    ready: bool,
    /// Whether it waits for a share of the partitions, which others have.
    waits: bool,
    /// Why no results arrive now.
    trouble: Option<String>,
    dead: bool,
}

impl State {
    fn of(telemetry: &Telemetry) -> State {
        let trouble = foretell_http::unready(telemetry).into_iter().next();
        State {
            ready: trouble.is_none(),
            waits: foretell_http::waits(telemetry),
            trouble,
            dead: !foretell_http::dead(telemetry).is_empty(),
        }
    }
}

/// What was told already.
#[derive(Default)]
struct Told {
    ready: bool,
    /// Since when all that is not ready waits for a share.
    waiting: Option<Instant>,
    status: String,
}

impl Told {
    fn next(&mut self, states: &[State], pipelines: usize, now: Instant) -> Vec<NotifyState<'_>> {
        let mut news = Vec::new();
        let all = states.len() >= pipelines;
        let waiting = all && states.iter().all(|state| state.ready || state.waits);
        let since = *self.waiting.get_or_insert(now);
        if !waiting {
            self.waiting = None;
        }
        let stands_by = waiting && now.duration_since(since) >= STANDS_BY;
        if !self.ready && all && (stands_by || states.iter().all(|state| state.ready)) {
            self.ready = true;
            news.push(NotifyState::Ready);
        }
        let trouble = states.iter().find_map(|state| state.trouble.clone());
        let status = match trouble {
            Some(trouble) => trouble,
            None if states.len() < pipelines => "starting".to_string(),
            None => "running".to_string(),
        };
        let status = status.replace('\n', " ");
        if self.status != status {
            self.status = status;
            news.push(NotifyState::Status(&self.status));
        }
        if !states.iter().any(|state| state.dead) {
            news.push(NotifyState::Watchdog);
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(ready: bool, trouble: Option<&str>, dead: bool) -> State {
        State { ready, waits: false, trouble: trouble.map(str::to_string), dead }
    }

    fn next(told: &mut Told, states: &[State], pipelines: usize) -> Vec<String> {
        later(told, states, pipelines, Instant::now())
    }

    fn later(told: &mut Told, states: &[State], pipelines: usize, now: Instant) -> Vec<String> {
        told.next(states, pipelines, now).iter().map(|state| state.to_string().trim().to_string()).collect()
    }

    #[test]
    fn a_copy_that_stands_by_is_ready_after_a_while() {
        let (mut told, now) = (Told::default(), Instant::now());
        let waits = || [State { waits: true, ..state(false, Some("no sink is claimed yet"), false) }];
        assert_eq!(later(&mut told, &waits(), 1, now), ["STATUS=no sink is claimed yet", "WATCHDOG=1"]);
        assert_eq!(later(&mut told, &waits(), 1, now + STANDS_BY / 2), ["WATCHDOG=1"]);
        assert_eq!(later(&mut told, &waits(), 1, now + STANDS_BY), ["READY=1", "WATCHDOG=1"]);
    }

    #[test]
    fn it_is_ready_once_when_all_are_and_the_watchdog_hears_of_one_that_stopped() {
        let mut told = Told::default();
        assert_eq!(next(&mut told, &[], 1), ["STATUS=starting", "WATCHDOG=1"]);
        let (good, bad) = (|| state(true, None, false), || state(false, Some("sink `db` is away"), false));
        assert_eq!(next(&mut told, &[good(), bad()], 2), ["STATUS=sink `db` is away", "WATCHDOG=1"]);
        assert_eq!(next(&mut told, &[good(), good()], 2), ["READY=1", "STATUS=running", "WATCHDOG=1"]);
        assert_eq!(next(&mut told, &[good(), good()], 2), ["WATCHDOG=1"]);
        let dead = state(true, Some("worker 0 has been computing for 601 s"), true);
        assert_eq!(next(&mut told, &[good(), dead], 2), ["STATUS=worker 0 has been computing for 601 s"]);
    }
}
