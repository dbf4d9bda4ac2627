//! A connection over the control socket: HTTP as everywhere, by somebody whose user the kernel names.

use super::{
    access_log::{Client, Instruments},
    body::StallWatch,
    disconnect::DisconnectWatch,
    limits::{HEAD_WITHIN, MAX_HEAD},
    response::Response,
    session::{Handoff, respond},
    site::Site,
    take_once::TakeOnce,
    takeover::Takeover,
    websocket,
};
use crate::{
    access::{Identity, Peer},
    config::Plain,
    output::shard::PROGRESS_WITHIN,
};
use http::Request;
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    future::poll_fn,
    net::{Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};
use tokio_util::sync::CancellationToken;

/// How long others may take to ask, in vain.
const REFUSED_WITHIN: Duration = Duration::from_secs(1);
/// What others get, when they have asked: some take a connection that ends before for none.
const REFUSAL: &[u8] = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 79\r\nConnection: close\r\n\r\n\
    only root and the user of the server may use this socket: use its address then\n";
/// The address of such clients, which have none.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Whether a user may use the control socket.
pub fn may_control(uid: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw()
}

/// Serves one connection of a user to its end, or until `stop`.
pub async fn serve<S>(mut socket: UnixStream, uid: u32, routes: S, instruments: Instruments, stop: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    if !may_control(uid) {
        tracing::warn!(uid, "a user may not use the control socket");
        let refused = async {
            let _ = socket.read(&mut [0; 1024]).await;
            socket.write_all(REFUSAL).await
        };
        let _ = tokio::time::timeout(REFUSED_WITHIN, refused).await;
        return;
    }
    let stall_watch = StallWatch::default();
    let upgraded = TakeOnce::default();
    let (upgrades, watched, ends) = (upgraded.clone(), stall_watch.clone(), stop.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let disconnect = DisconnectWatch::default();
        let site = Site::of(&request, false, false);
        request.extensions_mut().insert(disconnect.clone());
        request.extensions_mut().insert(site);
        request.extensions_mut().insert(Peer { address: ADDRESS, proved: Some(Identity::Socket { uid }) });
        let handoff = Handoff {
            live: Takeover::default(),
            websocket: upgrades.clone(),
            rest: None,
            disconnect,
            stop: ends.clone(),
            // It stays with hyper: only sockets of TCP are handed over.
            kept: Some(watched.clone()),
            plain: Plain::All,
            challenges: None,
        };
        respond(routes.clone(), request, Client { peer: ADDRESS, instruments: instruments.clone() }, handoff)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        .half_close(true)
        .serve_connection(TokioIo::new(socket), service);
    let mut stopped = pin!(stop.clone().cancelled_owned());
    let mut stalled = pin!(stall_watch.stalled_for(PROGRESS_WITHIN));
    let mut is_stopping = false;
    poll_fn(|context| {
        if !is_stopping && stopped.as_mut().poll(context).is_ready() {
            is_stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if stalled.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        Pin::new(&mut connection).poll(context).map(|_| ())
    })
    .await;
    if let Some((upgrade, log)) = upgraded.take() {
        let parts = connection.into_parts();
        websocket::serve(parts.io.into_inner(), parts.read_buf, upgrade, log, stop).await;
    }
}
