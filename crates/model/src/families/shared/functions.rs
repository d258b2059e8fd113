//! numpy's functions of one number, as `FunctionTransformer` and `TransformedTargetRegressor` name them, and the few that
//! take arguments beside it.

use arrow_schema::DataType;
use foretell_pickle::{Entry, Value, View};

use crate::Error;
use crate::attributes::with_numpy_2;
use crate::families::shared::promotion::Beside;
use crate::math::{float32, scores};
use crate::matrix::{ArrayRule, half, round};

/// A function of one number.
#[derive(Debug, Clone, Copy)]
pub(in crate::families) struct Function {
    pub(in crate::families) name: &'static str,
    of: Of,
    /// Whether scipy applies it to what a sparse table stores.
    pub(in crate::families) sparse: bool,
}

#[derive(Debug, Clone, Copy)]
enum Of {
    /// Of a float64 and of a float32.
    Number(fn(f64) -> f64, fn(f32) -> f32),
    Clip(Option<f64>, Option<f64>),
    /// How many decimals are left: fewer than none for tens, hundreds and so on.
    Round(i32),
    /// Of a number that stands first and the one of the column: `functools.partial(numpy.power, 2)`.
    Second(First, fn(f64, f64) -> f64, fn(f32, f32) -> f32),
    /// What stands for NaN, and for both infinities where it is not the largest number.
    Finite(f64, Option<f64>, Option<f64>),
}

/// The number that stands before the one of the column.
#[derive(Debug, Clone, Copy)]
struct First {
    number: f64,
    /// The same where Python has it as a whole number: beside one of these numpy stays with whole numbers.
    whole: Option<i128>,
    /// Whether it makes float64 of an array of float32.
    widens_array: bool,
    /// The same of a DataFrame.
    widens_table: bool,
}

/// Functions that numpy makes floats with, of whole numbers as narrow as they are.
const FLOATING: &[&str] = &[
    "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctanh", "cbrt", "cos", "cosh", "deg2rad", "degrees", "exp",
    "exp2", "expm1", "fabs", "log", "log10", "log1p", "log2", "rad2deg", "radians", "rint", "sin", "sinh", "sqrt",
    "tan", "tanh",
];

/// What numpy's result is, in a table's column of this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::families) enum Width {
    /// A bool or a whole number of up to 16 bits, as it was: a float32 beside it stays one.
    Small,
    Half,
    Single,
    Double,
}

impl Function {
    /// What the function makes of a column.
    pub(in crate::families) fn width(&self, column: &DataType, rule: ArrayRule, of_array: bool) -> Width {
        let floats = FLOATING.contains(&self.name);
        let stays = !floats && (matches!(self.of, Of::Number(..)) || self.gives_wholes());
        match column {
            _ if self.widens(of_array) => Width::Double,
            // Beside a whole number a bool is one of 64 bits.
            DataType::Boolean if matches!(self.of, Of::Second(..)) => Width::Double,
            _ if rule == ArrayRule::Half => Width::Half,
            DataType::Float32 => Width::Single,
            DataType::Int16 | DataType::UInt16 if floats => Width::Single,
            DataType::Int8 | DataType::UInt8 | DataType::Boolean if floats => Width::Half,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 | DataType::UInt16 if stays => Width::Small,
            DataType::Boolean if stays && rule == ArrayRule::Common => Width::Small,
            _ => Width::Double,
        }
    }

    /// Whether numpy gives float64 of float32, in an array or in a DataFrame.
    pub(in crate::families) fn widens(&self, of_array: bool) -> bool {
        match self.of {
            Of::Second(first, ..) if of_array => self.name == "float_power" || first.widens_array,
            Of::Second(first, ..) => self.name == "float_power" || first.widens_table,
            _ => false,
        }
    }

    /// Whether numpy gives whole numbers of whole numbers, in which the last bit of a float64 is not enough.
    pub(in crate::families) fn gives_wholes(&self) -> bool {
        match self.of {
            Of::Number(..) => matches!(self.name, "absolute" | "negative" | "reciprocal" | "square"),
            Of::Second(first, ..) => {
                first.whole.is_some() && matches!(self.name, "add" | "multiply" | "power" | "subtract")
            }
            _ => false,
        }
    }

