//! The connection of one client: hyper reads requests and writes responses; a live response continues without hyper.

use super::{
    access_log::{Client, Instruments, LowPriorityLog, RequestLog},
    authorize::{Granted, Need},
    body::{LiveBody, StallWatch},
    disconnect::DisconnectWatch,
    frames, h2,
    icecast::{self, RestOfConnection},
    limits::{HEAD_WITHIN, MAX_BODY, MAX_HEAD, MAX_TARGET},
    live_session::LiveSession,
    publish::{self, Carriage},
    request_id::{self, RequestId},
    response::{complete, too_large},
    site::{self, Site},
    still_stream::{Framing, StillStream},
    take_once::TakeOnce,
    takeover::{CountedBody, LiveResponse, LiveStream, TakenConnection, Takeover, TakeoverBody},
    trace_context::{self, TraceContext},
    websocket::{self, Upgrade},
};
use crate::{
    access::{Gate, Identity, Peer, any_contains, client},
    config::Plain,
    net::{
        Connection, proxy_header,
        tls::{self, Challenges, Tls, Transport},
    },
    output::{
        hls::{self, viewers::Visit},
        publish::feeder::Feeder,
        shard::{
            PROGRESS_WITHIN,
            pool::{Joining, Shards},
            socket::LiveSocket,
            viewer,
        },
        webrtc::{WebRtc, tcp},
    },
    telemetry::{HttpStats, Trace},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(super) type ReplyBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Serves one connection to its end, or until `stop`. A connection with a live response moves to one of the `shards`. `instruments`
/// measure the requests, `gate` knows the proxies whose word for the address of a client counts.
pub async fn serve<S>(
    connection: Connection,
    routes: S,
    shards: Arc<Shards>,
    Security { gate, tls, webrtc }: Security,
    instruments: Instruments,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let Connection { mut socket, peer, permit } = connection;
    let Some(peer) = behind_proxy(&mut socket, peer, &gate).await else { return };
    // The kernel closes it then. Pages and stills have no other limit.
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(PROGRESS_WITHIN));
    let webrtc = webrtc.filter(WebRtc::has_tcp);
    if let Some(webrtc) = webrtc
        && first_byte(&socket).await.is_some_and(tcp::is_framed)
    {
        return tcp::serve(webrtc, socket, peer, permit, stop).await;
    }
    let plain = tls.as_ref().map(|(_, plain)| *plain);
    let challenges = tls.as_ref().and_then(|(tls, _)| tls.challenges().cloned());
    let Some(transport) = secure(socket, tls.map(|(tls, _)| tls), &instruments.stats).await else { return };
    let is_tls = transport.is_tls();
    let plain = plain.filter(|_| !is_tls).unwrap_or(Plain::All);
    let proved = certified(&transport);
    let is_http2 = transport.protocol() == Some(tls::H2);
    let takeover = Takeover::default();
    let disconnect = DisconnectWatch::default();
    let offered = takeover.clone();
    // Filled when the connection becomes a WebSocket.
    let upgraded = TakeOnce::<(Upgrade, RequestLog)>::default();
    // Filled when all that follows on the connection is media.
    let rest = TakeOnce::<RestOfConnection>::default();
    let (upgrades, rests, ends) = (upgraded.clone(), rest.clone(), stop.clone());
    let offers = disconnect.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        // Of the connection: the proxy sends how clients reach the server.
        let site = Site::of(&request, gate.policy().policy().names_site(peer.ip()), is_tls);
        let peer = peer_of(&gate, peer, request.headers());
        request.extensions_mut().insert(disconnect.clone());
        request.extensions_mut().insert(site);
        request.extensions_mut().insert(Peer { address: peer, proved: proved.clone() });
        let handoff = Handoff {
            live: offered.clone(),
            websocket: upgrades.clone(),
            rest: Some(rests.clone()).filter(|_| !is_http2),
            disconnect: disconnect.clone(),
            stop: ends.clone(),
            kept: None,
            plain,
            challenges: challenges.clone(),
        };
        respond(routes.clone(), request, Client { peer, instruments: instruments.clone() }, handoff)
    });
    if is_http2 {
        return h2::serve(transport, Bytes::new(), service, stop).await;
    }
    let io = WatchedIo { socket: TokioIo::new(transport), takeover: takeover.clone(), disconnect: offers };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        // `printf 'GET …' | nc` closes its side immediately and still reads the response.
        .half_close(true)
        .serve_connection(io, service);
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let left = poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // Protocol errors of clients are not logged.
        let done = Pin::new(&mut connection).poll(context).map(|_| ());
        match (takeover.take(), rest.take()) {
            (None, None) => done.map(|()| Left::Done),
            (Some(taken), _) => Poll::Ready(Left::Viewer(Box::new(taken))),
            (None, Some(rest)) => Poll::Ready(Left::Rest(Box::new(rest))),
        }
    })
    .await;
    let Left::Viewer(taken) = left else {
        let parts = connection.into_parts();
        let (transport, early) = (parts.io.socket.into_inner(), parts.read_buf);
        if let Left::Rest(rest) = left {
            icecast::serve(transport, early, *rest, stop.clone()).await;
        } else if let Some((upgrade, log)) = upgraded.take() {
            websocket::serve(transport, early, upgrade, log, stop.clone()).await;
        } else if early.starts_with(h2::PREFACE) && !is_tls {
            // hyper does not respond to the preface of another protocol.
            h2::serve(transport, early, parts.service, stop.clone()).await;
        }
        return;
    };
    // Frees the buffers of hyper. Further requests of the client get no response: `connection: close` announced it.
    let Some(socket) = LiveSocket::of(connection.into_parts().io.socket.into_inner()) else { return };
    let TakenConnection { stream: LiveStream { reader, lease, viewers, batch, early_heads }, log, chunked } = *taken;
    shards.adopt(Joining {
        socket,
        before: VecDeque::new(),
        permit,
        reader,
        lease,
        viewers,
        wake_interval: batch,
        framing: match (early_heads, chunked) {
            (true, chunked) => viewer::Framing::EarlyHeads { chunked },
            (false, true) => viewer::Framing::Chunked,
            (false, false) => viewer::Framing::Plain,
        },
        session: Box::new(LiveSession::new(log, chunked)),
    });
}

