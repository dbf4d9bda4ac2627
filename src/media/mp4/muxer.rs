//! A muxer for live tracks: a header, then a fragment for each sample (section 8.8).
//!
//! What a second header means to readers that are there:
//!
//! | what changes | readers | why |
//! |---|---|---|
//! | parameter sets and the like, not the size and not the codec | get it in line | players of Media Source Extensions take it; for all others (ffmpeg skips a second `moov`) the samples have the parameter sets from then on |
//! | a track comes, stays away or comes back | end | Media Source Extensions allow the same tracks only, and others know those of the first header only |
//! | size, codec, rate, configuration of AAC, Opus, FLAC | end | only the header says it |
//!
//! A track that stays away while others continue leaves the header: a player would wait for it without end.

use super::front::front;
use super::header::{header_for, number, timescale};
use super::sample_entry;
use super::timeline::{Place, Timeline};
use super::timing::{Clock, Tempo};
use crate::media::{
    Kind, Packet,
    codec::{CodecParameters, ac3, flac, mpeg_audio, nal, opus},
    mux::{HeaderChange, Muxed},
    sample::Sample,
    track::{MediaKind, Shape, TrackId, TrackInfo, lead},
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A track that stays away for so long while others continue is gone.
const GONE: Duration = Duration::from_secs(2);
/// The same of one with long pauses: so many of its longest.
const GONE_PAUSES: u32 = 3;
/// When nothing at all comes for so long, no track is gone: the source is.
const REST: Duration = Duration::from_millis(500);
/// A keyframe is asked for no more often.
const ASK: Duration = Duration::from_secs(1);

/// Muxes live tracks into fragments of one sample each. The number of a track in the container is its [`TrackId`] and one.
#[derive(Debug, Default)]
pub struct Muxer {
    lanes: Vec<Lane>,
    timeline: Timeline,
    /// The newest header, and its tracks.
    header: Option<(Bytes, Vec<TrackInfo>)>,
    /// Whose sync samples readers begin with.
    lead: Option<TrackId>,
    has_video: bool,
    /// When the newest sample of all came.
    newest: Option<Instant>,
    /// When a keyframe was asked for.
    asked: Option<Instant>,
    /// Number of the last fragment.
    sequence: Option<u32>,
}

/// One track on its way.
#[derive(Debug)]
struct Lane {
    info: TrackInfo,
    clock: Clock,
    place: Place,
    /// It is in the header.
    is_listed: bool,
    /// When its newest sample came.
    seen: Option<Instant>,
    /// The longest recent pause between two; it shrinks with each shorter one.
    pause: Duration,
    /// What its samples have in front, so that they say what a header says.
    lead_in: LeadIn,
}

/// What samples have before them.
#[derive(Debug, Default)]
struct LeadIn {
    bytes: Vec<u8>,
    /// The next sample has it, whatever it is; else sync samples only.
    is_due: bool,
}

impl Muxer {
    /// A muxer without tracks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a track of this codec can be carried.
    pub const fn carries(codec: &CodecParameters) -> bool {
        sample_entry::carries(codec)
    }

    /// The tracks from now on, of which those are dropped that it does not carry.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let mut before = std::mem::take(&mut self.lanes);
        for info in tracks.iter().filter(|track| Self::carries(&track.codec)) {
            let known = before.iter().position(|lane| lane.info.id == info.id).map(|at| before.swap_remove(at));
            self.lanes.push(match known {
                Some(lane) => lane.becomes(info),
                None => Lane::new(info),
            });
        }
        self.announce(out);
    }

    /// Takes the next sample; its fragment leaves immediately. Those of unknown tracks are ignored.
    pub fn push(&mut self, sample: &Sample, now: Instant, out: &mut Vec<Muxed>) {
        let rested = self.newest.replace(now).is_none_or(|newest| now.saturating_duration_since(newest) > REST);
        for lane in self.lanes.iter_mut().filter(|lane| lane.is_listed && (rested || lane.seen.is_none())) {
            lane.seen = Some(now);
        }
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.info.id == sample.track) else { return };
        lane.beat(now);
        if !lane.is_listed || self.lanes.iter().any(|lane| lane.is_listed && lane.is_gone(now)) {
            self.lanes.iter_mut().for_each(|lane| lane.is_listed = !lane.is_gone(now));
            self.announce(out);
        }
        self.fragment(sample, now, out);
    }

    /// Sends the header of the tracks that are there, if it is another one.
    fn announce(&mut self, out: &mut Vec<Muxed>) {
        let listed = self.lanes.iter().filter(|lane| lane.is_listed).map(|lane| lane.info.clone());
        let listed: Vec<TrackInfo> = listed.collect();
        let lead = lead(&listed);
        self.lead = lead.map(|track| track.id);
        self.has_video = lead.is_some_and(|track| track.kind() == MediaKind::Video);
        if listed.is_empty() {
            return;
        }
        let bytes = header_for(&listed);
        let readers = match &self.header {
            None => HeaderChange::None,
            Some((known, _)) if *known == bytes => return,
            Some((_, tracks)) => {
                let continues = |(old, new): (&TrackInfo, &TrackInfo)| old.id == new.id && can_follow(old, new);
                match tracks.len() == listed.len() && tracks.iter().zip(&listed).all(continues) {
                    true => HeaderChange::Inline,
                    false => HeaderChange::End,
                }
            }
        };
        for lane in &mut self.lanes {
            let known = self.header.as_ref().and_then(|(_, tracks)| tracks.iter().find(|old| old.id == lane.info.id));
            match readers {
                HeaderChange::Inline if known.is_some_and(|known| known.codec != lane.info.codec) => {
                    lane.lead_in = LeadIn::in_band(&lane.info.codec);
                }
                HeaderChange::Inline => {}
                HeaderChange::None | HeaderChange::Added { .. } | HeaderChange::End => {
                    lane.lead_in = LeadIn::usual(&lane.info.codec)
                }
            }
        }
        self.header = Some((bytes.clone(), listed));
        out.push(Muxed::Header { bytes, readers });
    }

    fn fragment(&mut self, sample: &Sample, now: Instant, out: &mut Vec<Muxed>) {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.info.id == sample.track) else { return };
        let (decode, shown) = self.timeline.place(&mut lane.place, sample);
        let (times, is_torn) = lane.clock.place(decode, shown, lane.duration(sample));
        let has_lead_in = sample.is_sync || lane.lead_in.is_due;
        let lead_in = if has_lead_in { &lane.lead_in.bytes[..] } else { &[] };
        let length = lead_in.len() + sample.data.len();
        // Numbers grow over muxers that follow one another, as fragments come slower than one a millisecond.
        let begin = || u32::try_from((decode / 1_000_000).rem_euclid(u32::MAX.into())).unwrap_or(0);
        let sequence = self.sequence.unwrap_or_else(begin).wrapping_add(1);
        let Some(front) = front(number(sample.track), sequence, times, sample.is_sync, length) else { return };
        self.sequence = Some(sequence);
        let joins = sample.is_sync && self.lead == Some(sample.track);
        let kind = if joins { Kind::Keyframe } else { Kind::Delta };
        let mut packet = Packet::framed(kind, &[&front, lead_in], &sample.data, &[]);
        lane.lead_in.is_due = false;
        packet.discontinuity = sample.discontinuity;
        packet.captured = sample.captured;
        packet.entered = sample.entered;
        out.push(Muxed::Packet(packet));
        let may_ask = self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= ASK);
        // A step of any track makes players of Media Source Extensions drop frames of all (W3C, coded frame processing, 1.6).
        if is_torn && !joins && self.has_video && may_ask {
            self.asked = Some(now);
            out.push(Muxed::WantsKeyframe);
        }
    }
}

