//! How fast a model says why, one thread: `contribs DIR NAME`, where DIR holds `NAME.joblib` and `NAME.X.npy` (float32 rows).
//! Prints rows a second by the thread's processor time as JSON, and writes what each column adds to `NAME.contribs` (float64,
//! column after column).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Float64Type;
use arrow_array::{ArrayRef, Float32Array};
use foretell_model::{Columns, LoadOptions, Method, Model};

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let (dir, name) = (Path::new(&args[1]), &args[2]);
    let bytes = std::fs::read(dir.join(format!("{name}.joblib"))).expect("the model");
    let model = Model::load(&bytes, &LoadOptions { explain: true, ..LoadOptions::default() }).expect("it loads");
    let (rows, x) = npy(&dir.join(format!("{name}.X.npy")));
    let columns: Vec<ArrayRef> = (0..x.len() / rows)
        .map(|column| Arc::new((0..rows).map(|row| Some(x[row * (x.len() / rows) + column])).collect::<Float32Array>()) as ArrayRef)
        .collect();
    let explain = || model.score(&Columns::new(&columns, rows), Method::Contribs);
    let answers = explain();
    let bytes: Vec<u8> = (answers.columns.iter())
        .flat_map(|column| column.as_primitive::<Float64Type>().values().iter().flat_map(|x| x.to_le_bytes()))
        .collect();
    std::fs::write(dir.join(format!("{name}.contribs")), bytes).expect("the folder can be written");
    let mut best = Duration::MAX;
    let until = processor_time() + Duration::from_secs(1);
    while processor_time() < until || best == Duration::MAX {
        let begun = processor_time();
        std::hint::black_box(explain());
        best = best.min(processor_time() - begun);
    }
    println!("{}", serde_json::json!({ "rows_s": rows as f64 / best.as_secs_f64() }));
}

/// The rows of a table of float32.
fn npy(path: &Path) -> (usize, Vec<f32>) {
    let bytes = std::fs::read(path).expect("the rows");
    let length = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let head = std::str::from_utf8(&bytes[10..10 + length]).expect("a header");
    let shape = head.split("'shape': (").nth(1).and_then(|rest| rest.split(',').next()).expect("a shape");
    let values = bytes[10 + length..].chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().expect("four")));
    (shape.trim().parse().expect("rows"), values.collect())
}

/// The thread's own.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock is written into a place of its own.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
