//! The files of a stream, by their names in URLs. Pure.

use crate::media::{MediaKind, segment::KeyId};

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum File {
    /// The multivariant playlist.
    Multivariant,
    /// The manifest of DASH.
    Manifest,
    /// The media playlist of a rendition.
    Playlist(Rendition),
    /// The header of segments from this number on.
    Header(Rendition, u64),
    /// A segment.
    Segment(Rendition, u64),
    /// A part.
    Part(Rendition, u64),
    /// What segments are encrypted with.
    Key(KeyId),
    /// The time, which players of DASH set their clocks by.
    Time,
}

/// One rendition of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rendition {
    /// Video in fragments of MP4: 0 for that of the stream itself, else the place in its `renditions:`, from 1.
    Video(u8),
    /// Audio in fragments of MP4.
    Audio,
    /// All in a transport stream; counted as the video is.
    Ts(u8),
}

/// Most renditions of a stream beside itself.
pub const MAX_RENDITIONS: usize = 8;
const VIDEO: [&str; MAX_RENDITIONS + 1] = ["v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8"];
const TS: [&str; MAX_RENDITIONS + 1] = ["ts", "ts1", "ts2", "ts3", "ts4", "ts5", "ts6", "ts7", "ts8"];

impl Rendition {
    /// As it stands in names.
    pub fn name(self) -> &'static str {
        let of = |names: &[&'static str], place: u8| names.get(usize::from(place)).copied().unwrap_or_default();
        match self {
            Self::Video(place) => of(&VIDEO, place),
            Self::Audio => "a0",
            Self::Ts(place) => of(&TS, place),
        }
    }

    /// The rendition with this name.
    pub fn parse(name: &str) -> Option<Self> {
        let of = |names: &[&str]| names.iter().position(|known| *known == name).and_then(|at| u8::try_from(at).ok());
        let video = of(&VIDEO).map(Self::Video).or_else(|| of(&TS).map(Self::Ts));
        video.or_else(|| (name == Self::Audio.name()).then_some(Self::Audio))
    }

    /// The same of another encoding of the video; `None` when there are not so many.
    pub fn of_part(self, part: usize) -> Option<Self> {
        let place = u8::try_from(part).ok().filter(|_| part <= MAX_RENDITIONS)?;
        match self {
            Self::Video(_) => Some(Self::Video(place)),
            Self::Ts(_) => Some(Self::Ts(place)),
            Self::Audio => (part == 0).then_some(Self::Audio),
        }
    }

    /// What decides when its segments end; a transport stream is counted as video.
    pub const fn kind(self) -> MediaKind {
        match self {
            Self::Video(_) | Self::Ts(_) => MediaKind::Video,
            Self::Audio => MediaKind::Audio,
        }
    }

    /// The extension of segments, with its dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Video(_) | Self::Audio => ".m4s",
            Self::Ts(_) => ".ts",
        }
    }
}

impl File {
    /// As metrics name it.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Multivariant => "multivariant",
            Self::Manifest => "manifest",
            Self::Playlist(_) => "playlist",
            Self::Header(..) => "header",
            Self::Segment(..) => "segment",
            Self::Part(..) => "part",
            Self::Key(_) => "key",
            Self::Time => "time",
        }
    }

    /// The file with this name in the folder of a stream.
    pub fn parse(name: &str) -> Option<Self> {
        if name == "time" {
            return Some(Self::Time);
        }
        if let Some(key) = name.strip_prefix("k-").and_then(|rest| rest.strip_suffix(".key")) {
            return key_id(key).map(Self::Key);
        }
        let end = name.find(['-', '.'])?;
        let (rendition, rest) = name.split_at_checked(end)?;
        let rendition = Rendition::parse(rendition)?;
        if rest == ".m3u8" {
            return Some(Self::Playlist(rendition));
        }
        let rest = rest.strip_prefix('-')?;
        if let Some(first) = rest.strip_prefix('i').and_then(|rest| rest.strip_suffix(".mp4")) {
            return Some(Self::Header(rendition, number(first)?));
        }
        let rest = rest.strip_suffix(rendition.extension())?;
        match rest.strip_prefix('p') {
            Some(part) => Some(Self::Part(rendition, number(part)?)),
            None => Some(Self::Segment(rendition, number(rest)?)),
        }
    }
}

fn key_id(name: &str) -> Option<KeyId> {
    let (set, rest) = name.split_once('-')?;
    let is_plain = set.len() == 8 && set.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'));
    Some(KeyId { set: u32::from_str_radix(set, 16).ok().filter(|_| is_plain)?, number: number(rest)? })
}

/// A number as it is written here: one name for one file.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|digit| digit.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if is_plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_file_has_one_name() {
        let check = |name, expect| assert_eq!(File::parse(name), expect, "{name}");
        check("v0.m3u8", Some(File::Playlist(Rendition::Video(0))));
        check("v3.m3u8", Some(File::Playlist(Rendition::Video(3))));
        check("ts.m3u8", Some(File::Playlist(Rendition::Ts(0))));
        check("ts2-7.ts", Some(File::Segment(Rendition::Ts(2), 7)));
        check("a0-i30.mp4", Some(File::Header(Rendition::Audio, 30)));
        check("v0-118.m4s", Some(File::Segment(Rendition::Video(0), 118)));
        check("ts-0.ts", Some(File::Segment(Rendition::Ts(0), 0)));
        check("v0-p1190.m4s", Some(File::Part(Rendition::Video(0), 1190)));
        check("time", Some(File::Time));
        check("k-00c0ffee-17.key", Some(File::Key(KeyId { set: 0xc0_ffee, number: 17 })));
        for name in [
            "",
            "v0",
            "v9.m3u8",
            "v10.m3u8",
            "a1.m3u8",
            "ts0.m3u8",
            "v0-.m4s",
            "v0-01.m4s",
            "v0-+1.m4s",
            "v0-1.ts",
            "v0-p-1.m4s",
            "v0-1.m4s/",
            "k-c0ffee-17.key",
            "k-00C0FFEE-17.key",
            "k-00c0ffee-017.key",
            "k-00c0ffee-.key",
            "v0-99999999999999999999.m4s",
        ] {
            check(name, None);
        }
    }
}
