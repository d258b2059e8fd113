//! The list itself: every name that this crate lets in, for a person to read.

use foretell_pickle::{Allow, Entry, Role};

/// Modules in which code lives that a file must never reach.
const NEVER: &[&str] = &["os", "posix", "nt", "sys", "subprocess", "importlib", "runpy", "shutil", "socket", "pickle"];

#[test]
fn the_containers_are_what_they_were() {
    let line = |(module, name, role): (&str, &str, Role)| {
        let role = match role {
            Role::Inert => "inert",
            Role::Class { .. } => "class",
            Role::Function { .. } => "function",
            Role::Builtin(_) => "built in",
            Role::Opaque => "opaque",
        };
        format!("{module} {name}: {role}\n")
    };
    let list: String = Allow::new(&[]).globals().map(line).collect();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/containers.list");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &list).unwrap();
    }
    // Run with UPDATE=1 after a change, and read the difference.
    assert_eq!(list, std::fs::read_to_string(path).unwrap());
}

#[test]
fn no_name_is_dotted_and_no_module_runs_code() {
    for (module, name, _) in Allow::new(&[]).globals() {
        assert!(!name.contains('.') && !name.is_empty() && !module.is_empty(), "{module} {name}");
        assert!(!NEVER.contains(&module), "{module} {name}");
    }
}

#[test]
fn a_caller_cannot_change_what_a_built_in_means() {
    let allow = Allow::new(&[Entry::class("numpy", "dtype"), Entry::class("shop", "Basket")]);
    assert!(matches!(allow.role("numpy", "dtype"), Some(Role::Builtin(_))));
    assert!(matches!(allow.role("shop", "Basket"), Some(Role::Class { .. })));
    assert_eq!(allow.role("shop", "basket"), None);
    assert_eq!(allow.role("numpy", "dtypes"), None);
}
