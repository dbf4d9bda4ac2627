//! The load: many viewers of one stream, in one thread.

use crate::{
    client::{Client, Manner, Seen},
    server::Server,
    usage,
};
use anyhow::Context;
use mio::{Events, Interest, Poll, Token, net::TcpStream};
use std::time::{Duration, Instant};

/// What is to be done to a server.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The path of the stream, and its query.
    pub target: &'static str,
    /// Those who read.
    pub viewers: usize,
    /// Those who ask, and read nothing.
    pub stalled: usize,
    /// New viewers a second.
    pub ramp: u32,
    /// Of those who read, so many look at what they get.
    pub looking: usize,
    /// The others look until they have seen a frame.
    pub glancing: bool,
    /// Time after the last one has come, before anything counts.
    pub settle: Duration,
    /// Time that counts.
    pub window: Duration,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Bytes that all readers took together.
    pub bytes: u64,
    /// Time of the server on a processor.
    pub cpu: Duration,
    /// Of the reader that got least, as a part of what the middle one got.
    pub slowest: f64,
    /// From the source to the readers that look.
    pub latencies: Vec<Duration>,
    /// From the connection to the first byte.
    pub first_bytes: Vec<Duration>,
    /// From the connection to the first frame, of those who look.
    pub first_frames: Vec<Duration>,
    /// Jumps of continuity counters.
    pub discontinuities: usize,
    /// Readers that got nothing, or were cut off.
    pub lost: usize,
    /// Memory that the server has more than before, in kB.
    pub resident: f64,
    /// Memory that the kernel has more for TCP, in kB.
    pub kernel: f64,
}

impl Outcome {
    /// What a gigabyte costs, in seconds of a processor.
    pub fn cpu_per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }
}

/// Puts the load on a server.
///
/// # Errors
/// When the server refuses a viewer or ends.
pub fn put(server: &mut Server, plan: &Plan) -> anyhow::Result<Outcome> {
    let pid = server.pid();
    // The first viewer has the feed started, and a memory to compare with that is not that of an idle server.
    let mut crowd = Crowd::new(server, plan)?;
    crowd.add(1, Manner::Looks)?;
    crowd
        .run_until(Duration::from_secs(10), |crowd| crowd.clients.iter().all(|client| client.first_frame.is_some()))?;
    let (memory, kernel) = (usage::resident(pid)?, usage::tcp());
    crowd.ramp(plan)?;
    let all = |crowd: &Crowd| crowd.clients.iter().all(|client| client.is_watching() || client.is_gone());
    crowd.run_until(Duration::from_secs(20), all)?;
    crowd.run_until(plan.settle, |_| false)?;
    server.check()?;
    crowd.seen = Some(Seen::default());
    let before = usage::cpu(pid)?;
    crowd.run_until(plan.window, |_| false)?;
    let cpu = usage::cpu(pid)?.saturating_sub(before);
    let (resident, kernel) = (usage::resident(pid)? - memory, usage::tcp() - kernel);
    server.check()?;
    let readers: Vec<&Client> = crowd.clients.iter().filter(|client| client.manner != Manner::Stalls).collect();
    let mut bytes: Vec<u64> = readers.iter().map(|client| client.bytes).collect();
    bytes.sort_unstable();
    let middle = bytes[bytes.len() / 2].max(1);
    let newcomers = || readers.iter().skip(1);
    let seen = crowd.seen.take().unwrap_or_default();
    Ok(Outcome {
        bytes: bytes.iter().sum(),
        cpu,
        slowest: bytes[0] as f64 / middle as f64,
        first_bytes: newcomers().filter_map(|client| client.first_byte).collect(),
        first_frames: newcomers().filter_map(|client| client.first_frame).collect(),
        lost: readers.iter().filter(|client| client.is_gone() || client.bytes == 0).count(),
        latencies: seen.latencies,
        discontinuities: seen.discontinuities,
        resident,
        kernel,
    })
}

struct Crowd {
    poll: Poll,
    events: Events,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    address: std::net::SocketAddr,
    request: String,
    /// Set while it counts.
    seen: Option<Seen>,
}

impl Crowd {
    fn new(server: &Server, plan: &Plan) -> anyhow::Result<Self> {
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            buffer: vec![0; 256 << 10],
            clients: Vec::new(),
            address: server.address,
            request: format!("GET {} HTTP/1.1\r\nHost: {}\r\n\r\n", plan.target, server.address),
            seen: None,
        })
    }

    fn add(&mut self, count: usize, manner: Manner) -> anyhow::Result<()> {
        for _ in 0..count {
            let mut socket = TcpStream::connect(self.address).context("cannot connect")?;
            if manner == Manner::Stalls {
                socket2::SockRef::from(&socket).set_recv_buffer_size(32 << 10)?;
            }
            let token = Token(self.clients.len());
            self.poll.registry().register(&mut socket, token, Interest::READABLE | Interest::WRITABLE)?;
            self.clients.push(Client::new(socket, manner));
        }
        Ok(())
    }

    /// Has all come, evenly.
    fn ramp(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let (begin, all) = (Instant::now(), plan.viewers - 1 + plan.stalled);
        let mut came = 0;
        while came < all {
            let due = (begin.elapsed().as_secs_f64() * f64::from(plan.ramp)) as usize;
            while came < due.min(all) {
                // Those who look are spread among the others; those who stall come first.
                let reader = came.checked_sub(plan.stalled);
                let step = (plan.viewers / plan.looking.max(1)).max(1);
                let manner = match reader {
                    None => Manner::Stalls,
                    Some(reader) if reader.is_multiple_of(step) => Manner::Looks,
                    Some(_) if plan.glancing => Manner::Glances,
                    Some(_) => Manner::Discards,
                };
                self.add(1, manner)?;
                came += 1;
            }
            self.turn(Duration::from_millis(1))?;
        }
        Ok(())
    }

    fn run_until(&mut self, time: Duration, done: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        while !done(self) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.turn(left.min(Duration::from_millis(20)))?;
        }
        Ok(())
    }

    fn turn(&mut self, wait: Duration) -> anyhow::Result<()> {
        match self.poll.poll(&mut self.events, Some(wait)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let Some(client) = self.clients.get_mut(event.token().0) else { continue };
            if event.is_writable() {
                client.ask(self.request.as_bytes());
            }
            if event.is_readable() || event.is_read_closed() {
                client.read(&mut self.buffer, self.seen.as_mut())?;
            }
        }
        Ok(())
    }
}
