//! The header of live tracks: file type and movie box (sections 4.3 and 8.2). It begins no edit: times are those of the fragments.

use super::box_writer::{halves, words, write, write_full};
use super::sample_entry::{carries, write_entry};
use crate::media::{
    codec::CodecParameters,
    track::{Shape, TrackId, TrackInfo},
};
use bytes::Bytes;

/// Ticks a second of video: all usual rates have whole steps.
const VIDEO_TICKS: u32 = 90_000;
/// Ticks a second of Opus, whatever rate went into the encoder (Opus in ISOBMFF, section 4.1).
const OPUS_TICKS: u32 = 48_000;
/// Highest rate of audio that is believed; more would overflow what counts in ticks.
const MAX_RATE: u32 = 1_000_000;
/// Ticks a second of the movie, in which nothing is said.
const MOVIE_TICKS: u32 = 1000;

/// A matrix that changes nothing (section 8.2.2).
pub(super) const UNITY: [u32; 9] = [0x1_0000, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000];
/// 1 as a number with 16 bits after the point, and with 8.
const ONE: u32 = 0x1_0000;
const LOUD: u16 = 0x100;
/// `und`: an unknown language (section 8.4.2).
pub(super) const UNDETERMINED: u16 = 0x55c4;

/// The header of these tracks, of which those are dropped whose codec is not carried.
pub fn header_for(tracks: &[TrackInfo]) -> Bytes {
    let tracks = tracks.iter().filter(|track| carries(&track.codec));
    let mut out = Vec::with_capacity(1024);
    write(b"ftyp", &mut out, |out| {
        out.extend_from_slice(b"iso6\0\0\0\0iso6mp41");
    });
    write(b"moov", &mut out, |out| {
        let next = tracks.clone().map(|track| number(track.id) + 1).max().unwrap_or(1);
        write_full(b"mvhd", 0, 0, out, |out| {
            words(out, &[0, 0, MOVIE_TICKS, 0, ONE]);
            halves(out, &[LOUD, 0]);
            words(out, &[0, 0]);
            words(out, &UNITY);
            words(out, &[0; 6]);
            words(out, &[next]);
        });
        tracks.clone().for_each(|track| trak(track, out));
        write(b"mvex", out, |out| {
            for track in tracks.clone() {
                write_full(b"trex", 0, 0, out, |out| words(out, &[number(track.id), 1, 0, 0, 0]));
            }
        });
    });
    out.into()
}

/// The `track_ID`, which is never 0.
pub(super) fn number(track: TrackId) -> u32 {
    u32::from(track.0) + 1
}

/// Ticks a second of a track.
pub(super) fn timescale(track: &TrackInfo) -> u32 {
    match (&track.codec, &track.shape) {
        (CodecParameters::Opus(_), _) => OPUS_TICKS,
        (_, Shape::Video(_)) => VIDEO_TICKS,
        (_, Shape::Audio(shape)) => shape.rate.clamp(1, MAX_RATE),
    }
}

fn trak(track: &TrackInfo, out: &mut Vec<u8>) {
    /// The track is enabled and part of the movie (section 8.3.2).
    const SHOWN: u32 = 3;
    let (handler, volume, size) = match &track.shape {
        Shape::Video(shape) => {
            let (wide, high) = shape.pixel_aspect;
            let shown = u64::from(shape.width) * u64::from(wide) / u64::from(high.max(1));
            let fixed = |pixels: u64| u32::from(u16::try_from(pixels).unwrap_or(u16::MAX)) << 16;
            (b"vide", 0, [fixed(shown), fixed(shape.height.into())])
        }
        Shape::Audio(_) => (b"soun", LOUD, [0, 0]),
    };
    write(b"trak", out, |out| {
        write_full(b"tkhd", 0, SHOWN, out, |out| {
            words(out, &[0, 0, number(track.id), 0, 0, 0, 0]);
            halves(out, &[0, 0, volume, 0]);
            words(out, &UNITY);
            words(out, &size);
        });
        write(b"mdia", out, |out| {
            write_full(b"mdhd", 0, 0, out, |out| {
                words(out, &[0, 0, timescale(track), 0]);
                halves(out, &[UNDETERMINED, 0]);
            });
            write_full(b"hdlr", 0, 0, out, |out| {
                words(out, &[0, u32::from_be_bytes(*handler), 0, 0, 0]);
                out.push(0);
            });
            write(b"minf", out, |out| {
                match &track.shape {
                    Shape::Video(_) => write_full(b"vmhd", 0, 1, out, |out| words(out, &[0, 0])),
                    Shape::Audio(_) => write_full(b"smhd", 0, 0, out, |out| words(out, &[0])),
                }
                write(b"dinf", out, |out| {
                    write_full(b"dref", 0, 0, out, |out| {
                        words(out, &[1]);
                        // Its data is where it is itself.
                        write_full(b"url ", 0, 1, out, |_| {});
                    });
                });
                write(b"stbl", out, |out| {
                    write_full(b"stsd", 0, 0, out, |out| {
                        words(out, &[1]);
                        write_entry(track, out);
                    });
                    // The tables of a movie without fragments are empty.
                    for kind in [b"stts", b"stsc", b"stco"] {
                        write_full(kind, 0, 0, out, |out| words(out, &[0]));
                    }
                    write_full(b"stsz", 0, 0, out, |out| words(out, &[0, 0]));
                });
            });
        });
    });
}
