//! AC-3 and E-AC-3: what the header of a frame says (ETSI TS 102 366, section 4.4 and annexes E and F).

use super::super::bits::Bits;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a decoder that reads MP4 needs before the first frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// The body of `dac3` (annex F.4) or `dec3` (annex F.6).
    pub specific: Bytes,
}

impl Parameters {
    /// Those of an access unit: of one frame of AC-3, or of a frame of E-AC-3 and those that depend on it.
    pub fn of_unit(unit: &[u8]) -> Option<Self> {
        let header = Header::parse(unit)?;
        let specific = if header.is_enhanced { dec3(unit, &header) } else { dac3(&header) };
        Some(Self { specific: specific.into() })
    }

    /// Whether a decoder continues with the other without a new configuration: only the bit rate may differ.
    pub fn is_like(&self, other: &Self) -> bool {
        let said = |specific: &[u8]| match *specific {
            // `bit_rate_code` is five bits across the last two bytes, `data_rate` the first thirteen.
            [first, second, _] => vec![first, second & 0xfc],
            [_, second, ref rest @ ..] => [&[second & 7], rest].concat(),
            ref rest => rest.to_vec(),
        };
        self.specific.len() == other.specific.len() && said(&self.specific) == said(&other.specific)
    }
}

/// Role of a frame of E-AC-3 in its access unit (annex E.1.3.1.1, `strmtyp`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Substream {
    /// Decoded by itself; also each frame of AC-3.
    Independent,
    /// Adds channels to the independent one before it, in these places: the `chan_loc` of `dec3`.
    Dependent(u16),
    /// AC-3 in another form.
    Converted,
}

/// What the header of a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// It is E-AC-3.
    pub is_enhanced: bool,
    /// Role in the access unit.
    pub substream: Substream,
    /// Samples a second of each channel.
    pub rate: u32,
    /// Channels, with the one for low frequencies.
    pub channels: u16,
    /// Bytes of the frame with its header.
    pub frame_length: usize,
    /// Samples of each channel in the frame.
    pub samples: u32,
    fscod: u8,
    bsid: u8,
    bsmod: u8,
    acmod: u8,
    lfeon: bool,
    /// `bit_rate_code`, of AC-3 only.
    bit_rate_code: u8,
}

/// What a frame begins with.
const SYNC: [u8; 2] = [0x0b, 0x77];
/// Highest `bsid` of AC-3; what is above is E-AC-3.
const MAX_AC3_BSID: u8 = 10;
/// Highest `bsid` that is known.
const MAX_BSID: u8 = 16;
/// Samples a second by `fscod`.
const RATES: [u32; 3] = [48_000, 44_100, 32_000];
/// Kilobits a second by `bit_rate_code` (table 4.13).
const KILOBITS: [u32; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
/// Samples of a block.
const BLOCK: u32 = 256;

impl Header {
    /// Reads the header that bytes begin with; `None` when they do not, or are too few.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(&SYNC)?;
        // In both forms at the same place.
        let bsid = rest.get(3)? >> 3;
        let mut bits = Bits::new(rest);
        match bsid {
            0..=MAX_AC3_BSID => Self::read(&mut bits, bsid),
            _ if bsid <= MAX_BSID => Self::read_enhanced(&mut bits),
            _ => None,
        }
    }

    /// `syncinfo` and `bsi` (sections 4.3.1 and 4.3.2).
    fn read(bits: &mut Bits<'_>, bsid: u8) -> Option<Self> {
        bits.skip(16)?;
        let (fscod, frame_size) = (bits.byte(2)?, bits.byte(6)?);
        bits.skip(5)?;
        let (bsmod, acmod) = (bits.byte(3)?, bits.byte(3)?);
        // Levels that are there only with some channels.
        let levels = [acmod & 1 != 0 && acmod != 1, acmod & 4 != 0, acmod == 2];
        bits.skip(2 * levels.iter().filter(|is_there| **is_there).count())?;
        let lfeon = bits.flag()?;
        let (full_rate, bit_rate_code) = (*RATES.get(usize::from(fscod))?, frame_size >> 1);
        // A frame is 1536 samples of so many bits a second, in words of 16 bits; where they do not divide, some have one more.
        let kilobits = KILOBITS.get(usize::from(bit_rate_code))?;
        let more = u32::from(full_rate == 44_100) * u32::from(frame_size & 1);
        let words = kilobits * 1000 * 6 * BLOCK / 16 / full_rate + more;
        Some(Self {
            is_enhanced: false,
            substream: Substream::Independent,
            // Annex D of ATSC A/52 halves and quarters them.
            rate: full_rate >> bsid.saturating_sub(8),
            channels: channels(acmod, lfeon),
            frame_length: words as usize * 2,
            samples: 6 * BLOCK,
            fscod,
            bsid,
            bsmod,
            acmod,
            lfeon,
            bit_rate_code,
        })
    }

    /// `syncinfo` and `bsi` of annex E.1.2.
    fn read_enhanced(bits: &mut Bits<'_>) -> Option<Self> {
        let kind = bits.byte(2)?;
        bits.skip(3)?;
        let frame_length = 2 * (bits.take(11)? as usize + 1);
        let fscod = bits.byte(2)?;
        let (rate, blocks) = match (fscod, bits.byte(2)?) {
            (3, half) => (RATES.get(usize::from(half))? / 2, 6),
            (fscod, code) => (*RATES.get(usize::from(fscod))?, *[1, 2, 3, 6].get(usize::from(code))?),
        };
        let (acmod, lfeon, bsid) = (bits.byte(3)?, bits.flag()?, bits.byte(5)?);
        let substream = match kind {
            0 => Substream::Independent,
            1 => Substream::Dependent(channel_locations(bits, acmod)?),
            2 => Substream::Converted,
            _ => return None,
        };
        Some(Self {
            is_enhanced: true,
            substream,
            rate,
            channels: channels(acmod, lfeon),
            frame_length,
            samples: blocks * BLOCK,
            fscod,
            bsid,
            bsmod: 0,
            acmod,
            lfeon,
            bit_rate_code: 0,
        })
    }
}

