#![no_main]

use bytes::BytesMut;
use voyandz::ipc::{FromWorker, ToWorker, control::decode};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(_)) = decode::<ToWorker>(&mut buffer) {}
    let mut buffer = BytesMut::from(bytes);
    while let Ok(Some(_)) = decode::<FromWorker>(&mut buffer) {}
});
