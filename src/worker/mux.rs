//! Muxers of ours: the tracks of a text end here, and leave sample by sample.
//!
//! GStreamer's muxer only stands in for ours: a text is parsed with it, so that it decides what is linked to what,
//! and then it is taken out. Each track has a thread of its own in here; they share the muxer, and none waits for media of
//! another.

mod mp4;
mod ts;

use super::{
    codec,
    decode::live_sink,
    event::{Event, Note},
    link::{Mapped, Payload},
    packet::Exit,
    stream::link,
    sync::lock,
};
use crate::{
    ipc::TrackKind,
    media::{Container, Sample},
};
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video as gst_video;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// Pause between two key pictures that are asked for by ourselves.
const ASK: Duration = Duration::from_secs(1);

/// Makes packets of samples, which are told apart by the places of their tracks.
trait Muxer: Send {
    /// Says what a track is whose samples have these caps from now on, the first of which is given; `false` when it cannot
    /// begin with that one.
    fn describe(&mut self, place: usize, caps: &gst::CapsRef, first: &[u8]) -> Result<bool, String>;

    /// Takes the next sample of a track, which has been described, and adds what leaves.
    fn push(
        &mut self,
        place: usize,
        sample: Sample<Mapped>,
        now: Instant,
        leaving: &mut Vec<Leaving>,
    ) -> Result<(), String>;
}

/// What leaves a [`Muxer`].
enum Leaving {
    Header(Vec<u8>),
    Packet {
        /// A reader may begin with it.
        is_join: bool,
        /// A key picture behind it would help players.
        is_torn: bool,
        /// When its sample is shown.
        shown: i64,
        payload: Payload,
    },
}

/// A muxer of ours, for the element of a text that stands for it.
pub(super) struct Own {
    element: &'static str,
    takes: fn() -> &'static gst::Caps,
    muxer: fn(usize) -> Box<dyn Muxer>,
    /// Texts can have GStreamer's in its place, which knows more codecs, and options.
    can_be_left: bool,
}

const MP4: Own = Own { element: "mp4mux", takes: mp4::takes, muxer: mp4::muxer, can_be_left: false };
const TS: Own = Own { element: "mpegtsmux", takes: ts::takes, muxer: ts::muxer, can_be_left: true };

impl Own {
    /// That of a container, if there is one.
    pub(super) fn of(container: Container) -> Option<&'static Self> {
        match container {
            Container::Mp4 => Some(&MP4),
            Container::Ts => Some(&TS),
            _ => None,
        }
    }

    /// Whether an element of this name can take such media.
    pub(super) fn may_take(element: &str, caps: &gst::Caps) -> bool {
        let own = [&MP4, &TS].into_iter().find(|own| own.element == element && !own.can_be_left);
        own.is_none_or(|own| (own.takes)().can_intersect(caps))
    }

    /// The muxer that stands in for ours at the end of a text; `None` where GStreamer's has to stay.
    ///
    /// # Errors
    /// When there is one and it is not the end.
    pub(super) fn stand_in(&self, bin: &gst::Bin, end: &gst::Pad) -> Result<Option<gst::Element>, String> {
        let is_one = |element: &gst::Element| element.factory().is_some_and(|factory| factory.name() == self.element);
        if let Some(last) = end.parent_element().filter(is_one) {
            return Ok(Some(last).filter(|last| !self.can_be_left || (is_plain(last) && self.takes_all(last))));
        }
        match !self.can_be_left && bin.children().iter().any(is_one) {
            true => Err(format!("something follows `{}`, which has to be the end of the text", self.element)),
            false => Ok(None),
        }
    }

    /// Whether all that is linked to the one that stands in can come as we take it.
    fn takes_all(&self, muxer: &gst::Element) -> bool {
        let mut linked = muxer.sink_pads().into_iter().filter_map(|pad| pad.peer()).map(|peer| peer.query_caps(None));
        linked.all(|caps| !caps.is_any() && caps.can_intersect((self.takes)()))
    }
}

/// Whether a muxer is set as usual, but for what we set ourselves or have no use for.
fn is_plain(muxer: &gst::Element) -> bool {
    const NO_MATTER: [&str; 9] = [
        "name",
        "parent",
        "alignment",
        "emit-signals",
        "latency",
        "min-upstream-latency",
        "start-time",
        "start-time-selection",
        "si-interval",
    ];
    let options = muxer.list_properties();
    options.iter().filter(|option| !NO_MATTER.contains(&option.name())).all(|option| {
        let value = muxer.property_value(option.name());
        match value.get::<Option<gst::Structure>>() {
            Ok(structure) => structure.is_none(),
            Err(_) => value.compare(option.default_value()).is_some_and(|order| order.is_eq()),
        }
    })
}

