//! A worker on a socket pair, driven as the server drives it, and checks of its packets.

use crate::{
    ipc::{
        self, Encoding, Ended, FeedPlan, FeedSource, Frame, FrameHead, FrameKind, FromWorker, Item, Plan, StreamPlan,
        ToWorker, TracksMessage, control, frame,
    },
    media::{Container, Kind},
    stream::{Delivery, Entry, Join, KeyframeRequests, OutputLease, Reader, StreamInput},
    worker::run_with,
};
use bytes::{Bytes, BytesMut};
use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tokio::sync::watch;

pub(super) const DEADLINE: Duration = Duration::from_secs(40);
pub(super) const PICTURES: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=25/1";
pub(super) const SOUND: &str = "audiotestsrc is-live=true samplesperbuffer=480 ! audio/x-raw,rate=48000,channels=2";
pub(super) const H264: &str = "x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25";

/// Number of every run.
const RUN: u32 = 7;
/// How a reader enters that gets everything.
const FIRST: Entry = Entry { join: Join::Live, header: true };

pub(super) struct Server {
    pub(super) control: UnixStream,
    pub(super) media: UnixStream,
    pub(super) messages: Receiver<FromWorker>,
    pub(super) frames: Receiver<Frame>,
    /// For each stream: its media as the server takes it, and what a reader from the beginning on gets.
    outputs: Vec<Output>,
    /// Messages that no test waited for, for the text of a failure.
    pub(super) seen: Vec<FromWorker>,
    pub(super) thread: Option<std::thread::JoinHandle<Result<(), std::io::Error>>>,
}

struct Output {
    input: StreamInput,
    /// Requests for keyframes, as the server passes them on.
    requests: watch::Receiver<KeyframeRequests>,
    _lease: OutputLease,
    reader: Reader,
}

impl Output {
    fn new(container: Container) -> Self {
        let input = StreamInput::new("test");
        let output = input.output(container);
        input.begin(RUN);
        let (lease, requests) = (output.lease(), input.keyframe_requests());
        Self { requests, reader: output.fanout().subscribe(FIRST), _lease: lease, input }
    }

    /// Takes a frame; the packets that come of it.
    fn take(&mut self, frame: Frame) -> Vec<Packet> {
        let head = frame.head;
        match head.kind {
            FrameKind::Tracks => {
                let TracksMessage { set, is_complete } = serde_json::from_slice(frame.payload.payload()).unwrap();
                self.input.tracks(head.run, &set, is_complete).unwrap();
            }
            FrameKind::Sample => self.input.sample(head.run, frame.into_sample()).unwrap(),
            FrameKind::Bytes => {
                self.input.bytes(head.run, frame.payload.payload(), head.captured, head.discontinuity);
            }
            FrameKind::Still | FrameKind::FeedBytes | FrameKind::StillBytes => {}
        }
        let mut packets = Vec::new();
        while let Some(delivery) = self.reader.try_next() {
            let (kind, packet) = match delivery {
                Delivery::Aside(packet) => (PacketKind::Header, packet),
                Delivery::Packet(packet) if packet.kind == Kind::Keyframe => (PacketKind::Keyframe, packet),
                Delivery::Packet(packet) => (PacketKind::Delta, packet),
                Delivery::Gap(_) => continue,
                Delivery::End => {
                    self.reader = self.reader.fanout().clone().subscribe(FIRST);
                    continue;
                }
            };
            let (captured, bytes) = (packet.captured, packet.payload());
            packets.push(Packet { kind, captured, bytes, arrived: monotonic() });
        }
        packets
    }
}

