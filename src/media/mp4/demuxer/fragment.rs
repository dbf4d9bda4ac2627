//! Where the samples of a fragment are, and when (sections 8.8.7, 8.8.8 and 8.8.12).

use super::super::boxes::{all, find, number};
use super::{Located, movie::Defaults};

/// Most samples of a fragment that are believed: some seconds of all tracks are a few hundred.
const MAX_SAMPLES: usize = 100_000;
/// An offset of the data this far after its fragment is one that counts from another begin.
const MAX_DISTANCE: u64 = 1 << 16;

/// What a fragment needs to know of a track, and what the next one does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    /// `track_ID`.
    pub(super) number: u32,
    pub(super) defaults: Defaults,
    /// When the next sample is decoded, in ticks, if the fragment does not say it.
    pub(super) next: i64,
}

/// The samples of a fragment (`moof` from `begin` to `end`) of these tracks, in the order of their bytes.
pub(super) fn samples(moof: &[u8], begin: u64, end: u64, tracks: &mut [Progress]) -> Vec<Located> {
    let mut samples = Vec::new();
    let mut after = begin;
    let mut moved = None;
    let mut budget = MAX_SAMPLES;
    for traf in all(moof, b"traf") {
        let base = |base: u64| {
            // Who joins a stream in its middle counts from another begin than its writer.
            let moved = *moved.get_or_insert_with(|| {
                if base >= begin && base <= end + MAX_DISTANCE { 0 } else { begin.wrapping_sub(base) }
            });
            base.wrapping_add(moved)
        };
        // An unknown track still takes its place.
        if let Some(end) = run(traf, begin, after, base, tracks, &mut budget, &mut samples) {
            after = end;
        }
    }
    samples.sort_by_key(|sample| sample.offset);
    samples
}

/// Adds the samples of one track; where its data ends.
fn run(
    traf: &[u8],
    begin: u64,
    after: u64,
    base: impl FnOnce(u64) -> u64,
    tracks: &mut [Progress],
    budget: &mut usize,
    samples: &mut Vec<Located>,
) -> Option<u64> {
    let mut head = Fields::of(find(traf, b"tfhd")?)?;
    let flags = head.flags;
    let id = head.next()?;
    let base = match (head.wide(0x1)?, flags & 0x2_0000 != 0) {
        (Some(told), _) => base(told),
        (None, true) => begin,
        (None, false) => after,
    };
    head.optional(0x2)?;
    let (duration, size, sample_flags) = (head.optional(0x8)?, head.optional(0x10)?, head.optional(0x20)?);
    let mut unknown = Progress { number: id, defaults: Defaults::default(), next: 0 };
    let at = tracks.iter().position(|track| track.number == id);
    let track = at.and_then(|at| tracks.get_mut(at)).unwrap_or(&mut unknown);
    let defaults = Defaults {
        duration: duration.unwrap_or(track.defaults.duration),
        size: size.unwrap_or(track.defaults.size),
        flags: sample_flags.unwrap_or(track.defaults.flags),
    };
    if let Some(time) = find(traf, b"tfdt").and_then(|tfdt| decode_time(tfdt, track.next)) {
        track.next = time;
    }
    let mut offset = base;
    for trun in all(traf, b"trun") {
        let mut fields = Fields::of(trun)?;
        let count = fields.next()?;
        if let Some(from) = fields.optional(0x1)? {
            offset = base.wrapping_add_signed(i32::from_be_bytes(from.to_be_bytes()).into());
        }
        let first_flags = fields.optional(0x4)?;
        for number in 0..count {
            // Samples without fields and without bytes cost nothing in the file.
            *budget = budget.checked_sub(1)?;
            let (Some(duration), Some(size), Some(flags), Some(composition)) =
                (fields.optional(0x100), fields.optional(0x200), fields.optional(0x400), fields.optional(0x800))
            else {
                return None;
            };
            let duration = duration.unwrap_or(defaults.duration);
            let size = size.unwrap_or(defaults.size);
            let usual = if number == 0 { first_flags.unwrap_or(defaults.flags) } else { defaults.flags };
            // Writers put negative offsets into version 0, too.
            let composition = composition.map_or(0, |offset| i32::from_be_bytes(offset.to_be_bytes()));
            if let Some(track) = at.filter(|_| size > 0) {
                samples.push(Located {
                    track,
                    offset,
                    size,
                    decode: tracks.get(track).map_or(0, |track| track.next),
                    composition: composition.into(),
                    duration,
                    is_sync: is_sync(flags.unwrap_or(usual)),
                });
            }
            if let Some(track) = at.and_then(|at| tracks.get_mut(at)) {
                track.next = track.next.saturating_add(duration.into());
            }
            offset = offset.wrapping_add(size.into());
        }
    }
    Some(offset)
}

