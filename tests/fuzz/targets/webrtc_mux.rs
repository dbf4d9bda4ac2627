#![no_main]

use std::net::SocketAddr;
use voyandz::output::webrtc::mux::{Mux, SessionId, Source};

libfuzzer_sys::fuzz_target!(|datagrams: Vec<&[u8]>| {
    let mut mux = Mux::default();
    mux.add(SessionId(1), "name");
    for (number, datagram) in datagrams.into_iter().enumerate() {
        let source = Source { address: SocketAddr::from(([192, 0, 2, 1], number as u16)), is_tcp: number % 2 == 0 };
        let _ = mux.route(source, datagram);
    }
    mux.remove(SessionId(1));
});
