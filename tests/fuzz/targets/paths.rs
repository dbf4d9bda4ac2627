//! Paths of requests: those of the API, of segments, and of files.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::{Component, Path};
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
        // It leads below its folder, whatever is in it.
        let path = Path::new("/folder").join(text);
        let parts = path.components().skip(2).count();
        assert!(path.starts_with("/folder") && parts == text.split('/').count());
        assert!(path.components().skip(1).all(|part| matches!(part, Component::Normal(_))));
    }
    let _ = File::parse(text);
});
