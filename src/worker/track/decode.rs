//! The decoded form of an encoded track: made once, shared by all who need it, gone with the last of them.

use super::{Attachment, Track, track_source};
use crate::worker::{
    clock::{self, Timeline},
    event::{BusEvent, Event, Events, Owner, Run, next_run},
    gst_util::live_sink,
    threads::{dispose, lock, play, spawn},
};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::sync::{Arc, Mutex};

/// A running decoder of a track.
pub(in crate::worker) struct Decoded {
    /// The raw track.
    pub(in crate::worker) track: Arc<Track>,
    /// The run of its pipeline.
    pub(in crate::worker) run: Run,
    pipeline: gst::Pipeline,
    link: Mutex<Option<Attachment>>,
}

impl Decoded {
    /// The decoder of `track`: the running one, or a new one.
    pub(in crate::worker) fn of(
        track: &Arc<Track>,
        feed: u32,
        epoch: u64,
        events: &Events,
    ) -> Result<Arc<Self>, String> {
        let mut shared = lock(&track.decoded);
        if let Some(decoded) = shared.upgrade() {
            return Ok(decoded);
        }
        let decoded = Self::start(track, feed, epoch, events).map_err(|error| format!("decoder: {error}"))?;
        *shared = Arc::downgrade(&decoded);
        Ok(decoded)
    }

    fn start(track: &Arc<Track>, feed: u32, epoch: u64, events: &Events) -> Result<Arc<Self>, gst::glib::BoolError> {
        let run = next_run(Owner::Decoder(feed));
        let pipeline = gst::Pipeline::with_name("decoder");
        let source = track_source("in");
        let decoder = gst::ElementFactory::make("decodebin").build()?;
        pipeline.add_many([source.upcast_ref::<gst::Element>(), &decoder])?;
        source.link(&decoder)?;
        clock::set_base(&pipeline, epoch);
        events.watch(&pipeline, run);

        let raw = Track::new(track.kind, track.named, track.order);
        let timeline = Arc::new(Timeline::settled(epoch));
        let weak = pipeline.downgrade();
        let (target, told) = (raw.clone(), events.clone());
        decoder.connect_pad_added(move |_, pad| {
            let Some(pipeline) = weak.upgrade() else { return };
            let sink = raw_sink(target.clone(), timeline.clone(), feed, told.clone());
            let linked = pipeline
                .add(&sink)
                .and_then(|()| sink.sync_state_with_parent())
                .and_then(|()| sink.static_pad("sink").ok_or_else(|| gst::glib::bool_error!("no pad")))
                .map(|sink| pad.link(&sink).is_ok());
            if !matches!(linked, Ok(true)) {
                told.send(Event::Bus(run, BusEvent::Error("decoder: cannot be read from".into())));
            }
        });
        let decoded = Arc::new(Self { track: raw, run, pipeline: pipeline.clone(), link: Mutex::default() });
        let (weak, track, events) = (Arc::downgrade(&decoded), track.clone(), events.clone());
        spawn("decoder", move || {
            if !play(&pipeline) {
                return events.send(Event::Bus(run, BusEvent::Error("decoder: does not start".into())));
            }
            if let Some(decoded) = weak.upgrade() {
                *lock(&decoded.link) = Some(track.attach(&source));
            }
        });
        Ok(decoded)
    }
}

impl Drop for Decoded {
    fn drop(&mut self) {
        lock(&self.link).take();
        dispose(self.pipeline.clone(), || {});
    }
}

fn raw_sink(track: Arc<Track>, timeline: Arc<Timeline>, feed: u32, events: Events) -> gst_app::AppSink {
    let mut last = None;
    let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
        let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
        if track.deliver(&sample, &timeline, &mut last) == super::Delivered::Caps {
            events.send(Event::Tracks(feed));
        }
        Ok(gst::FlowSuccess::Ok)
    });
    live_sink(callbacks.build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_callback_is_an_error_of_its_pipeline() {
        gst::init().unwrap();
        let pipeline = gst::Pipeline::new();
        let source = gst::ElementFactory::make("videotestsrc").build().unwrap();
        let sink = live_sink(gst_app::AppSinkCallbacks::builder().new_sample(|_| panic!("on purpose")).build());
        pipeline.add_many([&source, sink.upcast_ref()]).unwrap();
        source.link(&sink).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(10), &[gst::MessageType::Error]).unwrap();
        assert_eq!(message.src(), Some(sink.upcast_ref()));
        pipeline.set_state(gst::State::Null).unwrap();
    }
}
