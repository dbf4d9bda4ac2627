//! The video encoder of a stream: what went into it last, and whether it works.

use super::{caps, threads::lock};
use gst::prelude::*;
use gstreamer as gst;
use std::{
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

/// How long an encoder may take for its first frame, and to be opened, where there is another one. What looks ahead is no
/// encoder for a live stream, and what hangs is none at all.
const TRIAL: Duration = Duration::from_secs(5);

/// The first video encoder of a pipeline.
pub(super) struct Encoder {
    pub(super) element: gst::Element,
    /// The newest frame that went into it: a reference, no copy.
    pub(super) newest: Arc<Mutex<Option<gst::Buffer>>>,
    progress: Arc<Progress>,
    /// The newest format that it was offered, whether it took it or not.
    offered: Arc<Mutex<Option<gst::Caps>>>,
}

/// How far an encoder is.
#[derive(Default)]
struct Progress {
    /// When the first frame went into it.
    fed: OnceLock<Instant>,
    /// A frame has come out of it.
    has_made: AtomicBool,
}

impl Encoder {
    /// Watches the first one of a pipeline.
    pub(super) fn of(bin: &gst::Bin) -> Option<Self> {
        let mut elements = bin.iterate_recurse();
        let element = loop {
            match elements.next() {
                Ok(Some(element)) if caps::is_video_encoder(&element) => break element,
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(gst::IteratorError::Resync) => elements.resync(),
                Err(gst::IteratorError::Error) => return None,
            }
        };
        let this = Self { element, newest: Arc::default(), progress: Arc::default(), offered: Arc::default() };
        let (kept, progress) = (this.newest.clone(), this.progress.clone());
        this.element.static_pad("sink")?.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            *lock(&kept) = info.buffer().map(|buffer| buffer.to_owned());
            progress.fed.get_or_init(Instant::now);
            gst::PadProbeReturn::Ok
        })?;
        let offered = this.offered.clone();
        this.element.static_pad("sink")?.add_probe(gst::PadProbeType::EVENT_DOWNSTREAM, move |_, info| {
            if let Some(gst::EventView::Caps(caps)) = info.event().map(|event| event.view()) {
                *lock(&offered) = Some(caps.caps_owned());
            }
            gst::PadProbeReturn::Ok
        })?;
        let progress = this.progress.clone();
        let made = gst::PadProbeType::BUFFER | gst::PadProbeType::BUFFER_LIST;
        this.element.static_pad("src")?.add_probe(made, move |_, _| {
            progress.has_made.store(true, Ordering::Relaxed);
            gst::PadProbeReturn::Remove
        })?;
        Some(this)
    }

    /// The name of the element's kind.
    pub(super) fn name(&self) -> Option<String> {
        Some(self.element.factory()?.name().to_string())
    }

    /// Width and height of the frames that it got or was to get.
    pub(super) fn frame_size(&self) -> Option<(i32, i32)> {
        caps::frame_size(lock(&self.offered).as_ref()?)
    }

    /// Why it has to be taken as not working, if it was started then; `is_fed`: media is let in, as it is when all is up.
    pub(super) fn stall_reason(&self, since: Instant, is_fed: bool) -> Option<&'static str> {
        let is_late = |since: &Instant| since.elapsed() > TRIAL;
        match self.progress.fed.get() {
            _ if self.progress.has_made.load(Ordering::Relaxed) => None,
            Some(fed) => is_late(fed).then_some("no frame came out of it within 5 s"),
            None if is_fed => None,
            None => is_late(&since).then_some("it did not start within 5 s"),
        }
    }

    /// The tests can have an encoder that does not start, and one that takes the worker with it.
    pub(super) fn is_refused(&self) -> bool {
        let crashes = || {
            fail::fail_point!("encoder-crashes", |named| named == self.name());
            false
        };
        if crashes() {
            std::process::abort();
        }
        fail::fail_point!("encoder-refuses", |named| named == self.name());
        false
    }
}
