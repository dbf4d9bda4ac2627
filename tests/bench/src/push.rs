//! What a server says of the pushes of `live` in its metrics.

use anyhow::{Context, ensure};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread::sleep,
    time::{Duration, Instant},
};

/// Time until all are established.
const SOON: Duration = Duration::from_secs(30);

/// All pushes together.
#[derive(Debug, Default, Clone, Copy)]
pub struct Pushes {
    /// Those that are established.
    pub established: usize,
    /// Bytes that targets took.
    pub bytes: u64,
    /// Packets that they lost.
    pub lost: u64,
}

/// Waits until so many are established.
///
/// # Errors
/// When they are not soon.
pub fn wait(server: SocketAddr, count: usize) -> anyhow::Result<()> {
    let until = Instant::now() + SOON;
    loop {
        let found = read(server)?;
        if found.established == count {
            return Ok(());
        }
        ensure!(Instant::now() < until, "{} of {count} pushes are established", found.established);
        sleep(Duration::from_millis(20));
    }
}

/// What the server says now.
///
/// # Errors
/// When it says nothing of that kind.
pub fn read(server: SocketAddr) -> anyhow::Result<Pushes> {
    let mut socket = TcpStream::connect(server)?;
    socket.write_all(format!("GET /metrics HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    socket.read_to_string(&mut text)?;
    let mut pushes = Pushes::default();
    for line in text.lines() {
        let value = || line.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok());
        let name = line.split('{').next().unwrap_or_default();
        let value = match name.strip_prefix("voyandz_push_") {
            Some("established" | "bytes_total" | "lost_packets_total") => value().context("no number in a metric")?,
            _ => continue,
        };
        match name {
            "voyandz_push_established" => pushes.established += usize::try_from(value)?,
            "voyandz_push_bytes_total" => pushes.bytes += value,
            _ => pushes.lost += value,
        }
    }
    Ok(pushes)
}
