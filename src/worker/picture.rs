//! Still pictures: one thread decodes and encodes them, off the way of the media.

use super::{
    copy,
    event::{Event, Events, describe},
    link::{Payload, Writer},
    muxed,
    sync::{dispose, lock},
    track::Still,
};
use crate::ipc::{FrameKind, FromWorker, PictureFault, PictureFormat};
use bytes::Bytes;
use gst::prelude::*;
use gstreamer as gst;
use gstreamer_app as gst_app;
use std::{
    collections::HashMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

/// Requests that may be in work or wait.
pub(super) const MAX_REQUESTS: usize = 16;
/// How long a request waits for the first picture of a stream that has just started.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// How long bytes wait for their request.
const BYTES_AGE: Duration = Duration::from_secs(10);
/// How many bytes wait for requests.
const BYTES_TOTAL: usize = 128 << 20;
/// How long one decoder or encoder may take.
pub(super) const WORK: gst::ClockTime = gst::ClockTime::from_seconds(8);
/// How long an encoded picture is kept for others who ask for the same one.
const SHARE: Duration = Duration::from_secs(2);
/// The quality at which a JPEG track's own pictures are good enough.
const USUAL_QUALITY: u8 = 85;

/// What one picture is made of.
pub(super) enum Material {
    /// The current picture of a stream.
    Stream(u32, Still),
    /// Muxed bytes.
    Bytes(Bytes),
}

struct Job {
    id: u32,
    format: PictureFormat,
    material: Material,
}

/// The picture thread's queue.
pub(super) struct Pictures {
    jobs: mpsc::Sender<Job>,
    in_work: Arc<AtomicUsize>,
    events: Events,
}

/// Bytes that came for picture requests.
#[derive(Default)]
pub(super) struct Mailbox(Mutex<HashMap<u32, (Instant, Bytes)>>);

impl Mailbox {
    /// Keeps bytes until they are asked for, or too old.
    pub(super) fn put(&self, id: u32, bytes: Bytes) {
        let mut kept = lock(&self.0);
        kept.retain(|_, (at, _)| at.elapsed() < BYTES_AGE);
        let total: usize = kept.values().map(|(_, bytes)| bytes.len()).sum();
        if total + bytes.len() <= BYTES_TOTAL {
            kept.insert(id, (Instant::now(), bytes));
        }
    }

    /// The bytes for a request, once.
    pub(super) fn take(&self, id: u32) -> Option<Bytes> {
        lock(&self.0).remove(&id).map(|(_, bytes)| bytes)
    }

    /// Lets go of what nobody asked for.
    pub(super) fn tidy(&self) {
        lock(&self.0).retain(|_, (at, _)| at.elapsed() < BYTES_AGE);
    }
}

impl Pictures {
    /// Starts the thread.
    pub(super) fn spawn(writer: Arc<Writer>, events: Events) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let in_work = Arc::new(AtomicUsize::new(0));
        let (count, told) = (in_work.clone(), events.clone());
        std::thread::Builder::new().name("pictures".into()).spawn(move || {
            let mut shared = Shared::default();
            for job in queue {
                let made = shared.picture(job.format, job.material);
                let sent = made.and_then(|picture| {
                    let payload = Payload::Owned(picture.to_vec());
                    let sent = writer.push(FrameKind::Picture, job.id, false, None, payload);
                    if sent { Ok(()) } else { Err(PictureFault::Failed("the server does not read".into())) }
                });
                if let Err(fault) = sent {
                    told.send(Event::Say(FromWorker::PictureFailed { id: job.id, fault }));
                }
                count.fetch_sub(1, Ordering::Relaxed);
                told.send(Event::Picture);
            }
        })?;
        Ok(Self { jobs, in_work, events })
    }

    /// Number of pictures in work.
    pub(super) fn in_work(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    /// Makes a picture and sends it, some time later.
    pub(super) fn make(&self, id: u32, format: PictureFormat, material: Material) {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        if self.jobs.send(Job { id, format, material }).is_err() {
            let fault = PictureFault::Failed("the picture thread is gone".into());
            self.events.send(Event::Say(FromWorker::PictureFailed { id, fault }));
        }
    }
}

/// Pictures made a moment ago, for those who ask for the same ones.
#[derive(Default)]
struct Shared(HashMap<(u32, PictureFormat), Made>);

/// A picture made, what it was made of, and when.
struct Made {
    of: Identity,
    at: Instant,
    picture: Arc<[u8]>,
}

/// Tells one picture of a track from another.
type Identity = (Option<gst::ClockTime>, usize);

impl Shared {
    fn picture(&mut self, format: PictureFormat, material: Material) -> Result<Arc<[u8]>, PictureFault> {
        self.0.retain(|_, made| made.at.elapsed() < SHARE);
        let (stream, still) = match material {
            Material::Bytes(bytes) => {
                let (caps, buffer) = muxed::last_picture(bytes)?;
                return encode(format, &caps, &buffer);
            }
            Material::Stream(stream, still) => (stream, still),
        };
        let newest = match &still {
            Still::Raw(_, buffer) => Some(buffer),
            Still::Encoded(_, buffers) => buffers.last(),
        };
        let identity = newest.map_or((None, 0), |buffer| (buffer.pts(), buffer.size()));
        if let Some(made) = self.0.get(&(stream, format))
            && made.of == identity
            && identity.0.is_some()
        {
            return Ok(made.picture.clone());
        }
        let picture = make(format, &still)?;
        let made = Made { of: identity, at: Instant::now(), picture: picture.clone() };
        self.0.insert((stream, format), made);
        Ok(picture)
    }
}

fn make(format: PictureFormat, still: &Still) -> Result<Arc<[u8]>, PictureFault> {
    let (caps, buffers) = match still {
        Still::Raw(caps, buffer) => return encode(format, caps, buffer),
        Still::Encoded(caps, buffers) => (caps, buffers),
    };
    let jpeg = caps.structure(0).is_some_and(|structure| structure.name() == "image/jpeg");
    if let (true, PictureFormat::Jpeg { quality: USUAL_QUALITY }, Some(buffer)) = (jpeg, format, buffers.last())
        && let Ok(map) = buffer.map_readable()
    {
        return Ok(map.as_slice().into());
    }
    let (caps, buffer) = decode(caps, buffers)?;
    encode(format, &caps, &buffer)
}

fn encode(format: PictureFormat, caps: &gst::Caps, buffer: &gst::Buffer) -> Result<Arc<[u8]>, PictureFault> {
    let encoder = match format {
        PictureFormat::Jpeg { quality } => format!("{} ! jpegenc quality={}", copy::JPEG_PIXELS, quality.clamp(1, 100)),
        PictureFormat::Png => "videoconvert ! pngenc compression-level=1".into(),
    };
    let text = format!("appsrc name=in format=time ! {encoder} ! appsink name=out sync=false wait-on-eos=false");
    let sample = run(&text, caps, std::slice::from_ref(buffer))?;
    let picture = sample.as_ref().and_then(|sample| sample.buffer()).and_then(|buffer| buffer.map_readable().ok());
    picture.map(|map| map.as_slice().into()).ok_or_else(|| PictureFault::Failed("the encoder gave nothing".into()))
}

/// The last picture of encoded ones.
pub(super) fn decode(caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<(gst::Caps, gst::Buffer), PictureFault> {
    const TEXT: &str = "appsrc name=in format=time ! decodebin ! videoconvert \
         ! appsink name=out sync=false wait-on-eos=false max-buffers=1 drop=true";
    let sample = run(TEXT, caps, buffers)?;
    let picture = sample.and_then(|sample| Some((sample.caps_owned()?, sample.buffer_owned()?)));
    picture.ok_or(PictureFault::NotYet)
}

/// Pushes buffers through a short pipeline; what comes out last.
fn run(text: &str, caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<Option<gst::Sample>, PictureFault> {
    let failed = |error: gst::glib::Error| PictureFault::Failed(error.message().to_owned());
    let pipeline = gst::parse::launch(text).map_err(failed)?;
    let Ok(pipeline) = pipeline.downcast::<gst::Pipeline>() else {
        return Err(PictureFault::Failed("no pipeline".into()));
    };
    let last = push_through(&pipeline, caps, buffers);
    dispose(pipeline, || {});
    last
}

fn push_through(
    pipeline: &gst::Pipeline,
    caps: &gst::Caps,
    buffers: &[gst::Buffer],
) -> Result<Option<gst::Sample>, PictureFault> {
    let failed = |text: &str| PictureFault::Failed(text.to_owned());
    let source = pipeline.by_name("in").and_then(|element| element.downcast::<gst_app::AppSrc>().ok());
    let sink = pipeline.by_name("out").and_then(|element| element.downcast::<gst_app::AppSink>().ok());
    let (Some(source), Some(sink), Some(bus)) = (source, sink, pipeline.bus()) else {
        return Err(failed("no pipeline"));
    };
    source.set_max_bytes(0);
    source.set_caps(Some(caps));
    let _ = pipeline.set_state(gst::State::Playing);
    for buffer in buffers {
        // A failure is told on the bus.
        let _ = source.push_buffer(buffer.clone());
    }
    let _ = source.end_of_stream();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = bus.timed_pop_filtered(WORK, &ends).ok_or_else(|| failed("it takes too long"))?;
    let sample = sink.try_pull_sample(gst::ClockTime::ZERO);
    match message.view() {
        // The end of the bytes may be cut; a picture before that is good.
        gst::MessageView::Error(error) if sample.is_none() => {
            Err(failed(&describe(message.src(), &error.error(), error.debug())))
        }
        _ => Ok(sample),
    }
}
