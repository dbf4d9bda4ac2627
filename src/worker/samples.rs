//! Where the pipeline of a stream ends: in samples of its tracks, or in the bytes of a muxer that is not ours.
//!
//! A plain muxer at the end of a pipeline is a declaration: the pipeline is parsed with it, so that it decides what is linked
//! to what, then it is taken out and each track ends in a sink of its own. The server muxes. A muxer that has options or takes
//! codecs that ours lack stays, and its bytes go to the server as those of a command do.

use super::{
    accepted_caps::{accepts, canonical},
    caps::{self, source_form},
    event::Event,
    exit::Exit,
    gst_util::live_sink,
    muxer_options::tune_muxers,
    threads::lock,
};
use crate::{
    ipc::declaration::{declares, is_of_delivery},
    media::{
        Container, Sample, Time, TrackId, TrackInfo, TrackSet,
        codec::canonical::Canonicalizer,
        track::{Shape, VideoShape},
    },
};
use bytes::Bytes;
use gst::{glib, prelude::*};
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

/// Whether a muxer is set as usual, but for what concerns delivery, which is the server's.
fn is_plain(muxer: &gst::Element) -> bool {
    let options = muxer.list_properties();
    options.iter().filter(|option| !is_of_delivery(option.name())).all(|option| {
        let value = muxer.property_value(option.name());
        match value.get::<Option<gst::Structure>>() {
            Ok(structure) => structure.is_none(),
            // What has no order, like a date, is described.
            Err(_) => match value.compare(option.default_value()) {
                Some(order) => order.is_eq(),
                None => format!("{value:?}") == format!("{:?}", option.default_value()),
            },
        }
    })
}

/// Puts sinks at the free ends of a pipeline: one for each track where the server muxes, else one for the bytes. Sinks of video come
/// first. Without a container, each end is a track.
///
/// # Errors
/// Why that cannot be done.
pub(super) fn end(
    bin: &gst::Bin,
    ends: Vec<gst::Pad>,
    container: Option<Container>,
    exit: Exit,
) -> Result<Vec<gst_app::AppSink>, String> {
    let failed = |error: glib::BoolError| error.to_string();
    let Some(container) = container else { return track_sinks(bin, ends, canonical(), exit).map_err(failed) };
    let Ok([end]) = <[gst::Pad; 1]>::try_from(ends) else {
        return Err("the pipeline does not end in exactly one free source pad".into());
    };
    let Some(accepted) = accepts(container) else { return byte_sink(bin, &end, exit).map_err(failed) };
    let can_be_taken = |end: &gst::Pad| {
        let caps = end.query_caps(None);
        !caps.is_any() && caps.can_intersect(accepted)
    };
    if let Some(muxer) = end.parent_element().filter(|last| is_declaration(last, container)) {
        let links: Vec<_> = muxer.sink_pads().into_iter().filter_map(|pad| Some((pad.peer()?, pad))).collect();
        if links.is_empty() {
            return Err("nothing is linked to the muxer at the end of the pipeline".into());
        }
        if links.iter().all(|(end, _)| can_be_taken(end)) {
            for (end, entrance) in &links {
                end.unlink(entrance).map_err(failed)?;
            }
            bin.remove(&muxer).map_err(|error| error.to_string())?;
            let ends = links.into_iter().map(|(end, _)| end).collect();
            return track_sinks(bin, ends, accepted, exit).map_err(failed);
        }
    } else if can_be_taken(&end) {
        return track_sinks(bin, vec![end], accepted, exit).map_err(failed);
    }
    tune_muxers(bin);
    byte_sink(bin, &end, exit).map_err(failed)
}

fn is_declaration(element: &gst::Element, container: Container) -> bool {
    // All options of `mp4mux` concern files or its fragments, which are not ours.
    element.factory().is_some_and(|factory| {
        declares(&factory.name(), container) && (factory.name() == "mp4mux" || is_plain(element))
    })
}

fn track_sinks(
    bin: &gst::Bin,
    ends: Vec<gst::Pad>,
    accepted: &gst::Caps,
    exit: Exit,
) -> Result<Vec<gst_app::AppSink>, glib::BoolError> {
    let is_video = |end: &gst::Pad| {
        let caps = end.query_caps(Some(accepted));
        !caps.is_empty() && caps.iter().all(|form| !form.name().starts_with("audio/"))
    };
    let (mut ordered, audio): (Vec<_>, Vec<_>) = ends.into_iter().partition(is_video);
    let videos = ordered.len();
    ordered.extend(audio);
    let tracks = vec![None; ordered.len()];
    let shared = Arc::new(Shared {
        exit,
        lead: if videos > 0 { 0 } else { ordered.len().saturating_sub(1) },
        tracks: Mutex::new(tracks),
    });
    let sinks = ordered.into_iter().enumerate().map(|(place, end)| {
        let sink = track_sink(place, shared.clone(), accepted);
        link(bin, &end, &sink)?;
        Ok(sink)
    });
    sinks.collect()
}

