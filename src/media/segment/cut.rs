//! When segments begin, in all renditions of a stream.
//!
//! The track that leads decides: the first video track, else the audio. A segment ends with the first keyframe after the time
//! that it should last. An audio track ends its segment before the frame that is heard when that keyframe is decoded: a player that
//! begins with a segment of video needs one segment of the audio for it, not the last part of the one before too. So audio waits
//! for the video, as long as it is little. Segments of one number have the same content. What leads asks for a keyframe when none
//! comes by itself; where none comes then either, as of a camera that encodes itself, the longest segment is decided by the first
//! one, before anybody has seen a playlist.
//!
//! Other video tracks are of other encoders of the same frames. They are asked for a keyframe at the same time as the one that leads,
//! some time before, so that it is the same frame in all of them; each ends its segment with that keyframe. What they deliver waits
//! until the track that leads has come to the same time.

use super::{
    clock::MediaClock,
    past::{First, PastSegment},
    piece::{Piece, TrackHeader},
    rendition::{Opening, Rendition, length},
    section::{Begin, Section, Sections, Usual},
    settings::Settings,
    step::{self, Step},
};
use crate::media::{MediaKind, Time};
use std::{collections::VecDeque, time::Duration};

/// 2025-01-01, in milliseconds since 1970: numbers count from there, so that they stay small.
const NUMBERS_SINCE: u128 = 1_735_689_600_000;
/// What `EXTINF` may have beyond the target duration, to which it is rounded (RFC 8216, section 4.3.3.1), less some frames.
const BEYOND_TARGET: Duration = Duration::from_millis(450);
/// A first segment without a second keyframe ends then: players give up on a playlist after 10 s.
const LONGEST_FIRST: Duration = Duration::from_secs(7);
/// Segments of so much time in all are enough for a first playlist, however few they are.
const ENOUGH: Duration = Duration::from_secs(1);
/// The first segment is this part of a part.
const SHORTEST: u64 = 3;
/// After the first segment, a keyframe is asked for no more often.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A keyframe that is so late after it was requested does not come: an encoder on a busy machine takes less.
const LATEST: Duration = Duration::from_millis(500);
/// Segments of one track that another one may be behind.
const MAX_CUTS: usize = 64;

/// Cuts the tracks of one stream.
#[derive(Debug)]
pub struct Segmenter {
    settings: Settings,
    renditions: Vec<Rendition>,
    /// Number of the track that leads, and its place among the renditions.
    lead: Option<(u32, usize)>,
    /// The newest segments of the track that leads.
    cuts: VecDeque<Cut>,
    sections: Sections,
    /// The header of what comes next.
    pending: Option<Vec<TrackHeader>>,
    /// The newest header.
    tracks: Vec<TrackHeader>,
    is_interrupted: bool,
    target: Option<u64>,
    /// Number of the first segment that was made.
    first_number: u64,
    next_number: u64,
    first_part: u64,
    clock: MediaClock,
    /// How long the complete segments are in all. The one that is being made is to be almost as long, up to the usual length.
    so_far: Duration,
    /// Date of time 0, by the first segment, in nanoseconds since 1970.
    began: Option<i64>,
    /// When a keyframe was asked for, in ticks of the track that leads.
    asked: Option<u64>,
    /// Pieces of other tracks that are ahead of the one that leads, in the order they came.
    held: VecDeque<Piece>,
    /// Segments and parts that were completed since they were counted.
    made: (u64, u64),
    /// Nothing is listed before it is known what recordings have.
    awaits_past: bool,
    /// The longest segment of the past, in whole seconds.
    least_target: u64,
    /// Grows with each change.
    version: u64,
    /// The same of what requests for video and for audio wait for.
    versions: [u64; 2],
    is_listed: bool,
    /// Players have a manifest.
    is_shown: bool,
    /// What comes is new, and not of before anybody asked for segments.
    is_live: bool,
}

/// When a keyframe should come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// As early as possible.
    Soon,
    /// With the first frame that is captured so long after the piece that was pushed.
    In(Duration),
}

