//! Players of RTSP, over their connections and in datagrams.

use crate::crowd::Taken;
use anyhow::{Context, ensure};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// A stream that does not come.
const SILENCE: Duration = Duration::from_secs(10);
/// Buffer of a socket, if the system permits that.
const BUFFER: usize = 4 << 20;

/// Plays the first track of `live` to its end.
///
/// # Errors
/// When it is refused or cut off.
pub async fn play(address: SocketAddr, taken: Arc<Taken>) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let url = format!("rtsp://{address}/live");
    request(&mut socket, &format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n")).await?;
    let setup =
        format!("SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n\r\n");
    let head = request(&mut socket, &setup).await?;
    let session = head.split("Session: ").nth(1).and_then(|rest| rest.split(';').next()).context("no session")?;
    let play = format!("PLAY {url} RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n");
    socket.write_all(play.as_bytes()).await?;
    let (mut buffer, mut is_first) = (vec![0; 64 << 10], true);
    loop {
        let length = socket.read(&mut buffer).await?;
        ensure!(length > 0, "cut off");
        ensure!(!is_first || buffer.starts_with(b"RTSP/1.0 200 "), "{}", buffer[..length].escape_ascii());
        taken.add(length, &mut is_first);
    }
}

/// The same in datagrams.
///
/// # Errors
/// When it is refused, or nothing comes.
pub async fn play_datagrams(address: SocketAddr, taken: Arc<Taken>) -> anyhow::Result<()> {
    let (rtp, rtcp) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    socket2::SockRef::from(&rtp).set_recv_buffer_size(BUFFER)?;
    let (first, second) = (rtp.local_addr()?.port(), rtcp.local_addr()?.port());
    let (mut socket, play) = set_up(address, &format!("RTP/AVP;unicast;client_port={first}-{second}")).await?;
    request(&mut socket, &play).await?;
    let (mut buffer, mut is_first) = (vec![0; 2048], true);
    loop {
        let length = timeout(SILENCE, rtp.recv(&mut buffer)).await.context("no packet")??;
        taken.add(length, &mut is_first);
        while let Ok(length) = rtp.try_recv(&mut buffer) {
            taken.add(length, &mut is_first);
        }
    }
}

/// How soon a player has its first packet.
#[derive(Debug, Clone, Copy)]
pub struct First {
    /// From the request `PLAY` on.
    pub since_play: Duration,
    /// From the response to it on.
    pub since_response: Duration,
    /// Whether the packet begins a keyframe: it has the parameter sets.
    pub is_keyframe: bool,
}

impl First {
    fn new(played: Instant, responded: Instant, packet: &[u8]) -> Self {
        let now = Instant::now();
        let (since_play, since_response) = (now - played, now - responded);
        // Several units in one packet, of which the first one is the parameters of the sequence.
        let kind = |at: usize| packet.get(at).map(|byte| byte & 0x1f);
        Self { since_play, since_response, is_keyframe: (kind(12), kind(15)) == (Some(24), Some(7)) }
    }
}

/// Plays over the connection until the first packet.
///
/// # Errors
/// When it is refused, or cut off.
pub async fn first_packet(address: SocketAddr) -> anyhow::Result<First> {
    let (mut socket, play) = set_up(address, "RTP/AVP/TCP;unicast;interleaved=0-1").await?;
    let played = Instant::now();
    socket.write_all(play.as_bytes()).await?;
    let (mut received, mut responded) = (Vec::new(), None);
    loop {
        while let Some(begin) = received.windows(4).position(|four| four == b"\r\n\r\n").filter(|_| responded.is_none())
        {
            ensure!(received.starts_with(b"RTSP/1.0 200 "), "{}", received.escape_ascii());
            received.drain(..begin + 4);
            responded = Some(Instant::now());
        }
        while let (Some(responded), &[b'$', channel, high, low, ..]) = (responded, &received[..]) {
            let end = 4 + usize::from(u16::from_be_bytes([high, low]));
            let Some(packet) = received.get(4..end) else { break };
            if channel == 0 {
                return Ok(First::new(played, responded, packet));
            }
            received.drain(..end);
        }
        ensure!(socket.read_buf(&mut received).await? > 0, "cut off");
    }
}

/// The same in datagrams.
///
/// # Errors
/// When it is refused, or nothing comes.
pub async fn first_datagram(address: SocketAddr) -> anyhow::Result<First> {
    let (rtp, rtcp) = (UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?);
    let (first, second) = (rtp.local_addr()?.port(), rtcp.local_addr()?.port());
    let (mut socket, play) = set_up(address, &format!("RTP/AVP;unicast;client_port={first}-{second}")).await?;
    let played = Instant::now();
    request(&mut socket, &play).await?;
    let responded = Instant::now();
    let mut buffer = vec![0; 2048];
    let length = timeout(SILENCE, rtp.recv(&mut buffer)).await.context("no packet")??;
    let found = First::new(played, responded, buffer.get(..length).unwrap_or_default());
    // Otherwise the server sends to nobody for another minute.
    let session = play.lines().find(|line| line.starts_with("Session: ")).context("no session")?;
    request(&mut socket, &format!("TEARDOWN rtsp://{address}/live RTSP/1.0\r\nCSeq: 4\r\n{session}\r\n\r\n")).await?;
    Ok(found)
}

/// A connection on which the first track is set up, and the request to play it.
async fn set_up(address: SocketAddr, transport: &str) -> anyhow::Result<(TcpStream, String)> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let url = format!("rtsp://{address}/live");
    request(&mut socket, &format!("DESCRIBE {url} RTSP/1.0\r\nCSeq: 1\r\n\r\n")).await?;
    let setup = format!("SETUP {url}/trackID=0 RTSP/1.0\r\nCSeq: 2\r\nTransport: {transport}\r\n\r\n");
    let head = request(&mut socket, &setup).await?;
    let session = head.split("Session: ").nth(1).and_then(|rest| rest.split(';').next()).context("no session")?;
    let play = format!("PLAY {url} RTSP/1.0\r\nCSeq: 3\r\nSession: {session}\r\n\r\n");
    Ok((socket, play))
}

/// Sends a request, and returns the head of the response.
async fn request(socket: &mut TcpStream, request: &str) -> anyhow::Result<String> {
    socket.write_all(request.as_bytes()).await?;
    let (mut response, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = socket.read(&mut buffer).await?;
        ensure!(length > 0, "cut off");
        response.extend(&buffer[..length]);
        let text = String::from_utf8_lossy(&response);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        ensure!(head.starts_with("RTSP/1.0 200 "), "{head}");
        let announced = head.split("Content-Length: ").nth(1).and_then(|rest| rest.lines().next());
        if body.len() >= announced.map_or(Ok(0), str::parse)? {
            return Ok(head.to_owned());
        }
    }
}