/// Puts a sink for each track in the place of the muxer that stands in for ours, those of pictures first.
pub(super) fn replace(
    own: &Own,
    bin: &gst::Bin,
    muxer: &gst::Element,
    exit: Exit,
) -> Result<Vec<gst_app::AppSink>, String> {
    let takes = (own.takes)();
    let has_pictures = |pad: &gst::Pad| {
        let caps = pad.peer().map(|peer| peer.query_caps(Some(takes)));
        caps.is_some_and(|caps| caps.iter().all(|form| form.name().starts_with("video/")))
    };
    let (mut pictures, sounds): (Vec<_>, Vec<_>) = muxer.sink_pads().into_iter().partition(has_pictures);
    pictures.extend(sounds);
    let ends: Vec<_> = pictures.iter().filter_map(|pad| Some((pad.peer()?, pad))).collect();
    if ends.is_empty() {
        return Err(format!("nothing is linked to `{}`", own.element));
    }
    let state = State { muxer: (own.muxer)(ends.len()), leaving: Vec::new(), asked: None };
    let shared = Arc::new(Shared { exit, state: Mutex::new(state) });
    let sinks = ends.into_iter().enumerate().map(|(place, (end, pad))| -> Result<_, glib::BoolError> {
        let sink = sink(place, shared.clone(), takes);
        end.unlink(pad)?;
        link(bin, &end, &sink)?;
        Ok(sink)
    });
    let sinks: Result<Vec<_>, _> = sinks.collect();
    let sinks = sinks.map_err(|error| error.to_string())?;
    bin.remove(muxer).map_err(|error| error.to_string())?;
    Ok(sinks)
}

/// What the tracks of a stream have in common.
struct Shared {
    exit: Exit,
    state: Mutex<State>,
}

struct State {
    muxer: Box<dyn Muxer>,
    /// Empty between two samples.
    leaving: Vec<Leaving>,
    /// When a key picture was asked for.
    asked: Option<Instant>,
}

fn sink(place: usize, shared: Arc<Shared>, takes: &gst::Caps) -> gst_app::AppSink {
    let mut known: Option<gst::Caps> = None;
    let mut is_described = false;
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let caps = sample.caps().ok_or(gst::FlowError::NotNegotiated)?;
        if !known.as_ref().is_some_and(|known| std::ptr::eq(known.as_ref(), caps) || known.as_ref() == caps) {
            known = Some(caps.to_owned());
            is_described = false;
        }
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let buffers = match sample.buffer_list_owned() {
            Some(list) => list.iter_owned().collect(),
            None => sample.buffer_owned().into_iter().collect::<Vec<_>>(),
        };
        for buffer in buffers {
            let Some(sample) = taken(buffer, segment, codec::classify(caps)) else { continue };
            match shared.take(place, caps, &mut is_described, sample) {
                Ok(Step::Even) => {}
                Ok(Step::Torn) => {
                    if let Some(pad) = sink.static_pad("sink") {
                        pad.push_event(gst_video::UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
                    }
                }
                Err(why) => {
                    shared.exit.events.send(Event::Bus(shared.exit.run, Note::Error(why)));
                    return Err(gst::FlowError::NotNegotiated);
                }
            }
        }
        Ok(gst::FlowSuccess::Ok)
    });
    let sink = live_sink(callbacks.build());
    sink.set_caps(Some(takes));
    sink
}

/// The step to a sample.
enum Step {
    Even,
    /// A key picture is worth asking for.
    Torn,
}

impl Shared {
    /// Takes a sample of a track, which is described with the first one that it can begin with. Streaming thread.
    fn take(
        &self,
        place: usize,
        caps: &gst::CapsRef,
        is_described: &mut bool,
        sample: Sample<Mapped>,
    ) -> Result<Step, String> {
        if !*is_described {
            *is_described = lock(&self.state).muxer.describe(place, caps, &sample.payload)?;
        }
        if *is_described { self.push(place, sample) } else { Ok(Step::Even) }
    }

