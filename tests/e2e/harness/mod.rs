//! What the tests share: the binary, the services, and pipelines with names of their own.

pub(crate) mod browser;
pub(crate) mod case;
pub(crate) mod database;
pub(crate) mod foretell;
pub(crate) mod forwarder;
pub(crate) mod hdfs;
pub(crate) mod kafka;
pub(crate) mod nc;
pub(crate) mod orders;
pub(crate) mod s3;
pub(crate) mod sandbox;
pub(crate) mod streams;

use std::path::PathBuf;
use std::sync::LazyLock;

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Where a service is, by its variable.
pub(crate) fn service(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `dev/services up` and source its env (`. target/services/env`)")
    })
}

/// Runs a future of a client library to its end.
pub(crate) fn wait<F: Future>(future: F) -> F::Output {
    static RUNTIME: LazyLock<tokio::runtime::Runtime> =
        LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap());
    RUNTIME.block_on(future)
}

/// Asks until the answer is yes; panics with `what` after a minute.
pub(crate) fn until(what: &str, mut yes: impl FnMut() -> bool) {
    let since = std::time::Instant::now();
    while !yes() {
        assert!(since.elapsed().as_secs() < 60, "waited a minute for: {what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
