//! The boxes of a live movie: the header, and what stands in front of each sample.

use super::coding::{Shape, Track};
use super::front::Times;
use mp4_atom::{
    Dinf, Dref, Encode, FourCC, Ftyp, Hdlr, Mdhd, Mdia, Minf, Moov, Mvex, Mvhd, Smhd, Stbl, Stsd, Tkhd, Trak, Trex,
    Url, Vmhd,
};

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
    let too_large = || mp4_atom::Error::TooLarge(FourCC::new(b"mdat"));
    Ok(super::front::front(id, sequence_number, times, is_sync, length).ok_or_else(too_large)?.to_vec())
}
