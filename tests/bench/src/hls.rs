//! Players of HLS: each follows the playlists of video and audio, and loads all that they list.
//!
//! A player of LL-HLS asks for the next part and for the playlist that lists it before either is there, on a connection each, as hls.js
//! does. One of plain HLS asks for the playlist once a segment.

use crate::{server::Server, usage};
use anyhow::{Context, bail, ensure};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::JoinSet,
    time::sleep,
};

/// What came of it.
pub struct Outcome {
    /// Time of the server on a processor.
    pub cpu: Duration,
    /// How long it was measured.
    pub lasted: Duration,
    /// Requests that were answered.
    pub requests: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// From the first player that had a part to each other one that had it.
    pub behind: Vec<Duration>,
}

/// What players have in common.
#[derive(Default)]
struct Shared {
    requests: AtomicU64,
    bytes: AtomicU64,
    counts: AtomicBool,
    /// When the first player had a part, and how much later the others.
    parts: Mutex<(HashMap<String, Instant>, Vec<Duration>)>,
}

impl Shared {
    fn has(&self, part: &str) {
        if !self.counts.load(Ordering::Relaxed) {
            return;
        }
        let now = Instant::now();
        let Ok(mut parts) = self.parts.lock() else { return };
        let first = *parts.0.entry(part.to_owned()).or_insert(now);
        parts.1.push(now.saturating_duration_since(first));
    }
}

/// Has so many players follow `/live.m3u8`, and measures for `window` when all of them have begun.
///
/// # Errors
/// When one of them is refused or cut off.
pub fn put(server: &mut Server, players: usize, has_parts: bool, window: Duration) -> anyhow::Result<Outcome> {
    let pid = server.pid();
    Runtime::new()?.block_on(async {
        let (mut crowd, shared) = (JoinSet::new(), Arc::new(Shared::default()));
        for _ in 0..players {
            let (address, of_player) = (server.address, shared.clone());
            crowd.spawn(async move { play(address, has_parts, &of_player).await });
            // They come one by one, and do not ask for plain playlists at the same moment.
            sleep(Duration::from_millis(2)).await;
        }
        sleep(Duration::from_secs(3)).await;
        shared.counts.store(true, Ordering::Relaxed);
        let counted = || (shared.requests.load(Ordering::Relaxed), shared.bytes.load(Ordering::Relaxed));
        let (cpu, before, began) = (usage::cpu(pid)?, counted(), Instant::now());
        sleep(window).await;
        let (cpu, after, lasted) = (usage::cpu(pid)?.saturating_sub(cpu), counted(), began.elapsed());
        if let Some(ended) = crowd.try_join_next() {
            ended?.context("a player of HLS")?;
            bail!("a player of HLS ended");
        }
        let behind = shared.parts.lock().map(|mut parts| std::mem::take(&mut parts.1)).unwrap_or_default();
        Ok(Outcome { cpu, lasted, requests: after.0 - before.0, bytes: after.1 - before.1, behind })
    })
}

async fn play(address: SocketAddr, has_parts: bool, shared: &Shared) -> anyhow::Result<()> {
    let mut connection = Connection::new(address, shared).await?;
    let multivariant = String::from_utf8(connection.get("/live.m3u8").await?)?;
    let lines = multivariant.lines();
    let video = lines.clone().find(|line| !line.starts_with('#')).context("no video")?;
    let audio = lines.filter_map(|line| line.split_once("URI=\"")?.1.split('"').next()).next();
    let audio = audio.context("no audio")?;
    let follow = |playlist: &str| {
        let playlist = format!("/{playlist}");
        async move {
            match has_parts {
                true => follow_parts(address, &playlist, shared).await,
                false => follow_segments(address, &playlist, shared).await,
            }
        }
    };
    tokio::try_join!(follow(video), follow(audio)).map(|_| ())
}

/// What the next request is for.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    /// Number of the segment that is being made, and how many of its parts are listed.
    open: u64,
    parts: u64,
    hint: Option<String>,
    newest: Option<String>,
    /// `EXT-X-TARGETDURATION`.
    target: u64,
}

