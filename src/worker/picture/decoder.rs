//! Decodes the frames that stills are made of.

use super::mini_pipeline::MiniPipeline;
use crate::{
    ipc::PictureFault,
    worker::{
        event::describe,
        gst_util::{STILL_DEADLINE, in_order},
        threads::lock,
    },
};
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

const TEXT: &str = "appsrc name=in format=time ! decodebin ! videoconvert \
     ! appsink name=out sync=false wait-on-eos=false max-buffers=1 drop=true";
/// How long a decoder may take for one frame, until it is taken to wait for those after it.
const NEXT: gst::ClockTime = gst::ClockTime::from_mseconds(150);

/// A raw frame.
pub(super) type Raw = (gst::Caps, gst::Buffer);

fn raw(sample: gst::Sample) -> Option<Raw> {
    Some((sample.caps_owned()?, sample.buffer_owned()?))
}

/// The last one of encoded frames, decoded by as many threads as a decoder likes. Those that a decoder could only guess do not
/// count.
pub(in crate::worker) fn decode(caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<Raw, PictureFault> {
    let shown = shown(buffers);
    match decode_all(caps, &shown, true, None) {
        // Some encoders do not mark a frame as a keyframe. One that says that it recovers later does so later.
        Err(_) if shown.first().is_some_and(recovers) => Err(PictureFault::NotYet),
        Err(_) => decode_all(caps, &shown, false, None),
        decoded => decoded,
    }
}

/// The last one of encoded frames that is shown no later than `time`; a frame that a decoder could only guess if there is no other.
pub(super) fn decode_until(
    caps: &gst::Caps,
    buffers: &[gst::Buffer],
    time: gst::ClockTime,
) -> Result<Raw, PictureFault> {
    let shown = shown(buffers);
    decode_all(caps, &shown, true, Some(time)).or_else(|_| decode_all(caps, &shown, false, Some(time)))
}

/// Whether two buffers are the same frame, which may have been demuxed twice.
fn is_same(one: &gst::Buffer, other: &gst::Buffer) -> bool {
    let is_alike = || one.pts() == other.pts() && one.size() == other.size();
    one.as_ptr() == other.as_ptr() || (one.pts().is_some() && is_alike())
}

/// Without the frames that are shown before the one that they begin with: they refer to what came before that.
fn shown(buffers: &[gst::Buffer]) -> Vec<gst::Buffer> {
    let first = buffers.first().and_then(|buffer| buffer.pts());
    buffers
        .iter()
        .filter(|buffer| first.is_none_or(|first| buffer.pts().is_none_or(|pts| pts >= first)))
        .cloned()
        .collect()
}

/// Whether an access unit of H.264 with lengths says that decoding recovers from there on (ITU-T H.264, section D.1.8).
fn recovers(buffer: &gst::Buffer) -> bool {
    let Ok(map) = buffer.map_readable() else { return false };
    let mut rest = map.as_slice();
    while let Some((length, units)) = rest.split_first_chunk::<4>() {
        let Some((unit, after)) = units.split_at_checked(u32::from_be_bytes(*length) as usize) else { return false };
        if matches!(unit, [6, 6, ..]) {
            return true;
        }
        rest = after;
    }
    false
}

fn decode_all(
    caps: &gst::Caps,
    buffers: &[gst::Buffer],
    is_strict: bool,
    until: Option<gst::ClockTime>,
) -> Result<Raw, PictureFault> {
    let line = MiniPipeline::new(TEXT, caps)?;
    // Frames come in the order in which they are shown.
    let last = Arc::<Mutex<Option<gst::Sample>>>::default();
    if let Some(until) = until {
        let last = last.clone();
        let callbacks = gst_app::AppSinkCallbacks::builder().new_sample(move |sink| {
            let sample = sink.pull_sample().map_err(|_| gst::FlowError::Eos)?;
            if sample.buffer().and_then(|buffer| buffer.pts()).is_some_and(|pts| pts <= until) {
                *lock(&last) = Some(sample);
            }
            Ok(gst::FlowSuccess::Ok)
        });
        line.sink.set_callbacks(callbacks.build());
    }
    if is_strict {
        line.pipeline.connect_deep_element_added(|_, _, element| {
            if element.find_property("output-corrupt").is_some() {
                element.set_property("output-corrupt", false);
            }
        });
    }
    let line = line.play();
    for buffer in buffers {
        // The bus reports a failure.
        let _ = line.source.push_buffer(buffer.clone());
    }
    let _ = line.source.end_of_stream();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = line.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(STILL_DEADLINE, &ends));
    let message = message.ok_or_else(|| PictureFault::Failed("it takes too long".into()))?;
    let picture = match until {
        None => line.sink.try_pull_sample(gst::ClockTime::ZERO),
        Some(_) => lock(&last).take(),
    };
    let picture = picture.and_then(raw);
    match (picture, message.view()) {
        // The end of the bytes may be cut; a frame before that is good.
        (Some(picture), _) => Ok(picture),
        (None, gst::MessageView::Error(error)) => {
            Err(PictureFault::Failed(describe(message.src(), &error.error(), error.debug())))
        }
        (None, _) => Err(PictureFault::NotYet),
    }
}

/// Decodes the frames of a GOP for a client that asks repeatedly: each goes in once.
pub(super) struct Decoder {
    line: MiniPipeline,
    caps: gst::Caps,
    /// What went in last.
    last: Option<gst::Buffer>,
}

impl Decoder {
    pub(super) fn new(caps: &gst::Caps) -> Result<Self, PictureFault> {
        let line = MiniPipeline::new(TEXT, caps)?;
        in_order(&line.pipeline);
        Ok(Self { line: line.play(), caps: caps.clone(), last: None })
    }

    /// Whether these are the frames of the same GOP, and maybe further ones.
    pub(super) fn goes_on(&self, caps: &gst::Caps, buffers: &[gst::Buffer]) -> bool {
        self.caps == *caps && self.known(buffers) > 0
    }

    /// How many of these have gone in.
    fn known(&self, buffers: &[gst::Buffer]) -> usize {
        let Some(last) = &self.last else { return 0 };
        buffers.iter().rposition(|buffer| is_same(buffer, last)).map_or(0, |at| at + 1)
    }

    /// The last frame of a GOP, whose frames are given from the first one on. `None` when it does not come by itself:
    /// a decoder that reorders frames waits for those after it.
    pub(super) fn last(&mut self, buffers: &[gst::Buffer]) -> Option<Raw> {
        let began = Instant::now();
        for buffer in buffers.get(self.known(buffers)..)? {
            // A failure shows in that nothing comes.
            let _ = self.line.source.push_buffer(buffer.clone());
        }
        self.last = buffers.last().cloned();
        let wanted = buffers.iter().filter_map(|buffer| buffer.pts()).max()?;
        while began.elapsed() < Duration::from(STILL_DEADLINE) {
            let picture = self.line.sink.try_pull_sample(NEXT)?;
            if picture.buffer().and_then(|buffer| buffer.pts()) == Some(wanted) {
                return raw(picture);
            }
        }
        None
    }
}
