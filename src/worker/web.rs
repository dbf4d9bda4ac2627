//! Sources on the web: what comes without an end, or as JPEG, goes to our own demuxers instead of `parsebin`. An address with
//! one still is requested again for each frame.

use super::{
    branches::Branches,
    threads::{lock, spawn},
    unpack::{Unpack, frame_time, say_rate_is_unused},
};
use crate::media::{Container, MAX_SNIFFED, Sniffed, sniff};
use bytes::Bytes;
use gst::{glib, prelude::*};
use gstreamer as gst;
use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

/// The least time from one request to the next for an address of one still, unless configured: a camera must have time for others.
const PACE: Duration = Duration::from_millis(500);

/// What is known of what comes.
enum Way {
    /// Nothing came yet.
    Unknown,
    /// It is demuxed here.
    Ours(Arc<Mutex<Unpack>>),
    /// Elements of GStreamer demux it.
    Theirs,
}

/// Looks at what comes from a source of the web in a feed that hands it to `parsebin`, and demuxes it if that is better.
pub(super) fn divert(bin: &gst::Bin, pipeline: &gst::Pipeline, branches: &Arc<Branches>, fps: Option<(u32, u32)>) {
    let is = |element: &gst::Element, name: &str| element.factory().is_some_and(|factory| factory.name() == name);
    let Some(source) = bin.children().into_iter().find(|element| is(element, "souphttpsrc")) else { return };
    let Some(pad) = source.static_pad("src") else { return };
    let next = pad.peer().and_then(|peer| peer.parent_element());
    if !next.is_some_and(|next| is(&next, "parsebin")) {
        return;
    }
    let pace = fps.map_or(PACE, frame_time);
    let (way, asked) = (Mutex::new(Way::Unknown), Mutex::new(Instant::now()));
    let (source, pipeline, branches) = (source.downgrade(), pipeline.downgrade(), branches.clone());
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST | gst::PadProbeType::EVENT_DOWNSTREAM;
    pad.add_probe(kinds, move |pad, info| {
        let mut way = lock(&way);
        if let Some(event) = info.event() {
            return match &*way {
                Way::Ours(unpack) => {
                    if event.type_() == gst::EventType::Eos {
                        let mut unpack = lock(unpack);
                        if unpack.is_one_picture() {
                            ask_again(&source, &asked, pace);
                        } else {
                            let _ = unpack.finish();
                        }
                    }
                    // GStreamer 1.22 unrefs an event that is dropped once too often.
                    gst::PadProbeReturn::Handled
                }
                Way::Unknown | Way::Theirs => gst::PadProbeReturn::Ok,
            };
        }
        let buffers: Vec<&gst::BufferRef> = match (info.buffer(), info.buffer_list()) {
            (Some(buffer), _) => vec![buffer],
            (None, Some(list)) => list.iter().collect(),
            (None, None) => return gst::PadProbeReturn::Ok,
        };
        for buffer in buffers {
            let Ok(map) = buffer.map_readable() else { continue };
            if matches!(*way, Way::Unknown) {
                *way = match pipeline.upgrade().filter(|_| is_for_us(pad, &map)) {
                    Some(pipeline) => {
                        branches.arrives();
                        Way::Ours(Arc::new(Mutex::new(Unpack::new(branches.clone(), &pipeline, fps))))
                    }
                    None => {
                        if fps.is_some() {
                            say_rate_is_unused(&branches);
                        }
                        Way::Theirs
                    }
                };
            }
            let Way::Ours(unpack) = &*way else { return gst::PadProbeReturn::Ok };
            if lock(unpack).push(Bytes::copy_from_slice(&map)).is_err() {
                return gst::PadProbeReturn::Drop;
            }
        }
        gst::PadProbeReturn::Drop
    });
}

/// Whether what begins with these bytes has no end, or is JPEG. A file of the web is played in its time by others, who can seek in it.
fn is_for_us(pad: &gst::Pad, first: &[u8]) -> bool {
    let is_plain = pad
        .current_caps()
        .is_none_or(|caps| caps.is_any() || caps.structure(0).is_none_or(|form| form.name() != "application/x-icy"));
    let first = first.get(..MAX_SNIFFED.min(first.len())).unwrap_or_default();
    let is_jpeg = sniff(first, true) == Sniffed::Is(Container::Mjpeg);
    let is_endless = || pad.query_duration::<gst::format::Bytes>().is_none();
    is_plain && (is_jpeg || is_endless())
}

/// Has the source make its request again, some time after the one before.
fn ask_again(source: &glib::WeakRef<gst::Element>, asked: &Mutex<Instant>, pace: Duration) {
    let (source, last) = (source.clone(), *lock(asked));
    let at = (last + pace).max(Instant::now());
    *lock(asked) = at;
    spawn("next picture", move || {
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let Some(source) = source.upgrade() else { return };
        let plays = |source: &gst::Element| {
            let parent = source.parent().and_then(|parent| parent.downcast::<gst::Element>().ok());
            parent.is_some_and(|parent| parent.current_state() >= gst::State::Paused)
        };
        if plays(&source) {
            let _ = source.set_state(gst::State::Ready);
            let _ = source.sync_state_with_parent();
        }
        if !plays(&source) {
            // It was stopped meanwhile.
            let _ = source.set_state(gst::State::Null);
        }
    });
}
