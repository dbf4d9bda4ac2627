#![no_main]

mod scan;

use voyandz::media::Container;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scan::scan(Some(Container::Aac), bytes));
