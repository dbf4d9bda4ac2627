//! ICE over TCP (RFC 6544), on the port of HTTP, for viewers whom UDP does not reach: each datagram with its length in front
//! (RFC 4571).

use super::{
    listener::WebRtc,
    mux::{Source, is_stun},
    send::Queued,
};
use crate::net::ConnectionPermit;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};
use tokio_util::sync::CancellationToken;

/// How long a client may take until its first request.
const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// A client that sends nothing for this long is gone: it checks the connection every few seconds.
const SILENT: Duration = Duration::from_secs(30);
/// Longest datagram that is received.
const MAX_DATAGRAM: usize = 2048;

/// Whether a connection that begins with this byte carries datagrams: the length of the first one, a request of STUN, is below 256.
/// No text and no handshake of TLS begins so.
pub fn is_framed(first: u8) -> bool {
    first == 0
}

/// Serves a connection to its end, or until `stop`.
pub async fn serve(
    webrtc: WebRtc,
    socket: TcpStream,
    peer: SocketAddr,
    permit: ConnectionPermit,
    stop: CancellationToken,
) {
    let _permit = permit;
    let _ = socket.set_nodelay(true);
    let (reading, writing) = socket.into_split();
    let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
    let end = stop.child_token();
    let queued = webrtc.connections().open(peer, end.clone());
    tokio::select! {
        () = end.cancelled() => {}
        () = read(&webrtc, reading, peer) => {}
        () = write(writing, queued) => {}
    }
    webrtc.connections().close(peer);
}

/// Hands what comes to the sessions, until it is none.
async fn read(webrtc: &WebRtc, mut reading: OwnedReadHalf, peer: SocketAddr) {
    let mut within = REQUEST_WITHIN;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let datagram = tokio::time::timeout(within, next(&mut reading, &mut buffer)).await;
        let Ok(Some(datagram)) = datagram else { return };
        let source = Source { address: peer, is_tcp: true };
        // It is of the session of its first request.
        let is_first = within == REQUEST_WITHIN;
        if is_first && !is_stun(datagram) || !webrtc.receive(source, datagram) {
            return;
        }
        within = SILENT;
    }
}

async fn next<'a>(reading: &mut OwnedReadHalf, buffer: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = usize::from(reading.read_u16().await.ok()?);
    let datagram = buffer.get_mut(..length)?;
    reading.read_exact(datagram).await.ok()?;
    Some(datagram)
}

async fn write(mut writing: OwnedWriteHalf, mut queued: Queued) {
    while let Some(framed) = queued.next().await {
        if writing.write_all(&framed).await.is_err() {
            return;
        }
    }
}
