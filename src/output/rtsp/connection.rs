//! The connection of one client: requests come in, responses and interleaved packets go out.

use super::{
    context::Context,
    message::{Parser, Received, Reply, Request, Status},
    opened::Opened,
    out::Out,
    recording::{Due, Recording, ReportTo},
    session::{Channels, Session},
    transport::Agreed,
    viewer::{Next, Viewer},
};
use crate::{
    access::{Asking, Identity, without_link},
    media::rtp::interleaved,
    net::{ConnectionPermit, tls::Transport},
    output::{
        http::{limits::HEAD_WITHIN, session::certified},
        shard::{NO_PROGRESS, PROGRESS_WITHIN, socket::tune},
    },
    source::publisher::LEFT,
    sys::monotonic,
    telemetry::Protocol,
};
use bytes::{Bytes, BytesMut};
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, ReadHalf, WriteHalf},
    time::{MissedTickBehavior, interval},
};

/// A session that does not play ends without a request for so long; clients are sent this time.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Interval of the checks.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Bytes of one read.
const READ: usize = 8 << 10;
/// Packets are taken from the stream while fewer bytes than this wait.
const BATCH: usize = 64 << 10;
/// Requests are not read while more than this waits.
const MAX_WAITING: usize = 256 << 10;
const PUBLIC: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// The connection of one client.
#[derive(Debug)]
pub struct Connection {
    pub(super) context: Arc<Context>,
    pub(super) peer: SocketAddr,
    /// Who the client is by its certificate.
    pub(super) proved: Option<Identity>,
    pub(super) own: SocketAddr,
    pub(super) is_tls: bool,
    reader: ReadHalf<Transport>,
    writer: WriteHalf<Transport>,
    input: BytesMut,
    parser: Parser,
    out: Out,
    /// The last request.
    requested: Instant,
    has_requested: bool,
    pub(super) opened: Option<Opened>,
    pub(super) session: Option<Session>,
    /// While packets are interleaved.
    pub(super) playing: Option<(Viewer, Channels)>,
    pub(super) recording: Option<Recording>,
    /// No more requests are served; the connection ends when all is written.
    ending: Option<&'static str>,
    _permit: ConnectionPermit,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(context: Arc<Context>, transport: Transport, peer: SocketAddr, permit: ConnectionPermit) -> Self {
        let own = transport.socket().local_addr().unwrap_or(peer);
        let is_tls = transport.is_tls();
        let proved = certified(&transport);
        tune(transport.socket());
        let (reader, writer) = tokio::io::split(transport);
        let now = Instant::now();
        Self {
            context,
            peer,
            proved,
            own,
            is_tls,
            reader,
            writer,
            input: BytesMut::new(),
            parser: Parser::default(),
            out: Out::new(now),
            requested: now,
            has_requested: false,
            opened: None,
            session: None,
            playing: None,
            recording: None,
            ending: None,
            _permit: permit,
        }
    }

    /// What is known of the client when it makes this request, with the query of an address.
    pub(super) fn asking<'a>(&self, request: &'a Request, query: &'a str) -> Asking<'a> {
        let agent = request.field("user-agent");
        Asking { peer: self.peer.ip(), proved: self.proved.clone(), protocol: "rtsp", query, agent }
    }

    /// Serves it to its end.
    pub async fn serve(mut self) {
        let reason = self.run().await;
        if let Some((viewer, _)) = &mut self.playing {
            viewer.reason = reason;
        }
        if let Some(recording) = self.recording.take() {
            recording.finish(reason);
        }
        tracing::debug!(peer = %self.peer, protocol = "rtsp", reason, "connection ended");
    }

    async fn run(&mut self) -> &'static str {
        let stop = self.context.shutdown.token().clone();
        let mut check = interval(CHECK_PERIOD);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if let Some(reason) = self.ending.filter(|_| !self.out.has_work()) {
                return reason;
            }
            let can_read = self.ending.is_none() && self.out.len() < MAX_WAITING;
            self.input.reserve(READ);
            let is_recording = self.recording.is_some() && self.ending.is_none();
            let Self { reader, writer, input, out, playing, recording, .. } = self;
            tokio::select! {
                () = stop.cancelled() => return "server stopped",
                read = reader.read_buf(input), if can_read => match read {
                    Ok(1..) => {
                        if let Err(reply) = self.received().await {
                            self.respond(&reply.0, &reply.1);
                            self.ending = Some("request not valid");
                        }
                        self.pace().await;
                    }
                    Ok(0) | Err(_) => return "client left",
                },
                written = out.write(writer), if out.has_work() => match written {
                    Ok(written) => {
                        let is_all = out.len() == 0;
                        if let Some((viewer, _)) = playing {
                            viewer.sent(written as u64, is_all);
                            if !is_all {
                                viewer.waited();
                            }
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return NO_PROGRESS,
                    Err(_) => return "client left",
                },
                due = due(recording), if is_recording => self.publish(due).await,
                next = next(playing), if out.len() == 0 && self.ending.is_none() => self.media(next),
                _ = check.tick() => {
                    if let Some(reason) = self.check(Instant::now()).await {
                        return reason;
                    }
                }
            }
        }
    }

