//! What a `TrackEntry` says of codecs: `CodecID` and `CodecPrivate` (the codec mappings of the Matroska specification, and the
//! WebM container guidelines).

use crate::media::codec::{CodecParameters, opus, pcm, vp9};

/// What the decoder of Opus needs to hear before it is right, in nanoseconds (codec mapping of `A_OPUS`).
pub(super) const OPUS_PRE_ROLL: u64 = 80_000_000;
/// Formats of `WAVEFORMATEX` (RFC 2361).
pub(super) const WAVE_PCM: u16 = 1;
pub(super) const WAVE_FLOAT: u16 = 3;
pub(super) const WAVE_A_LAW: u16 = 6;
pub(super) const WAVE_MU_LAW: u16 = 7;

/// How a `TrackEntry` names a codec.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Coding {
    /// `CodecID`.
    pub(super) id: &'static str,
    /// `CodecPrivate`; empty when there is none.
    pub(super) private: Vec<u8>,
}

/// Whether a track of this codec can be in WebM, or in Matroska.
pub(super) fn carries(webm: bool, codec: &CodecParameters) -> bool {
    use CodecParameters as C;
    match codec {
        C::Vp8 | C::Vp9(_) | C::Av1(_) | C::Opus(_) | C::Vorbis(_) => true,
        C::H264(_)
        | C::H265(_)
        | C::Mpeg1Video
        | C::Mpeg2Video
        | C::Mpeg4Visual(_)
        | C::Jpeg
        | C::Raw(_)
        | C::Theora(_)
        | C::Aac(_)
        | C::Flac(_)
        | C::MpegAudio(_)
        | C::Ac3(_)
        | C::Eac3(_)
        | C::Pcm(_) => !webm,
    }
}

/// Whether frames may be shown in another order than they are decoded in.
pub(super) const fn reorders(codec: &CodecParameters) -> bool {
    use CodecParameters as C;
    matches!(codec, C::H264(_) | C::H265(_) | C::Mpeg1Video | C::Mpeg2Video | C::Mpeg4Visual(_))
}

impl Coding {
    /// That of a track, whose audio has this rate and so many channels. `None` when its parameters are none.
    pub(super) fn of(codec: &CodecParameters, rate: u32, channels: u16) -> Option<Self> {
        use CodecParameters as C;
        let (id, private) = match codec {
            C::Vp8 => ("V_VP8", Vec::new()),
            C::Vp9(parameters) => ("V_VP9", vp9_features(parameters)),
            C::Av1(parameters) => ("V_AV1", parameters.record()?),
            C::H264(parameters) => ("V_MPEG4/ISO/AVC", parameters.record()),
            C::H265(parameters) => ("V_MPEGH/ISO/HEVC", parameters.record()),
            C::Mpeg1Video => ("V_MPEG1", Vec::new()),
            C::Mpeg2Video => ("V_MPEG2", Vec::new()),
            C::Mpeg4Visual(parameters) => ("V_MPEG4/ISO/ASP", parameters.config.to_vec()),
            C::Jpeg => ("V_MJPEG", Vec::new()),
            C::Raw(_) => ("V_UNCOMPRESSED", Vec::new()),
            C::Theora(headers) => ("V_THEORA", headers.laced()),
            C::Vorbis(headers) => ("A_VORBIS", headers.laced()),
            C::Opus(parameters) => ("A_OPUS", parameters.head.to_vec()),
            C::Aac(parameters) => ("A_AAC", parameters.config.to_vec()),
            C::Flac(parameters) => ("A_FLAC", parameters.header()),
            C::MpegAudio(parameters) => match parameters.layer {
                1 => ("A_MPEG/L1", Vec::new()),
                2 => ("A_MPEG/L2", Vec::new()),
                _ => ("A_MPEG/L3", Vec::new()),
            },
            C::Ac3(_) => ("A_AC3", Vec::new()),
            C::Eac3(_) => ("A_EAC3", Vec::new()),
            C::Pcm(format) => match format {
                pcm::Format::U8 | pcm::Format::S16Le | pcm::Format::S24Le | pcm::Format::S32Le => {
                    ("A_PCM/INT/LIT", Vec::new())
                }
                pcm::Format::S16Be => ("A_PCM/INT/BIG", Vec::new()),
                pcm::Format::F32Le => ("A_PCM/FLOAT/IEEE", Vec::new()),
                pcm::Format::ALaw => ("A_MS/ACM", wave_format(WAVE_A_LAW, rate, channels)),
                pcm::Format::MuLaw => ("A_MS/ACM", wave_format(WAVE_MU_LAW, rate, channels)),
            },
        };
        let needs_private = matches!(codec, C::H264(_) | C::H265(_) | C::Aac(_) | C::Opus(_));
        (!needs_private || !private.is_empty()).then_some(Self { id, private })
    }
}

