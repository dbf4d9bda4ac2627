//! What GStreamer's muxers are set to, where they stay.

use gst::prelude::*;
use gstreamer as gst;

/// Sets what a live stream needs, whatever a pipeline says: join points at each keyframe, headers that can be repeated.
pub(super) fn tune_muxers(bin: &gst::Bin) {
    for element in bin.children() {
        match element.factory().as_ref().map(|factory| factory.name()).as_deref() {
            Some("webmmux" | "matroskamux") => {
                element.set_property("streamable", true);
                element.set_property("min-cluster-duration", 0i64);
            }
            // Otherwise pages wait until they are full.
            Some("oggmux") => {
                element.set_property("max-delay", 0u64);
                element.set_property("max-page-delay", 0u64);
            }
            Some("flvmux") => element.set_property("streamable", true),
            // A fragment for each sample: the next one sends it off.
            Some("mp4mux") => {
                element.set_property("fragment-duration", 1u32);
                // Fine enough for all frame rates and sample rates.
                element.set_property("trak-timescale", 90_000u32);
                element.set_property("streamable", true);
            }
            // Any other alignment loses the flags of join points.
            Some("mpegtsmux") => {
                element.set_property("alignment", -1i32);
                // Otherwise buffer times count from the first buffer, and capture times are lost.
                element.set_property_from_str("start-time-selection", "first");
            }
            _ => {}
        }
    }
}
