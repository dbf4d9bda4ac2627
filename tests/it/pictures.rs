//! Still pictures of running streams.

use crate::rig::{
    Answer, Launch, SOON, Server, have, http, media, millis,
    script::{self, COUNT, H264, PICTURE, TONE, camera, counting, number, shell, starts},
    secs, ts,
};
use std::{
    collections::HashSet,
    fs,
    time::{Duration, Instant, SystemTime},
};

const RED: &str = "videotestsrc is-live=true pattern=red ! video/x-raw,width=320,height=240,framerate=25/1 ! queue";

fn red() -> Server {
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{RED}'}}}}
        streams:
          cam0.ts: {{feed: cam, video: {H264}}}
          cam0.webm: {{feed: cam, video: {{codec: vp8}}}}
          cam0.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
        "
    ))
}

/// Asks for a picture that must come.
fn shot(server: &Server, target: &str) -> Vec<u8> {
    let mut answer = server.get(target);
    let (status, bytes) = (answer.status, answer.rest(SOON));
    assert_eq!(status, 200, "{target}: {}", String::from_utf8_lossy(&bytes));
    bytes
}

#[test]
fn s1_picture_is_the_current_frame_and_the_connection_closes() {
    let server = red();
    for target in ["/cam0.ts/pic", "/cam0.webm/pic", "/cam0.mjpeg/pic", "/stream/cam0.ts/pic?q=85", "/cam0.ts/pic.jpg"]
    {
        let mut answer = server.get(target);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")), "{target}");
        assert_eq!(answer.header("connection"), Some("close"));
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        let bytes = answer.rest(SOON);
        assert_eq!(bytes.len(), length);
        assert!(answer.is_closed(secs(2)), "{target} stays open");
        let picture = media::picture(&bytes);
        assert_eq!((picture.width(), picture.height()), (320, 240));
        media::assert_colour(&picture, [255, 0, 0]);
    }
}

#[test]
fn s1_picture_shows_what_the_feed_shows() {
    let server = Server::start(
        "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true pattern=smpte ! video/x-raw,width=320,height=240,framerate=25/1 ! queue'}}
        streams: {cam.ts: {feed: cam, video: {codec: h264, preset: ultrafast}}}
        ",
    );
    let picture = media::picture(&shot(&server, "/cam.ts/pic.png"));
    // The seven bars: white, yellow, cyan, green, magenta, red, blue.
    let bars = [[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1]];
    for (at, bar) in (0..).zip(bars) {
        let found = media::spot(&picture, 320 * (2 * at + 1) / 14, 60);
        let is_bar = found.iter().zip(bar).all(|(found, on)| (f64::from(*found) - 255.0 * f64::from(on)).abs() < 15.0);
        assert!(is_bar, "bar {at} is {found:?}");
    }
}

