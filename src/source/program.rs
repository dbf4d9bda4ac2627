//! A program and its guard: started with inputs from fan-outs, and ended in bounded time.

use crate::{
    stream::{Delivery, Entry, FanOut, Join, Reader},
    sys::guard,
};
use rustix::{
    pipe::{PipeFlags, pipe_with},
    process::{Pid, Signal, kill_process, kill_process_group},
};
use std::{path::PathBuf, process::ExitStatus, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt},
    net::unix::pipe,
    process::{Child, ChildStdout},
    task::JoinHandle,
};
use tracing::Instrument;

use super::{
    status::Status,
    stderr_log::{self, StderrLog, StderrReader, StderrTail},
};

/// Size of the pipe between a program and us, so that a short stall of ours does not stall an encoder.
const PIPE_SIZE: usize = 1 << 20;
/// What the guard may take beyond its own grace.
const GUARD_MARGIN: Duration = Duration::from_millis(500);
/// How long a program may live after it closed its standard output.
const AFTER_END: Duration = Duration::from_secs(2);

/// A program that can be run, any number of times.
#[derive(Debug, Clone)]
pub struct Program {
    /// For the log: `feed cam0`.
    pub name: Arc<str>,
    /// Program and arguments.
    pub argv: Arc<[String]>,
    /// What it reads on its standard input.
    pub stdin: Option<FanOut>,
    /// What it reads from the files of [`guard::input_file`].
    pub inputs: Vec<FanOut>,
    /// What it says in the log, over all its runs.
    pub stderr_log: StderrLog,
    /// Is told its process and what it says.
    pub status: Status,
    /// Where its standard error output is kept, beside the log.
    pub stderr_file: Option<PathBuf>,
    /// Memory in bytes that it may have with all that it starts.
    pub memory_max: Option<u64>,
}

/// A program that runs. Dropped, it is told to end, and its guard sees to it.
#[derive(Debug)]
pub struct Running {
    child: Child,
    /// The guard, and the process group that it leads; `None` when there is nothing left to end.
    group: Option<Pid>,
    stderr: Option<JoinHandle<StderrTail>>,
    inputs: Vec<JoinHandle<()>>,
}

/// How a program ended.
#[derive(Debug)]
pub struct Exit {
    /// `None` when the system did not tell.
    status: Option<ExitStatus>,
    /// It closed its output and did not leave by itself.
    was_told: bool,
    /// What it said last.
    pub words: StderrTail,
}

impl Program {
    /// Whether it is given media to read.
    pub fn reads(&self) -> bool {
        self.stdin.is_some() || !self.inputs.is_empty()
    }

    /// Starts it. Returns its standard output beside it.
    ///
    /// # Errors
    /// When the system has no process, descriptor or memory left. A program that is not there is no error here: its
    /// guard ends and says so.
    pub fn start(&self) -> std::io::Result<(Running, ChildStdout)> {
        // Before it runs, so that it gets a feed that starts with it from its first byte on.
        let entry = Entry { join: Join::Keyframe, header: true };
        let stdin_packets = self.stdin.as_ref().map(|packets| packets.subscribe(entry));
        let (mut ends, mut feeds) = (Vec::new(), Vec::new());
        for packets in &self.inputs {
            let (end, input) = pipe_with(PipeFlags::CLOEXEC)?;
            ends.push(end);
            feeds.push((pipe::Sender::from_owned_fd(input)?, packets.subscribe(entry)));
        }
        let mut command = guard::command(&self.argv, ends, self.memory_max)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn()?;
        // The command holds the ends of the inputs; the program's are to be the only ones.
        drop(command);
        let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        self.status.set_pid(child.id());
        let heard = StderrReader { voice: self.stderr_log.clone(), status: self.status.clone() };
        let stderr = child.stderr.take().map(|output| {
            tokio::spawn(stderr_log::keep(self.name.clone(), output, heard, self.stderr_file.clone()).in_current_span())
        });
        let mut inputs: Vec<_> = feeds.into_iter().map(|(input, packets)| tokio::spawn(feed(input, packets))).collect();
        if let (Some(stdin), Some(packets)) = (child.stdin.take(), stdin_packets) {
            inputs.push(tokio::spawn(feed(stdin, packets)));
        }
        let stdout = child.stdout.take();
        let running = Running { child, group, stderr, inputs };
        let stdout = stdout.ok_or_else(|| std::io::Error::other("it has no output"))?;
        // A smaller pipe works as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&stdout, PIPE_SIZE);
        Ok((running, stdout))
    }
}

impl Running {
    /// Waits for a program that has closed its output. One that does not leave is ended.
    pub async fn leave(mut self) -> Exit {
        match tokio::time::timeout(AFTER_END, self.child.wait()).await {
            Ok(status) => self.bury(status.ok(), false).await,
            Err(_) => {
                let status = self.end_guard().await;
                self.bury(status, true).await
            }
        }
    }

    /// Ends it: SIGTERM, then SIGKILL. Its output should be taken meanwhile, so that it does not stumble over a closed
    /// pipe.
    pub async fn end(mut self) -> Exit {
        let status = self.end_guard().await;
        self.bury(status, true).await
    }

    /// Ends the guard, which ends the program; the whole group when it does not.
    async fn end_guard(&mut self) -> Option<ExitStatus> {
        if let Some(pid) = self.group {
            let _ = kill_process(pid, Signal::TERM);
        }
        if let Ok(status) = tokio::time::timeout(2 * guard::GRACE + GUARD_MARGIN, self.child.wait()).await {
            return status.ok();
        }
        if let Some(pid) = self.group {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        self.child.wait().await.ok()
    }

    async fn bury(&mut self, status: Option<ExitStatus>, was_told: bool) -> Exit {
        if let Some(group) = self.group.take() {
            // What is left of it when the guard itself was killed.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let words = match self.stderr.take() {
            Some(task) => task.await.unwrap_or_default(),
            None => StderrTail::default(),
        };
        Exit { status, was_told, words }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.inputs.iter().for_each(JoinHandle::abort);
        if let Some(pid) = self.group {
            let _ = kill_process(pid, Signal::TERM);
        }
    }
}

impl Exit {
    /// Whether it left by itself, with exit code 0.
    pub fn is_success(&self) -> bool {
        !self.was_told && self.status.is_some_and(|status| status.success())
    }

    /// In words that follow the name of the program.
    pub fn reason(&self) -> String {
        let how = match self.status.and_then(|status| status.code()) {
            _ if self.was_told => "closed its output and had to be ended".to_owned(),
            Some(code) if code > 128 => format!("was ended by signal {}", code - 128),
            Some(code) => format!("left with exit code {code}"),
            None => "was killed".to_owned(),
        };
        match self.words.line() {
            Some(words) => format!("{how}; its last words: {words}"),
            None => how,
        }
    }
}

/// Writes packets to an input of a program. Ends when the program no longer reads.
async fn feed(mut input: impl AsyncWrite + Unpin, mut packets: Reader) {
    loop {
        let packet = match packets.next().await {
            Delivery::Aside(packet) | Delivery::Packet(packet) => packet,
            Delivery::Gap(_) => continue,
            Delivery::End => return,
        };
        if input.write_all(&packet.payload()).await.is_err() {
            return;
        }
    }
}
