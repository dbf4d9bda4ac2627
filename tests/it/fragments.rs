//! MP4 that voyandz muxes itself: nothing waits, sound begins with the picture, and viewers stay.

use crate::rig::{
    Dice, SOON, Server, figure, have, media, millis, process,
    script::{H264, PICTURE, TONE},
    secs,
    state::wait_for,
};
use rustix::process::Signal;
use std::time::Duration;

/// A frame of AAC at 48 kHz, in seconds.
const FRAME: f64 = 1024.0 / 48_000.0;

fn assert_rises(what: &str, times: &[f64]) {
    let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(times.len() > 20 && steps.iter().all(|step| *step > 0.0), "{what}: {times:?}");
}

/// GStreamer's muxer keeps a picture until the next one is there: 40 ms.
#[test]
fn no_sample_waits_for_the_next_one() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}}}
          cam.mp4: {{feed: cam, video: {H264}}}
        "
    ));
    let mut viewers = ["/cam.ts", "/cam.mp4"].map(|target| server.get(target));
    viewers.iter_mut().for_each(|viewer| drop(viewer.collect(secs(3))));
    let [ts, mp4] = ["cam.ts", "cam.mp4"].map(|name| {
        let stream = wait_for(&server, "streams", name, |stream| stream["capture_latency"]["p50_seconds"].is_number());
        Duration::from_secs_f64(stream["capture_latency"]["p50_seconds"].as_f64().unwrap())
    });
    figure(10, "capture to packet, MP4 more than TS", mp4.saturating_sub(ts), millis(20));
    assert!(mp4 < ts + millis(20), "MP4: {mp4:?}, TS: {ts:?}");
}

#[test]
fn whoever_joins_gets_picture_and_sound_from_one_moment_on() {
    if !have("ffprobe") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}, mic: {{pipeline: '{TONE}'}}}}
        streams: {{film.mp4: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}}}
        "
    ));
    let mut first = server.get("/film.mp4?header=1&keyframe=1");
    first.take(20_000, SOON);
    let mut dice = Dice::new(4);
    for query in ["header=1&keyframe=1", "header=1&keyframe=next", "header=1&keyframe=1"] {
        first.collect(dice.below(millis(900)));
        let bytes = server.get(&format!("/film.mp4?{query}")).collect(secs(3));
        let bytes = media::whole(&bytes);
        media::assert_decodes(bytes);
        let [pictures, sounds] = ["v", "a"].map(|track| media::packet_times(bytes, track));
        assert_rises(query, &pictures);
        assert_rises(query, &sounds);
        // None of before the picture, and no more of it is missing than what an encoder holds.
        assert!((-FRAME..0.2).contains(&(sounds[0] - pictures[0])), "{query}: {} and {}", pictures[0], sounds[0]);
    }
}

/// As it does in a transport stream: the new worker writes the same header, and time goes on.
#[test]
fn a_viewer_outlives_the_worker() {
    if !have("ffprobe") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}, mic: {{pipeline: '{TONE}'}}}}
        streams: {{film.mp4: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}}}
        "
    ));
    let mut viewer = server.get("/film.mp4?header=1&keyframe=1");
    let mut bytes = viewer.take(60_000, SOON);
    let before = media::packet_times(&bytes, "v").len();
    process::send(server.worker("cam+mic"), Signal::KILL);
    server.log.wait("worker exited unexpectedly", secs(2));
    server.log.wait_nth(r"worker started group=cam\+mic ", 2, SOON);
    bytes.extend(viewer.take(60_000, SOON));
    let whole = media::whole(&bytes);
    media::assert_decodes(whole);
    for track in ["v", "a"] {
        assert_rises(track, &media::packet_times(whole, track));
    }
    assert!(media::packet_times(whole, "v").len() > before + 20);
}

/// Another size needs another header, which viewers cannot be given: they come again.
#[test]
fn another_size_ends_the_answer_and_the_next_one_has_it() {
    if !have("ffprobe") {
        return;
    }
    let picture = |size: &str| {
        format!(
            "ffmpeg -v error -re -f lavfi -i testsrc=s={size}:r=25:d=3 -c:v libx264 -preset ultrafast -tune zerolatency -g 25 \
             -pix_fmt yuv420p -f mpegts -"
        )
    };
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: [sh, -c, 'while {} && {}; do :; done'], mode: continuous}}}}
        streams: {{cam.mp4: {{feed: cam, video: {H264}}}}}
        ",
        picture("320x240"),
        picture("640x480")
    ));
    let mut viewer = server.get("/cam.mp4?header=1&keyframe=1");
    let bytes = viewer.rest(SOON);
    media::assert_decodes(&bytes);
    let before = media::heights(&bytes);
    let bytes = server.get("/cam.mp4?header=1&keyframe=1").take(20_000, SOON);
    let after = media::heights(media::whole(&bytes));
    assert!(before.len() == 1 && after.len() == 1 && before != after, "{before:?} {after:?}");
    assert_eq!(server.log.count("ended (feed|stream)="), 0, "the stream goes on: {}", server.log.text());
}
