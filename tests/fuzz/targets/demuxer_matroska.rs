#![no_main]

use voyandz::media::demux::Demuxed;
use voyandz::media::matroska::Demuxer;

// The first byte says how long the pieces are.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    assert_eq!(found(bytes, usize::from(size).max(1)), found(bytes, bytes.len().max(1)));
});

fn found(bytes: &[u8], size: usize) -> Vec<Demuxed> {
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    for piece in bytes.chunks(size) {
        demuxer.push(piece, &mut out);
    }
    demuxer.finish(&mut out);
    out
}
