//! Paths of requests: those of the API, of segments, and of files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voyandz::{
    api::path,
    output::{hls::file::File, record::playback},
};

fuzz_target!(|text: &str| {
    if let Ok(parts) = path::parts(text) {
        assert_eq!(parts.len(), text.split('/').count());
        // A part that needs no decoding is what it was.
        for (part, written) in parts.iter().zip(text.split('/')).filter(|(_, written)| !written.contains('%')) {
            assert_eq!(part, written);
        }
    }
    if playback::is_name(text) {
        assert!(text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\'));
    }
    let _ = File::parse(text);
});
