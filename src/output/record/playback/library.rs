//! Finds recordings and reads what is in them. Blocking.

use super::{
    ask::{FileId, Gaps, Pace},
    remux::RemuxError,
};
use crate::{
    media::mp4::file::{
        Clip, ClipBuilder, Cut, Extent, Lapse, Piece, ScannedFile, Source, Span, TooLong, has_header, scan, segment,
        spans,
    },
    output::record::{
        folder::{files_between, read_from},
        index::Entry,
    },
};
use bytes::Bytes;
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Most files that are listed, or that are in one clip.
const MAX_FILES: usize = 10_000;
/// Files whose tables are remembered.
const MAX_KNOWN: usize = 16;
/// Clips that are remembered: browsers ask for a film in many ranges.
const MAX_CLIPS: usize = 4;
/// No clip is remembered whose tables have more bytes.
const MAX_CLIP_MEMORY: usize = 32 << 20;
/// Length of a segment, in nanoseconds.
const SEGMENT: i64 = 4_000_000_000;
/// Files whose timeline is one and that are further apart than this have a gap between them, in microseconds.
pub const GAP: i64 = 500_000;
/// No frame is shown for longer than this, in microseconds: its duration has 32 bits, which are 13 hours of video.
const MOST_HELD: i64 = 12 * 3_600_000_000;

/// Why something cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LibraryError {
    /// There is nothing.
    #[error("nothing was recorded there")]
    Nothing,
    /// There is something that is not MP4.
    #[error("only recordings in mp4 can be played back: this one is in {0}")]
    Format(String),
    /// There is audio alone.
    #[error("this recording has no video")]
    NoVideo,
    /// It is too much.
    #[error("there is too much in this span: ask for a shorter one")]
    TooMuch,
    /// It is not to be had in that container.
    #[error(transparent)]
    Remux(#[from] RemuxError),
    /// It cannot be read.
    #[error("the recording cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// What is remembered of files and clips.
#[derive(Debug, Default)]
pub struct Library {
    known: Mutex<Vec<Known>>,
    clips: Mutex<Vec<Arc<Film>>>,
}

#[derive(Debug)]
struct Known {
    path: PathBuf,
    length: u64,
    file: Arc<ScannedFile>,
}

/// A file of a recording.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Where its folder is.
    pub folder: PathBuf,
    /// What its index says.
    pub entry: Entry,
}

impl Recorded {
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(&self.entry.path)
    }
}

/// What of a span is in a film.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// All of it.
    All(Gaps),
    /// Some keyframes.
    Lapse(Pace),
}

/// A film, with the files that it is made of.
#[derive(Debug)]
pub struct Film {
    /// Its files, with their lengths when it was made.
    files: Vec<(PathBuf, u64)>,
    from: i64,
    to: i64,
    content: Content,
    /// The film.
    pub clip: Clip,
    /// When it begins, in microseconds since 1970.
    pub begins: i64,
}

impl Film {
    /// A file as it is, which has this span.
    pub(super) fn whole(path: PathBuf, length: u64, (from, to): (i64, i64)) -> Self {
        Self {
            files: vec![(path, length)],
            from,
            to,
            content: Content::All(Gaps::Skip),
            clip: Clip::whole(length),
            begins: from,
        }
    }

    /// The same for the same bytes.
    pub fn tag(&self) -> String {
        let mut state = 0xcbf2_9ce4_8422_2325_u64;
        let mut mix = |bytes: &[u8]| {
            bytes.iter().for_each(|byte| state = (state ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3))
        };
        for (path, length) in &self.files {
            mix(path.as_os_str().as_encoded_bytes());
            mix(&length.to_be_bytes());
        }
        mix(&self.from.to_be_bytes());
        mix(&self.to.to_be_bytes());
        match self.content {
            Content::All(Gaps::Skip) => {}
            Content::All(Gaps::Hold) => mix(b"hold"),
            Content::Lapse(Pace { every, rate }) => {
                mix(&every.to_be_bytes());
                mix(&rate.to_be_bytes());
            }
        }
        format!("\"{state:016x}-{:x}\"", self.clip.length())
    }

    /// The next bytes from `at` on, at most `most`.
    pub fn read(&self, at: u64, most: u64) -> io::Result<Bytes> {
        match self.clip.piece(at, most) {
            None => Ok(Bytes::new()),
            Some(Piece::Own(bytes)) => Ok(bytes),
            Some(Piece::File(extent)) => {
                let (path, _) = self.files.get(extent.file).ok_or(io::ErrorKind::NotFound)?;
                read_extent(&File::open(path)?, extent)
            }
        }
    }
}

pub(super) fn read_extent(file: &File, extent: Extent) -> io::Result<Bytes> {
    let length = usize::try_from(extent.length).map_err(io::Error::other)?;
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, extent.at)?;
    Ok(bytes.into())
}

