//! Which stream a name stands for, and its packets of MPEG-TS.

use super::{play::Opened, wire::handshake::Refusal};
use crate::{
    config::Encoding,
    engine::registry::{Registry, StreamHandle, stem},
    media::Container,
    output::{
        packets::{self, Unfit},
        publish::find::Target,
    },
};
use std::sync::Arc;

/// The stream with this name or path, without the slash at its beginning; with or without the extension of its container. Of
/// several with one name, the one whose codecs most likely fit has it.
pub fn find<'a>(registry: &'a Registry, name: &str) -> Option<&'a Arc<StreamHandle>> {
    let streams = registry.streams();
    let path = |stream: &StreamHandle| stream.config.path.as_str().trim_matches('/').to_owned();
    let exact = |stream: &&Arc<StreamHandle>| stream.config.name.as_str() == name || path(stream) == name;
    let is_output = |stream: &&Arc<StreamHandle>| stream.outputs.iter().any(|output| path(output) == name);
    streams.iter().find(exact).or_else(|| streams.iter().find(is_output)).or_else(|| {
        let named = streams.iter().filter(|stream| stem(&path(stream)) == name);
        named.min_by_key(|stream| rank(stream))
    })
}

/// Where media with this name is published to: the name of a feed, or of a stream that is nothing but this feed.
///
/// # Errors
/// When there is nothing with this name, or publishing is not possible there.
pub fn published(registry: &Registry, name: &str) -> Result<Target, Refusal> {
    if let Some(target) = Target::find(registry, name) {
        return Ok(target);
    }
    let stream = &find(registry, name).ok_or(Refusal::NOT_FOUND)?.config;
    let ([feed], Encoding::Copy) = (stream.feeds.as_slice(), &stream.encoding) else { return Err(Refusal::BAD_MODE) };
    registry.publish_slot(feed.as_str()).cloned().map(Target::Feed).ok_or(Refusal::BAD_MODE)
}

fn rank(stream: &StreamHandle) -> u8 {
    match stream.config.container {
        Container::Ts => 0,
        Container::Mp4 => 1,
        Container::Flv => 2,
        Container::Mkv => 3,
        _ => 4,
    }
}

/// Leases the packets of a stream. Waits until it is known what they are made of. Cancel-safe.
///
/// # Errors
/// Why there are none.
pub async fn open(stream: &Arc<StreamHandle>) -> Result<Opened, Refusal> {
    let (fanout, lease) = packets::open(stream, Container::Ts).await.map_err(|unfit| match unfit {
        Unfit::Failed => Refusal::UNAVAILABLE,
        Unfit::NoSamples | Unfit::NotCarried(_) | Unfit::Reordered => {
            tracing::debug!(error = %unfit, "stream not carried over SRT");
            Refusal::UNACCEPTABLE
        }
    })?;
    Ok(Opened { fanout, lease, viewers: stream.viewers.clone() })
}
