//! One track on its way from blocks to samples in canonical form.

use super::super::coding;
use super::entry::Entry;
use crate::media::codec::canonical::Canonicalizer;
use crate::media::codec::{CodecParameters, h264_sps, mpeg_audio, opus};
use crate::media::reorder::{Ordered, Reorder};
use crate::media::track::{AudioShape, Shape, VideoShape};
use crate::media::{Time, TrackId, TrackInfo, sample::Sample};
use bytes::Bytes;
use std::time::Duration;

/// Samples of an AAC frame, of whatever rate it is.
const AAC_SAMPLES: u32 = 1024;

/// A track.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) number: u64,
    id: TrackId,
    canonicalizer: Canonicalizer,
    /// What the container says.
    shape: Shape,
    has_aspect: bool,
    duration: Option<Duration>,
    delay: i64,
    stripped: Bytes,
    info: Option<TrackInfo>,
    /// Only for codecs that may have B-frames.
    reorder: Option<Reorder<Sample>>,
    is_interrupted: bool,
    /// Time of the last block and how many frames it had.
    last: Option<(Time, i64)>,
}

/// What a block or group says of its frames.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// Of the first frame, as the container has it.
    pub(super) time: Time,
    /// Of all frames.
    pub(super) duration: Option<Duration>,
    pub(super) is_sync: bool,
}

/// What comes of a frame, in order.
#[derive(Debug)]
pub(super) enum Taken {
    /// The track is known now, or is another one than before.
    Changed,
    Sample(Sample),
}

impl Track {
    /// A track whose samples have this number. `is_interrupted` when others of it came before.
    pub(super) fn new(id: TrackId, entry: Entry, is_interrupted: bool) -> Self {
        let mut track = Self {
            number: entry.number,
            id,
            canonicalizer: Canonicalizer::new(entry.form),
            shape: entry.shape,
            has_aspect: entry.has_aspect,
            duration: entry.duration,
            delay: entry.delay,
            stripped: entry.stripped,
            info: None,
            reorder: None,
            is_interrupted,
            last: None,
        };
        track.learn();
        track
    }

    /// What is known of it; `None` when its parameters are missing.
    pub(super) fn info(&self) -> Option<&TrackInfo> {
        self.info.as_ref()
    }

    /// Samples were lost.
    pub(super) fn interrupt(&mut self) {
        self.is_interrupted = true;
    }

    /// Takes the frames of a block.
    pub(super) fn take(&mut self, frames: Vec<Bytes>, timing: Timing, out: &mut Vec<Taken>) {
        let count = i64::try_from(frames.len()).unwrap_or(i64::MAX).max(1);
        let of_block = timing.duration.map(|duration| duration / u32::try_from(count).unwrap_or(1));
        let own = of_block.filter(|duration| !duration.is_zero()).or(self.duration);
        // What the blocks before say, for frames that say nothing themselves.
        let usual = self.last.map(|(time, count)| timing.time.since(time) / count).filter(|step| *step > 0);
        self.last = Some((timing.time, count));
        let mut time = timing.time.shifted(-self.delay);
        for frame in frames {
            let frame = match self.stripped.is_empty() {
                true => frame,
                false => Bytes::from([&self.stripped[..], &frame].concat()),
            };
            let step = || own.or_else(|| self.frame_duration(&frame)).map(nanos).or(usual).unwrap_or_default();
            let next = if count > 1 { time.shifted(step()) } else { time };
            self.frame(frame, time, own, timing.is_sync, out);
            time = next;
        }
    }

    /// What waits leaves.
    pub(super) fn finish(&mut self, out: &mut Vec<Taken>) {
        let mut ordered = Vec::new();
        if let Some(reorder) = &mut self.reorder {
            reorder.restart(&mut ordered);
        }
        out.extend(ordered.into_iter().map(timed));
    }

