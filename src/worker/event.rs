//! Everything that can happen, as one type in one channel.

use crate::ipc::{FromWorker, Item, LogLevel, ToWorker};
use gst::prelude::*;
use gstreamer as gst;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
    mpsc,
};

/// What `v4l2src` warns of when a card has no input: it continues to deliver frames, of noise.
const SIGNAL_LOST: &str = "Signal lost";
/// What it says when the input is back. Workers speak English.
const SIGNAL_BACK: &str = "Signal recovered";

/// What the worker's one deciding thread receives.
pub(super) enum Event {
    /// A message from the server.
    Control(ToWorker),
    /// A socket is closed or of no use.
    Closed,
    /// A line for the server.
    Send(FromWorker),
    /// A pipeline reports something.
    Bus(Run, BusEvent),
    /// A pipeline has been set to play; media may be pushed into it.
    Playing(Run),
    /// A pipeline is gone for good.
    Stopped(Run),
    /// A feed's tracks are known, or changed.
    Tracks(u32),
    /// The bytes of a feed restart.
    Restart(u32),
    /// The first media of an item.
    FirstBuffer(Run),
    /// A still job is done.
    Picture,
}

/// One run of one pipeline: the number distinguishes events of an earlier run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    /// Whose pipeline.
    pub(super) owner: Owner,
    /// Unique in this process.
    pub(super) number: u64,
}

/// Whose pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// A feed's own.
    Feed(u32),
    /// The one that takes a feed's muxed track apart.
    Demux(u32),
    /// One that decodes a track of a feed.
    Decoder(u32),
    /// A stream's.
    Stream(u32),
}

impl Owner {
    /// The item that a log line is about.
    pub(super) fn item(self) -> Item {
        match self {
            Self::Feed(feed) | Self::Demux(feed) | Self::Decoder(feed) => Item::Feed(feed),
            Self::Stream(stream) => Item::Stream(stream),
        }
    }
}

/// A number that no other pipeline of this process has.
pub(super) fn next_run(owner: Owner) -> Run {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    Run { owner, number: NUMBERS.fetch_add(1, Ordering::Relaxed) }
}

/// What a pipeline reports.
pub(super) enum BusEvent {
    /// It failed.
    Error(String),
    /// It is at its end.
    EndOfStream,
    /// Something to log.
    Warning(String),
    /// What a device captures has come or gone.
    Signal(bool),
    /// Latencies changed.
    Latency(gst::glib::WeakRef<gst::Pipeline>),
}

/// The sending side, for callbacks and threads. Unbounded, because its senders may not wait; they send at most a
/// few events a second.
#[derive(Clone)]
pub(super) struct Events(mpsc::Sender<Event>);

impl Events {
    pub(super) fn channel() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel();
        (Self(sender), receiver)
    }

    pub(super) fn send(&self, event: Event) {
        // The receiver is gone when the worker leaves.
        let _ = self.0.send(event);
    }

    pub(super) fn log(&self, level: LogLevel, item: Option<Item>, text: String) {
        self.send(Event::Send(FromWorker::Log { level, item, text }));
    }

    /// Forwards what matters of a pipeline's bus. Returns whether its device captures something, as it is at any time.
    pub(super) fn watch(&self, pipeline: &gst::Pipeline, run: Run) -> Arc<AtomicBool> {
        let signal = Arc::new(AtomicBool::new(true));
        let has_signal = signal.clone();
        let events = self.clone();
        let weak = pipeline.downgrade();
        let Some(bus) = pipeline.bus() else { return signal };
        bus.set_sync_handler(move |_, message| {
            use gst::MessageView as View;
            let event = match message.view() {
                View::Error(error) => Some(BusEvent::Error(describe(message.src(), &error.error(), error.debug()))),
                View::Eos(_) => Some(BusEvent::EndOfStream),
                View::Warning(fault) if fault.error().message() == SIGNAL_LOST => Some(BusEvent::Signal(false)),
                View::Info(info) if info.error().message() == SIGNAL_BACK => Some(BusEvent::Signal(true)),
                View::Warning(fault) => Some(BusEvent::Warning(describe(message.src(), &fault.error(), fault.debug()))),
                View::Latency(_) => Some(BusEvent::Latency(weak.clone())),
                _ => None,
            };
            // Told by the thread that is about to deliver what it captured.
            if let Some(BusEvent::Signal(is_there)) = event {
                has_signal.store(is_there, Ordering::Relaxed);
            }
            if let Some(event) = event {
                events.send(Event::Bus(run, event));
            }
            gst::BusSyncReply::Drop
        });
        signal
    }
}

/// `element: message (last line of the debug text)`.
pub(super) fn describe(
    source: Option<&gst::Object>,
    error: &gst::glib::Error,
    debug: Option<gst::glib::GString>,
) -> String {
    let element = source.map_or_else(|| "pipeline".into(), |source| source.name().to_string());
    let message = error.message().trim();
    // The debug text is `file.c(line): function (): path:\ndetail`.
    let tail = debug.as_deref().and_then(|debug| debug.lines().filter(|line| !line.trim().is_empty()).nth(1));
    let text = match tail.map(str::trim).filter(|tail| *tail != message) {
        Some(tail) => format!("{element}: {message} ({tail})"),
        None => format!("{element}: {message}"),
    };
    match advice(&text).filter(|_| element.starts_with("rtspsrc")) {
        Some(advice) => format!("{text}: {advice}"),
        None => text,
    }
}

/// What to do when a camera refuses, by the status of its response or what GStreamer makes of it.
fn advice(text: &str) -> Option<&'static str> {
    const KNOWN: [(&str, &str); 6] = [
        ("(401)", "user or password is missing or wrong"),
        ("(403)", "the user may not watch this"),
        ("(404)", "the camera has nothing at this path"),
        ("(453)", "the camera has too many viewers"),
        ("allow more transport protocols", "the camera refuses this `transport`: try tcp, udp or auto"),
        ("(461)", "the camera refuses this `transport`: try tcp, udp or auto"),
    ];
    KNOWN.iter().find(|(status, _)| text.contains(status)).map(|(_, advice)| *advice)
}
