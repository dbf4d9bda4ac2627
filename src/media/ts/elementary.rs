//! How each codec is carried: its entry in the PMT, and what of a sample in canonical form goes into a PES packet.

use super::latm::Latm;
use crate::media::codec::obu::Obus;
use crate::media::codec::{CodecParameters, adts, av1, nal, opus};
use crate::media::sample::Sample;
use bytes::Bytes;

/// `stream_id` of video, audio, and `private_stream_1` (table 2-22).
const VIDEO: u8 = 0xe0;
const AUDIO: u8 = 0xc0;
const PRIVATE: u8 = 0xbd;
const START_CODE: &[u8] = &[0, 0, 0, 1];
/// Start code of an OBU (Carriage of AV1 in MPEG-2 TS, section 3.2).
const OBU_START_CODE: &[u8] = &[0, 0, 1];
/// Access unit delimiter for slices of any type (ITU-T H.264, section 7.3.2.4; ITU-T H.265, section 7.3.2.5). MPEG-2 TS wants
/// one in each access unit (ISO/IEC 13818-1, sections 2.14.1 and 2.17.1).
const H264_DELIMITER: &[u8] = b"\0\0\0\x01\x09\xf0";
const H265_DELIMITER: &[u8] = b"\0\0\0\x01\x46\x01\x50";

/// An elementary stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::media) struct Elementary {
    /// `stream_type` (ISO/IEC 13818-1, table 2-34).
    pub(super) stream_type: u8,
    /// `stream_id` of its PES packets.
    pub(super) stream_id: u8,
    /// Its descriptors in the PMT.
    pub(super) descriptors: Vec<u8>,
    form: Form,
}

/// What becomes of a sample.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// It is unchanged.
    Same,
    /// Start codes in place of lengths, after a delimiter and, for keyframes, the parameter sets.
    AnnexB {
        delimiter: &'static [u8],
        sets: Bytes,
    },
    /// The codec configuration before keyframes that do not begin with one.
    Mpeg4(Bytes),
    /// Each OBU after a start code, with emulation prevention; this sequence header before keyframes.
    Av1(Bytes),
    /// An ADTS header in front.
    Adts(adts::Framer),
    Latm(Latm),
    /// A control header in front.
    Opus,
}

impl Elementary {
    /// How samples of this codec are carried; `None` when a transport stream cannot say what they are.
    pub(in crate::media) fn of(codec: &CodecParameters) -> Option<Self> {
        let stream = |stream_type, stream_id, descriptors: &[u8], form| {
            Some(Self { stream_type, stream_id, descriptors: descriptors.to_vec(), form })
        };
        match codec {
            CodecParameters::Mpeg1Video => stream(0x01, VIDEO, b"", Form::Same),
            CodecParameters::Mpeg2Video => stream(0x02, VIDEO, b"", Form::Same),
            CodecParameters::Mpeg4Visual(parameters) => {
                stream(0x10, VIDEO, b"", Form::Mpeg4(parameters.config.clone()))
            }
            CodecParameters::H264(parameters) => {
                let sets = with_start_codes(parameters.sps.iter().chain(&parameters.pps));
                stream(0x1b, VIDEO, b"", Form::AnnexB { delimiter: H264_DELIMITER, sets })
            }
            CodecParameters::H265(parameters) => {
                let sets = with_start_codes(parameters.vps.iter().chain(&parameters.sps).chain(&parameters.pps));
                stream(0x24, VIDEO, b"", Form::AnnexB { delimiter: H265_DELIMITER, sets })
            }
            // Carriage of AV1 in MPEG-2 TS, section 2.
            CodecParameters::Av1(parameters) => {
                let descriptors = [&b"\x05\x04AV01"[..], &av1_descriptor(parameters)].concat();
                let mut header = Vec::new();
                put_obu(&parameters.sequence_header, &mut |part| header.extend_from_slice(part));
                stream(0x06, PRIVATE, &descriptors, Form::Av1(header.into()))
            }
            CodecParameters::Aac(parameters) => match adts::Framer::new(parameters) {
                Ok(framer) => stream(0x0f, AUDIO, b"", Form::Adts(framer)),
                Err(_) => stream(0x11, AUDIO, b"", Form::Latm(Latm::new(&parameters.config)?)),
            },
            CodecParameters::MpegAudio(parameters) => {
                stream(if parameters.is_low_rate { 0x04 } else { 0x03 }, AUDIO, b"", Form::Same)
            }
            // ATSC A/52, annexes A and G.
            CodecParameters::Ac3(_) => stream(0x81, PRIVATE, b"\x05\x04AC-3", Form::Same),
            CodecParameters::Eac3(_) => stream(0x87, PRIVATE, b"\x05\x04EAC3", Form::Same),
            // A registration descriptor, and the channels in one of ETSI EN 300 468.
            CodecParameters::Opus(parameters) => {
                let descriptors = [b"\x05\x04Opus\x7f\x02\x80", &[opus_channels(parameters)?][..]].concat();
                stream(0x06, PRIVATE, &descriptors, Form::Opus)
            }
            CodecParameters::Vp8
            | CodecParameters::Vp9(_)
            | CodecParameters::Jpeg
            | CodecParameters::Raw(_)
            | CodecParameters::Theora(_)
            | CodecParameters::Vorbis(_)
            | CodecParameters::Flac(_)
            | CodecParameters::Pcm(_) => None,
        }
    }

