#![no_main]

use voyandz::access::PasswordHash;

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Some(hash) = PasswordHash::parse(text) {
        assert_eq!(hash.text().expose(), text);
    }
});
