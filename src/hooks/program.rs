//! A program of a hook: no shell, its messages are kept for the log, and its guard ends it with all that it has started.

use crate::sys::guard::{self, Guarded};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::ChildStderr,
};

/// Time for a guard to end its program.
const ENDING: Duration = Duration::from_secs(5);
/// What is kept of its messages, in bytes: the last ones.
const MESSAGES: usize = 4 << 10;

/// A program that can be run.
#[derive(Debug)]
pub(super) struct Program<'a> {
    /// The hook that it is of.
    pub(super) hook: &'a str,
    /// Its name and arguments.
    pub(super) words: &'a [String],
    /// What it finds in its environment, beside the name of the hook.
    pub(super) variables: Vec<(&'static str, String)>,
    /// What it finds on its standard input.
    pub(super) input: String,
}

/// How a program ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// By itself, with code 0.
    Done,
    /// It was ended.
    ByOrder,
}

impl Program<'_> {
    /// Runs it to its end, or until `until` resolves: it is ended then.
    ///
    /// # Errors
    /// Why it failed.
    pub(super) async fn run(&self, until: impl Future<Output = ()>) -> Result<Ended, String> {
        let mut command = guard::command(self.words, Vec::new(), None).map_err(|error| error.to_string())?;
        command.stdin(Stdio::piped()).stderr(Stdio::piped()).env("VOYANDZ_HOOK", self.hook);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let mut child = command.spawn().map_err(|error| error.to_string())?;
        drop(command);
        let running = Guarded::new(&child);
        let (stdin, stderr) = (child.stdin.take(), child.stderr.take());
        let talk = async {
            let write = async {
                if let Some(mut stdin) = stdin {
                    // It need not read.
                    let _ = stdin.write_all(self.input.as_bytes()).await;
                }
            };
            let ((), messages, status) = tokio::join!(write, last_messages(stderr), child.wait());
            running.has_ended();
            (messages, status)
        };
        let mut talk = std::pin::pin!(talk);
        let (messages, status) = tokio::select! {
            ended = &mut talk => ended,
            () = until => {
                running.terminate();
                // Its last messages are read, or they would end it before it has cleaned up.
                let _ = tokio::time::timeout(ENDING, talk).await;
                return Ok(Ended::ByOrder);
            }
        };
        let status = status.map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(Ended::Done);
        }
        let last = messages.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
        Err(match status.code() {
            Some(code) if last.is_empty() => format!("exited with code {code}"),
            Some(code) => format!("exited with code {code}: {}", last.chars().take(300).collect::<String>()),
            None => "its guard was killed".to_owned(),
        })
    }
}

/// The end of what a program writes, which is read to its end: what is not read would stop it.
async fn last_messages(stderr: Option<ChildStderr>) -> String {
    let mut messages = Vec::new();
    if let Some(mut stderr) = stderr {
        while let Ok(1..) = stderr.read_buf(&mut messages).await {
            let surplus = messages.len().saturating_sub(MESSAGES);
            messages.drain(..surplus);
        }
    }
    String::from_utf8_lossy(&messages).into_owned()
}
