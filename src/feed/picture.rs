//! A still picture of what a stream shows now.

use super::{
    group::PictureOf,
    registry::StreamHandle,
    still::{Age, Kept, Still},
    transfer::Picture,
};
use crate::{
    ipc::{PictureFault, PictureFormat, Rendition},
    media::{Container, multipart},
    stream::{Delivery, Entry, Join},
    sys::{monotonic, since_1970},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a client waits for a picture: a camera that has to start included.
const WITHIN: Duration = Duration::from_secs(10);
/// Pause before the worker is asked again whether there is a frame.
const AGAIN: Duration = Duration::from_millis(100);
/// What the pictures of motion JPEG are good enough for.
const USUAL: Rendition = Rendition::of(PictureFormat::Jpeg { quality: 85 });

type Making = BoxFuture<'static, Result<Arc<Still>, PictureFault>>;

/// The stills of one stream: who asks for the same at the same time gets the same.
#[derive(Debug, Default)]
pub struct Stills(Mutex<Shelf>);

#[derive(Debug, Default)]
struct Shelf {
    /// What nobody waits for any more is not made, and wants no feed.
    making: HashMap<Rendition, WeakShared<Making>>,
    kept: Kept,
}

impl Shelf {
    /// The still of this rendition that is being made, or else a new one.
    fn join(&mut self, rendition: Rendition, make: impl FnOnce() -> Making) -> Shared<Making> {
        let current = |weak: &WeakShared<Making>| weak.upgrade().filter(|making| making.peek().is_none());
        self.making.retain(|_, weak| current(weak).is_some());
        if let Some(making) = self.making.get(&rendition).and_then(current) {
            return making;
        }
        let making = make().shared();
        self.making.extend(making.downgrade().map(|weak| (rendition, weak)));
        making
    }
}

impl Stills {
    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A picture that was made before and is not older than `age` allows. Starts nothing.
pub fn kept(stream: &StreamHandle, rendition: Rendition, age: Age) -> Option<Arc<Still>> {
    let Age::AtMost(limit) = age else { return None };
    stream.stills.shelf().kept.get(rendition, limit, monotonic())
}

/// A picture of a stream, which is started for it if need be.
///
/// # Errors
/// Why there is none; [`PictureFault::NotYet`] when none came in time.
pub async fn take(stream: &Arc<StreamHandle>, rendition: Rendition, age: Age) -> Result<Arc<Still>, PictureFault> {
    if let Some(still) = kept(stream, rendition, age) {
        return Ok(still);
    }
    let not_before = (age == Age::Fresh).then(monotonic);
    let until = tokio::time::Instant::now() + WITHIN;
    loop {
        let make = || make(stream.clone(), rendition, not_before).boxed();
        let making = stream.stills.shelf().join(rendition, make);
        let still = tokio::time::timeout_at(until, making).await.unwrap_or(Err(PictureFault::NotYet))?;
        // One that was being made already may be of a moment ago; the next one is not.
        if not_before.is_none_or(|limit| still.taken >= limit) {
            return Ok(still);
        }
    }
}

async fn make(
    stream: Arc<StreamHandle>,
    rendition: Rendition,
    not_before: Option<Duration>,
) -> Result<Arc<Still>, PictureFault> {
    let _lease = stream.demand.lease();
    let made = tokio::time::timeout(WITHIN, attempts(&stream, rendition, not_before)).await;
    let picture = made.unwrap_or(Err(PictureFault::NotYet))?;
    let taken = picture.captured.unwrap_or_else(monotonic);
    let still = Arc::new(Still::new(picture.bytes, taken, since_1970(taken)));
    stream.stills.shelf().kept.put(rendition, still.clone());
    Ok(still)
}

async fn attempts(
    stream: &StreamHandle,
    rendition: Rendition,
    not_before: Option<Duration>,
) -> Result<Picture, PictureFault> {
    loop {
        let taken = match stream.in_plan {
            Some(number) => tokio::select! {
                biased;
                // Its own worker has none then.
                () = shows_placeholder(stream) => from_packets(stream, rendition, not_before).await,
                taken = stream.group.picture(PictureOf::Stream(number), rendition, not_before) => match taken {
                    // It was muxed before the worker saw it: only its packets have pictures, if anything.
                    Err(PictureFault::NoVideo) => from_packets(stream, rendition, not_before).await,
                    taken => taken,
                },
            },
            None => from_packets(stream, rendition, not_before).await,
        };
        match taken {
            Err(PictureFault::NotYet) => tokio::time::sleep(AGAIN).await,
            // A worker that dies of one attempt is replaced; the time limit bounds the attempts.
            taken => return taken,
        }
    }
}

/// Until viewers see the placeholder of a stream. Cancel-safe.
async fn shows_placeholder(stream: &StreamHandle) {
    while !stream.status.read().shows_placeholder {
        match stream.config.placeholder {
            Some(_) => tokio::time::sleep(AGAIN).await,
            None => std::future::pending().await,
        }
    }
}

/// Made of the packets of the newest group of pictures, which are as old as the newest of them.
async fn from_packets(
    stream: &StreamHandle,
    rendition: Rendition,
    not_before: Option<Duration>,
) -> Result<Picture, PictureFault> {
    let container = stream.fanout.container_known().await;
    if !container.is_joinable() {
        return Err(PictureFault::NoVideo);
    }
    // Waits for the first join point.
    let mut reader = stream.fanout.subscribe(Entry { join: Join::Keyframe, header: false });
    while let Delivery::Aside(_) | Delivery::Gap(_) = reader.next().await {}
    let (mut group, captured) = loop {
        let group = stream.fanout.newest_group().ok_or(PictureFault::NotYet)?;
        let captured = group.captured.unwrap_or_else(|| monotonic().saturating_sub(group.pushed.elapsed()));
        if not_before.is_none_or(|limit| captured >= limit) {
            break (group.pieces, Some(captured));
        }
        let mut reader = stream.fanout.subscribe(Entry { join: Join::Live, header: false });
        if let Delivery::End = reader.next().await {
            return Err(PictureFault::NotYet);
        }
    };
    if container == Container::Mjpeg {
        let part = group.pop().ok_or(PictureFault::NotYet)?;
        let bytes = multipart::picture_of(&part).ok_or(PictureFault::NotYet)?;
        if rendition == USUAL {
            return Ok(Picture { bytes, captured });
        }
        group = vec![bytes];
    }
    let picture = stream.group.picture(PictureOf::Bytes(group), rendition, None).await?;
    Ok(Picture { captured, ..picture })
}
