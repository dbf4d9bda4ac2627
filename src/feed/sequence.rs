//! The pictures of a stream one after the other, for one who takes each when it is done with the one before.

use super::{
    demand::Lease,
    picture,
    registry::StreamHandle,
    still::{Age, Still},
};
use crate::ipc::{PictureFault, Rendition};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Where one is among the pictures of a stream, which runs as long as this is there.
#[derive(Debug)]
pub struct Sequence {
    stream: Arc<StreamHandle>,
    _lease: Lease,
    rendition: Rendition,
    interval: Duration,
    due: Instant,
}

impl Sequence {
    /// From now on, pictures at least `interval` apart.
    pub fn new(stream: &Arc<StreamHandle>, rendition: Rendition, interval: Duration) -> Self {
        let _lease = stream.demand.lease();
        Self { stream: stream.clone(), _lease, rendition, interval, due: Instant::now() }
    }

    /// The next picture: one that is captured after this was called, so that nothing queues up for who is slow. Waits while
    /// the stream shows nothing. Cancel-safe.
    ///
    /// # Errors
    /// [`PictureFault::NoVideo`] when there will never be one, [`PictureFault::Failed`] when it could not be made.
    pub async fn next(&mut self) -> Result<Arc<Still>, PictureFault> {
        sleep_until(self.due).await;
        loop {
            match picture::take(&self.stream, self.rendition, Age::Fresh).await {
                Err(PictureFault::NotYet) => {}
                taken => {
                    // A late one does not make the next ones come faster.
                    self.due = (self.due + self.interval).max(Instant::now() - self.interval / 4);
                    return taken;
                }
            }
        }
    }
}
