//! Muxes samples into Matroska or WebM as a live stream (RFC 9559; WebM container guidelines): a header, then each sample as
//! a `SimpleBlock` in clusters of unknown size, which cost a reader nothing to wait for.
//!
//! No track waits for another, so audio may be earlier than the video before it. In WebM such a block begins a cluster
//! with an earlier timestamp: Chromium refuses a block that is earlier than the one before it in the same cluster, of whatever
//! track, and older versions one with a negative relative timestamp, but nothing compares clusters
//! (media/formats/webm/webm_cluster_parser.cc, `OnBlock`; seen with version 156, which plays audio that is 300 ms late). Firefox
//! makes a new demuxer for a cluster that begins before the end of the last one (dom/media/mediasource/TrackBuffersManager.cpp,
//! `SegmentParserLoop`); ffmpeg, GStreamer, mpv and VLC play such a file without a complaint.
//!
//! In Matroska, with codecs that may have B-frames, a cluster begins earlier only where a relative timestamp would be negative:
//! it has the decoding time of its first frame, which no later frame is shown before.

use super::coding::{carries, continues, delay, reorders};
use super::element::{self, cluster_begin};
use super::header::header;
use super::timeline::{Timeline, Times};
use super::write;
use crate::media::codec::{CodecParameters, nal};
use crate::media::mux::{HeaderChange, Muxed};
use crate::media::track::{MediaKind, Shape};
use crate::media::{Kind, Packet, TrackId, TrackInfo, sample::Sample};
use bytes::Bytes;

/// A timestamp in a block has 16 bits and a sign (RFC 9559, section 10.1).
const MAX_RELATIVE: i64 = i16::MAX as i64;
/// Without video there is a join point each so many milliseconds.
const AUDIO_CLUSTER: i64 = 100;
/// Track numbers of one byte: Chromium knows no others.
const MAX_TRACKS: usize = 126;
/// Track number, relative timestamp and flags before a frame.
const BLOCK_HEAD: usize = 4;
const KEYFRAME_FLAG: u8 = 0x80;

/// Muxes the tracks of a rendition.
#[derive(Debug)]
pub struct Muxer {
    is_webm: bool,
    /// In the order of their numbers.
    tracks: Vec<Track>,
    /// The newest one.
    header: Bytes,
    timeline: Timeline,
    cluster: Option<Cluster>,
    /// How often tracks were added.
    version: u32,
}

#[derive(Debug)]
struct Track {
    info: TrackInfo,
    /// Headers of this version and of later ones have it.
    since: u32,
    /// What the decoder drops of the first samples: timestamps are so much later (RFC 9559, section 5.1.4.1.17).
    delay: i64,
    reorders: bool,
    /// What keyframes have in front, because not every reader's header has it.
    in_band: Vec<u8>,
    /// The next frame has it in front too, whatever it is.
    is_due: bool,
}

/// The cluster that blocks are added to, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    timestamp: i64,
    /// Of the last block.
    last: i64,
}

impl Muxer {
    /// A muxer into WebM or into Matroska. It begins with the first call of [`Muxer::set_tracks`].
    pub fn new(webm: bool) -> Self {
        Self {
            is_webm: webm,
            tracks: Vec::new(),
            header: Bytes::new(),
            timeline: Timeline::default(),
            cluster: None,
            version: 0,
        }
    }

    /// Whether a track of this codec can be carried.
    pub fn carries(webm: bool, codec: &CodecParameters) -> bool {
        carries(webm, codec)
    }

