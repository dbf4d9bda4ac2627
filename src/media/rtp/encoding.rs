//! What SDP says of the packets of a track (`a=rtpmap`, `a=fmtp`) → how they are read.

use super::aac;
use crate::media::codec::canonical::SourceForm;
use crate::media::codec::{aac::Parameters as AacParameters, h264, h265, latm::StreamMuxConfig, opus, pcm};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64_NOPAD, HEXLOWER_PERMISSIVE};

/// How the packets of a track are coded.
#[derive(Debug, Clone)]
pub enum Encoding {
    /// H.264, with the parameter sets that SDP has; more may come in band.
    H264(h264::Parameters),
    /// H.265, with the parameter sets that SDP has; more may come in band.
    H265(h265::Parameters),
    /// AV1.
    Av1,
    /// VP8.
    Vp8,
    /// VP9.
    Vp9,
    /// JPEG.
    Jpeg,
    /// AAC as `mpeg4-generic`.
    Aac(AacParameters, aac::Fields),
    /// AAC as `MP4A-LATM`, with its configuration unless that is in band.
    Latm(Option<StreamMuxConfig>),
    /// MPEG audio.
    MpegAudio,
    /// AC-3.
    Ac3,
    /// Opus with this many channels.
    Opus(u8),
    /// PCM or G.711.
    Pcm {
        /// As the units have it: little endian where the packets are big endian, with 24 bits.
        format: pcm::Format,
        /// Samples a second.
        rate: u32,
        /// Number of channels.
        channels: u16,
    },
}

/// Why packets cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// There is no code for it.
    #[error(
        "read RTP packets of `{0}`: only H264, H265, AV1, VP8, VP9, JPEG, MPEG4-GENERIC, MP4A-LATM, MPA, AC3, OPUS, PCMA, PCMU, L8, L16 and L24 are known"
    )]
    Name(String),
    /// A parameter of `a=fmtp` is missing, wrong, or asks for what is not done.
    #[error("read RTP packets of `{name}` with `{parameter}={value}`")]
    Parameter {
        /// The encoding.
        name: &'static str,
        /// Name of the parameter.
        parameter: &'static str,
        /// What it is; empty when it is missing.
        value: String,
    },
}

impl Encoding {
    /// That of a payload type: `name` of `a=rtpmap`, its clock rate, channels (1 when not said) and the parameters of `a=fmtp`.
    pub fn parse(name: &str, clock_rate: u32, channels: u16, parameters: &str) -> Result<Self, Unsupported> {
        let fmtp = Parameters(parameters);
        let pcm = |format| Self::Pcm { format, rate: clock_rate.max(1), channels: channels.max(1) };
        Ok(match name.to_ascii_uppercase().as_str() {
            "H264" => Self::H264(fmtp.h264()),
            "H265" | "HEVC" => {
                // With it, a field stands before each unit.
                fmtp.must_be_zero("H265", "sprop-max-don-diff")?;
                Self::H265(fmtp.h265())
            }
            "AV1" => Self::Av1,
            "VP8" => Self::Vp8,
            "VP9" => Self::Vp9,
            "JPEG" => Self::Jpeg,
            "MPEG4-GENERIC" => fmtp.aac(clock_rate)?,
            "MP4A-LATM" => fmtp.latm()?,
            "MPA" => Self::MpegAudio,
            "AC3" => Self::Ac3,
            "OPUS" => Self::Opus(if fmtp.get("sprop-stereo") == Some("0") { 1 } else { 2 }),
            "PCMA" => pcm(pcm::Format::ALaw),
            "PCMU" => pcm(pcm::Format::MuLaw),
            "L8" => pcm(pcm::Format::U8),
            "L16" => pcm(pcm::Format::S16Be),
            "L24" => pcm(pcm::Format::S24Le),
            _ => return Err(Unsupported::Name(name.chars().take(32).collect())),
        })
    }

    /// That of a payload type without `a=rtpmap` (RFC 3551, section 6), and its clock rate.
    pub fn of_static(payload_type: u8) -> Option<(Self, u32)> {
        let pcm = |format, rate, channels| (Self::Pcm { format, rate, channels }, rate);
        Some(match payload_type {
            0 => pcm(pcm::Format::MuLaw, 8000, 1),
            8 => pcm(pcm::Format::ALaw, 8000, 1),
            10 => pcm(pcm::Format::S16Be, 44_100, 2),
            11 => pcm(pcm::Format::S16Be, 44_100, 1),
            14 => (Self::MpegAudio, 90_000),
            26 => (Self::Jpeg, 90_000),
            _ => return None,
        })
    }

