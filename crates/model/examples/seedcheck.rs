use arrow_array::{ArrayRef, Int64Array, cast::AsArray, types::Float32Type};
use foretell_model::*;
use std::sync::Arc;
fn main() {
    let bytes = std::fs::read("/work/shared/seed/pima_20190911_xgb.pickle").unwrap();
    let report = inspect(&bytes, &LoadOptions::default());
    for g in &report.globals {
        println!("{g:?}");
    }
    let model = report.model.unwrap();
    println!("{:#?}\n{:?}", model.describe(), model.signature());
    let text = std::fs::read_to_string("/work/shared/seed/pdata_20.csv").unwrap();
    let exp = std::fs::read_to_string("/work/shared/seed/pdata_20_expected.csv").unwrap();
    let rows: Vec<Vec<i64>> =
        text.lines().skip(1).map(|l| l.split(',').map(|v| v.parse().unwrap()).collect()).collect();
    let cols: Vec<ArrayRef> =
        (1..8).map(|c| Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r[c]))) as ArrayRef).collect();
    let out = model.score(&Columns::new(&cols, rows.len()), Want::Predict, &mut Scratch::default());
    let mut ok = 0;
    for (v, line) in out.columns[0].as_primitive::<Float32Type>().values().iter().zip(exp.lines().skip(1)) {
        let bits = line.split(',').nth(2).unwrap();
        if format!("{:#010x}", v.to_bits()) == bits { ok += 1 } else { println!("{v} {line}") }
    }
    println!("{ok} of {} equal", rows.len());
}