/// The begin of a segment of the track that leads.
#[derive(Debug, Clone, Copy)]
struct Cut {
    number: u64,
    /// Decode time of its first sample, in nanoseconds.
    time: i64,
    is_discontinuity: bool,
    date: Option<i64>,
}

impl Segmenter {
    /// Without segments. Numbers begin at `now`, the time since 1970, so that a restarted server does not use one again.
    pub fn new(settings: Settings, now: Duration) -> Self {
        // A quarter of the time: the first segments are short, and each has a part that is short.
        let first = |unit: Duration| {
            let quarters = (unit.as_millis() / 4).max(1);
            u64::try_from(now.as_millis().saturating_sub(NUMBERS_SINCE) / quarters).unwrap_or(0)
        };
        Self {
            renditions: Vec::new(),
            lead: None,
            cuts: VecDeque::new(),
            sections: Sections::default(),
            pending: None,
            tracks: Vec::new(),
            is_interrupted: false,
            target: None,
            first_number: first(settings.segment),
            next_number: first(settings.segment),
            first_part: first(settings.part),
            clock: MediaClock::default(),
            so_far: Duration::ZERO,
            began: None,
            asked: None,
            held: VecDeque::new(),
            made: (0, 0),
            awaits_past: settings.dvr.is_some(),
            least_target: 0,
            version: 0,
            versions: [0, 0],
            is_listed: false,
            is_shown: false,
            is_live: true,
            settings,
        }
    }

    /// The renditions, the one that leads first among those that came together.
    pub fn renditions(&self) -> &[Rendition] {
        &self.renditions
    }

    /// The rendition with this name.
    pub fn rendition(&self, name: &str) -> Option<&Rendition> {
        self.renditions.iter().find(|rendition| rendition.track.name == name)
    }

    /// Whether a rendition still gets media.
    pub fn is_live(&self, rendition: &Rendition) -> bool {
        self.tracks.iter().any(|track| track.name == rendition.track.name)
    }

