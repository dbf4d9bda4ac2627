//! A player: it gets the packets of the stream in FLV as messages. Of each packet only the head differs from that of a file, so all
//! players share one copy.

use super::{
    connection::{PROGRESS_WITHIN, Wire},
    context::Context,
    tags::{send, tags},
    wire::{
        command::{STREAM, Wanted},
        server::Event,
    },
};
use crate::{
    access::{Access, Action, Pass, Peer, Presented, Subject},
    engine::registry::StreamHandle,
    media::{Container, NotCarried, codec::CodecParameters},
    output::publish::permit::Credentials,
    source::demand::Lease,
    stream::{Arrival, Delivery, Entry, Join, LagAction, LagPolicy, Progress, Reader},
};
use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often statistics are reported.
const TICK: Duration = Duration::from_secs(1);
/// How long a stream may take to say which codecs it has.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);
/// Why a viewer ends that takes nothing; as over HTTP.
const NO_PROGRESS: &str = "no progress for 10 s";

/// A stream that is played.
struct Playing {
    stream: Arc<StreamHandle>,
    reader: Reader,
    _lease: Lease,
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

/// Serves a player to its end.
pub(super) async fn serve(mut wire: Wire, context: &Context, wanted: &Wanted, peer: &Peer, stop: CancellationToken) {
    let path = wanted.names().into_iter().next().unwrap_or_default();
    let began = Instant::now();
    let mut playing = match open(context, wanted, peer).await {
        Ok(playing) => playing,
        Err(refusal) => {
            tracing::info!(peer = %peer.address, protocol = "rtmp", path, reason = %refusal, "viewer refused");
            return wire.refuse("NetStream.Play.StreamNotFound", &refusal.to_string()).await;
        }
    };
    wire.server.accept_play(&mut wire.out);
    let arrival = Arrival { protocol: "rtmp", user: playing.user.as_deref(), peer: peer.address };
    let end = playing.pass.ended_by_order();
    let mut viewer = playing.stream.viewers.join(arrival, Some(end), SystemTime::now());
    let mut progress = Progress::default();
    let (reason, is_told) = match wire.flush().await {
        Ok(()) => run(&mut wire, &mut playing, (&mut viewer, &mut progress), began, &stop).await,
        Err(_) => ("client left", false),
    };
    viewer.report(progress);
    viewer.ended(reason);
    if reason == NO_PROGRESS {
        viewer.dropped();
    }
    let seconds = (began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
    let Progress { bytes, gaps, .. } = progress;
    let (stream, user) = (&playing.stream.config.name, playing.user.take());
    tracing::info!(peer = %peer.address, user, protocol = "rtmp", path, %stream, bytes, seconds, gaps, reason, "viewer left");
    drop((playing, viewer));
    if is_told {
        wire.server.end_play(reason, &mut wire.out);
        wire.close().await;
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
    Ok(Playing { reader, _lease: lease, pass, user: access.identity.name(), stream })
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

/// Sends packets until the end: the reason, and whether the client is to be notified.
async fn run(
    wire: &mut Wire,
    playing: &mut Playing,
    (viewer, progress): (&mut crate::stream::ViewerHandle, &mut Progress),
    began: Instant,
    stop: &CancellationToken,
) -> (&'static str, bool) {
    let mut lag = LagPolicy::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let delivery = tokio::select! {
            biased;
            () = stop.cancelled() => return ("server stops", true),
            reason = playing.pass.end().wait() => return (reason, true),
            _ = tick.tick() => {
                let step = lag.look(Instant::now());
                reduce(&mut playing.reader, step, progress);
                viewer.report(*progress);
                continue;
            }
            read = wire.read() => {
                let has_ended = wire.events.drain(..).any(|event| event == Event::Ended);
                if read.is_err() || has_ended || wire.flush().await.is_err() {
                    return ("client left", false);
                }
                continue;
            }
            delivery = playing.reader.next() => delivery,
        };
        let packet = match delivery {
            Delivery::Aside(packet) | Delivery::Packet(packet) => packet.payload(),
            Delivery::Gap(lost) => {
                progress.gaps += 1;
                progress.lost += lost;
                let step = lag.overrun(Instant::now());
                reduce(&mut playing.reader, step, progress);
                continue;
            }
            Delivery::End => return ("stream ended", true),
        };
        for tag in tags(packet) {
            match timeout(PROGRESS_WITHIN, send(&mut wire.transport, &tag, STREAM)).await {
                Ok(Ok(bytes)) => {
                    if progress.bytes == 0 {
                        viewer.played(began.elapsed(), began, Instant::now());
                    }
                    progress.bytes += bytes;
                }
                Ok(Err(_)) => return ("client left", false),
                Err(_) => return (NO_PROGRESS, false),
            }
        }
    }
}

fn reduce(reader: &mut Reader, step: Option<LagAction>, progress: &mut Progress) {
    let Some(step) = step else { return };
    let is_reduced = step == LagAction::Reduce;
    if reader.reduce(is_reduced) && is_reduced != progress.is_reduced {
        progress.reductions += u64::from(is_reduced);
        progress.is_reduced = is_reduced;
    }
}
