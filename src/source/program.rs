//! A program and its guard: started with inputs from fan-outs, and ended in bounded time.

use super::{
    status::Status,
    stderr_log::{StderrLog, StderrReader, StderrTail},
    unit_id::UnitId,
};
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

/// Size of the pipe between a program and us, so that a short stall of ours does not stall an encoder.
const PIPE_SIZE: usize = 1 << 20;
/// How long the guard may take beyond its own grace period.
const GUARD_MARGIN: Duration = Duration::from_millis(500);
/// How long a program may live after it closed its standard output.
const AFTER_END: Duration = Duration::from_secs(2);

/// A program that can be run, any number of times.
#[derive(Debug, Clone)]
pub struct Program {
    /// The unit that it is of.
    pub id: UnitId,
    /// Program and arguments.
    pub argv: Arc<[String]>,
    /// What it reads on its standard input.
    pub stdin: Option<FanOut>,
    /// What it reads from the files of [`guard::input_file`].
    pub inputs: Vec<FanOut>,
    /// The log of its standard error output, over all its runs.
    pub stderr_log: StderrLog,
    /// Where its process and its lines are reported.
    pub status: Status,
    /// Where its standard error output is kept, beside the log.
    pub stderr_file: Option<PathBuf>,
    /// Memory in bytes that it may use with all its children.
    pub memory_max: Option<u64>,
}

/// A program that runs. When this is dropped, its guard ends it.
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
    /// `None` when it is unknown.
    status: Option<ExitStatus>,
    /// It did not exit by itself.
    was_ended: bool,
    /// The end of its standard error output.
    pub stderr: StderrTail,
}

impl Program {
    /// Whether it reads media of ours.
    pub fn reads(&self) -> bool {
        self.stdin.is_some() || !self.inputs.is_empty()
    }

    /// Starts it. Returns its standard output beside it.
    ///
    /// # Errors
    /// When the system has no process, descriptor or memory left. A missing program is no error here: its guard exits with
    /// one.
    pub fn start(&self) -> std::io::Result<(Running, ChildStdout)> {
        // Before it runs, so that it gets the first byte of a feed that starts with it.
        let entry = Entry { join: Join::Keyframe, header: true };
        let stdin_packets = self.stdin.as_ref().map(|packets| packets.subscribe_unheld(entry));
        let (mut ends, mut feeds) = (Vec::new(), Vec::new());
        for packets in &self.inputs {
            let (end, input) = pipe_with(PipeFlags::CLOEXEC)?;
            ends.push(end);
            feeds.push((pipe::Sender::from_owned_fd(input)?, packets.subscribe_unheld(entry)));
        }
        let mut command = guard::command(&self.argv, ends, self.memory_max)?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if self.stdin.is_some() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn()?;
        // The command holds the read ends of the inputs; only the program may keep them open.
        drop(command);
        let group = child.id().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        self.status.set_pid(child.id());
        let stderr = child.stderr.take().map(|output| {
            let reader = StderrReader::of_program(
                self.id.clone(),
                self.stderr_log.clone(),
                self.status.clone(),
                self.stderr_file.clone(),
            );
            tokio::spawn(reader.read(output).in_current_span())
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
    /// Waits for a program that has closed its output. One that does not exit is ended.
    pub async fn leave(mut self) -> Exit {
        match tokio::time::timeout(AFTER_END, self.child.wait()).await {
            Ok(status) => self.reap(status.ok(), false).await,
            Err(_) => {
                let status = self.end_guard().await;
                self.reap(status, true).await
            }
        }
    }

    /// Ends it: SIGTERM, then SIGKILL. Its output should be read meanwhile, so that it does not fail on a closed pipe.
    pub async fn end(mut self) -> Exit {
        let status = self.end_guard().await;
        self.reap(status, true).await
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

    async fn reap(&mut self, status: Option<ExitStatus>, was_ended: bool) -> Exit {
        if let Some(group) = self.group.take() {
            // Its remaining processes, if the guard itself was killed.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let stderr = match self.stderr.take() {
            Some(task) => task.await.unwrap_or_default(),
            None => StderrTail::default(),
        };
        Exit { status, was_ended, stderr }
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
    /// Whether it exited by itself, with code 0.
    pub fn is_success(&self) -> bool {
        !self.was_ended && self.status.is_some_and(|status| status.success())
    }

    /// How it ended, as a phrase that follows the name of the program.
    pub fn reason(&self) -> String {
        let how = match self.status.and_then(|status| status.code()) {
            _ if self.was_ended => "closed its output and did not exit".to_owned(),
            Some(code) if code > 128 => format!("was killed by signal {}", code - 128),
            Some(code) => format!("exited with code {code}"),
            None => "was killed".to_owned(),
        };
        match self.stderr.last_line() {
            Some(line) => format!("{how}; last line: {line}"),
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
