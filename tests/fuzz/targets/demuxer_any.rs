#![no_main]
//! Whatever a publisher sends is taken apart or refused.

use libfuzzer_sys::fuzz_target;
use voyandz::media::unpack::AnyDemuxer;

fuzz_target!(|bytes: &[u8]| {
    let (mut demuxer, mut out) = (AnyDemuxer::new(), Vec::new());
    for piece in bytes.chunks(97) {
        let _ = demuxer.push(piece, &mut out);
    }
    let _ = demuxer.finish(&mut out);
});
