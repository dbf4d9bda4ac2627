//! How many still pictures a server answers with, and how quickly: clients that ask again as soon as they have one.

use anyhow::{Context, ensure};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From a request to the end of its answer, each.
    pub took: Vec<Duration>,
    /// How long they asked.
    pub lasted: Duration,
}

impl Outcome {
    /// Answers a second.
    pub fn rate(&self) -> f64 {
        self.took.len() as f64 / self.lasted.as_secs_f64()
    }
}

/// So many clients ask for `target` for this time, one request after the other on a connection.
///
/// # Errors
/// When an answer is none, or the connection is closed behind it.
pub fn ask(address: SocketAddr, target: &str, clients: usize, time: Duration) -> anyhow::Result<Outcome> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let began = Instant::now();
    let all = std::thread::scope(|scope| {
        let client = || -> anyhow::Result<Vec<Duration>> {
            let (mut took, mut buffer) = (Vec::new(), vec![0; 256 << 10]);
            let mut socket = TcpStream::connect(address)?;
            socket.set_nodelay(true)?;
            while began.elapsed() < time {
                let begins = Instant::now();
                socket.write_all(request.as_bytes())?;
                answer(&mut socket, &mut buffer).with_context(|| format!("no picture of {target}"))?;
                took.push(begins.elapsed());
            }
            Ok(took)
        };
        let threads: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().ok().context("a client panicked")?)
            .collect::<Result<Vec<_>, _>>()
    })?;
    Ok(Outcome { took: all.into_iter().flatten().collect(), lasted: began.elapsed() })
}

/// Asks once, on a connection of its own, so that there is a picture that was made before.
///
/// # Errors
/// When the answer is none.
pub fn make(address: SocketAddr, target: &str) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    write!(socket, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    answer(&mut socket, &mut vec![0; 256 << 10])
}

/// One client asks for `target` so many times, each time after a pause in which there are newer pictures, and on a connection of
/// its own that is there before.
///
/// # Errors
/// When an answer is none.
pub fn at_leisure(address: SocketAddr, target: &str, times: usize) -> anyhow::Result<Vec<Duration>> {
    /// Longer than a picture of 25 a second, and no multiple of it: requests come at any moment between two pictures.
    const PAUSE: Duration = Duration::from_millis(57);
    // A picture of 1080 lines and all details.
    let mut buffer = vec![0; 8 << 20];
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n");
    let mut took = Vec::new();
    for _ in 0..times {
        std::thread::sleep(PAUSE);
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let begins = Instant::now();
        socket.write_all(request.as_bytes())?;
        answer(&mut socket, &mut buffer).with_context(|| format!("no picture of {target}"))?;
        took.push(begins.elapsed());
    }
    Ok(took)
}

/// A viewer of `target`, from whom on it runs; it ends when the server closes the connection.
///
/// # Errors
/// When nothing comes.
pub fn watch(address: SocketAddr, target: &str) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address)?;
    socket.set_read_timeout(Some(Duration::from_secs(20)))?;
    write!(socket, "GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n")?;
    let (mut buffer, mut filled) = (vec![0; 64 << 10], 0);
    while filled < 100_000 {
        let read = socket.read(&mut buffer)?;
        ensure!(read > 0, "{target} ended after {filled} bytes");
        filled += read;
    }
    std::thread::spawn(move || while socket.read(&mut buffer).is_ok_and(|read| read > 0) {});
    Ok(())
}

/// Reads a whole answer.
fn answer(socket: &mut TcpStream, buffer: &mut [u8]) -> anyhow::Result<()> {
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..])?;
        ensure!(read > 0, "the connection is closed after {filled} bytes");
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.context("an answer without a length")?;
        ensure!(length > 500, "a picture of {length} bytes");
        if filled >= end + 4 + length {
            return Ok(());
        }
    }
}