    /// Whether nothing was made before the segment with this number.
    pub fn is_first(&self, number: u64) -> bool {
        number == self.first_number
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// `EXT-X-TARGETDURATION`, in seconds; `None` before the first segment is complete.
    pub fn target(&self) -> Option<u64> {
        self.target
    }

    /// Whether each rendition has enough to list: a complete segment and, where there are parts, three segments or
    /// [`ENOUGH`]. shaka looks for captions in three segments, and fails on the address of one that is not complete.
    pub fn is_ready(&self) -> bool {
        let least = if self.settings.has_parts && self.so_far < ENOUGH { 3 } else { 1 };
        let has_enough = |track: &TrackHeader| {
            self.rendition(track.name).is_some_and(|found| found.is_late || found.listed().nth(least - 1).is_some())
        };
        !self.awaits_past && self.target.is_some() && !self.tracks.is_empty() && self.tracks.iter().all(has_enough)
    }

    /// The date of time 0 of the media, in nanoseconds since 1970. It is that of the first segment for as long as there are
    /// segments, whatever the clock does.
    pub fn began(&self) -> Option<i64> {
        self.began
    }

    /// How the first segment begins, as long as it is not known what was before.
    pub fn first(&self) -> Option<First> {
        let (_, place) = self.lead.filter(|_| self.awaits_past)?;
        let rendition = self.renditions.get(place)?;
        let oldest = rendition.listed().next().or(rendition.open())?;
        Some(First {
            number: oldest.number,
            start: oldest.start,
            timescale: oldest.timescale,
            date: self.date_of(rendition.nanos(oldest.start)),
            headers: self.renditions.iter().map(|found| found.track.clone()).collect(),
        })
    }

    fn date_of(&self, time: i64) -> Option<i64> {
        Some(self.began?.saturating_add(time))
    }

    /// What recordings have from before the segment `first`, oldest first; nothing if there is another first segment by now.
    pub fn extend_back(&mut self, first: u64, past: &[PastSegment]) {
        let Some(found) = self.first() else { return };
        self.awaits_past = false;
        self.changed(None);
        if found.number != first || past.is_empty() {
            return;
        }
        let begin = first.saturating_sub(past.len() as u64);
        let seconds = past.iter().map(|segment| segment.seconds().round() as u64).max().unwrap_or(0);
        self.least_target = seconds;
        self.target = self.target.map(|target| target.max(seconds));
        let ends = past.last().map_or(0, |last| last.time.saturating_add(last.nanos));
        let starts = Time::from_ticks(i64::try_from(found.start).unwrap_or(i64::MAX), found.timescale).nanos();
        let is_torn = starts.saturating_sub(ends) > step::GAP.as_nanos() as i64;
        for rendition in &mut self.renditions {
            if let Some(oldest) = rendition.oldest_mut().filter(|_| is_torn) {
                oldest.is_discontinuity = true;
            }
            let (name, timescale) = (rendition.track.name, rendition.track.timescale);
            let numbered = (begin..).zip(past);
            rendition.extend_back(numbered.map(|(number, segment)| segment.of(name, timescale, number)).collect());
        }
    }

    /// Where the distance of segments becomes constant or ceases to be, oldest first. What is before the first one is not.
    pub fn sections(&self) -> impl Iterator<Item = &Section> {
        self.sections.iter()
    }

    /// Players have a manifest: what it says of the past must hold.
    pub fn set_shown(&mut self) {
        self.is_shown = true;
    }

    /// Whether the pieces that follow are new: others were encoded before keyframes were requested.
    pub fn set_live(&mut self, is_live: bool) {
        self.is_live = is_live;
    }

    /// Whether it is known if the first segments come at a constant distance.
    pub fn is_decided(&self) -> bool {
        self.sections.is_decided()
    }

    /// Number of the first one of the short segments at the begin that are the segment with this number where segments come at a
    /// constant distance; the same number for all others.
    pub fn begin_of(&self, number: u64) -> u64 {
        let is_it = |section: &&Section| section.first == number && section.distance.is_some();
        self.sections().find(is_it).map_or(number, |section| section.begins)
    }

    /// Grows with each complete part, segment, and change of the renditions.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The same of what requests for video and for audio wait for. All are the same until there is something to list.
    pub fn versions(&self) -> [u64; 2] {
        self.versions
    }

    /// Something changed: of this kind of track, or of all.
    fn changed(&mut self, kind: Option<MediaKind>) {
        self.version += 1;
        let is_ready = self.is_ready();
        let was_listed = std::mem::replace(&mut self.is_listed, is_ready);
        let kind = kind.filter(|_| was_listed && self.is_listed);
        let [video, audio] = &mut self.versions;
        *video += u64::from(kind != Some(MediaKind::Audio));
        *audio += u64::from(kind != Some(MediaKind::Video));
    }

    /// The header of the pieces that follow. One that is known changes nothing, and video tracks that only come in addition change
    /// nothing for the others.
    pub fn begin(&mut self, tracks: Vec<TrackHeader>) {
        let is_known = |track: &TrackHeader| self.tracks.contains(track);
        let is_more = |track: &TrackHeader| {
            is_known(track)
                || (track.kind == MediaKind::Video && self.tracks.iter().all(|known| known.name != track.name))
        };
        let are_more = self.lead.is_some()
            && lead(&tracks) == lead(&self.tracks)
            && self.tracks.iter().all(|known| tracks.contains(known))
            && tracks.iter().all(is_more);
        if are_more && self.tracks != tracks {
            self.add_tracks(tracks);
            self.pending = None;
        } else {
            self.pending = (self.tracks != tracks).then_some(tracks);
        }
    }

    /// Some of these video tracks are new.
    fn add_tracks(&mut self, tracks: Vec<TrackHeader>) {
        let lead = self.lead.and_then(|(_, lead)| self.renditions.get(lead));
        let (number, time) =
            lead.and_then(|lead| lead.headers().last()).map_or((0, 0), |last| (last.number, last.time));
        for track in &tracks {
            if self.renditions.iter().all(|known| known.track.name != track.name) {
                let mut rendition = Rendition::new(track.clone(), self.first_part);
                rendition.set_header(track.clone(), number, time);
                rendition.is_late = true;
                self.renditions.push(rendition);
            }
        }
        self.tracks = tracks;
        self.changed(None);
    }

    /// Pieces were lost: what follows does not continue what was before.
    pub fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Takes the next piece. Returns when a keyframe should come, of all video tracks, if it should be asked for.
    pub fn push(&mut self, piece: Piece) -> Option<Wish> {
        if let Some(lead) = self.pending.as_deref().map(lead) {
            if lead.is_none_or(|lead| lead.number != piece.track) {
                return None;
            }
            // What was known late begins with a keyframe all the same.
            if lead.is_some_and(|lead| lead.kind == MediaKind::Video) && !(piece.is_sync && piece.is_timed) {
                return Some(Wish::Soon);
            }
            self.changed(None);
            let tracks = self.pending.take()?;
            return self.change_tracks(tracks, &piece);
        }
        if self.lead.is_none_or(|(number, _)| number != piece.track) {
            self.hold(piece);
            return None;
        }
        let (_, place) = self.lead?;
        let before = self.renditions.get(place).map(progress);
        let wish = self.push_lead(place, piece);
        self.count(place, before);
        self.release();
        wish
    }

    /// Counts what was completed of a rendition since then.
    fn count(&mut self, place: usize, before: Option<(u64, Option<u64>)>) {
        let rendition = self.renditions.get(place);
        let (kind, after) = (rendition.map(|rendition| rendition.track.kind), rendition.map(progress));
        if after != before {
            self.changed(kind);
        }
        if let (Some((parts_before, newest_before)), Some((parts, newest))) = (before, after) {
            let (segments, new_parts) = self.made;
            let new_segments =
                newest.map_or(0, |newest| newest_before.map_or(1, |before| newest.saturating_sub(before)));
            self.made = (segments + new_segments, new_parts + parts.saturating_sub(parts_before));
        }
    }

    /// Segments and parts that were completed since this was last asked.
    pub fn take_made(&mut self) -> (u64, u64) {
        std::mem::take(&mut self.made)
    }

    fn place_of(&self, number: u32) -> Option<usize> {
        let track = self.tracks.iter().find(|track| track.number == number)?;
        self.renditions.iter().position(|found| found.track.name == track.name)
    }

    /// The piece has another header than those before it.
    fn change_tracks(&mut self, tracks: Vec<TrackHeader>, piece: &Piece) -> Option<Wish> {
        self.release_audio();
        let number = self.next_number;
        let is_first = self.cuts.is_empty();
        for rendition in &mut self.renditions {
            rendition.end_segment(None, &self.settings);
        }
        let rate_of_lead = lead(&tracks).map_or(1, |track| track.timescale);
        let time = Time::from_ticks(i64::try_from(piece.decode).unwrap_or(i64::MAX), rate_of_lead).nanos();
        // Segments of all renditions have the same numbers: who is behind has none of those between.
        for place in 0..self.renditions.len() {
            self.skip_to(place, number);
        }
        for track in &tracks {
            let known = self.renditions.iter_mut().find(|rendition| rendition.track.name == track.name);
            match known {
                Some(rendition) => rendition.set_header(track.clone(), number, time),
                None => {
                    let mut rendition = Rendition::new(track.clone(), self.first_part);
                    rendition.set_header(track.clone(), number, time);
                    self.renditions.push(rendition);
                }
            }
        }
        let lead = lead(&tracks).map(|track| (track.number, track.name));
        self.lead = lead.and_then(|(number, name)| {
            Some((number, self.renditions.iter().position(|rendition| rendition.track.name == name)?))
        });
        self.tracks = tracks;
        let (_, place) = self.lead?;
        self.begin_lead(place, piece.clone(), !is_first)
    }

    /// How long a segment should last that began then, in ticks. The first ones are short, so that players begin early, and grow.
    fn wanted(&self, number: u64, shown: u64, timescale: u32) -> Duration {
        if let Some(ticks) = self.sections.wanted(number, shown, self.usual(timescale)) {
            return length(ticks, timescale);
        }
        let so_far = self.so_far.saturating_sub(self.settings.part);
        self.settings.segment.min(so_far.max(self.settings.part))
    }

    /// How long segments should be, in ticks.
    fn usual(&self, timescale: u32) -> Usual {
        let videos = self.tracks.iter().filter(|track| track.kind == MediaKind::Video).count();
        let part = ticks(self.settings.part, timescale);
        // Three of them are there soon. Several encoders need some time to make the same frame a keyframe.
        let shortest = if videos > 1 { part } else { part / SHORTEST };
        Usual { segment: ticks(self.settings.segment, timescale), shortest }
    }

    fn push_lead(&mut self, place: usize, piece: Piece) -> Option<Wish> {
        let is_interrupted = std::mem::take(&mut self.is_interrupted);
        let open = self.renditions.get(place)?.open();
        let wanted = open.map(|open| self.wanted(open.number, open.shown, open.timescale)).unwrap_or_default();
        let rendition = self.renditions.get_mut(place)?;
        if !piece.is_timed {
            rendition.append(piece, false, &self.settings);
            return None;
        }
        let timescale = rendition.track.timescale;
        let step = Step::of(rendition.last(), &piece, timescale);
        if step == Step::Repeated {
            self.is_interrupted = is_interrupted;
            return None;
        }
        if step == Step::Torn || (is_interrupted && step != Step::Continues) {
            rendition.end_segment(None, &self.settings);
            self.close_segment(place);
            return self.begin_lead(place, piece, true);
        }
        let Some(open) = rendition.open() else {
            return self.begin_lead(place, piece, false);
        };
        let half = u64::from(piece.duration / 2);
        let elapsed = piece.decode.saturating_sub(open.start);
        let is_long_enough = length(elapsed + half, timescale) >= wanted;
        let end = length(elapsed + u64::from(piece.duration), timescale);
        let most = self.target.map_or(LONGEST_FIRST, |target| Duration::from_secs(target) + BEYOND_TARGET);
        if (piece.is_sync && is_long_enough) || end > most {
            rendition.end_segment(Some(piece.decode), &self.settings);
            self.close_segment(place);
            return self.begin_lead(place, piece, false);
        }
        let has_video = rendition.track.kind == MediaKind::Video;
        let now = piece.decode;
        if self.is_live && length(elapsed, timescale).saturating_sub(wanted) > LATEST {
            self.sections.lacks_keyframe();
        }
        let may_ask = self.asked.is_none_or(|asked| length(now.saturating_sub(asked), timescale) >= ASK_AGAIN);
        rendition.append(piece, false, &self.settings);
        let asks = has_video && is_long_enough && may_ask;
        if asks {
            self.asked = Some(now);
        }
        asks.then_some(Wish::Soon)
    }

    /// Begins the next segment of all renditions, and asks for the keyframe that ends it.
    fn begin_lead(&mut self, place: usize, piece: Piece, is_discontinuity: bool) -> Option<Wish> {
        let number = self.next_number;
        self.next_number += 1;
        self.asked = None;
        let rendition = self.renditions.get(place)?;
        let (header, timescale) = (rendition.newest_header(), rendition.track.timescale);
        let shown_ticks = piece.decode.saturating_add_signed(piece.offset);
        let sample = u64::from(piece.duration);
        let Self { is_shown, is_live, .. } = *self;
        let begin =
            Begin { number, header, shown: shown_ticks, timescale, sample, is_discontinuity, is_shown, is_live };
        let usual = self.usual(timescale);
        self.sections.open(&begin, newest_lengths(rendition), usual);
        if let Some(oldest) = rendition.listed().next() {
            self.sections.forget(oldest.number);
        }
        let half = length(u64::from(piece.duration / 2), timescale);
        let wanted = self.wanted(number, shown_ticks, timescale);
        let rendition = self.renditions.get_mut(place)?;
        let wish = (rendition.track.kind == MediaKind::Video).then_some(Wish::In(wanted.saturating_sub(half)));
        if is_discontinuity {
            self.clock.reset();
        }
        let shown = rendition.nanos(shown_ticks);
        if let Some(moment) = piece.moment {
            self.clock.observe(shown, moment);
        }
        let time = rendition.nanos(piece.decode);
        self.began = self.began.or(self.clock.date(0));
        self.cuts.push_back(Cut { number, time, is_discontinuity, date: self.clock.date(time) });
        if self.cuts.len() > MAX_CUTS {
            self.cuts.pop_front();
        }
        let opening = Opening { number, header, is_discontinuity, date: self.clock.date(shown) };
        rendition.begin_segment(opening, &piece);
        rendition.append(piece, false, &self.settings);
        wish
    }

    /// A segment of the track that leads is complete.
    fn close_segment(&mut self, place: usize) {
        let Some(rendition) = self.renditions.get(place) else { return };
        let length =
            rendition.newest().and_then(|newest| Some(rendition.segment(newest)?.length())).unwrap_or_default();
        let target =
            *self.target.get_or_insert_with(|| target_of(self.settings.segment, length).max(self.least_target));
        self.so_far = self.so_far.saturating_add(length);
        self.trim(Duration::from_secs(target));
    }

    fn trim(&mut self, target: Duration) {
        let window = self.settings.window.max(target * 3);
        let live = self.renditions.len().max(1);
        for rendition in &mut self.renditions {
            let most = self.settings.max_bytes / live;
            match self.settings.dvr {
                Some(dvr) => rendition.trim_to_recordings(dvr.max(window), window, target * 2, most),
                None => rendition.trim(window, target * 2, most),
            }
        }
        // All list the same, also those whose newest segment is complete a little later: hls.js loses its place where one lists more.
        let lead = self.lead.and_then(|(_, lead)| self.renditions.get(lead));
        let Some(first) = lead.and_then(|lead| lead.listed().next()).map(|first| first.number) else { return };
        self.renditions.iter_mut().for_each(|rendition| rendition.unlist_before(first, target * 3));
    }
}

/// Time as ticks.
fn ticks(time: Duration, timescale: u32) -> u64 {
    let time = Time::from_nanos(i64::try_from(time.as_nanos()).unwrap_or(i64::MAX));
    u64::try_from(time.ticks(timescale)).unwrap_or(u64::MAX)
}

/// The track that leads.
fn lead(tracks: &[TrackHeader]) -> Option<&TrackHeader> {
    tracks.iter().find(|track| track.kind == MediaKind::Video).or(tracks.first())
}

/// How long the newest complete segments are that continue each other, newest first, in ticks.
fn newest_lengths(rendition: &Rendition) -> [Option<u64>; 2] {
    let header = rendition.newest_header();
    let mut newest = rendition.listed().rev().take_while(|segment| segment.header == header && !segment.is_gap);
    let last = newest.next();
    let before = newest.next().filter(|_| last.is_some_and(|last| !last.is_discontinuity));
    [last, before].map(|segment| segment.map(|segment| segment.duration))
}

/// What has been completed.
fn progress(rendition: &Rendition) -> (u64, Option<u64>) {
    (rendition.next_part(), rendition.newest())
}

/// The target duration in seconds. `first` is the length of the first segment, which is longer than wanted where no keyframe
/// can be asked for: then others may be longer still.
fn target_of(wanted: Duration, first: Duration) -> u64 {
    let ceil = |time: Duration| time.as_secs() + u64::from(time.subsec_nanos() > 0);
    let usual = ceil(wanted).max(1);
    match first <= Duration::from_secs(usual) + BEYOND_TARGET {
        true => usual,
        false => ceil(first * 3 / 2),
    }
}

mod others;
#[cfg(test)]
mod tests;
