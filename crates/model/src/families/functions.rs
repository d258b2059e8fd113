//! numpy's functions of one number, as `FunctionTransformer` and `TransformedTargetRegressor` name them.

#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects))]

use foretell_pickle::{Entry, View};

use crate::Error;

/// A function of one number.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) of: fn(f64) -> f64,
    /// Whether scipy applies it to what a sparse table stores.
    pub(super) sparse: bool,
}

/// The list with every module that has been home to each: numpy 2, numpy 1, and numpy before 1.16.
macro_rules! functions {
    ($($name:literal $of:expr, $sparse:literal;)*) => {
        const FUNCTIONS: &[Function] = &[$(Function { name: $name, of: $of, sparse: $sparse }),*];
        pub(super) const ENTRIES: &[Entry] = &[
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
        ];
    };
}

functions! {
    "absolute" f64::abs, true;
    "arctan" f64::atan, true;
    "cbrt" f64::cbrt, false;
    "ceil" f64::ceil, true;
    "cos" f64::cos, false;
    "deg2rad" |x| x * (std::f64::consts::PI / 180.0), true;
    "exp" f64::exp, false;
    "exp2" f64::exp2, false;
    "expm1" f64::exp_m1, true;
    "fabs" f64::abs, false;
    "floor" f64::floor, true;
    "log" f64::ln, false;
    "log10" f64::log10, false;
    "log1p" f64::ln_1p, true;
    "log2" f64::log2, false;
    "negative" |x| -x, true;
    "positive" |x| x, false;
    "rad2deg" |x| x * (180.0 / std::f64::consts::PI), true;
    "reciprocal" f64::recip, false;
    "rint" f64::round_ties_even, true;
    "sign" sign, true;
    "sin" f64::sin, true;
    "sinh" f64::sinh, true;
    "sqrt" f64::sqrt, true;
    "square" |x| x * x, false;
    "tan" f64::tan, true;
    "tanh" f64::tanh, true;
    "trunc" f64::trunc, true;
}

const SCIPY: &[Function] = &[
    Function { name: "expit", of: super::scores::expit, sparse: false },
    Function { name: "logit", of: |x| (x / (1.0 - x)).ln(), sparse: false },
];

fn sign(x: f64) -> f64 {
    if x == 0.0 || x.is_nan() { x + 0.0 } else { x.signum() }
}

/// The function that a parameter names.
pub(super) fn read(view: &View<'_>) -> Result<Function, Error> {
    let Some(class) = view.class() else { return Err(view.expected("a function").into()) };
    let (module, name) = if view.is("numpy.core", "_ufunc_reconstruct") {
        (view.arg(0)?.as_str()?, view.arg(1)?.as_str()?)
    } else {
        (class.module.as_str(), class.name.as_str())
    };
    let list = if module.starts_with("scipy.special") { SCIPY } else { FUNCTIONS };
    let found = list.iter().find(|function| function.name == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = FUNCTIONS.iter().chain(SCIPY).map(|function| function.name).collect();
        Error::unsupported(view.path(), format!("{module}.{name}"), names.join(", "))
    })
}
