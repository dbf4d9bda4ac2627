//! Looks for files of recordings that an index has lost: names say of which stream and time they are, their own bytes how long they last. One
//! thread walks over a folder; what it finds is taken from it in small numbers, so that recording does not wait.

use super::{
    folder::{Root, duration, known_paths, read_from},
    index::{Found, day_of},
};
use crate::{
    config::FilePattern,
    media::{avi, demux::Demuxed, mp4::file, unpack::AnyDemuxer},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::{Instant, SystemTime},
};

/// Files that were found and wait.
const WAITING: usize = 64;
/// What is read of a file at a time.
const PIECE: usize = 1 << 20;
/// Paths of a day are remembered for so many days.
const DAYS: usize = 4;

/// What a search has looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files of recordings in the folder.
    pub files: u64,
    /// Those of which it is not known of which stream or time they are, or that cannot be read.
    pub unknown: u64,
}

/// What comes out of a search.
#[derive(Debug)]
pub enum Step {
    /// A file.
    Found(Found),
    /// That was all.
    Done(Counts),
}

/// A search that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Search {
    /// What it finds.
    pub steps: Receiver<Step>,
    /// When it began.
    pub began: Instant,
}

impl Search {
    /// Looks through a folder. `patterns`: how the files of streams are named; `indexed`: streams that have an index, of which only files with a
    /// time in their names are taken.
    ///
    /// # Errors
    /// When there can be no thread.
    pub(super) fn start(
        root: Arc<Root>,
        patterns: BTreeMap<String, FilePattern>,
        indexed: BTreeSet<String>,
    ) -> io::Result<Self> {
        let (found, steps) = sync_channel(WAITING);
        let walk = Walk { root, patterns, indexed, known: Vec::new(), counts: Counts::default(), found };
        std::thread::Builder::new().name("search".to_owned()).spawn(move || walk.run())?;
        Ok(Self { steps, began: Instant::now() })
    }
}

struct Walk {
    root: Arc<Root>,
    patterns: BTreeMap<String, FilePattern>,
    indexed: BTreeSet<String>,
    /// Paths of a stream and day.
    known: Vec<((String, i64), HashSet<String>)>,
    counts: Counts,
    found: SyncSender<Step>,
}

impl Walk {
    fn run(mut self) {
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            let Ok(names) = fs::read_dir(self.root.path().join(&folder)) else { continue };
            let mut names: Vec<_> = names.filter_map(Result::ok).collect();
            names.sort_by_key(fs::DirEntry::file_name);
            let mut below = Vec::new();
            for name in names {
                let Ok(kind) = name.file_type() else { continue };
                let Ok(text) = name.file_name().into_string() else { continue };
                // What begins with a dot is no recording: no pattern makes it.
                if text.starts_with('.') {
                    continue;
                }
                let path = folder.join(&text);
                if kind.is_dir() {
                    below.push(path);
                } else if kind.is_file() && !self.look_at(&path) {
                    return;
                }
            }
            folders.extend(below.into_iter().rev());
        }
        let _ = self.found.send(Step::Done(self.counts));
    }

    /// Returns whether there is still someone to report to.
    fn look_at(&mut self, path: &Path) -> bool {
        let Some((name, extension)) = path.to_str().and_then(|path| path.rsplit_once('.')) else { return true };
        if !matches!(extension, "mp4" | "mkv" | "webm" | "ts" | "flv" | "avi") {
            return true;
        }
        self.counts.files += 1;
        match self.found(name, extension) {
            Ok(None) => true,
            Ok(Some(found)) => self.found.send(Step::Found(found)).is_ok(),
            Err(Unknown) => {
                self.counts.unknown += 1;
                true
            }
        }
    }

    fn found(&mut self, name: &str, extension: &str) -> Result<Option<Found>, Unknown> {
        let own = self
            .patterns
            .iter()
            .find_map(|(stream, pattern)| Some((stream.clone(), pattern.read(name, Some(stream))?)));
        // Files of streams that are not recorded any more are named as usual.
        let usual = || {
            let read = FilePattern::default().read(name, None)?;
            Some((read.stream.clone()?, read))
        };
        let (stream, read) = own.or_else(usual).ok_or(Unknown)?;
        let path = format!("{name}.{extension}");
        match read.begin {
            Some(begin) if self.is_known(&stream, begin, &path) => return Ok(None),
            // Which day's index would have it is not known.
            None if self.indexed.contains(&stream) => return Err(Unknown),
            _ => {}
        }
        let whole = self.root.path().join(&path);
        let (lasts, codecs) = measure(&whole, extension).ok_or(Unknown)?;
        let from = read.begin.or_else(|| written(&whole)?.checked_sub(lasts)).ok_or(Unknown)?;
        Ok(Some(Found { stream, path, from, lasts, sequence: read.sequence, codecs }))
    }

    fn is_known(&mut self, stream: &str, begin: i64, path: &str) -> bool {
        let day = day_of(begin);
        let key = (stream.to_owned(), day);
        if let Some((_, paths)) = self.known.iter().find(|(known, _)| *known == key) {
            return paths.contains(path);
        }
        let paths = known_paths(self.root.path(), stream, day);
        let is_known = paths.contains(path);
        if self.known.len() >= DAYS {
            self.known.remove(0);
        }
        self.known.push((key, paths));
        is_known
    }
}

