//! Where each part of a configuration comes from: a file and its line, a set, a variable of the environment. Errors are
//! collected with the path of their value, and only then looked up.

use super::{
    diagnostics::{Diagnostic, Diagnostics, MAX_DIAGNOSTICS, Path, Position, Step},
    spans::{Place, locate_near},
};
use std::{collections::HashMap, sync::Arc};

/// Who says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Owner {
    /// A file, counted from 0 in the order of reading.
    File(usize),
    /// A variable of the environment.
    Variable(Arc<str>),
}

/// What a feed or stream of a set was made from.
#[derive(Debug, Clone)]
pub(super) struct Provenance {
    /// Of the text.
    pub(super) path: Path,
    /// Which instance of it this is.
    pub(super) instance: String,
}

/// A file as it was read.
#[derive(Debug, Clone)]
struct Text {
    name: Arc<str>,
    text: String,
}

/// The texts that a configuration was made from, and which part of it is from which.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceMap {
    texts: Vec<Text>,
    /// Of values, and so of all that is inside them and has no owner of its own. The first file owns the rest.
    owners: HashMap<Path, Owner>,
    /// Of feeds and streams that sets have made, by section and name.
    origins: HashMap<(String, String), Provenance>,
}

impl SourceMap {
    /// Adds a file.
    pub(super) fn add(&mut self, name: &str, text: String) -> usize {
        self.texts.push(Text { name: name.into(), text });
        self.texts.len() - 1
    }

    /// The name and text of a file, counted from 0 in the order of reading.
    pub(super) fn text(&self, order: usize) -> Option<(&str, &str)> {
        self.texts.get(order).map(|text| (&*text.name, &*text.text))
    }

    /// What a set has made a feed or stream from: the path of its text.
    pub(super) fn made_by(&self, section: &str, name: &str) -> Option<&Path> {
        self.origins.get(&(section.to_owned(), name.to_owned())).map(|origin| &origin.path)
    }

    /// Says who gave a value.
    pub(super) fn own(&mut self, path: Path, owner: Owner) {
        self.owners.insert(path, owner);
    }

    /// Says what a set has made a feed or stream from.
    pub(super) fn made_from(&mut self, section: &str, name: &str, origin: Provenance) {
        self.origins.insert((section.to_owned(), name.to_owned()), origin);
    }

    /// Who gave a value, under which path, and for which instance of a set.
    pub(super) fn source(&self, path: &Path) -> (Owner, Path, Option<String>) {
        match self.origin(path) {
            Some((path, instance)) => (self.owner(&path), path, Some(instance)),
            None => (self.owner(path), path.clone(), None),
        }
    }

    /// Who gave a value that no set has made.
    pub(super) fn owner(&self, path: &Path) -> Owner {
        let mut around = std::iter::successors(Some(path.clone()), Path::parent);
        around.find_map(|path| self.owners.get(&path).cloned()).unwrap_or(Owner::File(0))
    }

    /// Where a value stands.
    pub(super) fn position(&self, owner: &Owner, path: &Path, place: Place) -> Position {
        match owner {
            Owner::Variable(name) => Position::Variable(name.clone()),
            Owner::File(order) => {
                let (name, text) =
                    self.texts.get(*order).map_or(("".into(), ""), |text| (text.name.clone(), &text.text));
                let (line, column) = locate_near(text, path, place);
                Position::Line { order: *order, line, column, file: name }
            }
        }
    }

    /// The path in the text, and the instance, of something inside an entry that a set has made.
    fn origin(&self, path: &Path) -> Option<(Path, String)> {
        let [Step::Key(section), Step::Key(name), inside @ ..] = path.steps() else { return None };
        let origin = self.origins.get(&(section.clone(), name.clone()))?;
        // What a variable says of a feed or stream is not of the set any more.
        let around = std::iter::successors(Some(path.clone()), Path::parent).filter(|path| path.steps().len() > 1);
        if around.filter_map(|path| self.owners.get(&path)).any(|owner| matches!(owner, Owner::Variable(_))) {
            return None;
        }
        let path = inside.iter().fold(origin.path.clone(), |path, step| path.with(step.clone()));
        Some((path, origin.instance.clone()))
    }
}

/// An error whose place in the text is not looked up yet.
struct Finding {
    owner: Owner,
    path: Path,
    place: Place,
    message: String,
    /// Of a set; none for what stands in the text as it is.
    instances: Vec<String>,
}

/// Errors while they are looked for.
#[derive(Default)]
pub(super) struct Findings(Vec<Finding>);

impl Findings {
    /// Whether no more errors are reported, so that looking for them is of no use.
    pub(super) fn is_full(&self) -> bool {
        self.0.len() >= MAX_DIAGNOSTICS
    }

    /// Remembers an error. One that several instances of a set share is one error.
    pub(super) fn note(&mut self, owner: Owner, path: &Path, place: Place, message: String, instance: Option<&str>) {
        let is_same = |found: &&mut Finding| {
            found.owner == owner && found.path == *path && found.place == place && found.message == message
        };
        if let Some(instance) = instance
            && let Some(found) = self.0.iter_mut().find(is_same)
        {
            if !found.instances.iter().any(|known| known == instance) {
                found.instances.push(instance.to_owned());
            }
        } else if !self.is_full() {
            let instances = instance.map(str::to_owned).into_iter().collect();
            self.0.push(Finding { owner, path: path.clone(), place, message, instances });
        }
    }

    /// Looks up all places.
    pub(super) fn into_diagnostics(self, places: &SourceMap) -> Diagnostics {
        let fault = |finding: Finding| {
            let message = match finding.instances.as_slice() {
                [] => finding.message,
                [first, second, others @ ..] if others.len() > 1 => {
                    format!("{} (of {first}, {second} and {} more)", finding.message, others.len())
                }
                few => format!("{} (of {})", finding.message, few.join(", ")),
            };
            let position = places.position(&finding.owner, &finding.path, finding.place);
            Diagnostic { position, path: finding.path.to_string(), message }
        };
        Diagnostics::default().and(Diagnostics { faults: self.0.into_iter().map(fault).collect() })
    }
}
