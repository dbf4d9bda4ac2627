#![no_main]

use voyandz::config::{masked, parse, to_yaml};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(config) = parse(text) {
        assert_eq!(parse(&to_yaml(&config)), Ok(config.clone()));
        let _ = masked(&config);
    }
});
