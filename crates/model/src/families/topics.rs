//! `LatentDirichletAllocation`: how much of each topic is in a row of counts, found step by step as in training. What was trained
//! on float32 ends within `mean_change_tol` of what the library gives, whose sums in float32 may be small enough a step earlier
//! or later.

use foretell_pickle::View;

use crate::attributes::feature_names;
use crate::families::shared::kernels::Held;
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "topics",
    classes: &[
        ("sklearn.decomposition._lda", "LatentDirichletAllocation"),
        ("sklearn.decomposition.online_lda", "LatentDirichletAllocation"),
    ],
    globals: &[],
    load,
};

/// Steps for one row: more are an attack on time.
const STEPS: usize = 10_000;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let words = Held::read(&view.attr("exp_dirichlet_component_")?)?;
    let number = |name: &str| -> Result<f64, Error> { Ok(view.attr(name)?.as_f64()?) };
    let (prior, least) = (number("doc_topic_prior_")?, number("mean_change_tol")?);
    let steps = view.attr("max_doc_update_iter")?.as_usize()?;
    if steps > STEPS {
        return Err(Error::Limit { place: view.path(), what: "steps for a row", limit: STEPS });
    }
    let sources = loader.sources(view, given, words.features, feature_names(view)?)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    loader.hold(words.points.len().saturating_mul(8));
    let out = numbered("latentdirichletallocation", words.count(), &sources);
    let finite = Finite::new("LatentDirichletAllocation", &sources, false, false);
    let step = Rows { inner: run::Topics { words, prior, least, steps }, finite, takes_sparse: true };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::Held;
    use crate::families::shared::rows::OfRow;
    use crate::math::scores::pairwise_sum;
    use crate::matrix::round;

    #[derive(Debug)]
    pub(super) struct Topics {
        /// By topic and word.
        pub(super) words: Held,
        pub(super) prior: f64,
        /// A change that is so small ends the search.
        pub(super) least: f64,
        pub(super) steps: usize,
    }

    /// The library's own digamma function, which is quick rather than exact.
    fn digamma(mut x: f64) -> f64 {
        const EULER: f64 = 0.577_215_664_901_532_9;
        if x <= 1e-6 {
            return -EULER - 1.0 / x;
        }
        let mut result = 0.0;
        while x < 6.0 {
            result -= 1.0 / x;
            x += 1.0;
        }
        let r = 1.0 / x;
        result += x.ln() - 0.5 * r;
        let r = r * r;
        result - r * ((1.0 / 12.0) - r * ((1.0 / 120.0) - r * (1.0 / 252.0)))
    }

    impl OfRow for Topics {
        fn of_row(&self, row: &[f64], _: Method, _: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            if row.iter().any(|count| *count < 0.0) {
                return Err("a number below 0");
            }
            // Counts are brought to the type of the topics.
            let narrow = self.words.narrow;
            let smallest = if narrow { f64::from(f32::EPSILON) } else { f64::EPSILON };
            let topics = self.words.count();
            let found: Vec<usize> = (0..row.len()).filter(|word| row[*word] != 0.0).collect();
            let weight = |topic: usize, word: usize| self.words.points[topic * self.words.features + word];
            let mut shares = vec![1.0; topics];
            let mut expected = vec![(digamma(1.0) - digamma(topics as f64)).exp(); topics];
            for _ in 0..self.steps {
                let parts: Vec<f64> = found
                    .iter()
                    .map(|word| {
                        let norm: f64 = (0..topics).map(|topic| expected[topic] * weight(topic, *word)).sum();
                        round(row[*word], narrow) / (norm + smallest)
                    })
                    .collect();
                let next = |topic: usize| {
                    let sum: f64 = parts.iter().zip(&found).map(|(part, word)| part * weight(topic, *word)).sum();
                    expected[topic] * sum + self.prior
                };
                let next: Vec<f64> = (0..topics).map(next).collect();
                let total = digamma(next.iter().sum());
                expected.iter_mut().zip(&next).for_each(|(expected, next)| *expected = (digamma(*next) - total).exp());
                let change: f64 = shares.iter().zip(&next).map(|(before, now)| (before - now).abs()).sum();
                shares = next;
                if change / (topics as f64) < self.least {
                    break;
                }
            }
            let sum = pairwise_sum(&shares);
            out.extend(shares.into_iter().map(|share| share / sum));
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.words.count()
        }

        fn makes_narrow(&self, _: bool) -> bool {
            self.words.narrow
        }
    }
}
