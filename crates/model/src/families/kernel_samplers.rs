//! `RBFSampler`, `SkewedChi2Sampler`, `AdditiveChi2Sampler`, `PolynomialCountSketch`: features whose products are a
//! kernel's.

use foretell_pickle::View;

use crate::attributes::{feature_names, some_attr, with_numpy_2};
use crate::families::shared::rows::{Rows, numbered};
use crate::family::Family;
use crate::finite::Finite;
use crate::loaded::{Loaded, Out, Source};
use crate::loader::Loader;
use crate::step::Step;
use crate::{Error, InputKind};

pub(crate) const FAMILY: Family = Family {
    name: "samplers of kernels",
    classes: &[
        ("sklearn.kernel_approximation", "AdditiveChi2Sampler"),
        ("sklearn.kernel_approximation", "PolynomialCountSketch"),
        ("sklearn.kernel_approximation", "RBFSampler"),
        ("sklearn.kernel_approximation", "SkewedChi2Sampler"),
    ],
    globals: &[],
    load,
};

/// More of them are an attack on time: each number of a sketch is a sum over all others.
const COMPONENTS: usize = 1 << 12;

fn load(loader: &mut Loader<'_>, view: &View<'_>, given: Option<&[Source]>) -> Result<Loaded, Error> {
    let class = view.class().map(|class| class.name.clone()).unwrap_or_default();
    let (map, learned) = match class.as_str() {
        "AdditiveChi2Sampler" => (additive(view)?, None),
        "PolynomialCountSketch" => sketch(view)?,
        _ => waves(view, class == "SkewedChi2Sampler")?,
    };
    let names = feature_names(view)?;
    let features = loader.width(view, given, learned.or(names.as_ref().map(Vec::len)))?;
    let sources = loader.sources(view, given, features, names)?;
    sources.iter().for_each(|source| loader.demand(source, InputKind::Number));
    let count = map.count(features);
    loader.charge(view, count)?;
    let out = numbered(&class.to_ascii_lowercase(), count, &sources);
    let finite = Finite::new(&class, &sources, false, false);
    let takes_sparse = class == "RBFSampler" || class == "PolynomialCountSketch";
    let step = Rows { inner: run::Sampler { map, features }, finite, takes_sparse };
    Ok(Loaded { step: Step::Transform(Box::new(step)), out: Out::Table(out), report: Default::default() })
}

fn waves(view: &View<'_>, is_skewed: bool) -> Result<(run::Map, Option<usize>), Error> {
    let weights = view.attr("random_weights_")?.array()?;
    let [features, count] = weights.dims()?;
    let offsets = view.attr("random_offset_")?.array()?.f64s()?;
    if offsets.len() != count || count == 0 || features == 0 {
        return Err(Error::counts(view.path(), (offsets.len(), "offsets"), (count, "components")));
    }
    let narrow = weights.dtype().size == 4;
    let all = weights.f64s()?;
    let weights = (0..count).map(|column| all.iter().skip(column).step_by(count).copied().collect()).collect();
    let skewedness = if is_skewed { Some(view.attr("skewedness")?.as_f64()?) } else { None };
    let count = count as f64;
    let scale = if is_skewed { 2f64.sqrt() / count.sqrt() } else { (2.0 / count).sqrt() };
    Ok((run::Map::Waves { weights, offsets, skewedness, scale, narrow }, Some(features)))
}

fn additive(view: &View<'_>) -> Result<run::Map, Error> {
    let steps = view.attr("sample_steps")?.as_usize()?;
    let interval = match some_attr(view, "sample_interval")?.or(some_attr(view, "sample_interval_")?) {
        Some(interval) => interval.as_f64()?,
        None => match steps {
            1 => 0.8,
            2 => 0.5,
            3 => 0.4,
            _ => return Err(Error::state(view.path(), "`sample_interval` is missing")),
        },
    };
    if steps == 0 || steps > COMPONENTS {
        return Err(Error::unsupported(view.path(), format!("sample_steps={steps}"), "1 and above"));
    }
    Ok(run::Map::Additive { steps, interval, wide: with_numpy_2(view)? })
}

