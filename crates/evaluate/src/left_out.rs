//! Rows that are not compared.

use std::collections::BTreeMap;

/// Rows that say nothing about the model, counted by why.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LeftOut {
    /// The target is missing.
    pub target: u64,
    /// The target is infinite.
    pub infinite: u64,
    /// The weight is missing.
    pub weight: u64,
    /// The model answers with what is not a finite number.
    pub answer: u64,
    /// The model refuses the row: how often for this reason, and where first.
    pub refused: BTreeMap<String, (u64, String)>,
}

impl LeftOut {
    /// Adds what a later chunk left out.
    pub fn add(&mut self, later: LeftOut) {
        self.target += later.target;
        self.infinite += later.infinite;
        self.weight += later.weight;
        self.answer += later.answer;
        for (why, (count, first)) in later.refused {
            self.refused.entry(why).or_insert((0, first)).0 += count;
        }
    }

    /// How many rows it is in all.
    pub fn rows(&self) -> u64 {
        let refused: u64 = self.refused.values().map(|(count, _)| count).sum();
        self.target + self.infinite + self.weight + self.answer + refused
    }

    /// How many rows, and why, a sentence for each reason; `target` is the name of the column of outcomes.
    pub fn sentences(&self, target: &str) -> Vec<(u64, String)> {
        let counted = [
            (self.target, format!("`{target}` is missing")),
            (self.infinite, format!("`{target}` is infinite")),
            (self.weight, "the weight is missing".to_string()),
            (self.answer, "the model's answer is not a finite number".to_string()),
        ];
        let refused = self
            .refused
            .iter()
            .map(|(why, (count, first))| (*count, format!("the model refuses the row: {why} (first: {first})")));
        counted.into_iter().chain(refused).filter(|(count, _)| *count > 0).collect()
    }
}
