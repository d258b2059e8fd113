//! Encoders of the same columns beside each other: `SummaryEncoder` has one for each quantile, `PolynomialWrapper` one for
//! each class of the target but the first.

use foretell_pickle::View;

use super::{name_of, names_of};
use crate::attributes::{flag, some_attr};
use crate::loaded::{Loaded, Out, Source, Transformer};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, StepReport};

/// What each column became comes where the column stood, quantile by quantile.
pub(super) fn summary(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut beside = Beside::default();
    let mut quantiles = Vec::new();
    for inside in view.attr("encoder_list")?.items()? {
        // As Python rounds.
        quantiles.push((inside.attr("quantile")?.as_f64()? * 100.0).round_ties_even());
        beside.add(loader, &inside, given)?;
    }
    let columns = names_of(&view.attr("cols")?)?;
    let drops = flag(view, "drop_invariant", false)?;
    let names = match beside.encoders.first() {
        Some(first) => first.out.iter().map(|source| source.label.clone()).collect(),
        None => Vec::new(),
    };
    let names = match some_attr(view, "feature_names_in_")? {
        Some(names) => names_of(&names)?,
        None => names,
    };
    for name in names {
        let is_encoded = columns.contains(&name);
        for (encoder, quantile) in quantiles.iter().enumerate().take(if is_encoded { quantiles.len() } else { 1 }) {
            let label = if is_encoded { format!("{name}_{quantile}") } else { name.clone() };
            // What never changed in training is left out of its own encoder alone.
            let is_there = beside.pick(encoder, &name, label);
            if !is_there && (!is_encoded || !drops) {
                return Err(Error::NoSuchColumn { place: view.path(), column: name });
            }
        }
    }
    beside.finish(loader, view)
}

/// First the columns that pass through, then for each class those that were encoded.
pub(super) fn polynomial(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let mut beside = Beside::default();
    let (mut classes, mut columns) = (Vec::new(), Vec::new());
    for (class, inside) in view.attr("feature_encoders")?.pairs()? {
        classes.push(name_of(&class)?);
        columns.push(names_of(&inside.attr("cols")?)?);
        beside.add(loader, &inside, given)?;
    }
    let Some((last, last_columns)) = beside.encoders.len().checked_sub(1).zip(columns.last()) else {
        return Err(Error::Unfitted { place: view.path() });
    };
    let passed = beside.encoders.get(last).map(|encoder| encoder.out.clone()).unwrap_or_default();
    for source in passed.iter().filter(|source| !last_columns.contains(&source.label)) {
        beside.pick(last, &source.label, source.label.clone());
    }
    for (encoder, (class, columns)) in classes.iter().zip(&columns).enumerate() {
        for name in columns {
            if !beside.pick(encoder, name, format!("{name}_{class}")) {
                let what = "an encoder that makes several columns of one";
                return Err(Error::unsupported(view.path(), what, "encoders that make one, such as TargetEncoder"));
            }
        }
    }
    beside.finish(loader, view)
}

/// Encoders that are given the same columns, and what of their outputs is handed on.
#[derive(Default)]
struct Beside {
    encoders: Vec<Transformer>,
    /// Which columns of which encoder, by their places.
    picked: Vec<(usize, usize)>,
    out: Vec<Source>,
    children: Vec<StepReport>,
}

impl Beside {
    fn add(&mut self, loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<(), Error> {
        // The first one tells the inputs of all of them.
        let own = loader.own().filter(|_| given.is_none() && !self.encoders.is_empty());
        let mut encoder = loader.transformer(view, given.or(own.as_deref()))?;
        self.children.push(std::mem::take(&mut encoder.report));
        self.encoders.push(encoder);
        Ok(())
    }

    /// Hands a column on under a name; whether the encoder gives it.
    fn pick(&mut self, encoder: usize, name: &str, label: String) -> bool {
        let Some(Transformer { out, .. }) = self.encoders.get(encoder) else { return false };
        let Some((at, source)) = out.iter().enumerate().find(|(_, source)| source.label == name) else { return false };
        self.out.push(Source { label, ..source.clone() });
        self.picked.push((encoder, at));
        true
    }

    fn finish(self, loader: &mut Loader<'_>, view: &View<'_>) -> Result<Loaded, Error> {
        loader.charge(view, self.out.len())?;
        let steps = self.encoders.into_iter().map(|encoder| encoder.step).collect();
        let step = Step::Transform(Box::new(run::Beside { steps, picked: self.picked }));
        let report = StepReport { children: self.children, ..StepReport::default() };
        Ok(Loaded { step, out: Out::Table(self.out), report })
    }
}

#[allow(clippy::indexing_slicing, reason = "places are checked while loading")]
mod run {
    use arrow_array::ArrayRef;

    use super::super::by_column::run::{columns, table};
    use crate::matrix::Matrix;
    use crate::step::{Run, Transform};

    #[derive(Debug)]
    pub(super) struct Beside {
        pub(super) steps: Vec<Box<dyn Transform>>,
        pub(super) picked: Vec<(usize, usize)>,
    }

    impl Transform for Beside {
        fn transform(&self, x: Matrix, run: &mut Run) -> Matrix {
            let rows = x.rows();
            let made: Vec<Vec<ArrayRef>> =
                self.steps.iter().map(|step| columns(&step.transform(x.clone(), run))).collect();
            table(self.picked.iter().map(|(encoder, at)| made[*encoder][*at].clone()).collect(), rows)
        }
    }
}
