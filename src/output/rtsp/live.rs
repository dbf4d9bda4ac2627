//! A player whose packets leave between the messages of its connection: a shard writes them, and answers what it requests meanwhile.

use super::{
    context::Context,
    message::{Parser, Received, Reply, Request, Status},
    session::Channels,
    tunnel::Body,
};
use crate::{
    access::without_link,
    media::Packet,
    output::shard::{
        session::{Account, Session},
        viewer::Framing,
        viewer_log::ViewerLog,
    },
    sys::monotonic,
    telemetry::Protocol,
};
use bytes::Bytes;
use std::{net::SocketAddr, sync::Arc};

/// The methods of a server.
pub const PUBLIC: &str = "OPTIONS, DESCRIBE, ANNOUNCE, SETUP, PLAY, RECORD, TEARDOWN, GET_PARAMETER, SET_PARAMETER";

/// The protocol of a player while its packets flow.
#[derive(Debug)]
pub struct LiveSession {
    context: Arc<Context>,
    peer: SocketAddr,
    /// The name of its session.
    id: String,
    /// What it has sent of its next request.
    parser: Parser,
    /// Of a client that sends through HTTP.
    body: Option<Body>,
    channels: Channels,
    log: ViewerLog,
}

impl LiveSession {
    /// The session with this name of a client, which may have sent more than was read. Its packets go to `channels`.
    pub fn new(
        (context, peer): (Arc<Context>, SocketAddr),
        id: String,
        (parser, body): (Parser, Option<Body>),
        channels: Channels,
        log: ViewerLog,
    ) -> Self {
        Self { context, peer, id, parser, body, channels, log }
    }

    /// How a shard writes the packets.
    pub fn framing(&self) -> Framing {
        if self.channels.is_usual() { Framing::Plain } else { Framing::Own }
    }

    /// The response to a request, and whether the session ends with it.
    fn handle(&self, request: &Request) -> (Reply, bool) {
        let named = request.session();
        let is_own = named == Some(self.id.as_str());
        let is_known = named.is_none_or(|id| is_own || self.context.sessions.touch(id, self.peer.ip(), monotonic()));
        let kept = || match named {
            Some(id) => Reply::new(Status::Ok).with("Session", id),
            None => Reply::new(Status::Ok),
        };
        let reply = match request.method.as_str() {
            _ if let Some(required) = request.required() => {
                Reply::new(Status::NotSupported).with("Unsupported", required)
            }
            _ if !is_known => Reply::new(Status::NoSession),
            "OPTIONS" => kept().with("Public", PUBLIC),
            "GET_PARAMETER" | "SET_PARAMETER" => kept(),
            // VLC and others send it again to keep the session.
            "PLAY" if is_own => kept().with("Range", "npt=now-"),
            "PAUSE" => Reply::no_pause(PUBLIC),
            "TEARDOWN" if is_own => return (Reply::new(Status::Ok).with("Connection", "close"), true),
            "TEARDOWN" if let Some(id) = named => {
                self.context.sessions.end(id, self.peer.ip());
                Reply::new(Status::Ok)
            }
            "PLAY" | "TEARDOWN" => Reply::new(Status::NoSession),
            "DESCRIBE" | "SETUP" | "ANNOUNCE" | "RECORD" => Reply::new(Status::NotInThisState),
            _ => Reply::new(Status::NotImplemented).with("Public", PUBLIC),
        };
        (reply, false)
    }

    fn respond(&self, reply: &Reply, number: &str, out: &mut Vec<u8>) {
        let (status, _) = reply.status.line();
        self.context.http_stats.counted(Protocol::Rtsp, status);
        out.extend_from_slice(&reply.bytes(number));
    }
}

impl Session for LiveSession {
    fn account(&mut self) -> &mut dyn Account {
        &mut self.log
    }

    fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        match &mut self.body {
            Some(body) => self.parser.push(&body.decode(bytes).map_err(|_| "request not valid")?),
            None => self.parser.push(bytes),
        }
        loop {
            match self.parser.take() {
                Ok(Some(Received::Request(request))) => {
                    let (reply, is_last) = self.handle(&request);
                    let (status, _) = reply.status.line();
                    let (peer, target) = (self.peer, without_link(&request.target));
                    tracing::debug!(%peer, method = request.method, target, status, "request");
                    self.respond(&reply, request.number(), out);
                    if is_last {
                        return Err("client left");
                    }
                }
                // Reports: the client is there, which its connection shows as well.
                Ok(Some(Received::Packet { .. } | Received::Response(_) | Received::Tunnel(_))) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    self.respond(&Reply::refusal(error.status(), &error.to_string()), "0", out);
                    return Err("request not valid");
                }
            }
        }
    }

    fn frame(&self, packet: &Packet) -> Bytes {
        self.channels.of_client(&packet.payload())
    }

    fn may_half_close(&self) -> bool {
        false
    }

    fn end(&mut self, _: &'static str, _: &mut Vec<u8>) {}

    fn closed(&mut self, reason: &'static str) {
        self.log.reason = reason;
    }
}