fn sketch(view: &View<'_>) -> Result<(run::Map, Option<usize>), Error> {
    let number = |name: &str| -> Result<f64, Error> { Ok(view.attr(name)?.as_f64()?) };
    let (gamma, coef0) = (number("gamma")?, number("coef0")?);
    let count = view.attr("n_components")?.as_usize()?;
    if count == 0 || count > COMPONENTS {
        return Err(Error::Limit { place: view.path(), what: "components of a sketch", limit: COMPONENTS });
    }
    let places = view.attr("indexHash_")?.array()?;
    let [degree, width] = places.dims()?;
    let signs = view.attr("bitHash_")?.array()?;
    let extra = usize::from(coef0 != 0.0);
    if signs.shape() != places.shape() || degree == 0 || width <= extra {
        return Err(Error::state(view.path(), format!("hashes of {width} features to the power of {degree}")));
    }
    let place = |place: u64| usize::try_from(place).ok().filter(|place| *place < count);
    let places: Option<Vec<usize>> = places.u64s()?.into_iter().map(place).collect();
    let places = places.ok_or_else(|| Error::out_of_range(view.path(), "a place of a hash"))?;
    let signs = signs.f64s()?;
    let wide = with_numpy_2(view)?;
    let map = run::Map::Sketch {
        places,
        signs,
        count,
        width,
        scale: gamma.sqrt(),
        last: (extra > 0).then(|| coef0.sqrt()),
        wide,
    };
    Ok((map, Some(width.saturating_sub(extra))))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "sizes are checked while loading")]
mod run {
    use crate::Method;
    use crate::families::shared::kernels::dot;
    use crate::families::shared::rows::OfRow;
    use crate::math::float32;
    use crate::matrix::round;

    #[derive(Debug)]
    pub(super) enum Map {
        /// Cosines of random products, of logarithms where the kernel is skewed.
        Waves {
            weights: Vec<Vec<f64>>,
            offsets: Vec<f64>,
            skewedness: Option<f64>,
            scale: f64,
            /// Whether the weights are float32.
            narrow: bool,
        },
        Additive {
            steps: usize,
            interval: f64,
            /// Whether numpy's single numbers make float64 of float32, as those of numpy 2 do.
            wide: bool,
        },
        /// By degree and feature a place and a sign; `last` stands behind the features.
        Sketch {
            places: Vec<usize>,
            signs: Vec<f64>,
            count: usize,
            width: usize,
            scale: f64,
            last: Option<f64>,
            /// As above.
            wide: bool,
        },
    }

