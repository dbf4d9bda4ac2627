//! Segments of the past that recordings have.

use super::{piece::TrackHeader, rendition::Segment};
use crate::media::Time;

/// The segment before which the past is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct First {
    /// Its number.
    pub number: u64,
    /// When its first sample is decoded, in ticks of the track that leads.
    pub start: u64,
    /// Ticks a second.
    pub timescale: u32,
    /// The same in nanoseconds since 1970.
    pub date: Option<i64>,
    /// The headers of all renditions.
    pub headers: Vec<TrackHeader>,
}

/// A segment of the past, in all renditions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastSegment {
    /// When it begins, in nanoseconds of the timeline that all renditions share.
    pub time: i64,
    /// How long it lasts, in nanoseconds.
    pub nanos: i64,
    /// Nanoseconds since 1970 of its begin.
    pub date: i64,
    /// What is before it does not continue in it.
    pub is_discontinuity: bool,
    /// For each rendition that has media for it: its name, when its first sample is decoded and how much later what follows begins, in
    /// its ticks.
    pub tracks: Vec<(&'static str, u64, u64)>,
}

impl PastSegment {
    /// How long it lasts.
    pub(super) fn seconds(&self) -> f64 {
        self.nanos as f64 / 1e9
    }

    /// As a segment of a rendition.
    pub(super) fn of(&self, name: &str, timescale: u32, number: u64) -> Segment {
        let ticks = |nanos: i64| u64::try_from(Time::from_nanos(nanos).ticks(timescale)).unwrap_or(0);
        let own = self.tracks.iter().find(|(own, ..)| *own == name);
        let (start, duration) = own.map_or((ticks(self.time), ticks(self.nanos)), |(_, start, lasts)| (*start, *lasts));
        Segment {
            number,
            header: number,
            start,
            shown: start,
            duration,
            timescale,
            parts: Vec::new(),
            is_independent: true,
            is_discontinuity: self.is_discontinuity,
            is_gap: own.is_none(),
            date: Some(self.date),
            bytes: 0,
        }
    }
}
