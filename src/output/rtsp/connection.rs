//! The connection of one client: requests come in, responses and interleaved packets go out.

use super::{
    authorize::authorize,
    context::Context,
    describe::{Begin, begin_of, description, rtp_info, track_count},
    message::{Parser, Received, Reply, Request, Status},
    out::Out,
    session::{Channels, Session},
    target::Target,
    transport::{Mode, Transport as Agreement},
    udp::Destination,
    viewer::{Client, Next, Parts, Viewer},
};
use crate::{
    access::{Access, Action, without_link},
    engine::registry::StreamHandle,
    media::{Container, Muxer, rtp::interleaved},
    net::{ConnectionPermit, tls::Transport},
    output::http::{
        access_log::NO_PROGRESS,
        limits::{HEAD_WITHIN, KEEPALIVE, PROGRESS_WITHIN, UNSENT_LOW_WATER},
    },
    source::demand::Lease,
    stream::{Delivery, Entry, Join, StreamOutput},
    sys::monotonic,
    telemetry::Protocol,
};
use bytes::{Bytes, BytesMut};
use socket2::SockRef;
use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, ReadHalf, WriteHalf},
    time::{MissedTickBehavior, interval, timeout},
};

/// A session that does not play ends without a request for so long; clients are told this time.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stream may take to start.
const START_WITHIN: Duration = Duration::from_secs(10);
/// Interval of the checks.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Bytes of one read.
const READ: usize = 8 << 10;
/// Packets are taken from the stream while fewer bytes than this wait.
const BATCH: usize = 64 << 10;
/// Requests are not read while more than this waits.
const MAX_WAITING: usize = 256 << 10;
const PUBLIC: &str = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// The connection of one client.
#[derive(Debug)]
pub struct Connection {
    context: Arc<Context>,
    peer: SocketAddr,
    own: SocketAddr,
    is_tls: bool,
    reader: ReadHalf<Transport>,
    writer: WriteHalf<Transport>,
    input: BytesMut,
    parser: Parser,
    out: Out,
    /// The last request.
    requested: Instant,
    has_requested: bool,
    opened: Option<Opened>,
    session: Option<Session>,
    /// While packets are interleaved.
    playing: Option<(Viewer, Channels)>,
    /// No more requests are served; the connection ends when all is written.
    ending: Option<&'static str>,
    _permit: ConnectionPermit,
}

/// A stream that was started for this client.
#[derive(Debug)]
struct Opened {
    path: String,
    stream: Arc<StreamHandle>,
    output: StreamOutput,
    lease: Lease,
    /// The tracks in SDP.
    tracks: String,
    begins: Bytes,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(context: Arc<Context>, transport: Transport, peer: SocketAddr, permit: ConnectionPermit) -> Self {
        let own = transport.socket().local_addr().unwrap_or(peer);
        let is_tls = transport.is_tls();
        tune(&transport);
        let (reader, writer) = tokio::io::split(transport);
        let now = Instant::now();
        Self {
            context,
            peer,
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
            ending: None,
            _permit: permit,
        }
    }

