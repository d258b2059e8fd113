//! The direction of imports: between the modules of a folder there is no circle, so that each can be understood after
//! those that it imports.
//!
//! What a module imports is read from its paths: `crate::…` and `super::…`, in `use` and elsewhere. A name that a folder
//! hands on (`pub use`) counts as the module that it comes from. A folder's own file, `mod.rs` or the crate's root, may
//! know all that is in the folder. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::root;

/// Circles that stay, each with its reason: the folder, and the modules that import each other.
///
/// Those of `model/trees` are one algorithm in two files: a plan is made for the kernel that will walk it.
const CIRCLES: &[(&str, &[&str])] = &[
    ("model/trees", &["kernel", "plan"]),
    // A mining model is made of models.
    ("model/pmml", &["mining", "model"]),
];

/// A module by its path within the crate; the crate itself is empty.
type Module = Vec<String>;

/// The modules of a crate.
#[derive(Default)]
struct Crate {
    /// Without comments, texts and tests.
    sources: BTreeMap<Module, String>,
    /// What a module's own `use` brings into it: name → path.
    names: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Crate {
    fn read(src: &Path) -> Crate {
        let mut all = Crate::default();
        all.read_folder(src, &[]);
        for (module, source) in &all.sources {
            let mut names = BTreeMap::new();
            for path in uses(source) {
                let path = all.absolute(module, &path);
                if let Some(name) = path.last() {
                    names.insert(name.clone(), path.clone());
                }
            }
            all.names.insert(module.clone(), names);
        }
        all
    }

    fn read_folder(&mut self, folder: &Path, module: &[String]) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_str().unwrap().to_string();
            let within = |name: &str| [module, &[name.to_string()]].concat();
            if ["tests", "services", "bin"].contains(&stem.as_str()) {
                continue;
            }
            if path.is_dir() {
                self.read_folder(&path, &within(&stem));
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let is_folders_own = ["mod", "lib", "main"].contains(&stem.as_str());
                let own = if is_folders_own { module.to_vec() } else { within(&stem) };
                self.sources.insert(own, code(&std::fs::read_to_string(&path).unwrap()));
            }
        }
    }

    /// A path as it is written in a module, from the crate's root on.
    fn absolute(&self, module: &[String], path: &[String]) -> Vec<String> {
        let mut base = module.to_vec();
        let mut rest = path;
        match path.first().map(String::as_str) {
            Some("crate") => {
                base.clear();
                rest = &path[1..];
            }
            Some("self") => rest = &path[1..],
            _ => {}
        }
        while let Some((first, others)) = rest.split_first().filter(|(first, _)| *first == "super") {
            let _ = first;
            base.pop();
            rest = others;
        }
        base.extend_from_slice(rest);
        base
    }

    /// The module that a path leads to, through what folders hand on.
    fn target(&self, path: &[String], depth: usize) -> Option<Module> {
        let length = (0..=path.len()).rev().find(|length| self.sources.contains_key(&path[..*length]))?;
        let module = path[..length].to_vec();
        let handed_on = path.get(length).and_then(|name| self.names.get(&module)?.get(name));
        match handed_on.filter(|further| depth < 8 && further.as_slice() != path) {
            Some(further) => self.target(further, depth + 1).or(Some(module)),
            None => Some(module),
        }
    }

    /// By folder, which of its modules imports which.
    fn imports(&self) -> BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> {
        let mut folders: BTreeMap<Module, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
        for (module, source) in &self.sources {
            for path in paths(source) {
                let Some(target) = self.target(&self.absolute(module, &path), 0) else { continue };
                let common = module.iter().zip(&target).take_while(|(a, b)| a == b).count();
                if let (Some(from), Some(to)) = (module.get(common), target.get(common)) {
                    let folder = folders.entry(module[..common].to_vec()).or_default();
                    folder.entry(from.clone()).or_default().insert(to.clone());
                }
            }
        }
        folders
    }
}

/// A source without comments, texts and tests.
fn code(source: &str) -> String {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut out = String::with_capacity(source.len());
    for line in source.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut inside = false;
        let mut letters = line.chars().peekable();
        while let Some(letter) = letters.next() {
            match letter {
                '\\' if inside => drop(letters.next()),
                '"' => inside = !inside,
                '/' if !inside && letters.peek() == Some(&'/') => break,
                letter if !inside => out.push(letter),
                _ => {}
            }
        }
        out.push('\n');
    }
    out
}

/// Every path that begins with `crate::` or `super::`.
fn paths(source: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in source.match_indices(start) {
            let before = source[..at].chars().next_back();
            if !before.is_some_and(|letter| letter.is_alphanumeric() || "_$:".contains(letter)) {
                branches(&mut source[at..].chars().peekable(), Vec::new(), &mut found);
            }
        }
    }
    found
}

