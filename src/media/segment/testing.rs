//! Pieces for tests.

#[path = "../../../tests/it/rig/playlist.rs"]
#[allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    dead_code,
    reason = "shared with tests"
)]
pub(super) mod playlist;

use super::{Moment, Piece, Segmenter, Settings, TrackHeader, Wish, hls};
use crate::media::MediaKind;
use bytes::Bytes;
use playlist::Playlist;
use std::time::Duration;

/// Time since 1970 at which the tests begin.
pub(super) const NOW: Duration = Duration::from_secs(1_800_000_000);

/// The header of a video track with the number 1, or of an audio track with the number 2.
pub(super) fn header(kind: MediaKind, timescale: u32, version: u8) -> TrackHeader {
    let is_video = kind == MediaKind::Video;
    TrackHeader {
        number: if is_video { 1 } else { 2 },
        name: if is_video { "v0" } else { "a0" },
        kind,
        timescale,
        codecs: Some(if is_video { "avc1.42c01e" } else { "mp4a.40.2" }.to_owned()),
        size: is_video.then_some((640, 360)),
        channels: (!is_video).then_some(2),
        header: Bytes::copy_from_slice(&[if is_video { b'v' } else { b'a' }, version]),
    }
}

/// A source of video, of audio, or of both.
pub(super) struct Feed {
    pub(super) stream: Segmenter,
    /// Ticks of 90 kHz between two frames.
    pub(super) frame: u32,
    /// Frames between two keyframes.
    pub(super) gop: u64,
    /// How much later frames are shown than decoded.
    pub(super) offset: i64,
    /// The next frame is a keyframe when one was asked for.
    pub(super) can_force: bool,
    /// Samples a second of the audio; 0 for none.
    pub(super) rate: u32,
    /// Ticks by which audio is behind the video.
    pub(super) audio_late: u64,
    pub(super) has_video: bool,
    pub(super) frames: u64,
    pub(super) sounds: u64,
    pub(super) since_key: u64,
    pub(super) asked: u64,
    /// By how much frames say that they last longer than they do; it becomes less with each.
    pub(super) guess: u32,
    /// From this time on, in ticks, a keyframe is to come.
    forced: Option<u64>,
    begin: u64,
    version: u8,
    lists: [Option<Playlist>; 2],
}

impl Feed {
    pub(super) fn new(settings: Settings) -> Self {
        let mut feed = Self {
            stream: Segmenter::new(settings, NOW),
            frame: 3600,
            gop: 50,
            offset: 0,
            can_force: true,
            rate: 48_000,
            audio_late: 0,
            has_video: true,
            frames: 0,
            sounds: 0,
            since_key: 0,
            asked: 0,
            guess: 0,
            forced: None,
            begin: 9_000_000,
            version: 1,
            lists: [None, None],
        };
        feed.begin();
        feed
    }

    /// Sends the headers again, after a change.
    pub(super) fn begin(&mut self) {
        let mut tracks = Vec::new();
        if self.has_video {
            tracks.push(header(MediaKind::Video, 90_000, self.version));
        }
        if self.rate > 0 {
            tracks.push(header(MediaKind::Audio, self.rate, self.version));
        }
        self.stream.begin(tracks);
    }

    /// The source begins again with other parameters.
    pub(super) fn change(&mut self) {
        self.version += 1;
        self.since_key = 0;
        self.begin();
    }

    /// Nothing comes for so many ticks of 90 kHz; then a keyframe.
    pub(super) fn pause(&mut self, ticks: u64) {
        let rate = u64::from(self.rate);
        self.begin += ticks;
        self.sounds = if rate == 0 { 0 } else { self.frames * u64::from(self.frame) * rate / 90_000 / 1024 };
        self.since_key = 0;
    }

