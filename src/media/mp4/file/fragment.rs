//! A fragment of several samples of several tracks: `moof` and `mdat` (section 8.8).

use super::table::Placed;
use crate::media::mp4::{
    box_writer::{words, write, write_full},
    front::{NON_SYNC, SYNC},
};

/// `tfhd`: offsets of data count from the begin of `moof` (section 8.8.7.1).
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// `trun`: an offset of the data; each sample has duration, size, flags and composition offset (section 8.8.8.1).
const RUN: u32 = 0x0f01;
/// Length of the head of `mdat`.
const MDAT: usize = 8;

/// The samples of one track, whose bytes follow one another.
#[derive(Debug)]
pub(super) struct Run {
    /// `track_ID`.
    pub(super) track: u32,
    pub(super) samples: Vec<Placed>,
    /// Bytes of all of them.
    pub(super) length: usize,
}

/// What stands before the bytes of these runs, and where those of each begin in the fragment. `None` if it is larger than a
/// box may be.
pub(super) fn front(sequence: u32, runs: &[Run]) -> Option<(Vec<u8>, Vec<u64>)> {
    let data: usize = runs.iter().map(|run| run.length).sum();
    let samples: usize = runs.iter().map(|run| run.samples.len()).sum();
    let mut out = Vec::with_capacity(data + 16 * samples + 80 * runs.len() + 64);
    let mut places = Vec::new();
    write(b"moof", &mut out, |out| {
        write_full(b"mfhd", 0, 0, out, |out| words(out, &[sequence]));
        for run in runs {
            write(b"traf", out, |out| {
                write_full(b"tfhd", 0, DEFAULT_BASE_IS_MOOF, out, |out| words(out, &[run.track]));
                let begin = run.samples.first().map_or(0, |sample| sample.decode);
                write_full(b"tfdt", 1, 0, out, |out| out.extend_from_slice(&begin.to_be_bytes()));
                write_full(b"trun", 1, RUN, out, |out| {
                    words(out, &[u32::try_from(run.samples.len()).unwrap_or(u32::MAX)]);
                    places.push(out.len());
                    words(out, &[0]);
                    for sample in &run.samples {
                        let flags = if sample.is_sync { SYNC } else { NON_SYNC };
                        let offset = u32::from_be_bytes(sample.offset.to_be_bytes());
                        words(out, &[sample.duration, sample.size, flags, offset]);
                    }
                });
            });
        }
    });
    let mut at = out.len() + MDAT;
    let mut begins = Vec::with_capacity(runs.len());
    for (run, place) in runs.iter().zip(places) {
        let offset = u32::try_from(at).ok()?.to_be_bytes();
        out.get_mut(place..place + offset.len())?.copy_from_slice(&offset);
        begins.push(at as u64);
        at += run.length;
    }
    words(&mut out, &[u32::try_from(data + MDAT).ok()?]);
    out.extend_from_slice(b"mdat");
    Some((out, begins))
}
