//! What server and worker say to each other.

use super::StillSpec;
use crate::media::{Container, TrackSet};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The feeds and streams that one worker runs: a group that is connected by shared tracks.
/// Its numbers are those that [`Item`] and media channels use. A worker may be given another plan while it runs: what is in
/// both under one number continues.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Nanoseconds on the machine's monotonic clock that all running times of the group count from, so that
    /// the timeline continues when a worker is replaced.
    pub epoch: u64,
    /// The group's feeds.
    pub feeds: BTreeMap<u32, FeedPlan>,
    /// The group's streams that a pipeline makes.
    pub streams: BTreeMap<u32, StreamPlan>,
}

/// One feed of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FeedPlan {
    /// The configured name, for the log.
    pub name: String,
    /// Where its media comes from.
    pub source: FeedSource,
    /// Frames per second of what has no times of its own, as a fraction.
    pub fps: Option<(u32, u32)>,
}

/// Where a feed's media comes from, as a worker sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeedSource {
    /// A gst-launch pipeline; each free source pad, or the elements named `video` and `audio`, are tracks.
    Launch(String),
    /// A regular file, played in real time.
    File {
        /// Which one.
        path: PathBuf,
        /// Whether it restarts at its end.
        looped: bool,
    },
    /// The server sends the muxed bytes as [`FrameKind::FeedBytes`](super::FrameKind::FeedBytes).
    Bytes,
}

/// One stream of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamPlan {
    /// The configured name, for the log.
    pub name: String,
    /// Its feeds: numbers in [`Plan::feeds`]. Empty for a stream that has its own source.
    pub feeds: Vec<u32>,
    /// How its packets are made.
    pub encoding: Encoding,
    /// The container that a muxer at the end of its pipeline declares; `None` for a pipeline whose free ends are its tracks.
    pub container: Option<Container>,
}

/// How a stream's packets are made from the tracks of its feeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// Encoded tracks go into the container as they are; raw ones are encoded with the container's usual codec.
    Copy,
    /// gst-launch pipelines that read `video.` and `audio.` and end in free source pads. The first that works is used.
    Launch(Vec<String>),
}

impl Encoding {
    /// How many pipelines there are to try.
    pub fn texts(&self) -> usize {
        match self {
            Self::Copy => 0,
            Self::Launch(texts) => texts.len(),
        }
    }
}

/// Something in a plan that can be started and stopped by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Item {
    /// Number in [`Plan::feeds`].
    Feed(u32),
    /// Number in [`Plan::streams`].
    Stream(u32),
}

/// Server to worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToWorker {
    /// What to run; sent before any `Start`. Starts nothing. A later one adds items, ends those that it lacks, and changes those that
    /// do not run; what runs keeps running.
    Plan(Plan),
    /// Parse these gst-launch pipelines; answered by [`FromWorker::Checked`]. Needs no plan.
    Check(Vec<(TextKind, String)>),
    /// Run each of these gst-launch pipelines to its end; answered by [`FromWorker::Tried`]. Needs no plan.
    Try(Vec<String>),
    /// Open each of these sources, each a gst-launch text of one element; answered by [`FromWorker::Offered`]. Needs no plan.
    Offers(Vec<String>),
    /// Run this item. Answered by `Started` with the first media, or by `Ended`.
    Start {
        /// Which one.
        item: Item,
        /// Number of the run, which its media carries. The server drops media of other runs.
        run: u32,
    },
    /// End this item; answered by `Ended` with [`Ended::Stopped`].
    Stop {
        /// Which one.
        item: Item,
    },
    /// The first so many pipelines of this stream do not work here; sent before its `Start`.
    PassOver {
        /// Number in [`Plan::streams`].
        stream: u32,
        /// How many; fewer than there are.
        texts: usize,
    },
    /// The next video frame of this stream should be a keyframe. The server limits the rate.
    ForceKeyframe {
        /// Number in [`Plan::streams`].
        stream: u32,
        /// Or the first that is captured then or later, on the machine's monotonic clock.
        at: Option<Duration>,
    },
    /// The element `caption` of this running feed shows this text from now on.
    Caption {
        /// Number in [`Plan::feeds`].
        feed: u32,
        /// A few lines of Pango markup.
        text: String,
    },
    /// Answered by a [`FrameKind::Still`](super::FrameKind::Still) or by [`FromWorker::PictureFailed`], both with `id`.
    Picture(PictureRequest),
    /// End all and leave. A closed control socket means the same, immediately.
    Exit,
}

/// What a pipeline is for, which decides the names that it may refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// The pipeline of a feed.
    Feed,
    /// The pipeline of a stream that ends in its container: `video.` and `audio.` exist.
    Stream,
    /// The pipeline of a stream that ends in its tracks.
    Tracks,
    /// Part of a pipeline: anything that parses.
    Element,
}

/// The payload of a [`FrameKind::Tracks`](super::FrameKind::Tracks) frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracksMessage {
    /// What is known.
    pub set: TrackSet,
    /// There are no other tracks.
    pub is_complete: bool,
}

/// A request for one still.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PictureRequest {
    /// Chosen by the server; the channel of the answer.
    pub id: u32,
    /// What it is a still of.
    pub of: PictureOf,
    /// How it is to look.
    pub spec: StillSpec,
    /// It is to be captured no earlier, on the machine's monotonic clock.
    pub not_before: Option<Duration>,
}

