//! The files of a stream, by their names in URLs. Pure.

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
}

/// One rendition of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rendition {
    /// Video in fragments of MP4.
    Video,
    /// Audio in fragments of MP4.
    Audio,
    /// All in a transport stream.
    Ts,
}

impl Rendition {
    const ALL: [Self; 3] = [Self::Video, Self::Audio, Self::Ts];

    /// As it stands in names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Video => "v0",
            Self::Audio => "a0",
            Self::Ts => "ts",
        }
    }

    /// The extension of segments, with its dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Video | Self::Audio => ".m4s",
            Self::Ts => ".ts",
        }
    }
}

impl File {
    /// The file with this name in the folder of a stream.
    pub fn parse(name: &str) -> Option<Self> {
        let rendition = Rendition::ALL.into_iter().find(|rendition| name.starts_with(rendition.name()))?;
        let rest = name.strip_prefix(rendition.name())?;
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
        check("v0.m3u8", Some(File::Playlist(Rendition::Video)));
        check("ts.m3u8", Some(File::Playlist(Rendition::Ts)));
        check("a0-i30.mp4", Some(File::Header(Rendition::Audio, 30)));
        check("v0-118.m4s", Some(File::Segment(Rendition::Video, 118)));
        check("ts-0.ts", Some(File::Segment(Rendition::Ts, 0)));
        check("v0-p1190.m4s", Some(File::Part(Rendition::Video, 1190)));
        for name in [
            "",
            "v0",
            "v1.m3u8",
            "v0-.m4s",
            "v0-01.m4s",
            "v0-+1.m4s",
            "v0-1.ts",
            "v0-p-1.m4s",
            "v0-1.m4s/",
            "v0-99999999999999999999.m4s",
        ] {
            check(name, None);
        }
    }
}