impl Lane {
    fn new(info: &TrackInfo) -> Self {
        let tempo = Tempo::of(info);
        Self {
            info: info.clone(),
            clock: Clock::of(tempo),
            place: Place::default(),
            is_listed: true,
            seen: None,
            pause: tempo.nominal,
            lead_in: LeadIn::usual(&info.codec),
        }
    }

    fn becomes(mut self, info: &TrackInfo) -> Self {
        if self.info != *info {
            let tempo = Tempo::of(info);
            self.clock = Clock::after(tempo, &self.clock);
            self.pause = self.pause.max(tempo.nominal);
            self.info = info.clone();
        }
        self
    }

    fn beat(&mut self, now: Instant) {
        if let Some(seen) = self.seen.replace(now) {
            self.pause = now.saturating_duration_since(seen).max(self.pause - self.pause / 32);
        }
    }

    fn is_gone(&self, now: Instant) -> bool {
        let most = GONE.max(self.pause.saturating_mul(GONE_PAUSES));
        self.seen.is_none_or(|seen| now.saturating_duration_since(seen) > most)
    }

    /// How long a sample lasts by what its frame says, or its source.
    fn duration(&self, sample: &Sample) -> Option<Duration> {
        let frame = match &self.info.codec {
            CodecParameters::Opus(_) => opus::samples(&sample.data),
            CodecParameters::Flac(_) => flac::block_size(&sample.data),
            CodecParameters::MpegAudio(_) => mpeg_audio::Header::parse(&sample.data).map(|header| header.samples),
            CodecParameters::Ac3(_) | CodecParameters::Eac3(_) => {
                ac3::Header::parse(&sample.data).map(|header| header.samples)
            }
            _ => None,
        };
        let length =
            |ticks: u32| Duration::from_nanos(u64::from(ticks) * 1_000_000_000 / u64::from(timescale(&self.info)));
        frame.map(length).or(sample.duration)
    }
}