/// What a still shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureOf {
    /// The current frame of this stream of the plan.
    Stream(u32),
    /// The last frame of one [`FrameKind::StillBytes`](super::FrameKind::StillBytes) with the `id` of the request as channel, which is
    /// sent on the media socket, before or after it. The bytes are of the stream of this name.
    Bytes(String),
    /// The same of a recording, which is MP4.
    Recorded(FrameChoice),
}

/// Which frames of a recording a still shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameChoice {
    /// The last one that is shown no later than this, in nanoseconds of the timeline of the bytes.
    Until(u64),
    /// All, side by side: each at the place that is its time in seconds. The bytes are several files, each after its length (32 bits,
    /// big-endian).
    Row {
        /// How many places there are.
        places: u16,
        /// Pixels of each; a multiple of 8.
        width: u16,
    },
}

/// Worker to server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromWorker {
    /// First message: GStreamer is initialised and the worker may be used.
    Hello {
        /// [`super::VERSION`].
        version: u32,
    },
    /// Sent every [`super::BEAT`] by the thread that handles control messages.
    Beat,
    /// Answer to [`ToWorker::Check`]: one entry for each pipeline, `None` where it parses.
    Checked(Vec<Option<TextFault>>),
    /// Answer to [`ToWorker::Try`]: one entry for each pipeline, `None` where it worked, else why it did not.
    Tried(Vec<Option<String>>),
    /// Answer to [`ToWorker::Offers`]: the caps that each source offers, or why it cannot be opened.
    Offered(Vec<Result<Vec<String>, String>>),
    /// The item has delivered its first media since `Start`.
    Started {
        /// Which one.
        item: Item,
    },
    /// The device of the item captures nothing, or something again.
    Signal {
        /// Which one.
        item: Item,
        /// Whether it captures something.
        is_there: bool,
    },
    /// A track of the item that was there is so no more, though nothing failed. The server decides what to do.
    Stalled {
        /// Which one.
        item: Item,
        /// Which track, and for how long.
        text: String,
    },
    /// How one of several pipelines of a stream does that has not shown yet that it works.
    EncoderProbe {
        /// Number in [`Plan::streams`].
        stream: u32,
        /// Which of its pipelines, from 0.
        text: usize,
        /// How it does.
        outcome: EncoderProbe,
    },
    /// The item runs no more.
    Ended {
        /// Which one.
        item: Item,
        /// Why.
        why: Ended,
    },
    /// The tracks of an item are known, or changed: of a feed as it delivers them, of a stream as they are in its container.
    Tracks {
        /// Which one.
        item: Item,
        /// What it has.
        tracks: Vec<Track>,
    },
    /// A still could not be made.
    PictureFailed {
        /// The request's id.
        id: u32,
        /// Why.
        fault: PictureFault,
    },
    /// A line for the log.
    Log {
        /// How grave.
        level: LogLevel,
        /// Whose line it is, if it is about one item.
        item: Option<Item>,
        /// The line.
        text: String,
    },
}

/// How a pipeline does that is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncoderProbe {
    /// It is about to run. A worker that dies now died of it.
    Begun,
    /// It made a packet.
    Passed,
    /// It does not work here; the next one is tried.
    Failed,
}

/// Why an item ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// It was asked to.
    Stopped,
    /// Its source came to its end.
    EndOfStream,
    /// An element failed; the text says which and why.
    Failed(String),
    /// An element failed, and its device is not there.
    NoDevice {
        /// The path that does not exist.
        device: PathBuf,
        /// What the element said.
        why: String,
    },
}

/// Why a pipeline does not parse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFault {
    /// What GStreamer says, and what to install where an element is missing.
    pub message: String,
    /// Where in the pipeline, in bytes, when that is known: the start of the word at fault.
    pub at: Option<usize>,
    /// The machine lacks an element, or has one that lacks a property or value: the pipeline may be good elsewhere.
    pub is_of_machine: bool,
}

/// Why there is no still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureFault {
    /// There is no video track.
    NoVideo,
    /// No frame is there yet; try again soon.
    NotYet,
    /// A decoder or encoder failed.
    Failed(String),
}

/// One elementary stream of a feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Video or audio.
    pub kind: TrackKind,
    /// Whether it is encoded already.
    pub encoded: bool,
    /// GStreamer's description of the format, for status pages.
    pub caps: String,
}

impl Track {
    /// The value of a field of its format, without its type.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.caps.split(',').filter_map(|field| field.trim().split_once('='));
        let (_, value) = fields.find(|(key, _)| *key == name)?;
        let value = value.trim_end_matches(';');
        Some(value.rsplit_once(')').map_or(value, |(_, value)| value))
    }
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackKind {
    /// Video.
    Video,
    /// Audio.
    Audio,
    /// A whole container, muxed inside the feed's own pipeline.
    Muxed,
}

impl TrackKind {
    /// One word for the log.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Video => "video",
            Self::Audio => "audio",
            Self::Muxed => "muxed media",
        }
    }
}

/// How grave a worker's log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogLevel {
    /// Someone must act.
    Error,
    /// Degraded, but running.
    Warn,
    /// Life cycle.
    Info,
    /// For those who look for a cause.
    Debug,
}
