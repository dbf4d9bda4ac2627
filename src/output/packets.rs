//! The packets of a stream in a container, for those who send them on.

use crate::{
    engine::{registry::StreamHandle, rendition::Rendition},
    media::{Container, Muxer, NotCarried, TrackSet, webrtc::is_reordered},
    source::demand::Lease,
    stream::{FanOut, StreamOutput},
};
use std::{future::pending, sync::Arc};

/// Why a stream has no packets in a container.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// Its feed has failed.
    #[error("its feed has failed")]
    Failed,
    /// It is muxed by others.
    #[error("it arrives as bytes of another program's muxer: give the stream `outputs`, or encode it")]
    NoSamples,
    /// The container has no form for its codecs.
    #[error(transparent)]
    NotCarried(#[from] NotCarried),
    /// Its frames are shown in another order than they are sent.
    #[error(
        "its H.264 has B-frames, which WebRTC shows in the wrong order: encode it without them, or let the stream have `repair: [audio, video]`"
    )]
    Reordered,
}

/// Leases the packets of a stream. Those of MPEG-TS may be bytes of a program or a named pipe as well. Waits until it is known what they
/// are made of. Cancel-safe.
///
/// # Errors
/// Why there are none.
pub async fn open(stream: &Arc<StreamHandle>, container: Container) -> Result<(FanOut, Lease), Unfit> {
    if stream.fanout.is_closed() {
        return Err(Unfit::Failed);
    }
    let own = std::iter::once(stream).chain(&stream.outputs).find(|output| output.config.container == container);
    // Tags of a foreign muxer may begin anywhere.
    if let Some(own) = own.filter(|_| container == Container::Ts) {
        let lease = own.open().await?;
        let settled = own.settled().await;
        let lease = if std::ptr::eq(settled, &raw const **own) { lease } else { settled.open().await? };
        return Ok((settled.fanout.clone(), lease));
    }
    let sampled = stream.sampled().ok_or(Unfit::NoSamples)?;
    let output = sampled.output.as_ref().ok_or(Unfit::NoSamples)?.beside(container);
    let lease = match &sampled.rendition {
        Some(rendition) => rendition.open(container).await.map_err(|fault| unfit(&output, container, fault))?,
        None => sampled.demand.lease().with(output.lease()),
    };
    Ok((output.fanout().clone(), lease))
}

/// Waits until it is known that a stream whose packets were leased has none in this container. Cancel-safe.
pub async fn turns_out_unfit(stream: &StreamHandle, container: Container, leased: &FanOut) -> Unfit {
    let found = stream.sampled().and_then(|sampled| Some((sampled, sampled.output.as_ref()?.beside(container))));
    // What is muxed by others has what it has.
    let Some((sampled, output)) = found.filter(|(_, output)| output.fanout().is_same(leased)) else {
        return pending().await;
    };
    let fault = uncarried(&output, (container, sampled.rendition.as_deref())).await;
    unfit(&output, container, fault)
}

/// Waits until it is known that neither the tracks of a stream nor its alternatives can be carried in a container. Cancel-safe.
pub async fn uncarried(output: &StreamOutput, (container, rendition): (Container, Option<&Rendition>)) -> NotCarried {
    let mut known = output.input().known_tracks();
    let fault_of = |tracks: &TrackSet| match rendition {
        Some(rendition) => rendition.sources(container, tracks).err(),
        None => Muxer::select(container, tracks).err(),
    };
    loop {
        let found = known.borrow_and_update().as_ref().filter(|(_, is_complete)| *is_complete).cloned();
        if let Some(fault) = found.and_then(|(tracks, _)| fault_of(&tracks)) {
            return fault;
        }
        if known.changed().await.is_err() {
            return pending().await;
        }
    }
}

fn unfit(output: &StreamOutput, container: Container, fault: NotCarried) -> Unfit {
    let known = output.input().known_tracks().borrow().clone();
    let has_b_frames = known.is_some_and(|(tracks, _)| tracks.tracks().iter().any(|track| is_reordered(&track.codec)));
    if container == Container::WebRtc && has_b_frames { Unfit::Reordered } else { Unfit::NotCarried(fault) }
}