    /// Sends media of so many seconds; `each` sees the state after each sample.
    pub(super) fn run(&mut self, seconds: u64, mut each: impl FnMut(&mut Self)) {
        let end = self.frames + seconds * 90_000 / u64::from(self.frame);
        while self.frames < end {
            let time = self.frames * u64::from(self.frame);
            while self.rate > 0 {
                let audio = self.sounds * 1024 * 90_000 / u64::from(self.rate);
                if audio + self.audio_late >= time {
                    break;
                }
                let piece = self.sound();
                self.stream.push(piece);
                self.sounds += 1;
                each(self);
            }
            if self.has_video {
                let time = self.begin + self.frames * u64::from(self.frame);
                let is_forced = self.forced.take_if(|forced| *forced <= time).is_some();
                let is_sync = self.since_key == 0 || is_forced;
                let piece = self.picture(is_sync);
                self.guess -= self.guess / 4;
                let wish = self.stream.push(piece);
                self.asked += u64::from(wish == Some(Wish::Soon));
                let wished = wish.map(|wish| match wish {
                    Wish::Soon => time,
                    Wish::In(later) => time + u64::try_from(later.as_nanos() * 9 / 100_000).unwrap(),
                });
                self.forced = wished.filter(|_| self.can_force).or(self.forced);
                self.since_key = if is_sync { 1 } else { self.since_key + 1 } % self.gop;
            }
            self.frames += 1;
            each(self);
        }
    }

    pub(super) fn picture(&self, is_sync: bool) -> Piece {
        let time = self.begin + self.frames * u64::from(self.frame);
        let nanos = i64::try_from(time * 100_000 / 9).unwrap() + 1_700_000_000_000_000_000;
        Piece {
            track: 1,
            decode: time,
            offset: self.offset,
            duration: self.frame + self.guess,
            is_sync,
            is_timed: true,
            moment: Some(Moment::Captured(nanos + self.offset * 100_000 / 9)),
            bytes: Bytes::from(format!("[v{}{}]", self.frames, if is_sync { "K" } else { "" })),
        }
    }

    pub(super) fn sound(&self) -> Piece {
        let begin = self.begin * u64::from(self.rate) / 90_000;
        Piece {
            track: 2,
            decode: begin + self.sounds * 1024,
            offset: 0,
            duration: 1024,
            is_sync: true,
            is_timed: true,
            moment: Some(Moment::Captured(
                1_700_000_000_000_000_000 + i64::try_from(self.begin * 100_000 / 9).unwrap(),
            )),
            bytes: Bytes::from(format!("[a{}]", self.sounds)),
        }
    }

    /// The playlist of a rendition as text.
    pub(super) fn text(&self, name: &str, skips: bool) -> Option<String> {
        let rendition = self.stream.rendition(name)?;
        let names = hls::Names { rendition: rendition.track.name, extension: ".m4s", query: "", keys: None };
        hls::media(&self.stream, rendition, names, skips)
    }

    pub(super) fn list(&self, name: &str) -> Option<Playlist> {
        self.text(name, false).map(|text| Playlist::parse(&text))
    }

    /// Checks all playlists, also against those before.
    pub(super) fn check(&mut self) {
        if !self.stream.is_ready() {
            return;
        }
        for (place, name) in ["v0", "a0"].into_iter().enumerate() {
            let Some(list) = self.list(name) else { continue };
            list.check();
            if let Some(before) = &self.lists[place] {
                list.check_after(before);
            }
            if let Some(text) = self.text(name, true) {
                let delta = Playlist::parse(&text);
                delta.check();
                let full = &list.segments[usize::try_from(delta.skipped).unwrap()..];
                // The header, too: not every player knows it from the skipped segments.
                let parts = |segments: &[playlist::Segment]| {
                    segments.iter().map(|one| (one.uri.clone(), one.map.clone())).collect::<Vec<_>>()
                };
                assert_eq!((delta.sequence, parts(&delta.segments)), (list.sequence, parts(full)));
            }
            self.lists[place] = Some(list);
        }
    }
}
