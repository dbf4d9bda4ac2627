#![no_main]

use bytes::Bytes;
use std::time::Duration;
use voyandz::media::rtp::{
    Header,
    fec::{Decoder, Encoder, Matrix},
};

// The first two bytes are the matrix. Each byte behind them is the fate of a datagram, or how many bytes of what follows come in its place.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[columns, rows], mut rest)) = bytes.split_first_chunk::<2>() else { return };
    let (columns, rows) = (columns % 20 + 1, rows % 20 + 1);
    let mut encoder = Encoder::new(Matrix { columns, rows, protects_rows: rest.len() % 2 == 0 }, [0, 0]);
    let (mut decoder, mut made, mut recovered) = (Decoder::default(), Vec::new(), Vec::new());
    let (mut sequence, mut sent, mut has_foreign) = (65_000_u16, Vec::new(), false);
    while let Some((&fate, after)) = rest.split_first() {
        rest = after;
        sequence = sequence.wrapping_add(1);
        let now = Duration::from_millis(sequence.into());
        let header = Header { payload_type: 33, marker: false, sequence, timestamp: 0, ssrc: 1 };
        let payload = vec![fate; usize::from(fate) + 1];
        let packet = Bytes::from([&header.bytes()[..], &payload].concat());
        encoder.push(&packet, (sequence, 0), &mut made);
        sent.push(packet.clone());
        match fate {
            0..0x80 => decoder.media(&packet, (sequence, 1), &mut recovered),
            0x80..0xc0 => {}
            0xc0.. => {
                let (foreign, after) = rest.split_at(usize::from(fate & 0x3f).min(rest.len()));
                (rest, has_foreign) = (after, true);
                decoder.protection(foreign, now, &mut recovered);
            }
        }
        for (_, protection) in made.drain(..) {
            decoder.protection(&protection, now, &mut recovered);
        }
        for packet in recovered.drain(..) {
            assert!(has_foreign || sent.contains(&packet));
        }
        let _ = (decoder.patience(now), decoder.given_up(now));
    }
});
