//! The boxes of a live movie: the header, and what stands in front of each sample.

use super::coding::{Shape, Track};
use mp4_atom::{
    Dinf, Dref, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Mfhd, Minf, Moof, Moov, Mvex, Mvhd, Smhd, Stbl, Stsd, Tfdt,
    Tfhd, Tkhd, Traf, Trak, Trex, Trun, TrunEntry, TrunSamples, Url, Vmhd,
};

/// Length of the `moof` of a sample: all its fields are always there.
const MOOF: usize = 104;
/// Length of the head of its data.
const MDAT: usize = 8;

/// Flags of a sample that can be decoded without others, and of one that cannot (section 8.8.3.1).
const SYNC: u32 = 0x0200_0000;
const NON_SYNC: u32 = 0x0101_0000;

/// The place of a sample in time, in ticks of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    /// When it is decoded.
    pub(super) decode: u64,
    /// How much later it is shown.
    pub(super) offset: i32,
    /// For how long, as far as that is known.
    pub(super) duration: u32,
}

/// File type and movie box of these tracks, each with its number. They begin no edit: times are those of the fragments.
///
/// # Errors
/// When a track's set-up cannot be written.
pub(super) fn header<'a>(tracks: impl Iterator<Item = (u32, &'a Track)>) -> Result<Vec<u8>, mp4_atom::Error> {
    let brand = FourCC::new(b"iso6");
    let ftyp = Ftyp { major_brand: brand, minor_version: 0, compatible_brands: vec![brand, FourCC::new(b"mp41")] };
    let (mut trak, mut trex) = (Vec::new(), Vec::new());
    for (id, track) in tracks {
        trak.push(description(id, track));
        trex.push(Trex { track_id: id, default_sample_description_index: 1, ..Trex::default() });
    }
    let next_track_id = trex.iter().map(|trex| trex.track_id + 1).max().unwrap_or(1);
    let mvhd = Mvhd { timescale: 1000, next_track_id, ..Mvhd::default() };
    let moov = Moov { mvhd, mvex: Some(Mvex { mehd: None, trex }), trak, ..Moov::default() };
    let mut bytes = Vec::new();
    ftyp.encode(&mut bytes)?;
    moov.encode(&mut bytes)?;
    Ok(bytes)
}

fn description(id: u32, track: &Track) -> Trak {
    let mut tkhd = Tkhd { track_id: id, enabled: true, in_movie: true, ..Tkhd::default() };
    let mut minf = Minf {
        dinf: Dinf { dref: Dref { entries: vec![mp4_atom::DrefEntry::Url(Url::default())] } },
        stbl: Stbl {
            stsd: Stsd { codecs: vec![track.entry.clone()] },
            stco: Some(Default::default()),
            ..Stbl::default()
        },
        ..Minf::default()
    };
    let handler = match track.shape {
        Shape::Pictures { width, height, pixel: (wide, high), .. } => {
            let shown = u64::from(width) * u64::from(wide) / u64::from(high.max(1));
            tkhd.width = u16::try_from(shown).unwrap_or(width).into();
            tkhd.height = height.into();
            minf.vmhd = Some(Vmhd::default());
            b"vide"
        }
        Shape::Sound { .. } => {
            tkhd.volume = 1.into();
            minf.smhd = Some(Smhd::default());
            b"soun"
        }
    };
    let mdhd = Mdhd { timescale: track.timescale, language: "und".into(), ..Mdhd::default() };
    let hdlr = Hdlr { handler: FourCC::new(handler), name: String::new() };
    Trak { tkhd, mdia: Mdia { mdhd, hdlr, minf }, ..Trak::default() }
}

/// A fragment of one sample without the sample itself, which is to follow.
///
/// # Errors
/// Never with a sample that fits into memory.
pub(super) fn front(
    id: u32,
    sequence_number: u32,
    times: Times,
    is_sync: bool,
    length: usize,
) -> Result<Vec<u8>, mp4_atom::Error> {
    let too_large = |_| mp4_atom::Error::TooLarge(FourCC::new(b"mdat"));
    let size = u32::try_from(length).map_err(too_large)?;
    let data = u32::try_from(MDAT + length).map_err(too_large)?;
    let sample = TrunEntry {
        duration: Some(times.duration),
        size: Some(size),
        flags: Some(if is_sync { SYNC } else { NON_SYNC }),
        cts: Some(times.offset.into()),
    };
    let moof = Moof {
        mfhd: Mfhd { sequence_number },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: id, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: times.decode }),
            trun: vec![Trun {
                data_offset: i32::try_from(MOOF + MDAT).ok(),
                samples: TrunSamples::Explicit(vec![sample]),
            }],
            ..Traf::default()
        }],
    };
    let mut bytes = Vec::with_capacity(MOOF + MDAT);
    moof.encode(&mut bytes)?;
    debug_assert_eq!(bytes.len(), MOOF, "the offset of the data is wrong");
    bytes.extend_from_slice(&data.to_be_bytes());
    bytes.extend_from_slice(b"mdat");
    Ok(bytes)
}
