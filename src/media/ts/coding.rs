//! How a track is named in a transport stream, and what stands in front of each of its samples.

use super::super::bits::Bits;
use std::fmt;

/// How the samples of a track are coded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Coding {
    /// MPEG-1 video.
    Mpeg1,
    /// MPEG-2 video.
    Mpeg2,
    /// MPEG-4 part 2.
    Mpeg4,
    /// H.264 with start codes.
    H264,
    /// H.265 with start codes.
    H265,
    /// MPEG audio; `is_low`: at the rates that MPEG-2 added.
    Mpeg {
        /// It has such a rate.
        is_low: bool,
    },
    /// AAC as ADTS.
    Adts,
    /// AAC without; an `AudioSpecificConfig` (ISO/IEC 14496-3, section 1.6.2.1).
    Aac(Vec<u8>),
    /// AC-3.
    Ac3,
    /// Opus of up to eight channels in their usual order.
    Opus {
        /// 1 to 8.
        channels: u8,
    },
}

/// A track that a transport stream cannot carry.
#[derive(Debug, PartialEq, Eq)]
pub struct CodingError(&'static str);

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// A track as it stands in the tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Track {
    /// `stream_type` (ISO/IEC 13818-1, table 2-34).
    pub(super) kind: u8,
    /// `stream_id` of its PES packets (table 2-22).
    pub(super) id: u8,
    /// What the program map says of it besides.
    pub(super) descriptors: Vec<u8>,
    pub(super) has_pictures: bool,
    front: Front,
}

/// What stands in front of each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Front {
    Nothing,
    /// An access unit delimiter of these bytes, where a sample does not begin with one itself (section 2.14.1).
    Delimiter(&'static [u8]),
    /// The head of ADTS of a frame without media.
    Adts([u8; ADTS_HEAD]),
    /// A control header of Opus.
    Opus,
}

/// Bytes of a head of ADTS without a checksum.
const ADTS_HEAD: usize = 7;
const VIDEO: u8 = 0xe0;
const AUDIO: u8 = 0xc0;
/// `private_stream_1`.
const PRIVATE: u8 = 0xbd;

/// ITU-T H.264, section 7.3.2.4: slices of any kind.
const H264_DELIMITER: &[u8] = b"\0\0\0\x01\x09\xf0";
/// ITU-T H.265, section 7.3.2.5.
const H265_DELIMITER: &[u8] = b"\0\0\0\x01\x46\x01\x50";

impl Track {
    /// A track of such samples.
    ///
    /// # Errors
    /// When it cannot be said in a transport stream what they are.
    pub fn new(coding: &Coding) -> Result<Self, CodingError> {
        let video = |kind, front| Self { kind, id: VIDEO, descriptors: Vec::new(), has_pictures: true, front };
        let sound = |kind, id, descriptors: &[u8], front| Self {
            kind,
            id,
            descriptors: descriptors.to_vec(),
            has_pictures: false,
            front,
        };
        Ok(match coding {
            Coding::Mpeg1 => video(0x01, Front::Nothing),
            Coding::Mpeg2 => video(0x02, Front::Nothing),
            Coding::Mpeg4 => video(0x10, Front::Nothing),
            Coding::H264 => video(0x1b, Front::Delimiter(H264_DELIMITER)),
            Coding::H265 => video(0x24, Front::Delimiter(H265_DELIMITER)),
            Coding::Mpeg { is_low } => sound(if *is_low { 0x04 } else { 0x03 }, AUDIO, b"", Front::Nothing),
            Coding::Adts => sound(0x0f, AUDIO, b"", Front::Nothing),
            Coding::Aac(config) => sound(0x0f, AUDIO, b"", Front::Adts(adts(config)?)),
            // ATSC A/52, annex A.
            Coding::Ac3 => sound(0x81, PRIVATE, b"\x05\x04AC-3", Front::Nothing),
            // A registration descriptor, and one of ETSI EN 300 468 with the number of channels.
            Coding::Opus { channels: channels @ 1..=8 } => {
                sound(0x06, PRIVATE, &[b"\x05\x04Opus\x7f\x02\x80", &[*channels][..]].concat(), Front::Opus)
            }
            Coding::Opus { .. } => return Err(CodingError("Opus of more than eight channels has no place in MPEG-TS")),
        })
    }

