//! Viewers of WebRTC: each asks by WHEP, connects by ICE and DTLS, decrypts what it gets and reports it, on a socket of its own. And what
//! the kernel takes for datagrams alone.

use crate::crowd::Taken;
use anyhow::{Context, bail, ensure};
use rustix::time::{ClockId, clock_gettime};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use str0m::{
    Candidate, Event, IceConnectionState, Input, Output, Rtc, RtcConfig,
    change::SdpAnswer,
    media::{Direction, MediaKind},
    net::{Protocol, Receive},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, UdpSocket},
    sync::Semaphore,
    time::sleep_until,
};

/// Viewers that join at a time: a server answers few offers beside each other, as each costs it two milliseconds.
const JOINING: usize = 4;
/// Viewers of one address: a server bounds them.
const OF_ADDRESS: usize = 50;
/// Bytes of a datagram of the calibration.
const DATAGRAM: usize = 1000;

/// What the viewers saw.
pub struct Seen {
    joining: Arc<Semaphore>,
    viewers: AtomicUsize,
    first_frames: Mutex<Vec<Duration>>,
    /// When each viewer made its offer, and when its first packet came.
    joins: Mutex<Vec<(Instant, Instant)>>,
    packets: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
}

impl Default for Seen {
    fn default() -> Self {
        let joining = Arc::new(Semaphore::new(JOINING));
        let (viewers, first_frames, joins) = (AtomicUsize::default(), Mutex::default(), Mutex::default());
        let (packets, bytes, lost) = (AtomicU64::default(), AtomicU64::default(), AtomicU64::default());
        Self { joining, viewers, first_frames, joins, packets, bytes, lost }
    }
}

impl Seen {
    /// How long each viewer waited for its first frame, since it made its offer.
    pub fn first_frames(&self) -> Vec<Duration> {
        self.first_frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many viewers joined in a second, and the longest time from an offer to the first packet. The first viewer does not count: it has
    /// the encoder start.
    pub fn joins(&self) -> (f64, Duration) {
        let mut joins = self.joins.lock().unwrap_or_else(PoisonError::into_inner).clone();
        joins.sort_unstable();
        let joins = joins.get(1..).unwrap_or_default();
        let (first, last) =
            (joins.iter().map(|(offer, _)| *offer).min(), joins.iter().map(|(_, packet)| *packet).max());
        let lasted = first.zip(last).map_or(f64::NAN, |(first, last)| (last - first).as_secs_f64());
        (joins.len() as f64 / lasted, joins.iter().map(|(offer, packet)| *packet - *offer).max().unwrap_or_default())
    }

    /// The mean length of a payload.
    pub fn mean_length(&self) -> f64 {
        self.bytes.load(Ordering::Relaxed) as f64 / self.packets.load(Ordering::Relaxed) as f64
    }

    /// All packets that came, decrypted, and those that are missing between them.
    pub fn packets(&self) -> (u64, u64) {
        (self.packets.load(Ordering::Relaxed), self.lost.load(Ordering::Relaxed))
    }
}

/// Watches `live` to its end.
///
/// # Errors
/// When it is refused or cut off.
pub async fn watch(server: SocketAddr, taken: Arc<Taken>, seen: Arc<Seen>) -> anyhow::Result<()> {
    let mut joining = Some(seen.joining.clone().acquire_owned().await?);
    let number = seen.viewers.fetch_add(1, Ordering::Relaxed) / OF_ADDRESS;
    let address = Ipv4Addr::new(127, 0, 1, u8::try_from(number + 1).context("too many viewers")?);
    let socket = UdpSocket::bind((address, 0)).await?;
    let local = socket.local_addr()?;
    let mut rtc = RtcConfig::new().set_rtp_mode(true).clear_codecs().enable_h264(true).build(Instant::now());
    rtc.add_local_candidate(Candidate::host(local, "udp")?);
    let mut api = rtc.sdp_api();
    api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
    let (offer, pending) = api.apply().context("no offer")?;
    let began = Instant::now();
    let answer = ask(address, server, &offer.to_sdp_string()).await?;
    rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer)?)?;
    let (mut buffer, mut is_first, mut newest) = (vec![0; 2000], true, None);
    loop {
        let due = loop {
            match rtc.poll_output()? {
                Output::Timeout(due) => break due,
                Output::Transmit(sent) => {
                    socket.send_to(&sent.contents, sent.destination).await?;
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    if is_first {
                        seen.joins.lock().unwrap_or_else(PoisonError::into_inner).push((began, Instant::now()));
                    }
                    taken.add(packet.payload.len(), &mut is_first);
                    seen.packets.fetch_add(1, Ordering::Relaxed);
                    seen.bytes.fetch_add(packet.payload.len() as u64, Ordering::Relaxed);
                    let number = *packet.seq_no;
                    if let Some(missing) = newest.and_then(|newest: u64| number.checked_sub(newest + 1)) {
                        seen.lost.fetch_add(missing, Ordering::Relaxed);
                    }
                    newest = newest.max(Some(number));
                    if packet.header.marker && joining.take().is_some() {
                        let mut first_frames = seen.first_frames.lock().unwrap_or_else(PoisonError::into_inner);
                        first_frames.push(began.elapsed());
                    }
                }
                Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed) => {
                    bail!("cut off");
                }
                Output::Event(_) => {}
            }
        };
        tokio::select! {
            received = socket.recv_from(&mut buffer) => {
                let (length, source) = received?;
                take(&mut rtc, (source, local), &buffer[..length])?;
            }
            () = sleep_until(due.into()) => rtc.handle_input(Input::Timeout(Instant::now()))?,
        }
    }
}

fn take(rtc: &mut Rtc, (source, local): (SocketAddr, SocketAddr), bytes: &[u8]) -> anyhow::Result<()> {
    let receive = Receive::new(Protocol::Udp, source, local, bytes)?;
    Ok(rtc.handle_input(Input::Receive(Instant::now(), receive))?)
}

/// Sends an offer; the answer.
///
/// # Errors
/// When it is refused.
pub async fn ask(from: Ipv4Addr, server: SocketAddr, offer: &str) -> anyhow::Result<String> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let mut socket = socket.connect(server).await?;
    let head = format!(
        "POST /live/whep HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Type: application/sdp\r\n\
         Content-Length: {}\r\n\r\n",
        offer.len()
    );
    socket.write_all((head + offer).as_bytes()).await?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await?;
    ensure!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
    let (_, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok(body.to_owned())
}

/// What a datagram that nobody reads costs when it is sent in a call of its own, in seconds of a processor: what the figures of one machine
/// are to be compared by.
///
/// # Errors
/// When there is no socket.
pub fn calibrate() -> anyhow::Result<f64> {
    const COUNT: u32 = 100_000;
    let (sender, receiver) = (std::net::UdpSocket::bind("127.0.0.1:0")?, std::net::UdpSocket::bind("127.0.0.1:0")?);
    let peer = receiver.local_addr()?;
    let before = used();
    for _ in 0..COUNT {
        sender.send_to(&[0; DATAGRAM], peer)?;
    }
    Ok((used() - before).as_secs_f64() / f64::from(COUNT))
}

/// What this thread has had of the processors.
pub fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
        + Duration::from_nanos(u64::try_from(time.tv_nsec).unwrap_or_default())
}
