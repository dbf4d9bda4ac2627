//! Joining a running stream: headers, intra-frames, clean decoding from the first byte.

use crate::rig::{
    Dice, SOON, Server, have, log, media, millis, mkv,
    script::{H264, PICTURE, TONE, camera},
    secs, ts,
};
use std::time::{Duration, Instant};
use voyandz::media::{Scanned, Scanner};

/// Streams of our own encoders and one that passes through.
fn studio() -> Server {
    Server::start(&format!(
        "
        feeds:
          raw: {{pipeline: '{PICTURE}', mode: continuous}}
          outside: {{command: {}, mode: continuous}}
        streams:
          own.ts: {{feed: raw, video: {H264}}}
          own.webm: {{feed: raw, video: {{codec: vp8, bitrate: 400k, gop: 50}}}}
          outside.ts: {{feed: outside}}
        ",
        camera(25)
    ))
}

/// Joins `target` many times at random moments of `span` and judges all that was received.
fn join_often(server: &Server, target: &str, joins: usize, trim: impl Fn(&[u8]) -> Vec<u8>) {
    let span = secs(10);
    let mut dice = Dice::new(joins as u64);
    let pauses: Vec<Duration> = (0..joins).map(|_| dice.below(span)).collect();
    let received: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let clients = pauses.iter().map(|pause| {
            scope.spawn(|| {
                std::thread::sleep(*pause);
                let mut answer = server.get(&format!("{target}?header=1&keyframe=1"));
                assert_eq!(answer.status, 200);
                answer.collect(secs(2))
            })
        });
        let clients: Vec<_> = clients.collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    for (at, bytes) in received.iter().enumerate() {
        let (pictures, complaints) = media::pictures(&trim(bytes));
        let what =
            format!("join {at} of {target} after {:?}: {} bytes, {pictures}, {complaints}", pauses[at], bytes.len());
        assert!(complaints.is_empty() && pictures.starts_with('I') && pictures.len() >= 5, "{what}");
    }
}

#[test]
fn d8_join_at_fifty_random_moments_own_ts() {
    if have("ffprobe") {
        let server = studio();
        let _viewer = warmed(&server, "/own.ts");
        join_often(&server, "/own.ts", 50, ts::trim);
    }
}

#[test]
fn d8_join_at_fifty_random_moments_own_webm() {
    if have("ffprobe") {
        let server = studio();
        let _viewer = warmed(&server, "/own.webm");
        join_often(&server, "/own.webm", 50, |bytes| mkv::trim(bytes).to_vec());
    }
}

#[test]
fn d8_join_at_fifty_random_moments_passed_through_ts() {
    if have("ffprobe") {
        let server = studio();
        let _viewer = warmed(&server, "/outside.ts");
        join_often(&server, "/outside.ts", 50, ts::trim);
    }
}

/// A viewer who keeps a stream running.
fn warmed(server: &Server, target: &str) -> crate::rig::Answer {
    let mut viewer = server.get(target);
    viewer.take(20_000, SOON);
    viewer
}

#[test]
fn d8_first_viewer_of_a_cold_stream_joins_cleanly_too() {
    let server = studio();
    for _ in 0..3 {
        let bytes = server.get("/own.ts?header=1&keyframe=1").collect(millis(1500));
        let (pictures, complaints) = media::pictures(&ts::trim(&bytes));
        assert!(pictures.starts_with('I') && complaints.is_empty(), "{pictures}: {complaints}");
    }
}

#[test]
fn d8_intra_frame_is_made_at_once() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams: {{slow.ts: {{feed: cam, video: {{codec: h264, preset: ultrafast, gop: 250}}}}}}
        "
    ));
    let _viewer = warmed(&server, "/slow.ts");
    for _ in 0..5 {
        // Long enough for the last join point to be old.
        let asked = Instant::now();
        let mut answer = server.get("/slow.ts?header=1&keyframe=1");
        answer.take_until(SOON, ts::has_unit);
        assert!(asked.elapsed() < millis(500), "the first picture took {:?}", asked.elapsed());
        answer.collect(secs(2));
    }
}

