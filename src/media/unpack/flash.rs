//! FLV, until it is known that others have to demux it.

use crate::media::{
    TrackSet,
    codec::{CodecParameters, pcm},
    demux::Demuxed,
    flv,
};
use bytes::Bytes;

/// So many bytes are held until the tracks are known.
const MAX_HELD: usize = 24 << 20;

/// Takes FLV apart from its begin.
#[derive(Debug)]
pub(super) struct Flash {
    demuxer: flv::Demuxer,
    /// All bytes, until the tracks are known.
    held: Option<Vec<u8>>,
}

impl Default for Flash {
    fn default() -> Self {
        Self { demuxer: flv::Demuxer::new(), held: Some(Vec::new()) }
    }
}

impl Flash {
    /// Takes the next bytes. Gives all of them back when there is a codec in them that others may know.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) -> Option<Bytes> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
        }
        let from = out.len();
        self.demuxer.push(bytes, out);
        self.decide(from, out, false)
    }

    /// No more bytes come.
    pub(super) fn finish(&mut self, out: &mut Vec<Demuxed>) -> Option<Bytes> {
        let from = out.len();
        self.demuxer.finish(out);
        self.decide(from, out, true)
    }

    pub(super) fn unsupported(&self) -> Vec<String> {
        self.demuxer.unsupported()
    }

    /// Whether the bytes go to others, by what was found in them from this place on.
    fn decide(&mut self, from: usize, out: &mut Vec<Demuxed>, is_over: bool) -> Option<Bytes> {
        let held = self.held.as_ref()?.len();
        let mut sets = out.iter().skip(from).filter_map(|found| match found {
            Demuxed::Tracks(set) => Some(set),
            Demuxed::Sample(_) => None,
        });
        let is_foreign = match sets.next() {
            _ if !self.demuxer.unsupported().is_empty() => true,
            Some(set) if is_known(set) => {
                self.held = None;
                return None;
            }
            Some(_) => true,
            None => is_over || held > MAX_HELD,
        };
        if !is_foreign {
            return None;
        }
        out.truncate(from);
        self.held.take().map(Bytes::from)
    }
}

/// Whether decoders and muxers get these codecs from our demuxers.
fn is_known(set: &TrackSet) -> bool {
    set.tracks().iter().all(|track| match &track.codec {
        CodecParameters::Flac(_) => false,
        CodecParameters::Pcm(format) => matches!(format, pcm::Format::ALaw | pcm::Format::MuLaw),
        _ => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLV: &[u8] = include_bytes!("../../../tests/data/h264-aac.flv");

    #[test]
    fn what_is_known_is_taken_apart() {
        for size in [1, 1000, usize::MAX] {
            let (mut flash, mut out) = (Flash::default(), Vec::new());
            assert!(FLV.chunks(size.min(FLV.len())).all(|piece| flash.push(piece, &mut out).is_none()));
            assert!(flash.finish(&mut out).is_none() && flash.held.is_none());
            let Some(Demuxed::Tracks(set)) = out.first() else { panic!("{size}") };
            assert_eq!(set.tracks().len(), 2);
            assert!(out.len() > 100);
        }
    }

    #[test]
    fn what_others_may_know_is_given_back_whole() {
        // The first byte of video tags says H.263 of Sorenson then (Adobe FLV 10.1, section E.4.3.1).
        let mut foreign = FLV.to_vec();
        let mut at = 13;
        while let Some(&[kind, high, middle, low, ..]) = foreign.get(at..at + 12) {
            if kind == 9 {
                foreign[at + 11] = foreign[at + 11] & 0xf0 | 2;
            }
            at += 15 + (usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low));
        }
        for size in [100, usize::MAX] {
            let (mut flash, mut out, mut given) = (Flash::default(), Vec::new(), 0);
            let held = foreign.chunks(size.min(foreign.len())).find_map(|piece| {
                given += piece.len();
                flash.push(piece, &mut out)
            });
            assert_eq!((held.unwrap(), out.len()), (Bytes::copy_from_slice(&foreign[..given]), 0));
        }
        // Nothing but a header.
        let mut flash = Flash::default();
        assert_eq!(flash.push(&FLV[..13], &mut Vec::new()), None);
        assert_eq!(flash.finish(&mut Vec::new()).unwrap(), FLV[..13]);
    }
}