/// Whether there is something in a file: its header is on its way to the disk when it has just been opened.
fn has_begun(file: &Recorded) -> bool {
    if file.entry.ended.is_some() || file.path().extension().is_none_or(|kind| kind != "mp4") {
        return true;
    }
    let read = || {
        let handle = File::open(file.path())?;
        io::Result::Ok(has_header(handle.metadata()?.len(), read_from(&handle)))
    };
    // Whoever reads it reports an error.
    read().unwrap_or(true)
}

/// The files of a stream in a span of time, in their order.
pub fn files(folders: &[PathBuf], stream: &str, from: i64, to: i64) -> io::Result<Vec<Recorded>> {
    // A name that is no name of a stream would lead elsewhere.
    if crate::config::StreamName::new(stream).is_err() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for folder in folders {
        let entries = files_between(folder, stream, from, to, MAX_FILES)?;
        let files = entries.into_iter().map(|entry| Recorded { folder: folder.clone(), entry });
        found.extend(files.filter(has_begun));
    }
    found.sort_by_key(|file| (file.entry.from, file.entry.sequence));
    Ok(found)
}

/// The files with their lengths. What has ended does not change any more.
fn places(files: &[Recorded]) -> io::Result<Vec<(PathBuf, u64)>> {
    let place = |file: &Recorded| {
        let length = if file.entry.ended.is_some() { std::fs::metadata(file.path())?.len() } else { 0 };
        Ok((file.path(), length))
    };
    files.iter().map(place).collect()
}

/// Whether the second file continues the first one: without a gap, and with the same codecs.
pub fn continues(one: &Entry, other: &Entry) -> bool {
    // The end of what is still written is on its way to the disk.
    let is_near = one.ended.is_none() || other.from.saturating_sub(one.to).abs() <= GAP;
    one.run == other.run && one.codecs == other.codecs && is_near
}

/// How long after the begin of the first file the second one begins in a film, in nanoseconds; `None` when it follows its end.
fn after(one: &Entry, other: &Entry, gaps: Gaps) -> Option<i64> {
    if continues(one, other) {
        return Some(other.media.saturating_sub(one.media));
    }
    let is_held = gaps == Gaps::Hold && (0..=MOST_HELD).contains(&other.from.saturating_sub(one.to));
    is_held.then(|| other.from.saturating_sub(one.from).saturating_mul(1000))
}

