//! The connection of one client: requests come in, responses and interleaved packets go out.

use super::{
    context::Context,
    live::{LiveSession, PUBLIC},
    message::{COOKIE, Parser, Received, Reply, Request, Status},
    multicast::Group,
    opened::Opened,
    out::Out,
    recording::{Due, Recording, ReportTo},
    session::{Channels, Session},
    timeouts,
    transport::Agreed,
    tunnel::{self, Body, NotBase64, Post, Waiting},
};
use crate::{
    access::{Asking, Identity, without_link},
    media::rtp::interleaved,
    net::{ConnectionPermit, tls::Transport},
    output::{
        http::session::certified,
        shard::{
            NO_PROGRESS, PROGRESS_WITHIN,
            pool::Joining,
            socket::{LiveSocket, tune},
            viewer_log::ViewerLog,
        },
    },
    source::{demand::Lease, publisher::LEFT},
    stream::{Reader, Viewers},
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
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

/// Interval of the checks.
const CHECK_PERIOD: Duration = Duration::from_secs(1);
/// Bytes of one read.
const READ: usize = 8 << 10;
/// Requests are not read while more than this waits.
const MAX_WAITING: usize = 256 << 10;

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
    /// Where packets are going to be sent for the session, if that is a group.
    pub(super) group: Option<Arc<Group>>,
    /// Packets are to be interleaved: a shard takes the connection over.
    pub(super) playing: Option<Playing>,
    pub(super) recording: Option<Recording>,
    /// No more requests are served; the connection ends when all is written.
    ending: Option<&'static str>,
    tunnel: Option<Tunnel>,
    permit: ConnectionPermit,
}

/// How much of a tunnel through HTTP there is.
#[derive(Debug)]
enum Tunnel {
    /// This is the `GET`.
    Get(Waiting),
    /// This is the `POST`, and who made the `GET` takes it.
    Post(oneshot::Sender<Post>),
    /// Both are here: the client sends by the `POST`.
    Whole(Box<Whole>),
}

/// Both halves of a tunnel.
#[derive(Debug)]
struct Whole {
    body: Body,
    /// Of the `GET`.
    reader: ReadHalf<Transport>,
    /// Of the `POST`.
    writer: WriteHalf<Transport>,
}

