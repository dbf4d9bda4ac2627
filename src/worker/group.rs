//! The group of feeds and streams that this worker runs. One thread hears of everything and decides everything.

mod feeds;
mod pictures;
mod streams;

use super::{
    clock,
    event::{BusEvent, Event, Events, Owner, Run, next_run},
    feed::Feed,
    ipc_writer::{MediaWriter, say},
    launch,
    picture::{self, Mailbox, Pictures},
    probe,
    threads::{dispose, lock, spawn},
};
use crate::ipc::{self, BEAT, Ended, FeedSource, FromWorker, Item, LogLevel, Plan, ToWorker};
use feeds::{FeedSlot, FeedState, Intake, drop_demux, take_frame};
use gst::prelude::*;
use gstreamer as gst;
use pictures::Asked;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry},
    io,
    os::unix::net::UnixStream,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};
use streams::{StreamSlot, StreamState};

/// How long a pipeline may take to stop before its item counts as ended all the same.
const STOP: Duration = Duration::from_secs(5);
/// Pause between two warnings of one item; those in between are counted.
const WARNINGS: Duration = Duration::from_secs(10);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(1);
/// How often things are looked at that wait for time to pass.
const TICK: Duration = Duration::from_millis(50);

/// A pipeline on its way out.
struct Stopping {
    run: Run,
    why: Ended,
    /// `Start` came meanwhile.
    again: bool,
    since: Instant,
}

/// The one who decides.
pub(super) struct Group {
    control: UnixStream,
    events: Events,
    receiver: mpsc::Receiver<Event>,
    writer: Arc<MediaWriter>,
    /// Shared with the thread that reads media.
    intake: Arc<Mutex<Intake>>,
    mailbox: Arc<Mailbox>,
    pictures: Pictures,
    asked: Vec<Asked>,
    epoch: u64,
    feeds: BTreeMap<u32, FeedSlot>,
    streams: BTreeMap<u32, StreamSlot>,
    /// What is running and has no place in the plan any more goes when it has ended.
    planned: BTreeSet<Item>,
    /// When each item last warned, and how often since.
    warned: HashMap<Item, (Option<Instant>, u32)>,
    /// Those whose device was reported to capture nothing.
    without_signal: HashSet<Item>,
}

impl Group {
    /// Starts the threads that serve the sockets.
    pub(super) fn new(control: UnixStream, media: UnixStream) -> io::Result<Self> {
        let (events, receiver) = Events::channel();
        let writer = MediaWriter::spawn(media.try_clone()?, events.clone())?;
        let intake: Arc<Mutex<Intake>> = Arc::default();
        let mailbox = Arc::new(Mailbox::default());
        let (feeds, letters) = (intake.clone(), mailbox.clone());
        super::ipc_reader::read_media(media, events.clone(), move |frame| take_frame(frame, &feeds, &letters))?;
        super::ipc_reader::read_control(control.try_clone()?, events.clone())?;
        let pictures = Pictures::spawn(writer.clone(), events.clone())?;
        Ok(Self {
            control,
            events,
            receiver,
            writer,
            intake,
            mailbox,
            pictures,
            asked: Vec::new(),
            epoch: clock::now(),
            feeds: BTreeMap::new(),
            streams: BTreeMap::new(),
            planned: BTreeSet::new(),
            warned: HashMap::new(),
            without_signal: HashSet::new(),
        })
    }

    /// Serves the server until it says `Exit` or is gone.
    pub(super) fn run(mut self) -> io::Result<()> {
        let outcome = self.serve();
        self.leave();
        outcome
    }

