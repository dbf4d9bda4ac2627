//! Stills of the past, and rows of thumbnails: which frames they are, the worker that decodes these, and what is kept of them.

use super::{
    ask::{Span, StillAt, Strip},
    library::{Library, LibraryError, Recorded, files, playable, read_extent},
    reading::{Playback, PlaybackError},
};
use crate::{
    ipc::{FrameChoice, PictureFault, PictureFormat, StillSpec},
    media::mp4::file::{Excerpt, Extent, Thumbnail, TrackHead, frame_at, keyframe_at, row},
    source::worker_group::{StillSource, WorkerGroup},
    still::cache::Still,
};
use bytes::Bytes;
use std::{collections::BTreeMap, fs::File, path::PathBuf, sync::Arc, time::Duration};

/// Most bytes that a worker is given at a time.
const MAX_INPUT: u64 = 48 << 20;
/// How long a worker may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// An image of the past.
#[derive(Debug, Clone)]
pub(super) struct Image {
    /// The image.
    pub still: Arc<Still>,
    /// What is recorded later does not change it.
    pub is_settled: bool,
}

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub(super) enum ImageError {
    /// Nothing to make it of.
    #[error(transparent)]
    Playback(#[from] PlaybackError),
    /// It could not be decoded.
    #[error("the worker cannot decode it")]
    Worker(PictureFault),
    /// It must not be decoded now.
    #[error("the machine is overloaded")]
    Overloaded,
}

/// What a worker is given.
#[derive(Debug)]
struct Input {
    /// Names the image: the same for the same one.
    key: String,
    pieces: Pieces,
    frames: FrameChoice,
    /// When its frame was captured, in microseconds since 1970.
    date: Option<i64>,
    is_settled: bool,
}

/// Bytes of files, to be read when they are needed.
#[derive(Debug)]
struct Pieces {
    parts: Vec<Part>,
    bytes: u64,
}

#[derive(Debug)]
enum Part {
    Own(Bytes),
    File(PathBuf, Extent),
}

impl Pieces {
    fn push(&mut self, bytes: impl Into<Bytes>) {
        self.parts.push(Part::Own(bytes.into()));
    }

    fn push_extent(&mut self, path: PathBuf, extent: Extent) -> Result<(), LibraryError> {
        self.bytes += extent.length;
        self.parts.push(Part::File(path, extent));
        if self.bytes > MAX_INPUT { Err(LibraryError::TooMuch) } else { Ok(()) }
    }

    fn read(self) -> Result<Vec<Bytes>, LibraryError> {
        let read = |part| match part {
            Part::Own(bytes) => Ok(bytes),
            Part::File(path, extent) => Ok(read_extent(&File::open(path)?, extent)?),
        };
        self.parts.into_iter().map(read).collect()
    }
}

impl Playback {
    /// The still of a moment.
    pub(super) async fn still(
        &self,
        stream: &str,
        asked: StillAt,
        worker: Option<&WorkerGroup>,
    ) -> Result<Image, ImageError> {
        let name = stream.to_owned();
        let input = self.read(move |library, folders| library.still(folders, &name, asked)).await?;
        self.image(input, asked.spec, worker).await
    }

    /// A row of thumbnails.
    pub(super) async fn strip(
        &self,
        stream: &str,
        (span, strip): (Span, Strip),
        worker: Option<&WorkerGroup>,
    ) -> Result<Image, ImageError> {
        let name = stream.to_owned();
        let input = self.read(move |library, folders| library.strip(folders, &name, span, strip)).await?;
        self.image(input, StillSpec::of(PictureFormat::Jpeg { quality: strip.quality }), worker).await
    }

    async fn image(&self, input: Input, spec: StillSpec, worker: Option<&WorkerGroup>) -> Result<Image, ImageError> {
        let Input { key, pieces, frames, date, is_settled } = input;
        let key = format!("{key} {spec:?}");
        // Those who ask for the same image while it is made wait for it here.
        let _turn = self.images().turns.acquire().await;
        if let Some(still) = self.images().get(&key) {
            return Ok(Image { still, is_settled });
        }
        let worker = worker.ok_or(ImageError::Overloaded)?;
        let bytes = self.read(move |_, _| pieces.read()).await?;
        let made = tokio::time::timeout(TIMEOUT, worker.still(StillSource::Recorded(bytes, frames), spec, None)).await;
        let made = made.unwrap_or(Err(PictureFault::NotYet)).map_err(ImageError::Worker)?;
        let since_1970 = date.and_then(|date| u64::try_from(date).ok()).map(Duration::from_micros);
        let still = Arc::new(Still::new(made.bytes, since_1970.unwrap_or_default(), since_1970));
        self.images().put(key, still.clone());
        Ok(Image { still, is_settled })
    }
}

impl Library {
    fn still(&self, folders: &[PathBuf], stream: &str, asked: StillAt) -> Result<Input, LibraryError> {
        let StillAt { at, is_exact, .. } = asked;
        let file = playable(files(folders, stream, at, at.saturating_add(1))?)?.pop().ok_or(LibraryError::Nothing)?;
        let path = file.path();
        let (scanned, _) = self.scanned(&path)?;
        let from = file.entry.from;
        let time = at.saturating_sub(from).saturating_mul(1000);
        let excerpt = frame_at(&scanned.tracks, time, is_exact).ok_or(LibraryError::NoVideo)?;
        let is_settled = excerpt.is_settled || file.entry.ended.is_some();
        let Excerpt { front, extents, shown, .. } = excerpt;
        let mut pieces = Pieces { parts: Vec::new(), bytes: 0 };
        pieces.push(Bytes::copy_from_slice(&scanned.header));
        pieces.push(front);
        for extent in extents {
            pieces.push_extent(path.clone(), extent)?;
        }
        // Times are rounded to ticks.
        let until = u64::try_from(shown).unwrap_or(0).saturating_add(500_000);
        let key = format!("{} {} {shown} {is_exact}", path.display(), file.entry.sequence);
        let date = Some(from.saturating_add(shown / 1000));
        Ok(Input { key, pieces, frames: FrameChoice::Until(until), date, is_settled })
    }

    fn strip(&self, folders: &[PathBuf], stream: &str, span: Span, strip: Strip) -> Result<Input, LibraryError> {
        let Span { from, to, .. } = span;
        let Strip { places, width, .. } = strip;
        let files = playable(files(folders, stream, from, to)?)?;
        let step = (to - from) / i64::from(places);
        let mut rows: Vec<(TrackHead, Vec<u8>, Vec<Thumbnail>)> = Vec::new();
        let mut wanted = BTreeMap::<usize, Vec<(u16, i64)>>::new();
        for place in 0..places {
            let (begin, end) = (from + i64::from(place) * step, from + i64::from(place + 1) * step);
            // The first moment of the place that was recorded.
            let file = files.iter().position(|file| file.entry.from < end && (is_open(file) || file.entry.to > begin));
            if let Some((file, found)) = file.and_then(|at| Some((at, files.get(at)?))) {
                let time = begin.saturating_sub(found.entry.from).max(0).saturating_mul(1000);
                wanted.entry(file).or_default().push((place, time));
            }
        }
        for (file, places) in wanted {
            let Some(found) = files.get(file) else { continue };
            let scanned = match self.scanned(&found.path()) {
                Ok((scanned, _)) => scanned,
                // One that is gone leaves its places dark.
                Err(_) => continue,
            };
            let end = scanned
                .tracks
                .iter()
                .map(|(head, table)| table.end() as f64 / f64::from(head.timescale))
                .fold(0.0, f64::max);
            for (place, time) in places {
                if time as f64 / 1e9 > end {
                    continue;
                }
                let Some((head, sample)) = keyframe_at(&scanned.tracks, time) else { continue };
                let thumbnail = Thumbnail { place, file, sample };
                match rows.iter_mut().find(|(known, ..)| known.continues(head)) {
                    Some((_, _, row)) => row.push(thumbnail),
                    None => rows.push((head.clone(), scanned.header.clone(), vec![thumbnail])),
                }
            }
        }
        if rows.is_empty() {
            return Err(LibraryError::Nothing);
        }
        let mut pieces = Pieces { parts: Vec::new(), bytes: 0 };
        let mut key = format!("{stream} {from} {step} {places} {width}");
        for (head, header, thumbnails) in rows {
            for Thumbnail { place, file, sample } in &thumbnails {
                let path = files.get(*file).map(|file| file.entry.path.as_str()).unwrap_or_default();
                key.push_str(&format!(" {place}:{path}:{}", sample.at));
            }
            let (front, extents) = row(&head, &thumbnails).ok_or(LibraryError::TooMuch)?;
            let length = extents.iter().map(|extent| extent.length).sum::<u64>() + (header.len() + front.len()) as u64;
            pieces.push(u32::try_from(length).map_err(|_| LibraryError::TooMuch)?.to_be_bytes().to_vec());
            pieces.push(header);
            pieces.push(front);
            for extent in extents {
                let file = files.get(extent.file).ok_or(LibraryError::Nothing)?;
                pieces.push_extent(file.path(), extent)?;
            }
        }
        // A strip is named by its frames: its key is as long as that.
        let is_settled = !files.iter().any(is_open) && !span.is_open;
        let frames = FrameChoice::Row { places, width };
        Ok(Input { key, pieces, frames, date: None, is_settled })
    }
}

fn is_open(file: &Recorded) -> bool {
    file.entry.ended.is_none()
}
