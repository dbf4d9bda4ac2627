#![no_main]

use voyandz::media::mp4::Demuxer;

// The same bytes in one piece and in small ones.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut found = [bytes.len().max(1), 7].map(|size| {
        let (mut demuxer, mut out) = (Demuxer::new(), Vec::new());
        bytes.chunks(size).for_each(|piece| demuxer.push(piece, &mut out));
        demuxer.finish(&mut out);
        let _ = demuxer.unsupported();
        out
    });
    let [whole, pieces] = &mut found;
    assert!(whole == pieces);
});