    /// The form of the units that a [`Depacketizer`](super::Depacketizer) makes.
    pub fn source_form(&self) -> SourceForm {
        match self {
            Self::H264(parameters) => SourceForm::H264Lengths(parameters.clone(), 4),
            Self::H265(parameters) => SourceForm::H265Lengths(parameters.clone(), 4),
            Self::Av1 => SourceForm::Av1ObuStream(None),
            Self::Vp8 => SourceForm::Vp8,
            Self::Vp9 => SourceForm::Vp9,
            Self::Jpeg => SourceForm::Jpeg,
            Self::Aac(parameters, _) => SourceForm::AacRaw(parameters.clone()),
            Self::Latm(Some(config)) => SourceForm::Latm(config.clone()),
            Self::Latm(None) => SourceForm::Loas,
            Self::MpegAudio => SourceForm::MpegAudio,
            Self::Ac3 => SourceForm::Ac3,
            Self::Opus(channels) => SourceForm::Opus(opus::Parameters::simple(*channels)),
            Self::Pcm { format, rate, channels } => SourceForm::Pcm(*format, *rate, *channels),
        }
    }

    /// Whether it is video.
    pub fn is_video(&self) -> bool {
        match self {
            Self::H264(_) | Self::H265(_) | Self::Av1 | Self::Vp8 | Self::Vp9 | Self::Jpeg => true,
            Self::Aac(..) | Self::Latm(_) | Self::MpegAudio | Self::Ac3 | Self::Opus(_) | Self::Pcm { .. } => false,
        }
    }
}

/// `name=value` pairs between semicolons.
struct Parameters<'a>(&'a str);

impl<'a> Parameters<'a> {
    /// Names are compared without case (RFC 3640 and others).
    fn get(&self, name: &str) -> Option<&'a str> {
        self.0.split(';').filter_map(|pair| pair.split_once('=')).find_map(|(key, value)| {
            let value = value.trim();
            let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
            key.trim().eq_ignore_ascii_case(name).then_some(value)
        })
    }

    fn must_be_zero(&self, name: &'static str, parameter: &'static str) -> Result<(), Unsupported> {
        match self.get(parameter) {
            None | Some("0" | "") => Ok(()),
            Some(value) => Err(unsupported(name, parameter, value)),
        }
    }

    /// Base64 between commas.
    fn units(&self, name: &str) -> Vec<Bytes> {
        let texts = self.get(name).unwrap_or_default().split(',').map(str::trim).filter(|text| !text.is_empty());
        let decode = |text: &str| {
            let bytes = text.as_bytes();
            BASE64.decode(bytes).or_else(|_| BASE64_NOPAD.decode(text.trim_end_matches('=').as_bytes())).ok()
        };
        texts.filter_map(decode).filter(|unit| !unit.is_empty()).map(Bytes::from).collect()
    }

    fn h264(&self) -> h264::Parameters {
        let units = self.units("sprop-parameter-sets");
        let of =
            |kind| units.iter().filter(|unit| unit.first().is_some_and(|head| head & 0x1f == kind)).cloned().collect();
        h264::Parameters { sps: of(h264::SPS), pps: of(h264::PPS) }
    }

    fn h265(&self) -> h265::Parameters {
        let units = ["sprop-vps", "sprop-sps", "sprop-pps"].map(|name| self.units(name)).concat();
        let of = |kind| units.iter().filter(|unit| h265::kind(unit) == Some(kind)).cloned().collect();
        h265::Parameters { vps: of(h265::VPS), sps: of(h265::SPS), pps: of(h265::PPS) }
    }

    fn number(&self, name: &'static str, parameter: &'static str, absent: u8) -> Result<u8, Unsupported> {
        let Some(text) = self.get(parameter) else { return Ok(absent) };
        text.parse().ok().filter(|number| *number <= 16).ok_or_else(|| unsupported(name, parameter, text))
    }

    fn hex(&self, name: &'static str, parameter: &'static str) -> Result<Vec<u8>, Unsupported> {
        let text = self.get(parameter).unwrap_or_default();
        // Half a byte more than there is, some write as one digit.
        let even = if text.len().is_multiple_of(2) { text.to_owned() } else { format!("{text}0") };
        HEXLOWER_PERMISSIVE.decode(even.as_bytes()).map_err(|_| unsupported(name, parameter, text))
    }

    fn aac(&self, clock_rate: u32) -> Result<Encoding, Unsupported> {
        const NAME: &str = "MPEG4-GENERIC";
        for parameter in
            ["ctsdeltalength", "dtsdeltalength", "randomaccessindication", "streamstateindication", "constantsize"]
        {
            self.must_be_zero(NAME, parameter)?;
        }
        // Data before the frames, of a length that the packet contains.
        self.must_be_zero(NAME, "auxiliarydatasizelength")?;
        let parameters = AacParameters { config: self.hex(NAME, "config")?.into() };
        let config = parameters.parse();
        let config = config.ok_or_else(|| unsupported(NAME, "config", self.get("config").unwrap_or_default()))?;
        let size = self.number(NAME, "sizelength", 13)?;
        if size == 0 {
            return Err(unsupported(NAME, "sizelength", "0"));
        }
        let ticks = u64::from(config.frame_length) * u64::from(clock_rate) / u64::from(config.core_rate.max(1));
        let fields = aac::Fields {
            size,
            index: self.number(NAME, "indexlength", 3)?,
            index_delta: self.number(NAME, "indexdeltalength", 3)?,
            frame: u32::try_from(ticks).unwrap_or(u32::MAX),
        };
        Ok(Encoding::Aac(parameters, fields))
    }

    fn latm(&self) -> Result<Encoding, Unsupported> {
        const NAME: &str = "MP4A-LATM";
        if self.get("cpresent") != Some("0") {
            return Ok(Encoding::Latm(None));
        }
        let config = StreamMuxConfig::parse(&self.hex(NAME, "config")?);
        let config = config.ok_or_else(|| unsupported(NAME, "config", self.get("config").unwrap_or_default()))?;
        Ok(Encoding::Latm(Some(config)))
    }
}

