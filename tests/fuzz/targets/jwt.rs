#![no_main]

use std::time::SystemTime;
use voyandz::access::{JwtRules, KeySet, Secret};

/// The key of RFC 8037, appendix A.2.
const KEYS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (token, keys) = text.split_once('\n').unwrap_or((text, ""));
    let token = Secret::new(token);
    for keys in [KEYS, keys] {
        if let Ok(keys) = KeySet::parse(keys.as_bytes()) {
            let _ = keys.verify(&token, &JwtRules::default(), SystemTime::UNIX_EPOCH);
        }
    }
});
