//! The times of a stream's packets. Pure.

use crate::media::{
    Container, Kind, MediaKind, Packet, codecs,
    mp4::{self, LiveFragment},
    segment::{Moment, Piece, TrackHeader},
    ts::UnitClock,
};
use bytes::Bytes;

/// Ticks a second of a transport stream.
const TS_TICKS: u32 = 90_000;
/// How long the first frame of a transport stream lasts by default, in ticks.
const USUAL_FRAME: u32 = 3600;
/// A longer step between two frames is a pause, in ticks.
const LONGEST_FRAME: u64 = 2 * 90_000;

/// Reads packets of one container.
#[derive(Debug)]
pub enum PacketReader {
    /// Of our MP4: one sample each.
    Mp4,
    /// Of our transport streams: one sample each.
    Ts(TsReader),
}

/// Reads packets of a transport stream.
#[derive(Debug, Default)]
pub struct TsReader {
    clock: UnitClock,
    /// PID of the track that leads, and the decode time of its last sample.
    lead: Option<(u16, u64)>,
    frame: Option<u32>,
}

/// What a packet is.
#[derive(Debug)]
pub enum Found {
    /// Headers of the tracks for what follows.
    Header(Vec<TrackHeader>),
    /// Media.
    Piece(Piece),
}

impl PacketReader {
    /// A reader of this container; `None` for those that no playlist can list.
    pub fn new(container: Container) -> Option<Self> {
        match container {
            Container::Mp4 => Some(Self::Mp4),
            Container::Ts => Some(Self::Ts(TsReader::default())),
            _ => None,
        }
    }

    /// Reads the header of the container.
    pub fn header(&mut self, bytes: &[u8]) -> Option<Found> {
        match self {
            Self::Mp4 => mp4_header(bytes),
            // It is before each keyframe as well.
            Self::Ts(_) => None,
        }
    }

    /// Reads a packet of this moment.
    pub fn packet(&mut self, packet: &Packet, moment: Option<Moment>, found: &mut Vec<Found>) {
        let bytes = packet.payload();
        match self {
            Self::Mp4 => match LiveFragment::parse(&bytes) {
                Some(fragment) => found.push(Found::Piece(mp4_piece(fragment, moment, bytes))),
                // The header again, for readers that continue.
                None => found.extend(mp4_header(&bytes)),
            },
            Self::Ts(reader) => reader.packet(packet.kind, moment, bytes, found),
        }
    }
}

fn mp4_header(bytes: &[u8]) -> Option<Found> {
    let tracks = mp4::header_tracks(bytes);
    let mut headers: Vec<TrackHeader> = Vec::new();
    for track in tracks {
        // One rendition of each kind: the muxer takes one track of each.
        if headers.iter().any(|known| known.kind == track.kind) {
            continue;
        }
        headers.push(TrackHeader {
            number: track.number,
            name: if track.kind == MediaKind::Video { "v0" } else { "a0" },
            kind: track.kind,
            timescale: track.timescale.max(1),
            codecs: codecs(Container::Mp4, &track.header),
            size: track.size,
            channels: track.channels,
            header: track.header,
        });
    }
    (!headers.is_empty()).then_some(Found::Header(headers))
}

fn mp4_piece(fragment: LiveFragment, moment: Option<Moment>, bytes: Bytes) -> Piece {
    Piece {
        track: fragment.track,
        decode: fragment.decode,
        offset: fragment.offset.into(),
        duration: fragment.duration,
        is_sync: fragment.is_sync,
        is_timed: true,
        moment,
        bytes,
    }
}

impl TsReader {
    fn packet(&mut self, kind: Kind, moment: Option<Moment>, bytes: Bytes, found: &mut Vec<Found>) {
        let times = self.clock.times(&bytes);
        if let (Kind::Keyframe, Some(times)) = (kind, times)
            && self.lead.is_none_or(|(pid, _)| pid != times.pid)
        {
            self.lead = Some((times.pid, 0));
            self.frame = None;
            let is_video = times.is_video;
            found.push(Found::Header(vec![TrackHeader {
                number: times.pid.into(),
                name: "ts",
                kind: if is_video { MediaKind::Video } else { MediaKind::Audio },
                timescale: TS_TICKS,
                codecs: None,
                size: None,
                channels: None,
                header: Bytes::new(),
            }]));
        }
        let Some((lead, last)) = &mut self.lead else { return };
        let track = u32::from(*lead);
        let decode = times.filter(|times| times.pid == *lead);
        let Some(times) = decode else {
            let is_timed = false;
            let piece = Piece { track, decode: 0, offset: 0, duration: 0, is_sync: true, is_timed, moment, bytes };
            found.push(Found::Piece(piece));
            return;
        };
        let decode = u64::try_from(times.dts.ticks(TS_TICKS)).unwrap_or(0);
        let step = decode.saturating_sub(std::mem::replace(last, decode));
        if (1..=LONGEST_FRAME).contains(&step) {
            self.frame = u32::try_from(step).ok();
        }
        found.push(Found::Piece(Piece {
            track,
            decode,
            offset: times.pts.ticks(TS_TICKS) - times.dts.ticks(TS_TICKS),
            duration: self.frame.unwrap_or(USUAL_FRAME),
            is_sync: kind == Kind::Keyframe,
            is_timed: true,
            moment,
            bytes,
        }));
    }
}
