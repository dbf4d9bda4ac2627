//! What the movie says of its codecs (sections 8.5.2 and 12).

use super::boxes::{Boxes, all, find};
use crate::media::codec::rfc6381::Setup;

/// What stands before the boxes of a sample entry: of video (section 12.1.3), and of audio (section 12.2.3).
const PICTURE_ENTRY: usize = 78;
const SOUND_ENTRY: usize = 28;

/// The codec configurations of the tracks of a header, in their order.
pub(in crate::media) fn setups(header: &[u8]) -> Vec<Setup<'_>> {
    let Some(moov) = find(header, b"moov") else { return Vec::new() };
    all(moov, b"trak").filter_map(setup).collect()
}

fn setup(trak: &[u8]) -> Option<Setup<'_>> {
    let media = find(trak, b"mdia")?;
    let front = match find(media, b"hdlr")?.get(8..12)? {
        b"vide" => PICTURE_ENTRY,
        b"soun" => SOUND_ENTRY,
        _ => return None,
    };
    let entries = find(find(find(media, b"minf")?, b"stbl")?, b"stsd")?;
    let (kind, entry) = Boxes(entries.get(8..)?).next()?;
    let details = entry.get(front..).unwrap_or_default();
    let record = |kind| find(details, kind).unwrap_or_default();
    Some(match kind {
        b"avc1" => Setup::Avc("avc1", record(b"avcC")),
        b"avc3" => Setup::Avc("avc3", record(b"avcC")),
        b"hvc1" => Setup::Hevc("hvc1", record(b"hvcC")),
        b"hev1" => Setup::Hevc("hev1", record(b"hvcC")),
        b"vp08" => Setup::Named("vp8"),
        b"vp09" => Setup::Vp9(record(b"vpcC")),
        b"av01" => Setup::Av1(record(b"av1C")),
        b"mp4a" => elementary(record(b"esds")).unwrap_or(Setup::Unknown),
        b"Opus" => Setup::Named("opus"),
        b"fLaC" => Setup::Named("flac"),
        b"ac-3" => Setup::Named("ac-3"),
        b"ec-3" => Setup::Named("ec-3"),
        b".mp3" => Setup::Named("mp3"),
        _ => Setup::Unknown,
    })
}

/// What an `ES_Descriptor` describes (ISO/IEC 14496-1, sections 7.2.6.5 to 7.2.6.7).
fn elementary(esds: &[u8]) -> Option<Setup<'_>> {
    let (3, stream) = descriptor(esds.get(4..)?)? else { return None };
    // The number of the stream and flags, of which those of live streams say nothing more.
    let (4, decoder) = descriptor(stream.get(3..)?)? else { return None };
    match decoder.first()? {
        // MPEG-4 audio.
        0x40 => match descriptor(decoder.get(13..)?)? {
            (5, config) => Some(Setup::Aac(config)),
            _ => None,
        },
        0x69 | 0x6b => Some(Setup::Named("mp3")),
        0xa5 => Some(Setup::Named("ac-3")),
        _ => None,
    }
}

/// The tag and the content of a descriptor; its length has seven bits a byte (section 8.3.3).
pub(super) fn descriptor(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, mut rest) = bytes.split_first()?;
    let mut length = 0usize;
    for _ in 0..4 {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        length = length << 7 | usize::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((tag, rest.get(..length)?));
        }
    }
    None
}
