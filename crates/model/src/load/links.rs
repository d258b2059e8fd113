//! A chain of estimators that were saved one by one: each is given what the one before it makes.

use crate::loaded::{Loaded, Out, Source};
use crate::step::{Chain, Step, Transform};
use crate::{Error, StepReport};

/// The links so far.
#[derive(Default)]
pub(crate) struct Links {
    transforms: Vec<Box<dyn Transform>>,
    sources: Option<Vec<Source>>,
    reports: Vec<StepReport>,
    last: Option<Loaded>,
}

impl Links {
    /// The columns that the next link is given; `None` for the first.
    pub(crate) fn sources(&self) -> Option<&[Source]> {
        self.sources.as_deref()
    }

    /// Adds a link. All but the last must make columns.
    pub(crate) fn add(&mut self, mut loaded: Loaded, path: String, is_last: bool) -> Result<(), Error> {
        loaded.report.name = loaded.report.name.take().or((!path.is_empty()).then_some(path));
        if is_last {
            self.last = Some(loaded);
            return Ok(());
        }
        match (loaded.step, loaded.out) {
            (Step::Transform(step), Out::Table(out)) => {
                self.transforms.push(step);
                self.sources = Some(out);
                self.reports.push(loaded.report);
                Ok(())
            }
            _ => Err(Error::WrongRole { place: String::new(), does: "predicts", needed: "transformer" }),
        }
    }

    /// The whole; a single link as it is.
    pub(crate) fn finish(self) -> Result<Loaded, Error> {
        let Links { mut transforms, mut reports, last, .. } = self;
        let Some(mut last) = last else { return Err(Error::state("", "no file is given")) };
        if transforms.is_empty() {
            last.report.name = None;
            return Ok(last);
        }
        reports.push(std::mem::take(&mut last.report));
        let report = StepReport { class: "chain".to_string(), children: reports, ..StepReport::default() };
        match last.step {
            Step::Predict(step) => {
                let chain = Chain { transforms, last: Some(step) };
                Ok(Loaded { step: Step::Predict(Box::new(chain)), out: last.out, report })
            }
            Step::Transform(step) => {
                transforms.push(step);
                let chain = Chain { transforms, last: None };
                Ok(Loaded { step: Step::Transform(Box::new(chain)), out: last.out, report })
            }
        }
    }
}
