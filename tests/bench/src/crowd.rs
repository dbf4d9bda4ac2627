//! Many viewers of one kind, each on a connection of its own, and what they cost the server.

use crate::{server::Server, usage};
use anyhow::{Context, ensure};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    runtime::Runtime,
    task::JoinSet,
    time::sleep,
};

/// What came of it.
pub struct Outcome {
    /// Bytes that all viewers took together.
    pub bytes: u64,
    /// Time of the server on a processor.
    pub cpu: Duration,
    /// Memory that the server has more than with one viewer, in kB.
    pub resident: f64,
    /// Packets that viewers miss, of those who look at that.
    pub lost: u64,
}

impl Outcome {
    /// Seconds of a processor for a gigabyte.
    pub fn cpu_per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() / (self.bytes as f64 / 1e9)
    }
}

/// What all viewers have taken.
#[derive(Default)]
pub struct Taken {
    bytes: AtomicU64,
    begun: AtomicU64,
    lost: AtomicU64,
}

impl Taken {
    /// A viewer has taken so much; `is_first` is whether it has begun with that, and false from then on.
    pub fn add(&self, length: usize, is_first: &mut bool) {
        self.begun.fetch_add(u64::from(std::mem::take(is_first)), Ordering::Relaxed);
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
    }

    /// A viewer misses so many packets.
    pub fn lose(&self, packets: u32) {
        self.lost.fetch_add(packets.into(), Ordering::Relaxed);
    }
}

/// Has `viewers` do what `watch` does, at this address, and measures for `window` when all of them have begun.
///
/// # Errors
/// When one of them is refused or cut off.
pub fn put<W>(
    server: &mut Server,
    (viewers, address): (usize, SocketAddr),
    window: Duration,
    watch: impl Fn(SocketAddr, Arc<Taken>) -> W,
) -> anyhow::Result<Outcome>
where
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let pid = server.pid();
    Runtime::new()?.block_on(async {
        let (mut crowd, taken) = (JoinSet::new(), Arc::new(Taken::default()));
        let mut memory = 0.0;
        for number in 1..=viewers {
            crowd.spawn(watch(address, taken.clone()));
            // The first one has the stream started.
            while number == 1 && taken.begun.load(Ordering::Relaxed) == 0 {
                ended(&mut crowd)?;
                sleep(Duration::from_millis(5)).await;
            }
            if number == 1 {
                memory = usage::resident(pid)?;
            }
        }
        while taken.begun.load(Ordering::Relaxed) < viewers as u64 {
            ended(&mut crowd)?;
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_secs(1)).await;
        let (cpu, before) = (usage::cpu(pid)?, taken.bytes.load(Ordering::Relaxed));
        sleep(window).await;
        let (cpu, bytes) = (usage::cpu(pid)?.saturating_sub(cpu), taken.bytes.load(Ordering::Relaxed) - before);
        ended(&mut crowd)?;
        let lost = taken.lost.load(Ordering::Relaxed);
        Ok(Outcome { bytes, cpu, resident: usage::resident(pid)? - memory, lost })
    })
}

/// Fails when a viewer has ended.
fn ended(crowd: &mut JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    if let Some(ended) = crowd.try_join_next() {
        ended?.context("a viewer")?;
    }
    Ok(())
}

/// Asks for a path over HTTP/1.1, and takes what comes.
///
/// # Errors
/// When it is refused or cut off.
pub async fn get(
    mut socket: impl AsyncRead + AsyncWrite + Unpin,
    (address, path): (SocketAddr, &str),
    taken: &Taken,
) -> anyhow::Result<()> {
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let (mut buffer, mut is_first) = (vec![0; 64 << 10], true);
    loop {
        let length = socket.read(&mut buffer).await?;
        ensure!(length > 0, "cut off");
        ensure!(!is_first || buffer.starts_with(b"HTTP/1.1 200 "), "{}", buffer[..length].escape_ascii());
        taken.add(length, &mut is_first);
    }
}
