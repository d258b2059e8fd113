//! What signals do: the first that stops drains, the second leaves at once, and a hangup reads the file again.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The first signal drains, for at most `leave_within`; the second leaves at once.
pub(crate) async fn signals(shutdown: CancellationToken, leave_within: Duration, reloads: bool) {
    let stop = || async {
        match reloads {
            true => tokio::select! {
                () = one(libc::SIGTERM) => {}
                () = one(libc::SIGINT) => {}
            },
            false => drop(signal().await),
        }
    };
    stop().await;
    info!("stopping: finishing what is under way");
    shutdown.cancel();
    tokio::select! {
        () = stop() => warn!("leaving at once; nothing is lost, the next start goes on from what the sinks hold"),
        () = tokio::time::sleep(leave_within) => {
            warn!("a service takes too long; leaving: nothing is lost, the next start goes on from what the sinks hold");
        }
    }
    std::process::exit(0);
}

/// A hangup of a program that no terminal started asks it to read its file again; a terminal that goes away stops it.
pub(super) fn reloads_on_hangup() -> bool {
    use std::io::IsTerminal as _;
    let terminal = std::io::stdin().is_terminal() || std::io::stdout().is_terminal() || std::io::stderr().is_terminal();
    !terminal && !is_ignored(libc::SIGHUP)
}

/// Counts the hangups.
pub(super) async fn hangups(count: watch::Sender<u64>) {
    let Ok(mut signals) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()) else { return };
    while signals.recv().await.is_some() {
        count.send_modify(|count| *count += 1);
    }
}

/// Resolves with the number of the signal that tells the program to stop. A terminal that goes away says so by a hangup.
pub(crate) async fn signal() -> i32 {
    tokio::select! {
        () = one(libc::SIGTERM) => libc::SIGTERM,
        () = one(libc::SIGINT) => libc::SIGINT,
        () = one(libc::SIGHUP), if !is_ignored(libc::SIGHUP) => libc::SIGHUP,
    }
}

async fn one(number: libc::c_int) {
    match tokio::signal::unix::signal(number.into()) {
        Ok(mut signals) => _ = signals.recv().await,
        Err(_) => std::future::pending().await,
    }
}

/// Whether the program was started with this signal ignored, as by `nohup`.
#[expect(unsafe_code, reason = "the system is asked through C")]
fn is_ignored(number: libc::c_int) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: asks only, into a place of the right size; zeros are a valid value of it.
    unsafe {
        libc::sigaction(number, std::ptr::null(), now.as_mut_ptr()) == 0
            && now.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
