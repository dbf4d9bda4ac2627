//! The tracks of all encodings of a stream that its playlists list. Pure.

use super::file::Rendition;
use crate::media::{MediaKind, segment::TrackHeader};
use std::time::{Duration, Instant};

/// How long the other encodings are waited for once the stream itself is there.
const WAIT: Duration = Duration::from_secs(4);

/// What each encoding has. The first one is the stream itself: audio is listed of it alone.
#[derive(Debug)]
pub struct Tracks {
    parts: Vec<State>,
    /// When the tracks of the first one came.
    since: Option<Instant>,
    is_waiting: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    /// Its tracks are not known yet.
    Expected,
    /// It has these.
    Known(Vec<TrackHeader>),
    /// It has none, and will have none.
    LeftOut,
}

impl Tracks {
    /// Of so many encodings.
    pub fn new(parts: usize) -> Self {
        Self { parts: vec![State::Expected; parts.max(1)], since: None, is_waiting: true }
    }

    /// The number of a track among those of all encodings.
    pub fn number(part: usize, track: u32) -> u32 {
        u32::try_from(part).unwrap_or(0) << 16 | track & 0xffff
    }

    /// The tracks of an encoding are known, or others.
    pub fn set(&mut self, part: usize, mut headers: Vec<TrackHeader>, now: Instant) {
        if part == 0 {
            self.since.get_or_insert(now);
        } else {
            headers.retain(|header| header.kind == MediaKind::Video);
        }
        for header in &mut headers {
            header.number = Self::number(part, header.number);
            if let Some(rendition) = Rendition::parse(header.name).and_then(|rendition| rendition.of_part(part)) {
                header.name = rendition.name();
            }
        }
        if let Some(state) = self.parts.get_mut(part) {
            *state = if headers.is_empty() { State::LeftOut } else { State::Known(headers) };
        }
    }

    /// An encoding cannot be had, or not any more. What was known of it stays.
    pub fn leave_out(&mut self, part: usize) {
        if let Some(state) = self.parts.get_mut(part).filter(|state| **state == State::Expected) {
            *state = State::LeftOut;
        }
    }

    /// Whether [`Tracks::all`] had no answer yet.
    pub fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// The tracks that playlists list; `None` while those of an encoding are waited for.
    pub fn all(&mut self, now: Instant) -> Option<Vec<TrackHeader>> {
        let since = self.since?;
        let is_expected = self.parts.contains(&State::Expected);
        if self.is_waiting && is_expected && now.saturating_duration_since(since) < WAIT {
            return None;
        }
        self.is_waiting = false;
        let known = self.parts.iter().filter_map(|state| match state {
            State::Known(headers) => Some(headers),
            State::Expected | State::LeftOut => None,
        });
        Some(known.flatten().cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn header(kind: MediaKind) -> TrackHeader {
        let is_video = kind == MediaKind::Video;
        TrackHeader {
            number: if is_video { 1 } else { 2 },
            name: if is_video { "v0" } else { "a0" },
            kind,
            timescale: 90_000,
            codecs: None,
            size: None,
            channels: None,
            header: Bytes::new(),
        }
    }

    fn names(tracks: Option<Vec<TrackHeader>>) -> Vec<(&'static str, u32)> {
        tracks.into_iter().flatten().map(|track| (track.name, track.number)).collect()
    }

    #[test]
    fn the_stream_waits_for_its_renditions_and_not_for_ever() {
        let now = Instant::now();
        let both = || vec![header(MediaKind::Video), header(MediaKind::Audio)];
        let mut tracks = Tracks::new(3);
        tracks.set(2, both(), now);
        assert_eq!(tracks.all(now), None);
        tracks.set(0, both(), now);
        assert_eq!(tracks.all(now), None);
        let two = [("v0", 1), ("a0", 2), ("v2", 2 << 16 | 1)];
        assert_eq!(names(tracks.all(now + WAIT)), two);
        assert!(!tracks.is_waiting());
        // One that comes later is listed then.
        tracks.set(1, both(), now);
        assert_eq!(names(tracks.all(now)), [two[0], two[1], ("v1", 1 << 16 | 1), two[2]]);
        let mut tracks = Tracks::new(3);
        tracks.set(0, both(), now);
        tracks.leave_out(1);
        assert_eq!(tracks.all(now), None);
        tracks.set(2, vec![header(MediaKind::Audio)], now);
        assert_eq!(names(tracks.all(now)), two[..2]);
    }
}
