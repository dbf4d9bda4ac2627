//! Which layer of a stream a viewer is sent: a smaller one while too many of its packets are lost, a larger one after a while without
//! losses, or the one that it has chosen. Pure.
//!
//! Losses are those that the viewer reports (RTCP RR). An estimate of the bandwidth by the delay of packets would see a full line earlier, and
//! costs twice the processor time for each viewer (ADR 78).

use std::time::{Duration, Instant};

/// So much was lost that the line is full, in 1/256: 10 %.
const HEAVY: u8 = 26;
/// So little that there may be room for more: 2 %.
const LIGHT: u8 = 5;
/// Reports so soon after a switch are of the layer before.
const SETTLING: Duration = Duration::from_millis(1500);
/// How long losses must be light before a larger layer is tried.
const CALM: Duration = Duration::from_secs(5);
/// The longest of these times: each larger layer that does not fit doubles it.
const LONGEST_CALM: Duration = Duration::from_secs(60);
/// A larger layer did not fit if losses are heavy so soon after it.
const TRIAL: Duration = Duration::from_secs(15);
/// How long a layer may take to begin before it is given up.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// The layers of one viewer, the largest first, by their numbers.
#[derive(Debug)]
pub struct Layers {
    count: usize,
    current: usize,
    /// The one that the viewer has chosen.
    chosen: Option<usize>,
    /// The one that is being opened, and since when.
    pending: Option<(usize, Instant)>,
    switched: Instant,
    /// When it went to a larger one.
    raised: Option<Instant>,
    /// Since when losses are light.
    light_since: Instant,
    calm: Duration,
    /// The last report was of heavy losses.
    is_heavy: bool,
}

impl Layers {
    /// The first one of so many.
    pub fn new(count: usize, now: Instant) -> Self {
        Self {
            count,
            current: 0,
            chosen: None,
            pending: None,
            switched: now,
            raised: None,
            light_since: now,
            calm: CALM,
            is_heavy: false,
        }
    }

    /// The one that is sent.
    pub const fn current(&self) -> usize {
        self.current
    }

    /// The one that the viewer has chosen; `None` while losses decide.
    pub const fn chosen(&self) -> Option<usize> {
        self.chosen
    }

    /// The viewer chooses one, or lets losses decide. `false` when there is none with this number.
    pub fn choose(&mut self, layer: Option<usize>, now: Instant) -> bool {
        let is_there = layer.is_none_or(|layer| layer < self.count);
        if is_there {
            self.chosen = layer;
            self.light_since = now;
        }
        is_there
    }

    /// The viewer has lost this part of what it was sent, in 1/256.
    pub fn reported(&mut self, fraction_lost: u8, now: Instant) {
        if now.saturating_duration_since(self.switched) < SETTLING {
            return;
        }
        self.is_heavy = fraction_lost >= HEAVY;
        if fraction_lost > LIGHT {
            self.light_since = now;
        }
    }

    /// Nothing comes in the layer that is sent: its publisher has paused it.
    pub fn starved(&mut self, now: Instant) {
        if now.saturating_duration_since(self.switched) >= SETTLING {
            (self.is_heavy, self.light_since) = (true, now);
        }
    }

    /// The layer that is to be opened now.
    pub fn wanted(&mut self, now: Instant) -> Option<usize> {
        if let Some((_, since)) = self.pending {
            if now.saturating_duration_since(since) < BEGINS_WITHIN {
                return None;
            }
            self.failed(now);
        }
        let wanted = match self.chosen {
            Some(chosen) => chosen,
            None if self.is_heavy => (self.current + 1).min(self.count.saturating_sub(1)),
            None if now.saturating_duration_since(self.light_since) >= self.calm => self.current.saturating_sub(1),
            None => self.current,
        };
        if wanted == self.current {
            return None;
        }
        self.pending = Some((wanted, now));
        Some(wanted)
    }

    /// The layer that is being opened.
    pub fn pending(&self) -> Option<usize> {
        self.pending.map(|(layer, _)| layer)
    }

    /// The layer that was opened is sent from now on.
    pub fn switched(&mut self, now: Instant) {
        let Some((layer, _)) = self.pending.take() else { return };
        let has_failed = self.raised.is_some_and(|raised| now.saturating_duration_since(raised) < TRIAL);
        match layer > self.current {
            true if has_failed => self.calm = (self.calm * 2).min(LONGEST_CALM),
            true => self.calm = CALM,
            false => {}
        }
        self.raised = (layer < self.current).then_some(now);
        self.current = layer;
        (self.switched, self.light_since, self.is_heavy) = (now, now, false);
    }