    /// Muxes a sample and sends what becomes of it.
    fn push(&self, place: usize, sample: Sample<Mapped>) -> Result<Step, String> {
        let now = Instant::now();
        let mut state = lock(&self.state);
        let State { muxer, leaving, asked } = &mut *state;
        muxer.push(place, sample, now, leaving)?;
        let mut is_torn = false;
        // The order is that of the muxer, so that its lock is held; to hand over waits for nobody.
        for leaving in leaving.drain(..) {
            match leaving {
                Leaving::Header(header) => self.exit.outlet.header(header),
                Leaving::Packet { is_join, is_torn: tears, shown, payload } => {
                    is_torn |= tears;
                    let captured = self.exit.captured(u64::try_from(shown).unwrap_or(0));
                    self.exit.send(is_join, Some(captured), payload);
                }
            }
        }
        if is_torn && asked.is_none_or(|asked| now.duration_since(asked) >= ASK) {
            *asked = Some(now);
            return Ok(Step::Torn);
        }
        Ok(Step::Even)
    }
}

/// A buffer with its times since the epoch; `None` for one that has none, or nothing in it.
fn taken(
    buffer: gst::Buffer,
    segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
    kind: Option<(TrackKind, bool)>,
) -> Option<Sample<Mapped>> {
    let running = |time: Option<gst::ClockTime>| {
        let signed = match segment {
            Some(segment) => segment.to_running_time_full(time?)?,
            None => time?.into(),
        };
        Some(match signed {
            gst::Signed::Positive(time) => i64::try_from(time.nseconds()).unwrap_or(i64::MAX),
            gst::Signed::Negative(time) => -i64::try_from(time.nseconds()).unwrap_or(i64::MAX),
        })
    };
    let (pts, dts) = (running(buffer.pts()), running(buffer.dts()));
    let decode = dts.or(pts)?;
    let is_sync = codec::is_key(&buffer) || matches!(kind, Some((TrackKind::Audio, _)));
    let duration = buffer.duration().map(Duration::from);
    let payload = buffer.into_mapped_buffer_readable().ok().filter(|payload| !payload.is_empty())?;
    Some(Sample { decode, shown: pts.unwrap_or(decode), duration, is_sync, length: payload.len(), payload })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::launch;

    fn end_of(own: &Own, text: &str) -> Result<bool, String> {
        gst::init().unwrap();
        let bin = launch::parse(text, &[]).unwrap();
        let end = launch::free_sources(&bin).pop().unwrap();
        own.stand_in(&bin, &end).map(|muxer| muxer.is_some())
    }

    #[test]
    fn a_muxer_stands_for_ours_at_the_end_only() {
        assert_eq!(end_of(&MP4, "videotestsrc ! x264enc ! mp4mux"), Ok(true));
        assert_eq!(end_of(&MP4, "videotestsrc ! x264enc ! qtmux"), Ok(false));
        let fault = end_of(&MP4, "videotestsrc ! x264enc ! mp4mux ! queue").unwrap_err();
        assert_eq!(fault, "something follows `mp4mux`, which has to be the end of the text");
    }

    #[test]
    fn what_only_the_other_muxer_can_is_left_to_it() {
        let ours = |text: &str| end_of(&TS, text) == Ok(true);
        assert!(ours("videotestsrc ! x264enc ! mpegtsmux"));
        assert!(ours("videotestsrc ! x264enc ! mpegtsmux alignment=7 latency=1000000"));
        for option in ["bitrate=5000000", "pat-interval=100", "m2ts-mode=true", "prog-map=program_map,sink_65=2"] {
            assert!(!ours(&format!("videotestsrc ! x264enc ! mpegtsmux {option}")), "{option}");
        }
        assert!(!ours("videotestsrc ! x264enc ! mpegtsmux ! identity"));
        assert!(!ours("videotestsrc ! x264enc ! m. appsrc caps=meta/x-klv,parsed=true ! mpegtsmux name=m"));
    }

    #[test]
    fn each_track_has_a_sink_pictures_first() {
        gst::init().unwrap();
        let text = "mp4mux name=m audiotestsrc ! avenc_aac ! m. videotestsrc ! x264enc ! m.";
        let bin = launch::parse(text, &[]).unwrap();
        let muxer = bin.by_name("m").unwrap();
        let (events, _receiver) = crate::worker::event::Events::channel();
        let run = crate::worker::group::next_run(crate::worker::event::Owner::Stream(0));
        let outlet = Arc::new(crate::worker::link::Outlet::new(Arc::default(), 0, events.clone()));
        let sinks = replace(&MP4, &bin, &muxer, Exit { outlet, events, run, epoch: 0 }).unwrap();
        let before =
            |sink: &gst_app::AppSink| sink.static_pad("sink").unwrap().peer().unwrap().parent_element().unwrap();
        let before: Vec<_> = sinks.iter().map(|sink| before(sink).factory().unwrap().name().to_string()).collect();
        assert_eq!((before, bin.by_name("m")), (vec!["x264enc".into(), "avenc_aac".into()], None));
    }
}
