//! Imputers, discretisers, caps and functions of columns of numbers.

use foretell_pickle::{Value, View};

use super::{demand_numbers, raises, variables};
use crate::attributes::{flag, some_attr, with_numpy_2, word};
use crate::families::power_transformer::PowerMethod;
use crate::families::shared::acts::{Builder, text};
use crate::families::shared::members::predictor;
use crate::families::simple_imputer::{Fill, fill};
use crate::loader::Loader;
use crate::{Error, InputKind, Method};

/// A number for each of some columns: a dict by name, or one for all.
fn by_column(view: &View<'_>, build: &Builder, name: &str) -> Result<Vec<(usize, f64)>, Error> {
    let Some(all) = some_attr(view, name)? else { return Ok(Vec::new()) };
    let one = |(key, value): (View<'_>, View<'_>)| Ok((build.at(&all, &text(&key)?)?, value.as_f64()?));
    all.pairs()?.into_iter().map(one).collect()
}

pub(super) fn imputers(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    build: &mut Builder,
    class: &str,
) -> Result<(), Error> {
    if class == "AddMissingIndicator" {
        let columns = variables(view, build)?;
        columns.iter().for_each(|at| build.add(format!("{}_na", build.name(*at))));
        build.act(run::Indicate(columns));
        return Ok(());
    }
    if class == "DropMissingData" {
        if some_attr(view, "threshold")?.is_some() {
            return Err(Error::unsupported(view.path(), "a threshold", "threshold=None"));
        }
        let columns = variables(view, build)?;
        build.act(run::LeaveOut { columns });
        return Ok(());
    }
    let fills = view.attr("imputer_dict_")?;
    for (key, value) in fills.pairs()? {
        let at = build.at(&fills, &text(&key)?)?;
        let fill = fill(&value)?;
        build.demand(loader, at, if matches!(fill, Fill::Text(_)) { InputKind::Text } else { InputKind::Number });
        build.act(run::FillIn { at, fill });
    }
    Ok(())
}

pub(super) fn outliers(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    build: &mut Builder,
    class: &str,
) -> Result<(), Error> {
    let columns = variables(view, build)?;
    demand_numbers(loader, build, &columns, raises(view, "raise")?);
    let (right, left) = (by_column(view, build, "right_tail_caps_")?, by_column(view, build, "left_tail_caps_")?);
    if class == "OutlierTrimmer" {
        build.act(run::Trim { right, left });
        return Ok(());
    }
    let mut marks = Vec::new();
    if flag(view, "add_indicators", false)? {
        let tail = word(view, "tail", "right")?.to_string();
        for at in &columns {
            for (side, is_left) in [("left", true), ("right", false)] {
                if tail == side || tail == "both" {
                    build.add(format!("{}_{side}", build.name(*at)));
                    marks.push((*at, is_left));
                }
            }
        }
    }
    right.iter().chain(&left).for_each(|(at, _)| build.changed(*at));
    build.act(run::Cap { right, left, marks });
    Ok(())
}

pub(super) fn discretisers(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    build: &mut Builder,
    class: &str,
) -> Result<(), Error> {
    let columns = variables(view, build)?;
    demand_numbers(loader, build, &columns, true);
    let binner = view.attr("binner_dict_")?;
    let output = word(view, "bin_output", "bin_number")?;
    if flag(view, "return_boundaries", false)? || output == "boundaries" {
        return Err(Error::unsupported(view.path(), "intervals as texts", "numbers of bins"));
    }
    // The old ones know predictions alone.
    let predicts =
        class == "DecisionTreeDiscretiser" && (output == "prediction" || some_attr(view, "bin_output")?.is_none());
    let refuses = class == "ArbitraryDiscretiser" && word(view, "errors", "ignore")? == "raise";
    // Until 1.5 a number on the lowest bound was in no interval.
    let lowest = class != "ArbitraryDiscretiser" || view.get_attr("precision")?.is_some();
    for (key, value) in binner.pairs()? {
        let at = build.at(&binner, &text(&key)?)?;
        if predicts {
            tree(loader, view, build, &value, (vec![at], at))?;
            build.changed(at);
            continue;
        }
        let bins = match value.array() {
            Ok(bins) => bins.f64s()?,
            Err(_) => value.items()?.iter().map(View::as_f64).collect::<Result<_, _>>()?,
        };
        // Of a column that never varied there is one bound, and no number is in an interval.
        if !bins.is_sorted() || bins.is_empty() {
            return Err(Error::state(value.path(), "is not a list of rising bounds"));
        }
        build.changed(at);
        build.act(run::Cut { at, bins, refuses, lowest });
    }
    Ok(())
}

