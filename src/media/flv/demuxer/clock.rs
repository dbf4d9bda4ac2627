//! The time of tags without the wraps of its 32 bits.

/// Follows the times of frames, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Clock {
    last: Option<i64>,
}

impl Clock {
    /// The time of the next frame in nanoseconds: of those that end in these 32 bits the one nearest to the frame before.
    pub(super) fn nanos(&mut self, time: u32) -> i64 {
        let time = match self.last {
            None => time.into(),
            // The difference with its sign is what is left of it in 32 bits.
            Some(last) => last + i64::from(time.wrapping_sub(last as u32) as i32),
        };
        self.last = Some(time);
        time.saturating_mul(1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_are_unrolled_both_ways() {
        let mut clock = Clock::default();
        let mut millis = |time: u32| clock.nanos(time) / 1_000_000;
        let turn = 1 << 32;
        assert_eq!(
            [0xffff_ff00, 0x10, 0xffff_fff0, 0x20].map(&mut millis),
            [0xffff_ff00, turn + 0x10, turn - 0x10, turn + 0x20]
        );
        assert_eq!(
            [0x7000_0000, 0xd000_0000, 0x1000_0000].map(millis),
            [turn + 0x7000_0000, turn + 0xd000_0000, 2 * turn + 0x1000_0000]
        );
    }
}