fn unsupported(name: &'static str, parameter: &'static str, value: &str) -> Unsupported {
    Unsupported::Parameter { name, parameter, value: value.chars().take(64).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(name: &str, rate: u32, channels: u16, fmtp: &str) -> Encoding {
        Encoding::parse(name, rate, channels, fmtp).unwrap()
    }

    #[test]
    fn descriptions_of_encoders_are_read() {
        // ffmpeg, and rtspclientsink of GStreamer.
        let fmtp =
            "packetization-mode=1; sprop-parameter-sets=Z0LAHtkDxWhAAAADAEAAAAwDxYuS,aMuMsg==; profile-level-id=42C01E";
        let Encoding::H264(sets) = parse("H264", 90_000, 1, fmtp) else { panic!() };
        assert_eq!((sets.sps[0][..2].to_vec(), sets.pps[0].to_vec()), (vec![0x67, 0x42], vec![0x68, 0xcb, 0x8c, 0xb2]));
        let fmtp = "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3; config=1190";
        let Encoding::Aac(parameters, fields) = parse("mpeg4-generic", 48_000, 2, fmtp) else { panic!() };
        assert_eq!(parameters.config, [0x11, 0x90][..]);
        assert_eq!(fields, aac::Fields { size: 13, index: 3, index_delta: 3, frame: 1024 });
        let fmtp = "cpresent=0;config=400024203fc0;rate=44100";
        assert!(matches!(parse("MP4A-LATM", 44_100, 2, fmtp), Encoding::Latm(Some(_))));
        assert!(matches!(parse("MP4A-LATM", 44_100, 2, ""), Encoding::Latm(None)));
        assert!(matches!(parse("opus", 48_000, 2, "sprop-stereo=1"), Encoding::Opus(2)));
        assert!(matches!(
            parse("L16", 44_100, 2, ""),
            Encoding::Pcm { format: pcm::Format::S16Be, rate: 44_100, channels: 2 }
        ));
        assert!(matches!(Encoding::of_static(8), Some((Encoding::Pcm { format: pcm::Format::ALaw, .. }, 8000))));
    }

    #[test]
    fn what_is_not_read_is_named() {
        let error = |name, fmtp| Encoding::parse(name, 90_000, 1, fmtp).unwrap_err().to_string();
        assert!(error("H263-1998", "").contains("`H263-1998`"));
        assert!(error("H265", "sprop-max-don-diff=2").contains("`sprop-max-don-diff=2`"));
        assert!(error("mpeg4-generic", "config=zz").contains("`config=zz`"));
        assert!(error("mpeg4-generic", "mode=AAC-hbr").contains("`config=`"));
        assert!(error("mpeg4-generic", "config=1190;sizelength=99").contains("`sizelength=99`"));
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(name in "(?i)h264|h265|mpeg4-generic|mp4a-latm|[a-z0-9]{0,9}", rate: u32, channels: u16, fmtp: String) {
            for fmtp in [fmtp.clone(), format!("config={fmtp};sprop-parameter-sets={fmtp};cpresent=0")] {
                if let Ok(encoding) = Encoding::parse(&name, rate, channels, &fmtp) {
                    let _ = encoding.source_form();
                }
            }
        }
    }
}