    fn frame(&mut self, frame: Bytes, time: Time, duration: Option<Duration>, is_sync: bool, out: &mut Vec<Taken>) {
        let Some(canonical) = self.canonicalizer.push(frame) else { return };
        let mut ordered = Vec::new();
        if canonical.parameters_changed || self.info.is_none() {
            let before = self.info.clone();
            self.learn();
            if self.info != before {
                // What waits is of the track as it was.
                if let Some(reorder) = &mut self.reorder {
                    reorder.release(&mut ordered);
                }
                out.extend(ordered.drain(..).map(timed));
                out.push(Taken::Changed);
            }
        }
        let Some(info) = self.info.as_ref().filter(|_| !canonical.data.is_empty()) else { return };
        let sample = Sample {
            track: self.id,
            dts: time,
            pts: time,
            duration,
            is_sync: canonical.is_sync && (is_sync || !info.codec.is_video()),
            discontinuity: std::mem::take(&mut self.is_interrupted),
            captured: None,
            entered: None,
            data: canonical.data,
        };
        let Some(reorder) = &mut self.reorder else { return out.push(Taken::Sample(sample)) };
        if sample.discontinuity {
            reorder.restart(&mut ordered);
        }
        reorder.push(time, sample, &mut ordered);
        out.extend(ordered.into_iter().map(timed));
    }

    /// Looks at what is known of the codec now.
    fn learn(&mut self) {
        let Some((codec, shape)) = self.canonicalizer.parameters() else { return };
        let shape = match (shape, self.shape) {
            (Shape::Video(own), Shape::Video(said)) => Shape::Video(VideoShape {
                width: if own.width == 0 { said.width } else { own.width },
                height: if own.height == 0 { said.height } else { own.height },
                pixel_aspect: if self.has_aspect { said.pixel_aspect } else { own.pixel_aspect },
                frame_rate: own.frame_rate.or(said.frame_rate),
            }),
            (Shape::Audio(own), Shape::Audio(said)) => Shape::Audio(AudioShape {
                rate: if own.rate == 0 { said.rate } else { own.rate },
                channels: if own.channels == 0 { said.channels } else { own.channels },
            }),
            // The type of the track contradicts its codec.
            _ => return,
        };
        let info = TrackInfo { id: self.id, codec: codec.clone(), shape };
        let depth = depth(&info.codec);
        match &mut self.reorder {
            Some(reorder) => depth.into_iter().for_each(|depth| reorder.set_depth(depth)),
            None if coding::reorders(&info.codec) => {
                let rate = info.video().and_then(|shape| shape.frame_rate);
                let of_rate =
                    rate.and_then(|(frames, seconds)| Duration::from_secs(seconds.into()).checked_div(frames));
                self.reorder = Some(Reorder::new(depth.unwrap_or(0), self.duration.or(of_rate)));
            }
            None => {}
        }
        self.info = Some(info);
    }

    /// How long a frame of audio lasts, if it says so.
    fn frame_duration(&self, frame: &[u8]) -> Option<Duration> {
        let info = self.info.as_ref()?;
        let rate = info.audio()?.rate;
        let (samples, rate) = match &info.codec {
            CodecParameters::Opus(_) => (opus::samples(frame)?, 48_000),
            CodecParameters::Aac(parameters) => match parameters.parse() {
                Some(config) => (config.samples(), config.rate()),
                None => (AAC_SAMPLES, rate),
            },
            CodecParameters::MpegAudio(_) => {
                let header = mpeg_audio::Header::parse(frame)?;
                (header.samples, header.rate)
            }
            CodecParameters::Ac3(_) | CodecParameters::Eac3(_) => {
                let header = crate::media::codec::ac3::Header::parse(frame)?;
                (header.samples, header.rate)
            }
            CodecParameters::Flac(_) => (crate::media::codec::flac::block_size(frame)?, rate),
            CodecParameters::Pcm(format) => {
                let bytes = format.bytes() * usize::from(info.audio()?.channels.max(1));
                (u32::try_from(frame.len() / bytes).ok()?, rate)
            }
            _ => return None,
        };
        (rate > 0).then(|| Duration::from_nanos(u64::from(samples) * 1_000_000_000 / u64::from(rate)))
    }
}

/// The reorder depth, where parameter sets say it.
fn depth(codec: &CodecParameters) -> Option<usize> {
    match codec {
        CodecParameters::H264(parameters) => {
            h264_sps::Sps::parse(parameters.sps.first()?)?.max_num_reorder.map(usize::from)
        }
        CodecParameters::H265(parameters) => Some(parameters.first_sps()?.max_num_reorder.into()),
        _ => None,
    }
}

fn timed(frame: Ordered<Sample>) -> Taken {
    Taken::Sample(Sample { dts: frame.dts, pts: frame.pts, ..frame.item })
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