    /// The tracks from now on, already selected. A change that the container cannot say ends readers; changed parameter
    /// sets go in band. Tracks that cannot be carried are dropped.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let can = |track: &&TrackInfo| {
            carries(self.is_webm, &track.codec) && header(self.is_webm, std::slice::from_ref(track)).is_some()
        };
        let tracks: Vec<TrackInfo> = tracks.iter().filter(can).take(MAX_TRACKS).cloned().collect();
        let Some(bytes) = header(self.is_webm, &tracks).filter(|_| !tracks.is_empty()) else {
            self.tracks.clear();
            return;
        };
        let is_same = self.header == bytes;
        let is_like = |(from, to): (&Track, &TrackInfo)| may_stay(&from.info, to);
        // Tracks at the end may come and go: a header may have more of them than there are.
        let stays = !self.tracks.is_empty() && self.tracks.iter().zip(&tracks).all(is_like);
        let is_more = stays && tracks.len() > self.tracks.len();
        if is_more {
            self.version += 1;
        }
        let before = if stays || is_same { std::mem::take(&mut self.tracks) } else { Vec::new() };
        let mut before = before.into_iter();
        let version = if is_more { self.version } else { 0 };
        self.tracks = tracks.into_iter().map(|info| Track::new(info, before.next(), version)).collect();
        if is_same {
            return;
        }
        let readers = match (self.header.is_empty(), is_more, stays) {
            (true, ..) | (_, false, true) => HeaderChange::None,
            (_, true, _) => HeaderChange::Added { version },
            (_, false, false) => HeaderChange::End,
        };
        self.header = Bytes::from(bytes);
        if readers == HeaderChange::End {
            self.cluster = None;
        }
        out.push(Muxed::Header { bytes: self.header.clone(), readers });
    }

    /// The next sample. Those of unknown tracks, and empty ones, are ignored.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let Some(place) = self.tracks.iter().position(|track| track.info.id == sample.track) else { return };
        let (kind, lead) = self.lead();
        let Some(track) = self.tracks.get_mut(place).filter(|_| !sample.data.is_empty()) else { return };
        let (dts, pts) = (sample.dts.shifted(track.delay), sample.pts.shifted(track.delay));
        let times = self.timeline.place(sample.track, dts, pts, sample.discontinuity, track.reorders);
        let front: &[u8] = match sample.is_sync || track.is_due {
            true => &track.in_band,
            false => &[],
        };
        track.is_due = false;

        let begins = match kind {
            MediaKind::Video => sample.is_sync && sample.track == lead,
            MediaKind::Audio => self.cluster.is_none_or(|cluster| times.shown - cluster.timestamp >= AUDIO_CLUSTER),
        };
        let cluster =
            self.cluster.filter(|cluster| !begins && !sample.discontinuity && cluster.takes(times.shown, self.is_webm));
        let is_new = cluster.is_none();
        let cluster = cluster.unwrap_or_else(|| Cluster::beginning(times, self.is_webm));

        let (size, size_length) = write::size(BLOCK_HEAD + front.len() + sample.data.len());
        let needs = track.since;
        let begin = cluster_begin(u64::try_from(cluster.timestamp).unwrap_or_default());
        if is_new && needs > 0 {
            // Those who do not get the block need its cluster for the blocks after it.
            out.push(Muxed::Packet(Packet::copy_of(Kind::Delta, &begin)));
        }
        let begin: &[u8] = if is_new && needs == 0 { &begin } else { &[] };
        let size = size.get(8 - size_length..).unwrap_or_default();
        let relative = i16::try_from(times.shown - cluster.timestamp).unwrap_or_default();
        let [high, low] = relative.to_be_bytes();
        let number = 0x80 | u8::try_from(place + 1).unwrap_or_default();
        let head: [u8; BLOCK_HEAD] = [number, high, low, if sample.is_sync { KEYFRAME_FLAG } else { 0 }];
        let is_join = is_new && needs == 0 && sample.is_sync && (begins || kind == MediaKind::Audio);
        let kind = if is_join { Kind::Keyframe } else { Kind::Delta };
        let parts = [begin, &[element::SIMPLE_BLOCK as u8], size, &head, front];
        let mut packet = Packet::framed(kind, &parts, &sample.data, &[]);
        packet.entered = sample.entered;
        packet.captured = sample.captured;
        packet.discontinuity = sample.discontinuity;
        packet.needs = needs;
        self.cluster = Some(Cluster { last: times.shown, ..cluster });
        out.push(Muxed::Packet(packet));
    }

    /// The track where readers begin, and whether it is video.
    fn lead(&self) -> (MediaKind, TrackId) {
        let is_video = |track: &&Track| track.info.kind() == MediaKind::Video;
        match self.tracks.iter().find(is_video) {
            Some(track) => (MediaKind::Video, track.info.id),
            None => (MediaKind::Audio, self.tracks.first().map_or(TrackId(0), |track| track.info.id)),
        }
    }
}

impl Track {
    /// A track, and what it was before if readers stay.
    fn new(info: TrackInfo, before: Option<Self>, version: u32) -> Self {
        let since = before.as_ref().map_or(version, |before| before.since);
        let has_changed = before.as_ref().is_some_and(|before| before.info.codec != info.codec);
        // Readers that have an older header need them at each keyframe from now on.
        let is_told = before.is_some_and(|before| has_changed || !before.in_band.is_empty());
        let mut in_band = Vec::new();
        match &info.codec {
            // The first OBU of a keyframe (codec mapping of `V_AV1`).
            CodecParameters::Av1(parameters) => in_band.extend_from_slice(&parameters.sequence_header),
            CodecParameters::H264(parameters) if is_told => {
                let sets = parameters.sps.iter().chain(&parameters.pps);
                sets.for_each(|set| nal::push_length_prefixed(set, &mut in_band));
            }
            CodecParameters::H265(parameters) if is_told => {
                let sets = parameters.vps.iter().chain(&parameters.sps).chain(&parameters.pps);
                sets.for_each(|set| nal::push_length_prefixed(set, &mut in_band));
            }
            _ => {}
        }
        let delay = i64::try_from(delay(&info.codec)).unwrap_or_default();
        Self { delay, reorders: reorders(&info.codec), in_band, is_due: has_changed, since, info }
    }
}

/// Whether readers of one track can stay when it becomes the other.
fn may_stay(from: &TrackInfo, to: &TrackInfo) -> bool {
    // Frames of video carry their size: with the codecs of WebM and others in keyframes, else in parameter sets.
    let is_shaped = match (&from.shape, &to.shape) {
        (Shape::Video(_), Shape::Video(_)) => true,
        (from, to) => from == to,
    };
    from.id == to.id && is_shaped && continues(&from.codec, &to.codec)
}

impl Cluster {
    /// One whose first block has these times.
    fn beginning(times: Times, is_ordered: bool) -> Self {
        let is_near = times.shown - times.decoded <= MAX_RELATIVE;
        let timestamp = if is_ordered || !is_near { times.shown } else { times.decoded };
        Self { timestamp, last: timestamp }
    }

    /// Whether a block that is shown then can be added.
    fn takes(&self, shown: i64, is_ordered: bool) -> bool {
        let least = if is_ordered { self.last } else { self.timestamp };
        (least..=self.timestamp + MAX_RELATIVE).contains(&shown)
    }
}

#[cfg(test)]
mod tests;
