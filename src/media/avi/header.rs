//! The header of a file: `hdrl`, and the begin of `movi`.

use super::codecs::{Carriage, Format};

/// `AVIF_HASINDEX` and `AVIF_ISINTERLEAVED`.
const FLAGS: u32 = 0x110;
/// What a player should read at a time.
const BUFFER: u32 = 1 << 20;

/// What is not known before the end of a file; all 0 until then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Totals {
    /// Bytes of the file.
    pub(super) length: u64,
    /// Bytes up to the index.
    pub(super) media: u64,
    /// Units of each track.
    pub(super) units: Vec<u32>,
}

/// All bytes up to the first chunk.
pub(super) fn header(tracks: &[&Carriage], totals: &Totals) -> Vec<u8> {
    let units = |place: usize| totals.units.get(place).copied().unwrap_or(0);
    let video = tracks.iter().position(|track| track.is_video());
    let lead = video.and_then(|place| tracks.get(place));
    let (width, height) = lead.map_or((0, 0), |track| size(&track.format));
    let frame = lead.map_or(0, |track| u64::from(track.scale) * 1_000_000 / u64::from(track.rate.max(1)));
    let mut out = Vec::new();
    out.extend_from_slice(b"RIFF");
    words(&mut out, &[part(totals.length, 8)]);
    out.extend_from_slice(b"AVI ");
    list(b"hdrl", &mut out, |out| {
        chunk(b"avih", out, |out| {
            words(out, &[u32::try_from(frame).unwrap_or(0), 0, 0, FLAGS, video.map_or(0, units), 0]);
            words(out, &[tracks.len() as u32, BUFFER, width, height, 0, 0, 0, 0]);
        });
        for (place, track) in tracks.iter().enumerate() {
            list(b"strl", out, |out| {
                chunk(b"strh", out, |out| stream(track, units(place), out));
                chunk(b"strf", out, |out| format(&track.format, out));
            });
        }
    });
    out.extend_from_slice(b"LIST");
    let begin = out.len() as u64 + 4;
    words(&mut out, &[part(totals.media, begin)]);
    out.extend_from_slice(b"movi");
    out
}

/// A length in the file from there on; 0 while that is not known.
fn part(end: u64, begin: u64) -> u32 {
    u32::try_from(end.saturating_sub(begin)).unwrap_or(0)
}

fn size(format: &Format) -> (u32, u32) {
    match format {
        Format::Video { width, height, .. } => (*width, *height),
        Format::Audio { .. } => (0, 0),
    }
}

/// `AVISTREAMHEADER`.
fn stream(track: &Carriage, units: u32, out: &mut Vec<u8>) {
    match &track.format {
        Format::Video { code, .. } => {
            out.extend_from_slice(b"vids");
            out.extend_from_slice(code);
        }
        Format::Audio { .. } => out.extend_from_slice(b"auds\0\0\0\0"),
    }
    // Flags, priority and language, no delay; the rate; it begins at 0; how much there is, and any quality.
    words(out, &[0, 0, 0, track.scale, track.rate, 0, units, BUFFER, u32::MAX, track.unit]);
    let (width, height) = size(&track.format);
    halves(out, &[0, 0, width as u16, height as u16]);
}

/// `BITMAPINFOHEADER` or `WAVEFORMATEX`.
fn format(format: &Format, out: &mut Vec<u8>) {
    match format {
        Format::Video { code, width, height } => {
            words(out, &[40, *width, *height]);
            halves(out, &[1, 24]);
            out.extend_from_slice(code);
            words(out, &[width.saturating_mul(*height).saturating_mul(3), 0, 0, 0, 0]);
        }
        Format::Audio { tag, channels, rate, block, bits, more, .. } => {
            halves(out, &[*tag, *channels]);
            // Of PCM all is known; of what is coded, nothing needs to be.
            let bytes = if *bits > 0 { rate.saturating_mul(u32::from(*block)) } else { 0 };
            words(out, &[*rate, bytes]);
            halves(out, &[*block, *bits, u16::try_from(more.len()).unwrap_or(0)]);
            out.extend_from_slice(more);
        }
    }
}

/// Appends a chunk with the data that `body` writes, of an even length.
pub(super) fn chunk(kind: &[u8; 4], out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(kind);
    let at = out.len();
    words(out, &[0]);
    body(out);
    let length = u32::try_from(out.len() - at - 4).unwrap_or(u32::MAX);
    if let Some(place) = out.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    if length % 2 == 1 {
        out.push(0);
    }
}

fn list(kind: &[u8; 4], out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    chunk(b"LIST", out, |out| {
        out.extend_from_slice(kind);
        body(out);
    });
}

/// Appends numbers of four bytes, the least significant one first.
pub(super) fn words(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
}

fn halves(out: &mut Vec<u8>, halves: &[u16]) {
    halves.iter().for_each(|half| out.extend_from_slice(&half.to_le_bytes()));
}
