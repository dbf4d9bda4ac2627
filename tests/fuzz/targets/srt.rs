//! Datagrams of SRT: packets, handshakes, keys and stream ids of both sides, and a call from its handshake on.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use voyandz::link::srt::wire::{
    Outbox, Sequence,
    caller::{Caller, Offer},
    handshake::{self, Handshake, Party},
    key::{KeyLength, Keys, Passphrase},
    packet::{self, Body},
    stream_id::StreamId,
};

fuzz_target!(|data: &[u8]| {
    if let Ok(Handshake::Conclusion { extensions, .. }) = handshake::parse(data) {
        let _ = (extensions.check(), StreamId::parse(&extensions.stream_id));
    }
    let passphrase = Passphrase::new("correct horse");
    let keys = passphrase.and_then(|passphrase| Keys::generate(passphrase, KeyLength::Aes128).ok());
    if let Some(mut keys) = keys.clone() {
        let _ = keys.take(data);
    }
    let (mut now, mut out, mut delivered) = (Instant::now(), Outbox::default(), Vec::new());
    let own = Party { socket: 7, first: Sequence::new(1), window: 8192 };
    let offer = Offer { stream_id: "x".to_owned(), latency: Duration::from_millis(120), keys, key_refresh: 256 };
    let mut caller = Caller::new(own, SocketAddr::from(([127, 0, 0, 1], 9)), offer, now);
    let mut connection = None;
    // The first byte of each piece is its length.
    let mut rest = data;
    while let Some((length, behind)) = rest.split_first() {
        let (piece, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        now += Duration::from_millis(u64::from(*length));
        let Some(mut packet) = packet::parse(piece) else { continue };
        if matches!(packet.body, Body::Handshake(_)) {
            packet.destination = own.socket;
        }
        match &mut connection {
            None => connection = caller.handle(&packet, now, &mut out).ok().flatten(),
            Some(connection) => {
                connection.handle(&packet, now, &mut out, &mut delivered);
                connection.tick(now, &mut out, &mut delivered);
            }
        }
        out.clear();
        delivered.clear();
    }
});
