//! Row 7 of the faults: the picture changes its size while it is watched.

use crate::rig::{SOON, Server, have, media, script::H264, secs, ts};
use std::thread;

/// Changes of the size in one history.
const CHANGES: usize = 200;

/// A picture of 5 frames of one size, 5 of the other and so on, then of the first for good.
fn changing() -> String {
    let mut text = String::from("concat name=all ! queue name=video");
    for part in 0..=CHANGES {
        let (size, frames) =
            (["width=160,height=120", "width=320,height=240"][part % 2], if part == CHANGES { -1 } else { 5 });
        text += &format!("  videotestsrc num-buffers={frames} ! video/x-raw,format=I420,{size},framerate=50/1 ! all.");
    }
    text
}

#[test]
fn two_hundred_changes_of_size_reach_everyone() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{}'}}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 25}}}}
        ",
        changing()
    ));
    let changes = |heights: &[u32]| heights.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // Viewers come when the first frames are over, and an encoder without a processor drops frames, five of which are a change.
    let is_whole = |heights: &[u32]| changes(heights) > CHANGES * 3 / 4 && heights.last() == Some(&120);
    let watch = |target: &'static str| {
        let server = &server;
        move || {
            let mut viewer = server.get(target);
            let mut bytes = viewer.piece(SOON);
            // At 50 frames a second; a busy machine needs longer.
            bytes.extend(viewer.collect(secs(CHANGES as u64 / 10 + 2)));
            for _ in 0..8 {
                if is_whole(&media::heights(&bytes)) {
                    break;
                }
                bytes.extend(viewer.collect(secs(5)));
            }
            bytes
        }
    };
    let [ts, mjpeg, webm] = thread::scope(|scope| {
        let targets = ["/cam.ts?header=1&keyframe=1", "/cam.mjpeg", "/cam.webm?header=1&keyframe=1"];
        targets.map(|target| scope.spawn(watch(target))).map(|viewer| viewer.join().unwrap())
    });
    for (what, heights) in
        [("ts", media::heights(&ts::trim(&ts))), ("mjpeg", media::heights(&mjpeg)), ("webm", media::heights(&webm))]
    {
        assert!(is_whole(&heights), "{what}: {} changes in {} frames", changes(&heights), heights.len());
    }
    media::assert_decodes(&ts::trim(&ts));
    assert_eq!(server.log.count("ended"), 0, "{}", server.log.text());
}

#[test]
fn a_program_that_changes_its_size_keeps_its_viewers() {
    if !have("ffmpeg") {
        return;
    }
    let part = |size: &str| {
        format!(
            "ffmpeg -v error -re -f lavfi -i testsrc=s={size}:r=25:d=1 -c:v libx264 -preset ultrafast -tune zerolatency -g 25 \
             -pix_fmt yuv420p -f mpegts -"
        )
    };
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: [sh, -c, 'while {} && {}; do :; done']}}}}
        streams: {{cam.ts: {{feed: cam}}, small.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}}}
        ",
        part("160x120"),
        part("320x240")
    ));
    let mut second = server.get("/small.mjpeg");
    let mut first = server.get("/cam.ts?header=1&keyframe=1");
    first.piece(SOON);
    second.piece(SOON);
    let bytes = first.collect(secs(6));
    let pictures = second.collect(secs(4));
    for (what, heights) in [("ts", media::heights(&ts::trim(&bytes))), ("mjpeg", media::heights(&pictures))] {
        let changes = heights.windows(2).filter(|pair| pair[0] != pair[1]).count();
        assert!(changes >= 3, "{what}: {heights:?}");
    }
    assert_eq!(server.log.count("ended (feed|stream)="), 0, "{}", server.log.text());
}
