//! The packets of a stream in a container, for those who send them on.

use crate::{
    engine::registry::StreamHandle,
    media::{Container, NotCarried},
    source::demand::Lease,
    stream::FanOut,
};
use std::sync::Arc;

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
        Some(rendition) => rendition.open(container).await?,
        None => sampled.demand.lease().with(output.lease()),
    };
    Ok((output.fanout().clone(), lease))
}