#[test]
fn s2_quality_of_a_jpeg() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: 'videotestsrc is-live=true pattern=smpte75 ! video/x-raw,width=320,height=240,framerate=25/1 ! timeoverlay', mode: 5}}}}
        streams: {{cam0.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    let size = |query: &str| shot(&server, &format!("/cam0.ts/pic{query}")).len() as f64;
    let (low, medium, high, default) = (size("?q=10"), size("?q=85"), size("?q=100"), size(""));
    assert!(low < medium && medium < high, "{low} {medium} {high}");
    assert!((default / medium - 1.0).abs() < 0.05, "{default} {medium}");
    for query in ["?q=0", "?q=101", "?q=abc", "?q=", "?q=-5"] {
        assert_eq!(server.get(&format!("/cam0.ts/pic{query}")).status, 400, "{query}");
    }
}

#[test]
fn s3_png_has_no_loss() {
    let server = red();
    let accept = http::request(server.address(), "GET", "/cam0.ts/pic", "Accept: image/png\r\n").rest(SOON);
    let mut shots: Vec<Vec<u8>> =
        ["/pic.png", "/pic?fmt=png", "/pic.png?q=10"].map(|target| shot(&server, &format!("/cam0.ts{target}"))).into();
    shots.push(accept);
    for bytes in &shots {
        assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{:?}", bytes[..8].escape_ascii());
        let picture = media::picture(bytes).to_rgb8();
        // One colour, as it came out of the source: no encoder has left its marks.
        let first = *picture.get_pixel(0, 0);
        assert!(picture.pixels().all(|pixel| *pixel == first));
        assert!(first.0.iter().zip([255, 0, 0]).all(|(found, expected)| found.abs_diff(expected) <= 5), "{first:?}");
    }
    assert_eq!(server.get("/cam0.ts/pic.jpg?fmt=png").header("content-type"), Some("image/png"));
}

#[test]
fn s9_picture_is_as_large_as_asked_and_keeps_its_ratio() {
    let server = red();
    for (query, size) in [
        ("w=160", (160, 120)),
        ("h=480", (640, 480)),
        ("w=160&h=60", (80, 60)),
        ("w=16&fmt=png", (16, 12)),
        ("w=161&q=50", (161, 121)),
    ] {
        for stream in ["/cam0.ts", "/cam0.mjpeg"] {
            let picture = media::picture(&shot(&server, &format!("{stream}/pic?{query}")));
            assert_eq!((picture.width(), picture.height()), size, "{stream}?{query}");
            media::assert_colour(&picture, [255, 0, 0]);
        }
    }
    for query in ["w=15", "w=4097", "h=-1", "h=abc", "w=", "w=16&w=17"] {
        let mut answer = server.get(&format!("/cam0.ts/pic?{query}"));
        let (status, sentence) = (answer.status, String::from_utf8(answer.rest(SOON)).unwrap());
        assert!(status == 400 && sentence.contains("expected pixels, 16 to 4096"), "{query}: {status} {sentence}");
    }
}

#[test]
fn s9_picture_of_oblong_pixels_is_scaled_to_what_is_seen() {
    let server = Server::start(
        "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true ! video/x-raw,width=360,height=288,pixel-aspect-ratio=2/1 ! queue'}}
        streams: {cam.ts: {feed: cam, video: {codec: h264, preset: ultrafast}}}
        ",
    );
    let picture = media::picture(&shot(&server, "/cam.ts/pic?h=288"));
    assert_eq!((picture.width(), picture.height()), (720, 288));
}

#[test]
fn s9_webp() {
    if !have("ffprobe") {
        return;
    }
    let server = red();
    for target in ["/cam0.ts/pic.webp", "/cam0.ts/pic?fmt=webp&q=10", "/cam0.mjpeg/pic.webp?h=120"] {
        let mut answer = server.get(target);
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/webp")), "{target}");
        let bytes = answer.rest(SOON);
        assert!(bytes.starts_with(b"RIFF") && bytes[8..].starts_with(b"WEBP"), "{target}");
        assert_eq!(media::codecs(&bytes), ["webp"]);
        assert_eq!(media::heights(&bytes), [if target.contains("120") { 120 } else { 240 }], "{target}");
    }
}

/// When the picture of an answer was captured, on the clock on the wall, as its head says.
fn captured(answer: &Answer) -> SystemTime {
    let time = answer.header("x-capture-time").expect("no time of capture");
    let moment: jiff::Timestamp = time.parse().unwrap();
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&moment).unwrap();
    assert_eq!(answer.header("last-modified"), Some(&date[..]));
    moment.into()
}

#[test]
fn fresh_picture_is_captured_after_the_request() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: 'videotestsrc is-live=true ! video/x-raw,width=64,height=48,framerate=2/1 ! queue', mode: continuous}}
          clock: {{command: {}, mode: continuous}}
        streams:
          own.ts: {{feed: cam, video: {H264}}}
          own.mjpeg: {{feed: cam}}
          passed.ts: {{feed: clock}}
        ",
        counting(25)
    ));
    for target in ["/own.ts/pic", "/own.mjpeg/pic", "/passed.ts/pic"] {
        shot(&server, target);
        for _ in 0..3 {
            let asked = SystemTime::now();
            let answer = server.get(&format!("{target}?fresh=1"));
            assert_eq!(answer.status, 200, "{target}");
            // The two clocks of the server are read one after the other.
            assert!(captured(&answer) + millis(2) >= asked, "{target}: {:?} {asked:?}", captured(&answer));
        }
    }
    // Half a second lies between two pictures: most that are of now were there before.
    let mut viewer = server.get("/own.ts");
    viewer.take(1000, SOON);
    let stale = (0..6).filter(|_| {
        let asked = SystemTime::now();
        let is_stale = captured(&server.get("/own.ts/pic")) < asked;
        viewer.collect(millis(100));
        is_stale
    });
    assert!(stale.count() >= 3);
    assert_eq!(server.get("/own.ts/pic?fresh=1&max_age=2").status, 400);
}