impl List {
    fn parse(text: &str) -> Self {
        let mut list = Self::default();
        for line in text.lines() {
            let value = |name: &str| line.strip_prefix(name);
            let number = |name: &str| value(name)?.parse::<u64>().ok();
            if let Some(first) = number("#EXT-X-MEDIA-SEQUENCE:") {
                list.open += first;
            } else if let Some(skipped) = number("#EXT-X-SKIP:SKIPPED-SEGMENTS=") {
                list.open += skipped;
            } else if let Some(target) = number("#EXT-X-TARGETDURATION:") {
                list.target = target;
            } else if line.starts_with("#EXT-X-PART:") {
                list.parts += 1;
            } else if let Some(hint) = value("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"") {
                list.hint = Some(hint.trim_end_matches('"').to_owned());
            } else if !line.starts_with('#') && !line.is_empty() {
                (list.open, list.parts, list.newest) = (list.open + 1, 0, Some(line.to_owned()));
            }
        }
        list
    }
}

async fn follow_parts(address: SocketAddr, playlist: &str, shared: &Shared) -> anyhow::Result<()> {
    let (mut lists, mut media) = (Connection::new(address, shared).await?, Connection::new(address, shared).await?);
    let mut list = List::parse(&String::from_utf8(lists.get(playlist).await?)?);
    loop {
        let hint = list.hint.as_deref().context("no hint")?;
        let part = beside(playlist, hint);
        let next = format!("{playlist}&_HLS_msn={}&_HLS_part={}&_HLS_skip=YES", list.open, list.parts);
        let load = async {
            let body = media.get(&part).await?;
            shared.has(&part);
            ensure!(!body.is_empty(), "an empty part");
            Ok(())
        };
        let (text, ()) = tokio::try_join!(lists.get(&next), load)?;
        list = List::parse(&String::from_utf8(text)?);
    }
}

async fn follow_segments(address: SocketAddr, playlist: &str, shared: &Shared) -> anyhow::Result<()> {
    let mut connection = Connection::new(address, shared).await?;
    let mut known = 0;
    loop {
        let list = List::parse(&String::from_utf8(connection.get(playlist).await?)?);
        if list.open > known {
            known = list.open;
            let segment = beside(playlist, list.newest.as_deref().context("no segment")?);
            ensure!(!connection.get(&segment).await?.is_empty(), "an empty segment");
            sleep(Duration::from_secs(list.target)).await;
        } else {
            // As RFC 8216, section 6.3.4, has it.
            sleep(Duration::from_millis(500 * list.target)).await;
        }
    }
}

/// The path of a file that a playlist lists.
fn beside(playlist: &str, file: &str) -> String {
    let folder = playlist.split('?').next().and_then(|path| path.rsplit_once('/')).map_or("", |(folder, _)| folder);
    format!("{folder}/{file}")
}

/// A connection that is kept.
struct Connection<'a> {
    socket: TcpStream,
    address: SocketAddr,
    shared: &'a Shared,
    buffer: Vec<u8>,
}

impl<'a> Connection<'a> {
    async fn new(address: SocketAddr, shared: &'a Shared) -> anyhow::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        Ok(Self { socket, address, shared, buffer: Vec::with_capacity(16 << 10) })
    }

    /// The body of an answer.
    async fn get(&mut self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", self.address);
        self.socket.write_all(request.as_bytes()).await?;
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            self.read(path).await?;
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        ensure!(head.starts_with("http/1.1 200"), "{path}: {head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        let length = length.with_context(|| format!("{path} without a length"))?;
        while self.buffer.len() < end + length {
            self.read(path).await?;
        }
        let body = self.buffer[end..end + length].to_vec();
        self.buffer.drain(..end + length);
        self.shared.requests.fetch_add(1, Ordering::Relaxed);
        self.shared.bytes.fetch_add(length as u64, Ordering::Relaxed);
        Ok(body)
    }

    async fn read(&mut self, path: &str) -> anyhow::Result<()> {
        ensure!(self.socket.read_buf(&mut self.buffer).await? > 0, "{path}: the connection ended");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_request_is_for_the_next_part() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n\
                    #EXT-X-PART:DURATION=0.2,URI=\"v0-p1.m4s\"\n#EXTINF:2,\nv0-10.m4s\n#EXT-X-PART:DURATION=0.2,URI=\"v0-p2.m4s\"\n\
                    #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"v0-p3.m4s\"\n";
        let list = List::parse(text);
        let named = |name: &str| Some(name.to_owned());
        assert_eq!((list.open, list.parts, list.target), (11, 1, 2));
        assert_eq!((list.hint, list.newest), (named("v0-p3.m4s"), named("v0-10.m4s")));
        assert_eq!(beside("/a/hls/v0.m3u8?s=1", "v0-1.m4s"), "/a/hls/v0-1.m4s");
    }
}
