//! Runs of segments that come at a constant distance, which a manifest need not list one by one. Pure.
//!
//! The first segments are short. They end at times which are chosen so that they are as long as one usual segment together; where the
//! first keyframes come at these times, those to come are expected at theirs, and the run begins with the first segment of all.

use std::collections::VecDeque;

/// Of the distance, by how much a segment may be off its time: the part of one in so many.
const TOLERANCE: u64 = 4;
/// Most sections that are kept. More would be of a source that changes all the time.
const MAX_SECTIONS: usize = 32;
/// After so many keyframes at their times, others are expected at theirs.
const PROOF: usize = 3;
/// After so many that are not, none are: an encoder that starts on a busy machine is late once or twice.
const MISSES: usize = 4;

/// Segments from a number on, up to the next section or the next header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Number of the first segment.
    pub first: u64,
    /// Number of the first one of the short segments that the first segment is made of; the same where there are none.
    pub begins: u64,
    /// It began before there was a manifest: no player knows what was before it.
    pub is_start: bool,
    /// When its first sample is shown, in ticks of the track that leads.
    pub shown: u64,
    /// Ticks a second.
    pub timescale: u32,
    /// How far its segments are apart, if that is constant, in ticks. Also those that do not exist yet begin at multiples of it.
    pub distance: Option<u64>,
}

/// How a segment of the track that leads begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begin {
    pub(super) number: u64,
    pub(super) header: u64,
    /// When its first sample is shown, in ticks.
    pub(super) shown: u64,
    pub(super) timescale: u32,
    /// Ticks of a sample.
    pub(super) sample: u64,
    pub(super) is_discontinuity: bool,
    /// There was a manifest.
    pub(super) is_shown: bool,
    /// What was before can have been requested.
    pub(super) is_live: bool,
}

/// How long a segment should be, and the first one of all, in ticks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Usual {
    pub(super) segment: u64,
    pub(super) shortest: u64,
}

/// The sections of a stream.
#[derive(Debug, Default)]
pub(super) struct Sections {
    list: VecDeque<Section>,
    /// Of the newest segment.
    header: Option<u64>,
    start: Start,
}

/// Whether the source sends keyframes when it is asked for them.
#[derive(Debug, Default)]
enum Start {
    /// There is no segment.
    #[default]
    Empty,
    /// It is asked for them.
    Asked(ShortSegments),
    /// It is known.
    Decided,
}

/// The short segments at the begin.
#[derive(Debug)]
struct ShortSegments {
    /// Number of the first one.
    number: u64,
    /// When its first sample is shown.
    shown: u64,
    /// When the one that is being made and the next ones should end, in ticks after that.
    ends: VecDeque<u64>,
    /// Keyframes that came at their times.
    hits: usize,
    /// How often others before did not end at their times, as what was encoded before anybody asked.
    misses: usize,
    /// Others are expected.
    is_promised: bool,
}

impl Sections {
    /// A segment begins. `lengths` are those of the complete segments before it, newest first, in ticks, back to the begin of the
    /// header or a discontinuity.
    pub(super) fn open(&mut self, begin: &Begin, lengths: [Option<u64>; 2], usual: Usual) {
        let Begin { number, header, shown, timescale, sample, is_discontinuity, is_shown, .. } = *begin;
        let is_other = self.header.replace(header).is_some_and(|known| known != header);
        if self.start(begin, is_other || is_discontinuity, usual) {
            return;
        }
        let newest = self.list.back().copied();
        let section =
            |distance| Section { first: number, begins: number, is_start: !is_shown, shown, timescale, distance };
        match newest.filter(|newest| newest.distance.is_some()) {
            Some(steady) if is_other || is_discontinuity || steady.is_off(number, shown) => self.push(section(None)),
            Some(_) => {}
            None if is_other || is_discontinuity => {}
            None => {
                let [Some(last), Some(before)] = lengths else { return };
                if last.abs_diff(before) <= sample && last + sample >= usual.segment {
                    self.push(section(Some(last)));
                }
            }
        }
    }

