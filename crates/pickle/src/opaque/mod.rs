//! Names that are not listed, and whether a file may hold them all the same.
//!
//! Training leaves names in a model that no prediction reads: scorers, callbacks, a path, a function of a notebook. As
//! nothing of a file is ever run or imported, such a name harms nobody here: what it makes is kept as an opaque value. A
//! name that runs code or reaches the system where Python loads the file is refused all the same: no honest model needs
//! it, and whoever is sent such a file should hear of it.

mod lists;
mod standard_library;

use lists::{BUILTINS, HARMLESS, REFUSED, REFUSED_MODULES, RUNS_CODE, SYSTEM};
use standard_library::STANDARD_LIBRARY;

/// Whether a name that is not listed may be kept as an opaque value.
pub(crate) fn is_harmless(module: &str, name: &str) -> bool {
    let modules = || module.split('.');
    let names = || name.split('.');
    let parts_are_names = modules().chain(names()).all(is_name);
    if !parts_are_names || modules().chain(names()).any(is_special) {
        return false;
    }
    let (Some(top), rest) = (modules().next(), modules().skip(1)) else { return false };
    // A dotted name walks through attributes, and many modules have `os` as one.
    if rest.chain(names()).any(|part| SYSTEM.contains(&part)) {
        return false;
    }
    if module == "__main__" {
        return true;
    }
    if names().any(|part| RUNS_CODE.contains(&part)) {
        return false;
    }
    if let Some((_, harmful)) = BUILTINS.iter().find(|(known, _)| *known == module) {
        return !names().any(|part| harmful.contains(&part));
    }
    if let Some((_, harmless)) = HARMLESS.iter().find(|(known, _)| *known == module) {
        return harmless.is_empty() || harmless.contains(&name);
    }
    let within = |of: &str| module.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    !STANDARD_LIBRARY.contains(&top)
        && !REFUSED_MODULES.iter().any(|of| within(of))
        && !REFUSED.iter().any(|(of, refused)| within(of) && (refused.is_empty() || refused.contains(&name)))
}

/// Functions that make types, as those who save a notebook's classes by value write them. Nothing else that a call made
/// is called again by an honest file: not a function that was put together, and not a module.
pub(crate) fn makes_types(module: &str, name: &str) -> bool {
    let names =
        ["ABCMeta", "EnumMeta", "EnumType", "_builtin_type", "_create_namedtuple", "_create_type", "_load_type"];
    let more = ["_make_skeleton_class", "_make_skeleton_enum", "_rehydrate_skeleton_class", "namedtuple", "type"];
    let base = module.split('.').next().unwrap_or_default();
    let known = ["abc", "builtins", "cloudpickle", "collections", "dill", "enum", "joblib", "pyspark"];
    known.contains(&base) && (names.contains(&name) || more.contains(&name))
}

/// What a name of a module or of something in it looks like; functions without a name are called `<lambda>`.
fn is_name(part: &str) -> bool {
    let part = part.strip_prefix('<').and_then(|part| part.strip_suffix('>')).unwrap_or(part);
    !part.is_empty() && part.chars().all(|char| char.is_alphanumeric() || char == '_')
}

/// `__globals__`, `__reduce__` and their kin lead from anything to everything.
fn is_special(part: &str) -> bool {
    part.starts_with("__") && part.ends_with("__") && !matches!(part, "__main__" | "__builtin__" | "__mp_main__")
}

#[cfg(test)]
mod tests {
    use super::lists::{HARMFUL_BUILTINS, OPERATORS};
    use super::*;

    #[test]
    fn what_training_leaves_behind_is_harmless() {
        for (module, name) in [
            ("__main__", "mys"),
            ("__main__", "objective.<locals>.<lambda>"),
            ("my_project.metrics", "smape"),
            ("pathlib", "PurePosixPath"),
            ("joblib.memory", "Memory"),
            ("joblib._store_backends", "FileSystemStoreBackend"),
            ("sklearn.metrics._classification", "classification_report"),
            ("builtins", "len"),
            ("logging", "getLogger"),
            ("dill._dill", "_create_function"),
            ("cloudpickle.cloudpickle", "_make_function"),
            ("tensorflow.keras.optimizers", "Adam"),
            ("app.code.metrics", "loss"),
        ] {
            assert!(is_harmless(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn what_runs_code_is_not() {
        for (module, name) in [
            ("os", "system"),
            ("posix", "system"),
            ("os.path", "join"),
            ("builtins", "eval"),
            ("builtins", "getattr"),
            ("__builtin__", "exec"),
            ("builtins", "__import__"),
            ("subprocess", "Popen"),
            ("pathlib", "os.system"),
            ("__main__", "os.system"),
            ("__main__", "f.__globals__"),
            ("my_project", "sys.modules"),
            ("my_project.os", "remove"),
            ("numpy.testing._private.utils", "runstring"),
            ("numpy.f2py.crackfortran", "getlincoef"),
            ("numpy", "load"),
            ("joblib", "load"),
            ("joblib.numpy_pickle", "load"),
            ("dill", "loads"),
            ("torch.hub", "load"),
            ("torch.fx.experimental.symbolic_shapes", "ShapeEnv"),
            ("types", "FunctionType"),
            ("uuid", "_get_command_stdout"),
            ("bdb", "Bdb.run"),
            ("asyncio.unix_events", "_UnixSubprocessTransport._start"),
            ("test.support.script_helper", "assert_python_ok"),
            ("webbrowser", "open"),
            ("operator", "methodcaller"),
            ("functools", "reduce"),
            ("urllib.request", "urlopen"),
            ("requests.api", "get"),
            ("pandas", "read_pickle"),
            ("io", "open"),
            ("logging", "FileHandler"),
            ("logging.config", "dictConfig"),
            ("pip._internal", "main"),
            ("some_package", "system"),
            ("", ""),
            ("a b", "c"),
            ("x", "y\nz"),
        ] {
            assert!(!is_harmless(module, name), "{module}.{name}");
        }
    }

    #[test]
    fn lists_are_in_order() {
        for list in [STANDARD_LIBRARY, RUNS_CODE, SYSTEM, HARMFUL_BUILTINS, OPERATORS] {
            assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{list:?}");
        }
    }
}
