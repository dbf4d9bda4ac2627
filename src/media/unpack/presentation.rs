//! When frames are shown of which only the order is known, in which they are decoded and shown (H.264, H.265, MPEG-2 without a
//! container).

use crate::media::{
    codec::{
        CodecParameters,
        display_order::{DisplayOrder, Place},
    },
    reorder::MAX_DEPTH,
};

/// So many frames show how far apart their numbers are.
const ENOUGH: i64 = 4;

/// How long after it is decoded each frame of a track is shown, in frames.
#[derive(Debug)]
pub(super) struct Presentation {
    order: DisplayOrder,
    delays: Delays,
}

impl Presentation {
    /// `None` where frames are shown as they come.
    pub(super) fn new(codec: &CodecParameters) -> Option<Self> {
        let order = DisplayOrder::new(codec)?;
        let delays = Delays::new(usize::from(order.depth().unwrap_or(0)), order.step());
        Some(Self { order, delays })
    }

    /// Of the next frame in decoding order: how many frames later it is shown.
    pub(super) fn delay(&mut self, frame: &[u8]) -> u32 {
        match self.order.next(frame) {
            Some(place) => self.delays.next(place),
            // Its header is cut: it is shown when those around it are.
            None => u32::try_from(self.delays.depth).unwrap_or(0),
        }
    }

    /// Whether frames were out of order, or the codec says that they will be.
    pub(super) fn reorders(&self) -> bool {
        self.delays.depth > 0
    }
}

/// The delays of frames with these places. No frame is shown before it is decoded: all are shown later by the depth, which is learned
/// where it is not known.
#[derive(Debug)]
struct Delays {
    depth: usize,
    /// What the codec says of it.
    said: usize,
    /// How far apart the numbers of two frames in a row are.
    step: i64,
    /// Since numbers count: the first and the highest one, and how many frames there were.
    first: i64,
    highest: i64,
    count: i64,
    /// What is added to the number of frames before one, as some are missing.
    missing: i64,
}

impl Delays {
    fn new(depth: usize, step: i64) -> Self {
        let depth = depth.min(MAX_DEPTH);
        Self { depth, said: depth, step, first: 0, highest: 0, count: 0, missing: 0 }
    }

    fn next(&mut self, Place { number, begins }: Place) -> u32 {
        if begins || self.count == 0 {
            self.learn_step();
            (self.first, self.highest, self.count, self.missing) = (number, number, 0, 0);
        }
        let most = MAX_DEPTH as i64;
        // The first frame was not the one that is shown first: those of an open GOP come after it.
        let earlier = self.first.saturating_sub(number);
        if self.count <= most && (1..=most.saturating_mul(self.step)).contains(&earlier) {
            self.first = number;
        }
        self.highest = self.highest.max(number);
        let shown = number.saturating_sub(self.first).div_euclid(self.step);
        let decoded = self.count.saturating_add(self.missing);
        self.count = self.count.saturating_add(1);
        let ahead = shown.saturating_sub(decoded);
        let depth = self.depth as i64;
        let delay = match ahead.saturating_add(depth) {
            // Some frames are missing, or numbers do not count as they should.
            delay if delay > depth + most || delay < depth - most => {
                self.missing = self.missing.saturating_add(ahead);
                depth
            }
            delay if delay < 0 => {
                self.depth = usize::try_from((depth - delay).min(most)).unwrap_or(0);
                0
            }
            delay => delay,
        };
        u32::try_from(delay).unwrap_or(0)
    }

    /// The frames since the last beginning are known: their numbers lie this far apart.
    fn learn_step(&mut self) {
        let (span, steps) = (self.highest.saturating_sub(self.first), self.count - 1);
        if steps >= ENOUGH && span % steps == 0 && span > 0 && self.step != span / steps {
            // With another distance a depth was learned that is none.
            (self.step, self.depth) = (span / steps, self.said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When frames are shown that come one a frame time, as numbers that begin again where one is negative.
    fn shown(depth: usize, step: i64, numbers: &[i64]) -> Vec<i64> {
        let mut delays = Delays::new(depth, step);
        let places = numbers.iter().map(|number| Place { number: *number, begins: *number == 0 });
        (0..).zip(places).map(|(decoded, place)| decoded + i64::from(delays.next(place))).collect()
    }

    #[test]
    fn frames_are_shown_in_their_order() {
        // I P B B P B B, with two numbers a frame.
        assert_eq!(shown(1, 2, &[0, 6, 2, 4, 12, 8, 10, 0, 6, 2, 4]), [1, 4, 2, 3, 7, 5, 6, 8, 11, 9, 10]);
        // In the order in which they come.
        assert_eq!(shown(0, 2, &[0, 2, 4, 6]), [0, 1, 2, 3]);
        // The leading frames of an open GOP: the first frame cannot wait for them, all others are in order.
        assert_eq!(shown(0, 1, &[2, 0, 1, 5, 3, 4, 8, 6, 7])[1..], [1, 2, 6, 4, 5, 9, 7, 8]);
        // A depth that is not known is learned once.
        assert_eq!(shown(0, 1, &[0, 3, 1, 2, 6, 4, 5])[4..], [7, 5, 6]);
    }

    #[test]
    fn the_distance_of_numbers_is_learned() {
        // This encoder counts frames where most count fields.
        let group = [0, 3, 1, 2, 6, 4, 5];
        let times = shown(1, 2, &group.repeat(3));
        assert_eq!(times[7..14], [8, 11, 9, 10, 14, 12, 13]);
        assert_eq!(times[14..], [15, 18, 16, 17, 21, 19, 20]);
    }

    #[test]
    fn lost_frames_do_not_add_up() {
        // Half of the frames are missing, for ever, without a beginning.
        let numbers: Vec<_> = (0..1000).map(|number| number * 4).collect();
        let mut delays = Delays::new(1, 2);
        let late = numbers.iter().map(|number| delays.next(Place { number: *number, begins: *number == 0 })).max();
        assert!(late <= Some(1 + MAX_DEPTH as u32), "{late:?}");
    }

    proptest! {
        #[test]
        fn delays_are_bounded(depth in 0usize..40, step in 1i64..3, places in prop::collection::vec((any::<i64>(), any::<bool>()), 0..50)) {
            let mut delays = Delays::new(depth, step);
            for (number, begins) in places {
                let delay = delays.next(Place { number, begins });
                prop_assert!(delay <= 2 * MAX_DEPTH as u32);
                prop_assert!(delays.depth <= MAX_DEPTH && delays.step > 0);
            }
        }
    }
}
