#![no_main]

use voyandz::media::demux::Demuxed;
use voyandz::media::ogg::Demuxer;

// The first byte says how long the pieces are. Pages get right checksums: else nearly all of them are only passed over.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let bytes = sealed(bytes.to_vec());
    assert_eq!(found(&bytes, usize::from(size).max(1)), found(&bytes, bytes.len().max(1)));
});

fn found(bytes: &[u8], size: usize) -> Vec<Demuxed> {
    let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
    for piece in bytes.chunks(size) {
        demuxer.push(piece, &mut out);
    }
    demuxer.finish(&mut out);
    out
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = 0;
    while at + 27 <= bytes.len() {
        let lacing = usize::from(bytes[at + 26]);
        let content = bytes
            .get(at + 27..at + 27 + lacing)
            .map(|lacing| lacing.iter().map(|length| usize::from(*length)).sum::<usize>());
        let Some(page) = content.and_then(|content| bytes.get_mut(at..at + 27 + lacing + content)) else { break };
        if !page.starts_with(b"OggS") {
            at += 1;
            continue;
        }
        page[22..26].fill(0);
        let sum = page.iter().fold(0u32, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| sum << 1 ^ if sum >> 31 == 1 { 0x04c1_1db7 } else { 0 })
        });
        page[22..26].copy_from_slice(&sum.to_le_bytes());
        at += page.len();
    }
    bytes
}
