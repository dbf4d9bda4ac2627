//! FLV of one video and one audio track.
//!
//! Header tags have the time 0, media tags the milliseconds since shortly before the first sample, whenever a reader joins.
//! ffmpeg, VLC, GStreamer and mpegts.js take the first media tag for the begin, however late it is: so one copy of
//! each tag serves all readers, and the timeline may continue over restarts of the source.
//!
//! Both tracks leave as they come, each with its own times; players sort. New parameters of a codec are sequence headers
//! in line. Another codec, or a track less, would need other flags in the header of the file, which players
//! believe to the end. Audio that comes to video is for those only whose header has it: the others continue without.

use super::tag::{self, Codec, Part};
use super::timeline::Timeline;
use super::{config, metadata};
use crate::media::codec::CodecParameters;
use crate::media::mux::{HeaderChange, Muxed};
use crate::media::sample::Sample;
use crate::media::{Kind, Packet, TrackId, TrackInfo};
use bytes::Bytes;

/// Makes tags of samples.
#[derive(Debug, Default)]
pub struct Muxer {
    video: Option<Stream>,
    audio: Option<Stream>,
    /// The newest one; empty before the first.
    header: Bytes,
    timeline: Timeline,
    /// How often audio came to video.
    version: u32,
}

/// A track that is carried.
#[derive(Debug, PartialEq, Eq)]
struct Stream {
    id: TrackId,
    codec: Codec,
    /// The body of its sequence header, if it has one.
    config: Option<Vec<u8>>,
    /// See [`config::keyframe_prefix`].
    prefix: Bytes,
    /// Headers of this version and of later ones have it.
    since: u32,
}

impl Stream {
    fn of(track: &TrackInfo) -> Option<Self> {
        let codec = Codec::of(track)?;
        let config = config::write(&track.codec)
            .and_then(|record| Some([&tag::write(codec, 0, Part::Config)?[..], &record].concat()));
        let prefix = config::keyframe_prefix(&track.codec);
        Some(Self { id: track.id, codec, config, prefix, since: 0 })
    }

    fn kind(&self) -> u8 {
        if self.codec.is_video() { tag::VIDEO } else { tag::AUDIO }
    }
}

impl Muxer {
    /// One without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a track of this codec can be carried. Of G.711 that is so at 8 kHz with one or two channels only; other tracks
    /// of it are dropped.
    pub fn carries(codec: &CodecParameters) -> bool {
        use crate::media::codec::pcm::Format;
        match codec {
            CodecParameters::H264(_)
            | CodecParameters::H265(_)
            | CodecParameters::Av1(_)
            | CodecParameters::Vp8
            | CodecParameters::Vp9(_)
            | CodecParameters::Aac(_)
            | CodecParameters::Opus(_)
            | CodecParameters::Flac(_)
            | CodecParameters::Ac3(_)
            | CodecParameters::Eac3(_)
            | CodecParameters::Pcm(Format::ALaw | Format::MuLaw) => true,
            CodecParameters::MpegAudio(parameters) => parameters.layer == 3,
            _ => false,
        }
    }

