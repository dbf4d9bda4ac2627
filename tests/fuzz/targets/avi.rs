//! What is left of a recording in AVI: any bytes in place of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use voyandz::media::avi;

fuzz_target!(|bytes: &[u8]| {
    let found = avi::scan(bytes.len() as u64, |at, length| {
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Some(bytes[from..(from + length).min(bytes.len())].to_vec())
    });
    if let Some(found) = found {
        assert!(found.end <= bytes.len() as u64);
    }
});
