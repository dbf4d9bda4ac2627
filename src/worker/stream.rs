//! Streams: from tracks, through a pipeline, to packets.

use super::{
    caps, clock, complete, default_encoders,
    encoder::Encoder,
    encoder_input,
    event::{BusEvent, Event, Events, Run},
    exit::Exit,
    launch, overlay,
    resolve::{Recipe, Source},
    samples,
    sender::StreamSender,
    threads::{lock, play, spawn},
    track::decode::Decoded,
    track::{Attachment, Still, Track, forward_key_units, track_source},
};
use crate::ipc::{self, TrackKind};
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// A stream that runs.
pub(super) struct StreamRun {
    /// Which run.
    pub(super) run: Run,
    /// Its pipeline; a stream of muxed packets has none.
    pub(super) pipeline: Option<gst::Pipeline>,
    /// Decoders that it uses.
    pub(super) decoders: Vec<Arc<Decoded>>,
    /// References to tracks that no feed had.
    pub(super) missing: Vec<String>,
    /// For the log: how it differs from what was asked for.
    pub(super) remarks: Vec<String>,
    /// Whether there has been a packet.
    pub(super) started: bool,
    /// Tracks, and whether they were encoded when it was built.
    built_for: Vec<(Arc<Track>, bool)>,
    /// To be attached once the pipeline is up.
    inputs: Vec<(gst_app::AppSrc, Arc<Track>)>,
    links: Vec<Attachment>,
    sender: Option<Arc<StreamSender>>,
    /// Where its packets leave, or its frames where each track has an end.
    sink: Option<gst_app::AppSink>,
    /// Its video encoder.
    encoder: Option<Encoder>,
    /// There is another pipeline to try if this one does not work: when it was started.
    probed_since: Option<Instant>,
    /// The video track it uses, as the feed has it.
    video: Option<Arc<Track>>,
    /// Where its tracks go into the container.
    mux_inputs: Vec<gst::Pad>,
    /// What was reported of them.
    reported: Vec<ipc::Track>,
}

/// How long a stream may make nothing while one of its tracks continues.
const STALL: Duration = Duration::from_secs(2);

/// Why a stream was not built, for the log.
pub(super) enum Unbuilt {
    /// The machine does not have an element of its pipeline.
    Absent(String),
    /// Its pipeline is of no use here.
    Text(String),
    /// What another pipeline would not change.
    Otherwise(String),
}

impl From<String> for Unbuilt {
    fn from(why: String) -> Self {
        Self::Otherwise(why)
    }
}

impl StreamRun {
    /// A stream of the bytes of a muxed track.
    pub(super) fn of_bytes(track: &Arc<Track>, exit: Exit) -> Self {
        Self {
            run: exit.run,
            pipeline: None,
            decoders: Vec::new(),
            missing: Vec::new(),
            remarks: Vec::new(),
            started: false,
            built_for: Vec::new(),
            inputs: Vec::new(),
            links: vec![track.attach_bytes(exit)],
            sender: None,
            sink: None,
            encoder: None,
            probed_since: None,
            video: None,
            mux_inputs: Vec::new(),
            reported: Vec::new(),
        }
    }

