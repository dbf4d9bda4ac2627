//! The ways in which sources write access units.

use crate::media::codec::{aac, av1, flac, h264, h265, latm, mpeg4_visual, opus, pcm, xiph};

/// How a source writes the access units of a codec.
#[derive(Debug, Clone)]
pub enum SourceForm {
    /// H.264 with start codes (ITU-T H.264, annex B).
    H264AnnexB,
    /// H.264 with lengths of so many bytes (1 to 4), whose parameter sets are known; more may come among the units.
    H264Lengths(h264::Parameters, usize),
    /// H.265 with start codes (ITU-T H.265, annex B).
    H265AnnexB,
    /// H.265 with lengths of so many bytes (1 to 4), whose parameter sets are known; more may come among the units.
    H265Lengths(h265::Parameters, usize),
    /// AV1 in temporal units of the low overhead bitstream format, with or without temporal delimiter; with its sequence header,
    /// where the container has it.
    Av1ObuStream(Option<av1::Parameters>),
    /// AV1 whose OBUs stand after start codes (Carriage of AV1 in MPEG-2 TS, AOM draft, section 4).
    Av1StartCodes,
    /// VP8 frames.
    Vp8,
    /// VP9 frames or superframes.
    Vp9,
    /// MPEG-1 or MPEG-2 video; the sequence header shows which.
    MpegVideo,
    /// MPEG-4 part 2, with its configuration, if that is not empty and in band only.
    Mpeg4Visual(mpeg4_visual::Parameters),
    /// JPEG images, with or without Huffman tables.
    Jpeg,
    /// Theora packets.
    Theora(xiph::Headers),
    /// AAC without a header.
    AacRaw(aac::Parameters),
    /// AAC in ADTS, one frame in each unit.
    Adts,
    /// AAC in LOAS (ISO/IEC 14496-3, section 1.7.2), one `AudioSyncStream` frame in each unit.
    Loas,
    /// AAC in LATM (RFC 6416): an `AudioMuxElement` in each unit, without a configuration, which is this one.
    Latm(latm::StreamMuxConfig),
    /// Opus packets.
    Opus(opus::Parameters),
    /// Vorbis packets.
    Vorbis(xiph::Headers),
    /// FLAC frames.
    Flac(flac::Parameters),
    /// MPEG audio frames of any layer.
    MpegAudio,
    /// AC-3 or E-AC-3; the frames show which. Frames that depend on another are in its unit.
    Ac3,
    /// PCM and G.711: format, samples a second, channels. Units may have any length; what is no whole sample at the end is lost.
    Pcm(pcm::Format, u32, u16),
}