    /// How many bits numpy has for what it makes of a bool.
    pub(in crate::families) fn bits_of_bool(&self) -> u32 {
        if matches!(self.of, Of::Second(..)) { 64 } else { 8 }
    }

    /// The function of a whole number, in more bits than any column has, or why numpy has none. `held` says whether the
    /// column's type holds a number.
    pub(in crate::families) fn of_whole(&self, x: i128, held: impl Fn(i128) -> bool) -> Result<i128, &'static str> {
        if let Of::Second(First { whole: Some(first), .. }, ..) = self.of {
            if !held(first) {
                return Err("a column of whole numbers too narrow for the number that stands first");
            }
            return match self.name {
                "add" => Ok(first.wrapping_add(x)),
                "multiply" => Ok(first.wrapping_mul(x)),
                "subtract" => Ok(first.wrapping_sub(x)),
                _ => power(first, x).ok_or("a negative power of a whole number"),
            };
        }
        match self.name {
            "negative" => Ok(x.wrapping_neg()),
            "reciprocal" => 1i128.checked_div(x).ok_or("0, by which numpy divides a whole number"),
            "square" => Ok(x.wrapping_mul(x)),
            _ => Ok(x.wrapping_abs()),
        }
    }

    /// The function of a number in a column.
    pub(in crate::families) fn of_column(&self, x: f64, width: Width) -> f64 {
        match width {
            Width::Small | Width::Double => self.call(x, false),
            Width::Single => round(self.call(x, true), true),
            Width::Half => half(self.halved().call(x, true)),
        }
    }

    /// The same with a first number as float16 holds it.
    fn halved(self) -> Self {
        match self.of {
            Of::Second(first, of, narrow) => {
                let first = First { number: half(first.number), ..first };
                Function { of: Of::Second(first, of, narrow), ..self }
            }
            _ => self,
        }
    }

    /// The same as numpy had it before 1.18, which took all of them from the C library.
    pub(in crate::families) fn of_old(self) -> Self {
        let of = match (self.name, self.of) {
            ("cos", Of::Number(of, _)) => Of::Number(of, f32::cos),
            ("exp", Of::Number(of, _)) => Of::Number(of, f32::exp),
            ("log", Of::Number(of, _)) => Of::Number(of, f32::ln),
            ("sin", Of::Number(of, _)) => Of::Number(of, f32::sin),
            ("tanh", Of::Number(of, _)) => Of::Number(of, f32::tanh),
            (_, of) => of,
        };
        Function { of, ..self }
    }

    /// The function of a number, which float32 holds where `narrow`.
    pub(in crate::families) fn call(&self, x: f64, narrow: bool) -> f64 {
        let largest = if narrow { f64::from(f32::MAX) } else { f64::MAX };
        match self.of {
            Of::Number(_, of) if narrow => of(x as f32).into(),
            Of::Number(of, _) => of(x),
            Of::Second(first, _, of) if narrow => of(first.number as f32, x as f32).into(),
            Of::Second(first, of, _) => of(first.number, x),
            Of::Clip(..) if x.is_nan() => x,
            Of::Clip(low, high) => {
                let x = low.map_or(x, |low| if x > low { x } else { low });
                high.map_or(x, |high| if x < high { x } else { high })
            }
            Of::Round(0) => x.round_ties_even(),
            Of::Round(decimals) => {
                let scale = 10f64.powi(decimals.saturating_abs());
                if decimals > 0 {
                    round(round(x * scale, narrow).round_ties_even(), narrow) / scale
                } else {
                    round(round(x / scale, narrow).round_ties_even(), narrow) * scale
                }
            }
            Of::Finite(nan, ..) if x.is_nan() => nan,
            Of::Finite(_, above, _) if x == f64::INFINITY => above.unwrap_or(largest),
            Of::Finite(.., below) if x == f64::NEG_INFINITY => below.unwrap_or(-largest),
            Of::Finite(..) => x,
        }
    }
}