    /// A segment begins; `true` where it is one of the short ones.
    fn start(&mut self, begin: &Begin, is_new: bool, usual: Usual) -> bool {
        let Begin { number, shown, timescale, sample, is_shown, is_live, .. } = *begin;
        let misses = match &mut self.start {
            Start::Decided => return false,
            Start::Empty => 0,
            Start::Asked(short) => {
                if !is_new && short.takes(shown, sample, usual) {
                    let is_over = short.ends.is_empty();
                    let is_proved = short.hits >= PROOF || is_over;
                    let (begins, first) = (short.number, (number + short.ends.len() as u64).saturating_sub(1));
                    let (is_start, shown) = (!is_shown, short.shown);
                    let section = Section { first, begins, is_start, shown, timescale, distance: Some(usual.segment) };
                    if is_proved && !std::mem::replace(&mut short.is_promised, is_proved) {
                        self.push(section);
                    }
                    if is_over {
                        self.start = Start::Decided;
                    }
                    return true;
                }
                let misses = short.misses + usize::from(is_live);
                if short.is_promised || misses == MISSES {
                    self.decline();
                    return false;
                }
                misses
            }
        };
        let ends = ends(0, usual);
        self.start = Start::Asked(ShortSegments { number, shown, ends, hits: 0, misses, is_promised: false });
        true
    }

    /// The keyframe that was requested for the end of a segment does not come for long.
    pub(super) fn lacks_keyframe(&mut self) {
        if let Start::Asked(short) = &self.start
            && short.misses > 0
        {
            self.decline();
        }
    }

    /// Keyframes do not come when they are asked for.
    fn decline(&mut self) {
        if let Start::Asked(ShortSegments { is_promised: true, .. }) =
            std::mem::replace(&mut self.start, Start::Decided)
        {
            self.list.pop_back();
        }
    }

    /// Whether it is known if the first segments come at a constant distance.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self.start, Start::Decided | Start::Asked(ShortSegments { is_promised: true, .. }))
    }

    fn push(&mut self, section: Section) {
        self.list.push_back(section);
        if self.list.len() > MAX_SECTIONS {
            self.list.pop_front();
        }
    }

    /// How long the segment with this number should last that began then, so that the next one is at its time; `None` where the
    /// distance is not constant.
    pub(super) fn wanted(&self, number: u64, shown: u64, usual: Usual) -> Option<u64> {
        if let Start::Asked(short) = &self.start {
            let end = short.shown.saturating_add(*short.ends.front()?);
            return Some(end.saturating_sub(shown).max(usual.shortest / 2));
        }
        let steady = self.list.back()?;
        let distance = steady.distance?;
        let end = steady.time_of(number + 1)?;
        Some(end.saturating_sub(shown).clamp(distance - distance / TOLERANCE, distance + distance / TOLERANCE))
    }

    /// Sections that end before the segment with this number are not needed any more.
    pub(super) fn forget(&mut self, oldest: u64) {
        while self.list.get(1).is_some_and(|next| next.first <= oldest) {
            self.list.pop_front();
        }
    }

    /// All sections, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Section> {
        self.list.iter()
    }
}

impl ShortSegments {
    /// A segment begins; `false` when it is not at its time.
    fn takes(&mut self, shown: u64, sample: u64, usual: Usual) -> bool {
        let (Some(so_far), Some(end)) = (shown.checked_sub(self.shown), self.ends.pop_front()) else { return false };
        let is_hit = so_far + sample >= end && so_far <= end + usual.segment / TOLERANCE;
        self.hits += usize::from(is_hit);
        // As long as nobody relies on it, those to come are counted from one that is late.
        if is_hit && !self.is_promised && so_far > end + usual.shortest / 2 {
            self.ends = ends(so_far, usual);
        }
        is_hit
    }
}

/// When short segments end, in ticks, of which so many have come already: each is almost as long as all before it, and the last one ends
/// where that of the usual length does.
fn ends(mut so_far: u64, Usual { segment, shortest }: Usual) -> VecDeque<u64> {
    let least = shortest.max(1);
    let mut ends = VecDeque::new();
    while so_far < segment {
        let (rest, wanted) = (segment - so_far, so_far.saturating_sub(least).max(least));
        so_far = if rest < 2 * wanted { segment } else { so_far + wanted };
        ends.push_back(so_far);
    }
    ends
}

