//! Decodes three CSV records, of which one is bad.

use std::error::Error;

use arrow::util::pretty::pretty_format_batches;
use foretell_decode::DECODERS;
use foretell_flow::RecordsBuilder;
use serde_json::json;

fn main() -> Result<(), Box<dyn Error>> {
    let csv = DECODERS.iter().find(|kind| kind.name == "csv").ok_or("no such decoder")?;
    let settings = json!({ "columns": [{ "AGE": "int64" }, { "NAME": "utf8?" }] });
    let settings = (csv.parse)(settings).map_err(|error| format!("{}: {}", error.path.join("."), error.message))?;

    let mut records = RecordsBuilder::new("people".into());
    for (offset, line) in (0..).zip(["64,Ann", "x,Bob", "17,"]) {
        records.push(0, offset, None, None, Some(line.as_bytes()), Vec::new());
    }
    let decoded = settings.open()?.decode(&records.finish());

    println!("{}", pretty_format_batches(&[decoded.columns])?);
    for refused in &decoded.bad {
        // record 1: field 1 (AGE): not an int64
        println!("record {}: {}", refused.row, refused.reason);
    }
    Ok(())
}
