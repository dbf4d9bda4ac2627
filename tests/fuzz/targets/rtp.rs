#![no_main]

use bytes::Bytes;
use std::time::Duration;
use voyandz::media::rtp::{Description, Encoding, HEADER, Header, Packet, Receiver, interleaved, report};

const FORMATS: [(&str, u32, u16, &str); 14] = [
    ("H264", 90_000, 1, "packetization-mode=1"),
    ("H265", 90_000, 1, ""),
    ("AV1", 90_000, 1, ""),
    ("VP8", 90_000, 1, ""),
    ("VP9", 90_000, 1, ""),
    ("JPEG", 90_000, 1, ""),
    ("MPEG4-GENERIC", 48_000, 2, "sizelength=13;indexlength=3;indexdeltalength=3;config=1190"),
    ("MP4A-LATM", 44_100, 2, "cpresent=0;config=40002420"),
    ("MP4A-LATM", 44_100, 2, ""),
    ("MPA", 90_000, 1, ""),
    ("AC3", 48_000, 2, ""),
    ("OPUS", 48_000, 2, ""),
    ("L24", 48_000, 2, ""),
    ("PCMA", 8000, 1, ""),
];

// The first byte chooses the format. Payloads follow, each behind a byte with its length and one that says how it follows the one before.
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&format, mut rest)) = bytes.split_first() else { return };
    let (name, clock_rate, channels, parameters) = FORMATS[usize::from(format) % FORMATS.len()];
    let encoding = Encoding::parse(name, clock_rate, channels, parameters).unwrap();
    let mut receiver = Receiver::new(vec![Description { encoding, clock_rate, payload_type: 96 }]);
    let (mut sequence, mut timestamp, mut out) = (0u16, 0u32, Vec::new());
    while let Some((&[length, way], after)) = rest.split_first_chunk::<2>() {
        let (payload, after) = after.split_at(usize::from(length).min(after.len()));
        rest = after;
        sequence = sequence.wrapping_add(1 + u16::from(way & 3 == 3));
        timestamp = timestamp.wrapping_add(u32::from(way >> 2 & 3) * 3000);
        let header = Header { payload_type: 96, marker: way & 0x80 != 0, sequence, timestamp, ssrc: 1 };
        let packet = Bytes::from([&header.bytes()[..HEADER], payload].concat());
        receiver.rtp(0, packet, Duration::from_millis(sequence.into()), &mut out);
        receiver.rtcp(0, payload, Duration::from_millis(sequence.into()));
    }
    receiver.finish(&mut out);
    let _ = (Packet::parse(Bytes::copy_from_slice(bytes)), report::parse(bytes));
    interleaved::split(&Bytes::copy_from_slice(bytes)).for_each(drop);
});