/// Puts a sink after a pad.
fn link(bin: &gst::Bin, end: &gst::Pad, sink: &gst_app::AppSink) -> Result<(), glib::BoolError> {
    bin.add(sink)?;
    let entrance = sink.static_pad("sink").ok_or_else(|| glib::bool_error!("no sink pad"))?;
    end.link(&entrance).map(|_| ()).map_err(|error| glib::bool_error!("{}: {error}", end.name()))
}

/// The sink of a foreign muxer.
fn byte_sink(bin: &gst::Bin, end: &gst::Pad, exit: Exit) -> Result<Vec<gst_app::AppSink>, glib::BoolError> {
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        let buffers = buffers(&sample);
        let running = buffers.iter().find_map(|buffer| running(buffer.pts(), segment));
        exit.bytes(&buffers, running);
        Ok(gst::FlowSuccess::Ok)
    });
    let sink = live_sink(callbacks.build());
    link(bin, end, &sink)?;
    Ok(vec![sink])
}

fn buffers(sample: &gst::Sample) -> Vec<gst::Buffer> {
    match sample.buffer_list_owned() {
        Some(list) => list.iter_owned().collect(),
        None => sample.buffer_owned().into_iter().collect(),
    }
}

/// What the tracks of a stream have in common.
struct Shared {
    exit: Exit,
    /// Place of the track whose sync samples are join points.
    lead: usize,
    /// What is known of each track. The lock is held while something is sent, so that a description precedes its samples.
    tracks: Mutex<Vec<Option<TrackInfo>>>,
}

/// One track on its way out.
struct Outgoing {
    id: TrackId,
    caps: gst::Caps,
    canonicalizer: Canonicalizer,
    /// What the canonicalizer says now has been sent.
    is_described: bool,
}

fn track_sink(place: usize, shared: Arc<Shared>, accepted: &gst::Caps) -> gst_app::AppSink {
    let mut outgoing: Option<Outgoing> = None;
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        let caps = sample.caps().ok_or(gst::FlowError::NotNegotiated)?;
        let is_known = |known: &Outgoing| std::ptr::eq(known.caps.as_ref(), caps) || known.caps.as_ref() == caps;
        let outgoing = match &mut outgoing {
            Some(known) if is_known(known) => known,
            slot => slot.insert(Outgoing::new(place, caps).map_err(|why| {
                shared.fail(why);
                gst::FlowError::NotNegotiated
            })?),
        };
        let segment = sample.segment().and_then(|segment| segment.downcast_ref::<gst::ClockTime>());
        for buffer in buffers(&sample) {
            outgoing.push(place, buffer, segment, &shared);
        }
        Ok(gst::FlowSuccess::Ok)
    });
    let sink = live_sink(callbacks.build());
    sink.set_caps(Some(accepted));
    sink
}

impl Outgoing {
    fn new(place: usize, caps: &gst::CapsRef) -> Result<Self, String> {
        let form = source_form(caps).ok_or_else(|| format!("{caps} has no form that can be muxed"))?;
        let id = TrackId(u8::try_from(place).unwrap_or(u8::MAX));
        Ok(Self { id, caps: caps.to_owned(), canonicalizer: Canonicalizer::new(form), is_described: false })
    }

    /// Brings a buffer into canonical form and sends it. Streaming thread.
    fn push(
        &mut self,
        place: usize,
        buffer: gst::Buffer,
        segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
        shared: &Shared,
    ) {
        let (pts, dts) = (running(buffer.pts(), segment), running(buffer.dts(), segment));
        let Some(dts) = dts.or(pts) else { return };
        let pts = pts.unwrap_or(dts).max(dts);
        let duration = buffer.duration().map(Duration::from);
        let Ok(mapped) = buffer.into_mapped_buffer_readable() else { return };
        if mapped.is_empty() {
            return;
        }
        let Some(canonical) = self.canonicalizer.push(Bytes::from_owner(mapped)) else { return };
        self.is_described &= !canonical.parameters_changed;
        let mut tracks = lock(&shared.tracks);
        if !self.is_described {
            let Some((codec, shape)) = self.canonicalizer.parameters() else { return };
            let info = TrackInfo { id: self.id, codec: codec.clone(), shape: completed(shape, &self.caps) };
            shared.describe(place, info, &mut tracks);
            self.is_described = true;
        }
        let sample = Sample {
            track: self.id,
            dts: Time::from_nanos(dts),
            pts: Time::from_nanos(pts),
            duration,
            is_sync: canonical.is_sync,
            discontinuity: false,
            captured: Some(shared.exit.captured(pts)),
            entered: None,
            data: canonical.data,
        };
        if shared.exit.sender.sample(sample, place == shared.lead) {
            shared.exit.began();
        }
    }
}

