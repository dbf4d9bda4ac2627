//! Feeds: the pipelines that tracks come out of.

use super::{
    caps,
    clock::{self, Timeline},
    event::{Event, Events, Note, Run},
    gst_util::live_sink,
    launch,
    muxer_options::tune_muxers,
    sync::{background, lock, play},
    track::{Change, Link, Track},
    unpack::{self, Unpack},
    web,
};
use crate::{
    ipc::{FromWorker, TrackKind},
    media::MediaKind,
};
use bytes::Bytes;
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Bytes for a feed that may wait until its pipeline is there.
const PENDING_BYTES: usize = 8 << 20;
/// How far a file is read ahead of its playing time, so that tracks that lie apart in it still come in time.
const READ_AHEAD: gst::ClockTime = gst::ClockTime::from_seconds(3);
/// Tracks out of a muxed track come after those of the feed's own pipeline.
const DEMUXED: usize = 1000;

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

/// Where the bytes of a feed go that come from the server.
#[derive(Default)]
struct Intake {
    source: Option<Arc<Mutex<Unpack>>>,
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

    fn claim(&self, kind: TrackKind, order: usize, named: bool) -> Arc<Track> {
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
                // Fails while the pipeline ends; the bytes are of no use then.
                let _ = lock(&source).push(bytes);
            }
            None => intake.wait(bytes),
        }
    }

    /// Sends bytes to this source from now on, first those that waited.
    pub(super) fn open_bytes(&self, source: &Arc<Mutex<Unpack>>) {
        let mut intake = lock(&self.bytes);
        intake.fed = !intake.pending.is_empty();
        intake.pending_bytes = 0;
        for bytes in std::mem::take(&mut intake.pending) {
            let _ = lock(source).push(bytes);
        }
        intake.source = Some(source.clone());
    }

    /// Bytes have no pipeline to go to any more.
    pub(super) fn close_bytes(&self) {
        let mut intake = lock(&self.bytes);
        intake.source = None;
        intake.fed = false;
    }
}

/// A running pipeline that delivers tracks of a feed.
pub(super) struct Ingest {
    /// Which run.
    pub(super) run: Run,
    /// The pipeline.
    pub(super) pipeline: gst::Pipeline,
    /// Its base time.
    pub(super) base: u64,
    /// Where a muxed track goes in.
    pub(super) source: Option<gst_app::AppSrc>,
    /// Where bytes go in.
    pub(super) unpack: Option<Arc<Mutex<Unpack>>>,
    /// The file that is played.
    file: Option<PathBuf>,
    branches: Arc<Branches>,
}

/// What the callbacks of one run share.
pub(super) struct Branches {
    pub(super) feed: Arc<Feed>,
    pub(super) run: Run,
    timeline: Timeline,
    pub(super) pace: Pace,
    /// Order of the next track.
    next: AtomicUsize,
    /// Pads that have not delivered anything yet.
    silent: AtomicUsize,
    /// Elements that may get further pads.
    growing: AtomicUsize,
    started: AtomicBool,
    /// Whether its device captures something; else its pictures are noise.
    signal: Arc<AtomicBool>,
}

/// Whether tracks are held back until their time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// They come in time.
    Live,
    /// They are read from a file.
    RealTime,
    /// Whichever the pipeline says it is.
    Ask,
}

impl Ingest {
    /// The pipeline of a gst-launch text.
    pub(super) fn launch(feed: &Arc<Feed>, run: Run, text: &str, base: u64) -> Result<Self, String> {
        let bin = launch::parse(text, &[]).map_err(|fault| fault.message)?;
        // Viewers may be sent what is muxed in here as it is.
        tune_muxers(&bin);
        let this = Self::new(feed, run, base, Pace::Ask, false, 0);
        let fill = || -> Result<(), glib::BoolError> {
            this.pipeline.add(&bin)?;
            for element in launch::dynamic(&bin) {
                this.branches.grow(&bin, &element);
            }
            for pad in launch::free_sources(&bin) {
                this.branches.add(&bin, &pad)?;
            }
            web::divert(&bin, &this.pipeline, &this.branches);
            Ok(())
        };
        fill().map_err(|error| error.to_string())?;
        Ok(this)
    }

    /// Plays a file in real time; its first media is due at `base` on the monotonic clock.
    pub(super) fn file(feed: &Arc<Feed>, run: Run, path: &Path, base: u64) -> Result<Self, String> {
        let mut this = Self::new(feed, run, base, Pace::RealTime, false, 0);
        this.file = Some(path.to_owned());
        this.unpacking();
        Ok(this)
    }

