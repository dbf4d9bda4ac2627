//! A feed of the plan, with what outlives its runs: its tracks, and the bytes that come for it.

use super::{
    event::{Event, Events},
    threads::lock,
    track::Track,
};
use crate::ipc::TrackKind;
use bytes::Bytes;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, atomic::AtomicU64},
    time::Instant,
};

/// Bytes for a feed that may wait until its pipeline is there.
pub(super) const PENDING_BYTES: usize = 8 << 20;

/// A feed of the plan, with what outlives its runs.
pub(super) struct Feed {
    /// Number in the plan.
    pub(super) index: u32,
    /// The configured name.
    pub(super) name: String,
    /// The plan's epoch.
    pub(super) epoch: u64,
    /// End of what it has delivered, since the epoch.
    pub(super) end: Arc<AtomicU64>,
    tracks: Mutex<Vec<Arc<Track>>>,
    bytes: Mutex<Intake>,
    pub(super) events: Events,
}

/// Takes the bytes of a run. Never waits.
pub(super) type Entrance = Arc<dyn Fn(Bytes) + Send + Sync>;

/// Where the bytes of a feed go that come from the server.
#[derive(Default)]
struct Intake {
    source: Option<Entrance>,
    /// The current source has got bytes.
    fed: bool,
    pending: VecDeque<Bytes>,
    pending_bytes: usize,
}

impl Intake {
    fn wait(&mut self, bytes: Bytes) {
        self.pending_bytes += bytes.len();
        self.pending.push_back(bytes);
        while self.pending_bytes > PENDING_BYTES {
            let Some(oldest) = self.pending.pop_front() else { break };
            self.pending_bytes -= oldest.len();
        }
    }
}

impl Feed {
    pub(super) fn new(index: u32, name: String, epoch: u64, events: Events) -> Arc<Self> {
        Arc::new(Self {
            index,
            name,
            epoch,
            end: Arc::default(),
            tracks: Mutex::default(),
            bytes: Mutex::default(),
            events,
        })
    }

    /// All tracks, those first that a stream should prefer.
    pub(super) fn tracks(&self) -> Vec<Arc<Track>> {
        let mut tracks = lock(&self.tracks).clone();
        tracks.sort_by_key(|track| (!track.named, track.order));
        tracks
    }

    /// The track of this kind that streams use, once the current run has delivered some of it.
    pub(super) fn track(&self, kind: TrackKind) -> Option<Arc<Track>> {
        let tracks = self.tracks();
        tracks.into_iter().find(|track| track.kind == kind && track.is_live())
    }

    /// Which of the tracks that the current run has delivered stays away for longer than its pace explains, if any does.
    pub(super) fn stalled(&self, now: Instant) -> Option<String> {
        self.tracks().iter().find_map(|track| {
            let silence = track.stalled(now)?;
            Some(format!("its {} stopped {:.1} s ago", track.kind.word(), silence.as_secs_f64()))
        })
    }

    /// A new run begins, or the feed ends.
    pub(super) fn begin(&self) {
        for track in self.tracks() {
            track.begin();
        }
    }

    pub(super) fn claim(&self, kind: TrackKind, order: usize, named: bool) -> Arc<Track> {
        let mut tracks = lock(&self.tracks);
        if let Some(track) = tracks.iter().find(|track| track.kind == kind && track.order == order) {
            return track.clone();
        }
        let track = Track::new(kind, named, order);
        tracks.push(track.clone());
        track
    }

    /// Bytes from the server. Never waits.
    pub(super) fn take_bytes(&self, bytes: Bytes, discontinuity: bool) {
        let mut intake = lock(&self.bytes);
        if discontinuity {
            intake.pending.clear();
            intake.pending_bytes = 0;
            if intake.fed {
                intake.source = None;
                intake.fed = false;
                self.events.send(Event::Restart(self.index));
            }
        }
        match intake.source.clone() {
            Some(source) => {
                intake.fed = true;
                drop(intake);
                source(bytes);
            }
            None => intake.wait(bytes),
        }
    }

    /// Sends bytes to this source from now on, first those that waited.
    pub(super) fn open_bytes(&self, source: Entrance) {
        let mut intake = lock(&self.bytes);
        intake.fed = !intake.pending.is_empty();
        intake.pending_bytes = 0;
        for bytes in std::mem::take(&mut intake.pending) {
            source(bytes);
        }
        intake.source = Some(source);
    }

    /// Bytes have no pipeline to go to any more.
    pub(super) fn close_bytes(&self) {
        let mut intake = lock(&self.bytes);
        intake.source = None;
        intake.fed = false;
    }
}
