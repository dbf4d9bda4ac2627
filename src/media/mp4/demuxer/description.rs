//! How a track is coded, by its sample entry (section 8.5.2).

use super::super::{
    boxes::{Boxes, find, number},
    setup::descriptor,
};
use crate::media::{
    codec::{aac, av1, canonical::SourceForm, flac, h264, h265, mpeg4_visual, opus},
    track::{AudioShape, Shape, VideoShape},
};
use bytes::Bytes;

/// What stands before the boxes of an entry of video (section 12.1.3) and of audio (section 12.2.3).
const VIDEO_ENTRY: usize = 78;
const AUDIO_ENTRY: usize = 28;
/// What QuickTime has besides in versions 1 and 2 of an entry of audio.
const AUDIO_MORE: [usize; 3] = [0, 16, 36];

/// What is known of a track before its first sample.
#[derive(Debug)]
pub(super) struct Description {
    /// The form of its samples.
    pub(super) form: SourceForm,
    /// What the container says of it; 0 where it says nothing.
    pub(super) shape: Shape,
    /// The container says how wide a pixel is.
    pub(super) has_aspect: bool,
}

/// The description of a track with this handler (`hdlr`) and these tables (`stbl`).
///
/// # Errors
/// What it is that cannot be read; `None` if it is no media at all.
pub(super) fn read(handler: [u8; 4], stbl: &[u8]) -> Result<Description, Option<String>> {
    let entry = find(stbl, b"stsd").and_then(|stsd| Boxes(stsd.get(8..)?).next());
    let Some((kind, body)) = entry.filter(|_| matches!(&handler, b"vide" | b"soun")) else { return Err(None) };
    let known = match &handler {
        b"vide" => video(kind, body),
        _ => audio(kind, body),
    };
    known.ok_or_else(|| {
        let name = String::from_utf8_lossy(kind);
        Some(match kind {
            b"encv" | b"enca" => format!("it is encrypted ({name})"),
            _ => format!("unknown codec ({})", name.escape_default()),
        })
    })
}

fn video(kind: &[u8; 4], body: &[u8]) -> Option<Description> {
    let boxes = body.get(VIDEO_ENTRY..)?;
    let half = |at: usize| body.get(at..)?.first_chunk().map(|half| u32::from(u16::from_be_bytes(*half)));
    let pasp = find(boxes, b"pasp").and_then(|pasp| {
        let (wide, high) = (number(pasp, 0)?, number(pasp, 4)?);
        (wide > 0 && high > 0).then_some((wide, high))
    });
    let pixel_aspect = pasp.unwrap_or((1, 1));
    let shape = VideoShape { width: half(24)?, height: half(26)?, pixel_aspect, frame_rate: None };
    let form = match kind {
        b"avc1" | b"avc3" => {
            let record = find(boxes, b"avcC")?;
            // All sets may be among the samples.
            let none = h264::Parameters { sps: Vec::new(), pps: Vec::new() };
            let length_size = usize::from(record.get(4)? & 3) + 1;
            SourceForm::H264Lengths(h264::Parameters::from_record(record).map_or(none, |(sets, _)| sets), length_size)
        }
        b"hvc1" | b"hev1" => {
            let record = find(boxes, b"hvcC")?;
            let none = h265::Parameters { vps: Vec::new(), sps: Vec::new(), pps: Vec::new() };
            let length_size = usize::from(record.get(21)? & 3) + 1;
            SourceForm::H265Lengths(h265::Parameters::from_record(record).map_or(none, |(sets, _)| sets), length_size)
        }
        b"av01" => SourceForm::Av1ObuStream(find(boxes, b"av1C").and_then(av1::Parameters::from_record)),
        b"vp08" => SourceForm::Vp8,
        b"vp09" => SourceForm::Vp9,
        b"jpeg" | b"mjpg" => SourceForm::Jpeg,
        b"mp4v" => match elementary(find(boxes, b"esds")?)? {
            (0x20, config) => {
                SourceForm::Mpeg4Visual(mpeg4_visual::Parameters { config: Bytes::copy_from_slice(config) })
            }
            (0x60..=0x65 | 0x6a, _) => SourceForm::MpegVideo,
            (0x6c, _) => SourceForm::Jpeg,
            _ => return None,
        },
        _ => return None,
    };
    Some(Description { form, shape: Shape::Video(shape), has_aspect: pasp.is_some() })
}

