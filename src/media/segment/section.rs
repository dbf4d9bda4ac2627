//! Runs of segments that come at a constant distance, which a manifest need not list one by one. Pure.

use std::collections::VecDeque;

/// Of the distance, by how much a segment may be off its time: the part of one in so many.
const TOLERANCE: u64 = 4;
/// Most sections that are kept. More would be of a source that changes all the time.
const MAX_SECTIONS: usize = 32;

/// Segments from a number on, up to the next section or the next header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Number of the first segment.
    pub first: u64,
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
}

/// The sections of a stream.
#[derive(Debug, Default)]
pub(super) struct Sections {
    list: VecDeque<Section>,
    /// Of the newest segment.
    header: Option<u64>,
}

impl Sections {
    /// A segment begins. `lengths` are those of the complete segments before it, newest first, in ticks, back to the begin of the
    /// header or a discontinuity; `usual` is how long one should be.
    pub(super) fn open(&mut self, begin: &Begin, lengths: [Option<u64>; 2], usual: u64) {
        let Begin { number, header, shown, timescale, sample, is_discontinuity } = *begin;
        let is_other = self.header.replace(header).is_some_and(|known| known != header);
        let newest = self.list.back().copied();
        let section = |distance| Section { first: number, shown, timescale, distance };
        match newest.filter(|newest| newest.distance.is_some()) {
            Some(steady) if is_other || is_discontinuity || steady.is_off(number, shown) => self.push(section(None)),
            Some(_) => {}
            None if is_other || is_discontinuity => {}
            None => {
                let [Some(last), Some(before)] = lengths else { return };
                if last.abs_diff(before) <= sample && last + sample >= usual {
                    self.push(section(Some(last)));
                }
            }
        }
    }

    fn push(&mut self, section: Section) {
        self.list.push_back(section);
        if self.list.len() > MAX_SECTIONS {
            self.list.pop_front();
        }
    }

    /// How long the segment with this number should last that began then, so that the next one is at its time; `None` where the
    /// distance is not constant.
    pub(super) fn wanted(&self, number: u64, shown: u64) -> Option<u64> {
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

impl Section {
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

    struct Rig {
        sections: Sections,
        number: u64,
        shown: u64,
        lengths: [Option<u64>; 2],
    }

    impl Rig {
        fn open(&mut self, header: u64, is_discontinuity: bool) {
            let Self { number, shown, .. } = *self;
            let begin = Begin { number, header, shown, timescale: 1000, sample: 40, is_discontinuity };
            self.sections.open(&begin, self.lengths, 2000);
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
        Rig { sections: Sections::default(), number: 0, shown: 500, lengths: [None, None] }
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
        assert_eq!(rig.sections.wanted(0, 500), None);
        rig.run(&[2000, 2000]);
        let begin = rig.shown;
        assert_eq!(rig.sections.wanted(2, begin), Some(2000));
        // The next one is a little late, and makes up for it.
        assert_eq!(rig.sections.wanted(3, begin + 2030), Some(1970));
        assert_eq!(rig.sections.wanted(3, begin + 5000), Some(1500));
        rig.sections.forget(2);
        assert_eq!(rig.sections.iter().count(), 1);
    }
}
