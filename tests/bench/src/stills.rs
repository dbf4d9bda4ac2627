//! How many still pictures a server answers with, and how quickly: clients that ask again as soon as they have one.

use anyhow::{Context, bail};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the begin of a connection to its end, each.
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

/// So many clients ask for `target` for this time, each with a connection for each picture, as the answers want it.
///
/// # Errors
/// When an answer is none.
pub fn ask(address: SocketAddr, target: &str, clients: usize, time: Duration) -> anyhow::Result<Outcome> {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let began = Instant::now();
    let all = std::thread::scope(|scope| {
        let client = || -> anyhow::Result<Vec<Duration>> {
            let (mut took, mut answer) = (Vec::new(), Vec::new());
            while began.elapsed() < time {
                let begins = Instant::now();
                let mut socket = TcpStream::connect(address)?;
                socket.set_nodelay(true)?;
                socket.write_all(request.as_bytes())?;
                answer.clear();
                socket.read_to_end(&mut answer)?;
                took.push(begins.elapsed());
                if !answer.starts_with(b"HTTP/1.1 200") || answer.len() < 500 {
                    bail!("{target}: {}", String::from_utf8_lossy(&answer[..answer.len().min(200)]));
                }
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
