//! What the worker reads from its two sockets: a thread each.

use super::event::{Event, Events};
use crate::ipc::{Frame, LogLevel, control, frame};
use bytes::BytesMut;
use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
};

/// What one read from a socket asks for at least.
const READ: usize = 64 << 10;

/// Starts the thread that turns control bytes into events.
pub(super) fn read_control(mut socket: UnixStream, events: Events) -> io::Result<()> {
    std::thread::Builder::new().name("control-in".into()).spawn(move || {
        let mut buffer = BytesMut::new();
        let fault = 'reading: loop {
            loop {
                match control::decode(&mut buffer) {
                    Ok(Some(message)) => events.send(Event::Control(message)),
                    Ok(None) => break,
                    Err(error) => break 'reading Some(error.to_string()),
                }
            }
            match read_more(&mut socket, &mut buffer) {
                Ok(0) => break None,
                Ok(_) => {}
                Err(error) => break Some(error.to_string()),
            }
        };
        if let Some(fault) = fault {
            events.log(LogLevel::Error, None, format!("control socket: {fault}"));
        }
        events.send(Event::Closed);
    })?;
    Ok(())
}

/// Starts the thread that hands media from the server to `take`.
pub(super) fn read_media(
    mut socket: UnixStream,
    events: Events,
    mut take: impl FnMut(Frame) + Send + 'static,
) -> io::Result<()> {
    std::thread::Builder::new().name("media-in".into()).spawn(move || {
        let mut buffer = BytesMut::new();
        loop {
            loop {
                match frame::decode(&mut buffer) {
                    Ok(Some(frame)) => take(frame),
                    Ok(None) => break,
                    Err(error) => {
                        events.log(LogLevel::Error, None, format!("media socket: {error}"));
                        return events.send(Event::Closed);
                    }
                }
            }
            if !matches!(read_more(&mut socket, &mut buffer), Ok(1..)) {
                return events.send(Event::Closed);
            }
        }
    })?;
    Ok(())
}

/// One read into the room that `buffer` has, or into new room.
fn read_more(socket: &mut UnixStream, buffer: &mut BytesMut) -> io::Result<usize> {
    let filled = buffer.len();
    let room = (buffer.capacity() - filled).max(READ);
    buffer.resize(filled + room, 0);
    let read = loop {
        match socket.read(buffer.get_mut(filled..).unwrap_or_default()) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other,
        }
    };
    buffer.truncate(filled + read.as_ref().copied().unwrap_or(0));
    read
}