#[test]
fn d8_next_keyframe_is_waited_for() {
    let server = studio();
    let _viewer = warmed(&server, "/outside.ts");
    let bytes = server.get("/outside.ts?header=1&keyframe=next").collect(secs(2));
    let (pictures, complaints) = media::pictures(&ts::trim(&bytes));
    assert!(pictures.starts_with('I') && complaints.is_empty(), "{pictures}: {complaints}");
    // No burst: what came in two seconds is less than what two seconds have.
    assert!(pictures.len() <= 55, "{} pictures", pictures.len());
}

#[test]
fn d8_sound_alone_starts_at_once() {
    let server = Server::start(&format!(
        "
        feeds: {{mic: {{pipeline: '{TONE}'}}}}
        streams:
          mic.ts: {{feed: mic, audio: {{codec: aac}}}}
          mic.webm: {{feed: mic, audio: {{codec: opus}}, mimetype: audio/webm}}
        "
    ));
    for target in ["/mic.ts", "/mic.webm"] {
        let _viewer = warmed_little(&server, target);
        for query in ["", "?keyframe=1", "?header=1&keyframe=1", "?header=1&keyframe=next"] {
            let asked = Instant::now();
            let mut answer = server.get(&format!("{target}{query}"));
            answer.take(1000, SOON);
            assert!(asked.elapsed() < secs(1), "{target}{query}: {:?}", asked.elapsed());
        }
        let bytes = server.get(&format!("{target}?header=1&keyframe=1")).collect(secs(2));
        let whole = if target.ends_with("ts") { ts::trim(&bytes) } else { mkv::trim(&bytes).to_vec() };
        media::assert_decodes(&whole);
    }
}

fn warmed_little(server: &Server, target: &str) -> crate::rig::Answer {
    let mut viewer = server.get(target);
    viewer.take(2000, SOON);
    viewer
}

#[test]
fn d7_header_comes_first() {
    let server = studio();
    let _viewers = ["/own.ts", "/own.webm", "/outside.ts"].map(|target| warmed(&server, target));
    for target in ["/own.ts", "/outside.ts"] {
        let headers: Vec<Vec<u8>> =
            (0..2).map(|_| server.get(&format!("{target}?header=1")).take(10 * 188, SOON)).collect();
        assert_eq!(ts::pids(&headers[0])[0], 0, "{target} does not begin with the PAT");
        assert!(ts::pids(&headers[0])[1] >= 0x10, "{target}");
        // The tables are the same for all; only their counters may differ.
        let tables = |bytes: &[u8]| {
            bytes[..2 * 188].chunks(188).map(|packet| [&packet[..3], &packet[4..]].concat()).collect::<Vec<_>>()
        };
        assert_eq!(tables(&headers[0]), tables(&headers[1]), "{target}");
    }
    let headers: Vec<Vec<u8>> = (0..2).map(|_| server.get("/own.webm?header=1").take(400, SOON)).collect();
    assert!(headers[0].starts_with(&[0x1a, 0x45, 0xdf, 0xa3]), "{:?}", headers[0][..8].escape_ascii());
    let tracks = headers[0].windows(4).position(|four| four == [0x16, 0x54, 0xae, 0x6b]).expect("no Tracks");
    assert_eq!(headers[0][..tracks], headers[1][..tracks]);
}

