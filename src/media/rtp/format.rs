//! How SDP describes the packets of a track: `a=rtpmap` and `a=fmtp`.

use super::{jpeg, pcm};
use crate::media::TrackInfo;
use crate::media::codec::{CodecParameters, aac, av1, h264, h265};
use bytes::Bytes;
use data_encoding::{BASE64, HEXLOWER};
use std::fmt;

/// The payload format of a track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// Name of the encoding.
    pub name: &'static str,
    /// Ticks a second of the timestamps.
    pub clock_rate: u32,
    /// Channels, where `a=rtpmap` says them: more than one.
    pub channels: Option<u16>,
    /// The payload type that RFC 3551 has for exactly this; `None` when it is to be chosen.
    pub payload_type: Option<u8>,
    /// The parameters of `a=fmtp`; empty when there are none.
    pub parameters: String,
}

impl Format {
    /// That of a track; `None` when RTP cannot carry its codec.
    pub fn of(track: &TrackInfo) -> Option<Self> {
        let video =
            |name, parameters| Some(Self { name, clock_rate: 90_000, channels: None, payload_type: None, parameters });
        match &track.codec {
            CodecParameters::H264(parameters) => video("H264", h264(parameters)),
            CodecParameters::H265(parameters) => video("H265", h265(parameters)),
            CodecParameters::Av1(parameters) => video("AV1", av1(parameters)),
            CodecParameters::Vp8 => video("VP8", String::new()),
            CodecParameters::Vp9(parameters) => video("VP9", format!("profile-id={}", parameters.profile)),
            CodecParameters::Jpeg => {
                let shape = track.video()?;
                let fits = shape.width <= jpeg::MAX_SIDE && shape.height <= jpeg::MAX_SIDE;
                video("JPEG", String::new()).filter(|_| fits).map(|format| Self { payload_type: Some(26), ..format })
            }
            CodecParameters::Aac(parameters) => aac(parameters),
            CodecParameters::MpegAudio(_) => {
                video("MPA", String::new()).map(|format| Self { payload_type: Some(14), ..format })
            }
            CodecParameters::Ac3(_) => {
                let audio = track.audio()?;
                let channels = Some(audio.channels);
                let parameters = String::new();
                Some(Self { name: "AC3", clock_rate: audio.rate, channels, payload_type: None, parameters })
            }
            // More channels have no payload format that is known.
            CodecParameters::Opus(parameters) => (parameters.channels() <= 2).then(|| Self {
                name: "OPUS",
                clock_rate: 48_000,
                channels: Some(2),
                payload_type: None,
                parameters: format!("sprop-stereo={}", u8::from(parameters.channels() == 2)),
            }),
            CodecParameters::Pcm(format) => {
                let (name, audio) = (pcm::name(*format)?, track.audio()?);
                let payload_type = match (name, audio.rate, audio.channels) {
                    ("PCMU", 8000, 1) => Some(0),
                    ("PCMA", 8000, 1) => Some(8),
                    ("L16", 44_100, 2) => Some(10),
                    ("L16", 44_100, 1) => Some(11),
                    _ => None,
                };
                let channels = Some(audio.channels).filter(|channels| *channels > 1);
                Some(Self { name, clock_rate: audio.rate, channels, payload_type, parameters: String::new() })
            }
            CodecParameters::Mpeg1Video
            | CodecParameters::Mpeg2Video
            | CodecParameters::Mpeg4Visual(_)
            | CodecParameters::Raw(_)
            | CodecParameters::Theora(_)
            | CodecParameters::Vorbis(_)
            | CodecParameters::Flac(_)
            | CodecParameters::Eac3(_) => None,
        }
    }
}

impl fmt::Display for Format {
    /// As `a=rtpmap` has it: `OPUS/48000/2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.name, self.clock_rate)?;
        match self.channels {
            Some(channels) => write!(f, "/{channels}"),
            None => Ok(()),
        }
    }
}

fn base64(units: &[Bytes]) -> String {
    units.iter().map(|unit| BASE64.encode(unit)).collect::<Vec<_>>().join(",")
}

fn h264(parameters: &h264::Parameters) -> String {
    let [profile, constraints, level] = parameters.profile_level().unwrap_or([0x42, 0, 0x1e]);
    let sets = base64(&[&parameters.sps[..], &parameters.pps].concat());
    format!(
        "packetization-mode=1;profile-level-id={profile:02X}{constraints:02X}{level:02X};sprop-parameter-sets={sets}"
    )
}

fn h265(parameters: &h265::Parameters) -> String {
    let kinds = [("vps", &parameters.vps), ("sps", &parameters.sps), ("pps", &parameters.pps)];
    let sets = kinds.iter().filter(|(_, sets)| !sets.is_empty());
    sets.map(|(name, sets)| format!("sprop-{name}={}", base64(sets))).collect::<Vec<_>>().join(";")
}

fn av1(parameters: &av1::Parameters) -> String {
    let Some(sequence) = parameters.sequence() else { return String::new() };
    format!("profile={};level-idx={};tier={}", sequence.profile, sequence.level, u8::from(sequence.is_high_tier))
}

fn aac(parameters: &aac::Parameters) -> Option<Format> {
    let config = parameters.parse()?;
    Some(Format {
        name: "MPEG4-GENERIC",
        clock_rate: config.rate(),
        channels: Some(config.channels().max(1)),
        payload_type: None,
        parameters: format!(
            "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;config={}",
            HEXLOWER.encode(&parameters.config)
        ),
    })
}
