//! Requests of publishers.

use super::{
    announce::{announced, track_of},
    authorize::{BASIC, digest, digests, rejected},
    connection::Connection,
    message::{Reply, Request, Status},
    recording::{Recording, Route, Way},
    session::Session,
    target::Target,
    transport::{Mode, Transport, Ways},
};
use crate::{
    access::Rejection,
    config::PublishProtocol,
    media::rtp::interleaved,
    output::publish::{
        feeder::Feeder,
        find::ClaimFault,
        permit::{Credentials, Denied},
    },
    source::publisher::PublisherInfo,
    sys::monotonic,
};
use tokio::sync::mpsc;

/// Datagrams that wait for a publisher: some keyframes. More are lost, as in the buffer of a socket.
const MAX_DATAGRAMS: usize = 2048;
/// Longest name of a program that is kept.
const AGENT: usize = 256;

impl Connection {
    /// `ANNOUNCE`: the publisher says what it is going to send, and takes the slot of the feed.
    pub(super) async fn announce(&mut self, request: &Request) -> Result<Reply, Reply> {
        if self.session.is_some() || self.recording.is_some() {
            return Err(Reply::refusal(Status::NotInThisState, "this connection has a session already"));
        }
        let target = Target::parse(&request.target);
        let target = target.ok_or_else(|| Reply::refusal(Status::BadRequest, "expected rtsp://host:8554/feed"))?;
        let place = self.context.table.borrow().target(&target.path);
        let place = place
            .ok_or_else(|| Reply::refusal(Status::NotFound, &format!("no feed is published to at {}", target.path)))?;
        let values: Vec<&[u8]> = request.fields("authorization").map(str::as_bytes).collect();
        let credentials = match digest(&self.context.gate, request) {
            Some(presented) => presented.map(|presented| Credentials::with(&target.query, presented)),
            None => Credentials::read(&target.query, values),
        };
        let permit = place.permit(&self.context.gate, credentials, self.asking(request, &target.query)).await;
        let permit = permit.map_err(|denied| self.denied(denied))?;
        if self.context.table.borrow().is_loop(request.field("user-agent"), place.feed()) {
            let sentence = format!("the feed `{}` would be made of itself", place.feed());
            return Err(Reply::refusal(Status::NotAcceptable, &sentence));
        }
        let text = std::str::from_utf8(&request.body).unwrap_or_default();
        let tracks = announced(text).map_err(|error| Reply::refusal(Status::UnsupportedMedia, &error.to_string()))?;
        let agent = request.field("user-agent").map(|agent| agent.chars().take(AGENT).collect());
        let info = PublisherInfo { protocol: PublishProtocol::Rtsp, peer: self.peer, user: permit.user.clone(), agent };
        let publisher = place.claim(info).await.map_err(|error| {
            let status = match error.fault() {
                ClaimFault::Conflict => Status::NotInThisState,
                ClaimFault::Forbidden => Status::Forbidden,
                ClaimFault::Unavailable => Status::Unavailable,
            };
            Reply::refusal(status, &error.to_string())
        })?;
        self.recording = Some(Recording::new(target.path, Feeder::new(publisher, permit), tracks));
        Ok(Reply::new(Status::Ok))
    }

    fn denied(&self, denied: Denied) -> Reply {
        match denied {
            Denied::Credential(rejection @ (Rejection::TooMany { .. } | Rejection::Stale)) => {
                rejected(&self.context.gate, rejection)
            }
            Denied::Refused(_) => Reply::refusal(Status::Forbidden, &denied.to_string()),
            Denied::Credential(_) | Denied::NeedsCredential => {
                let reply = Reply::refusal(Status::Unauthorized, &denied.to_string());
                let ways = digests(&self.context.gate, false).into_iter().chain([BASIC.to_owned()]);
                ways.fold(reply, |reply, way| reply.with("WWW-Authenticate", &way))
            }
        }
    }

    /// `SETUP` of a track that is going to be sent.
    pub(super) fn setup_record(&mut self, request: &Request) -> Result<Reply, Reply> {
        let udp = self.context.udp();
        let ways = Ways { has_udp: udp.is_some() && !self.is_tls, has_multicast: false };
        let id = self.context.session_id();
        let Some(recording) = &mut self.recording else { return Err(Reply::new(Status::NotInThisState)) };
        let offers = request.field("transport").unwrap_or_default();
        let transport = Transport::choose(offers, Mode::Record, ways);
        let transport = transport.ok_or_else(|| Reply::new(Status::UnsupportedTransport))?;
        let session = self.session.get_or_insert_with(|| Session::new(id, recording.path.clone()));
        let named = track_of(&recording.tracks, &request.target);
        let number = session.track_of(named, recording.tracks.len());
        let number = number.ok_or_else(|| Reply::refusal(Status::NotFound, "there is no such track"))?;
        let mut agreed = session.setup(number, transport, Mode::Record).map_err(Reply::new)?;
        agreed.server = udp.map_or((0, 0), |udp| udp.ports);
        if let Some(place) = recording.places.get(number).copied().flatten() {
            let ip = self.peer.ip();
            let way = match agreed.transport {
                Transport::Interleaved { channels } => {
                    let (rtp, rtcp) =
                        channels.unwrap_or((interleaved::channel(number), interleaved::channel(number) + 1));
                    Way::Channels(rtp, rtcp)
                }
                Transport::Udp { client: (rtp, rtcp) } => Way::Addresses((ip, rtp).into(), (ip, rtcp).into()),
                Transport::Multicast => return Err(Reply::new(Status::UnsupportedTransport)),
            };
            recording.routes.retain(|route| route.place != place);
            recording.routes.push(Route { place, way });
        }
        Ok(self.agreed(&agreed))
    }

    /// `RECORD`: packets come from now on.
    pub(super) fn record(&mut self, request: &Request) -> Result<Reply, Reply> {
        let (Some(session), Some(recording)) = (&mut self.session, &mut self.recording) else {
            return Err(Reply::refusal(Status::NotInThisState, "nothing was announced and set up"));
        };
        if request.session() != Some(session.id.as_str()) {
            return Err(Reply::new(Status::NoSession));
        }
        if recording.routes.is_empty() {
            return Err(Reply::refusal(Status::NotInThisState, "no track of video or audio is set up"));
        }
        if matches!(session.transport(), Some(Transport::Udp { .. })) && recording.datagrams.is_none() {
            let addresses = recording.routes.iter().flat_map(|route| match route.way {
                Way::Addresses(rtp, rtcp) => vec![rtp, rtcp],
                Way::Channels(..) => Vec::new(),
            });
            let (sender, datagrams) = mpsc::channel(MAX_DATAGRAMS);
            let (sessions, ip) = (&self.context.sessions, self.peer.ip());
            let listed = sessions.add(&session.id, ip, addresses.collect(), Some(sender), monotonic());
            let listed = listed.ok_or_else(|| Reply::refusal(Status::TooMany, "there are too many sessions"))?;
            recording.datagrams = Some((datagrams, listed));
        }
        session.is_active = true;
        Ok(Reply::new(Status::Ok).with("Session", &session.id))
    }
}