#[test]
fn d1_transport_stream_is_clean() {
    if !have("ffmpeg") {
        return;
    }
    let server = studio();
    for target in ["/own.ts", "/outside.ts"] {
        let mut answer = server.get(&format!("{target}?header=1&keyframe=1"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")));
        let bytes = answer.collect(secs(4));
        assert_eq!(ts::continuity(&bytes).0, [""; 0], "{target}");
        media::assert_decodes(&ts::trim(&bytes));
    }
}

#[test]
fn d2_webm_is_clean() {
    if !have("ffmpeg") {
        return;
    }
    let server = studio();
    let mut answer = server.get("/own.webm?header=1&keyframe=1");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/webm")));
    let bytes = answer.collect(secs(3));
    assert_eq!(media::codecs(mkv::trim(&bytes)), ["vp8"]);
    media::assert_decodes(mkv::trim(&bytes));
}

#[test]
fn d34_stream_goes_on_over_the_death_of_its_feed() {
    if !have("ffmpeg") {
        return;
    }
    let server = studio();
    let mut answer = server.get("/outside.ts?header=1&keyframe=1");
    let mut bytes = answer.collect(secs(2));
    for _ in 0..2 {
        let program = server.programs("testsrc").pop().unwrap().pid;
        crate::rig::process::send(program, rustix::process::Signal::KILL);
        bytes.extend(answer.collect(secs(3)));
    }
    let (faults, announced) = ts::continuity(&bytes);
    assert_eq!(faults, [""; 0]);
    assert!(announced > 0, "no discontinuity was announced");
    // ffmpeg goes on decoding: about 6 s of 8 are there, and nothing is damaged.
    let (pictures, complaints) = media::pictures(&ts::trim(&bytes));
    assert!(pictures.len() > 120, "{} pictures", pictures.len());
    assert!(!complaints.contains("decod") && !complaints.contains("corrupt"), "{complaints}");
    drop(answer);
    let line = server.log.wait("request .*path=\"?/outside.ts", SOON);
    assert_eq!(log::field(&line, "status"), "200");
}

/// Streams in containers that a scanner cuts, made by us and by a command.
fn jukebox() -> Server {
    let ffmpeg = |output: &str| {
        format!(
            "[ffmpeg, -v, error, -re, -f, lavfi, -i, 'testsrc=s=320x240:r=25', -re, -f, lavfi, -i, 'sine=r=48000', \
             {output}, -flush_packets, '1', '-']"
        )
    };
    let h264 = "-c:v, libx264, -preset, ultrafast, -tune, zerolatency, -g, '25', -pix_fmt, yuv420p, -c:a, aac";
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
          their-flv: {{command: {}, mode: continuous}}
          their-mp4: {{command: {}, mode: continuous}}
          their-ogg: {{command: {}, mode: continuous}}
          their-mp3: {{command: {}, mode: continuous}}
          their-aac: {{command: {}, mode: continuous}}
          their-flac: {{command: {}, mode: continuous}}
          their-wav: {{command: {}, mode: continuous}}
        streams:
          own.flv: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}
          own.mp4: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}
          usual.mp4: {{feeds: [cam, mic]}}
          their.mp4: {{feed: their-mp4}}
          vp9.mp4: {{feeds: [cam, mic], video: {{codec: vp9, gop: 25}}, audio: {{codec: opus}}}}
          av1.mp4: {{feed: cam, video: {{codec: av1, gop: 25}}}}
          h265.mp4: {{feed: cam, video: {{codec: h265, gop: 25, preset: ultrafast}}}}
          own.ogg: {{feed: mic, audio: {{codec: opus}}}}
          own.mp3: {{feed: mic, audio: {{codec: mp3}}}}
          own.aac: {{feed: mic, audio: {{codec: aac}}}}
          own.flac: {{feed: mic, audio: {{codec: flac, channels: 1}}}}
          own.wav: {{feed: mic, audio: {{codec: pcm, rate: 16000}}}}
          usual.flac: {{feed: mic}}
          usual.wav: {{feed: mic}}
          usual.ogg: {{feed: mic}}
          usual.mp3: {{feed: mic}}
          usual.aac: {{feed: mic}}
          their.flv: {{feed: their-flv}}
          their.ogg: {{feed: their-ogg}}
          their.mp3: {{feed: their-mp3}}
          their.aac: {{feed: their-aac}}
          their.flac: {{feed: their-flac}}
          their.wav: {{feed: their-wav}}
        ",
        ffmpeg(&format!("{h264}, -f, flv")),
        ffmpeg(&format!("{h264}, -f, mp4, -movflags, empty_moov+default_base_moof, -frag_duration, '40000'")),
        ffmpeg("-map, '1', -c:a, libopus, -page_duration, '100000', -f, ogg"),
        ffmpeg("-map, '1', -c:a, libmp3lame, -f, mp3"),
        ffmpeg("-map, '1', -c:a, aac, -f, adts"),
        ffmpeg("-map, '1', -c:a, flac, -frame_size, '1024', -f, flac"),
        ffmpeg("-map, '1', -c:a, pcm_s16le, -f, wav"),
    ))
}

/// Without its header, nobody knows what some containers are.
fn queries(target: &str) -> &'static [&'static str] {
    if ["ogg", "flac", "wav"].iter().any(|extension| target.ends_with(extension)) {
        &["?header=1&keyframe=1", "?header=1&keyframe=next", "?header=1"]
    } else {
        &["?header=1&keyframe=1", "?header=1&keyframe=next", "?header=1", "?keyframe=1", ""]
    }
}

