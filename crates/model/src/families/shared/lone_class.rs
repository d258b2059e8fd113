//! Classifiers that are made for two classes and met a single one in training: their score says how surely it is not
//! the other, which has no label.

use arrow_schema::DataType;

use crate::labels::Labels;
use crate::loaded::Targets;
use crate::matrix::Matrix;
use crate::step::{Answer, Predict, Run};
use crate::{Method, Output};

/// What a classifier answers; of a single class the probability of the other one stands behind it.
pub(in crate::families) fn targets(labels: Labels, float: DataType) -> Targets {
    let lone = labels.len() == 1;
    let mut targets = Targets::classes(vec![labels], float.clone());
    if lone {
        targets.proba.push(Output { name: "proba_other".to_string(), data_type: float, class: None });
    }
    targets
}

/// Refuses the rows that such a classifier finds to be of the other class, as the library raises on them.
pub(in crate::families) fn guarded(step: Box<dyn Predict>, name: &str, lone: bool) -> Box<dyn Predict> {
    if lone { Box::new(Guarded { step, name: name.to_string() }) } else { step }
}

#[derive(Debug)]
struct Guarded {
    step: Box<dyn Predict>,
    name: String,
}

impl Predict for Guarded {
    fn contribs(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<f64>>> {
        self.step.contribs(x, run)
    }

    fn leaves(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<i64>>> {
        self.step.leaves(x, run)
    }

    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let mut answer = self.step.answer(x, want, run);
        if let Answer::Class(columns) = &mut answer {
            for (row, class) in columns.iter_mut().flat_map(|column| column.iter_mut().enumerate()) {
                if *class > 0 {
                    run.refuse(row, &self.name, None, "a class that training did not have");
                    *class = 0;
                }
            }
        }
        answer
    }
}
