//! AAC: `AudioSpecificConfig` (ISO/IEC 14496-3, section 1.6.2.1).

use super::super::bits::Bits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The `AudioSpecificConfig`.
    pub config: Bytes,
}

impl Parameters {
    /// The audio object type of the configuration: five bits, or six more after 31.
    pub fn codec_string(&self) -> Option<String> {
        object_type(&mut Bits::new(&self.config)).map(|kind| format!("mp4a.40.{kind}"))
    }

    /// What the configuration says.
    pub fn parse(&self) -> Option<Config> {
        Config::parse(&self.config)
    }
}

/// Spectral band replication.
const SBR: u8 = 5;
/// Parametric stereo.
const PS: u8 = 29;
/// Scalable extension of bit-sliced coding.
const ER_BSAC: u8 = 22;
/// Low delay.
const ER_AAC_LD: u8 = 23;
/// Enhanced low delay.
const ER_AAC_ELD: u8 = 39;

/// What an extension begins with that older decoders step over, in eleven bits.
pub(super) const SYNC_EXTENSION: u32 = 0x2b7;

/// Samples a second by `samplingFrequencyIndex` (table 1.16).
pub(super) const RATES: [u32; 13] =
    [96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8000, 7350];
/// `samplingFrequencyIndex` of a rate that is written out.
pub(super) const OTHER_RATE: u8 = 15;

/// What an `AudioSpecificConfig` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Audio object type of the core, below spectral band replication and parametric stereo: 2 is low complexity.
    pub object_type: u8,
    /// `samplingFrequencyIndex` of the core; 15 when the rate has none.
    pub rate_index: u8,
    /// Samples a second of the core.
    pub core_rate: u32,
    /// `channelConfiguration`; 0 when the channels are listed.
    pub channel_config: u8,
    /// Channels of the core; 0 when unknown.
    pub core_channels: u16,
    /// Samples a second with spectral band replication, if the configuration says that there is.
    pub sbr_rate: Option<u32>,
    /// The configuration says that there is parametric stereo.
    pub has_ps: bool,
    /// Samples of a frame of the core: 1024 or 960; 512 or 480 with low delay.
    pub frame_length: u16,
}

impl Config {
    /// Reads an `AudioSpecificConfig`.
    pub fn parse(config: &[u8]) -> Option<Self> {
        let mut bits = Bits::new(config);
        let mut this = Self::read(&mut bits)?;
        this.read_extension(&mut bits);
        Some(this)
    }

    /// Samples a second, as they leave the decoder.
    pub fn rate(&self) -> u32 {
        self.sbr_rate.unwrap_or(self.core_rate)
    }

    /// Channels, as they leave the decoder; 0 when unknown.
    pub fn channels(&self) -> u16 {
        if self.has_ps && self.core_channels == 1 { 2 } else { self.core_channels }
    }

    /// Samples of a frame at [`Config::rate`].
    pub fn samples(&self) -> u32 {
        let samples = u64::from(self.frame_length) * u64::from(self.rate()) / u64::from(self.core_rate.max(1));
        u32::try_from(samples).unwrap_or(u32::MAX)
    }

    /// Reads up to where an extension may follow that older decoders do not know.
    pub(super) fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let mut kind = object_type(bits)?;
        let (rate_index, core_rate) = rate(bits)?;
        let channel_config = bits.byte(4)?;
        let (mut sbr_rate, has_ps) = (None, kind == PS);
        if kind == SBR || kind == PS {
            sbr_rate = Some(rate(bits)?.1);
            kind = object_type(bits)?;
            if kind == ER_BSAC {
                bits.skip(4)?;
            }
        }
        let mut this = Self {
            object_type: kind,
            rate_index,
            core_rate,
            channel_config,
            core_channels: channels(channel_config),
            sbr_rate,
            has_ps,
            frame_length: 1024,
        };
        match kind {
            1..=4 | 6 | 7 | 17 | 19..=23 => this.read_general(bits)?,
            ER_AAC_ELD => this.read_enhanced_low_delay(bits)?,
            _ => return Some(this),
        }
        if matches!(kind, 17 | 19..=27 | ER_AAC_ELD) {
            // `epConfig`: anything but 0 and 1 has more before each frame, which is not used.
            bits.skip(2)?;
        }
        Some(this)
    }

    /// `GASpecificConfig` (section 4.4.1).
    fn read_general(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let is_short = bits.flag()?;
        self.frame_length = match (self.object_type == ER_AAC_LD, is_short) {
            (false, false) => 1024,
            (false, true) => 960,
            (true, false) => 512,
            (true, true) => 480,
        };
        let depends_on_core = bits.flag()?;
        if depends_on_core {
            bits.skip(14)?;
        }
        let has_extension = bits.flag()?;
        if self.channel_config == 0 {
            (self.core_channels, _) = program_config(bits)?;
        }
        if matches!(self.object_type, 6 | 20) {
            bits.skip(3)?;
        }
        if has_extension {
            match self.object_type {
                ER_BSAC => bits.skip(16)?,
                17 | 19 | 20 | ER_AAC_LD => bits.skip(3)?,
                _ => {}
            }
            bits.skip(1)?;
        }
        Some(())
    }

    /// `ELDSpecificConfig` (section 4.6.20.3).
    fn read_enhanced_low_delay(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        let is_short = bits.flag()?;
        self.frame_length = if is_short { 480 } else { 512 };
        bits.skip(3)?;
        let has_sbr = bits.flag()?;
        if has_sbr {
            // Whether it doubles the rate. Its headers for each channel and the extensions after them are left.
            let is_doubled = bits.flag()?;
            self.sbr_rate = is_doubled.then(|| self.core_rate.saturating_mul(2));
        }
        Some(())
    }

    /// `syncExtensionType` 0x2b7 and 0x548: spectral band replication and parametric stereo that older decoders step over.
    pub(super) fn read_extension(&mut self, bits: &mut Bits<'_>) -> Option<()> {
        if self.sbr_rate.is_some() || self.object_type == ER_AAC_ELD || bits.take(11)? != SYNC_EXTENSION {
            return None;
        }
        if object_type(bits)? != SBR || !bits.flag()? {
            return None;
        }
        self.sbr_rate = Some(rate(bits)?.1);
        if bits.take(11)? == 0x548 {
            self.has_ps = bits.flag()?;
        }
        Some(())
    }
}

