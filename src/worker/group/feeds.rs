//! The feeds of a group: what they are doing, and the bytes that come for them.

use super::{Group, Stopping, let_go};
use crate::{
    ipc::{Ended, FeedSource, Frame, FrameHead, FrameKind, FromWorker, Item, LogLevel, Track, TrackKind},
    worker::{
        clock,
        event::{BusEvent, Event, Owner, next_run},
        feed::Feed,
        ingest::{Demux, Ingest},
        picture::Mailbox,
        resolve::FeedView,
        threads::{dispose, lock},
    },
};
use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

/// How long a feed may take to show all its tracks after the first one.
const GROW: Duration = Duration::from_secs(2);
/// The shortest time between two runs of a looped file, in nanoseconds.
const SHORTEST_LOOP: u64 = 40_000_000;
/// The element of a feed that shows texts.
const CAPTION: &str = "caption";
/// Frames for feeds that are kept until the plan is there.
const EARLY: usize = 256;

/// A feed of the plan, and what it is doing.
pub(super) struct FeedSlot {
    pub(super) feed: Arc<Feed>,
    pub(super) source: FeedSource,
    /// Frames per second of what has no times of its own.
    pub(super) fps: Option<(u32, u32)>,
    pub(super) state: FeedState,
    pub(super) told: Vec<Track>,
}

/// What a feed is doing.
pub(super) enum FeedState {
    Idle,
    Running {
        ingest: Ingest,
        demux: Option<Demux>,
        first: Option<Instant>,
        /// The same media has been played to its end before: all its tracks are known.
        known: bool,
    },
    Stopping(Stopping),
}

impl FeedSlot {
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, FeedState::Idle)
    }
}

/// Where bytes for feeds go.
#[derive(Default)]
pub(super) struct Intake {
    pub(super) feeds: BTreeMap<u32, Arc<Feed>>,
    /// Media overtook the plan, which comes by the other socket.
    pub(super) early: Vec<(u32, bool, Bytes)>,
}

impl Intake {
    pub(super) fn take(&mut self, channel: u32, discontinuity: bool, bytes: Bytes) {
        match self.feeds.get(&channel) {
            Some(feed) => feed.take_bytes(bytes, discontinuity),
            None if self.early.len() < EARLY => self.early.push((channel, discontinuity, bytes)),
            None => {}
        }
    }
}

impl Group {
    pub(super) fn start_feed(&mut self, index: u32) -> io::Result<()> {
        let item = Item::Feed(index);
        let Some(slot) = self.feeds.get_mut(&index) else {
            return self.ended(item, Ended::Failed("the plan has no such feed".into()));
        };
        match &mut slot.state {
            FeedState::Running { .. } => return Ok(()),
            FeedState::Stopping(stopping) => {
                stopping.again = true;
                return Ok(());
            }
            FeedState::Idle => {}
        }
        slot.feed.begin();
        match ingest(&slot.feed, &slot.source, slot.fps, clock::now()) {
            Ok(ingest) => {
                ingest.start();
                slot.state = FeedState::Running { ingest, demux: None, first: None, known: false };
                Ok(())
            }
            Err(error) => self.ended(item, Ended::Failed(error)),
        }
    }

    /// Shows a text in a feed's video.
    pub(super) fn caption(&self, index: u32, text: &str) {
        if let Some(FeedState::Running { ingest, .. }) = self.feeds.get(&index).map(|slot| &slot.state)
            && let Some(overlay) = ingest.pipeline.by_name(CAPTION)
        {
            overlay.set_property("text", text);
        }
    }

    pub(super) fn stop_feed(&mut self, index: u32, why: Ended) -> io::Result<()> {
        let item = Item::Feed(index);
        let Some(slot) = self.feeds.get_mut(&index) else { return Ok(()) };
        match std::mem::replace(&mut slot.state, FeedState::Idle) {
            FeedState::Idle => self.ended(item, why),
            FeedState::Stopping(mut stopping) => {
                stopping.again = false;
                if why == Ended::Stopped {
                    stopping.why = why;
                }
                slot.state = FeedState::Stopping(stopping);
                Ok(())
            }
            FeedState::Running { ingest, demux, .. } => {
                slot.feed.close_bytes();
                slot.feed.begin();
                drop_demux(demux);
                slot.state = FeedState::Stopping(let_go(&self.events, ingest.run, ingest.pipeline, why));
                Ok(())
            }
        }
    }

    pub(super) fn view(&self, index: u32, now: Instant) -> Option<FeedView> {
        let slot = self.feeds.get(&index)?;
        let (complete, demuxed) = match &slot.state {
            FeedState::Running { ingest, demux, first, known } => {
                let grown = first.is_some_and(|first| now.duration_since(first) >= GROW);
                let whole = |ingest: &Ingest| ingest.has_started() && (grown || ingest.is_complete());
                let demuxed = demux.as_ref().is_none_or(|demux| whole(&demux.ingest) || grown);
                // Between two runs of a looped file its tracks deliver nothing, and are there all the same.
                let are_all_back =
                    || slot.feed.tracks().iter().all(|track| track.is_live() || track.silence().is_none());
                (((*known && are_all_back()) || whole(ingest)) && demuxed, demux.is_some())
            }
            // Tracks of an earlier run may be used already, but nothing is known of what is to come.
            FeedState::Idle | FeedState::Stopping(_) => (false, true),
        };
        Some(FeedView { feed: slot.feed.clone(), complete, demuxed })
    }

