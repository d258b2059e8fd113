//! What a pickle, joblib or skops file names, and nothing of it is run:
//! `cargo run -p foretell-pickle --example globals -- model.joblib`.

use foretell_pickle::{Limits, scan};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bytes = match std::env::args().nth(1) {
        Some(path) => std::fs::read(path)?,
        // `os.system("true")`, as it would lie in wait in a file from elsewhere.
        None => b"cos\nsystem\n(S'true'\ntR.".to_vec(),
    };
    let scan = scan(bytes, &Limits::default())?;
    println!("{}, protocol {}, {} bytes unpacked", scan.container, scan.protocol, scan.unpacked);
    for found in &scan.globals {
        println!("  byte {:>6}  {}.{}, {} times", found.at, found.module, found.name, found.times);
    }
    Ok(())
}