/// It is not said that the sample needs others (section 8.8.3.1).
const fn is_sync(flags: u32) -> bool {
    const IS_NON_SYNC: u32 = 0x1_0000;
    const DEPENDS_ON_OTHERS: u32 = 0x100_0000;
    flags & (IS_NON_SYNC | DEPENDS_ON_OTHERS) == 0
}

/// The decode time of a fragment. One of 32 bits is that which is nearest to where the last fragment ended.
fn decode_time(tfdt: &[u8], near: i64) -> Option<i64> {
    if tfdt.first() == Some(&1) {
        return i64::try_from(u64::from_be_bytes(*tfdt.get(4..)?.first_chunk()?)).ok();
    }
    let time = number(tfdt, 4)?;
    let low = near.to_le_bytes().first_chunk().map_or(0, |low| u32::from_le_bytes(*low));
    let step = i32::from_be_bytes(time.wrapping_sub(low).to_be_bytes());
    let time = near.saturating_add(step.into());
    Some(if time < 0 { number(tfdt, 4)?.into() } else { time })
}

/// The fields of a box that are there only if its flags say so, in their order.
struct Fields<'a> {
    rest: &'a [u8],
    flags: u32,
}

impl<'a> Fields<'a> {
    fn of(body: &'a [u8]) -> Option<Self> {
        Some(Self { flags: number(body, 0)? & 0xff_ffff, rest: body.get(4..)? })
    }