    /// Takes the muxed track of a feed apart.
    pub(super) fn demux(&mut self, index: u32) {
        let Some(slot) = self.feeds.get_mut(&index) else { return };
        let FeedState::Running { demux: demux @ None, first, .. } = &mut slot.state else { return };
        let Some(muxed) = slot.feed.track(TrackKind::Muxed) else { return };
        match Ingest::demux(&slot.feed, next_run(Owner::Demux(index))) {
            Ok(ingest) => {
                ingest.start();
                *demux = Some(Demux { ingest, muxed, link: None });
                *first = Some(Instant::now());
            }
            Err(text) => self.events.log(LogLevel::Error, Some(Item::Feed(index)), text),
        }
    }

    pub(super) fn end_of_feed(&mut self, index: u32) -> io::Result<()> {
        let Some(slot) = self.feeds.get(&index) else { return Ok(()) };
        let (FeedSource::File { looped: true, .. }, FeedState::Running { ingest, .. }) = (&slot.source, &slot.state)
        else {
            return self.stop_feed(index, Ended::EndOfStream);
        };
        if !ingest.has_started() {
            return self.stop_feed(index, Ended::Failed("there is neither video nor audio in the file".into()));
        }
        self.restart(index, true);
        Ok(())
    }

    /// Restarts a feed while it runs, with the `same` media or other: the timeline continues where the last run ended.
    pub(super) fn restart(&mut self, index: u32, same: bool) {
        let Some(slot) = self.feeds.get_mut(&index) else { return };
        let FeedState::Running { ingest: current, demux, first, known } = &mut slot.state else { return };
        let end = self.epoch.saturating_add(slot.feed.end.load(Ordering::Relaxed));
        // A file of one frame in a container may have no length; it must not be read over and over without a pause.
        let base = end.max(current.base.saturating_add(SHORTEST_LOOP));
        slot.feed.begin();
        match ingest(&slot.feed, &slot.source, slot.fps, base.max(clock::now().saturating_sub(GROW.as_nanos() as u64)))
        {
            Ok(fresh) => {
                fresh.start();
                let old = std::mem::replace(current, fresh);
                drop_demux(demux.take());
                *first = None;
                *known = same;
                dispose(old.pipeline, || {});
            }
            Err(text) => {
                let run = current.run;
                self.events.send(Event::Bus(run, BusEvent::Error(text)));
            }
        }
    }

    /// Reports feeds with a track that was there and is missing now to the server.
    pub(super) fn tell_stalled(&mut self, now: Instant) -> io::Result<()> {
        let stalled: Vec<_> = (self.feeds.iter())
            .filter(|(_, slot)| matches!(slot.state, FeedState::Running { .. }) && slot.source != FeedSource::Bytes)
            .filter_map(|(index, slot)| Some((*index, slot.feed.stalled(now)?)))
            .collect();
        for (index, text) in stalled {
            self.say(&FromWorker::Stalled { item: Item::Feed(index), text })?;
        }
        Ok(())
    }

    pub(super) fn tracks_changed(&mut self, index: u32) -> io::Result<()> {
        let Some(slot) = self.feeds.get_mut(&index) else { return Ok(()) };
        let tracks: Vec<Track> = slot
            .feed
            .tracks()
            .iter()
            .filter(|track| track.is_live())
            .filter_map(|track| {
                Some(Track { kind: track.kind, encoded: track.is_encoded(), caps: track.caps()?.to_string() })
            })
            .collect();
        if !tracks.is_empty() && tracks != slot.told {
            slot.told.clone_from(&tracks);
            self.say(&FromWorker::Tracks { item: Item::Feed(index), tracks })?;
        }
        for stream in self.streams_where(|slot| slot.plan.feeds.contains(&index)) {
            self.check_stream(stream)?;
            self.try_stream(stream)?;
        }
        Ok(())
    }
}

pub(super) fn drop_demux(demux: Option<Demux>) {
    if let Some(Demux { ingest, link, .. }) = demux {
        drop(link);
        dispose(ingest.pipeline, || {});
    }
}

fn ingest(feed: &Arc<Feed>, source: &FeedSource, fps: Option<(u32, u32)>, base: u64) -> Result<Ingest, String> {
    let run = next_run(Owner::Feed(feed.index));
    match source {
        FeedSource::Launch(text) => Ingest::launch(feed, run, text, fps, base),
        FeedSource::File { path, .. } => Ingest::file(feed, run, path, fps, base),
        FeedSource::Bytes => Ingest::bytes(feed, run),
    }
}

/// A frame from the server. Runs on the thread that reads media.
pub(super) fn take_frame(frame: Frame, intake: &Mutex<Intake>, mailbox: &Mailbox) {
    let Frame { head: FrameHead { kind, channel, discontinuity, .. }, payload } = frame;
    let bytes = payload.into_bytes();
    match kind {
        FrameKind::FeedBytes => lock(intake).take(channel, discontinuity, bytes),
        FrameKind::StillBytes => mailbox.put(channel, bytes),
        // These go the other way.
        FrameKind::Tracks | FrameKind::Sample | FrameKind::Bytes | FrameKind::Still => {}
    }
}
