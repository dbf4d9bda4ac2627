//! ADTS: AAC frames with their length and configuration (ISO/IEC 14496-3, section 1.A.2.2).

use super::super::bits::Bits;
use super::aac::{self, Config, Parameters};
use super::bit_writer::BitWriter;
use bytes::Bytes;

/// Bytes of a header without a checksum.
pub const HEADER: usize = 7;
/// Longest frame with its header.
pub const MAX_FRAME: usize = 0x1fff;

/// What stands before a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Audio object type, 1 to 4: 2 is low complexity.
    pub object_type: u8,
    /// `sampling_frequency_index`, 0 to 12.
    pub rate_index: u8,
    /// `channel_configuration`; 0 when the frame lists its channels.
    pub channel_config: u8,
    /// Bytes of the header with its checksum.
    pub length: usize,
    /// Bytes of header and frame, at least `length`.
    pub frame_length: usize,
    /// Raw data blocks of the frame, 1 to 4. A frame of AAC is one.
    pub blocks: u8,
}

impl Header {
    /// Reads the header that bytes begin with. `None` when they do not, or are fewer than seven.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let &[0xff, second, third, fourth, fifth, sixth, seventh] = bytes.first_chunk::<HEADER>()? else { return None };
        if second & 0xf6 != 0xf0 || third >> 2 & 0x0f > 12 {
            return None;
        }
        let length = if second & 1 == 0 { HEADER + 2 } else { HEADER };
        let frame_length = usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth) >> 5;
        (frame_length >= length).then_some(Self {
            object_type: (third >> 6) + 1,
            rate_index: third >> 2 & 0x0f,
            channel_config: (third & 1) << 2 | fourth >> 6,
            length,
            frame_length,
            blocks: (seventh & 3) + 1,
        })
    }

    /// Whether frames of both have the same configuration, as far as their headers show.
    pub fn is_like(&self, other: &Self) -> bool {
        let said = |header: &Self| (header.object_type, header.rate_index, header.channel_config);
        said(self) == said(other)
    }

    /// Samples a second of each channel.
    pub fn rate(&self) -> u32 {
        aac::RATES.get(usize::from(self.rate_index)).copied().unwrap_or(0)
    }

    /// Samples of the frame.
    pub fn samples(&self) -> u32 {
        1024 * u32::from(self.blocks)
    }

    /// The configuration of a frame, whose raw data block (what is after the header) is `block`. `None` when neither says
    /// what channels there are.
    pub fn parameters(&self, block: &[u8]) -> Option<Parameters> {
        let mut config = BitWriter::default();
        config.write(self.object_type.into(), 5);
        config.write(self.rate_index.into(), 4);
        config.write(self.channel_config.into(), 4);
        config.write(0, 3);
        if self.channel_config == 0 {
            copy_program_config(block, &mut config)?;
        }
        Some(Parameters { config: config.into_bytes().into() })
    }
}

/// `ID_PCE` (section 4.5.2.1).
const PROGRAM_CONFIG: u8 = 5;

/// Copies the list of channels with which a raw data block begins, if it begins with one.
fn copy_program_config(block: &[u8], out: &mut BitWriter) -> Option<()> {
    let mut bits = Bits::new(block);
    if bits.byte(3)? != PROGRAM_CONFIG {
        return None;
    }
    let begin = bits.position();
    let (_, aligned_from) = aac::program_config(&mut bits)?;
    let comment = block.get(aligned_from.div_ceil(8)..bits.position() / 8)?;
    // The comment is aligned in the block and in the configuration.
    let mut bits = Bits::new(block);
    bits.skip(begin)?;
    for _ in begin..aligned_from {
        out.write(bits.take(1)?, 1);
    }
    out.align();
    comment.iter().for_each(|byte| out.write((*byte).into(), 8));
    Some(())
}

/// Why frames of a configuration cannot be in ADTS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdtsError {
    /// The configuration ends too early.
    #[error("the configuration of AAC is cut short")]
    Short,
    /// There is no number for it.
    #[error("ADTS cannot say which rate, channels or profile this AAC has")]
    Unsupported,
}

/// Makes headers for the frames of one configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Framer {
    header: [u8; HEADER],
}

impl Framer {
    /// For frames of this configuration. Spectral band replication is not said: decoders find it.
    ///
    /// # Errors
    /// When ADTS has no way to say it.
    pub fn new(parameters: &Parameters) -> Result<Self, AdtsError> {
        let config = Config::parse(&parameters.config).ok_or(AdtsError::Short)?;
        let (rate, channels) = (config.rate_index, config.channel_config);
        let is_known = rate != aac::OTHER_RATE && (1..=7).contains(&channels) && (1..=4).contains(&config.object_type);
        if !is_known || config.frame_length != 1024 {
            return Err(AdtsError::Unsupported);
        }
        let profile = config.object_type - 1;
        Ok(Self { header: [0xff, 0xf1, profile << 6 | rate << 2 | channels >> 2, channels << 6, 0, 0x1f, 0xfc] })
    }

