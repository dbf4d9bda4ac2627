//! Stills of a stream one after the other, for a client that takes each when it is done with the one before.

use super::{
    cache::{Age, Still},
    take::StreamStills,
};
use crate::{
    ipc::{PictureFault, StillSpec},
    source::demand::Lease,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// A client's position in the stills of a stream. The stream runs as long as this exists.
#[derive(Debug)]
pub struct Sequence {
    stills: Arc<StreamStills>,
    _lease: Lease,
    spec: StillSpec,
    interval: Duration,
    due: Instant,
}

impl Sequence {
    /// Stills from now on, at least `interval` apart.
    pub fn new(stills: &Arc<StreamStills>, spec: StillSpec, interval: Duration) -> Self {
        let _lease = stills.stream().lease();
        Self { stills: stills.clone(), _lease, spec, interval, due: Instant::now() }
    }

    /// The next still, captured after this call, so that nothing queues up for a slow client. Waits while the stream
    /// shows nothing. Cancel-safe.
    ///
    /// # Errors
    /// [`PictureFault::NoVideo`] when there will never be one, [`PictureFault::Failed`] when it could not be made.
    pub async fn next(&mut self) -> Result<Arc<Still>, PictureFault> {
        sleep_until(self.due).await;
        loop {
            match self.stills.take(self.spec, Age::Fresh).await {
                Err(PictureFault::NotYet) => {}
                taken => {
                    // A late still does not make the next ones come faster.
                    self.due = (self.due + self.interval).max(Instant::now() - self.interval / 4);
                    return taken;
                }
            }
        }
    }
}
