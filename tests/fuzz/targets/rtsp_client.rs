//! What a server of RTSP answers to a push, and the headers of Digest of both sides.
#![no_main]

use libfuzzer_sys::fuzz_target;
use voyandz::{
    access::{
        Secret,
        digest::{Challenge, DigestAnswer, DigestSecret},
    },
    output::rtsp::client::{Client, Offer},
};

fuzz_target!(|data: &[u8]| {
    let mut out = Vec::new();
    let offer = Offer {
        url: "rtsp://host/path".to_owned(),
        user: Some(("user".to_owned(), Secret::new("password"))),
        agent: "fuzz".to_owned(),
        description: "v=0\r\n".to_owned(),
        tracks: 2,
        random: "r".to_owned(),
    };
    let mut client = Client::new(offer, &mut out);
    for piece in data.chunks(64) {
        if client.push(piece, &mut out).is_err() {
            break;
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(challenge) = Challenge::parse(text) {
        challenge.answer(("user", "password"), "ANNOUNCE", "rtsp://host/path", "own");
    }
    if let Some(answer) = DigestAnswer::parse(text) {
        DigestSecret::of("user", "password").is_answered(&answer, "DESCRIBE");
    }
    let _ = DigestSecret::parse(text);
});