    /// Writes what stands in front of a sample.
    pub(super) fn write_front(&self, sample: &[u8], out: &mut Vec<u8>) {
        match self.front {
            Front::Nothing => {}
            Front::Delimiter(delimiter) => {
                // Start codes have three bytes or four.
                let is_there =
                    [1, 0].iter().any(|from| sample.starts_with(delimiter.get(*from..5).unwrap_or_default()));
                if !is_there {
                    out.extend_from_slice(delimiter);
                }
            }
            Front::Adts(mut head) => {
                let length = ADTS_HEAD + sample.len();
                head[3] |= (length >> 11) as u8 & 3;
                head[4] = (length >> 3) as u8;
                head[5] |= (length << 5) as u8;
                out.extend_from_slice(&head);
            }
            Front::Opus => {
                out.extend_from_slice(&[0x7f, 0xe0]);
                out.extend(std::iter::repeat_n(0xff, sample.len() / 255));
                out.push((sample.len() % 255) as u8);
            }
        }
    }
}

/// The head of an ADTS frame (ISO/IEC 14496-3, section 1.A.2.2) of no length yet.
fn adts(config: &[u8]) -> Result<[u8; ADTS_HEAD], CodingError> {
    const SHORT: CodingError = CodingError("the set-up of AAC is cut short");
    /// Spectral band replication, and parametric stereo: what is in front of another object type.
    const EXTENSIONS: [u8; 2] = [5, 29];
    /// A rate that has no number.
    const OTHER: u8 = 15;
    let mut bits = Bits::new(config);
    let mut object = bits.byte(5).ok_or(SHORT)?;
    let (rate, channels) = (bits.byte(4).ok_or(SHORT)?, bits.byte(4).ok_or(SHORT)?);
    if EXTENSIONS.contains(&object) {
        // The rate behind it is the one of the extension.
        if bits.byte(4).ok_or(SHORT)? == OTHER {
            bits.skip(24).ok_or(SHORT)?;
        }
        object = bits.byte(5).ok_or(SHORT)?;
    }
    if rate == OTHER || channels == 0 || channels > 7 || !(1..=4).contains(&object) {
        return Err(CodingError("ADTS cannot say which rate, channels or profile this AAC has"));
    }
    let profile = object - 1;
    Ok([0xff, 0xf1, profile << 6 | rate << 2 | channels >> 2, channels << 6, 0, 0x1f, 0xfc])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front(coding: Coding, sample: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Track::new(&coding).unwrap().write_front(sample, &mut out);
        out
    }

    #[test]
    fn frames_of_aac_say_their_length() {
        // Low complexity, 48 kHz, stereo; 300 bytes.
        let head = front(Coding::Aac(vec![0x11, 0x90]), &[0; 300]);
        assert_eq!(head, [0xff, 0xf1, 0x4c, 0x80, 0x26, 0x7f, 0xfc]);
        // Spectral band replication at 48 kHz on low complexity at 24 kHz.
        let head = front(Coding::Aac(vec![0x2b, 0x11, 0x88, 0x00]), &[0; 1]);
        assert_eq!(head[..3], [0xff, 0xf1, 0x58]);
        assert_eq!(front(Coding::Adts, &[0xff, 0xf1]), b"");
    }

    #[test]
    fn what_adts_cannot_say_is_refused() {
        for config in [&b""[..], b"\x11", b"\x17\x80\0\0\0", b"\x11\x80", b"\xf8\x80\0"] {
            assert!(Track::new(&Coding::Aac(config.to_vec())).is_err(), "{config:x?}");
        }
        assert!(Track::new(&Coding::Opus { channels: 9 }).is_err());
    }

    #[test]
    fn pictures_begin_with_a_delimiter() {
        for (coding, own, picture) in [
            (Coding::H264, H264_DELIMITER, &b"\0\0\0\x01\x65"[..]),
            (Coding::H265, H265_DELIMITER, b"\0\0\x01\x40\x01"),
        ] {
            assert_eq!(front(coding.clone(), picture), own);
            assert_eq!(front(coding.clone(), own), b"");
            assert_eq!(front(coding, &own[1..]), b"");
        }
        assert_eq!(front(Coding::Mpeg2, b"\0\0\x01\xb3"), b"");
    }

    #[test]
    fn packets_of_opus_say_their_length() {
        assert_eq!(front(Coding::Opus { channels: 2 }, &[0; 80]), [0x7f, 0xe0, 80]);
        assert_eq!(front(Coding::Opus { channels: 2 }, &[0; 510]), [0x7f, 0xe0, 0xff, 0xff, 0]);
        assert_eq!(Track::new(&Coding::Opus { channels: 6 }).unwrap().descriptors, b"\x05\x04Opus\x7f\x02\x80\x06");
    }
}
