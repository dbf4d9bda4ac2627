//! What a supervisor can start.

use super::{command::CommandSource, group::ItemSource, pipe::PipeSource};
use crate::ipc::Ended;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// One way of getting media. A closed set: what they share is [`Source::run`].
#[derive(Debug, Clone)]
pub enum Source {
    /// A program.
    Command(CommandSource),
    /// A named pipe.
    Pipe(PipeSource),
    /// A feed or stream in a worker process.
    Item(ItemSource),
}

impl Source {
    /// Runs the source until it ends by itself or `stop` is cancelled, after which it ends within seconds. `first` is
    /// told of the first media. Not cancel-safe: a dropped future may leave the source running for a moment.
    pub async fn run(self, stop: CancellationToken, first: oneshot::Sender<()>) -> Ended {
        match self {
            Self::Command(source) => source.run(stop, first).await,
            Self::Pipe(source) => source.run(stop, first).await,
            Self::Item(source) => source.run(stop, first).await,
        }
    }

    /// Forgets what was delivered, and takes no more of it until the next run: nobody wants it.
    pub fn clear(&self) {
        match self {
            Self::Command(CommandSource { writer, .. }) | Self::Pipe(PipeSource { writer, .. }) => {
                writer.lock().clear()
            }
            Self::Item(item) => item.clear(),
        }
    }
}