/// The frames that bytes consist of; ends at what is none or cut off.
pub fn frames(mut bytes: &[u8]) -> impl Iterator<Item = (Header, &[u8])> {
    std::iter::from_fn(move || {
        let header = Header::parse(bytes)?;
        let (frame, rest) = bytes.split_at_checked(header.frame_length)?;
        bytes = rest;
        Some((header, frame))
    })
}

/// The access units that bytes consist of: an independent frame and those that depend on it. Ends at what is none or cut off.
pub fn units(bytes: &Bytes) -> impl Iterator<Item = Bytes> {
    let mut rest = bytes.clone();
    std::iter::from_fn(move || {
        let mut all = frames(&rest);
        let first = all.next()?.1.len();
        let more = all.take_while(|(header, _)| matches!(header.substream, Substream::Dependent(_)));
        let length = first + more.map(|(_, frame)| frame.len()).sum::<usize>();
        Some(rest.split_to(length))
    })
}

/// Channels of an access unit, with those that dependent substreams add.
pub fn unit_channels(unit: &[u8]) -> Option<u16> {
    /// Places in `chan_loc` that are two channels: Lc/Rc, Lrs/Rrs, Lsd/Rsd, Lw/Rw, Lvh/Rvh.
    const PAIRS: u16 = 0b0_0111_0011;
    let added = frames(unit).filter_map(|(header, _)| match header.substream {
        Substream::Dependent(places) => Some(places.count_ones() + (places & PAIRS).count_ones()),
        Substream::Independent | Substream::Converted => None,
    });
    let added: u32 = added.sum();
    Some(Header::parse(unit)?.channels.saturating_add(u16::try_from(added).unwrap_or(u16::MAX)))
}

fn channels(acmod: u8, lfeon: bool) -> u16 {
    [2, 1, 2, 3, 3, 4, 4, 5].get(usize::from(acmod)).copied().unwrap_or(2) + u16::from(lfeon)
}

/// The `chanmap` of a dependent substream as `chan_loc` (annex E.1.3.1.8 and F.6.2.12).
fn channel_locations(bits: &mut Bits<'_>, acmod: u8) -> Option<u16> {
    // Levels of dialogue, of both programs where there are two.
    for _ in 0..if acmod == 0 { 2 } else { 1 } {
        bits.skip(5)?;
        let has_compression = bits.flag()?;
        if has_compression {
            bits.skip(8)?;
        }
    }
    let has_map = bits.flag()?;
    if !has_map {
        return Some(0);
    }
    // The map begins with the highest bit, `chan_loc` with the lowest: Lc/Rc is the sixth, the second LFE the last but one.
    let map = (bits.take(16)? as u16).reverse_bits();
    Some(map >> 5 & 0xff | map >> 14 << 8 & 0x100)
}

fn dac3(header: &Header) -> Vec<u8> {
    let lfeon = u32::from(header.lfeon);
    let fields = [(header.fscod, 2), (header.bsid, 5), (header.bsmod, 3), (header.acmod, 3)];
    let fields = fields.iter().fold(0, |all, (field, bits)| all << bits | u32::from(*field));
    let all = ((fields << 1 | lfeon) << 5 | u32::from(header.bit_rate_code)) << 5;
    all.to_be_bytes().into_iter().skip(1).collect()
}

