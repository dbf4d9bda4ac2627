//! Where the samples of a movie without fragments are, and when: the tables of a track (section 8.6 and 8.7).
//!
//! They are kept as in the file and are read along with the samples, so that a long movie needs no more memory than its index.

use super::super::boxes::{find, number};
use bytes::Bytes;

/// The next sample of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where it begins, from the begin of the file.
    pub(super) offset: u64,
    /// Bytes.
    pub(super) size: u32,
    /// When it is decoded, in ticks.
    pub(super) decode: i64,
    /// How much later it is shown, in ticks; negative when the track's decode times are late.
    pub(super) composition: i64,
    /// Ticks to the next one.
    pub(super) duration: u32,
    /// It can be decoded without others.
    pub(super) is_sync: bool,
}

/// The tables of a track, and how far they are read.
#[derive(Debug)]
pub(super) struct Table {
    durations: Runs,
    compositions: Option<Runs>,
    sizes: Sizes,
    chunks: Chunks,
    sync: Option<Sync>,
    /// Number of the next sample, from 0 on.
    next: u32,
    decode: i64,
    /// Bytes of the chunk before the next sample.
    within: u64,
}

impl Table {
    /// The tables of a track (`stbl`); `None` if they have no samples.
    pub(super) fn parse(stbl: &[u8]) -> Option<Self> {
        let sizes = Sizes::parse(stbl)?;
        let chunks = Chunks::parse(stbl)?;
        let durations = Runs::parse(find(stbl, b"stts")?)?;
        let compositions = find(stbl, b"ctts").and_then(Runs::parse);
        let sync = find(stbl, b"stss").and_then(Sync::parse);
        Some(Self { durations, compositions, sizes, chunks, sync, next: 0, decode: 0, within: 0 })
    }

    /// How far decode times have to be moved so that nothing is shown before it is decoded, in ticks.
    pub(super) fn lag(&self) -> i64 {
        let Some(compositions) = &self.compositions else { return 0 };
        let offsets = compositions.entries.chunks_exact(8).filter_map(|entry| number(entry, 4));
        offsets.map(|offset| -i64::from(signed(offset))).max().unwrap_or(0).max(0)
    }
}

impl Iterator for Table {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let (begin, is_first) = self.chunks.sample()?;
        if is_first {
            self.within = 0;
        }
        let size = self.sizes.get(self.next)?;
        let duration = self.durations.value()?;
        let composition = self.compositions.as_mut().and_then(Runs::value).map_or(0, |offset| signed(offset).into());
        let is_sync = self.sync.as_mut().is_none_or(|sync| sync.has(self.next.saturating_add(1)));
        let offset = begin.checked_add(self.within)?;
        let entry = Entry { offset, size, decode: self.decode, composition, duration, is_sync };
        self.within = self.within.checked_add(size.into())?;
        self.decode = self.decode.checked_add(duration.into())?;
        self.next = self.next.checked_add(1)?;
        Some(entry)
    }
}

/// Offsets of version 0 are unsigned by the letter, but writers put negative ones there, too.
fn signed(offset: u32) -> i32 {
    i32::from_be_bytes(offset.to_be_bytes())
}

/// The entries after a count, of so many bytes each; those that are cut off are skipped.
fn entries(body: &[u8], each: usize) -> Option<Bytes> {
    let count = usize::try_from(number(body, 4)?).ok()?;
    let entries = body.get(8..)?;
    let length = count.saturating_mul(each).min(entries.len() / each * each);
    Some(Bytes::copy_from_slice(entries.get(..length)?))
}

/// A table of runs: so many samples, and their value (sections 8.6.1.2 and 8.6.1.3).
#[derive(Debug)]
struct Runs {
    entries: Bytes,
    /// Bytes that are read.
    at: usize,
    /// Samples left of the run.
    left: u32,
    value: u32,
}

impl Runs {
    fn parse(body: &[u8]) -> Option<Self> {
        Some(Self { entries: entries(body, 8)?, at: 0, left: 0, value: 0 })
    }

    /// The value of the next sample.
    fn value(&mut self) -> Option<u32> {
        while self.left == 0 {
            self.left = number(&self.entries, self.at)?;
            self.value = number(&self.entries, self.at + 4)?;
            self.at += 8;
        }
        self.left -= 1;
        Some(self.value)
    }
}

/// Sizes of samples (section 8.7.3).
#[derive(Debug)]
enum Sizes {
    /// All alike, and how many.
    Even(u32, u32),
    Each(Bytes),
    /// 4, 8 or 16 bits each.
    Compact(u8, Bytes),
}

impl Sizes {
    fn parse(stbl: &[u8]) -> Option<Self> {
        if let Some(stsz) = find(stbl, b"stsz") {
            let (size, count) = (number(stsz, 4)?, number(stsz, 8)?);
            return match size {
                0 => Some(Self::Each(entries(stsz.get(4..)?, 4)?)).filter(|_| count > 0),
                _ => Some(Self::Even(size, count)).filter(|_| count > 0),
            };
        }
        let stz2 = find(stbl, b"stz2")?;
        let bits = *stz2.get(7)?;
        let count = usize::try_from(number(stz2, 8)?).ok()?;
        let sizes = stz2.get(12..)?;
        let length = count.saturating_mul(bits.into()).div_ceil(8).min(sizes.len());
        matches!(bits, 4 | 8 | 16)
            .then(|| Self::Compact(bits, Bytes::copy_from_slice(sizes.get(..length).unwrap_or_default())))
    }

