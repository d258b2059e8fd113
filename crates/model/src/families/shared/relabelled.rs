//! Classifiers that learned codes, of which an encoder beside them knows the labels.

use foretell_pickle::View;

use crate::attributes::labels;
use crate::families::shared::members::{codes, predictor};
use crate::loaded::{Loaded, Out};
use crate::matrix::Matrix;
use crate::step::{Answer, Predict, Run, Step};
use crate::{Error, Method, Output};

/// What was loaded, with the labels of a `LabelEncoder` in the place of its codes.
pub(in crate::families) fn relabelled(view: &View<'_>, loaded: Loaded, encoder: &View<'_>) -> Result<Loaded, Error> {
    let (member, report) = predictor(loaded, view)?;
    let outer = labels(&encoder.attr("classes_")?)?;
    let inner = match member.labels() {
        Some(inner) if member.targets.predict.len() == 1 => inner,
        _ => return Err(Error::no_such_answer(view.path(), "the estimator", "one class a row")),
    };
    let codes = codes(view, inner, outer.len())?;
    let names: Vec<(String, String)> =
        codes.iter().enumerate().map(|(class, code)| (inner.text(class), outer.text(*code as usize))).collect();
    let mut targets = member.targets.clone();
    for outputs in [&mut targets.proba, &mut targets.decision, &mut targets.contribs] {
        outputs.iter_mut().for_each(|output| rename(output, &names));
    }
    targets.predict.iter_mut().for_each(|output| output.data_type = outer.data_type());
    targets.labels = vec![outer];
    let step = Relabelled { step: member.step, codes };
    Ok(Loaded { step: Step::Predict(Box::new(step)), out: Out::Answers(targets), report })
}

/// Gives an output of a class the name that the class has outside.
fn rename(output: &mut Output, names: &[(String, String)]) {
    let Some((inner, outer)) = names.iter().find(|(inner, _)| output.class.as_ref() == Some(inner)) else { return };
    if let Some(stem) = output.name.strip_suffix(inner.as_str()) {
        output.name = format!("{stem}{outer}");
    }
    output.class = Some(outer.clone());
}

/// Answers codes, of which each stands for a label.
#[derive(Debug)]
struct Relabelled {
    step: Box<dyn Predict>,
    /// The label of each class of the predictor.
    codes: Vec<u32>,
}

impl Predict for Relabelled {
    fn answer(&self, x: Matrix, want: Method, run: &mut Run) -> Answer {
        let label = |class: u32| self.codes.get(class as usize).copied().unwrap_or_default();
        match self.step.answer(x, want, run) {
            Answer::Class(all) => {
                Answer::Class(all.into_iter().map(|one| one.into_iter().map(label).collect()).collect())
            }
            other => other,
        }
    }

    fn rows_at_once(&self) -> Option<usize> {
        self.step.rows_at_once()
    }

    fn contribs(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<f64>>> {
        self.step.contribs(x, run)
    }

    fn leaves(&self, x: Matrix, run: &mut Run) -> Option<Vec<Vec<i64>>> {
        self.step.leaves(x, run)
    }

    fn table(&self, x: Matrix, run: &mut Run) -> Matrix {
        self.step.table(x, run)
    }
}
