//! Brings samples of any source into the canonical form of their codec, and follows their parameters.
#![allow(missing_docs)]
use super::{CodecParameters, aac, flac, h264, h265, mpeg_video, opus, pcm, xiph};
use crate::media::track::Shape;
use bytes::Bytes;
pub enum SourceForm {
    H264AnnexB,
    H264Lengths(h264::Parameters, usize),
    H265AnnexB,
    H265Lengths(h265::Parameters, usize),
    Av1ObuStream,
    Vp8,
    Vp9,
    Mpeg1Video,
    Mpeg2Video,
    Mpeg4Visual(mpeg_video::Mpeg4Parameters),
    Jpeg,
    Theora(xiph::Headers),
    AacRaw(aac::Parameters),
    Adts,
    Opus(opus::Parameters),
    Vorbis(xiph::Headers),
    Flac(flac::Parameters),
    MpegAudio,
    Ac3,
    Eac3,
    Pcm(pcm::Format, u32, u16),
}
pub struct Canonicalizer;
pub struct Canonical {
    pub data: Bytes,
    pub is_sync: bool,
    pub parameters_changed: bool,
}
impl Canonicalizer {
    pub fn new(_form: SourceForm) -> Self {
        Self
    }
    pub fn push(&mut self, _unit: Bytes) -> Option<Canonical> {
        None
    }
    pub fn parameters(&self) -> Option<(&CodecParameters, Shape)> {
        None
    }
}
