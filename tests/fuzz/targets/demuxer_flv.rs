#![no_main]

use voyandz::media::demux::Demuxed;
use voyandz::media::flv::{Demuxer, Muxer};

// The first byte says how long the pieces are. What is found goes through the muxer, and must not depend on the pieces.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&size, bytes)) = bytes.split_first() else { return };
    let found = |size: usize| {
        let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
        bytes.chunks(size.max(1)).for_each(|piece| demuxer.push(piece, &mut out));
        demuxer.finish(&mut out);
        (out, demuxer.unsupported())
    };
    let whole = found(bytes.len());
    assert!(found(size.into()) == whole);
    let (mut muxer, mut out) = (Muxer::new(), Vec::new());
    for it in whole.0 {
        match it {
            Demuxed::Tracks(set) => muxer.set_tracks(set.tracks(), &mut out),
            Demuxed::Sample(sample) => {
                assert!(sample.pts >= sample.dts);
                muxer.push(&sample, &mut out);
            }
        }
    }
});