    /// Builds the pipeline, in state NULL.
    pub(super) fn build(
        recipe: Recipe<'_>,
        sources: &[Source],
        missing: Vec<String>,
        exit: Exit,
    ) -> Result<Self, Unbuilt> {
        let Exit { run, epoch, .. } = exit;
        let events = &exit.events.clone();
        let plan = recipe.plan;
        let has_another = recipe.text + 1 < plan.encoding.texts();
        let track = |kind| sources.iter().find(|source| source.track.kind == kind).map(|source| &source.track);
        let source = |name: &str| sources.iter().find(|source| source.name == name).map(|source| source.track.clone());
        let (video, audio) = (track(TrackKind::Video).map(AsRef::as_ref), track(TrackKind::Audio).map(AsRef::as_ref));
        let (text, mut remarks) = match (recipe.text(), plan.container) {
            (Some(text), Some(_)) => complete::insert_converters(text, source),
            (Some(text), None) => (complete::encoded(text, source), Vec::new()),
            (None, Some(container)) => default_encoders::text(container, video, audio)?,
            (None, None) => (complete::encoded(&default_encoders::tracks(video, audio)?, source), Vec::new()),
        };
        let declared = launch::references(&text);
        let offer = |name: &String| {
            let source = sources.iter().find(|source| source.name == *name);
            launch::Declared { name: name.clone(), caps: source.and_then(|source| caps::offer(&source.track.caps()?)) }
        };
        let offers: Vec<_> = declared.iter().map(offer).collect();
        let bin = launch::parse(&text, &offers).map_err(|fault| match launch::lacks_element(&fault) {
            true => Unbuilt::Absent(fault.message),
            false => Unbuilt::Text(fault.message),
        })?;
        for name in missing.iter().filter(|name| declared.contains(name)) {
            drop_branch(&bin, name)?;
            remarks.push(format!("no feed has a track for `{name}.`: continues without it"));
        }
        let pipeline = gst::Pipeline::with_name(&plan.name);
        let mut this = Self {
            run,
            pipeline: Some(pipeline.clone()),
            decoders: Vec::new(),
            missing,
            remarks,
            started: false,
            built_for: Vec::new(),
            inputs: Vec::new(),
            links: Vec::new(),
            sender: Some(exit.sender.clone()),
            sink: None,
            encoder: None,
            probed_since: has_another.then(Instant::now),
            video: track(TrackKind::Video).cloned(),
            mux_inputs: Vec::new(),
            reported: Vec::new(),
        };
        let ends = launch::free_sources(&bin);
        if ends.is_empty() || (plan.container.is_some() && ends.len() > 1) {
            return Err(Unbuilt::Text("the text does not end in exactly one free source pad".to_owned()));
        }
        let channels = track(TrackKind::Audio).and_then(|track| track.caps()).and_then(|caps| channels(&caps));
        this.remarks.extend(encoder_input::fit(&bin, channels).map_err(|error| error.to_string())?);
        let sinks = samples::end(&bin, ends, plan.container, exit)?;
        for source in sources.iter().filter(|source| declared.contains(&source.name)) {
            this.enter(&bin, source, epoch, events)?;
        }
        pipeline.add(&bin).map_err(|error| error.to_string())?;
        this.mux_inputs = mux_inputs(&bin, &sinks);
        this.sink = sinks.into_iter().next();
        this.encoder = Encoder::of(&bin);
        this.remarks.extend(caps::encoders(&bin));
        drop_overlaps(&bin);
        overlay::animate(&bin);
        clock::set_base(&pipeline, epoch);
        events.watch(&pipeline, run);
        Ok(this)
    }

    /// Connects a declared source of the pipeline with its track, encoded if that is wanted, else decoded.
    fn enter(&mut self, bin: &gst::Bin, source: &Source, epoch: u64, events: &Events) -> Result<(), String> {
        let Source { name, track, feed } = source;
        let declared = bin.by_name(name).ok_or_else(|| format!("`{name}` is not ours to feed"))?;
        let peer = declared.static_pad("src").and_then(|pad| pad.peer());
        bin.remove(&declared).map_err(|error| error.to_string())?;
        let Some(peer) = peer else { return Ok(()) };
        let input = track_source(name);
        let caps = track.caps().ok_or_else(|| format!("`{name}` has no format yet"))?;
        let accepted = peer.query_caps(None);
        self.built_for.push((track.clone(), track.is_encoded()));
        let mut parser = None;
        let used = if !track.is_encoded() {
            if !accepted.can_intersect(&caps) {
                let at = peer.parent_element().map_or_else(String::new, |element| element.name().to_string());
                return Err(format!("`{name}.` is raw and {at} does not take it: an encoder is missing"));
            }
            track.clone()
        } else if accepted.can_intersect(&caps::parsed_forms(&caps)) {
            parser = caps::parser(&caps);
            track.clone()
        } else {
            let decoded = Decoded::of(track, *feed, epoch, events)?;
            let raw = decoded.track.clone();
            self.decoders.push(decoded);
            raw
        };
        insert(bin, &input, parser.as_ref(), &peer).map_err(|error| error.to_string())?;
        forward_key_units(&input, track);
        self.inputs.push((input, used));
        Ok(())
    }

