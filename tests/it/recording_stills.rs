//! Stills of the past: one of a moment, and rows of thumbnails.

use crate::{
    recordings::{body, files, json, moved},
    rig::{
        SOON, Server,
        browser::{Browser, have_browser},
        have, media,
        script::number,
    },
};
use serde_json::Value;
use std::fs;
use tempfile::TempDir;

/// An ffmpeg that sends frames of the luma `16 + 10 (n mod 20)`, with frames that are shown before what they refer to.
fn counting() -> String {
    let frames = "color=black:s=320x240:r=25,format=yuv420p,geq=lum=16+10*mod(N\\,20):cb=128:cr=128";
    format!(
        "[ffmpeg, -v, error, -re, -f, lavfi, -i, '{frames}', -c:v, libx264, -preset, veryfast, -bf, '2', -b_strategy, '0', \
         -crf, '10', -g, '25', -sc_threshold, '0', -pix_fmt, yuv420p, -f, mpegts, -muxdelay, '0', -flush_packets, '1', '-']"
    )
}

/// A server that has recorded files of `cam`, whose frames are numbered, and records on.
fn counted(folder: &TempDir) -> Server {
    let root = folder.path().display();
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}, tone: {{pipeline: 'audiotestsrc is-live=true ! queue'}}}}
        streams:
          cam: {{feed: cam, record: {{folder: {root}, every: 2s, part: 0.3}}}}
          tone: {{feed: tone, audio: {{codec: aac}}, record: {{folder: {root}, every: 2s, part: 0.3}}}}
          low.ts: {{feed: cam, record: {{folder: {root}, format: ts, every: 2s}}}}
        auth: {{anyone: [viewer, playback]}}
        ",
        counting()
    ));
    for stream in ["cam", "tone", "low.ts"] {
        server.log.wait_nth(&format!("recording file closed.*stream={stream}"), 5, SOON);
    }
    server
}

/// The number of the frame with this luma in the full range, of 20.
fn count(luma: f64) -> f64 {
    (number(luma) / 10.0).round()
}

/// The number of the frame that a still shows.
fn shown(bytes: &[u8]) -> f64 {
    count(media::colour(&media::picture(bytes))[0])
}

#[test]
fn a_still_of_any_moment_is_the_frame_that_was_seen_then() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = counted(&folder);
    let list = json(&server, "/rec/cam/list");
    let file = &list[1];
    let frames = media::lumas(&fs::read(folder.path().join(file["file"].as_str().unwrap())).unwrap());
    let frames: Vec<f64> = frames.into_iter().map(count).collect();
    assert!((40..=60).contains(&frames.len()), "{}", frames.len());
    let still = |millis: i64, more: &str| {
        let path = format!("/rec/cam/pic.png?at={}{more}", moved(&file["start"], millis));
        let (status, head, bytes) = body(&server, &path, "");
        assert_eq!(status, 200, "{path}: {head}");
        (head, bytes)
    };
    // Times begin with the first frame that is decoded, which is shown a little later.
    let first = still(1, "&exact=1").1;
    assert_eq!(shown(&first), frames[0]);
    let found: Vec<f64> = (0..45).map(|frame| shown(&still(frame * 40 + 100, "&exact=1").1)).collect();
    // By how many frames they are ahead is the same for all.
    let ahead = found.iter().zip(&frames).map(|(found, frame)| (found - frame).rem_euclid(20.0));
    let ahead: Vec<f64> = ahead.collect();
    assert!(ahead[0] <= 3.0 && ahead.iter().all(|other| *other == ahead[0]), "{ahead:?}");
    // Without `exact` it is the keyframe before.
    for frame in [12, 24, 30, 40] {
        let key = shown(&still(frame * 40 + 100, "").1);
        assert_eq!(key, frames[usize::try_from(frame).unwrap() / 25 * 25], "{frame}");
    }

    // It says when it was captured, may be kept, and is not sent twice.
    let path = format!("/rec/cam/pic?at={}&q=50&w=160", moved(&file["start"], 1500));
    let (_, head, jpeg) = body(&server, &path, "");
    assert!(head.contains("content-type: image/jpeg") && head.contains("immutable"), "{head}");
    assert!(head.contains("x-capture-time: 20") && head.contains("last-modified: "), "{head}");
    assert_eq!((media::picture(&jpeg).width(), media::picture(&jpeg).height()), (160, 120));
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap().to_owned();
    assert_eq!(body(&server, &path, &format!("If-None-Match: {tag}\r\n")).0, 304);
    assert_eq!(body(&server, &path, "").2, jpeg);

    let check = |path: &str, status: u16, says: &str| {
        let (found, head, bytes) = body(&server, path, "");
        let text = String::from_utf8_lossy(&bytes);
        assert!(found == status && text.contains(says), "{path}: {head}{text}");
    };
    let at = moved(&file["start"], 500);
    check("/rec/cam/pic", 400, "at= is missing");
    check("/rec/cam/pic?at=noon", 400, "at=noon is not valid: expected a time like");
    check(&format!("/rec/cam/pic?at={at}&exact=2"), 400, "exact=2 is not valid: expected 0 or 1");
    check(&format!("/rec/cam/pic?at={at}&w=5"), 400, "w=5 is not valid: expected pixels");
    check("/rec/cam/pic?at=1000", 404, "nothing was recorded there");
    check(&format!("/rec/nothing/pic?at={at}"), 404, "nothing was recorded there");
    check(&format!("/rec/low.ts/pic?at={at}"), 406, "only recordings in mp4 can be played back");
    check(&format!("/rec/tone/pic?at={at}"), 415, "no video");
}

