#![no_main]

use voyandz::access::{Accepted, Permission, Presented, client, without_link};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (query, headers) = text.split_once('\n').unwrap_or((text, ""));
    for kinds in 0..8u8 {
        let accepted = Accepted { basic: kinds & 1 > 0, bearer: kinds & 2 > 0, links: kinds & 4 > 0 };
        let _ = Presented::read(accepted, query, headers.lines().map(str::as_bytes));
    }
    let _ = (without_link(text), Permission::parse(query));
    let proxies = ["10.0.0.0/8".parse().unwrap()];
    let _ = client(&proxies, [10, 0, 0, 1].into(), headers.lines().map(str::as_bytes));
    let peer = [192, 0, 2, 1].into();
    assert_eq!(client(&proxies, peer, headers.lines().map(str::as_bytes)), peer);
});
