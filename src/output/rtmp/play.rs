//! A player: it gets the packets of the stream in FLV as messages, which a shard makes once for all of its players.

use super::{connection::Wire, context::Context, tags::messages};
use crate::{
    access::{Access, Action, Pass, Peer, Presented, Subject},
    engine::registry::StreamHandle,
    link::rtmp::wire::{
        command::Wanted,
        server::{Event, Server},
    },
    media::{Container, NotCarried, codec::CodecParameters},
    net::ConnectionPermit,
    output::{
        http::live::batch_of,
        publish::permit::Credentials,
        shard::{
            pool::Joining,
            session::{Account, Session},
            viewer::Framing,
            viewer_log::{Identified, ViewerLog},
        },
    },
    source::demand::Lease,
    stream::{Entry, Join, Reader},
};
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// How long a stream may take to say which codecs it has.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);

/// A stream that is played.
struct Playing {
    stream: Arc<StreamHandle>,
    reader: Reader,
    lease: Lease,
    pass: Pass,
    user: Option<String>,
}

/// Why somebody gets nothing.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no stream `{0}`")]
    Unknown(String),
    #[error("`{0}` is made by a program for each request, and cannot be played by RTMP")]
    NoSamples(String),
    #[error("{0}")]
    Denied(String),
    #[error(transparent)]
    NotCarried(#[from] NotCarried),
    #[error("it has {0}, which this player does not know: it has announced no `fourCcList`")]
    Unannounced(&'static str),
    #[error("overloaded: no new viewers")]
    Overloaded,
}

/// Has a player served: it goes to a shard when it is accepted, and is refused otherwise.
pub(super) async fn serve(mut wire: Wire, permit: ConnectionPermit, context: &Context, wanted: &Wanted, peer: &Peer) {
    let path = wanted.names().into_iter().next().unwrap_or_default();
    let asked = Instant::now();
    let Playing { stream, reader, lease, pass, user } = match open(context, wanted, peer).await {
        Ok(playing) => playing,
        Err(refusal) => {
            tracing::info!(peer = %peer.address, protocol = "rtmp", path, reason = %refusal, "viewer refused");
            return wire.refuse("NetStream.Play.StreamNotFound", &refusal.to_string()).await;
        }
    };
    wire.server.accept_play(&mut wire.out);
    let who = Identified {
        protocol: "rtmp",
        transport: None,
        peer: peer.address,
        user,
        path: Some(path),
        stream: stream.config.name.to_string(),
        asked,
        pass,
    };
    let log = ViewerLog::new(who, &stream.viewers, context.stats.clone());
    // It may have ended it already.
    if wire.flush().await.is_err() || wire.events.contains(&Event::Ended) {
        return;
    }
    let Some((socket, server)) = wire.into_live() else { return };
    context.shards.adopt(Joining {
        socket,
        before: VecDeque::new(),
        permit,
        reader,
        lease,
        viewers: stream.viewers.clone(),
        wake_interval: batch_of(&stream.config, Some(Container::Flv)),
        framing: Framing::Messages(messages),
        session: Box::new(PlaySession { server, log }),
    });
}

/// The protocol of a player while a shard writes the packets.
#[derive(Debug)]
struct PlaySession {
    server: Server,
    log: ViewerLog,
}

impl Session for PlaySession {
    fn account(&mut self) -> &mut dyn Account {
        &mut self.log
    }

    fn receive(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let mut events = Vec::new();
        self.server.push(bytes, out, &mut events).map_err(|_| "protocol error")?;
        if events.contains(&Event::Ended) { Err("client left") } else { Ok(()) }
    }

    fn may_half_close(&self) -> bool {
        false
    }

    fn end(&mut self, reason: &'static str, out: &mut Vec<u8>) {
        self.server.end_play(reason, out);
    }

    fn closed(&mut self, reason: &'static str) {
        self.log.reason = reason;
    }
}

/// Finds the stream that is meant, and joins it if the client may.
async fn open(context: &Context, wanted: &Wanted, peer: &Peer) -> Result<Playing, Refusal> {
    let (path, stream) = find(context, wanted)?;
    let name: Arc<str> = stream.config.name.as_str().into();
    let access = admit(context, wanted, &name, peer).await?;
    if context.is_overloaded() {
        return Err(Refusal::Overloaded);
    }
    let sampled = stream.sampled().ok_or_else(|| Refusal::NoSamples(path.clone()))?;
    let output = sampled.output.as_ref().ok_or(Refusal::NoSamples(path))?.beside(Container::Flv);
    let lease = match &sampled.rendition {
        Some(rendition) => rendition.open(Container::Flv).await?,
        None => sampled.demand.lease().with(output.lease()),
    };
    if !wanted.knows_four_cc {
        only_legacy(&output).await?;
    }
    let reader = output.fanout().subscribe(Entry { join: Join::Keyframe, header: true });
    let pass = context.gate.pass(&access, Action::View, Some(name));
    Ok(Playing { reader, lease, pass, user: access.identity.name(), stream })
}

fn find(context: &Context, wanted: &Wanted) -> Result<(String, Arc<StreamHandle>), Refusal> {
    let registry = context.registry.borrow();
    let names = wanted.names();
    let found = names.iter().find_map(|name| {
        let is_it = |stream: &&Arc<StreamHandle>| {
            let path = stream.config.path.as_str();
            stream.config.name.as_str() == name
                || path.strip_prefix('/') == Some(name)
                || stream.config.path.stem().strip_prefix('/') == Some(name)
        };
        Some((name.clone(), registry.streams().iter().find(is_it)?.clone()))
    });
    found.ok_or_else(|| Refusal::Unknown(names.into_iter().next().unwrap_or_default()))
}

async fn admit(context: &Context, wanted: &Wanted, stream: &str, peer: &Peer) -> Result<Access, Refusal> {
    let (gate, query) = (&context.gate, wanted.query());
    let accepted = gate.accepted();
    let presented = Credentials::read(&query, []).map(|credentials| match credentials.presented() {
        Presented::Link(_) if !accepted.links => Presented::Nothing,
        Presented::Basic { .. } if !accepted.basic => Presented::Nothing,
        presented => presented,
    });
    let need = Some((Action::View, Subject::Stream(stream)));
    let admitted = gate.admit(presented, need, peer.asking("rtmp", &query, wanted.agent.as_deref())).await;
    admitted.map_err(|denied| Refusal::Denied(denied.to_string()))
}

/// Refuses codecs that players know only if they say so: others take them for garbage.
async fn only_legacy(output: &crate::stream::StreamOutput) -> Result<(), Refusal> {
    let mut known = output.input().known_tracks();
    let _ = timeout(KNOWN_WITHIN, known.wait_for(Option::is_some)).await;
    let tracks = output.input().known_tracks().borrow().clone();
    let is_legacy = |codec: &CodecParameters| {
        matches!(
            codec,
            CodecParameters::H264(_)
                | CodecParameters::Aac(_)
                | CodecParameters::MpegAudio(_)
                | CodecParameters::Pcm(_)
        )
    };
    let (tracks, _) = tracks.unzip();
    let tracks = tracks.iter().flat_map(|tracks| tracks.tracks());
    match tracks.map(|track| &track.codec).find(|codec| !is_legacy(codec)) {
        Some(codec) => Err(Refusal::Unannounced(codec.name())),
        None => Ok(()),
    }
}
