//! The header of WAV (Multimedia Programming Interface and Data Specifications 1.0, chapter 3) for audio that does not end.

use crate::media::{codec::pcm::Format, track::AudioShape};

/// An unknown size, as ffmpeg writes it and players understand it.
const UNKNOWN: [u8; 4] = [0xff; 4];

/// `wFormatTag` of a format whose real tag follows behind.
const EXTENSIBLE: u16 = 0xfffe;
/// What follows the real tag in the GUID of a format (`KSDATAFORMAT_SUBTYPE_PCM` and its kin).
const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xaa, 0, 0x38, 0x9b, 0x71];
/// The usual places of so many channels, from none on.
const CHANNEL_MASKS: [u32; 9] = [0, 0x4, 0x3, 0x7, 0x33, 0x37, 0x3f, 0x13f, 0x63f];

/// Bytes of a sample of all channels; `None` when the header cannot say it.
pub(super) fn block(format: Format, shape: AudioShape) -> Option<u16> {
    let bytes = u16::try_from(format.bytes()).ok()?;
    shape.channels.checked_mul(bytes).filter(|block| *block > 0 && shape.rate > 0)
}

/// The header, up to the first sample. Big-endian samples are announced in the order that they have to be brought into.
/// `None` when it cannot say the number of channels.
pub(super) fn header(format: Format, shape: AudioShape) -> Option<Vec<u8>> {
    let block = block(format, shape)?;
    // WAVE_FORMAT_PCM, _IEEE_FLOAT, _ALAW, _MULAW.
    let tag: u16 = match format {
        Format::U8 | Format::S16Le | Format::S16Be | Format::S24Le | Format::S32Le => 1,
        Format::F32Le => 3,
        Format::ALaw => 6,
        Format::MuLaw => 7,
    };
    let bits = 8 * u16::try_from(format.bytes()).ok()?;
    let is_extensible = shape.channels > 2 || (tag == 1 && bits > 16);
    let mut fields = Vec::with_capacity(40);
    fields.extend(if is_extensible { EXTENSIBLE } else { tag }.to_le_bytes());
    fields.extend(shape.channels.to_le_bytes());
    fields.extend(shape.rate.to_le_bytes());
    fields.extend(shape.rate.saturating_mul(block.into()).to_le_bytes());
    fields.extend(block.to_le_bytes());
    fields.extend(bits.to_le_bytes());
    if is_extensible {
        let mask = CHANNEL_MASKS.get(usize::from(shape.channels)).copied().unwrap_or(0);
        fields.extend(22u16.to_le_bytes());
        fields.extend(bits.to_le_bytes());
        fields.extend(mask.to_le_bytes());
        fields.extend(tag.to_le_bytes());
        fields.extend(GUID_TAIL);
    } else if tag != 1 {
        fields.extend(0u16.to_le_bytes());
    }
    let mut header = Vec::with_capacity(80);
    header.extend(b"RIFF");
    header.extend(UNKNOWN);
    header.extend(b"WAVEfmt ");
    header.extend(u32::try_from(fields.len()).ok()?.to_le_bytes());
    header.extend(fields);
    if tag != 1 {
        // The number of samples, which all but PCM must have.
        header.extend(b"fact\x04\0\0\0");
        header.extend(UNKNOWN);
    }
    header.extend(b"data");
    header.extend(UNKNOWN);
    Some(header)
}
