#![no_main]

use voyandz::media::ts::{PACKET, Splicer};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (mut splicer, mut bytes) = (Splicer::new(), bytes.to_vec());
    for (at, piece) in bytes.chunks_mut(7 * PACKET).enumerate() {
        if at % 8 == 7 {
            splicer.restarted(std::time::Duration::from_millis(300));
        }
        splicer.packet(piece);
        assert!(splicer.header().is_none_or(|header| header.len() % PACKET == 0));
        assert!(splicer.skip_notice().is_none_or(|notice| notice.len() % PACKET == 0));
    }
});
