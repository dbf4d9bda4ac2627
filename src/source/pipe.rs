//! A named pipe as a source. Its writers may come and go; only this task waits for them.

use super::{command::copy_scanned, flow::Flow};
use crate::{ipc::Ended, media::Scanner, stream::WriterHandle};
use std::path::PathBuf;
use tokio::{net::unix::pipe, sync::watch};
use tokio_util::sync::CancellationToken;

/// A named pipe to read.
#[derive(Debug, Clone)]
pub struct PipeSource {
    /// Where it is.
    pub path: PathBuf,
    /// Where its bytes go.
    pub writer: WriterHandle,
}

impl PipeSource {
    /// See [`super::Source::run`]. Ends when the writer leaves.
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        // Without a writer a read would report the end immediately; the pipe becomes readable only with one.
        let mut pipe = match pipe::OpenOptions::new().open_receiver(&self.path) {
            Ok(pipe) => pipe,
            Err(error) => return Ended::Failed(format!("cannot open {}: {error}", self.path.display())),
        };
        let copied = async {
            pipe.readable().await?;
            copy_scanned(&mut pipe, Scanner::new(None), &self.writer, flow, true).await
        };
        tokio::select! {
            copied = copied => match copied {
                Ok(()) => Ended::EndOfStream,
                Err(error) => Ended::Failed(format!("cannot read {}: {error}", self.path.display())),
            },
            () = stop.cancelled() => Ended::Stopped,
        }
    }
}