#[test]
fn a_strip_has_a_thumbnail_of_each_moment() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = counted(&folder);
    let list = json(&server, "/rec/cam/list");
    let (first, third) = (&list[0], &list[2]);
    let from = moved(&first["start"], -2000);
    // Two seconds of nothing, then about six seconds of files, one second a place.
    let path = format!("/rec/cam/strip.jpg?from={from}&for=8s&n=8&w=64&q=90");
    let (status, head, jpeg) = body(&server, &path, "");
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("content-type: image/jpeg"), "{head}");
    let strip = media::picture(&jpeg);
    assert_eq!((strip.width(), strip.height()), (8 * 64, 48));
    let spots: Vec<f64> = (0..8).map(|place| media::spot(&strip, place * 64 + 32, 24)[0].into()).collect();
    let places: Vec<f64> = spots.iter().map(|spot| count(*spot)).collect();
    assert!(spots[..2].iter().all(|dark| (5.0..30.0).contains(dark)), "{spots:?}");
    // A place shows the keyframe before its begin: 25 frames a second.
    let frames = media::lumas(&fs::read(folder.path().join(first["file"].as_str().unwrap())).unwrap());
    assert_eq!(places[2], count(frames[0]), "{places:?}");
    let steps = places[2..].windows(2).map(|pair| (pair[1] - pair[0]).rem_euclid(20.0));
    let steps: Vec<f64> = steps.collect();
    assert!(steps.iter().all(|step| [0.0, 5.0, 10.0].contains(step)), "{places:?}");
    assert!(steps.iter().filter(|step| **step != 0.0).count() >= 4, "{places:?}");
    assert_eq!(body(&server, &path, "").2, jpeg);

    // What has ended does not change.
    let span = format!("from={from}&to={}", third["start"].as_str().unwrap());
    let (status, head, _) = body(&server, &format!("/rec/cam/strip.jpg?{span}"), "");
    assert!(status == 200 && head.contains("immutable"), "{head}");
    assert_eq!(body(&server, &format!("/rec/tone/strip.jpg?{span}"), "").0, 404);
    assert_eq!(body(&server, "/rec/cam/strip.jpg?from=5&for=10s", "").0, 404);
    let (status, _, text) = body(&server, &format!("/rec/cam/strip.jpg?{span}&n=101"), "");
    assert!(status == 400 && String::from_utf8_lossy(&text).contains("n=101 is not valid: expected"));
}

#[test]
fn the_page_shows_thumbnails() {
    if !have_browser() || !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let server = counted(&folder);
    let browser = Browser::start();
    browser.open(&server.url("/recordings"));
    let strip = "document.querySelector('[data-stream=cam] img.strip')";
    browser.wait(&format!("return {strip}?.complete && {strip}.naturalWidth > 1000"), SOON);
    let found: Value = browser.run(&format!("return [{strip}.hidden, {strip}.getBoundingClientRect().height > 20]"));
    assert_eq!(found, serde_json::json!([false, true]));
    // A click plays from there.
    browser.run("document.querySelector('[data-hours=\"1\"]').click()");
    browser.wait(&format!("return {strip}.complete && {strip}.src.includes('strip.jpg')"), SOON);
    browser.run(
        "const strip = document.querySelector('[data-stream=cam] img.strip'); const { left, top, width } = strip.getBoundingClientRect(); \
         const at = { bubbles: true, button: 0, clientX: left + width * (0.9 - 4 / 3600), clientY: top + 5 }; \
         strip.dispatchEvent(new PointerEvent('pointerdown', at)); strip.dispatchEvent(new PointerEvent('pointerup', at));",
    );
    browser.wait("return document.getElementById('player').src.includes('/rec/cam/clip.mp4')", SOON);
    assert_eq!(browser.complaints(), Vec::<String>::new());
    assert!(!files(folder.path(), "mp4").is_empty());
}
