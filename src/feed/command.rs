//! A program as a source: what it writes to its standard output is the media.

use crate::{
    ipc::Ended,
    media::Scanner,
    stream::{Delivery, Entry, FanOut, Join, SharedWriter},
    sys::guard,
};
use bytes::BytesMut;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{path::PathBuf, pin::pin, process::ExitStatus, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;

use super::stderr::{self, Voice};

/// Size of the pipe between a program and us, so that a short stall of ours does not stall an encoder.
const PIPE_SIZE: usize = 1 << 20;
/// Most bytes taken from a program at once.
const READ_SIZE: usize = 64 << 10;
/// What the guard may take beyond its own grace.
const GUARD_MARGIN: Duration = Duration::from_millis(500);
/// How long a program may live after it closed its standard output.
const AFTER_END: Duration = Duration::from_secs(2);

/// A program to run.
#[derive(Debug, Clone)]
pub struct CommandSource {
    /// For the log: `feed cam0`.
    pub name: Arc<str>,
    /// Program and arguments.
    pub argv: Arc<[String]>,
    /// What it reads on its standard input.
    pub input: Option<FanOut>,
    /// Where its output goes.
    pub writer: SharedWriter,
    /// What it says in the log, over all its runs.
    pub voice: Voice,
    /// Where its standard error output is kept, beside the log.
    pub stderr_file: Option<PathBuf>,
}

impl CommandSource {
    /// See [`super::source::Source::run`].
    pub async fn run(self, stop: CancellationToken, first: oneshot::Sender<()>) -> Ended {
        fail::fail_point!("command");
        let mut child = match self.spawn() {
            Ok(child) => child,
            Err(error) => return Ended::Failed(format!("cannot be started: {error}")),
        };
        let pid = pid_of(&child);
        let mut abandoned = Abandoned(pid);
        let stderr = child.stderr.take().map(|output| self.spawn_stderr(output));
        let input = child
            .stdin
            .take()
            .zip(self.input.as_ref())
            .map(|(stdin, from)| tokio::spawn(feed_stdin(stdin, from.clone())));
        let Some(stdout) = child.stdout.take() else { return Ended::Failed("has no output".to_owned()) };
        let mut copy = pin!(self.copy(stdout, first));
        let copied = tokio::select! {
            copied = &mut copy => Some(copied),
            () = stop.cancelled() => None,
        };
        let (status, told) = match copied {
            Some(_) => match tokio::time::timeout(AFTER_END, child.wait()).await {
                Ok(status) => (status.ok(), false),
                Err(_) => (end(&mut child).await, true),
            },
            // Its last words are still taken, so that it does not stumble over a closed pipe.
            None => {
                let (status, _) = tokio::join!(end(&mut child), tokio::time::timeout(3 * guard::GRACE, copy));
                (status, true)
            }
        };
        abandoned.0 = None;
        if let Some(group) = pid {
            // What is left of it when the guard itself was killed.
            let _ = kill_process_group(group, Signal::KILL);
        }
        if let Some(input) = input {
            input.abort();
        }
        let last_words = match stderr {
            Some(task) => task.await.ok().flatten(),
            None => None,
        };
        match (stop.is_cancelled(), copied, status) {
            (true, ..) => Ended::Stopped,
            (_, Some(Err(error)), _) => Ended::Failed(format!("its output cannot be read: {error}")),
            (_, _, Some(status)) if status.success() && !told => Ended::EndOfStream,
            (_, _, status) => Ended::Failed(describe(status, told, last_words)),
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = guard::command(&self.argv)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.input.is_some() {
            command.stdin(Stdio::piped());
        }
        command.spawn()
    }

    fn spawn_stderr(&self, output: ChildStderr) -> tokio::task::JoinHandle<Option<String>> {
        tokio::spawn(stderr::keep(self.name.clone(), output, self.voice.clone(), self.stderr_file.clone()))
    }

    /// Takes the program's output to the writer until it ends.
    async fn copy(&self, mut stdout: ChildStdout, first: oneshot::Sender<()>) -> std::io::Result<()> {
        // A smaller pipe works as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_SIZE);
        copy_scanned(&mut stdout, &self.writer, first).await
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

/// Writes a fan-out to a program's standard input. Ends when the program no longer reads.
async fn feed_stdin(mut stdin: ChildStdin, from: FanOut) {
    let mut reader = from.subscribe(Entry { join: Join::Keyframe, header: true });
    loop {
        let packet = match reader.next().await {
            Delivery::Aside(packet) | Delivery::Packet(packet) => packet,
            Delivery::Gap(_) => continue,
            Delivery::End => return,
        };
        if stdin.write_all(&packet.payload()).await.is_err() {
            return;
        }
    }
}

/// Tells the guard to end when the source itself is dropped or panics.
struct Abandoned(Option<Pid>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

fn pid_of(child: &Child) -> Option<Pid> {
    child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
}

/// Ends the guard, which ends the program; the whole group when it does not.
async fn end(child: &mut Child) -> Option<ExitStatus> {
    let pid = pid_of(child);
    if let Some(pid) = pid {
        let _ = kill_process(pid, Signal::TERM);
    }
    if let Ok(status) = tokio::time::timeout(2 * guard::GRACE + GUARD_MARGIN, child.wait()).await {
        return status.ok();
    }
    if let Some(pid) = pid {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    child.wait().await.ok()
}

fn describe(status: Option<ExitStatus>, told: bool, last_words: Option<String>) -> String {
    let how = match status.and_then(|status| status.code()) {
        _ if told => "closed its output and had to be ended".to_owned(),
        Some(code) if code > 128 => format!("was ended by signal {}", code - 128),
        Some(code) => format!("left with exit code {code}"),
        None => "was killed".to_owned(),
    };
    match last_words {
        Some(words) => format!("{how}; its last words: {words}"),
        None => how,
    }
}
