//! Evaluates a classifier on made-up visits and writes the page: `cargo run -p foretell-evaluate --example report`.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, StringArray};
use arrow::datatypes::DataType;
use foretell_evaluate::{Evaluation, Importance, Predictions, Rows, Scores, Subject, Task};

/// The answers of a model that takes those over 60 for ill.
fn predict(features: &[ArrayRef]) -> Result<Predictions, Box<dyn std::error::Error + Send + Sync>> {
    let ages = features[0].as_any().downcast_ref::<Float64Array>().ok_or("ages are numbers")?;
    let ill: Vec<f64> = ages.values().iter().map(|age| if *age > 60.0 { 0.7 } else { 0.1 }).collect();
    let label = |p: &f64| Some(if *p > 0.5 { "ill" } else { "well" });
    Ok(Predictions {
        predicted: Arc::new(ill.iter().map(label).collect::<StringArray>()),
        scores: vec![
            Arc::new(ill.iter().map(|p| 1.0 - p).collect::<Float64Array>()),
            Arc::new(Float64Array::from(ill)),
        ],
    })
}

fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let (names, features) = (["well".to_string(), "ill".to_string()], ["age".to_string()]);
    let task = Task::classification(names.to_vec(), DataType::Utf8, Some(Scores::Probabilities), f64::EPSILON)?;
    let mut evaluation = Evaluation::new(task, features.len());
    let comparer = evaluation.comparer();
    for chunk in 0..4 {
        let ages: Vec<f64> = (0..500).map(|row| f64::from((row * 37 + chunk * 11) % 90)).collect();
        let happened: StringArray = ages
            .iter()
            .enumerate()
            .map(|(row, age)| Some(if *age > 55.0 && row % 3 > 0 { "ill" } else { "well" }))
            .collect();
        let columns: [ArrayRef; 1] = [Arc::new(Float64Array::from(ages))];
        let predictions = predict(&columns)?;
        let happened: ArrayRef = Arc::new(happened);
        evaluation.add(comparer.compare(&Rows::new(chunk as u64, &columns, &happened, &predictions))?)?;
    }
    let subject = Subject {
        model: "a rule of thumb".to_string(),
        class: "over 60".to_string(),
        data: "made up".to_string(),
        target: "health".to_string(),
        ..Subject::default()
    };
    let findings = evaluation.finish_with_features(subject, &features, |sample| {
        Importance::by_shuffling(comparer.task(), sample, &features, |columns, _| predict(columns))
    })?;
    for figure in findings.figures() {
        println!("{:<18} {:>8}  {}", figure.name, figure.shown, figure.means);
    }
    let path = std::env::temp_dir().join("foretell-evaluate-report.html");
    std::fs::write(&path, findings.page("today"))?;
    println!("the page: {}", path.display());
    Ok(())
}
