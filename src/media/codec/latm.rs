//! AAC in LATM and LOAS (ISO/IEC 14496-3, section 1.7), as digital television and RTP (RFC 6416) carry it.
//!
//! Streams of one program with one layer and one frame in each element are read: there are no others.

use super::super::bits::Bits;
use super::aac::{Config, Parameters};
use super::bit_writer::BitWriter;
use bytes::Bytes;

/// Bytes in front of the `AudioMuxElement` of a LOAS frame.
pub const HEADER: usize = 3;
/// What a LOAS frame begins with, in eleven bits.
const SYNC: u32 = 0x2b7;

/// Bytes of the LOAS frame that bytes begin with (section 1.7.2); `None` when they do not, or are fewer than three.
pub fn frame_length(bytes: &[u8]) -> Option<usize> {
    let mut bits = Bits::new(bytes);
    if bits.take(11)? != SYNC {
        return None;
    }
    Some(HEADER + bits.take(13)? as usize)
}

/// What does not change from element to element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMuxConfig {
    parameters: Parameters,
    /// Bits behind each frame that mean something else.
    other_data: usize,
}

impl StreamMuxConfig {
    /// Reads a `StreamMuxConfig` (section 1.7.3.1), as the `config` of RFC 6416 has it. `None` also when it has more than one program,
    /// layer or frame.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        Self::read(bytes, &mut Bits::new(bytes))
    }

    /// The configuration of the frames.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The frame of an `AudioMuxElement` without a configuration; `None` when it is cut off or empty.
    pub fn frame(&self, element: &[u8]) -> Option<Bytes> {
        self.read_frame(&mut Bits::new(element))
    }

    fn read(bytes: &[u8], bits: &mut Bits<'_>) -> Option<Self> {
        let version = bits.take(1)?;
        // `audioMuxVersionA` is reserved.
        if version == 1 {
            if bits.flag()? {
                return None;
            }
            value(bits)?;
        }
        let (is_same_time, frames, programs, layers) = (bits.flag()?, bits.take(6)?, bits.take(4)?, bits.take(3)?);
        if !is_same_time || (frames, programs, layers) != (0, 0, 0) {
            return None;
        }
        let begin = |bits: &Bits<'_>| {
            let mut from = Bits::new(bytes);
            from.skip(bits.position()).map(|()| from)
        };
        let config = match version {
            0 => {
                let mut from = begin(bits)?;
                let before = bits.position();
                Config::read(bits)?;
                copy(&mut from, bits.position() - before)?
            }
            _ => {
                let length = value(bits)? as usize;
                let config = copy(&mut begin(bits)?, length)?;
                bits.skip(length)?;
                config
            }
        };
        let parameters = Parameters { config };
        parameters.parse()?;
        // `frameLengthType` 0: each frame tells its length.
        if bits.take(3)? != 0 {
            return None;
        }
        bits.skip(8)?;
        let mut other_data = 0;
        let has_other_data = bits.flag()?;
        if has_other_data {
            other_data = match version {
                0 => other_data_bits(bits)?,
                _ => value(bits)? as usize,
            };
        }
        let has_checksum = bits.flag()?;
        if has_checksum {
            bits.skip(8)?;
        }
        Some(Self { parameters, other_data })
    }

    /// `PayloadLengthInfo` and `PayloadMux` (sections 1.7.3.1 and 1.7.3.2).
    fn read_frame(&self, bits: &mut Bits<'_>) -> Option<Bytes> {
        let mut length = 0;
        loop {
            let more = bits.take(8)?;
            length += more as usize;
            if more != 255 {
                break;
            }
        }
        let frame: Option<Vec<u8>> = (0..length).map(|_| bits.byte(8)).collect();
        bits.skip(self.other_data)?;
        frame.filter(|frame| !frame.is_empty()).map(Bytes::from)
    }
}

/// Takes the frames of LOAS, which bring their configuration now and then.
#[derive(Debug, Default)]
pub struct Loas {
    config: Option<StreamMuxConfig>,
}

impl Loas {
    /// The frame of AAC in a frame of LOAS, and the configuration of the frames from this one on, if it is another. `None` in front
    /// of the first configuration, and for what is no frame.
    pub fn push(&mut self, frame: &[u8]) -> Option<(Bytes, Option<Parameters>)> {
        let element = frame.get(HEADER..frame_length(frame)?)?;
        let mut bits = Bits::new(element);
        let mut changed = None;
        let is_same = bits.flag()?;
        if !is_same {
            let config = StreamMuxConfig::read(element, &mut bits)?;
            let is_known = self.config.as_ref().is_some_and(|known| known.parameters == config.parameters);
            changed = (!is_known).then(|| config.parameters.clone());
            self.config = Some(config);
        }
        // A configuration that came with a broken frame is told with the next whole one.
        let data = self.config.as_ref()?.read_frame(&mut bits);
        if data.is_none() && changed.is_some() {
            self.config = None;
        }
        Some((data?, changed))
    }
}

/// `LatmGetValue`: up to four bytes, the highest first.
fn value(bits: &mut Bits<'_>) -> Option<u32> {
    let bytes = bits.take(2)?;
    (0..=bytes).try_fold(0, |value, _| Some(value << 8 | bits.take(8)?))
}

/// `otherDataLenBits` of version 0: bytes, each behind a bit that says whether another follows.
fn other_data_bits(bits: &mut Bits<'_>) -> Option<usize> {
    let mut length = 0usize;
    loop {
        let has_more = bits.flag()?;
        length = length.checked_mul(256)?.checked_add(bits.take(8)? as usize)?;
        if !has_more {
            return Some(length);
        }
    }
}

/// So many bits as bytes, with zeros at the end.
fn copy(bits: &mut Bits<'_>, count: usize) -> Option<Bytes> {
    let mut out = BitWriter::default();
    for _ in 0..count {
        out.write(bits.take(1)?, 1);
    }
    Some(out.into_bytes().into())
}