    fn serve(&mut self) -> io::Result<()> {
        self.say(&FromWorker::Hello { version: ipc::VERSION })?;
        let mut beat = Instant::now();
        loop {
            let now = Instant::now();
            if now >= beat {
                self.say(&FromWorker::Beat)?;
                self.mailbox.tidy();
                self.end_stalled()?;
                self.end_hanging()?;
                self.tell_made()?;
                self.report_dropped(now)?;
                self.tell_stalled(now)?;
                beat = now + BEAT;
            }
            self.tick(now)?;
            let mut pause = beat.saturating_duration_since(now);
            if self.is_waiting() {
                pause = pause.min(TICK);
            }
            if !self.asked.is_empty() {
                pause = pause.min(picture::TICK);
            }
            match self.receiver.recv_timeout(pause) {
                Ok(Event::Closed | Event::Control(ToWorker::Exit)) => return Ok(()),
                Ok(event) => self.handle(event)?,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn say(&mut self, message: &FromWorker) -> io::Result<()> {
        say(&mut self.control, message)
    }

    fn handle(&mut self, event: Event) -> io::Result<()> {
        match event {
            Event::Control(message) => self.command(message)?,
            Event::Send(message) => self.say(&message)?,
            Event::Bus(run, note) => self.note(run, note)?,
            Event::Playing(run) => self.up(run),
            Event::Stopped(run) => self.gone(run)?,
            Event::Tracks(feed) => self.tracks_changed(feed)?,
            Event::Restart(feed) => self.restart(feed, false),
            Event::FirstBuffer(run) => {
                self.first(run)?;
                self.tell_made()?;
            }
            Event::Picture | Event::Closed => {}
        }
        Ok(())
    }

    fn command(&mut self, message: ToWorker) -> io::Result<()> {
        match message {
            ToWorker::Plan(plan) => self.plan(plan)?,
            ToWorker::Check(texts) => {
                let events = self.events.clone();
                spawn("check", move || {
                    let faults = texts.iter().map(|(kind, text)| launch::check(*kind, text)).collect();
                    events.send(Event::Send(FromWorker::Checked(faults)));
                });
            }
            ToWorker::Try(texts) => {
                let events = self.events.clone();
                spawn("try", move || {
                    let outcomes = texts.iter().map(|text| probe::run(text)).collect();
                    events.send(Event::Send(FromWorker::Tried(outcomes)));
                });
            }
            ToWorker::Offers(texts) => {
                let events = self.events.clone();
                spawn("offers", move || {
                    let offered = texts.iter().map(|text| probe::offers(text)).collect();
                    events.send(Event::Send(FromWorker::Offered(offered)));
                });
            }
            ToWorker::Start { item: Item::Feed(feed), .. } => self.start_feed(feed)?,
            ToWorker::Start { item: Item::Stream(stream), run } => self.start_stream(stream, run)?,
            ToWorker::Stop { item: Item::Feed(feed) } => self.stop_feed(feed, Ended::Stopped)?,
            ToWorker::Stop { item: Item::Stream(stream) } => self.stop_stream(stream, Ended::Stopped)?,
            ToWorker::PassOver { stream, texts } => self.pass_over(stream, texts),
            ToWorker::ForceKeyframe { stream, at } => {
                let epoch = Duration::from_nanos(self.epoch);
                if let Some(StreamState::Running(run, _)) = self.streams.get(&stream).map(|slot| &slot.state) {
                    run.force_keyframe(at.map(|at| at.saturating_sub(epoch)));
                }
            }
            ToWorker::Caption { feed, text } => self.caption(feed, &text),
            ToWorker::Picture(request) => {
                let until = Instant::now() + picture::PATIENCE;
                self.asked.push(Asked { request, until });
                self.answer_pictures()?;
            }
            ToWorker::Exit => {}
        }
        Ok(())
    }

    /// Takes a plan, the first one or another. What is not in it, or was something else, ends.
    fn plan(&mut self, plan: Plan) -> io::Result<()> {
        self.epoch = plan.epoch;
        self.planned = (plan.feeds.keys().map(|feed| Item::Feed(*feed)))
            .chain(plan.streams.keys().map(|stream| Item::Stream(*stream)))
            .collect();
        let changed = |slot: &StreamSlot, index| plan.streams.get(index) != Some(&slot.plan);
        let streams = self.streams.iter().filter(|(index, slot)| !slot.is_idle() && changed(slot, index));
        for index in streams.map(|(index, _)| *index).collect::<Vec<_>>() {
            self.stop_stream(index, Ended::Stopped)?;
        }
        let changed = |slot: &FeedSlot, index| {
            plan.feeds.get(index).map(|feed| (&feed.source, feed.fps)) != Some((&slot.source, slot.fps))
        };
        let feeds = self.feeds.iter().filter(|(index, slot)| !slot.is_idle() && changed(slot, index));
        for index in feeds.map(|(index, _)| *index).collect::<Vec<_>>() {
            self.stop_feed(index, Ended::Stopped)?;
        }
        for (index, plan) in plan.streams {
            match self.streams.entry(index) {
                Entry::Vacant(entry) => {
                    entry.insert(StreamSlot::new(plan));
                }
                Entry::Occupied(mut entry) => entry.get_mut().becomes(plan),
            }
        }
        for (index, plan) in plan.feeds {
            let slot = self.feeds.entry(index).or_insert_with(|| FeedSlot {
                feed: Feed::new(index, plan.name, self.epoch, self.events.clone()),
                source: FeedSource::Bytes,
                fps: None,
                state: FeedState::Idle,
                told: Vec::new(),
            });
            slot.source = plan.source;
            slot.fps = plan.fps;
        }
        self.drop_unplanned();
        let mut intake = lock(&self.intake);
        intake.feeds = self.feeds.iter().map(|(index, slot)| (*index, slot.feed.clone())).collect();
        for (channel, discontinuity, bytes) in std::mem::take(&mut intake.early) {
            intake.take(channel, discontinuity, bytes);
        }
        Ok(())
    }

    fn drop_unplanned(&mut self) {
        let planned = &self.planned;
        self.feeds.retain(|index, slot| !slot.is_idle() || planned.contains(&Item::Feed(*index)));
        self.streams.retain(|index, slot| !slot.is_idle() || planned.contains(&Item::Stream(*index)));
    }

    fn ended(&mut self, item: Item, why: Ended) -> io::Result<()> {
        self.say(&FromWorker::Ended { item, why })
    }

    fn note(&mut self, run: Run, note: BusEvent) -> io::Result<()> {
        if !self.is_current(run) {
            return Ok(());
        }
        match note {
            BusEvent::Warning(text) => drop(self.warn(run.owner.item(), text)?),
            BusEvent::Signal(false) => {
                self.say(&FromWorker::Signal { item: run.owner.item(), is_there: false })?;
                if self.warn(run.owner.item(), "no signal: its frames are held back".to_owned())? {
                    self.without_signal.insert(run.owner.item());
                }
            }
            BusEvent::Signal(true) => {
                let item = run.owner.item();
                self.say(&FromWorker::Signal { item, is_there: true })?;
                if self.without_signal.remove(&item) {
                    let text = "the signal is there again".to_owned();
                    self.say(&FromWorker::Log { level: LogLevel::Info, item: Some(item), text })?;
                }
            }
            BusEvent::Latency(pipeline) => spawn("latency", move || {
                if let Some(pipeline) = pipeline.upgrade() {
                    let _ = pipeline.recalculate_latency();
                }
            }),
            BusEvent::Error(text) => match run.owner {
                Owner::Feed(feed) | Owner::Demux(feed) => self.stop_feed(feed, Ended::Failed(text))?,
                Owner::Stream(stream) => self.stream_failed(stream, &text)?,
                Owner::Decoder(_) => self.decoder_failed(run, &text)?,
            },
            BusEvent::EndOfStream => match run.owner {
                Owner::Feed(feed) => self.end_of_feed(feed)?,
                Owner::Stream(stream) => self.stop_stream(stream, Ended::EndOfStream)?,
                Owner::Demux(_) | Owner::Decoder(_) => {}
            },
        }
        Ok(())
    }

    /// Forwards a warning, at most one in a while for each item; whether it did.
    fn warn(&mut self, item: Item, text: String) -> io::Result<bool> {
        let now = Instant::now();
        let (last, dropped) = self.warned.entry(item).or_insert((None, 0));
        if last.is_some_and(|last| now.duration_since(last) < WARNINGS) {
            *dropped += 1;
            return Ok(false);
        }
        let text = if *dropped == 0 { text } else { format!("{text}; {dropped} more warnings before") };
        (*last, *dropped) = (Some(now), 0);
        self.say(&FromWorker::Log { level: LogLevel::Warn, item: Some(item), text })?;
        Ok(true)
    }

    fn is_current(&self, run: Run) -> bool {
        match run.owner {
            Owner::Feed(feed) => matches!(self.feeds.get(&feed).map(|slot| &slot.state),
                Some(FeedState::Running { ingest, .. }) if ingest.run == run),
            Owner::Demux(feed) => matches!(self.feeds.get(&feed).map(|slot| &slot.state),
                Some(FeedState::Running { demux: Some(demux), .. }) if demux.ingest.run == run),
            Owner::Stream(stream) => matches!(self.streams.get(&stream).map(|slot| &slot.state),
                Some(StreamState::Running(current, _)) if current.run == run),
            Owner::Decoder(_) => true,
        }
    }

    fn up(&mut self, run: Run) {
        if !self.is_current(run) {
            return;
        }
        match run.owner {
            Owner::Feed(feed) => {
                if let Some(FeedSlot { feed, state: FeedState::Running { ingest, .. }, .. }) = self.feeds.get(&feed)
                    && let Some(entrance) = ingest.entrance()
                {
                    feed.open_bytes(entrance);
                }
            }
            Owner::Demux(feed) => {
                if let Some(FeedSlot { state: FeedState::Running { demux: Some(demux), .. }, .. }) =
                    self.feeds.get_mut(&feed)
                    && let Some(source) = &demux.ingest.source
                {
                    demux.link = Some(demux.muxed.attach(source));
                }
            }
            Owner::Stream(stream) => {
                if let Some(StreamSlot { state: StreamState::Running(run, _), .. }) = self.streams.get_mut(&stream) {
                    run.open();
                }
            }
            Owner::Decoder(_) => {}
        }
    }

    fn gone(&mut self, run: Run) -> io::Result<()> {
        let (item, stopping) = match run.owner {
            Owner::Feed(feed) => {
                let Some(slot) = self.feeds.get_mut(&feed) else { return Ok(()) };
                match std::mem::replace(&mut slot.state, FeedState::Idle) {
                    FeedState::Stopping(stopping) if stopping.run == run => (Item::Feed(feed), stopping),
                    other => {
                        slot.state = other;
                        return Ok(());
                    }
                }
            }
            Owner::Stream(stream) => {
                let Some(slot) = self.streams.get_mut(&stream) else { return Ok(()) };
                match std::mem::replace(&mut slot.state, StreamState::Idle) {
                    StreamState::Stopping(stopping) if stopping.run == run => (Item::Stream(stream), stopping),
                    other => {
                        slot.state = other;
                        return Ok(());
                    }
                }
            }
            Owner::Demux(_) | Owner::Decoder(_) => return Ok(()),
        };
        let why = match (item, stopping.why) {
            (Item::Feed(feed), Ended::Failed(why)) => self.why(feed, why),
            (_, why) => why,
        };
        self.ended(item, why)?;
        self.drop_unplanned();
        match item {
            Item::Feed(feed) if stopping.again => self.start_feed(feed),
            Item::Stream(stream) if stopping.again => {
                let run = self.streams.get(&stream).map_or(0, |slot| slot.run);
                self.start_stream(stream, run)
            }
            _ => Ok(()),
        }
    }

    /// Why a feed failed, and whether its device is gone: GStreamer only reports that a call failed.
    fn why(&self, index: u32, why: String) -> Ended {
        let device = match self.feeds.get(&index).map(|slot| &slot.source) {
            Some(FeedSource::Launch(text)) => launch::missing_device(text),
            _ => None,
        };
        match device {
            Some(device) => Ended::NoDevice { device: device.into(), why },
            None => Ended::Failed(why),
        }
    }

    fn first(&mut self, run: Run) -> io::Result<()> {
        if !self.is_current(run) {
            return Ok(());
        }
        match run.owner {
            Owner::Feed(feed) | Owner::Demux(feed) => {
                if let Some(FeedSlot { state: FeedState::Running { first, .. }, .. }) = self.feeds.get_mut(&feed) {
                    *first = Some(Instant::now());
                }
            }
            Owner::Stream(stream) => self.stream_began(stream)?,
            Owner::Decoder(_) => {}
        }
        Ok(())
    }

    /// Whether something waits for time to pass.
    fn is_waiting(&self) -> bool {
        let stopping = |slot: &FeedSlot| matches!(slot.state, FeedState::Stopping(_));
        let waiting = |slot: &StreamSlot| matches!(slot.state, StreamState::Waiting { .. } | StreamState::Stopping(_));
        !self.asked.is_empty() || self.feeds.values().any(stopping) || self.streams.values().any(waiting)
    }

    fn tick(&mut self, now: Instant) -> io::Result<()> {
        self.answer_pictures()?;
        let waiting = |slot: &StreamSlot| matches!(slot.state, StreamState::Waiting { .. });
        for stream in self.streams_where(waiting) {
            self.try_stream(stream)?;
        }
        let late = |stopping: &Stopping| now.duration_since(stopping.since) > STOP;
        let feeds = self.feeds.values().filter_map(|slot| match &slot.state {
            FeedState::Stopping(stopping) if late(stopping) => Some(stopping.run),
            _ => None,
        });
        let streams = self.streams.values().filter_map(|slot| match &slot.state {
            StreamState::Stopping(stopping) if late(stopping) => Some(stopping.run),
            _ => None,
        });
        for run in feeds.chain(streams).collect::<Vec<_>>() {
            let text = "its pipeline does not stop: only a new worker frees what it holds".into();
            self.events.log(LogLevel::Error, Some(run.owner.item()), text);
            self.gone(run)?;
        }
        Ok(())
    }

    /// Stops everything, but waits only a moment for it.
    fn leave(&mut self) {
        let mut left = 0usize;
        let mut let_go = |pipeline: gst::Pipeline, owner: Owner| {
            left += 1;
            let events = self.events.clone();
            dispose(pipeline, move || events.send(Event::Stopped(next_run(owner))));
        };
        lock(&self.intake).feeds.clear();
        // Those who are on their way out already say so, too.
        let mut stopping = 0usize;
        for (index, slot) in std::mem::take(&mut self.streams) {
            match slot.state {
                StreamState::Running(mut run, _) => {
                    if let Some(pipeline) = run.pipeline.take() {
                        let_go(pipeline, Owner::Stream(index));
                    }
                }
                StreamState::Stopping(_) => stopping += 1,
                StreamState::Idle | StreamState::Waiting { .. } => {}
            }
        }
        for (index, slot) in std::mem::take(&mut self.feeds) {
            match slot.state {
                FeedState::Running { ingest, demux, .. } => {
                    drop_demux(demux);
                    let_go(ingest.pipeline, Owner::Feed(index));
                }
                FeedState::Stopping(_) => stopping += 1,
                FeedState::Idle => {}
            }
        }
        left += stopping;
        self.writer.close();
        let until = Instant::now() + LEAVE;
        while left > 0 {
            match self.receiver.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Event::Stopped(_)) => left -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Stops a pipeline in the background; `Gone` follows.
fn let_go(events: &Events, run: Run, pipeline: gst::Pipeline, why: Ended) -> Stopping {
    let events = events.clone();
    dispose(pipeline, move || events.send(Event::Stopped(run)));
    Stopping { run, why, again: false, since: Instant::now() }
}