/// Five bits, or 32 and six more after 31 (table 1.16).
fn object_type(bits: &mut Bits<'_>) -> Option<u8> {
    match bits.byte(5)? {
        31 => Some(32 + bits.byte(6)?),
        kind => Some(kind),
    }
}

/// `samplingFrequencyIndex`, and the rate that it means or that follows it.
fn rate(bits: &mut Bits<'_>) -> Option<(u8, u32)> {
    let index = bits.byte(4)?;
    let rate = if index == OTHER_RATE { bits.take(24)? } else { *RATES.get(usize::from(index))? };
    Some((index, rate)).filter(|(_, rate)| *rate > 0)
}

/// Number of channels (table 1.19); 0 when they are listed or unknown.
pub(super) fn channels(config: u8) -> u16 {
    match config {
        1..=6 => config.into(),
        7 | 12 | 14 => 8,
        11 => 7,
        13 => 24,
        _ => 0,
    }
}

/// `program_config_element` (section 4.4.1.1), aligned to the bytes that `bits` began with: number of channels, and
/// where the alignment before its comment begins.
pub(super) fn program_config(bits: &mut Bits<'_>) -> Option<(u16, usize)> {
    bits.skip(4 + 2 + 4)?;
    let counts = [bits.byte(4)?, bits.byte(4)?, bits.byte(4)?];
    let (low, data, coupling) = (bits.byte(2)?, bits.byte(3)?, bits.byte(4)?);
    for length in [4, 4, 3] {
        let is_present = bits.flag()?;
        if is_present {
            bits.skip(length)?;
        }
    }
    let mut channels = u16::from(low);
    for _ in 0..counts.iter().sum::<u8>() {
        let is_pair = bits.flag()?;
        channels += 1 + u16::from(is_pair);
        bits.skip(4)?;
    }
    bits.skip(4 * usize::from(low) + 4 * usize::from(data) + 5 * usize::from(coupling))?;
    let end = bits.position();
    bits.skip(end.wrapping_neg() % 8)?;
    let comment = bits.byte(8)?;
    bits.skip(8 * usize::from(comment))?;
    Some((channels, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn configurations_are_read() {
        #[track_caller]
        fn check(config: &[u8], expect: (u8, u32, u16, u32), name: &str) {
            let found = Config::parse(config).unwrap();
            assert_eq!((found.object_type, found.rate(), found.channels(), found.samples()), expect, "{config:x?}");
            let parameters = Parameters { config: Bytes::copy_from_slice(config) };
            assert_eq!(parameters.codec_string().as_deref(), Some(name));
        }
        check(&[0x11, 0x90], (2, 48_000, 2, 1024), "mp4a.40.2");
        check(&[0x12, 0x10], (2, 44_100, 2, 1024), "mp4a.40.2");
        // 960 samples; 7.1; a rate without a number.
        check(&[0x11, 0x94], (2, 48_000, 2, 960), "mp4a.40.2");
        check(&[0x11, 0xb8], (2, 48_000, 8, 1024), "mp4a.40.2");
        check(&[0x17, 0x80, 0x1f, 0x40, 0x08], (2, 16_000, 1, 1024), "mp4a.40.2");
        // Spectral band replication before the core, and after it; with parametric stereo.
        check(&[0x2b, 0x11, 0x88, 0x00], (2, 48_000, 2, 2048), "mp4a.40.5");
        check(&[0x13, 0x10, 0x56, 0xe5, 0x98], (2, 48_000, 2, 2048), "mp4a.40.2");
        check(&[0xeb, 0x09, 0x88, 0x00], (2, 48_000, 2, 2048), "mp4a.40.29");
        check(&[0x13, 0x08, 0x56, 0xe5, 0x9d, 0x48, 0x80], (2, 48_000, 2, 2048), "mp4a.40.2");
        // Enhanced low delay of 512 samples.
        check(&[0xf8, 0xe6, 0x20, 0x00], (39, 48_000, 1, 512), "mp4a.40.39");
        // ffmpeg's 2.1: a list of channels.
        check(b"\x11\x80\x04\xc4\x01\x00\x20\x00\x0dLavc59.37.100", (2, 48_000, 3, 1024), "mp4a.40.2");
    }

    #[test]
    fn half_configurations_are_none() {
        for config in [&b""[..], &[0x11], &[0x17, 0x80], &[0x16, 0x90], &[0xff]] {
            assert_eq!(Config::parse(config), None, "{config:x?}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            if let Some(config) = Config::parse(&bytes) {
                let _ = (config.rate(), config.channels(), config.samples());
            }
            let _ = Parameters { config: bytes.into() }.codec_string();
        }
    }
}
