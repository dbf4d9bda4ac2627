//! V98, X: what the program is made of, as `voyandz --licenses` and `docs/licenses.txt` tell it.

use crate::rig::server::run;
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Where the list is kept. Written by this test when `VOYANDZ_WRITE_LICENSES` is set.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/licenses.txt");

const HEAD: &str = "\
voyandz is under the MIT licence. It is linked with GStreamer (LGPL-2.1-or-later), which is not part of it.
These crates are part of it, each under its own licence:

";

/// A line for each crate that is compiled into the program.
fn list() -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let nodes = metadata["resolve"]["nodes"].as_array().unwrap();
    let nodes: BTreeMap<&str, &Value> = nodes.iter().map(|node| (node["id"].as_str().unwrap(), node)).collect();
    let root = metadata["resolve"]["root"].as_str().unwrap();
    let (mut found, mut next) = (BTreeSet::from([root]), vec![root]);
    while let Some(id) = next.pop() {
        for dependency in nodes[id]["deps"].as_array().unwrap() {
            // A kind of null is a normal dependency, not one of tests or of a build.
            let is_linked = dependency["dep_kinds"].as_array().unwrap().iter().any(|kind| kind["kind"].is_null());
            let id = dependency["pkg"].as_str().unwrap();
            if is_linked && found.insert(id) {
                next.push(id);
            }
        }
    }
    found.remove(root);
    let packages = metadata["packages"].as_array().unwrap().iter();
    let packages = packages.filter(|package| found.contains(package["id"].as_str().unwrap()));
    let text = |value: &Value| value.as_str().unwrap_or("see its repository").to_owned();
    let mut lines: Vec<String> = packages
        .map(|package| {
            let (name, version) = (text(&package["name"]), text(&package["version"]));
            format!("{name} {version}: {}, {}\n", text(&package["license"]), text(&package["repository"]))
        })
        .collect();
    lines.sort();
    format!("{HEAD}{}", lines.concat())
}

#[test]
fn v98_the_program_tells_what_it_is_made_of() {
    let list = list();
    if std::env::var_os("VOYANDZ_WRITE_LICENSES").is_some() {
        std::fs::write(FILE, &list).unwrap();
    }
    assert!(list.contains("\nwarp ") && list.contains("\ntokio ") && !list.contains("proptest"), "{list}");
    let kept = std::fs::read_to_string(FILE).unwrap();
    assert_eq!(kept, list, "write it anew: VOYANDZ_WRITE_LICENSES=1 cargo test --test it licenses");
    let output = run(&["--licenses"]);
    // The program has the list of its last build.
    if std::env::var_os("VOYANDZ_WRITE_LICENSES").is_none() {
        assert_eq!(String::from_utf8(output.stdout).unwrap(), list);
    }
}
