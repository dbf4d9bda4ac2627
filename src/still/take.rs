//! Takes a still of what a stream shows now.

use super::cache::{Age, Still, StillCache};
use crate::{
    engine::registry::StreamHandle,
    ipc::{PictureFault, PictureFormat, StillSpec},
    media::{Container, multipart},
    source::{worker_group::StillSource, worker_media::WorkerStill},
    stream::{Delivery, Entry, Join},
    sys::{monotonic, since_1970},
};
use futures_util::FutureExt;
use std::{sync::Arc, time::Duration};

/// How long a client waits for a still, including the start of a camera.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before the worker is asked again whether there is a frame.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// Stills of this format may be the parts of Motion JPEG without re-encoding.
const DEFAULT_JPEG: StillSpec = StillSpec::of(PictureFormat::Jpeg { quality: 85 });

/// The stills of one stream.
#[derive(Debug)]
pub struct StreamStills {
    stream: Arc<StreamHandle>,
    cache: StillCache,
}

impl StreamStills {
    /// Takes stills of this stream; caches none yet.
    pub fn new(stream: Arc<StreamHandle>) -> Self {
        Self { stream, cache: StillCache::default() }
    }

    /// The stream.
    pub fn stream(&self) -> &Arc<StreamHandle> {
        &self.stream
    }

    /// A cached still that is not older than `age` allows. Starts nothing.
    pub fn cached(&self, spec: StillSpec, age: Age) -> Option<Arc<Still>> {
        let Age::AtMost(limit) = age else { return None };
        self.cache.get(spec, limit, monotonic())
    }

    /// A still of the stream, which is started for it if need be.
    ///
    /// # Errors
    /// Why there is none; [`PictureFault::NotYet`] when there was no frame in time.
    pub async fn take(self: &Arc<Self>, spec: StillSpec, age: Age) -> Result<Arc<Still>, PictureFault> {
        if let Some(still) = self.cached(spec, age) {
            return Ok(still);
        }
        let not_before = (age == Age::Fresh).then(monotonic);
        let until = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let make = || self.clone().make(spec, not_before).boxed();
            let making = self.cache.join(spec, make);
            let still = tokio::time::timeout_at(until, making).await.unwrap_or(Err(PictureFault::NotYet))?;
            // One that was in flight already may be older than the request; the next one is not.
            if not_before.is_none_or(|limit| still.taken >= limit) {
                return Ok(still);
            }
        }
    }

    async fn make(self: Arc<Self>, spec: StillSpec, not_before: Option<Duration>) -> Result<Arc<Still>, PictureFault> {
        let _bytes = self.stream.lease();
        let attempts = async {
            let stream = self.stream.settled().await;
            let _lease = stream.lease();
            // What a worker decodes itself need not fit into a container.
            let (stream, _packets) = match stream.in_plan {
                Some(_) => (stream, stream.lease()),
                None => stream.open_video().await,
            };
            attempts(stream, spec, not_before).await
        };
        let made = tokio::time::timeout(TIMEOUT, attempts).await;
        let still = made.unwrap_or(Err(PictureFault::NotYet))?;
        let taken = still.captured.unwrap_or_else(monotonic);
        let still = Arc::new(Still::new(still.bytes, taken, since_1970(taken)));
        self.cache.put(spec, still.clone());
        Ok(still)
    }
}

async fn attempts(
    stream: &StreamHandle,
    spec: StillSpec,
    not_before: Option<Duration>,
) -> Result<WorkerStill, PictureFault> {
    loop {
        if stream.pauses.is_paused() {
            tokio::time::sleep(RETRY_PAUSE).await;
            continue;
        }
        let taken = match stream.in_plan {
            Some(number) => tokio::select! {
                biased;
                // Its own worker has no frames then.
                () = shows_placeholder(stream) => from_packets(stream, spec, not_before).await,
                taken = stream.group.still(StillSource::Stream(number), spec, not_before) => match taken {
                    // The worker has only the muxed bytes of this stream: its frames are in the packets, if anywhere.
                    Err(PictureFault::NoVideo) => from_packets(stream, spec, not_before).await,
                    taken => taken,
                },
            },
            None => from_packets(stream, spec, not_before).await,
        };
        match taken {
            Err(PictureFault::NotYet) => tokio::time::sleep(RETRY_PAUSE).await,
            // A worker that crashes in one attempt is replaced; the timeout bounds the attempts.
            taken => return taken,
        }
    }
}

/// Waits until viewers see the placeholder of a stream. Cancel-safe.
async fn shows_placeholder(stream: &StreamHandle) {
    while !stream.status.read().shows_placeholder {
        match stream.config.placeholder {
            Some(_) => tokio::time::sleep(RETRY_PAUSE).await,
            None => std::future::pending().await,
        }
    }
}

/// Decodes the newest GOP of the stream's packets; the still is as old as the newest of them.
async fn from_packets(
    stream: &StreamHandle,
    spec: StillSpec,
    not_before: Option<Duration>,
) -> Result<WorkerStill, PictureFault> {
    let container = stream.fanout.container_known().await;
    if !container.is_joinable() {
        return Err(PictureFault::NoVideo);
    }
    // Waits for the first join point.
    let mut reader = stream.fanout.subscribe(Entry { join: Join::Keyframe, header: false });
    while let Delivery::Aside(_) | Delivery::Gap(_) = reader.next().await {}
    let (group, captured) = loop {
        let group = stream.fanout.newest_group().ok_or(PictureFault::NotYet)?;
        let captured = group.newest.captured.unwrap_or_else(|| monotonic().saturating_sub(group.pushed.elapsed()));
        if not_before.is_none_or(|limit| captured >= limit) {
            break (group, Some(captured));
        }
        let mut reader = stream.fanout.subscribe(Entry { join: Join::Live, header: false });
        if let Delivery::End = reader.next().await {
            return Err(PictureFault::NotYet);
        }
    };
    let mut pieces = group.pieces;
    if container == Container::Mjpeg {
        let bytes = multipart::picture_of(&group.newest).ok_or(PictureFault::NotYet)?;
        if spec == DEFAULT_JPEG {
            return Ok(WorkerStill { bytes, captured });
        }
        pieces = vec![bytes];
    }
    let still = stream.group.still(StillSource::Bytes(stream.config.name.to_string(), pieces), spec, None).await?;
    Ok(WorkerStill { captured, ..still })
}
