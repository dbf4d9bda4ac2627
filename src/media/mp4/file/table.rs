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

fn push_run<T: PartialEq + Copy>(runs: &mut Vec<(u32, T)>, value: T) {
    match runs.last_mut() {
        Some((count, last)) if *last == value => *count += 1,
        _ => runs.push((1, value)),
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
