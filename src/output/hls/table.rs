//! Which stream and file a path stands for.

use super::{file::File, stream::SegmentedStream};
use crate::{
    engine::registry::{StreamHandle, stem},
    media::Container,
};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

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
    /// It is asked for as a manifest of DASH has it: a segment may be sent while it is being made.
    pub is_dash: bool,
    /// Where its other files are, relative to a multivariant playlist: `cam0/hls/`, not yet percent-encoded.
    pub folder: &'a str,
}

/// The folder and the name of a file, and whether it is in that of a manifest of DASH.
fn split(path: &str) -> Option<(&str, &str, bool)> {
    let (folder, name) = path.rsplit_once('/')?;
    let (stem, form) = folder.rsplit_once('/').filter(|(_, form)| ["hls", "dash"].contains(form))?;
    Some((stem, name, form == "dash"))
}

/// Whether a path is that of a file which playlists or manifests name, of whatever stream.
pub fn is_file(path: &str) -> bool {
    split(path).is_some_and(|(stem, name, _)| !stem.is_empty() && File::parse(name).is_some())
}

/// The streams whose playlists are at their path without the extension of a container, by their names.
pub fn listed(streams: &[Arc<StreamHandle>]) -> HashSet<String> {
    let mut best: HashMap<String, (u8, &str)> = HashMap::new();
    for stream in streams.iter().filter(|stream| stream.sampled().is_some()) {
        let Some(rank) = rank(stream) else { continue };
        let found = best.entry(stem(stream.config.path.as_str()).to_owned());
        let found = found.or_insert((rank, stream.config.name.as_str()));
        if rank < found.0 {
            *found = (rank, stream.config.name.as_str());
        }
    }
    best.into_values().map(|(_, name)| name.to_owned()).collect()
}

impl SegmentTable {
    /// A table of these streams. Of several with one path, the first one that fits best has it.
    pub fn new(streams: &[(Arc<StreamHandle>, Arc<SegmentedStream>)]) -> Self {
        let mut ranked: Vec<_> = streams
            .iter()
            .filter_map(|(handle, stream)| Some((rank(handle)?, stem(handle.config.path.as_str()), stream)))
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
        let route = |stem: &'a str, file, is_dash| {
            let stream = self.streams.get(stem)?;
            Some(SegmentRoute { stream, file, is_dash, folder: stem.rsplit('/').next()? })
        };
        let of_stream = [(".m3u8", File::Multivariant), (".mpd", File::Manifest)];
        let found = of_stream.into_iter().find_map(|(end, file)| route(path.strip_suffix(end)?, file, false));
        found.or_else(|| {
            let (stem, name, is_dash) = split(path)?;
            route(stem, File::parse(name)?, is_dash)
        })
    }
}

/// How well a stream in this container fits: its codecs are likely to be those that players of playlists know.
fn rank(stream: &StreamHandle) -> Option<u8> {
    match stream.config.container {
        Container::Mp4 => Some(0),
        Container::Ts => Some(1),
        Container::Flv => Some(2),
        Container::Mkv => Some(3),
        Container::Aac | Container::Mp3 | Container::Flac => Some(4),
        Container::Webm | Container::Ogg => Some(5),
        // Its tracks may be encoded otherwise.
        Container::Wav | Container::Mjpeg | Container::Avi | Container::WebRtc | Container::Rtp | Container::Raw => {
            stream.rendition.as_ref().map(|_| 6)
        }
    }
}
