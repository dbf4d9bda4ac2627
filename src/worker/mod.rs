//! The worker process: it runs the pipelines of one group of feeds and streams, and is all that names GStreamer.
//!
//! In come [`ToWorker`](crate::ipc::ToWorker) messages and the bytes of feeds whose source is elsewhere; out go
//! packets, stills and [`FromWorker`](crate::ipc::FromWorker) messages. One thread decides ([`group`]), three serve
//! the sockets ([`ipc_reader`], [`ipc_writer`]), one makes stills ([`picture`]); media itself runs in GStreamer's streaming threads from
//! feed ([`feed`]) over tracks ([`track`]) to streams ([`stream`]) and never waits for the server. Whatever may block
//! for ever, like stopping a pipeline, runs on a thread of its own.

mod accepted_caps;
mod branches;
mod caps;
mod clock;
mod complete;
mod default_encoders;
mod encoder;
mod encoder_input;
mod event;
mod exit;
mod feed;
mod group;
mod gst_util;
mod ingest;
mod ipc_reader;
mod ipc_writer;
mod late_join;
mod launch;
mod muxer_options;
mod overlay;
mod picture;
mod probe;
mod resolve;
mod samples;
mod sender;
mod stream;
mod threads;
mod track;
mod track_caps;

mod unpack;
mod web;

#[cfg(test)]
mod tests;

use gstreamer as gst;
use rustix::{fs, io, process, stdio};
use std::{io::Error, os::fd::OwnedFd, os::unix::net::UnixStream, process::ExitCode};

/// Runs this process as a worker: control on descriptor 0, media on descriptor 1. Returns when the server says so or
/// is gone; pipelines that do not stop may still run then, so the caller should exit immediately.
pub fn run() -> ExitCode {
    crate::sys::prefer_for_oom_kill();
    let outcome = die_with_the_server()
        .and_then(|()| take_sockets())
        .and_then(|(control, media)| run_with(UnixStream::from(control), UnixStream::from(media)));
    // Threads that hang in a pipeline must not keep the process.
    std::process::exit(if outcome.is_ok() { 0 } else { 1 })
}

/// Runs a worker on these sockets until the server says `Exit` or closes the control socket.
///
/// # Errors
/// When GStreamer cannot be initialised, or the control socket cannot be written to.
pub fn run_with(control: UnixStream, media: UnixStream) -> Result<(), Error> {
    gst::init().map_err(Error::other)?;
    group::Group::new(control, media)?.run()
}

/// The kernel kills this process when the server's thread that started it is gone.
fn die_with_the_server() -> Result<(), Error> {
    let parent = process::getppid();
    process::set_parent_process_death_signal(Some(process::Signal::KILL))?;
    // It may have died before the call.
    if process::getppid() == parent && parent.is_some() { Ok(()) } else { Err(Error::other("the server is gone")) }
}

/// Takes the sockets away from descriptors 0 and 1, so that a library that prints cannot write into the media.
fn take_sockets() -> Result<(OwnedFd, OwnedFd), Error> {
    let control = io::fcntl_dupfd_cloexec(stdio::stdin(), 3)?;
    let media = io::fcntl_dupfd_cloexec(stdio::stdout(), 3)?;
    let null = fs::open("/dev/null", fs::OFlags::RDWR | fs::OFlags::CLOEXEC, fs::Mode::empty())?;
    stdio::dup2_stdin(&null)?;
    stdio::dup2_stdout(stdio::stderr())?;
    Ok((control, media))
}
