//! A program as a source: its standard output is the media.

use super::{flow::Flow, program::Program};
use crate::{
    ipc::Ended,
    media::{Container, Scanner, StallDetector},
    stream::WriterHandle,
    sys::guard,
};
use bytes::BytesMut;
use std::{pin::pin, time::Instant};
use tokio::{io::AsyncReadExt, sync::watch, time::timeout_at};
use tokio_util::sync::CancellationToken;

/// Most bytes of one read.
const READ_SIZE: usize = 64 << 10;

/// A program to run.
#[derive(Debug, Clone)]
pub struct CommandSource {
    /// The program.
    pub program: Program,
    /// The container of its output, if it is known; see [`Scanner::new`].
    pub container: Option<Container>,
    /// Where its output goes.
    pub writer: WriterHandle,
}

impl CommandSource {
    /// See [`super::Source::run`].
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        fail::fail_point!("command");
        let (running, mut stdout) = match self.program.start() {
            Ok(started) => started,
            Err(error) => return Ended::Failed(format!("cannot start: {error}")),
        };
        // A program that reads media may be silent because it gets none.
        let is_origin = !self.program.reads();
        let mut copy = pin!(copy_scanned(&mut stdout, Scanner::new(self.container), &self.writer, flow, is_origin));
        let copied = tokio::select! {
            copied = &mut copy => copied,
            () = stop.cancelled() => {
                // What it still writes is read.
                let _ = tokio::join!(running.end(), tokio::time::timeout(3 * guard::GRACE, copy));
                return Ended::Stopped;
            }
        };
        let exit = running.leave().await;
        match copied {
            _ if stop.is_cancelled() => Ended::Stopped,
            Err(error) => Ended::Failed(format!("cannot read its output: {error}")),
            Ok(()) if exit.is_success() => Ended::EndOfStream,
            Ok(()) => Ended::Failed(exit.reason()),
        }
    }
}

/// Scans what `source` delivers and writes it, until it ends. Reports a stall when it `is_origin` of its media and is silent
/// for too long; for bytes in an unknown container it is not known when more are due.
///
/// # Errors
/// When it cannot be read.
pub async fn copy_scanned(
    source: &mut (impl AsyncReadExt + Unpin),
    mut scanner: Scanner,
    writer: &WriterHandle,
    flow: watch::Sender<Flow>,
    is_origin: bool,
) -> std::io::Result<()> {
    let (mut found, mut pace) = (Vec::new(), None::<StallDetector>);
    let mut buffer = BytesMut::with_capacity(READ_SIZE);
    writer.lock().begin();
    loop {
        buffer.clear();
        buffer.reserve(READ_SIZE);
        let is_watched = is_origin && scanner.container().is_some_and(|container| container != Container::Raw);
        let stalls_at =
            pace.as_ref().filter(|_| is_watched && *flow.borrow() == Flow::Media).map(StallDetector::deadline);
        let read = source.read_buf(&mut buffer);
        let read = match stalls_at {
            Some(at) => timeout_at(at.into(), read).await,
            None => Ok(read.await),
        };
        let Ok(read) = read else {
            let silence = pace.as_ref().map(|pace| pace.silence(Instant::now())).unwrap_or_default();
            flow.send_replace(Flow::Stalled(format!("no output for {:.1} s", silence.as_secs_f64())));
            continue;
        };
        let ended = read? == 0;
        if ended {
            scanner.finish(&mut found);
        } else {
            scanner.push(&buffer, &mut found);
            let now = Instant::now();
            pace.get_or_insert_with(|| StallDetector::new(now)).observe(now);
        }
        if !found.is_empty() && *flow.borrow() == Flow::Nothing {
            flow.send_replace(Flow::Media);
        }
        let mut writer = writer.lock();
        found.drain(..).for_each(|found| writer.scanned(found));
        drop(writer);
        if ended {
            return Ok(());
        }
    }
}
