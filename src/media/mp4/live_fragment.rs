//! What can be read of the header and the fragments that our own muxer makes, without parsing foreign files.

use super::box_writer::write;
use super::boxes::{Boxes, all, find, number};
use super::fragment::{id, timescale};
use super::front::{FRONT, SYNC};
use crate::media::track::MediaKind;
use bytes::Bytes;

/// Where the size is in the body of a visual sample entry (ISO/IEC 14496-12, section 12.1.3).
const WIDTH: usize = 24;
/// Where the number of channels is in the body of an audio sample entry (section 12.2.3).
const CHANNELS: usize = 16;
/// Where the kind of the sample entry's body begins, after the entry count of `stsd`.
const ENTRIES: usize = 8;

/// A fragment of one sample, in ticks of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFragment {
    /// `track_ID`.
    pub track: u32,
    /// When the sample is decoded.
    pub decode: u64,
    /// How much later it is shown.
    pub offset: i32,
    /// For how long, as far as was known when it was muxed.
    pub duration: u32,
    /// A decoder may begin with it.
    pub is_sync: bool,
}

impl LiveFragment {
    /// Reads a fragment of [`Muxer`](super::Muxer); `None` for anything else.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let front = bytes.get(..FRONT)?;
        let word = |index: usize| number(front, index * 4);
        let kinds = [(1, b"moof"), (9, b"tfhd"), (13, b"tfdt"), (18, b"trun"), (27, b"mdat")];
        if kinds.iter().any(|(index, kind)| word(*index) != Some(u32::from_be_bytes(**kind))) {
            return None;
        }
        Some(Self {
            track: word(11)?,
            decode: u64::from(word(15)?) << 32 | u64::from(word(16)?),
            offset: i32::from_be_bytes(word(25)?.to_be_bytes()),
            duration: word(22)?,
            is_sync: word(24)? == SYNC,
        })
    }
}

/// One track of a header, with a header of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderTrack {
    /// `track_ID`.
    pub number: u32,
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// Ticks a second.
    pub timescale: u32,
    /// Pixels of a video track.
    pub size: Option<(u16, u16)>,
    /// Channels of an audio track.
    pub channels: Option<u16>,
    /// The header without the other tracks.
    pub header: Bytes,
}

/// The tracks of a header, each with a header of its own: a CMAF file has one track (ISO/IEC 23000-19, section 7.3.2).
pub fn header_tracks(header: &[u8]) -> Vec<HeaderTrack> {
    let Some(moov) = find(header, b"moov") else { return Vec::new() };
    all(moov, b"trak").filter_map(|trak| header_track(header, trak)).collect()
}

fn header_track(header: &[u8], trak: &[u8]) -> Option<HeaderTrack> {
    let (number, timescale) = (id(trak)?, timescale(trak)?);
    let media = find(trak, b"mdia")?;
    let kind = match find(media, b"hdlr")?.get(8..12)? {
        b"vide" => MediaKind::Video,
        b"soun" => MediaKind::Audio,
        _ => return None,
    };
    let entries = find(find(find(media, b"minf")?, b"stbl")?, b"stsd")?;
    let (_, entry) = Boxes(entries.get(ENTRIES..)?).next()?;
    let half = |at: usize| entry.get(at..)?.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    Some(HeaderTrack {
        number,
        kind,
        timescale,
        size: (kind == MediaKind::Video).then(|| half(WIDTH).zip(half(WIDTH + 2))).flatten(),
        channels: (kind == MediaKind::Audio).then(|| half(CHANNELS)).flatten(),
        header: header_of(header, number),
    })
}

/// The header without `trak` and `trex` of other tracks.
fn header_of(header: &[u8], track: u32) -> Bytes {
    let mut out = Vec::with_capacity(header.len());
    for (kind, body) in Boxes(header) {
        write(kind, &mut out, |out| match kind {
            b"moov" => copy_movie(body, track, out),
            _ => out.extend_from_slice(body),
        });
    }
    out.into()
}

fn copy_movie(moov: &[u8], track: u32, out: &mut Vec<u8>) {
    for (kind, body) in Boxes(moov) {
        match kind {
            b"trak" if id(body) != Some(track) => {}
            b"mvex" => write(kind, out, |out| {
                let others = |(kind, body): &(&[u8; 4], &[u8])| *kind == b"trex" && number(body, 4) != Some(track);
                for (kind, body) in Boxes(body).filter(|found| !others(found)) {
                    write(kind, out, |out| out.extend_from_slice(body));
                }
            }),
            _ => write(kind, out, |out| out.extend_from_slice(body)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        Container, TrackId, TrackInfo,
        codec::{CodecParameters, aac, h264},
        codecs,
        mp4::{front::Times, front::front, header_for},
        track::{AudioShape, Shape, VideoShape},
    };
    use proptest::prelude::*;

    fn tracks() -> [TrackInfo; 2] {
        let sets = h264::Parameters {
            sps: vec![Bytes::from_static(b"\x67\x42\xc0\x1e")],
            pps: vec![Bytes::from_static(b"\x68\xce")],
        };
        let video = VideoShape { width: 640, height: 360, pixel_aspect: (1, 1), frame_rate: Some((30, 1)) };
        let audio = AudioShape { rate: 44_100, channels: 2 };
        let aac = aac::Parameters { config: Bytes::from_static(&[0x12, 0x10]) };
        [
            TrackInfo { id: TrackId(0), codec: CodecParameters::H264(sets), shape: Shape::Video(video) },
            TrackInfo { id: TrackId(1), codec: CodecParameters::Aac(aac), shape: Shape::Audio(audio) },
        ]
    }

    #[test]
    fn a_header_is_split_into_one_for_each_track() {
        let [video, audio] = tracks();
        let found = header_tracks(&header_for(&[video.clone(), audio.clone()]));
        let [seen, heard] = &found[..] else { panic!("{found:?}") };
        assert_eq!((seen.number, seen.kind, seen.timescale), (1, MediaKind::Video, 90_000));
        assert_eq!((seen.size, seen.channels), (Some((640, 360)), None));
        assert_eq!((heard.number, heard.kind, heard.timescale), (2, MediaKind::Audio, 44_100));
        assert_eq!((heard.size, heard.channels), (None, Some(2)));
        let name = |header: &[u8]| codecs(Container::Mp4, header);
        assert_eq!(name(&seen.header).as_deref(), Some("avc1.42c01e"));
        assert_eq!(name(&heard.header).as_deref(), Some("mp4a.40.2"));
        // The same as the muxer's own of one track, but for the number of the next track.
        assert_eq!(seen.header.len(), header_for(&[video]).len());
        assert_eq!(heard.header, header_for(&[audio]));
    }

    proptest! {
        #[test]
        fn fragments_are_read_as_they_were_written(
            track in 1u32..300,
            decode in 0u64..1 << 60,
            offset: i32,
            duration: u32,
            is_sync: bool,
        ) {
            let bytes = front(track, 7, Times { decode, offset, duration }, is_sync, 100).unwrap();
            prop_assert_eq!(LiveFragment::parse(&bytes), Some(LiveFragment { track, decode, offset, duration, is_sync }));
        }

        #[test]
        fn foreign_bytes_are_no_fragment_and_no_header(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert_eq!(LiveFragment::parse(&bytes), None);
            header_tracks(&bytes);
        }
    }
}
