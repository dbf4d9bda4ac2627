//! Stills: one thread decodes and encodes them, off the way of the media.

mod colours;
mod decoder;
mod demux;
mod encoder;
mod mini_pipeline;
mod recorded;
mod row;

pub(super) use decoder::decode;

use self::{
    decoder::{Decoder, Raw},
    encoder::Encoder,
};
use super::{
    event::{Event, Events},
    ipc_writer::MediaWriter,
    threads::lock,
    track::Still,
};
use crate::ipc::{FrameChoice, FrameHead, FrameKind, FromWorker, PictureFault, PictureFormat, StillSpec};
use bytes::Bytes;
use gstreamer as gst;
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
/// How long a request waits for the first frame of a stream that has just started.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Pause between two checks whether a requested still can be made.
pub(super) const TICK: Duration = Duration::from_millis(5);
/// How long bytes wait for their request.
const BYTES_AGE: Duration = Duration::from_secs(10);
/// How many bytes wait for requests.
const BYTES_TOTAL: usize = 128 << 20;
/// How long a still and its encoder are kept for others who request the same one, or the next.
const SHARE: Duration = Duration::from_secs(2);
/// How many encoders are kept, and how many decoders.
const MAX_KEPT: usize = 4;
/// What the frames of a JPEG track are good enough for.
const USUAL: StillSpec = StillSpec::of(PictureFormat::Jpeg { quality: 85 });

/// What one still is made of.
pub(super) enum Material {
    /// The current frame of a stream.
    Stream(u32, Still),
    /// Muxed bytes of the stream of this name.
    Bytes(String, Bytes),
    /// A recording, and which frames of it.
    Recorded(Bytes, FrameChoice),
}

/// What stills are made of one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    /// A stream of the plan.
    Stream(u32),
    /// Bytes of the stream of this name.
    Bytes(String),
}

struct Job {
    id: u32,
    spec: StillSpec,
    material: Material,
    captured: Option<Duration>,
}

/// The queue of the thread for stills.
pub(super) struct Pictures {
    jobs: mpsc::Sender<Job>,
    in_work: Arc<AtomicUsize>,
    events: Events,
}

/// Bytes that came for still requests.
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

    /// Drops what was not requested.
    pub(super) fn tidy(&self) {
        lock(&self.0).retain(|_, (at, _)| at.elapsed() < BYTES_AGE);
    }
}

impl Pictures {
    /// Starts the thread.
    pub(super) fn spawn(writer: Arc<MediaWriter>, events: Events) -> io::Result<Self> {
        let (jobs, queue) = mpsc::channel::<Job>();
        let in_work = Arc::new(AtomicUsize::new(0));
        let (count, told) = (in_work.clone(), events.clone());
        std::thread::Builder::new().name("pictures".into()).spawn(move || {
            let mut shared = Shared::default();
            while let Some(job) = shared.next(&queue) {
                let made = shared.picture(job.spec, job.material);
                let sent = made.and_then(|picture| {
                    let head = FrameHead { captured: job.captured, ..FrameHead::new(FrameKind::Still, job.id) };
                    let sent = writer.push(head, vec![Bytes::from_owner(picture)]);
                    if sent { Ok(()) } else { Err(PictureFault::Failed("the server does not read".into())) }
                });
                if let Err(fault) = sent {
                    told.send(Event::Send(FromWorker::PictureFailed { id: job.id, fault }));
                }
                count.fetch_sub(1, Ordering::Relaxed);
                told.send(Event::Picture);
            }
        })?;
        Ok(Self { jobs, in_work, events })
    }

    /// Number of stills in work.
    pub(super) fn in_work(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    /// Makes a still of what was `captured` then, and sends it, some time later.
    pub(super) fn make(&self, id: u32, spec: StillSpec, material: Material, captured: Option<Duration>) {
        self.in_work.fetch_add(1, Ordering::Relaxed);
        if self.jobs.send(Job { id, spec, material, captured }).is_err() {
            let fault = PictureFault::Failed("the thread for stills is gone".into());
            self.events.send(Event::Send(FromWorker::PictureFailed { id, fault }));
        }
    }
}

/// What was made and used a moment ago, for those who request the same, or the next still.
#[derive(Default)]
struct Shared {
    pictures: HashMap<(Key, StillSpec), Made<Arc<[u8]>>>,
    decoded: HashMap<Key, (Made<Raw>, Way)>,
    encoders: Vec<Encoder>,
}

/// How the next frame of a stream is decoded.
enum Way {
    /// The second one, by a decoder that can be kept.
    Second,
    /// By the one that decoded the last.
    Further(Decoder),
    /// With its whole group, at whose end a decoder gives what it holds back.
    Whole,
}

/// Something made, what it was made of, and when.
struct Made<T> {
    of: Identity,
    at: Instant,
    what: T,
}

/// Identifies one frame of a track.
type Identity = (Option<gst::ClockTime>, usize);

impl<T: Clone> Made<T> {
    /// What was made, if it was of this frame.
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
        self.decoded.retain(|_, (made, _)| made.at.elapsed() < SHARE);
        self.encoders.retain(|encoder| encoder.used.elapsed() < SHARE);
    }