fn dec3(unit: &[u8], first: &Header) -> Vec<u8> {
    let (mut dependents, mut places, mut length) = (0u64, 0, 0);
    for (header, frame) in frames(unit) {
        length += frame.len() as u64;
        if let Substream::Dependent(more) = header.substream {
            (dependents, places) = (dependents + 1, places | u64::from(more));
        }
    }
    let rate = length.max(first.frame_length as u64) * 8 * u64::from(first.rate) / u64::from(first.samples) / 1000;
    let mut fields = vec![
        (rate.min(0x1fff), 13),
        // One independent substream.
        (0, 3),
        (first.fscod.into(), 2),
        (first.bsid.into(), 5),
        (0, 2),
        (first.bsmod.into(), 3),
        (first.acmod.into(), 3),
        (first.lfeon.into(), 1),
        (0, 3),
        (dependents.min(15), 4),
    ];
    fields.push(if dependents > 0 { (places, 9) } else { (0, 1) });
    let bits: u32 = fields.iter().map(|(_, bits)| bits).sum();
    let all = fields.iter().fold(0u64, |all, (field, bits)| all << bits | field);
    let all = all << (64 - bits);
    all.to_be_bytes().into_iter().take(bits.div_ceil(8) as usize).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_of_ac3_are_read() {
        // ffmpeg, 48 kHz stereo with 192 kbit/s; 5.1 with 448 kbit/s; 44.1 kHz mono with 64 kbit/s, longer and shorter.
        #[track_caller]
        fn check(frame: &[u8], expect: (u32, u16, usize), specific: [u8; 3]) {
            let header = Header::parse(frame).unwrap();
            assert_eq!((header.rate, header.channels, header.frame_length), expect, "{frame:x?}");
            assert_eq!((header.samples, header.is_enhanced), (1536, false));
            assert_eq!(Parameters::of_unit(frame).unwrap().specific, specific[..]);
        }
        check(&[0x0b, 0x77, 0, 0, 0x14, 0x40, 0x43, 0xe1], (48_000, 2, 768), [0x10, 0x11, 0x40]);
        check(&[0x0b, 0x77, 0, 0, 0x1e, 0x40, 0xe1, 0xdf], (48_000, 6, 1792), [0x10, 0x3d, 0xe0]);
        check(&[0x0b, 0x77, 0, 0, 0x48, 0x40, 0x2f, 0x84], (44_100, 1, 278), [0x50, 0x08, 0x80]);
        check(&[0x0b, 0x77, 0, 0, 0x49, 0x40, 0x2f, 0x84], (44_100, 1, 280), [0x50, 0x08, 0x80]);
        assert_eq!(Header::parse(&[0x0b, 0x77, 0, 0, 0xd4, 0x40, 0x43, 0xe1]), None);
        assert_eq!(Header::parse(&[0x0b, 0x77, 0, 0, 0x26, 0x40, 0x43, 0xe1]), None);
        assert_eq!(Header::parse(&[0x0b, 0x77, 0, 0, 0x14, 0x98, 0x43, 0xe1]), None);
    }

    #[test]
    fn frames_of_eac3_are_read() {
        // 192 kbit/s in stereo: independent, 384 words, 48 kHz, six blocks, acmod 2, bsid 16.
        let mut unit = vec![0; 768];
        unit[..6].copy_from_slice(&[0x0b, 0x77, 0x01, 0x7f, 0x34, 0x80]);
        let header = Header::parse(&unit).unwrap();
        assert_eq!((header.rate, header.channels, header.frame_length, header.samples), (48_000, 2, 768, 1536));
        assert!(header.is_enhanced && header.substream == Substream::Independent);
        assert_eq!(Parameters::of_unit(&unit).unwrap().specific, [0x06, 0x00, 0x20, 0x04, 0x00][..]);
        // A dependent one with two more channels at the back: dialnorm, no compression, a map with Lrs/Rrs.
        let mut dependent = vec![0; 256];
        dependent[..9].copy_from_slice(&[0x0b, 0x77, 0x40, 0x7f, 0x34, 0x80, 0b0001_0000, 0b0010_0000, 0]);
        unit.extend(dependent);
        assert_eq!(frames(&unit).count(), 2);
        assert_eq!(unit_channels(&unit), Some(4));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            for unit in [bytes.clone(), [&SYNC[..], &bytes].concat()] {
                if let Some(header) = Header::parse(&unit) {
                    prop_assert!(header.frame_length > 0 && header.samples > 0 && header.rate > 0);
                }
                let _ = (Parameters::of_unit(&unit), unit_channels(&unit));
                frames(&unit).for_each(drop);
            }
        }
    }
}