    impl Map {
        pub(super) fn count(&self, features: usize) -> usize {
            match self {
                Map::Waves { weights, .. } => weights.len(),
                Map::Additive { steps, .. } => features.saturating_mul(2 * steps - 1),
                Map::Sketch { count, .. } => *count,
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct Sampler {
        pub(super) map: Map,
        pub(super) features: usize,
    }

    /// The additive samples of a row of float32.
    fn additive(row: &[f64], steps: usize, interval: f64, wide: bool, out: &mut Vec<f64>) {
        let row: Vec<f32> = row.iter().map(|value| *value as f32).collect();
        let short = interval as f32;
        let mut each = |of: &dyn Fn(f32) -> f64| {
            out.extend(row.iter().map(|value| if *value == 0.0 { 0.0 } else { of(*value) }));
        };
        each(&|value| (value * short).sqrt().into());
        for step in 1..steps {
            let spread = (std::f64::consts::PI * step as f64 * interval).cosh();
            let factor = |value: f32| {
                let twice = 2.0 * value * short;
                if wide { (f64::from(twice) / spread).sqrt() } else { (twice / spread as f32).sqrt().into() }
            };
            let angle = |value: f32| step as f32 * (short * float32::ln(value));
            each(&|value| round(factor(value) * f64::from(float32::cos(angle(value))), true));
            each(&|value| round(factor(value) * f64::from(float32::sin(angle(value))), true));
        }
    }

    impl OfRow for Sampler {
        fn of_row(&self, row: &[f64], _: Method, narrow: bool, out: &mut Vec<f64>) -> Result<(), &'static str> {
            match &self.map {
                Map::Waves { weights, offsets, skewedness, scale, narrow: learned } => {
                    let both = narrow && *learned;
                    let mut row = row.to_vec();
                    if let Some(skewedness) = skewedness {
                        if row.iter().any(|value| *value <= -skewedness) {
                            return Err("a number that is not above -skewedness");
                        }
                        let ln = |value: f64| match narrow {
                            true => float32::ln(value as f32).into(),
                            false => value.ln(),
                        };
                        row.iter_mut().for_each(|value| *value = ln(*value + skewedness));
                    }
                    let cos = |value: f64| match both {
                        true => float32::cos(value as f32).into(),
                        false => value.cos(),
                    };
                    let scale = round(*scale, both);
                    let wave = |(weights, offset): (&Vec<f64>, &f64)| {
                        round(cos(round(dot(&row, weights), both) + offset) * scale, both)
                    };
                    out.extend(weights.iter().zip(offsets).map(wave));
                }
                Map::Additive { steps, interval, wide } => {
                    if row.iter().any(|value| *value < 0.0) {
                        return Err("a number below 0");
                    }
                    if narrow {
                        additive(row, *steps, *interval, *wide, out);
                        return Ok(());
                    }
                    let each = |of: &dyn Fn(f64) -> f64, out: &mut Vec<f64>| {
                        out.extend(row.iter().map(|value| if *value == 0.0 { 0.0 } else { of(*value) }));
                    };
                    each(&|value| (value * interval).sqrt(), out);
                    for step in 1..*steps {
                        let step = step as f64;
                        let spread = (std::f64::consts::PI * step * interval).cosh();
                        let factor = |value: f64| (2.0 * value * interval / spread).sqrt();
                        each(&|value| factor(value) * (step * (interval * value.ln())).cos(), out);
                        each(&|value| factor(value) * (step * (interval * value.ln())).sin(), out);
                    }
                }
                Map::Sketch { places, signs, count, width, scale, last, wide } => {
                    let is_narrow = narrow && !wide;
                    let scale = round(*scale, is_narrow);
                    let scaled: Vec<f64> =
                        row.iter().map(|value| round(value * scale, is_narrow)).chain(*last).collect();
                    let sketches =
                        places.chunks_exact(*width).zip(signs.chunks_exact(*width)).map(|(places, signs)| {
                            let mut sketch = vec![0.0; *count];
                            for ((place, sign), value) in places.iter().zip(signs).zip(&scaled) {
                                sketch[*place] += sign * value;
                            }
                            sketch
                        });
                    // The product of the library's Fourier transforms is the convolution around the circle.
                    let product = sketches.reduce(|product, sketch| {
                        let mut next = vec![0.0; *count];
                        for (i, a) in product.iter().enumerate().filter(|(_, a)| **a != 0.0) {
                            for (j, b) in sketch.iter().enumerate() {
                                next[(i + j) % count] += a * b;
                            }
                        }
                        next
                    });
                    out.extend(product.unwrap_or_default());
                }
            }
            Ok(())
        }

        fn width(&self, _: Method) -> usize {
            self.map.count(self.features)
        }

        fn makes_narrow(&self, rows: bool) -> bool {
            match self.map {
                Map::Waves { narrow, .. } => rows && narrow,
                Map::Additive { .. } => rows,
                Map::Sketch { .. } => false,
            }
        }
    }
}
