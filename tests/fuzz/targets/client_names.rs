#![no_main]

use voyandz::net::tls::client_names::names;

libfuzzer_sys::fuzz_target!(|certificate: &[u8]| {
    let found = names(certificate);
    assert!(found.len() <= 64 && found.iter().all(|name| (1..=256).contains(&name.len())));
});
