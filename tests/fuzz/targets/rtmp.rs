#![no_main]
//! A client of RTMP sends anything, before its handshake or behind it, and whether it may publish or not.

use libfuzzer_sys::fuzz_target;
use voyandz::{
    media::flv,
    output::rtmp::wire::{
        handshake::client_hello,
        server::{Event, Server},
    },
};

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    let (mut server, mut out, mut events) = (Server::new(), Vec::new(), Vec::new());
    if how & 1 == 1 {
        let hello = client_hello();
        let _ = server.push(&hello, &mut out, &mut events);
        let _ = server.push(&hello[1..], &mut out, &mut events);
    }
    if how & 2 == 2 {
        server.accept_publish(&mut out);
    }
    let (mut demuxer, mut found) = (flv::Demuxer::new(), Vec::new());
    for piece in bytes.chunks(1 + usize::from(how >> 2)) {
        if server.push(piece, &mut out, &mut events).is_err() {
            return;
        }
        for event in events.drain(..) {
            if let Event::Media { kind, time, body } = event {
                demuxer.message(kind, time, &body, &mut found);
            }
        }
    }
});
