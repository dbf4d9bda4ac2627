//! One client's connection: hyper reads requests and writes answers; a live one goes on without hyper.

use super::{
    body::LiveBody,
    departure::Departure,
    h2,
    handed::Handed,
    live::{CountedBody, Handover, HandoverBody, Leaving, LiveReply},
    pictures::{self, Form, Showing},
    request_id::{self, RequestId},
    routes::say,
    shard::Shards,
    trace::{self, Trace},
    visit::{PROGRESS_WITHIN, Polled, Visit, Visitor},
};
use crate::{net::Accepted, telemetry::Traffic};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// How long a client may take for the head of a request; ends idle connections too.
pub const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// How long a silent live connection may be before the kernel asks whether the client is still there.
pub const KEEPALIVE: Duration = Duration::from_secs(30);
/// Longest head of a request.
pub const MAX_HEAD: usize = 32 << 10;
/// Longest target of a request.
const MAX_TARGET: usize = 8 << 10;
/// Longest body of a request. None is read; so much a client may send before it sees the answer.
const MAX_BODY: u64 = 1 << 20;
/// Data that waits in the kernel for a slow client. What is beyond stays in the ring, where it can be skipped.
pub const UNSENT_LOW_WATER: u32 = 64 << 10;

type ReplyBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Serves one connection to its end, or until `stop`. A connection that is answered with a live stream goes on to one
/// of the `shards`. `traffic` counts what is asked.
pub async fn serve<S>(
    accepted: Accepted,
    routes: S,
    shards: Arc<Shards>,
    traffic: Arc<Traffic>,
    stop: CancellationToken,
) where
    S: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let Accepted { socket, peer, place } = accepted;
    // The kernel gives it up then. Pages and pictures have no other limit.
    let _ = SockRef::from(&socket).set_tcp_user_timeout(Some(PROGRESS_WITHIN));
    let handover = Handover::default();
    let departure = Departure::default();
    let io = WatchedIo { socket: TokioIo::new(socket), handover: handover.clone(), departure: departure.clone() };
    let offered = handover.clone();
    // A connection that is a WebSocket from its answer on.
    let switched = Handed::<(Showing, Visit)>::default();
    let (switches, ends) = (switched.clone(), stop.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(departure.clone());
        let ways =
            Ways { live: offered.clone(), socket: switches.clone(), departure: departure.clone(), stop: ends.clone() };
        answer(routes.clone(), request, Visitor { peer, traffic: traffic.clone() }, ways)
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(MAX_HEAD)
        // `printf 'GET …' | nc` closes its side at once and still wants the answer.
        .half_close(true)
        .serve_connection(io, service);
    let mut stopped = pin!(stop.cancelled());
    let mut stopping = false;
    let leaving = poll_fn(|context| {
        if !stopping && stopped.as_mut().poll(context).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        // What clients do wrong is not ours to report.
        let done = Pin::new(&mut connection).poll(context).map(|_| ());
        match handover.take() {
            None => done.map(|()| None),
            leaving => Poll::Ready(leaving),
        }
    })
    .await;
    let Some(leaving) = leaving else {
        let parts = connection.into_parts();
        let (socket, early) = (parts.io.socket.into_inner(), parts.read_buf);
        if let Some((showing, visit)) = switched.take() {
            pictures::converse(socket, early, showing, visit, stop.clone()).await;
        } else if early.starts_with(h2::PREFACE) {
            // hyper answers nothing to what it knows as the begin of another protocol.
            h2::serve(socket, early, parts.service, stop.clone()).await;
        }
        return;
    };
    // Frees hyper's buffers. What the client sent behind this request is not answered: `connection: close` said so.
    let Ok(socket) = connection.into_parts().io.socket.into_inner().into_std() else { return };
    tune(&socket);
    shards.adopt(socket, leaving, place);
}

/// Sets what suits a live stream; every option has a default that works too.
fn tune(socket: &std::net::TcpStream) {
    let socket = SockRef::from(socket);
    // A shard sees for itself whose socket is full. Of one that vanished and is sent little, only the kernel knows.
    let _ = socket.set_tcp_user_timeout(Some(PROGRESS_WITHIN + PROGRESS_WITHIN / 10));
    let _ = socket.set_tcp_notsent_lowat(UNSENT_LOW_WATER);
    let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3));
}