/// The list with every module that has been home to each: numpy 2, numpy 1, and numpy before 1.16.
macro_rules! functions {
    ($($name:literal $of:expr, $narrow:expr, $sparse:literal;)*) => {
        const FUNCTIONS: &[Function] = &[$(Function { name: $name, of: Of::Number($of, $narrow), sparse: $sparse }),*];
        pub(in crate::families) const ENTRIES: &[Entry] = &[
            $(
                Entry::inert("numpy", $name),
                Entry::inert("numpy.core._multiarray_umath", $name),
                Entry::inert("numpy.core.umath", $name),
            )*
            Entry::inert("scipy.special._special_ufuncs", "expit"),
            Entry::inert("scipy.special._special_ufuncs", "logit"),
            Entry::inert("scipy.special._ufuncs", "expit"),
            Entry::inert("scipy.special._ufuncs", "logit"),
            Entry::function("numpy.core", "_ufunc_reconstruct"),
            Entry::inert("numpy", "around"),
            Entry::inert("numpy", "clip"),
            Entry::inert("numpy", "nan_to_num"),
            Entry::inert("numpy", "round"),
            Entry::inert("numpy", "round_"),
        ];
    };
}

functions! {
    "absolute" f64::abs, f32::abs, true;
    "arccos" f64::acos, f32::acos, false;
    "arccosh" f64::acosh, f32::acosh, false;
    "arcsin" f64::asin, f32::asin, true;
    "arcsinh" f64::asinh, f32::asinh, true;
    "arctan" f64::atan, f32::atan, true;
    "arctanh" f64::atanh, f32::atanh, true;
    "cbrt" f64::cbrt, f32::cbrt, false;
    "ceil" f64::ceil, f32::ceil, true;
    "cos" f64::cos, float32::cos, false;
    "cosh" f64::cosh, f32::cosh, false;
    "deg2rad" |x| x * (std::f64::consts::PI / 180.0), |x| x * (std::f32::consts::PI / 180.0), true;
    "degrees" |x| x * (180.0 / std::f64::consts::PI), |x| x * (180.0 / std::f32::consts::PI), false;
    "exp" f64::exp, float32::exp, false;
    "exp2" f64::exp2, f32::exp2, false;
    "expm1" f64::exp_m1, f32::exp_m1, true;
    "fabs" f64::abs, f32::abs, false;
    "floor" f64::floor, f32::floor, true;
    "log" f64::ln, float32::ln, false;
    "log10" f64::log10, f32::log10, false;
    "log1p" f64::ln_1p, f32::ln_1p, true;
    "log2" f64::log2, f32::log2, false;
    "negative" |x| -x, |x| -x, true;
    "positive" |x| x, |x| x, false;
    "rad2deg" |x| x * (180.0 / std::f64::consts::PI), |x| x * (180.0 / std::f32::consts::PI), true;
    "radians" |x| x * (std::f64::consts::PI / 180.0), |x| x * (std::f32::consts::PI / 180.0), false;
    "reciprocal" f64::recip, f32::recip, false;
    "rint" f64::round_ties_even, f32::round_ties_even, true;
    "sign" sign, |x| sign(x.into()) as f32, true;
    "sin" f64::sin, float32::sin, true;
    "sinh" f64::sinh, f32::sinh, true;
    "sqrt" f64::sqrt, f32::sqrt, true;
    "square" |x| x * x, |x| x * x, false;
    "tan" f64::tan, f32::tan, true;
    "tanh" f64::tanh, |x| f64::from(x).tanh() as f32, true;
    "trunc" f64::trunc, f32::trunc, true;
}

const SCIPY: &[Function] = &[
    Function { name: "expit", of: Of::Number(scores::expit, scores::expit32), sparse: false },
    Function { name: "logit", of: Of::Number(|x| (x / (1.0 - x)).ln(), logit32), sparse: false },
];

/// A function of two numbers by its name: of float64 and of float32.
type OfTwo = (&'static str, fn(f64, f64) -> f64, fn(f32, f32) -> f32);

/// numpy's functions of two numbers, as `functools.partial` fixes the first of them.
const OF_TWO: &[OfTwo] = &[
    ("add", |a, b| a + b, |a, b| a + b),
    ("arctan2", f64::atan2, f32::atan2),
    ("divide", |a, b| a / b, |a, b| a / b),
    ("float_power", f64::powf, f32::powf),
    ("fmax", f64::max, f32::max),
    ("fmin", f64::min, f32::min),
    ("hypot", f64::hypot, f32::hypot),
    ("maximum", largest, |a, b| largest(a.into(), b.into()) as f32),
    ("minimum", smallest, |a, b| smallest(a.into(), b.into()) as f32),
    ("multiply", |a, b| a * b, |a, b| a * b),
    ("power", f64::powf, f32::powf),
    ("subtract", |a, b| a - b, |a, b| a - b),
    ("true_divide", |a, b| a / b, |a, b| a / b),
];

/// NaN where either is.
fn largest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a > b { a } else { b }
}