/// What is played over a connection.
#[derive(Debug)]
pub(super) struct Playing {
    /// The packets that come before those of the reader.
    pub first: Bytes,
    /// Its place in the stream.
    pub reader: Reader,
    /// Keeps the stream running.
    pub lease: Lease,
    /// Those who receive the stream.
    pub viewers: Viewers,
    /// Packets of this duration are written together.
    pub wake_interval: Duration,
    /// Where the packets go.
    pub channels: Channels,
    /// Counts what is sent.
    pub log: ViewerLog,
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
            group: None,
            playing: None,
            recording: None,
            ending: None,
            tunnel: None,
            permit,
        }
    }

    /// Whether it is two connections of HTTP.
    pub(super) fn is_tunnelled(&self) -> bool {
        matches!(self.tunnel, Some(Tunnel::Whole(_)))
    }

    /// What is known of the client when it makes this request, with the query of an address.
    pub(super) fn asking<'a>(&self, request: &'a Request, query: &'a str) -> Asking<'a> {
        let agent = request.field("user-agent");
        Asking { peer: self.peer.ip(), proved: self.proved.clone(), protocol: "rtsp", query, agent }
    }

    /// Serves it to its end, or until somebody else takes it over.
    pub async fn serve(mut self) {
        let Some(reason) = self.run().await else { return self.hand_over() };
        if let Some(recording) = self.recording.take() {
            recording.finish(reason);
        }
        tracing::debug!(peer = %self.peer, protocol = "rtsp", reason, "connection ended");
    }

    /// Who takes the connection over gets it.
    fn hand_over(mut self) {
        match self.tunnel.take() {
            Some(Tunnel::Post(get)) => {
                let Self { reader, writer, parser, proved, is_tls, permit, .. } = self;
                // It may have left meanwhile.
                let _ = get.send(Post { halves: (reader, writer), begun: parser.into_rest(), proved, is_tls, permit });
            }
            Some(Tunnel::Whole(whole)) => self.hand_to_shard(Some(*whole)),
            Some(Tunnel::Get(_)) | None => self.hand_to_shard(None),
        }
    }

    /// Has a shard write the packets of the stream, after what waits.
    fn hand_to_shard(self, tunnel: Option<Whole>) {
        let Self { context, peer, reader, writer, parser, out, session, playing, permit, .. } = self;
        let (Some(playing), Some(session)) = (playing, session) else { return };
        let Playing { first, reader: packets, lease, viewers, wake_interval, channels, log } = playing;
        let (socket, body) = match tunnel {
            None => (LiveSocket::of(reader.unsplit(writer)), None),
            Some(Whole { body, reader: get, writer: post }) => {
                (LiveSocket::with_input(get.unsplit(writer), reader.unsplit(post)), Some(body))
            }
        };
        let Some(socket) = socket else { return };
        let (shards, live) = (context.shards.clone(), (context, peer));
        let mut before = out.into_pieces();
        before.push_back(channels.of_client(&first));
        let session = LiveSession::new(live, session.id, (parser, body), channels, log);
        let framing = session.framing();
        let session = Box::new(session);
        shards.adopt(Joining {
            socket,
            before,
            permit,
            reader: packets,
            lease,
            viewers,
            wake_interval,
            framing,
            session,
        });
    }

    /// Serves requests; why the connection ends, or `None` when somebody else is to take it over.
    async fn run(&mut self) -> Option<&'static str> {
        let stop = self.context.shutdown.token().clone();
        let mut check = interval(CHECK_PERIOD);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.playing.is_some() || matches!(self.tunnel, Some(Tunnel::Post(_))) {
                return None;
            }
            if let Some(reason) = self.ending.filter(|_| !self.out.has_work()) {
                return Some(reason);
            }
            let can_read = self.ending.is_none() && self.out.len() < MAX_WAITING;
            self.input.reserve(READ);
            let is_recording = self.recording.is_some() && self.ending.is_none();
            let Self { reader, writer, input, out, recording, tunnel, .. } = self;
            tokio::select! {
                () = stop.cancelled() => return Some("server stopped"),
                read = reader.read_buf(input), if can_read => match read {
                    Ok(1..) => self.take_input().await,
                    Ok(0) | Err(_) => return Some("client left"),
                },
                written = out.write(writer), if out.has_work() => match written {
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::TimedOut => return Some(NO_PROGRESS),
                    Err(_) => return Some("client left"),
                },
                post = post(tunnel) => match post {
                    Some(post) => {
                        self.join(post);
                        self.take_input().await;
                    }
                    None => return Some("client left"),
                },
                due = due(recording), if is_recording => self.publish(due).await,
                _ = check.tick() => {
                    if let Some(reason) = self.check(Instant::now()).await {
                        return Some(reason);
                    }
                }
            }
        }
    }

    /// The client sends by its `POST` from now on.
    fn join(&mut self, post: Post) {
        let Post { halves: (reader, writer), begun, proved, is_tls, permit } = post;
        let reader = std::mem::replace(&mut self.reader, reader);
        self.tunnel = Some(Tunnel::Whole(Box::new(Whole { body: Body::new(permit), reader, writer })));
        // Who sends requests is who has to prove something.
        self.proved = proved;
        self.is_tls &= is_tls;
        (self.input, self.parser) = (begun, Parser::default());
    }

    async fn take_input(&mut self) {
        if let Err((reply, number)) = self.received().await {
            self.respond(&reply, &number);
            self.ending = Some("request not valid");
        }
        self.pace().await;
    }

    /// What depends on time; why the connection ends, if it does.
    async fn check(&mut self, now: Instant) -> Option<&'static str> {
        if self.out.stalled(now) > PROGRESS_WITHIN {
            return Some(NO_PROGRESS);
        }
        let silence = now.saturating_duration_since(self.requested);
        if self.recording.is_some() {
            self.report().await;
            return None;
        }
        // Packets of a session that is listed travel in datagrams, and reports of the client show that it is there.
        let is_listed = self.session.as_ref().is_some_and(|session| self.context.sessions.has(&session.id));
        timeouts::of_connection(self.has_requested, is_listed, silence)
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
                (ReportTo::Address(address), Some(udp)) => udp.send_control(&bytes, address),
                (ReportTo::Address(_), None) => {}
            }
        }
    }

    /// Takes what came. An error is a response after which nothing more can be read.
    async fn received(&mut self) -> Result<(), (Reply, String)> {
        let input = self.input.split();
        match &mut self.tunnel {
            Some(Tunnel::Whole(whole)) => {
                let decoded = whole.body.decode(&input);
                let refused =
                    |error: NotBase64| (Reply::refusal(Status::BadRequest, &error.to_string()), "0".to_owned());
                self.parser.push(&decoded.map_err(refused)?);
            }
            _ => self.parser.push(&input),
        }
        loop {
            match self.parser.take() {
                Ok(None) => return Ok(()),
                Ok(Some(Received::Tunnel(request))) => return self.open_tunnel(&request),
                Ok(Some(Received::Request(request))) => {
                    self.requested = Instant::now();
                    self.has_requested = true;
                    let reply = self.handle(&request).await;
                    let (status, _) = reply.status.line();
                    let Self { peer, .. } = self;
                    let target = without_link(&request.target);
                    tracing::debug!(%peer, method = request.method, target, status, "request");
                    self.respond(&reply, request.number());
                    if self.playing.is_some() {
                        return Ok(());
                    }
                }
                Ok(Some(Received::Packet { channel, bytes })) => {
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

    /// A request of HTTP is half of a tunnel.
    fn open_tunnel(&mut self, request: &Request) -> Result<(), (Reply, String)> {
        if self.has_requested || self.tunnel.is_some() {
            let sentence = "a tunnel through HTTP begins with the connection";
            return Err((Reply::refusal(Status::BadRequest, sentence), "0".to_owned()));
        }
        let (tunnels, client, cookie) =
            (&self.context.tunnels, self.peer.ip(), request.field(COOKIE).unwrap_or_default());
        self.tunnel = match request.method.as_str() {
            "GET" => tunnels.wait(client, cookie).map(Tunnel::Get),
            _ => tunnels.find(client, cookie).map(Tunnel::Post),
        };
        let (peer, method) = (self.peer, &request.method);
        tracing::debug!(%peer, protocol = "rtsp", method, is_accepted = self.tunnel.is_some(), "tunnel through HTTP");
        self.requested = Instant::now();
        match &self.tunnel {
            Some(Tunnel::Get(_)) => self.out.push(Bytes::from_static(tunnel::ACCEPTED.as_bytes()), self.requested),
            Some(_) => {}
            None => {
                self.out.push(Bytes::from_static(tunnel::REFUSED.as_bytes()), self.requested);
                self.ending = Some("half of a tunnel");
            }
        }
        Ok(())
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
        if let Some(required) = request.required() {
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
            "PAUSE" => Err(Reply::no_pause(PUBLIC)),
            "TEARDOWN" => self.teardown(request),
            "PLAY" => Err(Reply::refusal(Status::NotInThisState, "this session records")),
            _ => Err(Reply::new(Status::NotImplemented).with("Public", PUBLIC)),
        }
    }

    /// A request that keeps the session alive, or is for none.
    pub(super) fn keep(&self, request: &Request) -> Result<Reply, Reply> {
        let Some(id) = request.session() else { return Ok(Reply::new(Status::Ok)) };
        // A player in datagrams may have been ended since it began: it has to learn that.
        let may_have_ended = |session: &Session| session.is_active && self.recording.is_none();
        let is_own = self.session.as_ref().is_some_and(|session| session.id == id && !may_have_ended(session));
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
        let id = self.session.as_ref().map(|session| format!("{};timeout={}", session.id, timeouts::TIMEOUT.as_secs()));
        Reply::new(Status::Ok).with("Transport", &agreed.to_string()).with("Session", &id.unwrap_or_default())
    }

    fn teardown(&mut self, request: &Request) -> Result<Reply, Reply> {
        let id = request.session().ok_or_else(|| Reply::new(Status::NoSession))?;
        if self.session.as_ref().is_some_and(|session| session.id == id) {
            self.context.sessions.end(id, self.peer.ip());
            (self.session, self.group, self.opened) = (None, None, None);
            if let Some(recording) = self.recording.take() {
                recording.finish(LEFT);
            }
            return Ok(Reply::new(Status::Ok));
        }
        match self.context.sessions.end(id, self.peer.ip()) {
            true => Ok(Reply::new(Status::Ok)),
            false => Err(Reply::new(Status::NoSession)),
        }
    }
}

/// The `POST` of a tunnel, `None` when there will be none; never, where none is missing.
async fn post(tunnel: &mut Option<Tunnel>) -> Option<Post> {
    match tunnel {
        Some(Tunnel::Get(waiting)) => waiting.post().await,
        _ => std::future::pending().await,
    }
}

/// What is due for the publisher; never, while there is none.
async fn due(recording: &mut Option<Recording>) -> Due {
    match recording {
        Some(recording) => recording.due().await,
        None => std::future::pending().await,
    }
}