    /// Takes muxed bytes apart.
    pub(super) fn bytes(feed: &Arc<Feed>, run: Run) -> Result<Self, String> {
        let mut this = Self::new(feed, run, clock::now(), Pace::Live, true, 0);
        this.unpacking();
        Ok(this)
    }

    /// Takes a muxed track apart; the link keeps it fed.
    pub(super) fn demux(feed: &Arc<Feed>, run: Run) -> Result<Self, String> {
        let mut this = Self::new(feed, run, clock::now(), Pace::Live, true, DEMUXED);
        let source = byte_source();
        this.branches.parse(&this.pipeline, source.upcast_ref()).map_err(|error| error.to_string())?;
        this.source = Some(source);
        Ok(this)
    }

    fn new(feed: &Arc<Feed>, run: Run, base: u64, pace: Pace, anchored: bool, first: usize) -> Self {
        let pipeline = gst::Pipeline::with_name(&feed.name);
        clock::set_base(&pipeline, base);
        let signal = feed.events.watch(&pipeline, run);
        let branches = Arc::new(Branches {
            feed: feed.clone(),
            run,
            timeline: Timeline::new(base, feed.epoch, anchored, feed.end.clone()),
            pace,
            next: AtomicUsize::new(first),
            silent: AtomicUsize::new(0),
            growing: AtomicUsize::new(0),
            started: AtomicBool::new(false),
            signal,
        });
        Self { run, pipeline, base, source: None, unpack: None, file: None, branches }
    }

    fn unpacking(&mut self) {
        self.unpack = Some(Arc::new(Mutex::new(Unpack::new(self.branches.clone(), &self.pipeline))));
    }

    /// Lets it play, in the background.
    pub(super) fn start(&self) {
        let (pipeline, events, run) = (self.pipeline.clone(), self.branches.feed.events.clone(), self.run);
        let file = self.file.clone().zip(self.unpack.clone());
        background("start", move || {
            let plays = play(&pipeline);
            // It must end when all others have let it go.
            drop(pipeline);
            if !plays {
                // The bus has told more before.
                return events.send(Event::Bus(run, Note::Error("the pipeline does not start".into())));
            }
            events.send(Event::Up(run));
            if let Some((path, unpack)) = file {
                // It ends early with its pipeline.
                let _ = unpack::play_file(&mut lock(&unpack), &path);
            }
        });
    }

    /// Whether it plays a file.
    pub(super) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Whether all tracks are known that it will have.
    pub(super) fn is_complete(&self) -> bool {
        self.has_started()
            && self.branches.silent.load(Ordering::Relaxed) == 0
            && self.branches.growing.load(Ordering::Relaxed) == 0
    }

    /// Whether it has delivered something.
    pub(super) fn has_started(&self) -> bool {
        self.branches.started.load(Ordering::Relaxed)
    }
}

/// A muxed track that is being taken apart.
pub(super) struct Demux {
    /// The pipeline.
    pub(super) ingest: Ingest,
    /// The muxed track.
    pub(super) muxed: Arc<Track>,
    /// There once the pipeline is up.
    pub(super) link: Option<Link>,
}

/// An appsrc for muxed bytes. Its buffers carry no times: those of the container count, from the first one on.
pub(super) fn byte_source() -> gst_app::AppSrc {
    gst_app::AppSrc::builder()
        .is_live(true)
        .format(gst::Format::Bytes)
        .block(false)
        .max_bytes(PENDING_BYTES as u64)
        .leaky_type(gst_app::AppLeakyType::Downstream)
        .build()
}

impl Branches {
    /// Has parsers take apart what this source gives. The elements follow the state of the pipeline.
    pub(super) fn parse(
        self: &Arc<Self>,
        pipeline: &gst::Pipeline,
        source: &gst::Element,
    ) -> Result<(), glib::BoolError> {
        let parser = gst::ElementFactory::make("parsebin").build()?;
        pipeline.add_many([source, &parser])?;
        self.grow(pipeline.upcast_ref(), &parser);
        source.link(&parser)?;
        parser.sync_state_with_parent()?;
        source.sync_state_with_parent()
    }

    /// What comes tells its own times or none, and no parser that the text names gets any of it.
    pub(super) fn arrives(&self) {
        self.timeline.anchor();
        self.settled();
    }