    /// The tracks from now on: the first of video and the first of audio that FLV carries are taken.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let find = |is_video: bool| {
            tracks
                .iter()
                .find_map(|track| Some((track, Stream::of(track).filter(|it| it.codec.is_video() == is_video)?)))
        };
        let (infos, streams): (Vec<_>, Vec<_>) = [find(true), find(false)].into_iter().flatten().unzip();
        let header: Bytes = header(&infos, &streams).into();
        let (videos, audios): (Vec<_>, Vec<_>) = streams.into_iter().partition(|stream| stream.codec.is_video());
        let before = (self.video.take(), self.audio.take());
        (self.video, self.audio) = (videos.into_iter().next(), audios.into_iter().next());
        let id = |stream: &Option<Stream>| stream.as_ref().map(|stream| stream.codec.id());
        let stays = !self.header.is_empty() && id(&before.0) == id(&self.video);
        let is_added = stays && before.0.is_some() && before.1.is_none() && self.audio.is_some();
        self.version += u32::from(is_added);
        if let Some(audio) = &mut self.audio {
            audio.since = match &before.1 {
                None if is_added => self.version,
                Some(before) if stays && before.codec.id() == audio.codec.id() => before.since,
                _ => 0,
            };
        }
        if header == self.header || (self.video.is_none() && self.audio.is_none()) {
            return;
        }
        let readers = match self.header.is_empty() {
            false if is_added => HeaderChange::Added { version: self.version },
            false if (id(&before.0), id(&before.1)) != (id(&self.video), id(&self.audio)) => HeaderChange::End,
            _ => HeaderChange::None,
        };
        if !self.header.is_empty() && readers != HeaderChange::End {
            let time = wrapped(self.timeline.newest());
            for (before, now) in [(&before.0, &self.video), (&before.1, &self.audio)] {
                if let Some(now) = now
                    && let Some(body) = now.config.as_deref()
                    && before.as_ref().is_some_and(|before| before.config != now.config)
                {
                    let config = packet(now.kind(), time, [body, &[]], &Bytes::new(), Kind::Delta);
                    out.extend(config.map(|mut config| {
                        config.needs = now.since;
                        Muxed::Packet(config)
                    }));
                }
            }
        }
        self.header = header.clone();
        out.push(Muxed::Header { bytes: header, readers });
    }

    /// The next sample. Samples of other tracks are ignored, and those that a tag has no room for: 16 MB.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let is_of = |stream: &&Stream| stream.id == sample.track;
        let Some(stream) = self.video.as_ref().filter(is_of).or(self.audio.as_ref().filter(is_of)) else { return };
        let is_video = stream.codec.is_video();
        let stamp = self.timeline.place(!is_video, sample.dts, sample.pts, sample.discontinuity);
        let is_keyframe = sample.is_sync || !is_video;
        let part = Part::Frame { is_keyframe, composition: stamp.composition };
        let Some(head) = tag::write(stream.codec, 0, part).filter(|_| !sample.data.is_empty()) else { return };
        let is_join = is_keyframe && (is_video || self.video.is_none());
        let kind = if is_join { Kind::Keyframe } else { Kind::Delta };
        let prefix = if sample.is_sync { &stream.prefix[..] } else { &[] };
        let front = [&head, prefix];
        let Some(mut packet) = packet(stream.kind(), wrapped(stamp.time), front, &sample.data, kind) else { return };
        packet.needs = stream.since;
        packet.discontinuity = sample.discontinuity;
        packet.captured = sample.captured;
        packet.entered = sample.entered;
        out.push(Muxed::Packet(packet));
    }
}

/// The header of a file (Adobe FLV 10.1, section E.2) and its first tags.
fn header(tracks: &[&TrackInfo], streams: &[Stream]) -> Vec<u8> {
    let has = |is_video: bool| u8::from(streams.iter().any(|stream| stream.codec.is_video() == is_video));
    let mut header = vec![b'F', b'L', b'V', 1, has(false) << 2 | has(true), 0, 0, 0, 9, 0, 0, 0, 0];
    let bodies = streams.iter().filter_map(|stream| Some((stream.kind(), stream.config.clone()?)));
    for (kind, body) in std::iter::once((tag::SCRIPT, metadata::write(tracks))).chain(bodies) {
        header.extend_from_slice(&tag::frame_head(kind, body.len(), 0));
        header.extend_from_slice(&body);
        header.extend_from_slice(&tag::frame_tail(body.len()));
    }
    header
}

/// A tag with a body of these parts; `None` when it would be too long.
fn packet(tag: u8, time: u32, [head, prefix]: [&[u8]; 2], data: &Bytes, kind: Kind) -> Option<Packet> {
    let length = Some(head.len() + prefix.len() + data.len()).filter(|length| *length <= tag::MAX_BODY)?;
    let front = [&tag::frame_head(tag, length, time), head, prefix];
    Some(Packet::framed(kind, &front, data, &tag::frame_tail(length)))
}

/// Tags have 32 bits for it, which last 49 days.
fn wrapped(millis: i64) -> u32 {
    (millis & i64::from(u32::MAX)) as u32
}