    fn picture(&mut self, spec: StillSpec, material: Material) -> Result<Arc<[u8]>, PictureFault> {
        let (key, still) = match material {
            Material::Bytes(name, bytes) => (Key::Bytes(name), demux::newest_group(bytes)?),
            Material::Stream(stream, still) => (Key::Stream(stream), still),
            Material::Recorded(bytes, frames) => {
                let (caps, buffer) = match frames {
                    FrameChoice::Until(time) => recorded::frame_until(&bytes, gst::ClockTime::from_nseconds(time))?,
                    FrameChoice::Row { places, width } => row::of(bytes, places, width)?,
                };
                return self.encode(spec, &caps, &buffer);
            }
        };
        let of = still.newest().map_or((None, 0), |buffer| (buffer.pts(), buffer.size()));
        let key = (key, spec);
        if let Some(picture) = Made::get(self.pictures.get(&key), of) {
            return Ok(picture);
        }
        let picture = self.make(spec, &key.0, &still, of)?;
        self.pictures.insert(key, Made { of, at: Instant::now(), what: picture.clone() });
        Ok(picture)
    }

    fn make(&mut self, spec: StillSpec, key: &Key, still: &Still, of: Identity) -> Result<Arc<[u8]>, PictureFault> {
        let (caps, buffers) = match still {
            Still::Raw(caps, buffer) => return self.encode(spec, caps, buffer),
            Still::Encoded(caps, buffers) => (caps, buffers),
        };
        let jpeg = caps.structure(0).is_some_and(|structure| structure.name() == "image/jpeg");
        if let (true, USUAL, Some(buffer)) = (jpeg, spec, buffers.last())
            && let Ok(map) = buffer.map_readable()
        {
            return Ok(map.as_slice().into());
        }
        let (caps, buffer) = self.decoded(key, caps, buffers, of)?;
        self.encode(spec, &caps, &buffer)
    }

    /// The last frame of a stream, raw. A client that asks once gets it as quickly as possible; one that keeps asking gets it
    /// from a decoder that is kept.
    fn decoded(
        &mut self,
        key: &Key,
        caps: &gst::Caps,
        buffers: &[gst::Buffer],
        of: Identity,
    ) -> Result<Raw, PictureFault> {
        if let Some(raw) = Made::get(self.decoded.get(key).map(|(made, _)| made), of) {
            return Ok(raw);
        }
        let known = self.decoded.remove(key).map(|(_, way)| way);
        let decoders = self.decoded.values().filter(|(_, way)| matches!(way, Way::Further(_))).count();
        let (mut decoder, without) = match known {
            None => (None, Way::Second),
            Some(Way::Further(decoder)) if decoder.goes_on(caps, buffers) => (Some(decoder), Way::Whole),
            Some(Way::Further(_) | Way::Second) if decoders < MAX_KEPT => (Some(Decoder::new(caps)?), Way::Whole),
            Some(_) => (None, Way::Whole),
        };
        let last = decoder.as_mut().and_then(|decoder| decoder.last(buffers));
        let (raw, way) = match (last, decoder) {
            (Some(raw), Some(decoder)) => (raw, Way::Further(decoder)),
            _ => (decode(caps, buffers)?, without),
        };
        self.decoded.insert(key.clone(), (Made { of, at: Instant::now(), what: raw.clone() }, way));
        Ok(raw)
    }