#[test]
fn many_who_want_a_fresh_picture_share_it() {
    let server = red();
    let mut viewer = server.get("/cam0.ts");
    viewer.take(2000, SOON);
    let etags: HashSet<String> = std::thread::scope(|scope| {
        let ask = || {
            let asked = SystemTime::now();
            let answer = server.get("/cam0.ts/pic?fresh=1");
            assert!(captured(&answer) + millis(2) >= asked);
            answer.header("x-capture-time").unwrap().to_owned()
        };
        let clients: Vec<_> = (0..50).map(|_| scope.spawn(ask)).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    assert!(etags.len() < 25, "{} pictures for 50 clients", etags.len());
}

#[test]
fn kept_picture_is_given_while_it_is_young_enough() {
    let server = red();
    let seen = |target: &str| {
        let answer = server.get(target);
        (answer.status, answer.header("x-capture-time").map(str::to_owned))
    };
    // None is kept yet.
    assert_eq!(seen("/cam0.ts/pic?max_age=60&start=0").0, 503);
    let first = seen("/cam0.ts/pic?max_age=60");
    assert_eq!(first.0, 200);
    assert_eq!(seen("/cam0.ts/pic?max_age=60"), first);
    assert_eq!(server.get("/cam0.ts/pic?max_age=60").header("connection"), None, "who asks often may ask again");
    assert_ne!(seen("/cam0.ts/pic?max_age=0").1, first.1);
    assert_ne!(seen("/cam0.ts/pic").1, first.1);
    assert_ne!(seen("/cam0.ts/pic?max_age=60&w=100").1, first.1);
    crate::rig::wait_until("the feed is gone", secs(10), || seen("/cam0.ts/pic?start=0").0 == 503);
    assert_eq!(seen("/cam0.ts/pic?max_age=60&start=0").0, 200);
    assert_eq!(seen("/cam0.ts/pic?max_age=0&start=0").0, 503);
}

#[test]
fn picture_that_the_client_has_is_not_sent_again() {
    let server = red();
    let answer = server.get("/cam0.ts/pic");
    let etag = answer.header("etag").unwrap().to_owned();
    let ask = |tags: &str| {
        http::request(server.address(), "GET", "/cam0.ts/pic?max_age=60", &format!("If-None-Match: {tags}\r\n"))
    };
    let known = ask(&format!("\"other\", {etag}"));
    assert_eq!((known.status, known.header("etag")), (304, Some(&etag[..])));
    assert_eq!(captured(&known), captured(&answer));
    let mut other = ask("\"other\"");
    assert_eq!((other.status, other.header("etag")), (200, Some(&etag[..])));
    media::picture(&other.rest(SOON));
}

#[test]
fn picture_of_1080p_comes_in_milliseconds() {
    let server = Server::start(
        "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true pattern=ball ! video/x-raw,width=1920,height=1080,framerate=10/1 ! queue', mode: continuous}}
        streams:
          cam.ts: {feed: cam, video: {codec: h264, preset: ultrafast}}
          cam.mjpeg: {feed: cam}
        ",
    );
    // They keep the encoders.
    let mut viewers = ["/cam.ts", "/cam.mjpeg"].map(|target| server.get(target));
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    for (target, count) in [("/cam.ts/pic", 50), ("/cam.mjpeg/pic", 50), ("/cam.ts/pic?max_age=60", 200)] {
        shot(&server, target);
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                let asked = Instant::now();
                shot(&server, target);
                let took = asked.elapsed();
                viewers.iter_mut().for_each(|viewer| drop(viewer.collect(millis(5))));
                took
            })
            .collect();
        times.sort();
        let (median, last) = (times[count / 2], times[count * 99 / 100]);
        println!("{target}: median {median:?}, p99 {last:?}");
        // Many times what it takes on a machine that has nothing else to do: none waits for a pipeline to be built.
        assert!(median < millis(500), "{target}: {times:?}");
    }
}