impl Library {
    /// The tables of a file.
    pub(super) fn scanned(&self, path: &Path) -> Result<(Arc<ScannedFile>, u64), LibraryError> {
        let handle = File::open(path)?;
        let length = handle.metadata()?.len();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.iter().find(|known| known.path == path && known.length == length) {
            return Ok((known.file.clone(), length));
        }
        drop(known);
        let file = scan(length, read_from(&handle)).map_err(io::Error::other)?;
        let file = Arc::new(file);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|known| known.path != path);
        if known.len() >= MAX_KNOWN {
            known.remove(0);
        }
        known.push(Known { path: path.to_owned(), length, file: file.clone() });
        Ok((file, length))
    }

    /// A film of a span of time, in microseconds since 1970. It ends where the tracks change.
    ///
    /// # Errors
    /// When nothing was recorded, or it cannot be read.
    pub fn film(
        &self,
        folders: &[PathBuf],
        stream: &str,
        (from, to): (i64, i64),
        gaps: Gaps,
    ) -> Result<Arc<Film>, LibraryError> {
        let content = Content::All(gaps);
        let files = playable(files(folders, stream, from, to)?)?;
        // Of a file that is written there is more each time: such a film is made for each request.
        let is_whole = files.iter().all(|file| file.entry.ended.is_some());
        let places = places(&files)?;
        if let Some(known) = self.known_film(&places, (from, to), content).filter(|_| is_whole) {
            return Ok(known);
        }
        let nanos = |micros: i64| micros.saturating_mul(1000);
        let before = std::iter::once(None).chain(files.iter().map(|file| Some(&file.entry)));
        let mut builder = ClipBuilder::default();
        for (file, before) in files.iter().zip(before) {
            let (scanned, _) = self.scanned(&file.path())?;
            let source = Source {
                tracks: &scanned.tracks,
                cut: Cut {
                    from: nanos(from.saturating_sub(file.entry.from)).max(0),
                    to: nanos(to.saturating_sub(file.entry.from)),
                },
                after: before.and_then(|before| after(before, &file.entry, gaps)),
            };
            if !builder.add(&source).map_err(|TooLong| LibraryError::TooMuch)? {
                break;
            }
        }
        let begins = files.first().map_or(from, |file| file.entry.from.max(from));
        let created = u64::try_from(begins / 1_000_000).unwrap_or(0);
        let clip = builder.finish(created).ok_or(LibraryError::Nothing)?;
        let (first, at) = clip.begin();
        let begins = files.get(first).map_or(begins, |file| file.entry.from.saturating_add(at / 1000));
        let film = Arc::new(Film { files: places, from, to, content, clip, begins });
        if is_whole {
            self.remember(&film);
        }
        Ok(film)
    }

    fn known_film(&self, files: &[(PathBuf, u64)], span: (i64, i64), content: Content) -> Option<Arc<Film>> {
        let clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        let is_same = |film: &&Arc<Film>| ((film.from, film.to), film.content, &*film.files) == (span, content, files);
        clips.iter().find(is_same).cloned()
    }

    fn remember(&self, film: &Arc<Film>) {
        if film.clip.memory() > MAX_CLIP_MEMORY {
            return;
        }
        let mut clips = self.clips.lock().unwrap_or_else(PoisonError::into_inner);
        if clips.len() >= MAX_CLIPS {
            clips.remove(0);
        }
        clips.push(film.clone());
    }

    /// A time-lapse of a span of time: keyframes only. It ends where the video changes.
    ///
    /// # Errors
    /// As [`Library::film`].
    pub fn lapse(
        &self,
        folders: &[PathBuf],
        stream: &str,
        (from, to): (i64, i64),
        pace: Pace,
    ) -> Result<Arc<Film>, LibraryError> {
        let files = playable(files(folders, stream, from, to)?)?;
        let is_whole = files.iter().all(|file| file.entry.ended.is_some());
        let places = places(&files)?;
        let content = Content::Lapse(pace);
        if let Some(known) = self.known_film(&places, (from, to), content).filter(|_| is_whole) {
            return Ok(known);
        }
        let nanos = |micros: i64| micros.saturating_mul(1000);
        let mut lapse = Lapse::new((nanos(from), nanos(to)), nanos(pace.every), pace.rate);
        for file in &files {
            let (scanned, _) = self.scanned(&file.path())?;
            if !lapse.add(&scanned.tracks, nanos(file.entry.from)) {
                break;
            }
        }
        let begins = files.first().map_or(from, |file| file.entry.from.max(from));
        let clip = lapse.finish(u64::try_from(begins / 1_000_000).unwrap_or(0)).ok_or(LibraryError::Nothing)?;
        let film = Arc::new(Film { files: places, from, to, content, clip, begins });
        if is_whole {
            self.remember(&film);
        }
        Ok(film)
    }

    /// A file by its name in addresses.
    fn named(folders: &[PathBuf], stream: &str, file: FileId) -> Result<Recorded, LibraryError> {
        let mut files = files(folders, stream, file.from, file.from.saturating_add(1))?;
        files.retain(|found| (found.entry.from, found.entry.sequence) == (file.from, file.sequence));
        files.pop().ok_or(LibraryError::Nothing)
    }

    /// The header of the segments of a file.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be read.
    pub fn header(&self, folders: &[PathBuf], stream: &str, file: FileId) -> Result<Bytes, LibraryError> {
        let path = Self::named(folders, stream, file)?.path();
        Ok(Bytes::copy_from_slice(&self.scanned(&path)?.0.header))
    }

    /// A segment of a file.
    ///
    /// # Errors
    /// As [`Library::header`].
    pub fn segment(
        &self,
        folders: &[PathBuf],
        stream: &str,
        file: FileId,
        number: usize,
    ) -> Result<Vec<Bytes>, LibraryError> {
        let file = Self::named(folders, stream, file)?;
        let (path, media) = (file.path(), file.entry.media);
        let (scanned, _) = self.scanned(&path)?;
        let spans = whole_spans(&scanned);
        let span = *spans.get(number).ok_or(LibraryError::Nothing)?;
        let is_last = scanned.is_finished && number + 1 == spans.len();
        let count = u32::try_from(number).unwrap_or(u32::MAX);
        let made = segment(&scanned.tracks, span, is_last, count, media.max(0));
        let (front, extents) = made.ok_or(LibraryError::Nothing)?;
        let handle = File::open(&path)?;
        let mut pieces = vec![Bytes::from(front)];
        for extent in extents {
            pieces.push(read_extent(&handle, extent)?);
        }
        Ok(pieces)
    }

    /// The playlist of a span of time. `carried` goes into its addresses; `is_open`: it grows.
    ///
    /// # Errors
    /// When nothing was recorded, or it cannot be read.
    pub fn playlist(
        &self,
        folders: &[PathBuf],
        stream: &str,
        (from, to): (i64, i64),
        is_open: bool,
        carried: &str,
    ) -> Result<String, LibraryError> {
        let files = playable(files(folders, stream, from, to)?)?;
        let (mut body, mut longest, mut before) = (String::new(), 0.0_f64, None::<Entry>);
        for Recorded { folder, entry } in &files {
            let (scanned, _) = self.scanned(&folder.join(&entry.path))?;
            let mut is_first = true;
            for (number, span) in whole_spans(&scanned).into_iter().enumerate() {
                let begin = entry.from.saturating_add(span.from / 1000);
                let end = entry.from.saturating_add(span.to / 1000);
                if end <= from || begin >= to {
                    continue;
                }
                let file = FileId { from: entry.from, sequence: entry.sequence };
                if std::mem::take(&mut is_first) {
                    let is_new = before.as_ref().is_some_and(|before| !continues(before, entry));
                    if is_new {
                        body.push_str("#EXT-X-DISCONTINUITY\n");
                    }
                    if is_new || before.is_none() {
                        body.push_str(&format!("#EXT-X-MAP:URI=\"{file}/init.mp4{carried}\"\n"));
                    }
                }
                let seconds = (span.to - span.from) as f64 / 1e9;
                longest = longest.max(seconds);
                body.push_str(&format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", rfc3339(begin)));
                body.push_str(&format!("#EXTINF:{seconds:.5},\n{file}/{number}.m4s{carried}\n"));
            }
            if !is_first {
                before = Some(entry.clone());
            }
        }
        if before.is_none() {
            return Err(LibraryError::Nothing);
        }
        let grows = is_open && files.last().is_some_and(|file| file.entry.ended.is_none());
        let (kind, end) = if grows { ("EVENT", "") } else { ("VOD", "#EXT-X-ENDLIST\n") };
        let target = longest.round().max(1.0);
        Ok(format!(
            "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-PLAYLIST-TYPE:{kind}\n#EXT-X-INDEPENDENT-SEGMENTS\n{body}{end}"
        ))
    }
}

