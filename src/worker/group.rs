//! The group of feeds and streams that this worker runs. One thread hears of everything and decides everything.

use super::{
    clock,
    decode::Decoded,
    event::{Event, Events, Note, Owner, Run},
    feed::{Demux, Feed, Ingest},
    launch,
    link::{Outlet, Writer, say},
    packet::Packetizer,
    picture::{self, Mailbox, Material, Pictures},
    stream::{self, FeedView, Resolved, StreamRun},
    sync::{background, dispose, lock},
};
use crate::ipc::{
    self, BEAT, Ended, FeedSource, Frame, FrameKind, FromWorker, Item, LogLevel, PictureFault, PictureRequest, Plan,
    StreamPlan, ToWorker, Track, TrackKind,
};
use crate::media::Kind;
use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use std::{
    collections::HashMap,
    io,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// How long a feed may take to show all its tracks after the first one.
const GROW: Duration = Duration::from_secs(2);
/// How long a stream waits for a track while it has another one.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a pipeline may take to stop before its item counts as ended all the same.
const STOP: Duration = Duration::from_secs(5);
/// The shortest time between two runs of a looped file, in nanoseconds.
const SHORTEST_LOOP: u64 = 40_000_000;
/// Pause between two warnings of one item; those in between are counted.
const WARNINGS: Duration = Duration::from_secs(10);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(1);
/// How often things are looked at that wait for time to pass.
const TICK: Duration = Duration::from_millis(50);

/// Frames for feeds that are kept until the plan is there.
const EARLY: usize = 256;

/// A number that no other pipeline of this process has.
pub(super) fn next_run(owner: Owner) -> Run {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    Run { owner, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
}

struct FeedSlot {
    feed: Arc<Feed>,
    state: FeedState,
    told: Vec<Track>,
}

enum FeedState {
    Idle,
    Running { ingest: Ingest, demux: Option<Demux>, first: Option<Instant> },
    Stopping(Stopping),
}

struct StreamSlot {
    plan: StreamPlan,
    state: StreamState,
    /// It has sent packets in an earlier run.
    ran: bool,
    /// Remarks that were made, which are not repeated at each attempt.
    said: Vec<String>,
}

enum StreamState {
    Idle,
    Waiting { since: Instant, hopeful: Option<Instant> },
    Running(Box<StreamRun>, Instant),
    Stopping(Stopping),
}

/// A pipeline on its way out.
struct Stopping {
    run: Run,
    why: Ended,
    /// `Start` came meanwhile.
    again: bool,
    since: Instant,
}

/// Where bytes for feeds go.
#[derive(Default)]
struct Intake {
    feeds: Vec<Arc<Feed>>,
    /// Media overtook the plan, which comes by the other socket.
    early: Vec<(u32, bool, Bytes)>,
}

impl Intake {
    fn take(&mut self, channel: u32, discontinuity: bool, bytes: Bytes) {
        match self.feeds.get(channel as usize) {
            Some(feed) => feed.take_bytes(bytes, discontinuity),
            None if self.early.len() < EARLY => self.early.push((channel, discontinuity, bytes)),
            None => {}
        }
    }
}

/// A picture request that waits for its first picture.
struct Asked {
    request: PictureRequest,
    until: Instant,
}

/// The one who decides.
pub(super) struct Group {
    control: UnixStream,
    events: Events,
    receiver: mpsc::Receiver<Event>,
    writer: Arc<Writer>,
    /// Shared with the thread that reads media.
    intake: Arc<Mutex<Intake>>,
    mailbox: Arc<Mailbox>,
    pictures: Pictures,
    asked: Vec<Asked>,
    epoch: u64,
    feeds: Vec<FeedSlot>,
    streams: Vec<StreamSlot>,
    /// When each item last warned, and how often since.
    warned: HashMap<Item, (Option<Instant>, u32)>,
}

impl Group {
    /// Starts the threads that serve the sockets.
    pub(super) fn new(control: UnixStream, media: UnixStream) -> io::Result<Self> {
        let (events, receiver) = Events::channel();
        let writer = Writer::spawn(media.try_clone()?, events.clone())?;
        let intake: Arc<Mutex<Intake>> = Arc::default();
        let mailbox = Arc::new(Mailbox::default());
        let (feeds, letters) = (intake.clone(), mailbox.clone());
        super::link::read_media(media, events.clone(), move |frame| take_frame(frame, &feeds, &letters))?;
        super::link::read_control(control.try_clone()?, events.clone())?;
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
            feeds: Vec::new(),
            streams: Vec::new(),
            warned: HashMap::new(),
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
                beat = now + BEAT;
            }
            self.tick(now)?;
            let mut pause = beat.saturating_duration_since(now);
            if self.is_waiting() {
                pause = pause.min(TICK);
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
            Event::Say(message) => self.say(&message)?,
            Event::Bus(run, note) => self.note(run, note)?,
            Event::Up(run) => self.up(run),
            Event::Gone(run) => self.gone(run)?,
            Event::Tracks(feed) => self.tracks_changed(feed)?,
            Event::Restart(feed) => self.restart(feed),
            Event::First(run) => self.first(run),
            Event::Picture | Event::Closed => {}
        }
        Ok(())
    }

    fn command(&mut self, message: ToWorker) -> io::Result<()> {
        match message {
            ToWorker::Plan(plan) => self.plan(plan),
            ToWorker::Check(texts) => {
                let events = self.events.clone();
                background("check", move || {
                    let faults = texts.iter().map(|(kind, text)| launch::check(*kind, text)).collect();
                    events.send(Event::Say(FromWorker::Checked(faults)));
                });
            }
            ToWorker::Start { item: Item::Feed(feed) } => self.start_feed(feed)?,
            ToWorker::Start { item: Item::Stream(stream) } => self.start_stream(stream)?,
            ToWorker::Stop { item: Item::Feed(feed) } => self.stop_feed(feed, Ended::Stopped)?,
            ToWorker::Stop { item: Item::Stream(stream) } => self.stop_stream(stream, Ended::Stopped)?,
            ToWorker::ForceKeyframe { stream } => {
                if let Some(StreamState::Running(run, _)) = self.streams.get(stream as usize).map(|slot| &slot.state) {
                    run.force_keyframe();
                }
            }
            ToWorker::Picture(request) => {
                let until = Instant::now() + picture::PATIENCE;
                self.asked.push(Asked { request, until });
                self.answer_pictures()?;
            }
            ToWorker::Exit => {}
        }
        Ok(())
    }

    fn plan(&mut self, plan: Plan) {
        self.epoch = plan.epoch;
        self.feeds = (0..)
            .zip(plan.feeds)
            .map(|(index, plan)| {
                let feed = Feed::new(index, plan, self.epoch, self.events.clone());
                FeedSlot { feed, state: FeedState::Idle, told: Vec::new() }
            })
            .collect();
        let mut intake = lock(&self.intake);
        intake.feeds = self.feeds.iter().map(|slot| slot.feed.clone()).collect();
        for (channel, discontinuity, bytes) in std::mem::take(&mut intake.early) {
            intake.take(channel, discontinuity, bytes);
        }
        drop(intake);
        let slot = |plan| StreamSlot { plan, state: StreamState::Idle, ran: false, said: Vec::new() };
        self.streams = plan.streams.into_iter().map(slot).collect();
    }

    fn ended(&mut self, item: Item, why: Ended) -> io::Result<()> {
        self.say(&FromWorker::Ended { item, why })
    }

    fn start_feed(&mut self, index: u32) -> io::Result<()> {
        let item = Item::Feed(index);
        let Some(slot) = self.feeds.get_mut(index as usize) else {
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
        match ingest(&slot.feed, clock::now()) {
            Ok(ingest) => {
                ingest.start();
                slot.state = FeedState::Running { ingest, demux: None, first: None };
                Ok(())
            }
            Err(error) => self.ended(item, Ended::Failed(error)),
        }
    }

    fn stop_feed(&mut self, index: u32, why: Ended) -> io::Result<()> {
        let item = Item::Feed(index);
        let Some(slot) = self.feeds.get_mut(index as usize) else { return Ok(()) };
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

    fn start_stream(&mut self, index: u32) -> io::Result<()> {
        let Some(slot) = self.streams.get_mut(index as usize) else {
            return self.ended(Item::Stream(index), Ended::Failed("the plan has no such stream".into()));
        };
        match &mut slot.state {
            StreamState::Idle => {
                slot.state = StreamState::Waiting { since: Instant::now(), hopeful: None };
                self.try_stream(index)
            }
            StreamState::Stopping(stopping) => {
                stopping.again = true;
                Ok(())
            }
            StreamState::Waiting { .. } | StreamState::Running(..) => Ok(()),
        }
    }

    fn stop_stream(&mut self, index: u32, why: Ended) -> io::Result<()> {
        let item = Item::Stream(index);
        let Some(slot) = self.streams.get_mut(index as usize) else { return Ok(()) };
        match std::mem::replace(&mut slot.state, StreamState::Idle) {
            StreamState::Idle | StreamState::Waiting { .. } => self.ended(item, why),
            StreamState::Stopping(mut stopping) => {
                stopping.again = false;
                if why == Ended::Stopped {
                    stopping.why = why;
                }
                slot.state = StreamState::Stopping(stopping);
                Ok(())
            }
            StreamState::Running(mut run, _) => {
                slot.ran |= run.started;
                let Some(pipeline) = run.pipeline.take() else {
                    drop(run);
                    return self.ended(item, why);
                };
                let number = run.run;
                drop(run);
                let stopping = let_go(&self.events, number, pipeline, why);
                if let Some(slot) = self.streams.get_mut(index as usize) {
                    slot.state = StreamState::Stopping(stopping);
                }
                Ok(())
            }
        }
    }

    /// Builds a waiting stream if what it needs is known.
    fn try_stream(&mut self, index: u32) -> io::Result<()> {
        let now = Instant::now();
        let Some(slot) = self.streams.get(index as usize) else { return Ok(()) };
        let StreamState::Waiting { since, hopeful } = slot.state else { return Ok(()) };
        let plan = slot.plan.clone();
        let views: Vec<FeedView> = plan.feeds.iter().filter_map(|feed| self.view(*feed, now)).collect();
        let patience = hopeful.is_none_or(|at| now.duration_since(at) < PATIENCE);
        let run = next_run(Owner::Stream(index));
        let outlet = || Arc::new(Outlet::new(self.writer.clone(), index, self.events.clone()));
        let built = match stream::resolve(&plan, &views, patience) {
            Resolved::Wait(part) => {
                let hopeful = if part { hopeful.or(Some(now)) } else { None };
                if let Some(slot) = self.streams.get_mut(index as usize) {
                    slot.state = StreamState::Waiting { since, hopeful };
                }
                return Ok(());
            }
            Resolved::Demux(feed) => {
                self.demux(feed);
                return Ok(());
            }
            Resolved::Fail(why) => Err(why),
            Resolved::Packets(track) => {
                let packetizer = Packetizer::new(outlet(), self.events.clone(), run, plan.container, self.epoch);
                Ok(StreamRun::of_packets(run, &track, packetizer))
            }
            Resolved::Tracks(sources, missing) => {
                StreamRun::build(&plan, run, &sources, missing, self.epoch, outlet(), &self.events)
            }
        };
        match built {
            Ok(run) => {
                run.start(&self.events);
                if let Some(slot) = self.streams.get_mut(index as usize) {
                    for remark in run.remarks.iter().filter(|remark| !slot.said.contains(remark)) {
                        self.events.log(LogLevel::Info, Some(Item::Stream(index)), remark.clone());
                    }
                    slot.said.clone_from(&run.remarks);
                    slot.state = StreamState::Running(Box::new(run), now);
                }
                Ok(())
            }
            Err(why) => self.stop_stream(index, Ended::Failed(why)),
        }
    }

    fn view(&self, index: u32, now: Instant) -> Option<FeedView> {
        let slot = self.feeds.get(index as usize)?;
        let (complete, demuxed) = match &slot.state {
            FeedState::Running { ingest, demux, first } => {
                let grown = first.is_some_and(|first| now.duration_since(first) >= GROW);
                let whole = |ingest: &Ingest| ingest.has_started() && (grown || ingest.is_complete());
                let demuxed = demux.as_ref().is_none_or(|demux| whole(&demux.ingest) || grown);
                (whole(ingest) && demuxed, demux.is_some())
            }
            // Tracks of an earlier run may be used already, but nothing is known of what is to come.
            FeedState::Idle | FeedState::Stopping(_) => (false, true),
        };
        Some(FeedView { feed: slot.feed.clone(), complete, demuxed })
    }

    /// Takes the muxed track of a feed apart.
    fn demux(&mut self, index: u32) {
        let Some(slot) = self.feeds.get_mut(index as usize) else { return };
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

    fn note(&mut self, run: Run, note: Note) -> io::Result<()> {
        if !self.is_current(run) {
            return Ok(());
        }
        match note {
            Note::Warning(text) => self.warn(run.owner.item(), text)?,
            Note::Latency(pipeline) => background("latency", move || {
                if let Some(pipeline) = pipeline.upgrade() {
                    let _ = pipeline.recalculate_latency();
                }
            }),
            Note::Error(text) => match run.owner {
                Owner::Feed(feed) | Owner::Demux(feed) => self.stop_feed(feed, Ended::Failed(text))?,
                Owner::Stream(stream) => self.stop_stream(stream, Ended::Failed(text))?,
                Owner::Decoder(_) => self.decoder_failed(run, &text)?,
            },
            Note::EndOfStream => match run.owner {
                Owner::Feed(feed) => self.end_of_feed(feed)?,
                Owner::Stream(stream) => self.stop_stream(stream, Ended::EndOfStream)?,
                Owner::Demux(_) | Owner::Decoder(_) => {}
            },
        }
        Ok(())
    }

    /// Passes on a warning, at most one in a while for each item.
    fn warn(&mut self, item: Item, text: String) -> io::Result<()> {
        let now = Instant::now();
        let (last, left_out) = self.warned.entry(item).or_insert((None, 0));
        if last.is_some_and(|last| now.duration_since(last) < WARNINGS) {
            *left_out += 1;
            return Ok(());
        }
        let text = if *left_out == 0 { text } else { format!("{text}; {left_out} more warnings before") };
        (*last, *left_out) = (Some(now), 0);
        self.say(&FromWorker::Log { level: LogLevel::Warn, item: Some(item), text })
    }

    fn is_current(&self, run: Run) -> bool {
        match run.owner {
            Owner::Feed(feed) => matches!(self.feeds.get(feed as usize).map(|slot| &slot.state),
                Some(FeedState::Running { ingest, .. }) if ingest.run == run),
            Owner::Demux(feed) => matches!(self.feeds.get(feed as usize).map(|slot| &slot.state),
                Some(FeedState::Running { demux: Some(demux), .. }) if demux.ingest.run == run),
            Owner::Stream(stream) => matches!(self.streams.get(stream as usize).map(|slot| &slot.state),
                Some(StreamState::Running(current, _)) if current.run == run),
            Owner::Decoder(_) => true,
        }
    }

    fn decoder_failed(&mut self, run: Run, text: &str) -> io::Result<()> {
        let uses = |slot: &StreamSlot| match &slot.state {
            StreamState::Running(current, _) => {
                current.decoders.iter().any(|decoded: &Arc<Decoded>| decoded.run == run)
            }
            _ => false,
        };
        let users: Vec<u32> = (0..).zip(&self.streams).filter(|(_, slot)| uses(slot)).map(|(at, _)| at).collect();
        for stream in users {
            self.stop_stream(stream, Ended::Failed(text.to_owned()))?;
        }
        Ok(())
    }

    fn end_of_feed(&mut self, index: u32) -> io::Result<()> {
        let Some(slot) = self.feeds.get(index as usize) else { return Ok(()) };
        let (FeedSource::File { looped: true, .. }, FeedState::Running { ingest, .. }) =
            (&slot.feed.plan.source, &slot.state)
        else {
            return self.stop_feed(index, Ended::EndOfStream);
        };
        if !ingest.has_started() {
            return self.stop_feed(index, Ended::Failed("there is neither picture nor sound in the file".into()));
        }
        self.restart(index);
        Ok(())
    }

    /// Begins a feed anew while it runs: the timeline goes on where the last run ended.
    fn restart(&mut self, index: u32) {
        let Some(slot) = self.feeds.get_mut(index as usize) else { return };
        let FeedState::Running { ingest: current, demux, first } = &mut slot.state else { return };
        let end = self.epoch.saturating_add(slot.feed.end.load(Ordering::Relaxed));
        // A file of one picture has no length; it must not be read over and over without a pause.
        let base = end.max(current.base.saturating_add(SHORTEST_LOOP));
        slot.feed.begin();
        match ingest(&slot.feed, base.max(clock::now().saturating_sub(GROW.as_nanos() as u64))) {
            Ok(fresh) => {
                fresh.start();
                let old = std::mem::replace(current, fresh);
                drop_demux(demux.take());
                *first = None;
                dispose(old.pipeline, || {});
            }
            Err(text) => {
                let run = current.run;
                self.events.send(Event::Bus(run, Note::Error(text)));
            }
        }
    }

    fn up(&mut self, run: Run) {
        if !self.is_current(run) {
            return;
        }
        match run.owner {
            Owner::Feed(feed) => {
                if let Some(FeedSlot { feed, state: FeedState::Running { ingest, .. }, .. }) =
                    self.feeds.get(feed as usize)
                    && let Some(source) = &ingest.source
                {
                    feed.open_bytes(source);
                }
            }
            Owner::Demux(feed) => {
                if let Some(FeedSlot { state: FeedState::Running { demux: Some(demux), .. }, .. }) =
                    self.feeds.get_mut(feed as usize)
                    && let Some(source) = &demux.ingest.source
                {
                    demux.link = Some(demux.muxed.attach(source));
                }
            }
            Owner::Stream(stream) => {
                if let Some(StreamSlot { state: StreamState::Running(run, _), .. }) =
                    self.streams.get_mut(stream as usize)
                {
                    run.open();
                }
            }
            Owner::Decoder(_) => {}
        }
    }

    fn gone(&mut self, run: Run) -> io::Result<()> {
        let (item, stopping) = match run.owner {
            Owner::Feed(feed) => {
                let Some(slot) = self.feeds.get_mut(feed as usize) else { return Ok(()) };
                match std::mem::replace(&mut slot.state, FeedState::Idle) {
                    FeedState::Stopping(stopping) if stopping.run == run => (Item::Feed(feed), stopping),
                    other => {
                        slot.state = other;
                        return Ok(());
                    }
                }
            }
            Owner::Stream(stream) => {
                let Some(slot) = self.streams.get_mut(stream as usize) else { return Ok(()) };
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
        self.ended(item, stopping.why)?;
        match item {
            Item::Feed(feed) if stopping.again => self.start_feed(feed),
            Item::Stream(stream) if stopping.again => self.start_stream(stream),
            _ => Ok(()),
        }
    }

    fn first(&mut self, run: Run) {
        if !self.is_current(run) {
            return;
        }
        match run.owner {
            Owner::Feed(feed) | Owner::Demux(feed) => {
                if let Some(FeedSlot { state: FeedState::Running { first, .. }, .. }) =
                    self.feeds.get_mut(feed as usize)
                {
                    *first = Some(Instant::now());
                }
            }
            Owner::Stream(stream) => {
                if let Some(StreamSlot { state: StreamState::Running(run, _), .. }) =
                    self.streams.get_mut(stream as usize)
                {
                    run.started = true;
                }
            }
            Owner::Decoder(_) => {}
        }
    }

    fn tracks_changed(&mut self, index: u32) -> io::Result<()> {
        let Some(slot) = self.feeds.get_mut(index as usize) else { return Ok(()) };
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
            self.say(&FromWorker::Tracks { feed: index, tracks })?;
        }
        let users: Vec<u32> =
            (0..).zip(&self.streams).filter(|(_, slot)| slot.plan.feeds.contains(&index)).map(|(at, _)| at).collect();
        for stream in users {
            self.check_stream(stream)?;
            self.try_stream(stream)?;
        }
        Ok(())
    }

    /// Ends a running stream whose tracks are not those any more that it was built for; the server starts it anew.
    fn check_stream(&mut self, index: u32) -> io::Result<()> {
        let now = Instant::now();
        let Some(StreamSlot { plan, state: StreamState::Running(run, _), .. }) = self.streams.get(index as usize)
        else {
            return Ok(());
        };
        if run.is_outdated() {
            return self.stop_stream(index, Ended::Failed("the format of a track changed".into()));
        }
        if run.missing.is_empty() {
            return Ok(());
        }
        let views: Vec<FeedView> = plan.feeds.iter().filter_map(|feed| self.view(*feed, now)).collect();
        let found = run.missing.iter().any(|name| {
            launch::reference(name).is_some_and(|(kind, position)| {
                let mut candidates =
                    views.iter().enumerate().filter(|(at, _)| position.is_none_or(|wanted| wanted == *at));
                candidates.any(|(_, view)| view.feed.track(kind).is_some_and(|track| track.is_live()))
            })
        });
        if found {
            return self.stop_stream(index, Ended::Failed("a track came that was missing before".into()));
        }
        Ok(())
    }

    /// Ends streams whose muxer waits for a track that fell silent; they begin anew without it.
    fn end_stalled(&mut self) -> io::Result<()> {
        let stalled = |slot: &StreamSlot| matches!(&slot.state, StreamState::Running(run, _) if run.is_stalled());
        let streams: Vec<u32> = (0..).zip(&self.streams).filter(|(_, slot)| stalled(slot)).map(|(at, _)| at).collect();
        for stream in streams {
            self.stop_stream(stream, Ended::Failed("a track fell silent, and the container waits for it".into()))?;
        }
        Ok(())
    }

    /// Whether something waits for time to pass.
    fn is_waiting(&self) -> bool {
        let stopping = |slot: &FeedSlot| matches!(slot.state, FeedState::Stopping(_));
        let waiting = |slot: &StreamSlot| matches!(slot.state, StreamState::Waiting { .. } | StreamState::Stopping(_));
        !self.asked.is_empty() || self.feeds.iter().any(stopping) || self.streams.iter().any(waiting)
    }

    fn tick(&mut self, now: Instant) -> io::Result<()> {
        self.answer_pictures()?;
        let waiting = |slot: &StreamSlot| matches!(slot.state, StreamState::Waiting { .. });
        let streams: Vec<u32> = (0..).zip(&self.streams).filter(|(_, slot)| waiting(slot)).map(|(at, _)| at).collect();
        for stream in streams {
            self.try_stream(stream)?;
        }
        let late = |stopping: &Stopping| now.duration_since(stopping.since) > STOP;
        let feeds = self.feeds.iter().filter_map(|slot| match &slot.state {
            FeedState::Stopping(stopping) if late(stopping) => Some(stopping.run),
            _ => None,
        });
        let streams = self.streams.iter().filter_map(|slot| match &slot.state {
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

    fn answer_pictures(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for asked in std::mem::take(&mut self.asked) {
            let PictureRequest { id, stream, format } = asked.request;
            let late = now >= asked.until;
            let material = if self.pictures.in_work() >= picture::MAX_REQUESTS {
                Err(Some(PictureFault::Failed("too many pictures are asked for at once".into())))
            } else {
                self.material(id, stream)
            };
            match material {
                Ok(material) => self.pictures.make(id, format, material),
                Err(None) if !late && self.asked.len() < picture::MAX_REQUESTS => self.asked.push(asked),
                Err(fault) => {
                    let fault = fault.unwrap_or(PictureFault::NotYet);
                    self.say(&FromWorker::PictureFailed { id, fault })?;
                }
            }
        }
        Ok(())
    }

    /// What a requested picture can be made of; `Err(None)` when that may be there soon.
    fn material(&self, id: u32, stream: Option<u32>) -> Result<Material, Option<PictureFault>> {
        let Some(stream) = stream else {
            return self.mailbox.take(id).map(Material::Bytes).ok_or(None);
        };
        let Some(slot) = self.streams.get(stream as usize) else {
            return Err(Some(PictureFault::Failed("the plan has no such stream".into())));
        };
        match &slot.state {
            StreamState::Waiting { .. } => Err(None),
            StreamState::Running(run, since) => match run.still() {
                Ok(Some(still)) => Ok(Material::Stream(stream, still)),
                Ok(None) if since.elapsed() < picture::PATIENCE => Err(None),
                Ok(None) => Err(Some(PictureFault::NotYet)),
                Err(()) => Err(Some(PictureFault::NoVideo)),
            },
            StreamState::Idle | StreamState::Stopping(_) => Err(Some(PictureFault::NotYet)),
        }
    }

    /// Stops everything, but waits only a moment for it.
    fn leave(&mut self) {
        let mut left = 0usize;
        let mut let_go = |pipeline: gst::Pipeline, owner: Owner| {
            left += 1;
            let events = self.events.clone();
            dispose(pipeline, move || events.send(Event::Gone(next_run(owner))));
        };
        lock(&self.intake).feeds.clear();
        // Those who are on their way out already say so, too.
        let mut stopping = 0usize;
        for (index, slot) in (0..).zip(self.streams.drain(..)) {
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
        for (index, slot) in (0..).zip(self.feeds.drain(..)) {
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
                Ok(Event::Gone(_)) => left -= 1,
                Ok(_) => {}
                Err(_) => return,
            }
        }
    }
}

/// Stops a pipeline in the background; `Gone` follows.
fn let_go(events: &Events, run: Run, pipeline: gst::Pipeline, why: Ended) -> Stopping {
    let events = events.clone();
    dispose(pipeline, move || events.send(Event::Gone(run)));
    Stopping { run, why, again: false, since: Instant::now() }
}

fn drop_demux(demux: Option<Demux>) {
    if let Some(Demux { ingest, link, .. }) = demux {
        drop(link);
        dispose(ingest.pipeline, || {});
    }
}

fn ingest(feed: &Arc<Feed>, base: u64) -> Result<Ingest, String> {
    let run = next_run(Owner::Feed(feed.index));
    match &feed.plan.source {
        FeedSource::Launch(text) => Ingest::launch(feed, run, text, base),
        FeedSource::File { path, .. } => Ingest::file(feed, run, path, base),
        FeedSource::Bytes => Ingest::bytes(feed, run),
    }
}

/// A frame from the server. Runs on the thread that reads media.
fn take_frame(frame: Frame, intake: &Mutex<Intake>, mailbox: &Mailbox) {
    let Frame { kind, channel, discontinuity, payload, .. } = frame;
    let bytes = payload.finish(Kind::Delta).payload();
    match kind {
        FrameKind::FeedBytes => lock(intake).take(channel, discontinuity, bytes),
        FrameKind::PictureBytes => mailbox.put(channel, bytes),
        // These go the other way.
        FrameKind::Header | FrameKind::Keyframe | FrameKind::Delta | FrameKind::Picture => {}
    }
}