    /// More tracks may come, until [`Branches::settled`].
    pub(super) fn expect(&self) {
        self.growing.fetch_add(1, Ordering::Relaxed);
    }

    /// All tracks are known.
    pub(super) fn settled(&self) {
        self.growing.fetch_sub(1, Ordering::Relaxed);
        self.feed.events.send(Event::Tracks(self.feed.index));
    }

    /// No more of the tracks of a kind will come. That they are silent is no fault.
    pub(super) fn finish(&self, kind: MediaKind) {
        let is_meant = |track: &Arc<Track>| match kind {
            MediaKind::Video => track.kind == TrackKind::Video,
            MediaKind::Audio => track.kind == TrackKind::Audio,
        };
        self.feed.tracks().iter().filter(|track| is_meant(track)).for_each(|track| track.finish());
    }

    /// Makes a track of the samples that go into this source.
    pub(super) fn add_source(
        self: &Arc<Self>,
        pipeline: &gst::Pipeline,
        source: &gst_app::AppSrc,
    ) -> Result<(), glib::BoolError> {
        let mut elements: Vec<gst::Element> = vec![source.clone().upcast()];
        if self.pace == Pace::RealTime {
            elements.push(self.pacer(pipeline.upcast_ref())?);
        }
        elements.push(self.sink(false).upcast());
        pipeline.add_many(&elements)?;
        gst::Element::link_many(&elements)?;
        elements.iter().rev().try_for_each(|element| element.sync_state_with_parent())
    }

    /// Makes tracks of the pads that an element will get.
    fn grow(self: &Arc<Self>, bin: &gst::Bin, element: &gst::Element) {
        self.growing.fetch_add(1, Ordering::Relaxed);
        let (this, bin) = (self.clone(), bin.downgrade());
        element.connect_pad_added(move |_, pad| {
            if pad.direction() != gst::PadDirection::Src || pad.is_linked() {
                return;
            }
            let Some(bin) = bin.upgrade() else { return };
            if let Err(error) = this.add(&bin, pad) {
                let text = format!("{}: {error}", pad.name());
                this.feed.events.send(Event::Bus(this.run, Note::Error(text)));
            }
        });
        let (this, over) = (self.clone(), AtomicBool::new(false));
        element.connect_no_more_pads(move |_| {
            if !over.swap(true, Ordering::Relaxed) {
                this.growing.fetch_sub(1, Ordering::Relaxed);
                this.feed.events.send(Event::Tracks(this.feed.index));
            }
        });
    }

    /// Makes a track of what comes out of a pad.
    fn add(self: &Arc<Self>, bin: &gst::Bin, pad: &gst::Pad) -> Result<(), glib::BoolError> {
        let caps = pad.current_caps().unwrap_or_else(|| pad.query_caps(None));
        let mut elements = Vec::new();
        if !caps.is_empty() && !caps.is_any() && caps.iter().all(|form| form.name().starts_with("application/x-rtp")) {
            let parser = gst::ElementFactory::make("parsebin").build()?;
            self.grow(bin, &parser);
            elements.push(parser);
        } else {
            if self.pace == Pace::RealTime {
                elements.push(
                    gst::ElementFactory::make("queue")
                        .property("max-size-time", READ_AHEAD)
                        .property("max-size-buffers", 0u32)
                        .property("max-size-bytes", 64u32 << 20)
                        .build()?,
                );
            }
            elements.extend(usual_format(&caps));
            elements.extend(unparsed(&caps));
            if self.pace != Pace::Live {
                elements.push(self.pacer(bin)?);
            }
            let named = pad.parent_element().is_some_and(|parent| matches!(parent.name().as_str(), "video" | "audio"));
            elements.push(self.sink(named).upcast());
        }
        bin.add_many(&elements)?;
        gst::Element::link_many(&elements)?;
        for element in elements.iter().rev() {
            element.sync_state_with_parent()?;
        }
        let entrance = elements.first().and_then(|element| element.static_pad("sink"));
        let entrance = entrance.ok_or_else(|| glib::bool_error!("no sink pad"))?;
        pad.link(&entrance).map_err(|error| glib::bool_error!("cannot be read from: {error}"))?;
        Ok(())
    }

