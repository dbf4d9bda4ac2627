#![no_main]

use voyandz::media::demux::Demuxed;
use voyandz::media::mux::Muxed;
use voyandz::media::ts::{Demuxer, PACKET, Muxer};

// The first byte says how long the pieces are. What comes of them is the same, and can be muxed again.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let found = demux(bytes, usize::from(size).max(1));
    assert_eq!(found, demux(bytes, bytes.len().max(1)));
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    for found in &found {
        match found {
            Demuxed::Tracks(tracks) => muxer.set_tracks(tracks.tracks(), &mut out),
            Demuxed::Sample(sample) => muxer.push(sample, &mut out),
        }
    }
    for muxed in out {
        if let Muxed::Packet(packet) = muxed {
            assert!(!packet.is_empty() && packet.len() % PACKET == 0);
        }
    }
});

fn demux(bytes: &[u8], size: usize) -> Vec<Demuxed> {
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    for piece in bytes.chunks(size) {
        demuxer.push(piece, &mut out);
    }
    demuxer.finish(&mut out);
    out
}
