//! V98, X: what the program is made of, as `voyandz --licenses` and `docs/licenses.txt` tell it.

use crate::rig::server::run;
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

/// Where the list is kept. Written by this test when `VOYANDZ_WRITE_LICENSES` is set.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/licenses.txt");

const HEAD: &str = "\
voyandz is under the MIT licence. It is linked with GStreamer (LGPL-2.1-or-later), which is not part of it.
These crates are part of it, each under its own licence:

";

/// The crates that are compiled into the program, as `name v1.2.3`. The metadata alone has also those of features that are off.
fn built() -> BTreeSet<String> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    command.args(["--target", "x86_64-unknown-linux-gnu"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let words = |line: &str| line.split(' ').take(2).collect::<Vec<_>>().join(" ");
    // The first one is the program itself.
    String::from_utf8(output.stdout).unwrap().lines().skip(1).map(words).collect()
}

/// A line for each crate that is compiled into the program.
fn list() -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let built = built();
    let packages = metadata["packages"].as_array().unwrap().iter();
    let name =
        |package: &Value| format!("{} v{}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
    let packages = packages.filter(|package| built.contains(&name(package)));
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
