//! How much memory the allocator keeps.

/// Lets glibc have as many arenas as there are cores. By default it has eight times as many, one for nearly each thread
/// that ever waited for a disk or a database, and each keeps what it once needed: a batch job on two cores held 245 MB
/// at its peak instead of 170 MB, and was no faster. Called before any other thread runs.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the allocator is asked through C")]
pub(crate) fn few_arenas() {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(64));
    // SAFETY: sets a number; nothing else uses the allocator at the same time.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, cores as libc::c_int) };
}

/// Other allocators keep less.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn few_arenas() {}

/// How often free memory is given back.
#[cfg(target_env = "gnu")]
const EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// From now on gives memory that is free back to the system once a minute: glibc keeps what lies below something that is still
/// used, and with it all that a backlog after an outage took (110 of 130 MB).
#[cfg(target_env = "gnu")]
pub(crate) fn give_back() {
    let trim = || loop {
        std::thread::sleep(EVERY);
        #[expect(unsafe_code, reason = "the allocator is asked through C")]
        // SAFETY: it locks what it looks at, and frees nothing that is used.
        unsafe {
            libc::malloc_trim(0);
        }
    };
    // Without such a thread memory stays where it is.
    drop(std::thread::Builder::new().name("memory".to_string()).spawn(trim));
}

/// Other allocators do it themselves.
#[cfg(not(target_env = "gnu"))]
pub(crate) fn give_back() {}
