//! Small helpers around GStreamer.

use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;

/// How long one decoder or encoder of a still may take.
pub(super) const STILL_DEADLINE: gst::ClockTime = gst::ClockTime::from_seconds(8);

/// An appsink that forwards what it gets and never waits.
pub(super) fn live_sink(callbacks: gst_app::AppSinkCallbacks) -> gst_app::AppSink {
    gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .buffer_list(true)
        .enable_last_sample(false)
        .qos(false)
        .max_buffers(2)
        .callbacks(callbacks)
        .build()
}

/// Has decoders of a pipeline decode one frame after the other. More threads would delay frames until the end, and wait
/// for each other.
pub(super) fn in_order(pipeline: &gst::Pipeline) {
    pipeline.connect_deep_element_added(|_, _, element| {
        if element.find_property("max-threads").is_some() {
            element.set_property("max-threads", 1i32);
        }
    });
}