    fn next(&mut self) -> Option<u32> {
        let (field, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(u32::from_be_bytes(*field))
    }

    /// The field that this flag announces: `Some(None)` if it is not there, `None` if it is cut off.
    fn optional(&mut self, flag: u32) -> Option<Option<u32>> {
        if self.flags & flag == 0 { Some(None) } else { self.next().map(Some) }
    }

    /// The same of one of eight bytes.
    fn wide(&mut self, flag: u32) -> Option<Option<u64>> {
        if self.flags & flag == 0 {
            return Some(None);
        }
        let (high, low) = (self.next()?, self.next()?);
        Some(Some(u64::from(high) << 32 | u64::from(low)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::box_writer::{words, write, write_full};
    use super::*;
    use proptest::prelude::*;

    const TRACKS: [Progress; 2] = [
        Progress { number: 1, defaults: Defaults { duration: 40, size: 0, flags: 0 }, next: 0 },
        Progress { number: 5, defaults: Defaults { duration: 20, size: 4, flags: 0x1_0000 }, next: 1000 },
    ];

    fn traf(head: (u32, &[u32]), time: Option<u32>, run: (u32, &[u32]), out: &mut Vec<u8>) {
        write(b"traf", out, |out| {
            write_full(b"tfhd", 0, head.0, out, |out| words(out, head.1));
            if let Some(time) = time {
                write_full(b"tfdt", 0, 0, out, |out| words(out, &[time]));
            }
            write_full(b"trun", 1, run.0, out, |out| words(out, run.1));
        });
    }

    /// Track, offset, size, decode time, composition, whether it is a sync sample.
    fn found(moof: &[u8], tracks: &mut [Progress]) -> Vec<(usize, u64, u32, i64, i64, bool)> {
        let found = samples(moof, 10_000, 10_200, tracks);
        let fields = |at: &Located| (at.track, at.offset, at.size, at.decode, at.composition, at.is_sync);
        found.iter().map(fields).collect()
    }

    #[test]
    fn samples_are_in_the_order_of_their_bytes() {
        let (mut moof, mut tracks) = (Vec::new(), TRACKS);
        traf((0x2_0000, &[1]), Some(800), (0xe05, &[2, 300, 0, 7, 0x1_0000, 0, 9, 0x1_0000, 80]), &mut moof);
        traf((0x2_0000, &[5]), None, (0x1, &[2, 250]), &mut moof);
        let expect = [
            (1, 10_250, 4, 1000, 0, false),
            (1, 10_254, 4, 1020, 0, false),
            (0, 10_300, 7, 800, 0, false),
            (0, 10_307, 9, 840, 80, false),
        ];
        assert_eq!(found(&moof, &mut tracks), expect);
        assert_eq!((tracks[0].next, tracks[1].next), (880, 1040));
    }

    #[test]
    fn first_flags_and_those_of_the_fragment_count() {
        let (mut moof, mut tracks) = (Vec::new(), TRACKS);
        traf((0x2_0020, &[1, 0x101_0000]), Some(0), (0x205, &[3, 208, 0x200_0000, 1, 2, 3]), &mut moof);
        let sync: Vec<_> = found(&moof, &mut tracks).iter().map(|sample| sample.5).collect();
        assert_eq!(sync, [true, false, false]);
    }

    #[test]
    fn without_a_base_tracks_follow_one_another() {
        let (mut moof, mut tracks) = (Vec::new(), TRACKS);
        traf((0, &[1]), None, (0x201, &[1, 208, 50]), &mut moof);
        traf((0, &[9]), None, (0x200, &[1, 30]), &mut moof);
        traf((0, &[5]), None, (0x200, &[1, 60]), &mut moof);
        assert_eq!(found(&moof, &mut tracks), [(0, 10_208, 50, 0, 0, true), (1, 10_288, 60, 1000, 0, false)]);
    }

    #[test]
    fn a_base_counts_from_the_begin_of_the_file_or_of_another() {
        for base in [10_000, 777_000] {
            let (mut moof, mut tracks) = (Vec::new(), TRACKS);
            traf((1, &[1, 0, base]), None, (0x201, &[1, 208, 50]), &mut moof);
            traf((1, &[5, 0, base]), None, (0x201, &[1, 258, 60]), &mut moof);
            let offsets: Vec<_> = found(&moof, &mut tracks).iter().map(|sample| sample.1).collect();
            assert_eq!(offsets, [10_208, 10_258], "{base}");
        }
    }

    #[test]
    fn times_of_32_bits_are_unrolled() {
        let time = |time: u32, near| decode_time(&[&[0; 4][..], &time.to_be_bytes()].concat(), near);
        assert_eq!(time(5, 0), Some(5));
        assert_eq!(time(u32::MAX, 0), Some(u32::MAX.into()));
        assert_eq!(time(10, u32::MAX.into()), Some((1 << 32) + 10));
        assert_eq!(time(u32::MAX, (1 << 32) + 10), Some(u32::MAX.into()));
        assert_eq!(time(0, 90_000), Some(0));
    }

    proptest! {
        #[test]
        fn foreign_fragments_never_panic(
            head in prop::collection::vec(any::<u32>(), 0..6),
            flags in any::<[u32; 2]>(),
            run in prop::collection::vec(any::<u32>(), 0..12),
            begin: u64,
        ) {
            let (mut moof, mut tracks) = (Vec::new(), TRACKS);
            traf((flags[0], &head), Some(7), (flags[1], &run), &mut moof);
            prop_assert!(samples(&moof, begin >> 2, (begin >> 2) + 99, &mut tracks).len() <= MAX_SAMPLES);
        }
    }
}