impl LeadIn {
    /// What the container wants: a sync sample of AV1 has a sequence header (AV1 in ISOBMFF, section 2.4).
    fn usual(codec: &CodecParameters) -> Self {
        match codec {
            CodecParameters::Av1(parameters) => Self { bytes: parameters.sequence_header.to_vec(), is_due: false },
            _ => Self::default(),
        }
    }

    /// What readers need whose header is an older one. `avc1` and `hvc1` should have parameter sets in the header only; all
    /// decoders take them among the samples, and those of another header would be wrong.
    fn in_band(codec: &CodecParameters) -> Self {
        let sets: Vec<&Bytes> = match codec {
            CodecParameters::H264(parameters) => parameters.sps.iter().chain(&parameters.pps).collect(),
            CodecParameters::H265(parameters) => {
                parameters.vps.iter().chain(&parameters.sps).chain(&parameters.pps).collect()
            }
            _ => return Self { is_due: true, ..Self::usual(codec) },
        };
        let mut bytes = Vec::new();
        sets.into_iter().for_each(|set| nal::push_length_prefixed(set, &mut bytes));
        Self { bytes, is_due: true }
    }
}

/// Whether a decoder that began with the old parameters can continue with the new ones, if the samples say what they can.
fn can_follow(old: &TrackInfo, new: &TrackInfo) -> bool {
    use CodecParameters as Codec;
    let looks_alike = match (&old.shape, &new.shape) {
        (Shape::Video(old), Shape::Video(new)) => {
            (old.width, old.height, old.pixel_aspect) == (new.width, new.height, new.pixel_aspect)
        }
        (Shape::Audio(old), Shape::Audio(new)) => old == new,
        _ => false,
    };
    let says_it = match (&old.codec, &new.codec) {
        (Codec::H264(_), Codec::H264(_))
        | (Codec::H265(_), Codec::H265(_))
        | (Codec::Av1(_), Codec::Av1(_))
        | (Codec::Vp9(_), Codec::Vp9(_))
        | (Codec::Mpeg4Visual(_), Codec::Mpeg4Visual(_))
        | (Codec::Ac3(_), Codec::Ac3(_))
        | (Codec::Eac3(_), Codec::Eac3(_)) => true,
        (Codec::MpegAudio(old), Codec::MpegAudio(new)) => old.layer == new.layer,
        (old, new) => old == new,
    };
    looks_alike && says_it && timescale(old) == timescale(new)
}

#[cfg(test)]
mod tests;
