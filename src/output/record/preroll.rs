//! What was shortly before a request to record: the newest samples, from a keyframe on. Pure.

use crate::media::{Sample, Time, TrackId, TrackInfo, track::lead};
use std::{collections::VecDeque, time::Duration};

/// Most bytes: half of what may wait for the disk, where they go together.
const MAX_BYTES: usize = 32 << 20;
/// Most samples.
const MAX_SAMPLES: usize = 16_384;

/// The newest samples of a stream.
#[derive(Debug)]
pub struct PreRoll {
    /// At least so much is kept, and a GOP more at most.
    before: Duration,
    lead: Option<TrackId>,
    samples: VecDeque<Sample>,
    bytes: usize,
}

impl PreRoll {
    /// Nothing yet.
    pub fn new(before: Duration) -> Self {
        Self { before, lead: None, samples: VecDeque::new(), bytes: 0 }
    }

    /// The tracks of what follows: what was before does not continue in it.
    pub fn tracks(&mut self, tracks: &[TrackInfo]) {
        self.lead = lead(tracks).map(|track| track.id);
        self.clear();
    }

    /// The newest sample.
    pub fn push(&mut self, sample: Sample) {
        let is_lead = Some(sample.track) == self.lead;
        if is_lead && (sample.discontinuity || self.newest().is_some_and(|newest| sample.dts < newest)) {
            self.clear();
        }
        let (is_key, dts) = (is_lead && sample.is_sync, sample.dts);
        self.bytes += sample.data.len();
        self.samples.push_back(sample);
        if is_key {
            let least = i64::try_from(self.before.as_nanos()).unwrap_or(i64::MAX);
            // From the newest keyframe on that is old enough.
            if let Some(key) = self.keys().filter(|(_, key)| dts.since(*key) >= least).last() {
                self.drop_before(key);
            }
        }
        while self.bytes > MAX_BYTES || self.samples.len() > MAX_SAMPLES {
            let second = self.keys().nth(1);
            match second {
                Some(key) => self.drop_before(key),
                None => self.clear(),
            }
        }
    }

    /// All that is kept, which is forgotten here.
    pub fn take(&mut self) -> impl Iterator<Item = Sample> + use<> {
        self.bytes = 0;
        std::mem::take(&mut self.samples).into_iter()
    }

    /// Bytes that are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn clear(&mut self) {
        self.samples.clear();
        self.bytes = 0;
    }

    fn newest(&self) -> Option<Time> {
        self.samples.iter().rev().find(|sample| Some(sample.track) == self.lead).map(|sample| sample.dts)
    }

    /// The keyframes, with their places.
    fn keys(&self) -> impl Iterator<Item = (usize, Time)> {
        let is_key = |sample: &&Sample| Some(sample.track) == self.lead && sample.is_sync;
        self.samples
            .iter()
            .enumerate()
            .filter(move |(_, sample)| is_key(sample))
            .map(|(place, sample)| (place, sample.dts))
    }

    /// Forgets what is before a keyframe, but for samples of other tracks that came early.
    fn drop_before(&mut self, (place, time): (usize, Time)) {
        let early: Vec<Sample> = self
            .samples
            .drain(..place)
            .filter(|sample| Some(sample.track) != self.lead && sample.dts >= time)
            .collect();
        early.into_iter().rev().for_each(|sample| self.samples.push_front(sample));
        self.bytes = self.samples.iter().map(|sample| sample.data.len()).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        codec::{CodecParameters, aac, h264},
        track::{AudioShape, Shape, VideoShape},
    };
    use bytes::Bytes;

    fn tracks() -> [TrackInfo; 2] {
        let sets = h264::Parameters {
            sps: vec![Bytes::from_static(b"\x67\x42\xc0\x1e")],
            pps: vec![Bytes::from_static(b"\x68\xce")],
        };
        let video = VideoShape { width: 640, height: 360, pixel_aspect: (1, 1), frame_rate: None };
        let aac = aac::Parameters { config: Bytes::from_static(&[0x12, 0x10]) };
        let audio = Shape::Audio(AudioShape { rate: 44_100, channels: 2 });
        [
            TrackInfo { id: TrackId(0), codec: CodecParameters::H264(sets), shape: Shape::Video(video) },
            TrackInfo { id: TrackId(1), codec: CodecParameters::Aac(aac), shape: audio },
        ]
    }

    fn sample(track: u8, millis: i64, is_sync: bool, length: usize) -> Sample {
        let time = Time::from_nanos(millis * 1_000_000);
        Sample {
            track: TrackId(track),
            dts: time,
            pts: time,
            duration: None,
            is_sync,
            discontinuity: false,
            captured: None,
            entered: None,
            data: vec![0; length].into(),
        }
    }

    /// Video of 10 frames a second with a keyframe each second, and audio that is 50 ms ahead.
    fn run(preroll: &mut PreRoll, tenths: std::ops::Range<i64>, length: usize) {
        for number in tenths {
            preroll.push(sample(1, number * 100 + 50, true, 10));
            preroll.push(sample(0, number * 100, number % 10 == 0, length));
        }
    }

    fn begins(preroll: &mut PreRoll) -> Option<i64> {
        preroll.take().find(|sample| sample.track == TrackId(0)).map(|sample| sample.dts.nanos() / 1_000_000)
    }

    #[test]
    fn there_is_as_much_as_asked_for_and_a_gop_more_at_most() {
        for (until, expected) in [(5, 0), (25, 0), (30, 0), (31, 0), (40, 0), (41, 1000), (49, 1000), (51, 2000)] {
            let mut preroll = PreRoll::new(Duration::from_secs(3));
            preroll.tracks(&tracks());
            run(&mut preroll, 0..until, 100);
            let expected = if until == 31 || until == 40 { 0 } else { expected };
            assert_eq!(begins(&mut preroll), Some(expected), "{until}");
        }
    }

    #[test]
    fn audio_that_comes_before_its_keyframe_stays() {
        let mut preroll = PreRoll::new(Duration::from_secs(1));
        preroll.tracks(&tracks());
        run(&mut preroll, 0..31, 100);
        let samples: Vec<_> = preroll.take().collect();
        assert_eq!((samples[0].track, samples[0].dts.nanos() / 1_000_000), (TrackId(1), 2050));
        assert_eq!((samples[1].track, samples[1].dts.nanos() / 1_000_000), (TrackId(0), 2000));
        assert_eq!(preroll.bytes(), 0);
    }

    #[test]
    fn memory_is_bounded_and_a_jump_begins_again() {
        let mut preroll = PreRoll::new(Duration::from_secs(60));
        preroll.tracks(&tracks());
        run(&mut preroll, 0..100, 1 << 20);
        assert!(preroll.bytes() <= MAX_BYTES);
        assert!(begins(&mut preroll).unwrap() % 1000 == 0, "it begins with a keyframe");
        run(&mut preroll, 100..120, 100);
        preroll.push(sample(0, 500, true, 100));
        assert_eq!(begins(&mut preroll), Some(500));
        // One GOP that is too large.
        preroll.push(sample(0, 600, true, 100));
        preroll.push(sample(0, 700, false, MAX_BYTES));
        assert_eq!((preroll.bytes(), begins(&mut preroll)), (0, None));
        run(&mut preroll, 10..12, 100);
        preroll.tracks(&tracks());
        assert_eq!(begins(&mut preroll), None);
    }
}