/// Why hyper has done with a connection.
enum Left {
    /// It has ended, or hyper does not know how it continues.
    Done,
    /// A shard writes the rest of a response.
    Viewer(Box<TakenConnection>),
    /// What follows a request is media.
    Rest(Box<RestOfConnection>),
}

/// Who may do what over a connection, and how it is encrypted.
#[derive(Debug, Clone)]
pub struct Security {
    /// Decides.
    pub gate: Gate,
    /// Encrypts, where that is configured, and says who may do without.
    pub tls: Option<(Tls, Plain)>,
    /// Has viewers who connect to this port, where that is configured.
    pub webrtc: Option<WebRtc>,
}

/// The first byte that a client sends, which stays to be read; `None` when it comes too late.
async fn first_byte(socket: &TcpStream) -> Option<u8> {
    let mut first = [0];
    match tokio::time::timeout(HEAD_WITHIN, socket.peek(&mut first)).await {
        Ok(Ok(1..)) => Some(first[0]),
        _ => None,
    }
}

/// The client of a connection, by the header of the PROXY protocol where it comes from a proxy that sends one; `None` when that
/// is not right, or does not come in time.
pub(in crate::output) async fn behind_proxy(
    socket: &mut TcpStream,
    peer: SocketAddr,
    gate: &Gate,
) -> Option<SocketAddr> {
    let policy = gate.policy();
    let rules = policy.policy();
    if !(rules.proxy_protocol && any_contains(&rules.proxies, peer.ip())) {
        return Some(peer);
    }
    match tokio::time::timeout(HEAD_WITHIN, proxy_header::read(socket)).await {
        Ok(Ok(client)) => Some(client.unwrap_or(peer)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "connection of a proxy closed");
            None
        }
        Err(_) => None,
    }
}

