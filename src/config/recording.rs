//! What is recorded of a stream, where, and how long it is kept, checked.

use super::pattern::FilePattern;
use crate::media::Container;
use std::{path::PathBuf, time::Duration};

/// How a stream is recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    /// Where files and their index are.
    pub folder: PathBuf,
    /// What files are in.
    pub format: Container,
    /// When.
    pub plan: Plan,
    /// How much from before a request is in a clip, at least; for the plan `clips`.
    pub before: Duration,
    /// How long files are; `None` for one that ends with its source.
    pub every: Option<Duration>,
    /// How often what came is written and flushed to the disk.
    pub part: Duration,
    /// What files are called, below the folder.
    pub name: FilePattern,
    /// What is kept.
    pub keep: Keep,
}

/// When a stream is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// Always: its feeds run for it.
    Always,
    /// While it has viewers.
    Wanted,
    /// Always, with a file for each run of its source.
    Session,
    /// From a request to another one.
    Manual,
    /// The same, and what was shortly before the request.
    Clips,
}

/// What is kept of recordings; without a limit, everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Keep {
    /// Not older than this.
    pub age: Option<Duration>,
    /// Not more bytes of this stream than these.
    pub size: Option<u64>,
    /// Not if fewer bytes than these are free on the disk.
    pub free: Option<u64>,
}

impl Plan {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Always, Self::Wanted, Self::Session, Self::Manual, Self::Clips];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Wanted => "wanted",
            Self::Session => "session",
            Self::Manual => "manual",
            Self::Clips => "clips",
        }
    }

    /// Whether requests start and stop it.
    pub const fn is_by_request(self) -> bool {
        matches!(self, Self::Manual | Self::Clips)
    }
}