    /// Lets it play, in the background.
    pub(super) fn start(&self, events: &Events) {
        let (Some(pipeline), events, run) = (self.pipeline.clone(), events.clone(), self.run) else { return };
        let is_refused = self.encoder.as_ref().is_some_and(Encoder::is_refused);
        spawn("start", move || {
            events.send(match !is_refused && play(&pipeline) {
                true => Event::Playing(run),
                // The bus has reported more before.
                false => Event::Bus(run, BusEvent::Error("the pipeline does not start".into())),
            });
        });
    }

    /// The pipeline is up: lets media in.
    pub(super) fn open(&mut self) {
        for (input, track) in self.inputs.drain(..) {
            self.links.push(track.attach(&input));
        }
    }

    /// The tracks as they go into the container, if that is not what was reported before.
    pub(super) fn changed_tracks(&mut self) -> Option<Vec<ipc::Track>> {
        let track = |pad: &gst::Pad| {
            let caps = pad.current_caps()?;
            let (kind, encoded) = caps::classify(&caps)?;
            Some(ipc::Track { kind, encoded, caps: caps.to_string() })
        };
        let tracks: Option<Vec<_>> = self.mux_inputs.iter().map(track).collect();
        let tracks = tracks.filter(|tracks| self.started && *tracks != self.reported)?;
        self.reported.clone_from(&tracks);
        Some(tracks)
    }

    /// A track turned from raw into encoded or back, which a built pipeline does not follow.
    pub(super) fn is_outdated(&self) -> bool {
        self.built_for.iter().any(|(track, encoded)| track.is_encoded() != *encoded)
    }

    /// One track fell silent, and the muxer waits for it while others continue.
    pub(super) fn is_stalled(&self) -> bool {
        let silent = self.sender.as_ref().and_then(|sender| sender.silence()).is_some_and(|silence| silence > STALL);
        let going_on = |(track, _): &(Arc<Track>, bool)| track.silence().is_some_and(|silence| silence < STALL / 2);
        silent && self.built_for.len() > 1 && self.built_for.iter().any(going_on)
    }

    /// Whether there is another pipeline, should this one turn out not to work.
    pub(super) fn is_probed(&self) -> bool {
        self.probed_since.is_some() && !self.started
    }

    /// Why it has to be taken as not working, if it is probed.
    pub(super) fn stall_reason(&self) -> Option<&'static str> {
        let since = self.probed_since.filter(|_| !self.started)?;
        self.encoder.as_ref()?.stall_reason(since, self.inputs.is_empty())
    }

    /// Why it failed, with what its encoder got: most encoders refuse some sizes and do not say so.
    pub(super) fn explained(&self, why: &str) -> String {
        let Some(encoder) = &self.encoder else { return why.to_owned() };
        let of_track = || caps::frame_size(self.video.as_ref()?.caps().as_ref()?);
        match (encoder.name(), encoder.frame_size().or_else(of_track)) {
            (Some(name), Some((width, height))) => format!("{name}: {why}, with frames of {width}x{height}"),
            (Some(name), None) => format!("{name}: {why}"),
            (None, _) => why.to_owned(),
        }
    }

    /// How many raw frames it did not take, because it was too slow.
    pub(super) fn dropped(&self) -> u64 {
        self.links.iter().map(Attachment::dropped).sum()
    }

    /// Requests a keyframe, or that the first frame of this running time or later is one. Only our encoder knows what time that is.
    pub(super) fn force_keyframe(&self, at: Option<Duration>) {
        let event = || {
            let builder = gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true);
            let at = at.and_then(|at| gst::ClockTime::try_from(at).ok());
            builder.running_time(at).build()
        };
        if let Some(encoder) = &self.encoder {
            // Into the encoder from behind, as a muxer would ask for it.
            if let Some(pad) = encoder.element.static_pad("src") {
                pad.send_event(event());
            }
        } else if at.is_none()
            && let Some(pad) = self.sink.as_ref().and_then(|sink| sink.static_pad("sink"))
        {
            pad.push_event(event());
        }
    }

    /// What a still of this stream can be made of; `Err` when it has no video.
    pub(super) fn still(&self) -> Result<Option<Still>, ()> {
        if let Some(Encoder { element, newest, .. }) = &self.encoder {
            // The encoder outlives a run of the feed; what went into it then is not what there is to see now.
            if self.video.as_ref().is_some_and(|track| !track.is_live()) {
                *lock(newest) = None;
                return Ok(None);
            }
            let caps = element.static_pad("sink").and_then(|pad| pad.current_caps());
            return Ok(caps.zip(lock(newest).clone()).map(|(caps, buffer)| Still::Raw(caps, buffer)));
        }
        match &self.video {
            Some(track) => Ok(track.still()),
            // A muxed track, or an own source without an encoder: the server can send what it has.
            None => Err(()),
        }
    }
}