/// Nanoseconds that the decoder drops before the first sample.
pub(super) fn delay(codec: &CodecParameters) -> u64 {
    match codec {
        CodecParameters::Opus(parameters) => u64::from(parameters.pre_skip()) * 1_000_000_000 / 48_000,
        _ => 0,
    }
}

/// An ID, a length and a value each (WebM container guidelines, "VP9 Codec Feature Metadata").
fn vp9_features(parameters: &vp9::Parameters) -> Vec<u8> {
    let vp9::Parameters { profile, level, bit_depth, chroma_subsampling } = *parameters;
    let features = [
        (1, Some(profile)),
        (2, Some(level).filter(|level| *level > 0)),
        (3, Some(bit_depth)),
        (4, Some(chroma_subsampling)),
    ];
    features.into_iter().filter_map(|(id, value)| Some([id, 1, value?])).flatten().collect()
}

/// `WAVEFORMATEX` of a format with 8 bits a sample.
fn wave_format(tag: u16, rate: u32, channels: u16) -> Vec<u8> {
    let mut out = Vec::with_capacity(18);
    out.extend(tag.to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend(rate.to_le_bytes());
    out.extend(rate.saturating_mul(channels.into()).to_le_bytes());
    out.extend(channels.to_le_bytes());
    out.extend([8, 0, 0, 0]);
    out
}

/// Whether a decoder of samples of `from` continues with samples of `to` without a new configuration, or with it in
/// band.
pub(super) fn continues(from: &CodecParameters, to: &CodecParameters) -> bool {
    use CodecParameters as C;
    match (from, to) {
        // Parameter sets go in band.
        (C::H264(_), C::H264(_)) | (C::H265(_), C::H265(_)) | (C::Av1(_), C::Av1(_)) => true,
        // Frames describe themselves.
        (C::Vp9(_), C::Vp9(_)) | (C::Mpeg4Visual(_), C::Mpeg4Visual(_)) => true,
        (C::Ac3(_), C::Ac3(_)) | (C::Eac3(_), C::Eac3(_)) => true,
        // Comments are for people.
        (C::Vorbis(from), C::Vorbis(to)) | (C::Theora(from), C::Theora(to)) => {
            from.identification == to.identification && from.setup == to.setup
        }
        // What the encoder drops, and the rate before it, matter at the beginning only (RFC 7845, section 5.1).
        (C::Opus(from), C::Opus(to)) => opus_core(from) == opus_core(to),
        // Sizes of blocks, rate, channels and depth; lengths and the checksum are of whole files (RFC 9639, section 8.2).
        (C::Flac(from), C::Flac(to)) => {
            let core = |info: &[u8]| (info.get(..4).map(<[u8]>::to_vec), info.get(10..13).map(<[u8]>::to_vec));
            core(&from.stream_info) == core(&to.stream_info)
        }
        _ => from == to,
    }
}

fn opus_core(parameters: &opus::Parameters) -> (Option<&[u8]>, Option<&[u8]>) {
    (parameters.head.get(..10), parameters.head.get(16..))
}
