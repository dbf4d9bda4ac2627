//! What a client of RTSP sends: messages between packets, the ways and addresses they name, and what a publisher announces.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voyandz::output::rtsp::{
    announce::{announced, track_of},
    message::{Parser, Received},
    target::Target,
    transport::{Mode, Transport, Ways},
};

fuzz_target!(|data: &[u8]| {
    // The first byte says how the others are divided.
    let Some((&size, data)) = data.split_first() else { return };
    let mut parser = Parser::default();
    let mut tracks = Vec::new();
    for piece in data.chunks(usize::from(size).max(1)) {
        parser.push(piece);
        loop {
            let request = match parser.take() {
                Ok(Some(Received::Request(request) | Received::Tunnel(request))) => request,
                Ok(Some(_)) => continue,
                Ok(None) => break,
                Err(_) => return,
            };
            if let Some(target) = Target::parse(&request.target) {
                let _ = target.track_number();
            }
            let offers = request.field("transport").unwrap_or(&request.target);
            for mode in [Mode::Play, Mode::Record] {
                let _ = Transport::choose(offers, mode, Ways { has_udp: true, has_multicast: true });
            }
            if let Ok(found) =
                std::str::from_utf8(&request.body).map_err(drop).and_then(|text| announced(text).map_err(drop))
            {
                tracks = found;
            }
            let _ = track_of(&tracks, &request.target);
        }
    }
    let _ = std::str::from_utf8(data).map(announced);
});
