//! The segments and parts of one rendition: those of the window, and the one that is being made.

use super::{
    piece::{Piece, TrackHeader},
    settings::Settings,
};
use crate::media::{MediaKind, Time};
use bytes::Bytes;
use std::{collections::VecDeque, time::Duration};

/// Most pieces in a part. More would be a part that never ends.
const MAX_PIECES: usize = 4096;
/// Most headers that are kept.
const MAX_HEADERS: usize = 16;

/// One track, or several that are muxed together, as segments.
#[derive(Debug)]
pub struct Rendition {
    /// What its header says.
    pub track: TrackHeader,
    /// It came when the others had segments already.
    pub(super) is_late: bool,
    /// Headers, oldest first.
    headers: VecDeque<Header>,
    /// Complete segments, numbered without a gap. The oldest ones are not listed any more.
    segments: VecDeque<Segment>,
    open: Option<Segment>,
    part: Option<Part>,
    next_part: u64,
    /// Number of the first segment that is listed.
    first_listed: u64,
    /// Discontinuities of segments that are not listed any more.
    unlisted_discontinuities: u64,
    tempo: Tempo,
    last: Option<Last>,
    bytes: usize,
    /// Highest bit rate of a segment of usual length.
    peak: u64,
    total_bytes: u64,
    total_time: Duration,
}

/// The header of some segments.
#[derive(Debug, Clone)]
pub struct Header {
    /// Number of the first segment that it is for.
    pub number: u64,
    /// When that begins, in nanoseconds of the timeline that all renditions share.
    pub time: i64,
    /// The header.
    pub bytes: Bytes,
}

/// A segment. All times are in ticks of the rendition at that time.
#[derive(Debug, Clone)]
pub struct Segment {
    /// The media sequence number.
    pub number: u64,
    /// Number of the first segment that has the same header.
    pub header: u64,
    /// When its first sample is decoded.
    pub start: u64,
    /// When its first sample is shown.
    pub shown: u64,
    /// How long it lasts; of a segment that is not complete, its complete parts.
    pub duration: u64,
    /// Ticks a second.
    pub timescale: u32,
    /// Its complete parts.
    pub parts: Vec<Part>,
    /// It begins with a keyframe.
    pub is_independent: bool,
    /// What is before it does not continue in it.
    pub is_discontinuity: bool,
    /// There is no media for it.
    pub is_gap: bool,
    /// Nanoseconds since 1970 of its first sample.
    pub date: Option<i64>,
    /// Bytes of its complete parts.
    pub bytes: usize,
}

/// A part of a segment.
#[derive(Debug, Clone)]
pub struct Part {
    /// Numbered through over all segments, so that the name of the next one is known before its segment.
    pub number: u64,
    /// When its first sample is decoded, in ticks.
    pub start: u64,
    /// How long it lasts, in ticks.
    pub duration: u64,
    /// It begins with a keyframe.
    pub is_independent: bool,
    /// Its packets.
    pub pieces: Vec<Bytes>,
    /// Their length.
    pub bytes: usize,
}

/// How a segment begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opening {
    pub(super) number: u64,
    pub(super) header: u64,
    pub(super) is_discontinuity: bool,
    pub(super) date: Option<i64>,
}

/// The last piece.
#[derive(Debug, Clone, Copy)]
pub(super) struct Last {
    pub(super) decode: u64,
    pub(super) duration: u32,
}

/// How long parts are. Constant from the first playlist on.
#[derive(Debug, Default, Clone, Copy)]
struct Tempo {
    /// Most ticks of a part, and the same in milliseconds as playlists say it; `None` before the first part.
    limit: Option<(u64, u64)>,
    /// The shortest and the longest step between two pieces before that.
    steps: Option<(u64, u64)>,
}

impl Segment {
    /// Its packets, in order.
    pub fn pieces(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter().flat_map(|part| &part.pieces)
    }

    /// Its packets are not here any more: a recording has it.
    pub fn is_stored(&self) -> bool {
        self.parts.is_empty() && !self.is_gap
    }

