//! Variables of the environment that win over the files: `VOYANDZ__feeds__cam0__mode=10`.

use super::{
    diagnostics::Path,
    expected::kind,
    source_map::Owner,
    spans::Place,
    validator::Validator,
    yaml::{self, Parsed, TWICE, UNMERGEABLE},
};
use serde_yaml::{Mapping, Value};
use std::{ffi::OsString, sync::Arc};

/// What the names of such variables begin with.
const PREFIX: &str = "VOYANDZ__";
/// Stands between the keys.
const BETWEEN: &str = "__";

/// Most keys on the way to a value; nothing is so deep.
const MAX_KEYS: usize = 16;

/// What one variable says.
#[derive(Debug, Clone)]
pub(super) struct Override {
    variable: Arc<str>,
    /// The way to the value, from the top.
    keys: Vec<String>,
    value: Value,
}

impl Override {
    /// Whether it is about something in this section of the top level.
    pub(super) fn is_in(&self, sections: &[&str]) -> bool {
        self.keys.first().is_some_and(|first| sections.contains(&first.as_str()))
    }
}

impl Validator {
    /// Reads those variables of an environment that are meant for a configuration, in the order of their names.
    pub(super) fn variables(&mut self, environment: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Override> {
        let named = environment.into_iter().filter_map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            name.starts_with(PREFIX).then_some((name, value))
        });
        let mut variables: Vec<_> = named.collect();
        // The environment has no order, and `VOYANDZ__feeds` comes before what is inside.
        variables.sort();
        variables.into_iter().filter_map(|(name, value)| self.variable(&name, &value)).collect()
    }

    fn variable(&mut self, name: &str, value: &OsString) -> Option<Override> {
        let owner = Owner::Variable(name.into());
        let keys: Vec<_> = name.strip_prefix(PREFIX)?.split(BETWEEN).map(str::to_owned).collect();
        let mut note = |path: &Path, message: String| self.note_of(&owner, path, Place::Value, message);
        if keys.len() > MAX_KEYS || keys.iter().any(String::is_empty) {
            note(
                &Path::default(),
                "expected keys with `__` between them, like `VOYANDZ__feeds__cam0__mode`".to_owned(),
            );
            return None;
        }
        let path = keys.iter().fold(Path::default(), |path, key| path.key(key));
        let Some(text) = value.to_str() else {
            note(&path, "the value is no UTF-8 text".to_owned());
            return None;
        };
        match yaml::parse(text) {
            Err(fault) => {
                note(&path, fault.message);
                None
            }
            Ok(Parsed { tree: value, twice, unmergeable }) => {
                let twice = twice.into_iter().map(|path| (path, TWICE));
                for (inside, message) in twice.chain(unmergeable.into_iter().map(|path| (path, UNMERGEABLE))) {
                    let path = inside.steps().iter().fold(path.clone(), |path, step| path.with(step.clone()));
                    note(&path, message.to_owned());
                }
                Some(Override { variable: name.into(), keys, value })
            }
        }
    }

    /// Puts what a variable says into the value that `path` leads to.
    pub(super) fn override_with(&mut self, wanted: &Override, path: &Path, slot: &mut Value) {
        let keys = wanted.keys.get(path.steps().len()..).unwrap_or_default();
        self.put(&Owner::Variable(wanted.variable.clone()), path, slot, keys, wanted.value.clone());
    }

    fn put(&mut self, owner: &Owner, path: &Path, slot: &mut Value, keys: &[String], value: Value) {
        if let Some((key, keys)) = keys.split_first() {
            if slot.is_null() {
                *slot = Value::Mapping(Mapping::new());
                // A section is of no one; what is in it is.
                if path.steps().len() > 1 {
                    self.places.own(path.clone(), owner.clone());
                }
            }
            let Value::Mapping(map) = slot else {
                let message = format!("expected keys to set one of, found {}: set it as a whole", kind(slot));
                return self.note_of(owner, path, Place::Value, message);
            };
            let inner = map.entry(Value::String(key.clone())).or_insert(Value::Null);
            return self.put(owner, &path.key(key), inner, keys, value);
        }
        match (slot, value) {
            (Value::Mapping(map), Value::Mapping(new)) => {
                for (key, value) in new {
                    let path = path.key(key.as_str().unwrap_or_default());
                    self.put(owner, &path, map.entry(key).or_insert(Value::Null), &[], value);
                }
            }
            (slot, value) => {
                *slot = value;
                self.places.own(path.clone(), owner.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::tests::said_of;

    #[test]
    fn variables_win_over_the_files() {
        let main = "include: a.yaml\nlogdir: log\nfeeds: {cam: {command: cat}}\nsets: {s: {for: [x], defaults: {m: 1}, feeds: {'{name}': {command: cat, mode: '{m}'}}}}";
        let check = |variables: &[(&str, &str)], expect: &str| {
            let files = [
                ("main.yaml", main),
                ("a.yaml", "streams: {s.ts: {feed: cam, video: {size: 640x360}}}"),
                ("b/b.yaml", "feeds: {b: {command: cat}}"),
            ];
            let said = said_of(&files, variables);
            assert!(said.contains(expect), "{variables:?}\n{said}");
        };
        check(&[("VOYANDZ__listenport", "8091")], "listenport: 8091\n");
        check(&[("VOYANDZ__logdir", "sub")], "\nlogdir: sub\n");
        check(&[("VOYANDZ__logdir", "")], "listenport: 8090\npages:");
        check(&[("VOYANDZ__pages__home", "false")], "home: false\n");
        check(&[("VOYANDZ__feeds__cam__mode", "10")], "  cam:\n    command:\n    - cat\n    mode: 10\n");
        check(&[("VOYANDZ__feeds__x__mode", "10")], "  x:\n    command:\n    - cat\n    mode: 10\n");
        check(&[("VOYANDZ__sets__s__defaults__m", "7")], "  x:\n    command:\n    - cat\n    mode: 7\n");
        check(&[("VOYANDZ__feeds__cam", "{no-resurrect: true}")], "- cat\n    mode: on-demand\n    restart: false\n");
        check(&[("VOYANDZ__feeds__cam__restart", "false")], "- cat\n    mode: on-demand\n    restart: false\n");
        check(&[("VOYANDZ__feeds__cam__command", "[a, 'b c']")], "    - a\n    - b c\n");
        check(&[("VOYANDZ__feeds__new__file", "new.ts")], "  new:\n    file: new.ts\n");
        check(&[("VOYANDZ__streams", "{s.ts: {video: {fps: 5}}}")], "framerate=5/1");
        check(&[("VOYANDZ__include", "[b/b.yaml, a.yaml]")], "  b:\n    command:\n");
        check(&[("VOYANDZ__feeds__cam__mode", "1"), ("VOYANDZ__feeds__cam", "{mode: 2}")], "- cat\n    mode: 1\n");
        check(&[("VOYANDZ_CONFFILE", "x"), ("XVOYANDZ__listenport", "1")], "listenport: 8090");
    }

    #[test]
    fn faults_of_variables_name_them() {
        let main =
            "feeds:\n  cam: {command: cat}\nsets:\n  s: {for: [x], feeds: {'{name}': {command: cat, mode: soon}}}\n";
        let check = |variables: &[(&str, &str)], expect: &str| {
            let said = said_of(&[("main.yaml", main)], variables);
            let others: Vec<_> = said.lines().filter(|line| !line.starts_with("main.yaml:4:56: ")).collect();
            assert_eq!(others.join("\n"), expect, "{variables:?}");
        };
        check(
            &[("VOYANDZ__listenprot", "1")],
            "VOYANDZ__listenprot: listenprot: unknown key, did you mean `listenport`?",
        );
        check(
            &[("VOYANDZ__listenport", "x")],
            "VOYANDZ__listenport: listenport: expected a port from 0 to 65535, found \"x\"",
        );
        check(
            &[("VOYANDZ__feeds__cam__mode", "x")],
            "VOYANDZ__feeds__cam__mode: feeds.cam.mode: expected \"on-demand\", \"continuous\" or seconds, found \"x\"",
        );
        check(
            &[("VOYANDZ__feeds__x__mode", "y")],
            "VOYANDZ__feeds__x__mode: feeds.x.mode: expected \"on-demand\", \"continuous\" or seconds, found \"y\"",
        );
        check(
            &[("VOYANDZ__feeds__can__mode", "1")],
            "VOYANDZ__feeds__can__mode: feeds.can: has no source: expected `pipeline`, `command`, `file`, `url` or `publish`",
        );
        check(
            &[("VOYANDZ__feeds__cam__command__0", "x")],
            "VOYANDZ__feeds__cam__command__0: feeds.cam.command: expected keys to set one of, found \"cat\": set it as a whole",
        );
        check(&[("VOYANDZ__feeds", "[a]")], "VOYANDZ__feeds: feeds: expected names with keys below them, found a list");
        check(
            &[("VOYANDZ__listenport", "[")],
            "VOYANDZ__listenport: listenport: did not find expected node content, while parsing a flow node",
        );
        check(
            &[("VOYANDZ__feeds__cam", "{mode: 1, mode: 2}")],
            "VOYANDZ__feeds__cam: feeds.cam.mode: appears a second time, keep one",
        );
        check(
            &[("VOYANDZ__", "1")],
            "VOYANDZ__: expected keys with `__` between them, like `VOYANDZ__feeds__cam0__mode`",
        );
        check(
            &[("VOYANDZ__feeds____mode", "1")],
            "VOYANDZ__feeds____mode: expected keys with `__` between them, like `VOYANDZ__feeds__cam0__mode`",
        );
        let deep = format!("VOYANDZ{}", "__a".repeat(40_000));
        check(
            &[(&deep, "1")],
            &format!("{deep}: expected keys with `__` between them, like `VOYANDZ__feeds__cam0__mode`"),
        );
        check(
            &[("VOYANDZ__include", "x")],
            "VOYANDZ__include: include: cannot read x: No such file or directory (os error 2)",
        );
        check(
            &[("VOYANDZ__pipelines_dir", "[x]")],
            "VOYANDZ__pipelines_dir: pipelines_dir[0]: cannot read folder x: No such file or directory (os error 2)",
        );
    }
}
