#![no_main]
//! A client of RTMP sends anything, before its handshake or behind it, and whether it may publish or not; and a server from which
//! we play.

use libfuzzer_sys::fuzz_target;
use voyandz::{
    link::rtmp::wire::{
        client::{Client, Purpose, Request},
        handshake::client_hello,
        server::{Event, Server},
        tag_body::TagBody,
    },
    media::flv,
};

fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else { return };
    if how & 3 == 3 {
        return play(bytes, 1 + usize::from(how >> 2));
    }
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
            if let Event::Media(TagBody { kind, time, body }) = event {
                demuxer.message(kind, time, &body, &mut found);
            }
        }
    }
});

fn play(bytes: &[u8], size: usize) {
    let (mut out, mut media) = (Vec::new(), Vec::new());
    let request = Request {
        purpose: Purpose::Play,
        app: "live".to_owned(),
        url: "rtmp://host/live".to_owned(),
        name: "cam0".to_owned(),
        agent: "test".to_owned(),
    };
    let mut client = Client::new(request, &mut out);
    let hello = client_hello();
    let _ = client.push(&hello, &mut out, &mut media);
    let _ = client.push(&hello[1..], &mut out, &mut media);
    let (mut demuxer, mut found) = (flv::Demuxer::new(), Vec::new());
    for piece in bytes.chunks(size) {
        if client.push(piece, &mut out, &mut media).is_err() {
            return;
        }
        for TagBody { kind, time, body } in media.drain(..) {
            demuxer.message(kind, time, &body, &mut found);
        }
    }
}
