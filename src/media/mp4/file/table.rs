//! The samples of one track of a file: where they are, when they are decoded and shown. Compact: about five bytes a sample.

/// The bit of a size that says that a decoder may begin with the sample. No sample has 2 GiB.
const SYNC: u32 = 1 << 31;

/// A sample of a file, in ticks of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placed {
    /// When it is decoded; 0 is the begin of the file.
    pub decode: u64,
    /// How much later it is shown.
    pub offset: i32,
    /// For how long.
    pub duration: u32,
    /// Its bytes.
    pub size: u32,
    /// A decoder may begin with it.
    pub is_sync: bool,
    /// Where its bytes are in the file.
    pub at: u64,
}

/// The samples of one track of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SampleTable {
    begin: u64,
    end: u64,
    /// With [`SYNC`].
    sizes: Vec<u32>,
    durations: Vec<(u32, u32)>,
    offsets: Vec<(u32, i32)>,
    chunks: Vec<Chunk>,
}

/// Samples that follow one another in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) at: u64,
    pub(super) samples: u32,
    bytes: u64,
}

impl SampleTable {
    /// Appends a sample. One that does not begin where the last one ended makes that one as long as needed.
    pub fn push(&mut self, sample: Placed) {
        if self.sizes.is_empty() {
            self.begin = sample.decode;
            self.end = sample.decode;
        }
        self.extend_to(sample.decode);
        let size = sample.size & !SYNC;
        self.sizes.push(size | if sample.is_sync { SYNC } else { 0 });
        push_run(&mut self.durations, sample.duration);
        push_run(&mut self.offsets, sample.offset);
        self.end = self.end.saturating_add(sample.duration.into());
        match self.chunks.last_mut() {
            Some(chunk) if chunk.at + chunk.bytes == sample.at => {
                chunk.samples += 1;
                chunk.bytes += u64::from(size);
            }
            _ => self.chunks.push(Chunk { at: sample.at, samples: 1, bytes: size.into() }),
        }
    }

    /// Appends another table, whose first sample is decoded at `begin` here. `places` are those of its chunks.
    pub(super) fn append(&mut self, other: &Self, begin: u64, places: &[u64]) {
        if self.sizes.is_empty() {
            (self.begin, self.end) = (begin, begin);
        }
        if begin < self.end {
            return self.push_all(other, begin, places);
        }
        self.extend_to(begin);
        self.end = self.end.saturating_add(other.end.saturating_sub(other.begin));
        // A table of a day is not to be twice as large as it need be, and for a moment three times.
        self.sizes.reserve_exact(other.sizes.len());
        self.sizes.extend_from_slice(&other.sizes);
        other.durations.iter().for_each(|(count, value)| push_runs(&mut self.durations, *count, *value));
        other.offsets.iter().for_each(|(count, value)| push_runs(&mut self.offsets, *count, *value));
        for (chunk, at) in other.chunks.iter().zip(places) {
            match self.chunks.last_mut() {
                Some(last) if last.at + last.bytes == *at => {
                    last.samples += chunk.samples;
                    last.bytes += chunk.bytes;
                }
                _ => self.chunks.push(Chunk { at: *at, ..*chunk }),
            }
        }
    }

    /// The same sample by sample: the first ones are shorter until their times are what they should be.
    fn push_all(&mut self, other: &Self, begin: u64, places: &[u64]) {
        let of_chunk =
            |(chunk, at): (&Chunk, &u64)| std::iter::repeat_n(*at as i64 - chunk.at as i64, chunk.samples as usize);
        let moved = other.chunks.iter().zip(places).flat_map(of_chunk);
        for (sample, moved) in other.samples().zip(moved) {
            let decode = (sample.decode - other.begin).saturating_add(begin);
            self.push(Placed { decode, at: sample.at.saturating_add_signed(moved), ..sample });
        }
    }

    /// The last sample lasts until then; never less long than a tick.
    fn extend_to(&mut self, end: u64) {
        let Some((count, duration)) = self.durations.last().copied() else { return };
        if end == self.end {
            return;
        }
        let begin = self.end - u64::from(duration);
        let longer = u32::try_from(end.saturating_sub(begin).max(1)).unwrap_or(u32::MAX);
        match count {
            1 => drop(self.durations.pop()),
            _ => self.durations.iter_mut().last().into_iter().for_each(|(count, _)| *count -= 1),
        }
        push_run(&mut self.durations, longer);
        self.end = begin.saturating_add(longer.into());
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.sizes.is_empty()
    }

    /// When the first sample is decoded, in ticks.
    pub fn begin(&self) -> u64 {
        self.begin
    }