fn smallest(a: f64, b: f64) -> f64 {
    if a.is_nan() || a < b { a } else { b }
}

/// Functions that give the table that they are given, as an array.
const ARRAYS: &[(&str, &str)] = &[
    ("numpy", "array"),
    ("numpy", "asanyarray"),
    ("numpy", "asarray"),
    ("numpy", "ascontiguousarray"),
    ("numpy", "asfortranarray"),
    ("numpy", "copy"),
    ("pandas", "DataFrame.to_numpy"),
    ("pandas.core.frame", "DataFrame.copy"),
    ("pandas.core.frame", "DataFrame.to_numpy"),
    ("pandas.core.generic", "NDFrame.copy"),
];

/// A number as it is.
pub(in crate::families) const SAME: Function = Function { name: "asarray", of: Of::Number(|x| x, |x| x), sparse: true };

/// Whether a function gives what it is given.
pub(in crate::families) fn is_array(view: &View<'_>) -> bool {
    let of_array = [
        "numpy",
        "numpy.core.multiarray",
        "numpy._core.multiarray",
        "numpy.core.numeric",
        "numpy.core._asarray",
        "numpy.lib.function_base",
    ];
    matches!(view.value(), Value::Global(_))
        && view.class().is_some_and(|class| {
            let module = if of_array.contains(&class.module.as_str()) { "numpy" } else { class.module.as_str() };
            ARRAYS.contains(&(module, class.name.as_str()))
        })
}

/// A function of `functools.partial`: what it wraps, with the number that stands first or the arguments by name.
fn partial(view: &View<'_>) -> Result<Function, Error> {
    let state = view.state()?;
    let (function, first, named) = (state.item(0)?, state.item(1)?, state.item(2)?);
    let function_name = function.class().map(ToString::to_string).unwrap_or_default();
    let two = function.class().filter(|class| class.module.starts_with("numpy"));
    let two = two.and_then(|class| OF_TWO.iter().find(|(name, ..)| *name == class.name));
    match (first.items()?.as_slice(), two, named.pairs()?.is_empty()) {
        ([], _, _) => read(&function, Some(&named)),
        ([number], Some((name, of, narrow)), true) => {
            let whole = match number.value() {
                Value::Int(whole) => Some(i128::from(*whole)),
                _ => None,
            };
            let beside = Beside::of(number)?;
            // pandas has operators of its own for some functions, which take the number in the column's type. For the
            // others it makes an array of the number.
            let of_pandas = ["add", "divide", "multiply", "power", "subtract", "true_divide"].contains(name);
            let is_single = beside == Beside::Single || matches!(number.value(), Value::Bool(_));
            let first = First {
                number: number.as_f64()?,
                whole,
                widens_array: beside == Beside::Double,
                widens_table: !of_pandas && !is_single && with_numpy_2(view)?,
            };
            let of = Of::Second(first, *of, *narrow);
            Ok(Function { name, of, sparse: false })
        }
        _ => {
            let names: Vec<&str> = OF_TWO.iter().map(|(name, ..)| *name).collect();
            let what = format!("functools.partial of {function_name}");
            Err(Error::unsupported(view.path(), what, format!("one number before the column, of {}", names.join(", "))))
        }
    }
}

/// A whole number to the power of another, beyond 128 bits around; none of a negative power.
fn power(base: i128, exponent: i128) -> Option<i128> {
    let mut left = u128::try_from(exponent).ok()?;
    let (mut factor, mut product) = (base, 1i128);
    while left > 0 {
        if left & 1 == 1 {
            product = product.wrapping_mul(factor);
        }
        factor = factor.wrapping_mul(factor);
        left >>= 1;
    }
    Some(product)
}

fn logit32(x: f32) -> f32 {
    (x / (1.0 - x)).ln()
}

