#![no_main]

use voyandz::media::{Container, codecs, matroska, sniff};

// The first byte says where a second header begins.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&at, bytes)) = bytes.split_first() else { return };
    let (one, other) = bytes.split_at(usize::from(at).min(bytes.len()));
    for container in Container::ALL {
        assert!(codecs(container, bytes).is_none_or(|names| !names.is_empty()));
    }
    assert_eq!(matroska::same_tracks(one, other), matroska::same_tracks(other, one));
    let _ = sniff(bytes, true);
});