    fn get(&self, sample: u32) -> Option<u32> {
        let at = usize::try_from(sample).ok()?;
        match self {
            Self::Even(size, count) => (sample < *count).then_some(*size),
            Self::Each(sizes) => number(sizes, at.checked_mul(4)?),
            Self::Compact(4, sizes) => sizes.get(at / 2).map(|byte| u32::from(byte >> (4 - at % 2 * 4) & 0xf)),
            Self::Compact(8, sizes) => sizes.get(at).map(|byte| u32::from(*byte)),
            Self::Compact(_, sizes) => {
                sizes.get(at.checked_mul(2)?..)?.first_chunk().map(|size| u16::from_be_bytes(*size).into())
            }
        }
    }
}

/// Where chunks begin, and how many samples each has (sections 8.7.4 and 8.7.5).
#[derive(Debug)]
struct Chunks {
    /// First chunk, samples, description.
    runs: Bytes,
    /// The run of the chunk.
    run: usize,
    offsets: Bytes,
    /// Bytes of an offset.
    each: usize,
    /// Number of the next chunk, from 0 on.
    next: usize,
    /// Where the chunk begins, and how many samples are left of it.
    current: (u64, u32),
}

impl Chunks {
    fn parse(stbl: &[u8]) -> Option<Self> {
        let runs = entries(find(stbl, b"stsc")?, 12)?;
        let (offsets, each) = match find(stbl, b"stco") {
            Some(stco) => (entries(stco, 4)?, 4),
            None => (entries(find(stbl, b"co64")?, 8)?, 8),
        };
        Some(Self { runs, run: 0, offsets, each, next: 0, current: (0, 0) })
    }

    /// Where the chunk of the next sample begins, and whether it is the first one in it.
    fn sample(&mut self) -> Option<(u64, bool)> {
        let mut is_first = false;
        while self.current.1 == 0 {
            let offset = self.offsets.get(self.next.checked_mul(self.each)?..)?.get(..self.each)?;
            let offset = offset.iter().fold(0, |offset, byte| offset << 8 | u64::from(*byte));
            self.next += 1;
            let begins = |run: usize| number(&self.runs, run * 12).and_then(|first| usize::try_from(first).ok());
            while begins(self.run + 1).is_some_and(|first| first <= self.next) {
                self.run += 1;
            }
            self.current = (offset, number(&self.runs, self.run * 12 + 4)?);
            is_first = true;
        }
        self.current.1 -= 1;
        Some((self.current.0, is_first))
    }
}

/// Numbers of the samples that can be decoded without others, from 1 on (section 8.6.2).
#[derive(Debug)]
struct Sync {
    samples: Bytes,
    at: usize,
}

impl Sync {
    fn parse(body: &[u8]) -> Option<Self> {
        Some(Self { samples: entries(body, 4)?, at: 0 })
    }

    fn has(&mut self, sample: u32) -> bool {
        while let Some(next) = number(&self.samples, self.at) {
            if next >= sample {
                return next == sample;
            }
            self.at += 4;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::box_writer::{words, write_full};
    use super::*;
    use proptest::prelude::*;

    fn stbl(tables: &[(&[u8; 4], &[u32])]) -> Vec<u8> {
        let mut out = Vec::new();
        tables.iter().for_each(|(kind, body)| write_full(kind, 0, 0, &mut out, |out| words(out, body)));
        out
    }

    #[test]
    fn samples_are_where_the_tables_say() {
        let stbl = stbl(&[
            (b"stts", &[2, 3, 10, 9, 20]),
            (b"ctts", &[2, 2, 5, 9, -5i32 as u32]),
            (b"stss", &[2, 1, 4]),
            (b"stsz", &[0, 5, 100, 101, 102, 103, 104]),
            (b"stsc", &[2, 1, 2, 1, 3, 1, 1]),
            (b"stco", &[3, 1000, 2000, 3000]),
        ]);
        let table = Table::parse(&stbl).unwrap();
        assert_eq!(table.lag(), 5);
        let found: Vec<_> = table
            .map(|entry| (entry.offset, entry.size, entry.decode, entry.composition, entry.duration, entry.is_sync))
            .collect();
        let expect = [
            (1000, 100, 0, 5, 10, true),
            (1100, 101, 10, 5, 10, false),
            (2000, 102, 20, -5, 10, false),
            (2102, 103, 30, -5, 20, true),
            (3000, 104, 50, -5, 20, false),
        ];
        assert_eq!(found, expect);
    }

    #[test]
    fn sizes_may_be_even_or_small() {
        let even = Sizes::parse(&stbl(&[(b"stsz", &[7, 2])])).unwrap();
        assert_eq!((even.get(1), even.get(2)), (Some(7), None));
        assert!(Sizes::parse(&stbl(&[(b"stsz", &[0, 0])])).is_none(), "a movie in fragments");
        let nibbles = Sizes::parse(&stbl(&[(b"stz2", &[4, 3, 0x1230_0000])])).unwrap();
        assert_eq!([0, 1, 2, 4].map(|at| nibbles.get(at)), [Some(1), Some(2), Some(3), None]);
        let halves = Sizes::parse(&stbl(&[(b"stz2", &[16, 2, 0x0100_0002])])).unwrap();
        assert_eq!([0, 1, 2].map(|at| halves.get(at)), [Some(256), Some(2), None]);
    }

    proptest! {
        #[test]
        fn foreign_tables_never_panic(kinds in prop::collection::vec((0usize..7, prop::collection::vec(any::<u32>(), 0..12)), 0..10)) {
            const KINDS: [&[u8; 4]; 7] = [b"stts", b"ctts", b"stss", b"stsz", b"stz2", b"stsc", b"stco"];
            let tables: Vec<_> = kinds.iter().map(|(kind, body)| (KINDS[*kind], &body[..])).collect();
            if let Some(table) = Table::parse(&stbl(&tables)) {
                table.lag();
                table.take(100).for_each(drop);
            }
        }
    }
}