fn channels(caps: &gst::CapsRef) -> Option<i32> {
    caps.structure(0)?.get("channels").ok()
}

fn insert(
    bin: &gst::Bin,
    source: &gst_app::AppSrc,
    parser: Option<&gst::Element>,
    peer: &gst::Pad,
) -> Result<(), glib::BoolError> {
    bin.add(source)?;
    let mut last: &gst::Element = source.upcast_ref();
    if let Some(parser) = parser {
        bin.add(parser)?;
        last.link(parser)?;
        last = parser;
    }
    let pad = last.static_pad("src").ok_or_else(|| glib::bool_error!("no src pad"))?;
    pad.link(peer).map_err(|error| glib::bool_error!("{}: {error}", last.name()))?;
    Ok(())
}

/// Takes a source out of a pipeline, with all that only it fed.
fn drop_branch(bin: &gst::Bin, name: &str) -> Result<(), String> {
    let needed = || format!("no feed has a track for `{name}.`, and the text does not work without");
    let mut element = bin.by_name(name).ok_or_else(needed)?;
    loop {
        let mut pads = element.src_pads().into_iter();
        let (Some(pad), None) = (pads.next(), pads.next()) else { return Err(needed()) };
        let Some(peer) = pad.peer() else {
            // The end of a pipeline without a muxer, which has another one for each further track.
            bin.remove(&element).map_err(|error| error.to_string())?;
            return if launch::free_sources(bin).is_empty() { Err(needed()) } else { Ok(()) };
        };
        let next = peer.parent_element().ok_or_else(needed)?;
        pad.unlink(&peer).and_then(|()| bin.remove(&element)).map_err(|error| error.to_string())?;
        if next.sink_pads().iter().any(|pad| pad.is_linked()) {
            next.release_request_pad(&peer);
            return Ok(());
        }
        element = next;
    }
}

/// The inputs of the muxer of a pipeline, or what becomes of it where it has none.
fn mux_inputs(bin: &gst::Bin, sinks: &[gst_app::AppSink]) -> Vec<gst::Pad> {
    let is_muxer = |element: &gst::Element| {
        let class = element.metadata(gst::ELEMENT_METADATA_KLASS);
        class.is_some_and(|class| class.contains("Muxer"))
    };
    let elements = bin.children();
    let mux_inputs: Vec<_> =
        elements.iter().filter(|element| is_muxer(element)).flat_map(|muxer| muxer.sink_pads()).collect();
    if mux_inputs.is_empty() { sinks.iter().flat_map(|sink| sink.sink_pads()).collect() } else { mux_inputs }
}

/// Drops the first packet of Opus encoders: with the pre-skip taken off, it overlaps the second one, which readers take
/// for a fault (RFC 7845, section 4.2).
fn drop_overlaps(bin: &gst::Bin) {
    for encoder in bin.iterate_all_by_element_factory_name("opusenc").into_iter().flatten() {
        let Some(pad) = encoder.static_pad("src") else { continue };
        let first = AtomicBool::new(true);
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, _| {
            if first.swap(false, Ordering::Relaxed) { gst::PadProbeReturn::Drop } else { gst::PadProbeReturn::Remove }
        });
    }
}
