//! Tracks that do not lead: their pieces wait until the track that leads has come to their time, and their segments end where it says.

use super::{Cut, Segmenter, progress};
use crate::media::{
    MediaKind,
    segment::{
        piece::Piece,
        rendition::{Opening, Rendition},
        step::Step,
    },
};
use std::mem;

const SECOND: i64 = 1_000_000_000;
/// How long a keyframe of another video track is waited for, after that of the track that leads.
const MISSED_KEYFRAME: i64 = 400_000_000;
/// Differences of time that are rounding of ticks, in nanoseconds.
const ROUNDING: i64 = 1_000_000;
/// Most pieces of other tracks that wait for the one that leads: a second of eight tracks.
pub(super) const MAX_HELD: usize = 512;
/// So much audio waits for the track that leads, in nanoseconds: more comes where video has few frames or stands still.
const MAX_AUDIO_AHEAD: i64 = 200_000_000;
/// Audio and video that seem to overlap by less do so by rounding to ticks, in nanoseconds.
const TOUCHING: i64 = 1000;

impl Segmenter {
    /// Takes a piece of a track that does not lead, when the one that leads has come to its time.
    pub(super) fn hold(&mut self, piece: Piece) {
        let track = piece.track;
        let has_earlier = self.held.iter().any(|earlier| earlier.track == track);
        if !has_earlier && !self.is_ahead(&piece) {
            self.place(piece);
            return;
        }
        let oldest_of_audio = self.start_of_audio(&piece).map(|start| start.saturating_sub(MAX_AUDIO_AHEAD));
        self.held.push_back(piece);
        // The track that leads does not come.
        if self.held.len() > MAX_HELD
            && let Some(oldest) = self.held.pop_front()
        {
            self.place(oldest);
        }
        let Some(oldest_of_audio) = oldest_of_audio else { return };
        while let Some(found) = self.held.iter().position(|piece| piece.track == track)
            && self
                .held
                .get(found)
                .and_then(|piece| self.start_of_audio(piece))
                .is_none_or(|start| start < oldest_of_audio)
            && let Some(oldest) = self.held.remove(found)
        {
            self.place(oldest);
        }
    }

    /// When a piece of an audio track begins, in nanoseconds; `None` for all others, and for what has no time.
    fn start_of_audio(&self, piece: &Piece) -> Option<i64> {
        let own = self.renditions.get(self.place_of(piece.track)?)?;
        (own.track.kind == MediaKind::Audio && piece.is_timed).then(|| own.nanos(piece.decode))
    }

    /// Takes a piece of a track that does not lead.
    fn place(&mut self, piece: Piece) {
        let Some(place) = self.place_of(piece.track) else { return };
        let before = self.renditions.get(place).map(progress);
        self.push_other(place, piece);
        self.count(place, before);
    }

    /// The track that leads has come further.
    pub(super) fn release(&mut self) {
        mem::take(&mut self.held).into_iter().for_each(|piece| self.hold(piece));
    }

    /// What is held belongs to a header that ends here: audio to the segment that ends with it, and other video has nothing to begin with.
    pub(super) fn release_audio(&mut self) {
        for piece in mem::take(&mut self.held) {
            if self.start_of_audio(&piece).is_some() {
                self.place(piece);
            }
        }
    }

    /// Whether the track that leads may still begin a segment where a piece of another track is.
    fn is_ahead(&self, piece: &Piece) -> bool {
        let own = self.place_of(piece.track).and_then(|place| self.renditions.get(place));
        let lead = self.lead.and_then(|(_, lead)| self.renditions.get(lead));
        let (Some(own), Some(lead)) = (own.filter(|_| piece.is_timed), lead) else { return false };
        let newest = lead.last();
        match own.track.kind {
            MediaKind::Video => {
                let newest = newest.map_or(i64::MIN, |last| lead.nanos(last.decode));
                own.nanos(piece.decode) > newest.saturating_add(ROUNDING)
            }
            _ => {
                let next =
                    newest.map_or(i64::MIN, |last| lead.nanos(last.decode.saturating_add(u64::from(last.duration))));
                end_of(own, piece) > next.saturating_add(TOUCHING)
            }
        }
    }