/// How an answer may go on without hyper or without warp.
struct Ways {
    live: Handover,
    socket: Handed<(Showing, Visit)>,
    departure: Departure,
    stop: CancellationToken,
}

async fn answer<S>(
    routes: S,
    request: Request<Incoming>,
    visitor: Visitor,
    ways: Ways,
) -> Result<Response<ReplyBody>, Infallible>
where
    S: Service<Request<Incoming>, Response = warp::reply::Response, Error = Infallible>,
{
    let id = RequestId::of(request.headers());
    // All that is logged on behalf of this request carries its id, and that of the trace it belongs to.
    let trace = Trace::of(request.headers());
    let span = tracing::error_span!("request", %id, trace = trace.as_ref().map(Trace::id));
    let mut visit = Visit::new(visitor, id.clone(), trace.clone(), &request);
    let is_head = request.method() == http::Method::HEAD;
    let version = request.version();
    let mut response = if let Some(refusal) = refusal(&request) {
        refusal
    } else if request.uri().path().starts_with('/') {
        // A panic costs this request only; the hook has logged it.
        let answered = AssertUnwindSafe(routes.call(request)).catch_unwind().instrument(span).await;
        let stumbled = "this request made the server stumble; the others go on";
        answered.map_or_else(|_| say(StatusCode::INTERNAL_SERVER_ERROR, stumbled), |Ok(response)| response)
    } else {
        // `OPTIONS *`, and targets that are no path at all, which warp does not expect.
        say(StatusCode::BAD_REQUEST, "the target of a request is a path, beginning with /")
    };
    visit.answered(response.status());
    visit.is_polled = response.extensions().get::<Polled>().is_some();
    if let Some(trace) = trace.and_then(|trace| trace.header(id.number())) {
        response.headers_mut().insert(trace::HEADER, trace);
    }
    if let Some(id) = id.header() {
        response.headers_mut().insert(request_id::HEADER, id);
    }
    let live: Option<LiveReply> = response.extensions_mut().remove();
    let showing: Option<Handed<Showing>> = response.extensions_mut().remove();
    if is_head {
        visit.reason = "done";
        return Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()));
    }
    if let Some(showing) = showing.and_then(|showing| showing.take()) {
        visit.joins(&showing.audience);
        return Ok(match showing.form {
            Form::Frames => {
                let pieces = pictures::frames(showing.sequence, ways.departure, ways.stop);
                let body = CountedBody::new(StreamBody::new(Box::pin(pieces)), visit);
                response.map(|_| body.map_err(|never| match never {}).boxed_unsync())
            }
            Form::Messages { .. } => {
                ways.socket.put((showing, visit));
                response.map(|body| body.map_err(Into::into).boxed_unsync())
            }
        });
    }
    Ok(match live.and_then(|live| live.take()) {
        Some(viewing) => {
            visit.joins(&viewing.audience);
            let leaving = Leaving { viewing, visit, chunked: version == http::Version::HTTP_11 };
            if version == http::Version::HTTP_2 {
                // Its connection belongs to other answers too.
                let body = LiveBody::new(leaving, h2::standstill(), ways.stop);
                return Ok(response.map(|_| body.map_err(|never| match never {}).boxed_unsync()));
            }
            // The connection ends with the stream; saying so also stops clients from pipelining.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            ways.live.answered(leaving);
            response.map(|_| HandoverBody(ways.live).map_err(|never| match never {}).boxed_unsync())
        }
        None => response.map(|body| CountedBody::new(body, visit).map_err(Into::into).boxed_unsync()),
    })
}

/// The answer to a request that is too large (RFC 9110, sections 15.5.14 and 15.5.15). Its head as a whole is hyper's to judge.
fn refusal(request: &Request<Incoming>) -> Option<warp::reply::Response> {
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    if target > MAX_TARGET {
        return Some(say(StatusCode::URI_TOO_LONG, "the target of a request has 8 KiB at most"));
    }
    if request.body().size_hint().lower() > MAX_BODY {
        let mut response =
            say(StatusCode::PAYLOAD_TOO_LARGE, "the body of a request has 1 MiB at most, and is not read");
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return Some(response);
    }
    None
}

/// A socket that tells when it is flushed, and lends itself to those who wait for its client's departure.
struct WatchedIo {
    socket: TokioIo<TcpStream>,
    handover: Handover,
    departure: Departure,
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
        self.handover.flushed();
        self.departure.offer(self.socket.inner());
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