    /// When the last sample ends, in ticks.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of all samples.
    pub fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }

    /// All samples, in the order in which they are decoded.
    pub fn samples(&self) -> impl Iterator<Item = Placed> {
        let durations = self.durations.iter().flat_map(|(count, value)| std::iter::repeat_n(*value, *count as usize));
        let offsets = self.offsets.iter().flat_map(|(count, value)| std::iter::repeat_n(*value, *count as usize));
        let chunks = self
            .chunks
            .iter()
            .flat_map(|chunk| (0..chunk.samples).map(move |number| (number == 0).then_some(chunk.at)));
        let (mut decode, mut next) = (self.begin, 0);
        self.sizes.iter().zip(durations.zip(offsets)).zip(chunks).map(move |((size, (duration, offset)), begins)| {
            let size_and_flag = *size;
            let size = size_and_flag & !SYNC;
            let at = begins.unwrap_or(next);
            next = at + u64::from(size);
            let placed = Placed { decode, offset, duration, size, is_sync: size_and_flag & SYNC != 0, at };
            decode = decode.saturating_add(duration.into());
            placed
        })
    }

    pub(super) fn durations(&self) -> &[(u32, u32)] {
        &self.durations
    }

    pub(super) fn offsets(&self) -> &[(u32, i32)] {
        &self.offsets
    }

    pub(super) fn sizes(&self) -> impl ExactSizeIterator<Item = u32> {
        self.sizes.iter().map(|size| size & !SYNC)
    }

    /// The numbers of the sync samples, from 1 on; `None` when all are.
    pub(super) fn sync_samples(&self) -> Option<Vec<u32>> {
        let is_sync = |size: &u32| size & SYNC != 0;
        if self.sizes.iter().all(is_sync) {
            return None;
        }
        Some((1..).zip(&self.sizes).filter(|(_, size)| is_sync(size)).map(|(number, _)| number).collect())
    }

    pub(super) fn chunks(&self) -> &[Chunk] {
        &self.chunks
    }
}

impl Chunk {
    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

fn push_run<T: PartialEq + Copy>(runs: &mut Vec<(u32, T)>, value: T) {
    push_runs(runs, 1, value);
}

fn push_runs<T: PartialEq + Copy>(runs: &mut Vec<(u32, T)>, more: u32, value: T) {
    match runs.last_mut() {
        Some((count, last)) if *last == value => *count += more,
        _ => runs.push((more, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn samples_come_back_as_they_were_pushed(
            given in prop::collection::vec((1u32..5000, -50i32..50, 0u32..9000, any::<bool>(), any::<bool>()), 1..60),
        ) {
            let (mut table, mut expected, mut decode, mut at) = (SampleTable::default(), Vec::new(), 77, 100);
            for (duration, offset, size, is_sync, jumps) in given {
                at += if jumps { 1000 } else { 0 };
                let sample = Placed { decode, offset, duration, size, is_sync, at };
                table.push(sample);
                expected.push(sample);
                decode += u64::from(duration);
                at += u64::from(size);
            }
            prop_assert_eq!(table.samples().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!((table.begin(), table.end(), table.len()), (77, decode, expected.len()));
            prop_assert_eq!(table.bytes(), expected.iter().map(|sample| u64::from(sample.size)).sum::<u64>());
        }
    }

    proptest! {
        #[test]
        fn a_table_is_appended_as_its_samples_would_be(
            given in prop::collection::vec((1u32..50, -50i32..50, 0u32..9000, any::<bool>(), any::<bool>()), 2..60),
            split in 1usize..60, begin in 0u64..5000,
        ) {
            let (mut tables, mut expected) = ([SampleTable::default(), SampleTable::default()], SampleTable::default());
            let split = split.min(given.len() - 1);
            let (mut decode, mut at) = (7, 100);
            let mut samples = Vec::new();
            for (number, (duration, offset, size, is_sync, jumps)) in given.into_iter().enumerate() {
                at += if jumps { 1000 } else { 0 };
                let sample = Placed { decode, offset, duration, size, is_sync, at };
                tables[usize::from(number >= split)].push(sample);
                samples.push(sample);
                decode += u64::from(duration);
                at += u64::from(size);
            }
            let [mut first, second] = tables;
            // All of it stays where it is, at another time.
            let shift = |sample: &Placed| Placed { decode: sample.decode - samples[split].decode + begin, ..*sample };
            samples[..split].iter().for_each(|sample| expected.push(*sample));
            samples[split..].iter().for_each(|sample| expected.push(shift(sample)));
            let places: Vec<u64> = second.chunks().iter().map(|chunk| chunk.at).collect();
            first.append(&second, begin, &places);
            prop_assert_eq!(first, expected);
        }
    }

    #[test]
    fn a_gap_makes_the_sample_before_longer() {
        let sample = |decode, at| Placed { decode, offset: 0, duration: 10, size: 5, is_sync: true, at };
        let mut table = SampleTable::default();
        [sample(0, 0), sample(10, 5), sample(100, 10)].into_iter().for_each(|sample| table.push(sample));
        let found: Vec<_> = table.samples().map(|sample| (sample.decode, sample.duration)).collect();
        assert_eq!(found, [(0, 10), (10, 90), (100, 10)]);
        // One that comes too early is not lost either.
        table.push(sample(90, 15));
        let found: Vec<_> = table.samples().map(|sample| (sample.decode, sample.duration)).collect();
        assert_eq!(found[2..], [(100, 1), (101, 10)]);
    }
}
