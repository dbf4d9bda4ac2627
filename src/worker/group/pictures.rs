//! Pictures that are asked for, until there is something to make them of.

use super::{Group, streams::StreamState};
use crate::{
    ipc::{FromWorker, PictureFault, PictureRequest},
    worker::picture::{self, Material},
};
use std::{io, time::Instant};

/// A picture request that waits for its first picture.
pub(super) struct Asked {
    pub(super) request: PictureRequest,
    pub(super) until: Instant,
}

impl Group {
    pub(super) fn answer_pictures(&mut self) -> io::Result<()> {
        let now = Instant::now();
        for asked in std::mem::take(&mut self.asked) {
            let PictureRequest { id, stream, format } = asked.request;
            let late = now >= asked.until;
            let material = if self.pictures.in_work() >= picture::MAX_REQUESTS {
                Err(Some(PictureFault::Failed("too many pictures are asked for at once".into())))
            } else {
                self.material(id, stream)
            };
            match material {
                Ok(material) => self.pictures.make(id, format, material),
                Err(None) if !late && self.asked.len() < picture::MAX_REQUESTS => self.asked.push(asked),
                Err(fault) => {
                    let fault = fault.unwrap_or(PictureFault::NotYet);
                    self.say(&FromWorker::PictureFailed { id, fault })?;
                }
            }
        }
        Ok(())
    }

    /// What a requested picture can be made of; `Err(None)` when that may be there soon.
    pub(super) fn material(&self, id: u32, stream: Option<u32>) -> Result<Material, Option<PictureFault>> {
        let Some(stream) = stream else {
            return self.mailbox.take(id).map(Material::Bytes).ok_or(None);
        };
        let Some(slot) = self.streams.get(&stream) else {
            return Err(Some(PictureFault::Failed("the plan has no such stream".into())));
        };
        match &slot.state {
            StreamState::Waiting { .. } => Err(None),
            StreamState::Running(run, since) => match run.still() {
                Ok(Some(still)) => Ok(Material::Stream(stream, still)),
                Ok(None) if since.elapsed() < picture::PATIENCE => Err(None),
                Ok(None) => Err(Some(PictureFault::NotYet)),
                Err(()) => Err(Some(PictureFault::NoVideo)),
            },
            StreamState::Idle | StreamState::Stopping(_) => Err(Some(PictureFault::NotYet)),
        }
    }
}