impl Server {
    pub(super) fn start(feeds: &[FeedSource], streams: &[(&[u32], Encoding, Container)]) -> Self {
        let (control, theirs) = UnixStream::pair().unwrap();
        let (media, their_media) = UnixStream::pair().unwrap();
        let thread = std::thread::spawn(move || run_with(theirs, their_media));
        let (say, messages) = channel();
        let (deliver, frames) = channel();
        let mut socket = control.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = BytesMut::new();
            while fill(&mut socket, &mut buffer) {
                while let Some(message) = control::decode::<FromWorker>(&mut buffer).unwrap() {
                    if say.send(message).is_err() {
                        return;
                    }
                }
            }
        });
        let mut socket = media.try_clone().unwrap();
        std::thread::spawn(move || {
            let mut buffer = BytesMut::new();
            while fill(&mut socket, &mut buffer) {
                while let Some(frame) = frame::decode(&mut buffer).unwrap() {
                    if deliver.send(frame).is_err() {
                        return;
                    }
                }
            }
        });
        let outputs = streams.iter().map(|(.., container)| Output::new(*container)).collect();
        let mut server = Self { control, media, messages, frames, outputs, seen: Vec::new(), thread: Some(thread) };
        server.await_message(|message| matches!(message, FromWorker::Hello { version: ipc::VERSION }));
        let plan = Plan {
            epoch: 0,
            feeds: (0..)
                .zip(feeds)
                .map(|(at, source): (u32, _)| {
                    (at, FeedPlan { name: format!("feed{at}"), source: source.clone(), fps: None })
                })
                .collect(),
            streams: (0..)
                .zip(streams)
                .map(|(at, (feeds, encoding, container)): (u32, _)| {
                    let (feeds, encoding) = (feeds.to_vec(), encoding.clone());
                    (at, StreamPlan { name: format!("stream{at}"), feeds, encoding, container: Some(*container) })
                })
                .collect(),
        };
        server.send(&ToWorker::Plan(plan));
        server
    }

    pub(super) fn send(&mut self, message: &ToWorker) {
        self.control.write_all(&control::encode(message).unwrap()).unwrap();
    }

    pub(super) fn start_item(&mut self, item: Item) {
        self.send(&ToWorker::Start { item, run: RUN });
    }

    pub(super) fn bytes(&mut self, kind: FrameKind, channel: u32, discontinuity: bool, bytes: &[u8]) {
        let head = FrameHead { discontinuity, ..FrameHead::new(kind, channel) };
        self.media.write_all(&head.encode(bytes.len())).unwrap();
        self.media.write_all(bytes).unwrap();
        self.media.write_all(frame::TAIL).unwrap();
    }

    #[track_caller]
    pub(super) fn await_message(&mut self, wanted: impl Fn(&FromWorker) -> bool) -> FromWorker {
        let until = Instant::now() + DEADLINE;
        loop {
            match self.messages.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(message) if wanted(&message) => return message,
                Ok(FromWorker::Beat) => {}
                Ok(message) => self.seen.push(message),
                Err(error) => panic!("{error}; seen: {:#?}", self.seen),
            }
        }
    }

    #[track_caller]
    pub(super) fn await_ended(&mut self, item: Item) -> Ended {
        match self.await_message(|message| matches!(message, FromWorker::Ended { item: it, .. } if *it == item)) {
            FromWorker::Ended { why, .. } => why,
            _ => unreachable!(),
        }
    }

    #[track_caller]
    pub(super) fn next_frame(&mut self) -> Frame {
        match self.frames.recv_timeout(DEADLINE) {
            Ok(frame) => frame,
            Err(error) => {
                self.seen.extend(self.messages.try_iter().filter(|message| *message != FromWorker::Beat));
                panic!("{error}; seen: {:#?}", self.seen)
            }
        }
    }

    /// Packets of one stream until enough are there.
    #[track_caller]
    pub(super) fn packets(&mut self, channel: u32, count: usize) -> Vec<Packet> {
        let mut packets: Vec<Packet> = Vec::new();
        while packets.iter().filter(|packet| packet.kind != PacketKind::Header).count() < count {
            let frame = self.next_frame();
            if frame.head.kind != FrameKind::Still
                && let Some(output) = self.outputs.get_mut(frame.head.channel as usize)
            {
                let (stream, is_meant) = (frame.head.channel, frame.head.channel == channel);
                let found = output.take(frame);
                if output.requests.has_changed().unwrap() {
                    output.requests.mark_unchanged();
                    self.send(&ToWorker::ForceKeyframe { stream, at: None });
                }
                packets.extend(found.into_iter().filter(|_| is_meant));
            }
        }
        packets
    }

    /// The bytes that a still of a stream is made of, as soon as its newest group has so many pieces.
    #[track_caller]
    pub(super) fn newest_group(&mut self, channel: u32, pieces: usize) -> Vec<u8> {
        loop {
            self.packets(channel, 1);
            let group = self.outputs[channel as usize].reader.fanout().newest_group();
            if let Some(group) = group.filter(|group| group.pieces.len() == pieces) {
                return group.pieces.concat();
            }
        }
    }

    #[track_caller]
    pub(super) fn picture(&mut self, id: u32) -> Bytes {
        loop {
            let frame = self.next_frame();
            if frame.head.kind == FrameKind::Still && frame.head.channel == id {
                return frame.payload.into_bytes();
            }
            if let Some(output) = self.outputs.get_mut(frame.head.channel as usize) {
                output.take(frame);
            }
            if let Ok(FromWorker::PictureFailed { id, fault }) = self.messages.try_recv() {
                panic!("picture {id}: {fault:?}");
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.control.shutdown(std::net::Shutdown::Both);
        let _ = self.media.shutdown(std::net::Shutdown::Both);
        let left = self.thread.take().map(|thread| thread.join().is_ok());
        assert!(std::thread::panicking() || left == Some(true));
    }
}

/// What a packet is to a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PacketKind {
    Header,
    Keyframe,
    Delta,
}

#[derive(Debug)]
pub(super) struct Packet {
    pub(super) kind: PacketKind,
    pub(super) captured: Option<Duration>,
    pub(super) bytes: Bytes,
    pub(super) arrived: Duration,
}

pub(super) fn fill(socket: &mut UnixStream, buffer: &mut BytesMut) -> bool {
    let mut bytes = [0; 65536];
    match socket.read(&mut bytes) {
        Ok(read @ 1..) => {
            buffer.extend_from_slice(&bytes[..read]);
            true
        }
        _ => false,
    }
}

pub(super) fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

pub(super) fn launch(text: &str) -> FeedSource {
    FeedSource::Launch(text.into())
}

