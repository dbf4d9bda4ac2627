#![no_main]

use voyandz::media::ts::{PACKET, ContinuityRewriter};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut rewriter, mut bytes) = (ContinuityRewriter::new(), bytes.to_vec());
    for (at, piece) in bytes.chunks_mut(7 * PACKET).enumerate() {
        if at % 8 == 7 {
            rewriter.restarted(std::time::Duration::from_millis(300));
        }
        rewriter.packet(piece);
        assert!(rewriter.header().is_none_or(|header| header.len() % PACKET == 0));
        assert!(rewriter.skip_notice().is_none_or(|notice| notice.len() % PACKET == 0));
    }
});