/// What an estimator of some columns predicts, in a column's place.
pub(super) fn tree(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    build: &mut Builder,
    estimator: &View<'_>,
    (columns, to): (Vec<usize>, usize),
) -> Result<(), Error> {
    let given: Vec<_> = columns.iter().filter_map(|at| build.sources.get(*at)).cloned().collect();
    let (member, report) = predictor(loader.load(estimator, Some(&given))?, estimator)?;
    build.children.push(report);
    let is_binary = match some_attr(view, "_is_binary")? {
        Some(kind) => kind.as_str().is_ok_and(|kind| kind == "binary"),
        None => true,
    };
    let want = if !flag(view, "regression", true)? && is_binary { Method::Proba } else { Method::Predict };
    let place = usize::from(want == Method::Proba);
    if member.outputs(want).len() <= place {
        return Err(Error::no_such_answer(estimator.path(), "the tree", "a number a row"));
    }
    let decimals = some_attr(view, "precision")?.map(|precision| precision.as_i64()).transpose()?;
    let decimals = decimals.map(|decimals| decimals.clamp(-300, 300) as i32);
    build.act(run::Predicted { member, want, place, columns, to, decimals });
    Ok(())
}

pub(super) fn functions(
    loader: &mut Loader<'_>,
    view: &View<'_>,
    build: &mut Builder,
    class: &str,
) -> Result<(), Error> {
    let columns = variables(view, build)?;
    demand_numbers(loader, build, &columns, true);
    let number = |name: &str| -> Result<f64, Error> { Ok(view.attr(name)?.as_f64()?) };
    let of = |name: &str, at: usize| -> Result<f64, Error> {
        let all = by_column(view, build, name)?;
        let found = all.into_iter().find(|(place, _)| *place == at);
        found.map(|(_, value)| value).ok_or_else(|| Error::state(view.path(), format!("`{name}` lacks a column")))
    };
    let ten = word(view, "base", "e")? == "10";
    let mut all = Vec::new();
    for at in &columns {
        let function = match class {
            "ArcsinTransformer" => run::Function::Arcsin,
            "ArcSinhTransformer" => run::Function::Arcsinh { loc: number("loc")?, scale: number("scale")? },
            "BoxCoxTransformer" | "YeoJohnsonTransformer" => {
                let how = match class {
                    "BoxCoxTransformer" => PowerMethod::BoxCox,
                    _ if by_log(view) => PowerMethod::YeoJohnsonByLog,
                    _ => PowerMethod::YeoJohnson,
                };
                run::Function::Power(power(view, build, how, *at)?)
            }
            "LogTransformer" => run::Function::Log { plus: None, ten },
            "LogCpTransformer" => {
                let plus = match view.attr("C_")?.value() {
                    Value::Dict(_) => of("C_", *at)?,
                    _ => number("C_")?,
                };
                run::Function::Log { plus: Some(plus), ten }
            }
            "PowerTransformer" => run::Function::Exponent(number("exp")?),
            "ReciprocalTransformer" => run::Function::Reciprocal { takes_whole: with_numpy_2(view)? },
            _ => run::Function::Scale { mean: of("mean_", *at)?, range: of("range_", *at)? },
        };
        all.push((*at, function));
    }
    columns.iter().for_each(|at| build.changed(*at));
    build.act(run::Functions(all));
    Ok(())
}