pub(super) fn text(text: &str) -> Encoding {
    Encoding::Launch(vec![text.into()])
}

/// What a reader is sent that joins at the n-th keyframe: the newest header and all from there on.
pub(super) fn joined_at(packets: &[Packet], nth: usize) -> Vec<u8> {
    let key = packets.iter().enumerate().filter(|(_, packet)| packet.kind == PacketKind::Keyframe).nth(nth);
    let (at, _) = key.unwrap_or_else(|| panic!("no {nth}th keyframe"));
    let header = packets[..at].iter().rfind(|packet| packet.kind == PacketKind::Header);
    let body = packets[at..].iter().filter(|packet| packet.kind != PacketKind::Header);
    header.into_iter().chain(body).flat_map(|packet| packet.bytes.iter().copied()).collect()
}

/// The image of a part of motion JPEG.
pub(super) fn image_of(part: &[u8]) -> &[u8] {
    let begin = part.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("no head of a part") + 4;
    &part[begin..]
}

/// Decodes with ffmpeg, which must not complain of anything but that a live file has no end; the number of frames and of audio packets.
#[track_caller]
pub(super) fn decodes(bytes: &[u8], extension: &str) -> (usize, usize) {
    let file = tempfile::Builder::new().suffix(&format!(".{extension}")).tempfile().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let out = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(file.path())
        // Times as they are: two frames may be nearer to each other than the frame rate says.
        .args(["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .expect("ffmpeg is installed");
    let complaints = String::from_utf8_lossy(&out.stderr);
    let is_end = |line: &&str| line.ends_with("] File ended prematurely");
    let complaints = complaints.lines().filter(|line| !is_end(line)).collect::<Vec<_>>().join("\n");
    if !complaints.is_empty() || !out.status.success() {
        let kept = std::env::temp_dir().join(format!("worker-test-bad.{extension}"));
        std::fs::write(&kept, bytes).unwrap();
        panic!("{} ({})", complaints, kept.display());
    }
    (count(file.path(), "v"), count(file.path(), "a"))
}

pub(super) fn count(file: &Path, kind: &str) -> usize {
    let out = Command::new("ffprobe")
        .args(["-v", "error", "-count_packets", "-select_streams", kind])
        .args(["-show_entries", "stream=nb_read_packets", "-of", "csv=p=0"])
        .arg(file)
        .output()
        .unwrap();
    String::from_utf8_lossy(&out.stdout)
        .lines()
        .next()
        .and_then(|line| line.trim_matches(',').parse().ok())
        .unwrap_or(0)
}

/// A file made by ffmpeg, kept for all tests.
pub(super) fn sample(seconds: u32, extension: &str) -> PathBuf {
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = std::env::temp_dir().join(format!("voyandz-sample-{}-{seconds}.{extension}", std::process::id()));
    if !path.exists() {
        let (video, audio) = match extension {
            "webm" => ("libvpx", "libopus"),
            _ => ("libx264", "aac"),
        };
        let made = Command::new("ffmpeg")
            .args(["-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25"])
            .args(["-f", "lavfi", "-i", "sine=sample_rate=48000", "-t", &seconds.to_string()])
            .args(["-c:v", video, "-g", "25", "-c:a", audio, "-pix_fmt", "yuv420p"])
            .args(if video == "libx264" { &["-preset", "ultrafast"][..] } else { &["-deadline", "realtime"] })
            .arg(&path)
            .status()
            .unwrap();
        assert!(made.success());
    }
    path
}

/// Runs one feed set into one stream and joins at its first two keyframes.
#[track_caller]
pub(super) fn check_stream(
    feeds: &[FeedSource],
    encoding: Encoding,
    container: Container,
    count: usize,
) -> (usize, usize) {
    let numbers: Vec<u32> = (0..feeds.len() as u32).collect();
    let mut server = Server::start(feeds, &[(&numbers, encoding, container)]);
    server.start_item(Item::Stream(0));
    for feed in &numbers {
        server.start_item(Item::Feed(*feed));
    }
    let packets = server.packets(0, count);
    server.await_message(|message| *message == FromWorker::Started { item: Item::Stream(0) });
    assert!(packets.iter().all(|packet| !packet.bytes.is_empty()));
    for packet in packets.iter().filter(|packet| packet.kind != PacketKind::Header) {
        let age = packet.arrived.checked_sub(packet.captured.unwrap()).unwrap_or_default();
        assert!(age < Duration::from_secs(10), "captured {:?}, arrived {:?}", packet.captured, packet.arrived);
    }
    let found = decodes(&joined_at(&packets, 0), container.name());
    if packets.iter().filter(|packet| packet.kind == PacketKind::Keyframe).count() > 1 {
        decodes(&joined_at(&packets, 1), container.name());
    }
    found
}

/// Transport packets of these PIDs among the bytes of a frame.
pub(super) fn has_pid(bytes: &[u8], pid: u16) -> bool {
    bytes.chunks_exact(188).any(|packet| u16::from_be_bytes([packet[1] & 0x1f, packet[2]]) == pid)
}