/// The segments of a file that do not change any more.
fn whole_spans(file: &ScannedFile) -> Vec<Span> {
    let mut spans = spans(&file.tracks, SEGMENT);
    if !file.is_finished {
        spans.pop();
    }
    spans
}

/// Those that can be played back.
pub(super) fn playable(files: Vec<Recorded>) -> Result<Vec<Recorded>, LibraryError> {
    let is_mp4 = |file: &Recorded| file.entry.path.ends_with(".mp4");
    let other = files.iter().find(|file| !is_mp4(file)).and_then(|file| file.entry.path.rsplit_once('.'));
    let other = other.map(|(_, extension)| extension.to_owned());
    let playable: Vec<_> = files.into_iter().filter(is_mp4).collect();
    match (playable.is_empty(), other) {
        (false, _) => Ok(playable),
        (true, Some(format)) => Err(LibraryError::Format(format)),
        (true, None) => Err(LibraryError::Nothing),
    }
}

/// A time as in RFC 3339, to the millisecond.
pub fn rfc3339(micros: i64) -> String {
    jiff::Timestamp::from_microsecond(micros).map(|time| format!("{time:.3}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::record::index::testing;

    #[test]
    fn a_file_that_was_just_opened_is_not_there_yet() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, ended: Option<&str>| {
            let entry = Entry { path: name.to_owned(), ended: ended.map(str::to_owned), ..testing::entry(1, 0, 0) };
            Recorded { folder: folder.path().to_owned(), entry }
        };
        for name in ["a.mp4", "a.mkv"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        assert!(!has_begun(&file("a.mp4", None)));
        // What has ended is damaged, and what cannot be read is an error of who reads it.
        assert!([file("a.mp4", Some("cut")), file("a.mkv", None), file("gone.mp4", None)].iter().all(has_begun));
        std::fs::write(folder.path().join("a.mp4"), b"\0\0\0\x08moov").unwrap();
        assert!(has_begun(&file("a.mp4", None)));
    }

    #[test]
    fn files_of_a_run_continue_each_other_but_for_gaps() {
        let entry = |sequence: u64, from: i64, to: i64, ended: Option<&str>| Entry {
            ended: ended.map(str::to_owned),
            ..testing::entry(sequence, from, to)
        };
        let next = entry(2, 2_000_000, 2_000_000, None);
        assert!(continues(&entry(1, 0, 1_990_000, Some("cut")), &next));
        assert!(!continues(&entry(1, 0, 1_400_000, Some("cut")), &next), "a gap");
        // Its last part is not on the disk when the next file begins.
        assert!(continues(&entry(1, 0, 1_400_000, None), &next));
        assert!(!continues(&Entry { run: 6, ..entry(1, 0, 2_000_000, None) }, &next));
        assert!(!continues(&Entry { codecs: "hvc1".to_owned(), ..entry(1, 0, 2_000_000, None) }, &next));
    }
}