    /// Holds buffers back until their time, unless they come from a live source.
    fn pacer(&self, bin: &gst::Bin) -> Result<gst::Element, glib::BoolError> {
        let pacer = gst::ElementFactory::make("clocksync").build()?;
        if self.pace == Pace::Ask
            && let Some(pad) = pacer.static_pad("sink")
        {
            let (weak, bin) = (pacer.downgrade(), bin.downgrade());
            pad.add_probe(gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST, move |pad, _| {
                let mut query = gst::query::Latency::new();
                let live = pad.peer_query(&mut query) && query.result().0;
                let live = live || bin.upgrade().is_some_and(|bin| is_endless(&bin));
                if let Some(pacer) = weak.upgrade() {
                    pacer.set_property("sync", !live);
                }
                gst::PadProbeReturn::Remove
            });
        }
        Ok(pacer)
    }

    fn sink(self: &Arc<Self>, named: bool) -> gst_app::AppSink {
        let order = self.next.fetch_add(1, Ordering::Relaxed);
        self.silent.fetch_add(1, Ordering::Relaxed);
        let this = self.clone();
        let (mut last, mut heard) = (None, false);
        let track: Arc<OnceLock<Arc<Track>>> = Arc::default();
        let over = track.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder().eos(move |_| {
            // The other tracks may go on.
            if let Some(track) = over.get() {
                track.finish();
            }
        });
        let callbacks = callbacks.new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if !heard {
                heard = true;
                if let Some(claimed) = this.claim(sink, &sample, order, named) {
                    let _ = track.set(claimed);
                }
                this.silent.fetch_sub(1, Ordering::Relaxed);
            }
            let Some(track) = track.get() else { return Ok(gst::FlowSuccess::Ok) };
            if track.kind == TrackKind::Video && !this.signal.load(Ordering::Relaxed) {
                track.rest();
            } else if track.deliver(&sample, &this.timeline, &mut last) == Change::Caps {
                this.feed.events.send(Event::Tracks(this.feed.index));
            }
            if !this.started.swap(true, Ordering::Relaxed) {
                let item = this.run.owner.item();
                this.feed.events.send(Event::First(this.run));
                if matches!(this.run.owner, super::event::Owner::Feed(_)) {
                    this.feed.events.send(Event::Say(FromWorker::Started { item }));
                }
            }
            Ok(gst::FlowSuccess::Ok)
        });
        live_sink(callbacks.build())
    }

    fn claim(&self, sink: &gst_app::AppSink, sample: &gst::Sample, order: usize, named: bool) -> Option<Arc<Track>> {
        let (kind, _) = caps::classify(sample.caps()?)?;
        let track = self.feed.claim(kind, order, named);
        if let Some(pad) = sink.static_pad("sink") {
            track.set_upstream(&pad);
        }
        Some(track)
    }
}

/// Whether this reads an address that does not say how long it is: a stream that comes as fast as it is made.
fn is_endless(bin: &gst::Bin) -> bool {
    bin.iterate_sources()
        .into_iter()
        .flatten()
        .any(|source| source.is::<gst::URIHandler>() && source.query_duration::<gst::format::Bytes>().is_none())
}

/// Asks a source that can make any raw format for a usual one: some offer 16 bits a colour first.
fn usual_format(caps: &gst::Caps) -> Option<gst::Element> {
    let raw = |form: &gst::StructureRef| matches!(form.name().as_str(), "video/x-raw" | "video/x-bayer");
    let open = |form: &gst::StructureRef| form.name() == "video/x-raw" && form.get::<&str>("format").is_err();
    if caps.is_empty() || caps.is_any() || !caps.iter().all(raw) || !caps.iter().any(open) {
        return None;
    }
    const USUAL: &str = "video/x-raw,format={I420,NV12,YV12,YUY2,UYVY}; video/x-raw; \
        video/x-raw(ANY); video/x-bayer";
    let filter = gst::ElementFactory::make("capsfilter").property_from_str("caps", USUAL);
    filter.build().ok()
}

/// A parser for pictures that a text leaves unparsed: only a parser knows where a picture ends, and which is a key.
fn unparsed(caps: &gst::Caps) -> Option<gst::Element> {
    let first = caps.structure(0)?;
    let one_media = caps.iter().all(|form| form.name() == first.name());
    let parsed = first.get::<bool>("parsed").unwrap_or(false);
    let system = first.get::<bool>("systemstream").unwrap_or(false);
    let known = matches!(first.name().as_str(), "video/x-h264" | "video/x-h265" | "video/mpeg");
    if one_media && known && !parsed && !system { caps::parser(caps) } else { None }
}