    /// Encodes with an encoder that is at hand for such frames, or with a new one, which is then kept.
    fn encode(&mut self, spec: StillSpec, caps: &gst::Caps, buffer: &gst::Buffer) -> Result<Arc<[u8]>, PictureFault> {
        let known = self.encoders.iter().position(|encoder| encoder.spec == spec && encoder.caps == *caps);
        let mut encoder = match known {
            Some(at) => self.encoders.swap_remove(at),
            None => Encoder::new(spec, caps)?,
        };
        let picture = encoder.encode(buffer)?;
        // One that failed is not kept; of the others, the one that was used least recently goes.
        if self.encoders.len() >= MAX_KEPT
            && let Some(oldest) = (0..self.encoders.len()).min_by_key(|at| self.encoders.get(*at).map(|it| it.used))
        {
            self.encoders.swap_remove(oldest);
        }
        self.encoders.push(encoder);
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::caps::is_key;
    use gst::prelude::*;
    use gstreamer_app as gst_app;

    fn made(shared: &mut Shared, width: i32, spec: StillSpec) -> Arc<[u8]> {
        let caps = gst::Caps::builder("video/x-raw").field("format", "I420").field("width", width).field("height", 64);
        let caps = caps.field("framerate", gst::Fraction::new(10, 1)).build();
        let buffer = gst::Buffer::from_slice(vec![128; width as usize * 64 * 3 / 2]);
        shared.encode(spec, &caps, &buffer).unwrap()
    }

    /// Frames that change, as this encoder makes them.
    fn encoded(encoder: &str) -> (gst::Caps, Vec<gst::Buffer>) {
        let text = format!(
            "videotestsrc num-buffers=24 pattern=ball ! video/x-raw,format=I420,width=64,height=64,framerate=25/1 \
             ! {encoder} ! appsink name=out sync=false"
        );
        let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name("out").unwrap().downcast::<gst_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let samples: Vec<_> = std::iter::from_fn(|| sink.pull_sample().ok()).collect();
        pipeline.set_state(gst::State::Null).unwrap();
        (samples[0].caps_owned().unwrap(), samples.iter().map(|sample| sample.buffer_owned().unwrap()).collect())
    }

    #[test]
    fn who_goes_on_asking_gets_the_pictures_of_who_asks_once() {
        gst::init().unwrap();
        const GROUPS: &str = "key-int-max=12 speed-preset=ultrafast";
        for (encoder, goes_on) in [
            (&*format!("x264enc tune=zerolatency {GROUPS} ! h264parse"), true),
            (&*format!("x264enc bframes=2 b-adapt=false {GROUPS} ! h264parse"), false),
            ("vp8enc deadline=1 keyframe-max-dist=12", true),
            ("jpegenc", true),
        ] {
            let (caps, buffers) = encoded(encoder);
            let mut shared = Shared::default();
            for (at, buffer) in buffers.iter().enumerate().step_by(3) {
                let first = buffers[..=at].iter().rposition(|buffer| is_key(buffer)).unwrap();
                let (group, of) = (&buffers[first..=at], (buffer.pts(), buffer.size()));
                let bytes = |raw: Raw| raw.1.map_readable().unwrap().to_vec();
                let (once, again) =
                    (decode(&caps, group).unwrap(), shared.decoded(&Key::Stream(7), &caps, group, of).unwrap());
                assert_eq!((&once.0, once.1.pts()), (&again.0, again.1.pts()), "{encoder}: {at}");
                assert_eq!(bytes(once), bytes(again), "{encoder}: {at}");
                let way = &shared.decoded[&Key::Stream(7)].1;
                match at {
                    0 => assert!(matches!(way, Way::Second), "{encoder}: one still needs no decoder that is kept"),
                    _ => assert_eq!(matches!(way, Way::Further(_)), goes_on, "{encoder}: {at}"),
                }
            }
        }
    }

    #[test]
    fn decoders_that_go_on_are_few_and_not_kept_for_long() {
        gst::init().unwrap();
        let (caps, buffers) = encoded("vp8enc deadline=1");
        let mut shared = Shared::default();
        for stream in 0..10 {
            for at in 1..4 {
                shared.decoded(&Key::Stream(stream), &caps, &buffers[..at], (buffers[at - 1].pts(), 0)).unwrap();
            }
        }
        let kept = shared.decoded.values().filter(|(_, way)| matches!(way, Way::Further(_))).count();
        assert_eq!((kept, shared.decoded.len()), (MAX_KEPT, 10));
        for (made, _) in shared.decoded.values_mut() {
            made.at -= SHARE;
        }
        shared.tidy();
        assert!(shared.decoded.is_empty());
    }

    #[test]
    fn an_encoder_at_hand_makes_the_next_picture() {
        gst::init().unwrap();
        let (mut shared, low) = (Shared::default(), StillSpec::of(PictureFormat::Jpeg { quality: 10 }));
        for (width, spec, encoders) in
            [(64, USUAL, 1), (64, USUAL, 1), (64, low, 2), (64, USUAL, 2), (32, USUAL, 3), (32, USUAL, 3)]
        {
            let picture = image::load_from_memory(&made(&mut shared, width, spec)).unwrap();
            assert_eq!((picture.width(), picture.height()), (width as u32, 64));
            assert_eq!(shared.encoders.len(), encoders);
        }
        (1..20).for_each(|quality| drop(made(&mut shared, 64, StillSpec::of(PictureFormat::Jpeg { quality }))));
        assert_eq!(shared.encoders.len(), MAX_KEPT);
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