    /// The header of a frame of so many bytes, itself not counted; `None` when that is longer than a header can say.
    pub fn header(&self, frame: usize) -> Option<[u8; HEADER]> {
        let length = (HEADER + frame) as u32;
        let mut header = self.header;
        header[3] |= (length >> 11) as u8 & 3;
        header[4] = (length >> 3) as u8;
        header[5] |= (length << 5) as u8;
        (frame <= MAX_FRAME - HEADER).then_some(header)
    }
}

/// The whole frames that bytes consist of, with their headers; ends at what is none or cut off.
pub fn frames(bytes: &Bytes) -> impl Iterator<Item = (Header, Bytes)> {
    let mut rest = bytes.clone();
    std::iter::from_fn(move || {
        let header = Header::parse(&rest).filter(|header| header.frame_length <= rest.len())?;
        Some((header, rest.split_to(header.frame_length)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/sound.aac");

    fn parameters(config: &[u8]) -> Parameters {
        Parameters { config: Bytes::copy_from_slice(config) }
    }

    #[test]
    fn frames_say_their_length() {
        let header = Framer::new(&parameters(&[0x11, 0x90])).unwrap().header(300).unwrap();
        assert_eq!(header, [0xff, 0xf1, 0x4c, 0x80, 0x26, 0x7f, 0xfc]);
        // Spectral band replication at 48 kHz on low complexity at 24 kHz.
        let header = Framer::new(&parameters(&[0x2b, 0x11, 0x88, 0x00])).unwrap().header(1).unwrap();
        assert_eq!(header[..3], [0xff, 0xf1, 0x58]);
        assert_eq!(Framer::new(&parameters(&[0x11, 0x90])).unwrap().header(MAX_FRAME - 6), None);
    }

    #[test]
    fn what_adts_cannot_say_is_refused() {
        for (config, error) in [
            (&b""[..], AdtsError::Short),
            (b"\x11", AdtsError::Short),
            (b"\x17\x80\0\0\0", AdtsError::Short),
            (b"\x17\x80\x1f\x40\x08", AdtsError::Unsupported),
            (b"\x11\x80\x04\xc4\x01\x00\x20\x00\0", AdtsError::Unsupported),
            (b"\x11\x94", AdtsError::Unsupported),
            (b"\xf8\xe6\x20\x00", AdtsError::Unsupported),
        ] {
            assert_eq!(Framer::new(&parameters(config)), Err(error), "{config:x?}");
        }
    }

    #[test]
    fn a_capture_gives_its_configuration_and_its_headers_back() {
        let bytes = Bytes::from_static(CAPTURE);
        let frames: Vec<_> = frames(&bytes).collect();
        assert_eq!((frames.len(), frames.iter().map(|(_, frame)| frame.len()).sum::<usize>()), (45, CAPTURE.len()));
        for (header, frame) in frames {
            let block = &frame[header.length..];
            let parameters = header.parameters(block).unwrap();
            let config = parameters.parse().unwrap();
            assert_eq!((config.rate(), config.channels(), config.samples()), (header.rate(), 1, header.samples()));
            let own = Framer::new(&parameters).unwrap().header(block.len()).unwrap();
            // The fullness of a buffer is up to the encoder.
            assert_eq!((&own[..5], own[5] >> 5), (&frame[..5], frame[5] >> 5));
        }
    }

    #[test]
    fn a_list_of_channels_is_taken_from_the_frame() {
        // ffmpeg, 2.1.
        let block = b"\xa0\x98\x80\x20\x04\x00\x0dLavc59.37.100\xde\x02\x00Lavc";
        let header =
            Header { object_type: 2, rate_index: 3, channel_config: 0, length: 7, frame_length: 99, blocks: 1 };
        let parameters = header.parameters(block).unwrap();
        assert_eq!(parameters.config, b"\x11\x80\x04\xc4\x01\x00\x20\x00\x0dLavc59.37.100"[..]);
        let config = parameters.parse().unwrap();
        assert_eq!((config.rate(), config.channels()), (48_000, 3));
        assert_eq!(header.parameters(&[0x21, 0x10]), None);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, channel_config in 0u8..8) {
            let _ = Header::parse(&bytes);
            let _ = Header::parse(&[&[0xff, 0xf1][..], &bytes].concat());
            let header = Header { object_type: 2, rate_index: 3, channel_config, length: 7, frame_length: 99, blocks: 1 };
            let _ = header.parameters(&[&[0xa0][..], &bytes].concat());
            let _ = Framer::new(&parameters(&bytes));
            frames(&bytes.into()).for_each(drop);
        }
    }
}