fn audio(kind: &[u8; 4], body: &[u8]) -> Option<Description> {
    let half = |at: usize| body.get(at..)?.first_chunk().map(|half| u16::from_be_bytes(*half));
    // The version is that of QuickTime only, and 0 or 1 elsewhere, without anything more.
    let mut boxes = body.get(AUDIO_ENTRY..)?;
    if let Some(more) = AUDIO_MORE.get(usize::from(half(8)?)).filter(|_| !begins_with_box(boxes)) {
        boxes = boxes.get(*more..)?;
    }
    // QuickTime wraps the description.
    let boxes = find(boxes, b"wave").unwrap_or(boxes);
    let shape = AudioShape { rate: half(24)?.into(), channels: half(16)? };
    let form = match kind {
        b"mp4a" => match elementary(find(boxes, b"esds")?)? {
            (0x40 | 0x66..=0x68, config) if !config.is_empty() => {
                SourceForm::AacRaw(aac::Parameters { config: Bytes::copy_from_slice(config) })
            }
            (0x69 | 0x6b, _) => SourceForm::MpegAudio,
            (0xa5 | 0xa6, _) => SourceForm::Ac3,
            _ => return None,
        },
        b".mp3" => SourceForm::MpegAudio,
        b"Opus" => SourceForm::Opus(opus_head(find(boxes, b"dOps")?)?),
        b"fLaC" => {
            // Version and flags, the head of the block.
            let stream_info = Bytes::copy_from_slice(find(boxes, b"dfLa")?.get(8..42)?);
            SourceForm::Flac(flac::Parameters { stream_info })
        }
        b"ac-3" | b"ec-3" => SourceForm::Ac3,
        _ => return None,
    };
    Some(Description { form, shape: Shape::Audio(shape), has_aspect: false })
}

/// Whether what follows looks like a box.
fn begins_with_box(bytes: &[u8]) -> bool {
    Boxes(bytes).next().is_some_and(|(kind, _)| kind.iter().all(u8::is_ascii_graphic))
}

/// From the header of MP4 to that of Ogg, whose numbers begin with the lowest byte (Opus in ISOBMFF, section 4.3.2).
fn opus_head(dops: &[u8]) -> Option<opus::Parameters> {
    let &[_, channels, skip_high, skip_low, a, b, c, d, gain_high, gain_low, family, ref table @ ..] = dops else {
        return None;
    };
    let table = if family == 0 { &[] } else { table.get(..2 + usize::from(channels))? };
    let numbers = [1, channels, skip_low, skip_high, d, c, b, a, gain_low, gain_high, family];
    Some(opus::Parameters { head: [b"OpusHead", &numbers[..], table].concat().into() })
}

/// The object type and the decoder's configuration of `esds` (ISO/IEC 14496-1, sections 7.2.6.5 to 7.2.6.7).
fn elementary(esds: &[u8]) -> Option<(u8, &[u8])> {
    let (3, stream) = descriptor(esds.get(4..)?)? else { return None };
    let flags = *stream.get(2)?;
    // What the flags announce: another stream, an address, a clock.
    let mut at = 3 + if flags & 0x80 != 0 { 2 } else { 0 };
    if flags & 0x40 != 0 {
        at += 1 + usize::from(*stream.get(at)?);
    }
    at += if flags & 0x20 != 0 { 2 } else { 0 };
    let (4, decoder) = descriptor(stream.get(at..)?)? else { return None };
    let config = match descriptor(decoder.get(13..)?) {
        Some((5, config)) => config,
        _ => &[],
    };
    Some((*decoder.first()?, config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [&[u8; 4]; 16] = [
        b"avc1", b"avc3", b"hvc1", b"hev1", b"av01", b"vp08", b"vp09", b"mp4v", b"jpeg", b"mp4a", b".mp3", b"Opus",
        b"fLaC", b"ac-3", b"ec-3", b"encv",
    ];

    proptest! {
        #[test]
        fn foreign_entries_never_panic(kind in 0usize..16, front in 20usize..90, inner in 0usize..9, bytes: Vec<u8>) {
            use super::super::super::box_writer::{write, write_full};
            const INNER: [&[u8; 4]; 9] = [b"avcC", b"hvcC", b"av1C", b"vpcC", b"esds", b"dOps", b"dfLa", b"dac3", b"pasp"];
            let mut stbl = Vec::new();
            write_full(b"stsd", 0, 0, &mut stbl, |out| {
                out.extend([0, 0, 0, 1]);
                write(KINDS[kind], out, |out| {
                    out.resize(out.len() + front, 0);
                    write(INNER[inner], out, |out| out.extend(&bytes));
                });
            });
            let _ = read(*b"vide", &stbl);
            let _ = read(*b"soun", &stbl);
        }
    }
}
