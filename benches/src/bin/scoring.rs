//! How fast models score, one thread: `scoring DIR [NAME..]`, where DIR holds `NAME.joblib`, `NAME.X.npy` (float32 rows) and
//! `NAME.expected.npy`. Prints a JSON line a model, by the thread's processor time: rows/s at 100,000 and 1,000 rows, microseconds
//! for 100 and 1, and how many answers differ from what is expected; and, by the clock on the wall, what two threads make of
//! 100,000 rows each beside one.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::{ArrayRef, Float32Array};
use foretell_model::{Columns, LoadOptions, Method, Model};

fn main() {
    let mut args = std::env::args().skip(1);
    let dir = args.next().expect("usage: scoring DIR [NAME..]");
    let names: Vec<String> = args.collect();
    let mut found: Vec<String> = std::fs::read_dir(&dir)
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.file_name().to_str()?.strip_suffix(".joblib")?.to_string()))
        .filter(|name| names.is_empty() || names.contains(name))
        .collect();
    found.sort();
    for name in found {
        score(Path::new(&dir), &name);
    }
}

fn score(dir: &Path, name: &str) {
    let bytes = std::fs::read(dir.join(format!("{name}.joblib"))).expect("the model");
    let begun = processor_time();
    let model = Model::load(&bytes, &LoadOptions::default()).expect("a model that loads");
    let load = processor_time() - begun;
    let (shape, x) = npy(&dir.join(format!("{name}.X.npy")));
    let (rows, columns) = (shape[0], shape[1]);
    let take = |count: usize| -> Vec<ArrayRef> {
        let column = |column| {
            Arc::new(Float32Array::from_iter_values((0..count).map(|row| x[row * columns + column] as f32))) as ArrayRef
        };
        (0..columns).map(column).collect()
    };
    let want = if model.classes(0).is_empty() { Method::Predict } else { Method::Proba };
    let all = take(rows);
    let answers = model.score(&Columns::new(&all, rows), want);
    let (_, expected) = npy(&dir.join(format!("{name}.expected.npy")));
    let width = answers.columns.len();
    let value = |column: &ArrayRef, row: usize| match column.as_primitive_opt::<Float32Type>() {
        Some(column) => f64::from(column.value(row)),
        None => column.as_primitive::<Float64Type>().value(row),
    };
    let differ =
        (0..rows * width).filter(|at| value(&answers.columns[at % width], at / width) != expected[*at]).count();
    let time = |count: usize, seconds: f64| {
        let columns = take(count);
        let score = || std::hint::black_box(model.score(&Columns::new(&columns, count), want));
        // The clock takes longer than a short call: several are measured together.
        let (begun, mut calls) = (processor_time(), 0u32);
        while processor_time() - begun < Duration::from_millis(2) {
            score();
            calls += 1;
        }
        let (mut best, until) = (Duration::MAX, processor_time() + Duration::from_secs_f64(seconds));
        let mut runs = 0;
        while runs < 3 || processor_time() < until {
            let begun = processor_time();
            (0..calls).for_each(|_| drop(score()));
            best = best.min((processor_time() - begun) / calls);
            runs += 1;
        }
        best.as_secs_f64()
    };
    // Runs a second, of all threads together; the best of three times.
    let together = |threads: usize| {
        let columns = take(rows);
        let once = |_| {
            let (begun, runs) = (Instant::now(), AtomicUsize::new(0));
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        while begun.elapsed() < Duration::from_millis(700) {
                            std::hint::black_box(model.score(&Columns::new(&columns, rows), want));
                            runs.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            runs.into_inner() as f64 / begun.elapsed().as_secs_f64()
        };
        (0..3).map(once).fold(0.0, f64::max)
    };
    println!(
        "{}",
        serde_json::json!({
            "model": name, "kernel": model.describe().kernel, "load_s": load.as_secs_f64(),
            "rows_s_100k": (rows as f64 / time(rows, 2.0)) as u64,
            "rows_s_1000": (1000.0 / time(1000, 0.7)) as u64,
            "us_100": time(100, 0.5) * 1e6, "us_1": time(1, 0.5) * 1e6, "differ": differ,
            "two_threads": together(2) / together(1),
        })
    );
}

/// How long this thread has run: on a busy machine, the time that others take does not count.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written to a place that is there.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The shape and the numbers of an array that numpy saved.
fn npy(path: &Path) -> (Vec<usize>, Vec<f64>) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).expect("a header");
    let shape = header.split_once("'shape': (").expect("a shape").1.split_once(')').expect("a shape").0;
    let shape: Vec<usize> = shape.split(',').filter_map(|size| size.trim().parse().ok()).collect();
    let data = &bytes[10 + length..];
    let values: Vec<f64> = if header.contains("<f4") {
        data.as_chunks::<4>().0.iter().map(|one| f64::from(f32::from_le_bytes(*one))).collect()
    } else {
        data.as_chunks::<8>().0.iter().map(|one| f64::from_le_bytes(*one)).collect()
    };
    if header.contains("'fortran_order': True") {
        let (rows, columns) = (shape[0], shape[1]);
        return (shape, (0..rows * columns).map(|at| values[at % columns * rows + at / columns]).collect());
    }
    (shape, values)
}
