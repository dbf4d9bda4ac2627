//! A program as a source: what it writes to its standard output is the media.

use super::program::Program;
use crate::{ipc::Ended, media::Scanner, stream::SharedWriter, sys::guard};
use bytes::BytesMut;
use std::pin::pin;
use tokio::{io::AsyncReadExt, sync::oneshot};
use tokio_util::sync::CancellationToken;

/// Most bytes taken from a program at once.
const READ_SIZE: usize = 64 << 10;

/// A program to run.
#[derive(Debug, Clone)]
pub struct CommandSource {
    /// Which one.
    pub program: Program,
    /// Where its output goes.
    pub writer: SharedWriter,
}

impl CommandSource {
    /// See [`super::source::Source::run`].
    pub async fn run(self, stop: CancellationToken, first: oneshot::Sender<()>) -> Ended {
        fail::fail_point!("command");
        let (running, mut stdout) = match self.program.start() {
            Ok(started) => started,
            Err(error) => return Ended::Failed(format!("cannot be started: {error}")),
        };
        let mut copy = pin!(copy_scanned(&mut stdout, &self.writer, first));
        let copied = tokio::select! {
            copied = &mut copy => copied,
            () = stop.cancelled() => {
                // Its last words are still taken.
                let _ = tokio::join!(running.end(), tokio::time::timeout(3 * guard::GRACE, copy));
                return Ended::Stopped;
            }
        };
        let exit = running.leave().await;
        match copied {
            _ if stop.is_cancelled() => Ended::Stopped,
            Err(error) => Ended::Failed(format!("its output cannot be read: {error}")),
            Ok(()) if exit.is_success() => Ended::EndOfStream,
            Ok(()) => Ended::Failed(exit.reason()),
        }
    }
}

/// Scans what `source` gives and writes it, until it ends.
///
/// # Errors
/// When it cannot be read.
pub async fn copy_scanned(
    source: &mut (impl AsyncReadExt + Unpin),
    writer: &SharedWriter,
    first: oneshot::Sender<()>,
) -> std::io::Result<()> {
    let (mut scanner, mut found, mut first) = (Scanner::new(None), Vec::new(), Some(first));
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    writer.lock().begin();
    loop {
        buffer.clear();
        buffer.reserve(READ_SIZE);
        let ended = source.read_buf(&mut buffer).await? == 0;
        if ended {
            scanner.finish(&mut found);
        } else {
            scanner.push(&buffer, &mut found);
        }
        if !found.is_empty()
            && let Some(first) = first.take()
        {
            let _ = first.send(());
        }
        let mut writer = writer.lock();
        found.drain(..).for_each(|found| writer.scanned(found));
        drop(writer);
        if ended {
            return Ok(());
        }
    }
}