    /// What depends on time; why the connection ends, if it does.
    async fn check(&mut self, now: Instant) -> Option<&'static str> {
        if self.out.stalled(now) > PROGRESS_WITHIN {
            return Some(NO_PROGRESS);
        }
        let silence = now.saturating_duration_since(self.requested);
        match &mut self.playing {
            Some((viewer, _)) => {
                if let Some(reason) = viewer.tick(now) {
                    self.ending = Some(reason);
                }
                None
            }
            None if self.recording.is_some() => {
                self.report().await;
                None
            }
            None if !self.has_requested && silence > HEAD_WITHIN => Some("no request in time"),
            // Its packets travel in datagrams, and reports of the client show that it is there.
            None if self.session.as_ref().is_some_and(|session| self.context.sessions.has(&session.id)) => None,
            None if silence > TIMEOUT => Some("session timed out"),
            None => None,
        }
    }

    /// Packets of the stream come next.
    fn media(&mut self, next: Next) {
        let now = Instant::now();
        let mut next = Some(next);
        loop {
            let Some((viewer, channels)) = &mut self.playing else { return };
            match next.take().or_else(|| viewer.try_next(now)) {
                Some(Next::Packet(packet)) => push(&mut self.out, channels, &packet.payload(), now),
                Some(Next::End(reason)) => {
                    viewer.reason = reason;
                    self.ending = Some(reason);
                    return;
                }
                None => return,
            }
            if self.out.len() >= BATCH {
                return;
            }
        }
    }

    /// What is due for a publisher.
    async fn publish(&mut self, due: Due) {
        let Some(recording) = &mut self.recording else { return };
        match due {
            Due::Datagram(datagram) => recording.datagram(datagram),
            Due::Tick => recording.tick(),
            Due::End(reason) => self.ending = Some(reason),
        }
    }

    /// What comes over the connection waits while it is ahead of the clock: a file plays in its own time.
    async fn pace(&mut self) {
        if let Some(recording) = &self.recording
            && let Some(reason) = recording.pace().await
        {
            self.ending = Some(reason);
        }
    }

    /// Sends receiver reports, when they are due.
    async fn report(&mut self) {
        let Some(recording) = &mut self.recording else { return };
        for (to, bytes) in recording.reports() {
            match (to, self.context.udp()) {
                (ReportTo::Channel(channel), _) => {
                    self.out.push(Bytes::copy_from_slice(&interleaved::head(channel, bytes.len())), Instant::now());
                    self.out.push(bytes.into(), Instant::now());
                }
                (ReportTo::Address(address), Some(udp)) => drop(udp.send(&bytes, true, address).await),
                (ReportTo::Address(_), None) => {}
            }
        }
    }

    /// Takes what came. An error is a response after which nothing more can be read.
    async fn received(&mut self) -> Result<(), (Reply, String)> {
        let input = self.input.split();
        self.parser.push(&input);
        loop {
            match self.parser.next() {
                Ok(None) => return Ok(()),
                Ok(Some(Received::Request(request))) => {
                    self.requested = Instant::now();
                    self.has_requested = true;
                    let reply = self.handle(&request).await;
                    let (status, _) = reply.status.line();
                    let Self { peer, .. } = self;
                    let target = without_link(&request.target);
                    tracing::debug!(%peer, method = request.method, target, status, "request");
                    self.respond(&reply, request.number());
                    if request.method == "PLAY" && reply.status == Status::Ok {
                        self.begin();
                    }
                }
                Ok(Some(Received::Packet { channel, bytes })) => {
                    // Of players it is reports: the client is there, which its connection shows as well.
                    self.requested = Instant::now();
                    let is_active = self.session.as_ref().is_some_and(|session| session.is_active);
                    if let Some(recording) = self.recording.as_mut().filter(|_| is_active) {
                        recording.packet(channel, bytes);
                    }
                }
                Ok(Some(Received::Response(_))) => self.requested = Instant::now(),
                Err(error) => return Err((Reply::refusal(error.status(), &error.to_string()), "0".to_owned())),
            }
        }
    }

    fn respond(&mut self, reply: &Reply, number: &str) {
        let (status, _) = reply.status.line();
        self.context.http_stats.counted(Protocol::Rtsp, status);
        self.out.push(reply.bytes(number), Instant::now());
    }

    async fn handle(&mut self, request: &Request) -> Reply {
        match self.handled(request).await {
            Ok(reply) | Err(reply) => reply,
        }
    }

    async fn handled(&mut self, request: &Request) -> Result<Reply, Reply> {
        if let Some(required) = request.field("require").or(request.field("proxy-require")) {
            return Err(Reply::new(Status::NotSupported).with("Unsupported", required));
        }
        if !self.is_tls && !self.context.permits_plain(self.peer.ip()) {
            return Err(Reply::refusal(Status::Forbidden, "this server is to be reached by rtsps:// from there"));
        }
        match request.method.as_str() {
            "OPTIONS" => self.keep(request).map(|reply| reply.with("Public", PUBLIC)),
            "GET_PARAMETER" | "SET_PARAMETER" => self.keep(request),
            "DESCRIBE" => self.describe(request).await,
            "ANNOUNCE" => self.announce(request).await,
            "SETUP" => self.setup(request).await,
            "PLAY" if self.recording.is_none() => self.play(request).await,
            "RECORD" => self.record(request),
            // GStreamer does so before it ends.
            "PAUSE" if self.recording.is_some() => self.keep(request),
            "PAUSE" => Err(Reply::refusal(Status::NotAllowed, "a live stream cannot be paused: TEARDOWN ends it")
                .with("Allow", PUBLIC)),
            "TEARDOWN" => self.teardown(request),
            "PLAY" => Err(Reply::refusal(Status::NotInThisState, "this session records")),
            _ => Err(Reply::new(Status::NotImplemented).with("Public", PUBLIC)),
        }
    }

    /// A request that keeps the session alive, or is for none.
    fn keep(&self, request: &Request) -> Result<Reply, Reply> {
        let Some(id) = request.session() else { return Ok(Reply::new(Status::Ok)) };
        let is_own = self.session.as_ref().is_some_and(|session| session.id == id);
        let is_listed = self.context.sessions.touch(id, self.peer.ip(), monotonic());
        match is_own || is_listed {
            true => Ok(Reply::new(Status::Ok).with("Session", id)),
            false => Err(Reply::new(Status::NoSession)),
        }
    }

    async fn setup(&mut self, request: &Request) -> Result<Reply, Reply> {
        if let (Some(id), known) = (request.session(), self.session.as_ref())
            && known.is_none_or(|session| session.id != id)
        {
            return Err(Reply::new(Status::NoSession));
        }
        match self.recording.is_some() {
            true => self.setup_record(request),
            false => self.setup_play(request).await,
        }
    }

    /// The response to a `SETUP`.
    pub(super) fn agreed(&self, agreed: &Agreed) -> Reply {
        let id = self.session.as_ref().map(|session| format!("{};timeout={}", session.id, TIMEOUT.as_secs()));
        Reply::new(Status::Ok).with("Transport", &agreed.to_string()).with("Session", &id.unwrap_or_default())
    }

    fn teardown(&mut self, request: &Request) -> Result<Reply, Reply> {
        let id = request.session().ok_or_else(|| Reply::new(Status::NoSession))?;
        if self.session.as_ref().is_some_and(|session| session.id == id) {
            self.context.sessions.end(id, self.peer.ip());
            (self.session, self.opened) = (None, None);
            if let Some(recording) = self.recording.take() {
                recording.finish(LEFT);
            }
            if let Some((mut viewer, _)) = self.playing.take() {
                viewer.reason = "client left";
            }
            return Ok(Reply::new(Status::Ok));
        }
        match self.context.sessions.end(id, self.peer.ip()) {
            true => Ok(Reply::new(Status::Ok)),
            false => Err(Reply::new(Status::NoSession)),
        }
    }

    /// The first packets follow the response to `PLAY`.
    fn begin(&mut self) {
        let now = Instant::now();
        if let (Some((_, channels)), Some(opened)) = (&self.playing, &mut self.opened) {
            push(&mut self.out, channels, &std::mem::take(&mut opened.begins), now);
        }
    }
}

/// The next packets of what is played; never, while nothing is.
async fn next(playing: &mut Option<(Viewer, Channels)>) -> Next {
    match playing {
        Some((viewer, _)) => viewer.next(Instant::now).await,
        None => std::future::pending().await,
    }
}

/// What is due for the publisher; never, while there is none.
async fn due(recording: &mut Option<Recording>) -> Due {
    match recording {
        Some(recording) => recording.due().await,
        None => std::future::pending().await,
    }
}

/// Appends packets of the ring on the channels of the client.
fn push(out: &mut Out, channels: &Channels, bytes: &Bytes, now: Instant) {
    if channels.is_usual() {
        return out.push(bytes.clone(), now);
    }
    for framed in interleaved::split(bytes) {
        let Some(channel) = channels.get(framed.channel) else { continue };
        let packet = framed.packet();
        out.push(Bytes::copy_from_slice(&interleaved::head(channel, packet.len())), now);
        out.push(packet, now);
    }
}
