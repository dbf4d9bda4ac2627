//! What is wrong with a configuration, and where.

use std::fmt;

/// Most faults that are reported at once. Each one costs a walk through the text to find its place.
pub(super) const MAX_FAULTS: usize = 50;

/// One fault of a configuration text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// The key it is about, `feeds.cam1.mode`; empty for the whole text.
    pub path: String,
    /// What was expected, what was found, and what to do.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All faults of one file, in the order of its lines. Displays as one line a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// What the file is called in front of each line.
    pub file: String,
    /// Never empty.
    pub faults: Vec<Fault>,
}

impl std::error::Error for Faults {}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            let end = if index == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{fault}", self.file)?;
        }
        Ok(())
    }
}

/// One step from a value to a value inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a map.
    Key(String),
    /// Into a list, counted from 0.
    Index(usize),
}

/// The way from the top of a text to one value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
                // A fault stays one line, whatever the key is.
                Step::Key(key) if key.contains(char::is_control) => write!(f, "{dot}{}", key.escape_debug())?,
                Step::Key(key) => write!(f, "{dot}{key}")?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