/// Every path that a `use` names, wherever it begins.
fn uses(source: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in source.match_indices("use ").filter(|(at, _)| {
        let before = source[..*at].chars().next_back();
        before.is_none_or(|letter| letter.is_whitespace() || letter == ')')
    }) {
        branches(&mut source[line.0 + 4..].chars().peekable(), Vec::new(), &mut found);
    }
    found
}

/// Reads `a::{b, c::d}` as `a::b` and `a::c::d`.
fn branches(
    letters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    mut path: Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    loop {
        while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
        if letters.next_if_eq(&'{').is_some() {
            loop {
                branches(letters, path.clone(), found);
                while letters.next_if(|letter| letter.is_whitespace()).is_some() {}
                match letters.next() {
                    Some(',') => {}
                    _ => return,
                }
            }
        }
        let mut name = String::new();
        while let Some(letter) = letters.next_if(|letter| letter.is_alphanumeric() || *letter == '_' || *letter == '*')
        {
            name.push(letter);
        }
        if !name.is_empty() && (name != "self" || path.is_empty()) {
            path.push(name);
        }
        if letters.next_if_eq(&':').is_none() || letters.next_if_eq(&':').is_none() {
            break;
        }
    }
    // `as other`: the new name stands nowhere else that matters here.
    while letters.peek().is_some_and(|letter| letter.is_alphanumeric() || letter.is_whitespace()) {
        letters.next();
    }
    if !path.is_empty() {
        found.push(path);
    }
}

/// The groups of modules that import each other, directly or through others.
fn circles(graph: &BTreeMap<String, BTreeSet<String>>) -> Vec<BTreeSet<String>> {
    let reach = |from: &String| {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![from]);
        while let Some(module) = todo.pop() {
            for next in graph.get(module).into_iter().flatten() {
                if seen.insert(next.clone()) {
                    todo.push(next);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&String, BTreeSet<String>> = graph.keys().map(|module| (module, reach(module))).collect();
    let mut groups: Vec<BTreeSet<String>> = Vec::new();
    for (module, all) in &reached {
        if !all.contains(*module) || groups.iter().any(|group| group.contains(*module)) {
            continue;
        }
        let back = all.iter().filter(|other| reached.get(other).is_some_and(|all| all.contains(*module)));
        groups.push(back.cloned().collect());
    }
    groups
}

#[test]
fn modules_import_each_other_in_one_direction() {
    let mut found = Vec::new();
    let mut edges = 0;
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_string();
        for (folder, graph) in Crate::read(&path.join("src")).imports() {
            edges += graph.values().map(BTreeSet::len).sum::<usize>();
            let folder = [std::slice::from_ref(&name), &folder[..]].concat().join("/");
            for circle in circles(&graph) {
                let within = |from: &&String| circle.contains(*from);
                let arrows: Vec<String> = (graph.keys().filter(within))
                    .map(|from| {
                        let to: Vec<&str> = graph[from].iter().filter(within).map(String::as_str).collect();
                        format!("{from} → {}", to.join(", "))
                    })
                    .collect();
                found.push((folder.clone(), Vec::from_iter(circle.clone()), arrows.join("; ")));
            }
        }
    }
    assert!(edges > 100, "the imports of this repository are read: {edges}");
    let known = |folder: &String, circle: &[String]| {
        CIRCLES.iter().any(|(known, modules)| known == folder && modules.iter().eq(circle.iter()))
    };
    let new: Vec<String> = (found.iter().filter(|(folder, circle, _)| !known(folder, circle)))
        .map(|(folder, _, arrows)| format!("crates/{folder}: {arrows}"))
        .collect();
    assert!(new.is_empty(), "modules that import each other in a circle:\n{}", new.join("\n"));
    for (folder, modules) in CIRCLES {
        let is_there = found.iter().any(|(found, circle, _)| found == folder && modules.iter().eq(circle.iter()));
        assert!(is_there, "{folder}: {modules:?} is not a circle any more: this list is out of date");
    }
}

#[test]
fn paths_are_read_as_they_are_written() {
    let source = code(
        "use crate::a::{b, c::{D, self}}; // crate::no\nuse super::super::e as f;\nlet x = crate::g::h(\"crate::n\");\n#[cfg(test)]\nmod tests {\n    use crate::t;\n}\n",
    );
    let mut all: Vec<String> = paths(&source).iter().map(|path| path.join("::")).collect();
    all.sort();
    assert_eq!(all, ["crate::a::b", "crate::a::c", "crate::a::c::D", "crate::g::h", "super::super::e"]);
    let graph = |arrows: &[(&str, &str)]| {
        let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in arrows {
            graph.entry(from.to_string()).or_default().insert(to.to_string());
        }
        graph
    };
    assert!(circles(&graph(&[("a", "b"), ("b", "c"), ("a", "c")])).is_empty());
    let circle = circles(&graph(&[("a", "b"), ("b", "c"), ("c", "b"), ("c", "d")]));
    assert_eq!(circle, [BTreeSet::from(["b".to_string(), "c".to_string()])]);
}
