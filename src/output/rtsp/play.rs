//! Requests of players: what is played, and how it travels.

use super::{
    authorize::authorize,
    connection::{Connection, Playing},
    describe::{Begin, begin_of, description, rtp_info, track_count},
    message::{Reply, Request, Status},
    opened::{Opened, START_WITHIN, open},
    session::{Channels, Session},
    shard::Joining,
    target::Target,
    transport::{Mode, Transport, Ways},
    udp::Destination,
};
use crate::{
    access::{Access, Action},
    media::Container,
    output::{
        http::live::batch_of,
        shard::{
            subscription::Subscription,
            viewer_log::{Identified, ViewerLog},
        },
    },
    source::demand::Lease,
    stream::{Delivery, Entry, Join, Reader, Viewers},
    sys::monotonic,
};
use bytes::Bytes;
use std::sync::Arc;
use tokio::time::timeout;

impl Connection {
    /// `DESCRIBE`: starts the stream.
    pub(super) async fn describe(&mut self, request: &Request) -> Result<Reply, Reply> {
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

    /// `SETUP` of a track that is going to be played.
    pub(super) async fn setup_play(&mut self, request: &Request) -> Result<Reply, Reply> {
        let target = target(request)?;
        let (_, path) = self.authorized(request, &target).await?;
        if self.session.as_ref().is_some_and(|session| session.path != path) {
            return Err(Reply::refusal(Status::AggregateNotAllowed, "a session is for one stream"));
        }
        // Datagrams are not encrypted.
        let (udp, groups) = (self.context.udp(), self.context.groups().filter(|_| !self.is_tls));
        let ways = Ways { has_udp: udp.is_some() && !self.is_tls, has_multicast: groups.is_some() };
        let offers = request.field("transport").unwrap_or_default();
        let Some(transport) = Transport::choose(offers, Mode::Play, ways) else {
            let unicast = match &udp {
                Some(_) => "RTP/AVP/TCP;interleaved=… or RTP/AVP;unicast;client_port=…",
                None => "RTP/AVP/TCP;interleaved=…: datagrams to clients are switched off",
            };
            let multicast = if ways.has_multicast { "RTP/AVP;multicast or " } else { "" };
            return Err(Reply::refusal(Status::UnsupportedTransport, &format!("expected {multicast}{unicast}")));
        };
        let opened = self.open(&target.path).await?;
        let count = track_count(&opened.tracks);
        let (begins, stream) = (opened.begins.clone(), opened.stream.config.name.to_string());
        if self.session.is_none() {
            self.session = Some(Session::new(self.context.session_id(), path));
        }
        let Some(session) = &mut self.session else { return Err(Reply::new(Status::NoSession)) };
        let named = target.track_number();
        let number = session.track_of(named, count);
        let number = number.ok_or_else(|| Reply::refusal(Status::NotFound, "there is no such track"))?;
        let mut agreed = session.setup(number, transport, Mode::Play).map_err(Reply::new)?;
        agreed.server = udp.map_or((0, 0), |udp| udp.ports);
        if let (Transport::Multicast, Some(groups)) = (transport, groups) {
            let group = self.group.take().or_else(|| groups.of(&stream));
            let group = group.ok_or_else(|| Reply::refusal(Status::TooMany, "all multicast groups are taken"))?;
            agreed.group = group.track(number);
            self.group = Some(group);
        }
        agreed.ssrc = begin_of(&begins, number).ssrc;
        Ok(self.agreed(&agreed))
    }

    /// `PLAY`: begins with the newest keyframe.
    pub(super) async fn play(&mut self, request: &Request) -> Result<Reply, Reply> {
        let target = target(request)?;
        let session = self.session.clone().filter(|session| request.session() == Some(session.id.as_str()));
        let session = session.ok_or_else(|| Reply::new(Status::NoSession))?;
        if session.is_active {
            // VLC and others send it again to keep the session.
            return self.keep(request).map(|reply| reply.with("Range", "npt=now-"));
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
        let (stream, output, asked) = (opened.stream.clone(), opened.output.clone(), opened.asked);
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
        let transport = match session.transport() {
            Some(Transport::Udp { .. }) => "udp",
            Some(Transport::Multicast) => "multicast",
            Some(Transport::Interleaved { .. }) | None if self.is_tunnelled() => "http",
            Some(Transport::Interleaved { .. }) | None if self.is_tls => "tls",
            Some(Transport::Interleaved { .. }) | None => "tcp",
        };
        let who = Identified {
            protocol: "rtsp",
            transport: Some(transport),
            peer: self.peer,
            user: access.identity.name(),
            path: None,
            stream: stream.config.name.to_string(),
            asked,
            pass: access.gate().pass(&access, Action::View, Some(stream_name)),
        };
        let tracks: Vec<(usize, Begin)> =
            session.tracks.iter().map(|track| (track.number, begin_of(&first, track.number))).collect();
        let info = rtp_info(base(&request.target), &tracks);
        let viewers = stream.viewers.clone();
        let log = ViewerLog::new(who, &viewers, self.context.http_stats.clone());
        let mut info = Some(info);
        match session.transport() {
            Some(Transport::Udp { .. }) => {
                self.play_udp(&session, (reader, lease, first), (log, viewers))?;
            }
            Some(Transport::Multicast) => {
                self.play_multicast(&session, (Subscription::new(reader, lease), first, count), log)?;
                // Which packet of the group comes first nobody knows.
                info = None;
            }
            Some(Transport::Interleaved { .. }) | None => {
                let wake_interval = batch_of(&stream.config, Some(Container::Rtp));
                let channels = Channels::of(&session, count);
                self.playing = Some(Playing { first, reader, lease, viewers, wake_interval, channels, log });
            }
        }
        if let Some(session) = &mut self.session {
            session.is_active = true;
        }
        let reply = Reply::new(Status::Ok).with("Session", &session.id).with("Range", "npt=now-");
        Ok(info.iter().fold(reply, |reply, info| reply.with("RTP-Info", info)))
    }

    /// Sends the stream to its group, unless that is done already; counts the viewer.
    fn play_multicast(
        &mut self,
        session: &Session,
        (subscription, first, count): (Subscription, Bytes, usize),
        log: ViewerLog,
    ) -> Result<(), Reply> {
        let group = self.group.take().ok_or_else(|| Reply::new(Status::UnsupportedTransport))?;
        let listed = self.context.sessions.add(&session.id, self.peer.ip(), Vec::new(), None, monotonic());
        let listed = listed.ok_or_else(|| Reply::refusal(Status::TooMany, "there are too many sessions"))?;
        let shutdown = &self.context.shutdown;
        if let Some(sender) = group.begin(subscription, first, count, shutdown.token().clone()) {
            shutdown.spawn(format!("multicast of {}", session.path), sender);
        }
        shutdown.spawn(format!("multicast to {}", self.peer), group.watch(log, listed, shutdown.token().clone()));
        Ok(())
    }

    fn play_udp(
        &mut self,
        session: &Session,
        (reader, lease, first): (Reader, Lease, Bytes),
        (log, viewers): (ViewerLog, Viewers),
    ) -> Result<(), Reply> {
        let sockets = self.context.udp().ok_or_else(|| Reply::new(Status::UnsupportedTransport))?;
        let ip = self.peer.ip();
        let to: Vec<Destination> = session
            .tracks
            .iter()
            .filter_map(|track| match track.transport {
                Transport::Udp { client: (rtp, rtcp) } => {
                    Some(Destination { track: track.number, rtp: (ip, rtp).into(), rtcp: (ip, rtcp).into() })
                }
                Transport::Interleaved { .. } | Transport::Multicast => None,
            })
            .collect();
        let addresses = to.iter().flat_map(|to| [to.rtp, to.rtcp]).collect();
        let listed = self.context.sessions.add(&session.id, ip, addresses, None, monotonic());
        let listed = listed.ok_or_else(|| Reply::refusal(Status::TooMany, "there are too many sessions"))?;
        let joining = Joining { sockets, to, first, reader, lease, viewers, log, listed };
        self.context.datagram_shards.adopt(joining).map_err(|error| {
            tracing::error!(%error, "cannot start the threads that send datagrams of RTSP");
            Reply::refusal(Status::Unavailable, "the system has no thread left").with("Retry-After", "1")
        })
    }

    /// Who asks for the stream, and its path, if that is permitted.
    async fn authorized(&self, request: &Request, target: &Target) -> Result<(Access, String), Reply> {
        let table = self.context.table.borrow().clone();
        let stream = table.find(&target.path).ok_or_else(|| no_stream(&target.path))?;
        let name = stream.config.name.as_str();
        let asked = (Action::View, name);
        let access = authorize(&self.context.gate, request, asked, self.asking(request, &target.query)).await?;
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
