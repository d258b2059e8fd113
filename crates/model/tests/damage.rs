//! Every small fixture cut and changed: an error or a model that predicts, never a panic, never more than 64 MiB and
//! 20 times the file's size in memory, never more than 5 seconds.
//!
//! A run takes a few positions of each fixture; `make test-long` (which sets `FORETELL_LONG`) takes all of them. A
//! binary of its own, because it counts what the allocator gives.
#![allow(unsafe_code, reason = "a counting allocator can only be written with it")]

mod try_out;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::catch_unwind;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use foretell_fixtures::Case;
use foretell_model::Limits;
use try_out::try_out;

struct Counting;

thread_local! {
    /// Bytes that this thread holds, and the most it held: a model starts no thread.
    static NOW: Cell<i64> = const { Cell::new(0) };
    static PEAK: Cell<i64> = const { Cell::new(0) };
}

fn count(bytes: i64) {
    let _ = NOW.try_with(|now| {
        now.set(now.get() + bytes);
        PEAK.set(PEAK.get().max(now.get()));
    });
}

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: the caller's promise is the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: the caller's promise is the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Larger files are not taken apart byte by byte.
const SMALL: usize = 64 << 10;
/// Positions of each fixture in a short run.
const SAMPLE: usize = 12;
const MEMORY: usize = 64 << 20;
const MEMORY_FACTOR: usize = 20;
const TIME: Duration = Duration::from_secs(5);

/// What the worst of all damaged files took.
#[derive(Debug, Default)]
struct Worst {
    files: u64,
    models: u64,
    memory: (i64, String),
    time: (Duration, String),
    /// The damages that a fixture did not stand, the first of each fixture.
    failures: Vec<String>,
}

/// How long this thread has run.
fn on_processor() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(told.split(' ').next().unwrap().parse().unwrap())
}

/// Tries one file; nothing where it does not stand it.
fn damaged(name: &str, bytes: &[u8], unpacked: usize, worst: &mut Worst) -> Option<()> {
    let before = NOW.get();
    PEAK.set(before);
    let from = Instant::now();
    let loads = catch_unwind(|| try_out(bytes));
    let (mut took, peak) = (from.elapsed(), PEAK.get() - before);
    if took > TIME && loads.is_ok() {
        // A busy machine holds a thread up for long: what counts is the time on a processor.
        let from = on_processor();
        try_out(bytes);
        took = on_processor() - from;
    }
    let bound = (MEMORY + MEMORY_FACTOR * unpacked) as i64;
    let failure = match loads {
        Err(_) => format!("{name} panics"),
        Ok(_) if peak > bound => format!("{name} takes {peak} bytes of memory, {bound} are allowed"),
        Ok(_) if took > TIME => format!("{name} takes {took:?}"),
        Ok(_) => String::new(),
    };
    if !failure.is_empty() {
        worst.failures.push(failure);
        return None;
    }
    let loads = loads.is_ok_and(|loads| loads);
    worst.files += 1;
    worst.models += u64::from(loads);
    if peak > worst.memory.0 {
        worst.memory = (peak, name.to_owned());
    }
    if took > worst.time.0 {
        worst.time = (took, name.to_owned());
    }
    Some(())
}

/// One file cut and changed at every position, or at some, up to the first failure.
fn take_apart(name: &str, bytes: &[u8], all: bool, worst: &mut Worst) -> Option<()> {
    let unpacked = foretell_pickle::scan(bytes.to_vec(), &Limits::default()).map_or(0, |scan| scan.unpacked as usize);
    let unpacked = unpacked.max(bytes.len());
    let step = if all { 1 } else { bytes.len().div_ceil(SAMPLE) };
    let mut changed = bytes.to_vec();
    for at in (0..bytes.len()).step_by(step) {
        damaged(&format!("{name} cut at {at}"), &bytes[..at], unpacked, worst)?;
        for change in [1 << (at % 8), 0xff] {
            changed[at] ^= change;
            damaged(&format!("{name} changed by {change} at {at}"), &changed, unpacked, worst)?;
            changed[at] ^= change;
        }
    }
    Some(())
}

#[test]
fn damaged_files_are_refused_or_predict_in_bounds() {
    let all = std::env::var_os("FORETELL_LONG").is_some();
    let mut files: Vec<(String, Vec<u8>)> = Case::all()
        .iter()
        .map(|case| (case.name(), std::fs::read(case.model()).unwrap()))
        .filter(|(_, bytes)| bytes.len() <= SMALL)
        .collect();
    // The largest first, so that the threads end together.
    files.sort_by_key(|(_, bytes)| bytes.len());
    let count = files.len();
    let queue = Mutex::new(files);
    let total = Mutex::new(Worst::default());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                let mut worst = Worst::default();
                loop {
                    let Some((name, bytes)) = queue.lock().unwrap().pop() else { break };
                    let stands = take_apart(&name, &bytes, all, &mut worst).is_some();
                    if !stands {
                        println!("{}", worst.failures.last().unwrap());
                    } else if all {
                        println!("{name}: {} damaged files on this thread until here", worst.files);
                    }
                }
                let mut total = total.lock().unwrap();
                total.files += worst.files;
                total.models += worst.models;
                total.failures.extend(worst.failures);
                total.memory = worst.memory.max(std::mem::take(&mut total.memory));
                total.time = worst.time.max(std::mem::take(&mut total.time));
            });
        }
    });
    let total = total.into_inner().unwrap();
    println!("{count} fixtures: {total:?}");
    assert!(count > 100 && total.models > 1_000, "{count} fixtures, {} files that load", total.models);
    assert!(total.failures.is_empty(), "{} fixtures failed:\n{}", total.failures.len(), total.failures.join("\n"));
}