    /// Serves it to its end.
    pub async fn serve(mut self) {
        let reason = self.run().await;
        if let Some((viewer, _)) = &mut self.playing {
            viewer.reason = reason;
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
            let Self { reader, writer, input, out, playing, .. } = self;
            tokio::select! {
                () = stop.cancelled() => return "server stopped",
                read = reader.read_buf(input), if can_read => match read {
                    Ok(1..) => {
                        if let Err(reply) = self.received().await {
                            self.respond(&reply.0, &reply.1);
                            self.ending = Some("request not valid");
                        }
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
                next = next(playing), if out.len() == 0 && self.ending.is_none() => self.media(next),
                _ = check.tick() => {
                    if let Some(reason) = self.check(Instant::now()) {
                        return reason;
                    }
                }
            }
        }
    }

    /// What depends on time; why the connection ends, if it does.
    fn check(&mut self, now: Instant) -> Option<&'static str> {
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
                // Receiver reports: the client is there, which its connection shows as well.
                Ok(Some(Received::Packet { .. } | Received::Response)) => self.requested = Instant::now(),
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
            "SETUP" => self.setup(request).await,
            "PLAY" => self.play(request).await,
            "PAUSE" => Err(Reply::refusal(Status::NotAllowed, "a live stream cannot be paused: TEARDOWN ends it")
                .with("Allow", PUBLIC)),
            "TEARDOWN" => self.teardown(request),
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

    async fn describe(&mut self, request: &Request) -> Result<Reply, Reply> {
        let accepted = request.field("accept").unwrap_or("application/sdp").to_ascii_lowercase();
        if !(accepted.contains("application/sdp") || accepted.contains("*/*") || accepted.contains("application/*")) {
            return Err(Reply::refusal(Status::NotAcceptable, "streams are described in application/sdp"));
        }
        let target = target(request)?;
        self.authorized(request, &target).await?;
        let own = self.own.ip().to_canonical();
        let opened = self.open(&target.path).await?;
        let text = description(opened.stream.config.name.as_str(), own, &opened.tracks);
        let base = format!("{}/", base(&request.target));
        Ok(Reply::new(Status::Ok).with("Content-Base", &base).with_body("application/sdp", text))
    }

    async fn setup(&mut self, request: &Request) -> Result<Reply, Reply> {
        let target = target(request)?;
        if let (Some(id), known) = (request.session(), self.session.as_ref())
            && known.is_none_or(|session| session.id != id)
        {
            return Err(Reply::new(Status::NoSession));
        }
        let (_, path) = self.authorized(request, &target).await?;
        if self.session.as_ref().is_some_and(|session| session.path != path) {
            return Err(Reply::refusal(Status::AggregateNotAllowed, "a session is for one stream"));
        }
        let udp = self.context.udp();
        let offers = request.field("transport").unwrap_or_default();
        let Some(transport) = Agreement::choose(offers, Mode::Play, udp.is_some() && !self.is_tls) else {
            let sentence = match &udp {
                Some(_) => "expected RTP/AVP/TCP;interleaved=… or RTP/AVP;unicast;client_port=…",
                None => "expected RTP/AVP/TCP;interleaved=…: datagrams are switched off",
            };
            return Err(Reply::refusal(Status::UnsupportedTransport, sentence));
        };
        let opened = self.open(&target.path).await?;
        let count = track_count(&opened.tracks);
        let begins = opened.begins.clone();
        if self.session.is_none() {
            self.session = Some(Session::new(self.context.session_id(), path));
        }
        let Some(session) = &mut self.session else { return Err(Reply::new(Status::NoSession)) };
        let named = target.track_number();
        let number = session.track_of(named, count);
        let number = number.ok_or_else(|| Reply::refusal(Status::NotFound, "there is no such track"))?;
        let mut agreed = session.setup(number, transport, Mode::Play).map_err(Reply::new)?;
        agreed.server = udp.map_or((0, 0), |udp| udp.ports);
        agreed.ssrc = begin_of(&begins, number).ssrc;
        let id = format!("{};timeout={}", session.id, TIMEOUT.as_secs());
        Ok(Reply::new(Status::Ok).with("Transport", &agreed.to_string()).with("Session", &id))
    }

    async fn play(&mut self, request: &Request) -> Result<Reply, Reply> {
        let target = target(request)?;
        let session = self.session.clone().filter(|session| request.session() == Some(session.id.as_str()));
        let session = session.ok_or_else(|| Reply::new(Status::NoSession))?;
        if session.is_active {
            // VLC and others send it again to keep the session.
            return Ok(Reply::new(Status::Ok).with("Session", &session.id).with("Range", "npt=now-"));
        }
        if session.tracks.is_empty() {
            return Err(Reply::refusal(Status::NotInThisState, "no track is set up"));
        }
        if self.context.is_overloaded() {
            return Err(Reply::refusal(Status::Unavailable, "overloaded: no new viewers").with("Retry-After", "1"));
        }
        let (access, path) = self.authorized(request, &target).await?;
        if path != session.path {
            return Err(Reply::new(Status::NoSession));
        }
        let opened = self.open(&target.path).await?;
        let (stream, output) = (opened.stream.clone(), opened.output.clone());
        let (count, lease) = (track_count(&opened.tracks), std::mem::take(&mut opened.lease));
        let mut reader = output.fanout().subscribe(Entry { join: Join::Keyframe, header: false });
        let first = async {
            loop {
                match reader.next().await {
                    Delivery::Packet(packet) => return Some(packet),
                    Delivery::End => return None,
                    Delivery::Aside(_) | Delivery::Gap(_) => {}
                }
            }
        };
        let Ok(Some(first)) = timeout(START_WITHIN, first).await else {
            self.opened = None;
            return Err(Reply::refusal(Status::Unavailable, "nothing comes from the stream"));
        };
        let first = first.payload();
        let stream_name: Arc<str> = stream.config.name.as_str().into();
        let transport = match (session.is_udp(), self.is_tls) {
            (true, _) => "udp",
            (false, true) => "tls",
            (false, false) => "tcp",
        };
        let parts = Parts {
            reader,
            lease,
            audience: stream.audience.clone(),
            pass: access.gate().pass(&access, Action::View, Some(stream_name)),
            client: Client {
                peer: self.peer,
                user: access.identity.name(),
                transport,
                stats: self.context.http_stats.clone(),
            },
            stream: stream.config.name.to_string(),
        };
        let viewer = Viewer::new(parts, Instant::now(), monotonic());
        let tracks: Vec<(usize, Begin)> =
            session.tracks.iter().map(|track| (track.number, begin_of(&first, track.number))).collect();
        let info = rtp_info(base(&request.target), &tracks);
        match session.is_udp() {
            true => self.play_udp(&session, viewer, first)?,
            false => {
                self.playing = Some((viewer, Channels::of(&session, count)));
                // It follows the response.
                if let Some(opened) = &mut self.opened {
                    opened.begins = first;
                }
            }
        }
        if let Some(session) = &mut self.session {
            session.is_active = true;
        }
        Ok(Reply::new(Status::Ok).with("Session", &session.id).with("Range", "npt=now-").with("RTP-Info", &info))
    }

    fn play_udp(&mut self, session: &Session, viewer: Viewer, first: Bytes) -> Result<(), Reply> {
        let udp = self.context.udp().ok_or_else(|| Reply::new(Status::UnsupportedTransport))?;
        let ip = self.peer.ip();
        let to: Vec<Destination> = session
            .tracks
            .iter()
            .filter_map(|track| match track.transport {
                Agreement::Udp { client: (rtp, rtcp) } => {
                    Some(Destination { track: track.number, rtp: (ip, rtp).into(), rtcp: (ip, rtcp).into() })
                }
                Agreement::Interleaved { .. } => None,
            })
            .collect();
        let addresses = to.iter().flat_map(|to| [to.rtp, to.rtcp]).collect();
        let listed = self.context.sessions.add(&session.id, ip, addresses, monotonic());
        let listed = listed.ok_or_else(|| Reply::refusal(Status::TooMany, "there are too many sessions"))?;
        let shutdown = &self.context.shutdown;
        let playing = udp.play(viewer, first, to, listed, shutdown.token().clone());
        shutdown.spawn(format!("datagrams to {}", self.peer), playing);
        Ok(())
    }

    fn teardown(&mut self, request: &Request) -> Result<Reply, Reply> {
        let id = request.session().ok_or_else(|| Reply::new(Status::NoSession))?;
        if self.session.as_ref().is_some_and(|session| session.id == id) {
            self.context.sessions.end(id, self.peer.ip());
            (self.session, self.opened) = (None, None);
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

    /// Who asks for the stream, and its path, if that is permitted.
    async fn authorized(&self, request: &Request, target: &Target) -> Result<(Access, String), Reply> {
        let table = self.context.table.borrow().clone();
        let stream = table.find(&target.path).ok_or_else(|| no_stream(&target.path))?;
        let name = stream.config.name.as_str();
        let asked = (Action::View, name);
        let access = authorize(&self.context.gate, request, &target.query, asked, self.peer.ip()).await?;
        Ok((access, target.path.clone()))
    }

    /// Starts the stream, if this connection has not.
    async fn open(&mut self, path: &str) -> Result<&mut Opened, Reply> {
        if self.opened.as_ref().is_none_or(|opened| opened.path != path) {
            let table = self.context.table.borrow().clone();
            let stream = table.find(path).ok_or_else(|| no_stream(path))?.clone();
            self.opened = Some(open(path, stream).await?);
        }
        self.opened.as_mut().ok_or_else(|| no_stream(path))
    }
}

/// The next packets of what is played; never, while nothing is.
async fn next(playing: &mut Option<(Viewer, Channels)>) -> Next {
    match playing {
        Some((viewer, _)) => viewer.next(Instant::now).await,
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

async fn open(path: &str, stream: Arc<StreamHandle>) -> Result<Opened, Reply> {
    let unavailable = |sentence: &str| Reply::refusal(Status::Unavailable, sentence).with("Retry-After", "1");
    if stream.fanout.is_closed() {
        return Err(unavailable("the feed of this stream has failed"));
    }
    let sampled = stream.sampled().and_then(|sampled| Some((sampled, sampled.output.as_ref()?)));
    let Some((sampled, output)) = sampled else {
        let sentence = "this stream is bytes of a program, which are not taken apart: it can be had over HTTP";
        return Err(Reply::refusal(Status::NotAcceptable, sentence));
    };
    let output = output.beside(Container::Rtp);
    let lease = match &sampled.rendition {
        Some(rendition) => rendition
            .open(Container::Rtp)
            .await
            .map_err(|fault| Reply::refusal(Status::NotAcceptable, &fault.to_string()))?,
        None => sampled.demand.lease().with(output.lease()),
    };
    let mut reader = output.fanout().subscribe(Entry { join: Join::Keyframe, header: true });
    let mut tracks = String::new();
    let begins = async {
        loop {
            match reader.next().await {
                Delivery::Aside(header) => tracks = String::from_utf8_lossy(&header.payload()).into_owned(),
                Delivery::Packet(packet) => return Some(packet.payload()),
                Delivery::Gap(_) => {}
                Delivery::End => return None,
            }
        }
    };
    let begins = timeout(START_WITHIN, begins).await.ok().flatten();
    match begins.filter(|_| !tracks.is_empty()) {
        Some(begins) => {
            let handle = sampled.clone();
            Ok(Opened { path: path.to_owned(), stream: Arc::new(handle), output, lease, tracks, begins })
        }
        None => {
            let known = output.input().known_tracks().borrow().clone();
            let fault = known.and_then(|(set, _)| Muxer::select(Container::Rtp, &set).err());
            Err(match fault {
                Some(fault) => Reply::refusal(Status::NotAcceptable, &fault.to_string()),
                None => unavailable("nothing comes from the stream"),
            })
        }
    }
}

fn target(request: &Request) -> Result<Target, Reply> {
    let target = Target::parse(&request.target);
    target.ok_or_else(|| Reply::refusal(Status::BadRequest, "expected an address like rtsp://host:8554/cam0"))
}

fn no_stream(path: &str) -> Reply {
    Reply::refusal(Status::NotFound, &format!("there is no stream at {path}"))
}

/// The address of the whole stream, of that of a request.
fn base(target: &str) -> &str {
    let without = match target.rsplit_once('/') {
        Some((before, last)) if last.to_ascii_lowercase().starts_with("trackid=") => before,
        _ => target,
    };
    without.trim_end_matches('/')
}

fn tune(transport: &Transport) {
    let socket = SockRef::from(transport.socket());
    // What is not sent stays in the ring, where it can be skipped.
    let _ = socket.set_tcp_notsent_lowat(UNSENT_LOW_WATER);
    let _ = socket.set_tcp_user_timeout(Some(PROGRESS_WITHIN + PROGRESS_WITHIN / 10));
    let _ = socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 3));
}
