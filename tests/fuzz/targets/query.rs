#![no_main]

use voyandz::output::{
    hls::{file::File, query as playlist},
    http::query,
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (query, accept) = text.split_once('\n').unwrap_or((text, ""));
    let _ = (query::entry(query), query::interval(query), query::as_text(query), query::raw(query));
    for from_path in [None, Some(query::StillFormat::Jpeg), Some(query::StillFormat::Png)] {
        let _ = query::still(query, from_path, accept);
    }
    let _ = (playlist::asked(query), File::parse(query));
});
