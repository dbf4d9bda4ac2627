//! What makes tracks of what comes out of the pads and sources of one run of a feed.

use super::{
    caps,
    clock::Timeline,
    event::{BusEvent, Event, Owner, Run},
    feed::{Feed, PENDING_BYTES},
    gst_util::live_sink,
    threads::lock,
    track::{Delivered, Track},
};
use crate::{
    ipc::{FromWorker, TrackKind},
    media::{MediaKind, Time, TrackId, unpack::Smoother},
};
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::sync::{
    Arc, Mutex, OnceLock,
    atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
};

/// How far a file is read ahead of its playing time, so that tracks that lie apart in it still come in time.
const READ_AHEAD: gst::ClockTime = gst::ClockTime::from_seconds(3);

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
    /// Makes the times of a file continuous that GStreamer demuxes.
    smoother: Mutex<Smoother>,
    /// Number of its next track.
    smoothed: AtomicU8,
    /// Whether its device captures something; else its video is noise.
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
    /// Of a run of a feed, whose pipeline has this base time. The first track gets the order `first`; `signal` shows whether its device
    /// captures something.
    pub(super) fn new(
        feed: &Arc<Feed>,
        run: Run,
        base: u64,
        pace: Pace,
        anchored: bool,
        first: usize,
        signal: Arc<AtomicBool>,
    ) -> Arc<Self> {
        Arc::new(Self {
            feed: feed.clone(),
            run,
            timeline: Timeline::new(base, feed.epoch, anchored, feed.end.clone()),
            pace,
            next: AtomicUsize::new(first),
            silent: AtomicUsize::new(0),
            growing: AtomicUsize::new(0),
            started: AtomicBool::new(false),
            smoother: Mutex::default(),
            smoothed: AtomicU8::new(0),
            signal,
        })
    }

    /// Whether all tracks are known that there will be.
    pub(super) fn is_complete(&self) -> bool {
        self.has_started() && self.silent.load(Ordering::Relaxed) == 0 && self.growing.load(Ordering::Relaxed) == 0
    }

    /// Whether something was delivered.
    pub(super) fn has_started(&self) -> bool {
        self.started.load(Ordering::Relaxed)
    }

    /// Has parsers demux what this source gives. The elements follow the state of the pipeline.
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

    /// What comes has its own times or none, and no parser that the pipeline names gets any of it.
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
    pub(super) fn grow(self: &Arc<Self>, bin: &gst::Bin, element: &gst::Element) {
        self.growing.fetch_add(1, Ordering::Relaxed);
        let (this, bin) = (self.clone(), bin.downgrade());
        element.connect_pad_added(move |_, pad| {
            if pad.direction() != gst::PadDirection::Src || pad.is_linked() {
                return;
            }
            let Some(bin) = bin.upgrade() else { return };
            if let Err(error) = this.add(&bin, pad) {
                let text = format!("{}: {error}", pad.name());
                this.feed.events.send(Event::Bus(this.run, BusEvent::Error(text)));
            }
        });
        let (this, over) = (self.clone(), AtomicBool::new(false));
        let end = Arc::new(move || {
            if !over.swap(true, Ordering::Relaxed) {
                this.settled();
            }
        });
        let ends = end.clone();
        element.connect_no_more_pads(move |_| ends());
        // parsebin does not say it itself: the demuxer in it does, and where there is none there is one pad.
        if let Some(parser) = element.downcast_ref::<gst::Bin>() {
            let ends = end.clone();
            parser.connect_deep_element_added(move |_, _, element| {
                if is_demuxer(element) {
                    let ends = ends.clone();
                    element.connect_no_more_pads(move |_| ends());
                }
            });
            parser.connect_pad_added(move |parser, _| {
                if parser.iterate_recurse().into_iter().flatten().all(|element| !is_demuxer(&element)) {
                    end();
                }
            });
        }
    }

    /// Makes a track of what comes out of a pad.
    pub(super) fn add(self: &Arc<Self>, bin: &gst::Bin, pad: &gst::Pad) -> Result<(), glib::BoolError> {
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
            if self.pace == Pace::RealTime
                && let Some(pad) = elements.first().and_then(|queue| queue.static_pad("sink"))
            {
                self.smooth(&pad);
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

    /// Makes the times of a file continuous that come to this pad: it is played by them.
    fn smooth(self: &Arc<Self>, pad: &gst::Pad) {
        let id = TrackId(self.smoothed.fetch_add(1, Ordering::Relaxed));
        let this = self.clone();
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            let segment = pad.sticky_event::<gst::event::Segment>(0);
            let segment = segment.as_ref().and_then(|event| event.segment().downcast_ref::<gst::ClockTime>());
            if let Some(segment) = segment
                && let Some(buffer) = info.buffer_mut()
                && let Some(at) = buffer.dts_or_pts().and_then(|at| segment.to_running_time_full(at))
            {
                let at = Time::from_nanos(signed(at));
                let shift = {
                    let mut smoother = lock(&this.smoother);
                    // They are unchanged until something jumps.
                    smoother.begin(Time::ZERO);
                    smoother.shift(id, at)
                };
                if shift != 0 {
                    let moved = |time: gst::ClockTime| {
                        gst::ClockTime::from_nseconds(time.nseconds().saturating_add_signed(shift))
                    };
                    let buffer = buffer.make_mut();
                    let (dts, pts) = (buffer.dts().map(moved), buffer.pts().map(moved));
                    buffer.set_dts(dts);
                    buffer.set_pts(pts);
                }
            }
            gst::PadProbeReturn::Ok
        });
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
            // The other tracks may continue.
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
            } else if track.deliver(&sample, &this.timeline, &mut last) == Delivered::Caps {
                this.feed.events.send(Event::Tracks(this.feed.index));
            }
            if !this.started.swap(true, Ordering::Relaxed) {
                let item = this.run.owner.item();
                this.feed.events.send(Event::FirstBuffer(this.run));
                if matches!(this.run.owner, Owner::Feed(_)) {
                    this.feed.events.send(Event::Send(FromWorker::Started { item }));
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

/// Whether the pads of an element come as it finds tracks.
fn is_demuxer(element: &gst::Element) -> bool {
    element.metadata(gst::ELEMENT_METADATA_KLASS).is_some_and(|class| class.contains("Demux"))
        && element.pad_template_list().iter().any(|template| template.presence() == gst::PadPresence::Sometimes)
}

fn signed(time: gst::Signed<gst::ClockTime>) -> i64 {
    let nanos = |time: gst::ClockTime| i64::try_from(time.nseconds()).unwrap_or(i64::MAX);
    match time {
        gst::Signed::Positive(time) => nanos(time),
        gst::Signed::Negative(time) => -nanos(time),
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

/// A parser for video that a pipeline leaves unparsed: only a parser knows where a frame ends, and which is a keyframe.
fn unparsed(caps: &gst::Caps) -> Option<gst::Element> {
    let first = caps.structure(0)?;
    let one_media = caps.iter().all(|form| form.name() == first.name());
    let parsed = first.get::<bool>("parsed").unwrap_or(false);
    let system = first.get::<bool>("systemstream").unwrap_or(false);
    let known = matches!(first.name().as_str(), "video/x-h264" | "video/x-h265" | "video/mpeg");
    if one_media && known && !parsed && !system { caps::parser(caps) } else { None }
}