fn sign(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() { x + 0.0 } else { x.signum() }
}

/// Functions with arguments, under the names that they are given by.
const WITH_ARGUMENTS: &[(&str, &[&str])] = &[
    ("around", &["decimals"]),
    ("clip", &["a_min", "a_max", "min", "max"]),
    ("nan_to_num", &["copy", "nan", "posinf", "neginf"]),
    ("round", &["decimals"]),
    ("round_", &["decimals"]),
];

/// A function that takes arguments; `None` where it is not one of these.
fn with_arguments(name: &str, arguments: Option<&View<'_>>) -> Result<Option<Function>, Error> {
    let Some((name, _)) = WITH_ARGUMENTS.iter().find(|(known, _)| *known == name) else { return Ok(None) };
    let argument = |name: &str| -> Result<Option<View<'_>>, Error> {
        Ok(arguments.map(|arguments| arguments.get(name)).transpose()?.flatten().and_then(View::some))
    };
    let number =
        |name: &str| -> Result<Option<f64>, Error> { Ok(argument(name)?.map(|one| one.as_f64()).transpose()?) };
    let of = match *name {
        "clip" => Of::Clip(number("a_min")?.or(number("min")?), number("a_max")?.or(number("max")?)),
        "nan_to_num" => Of::Finite(number("nan")?.unwrap_or(0.0), number("posinf")?, number("neginf")?),
        _ => {
            let decimals = argument("decimals")?.map(|one| one.as_i64()).transpose()?.unwrap_or(0);
            // Beyond these a power of ten is not a float64.
            Of::Round(i32::try_from(decimals.clamp(-400, 400)).unwrap_or(0))
        }
    };
    Ok(Some(Function { name, of, sparse: false }))
}

/// The function that a parameter names, with the arguments that stand beside it.
pub(in crate::families) fn read(view: &View<'_>, arguments: Option<&View<'_>>) -> Result<Function, Error> {
    let Some(class) = view.class() else { return Err(view.expected("a function").into()) };
    if view.is("functools", "partial") && view.object().is_ok_and(|object| object.state.is_some()) {
        if let Some(arguments) = arguments.filter(|arguments| arguments.pairs().is_ok_and(|pairs| !pairs.is_empty())) {
            return Err(Error::unsupported(arguments.path(), "arguments of a functools.partial", "those in it"));
        }
        return partial(view);
    }
    if view.is("builtins", "abs") || view.is("__builtin__", "abs") {
        return FUNCTIONS
            .iter()
            .find(|function| function.name == "absolute")
            .copied()
            .ok_or_else(|| view.expected("a function").into());
    }
    let (module, name) = if view.is("numpy.core", "_ufunc_reconstruct") {
        (view.arg(0)?.as_str()?, view.arg(1)?.as_str()?)
    } else {
        (class.module.as_str(), class.name.as_str())
    };
    if let Some(arguments) = arguments {
        let takes = WITH_ARGUMENTS.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, takes)| takes);
        for (key, _) in arguments.pairs()? {
            let key = key.as_str()?;
            if !takes.contains(&key) {
                let supported = if takes.is_empty() { "no arguments".to_string() } else { takes.join(", ") };
                return Err(Error::unsupported(arguments.path(), format!("{name} with the argument {key}"), supported));
            }
        }
    }
    if module == "numpy"
        && let Some(function) = with_arguments(name, arguments)?
    {
        return Ok(function);
    }
    let list = if module.starts_with("scipy.special") { SCIPY } else { FUNCTIONS };
    let found = list.iter().find(|function| function.name == name);
    found.copied().ok_or_else(|| {
        let names = FUNCTIONS.iter().chain(SCIPY).map(|function| function.name);
        let names: Vec<&str> = names.chain(WITH_ARGUMENTS.iter().map(|(name, _)| *name)).collect();
        if module.starts_with("numpy") || module.starts_with("scipy") {
            return Error::unsupported(view.path(), format!("{module}.{name}"), names.join(", "));
        }
        let instead = "functions of numpy such as log1p, sqrt, clip; functions of one's own are not run: SQL in the query can stand \
                       for them";
        Error::unsupported(view.path(), format!("{module}.{name}"), instead)
    })
}
