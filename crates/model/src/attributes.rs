//! Readers for attributes that many estimators have.

use foretell_pickle::{Kind, Value, View};

use crate::Error;
use crate::labels::Labels;

/// The version of scikit-learn that an estimator says it was saved by.
pub(crate) fn version_text(view: &View<'_>) -> Result<Option<String>, Error> {
    let version = view.get_attr("_sklearn_version")?;
    Ok(version.and_then(|version| version.as_str().ok().map(str::to_string)))
}

/// The same as numbers: `(1, 3)`; `None` where it does not say (0.18 and older).
pub(crate) fn version(view: &View<'_>) -> Result<Option<(u32, u32)>, Error> {
    Ok(version_text(view)?.and_then(|text| numbers(&text)))
}

/// The version of scikit-learn that an estimator was saved by, or else one inside of it: classes of other libraries do not
/// say it.
pub(crate) fn version_inside(view: &View<'_>, inside: &View<'_>) -> Result<Option<(u32, u32)>, Error> {
    match version(view)? {
        None => version(inside),
        known => Ok(known),
    }
}

pub(crate) fn numbers(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    parts.next().flatten().zip(parts.next().flatten())
}

/// Whether numpy 2 wrote the file: what it names of numpy says so, else the version of scikit-learn that came with it.
pub(crate) fn with_numpy_2(view: &View<'_>) -> Result<bool, Error> {
    let named = |part: &str| view.document().globals().iter().any(|global| global.module.starts_with(part));
    Ok(if named("numpy._core") {
        true
    } else if named("numpy.core") {
        false
    } else {
        version(view)?.is_some_and(|version| version >= (1, 5))
    })
}

/// A parameter that is a text, with the default where it is not written.
pub(crate) fn word<'a>(view: &View<'a>, name: &str, default: &'a str) -> Result<&'a str, Error> {
    match some_attr(view, name)? {
        Some(value) => Ok(value.as_str()?),
        None => Ok(default),
    }
}

/// An attribute that is there and not `None`.
pub(crate) fn some_attr<'a>(view: &View<'a>, name: &str) -> Result<Option<View<'a>>, Error> {
    Ok(view.get_attr(name)?.and_then(View::some))
}

/// The function that a parameter is, where it is not a name of what the library has: it is never run.
pub(crate) fn own_function(view: &View<'_>, name: &str) -> Result<Option<String>, Error> {
    let Some(function) = some_attr(view, name)? else { return Ok(None) };
    let own = |class: &foretell_pickle::Global| match class.module.split('.').next() {
        // Written by value, without a name that anybody gave it.
        Some("cloudpickle" | "dill" | "functools") => "a function of its own".to_string(),
        _ => format!("`{class}`"),
    };
    Ok(function.class().map(own))
}

/// A parameter that is a bool, with the default where it is not written.
pub(crate) fn flag(view: &View<'_>, name: &str, default: bool) -> Result<bool, Error> {
    match some_attr(view, name)? {
        Some(value) => Ok(value.as_bool()?),
        None => Ok(default),
    }
}

/// `feature_names_in_`.
pub(crate) fn feature_names(view: &View<'_>) -> Result<Option<Vec<String>>, Error> {
    match some_attr(view, "feature_names_in_")? {
        Some(names) => match names.array() {
            Ok(array) => Ok(Some(array.strings()?.into_iter().map(|name| name.into_owned()).collect())),
            // Other libraries keep a list; interpret makes names up where there were none.
            Err(_) => {
                let names: Result<Vec<String>, _> =
                    names.items()?.iter().map(|name| name.as_str().map(str::to_string)).collect();
                let made_up = |(index, name): (usize, &String)| *name == format!("feature_{index:04}");
                Ok(Some(names?).filter(|names| !names.iter().enumerate().all(made_up)))
            }
        },
        None => Ok(None),
    }
}

/// Class labels: an array (or list) of numbers, bools or texts.
pub(crate) fn labels(view: &View<'_>) -> Result<Labels, Error> {
    let array = view.array()?;
    Ok(match array.dtype().kind {
        Kind::Bool => Labels::Bool(array.bools()?),
        Kind::Int | Kind::Uint => Labels::Int(array.i64s()?),
        Kind::Float => Labels::Float(array.f64s()?),
        Kind::Text | Kind::Bytes => Labels::Text(array.strings()?.into_iter().map(|text| text.into_owned()).collect()),
        Kind::Object => {
            let objects = array.objects()?;
            match objects.first().map(View::value) {
                Some(Value::Bool(_)) => Labels::Bool(objects.iter().map(View::as_bool).collect::<Result<_, _>>()?),
                Some(Value::Int(_)) => Labels::Int(objects.iter().map(View::as_i64).collect::<Result<_, _>>()?),
                Some(Value::Float(_)) => Labels::Float(objects.iter().map(View::as_f64).collect::<Result<_, _>>()?),
                _ => {
                    let texts: Result<_, _> = objects.iter().map(|one| one.as_str().map(str::to_string)).collect();
                    Labels::Text(texts?)
                }
            }
        }
        Kind::Record | Kind::Moment | Kind::Duration => {
            return Err(view.expected("an array of class labels").into());
        }
    })
}

/// Whether the `dtype` parameter is bool or an integer of up to 16 bits: the class, or a dtype object.
pub(crate) fn is_small(view: &View<'_>) -> Result<bool, Error> {
    const SMALL: &[&str] = &["bool", "bool_", "int8", "int16", "uint8", "uint16"];
    let Some(dtype) = some_attr(view, "dtype")? else { return Ok(false) };
    if let Value::Dtype(dtype) = dtype.value() {
        return Ok(dtype.kind == Kind::Bool || (matches!(dtype.kind, Kind::Int | Kind::Uint) && dtype.size <= 2));
    }
    let class = dtype.class().filter(|class| ["numpy", "builtins", "__builtin__"].contains(&class.module.as_str()));
    let name = class.map(|class| class.name.as_str()).or_else(|| dtype.as_str().ok());
    Ok(name.is_some_and(|name| SMALL.contains(&name)))
}

/// Whether the `dtype` parameter is float32: the class, or a dtype object.
pub(crate) fn is_float32(view: &View<'_>) -> Result<bool, Error> {
    let Some(dtype) = some_attr(view, "dtype")? else { return Ok(false) };
    if let Value::Dtype(dtype) = dtype.value() {
        return Ok(dtype.kind == Kind::Float && dtype.size == 4);
    }
    Ok(dtype.is("numpy", "float32") || dtype.as_str().is_ok_and(|name| name == "float32"))
}