#[test]
fn streams_of_sound_are_joined_at_any_moment() {
    if !have("ffmpeg") {
        return;
    }
    let server = jukebox();
    for (extension, codec, mimetype) in [
        ("ogg", "opus", "application/ogg"),
        ("mp3", "mp3", "audio/mpeg"),
        ("aac", "aac", "audio/aac"),
        ("flac", "flac", "audio/flac"),
        ("wav", "pcm_s16le", "audio/wav"),
    ] {
        for maker in ["own", "usual", "their"] {
            let target = format!("/{maker}.{extension}");
            let _viewer = warmed_little(&server, &target);
            for query in queries(&target) {
                let mut answer = server.get(&format!("{target}{query}"));
                assert_eq!((answer.status, answer.header("content-type")), (200, Some(mimetype)), "{target}{query}");
                // The header of ffmpeg's FLAC has 8 KiB of padding.
                let bytes = answer.take(if extension == "flac" { 12_000 } else { 6000 }, SOON);
                let mut whole = whole(&bytes);
                assert_eq!(media::codecs(whole), [codec], "{target}{query}");
                if let Some(at) = whole.windows(4).position(|word| extension == "wav" && word == b"data") {
                    // ffmpeg complains of less than it reads at once.
                    whole = &whole[..whole.len() - (whole.len() - at - 8) % 4096];
                }
                media::assert_decodes(whole);
            }
        }
    }
}

#[test]
fn films_are_joined_at_intra_frames() {
    if !have("ffprobe") {
        return;
    }
    let server = jukebox();
    for (target, mimetype) in [
        ("/own.flv", "video/x-flv"),
        ("/their.flv", "video/x-flv"),
        ("/own.mp4", "video/mp4"),
        ("/usual.mp4", "video/mp4"),
        ("/their.mp4", "video/mp4"),
    ] {
        let _viewer = warmed_little(&server, target);
        for _ in 0..3 {
            let mut answer = server.get(&format!("{target}?header=1&keyframe=1"));
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(mimetype)));
            let bytes = answer.collect(millis(1300));
            // ffmpeg takes metadata that come again for a track of text.
            let codecs = media::codecs(whole(&bytes));
            assert!(codecs.starts_with(&["aac".to_owned(), "h264".to_owned()]), "{target}: {codecs:?}");
            let (pictures, complaints) = media::pictures(whole(&bytes));
            assert!(pictures.starts_with('I') && complaints.is_empty(), "{target}: {pictures}, {complaints}");
        }
    }
}

#[test]
fn every_codec_of_mp4_is_joined_at_intra_frames() {
    if !have("ffprobe") {
        return;
    }
    let server = jukebox();
    for (target, expected) in [("/vp9.mp4", &["opus", "vp9"][..]), ("/av1.mp4", &["av1"]), ("/h265.mp4", &["hevc"])] {
        let _viewer = warmed_little(&server, target);
        let bytes = server.get(&format!("{target}?header=1&keyframe=1")).collect(millis(1300));
        assert_eq!(media::codecs(whole(&bytes)), expected, "{target}");
        let (pictures, complaints) = media::pictures(whole(&bytes));
        assert!(pictures.starts_with('I') && complaints.is_empty(), "{target}: {pictures}, {complaints}");
        media::assert_decodes(whole(&bytes));
    }
}

#[test]
fn films_of_commands_give_stills() {
    let server = jukebox();
    for target in ["/their.flv", "/their.mp4"] {
        let _viewer = warmed_little(&server, target);
        let mut answer = server.get(&format!("{target}/pic"));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")), "{target}");
        let picture = media::picture(&answer.rest(SOON));
        assert_eq!((picture.width(), picture.height()), (320, 240), "{target}");
    }
}

/// Without the last unit, which was cut off by the end of the reading. What is sent begins with a unit.
fn whole(bytes: &[u8]) -> &[u8] {
    let (mut scanner, mut found, mut length) = (Scanner::new(None), Vec::new(), 0);
    scanner.push(bytes, &mut found);
    for found in found {
        length += match found {
            Scanned::Container(_) => 0,
            Scanned::Header(header) => header.len(),
            Scanned::Packet { payload, .. } => payload.len(),
        };
    }
    &bytes[..length]
}