    /// Whether keyframes have `elementary_stream_priority_indicator` (Carriage of AV1 in MPEG-2 TS, section 3.4).
    pub(super) const fn has_priority(&self) -> bool {
        matches!(self.form, Form::Av1(_))
    }

    /// Gives the payload of the PES packet of a sample to `put`, piece by piece; `with_sets`: with its parameter sets.
    pub(in crate::media) fn write(&self, sample: &Sample, with_sets: bool, put: &mut impl FnMut(&[u8])) {
        let data = &sample.data[..];
        match &self.form {
            Form::Same => put(data),
            Form::AnnexB { delimiter, sets } => {
                put(delimiter);
                if with_sets {
                    put(sets);
                }
                for unit in nal::length_prefixed(data, 4) {
                    put(START_CODE);
                    put(unit);
                }
            }
            Form::Mpeg4(config) => {
                // Visual object sequence, visual object, video object and video object layer (ISO/IEC 14496-2, table 6-3).
                let has_own = matches!(data, [0, 0, 1, 0xb0 | 0xb5 | 0..=0x2f, ..]);
                if with_sets && !has_own {
                    put(config);
                }
                put(data);
            }
            Form::Av1(header) => {
                if with_sets {
                    put(header);
                }
                for obu in Obus::new(data) {
                    put_obu(obu.whole, put);
                }
            }
            // A frame that is longer than a header can state does not exist: AAC has 6144 bits a channel at most.
            Form::Adts(framer) => {
                if let Some(header) = framer.header(data.len()) {
                    put(&header);
                    put(data);
                }
            }
            Form::Latm(latm) => put(&latm.frame(data)),
            Form::Opus => {
                // "Opus in MPEG-TS" (draft 0.1.3 of an ETSI TS, by Xiph.Org): a prefix of 11 bits, no trims and no
                // extension, then the size.
                put(&[0x7f, 0xe0]);
                for _ in 0..data.len() / 255 {
                    put(&[0xff]);
                }
                put(&[(data.len() % 255) as u8]);
                put(data);
            }
        }
    }
}

fn with_start_codes<'a>(units: impl Iterator<Item = &'a Bytes>) -> Bytes {
    units.flat_map(|unit| [START_CODE, unit]).flatten().copied().collect()
}

/// `channel_config_code`: the number of channels, if they are in the usual order.
fn opus_channels(parameters: &opus::Parameters) -> Option<u8> {
    let channels = parameters.channels();
    match parameters.head.get(18..) {
        Some([0, ..]) | None | Some([]) => (1..=2).contains(&channels).then_some(channels),
        Some([1, table @ ..]) => table.starts_with(opus_layout(channels)?).then_some(channels),
        Some(_) => None,
    }
}

/// Number of streams, of coupled ones, and which of their channels each channel is, in the usual order (RFC 7845, section
/// 5.1.1.2).
pub(super) fn opus_layout(channels: u8) -> Option<&'static [u8]> {
    Some(match channels {
        1 => &[1, 0, 0],
        2 => &[1, 1, 0, 1],
        3 => &[2, 1, 0, 2, 1],
        4 => &[2, 2, 0, 1, 2, 3],
        5 => &[3, 2, 0, 4, 1, 2, 3],
        6 => &[4, 2, 0, 4, 1, 2, 3, 5],
        7 => &[4, 3, 0, 4, 1, 2, 3, 5, 6],
        8 => &[5, 3, 0, 6, 1, 2, 3, 4, 5, 7],
        _ => return None,
    })
}

/// The AV1 video descriptor: the beginning of the record of MP4, and in two of its reserved bits that nothing is said of HDR.
fn av1_descriptor(parameters: &av1::Parameters) -> Vec<u8> {
    match parameters.record().as_deref() {
        Some(&[a, b, c, d, ..]) => vec![0x80, 4, a, b, c, d | 0xc0],
        _ => Vec::new(),
    }
}

/// Gives an OBU with its start code to `put`, and with a 3 before each byte below 4 that follows two zeros.
fn put_obu(obu: &[u8], put: &mut impl FnMut(&[u8])) {
    put(OBU_START_CODE);
    let (mut from, mut at) = (0, 0);
    // The place of the second zero: where that is none, the one after it cannot be one either.
    while let Some(&[first, second, third]) = obu.get(at..).and_then(<[u8]>::first_chunk::<3>) {
        if second != 0 {
            at += 2;
        } else if first == 0 && third < 4 {
            put(obu.get(from..at + 2).unwrap_or_default());
            put(&[3]);
            from = at + 2;
            at += 2;
        } else {
            at += 1;
        }
    }
    put(obu.get(from..).unwrap_or_default());
}
