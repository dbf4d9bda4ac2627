//! Stills that are requested, until there is something to make them of.

use super::{Group, streams::StreamState};
use crate::{
    ipc::{FromWorker, PictureFault, PictureOf, PictureRequest},
    worker::picture::{self, Material},
};
use std::{
    io,
    time::{Duration, Instant},
};

/// A still request that waits for the first frame.
pub(super) struct Asked {
    pub(super) request: PictureRequest,
    pub(super) until: Instant,
}

impl Group {
    pub(super) fn answer_pictures(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for asked in std::mem::take(&mut self.asked) {
            let PictureRequest { id, ref of, spec, not_before } = asked.request;
            let late = now >= asked.until;
            let material = if self.pictures.in_work() >= picture::MAX_REQUESTS {
                Err(Some(PictureFault::Failed("too many stills are requested at the same time".into())))
            } else {
                self.material(id, of, not_before)
            };
            match material {
                Ok((material, captured)) => self.pictures.make(id, spec, material, captured),
                Err(None) if !late && self.asked.len() < picture::MAX_REQUESTS => self.asked.push(asked),
                Err(fault) => {
                    let fault = fault.unwrap_or(PictureFault::NotYet);
                    self.say(&FromWorker::PictureFailed { id, fault })?;
                }
            }
        }
        Ok(())
    }

    /// What a requested still can be made of, and when that was captured; `Err(None)` when it may be there soon.
    fn material(
        &self,
        id: u32,
        of: &PictureOf,
        not_before: Option<Duration>,
    ) -> Result<(Material, Option<Duration>), Option<PictureFault>> {
        let stream = match of {
            PictureOf::Stream(stream) => *stream,
            PictureOf::Recorded(frames) => {
                return self.mailbox.take(id).map(|bytes| (Material::Recorded(bytes, *frames), None)).ok_or(None);
            }
            PictureOf::Bytes(name) => {
                return self.mailbox.take(id).map(|bytes| (Material::Bytes(name.clone(), bytes), None)).ok_or(None);
            }
        };
        let Some(slot) = self.streams.get(&stream) else {
            return Err(Some(PictureFault::Failed("the plan has no such stream".into())));
        };
        match &slot.state {
            StreamState::Waiting { .. } => Err(None),
            StreamState::Running(run, since) => match run.still() {
                Ok(Some(still)) => {
                    let taken = still.newest().and_then(|buffer| buffer.pts());
                    let captured = taken.map(|taken| Duration::from_nanos(self.epoch.saturating_add(taken.nseconds())));
                    match (captured, not_before) {
                        (Some(captured), Some(limit)) if captured < limit => Err(None),
                        _ => Ok((Material::Stream(stream, still), captured)),
                    }
                }
                Ok(None) if since.elapsed() < picture::PATIENCE => Err(None),
                Ok(None) => Err(Some(PictureFault::NotYet)),
                Err(()) => Err(Some(PictureFault::NoVideo)),
            },
            StreamState::Idle | StreamState::Stopping(_) => Err(Some(PictureFault::NotYet)),
        }
    }
}
