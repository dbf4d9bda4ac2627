#![no_main]

use voyandz::net::proxy_header::{binary, text};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = text(bytes);
    if let [command, family, rest @ ..] = bytes {
        let _ = binary(*command, *family, rest);
    }
});
