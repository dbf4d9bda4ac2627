#![no_main]

use bytes::BytesMut;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(_)) = voyandz::ipc::frame::decode(&mut buffer) {}
});
