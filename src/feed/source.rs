//! What a supervisor can start.

use super::{command::CommandSource, group::ItemSource, pipe::PipeSource};
use crate::ipc::Ended;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What a running source tells of its media.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Flow {
    /// None came yet.
    #[default]
    Nothing,
    /// It comes.
    Media,
    /// The device captures nothing.
    NoSignal,
    /// It has stayed away for longer than its pace explains; the text says what, and for how long. Final.
    Stalled(String),
}

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
    /// Runs the source until it ends by itself or `stop` is cancelled, after which it ends within seconds. `flow` is
    /// told how its media comes. Not cancel-safe: a dropped future may leave the source running for a moment.
    pub async fn run(self, stop: CancellationToken, flow: watch::Sender<Flow>) -> Ended {
        match self {
            Self::Command(source) => source.run(stop, flow).await,
            Self::Pipe(source) => source.run(stop, flow).await,
            Self::Item(source) => source.run(stop, flow).await,
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

    /// How often the clock of what is passed on as it is was set right; that of others is a worker's.
    pub fn clock_jumps(&self) -> u64 {
        match self {
            Self::Command(CommandSource { writer, .. }) | Self::Pipe(PipeSource { writer, .. }) => {
                writer.lock().clock_jumps()
            }
            Self::Item(_) => 0,
        }
    }
}
