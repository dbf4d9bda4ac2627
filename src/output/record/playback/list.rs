//! Files of recordings, as programs get them. Pure, but for the time.

use super::{
    ask::{FileId, Span},
    library::{Recorded, continues, rfc3339},
    reading::now,
};
use serde::Serialize;

/// A file in a list.
#[derive(Debug, Serialize)]
pub struct Listed {
    id: String,
    start: String,
    end: String,
    duration: f64,
    bytes: u64,
    file: String,
    sequence: u64,
    codecs: String,
    ended: Option<String>,
    protected: bool,
    /// It follows the one before without a gap, and with the same codecs.
    continues: bool,
}

/// As a list; the file that is written reaches to the present.
pub(super) fn list(files: &[Recorded], span: Span) -> Vec<Listed> {
    let mut before = None;
    let listed = files.iter().map(|file| {
        let entry = &file.entry;
        let follows = before.replace(entry).is_some_and(|before| continues(before, entry));
        // What is written now reaches to the present.
        let to = if entry.ended.is_some() { entry.to } else { span.to.min(now()).max(entry.to) };
        Listed {
            id: FileId { from: entry.from, sequence: entry.sequence }.to_string(),
            start: rfc3339(entry.from),
            end: rfc3339(to),
            duration: (to - entry.from) as f64 / 1e6,
            bytes: entry.bytes,
            file: entry.path.clone(),
            sequence: entry.sequence,
            codecs: entry.codecs.clone(),
            ended: entry.ended.clone(),
            protected: entry.protected,
            continues: follows,
        }
    });
    listed.collect()
}
