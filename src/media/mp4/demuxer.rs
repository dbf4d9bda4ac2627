//! Takes MP4 apart as it comes: movies in fragments (section 8.8), and those whose index is before their data.
//!
//! A sample leaves when its last byte is there, whether its fragment is whole or not.

mod announcer;
mod description;
mod fragment;
mod movie;
mod plan;
mod table;
#[cfg(test)]
mod tests;
mod track;

use super::boxes::head;
use crate::media::{TrackInfo, byte_window::ByteWindow, demux::Demuxed};
use announcer::Announcer;
use fragment::Progress;
use movie::Movie;
use plan::Plan;
use track::Track;

/// Longest movie box: the index of a movie of some hours.
const MAX_MOVIE: usize = 16 << 20;
/// Longest box before the data of a fragment: seconds of all tracks have a few kilobytes.
const MAX_FRAGMENT: usize = 4 << 20;
/// Longest sample: more than a keyframe of the highest levels.
const MAX_SAMPLE: u32 = 64 << 20;
/// Longest movie box that is known again. Without tables it has a kilobyte for each track.
const MAX_REPEATED: usize = 64 << 10;
/// Longest box that is stepped over, but for data.
const MAX_SKIPPED: usize = 64 << 20;

/// A sample that is known by the index or its fragment; times in ticks of its track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Located {
    /// Which track of the movie, from 0 on.
    track: usize,
    /// Where it begins in the stream.
    offset: u64,
    /// Bytes.
    size: u32,
    decode: i64,
    /// How much later it is shown.
    composition: i64,
    /// 0 when unknown.
    duration: u32,
    is_sync: bool,
}

/// Finds tracks and samples in the bytes of MP4, which come in pieces of any size and may begin anywhere.
#[derive(Debug, Default)]
pub struct Demuxer {
    window: ByteWindow,
    parser: Parser,
}

impl Demuxer {
    /// A demuxer before the first byte.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        let parser = &mut self.parser;
        self.window.push(bytes, |bytes| parser.scan(bytes, out));
    }

    /// No more bytes will come. A sample that is not whole is dropped.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        self.window.take();
        self.parser.announcer.finish(known(&self.parser.tracks), out);
    }

    /// The tracks of the movie that cannot be read, and why not; for people.
    pub fn unsupported(&self) -> Vec<String> {
        self.parser.unsupported.clone()
    }
}

/// What is expected next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The head of a box.
    Head,
    /// Bytes up to here that are not needed.
    Skip(u64),
    /// Samples, up to here.
    Data(u64),
}

#[derive(Debug)]
struct Parser {
    state: State,
    /// Number of bytes that are done with.
    at: u64,
    /// Where the file begins, which offsets count from.
    origin: u64,
    /// Bytes were met that are no box: the next one has to be one that begins something.
    is_lost: bool,
    tracks: Vec<Track>,
    /// The movie box that says so, if its movie is in fragments.
    header: Vec<u8>,
    unsupported: Vec<String>,
    plan: Plan,
    announcer: Announcer,
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            state: State::Head,
            at: 0,
            origin: 0,
            is_lost: false,
            tracks: Vec::new(),
            header: Vec::new(),
            unsupported: Vec::new(),
            plan: Plan::default(),
            announcer: Announcer::default(),
        }
    }
}

impl Parser {
    /// Number of bytes that are done with.
    fn scan(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) -> usize {
        let begin = self.at;
        let done = |at: u64| usize::try_from(at - begin).unwrap_or(usize::MAX);
        while let Some(rest) = bytes.get(done(self.at)..).filter(|rest| !rest.is_empty()) {
            let goes_on = match self.state {
                State::Head => self.head(rest, out),
                State::Skip(end) => self.skip(end, rest.len()),
                State::Data(end) => self.data(end, rest, out),
            };
            if !goes_on {
                break;
            }
        }
        done(self.at).min(bytes.len())
    }

    /// Steps forward to `end`, as far as there are bytes; whether it came there.
    fn skip(&mut self, end: u64, available: usize) -> bool {
        let step = (end - self.at).min(available.try_into().unwrap_or(u64::MAX));
        self.at += step;
        if self.at == end {
            self.state = State::Head;
        }
        true
    }

    /// Looks at the box that the bytes begin with; whether more can be done without more bytes.
    fn head(&mut self, rest: &[u8], out: &mut Vec<Demuxed>) -> bool {
        let Some(kind) = rest.get(4..8).and_then(|kind| kind.first_chunk::<4>()) else {
            return false;
        };
        if kind == b"mdat" && rest.starts_with(&[0; 4]) && !self.is_lost {
            // Up to the end of the file (section 4.2.2).
            self.at += 8;
            self.state = State::Data(u64::MAX);
            return true;
        }
        let Some(head) = head(rest) else {
            let may_follow = rest.len() < 16 && rest.starts_with(&[0, 0, 0, 1]) && self.believes(kind);
            return !may_follow && self.lose();
        };
        let length = head.length.try_into().unwrap_or(u64::MAX);
        match kind {
            _ if !self.believes(kind) => self.lose(),
            b"moov" | b"moof" => {
                let most = if kind == b"moov" { MAX_MOVIE } else { MAX_FRAGMENT };
                if head.length > most {
                    return self.lose();
                }
                let Some(body) = rest.get(head.own..head.length) else { return false };
                match kind {
                    b"moov" => self.movie(body, out),
                    _ => self.fragment(body, length),
                }
                self.is_lost = false;
                self.at += length;
                true
            }
            b"mdat" => {
                self.state = State::Data(self.at.saturating_add(length));
                self.at += head.own as u64;
                true
            }
            _ if head.length > MAX_SKIPPED => self.lose(),
            _ => {
                if kind == b"ftyp" {
                    self.origin = self.at;
                }
                self.is_lost = false;
                self.state = State::Skip(self.at.saturating_add(length));
                true
            }
        }
    }