#[test]
fn s4_sound_has_no_picture() {
    let server = Server::start(&format!(
        "
        feeds: {{mic: {{pipeline: '{TONE}'}}}}
        streams:
          mic.ts: {{feed: mic, audio: {{codec: aac}}}}
          mic.webm: {{feed: mic, audio: {{codec: opus}}, mimetype: audio/webm}}
        "
    ));
    for target in ["/mic.ts/pic", "/mic.webm/pic", "/mic.ts/pic.png"] {
        assert_eq!(server.get(target).status, 415, "{target}");
    }
}

#[test]
fn s5_picture_does_not_wait_for_an_intra_frame() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          raw: {{pipeline: '{PICTURE}', mode: continuous}}
          outside: {{command: {}, mode: continuous}}
        streams:
          raw.ts: {{feed: raw, video: {{codec: h264, preset: ultrafast, gop: 250}}}}
          outside.ts: {{feed: outside}}
        ",
        camera(250)
    ));
    for target in ["/raw.ts", "/outside.ts"] {
        let mut viewer = server.get(target);
        viewer.take(100_000, SOON);
        let mut times: Vec<Duration> = (0..20)
            .map(|_| {
                let asked = Instant::now();
                media::picture(&shot(&server, &format!("{target}/pic")));
                let took = asked.elapsed();
                viewer.collect(millis(50));
                took
            })
            .collect();
        times.sort();
        println!("{target}: median {:?}, p95 {:?}", times[10], times[18]);
        assert!(times[18] < secs(2), "{target}: {times:?}");
    }
}

#[test]
fn s6_picture_is_current() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{clock: {{command: {}, mode: continuous}}}}
        streams:
          passed.ts: {{feed: clock}}
          encoded.ts: {{feed: clock, video: {{codec: h264, preset: ultrafast}}}}
        ",
        counting(25)
    ));
    let live = &mut server.get("/passed.ts?header=1&keyframe=1");
    let mut received = live.take(50_000, SOON);
    // Starts the stream whose pictures come from its own decoder.
    let _viewer = server.get("/encoded.ts").piece(SOON);
    for round in 0..6 {
        let target = ["/passed.ts/pic", "/encoded.ts/pic", "/passed.ts/pic.png"][round % 3];
        let luma = media::colour(&media::picture(&shot(&server, target)))[1];
        received.extend(live.collect(millis(300)));
        let newest = *media::lumas(&received).last().unwrap();
        // The picture was taken some moments before the newest picture of the reader.
        let age = (number(newest) - number(luma)).rem_euclid(COUNT) / 25.0;
        println!("{target}: {age:.2} s old");
        assert!(!(1.5..7.5).contains(&age), "{target}: the picture is {age} s old");
        received.extend(live.collect(millis(400)));
    }
}

#[test]
fn s7_hundred_shots_share_the_work() {
    // Noise: two encodings of it are never the same.
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: 'videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 ! queue', mode: continuous}}}}
        streams: {{cam0.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    shot(&server, "/cam0.ts/pic");
    let began = Instant::now();
    let pictures: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..100).map(|_| scope.spawn(|| shot(&server, "/cam0.ts/pic"))).collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let took = began.elapsed();
    let different = pictures.iter().collect::<HashSet<_>>().len();
    println!("100 shots in {took:?}, {different} encodings");
    assert!(took < secs(2), "{took:?}");
    let frames = (took.as_secs_f64() * 25.0).ceil() as usize + 1;
    assert!(different <= frames, "{different} encodings of {frames} frames");
    media::picture(&pictures[0]);
}

