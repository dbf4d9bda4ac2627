//! Still pictures: one thread decodes and encodes them, off the way of the media.

use super::{
    copy,
    event::{Event, Events, describe},
    link::{Payload, Writer},
    muxed,
    sync::{dispose, lock},
    track::Still,
};
use crate::{
    ipc::{FrameKind, FromWorker, PictureFault, PictureFormat, Rendition},
    media::frame::Layout,
};
use bytes::Bytes;
use gstreamer as gst;
use gstreamer_app as gst_app;
use gstreamer_video::{self as gst_video, prelude::*};
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
/// Pause between two looks whether a picture that is asked for can be made.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// How long bytes wait for their request.
const BYTES_AGE: Duration = Duration::from_secs(10);
/// How many bytes wait for requests.
const BYTES_TOTAL: usize = 128 << 20;
/// How long one decoder or encoder may take.
pub(super) const WORK: gst::ClockTime = gst::ClockTime::from_seconds(8);
/// How long a picture and its encoder are kept for others who ask for the same one, or the next.
const SHARE: Duration = Duration::from_secs(2);
/// How many encoders are kept.
const MAX_ENCODERS: usize = 4;
/// What a JPEG track's own pictures are good enough for.
const USUAL: Rendition = Rendition::of(PictureFormat::Jpeg { quality: 85 });

/// What one picture is made of.
pub(super) enum Material {
    /// The current picture of a stream.
    Stream(u32, Still),
    /// Muxed bytes.
    Bytes(Bytes),
}

