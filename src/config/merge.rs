//! One file of a configuration, and how files become one tree: sections merge, and a name or key is given once.

use super::{
    diagnostics::{Diagnostic, Path, Position},
    expected::{Expected, kind, path_name, place, quoted},
    overrides::Override,
    raw,
    source_map::Owner,
    spans::Place,
    validator::Validator,
    yaml::{self, Parsed, TWICE, UNMERGEABLE},
};
use serde_yaml::{Mapping, Value};
use std::path::PathBuf;

/// Keys that are about files, and so are each file's own.
pub(super) const OF_FILES: [&str; 2] = ["include", "pipelines_dir"];

/// What one file says.
pub(super) struct Document {
    /// Which file.
    pub(super) owner: Owner,
    /// All but what is below.
    pub(super) tree: Value,
    /// Files to read too.
    pub(super) include: Vec<Listed>,
    /// Folders of templates.
    pub(super) folders: Vec<Listed>,
}

/// A path that a file names, and where.
pub(super) struct Listed {
    pub(super) owner: Owner,
    pub(super) path: Path,
    /// As it is written.
    pub(super) named: PathBuf,
}

impl Validator {
    /// Takes a file apart. `overrides` are of interest for the first one only.
    ///
    /// # Errors
    /// When it is no YAML.
    pub(super) fn document(&mut self, name: &str, text: &str, overrides: &[Override]) -> Result<Document, Diagnostic> {
        let order = self.places.add(name, text.to_owned());
        let owner = Owner::File(order);
        let Parsed { mut tree, twice, unmergeable } = yaml::parse(text).map_err(|mut fault| {
            if let Position::Line { order: at, file, .. } = &mut fault.position {
                (*at, *file) = (order, name.into());
            }
            fault
        })?;
        for path in twice {
            self.note_of(&owner, &path, Place::SecondKey, TWICE.to_owned());
        }
        for path in unmergeable {
            self.note_of(&owner, &path, Place::Value, UNMERGEABLE.to_owned());
        }
        for wanted in overrides.iter().filter(|wanted| wanted.is_in(&OF_FILES)) {
            self.override_with(wanted, &Path::default(), &mut tree);
        }
        let [include, folders] = OF_FILES.map(|key| {
            let path = Path::default().key(key);
            let owner = if order == 0 { self.places.owner(&path) } else { owner.clone() };
            let value = tree.as_mapping_mut().and_then(|map| map.shift_remove(key));
            self.listed(&owner, &path, value)
        });
        Ok(Document { owner, tree, include, folders })
    }

    /// One path, or a list of them.
    fn listed(&mut self, owner: &Owner, path: &Path, value: Option<Value>) -> Vec<Listed> {
        let items = match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(text)) => vec![(path.clone(), Value::String(text))],
            Some(Value::Sequence(items)) => {
                items.into_iter().enumerate().map(|(index, item)| (path.index(index), item)).collect()
            }
            Some(other) => {
                let message = format!("expected a path or a list of paths, found {}", kind(&other));
                self.note_of(owner, path, place(path, &other), message);
                Vec::new()
            }
        };
        let mut listed = Vec::new();
        for (path, item) in items {
            match item.as_str().map(path_name) {
                Some(Ok(named)) => listed.push(Listed { owner: owner.clone(), path, named }),
                Some(Err(Expected { what, .. })) => {
                    let message = format!("expected {what}, found {}", quoted(item.as_str().unwrap_or_default()));
                    self.note_of(owner, &path, Place::Value, message);
                }
                None => {
                    let message = format!("expected a single value, found {}", kind(&item));
                    self.note_of(owner, &path, place(&path, &item), message);
                }
            }
        }
        listed
    }

    /// Adds what a further file says to what the files before it say.
    pub(super) fn merge(&mut self, into: &mut Value, owner: &Owner, tree: Value) {
        let root = Path::default();
        let sections = match tree {
            Value::Null => return,
            Value::Mapping(sections) => sections,
            other => {
                let message =
                    format!("expected keys like `{}:`, found {}", raw::keys::<raw::File>().join(":`, `"), kind(&other));
                return self.note_of(owner, &root, Place::Value, message);
            }
        };
        if into.is_null() {
            *into = Value::Mapping(Mapping::new());
        }
        let Value::Mapping(into) = into else { return };
        for (key, value) in sections {
            let path = root.key(key.as_str().unwrap_or_default());
            match (into.get_mut(&key), value) {
                (_, Value::Null) => {}
                (None | Some(Value::Null), value) => {
                    into.insert(key, value);
                    self.places.own(path, owner.clone());
                }
                (Some(Value::Mapping(entries)), Value::Mapping(more)) => {
                    for (name, value) in more {
                        let path = path.key(name.as_str().unwrap_or_default());
                        if entries.contains_key(&name) {
                            self.second(owner, &path);
                        } else {
                            entries.insert(name, value);
                            self.places.own(path, owner.clone());
                        }
                    }
                }
                _ => self.second(owner, &path),
            }
        }
    }

    fn second(&mut self, owner: &Owner, path: &Path) {
        // Each place costs a walk through a text.
        if self.is_full() {
            return;
        }
        let first = self.places.position(&self.places.owner(path), path, Place::Key);
        self.note_of(owner, path, Place::Key, format!("is given at {first} already, keep one"));
    }
}