impl Section {
    /// The same as if there had been segments at this distance since the timeline began. ffmpeg counts segments from there.
    pub fn extended_back(&self) -> Self {
        let count = self.distance.and_then(|distance| self.shown.checked_div(distance)).unwrap_or(0).min(self.first);
        let shown = self.shown.saturating_sub(count.saturating_mul(self.distance.unwrap_or(0)));
        Self { first: self.first - count, shown, ..*self }
    }

    /// When a segment should begin.
    fn time_of(&self, number: u64) -> Option<u64> {
        Some(self.shown + number.checked_sub(self.first)?.checked_mul(self.distance?)?)
    }

    /// Whether a segment is not at its time.
    fn is_off(&self, number: u64, shown: u64) -> bool {
        let most = self.distance.unwrap_or(0) / TOLERANCE;
        self.time_of(number).is_none_or(|time| time.abs_diff(shown) > most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Usual = Usual { segment: 2000, shortest: 66 };

    struct Rig {
        sections: Sections,
        number: u64,
        shown: u64,
        lengths: [Option<u64>; 2],
        is_live: bool,
    }

    impl Rig {
        fn open(&mut self, header: u64, is_discontinuity: bool) {
            let Self { number, shown, .. } = *self;
            let begin = Begin {
                number,
                header,
                shown,
                timescale: 1000,
                sample: 40,
                is_discontinuity,
                is_shown: false,
                is_live: self.is_live,
            };
            self.sections.open(&begin, self.lengths, USUAL);
        }

        fn close(&mut self, length: u64) {
            self.lengths = [Some(length), self.lengths[0]];
            self.number += 1;
            self.shown += length;
        }

        fn run(&mut self, lengths: &[u64]) -> Vec<(u64, Option<u64>)> {
            for length in lengths {
                self.open(1, false);
                self.close(*length);
            }
            self.open(1, false);
            self.sections.iter().map(|section| (section.first, section.distance)).collect()
        }
    }

    fn rig() -> Rig {
        let sections = Sections { start: Start::Decided, ..Sections::default() };
        Rig { sections, number: 0, shown: 500, lengths: [None, None], is_live: true }
    }

    /// Asks for keyframes from the first segment on.
    fn asking() -> Rig {
        Rig { sections: Sections::default(), ..rig() }
    }

    impl Rig {
        /// Segments that end when they should, but for one that is so much longer; when they end.
        fn follow(&mut self, count: usize, late: Option<(usize, u64)>) -> Vec<u64> {
            let of = |index| late.filter(|(place, _)| *place == index).map_or(0, |(_, late)| late);
            let found = (0..count).map(|index| {
                self.open(1, false);
                let wanted = self.sections.wanted(self.number, self.shown, USUAL).unwrap_or(2000);
                self.close(wanted + of(index));
                self.shown - 500
            });
            found.collect()
        }

        fn steady(&self) -> Option<(u64, u64, u64)> {
            let last = self.sections.iter().last().filter(|last| last.distance.is_some())?;
            Some((last.begins, last.first, last.shown))
        }
    }

    #[test]
    fn short_segments_are_one_usual_segment_together() {
        let check = |segment, shortest, expect: &[u64]| assert_eq!(ends(0, Usual { segment, shortest }), expect);
        check(2000, 66, &[66, 132, 198, 330, 594, 1122, 2000]);
        check(1000, 66, &[66, 132, 198, 330, 594, 1000]);
        check(6000, 66, &[66, 132, 198, 330, 594, 1122, 2178, 6000]);
        check(300, 66, &[66, 132, 198, 300]);
        check(60, 66, &[60]);
        check(2000, 200, &[200, 400, 600, 1000, 2000]);
        check(0, 0, &[]);
        let mut rig = asking();
        assert_eq!(rig.follow(9, None), [66, 132, 198, 330, 594, 1122, 2000, 4000, 6000]);
        // They are one segment, with the number of the last one.
        assert_eq!(rig.steady(), Some((0, 6, 500)));
    }

    #[test]
    fn a_run_is_promised_after_three_keyframes_at_their_times() {
        let mut rig = asking();
        rig.follow(3, None);
        assert!(!rig.sections.is_decided() && rig.steady().is_none());
        rig.open(1, false);
        assert!(rig.sections.is_decided());
        assert_eq!(rig.steady(), Some((0, 6, 500)));
        // Encoders take some time for it.
        let mut rig = asking();
        assert_eq!(rig.follow(7, Some((1, 300))), [66, 432, 798, 2000, 4000, 6000, 8000]);
        assert_eq!(rig.steady(), Some((0, 3, 500)));
    }

    #[test]
    fn a_keyframe_that_does_not_come_ends_the_promise() {
        for late in [3, 5, 6, 7] {
            let mut rig = asking();
            rig.follow(late + 1, Some((late, 600)));
            rig.open(1, false);
            assert_eq!((rig.steady(), rig.sections.is_decided()), (None, true), "{late}");
        }
        let mut rig = asking();
        rig.follow(4, None);
        rig.open(1, true);
        assert_eq!((rig.steady(), rig.sections.is_decided()), (None, true));
    }

    #[test]
    fn what_was_encoded_before_anybody_asked_is_no_proof() {
        let mut rig = asking();
        assert_eq!(rig.follow(6, Some((0, 1400))), [1466, 1532, 1598, 1664, 1796, 2060]);
        assert_eq!(rig.steady(), Some((1, 7, 1966)));
        // Where keyframes do not come then either, it is known before the segment ends.
        let mut rig = asking();
        rig.follow(1, Some((0, 1400)));
        rig.open(1, false);
        assert!(!rig.sections.is_decided());
        rig.sections.lacks_keyframe();
        assert!(rig.sections.is_decided());
        // However much it was.
        let mut rig = asking();
        rig.is_live = false;
        for late in [1400, 700, 900, 1100, 700, 800] {
            rig.follow(1, Some((0, late)));
        }
        rig.is_live = true;
        rig.follow(3, Some((0, 700)));
        rig.open(1, false);
        assert!(!rig.sections.is_decided());
        rig.close(66);
        rig.open(1, false);
        assert!(rig.steady().is_some());
        let mut rig = asking();
        for late in [1400, 700, 700, 700] {
            assert!(!rig.sections.is_decided());
            rig.follow(1, Some((0, late)));
        }
        rig.open(1, false);
        assert_eq!((rig.steady(), rig.sections.is_decided()), (None, true));
    }

    #[test]
    fn two_equal_segments_of_usual_length_make_a_section_of_what_follows() {
        assert_eq!(rig().run(&[200, 200, 400, 2000, 2000, 2000]), [(5, Some(2000))]);
        // A frame more or less is the same.
        assert_eq!(rig().run(&[2000, 2040, 2000]), [(2, Some(2040))]);
        assert_eq!(rig().run(&[2000, 2100, 2000, 2100]), []);
        assert_eq!(rig().run(&[200, 200, 200]), []);
    }

    #[test]
    fn a_segment_that_is_off_ends_the_section() {
        assert_eq!(rig().run(&[2000, 2000, 2000, 3000, 2000]), [(2, Some(2000)), (4, None)]);
        assert_eq!(rig().run(&[2000, 2000, 3000, 2000, 2000]), [(2, Some(2000)), (3, None), (5, Some(2000))]);
        // It need not be much: it adds up.
        assert_eq!(rig().run(&[2000, 2000, 2160, 2160, 2160, 2160]).last(), Some(&(6, None)));
        let mut rig = rig();
        rig.run(&[2000, 2000, 2000]);
        rig.close(2000);
        rig.open(1, true);
        assert_eq!(rig.sections.iter().last().map(|last| (last.first, last.distance)), Some((4, None)));
    }

    #[test]
    fn another_header_ends_the_section() {
        let mut rig = rig();
        rig.run(&[2000, 2000]);
        rig.close(2000);
        rig.open(3, false);
        assert_eq!(rig.sections.iter().last().map(|last| (last.first, last.distance)), Some((3, None)));
    }

    #[test]
    fn what_follows_is_asked_for_at_its_time() {
        let mut rig = rig();
        assert_eq!(rig.sections.wanted(0, 500, USUAL), None);
        rig.run(&[2000, 2000]);
        let begin = rig.shown;
        assert_eq!(rig.sections.wanted(2, begin, USUAL), Some(2000));
        // The next one is a little late, and makes up for it.
        assert_eq!(rig.sections.wanted(3, begin + 2030, USUAL), Some(1970));
        assert_eq!(rig.sections.wanted(3, begin + 5000, USUAL), Some(1500));
        rig.sections.forget(2);
        assert_eq!(rig.sections.iter().count(), 1);
    }
}
