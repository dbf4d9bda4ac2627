//! What is wrong with a configuration, and where.

use std::{fmt, sync::Arc};

/// Most errors that are reported together. Each one costs a walk through the text to find its place.
pub(super) const MAX_DIAGNOSTICS: usize = 50;

/// One error of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Where it can be mended.
    pub position: Position,
    /// The key it is about, `feeds.cam1.mode`; empty for the whole text.
    pub path: String,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

/// Where something of a configuration is written. They are in the order of reading.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Position {
    /// In a file.
    Line {
        /// How many files were read before.
        order: usize,
        /// Counted from 1.
        line: usize,
        /// In characters, counted from 1.
        column: usize,
        /// What the file is called; empty for a text without a file.
        file: Arc<str>,
    },
    /// In this variable of the environment.
    Variable(Arc<str>),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, column, file, .. } if file.is_empty() => write!(f, "{line}:{column}"),
            Self::Line { line, column, file, .. } => write!(f, "{file}:{line}:{column}"),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// Errors in the order of files and lines. Displays as one line an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    /// See above.
    pub faults: Vec<Diagnostic>,
}

impl Diagnostics {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.faults.is_empty()
    }

    /// These and others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.faults.extend(others.faults);
        self.faults.sort_by(|one, other| one.position.cmp(&other.position));
        self
    }

    /// The same, marked as what may be mended later.
    #[must_use]
    pub fn as_warnings(mut self) -> Self {
        for fault in &mut self.faults {
            fault.message.insert_str(0, "warning: ");
        }
        self
    }
}

impl std::error::Error for Diagnostics {}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{fault}")?;
        }
        Ok(())
    }
}

/// A key whose maps give the entries that are not beside it (<https://yaml.org/type/merge.html>).
pub(super) const MERGE: &str = "<<";

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// Into a map.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// The way from the top of a text to one value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Path(Vec<Step>);

impl Path {
    /// The way to the value of `key` in this map.
    pub(super) fn key(&self, key: &str) -> Self {
        self.with(Step::Key(key.to_owned()))
    }

    /// The way to one item of this list.
    pub(super) fn index(&self, index: usize) -> Self {
        self.with(Step::Index(index))
    }

    /// All steps, outermost first.
    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }

    /// The way to what is around this value; `None` for the whole text.
    pub(super) fn parent(&self) -> Option<Self> {
        self.0.split_last().map(|(_, around)| Self(around.to_vec()))
    }

    /// The way to a value inside this one.
    pub(super) fn with(&self, step: Step) -> Self {
        let mut steps = self.0.clone();
        steps.push(step);
        Self(steps)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            let dot = if depth == 0 { "" } else { "." };
            match step {
                // An error stays one line, whatever the key is.
                Step::Key(key) if key.contains(char::is_control) => write!(f, "{dot}{}", key.escape_debug())?,
                Step::Key(key) => write!(f, "{dot}{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