    /// A piece of a track that does not lead.
    fn push_other(&mut self, place: usize, piece: Piece) {
        let lead = self.lead.and_then(|(_, lead)| self.renditions.get(lead));
        let newest_of_lead = lead.and_then(|lead| Some(lead.nanos(lead.last()?.decode))).unwrap_or(i64::MIN);
        let Some(rendition) = self.renditions.get_mut(place) else { return };
        if !piece.is_timed {
            if rendition.open().is_some() {
                rendition.append(piece, false, &self.settings);
            }
            return;
        }
        let step = Step::of(rendition.last(), &piece, rendition.track.timescale);
        if step == Step::Repeated {
            return;
        }
        let time = rendition.nanos(piece.decode);
        let is_video = rendition.track.kind == MediaKind::Video;
        let belongs = |cut: &&Cut| match is_video {
            true => cut.time <= rendition.nanos(piece.decode.saturating_add(u64::from(piece.duration / 2))),
            false => cut.time <= time || cut.time.saturating_add(TOUCHING) < end_of(rendition, &piece),
        };
        // Of what came before the first segment that is known, nothing can be shown.
        let Some(cut) = self.cuts.iter().rev().find(belongs).copied() else { return };
        let open = rendition.open().map(|open| open.number);
        let is_new = match (open, rendition.newest()) {
            (Some(open), _) => cut.number > open,
            (None, newest) => newest.is_none_or(|newest| cut.number > newest),
        };
        if !is_new && open.is_none() {
            return;
        }
        let waits = is_video && !piece.is_sync;
        if waits && open.is_none() {
            return;
        }
        let is_late = time.saturating_sub(cut.time) > MISSED_KEYFRAME || step == Step::Torn;
        if is_new && (is_late || !waits) {
            let end = (step == Step::Continues).then_some(piece.decode);
            rendition.end_segment(end, &self.settings);
            self.skip_to(place, cut.number);
            self.begin_other(place, cut, piece);
        } else if step != Step::Torn || time <= newest_of_lead.saturating_add(SECOND) {
            rendition.append(piece, step == Step::Torn, &self.settings);
        }
        // Else the track that leads will follow over the gap, and begin a segment there.
    }

    fn begin_other(&mut self, place: usize, cut: Cut, piece: Piece) {
        let Some(rendition) = self.renditions.get_mut(place) else { return };
        let shown = rendition.nanos(piece.decode.saturating_add_signed(piece.offset));
        let date = cut.date.map(|date| date.saturating_add(shown.saturating_sub(cut.time)));
        let header = rendition.newest_header();
        let opening = Opening { number: cut.number, header, is_discontinuity: cut.is_discontinuity, date };
        rendition.begin_segment(opening, &piece);
        rendition.append(piece, false, &self.settings);
    }

    /// A rendition has nothing for the segments up to this one.
    pub(super) fn skip_to(&mut self, place: usize, number: u64) {
        let Some(rendition) = self.renditions.get_mut(place) else { return };
        let Some(newest) = rendition.newest() else { return };
        let missing = self.cuts.iter().filter(|cut| cut.number > newest && cut.number < number);
        let ends = self.cuts.iter().skip(1).map(|cut| cut.time).chain([i64::MAX]);
        let ends: Vec<(u64, i64)> = self.cuts.iter().map(|cut| cut.number).zip(ends).collect();
        for cut in missing {
            let end = ends.iter().find(|(number, _)| *number == cut.number).map_or(i64::MAX, |(_, end)| *end);
            let lasts = end.saturating_sub(cut.time);
            let target = i64::try_from(self.target.unwrap_or(1)).unwrap_or(1).saturating_mul(SECOND);
            let header = rendition.newest_header();
            let Cut { number, time, is_discontinuity, date } = *cut;
            let lasts = if (0..=target).contains(&lasts) { lasts } else { target };
            rendition.skip_segment(Opening { number, header, is_discontinuity, date }, time, lasts);
        }
    }
}

/// When a piece of this rendition ends, in nanoseconds.
fn end_of(rendition: &Rendition, piece: &Piece) -> i64 {
    rendition.nanos(piece.decode.saturating_add(u64::from(piece.duration)))
}
