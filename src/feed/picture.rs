//! A still picture of what a stream shows now.

use super::{group::PictureOf, registry::StreamHandle};
use crate::{
    ipc::{PictureFault, PictureFormat},
    media::{Container, multipart},
    stream::{Delivery, Entry, Join},
};
use bytes::Bytes;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared},
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How long a client waits for a picture: a camera that has to start included.
const WITHIN: Duration = Duration::from_secs(10);
/// Pause before the worker is asked again whether there is a frame.
const AGAIN: Duration = Duration::from_millis(100);

type Making = Shared<BoxFuture<'static, Result<Bytes, PictureFault>>>;

/// Pictures that are being made: who asks for the same at the same time gets the same.
#[derive(Debug, Default)]
pub struct Stills(Mutex<HashMap<PictureFormat, Making>>);

/// The current picture of a stream, which is started for it if need be.
///
/// # Errors
/// Why there is none; [`PictureFault::NotYet`] when none came in time.
pub async fn take(stream: &Arc<StreamHandle>, format: PictureFormat) -> Result<Bytes, PictureFault> {
    let making = {
        let mut stills = stream.stills.0.lock().unwrap_or_else(PoisonError::into_inner);
        stills.retain(|_, making| making.peek().is_none());
        stills.entry(format).or_insert_with(|| make(stream.clone(), format).boxed().shared()).clone()
    };
    making.await
}

async fn make(stream: Arc<StreamHandle>, format: PictureFormat) -> Result<Bytes, PictureFault> {
    let _lease = stream.demand.lease();
    tokio::time::timeout(WITHIN, attempts(&stream, format)).await.unwrap_or(Err(PictureFault::NotYet))
}

async fn attempts(stream: &StreamHandle, format: PictureFormat) -> Result<Bytes, PictureFault> {
    loop {
        let taken = match stream.in_plan {
            Some(number) => tokio::select! {
                biased;
                // Its own worker has none then.
                () = shows_placeholder(stream) => from_packets(stream, format).await,
                taken = stream.group.picture(PictureOf::Stream(number), format) => match taken {
                    // It was muxed before the worker saw it: only its packets have pictures, if anything.
                    Err(PictureFault::NoVideo) => from_packets(stream, format).await,
                    taken => taken,
                },
            },
            None => from_packets(stream, format).await,
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

async fn from_packets(stream: &StreamHandle, format: PictureFormat) -> Result<Bytes, PictureFault> {
    let container = stream.fanout.container_known().await;
    if !container.is_joinable() {
        return Err(PictureFault::NoVideo);
    }
    // Waits for the first join point.
    let mut reader = stream.fanout.subscribe(Entry { join: Join::Keyframe, header: false });
    while let Delivery::Aside(_) | Delivery::Gap(_) = reader.next().await {}
    let mut group = stream.fanout.newest_group().ok_or(PictureFault::NotYet)?;
    if container == Container::Mjpeg {
        let part = group.pop().ok_or(PictureFault::NotYet)?;
        let jpeg = multipart::picture_of(&part).ok_or(PictureFault::NotYet)?;
        if format == (PictureFormat::Jpeg { quality: 85 }) {
            return Ok(jpeg);
        }
        group = vec![jpeg];
    }
    stream.group.picture(PictureOf::Bytes(group), format).await
}
