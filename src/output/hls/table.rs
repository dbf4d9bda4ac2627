//! Which stream and file a path stands for.

use super::{
    file::{File, Rendition},
    stream::SegmentedStream,
};
use crate::{engine::registry::StreamHandle, media::Container};
use std::{collections::HashMap, sync::Arc};

/// The streams by their paths without the extension of a container.
#[derive(Debug, Default)]
pub struct SegmentTable {
    streams: HashMap<String, Arc<SegmentedStream>>,
}

/// What a path stands for.
#[derive(Debug, Clone, Copy)]
pub struct SegmentRoute<'a> {
    /// The stream.
    pub stream: &'a Arc<SegmentedStream>,
    /// Its file.
    pub file: File,
    /// Where its other files are, relative to a multivariant playlist: `cam0/hls/`, not yet percent-encoded.
    pub folder: &'a str,
}

impl SegmentTable {
    /// A table of these streams. Of several with one path, the first one that fits best has it.
    pub fn new(streams: &[(Arc<StreamHandle>, Arc<SegmentedStream>)]) -> Self {
        let mut ranked: Vec<_> = streams
            .iter()
            .filter_map(|(handle, stream)| {
                Some((rank(handle.config.container)?, stem(handle.config.path.as_str()), stream))
            })
            .collect();
        ranked.sort_by_key(|(rank, ..)| *rank);
        let mut table = Self::default();
        for (_, stem, stream) in ranked {
            table.streams.entry(stem.to_owned()).or_insert_with(|| stream.clone());
        }
        table
    }

    /// What a percent-decoded path stands for.
    pub fn find<'a>(&'a self, path: &'a str) -> Option<SegmentRoute<'a>> {
        let route = |stem: &'a str, file| {
            let stream = self.streams.get(stem)?;
            Some(SegmentRoute { stream, file, folder: stem.rsplit('/').next()? })
        };
        if let Some(stem) = path.strip_suffix(".m3u8")
            && let Some(found) = route(stem, File::Multivariant)
        {
            return Some(found);
        }
        let (folder, name) = path.rsplit_once('/')?;
        let stem = folder.strip_suffix("/hls")?;
        route(stem, File::parse(name)?)
    }
}

/// The path of a stream without the extension of its container: `/cam0` of `/cam0.ts`.
pub fn stem(path: &str) -> &str {
    match Container::from_extension(path) {
        Some(_) => path.rsplit_once('.').map_or(path, |(stem, _)| stem),
        None => path,
    }
}

/// The path of the multivariant playlist of a stream; `None` where there is none.
pub fn playlist_path(stream: &StreamHandle) -> Option<String> {
    stream.output.as_ref()?;
    rank(stream.config.container)?;
    Some(format!("{}.m3u8", stem(stream.config.path.as_str())))
}

/// How well a stream in this container fits: its codecs are likely to be those that players of playlists know.
const fn rank(container: Container) -> Option<u8> {
    match container {
        Container::Mp4 => Some(0),
        Container::Ts => Some(1),
        Container::Flv => Some(2),
        Container::Mkv => Some(3),
        Container::Aac | Container::Mp3 | Container::Flac => Some(4),
        Container::Webm | Container::Ogg => Some(5),
        Container::Wav | Container::Mjpeg | Container::Raw => None,
    }
}

impl SegmentRoute<'_> {
    /// The rendition that the file is of.
    pub fn rendition(&self) -> Option<Rendition> {
        match self.file {
            File::Multivariant => None,
            File::Playlist(rendition)
            | File::Header(rendition, _)
            | File::Segment(rendition, _)
            | File::Part(rendition, _) => Some(rendition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stem_has_no_extension_of_a_container() {
        let check = |path, expect| assert_eq!(stem(path), expect);
        check("/cam0.ts", "/cam0");
        check("/a.b/cam 0.MP4", "/a.b/cam 0");
        check("/cam0", "/cam0");
        check("/cam0.v2", "/cam0.v2");
        check("/a.ts/cam", "/a.ts/cam");
    }
}
