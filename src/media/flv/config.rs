//! Configurations of decoders, as sequence headers have them (Enhanced RTMP v2, `SequenceStart`).

use crate::media::codec::CodecParameters;
use bytes::Bytes;

/// The content of the sequence header of these parameters; `None` when there is none in FLV, or not enough is known of them.
pub fn write(parameters: &CodecParameters) -> Option<Vec<u8>> {
    let record = match parameters {
        CodecParameters::H264(parameters) => parameters.record(),
        CodecParameters::H265(parameters) => parameters.record(),
        CodecParameters::Av1(parameters) => parameters.record()?,
        // What `vpcC` has, with version and flags, as ffmpeg writes it. All that VP8 has there is constant.
        CodecParameters::Vp8 => vec![1, 0, 0, 0, 0, 0, 8 << 4 | 1 << 1, 2, 2, 2, 0, 0],
        CodecParameters::Vp9(parameters) => parameters.record().to_vec(),
        CodecParameters::Aac(parameters) => parameters.config.to_vec(),
        CodecParameters::Opus(parameters) => parameters.head.to_vec(),
        CodecParameters::Flac(parameters) => parameters.header(),
        // ffmpeg announces them without content, and takes content for a frame.
        CodecParameters::Ac3(_) | CodecParameters::Eac3(_) => return Some(Vec::new()),
        _ => return None,
    };
    Some(record).filter(|record| !record.is_empty())
}

/// What stands before each keyframe in its tag: decoders of AV1 find the sequence header there and nowhere else (libdav1d in
/// ffmpeg 9), and a sync sample is one that has it (AV1 in ISOBMFF, section 2.4). Nothing for other codecs.
pub fn keyframe_prefix(parameters: &CodecParameters) -> Bytes {
    match parameters {
        CodecParameters::Av1(parameters) => parameters.sequence_header.clone(),
        _ => Bytes::new(),
    }
}
