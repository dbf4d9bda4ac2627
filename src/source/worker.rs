//! A worker process as the server sees it: two sockets, a pid, and a bounded end.

use super::stderr_log::StderrReader;
use crate::{
    ipc::{self, FrameHead, FrameKind, FromWorker, ToWorker, control, frame},
    sys::{guard::own_file, orphans},
};
use bytes::{Buf, Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use std::{os::fd::OwnedFd, os::unix::net::UnixStream as StdSocket, process::Stdio, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
};

/// How long each step of ending a worker may take: asking, SIGTERM, SIGKILL.
const STEP: Duration = Duration::from_secs(2);
/// A worker that has not said hello by then is broken.
const HELLO: Duration = Duration::from_secs(10);
/// Buffer of the media socket, each way: a large keyframe fits, so that the worker's writer does not wait.
const SOCKET_BUFFER: usize = 1 << 20;
/// Control messages on their way to a worker. The group sends a handful at a time; a worker that does not read them hangs.
const MESSAGES: usize = 256;
/// Media frames on their way to a worker, beyond what the socket holds.
const FRAMES: usize = 32;

/// A worker process that has said hello.
#[derive(Debug)]
pub struct Worker {
    child: Child,
    pid: u32,
    control: mpsc::Sender<ToWorker>,
    events: mpsc::Receiver<FromWorker>,
    media: Option<OwnedReadHalf>,
    sender: MediaSender,
}

/// Sends media to a worker. Clones share the socket; each frame is written whole.
#[derive(Debug, Clone)]
pub struct MediaSender(mpsc::Sender<([u8; frame::HEAD], Bytes)>);

impl Worker {
    /// Starts a worker process and waits until it is ready.
    ///
    /// # Errors
    /// When the process cannot be started or does not say hello in time.
    pub async fn spawn() -> std::io::Result<Self> {
        let (control, its_control) = StdSocket::pair()?;
        let (media, its_media) = StdSocket::pair()?;
        for socket in [&media, &its_media] {
            let socket = socket2::SockRef::from(socket);
            // The kernel's default works too, with more system calls.
            let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
            let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
        }
        let mut command = Command::new(own_file()?);
        // Messages of GStreamer are recognised by their English text, and logged.
        command.env("LC_ALL", "C.UTF-8").env(orphans::MARK, orphans::mark());
        command.arg("worker").process_group(0).kill_on_drop(true);
        command.stdin(OwnedFd::from(its_control)).stdout(OwnedFd::from(its_media)).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        // The command holds the worker's ends of the sockets; they must close here so that ours see the worker exit.
        drop(command);
        let pid = child.id().unwrap_or_default();
        if let Some(output) = child.stderr.take() {
            tokio::spawn(StderrReader::of_worker(pid).read(output));
        }
        let (events_in, events) = mpsc::channel(MESSAGES);
        let (control_in, control_out) = mpsc::channel(MESSAGES);
        let (reader, writer) = to_tokio(control)?.into_split();
        tokio::spawn(read_control(reader, events_in));
        tokio::spawn(write_control(writer, control_out));
        let (media, sender) = to_tokio(media)?.into_split();
        let (frames_in, frames) = mpsc::channel(FRAMES);
        tokio::spawn(write_media(sender, frames));
        let sender = MediaSender(frames_in);
        let mut worker = Self { child, pid, control: control_in, events, media: Some(media), sender };
        match tokio::time::timeout(HELLO, worker.events.recv()).await {
            Ok(Some(FromWorker::Hello { version: ipc::VERSION })) => Ok(worker),
            Ok(Some(_)) => Err(std::io::Error::other(
                "the worker has another version of the protocol: was this program's file replaced?",
            )),
            Ok(None) => Err(std::io::Error::other("the worker ended before it was ready")),
            Err(_) => Err(std::io::Error::other("the worker was not ready in time")),
        }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a message. `false` when the worker does not take messages any more.
    pub fn send(&self, message: ToWorker) -> bool {
        self.control.try_send(message).is_ok()
    }

    /// The next message of the worker; `None` when it is gone. Cancel-safe.
    pub async fn event(&mut self) -> Option<FromWorker> {
        self.events.recv().await
    }

    /// Sends a question and waits for the answer, for which `answer` has a value; other messages are dropped. `None` when the worker is gone or
    /// does not answer in this time. Cancel-safe.
    pub async fn ask<T>(
        &mut self,
        question: ToWorker,
        within: Duration,
        answer: impl Fn(FromWorker) -> Option<T>,
    ) -> Option<T> {
        self.send(question);
        let answered = async {
            loop {
                if let Some(found) = answer(self.event().await?) {
                    return Some(found);
                }
            }
        };
        tokio::time::timeout(within, answered).await.ok().flatten()
    }

    /// The media that it sends; `None` the second time.
    pub fn take_media(&mut self) -> Option<OwnedReadHalf> {
        self.media.take()
    }

    /// A handle that sends it media.
    pub fn sender(&self) -> MediaSender {
        self.sender.clone()
    }

    /// Whether the process still runs.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Ends the worker: asks, sends SIGTERM, kills its process group. Returns how it ended.
    pub async fn end(mut self) -> String {
        self.send(ToWorker::Exit);
        self.events.close();
        let pid = Pid::from_raw(i32::try_from(self.pid).unwrap_or_default());
        for signal in [Signal::TERM, Signal::KILL] {
            if let Ok(status) = tokio::time::timeout(STEP, self.child.wait()).await {
                return how(status);
            }
            if let Some(pid) = pid {
                let _ =
                    if signal == Signal::KILL { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
            }
        }
        how(self.child.wait().await)
    }

    /// Kills it now. Returns how it ended, which may be older than the kill.
    pub async fn kill(mut self) -> String {
        if let Some(pid) = Pid::from_raw(i32::try_from(self.pid).unwrap_or_default()) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
        how(self.child.wait().await)
    }

    /// Waits for a worker whose socket closed; kills it when it stays.
    pub async fn reap(mut self) -> String {
        match tokio::time::timeout(STEP / 4, self.child.wait()).await {
            Ok(status) => how(status),
            Err(_) => self.kill().await,
        }
    }
}

impl MediaSender {
    /// Its frames come out of the receiver, in place of a worker.
    #[cfg(test)]
    pub(super) fn of_test() -> (Self, mpsc::Receiver<([u8; frame::HEAD], Bytes)>) {
        let (to, sent) = mpsc::channel(FRAMES);
        (Self(to), sent)
    }

    /// Sends one frame; waits while the worker is slow. Cancel-safe: the frame is sent whole or not at all.
    ///
    /// # Errors
    /// When the worker is gone.
    pub async fn send(
        &self,
        kind: FrameKind,
        channel: u32,
        discontinuity: bool,
        payload: Bytes,
    ) -> std::io::Result<()> {
        let head = FrameHead { discontinuity, ..FrameHead::new(kind, channel) }.encode(payload.len());
        self.0.send((head, payload)).await.map_err(|_| std::io::ErrorKind::BrokenPipe.into())
    }
}

fn how(status: std::io::Result<std::process::ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status.map(|status| (status.code(), status.signal())) {
        Ok((Some(code), _)) => format!("exited with code {code}"),
        Ok((_, Some(signal))) => format!("was killed by signal {signal}"),
        _ => "is gone".to_owned(),
    }
}

fn to_tokio(socket: StdSocket) -> std::io::Result<UnixStream> {
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)
}

async fn read_control(mut socket: OwnedReadHalf, events: mpsc::Sender<FromWorker>) {
    let mut buffer = BytesMut::new();
    loop {
        match control::decode(&mut buffer) {
            Ok(Some(message)) => {
                if events.send(message).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                if !matches!(socket.read_buf(&mut buffer).await, Ok(1..)) {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "invalid message from worker");
                return;
            }
        }
    }
}

async fn write_control(mut socket: OwnedWriteHalf, mut messages: mpsc::Receiver<ToWorker>) {
    while let Some(message) = messages.recv().await {
        let Ok(bytes) = control::encode(&message) else { continue };
        if socket.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn write_media(mut socket: OwnedWriteHalf, mut frames: mpsc::Receiver<([u8; frame::HEAD], Bytes)>) {
    while let Some((head, payload)) = frames.recv().await {
        let mut pieces = Buf::chain(Buf::chain(&head[..], payload.as_ref()), &frame::TAIL[..]);
        if socket.write_all_buf(&mut pieces).await.is_err() {
            return;
        }
    }
}