#[test]
fn s8_shot_starts_a_feed_and_the_timeout_keeps_it() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let film = launch.folder().join("film.ts");
    script::make_sample(&film, 30);
    let command = shell(&format!(
        "echo start >> {}; exec ffmpeg -v error -re -i {} -c copy -f mpegts -",
        file.display(),
        film.display()
    ));
    let yaml = format!(
        "feeds:\n  cam: {{command: {command}, mode: 3}}\nstreams:\n  cam.ts: {{feed: cam}}\n  small.ts: {{feed: cam, video: {H264}}}\n"
    );
    let server = launch.with(&yaml).start();
    assert_eq!(starts(&file), 0);
    media::picture(&shot(&server, "/cam.ts/pic"));
    media::picture(&shot(&server, "/small.ts/pic"));
    media::picture(&shot(&server, "/cam.ts/pic"));
    assert_eq!(starts(&file), 1);
    crate::rig::wait_until("the feed is gone", secs(6), || server.programs("film.ts").is_empty());
    media::picture(&shot(&server, "/cam.ts/pic"));
    assert_eq!(starts(&file), 2);
}

#[test]
fn s8_shot_of_a_cold_camera_is_quick() {
    let server = red();
    let asked = Instant::now();
    shot(&server, "/cam0.ts/pic");
    println!("cold shot: {:?}", asked.elapsed());
    assert!(asked.elapsed() < secs(2), "{:?}", asked.elapsed());
}

#[test]
fn picture_of_a_feed_without_frames_is_503() {
    let server = Server::start(&format!(
        "
        feeds: {{dead: {{command: {}}}}}
        streams: {{dead.ts: {{feed: dead}}}}
        ",
        shell("sleep 1000")
    ));
    let answer = &mut server.get("/dead.ts/pic");
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some(), "{}", answer.head);
}

#[test]
fn picture_is_not_of_a_feed_that_is_gone() {
    let launch = Launch::bare();
    let (new, camera) = (launch.folder().join("new.png"), launch.folder().join("camera.png"));
    let plug_in = |colour: [u8; 3]| {
        image::RgbImage::from_pixel(64, 64, image::Rgb(colour)).save(&new).unwrap();
        fs::rename(&new, &camera).unwrap();
    };
    plug_in([255, 0, 0]);
    let cam = format!(
        "multifilesrc location={} loop=true caps=image/png,framerate=25/1 ! pngdec ! videoconvert \
         ! video/x-raw,format=I420 ! queue",
        camera.display()
    );
    let server = launch
        .with(&format!(
            "
            feeds: {{cam: {{pipeline: '{cam}'}}}}
            streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
            "
        ))
        .start();
    // Keeps the encoder.
    let mut viewer = server.get("/cam.ts");
    viewer.take(2000, SOON);
    media::assert_colour(&media::picture(&shot(&server, "/cam.ts/pic")), [255, 0, 0]);
    fs::remove_file(&camera).unwrap();
    server.log.wait("ended feed=cam", SOON);
    let picture = std::thread::scope(|scope| {
        let shot = scope.spawn(|| shot(&server, "/cam.ts/pic"));
        std::thread::sleep(millis(500));
        plug_in([0, 0, 255]);
        shot.join().unwrap()
    });
    media::assert_colour(&media::picture(&picture), [0, 0, 255]);
}

#[test]
fn pictures_do_not_disturb_the_viewers() {
    let server = red();
    let mut viewer: Answer = server.get("/cam0.ts?header=1&keyframe=1");
    let mut bytes = viewer.take(5000, SOON);
    std::thread::scope(|scope| {
        let shots = scope.spawn(|| {
            for target in
                ["/cam0.ts/pic", "/cam0.ts/pic.png", "/cam0.webm/pic", "/cam0.ts/pic?q=1"].iter().cycle().take(20)
            {
                shot(&server, target);
            }
        });
        while !shots.is_finished() {
            bytes.extend(viewer.collect(millis(200)));
        }
        shots.join().unwrap();
    });
    media::assert_decodes(&ts::trim(&bytes));
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
}
