//! Samples out of FLV that may begin anywhere and have gaps, garbage and a new header.

mod clock;
mod held;
mod track;

use super::metadata::{self, Metadata};
use super::reader::{Found, Reader};
use super::tag::{self, Codec, Part, Unit, Unsupported};
use crate::media::demux::Demuxed;
use crate::media::{TrackId, TrackSet};
use bytes::Bytes;
use clock::Clock;
use held::Held;
use track::Track;

/// Most tracks of a stream. Enhanced RTMP has numbers for 256 of each kind; publishers send up to six video tracks.
const MAX_TRACKS: usize = 8;
/// Most codecs that are remembered as unsupported: a FourCC may be anything.
const MAX_UNSUPPORTED: usize = 16;

/// Takes the bytes of a file or live stream. Legacy and enhanced tags and any number of tracks up to eight are understood; what else
/// there is, is stepped over.
#[derive(Debug, Default)]
pub struct Demuxer {
    reader: Reader,
    metadata: Metadata,
    clock: Clock,
    tracks: Vec<Track>,
    /// The first samples, while tracks are awaited.
    held: Held,
    announced: Option<TrackSet>,
    unsupported: Vec<Unsupported>,
}

impl Demuxer {
    /// One that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes in pieces of any size.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        self.reader.push(bytes);
        while let Some(found) = self.reader.next() {
            self.take(found, out);
        }
    }

    /// Takes the body of a tag by itself, as a message of RTMP has it; `time` is in milliseconds, with wraps.
    pub fn message(&mut self, kind: u8, time: u32, body: &Bytes, out: &mut Vec<Demuxed>) {
        self.tag(kind, time, body, out);
    }

    /// No more bytes follow: what is held leaves.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        self.reader.finish();
        while let Some(found) = self.reader.next() {
            self.take(found, out);
        }
        self.release(out);
    }

    /// Names of the codecs of tracks that are ignored, as they were found.
    pub fn unsupported(&self) -> Vec<String> {
        self.unsupported.iter().map(ToString::to_string).collect()
    }

    fn take(&mut self, found: Found, out: &mut Vec<Demuxed>) {
        match found {
            Found::Header { has_video, has_audio } => {
                self.release(out);
                self.held = Held::default();
                self.clock = Clock::default();
                // Some write a header without flags and any tags after it.
                let is_said = has_video || has_audio;
                self.metadata = Metadata {
                    video: is_said.then_some(has_video),
                    audio: is_said.then_some(has_audio),
                    frame_rate: None,
                };
                self.tracks.iter_mut().for_each(Track::restart);
            }
            Found::Tag { kind, time, body, is_after_gap } => {
                if is_after_gap {
                    self.tracks.iter_mut().for_each(Track::cut);
                }
                self.tag(kind, time, &body, out);
            }
        }
    }

    fn tag(&mut self, kind: u8, time: u32, body: &Bytes, out: &mut Vec<Demuxed>) {
        let units = match kind {
            tag::VIDEO => tag::read_video(body),
            tag::AUDIO => tag::read_audio(body),
            _ => {
                if let Some(said) = metadata::read(body) {
                    self.metadata.add(said);
                    let main = self.tracks.iter_mut().filter(|track| track.number == 0 && track.codec.is_video());
                    main.for_each(|track| track.set_frame_rate(self.metadata.frame_rate));
                }
                return;
            }
        };
        for unit in units {
            self.unit(kind == tag::VIDEO, time, unit, out);
        }
    }

    fn unit(&mut self, is_video: bool, time: u32, unit: Unit, out: &mut Vec<Demuxed>) {
        if let Codec::Unsupported(codec) = unit.codec {
            self.ignore(codec, is_video);
            return;
        }
        if unit.codec.is_video() != is_video {
            return;
        }
        let Some(place) = self.place(unit.track, unit.codec) else { return };
        let Some(track) = self.tracks.get(place) else { return };
        let is_config = unit.part == Part::Config;
        // What is held was coded as it was said so far.
        if track.info().is_some() && (track.has_other(unit.codec) || is_config && track.is_news(&unit.data)) {
            self.release(out);
        }
        let Some(track) = self.tracks.get_mut(place) else { return };
        track.set_codec(unit.codec);
        match unit.part {
            // Times of configurations are wrong where OBS sends them.
            Part::Config => track.configure(unit.data),
            Part::Frame { composition, .. } if !unit.data.is_empty() => {
                let decoded = self.clock.nanos(time).saturating_add(unit.nanos.into());
                for (frame, later) in track::frames(unit.codec, unit.data) {
                    let decoded = decoded.saturating_add_unsigned(later);
                    self.frame(place, frame, decoded, composition, out);
                }
            }
            _ => {}
        }
    }

    fn frame(&mut self, place: usize, frame: Bytes, decoded: i64, composition: i32, out: &mut Vec<Demuxed>) {
        let Some(track) = self.tracks.get_mut(place) else { return };
        let Some((sample, is_new)) = track.frame(frame, decoded, composition) else { return };
        if self.held.is_over() {
            if is_new {
                self.announce(out);
            }
            out.push(Demuxed::Sample(sample));
        } else if self.held.push(sample) || self.is_complete() {
            self.release(out);
        }
    }

    /// Remembers a codec, whose track is not awaited.
    fn ignore(&mut self, codec: Unsupported, is_video: bool) {
        let is_expected = if is_video { &mut self.metadata.video } else { &mut self.metadata.audio };
        *is_expected = Some(false);
        if !self.unsupported.contains(&codec) && self.unsupported.len() < MAX_UNSUPPORTED {
            self.unsupported.push(codec);
        }
    }

    /// Where the track with this number is; `None` when there are too many.
    fn place(&mut self, number: u8, codec: Codec) -> Option<usize> {
        let is_it = |track: &Track| track.number == number && track.codec.is_video() == codec.is_video();
        let known = self.tracks.iter().position(is_it);
        if known.is_some() {
            return known;
        }
        let id = TrackId(u8::try_from(self.tracks.len()).ok().filter(|id| usize::from(*id) < MAX_TRACKS)?);
        let mut track = Track::new(id, number, codec);
        if number == 0 && codec.is_video() {
            track.set_frame_rate(self.metadata.frame_rate);
        }
        self.tracks.push(track);
        Some(self.tracks.len() - 1)
    }

    /// Whether all tracks that are to be expected are known. Where nothing is said, both kinds are.
    fn is_complete(&self) -> bool {
        let has = |is_video: bool| {
            self.tracks.iter().any(|track| track.codec.is_video() == is_video && track.info().is_some())
        };
        let is_known = self.tracks.iter().all(|track| !track.is_present || track.info().is_some());
        is_known
            && (has(true) || self.metadata.video == Some(false))
            && (has(false) || self.metadata.audio == Some(false))
    }

    /// Lets go of the samples that are held, after the tracks that are known.
    fn release(&mut self, out: &mut Vec<Demuxed>) {
        if self.held.is_over() {
            return;
        }
        let samples = self.held.take();
        if samples.is_empty() {
            return;
        }
        self.announce(out);
        out.extend(samples.into_iter().map(Demuxed::Sample));
    }

    /// Says which tracks there are, if that is news.
    fn announce(&mut self, out: &mut Vec<Demuxed>) {
        let mut tracks: Vec<&Track> = self.tracks.iter().collect();
        tracks.sort_by_key(|track| (!track.codec.is_video(), track.number));
        let set = TrackSet::new(tracks.into_iter().filter_map(Track::info).collect());
        if self.announced.as_ref() != Some(&set) {
            self.announced = Some(set.clone());
            out.push(Demuxed::Tracks(set));
        }
    }
}

#[cfg(test)]
mod tests;
