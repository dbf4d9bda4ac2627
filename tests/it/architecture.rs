//! The code keeps to its own map.

use regex::Regex;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Which folders of `src` a folder may import. What is not listed here may import anything.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("media", &[]),
    ("telemetry", &[]),
    ("sys", &[]),
    ("net", &[]),
    ("config", &["media"]),
    ("ipc", &["media"]),
    ("worker", &["config", "ipc", "media", "sys"]),
    ("stream", &["media", "sys", "telemetry"]),
    ("source", &["config", "ipc", "media", "stream", "sys", "telemetry"]),
    ("engine", &["config", "ipc", "media", "source", "stream", "sys", "telemetry"]),
    ("still", &["engine", "ipc", "media", "source", "stream", "sys"]),
    ("output", &["config", "engine", "ipc", "media", "net", "source", "still", "stream", "sys", "telemetry"]),
    ("control", &["config", "engine", "ipc", "media", "source", "stream", "sys", "telemetry"]),
];

fn sources() -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&src, &mut found);
    found
        .into_iter()
        .map(|path| (path.strip_prefix(&src).unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect()
}

/// The first parts of all `crate::…` paths outside the tests of a file.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.split("#[cfg(test)]").next().unwrap();
    let code: String =
        code.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect();
    let single = Regex::new(r"crate::([a-z_]+)").unwrap();
    let mut found: BTreeSet<String> = single.captures_iter(&code).map(|found| found[1].to_owned()).collect();
    for (start, opening) in code.match_indices("use crate::{") {
        let group = code[start + opening.len()..].split(';').next().unwrap();
        let mut depth = 0;
        // Members of the outermost list: what stands in inner braces belongs to one of them.
        let outer: String = group
            .chars()
            .filter(|c| {
                depth += i32::from(*c == '{') - i32::from(*c == '}');
                depth == 0
            })
            .collect();
        let members = outer.split(',').map(|member| member.split("::").next().unwrap().trim().trim_matches('}'));
        found.extend(members.filter(|member| member.chars().next().is_some_and(char::is_lowercase)).map(str::to_owned));
    }
    found
}

#[test]
fn imports_point_downwards_only() {
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        let folder = path.iter().next().unwrap().to_str().unwrap().to_owned();
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == folder) else { continue };
        for import in imports(&text) {
            if import != folder && !allowed.contains(&import.as_str()) {
                wrong.push(format!("{} imports {import}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn foreign_names_stay_where_they_belong() {
    let belongs = |path: &Path, name: &str| match name {
        "gstreamer" | "glib" => path.starts_with("worker"),
        "warp" => {
            path.ends_with("routes.rs")
                || path.ends_with("site.rs")
                || path.ends_with("session.rs")
                || path.starts_with("control")
                || path.starts_with("net")
                || path == Path::new("app.rs")
        }
        _ => true,
    };
    let mut wrong = Vec::new();
    for (path, text) in sources() {
        for name in ["gstreamer", "glib", "warp"] {
            let named = Regex::new(&format!(r"\b{name}(_\w+)?::")).unwrap();
            let used = text.lines().any(|line| !line.trim_start().starts_with("//") && named.is_match(line));
            if used && !belongs(&path, name) {
                wrong.push(format!("{} names {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_folder_says_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//!"), "{} has no description", path.display());
    }
}

#[test]
fn tests_that_the_table_of_faults_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/faults.md")).unwrap();
    let named = Regex::new(r"`(\w+)::(\w+)`").unwrap();
    let mut count = 0;
    for name in named.captures_iter(&table) {
        let text = fs::read_to_string(root.join(format!("tests/it/{}.rs", &name[1]))).unwrap();
        assert!(text.contains(&format!("#[test]\nfn {}()", &name[2])), "there is no test {}", &name[0]);
        count += 1;
    }
    assert!(count > 20, "{count}");
}
