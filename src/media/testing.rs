//! Helpers for the tests of scanners, demuxers, and all that has tracks.

pub(crate) mod paff;

use super::{
    Container, Kind, Sample, Scanned, Scanner, TrackId, TrackInfo, TrackSet,
    codec::CodecParameters,
    demux::Demuxed,
    track::{AudioShape, Shape, VideoShape},
};

/// The sets of tracks and the samples that a demuxer found, each in their order.
pub(crate) fn split(found: Vec<Demuxed>) -> (Vec<TrackSet>, Vec<Sample>) {
    let (mut sets, mut samples) = (Vec::new(), Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(set) => sets.push(set),
            Demuxed::Sample(sample) => samples.push(sample),
        }
    }
    (sets, samples)
}

/// Everything that a scanner said about a stream, whatever the pieces were.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Scan {
    pub(super) container: Option<Container>,
    /// Headers, and how many media bytes came before each.
    pub(super) headers: Vec<(usize, Vec<u8>)>,
    /// Where in the media bytes the join points are.
    pub(super) joins: Vec<usize>,
    /// What readers need in front, who begin there in the media bytes.
    pub(super) leads: Vec<(usize, Vec<u8>)>,
    pub(super) media: Vec<u8>,
}

impl Scan {
    /// Scans `bytes` in pieces of these sizes, over and over.
    pub(super) fn of(expected: Option<Container>, bytes: &[u8], sizes: &[usize]) -> Self {
        let (mut scanner, mut out, mut rest) = (Scanner::new(expected), Vec::new(), bytes);
        for &size in sizes.iter().cycle() {
            let (piece, after) = rest.split_at(size.min(rest.len()));
            scanner.push(piece, &mut out);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        scanner.finish(&mut out);
        let mut scan = Self::default();
        for found in out {
            match found {
                Scanned::Container(container) => assert_eq!(scan.container.replace(container), None),
                Scanned::Header(header) => scan.headers.push((scan.media.len(), header.to_vec())),
                Scanned::Lead(lead) => scan.leads.push((scan.media.len(), lead.to_vec())),
                Scanned::Packet { kind, payload } => {
                    assert!(scan.container.is_some() && !payload.is_empty());
                    if kind == Kind::Keyframe {
                        scan.joins.push(scan.media.len());
                    }
                    scan.media.extend(payload.payload());
                }
            }
        }
        scan
    }

    /// Headers where they stood, so that what was pushed comes out again if headers are no media bytes.
    pub(super) fn joined(&self) -> Vec<u8> {
        let mut joined = Vec::new();
        let mut from = 0;
        for (at, header) in &self.headers {
            joined.extend(&self.media[from..*at]);
            joined.extend(header);
            from = *at;
        }
        joined.extend(&self.media[from..]);
        joined
    }
}

/// Small tracks of these codecs, numbered from 0.
pub(crate) fn tracks(codecs: &[CodecParameters]) -> TrackSet {
    let track = |(id, codec): (usize, &CodecParameters)| {
        let shape = match codec.is_video() {
            true => Shape::Video(VideoShape { width: 64, height: 48, pixel_aspect: (1, 1), frame_rate: None }),
            false => Shape::Audio(AudioShape { rate: 48_000, channels: 2 }),
        };
        TrackInfo { id: TrackId(id as u8), codec: codec.clone(), shape }
    };
    TrackSet::new(codecs.iter().enumerate().map(track).collect())
}