/// A connection whose first byte begins a handshake is encrypted; `None` when that fails, or when no byte comes in time.
pub(in crate::output) async fn secure(socket: TcpStream, tls: Option<Tls>, stats: &HttpStats) -> Option<Transport> {
    let Some(tls) = tls else { return Some(Transport::Plain(socket)) };
    let handshake = async {
        let mut first = [0];
        match socket.peek(&mut first).await {
            Ok(1..) if tls::is_handshake(first[0]) => {
                let stream = tls.acceptor().accept(socket).await;
                stream.map(|stream| Some(Transport::Tls(Box::new(stream.into()))))
            }
            Ok(1..) => Ok(Some(Transport::Plain(socket))),
            Ok(0) | Err(_) => Ok(None),
        }
    };
    match tokio::time::timeout(HEAD_WITHIN, handshake).await {
        // A validator of an authority has seen the certificate that it came for.
        Ok(Ok(Some(mut transport))) if transport.protocol() == Some(tls::ACME) => {
            let _ = tokio::time::timeout(HEAD_WITHIN, transport.shutdown()).await;
            None
        }
        Ok(Ok(transport)) => transport,
        // Handshakes fail as clients please; they are counted, not logged.
        Ok(Err(_)) | Err(_) => {
            stats.handshake_failed();
            None
        }
    }
}

/// Who a client is by its certificate.
pub(in crate::output) fn certified(transport: &Transport) -> Option<Identity> {
    transport.client_names().map(|names| Identity::Certificate(names.into()))
}

/// How a response may continue without hyper or warp.
pub(super) struct Handoff {
    pub(super) live: Takeover,
    pub(super) websocket: TakeOnce<(Upgrade, RequestLog)>,
    /// Takes a connection that has no more requests; `None` where that cannot be.
    pub(super) rest: Option<TakeOnce<RestOfConnection>>,
    pub(super) disconnect: DisconnectWatch,
    pub(super) stop: CancellationToken,
    /// Watches live responses of a connection that stays with hyper, as one of the control socket does.
    pub(super) kept: Option<StallWatch>,
    /// Who may do without encryption; all where the connection is encrypted.
    pub(super) plain: Plain,
    /// What validators of an authority come for, where certificates come by ACME.
    pub(super) challenges: Option<Challenges>,
}