    /// Whether a box of this kind may be the next one. Between other bytes only those are believed that something begins with.
    fn believes(&self, kind: &[u8; 4]) -> bool {
        match kind {
            b"ftyp" | b"moov" | b"moof" | b"styp" | b"sidx" | b"ssix" | b"emsg" | b"prft" => true,
            b"mdat" | b"free" | b"skip" | b"wide" | b"mfra" | b"meta" | b"uuid" | b"pdin" | b"udta" => !self.is_lost,
            // Boxes that are not known yet.
            kind => !self.is_lost && !self.tracks.is_empty() && kind.iter().all(u8::is_ascii_alphanumeric),
        }
    }

    /// This is no box. Always true.
    fn lose(&mut self) -> bool {
        if !self.is_lost {
            self.is_lost = true;
            self.tracks.iter_mut().for_each(Track::interrupt);
        }
        self.at += 1;
        true
    }

    fn movie(&mut self, body: &[u8], out: &mut Vec<Demuxed>) {
        if body == self.header {
            // Some writers repeat it before each fragment.
            self.tracks.iter_mut().for_each(Track::begin_again);
            return;
        }
        let movie = Movie::parse(body);
        self.plan = Plan::default();
        self.unsupported = movie.unsupported;
        let before = std::mem::take(&mut self.tracks);
        let mut is_fragmented = true;
        for (at, mut track) in movie.tracks.into_iter().enumerate() {
            let table = track.table.take();
            let mut track = Track::new(at, track, table.as_ref().map_or(0, table::Table::lag));
            match before.iter().find(|other| other.is_like(&track)) {
                Some(other) => track.follow(other),
                None if !before.is_empty() => track.interrupt(),
                None => {}
            }
            self.tracks.push(track);
            if let Some(table) = table {
                is_fragmented = false;
                self.plan.add_table(at, table, self.origin);
            }
        }
        self.header.clear();
        self.header.extend(Some(body).filter(|body| is_fragmented && body.len() <= MAX_REPEATED).unwrap_or_default());
        self.announcer.begin(known(&self.tracks), self.tracks.len(), out);
    }

    fn fragment(&mut self, body: &[u8], length: u64) {
        let mut progress: Vec<Progress> = self.tracks.iter().map(|track| track.progress).collect();
        let samples = fragment::samples(body, self.at, self.at.saturating_add(length), &mut progress);
        for (track, progress) in self.tracks.iter_mut().zip(progress) {
            track.progress = progress;
        }
        for sample in &samples {
            if let Some(track) = self.tracks.get_mut(sample.track) {
                track.shows(sample.composition);
            }
        }
        self.plan.add_fragment(samples);
    }

    /// Takes the next sample out of data up to `end`; whether more can be done without more bytes.
    fn data(&mut self, end: u64, rest: &[u8], out: &mut Vec<Demuxed>) -> bool {
        let tracks = &mut self.tracks;
        let next = self.plan.next(self.at, |track| {
            if let Some(track) = tracks.get_mut(track) {
                track.interrupt();
            }
        });
        let Some(sample) = next.filter(|sample| sample.offset < end) else {
            self.state = State::Skip(end);
            return true;
        };
        if sample.offset > self.at {
            self.at += (sample.offset - self.at).min(rest.len().try_into().unwrap_or(u64::MAX));
            return true;
        }
        let is_whole = sample.offset.checked_add(sample.size.into()).is_some_and(|last| last <= end);
        if sample.size > MAX_SAMPLE || !is_whole {
            // It cannot be: another sample may begin after it.
            self.plan.remove(&sample);
            if let Some(track) = self.tracks.get_mut(sample.track) {
                track.interrupt();
            }
            return true;
        }
        let Some(data) = usize::try_from(sample.size).ok().and_then(|size| rest.get(..size)) else { return false };
        self.at += u64::from(sample.size);
        self.plan.remove(&sample);
        self.sample(&sample, data, out);
        true
    }

    fn sample(&mut self, located: &Located, data: &[u8], out: &mut Vec<Demuxed>) {
        let Some(track) = self.tracks.get_mut(located.track) else { return };
        let taken = track.take(located, data);
        let count = self.tracks.len();
        if taken.has_changed {
            self.announcer.changed(known(&self.tracks), count, out);
        }
        self.announcer.time(taken.time, || known(&self.tracks), out);
        if let Some(sample) = taken.sample {
            self.announcer.sample(sample, out);
        }
    }
}

/// The tracks whose parameters are known.
fn known(tracks: &[Track]) -> Vec<TrackInfo> {
    tracks.iter().filter_map(|track| track.info().cloned()).collect()
}