/// The power that a column was found to need.
fn power(view: &View<'_>, build: &Builder, how: PowerMethod, at: usize) -> Result<run::Power, Error> {
    let all = view.attr("lambda_dict_")?;
    for (key, lambda) in all.pairs()? {
        if build.at(&all, &text(&key)?)? == at {
            let with_2 = with_numpy_2(view)?;
            let strong = lambda.array().is_ok_and(|array| array.dtype().size == 8);
            let short = lambda.array().is_ok_and(|array| array.dtype().size == 4);
            // Beside float32 a number of Python's own is one, and so is a single float64 of numpy 1.
            return Ok(run::Power {
                how,
                lambda: lambda.as_f64()?,
                narrow: !(strong && with_2),
                other: short && with_2,
            });
        }
    }
    Err(Error::state(view.path(), "`lambda_dict_` lacks a column"))
}

/// scipy computes powers by logarithms since about when numpy 2 names itself so.
fn by_log(view: &View<'_>) -> bool {
    view.document().globals().iter().any(|global| global.module.starts_with("numpy._core"))
}

#[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "places are checked while loading")]
mod run {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, StringArray};

    use crate::Method;
    use crate::categories::texts;
    use crate::families::power_transformer::{PowerMethod, narrow};
    use crate::families::shared::acts::{Act, Columns, missing};
    use crate::families::shared::members::Member;
    use crate::families::simple_imputer::Fill;
    use crate::matrix::round;
    use crate::step::Run;
    use crate::types::is_text;

    /// A column that says which values are missing, for each of some.
    #[derive(Debug)]
    pub(super) struct Indicate(pub(super) Vec<usize>);

    /// The rows without a value: NULL, or NaN where it is a number.
    fn without(table: &Columns<'_>, at: usize) -> Vec<bool> {
        let mut out = vec![false; table.rows];
        if is_text(table.all[at].data_type()) {
            missing(&table.all[at]).for_each(|row| out[row] = true);
        } else {
            let numbers = table.numbers(at, &mut Run::default());
            out.iter_mut().zip(numbers).for_each(|(out, number)| *out = number.is_nan());
        }
        out
    }

    impl Act for Indicate {
        fn act(&self, table: &mut Columns<'_>, _run: &mut Run) {
            for at in &self.0 {
                let marks = without(table, *at).into_iter().map(|one| f64::from(u8::from(one))).collect();
                let behind = table.all.len();
                table.put(behind, marks);
            }
        }
    }

    /// Rows that the library leaves out of what it hands on: here they are refused.
    #[derive(Debug)]
    pub(super) struct LeaveOut {
        pub(super) columns: Vec<usize>,
    }

    impl Act for LeaveOut {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            for at in &self.columns {
                let gone = without(table, *at);
                for (row, _) in gone.iter().enumerate().filter(|(_, gone)| **gone) {
                    table.refuse(row, *at, "missing value, for which the library leaves the row out", run);
                }
            }
        }
    }

    #[derive(Debug)]
    pub(super) struct FillIn {
        pub(super) at: usize,
        pub(super) fill: Fill,
    }

    impl Act for FillIn {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            match &self.fill {
                Fill::Number(fill) => {
                    let narrow = table.is_narrow(self.at) && f64::from(*fill as f32) == *fill;
                    let mut numbers = table.numbers(self.at, run);
                    numbers.iter_mut().filter(|one| one.is_nan()).for_each(|one| *one = *fill);
                    table.put_as(self.at, numbers, narrow);
                }
                Fill::Text(fill) => {
                    let column = table.all[self.at].clone();
                    let mut out: Vec<Option<&str>> = vec![None; table.rows];
                    texts(&column, |row, text| out[row] = Some(text.unwrap_or(fill.as_str())));
                    table.place(self.at, Arc::new(StringArray::from(out)) as ArrayRef);
                }
            }
        }
    }

    /// Numbers of some columns brought down to the first, or up to the second; and whether that was done, in columns of
    /// their own.
    #[derive(Debug)]
    pub(super) struct Cap {
        pub(super) right: Vec<(usize, f64)>,
        pub(super) left: Vec<(usize, f64)>,
        /// Whether the number was below its least one, or else above its largest.
        pub(super) marks: Vec<(usize, bool)>,
    }

    impl Act for Cap {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let before = table.all.clone();
            for (at, most) in &self.right {
                let narrow = table.is_narrow(*at);
                let (mut numbers, most) = (table.numbers(*at, run), round(*most, narrow));
                numbers.iter_mut().filter(|one| **one > most).for_each(|one| *one = most);
                table.put_as(*at, numbers, narrow);
            }
            for (at, least) in &self.left {
                let narrow = table.is_narrow(*at);
                let (mut numbers, least) = (table.numbers(*at, run), round(*least, narrow));
                numbers.iter_mut().filter(|one| **one < least).for_each(|one| *one = least);
                table.put_as(*at, numbers, narrow);
            }
            for (at, is_left) in &self.marks {
                let after = table.numbers(*at, run);
                let capped = std::mem::replace(&mut table.all[*at], before[*at].clone());
                let was = table.numbers(*at, run);
                table.all[*at] = capped;
                let mark = |(after, was): (f64, f64)| if *is_left { after > was } else { after < was };
                let marks = after.into_iter().zip(was).map(|both| f64::from(u8::from(mark(both)))).collect();
                let behind = table.all.len();
                table.put(behind, marks);
            }
        }
    }

    /// Rows beyond what a column may be: the library leaves them out.
    #[derive(Debug)]
    pub(super) struct Trim {
        pub(super) right: Vec<(usize, f64)>,
        pub(super) left: Vec<(usize, f64)>,
    }

    impl Act for Trim {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let sides = self.right.iter().map(|side| (side, false)).chain(self.left.iter().map(|side| (side, true)));
            for ((at, bound), is_left) in sides {
                let (numbers, bound) = (table.numbers(*at, run), round(*bound, table.is_narrow(*at)));
                for (row, number) in numbers.iter().enumerate() {
                    // NaN is left out, too.
                    let kept = if is_left { *number >= bound } else { *number <= bound };
                    if !kept {
                        table.refuse(row, *at, "an outlier, for which the library leaves the row out", run);
                    }
                }
            }
        }
    }

    /// The number of the interval that a number is in.
    #[derive(Debug)]
    pub(super) struct Cut {
        pub(super) at: usize,
        pub(super) bins: Vec<f64>,
        /// Whether a number in no interval is refused.
        pub(super) refuses: bool,
        /// Whether the first interval includes its lower bound.
        pub(super) lowest: bool,
    }

    impl Act for Cut {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let mut numbers = table.numbers(self.at, run);
            for (row, number) in numbers.iter_mut().enumerate() {
                let below = self.bins.partition_point(|bound| *bound < *number);
                let place = if self.lowest && *number == self.bins[0] { 1 } else { below };
                let is_in = place > 0 && place < self.bins.len() && !number.is_nan();
                if !is_in && self.refuses {
                    table.refuse(row, self.at, "in no interval", run);
                }
                *number = if is_in { (place - 1) as f64 } else { f64::NAN };
            }
            table.put(self.at, numbers);
        }
    }

    #[derive(Debug)]
    pub(super) struct Predicted {
        pub(super) member: Member,
        pub(super) want: Method,
        /// Which of its answers.
        pub(super) place: usize,
        pub(super) columns: Vec<usize>,
        pub(super) to: usize,
        pub(super) decimals: Option<i32>,
    }

    impl Act for Predicted {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            let mut all = self.member.numbers(table.some(&self.columns), self.want, run);
            let mut numbers = all.swap_remove(self.place);
            if let Some(decimals) = self.decimals {
                let scale = 10f64.powi(decimals);
                numbers.iter_mut().for_each(|one| *one = (*one * scale).round_ties_even() / scale);
            }
            table.put(self.to, numbers);
        }
    }

    /// A power, and what numpy makes of it beside float32.
    #[derive(Debug, Clone, Copy)]
    pub(super) struct Power {
        pub(super) how: PowerMethod,
        pub(super) lambda: f64,
        /// Whether it is float32 there.
        pub(super) narrow: bool,
        /// Whether 2 without it is float32 whatever the numbers are.
        pub(super) other: bool,
    }

    #[derive(Debug)]
    pub(super) enum Function {
        Arcsin,
        Arcsinh {
            loc: f64,
            scale: f64,
        },
        Power(Power),
        Log {
            plus: Option<f64>,
            ten: bool,
        },
        Exponent(f64),
        /// Before 1.6 it was one of whole numbers where the column was: 0 of all but 1. Those versions know no numpy 2.
        Reciprocal {
            takes_whole: bool,
        },
        Scale {
            mean: f64,
            range: f64,
        },
    }

    impl Function {
        /// Of a number; or why the library raises.
        fn of(&self, x: f64) -> Result<f64, &'static str> {
            Ok(match *self {
                Function::Arcsin if !(0.0..=1.0).contains(&x) => return Err("a number below 0 or above 1"),
                Function::Arcsin => x.sqrt().asin(),
                Function::Arcsinh { loc, scale } => ((x - loc) / scale).asinh(),
                Function::Power(power) if power.how == PowerMethod::BoxCox && x <= 0.0 => return Err("not above 0"),
                Function::Power(Power { how, lambda, other, .. }) => how.apply(x, lambda, round(2.0 - lambda, other)),
                Function::Log { plus, ten } => {
                    let x = plus.map_or(x, |plus| x + plus);
                    if x <= 0.0 {
                        return Err("not above 0");
                    }
                    if ten { x.log10() } else { x.ln() }
                }
                Function::Exponent(0.5) => x.sqrt(),
                Function::Exponent(2.0) => x * x,
                Function::Exponent(exponent) => x.powf(exponent),
                Function::Reciprocal { .. } if x == 0.0 => return Err("zero"),
                Function::Reciprocal { .. } => 1.0 / x,
                Function::Scale { mean, range } => (x - mean) / range,
            })
        }

        /// The same of a float32, and whether what it gives is one, too; `None` where it is brought to float64 first.
        fn of_narrow(&self, x: f32) -> Option<(f64, bool)> {
            match *self {
                Function::Arcsin => Some((x.sqrt().asin().into(), true)),
                Function::Power(Power { how: PowerMethod::BoxCox, narrow: false, .. }) => None,
                // The logarithm is float32, and nothing else.
                Function::Power(Power { how: PowerMethod::YeoJohnsonByLog, narrow: false, lambda, .. }) => {
                    let half = |x: f32, lambda: f64| match lambda.abs() < f64::EPSILON {
                        true => f64::from(x.ln_1p()),
                        false => (lambda * f64::from(x.ln_1p())).exp_m1() / lambda,
                    };
                    Some((if x >= 0.0 { half(x, lambda) } else { -half(-x, 2.0 - lambda) }, false))
                }
                Function::Power(power) => Some((narrow(power.how, x, power.lambda, power.narrow).into(), true)),
                _ => None,
            }
        }
    }

    const WHOLE: &str = "a whole number, of which feature_engine before 1.6 makes 0, and the file does not tell the version: \
                         cast the column to DOUBLE";

    #[derive(Debug)]
    pub(super) struct Functions(pub(super) Vec<(usize, Function)>);

    impl Act for Functions {
        fn act(&self, table: &mut Columns<'_>, run: &mut Run) {
            for (at, function) in &self.0 {
                let is_narrow = table.is_narrow(*at);
                let stays = is_narrow && function.of_narrow(1.0).is_some_and(|(_, stays)| stays);
                if matches!(function, Function::Reciprocal { takes_whole: false })
                    && table.all[*at].data_type().is_integer()
                {
                    (0..table.rows).for_each(|row| table.refuse(row, *at, WHOLE, run));
                }
                let mut numbers = table.numbers(*at, run);
                for (row, number) in numbers.iter_mut().enumerate() {
                    match function.of(*number) {
                        Ok(value) => {
                            let short = function.of_narrow(*number as f32).filter(|_| is_narrow);
                            *number = short.map_or(value, |(value, _)| value);
                        }
                        Err(reason) => table.refuse(row, *at, reason, run),
                    }
                }
                table.put_as(*at, numbers, stays);
            }
        }
    }
}