pub(super) async fn respond<S>(
    routes: S,
    mut request: Request<Incoming>,
    client: Client,
    handoff: Handoff,
) -> Result<Response<ReplyBody>, Infallible>
where
    S: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible>,
{
    let id = RequestId::of(request.headers());
    // Every log line of this request carries its id and its trace id.
    let context = TraceContext::of(request.headers());
    let recorded = Trace::begin(&client.instruments.tracer, context.map(|context| context.parent()), id.span());
    let trace = context.map(|context| context.id()).or(recorded.as_ref().map(Trace::id));
    let trace_id = trace.map(tracing::field::display);
    let span = match hls::is_file(request.uri().path()) {
        // A player sends dozens a second, and nothing but their own lines is logged of them.
        true => tracing::debug_span!("request", %id, trace = trace_id),
        false => tracing::error_span!("request", %id, trace = trace_id),
    };
    if let Some(recorded) = &recorded {
        request.extensions_mut().insert(recorded.clone());
    }
    let mut log = RequestLog::new(client, id.clone(), trace, recorded, &request);
    let carriage = carriage(&request, handoff.rest.is_some());
    if let Some(carriage) = carriage {
        request.extensions_mut().insert(carriage);
    }
    let is_continued = icecast::waits(request.headers());
    let is_head = request.method() == http::Method::HEAD;
    let peer = log.peer();
    let version = request.version();
    let must_encrypt = !handoff.plain.permits(log.peer().ip());
    let mut response = if let Some(refusal) = reject_oversized(&request) {
        refusal
    } else if let Some(fault) = site::host_fault(&request) {
        let mut response = complete(StatusCode::BAD_REQUEST, fault);
        // What follows may not be for this server.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    } else if let Some(file) = handoff.challenges.as_ref().and_then(|open| open.file(request.uri().path())) {
        // Without encryption, and whoever asks: it proves that this server has the name, and that is all that it is good for.
        let mut response = complete(StatusCode::OK, "");
        *response.body_mut() = file.into();
        response
    } else if must_encrypt {
        lead_to_tls(&request)
    } else if request.uri().path().starts_with('/') {
        // A panic ends this request only; the panic hook has logged it.
        let result = AssertUnwindSafe(routes.call(request)).catch_unwind().instrument(span).await;
        let failed = "internal error: the log of the server has the details";
        result.map_or_else(|_| complete(StatusCode::INTERNAL_SERVER_ERROR, failed), |Ok(response)| response)
    } else {
        // `OPTIONS *` and targets without a path, which warp does not expect.
        complete(StatusCode::BAD_REQUEST, "the target of a request must be a path that starts with /")
    };
    log.responded(response.status());
    log.is_low_priority = response.extensions().get::<LowPriorityLog>().is_some();
    if let Some(trace) = context.and_then(|context| context.header(id.span())) {
        response.headers_mut().insert(trace_context::HEADER, trace);
    }
    if let Some(id) = id.header() {
        response.headers_mut().insert(request_id::HEADER, id);
    }
    if let Some(visit) = response.extensions_mut().remove::<Visit>() {
        visit.count(peer);
    }
    let live: Option<LiveResponse> = response.extensions_mut().remove();
    let stills: Option<TakeOnce<StillStream>> = response.extensions_mut().remove();
    let upgrade: Option<TakeOnce<Upgrade>> = response.extensions_mut().remove();
    let feeder: Option<TakeOnce<Feeder>> = response.extensions_mut().remove();
    if let (Some(rest), Some(feeder)) = (&handoff.rest, feeder.and_then(|feeder| feeder.take())) {
        rest.put(RestOfConnection { feeder, log, is_continued });
        // The task of the connection takes it away from hyper, which writes nothing.
        return std::future::pending().await;
    }
    close_old(version, &mut response);
    if let Some(Granted { access, need }) = response.extensions_mut().remove() {
        log.user = access.identity.name();
        let lasts = live.is_some() || stills.is_some() || response.body().size_hint().exact().is_none();
        log.pass = match need {
            Need::Server(action) if lasts => Some(access.gate().pass(&access, action, None)),
            Need::Stream(action, stream) if lasts => Some(access.gate().pass(&access, action, Some(stream))),
            _ => None,
        };
    }
    if is_head {
        log.reason = "done";
        return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
    }
    if let Some(upgrade) = upgrade.and_then(|upgrade| upgrade.take()) {
        handoff.websocket.put((upgrade, log));
        return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
    }
    if let Some(stills) = stills.and_then(|stills| stills.take()) {
        log.joined(&stills.viewers);
        return Ok(match stills.framing {
            Framing::Raw => {
                if version == Version::HTTP_10 {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                    close_old(version, &mut response);
                }
                let pieces = frames::body(stills.sequence, handoff.disconnect, handoff.stop);
                let body = CountedBody::new(StreamBody::new(Box::pin(pieces)), log);
                response.map(|_| body.map_err(|never| match never {}).boxed_unsync())
            }
            Framing::WebSocket { .. } => {
                handoff.websocket.put((Upgrade::Stills(stills), log));
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            }
        });
    }
    Ok(match live.and_then(|live| live.take()) {
        Some(stream) => {
            log.joined(&stream.viewers);
            let taken = TakenConnection { stream, log, chunked: version == http::Version::HTTP_11 };
            if version == http::Version::HTTP_2 {
                // The connection carries other responses too.
                let body = LiveBody::new(taken, h2::stall_watch(), handoff.stop);
                return Ok(response.map(|_| body.map_err(|never| match never {}).boxed_unsync()));
            }
            // The connection ends with the stream; saying so also stops clients from pipelining.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            close_old(version, &mut response);
            if let Some(stall_watch) = handoff.kept {
                let body = LiveBody::new(taken, stall_watch, handoff.stop);
                return Ok(response.map(|_| body.map_err(|never| match never {}).boxed_unsync()));
            }
            handoff.live.responded(taken);
            response.map(|_| TakeoverBody(handoff.live).map_err(|never| match never {}).boxed_unsync())
        }
        None => response.map(|body| CountedBody::new(body, log).map_err(Into::into).boxed_unsync()),
    })
}