struct Job {
    id: u32,
    rendition: Rendition,
    material: Material,
    captured: Option<Duration>,
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
            while let Some(job) = shared.next(&queue) {
                let made = shared.picture(job.rendition, job.material);
                let sent = made.and_then(|picture| {
                    let payload = Payload::Owned(picture.to_vec());
                    let sent = writer.push(FrameKind::Picture, job.id, false, job.captured, payload);
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

    /// Makes a picture of what was `captured` then, and sends it, some time later.
    pub(super) fn make(&self, id: u32, rendition: Rendition, material: Material, captured: Option<Duration>) {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        if self.jobs.send(Job { id, rendition, material, captured }).is_err() {
            let fault = PictureFault::Failed("the picture thread is gone".into());
            self.events.send(Event::Say(FromWorker::PictureFailed { id, fault }));
        }
    }
}

/// What was made and used a moment ago, for those who ask for the same, or for the next picture.
#[derive(Default)]
struct Shared {
    pictures: HashMap<(u32, Rendition), Made<Arc<[u8]>>>,
    decoded: HashMap<u32, Made<(gst::Caps, gst::Buffer)>>,
    encoders: Vec<Encoder>,
}

/// Something made, what it was made of, and when.
struct Made<T> {
    of: Identity,
    at: Instant,
    what: T,
}

/// Tells one picture of a track from another.
type Identity = (Option<gst::ClockTime>, usize);

impl<T: Clone> Made<T> {
    /// What was made, if it was of this picture.
    fn get(made: Option<&Self>, of: Identity) -> Option<T> {
        made.filter(|made| made.of == of && of.0.is_some()).map(|made| made.what.clone())
    }
}

impl Shared {
    /// The next job; `None` at the end. Lets go of what is old meanwhile, and then waits without waking.
    fn next(&mut self, queue: &mpsc::Receiver<Job>) -> Option<Job> {
        loop {
            self.tidy();
            if self.pictures.is_empty() && self.decoded.is_empty() && self.encoders.is_empty() {
                return queue.recv().ok();
            }
            match queue.recv_timeout(SHARE) {
                Ok(job) => return Some(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn tidy(&mut self) {
        self.pictures.retain(|_, made| made.at.elapsed() < SHARE);
        self.decoded.retain(|_, made| made.at.elapsed() < SHARE);
        self.encoders.retain(|encoder| encoder.used.elapsed() < SHARE);
    }

    fn picture(&mut self, rendition: Rendition, material: Material) -> Result<Arc<[u8]>, PictureFault> {
        let (stream, still) = match material {
            Material::Bytes(bytes) => {
                let (caps, buffer) = muxed::last_picture(bytes)?;
                return self.encode(rendition, &caps, &buffer);
            }
            Material::Stream(stream, still) => (stream, still),
        };
        let of = still.newest().map_or((None, 0), |buffer| (buffer.pts(), buffer.size()));
        if let Some(picture) = Made::get(self.pictures.get(&(stream, rendition)), of) {
            return Ok(picture);
        }
        let picture = self.make(rendition, stream, &still, of)?;
        self.pictures.insert((stream, rendition), Made { of, at: Instant::now(), what: picture.clone() });
        Ok(picture)
    }

    fn make(
        &mut self,
        rendition: Rendition,
        stream: u32,
        still: &Still,
        of: Identity,
    ) -> Result<Arc<[u8]>, PictureFault> {
        let (caps, buffers) = match still {
            Still::Raw(caps, buffer) => return self.encode(rendition, caps, buffer),
            Still::Encoded(caps, buffers) => (caps, buffers),
        };
        let jpeg = caps.structure(0).is_some_and(|structure| structure.name() == "image/jpeg");
        if let (true, USUAL, Some(buffer)) = (jpeg, rendition, buffers.last())
            && let Ok(map) = buffer.map_readable()
        {
            return Ok(map.as_slice().into());
        }
        let (caps, buffer) = match Made::get(self.decoded.get(&stream), of) {
            Some(decoded) => decoded,
            None => {
                let what = decode(caps, buffers)?;
                self.decoded.insert(stream, Made { of, at: Instant::now(), what: what.clone() });
                what
            }
        };
        self.encode(rendition, &caps, &buffer)
    }

    /// Encodes with an encoder that is at hand for such pictures, or with a new one, which is then kept.
    fn encode(
        &mut self,
        rendition: Rendition,
        caps: &gst::Caps,
        buffer: &gst::Buffer,
    ) -> Result<Arc<[u8]>, PictureFault> {
        let known = self.encoders.iter().position(|encoder| encoder.rendition == rendition && encoder.caps == *caps);
        let mut encoder = match known {
            Some(at) => self.encoders.swap_remove(at),
            None => Encoder::new(rendition, caps)?,
        };
        let picture = encoder.encode(buffer)?;
        // One that failed is not kept; of the others, the one that was used least recently goes.
        if self.encoders.len() >= MAX_ENCODERS
            && let Some(oldest) = (0..self.encoders.len()).min_by_key(|at| self.encoders.get(*at).map(|it| it.used))
        {
            self.encoders.swap_remove(oldest);
        }
        self.encoders.push(encoder);
        Ok(picture)
    }
}

/// Encodes pictures of one kind, one after the other.
struct Encoder {
    rendition: Rendition,
    caps: gst::Caps,
    line: Line,
    used: Instant,
}

impl Encoder {
    fn new(rendition: Rendition, caps: &gst::Caps) -> Result<Self, PictureFault> {
        let text = match rendition.format {
            PictureFormat::Jpeg { quality } => format!("{} ! jpegenc quality={quality}", copy::JPEG_PIXELS),
            PictureFormat::Png => "videoconvert ! pngenc compression-level=1".into(),
            PictureFormat::Webp { quality } => format!("videoconvert ! webpenc quality={quality} speed=2"),
            PictureFormat::Raw(pixels) => format!("videoconvert ! video/x-raw,format={}", pixels.name()),
        };
        let size = shown_at(caps).and_then(|source| rendition.size(source));
        let scale = size.map_or_else(String::new, |(width, height)| {
            format!("videoscale ! video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 ! ")
        });
        let text = format!("appsrc name=in format=time ! {scale}{text} ! appsink name=out sync=false");
        Ok(Self { rendition, caps: caps.clone(), line: Line::new(&text, caps)?, used: Instant::now() })
    }

    fn encode(&mut self, buffer: &gst::Buffer) -> Result<Arc<[u8]>, PictureFault> {
        self.used = Instant::now();
        // A failure is told on the bus.
        let _ = self.line.source.push_buffer(buffer.clone());
        let sample = self.line.sink.try_pull_sample(WORK);
        let picture = sample.as_ref().and_then(|sample| match self.rendition.format {
            PictureFormat::Raw(_) => described(sample),
            _ => sample.buffer()?.map_readable().ok().map(|map| map.as_slice().into()),
        });
        picture.ok_or_else(|| PictureFault::Failed(self.line.fault().unwrap_or("the encoder gave nothing".into())))
    }
}

/// A raw picture behind its head.
fn described(sample: &gst::Sample) -> Option<Arc<[u8]>> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let bytes = frame.buffer().map_readable().ok()?;
    let number = |value: usize| u32::try_from(value).ok();
    let offsets = frame.plane_offset().iter().map(|offset| number(*offset));
    let strides = frame.plane_stride().iter().map(|stride| u32::try_from(*stride).ok());
    let planes = offsets.zip(strides).map(|(offset, stride)| Some((offset?, stride?)));
    let layout = Layout {
        width: info.width(),
        height: info.height(),
        format: info.format().to_str(),
        colorimetry: &info.colorimetry().to_string(),
        planes: planes.collect::<Option<_>>()?,
        length: bytes.len(),
    };
    Some([&layout.head(), bytes.as_slice()].concat().into())
}

/// Width and height of raw pictures when their pixels are square.
fn shown_at(caps: &gst::Caps) -> Option<(u32, u32)> {
    let structure = caps.structure(0)?;
    let side = |name| structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
    let (width, height) = (side("width")?, side("height")?);
    let ratio = structure.get::<gst::Fraction>("pixel-aspect-ratio").unwrap_or(gst::Fraction::new(1, 1));
    let shown = i64::from(width) * i64::from(ratio.numer()) / i64::from(ratio.denom()).max(1);
    Some((u32::try_from(shown).unwrap_or(width), height))
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
    let line = Line::new(text, caps)?;
    for buffer in buffers {
        // A failure is told on the bus.
        let _ = line.source.push_buffer(buffer.clone());
    }
    let _ = line.source.end_of_stream();
    let ends = [gst::MessageType::Eos, gst::MessageType::Error];
    let message = line.pipeline.bus().and_then(|bus| bus.timed_pop_filtered(WORK, &ends));
    let message = message.ok_or_else(|| PictureFault::Failed("it takes too long".into()))?;
    let sample = line.sink.try_pull_sample(gst::ClockTime::ZERO);
    match message.view() {
        // The end of the bytes may be cut; a picture before that is good.
        gst::MessageView::Error(error) if sample.is_none() => {
            Err(PictureFault::Failed(describe(message.src(), &error.error(), error.debug())))
        }
        _ => Ok(sample),
    }
}

/// A short pipeline that plays, from an `appsrc name=in` to an `appsink name=out`.
struct Line {
    pipeline: gst::Pipeline,
    source: gst_app::AppSrc,
    sink: gst_app::AppSink,
}

impl Line {
    fn new(text: &str, caps: &gst::Caps) -> Result<Self, PictureFault> {
        let failed = |text: &str| PictureFault::Failed(text.to_owned());
        let pipeline = gst::parse::launch(text).map_err(|error| failed(error.message()))?;
        let pipeline = pipeline.downcast::<gst::Pipeline>().map_err(|_| failed("no pipeline"))?;
        let source = pipeline.by_name("in").and_then(|element| element.downcast::<gst_app::AppSrc>().ok());
        let sink = pipeline.by_name("out").and_then(|element| element.downcast::<gst_app::AppSink>().ok());
        let (Some(source), Some(sink)) = (source, sink) else { return Err(failed("no pipeline")) };
        source.set_max_bytes(0);
        source.set_caps(Some(caps));
        let line = Self { pipeline, source, sink };
        let _ = line.pipeline.set_state(gst::State::Playing);
        Ok(line)
    }

    /// Why nothing comes out.
    fn fault(&self) -> Option<String> {
        let message = self.pipeline.bus()?.pop_filtered(&[gst::MessageType::Error])?;
        match message.view() {
            gst::MessageView::Error(error) => Some(describe(message.src(), &error.error(), error.debug())),
            _ => None,
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        dispose(self.pipeline.clone(), || {});
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(shared: &mut Shared, width: i32, rendition: Rendition) -> Arc<[u8]> {
        let caps = gst::Caps::builder("video/x-raw").field("format", "I420").field("width", width).field("height", 64);
        let caps = caps.field("framerate", gst::Fraction::new(10, 1)).build();
        let buffer = gst::Buffer::from_slice(vec![128; width as usize * 64 * 3 / 2]);
        shared.encode(rendition, &caps, &buffer).unwrap()
    }

    #[test]
    fn an_encoder_at_hand_makes_the_next_picture() {
        gst::init().unwrap();
        let (mut shared, low) = (Shared::default(), Rendition::of(PictureFormat::Jpeg { quality: 10 }));
        for (width, rendition, encoders) in
            [(64, USUAL, 1), (64, USUAL, 1), (64, low, 2), (64, USUAL, 2), (32, USUAL, 3), (32, USUAL, 3)]
        {
            let picture = image::load_from_memory(&made(&mut shared, width, rendition)).unwrap();
            assert_eq!((picture.width(), picture.height()), (width as u32, 64));
            assert_eq!(shared.encoders.len(), encoders);
        }
        (1..20).for_each(|quality| drop(made(&mut shared, 64, Rendition::of(PictureFormat::Jpeg { quality }))));
        assert_eq!(shared.encoders.len(), MAX_ENCODERS);
    }

    #[test]
    fn a_fault_says_why_and_keeps_no_encoder() {
        gst::init().unwrap();
        let mut shared = Shared::default();
        let caps = gst::Caps::new_empty_simple("video/x-h264");
        let fault = shared.encode(USUAL, &caps, &gst::Buffer::from_slice([0; 9])).unwrap_err();
        assert!(matches!(&fault, PictureFault::Failed(why) if why.contains("in")), "{fault:?}");
        assert!(shared.encoders.is_empty());
    }
}
