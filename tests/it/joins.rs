//! Joining a running stream: headers, intra-frames, clean decoding from the first byte.

use crate::rig::{
    SOON, Server, have,
    http::Kept,
    log, media, millis, mkv,
    script::{H264, PICTURE, TONE, camera},
    secs, ts,
};
use std::time::Instant;

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

/// A viewer who keeps a stream running.
fn warmed(server: &Server, target: &str) -> Kept {
    let mut viewer = server.get(target);
    viewer.take(20_000, SOON);
    viewer.kept()
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
fn d8_foreign_matroska_is_joined_within_clusters() {
    if !have("gst-launch-1.0") {
        return;
    }
    let (longest, picture) = ("30000000000", "video/x-raw,width=320,height=240,framerate=25/1");
    let server = Server::start(&format!(
        "
        feeds:
          outside:
            mode: continuous
            command: >-
              gst-launch-1.0 -q videotestsrc is-live=true ! {picture} ! x264enc tune=zerolatency key-int-max=10 !
              matroskamux streamable=true min-cluster-duration={longest} max-cluster-duration={longest} ! fdsink
        streams: {{outside.mkv: {{feed: outside}}}}
        "
    ));
    let mut first = server.get("/outside.mkv?header=1&keyframe=1");
    // So long that whoever began with the only cluster would be far behind.
    first.collect(secs(3));
    for wish in ["keyframe=1", "keyframe=next"] {
        let bytes = server.get(&format!("/outside.mkv?header=1&{wish}")).collect(secs(1));
        let bytes = mkv::trim(&bytes);
        let (pictures, complaints) = media::pictures(bytes);
        assert!(pictures.starts_with('I') && (5..50).contains(&pictures.len()), "{wish}: {pictures}");
        assert_eq!(complaints, "", "{wish}");
        let times = media::packet_times(bytes, "v");
        assert!(times[0] > 2.0 && times.is_sorted(), "{wish}: {times:?}");
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
        assert!(asked.elapsed() < secs(2), "the first picture took {:?}", asked.elapsed());
        answer.collect(secs(2));
    }
}

/// The past of a group is not paced: who joins in the middle of a long one is live at once.
#[test]
fn d8_long_groups_of_commands_are_caught_up_with_at_once() {
    let server = Server::start(&format!(
        "
        feeds: {{outside: {{command: {}, mode: continuous}}}}
        streams: {{outside.ts: {{feed: outside}}}}
        ",
        camera(250)
    ));
    let mut live = server.get("/outside.ts?header=1&keyframe=1");
    let mut seen = live.take_until(SOON, ts::has_unit);
    seen.extend(live.collect(secs(7)));
    let mut late = server.get("/outside.ts?header=1&keyframe=1");
    let joined = std::thread::scope(|scope| {
        let late = scope.spawn(|| late.collect(secs(1)));
        seen.extend(live.collect(secs(1)));
        late.join().unwrap()
    });
    let (seen, joined) = (ts::trim(&seen), ts::trim(&joined));
    let (pictures, complaints) = media::pictures(&joined);
    assert!(pictures.starts_with('I') && complaints.is_empty(), "{pictures}: {complaints}");
    let ([.., newest], [first, .., last]) =
        (&media::packet_times(&seen, "v")[..], &media::packet_times(&joined, "v")[..])
    else {
        panic!("no pictures")
    };
    println!("began {:.2} s in the past, and is {:.2} s behind after a second", newest - first, newest - last);
    assert!(newest - first > 5.0, "the group is not long: {first} to {newest}");
    assert!(newest - last < 0.3, "it is behind: {last} of {newest}");
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

fn warmed_little(server: &Server, target: &str) -> Kept {
    let mut viewer = server.get(target);
    viewer.take(2000, SOON);
    viewer.kept()
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

/// Streams in containers that a scanner cuts.
fn jukebox() -> Server {
    let ffmpeg = |output: &str| {
        format!(
            "[ffmpeg, -v, error, -re, -f, lavfi, -i, 'testsrc=s=320x240:r=25', -c:v, libx264, -preset, ultrafast, \
             -tune, zerolatency, -g, '25', -pix_fmt, yuv420p, {output}, -flush_packets, '1', '-']"
        )
    };
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
          their-flv: {{command: {}}}
          their-mp4: {{command: {}}}
        streams:
          usual.mp4: {{feeds: [cam, mic]}}
          usual.flv: {{feeds: [cam, mic]}}
          usual.flac: {{feed: mic}}
          usual.wav: {{feed: mic}}
          usual.ogg: {{feed: mic}}
          usual.mp3: {{feed: mic}}
          usual.aac: {{feed: mic}}
          vp9.mp4: {{feeds: [cam, mic], video: {{codec: vp9, gop: 25}}, audio: {{codec: opus}}}}
          av1.mp4: {{feed: cam, video: {{codec: av1, gop: 25}}}}
          h265.mp4: {{feed: cam, video: {{codec: h265, gop: 25, preset: ultrafast}}}}
          their.flv: {{feed: their-flv}}
          their.mp4: {{feed: their-mp4}}
        ",
        ffmpeg("-f, flv"),
        ffmpeg("-f, mp4, -movflags, empty_moov+default_base_moof, -frag_duration, '40000'"),
    ))
}

#[test]
fn what_is_raw_gets_the_usual_codecs_of_its_container() {
    if !have("ffmpeg") {
        return;
    }
    let server = jukebox();
    for (extension, codecs) in [
        ("mp4", &["aac", "h264"][..]),
        ("flv", &["aac", "h264"]),
        ("ogg", &["opus"]),
        ("mp3", &["mp3"]),
        ("aac", &["aac"]),
        ("flac", &["flac"]),
        ("wav", &["pcm_s16le"]),
    ] {
        let target = format!("/usual.{extension}?header=1&keyframe=1");
        let bytes = server.get(&target).collect(millis(1500));
        let found = media::Frames::of(media::whole(&bytes), false);
        // ffmpeg takes metadata that come again for a track of text.
        assert!(
            found.codecs.starts_with(&codecs.iter().map(|&codec| codec.to_owned()).collect::<Vec<_>>()),
            "{target}"
        );
        assert!(found.sounds > 10 && found.complaints.is_empty(), "{target}: {}", found.complaints);
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
        assert_eq!(media::codecs(media::whole(&bytes)), expected, "{target}");
        let (pictures, complaints) = media::pictures(media::whole(&bytes));
        assert!(pictures.starts_with('I') && complaints.is_empty(), "{target}: {pictures}, {complaints}");
        media::assert_decodes(media::whole(&bytes));
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