impl Shared {
    /// Sends what is known of the tracks, if one of them is new or not what it was.
    fn describe(&self, place: usize, info: TrackInfo, tracks: &mut [Option<TrackInfo>]) {
        let Some(known) = tracks.get_mut(place).filter(|known| known.as_ref() != Some(&info)) else { return };
        *known = Some(info);
        let set = TrackSet::new(tracks.iter().flatten().cloned().collect());
        self.exit.sender.tracks(set, tracks.iter().all(Option::is_some));
    }

    fn fail(&self, why: String) {
        self.exit.events.send(Event::Bus(self.exit.run, super::event::BusEvent::Error(why)));
    }
}

/// A shape with what only caps say of it.
fn completed(shape: Shape, caps: &gst::CapsRef) -> Shape {
    match (shape, caps::video_shape(caps)) {
        (Shape::Video(found), Some(told)) => Shape::Video(VideoShape {
            width: if found.width > 0 { found.width } else { told.width },
            height: if found.height > 0 { found.height } else { told.height },
            pixel_aspect: if found.pixel_aspect == (1, 1) { told.pixel_aspect } else { found.pixel_aspect },
            frame_rate: told.frame_rate.or(found.frame_rate),
        }),
        (shape, _) => shape,
    }
}

/// A time of a buffer since the epoch, in nanoseconds.
fn running(time: Option<gst::ClockTime>, segment: Option<&gst::FormattedSegment<gst::ClockTime>>) -> Option<i64> {
    let signed = match segment {
        Some(segment) => segment.to_running_time_full(time?)?,
        None => time?.into(),
    };
    Some(match signed {
        gst::Signed::Positive(time) => i64::try_from(time.nseconds()).unwrap_or(i64::MAX),
        gst::Signed::Negative(time) => -i64::try_from(time.nseconds()).unwrap_or(i64::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::launch;

    /// Whether the muxer at the end of a pipeline is a declaration.
    fn is_declared(pipeline: &str, container: Container) -> bool {
        gst::init().unwrap();
        let bin = launch::parse(pipeline, &[]).unwrap();
        let end = launch::free_sources(&bin).pop().unwrap();
        end.parent_element().is_some_and(|last| is_declaration(&last, container))
    }

    #[test]
    fn a_plain_muxer_is_a_declaration() {
        for (muxer, container) in [
            ("mpegtsmux", Container::Ts),
            ("mpegtsmux alignment=7 latency=1000000", Container::Ts),
            ("mp4mux streamable=true fragment-duration=1", Container::Mp4),
            ("webmmux streamable=true min-cluster-duration=0", Container::Webm),
            ("matroskamux", Container::Mkv),
            ("flvmux streamable=true", Container::Flv),
        ] {
            let video = if container == Container::Webm { "vp8enc" } else { "x264enc" };
            assert!(is_declared(&format!("videotestsrc ! {video} ! {muxer}"), container), "{muxer}");
        }
        assert!(is_declared("audiotestsrc ! opusenc ! oggmux", Container::Ogg));
        assert!(is_declared("audiotestsrc ! wavenc", Container::Wav));
        assert!(is_declared("videotestsrc ! jpegenc ! multipartmux", Container::Mjpeg));
    }

    #[test]
    fn a_muxer_with_options_that_ours_lack_stays() {
        for option in ["bitrate=5000000", "pat-interval=100", "m2ts-mode=true", "prog-map=program_map,sink_65=2"] {
            assert!(!is_declared(&format!("videotestsrc ! x264enc ! mpegtsmux {option}"), Container::Ts), "{option}");
        }
        assert!(!is_declared("videotestsrc ! x264enc ! mpegtsmux ! identity", Container::Ts));
        assert!(!is_declared("videotestsrc ! x264enc ! qtmux", Container::Mp4));
        assert!(!is_declared("videotestsrc ! x264enc ! matroskamux timecodescale=100000", Container::Mkv));
    }
}
