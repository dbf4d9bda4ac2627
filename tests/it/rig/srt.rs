//! SRT from outside: a caller that shakes hands and nothing more, a network that loses packets, and real clients.

use super::{SOON, Server, log::field, millis};
use std::{
    net::{SocketAddr, UdpSocket},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Where a server listens for SRT.
pub fn port(server: &Server) -> SocketAddr {
    field(&server.log.wait("listening .*protocol=srt", SOON), "address").parse().unwrap()
}

/// A handshake of 48 bytes, with extensions behind it.
fn shake(version: u32, flags: u16, kind: u32, socket: u32, cookie: u32, extensions: &[u8]) -> Vec<u8> {
    let header = [0x8000_0000, 0, 0, 0];
    let fixed = [version, u32::from(flags), 7, 1500, 8192, kind, socket, cookie, 0, 0, 0, 0];
    let words = header.into_iter().chain(fixed).flat_map(u32::to_be_bytes);
    words.chain(extensions.iter().copied()).collect()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() / 4).unwrap();
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

/// A caller: one socket.
pub struct Caller {
    pub socket: UdpSocket,
    number: u32,
    stream_id: String,
}

impl Caller {
    pub fn new(server: SocketAddr, number: u32, stream_id: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Self { socket, number, stream_id: stream_id.to_owned() }
    }

    pub fn send(&self, datagram: &[u8]) {
        self.socket.send(datagram).unwrap();
    }

    /// The type of a handshake that comes (refusals are 1000 and above), the socket of who sends it, and its cookie.
    pub fn answer(&self) -> (u32, u32, u32) {
        let mut buffer = [0; 1500];
        loop {
            let length = self.socket.recv(&mut buffer).unwrap();
            let word = |at: usize| u32::from_be_bytes(buffer[at..at + 4].try_into().unwrap());
            if length >= 64 && word(0) == 0x8000_0000 {
                assert_eq!(word(12), self.number, "for whom it is");
                return (word(36), word(40), word(44));
            }
        }
    }

    /// Whether a datagram comes within this time.
    pub fn hears(&self, within: Duration) -> bool {
        self.socket.set_read_timeout(Some(within)).unwrap();
        let heard = self.socket.recv(&mut [0; 1500]).is_ok();
        self.socket.set_read_timeout(Some(SOON)).unwrap();
        heard
    }

    pub fn induce(&self) -> u32 {
        self.send(&shake(4, 2, 1, self.number, 0, &[]));
        let (kind, _, cookie) = self.answer();
        assert_eq!(kind, 1);
        cookie
    }

    /// Presents this cookie.
    pub fn conclude(&self, cookie: u32) {
        self.conclude_as(self.number, cookie);
    }

    /// The same for another socket of the same port.
    pub fn conclude_as(&self, number: u32, cookie: u32) {
        let hello = [0x0001_0501, 0x3f, 120 << 16 | 120u32].into_iter().flat_map(u32::to_be_bytes).collect::<Vec<_>>();
        let mut id = self.stream_id.clone().into_bytes();
        id.resize(id.len().next_multiple_of(4), 0);
        let id: Vec<u8> = id.chunks(4).flat_map(|word| word.iter().rev().copied()).collect();
        let extensions = [extension(1, &hello), extension(5, &id)].concat();
        self.send(&shake(5, 5, 0xFFFF_FFFF, number, cookie, &extensions));
    }

    /// The whole handshake: the socket of the server, or the number of a refusal.
    pub fn connect(&self) -> Result<u32, u32> {
        self.conclude(self.induce());
        match self.answer() {
            (0xFFFF_FFFF, socket, _) => Ok(socket),
            (refusal, ..) => Err(refusal),
        }
    }

    /// A control packet for this socket of the server.
    pub fn control(&self, kind: u16, socket: u32) {
        let words = [0x8000_0000 | u32::from(kind) << 16, 0, 0, socket, 0];
        self.send(&words.into_iter().flat_map(u32::to_be_bytes).collect::<Vec<_>>());
    }
}

/// A network between clients and a server that loses some of a thousand datagrams of each direction, and takes some time.
pub struct Lossy {
    pub address: SocketAddr,
    /// Datagrams that were lost.
    pub lost: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Lossy {
    pub fn start(server: SocketAddr, loss: u64, delay: Duration, seed: u64) -> Self {
        let near = UdpSocket::bind("127.0.0.1:0").unwrap();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.connect(server).unwrap();
        for socket in [&near, &far] {
            socket2::SockRef::from(socket).set_recv_buffer_size(4 << 20).unwrap();
            socket.set_nonblocking(true).unwrap();
        }
        let address = near.local_addr().unwrap();
        let (lost, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (lost.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let (mut client, mut seed, mut buffer) = (None, seed | 1, [0; 2048]);
            let mut flying = std::collections::VecDeque::new();
            let mut is_lost = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let is_lost = (seed >> 33) % 1000 < loss;
                counted.fetch_add(u64::from(is_lost), Ordering::Relaxed);
                is_lost
            };
            while !stopped.load(Ordering::Relaxed) {
                let now = Instant::now();
                while let Ok((length, from)) = near.recv_from(&mut buffer) {
                    client = Some(from);
                    if !is_lost() {
                        flying.push_back((now + delay, true, buffer[..length].to_vec()));
                    }
                }
                while let Ok(length) = far.recv(&mut buffer) {
                    if !is_lost() {
                        flying.push_back((now + delay, false, buffer[..length].to_vec()));
                    }
                }
                while flying.front().is_some_and(|(at, ..)| *at <= now) {
                    let (_, is_out, bytes) = flying.pop_front().unwrap();
                    // A side that is gone loses what is for it.
                    let _ = match (is_out, client) {
                        (true, _) => far.send(&bytes),
                        (false, Some(client)) => near.send_to(&bytes, client),
                        (false, None) => Ok(0),
                    };
                }
                std::thread::sleep(Duration::from_micros(500));
            }
        });
        Self { address, lost, stop, thread: Some(thread) }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// What ffmpeg says when it reads so many seconds of an address and decodes them, and whether it succeeded.
pub fn ffmpeg(address: SocketAddr, query: &str, seconds: &str) -> (bool, String) {
    let url = format!("srt://{address}?{query}");
    let arguments = ["-v", "error", "-i", &url, "-t", seconds, "-f", "null", "-"];
    let output = Command::new("ffmpeg").args(arguments).stdin(Stdio::null()).output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What GStreamer receives of an address with these properties, as it comes: so many datagrams, or what there is until the end.
pub fn gstreamer(address: SocketAddr, stream_id: &str, properties: &[&str], datagrams: u32) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    let location = format!("location={}", file.path().display());
    let (uri, id) = (format!("uri=srt://{address}?mode=caller"), format!("streamid={stream_id}"));
    let count = format!("num-buffers={datagrams}");
    let mut child = Command::new("gst-launch-1.0")
        .args(["-q", "srtsrc", &uri, &id, &count])
        .args(properties)
        .args(["!", "filesink", &location])
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if began.elapsed() > 2 * SOON {
            child.kill().unwrap();
            child.wait().unwrap();
            panic!("no {datagrams} datagrams from {address}");
        }
        std::thread::sleep(millis(10));
    }
    std::fs::read(file.path()).unwrap()
}