    /// How long it lasts.
    pub fn length(&self) -> Duration {
        length(self.duration, self.timescale)
    }
}

/// So many ticks as time.
pub(super) fn length(ticks: u64, timescale: u32) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(timescale.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

impl Rendition {
    /// Without segments; parts are numbered from `first_part` on.
    pub(super) fn new(track: TrackHeader, first_part: u64) -> Self {
        Self {
            track,
            is_late: false,
            headers: VecDeque::new(),
            segments: VecDeque::new(),
            open: None,
            part: None,
            next_part: first_part,
            first_listed: 0,
            unlisted_discontinuities: 0,
            tempo: Tempo::default(),
            last: None,
            bytes: 0,
            peak: 0,
            total_bytes: 0,
            total_time: Duration::ZERO,
        }
    }

    /// The segments that playlists list, oldest first, without the one that is being made.
    pub fn listed(&self) -> impl DoubleEndedIterator<Item = &Segment> + Clone {
        self.segments.iter().filter(|segment| segment.number >= self.first_listed)
    }

    /// The segment that is being made.
    pub fn open(&self) -> Option<&Segment> {
        self.open.as_ref()
    }

    /// Number of the newest complete segment.
    pub fn newest(&self) -> Option<u64> {
        self.segments.back().map(|segment| segment.number)
    }

    /// A complete segment that is still there.
    pub fn segment(&self, number: u64) -> Option<&Segment> {
        let first = self.segments.front()?.number;
        self.segments.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// A complete part that is still there.
    pub fn part(&self, number: u64) -> Option<&Part> {
        let parts = self.open.iter().chain(self.segments.iter().rev());
        let of_segment = |segment: &Segment| segment.parts.last().is_some_and(|last| last.number >= number);
        let segment = parts.take_while(|segment| segment.parts.last().is_none_or(|last| last.number >= number));
        let segment = segment.filter(|segment| of_segment(segment)).last()?;
        segment.parts.iter().find(|part| part.number == number)
    }

    /// Number of the part that is made next.
    pub fn next_part(&self) -> u64 {
        self.next_part
    }

    /// The header of segments from this number on.
    pub fn header(&self, number: u64) -> Option<&Bytes> {
        self.headers.iter().find(|header| header.number == number).map(|header| &header.bytes)
    }

    /// All headers of segments that are there, oldest first.
    pub fn headers(&self) -> impl Iterator<Item = &Header> {
        self.headers.iter()
    }

    /// `EXT-X-DISCONTINUITY-SEQUENCE`.
    pub fn unlisted_discontinuities(&self) -> u64 {
        self.unlisted_discontinuities
    }

    /// The longest part in milliseconds; `None` before the first one.
    pub fn part_target(&self) -> Option<u64> {
        self.tempo.limit.map(|(_, millis)| millis)
    }

    /// Highest and average bits a second so far.
    pub fn bandwidth(&self) -> (u64, u64) {
        let average = u128::from(self.total_bytes) * 8_000_000_000 / self.total_time.as_nanos().max(1);
        let average = u64::try_from(average).unwrap_or(u64::MAX).max(1);
        (self.peak.max(average), average)
    }

    /// Frames in 1000 seconds of video with a constant rate.
    pub fn frame_rate(&self) -> Option<u64> {
        let duration = self.last.filter(|_| self.track.kind == MediaKind::Video)?.duration;
        Some((u64::from(self.track.timescale) * 1000 + u64::from(duration) / 2) / u64::from(duration.max(1)))
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn last(&self) -> Option<Last> {
        self.last
    }

    /// Nanoseconds on the timeline that all tracks share.
    pub(super) fn nanos(&self, ticks: u64) -> i64 {
        Time::from_ticks(i64::try_from(ticks).unwrap_or(i64::MAX), self.track.timescale).nanos()
    }

    /// What follows has another header; it is for segments from this number on, of which the first one begins at `time`.
    pub(super) fn set_header(&mut self, track: TrackHeader, number: u64, time: i64) {
        self.headers.push_back(Header { number, time, bytes: track.header.clone() });
        if self.headers.len() > MAX_HEADERS {
            self.headers.pop_front();
        }
        self.track = track;
        self.last = None;
    }

    /// Number of the newest header.
    pub(super) fn newest_header(&self) -> u64 {
        self.headers.back().map_or(0, |header| header.number)
    }

    /// Begins a segment with this piece.
    pub(super) fn begin_segment(&mut self, opening: Opening, piece: &Piece) {
        let shown = piece.decode.saturating_add_signed(piece.offset);
        if self.newest().is_some_and(|newest| newest + 1 != opening.number) {
            self.clear();
        }
        self.open = Some(Segment {
            number: opening.number,
            header: opening.header,
            start: piece.decode,
            shown,
            duration: 0,
            timescale: self.track.timescale,
            parts: Vec::new(),
            is_independent: piece.is_sync,
            is_discontinuity: opening.is_discontinuity,
            is_gap: false,
            date: opening.date,
            bytes: 0,
        });
    }

    /// Appends a piece to the part that is being made; one that would be too long ends before.
    ///
    /// `is_torn`: it does not continue at the time of the one before, which the part ends with.
    pub(super) fn append(&mut self, piece: Piece, is_torn: bool, settings: &Settings) {
        if !piece.is_timed {
            if let Some(part) = &mut self.part {
                part.add(piece.bytes);
            }
            return;
        }
        // What a piece says of its length is a guess, which is too long for some time after a gap: the step before it is as good a guess.
        let step = self.last.filter(|_| !is_torn).map(|last| piece.decode.saturating_sub(last.decode));
        let step = step.and_then(|step| u32::try_from(step).ok()).filter(|step| *step > 0);
        let duration = step.map_or(piece.duration, |step| step.min(piece.duration));
        let in_part = self.part.as_ref().map(|part| piece.decode.saturating_sub(part.start));
        if let Some(elapsed) = in_part {
            if let Some(last) = self.last.filter(|_| !is_torn) {
                self.tempo.observe(piece.decode.saturating_sub(last.decode));
            }
            if let Some(last) = self.last.filter(|_| is_torn) {
                self.end_part(last.decode + u64::from(last.duration), settings);
            }
            let end = elapsed + u64::from(duration);
            let limit = self.part_limit(end, duration, settings);
            if limit.is_some_and(|limit| end > limit) || self.part.as_ref().is_some_and(Part::is_full) {
                self.end_part(piece.decode, settings);
            }
        }
        self.last = Some(Last { decode: piece.decode, duration });
        let (number, start, is_independent) = (self.next_part, piece.decode, piece.is_sync);
        let empty = || Part { number, start, duration: 0, is_independent, pieces: Vec::new(), bytes: 0 };
        self.part.get_or_insert_with(empty).add(piece.bytes);
    }

    /// Most ticks of a part, which is decided when the first one is about as long as it should be.
    fn part_limit(&mut self, end: u64, frame: u32, settings: &Settings) -> Option<u64> {
        let timescale = self.track.timescale;
        if self.tempo.limit.is_none() && length(end, timescale) > settings.part {
            self.tempo.decide(frame, timescale, self.track.kind, settings.part);
        }
        self.tempo.limit.map(|(ticks, _)| ticks)
    }

    /// The part that is being made is complete, because the next one begins at `end`.
    fn end_part(&mut self, end: u64, settings: &Settings) {
        if let Some(last) = self.last.filter(|_| self.part.is_some() && self.tempo.limit.is_none()) {
            self.tempo.decide(last.duration, self.track.timescale, self.track.kind, settings.part);
        }
        let (Some(mut part), Some(open)) = (self.part.take(), &mut self.open) else { return };
        // No part may be longer than was announced (RFC 8216bis, section 4.4.4.9), also where the source stood still within it.
        part.duration = end.saturating_sub(part.start).min(self.tempo.longest(self.track.timescale));
        open.duration = end.saturating_sub(open.start);
        open.bytes += part.bytes;
        self.bytes += part.bytes;
        self.next_part = part.number + 1;
        open.parts.push(part);
    }

    /// The segment that is being made is complete. `end`: when what follows begins; `None` when it does not continue.
    pub(super) fn end_segment(&mut self, end: Option<u64>, settings: &Settings) {
        let Some(last) = self.last else { return };
        let end = end.unwrap_or(last.decode + u64::from(last.duration));
        self.end_part(end, settings);
        let Some(segment) = self.open.take() else { return };
        let time = segment.length();
        self.total_bytes += segment.bytes as u64;
        self.total_time += time;
        if time >= Duration::from_millis(500) {
            let bits = segment.bytes as u128 * 8_000_000_000 / time.as_nanos().max(1);
            self.peak = self.peak.max(u64::try_from(bits).unwrap_or(u64::MAX));
        }
        self.add(segment);
    }

    /// There is no media for this segment, which lasts for so many nanoseconds.
    pub(super) fn skip_segment(&mut self, opening: Opening, start: i64, nanos: i64) {
        let timescale = self.track.timescale;
        let ticks = |nanos: i64| u64::try_from(Time::from_nanos(nanos).ticks(timescale)).unwrap_or(0);
        self.add(Segment {
            number: opening.number,
            header: opening.header,
            start: ticks(start),
            shown: ticks(start),
            duration: ticks(nanos),
            timescale,
            parts: Vec::new(),
            is_independent: true,
            is_discontinuity: opening.is_discontinuity,
            is_gap: true,
            date: opening.date,
            bytes: 0,
        });
    }

    /// Players cannot continue: nothing is listed for some numbers.
    fn clear(&mut self) {
        let listed = self.listed().filter(|segment| segment.is_discontinuity).count();
        self.unlisted_discontinuities += listed as u64;
        self.bytes = 0;
        self.segments.clear();
    }

    fn add(&mut self, segment: Segment) {
        if self.segments.is_empty() {
            self.first_listed = segment.number;
        }
        self.segments.push_back(segment);
    }

    /// Drops what is older than the window, or more than `max_bytes`. What leaves the playlist is kept for `grace`, for
    /// players that read an older playlist.
    pub(super) fn trim(&mut self, window: Duration, grace: Duration, max_bytes: usize) {
        let mut listed = self.unlist_while(|_, rest| rest >= window);
        let mut kept: Duration = self.segments.iter().map(Segment::length).sum();
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.front() else { break };
            let rest = kept.saturating_sub(oldest.length());
            if self.bytes <= max_bytes && (oldest.number >= self.first_listed || rest < listed + grace) {
                break;
            }
            if oldest.number >= self.first_listed {
                listed = listed.saturating_sub(oldest.length());
                self.unlist();
            }
            kept = rest;
            if let Some(oldest) = self.segments.pop_front() {
                self.bytes -= oldest.bytes;
            }
        }
        self.drop_headers();
    }

    /// Lists nothing from before this segment, as long as `least` is listed.
    pub(super) fn unlist_before(&mut self, number: u64, least: Duration) {
        self.unlist_while(|oldest, rest| oldest.number < number && rest >= least);
    }

    /// Lists segments no more, oldest first, while this holds of the oldest one and of how much is listed without it. Returns how much
    /// is listed then.
    fn unlist_while(&mut self, holds: impl Fn(&Segment, Duration) -> bool) -> Duration {
        let mut listed: Duration = self.listed().map(Segment::length).sum();
        loop {
            let oldest = self.listed().next().map(|oldest| (oldest, listed.saturating_sub(oldest.length())));
            let Some((_, rest)) = oldest.filter(|(oldest, rest)| holds(oldest, *rest)) else { return listed };
            listed = rest;
            self.unlist();
        }
    }

    /// Headers that no segment has any more.
    fn drop_headers(&mut self) {
        let used = self.segments.front().map_or(0, |segment| segment.header);
        while self.headers.get(1).is_some_and(|header| header.number <= used) {
            self.headers.pop_front();
        }
    }

    /// As [`Self::trim`], where recordings have what is dropped: the packets of segments beyond `window` and `grace` go, the segments
    /// are listed for `dvr`.
    pub(super) fn trim_to_recordings(&mut self, dvr: Duration, window: Duration, grace: Duration, max_bytes: usize) {
        let mut after = Duration::ZERO;
        let mut bytes = 0;
        for segment in self.segments.iter_mut().rev() {
            after += segment.length();
            bytes += segment.bytes;
            let is_newest = after == segment.length();
            if !is_newest && (after > window + grace || bytes > max_bytes) && !segment.parts.is_empty() {
                self.bytes -= segment.bytes;
                segment.bytes = 0;
                segment.parts = Vec::new();
            }
        }
        let listed = self.unlist_while(|_, rest| rest >= dvr);
        let mut kept: Duration = self.segments.iter().map(Segment::length).sum();
        while let Some(oldest) = self.segments.front().filter(|oldest| oldest.number < self.first_listed) {
            let rest = kept.saturating_sub(oldest.length());
            if rest < listed + grace {
                break;
            }
            kept = rest;
            self.bytes -= oldest.bytes;
            self.segments.pop_front();
        }
        self.drop_headers();
    }

    /// Lists what was before the first segment and is in recordings, with the header of that one.
    pub(super) fn extend_back(&mut self, past: Vec<Segment>) {
        let Some(first) = past.first() else { return };
        let number = first.number;
        let time = self.nanos(first.start);
        if let Some(header) = self.headers.front_mut() {
            let old = std::mem::replace(&mut header.number, number);
            header.time = time;
            let segments = self.segments.iter_mut().chain(&mut self.open);
            segments.filter(|segment| segment.header == old).for_each(|segment| segment.header = number);
        }
        self.first_listed = number;
        past.into_iter().rev().for_each(|segment| self.segments.push_front(Segment { header: number, ..segment }));
    }

    /// The oldest segment, also if it is not complete.
    pub(super) fn oldest_mut(&mut self) -> Option<&mut Segment> {
        self.segments.front_mut().or(self.open.as_mut())
    }

    fn unlist(&mut self) {
        let first = self.first_listed;
        let is_discontinuity = self.segment(first).is_some_and(|segment| segment.is_discontinuity);
        self.unlisted_discontinuities += u64::from(is_discontinuity);
        self.first_listed += 1;
    }
}

impl Part {
    fn add(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.pieces.push(bytes);
    }

    fn is_full(&self) -> bool {
        self.pieces.len() >= MAX_PIECES
    }
}

impl Tempo {
    fn observe(&mut self, step: u64) {
        if self.limit.is_none() {
            let (least, most) = self.steps.unwrap_or((step, step));
            self.steps = Some((least.min(step), most.max(step)));
        }
    }

    /// Most ticks that a playlist may say a part has.
    fn longest(&self, timescale: u32) -> u64 {
        self.limit.map_or(u64::MAX, |(_, millis)| millis.saturating_mul(u64::from(timescale)) / 1000)
    }

    /// As many frames as come closest to `part`; of audio, whose frames may be longer than those of the video, not more than
    /// it. Frames that do not come evenly get room, so that a part is never longer than was announced.
    fn decide(&mut self, frame: u32, timescale: u32, kind: MediaKind, part: Duration) {
        let frame = u64::from(frame.max(1));
        let wanted = part.as_nanos() * u128::from(timescale.max(1)) / 1_000_000_000;
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        let rounding = if kind == MediaKind::Video { frame / 2 } else { 0 };
        let frames = ((wanted + rounding) / frame).max(1);
        let exact = frames * frame;
        let jitter = self.steps.map_or(0, |(least, most)| most.saturating_sub(least));
        // A tick or two is rounding of the clock, and within the rounding of the target.
        let (limit, target) = match jitter <= frame / 100 + 2 {
            true => (exact + 2, exact),
            false => (exact + jitter.min(frame / 2), exact + jitter.min(frame / 2)),
        };
        let millis = (u128::from(target) * 1000).div_ceil(u128::from(timescale.max(1)));
        self.limit = Some((limit, u64::try_from(millis).unwrap_or(u64::MAX)));
    }
}