    /// The layer could not be opened, or did not begin.
    pub fn failed(&mut self, now: Instant) {
        self.pending = None;
        // What was chosen cannot be had.
        self.chosen = self.chosen.filter(|chosen| *chosen == self.current);
        (self.light_since, self.is_heavy) = (now, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A viewer whose reports come each second: `lost` says what it loses with a layer, at a second. Which layers it had, each with the second
    /// of the switch.
    fn course(seconds: u64, lost: impl Fn(usize, u64) -> u8) -> Vec<(usize, u64)> {
        let start = Instant::now();
        let mut layers = Layers::new(3, start);
        let mut course = vec![(0, 0)];
        for half in 0..2 * seconds {
            let now = start + Duration::from_millis(500 * half);
            if half % 2 == 0 {
                layers.reported(lost(layers.current(), half / 2), now);
            }
            if layers.wanted(now).is_some() {
                layers.switched(now + Duration::from_millis(200));
                course.push((layers.current(), half / 2));
            }
        }
        course
    }

    #[test]
    fn a_full_line_gets_a_smaller_layer_and_a_free_one_a_larger() {
        // Full from the tenth second to the twentieth, with each but the smallest layer.
        let full = |layer, second| if (10..20).contains(&second) && layer < 2 { 80 } else { 0 };
        let switches = course(40, full);
        let [(0, 0), (1, first), (2, second), (1, third), ..] = switches[..] else { panic!("{switches:?}") };
        assert!(first <= 11 && second <= 14 && third > 14, "{switches:?}");
        let (last, at) = *switches.last().unwrap();
        assert!(last == 0 && at <= 35, "{switches:?}");
    }

    #[test]
    fn a_layer_that_does_not_fit_is_tried_less_and_less_often() {
        let switches = course(600, |layer, _| if layer == 0 { 100 } else { 0 });
        let raises = switches.iter().skip(1).filter(|(layer, _)| *layer == 0).map(|(_, at)| *at).collect::<Vec<_>>();
        let pauses: Vec<_> = raises.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(pauses.windows(2).all(|pair| pair[1] + 1 >= pair[0]) && *pauses.last().unwrap() >= 60, "{raises:?}");
        // Some losses are no reason to fall, and none to rise.
        assert_eq!(course(100, |_, _| 15), [(0, 0)]);
        assert_eq!(course(100, |_, second| if second < 6 { 100 } else { 15 }).last().unwrap().0, 2);
    }

    #[test]
    fn a_layer_that_is_paused_is_left() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut layers = Layers::new(2, start);
        // A layer that has just begun may take a moment.
        layers.starved(at(1000));
        assert_eq!(layers.wanted(at(1000)), None);
        layers.starved(at(2000));
        assert_eq!(layers.wanted(at(2000)), Some(1));
        layers.switched(at(2100));
        assert_eq!((layers.current(), layers.wanted(at(7000)), layers.wanted(at(7200))), (1, None, Some(0)));
    }

    #[test]
    fn what_is_chosen_stays_whatever_is_lost() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut layers = Layers::new(2, start);
        assert!(!layers.choose(Some(2), start) && layers.wanted(start).is_none());
        assert!(layers.choose(Some(1), start));
        assert_eq!((layers.wanted(start), layers.wanted(at(1))), (Some(1), None), "one at a time");
        layers.switched(at(1));
        layers.reported(0, at(20));
        assert_eq!((layers.wanted(at(30)), layers.current()), (None, 1));
        assert!(layers.choose(None, at(30)));
        assert_eq!((layers.wanted(at(31)), layers.wanted(at(36))), (None, Some(0)));
        // It never begins.
        assert_eq!((layers.wanted(at(45)), layers.pending()), (None, Some(0)));
        assert_eq!((layers.wanted(at(46)), layers.pending(), layers.current()), (None, None, 1));
        assert!(layers.choose(Some(0), at(50)));
        assert_eq!(layers.wanted(at(50)), Some(0));
        layers.failed(at(51));
        assert_eq!((layers.chosen(), layers.wanted(at(52))), (None, None));
    }

    proptest! {
        #[test]
        fn a_layer_that_is_wanted_is_there(count in 1usize..5, steps in prop::collection::vec((any::<u8>(), 0u64..3000, any::<bool>()), 0..200)) {
            let mut now = Instant::now();
            let mut layers = Layers::new(count, now);
            for (lost, millis, succeeds) in steps {
                now += Duration::from_millis(millis);
                layers.reported(lost, now);
                if let Some(wanted) = layers.wanted(now) {
                    prop_assert!(wanted < count && wanted != layers.current());
                    if succeeds { layers.switched(now) } else { layers.failed(now) }
                }
                prop_assert!(layers.current() < count);
            }
        }
    }
}