/// How media comes that this request may publish, where it is not its body. `has_rest`: the connection may belong to it.
fn carriage(request: &Request<Incoming>, has_rest: bool) -> Option<Carriage> {
    let headers = request.headers();
    if has_rest && icecast::has_rest(request.method(), headers) {
        return Some(Carriage::Rest);
    }
    let is_switch = *request.method() == Method::GET && request.version() == Version::HTTP_11;
    (is_switch && websocket::is_asked(headers)).then_some(Carriage::Messages)
}

/// hyper promises a client of HTTP/1.0 that asks for it to keep the connection, unless the response is of that version, too. It
/// cannot when the response says otherwise, or when only the end of the connection ends the body.
fn close_old(version: Version, response: &mut warp::reply::Response) {
    let is_open = response.body().size_hint().exact().is_none();
    if version == Version::HTTP_10 && (is_open || response.headers().contains_key(header::CONNECTION)) {
        *response.version_mut() = Version::HTTP_10;
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// The response to a request that must be encrypted: browsers are redirected, other programs get an error.
fn lead_to_tls(request: &Request<Incoming>) -> warp::reply::Response {
    let value = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    let is_page = value(header::ACCEPT).is_some_and(|accepted| accepted.contains("text/html"));
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let location = value(header::HOST).map(|host| format!("https://{host}{target}"));
    let location = location.filter(|_| is_page).and_then(|location| HeaderValue::from_str(&location).ok());
    let sentence = "this server is to be used over TLS: ask for https://";
    match location {
        Some(location) => {
            let mut response = complete(StatusCode::PERMANENT_REDIRECT, sentence);
            response.headers_mut().insert(header::LOCATION, location);
            response
        }
        None => complete(StatusCode::FORBIDDEN, sentence),
    }
}

/// The client of a request on a connection from `peer`.
fn peer_of(gate: &Gate, peer: SocketAddr, headers: &HeaderMap) -> SocketAddr {
    let policy = gate.policy();
    let proxies = &policy.policy().proxies;
    if proxies.is_empty() {
        return peer;
    }
    let values = headers.get_all("x-forwarded-for").iter().map(HeaderValue::as_bytes);
    let address = client(proxies, peer.ip(), values);
    // The port of the client is not known.
    if address == peer.ip() { peer } else { SocketAddr::new(address, 0) }
}

/// The response to a request that is too large (RFC 9110, sections 15.5.14 and 15.5.15). hyper limits the head as a whole.
fn reject_oversized(request: &Request<Incoming>) -> Option<warp::reply::Response> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Some(complete(StatusCode::URI_TOO_LONG, "the target of a request may have at most 8 KiB"));
    }
    // Where media is published, the router knows.
    let may_publish = publish::is_publishing(request.method());
    (request.body().size_hint().lower() > MAX_BODY && !may_publish).then(too_large)
}

/// A connection that reports when it is flushed, and lends its socket to a handler that waits for a disconnect.
struct WatchedIo {
    socket: TokioIo<Transport>,
    takeover: Takeover,
    disconnect: DisconnectWatch,
}

impl hyper::rt::Read for WatchedIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl hyper::rt::Write for WatchedIo {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes the socket only when its own buffer is empty.
        ready!(Pin::new(&mut self.socket).poll_flush(context))?;
        self.takeover.flushed();
        self.disconnect.offer(self.socket.inner().socket());
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, bytes)
    }
}