/// Nothing is known of a file.
struct Unknown;

/// When a file was written to last, in microseconds since 1970.
fn written(path: &Path) -> Option<i64> {
    let written = fs::metadata(path).ok()?.modified().ok()?;
    i64::try_from(written.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_micros()).ok()
}

/// How long a file lasts, in microseconds, and its codecs.
fn measure(path: &Path, extension: &str) -> Option<(i64, String)> {
    let mut handle = File::open(path).ok()?;
    let mut times = Times::default();
    if extension == "avi" {
        let found = avi::scan(handle.metadata().ok()?.len(), read_from(&handle))?;
        return Some((i64::try_from(found.duration).ok().filter(|lasts| *lasts > 0)?, String::new()));
    }
    if extension != "mp4" {
        let (mut demuxer, mut piece) = (AnyDemuxer::new(), vec![0; PIECE]);
        loop {
            let length = handle.read(&mut piece).ok()?;
            if length == 0 {
                break;
            }
            demuxer.push(piece.get(..length)?, &mut times.found).ok()?;
            times.take();
        }
        demuxer.finish(&mut times.found).ok()?;
        times.take();
        return Some((times.lasts()?, times.codecs));
    }
    let length = handle.metadata().ok()?.len();
    let mut read = read_from(&handle);
    let scanned = file::scan(length, &mut read).ok()?;
    let lasts = duration(&scanned);
    // The first fragment says what the codecs are.
    let mut demuxer = AnyDemuxer::new();
    demuxer.push(&scanned.header, &mut times.found).ok()?;
    let first = scanned.fragments_at();
    demuxer.push(&read(first, PIECE)?, &mut times.found).ok()?;
    times.take();
    (lasts > 0).then_some((lasts, times.codecs))
}

/// The times of samples.
#[derive(Debug, Default)]
struct Times {
    found: Vec<Demuxed>,
    first: Option<i64>,
    end: i64,
    codecs: String,
}

impl Times {
    fn take(&mut self) {
        for found in self.found.drain(..) {
            match found {
                Demuxed::Tracks(tracks) => {
                    self.codecs = tracks.codec_strings().unwrap_or_default();
                }
                Demuxed::Sample(sample) => {
                    let begin = sample.dts.nanos() / 1000;
                    let lasts = sample.duration.and_then(|lasts| i64::try_from(lasts.as_micros()).ok()).unwrap_or(0);
                    self.first = Some(self.first.map_or(begin, |first| first.min(begin)));
                    self.end = self.end.max(begin.saturating_add(lasts));
                }
            }
        }
    }

    fn lasts(&self) -> Option<i64> {
        Some(self.end.saturating_sub(self.first?)).filter(|lasts| *lasts > 0)
    }
}
