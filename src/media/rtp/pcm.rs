//! PCM and G.711 (RFC 3551, section 4.5; L24: RFC 3190). Samples of 16 and 24 bits travel with the highest byte first.

use super::payloads::Payloads;
use crate::media::codec::pcm::Format;
use bytes::Bytes;

/// The name in SDP; `None` for formats that have none.
pub(super) const fn name(format: Format) -> Option<&'static str> {
    Some(match format {
        Format::U8 => "L8",
        Format::S16Le | Format::S16Be => "L16",
        Format::S24Le => "L24",
        Format::ALaw => "PCMA",
        Format::MuLaw => "PCMU",
        Format::S32Le | Format::F32Le => return None,
    })
}

/// Cuts samples at whole frames of all channels.
#[derive(Debug)]
pub(super) struct Packetizer {
    format: Format,
    /// Bytes of a sample of all channels.
    block: usize,
}

impl Packetizer {
    /// `None` for formats that do not travel.
    pub(super) fn new(format: Format, channels: u16) -> Option<Self> {
        name(format).map(|_| Self { format, block: format.bytes() * usize::from(channels.max(1)) })
    }

    /// Appends the payloads of some audio.
    pub(super) fn push(&self, audio: &[u8], limit: usize, out: &mut Payloads) {
        let blocks = (limit / self.block).max(1);
        let swapped = match self.format {
            Format::S16Le => reversed::<2>(audio),
            Format::S24Le => reversed::<3>(audio),
            _ => Bytes::new(),
        };
        let audio = if swapped.is_empty() { audio } else { &swapped };
        for (number, piece) in audio.chunks(blocks * self.block).enumerate() {
            out.push(&[piece], false, (number * blocks) as u32);
        }
    }
}

/// Samples of `N` bytes with their bytes in reverse order.
pub(super) fn reversed<const N: usize>(audio: &[u8]) -> Bytes {
    let (samples, _) = audio.as_chunks::<N>();
    samples
        .iter()
        .flat_map(|sample| {
            let mut sample = *sample;
            sample.reverse();
            sample
        })
        .collect::<Vec<u8>>()
        .into()
}
