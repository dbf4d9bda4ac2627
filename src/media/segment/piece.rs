//! What goes into segments: the packets of a muxer, with their times.

use crate::media::{MediaKind, TrackInfo, TrackSet};
use bytes::Bytes;

/// One packet of a muxer, in ticks of its track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The track, as [`TrackHeader::number`] has it.
    pub track: u32,
    /// When it is decoded.
    pub decode: u64,
    /// How much later it is shown; negative for earlier.
    pub offset: i64,
    /// For how long, as far as is known.
    pub duration: u32,
    /// A decoder may begin with it.
    pub is_sync: bool,
    /// Its times count; `false` for what is muxed between the samples of the track that leads.
    pub is_timed: bool,
    /// Where its date is found; `None` when nothing is known.
    pub moment: Option<Moment>,
    /// The packet.
    pub bytes: Bytes,
}

/// What the date of a piece is found by, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It was captured then.
    Captured(i64),
    /// It came to this server then, and may have been held up on its way.
    Arrived(i64),
}

/// What a header says of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackHeader {
    /// What its pieces are marked with.
    pub number: u32,
    /// The name of its rendition in URLs: `v0`. It has this name for as long as there are segments.
    pub name: &'static str,
    /// Whether it is seen or heard.
    pub kind: MediaKind,
    /// Ticks a second, at least one.
    pub timescale: u32,
    /// Its codecs, as the `codecs` parameter of media types lists them.
    pub codecs: Option<String>,
    /// Pixels of a video track.
    pub size: Option<(u16, u16)>,
    /// Channels of an audio track.
    pub channels: Option<u16>,
    /// The header that goes before its segments; empty where the segments have all they need.
    pub header: Bytes,
}

impl TrackHeader {
    /// Adds what is known of the tracks that are muxed in it, where it does not say so itself.
    pub fn describe(&mut self, tracks: Option<&TrackSet>) {
        let Some(tracks) = tracks else { return };
        self.codecs = self.codecs.take().or_else(|| tracks.codec_strings().map(|codecs| codecs.replace(", ", ",")));
        let shape = tracks.tracks().iter().find_map(TrackInfo::video);
        let size = shape.and_then(|shape| Some((u16::try_from(shape.width).ok()?, u16::try_from(shape.height).ok()?)));
        self.size = self.size.or(size);
    }
}
