//! A delivery to a program: the event on its standard input and in its environment, no shell.

use super::delivery::Delivery;
use crate::sys::guard;
use rustix::process::{Pid, Signal, kill_process};
use std::{process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Child,
    sync::Semaphore,
};

/// Time for a program. It is then ended with all that it has started.
const WITHIN: Duration = Duration::from_secs(60);
/// Time for its guard to end it.
const ENDING: Duration = Duration::from_secs(5);
/// What is kept of its messages, in bytes.
const MESSAGES: u64 = 4 << 10;

/// Of which hook it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) hook: &'a str,
    pub(super) words: &'a [String],
    /// Those that may run at a time.
    pub(super) programs: &'a Semaphore,
}

/// A program that ends when this is dropped.
struct Running(Child);

/// Runs the program for the event.
///
/// # Errors
/// Why it failed.
pub(super) async fn run(context: Context<'_>, event: &Delivery) -> Result<(), String> {
    let _permit = context.programs.acquire().await.map_err(|error| error.to_string())?;
    let mut command = guard::command(context.words, Vec::new(), None).map_err(|error| error.to_string())?;
    command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .env("VOYANDZ_HOOK", context.hook)
        .env("VOYANDZ_EVENT_ID", event.id.to_string())
        .env("VOYANDZ_EVENT_TYPE", &event.kind)
        .env("VOYANDZ_EVENT_SUBJECT", event.name.as_deref().unwrap_or_default());
    let mut running = Running(command.spawn().map_err(|error| error.to_string())?);
    drop(command);
    let (stdin, stderr) = (running.0.stdin.take(), running.0.stderr.take());
    let body = format!("{}\n", event.body);
    let talk = async {
        let write = async {
            if let Some(mut stdin) = stdin {
                // It need not read.
                let _ = stdin.write_all(body.as_bytes()).await;
            }
        };
        let read = async {
            let mut messages = Vec::new();
            if let Some(stderr) = stderr {
                let mut stderr = stderr.take(MESSAGES);
                let _ = stderr.read_to_end(&mut messages).await;
                // What is more is of no use, and must not stop it.
                let _ = tokio::io::copy(&mut stderr.into_inner(), &mut tokio::io::sink()).await;
            }
            messages
        };
        let ((), messages, status) = tokio::join!(write, read, running.0.wait());
        (messages, status)
    };
    let Ok((messages, status)) = tokio::time::timeout(WITHIN, talk).await else {
        running.terminate();
        let _ = tokio::time::timeout(ENDING, running.0.wait()).await;
        return Err(format!("it did not end within {} s", WITHIN.as_secs()));
    };
    let status = status.map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let messages = String::from_utf8_lossy(&messages);
    let last = messages.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(match status.code() {
        Some(code) if last.is_empty() => format!("exited with code {code}"),
        Some(code) => format!("exited with code {code}: {}", last.chars().take(300).collect::<String>()),
        None => "its guard was killed".to_owned(),
    })
}

impl Running {
    /// Has its guard end it.
    fn terminate(&self) {
        let pid = self.0.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // None where it has ended and was reaped.
        self.terminate();
    }
}
