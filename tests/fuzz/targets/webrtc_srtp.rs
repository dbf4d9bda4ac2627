#![no_main]

use std::{sync::LazyLock, time::Instant};
use voyandz::{
    media::MediaKind,
    net::Outbox,
    output::webrtc::{
        sender::{Sender, TrackSetup},
        srtp::{Encryptor, Keys, Profile, Side},
    },
};

static NOW: LazyLock<Instant> = LazyLock::new(Instant::now);

// What a viewer sends: as it is, and encrypted with its keys. The first byte chooses the cipher.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&first, bytes)) = bytes.split_first() else { return };
    let profile = [Profile::Aes128CmSha1, Profile::Aes128Gcm, Profile::Aes256Gcm][usize::from(first) % 3];
    let keys = Keys::new(profile, &[7; 88]).unwrap();
    let video = TrackSetup {
        kind: MediaKind::Video,
        ssrc: 1,
        clock: 90_000,
        payload_type: 96,
        again: Some((2, 97)),
        mid: None,
        name: "name".to_owned(),
    };
    let mut sender = Sender::new(&keys, Side::Server, &[video], (*NOW, 0)).unwrap();
    let mut viewer = Encryptor::new(&keys, Side::Client).unwrap();
    let mut out = Outbox::default();
    sender.receive(bytes, *NOW, &mut out);
    let mut sealed = Vec::new();
    viewer.rtcp(bytes, &mut sealed);
    sender.receive(&sealed, *NOW, &mut out);
});
