//! What viewers see of a stream while nothing comes from its feed.

use crate::rig::{
    SOON, Server, figure, have, have_failpoints, media, millis, mkv, process,
    script::{H264, shell},
    secs, ts, wait_until,
};
use rustix::process::Signal;
use std::time::Instant;

/// White pictures.
const WHITE: &str = "videotestsrc is-live=true pattern=white ! video/x-raw,width=320,height=240,framerate=25/1";

/// A command that is slow to begin, and then sends white pictures.
fn slow(seconds: u32) -> String {
    shell(&format!(
        "sleep {seconds}; exec ffmpeg -v error -re -f lavfi -i color=white:s=320x240:r=25 -c:v libx264 -preset ultrafast \
         -tune zerolatency -g 25 -pix_fmt yuv420p -f mpegts -"
    ))
}

/// Whether pictures show a card: in a dark colour, with some text; else they are white.
fn is_card(luma: f64) -> bool {
    luma < 120.0
}

/// The frames of a stream as runs of cards and of white pictures: how many of each, one after the other.
fn runs(lumas: &[f64]) -> Vec<(bool, usize)> {
    lumas.chunk_by(|a, b| is_card(*a) == is_card(*b)).map(|run| (is_card(run[0]), run.len())).collect()
}

/// Fails unless the first picture is intra-coded, and all decode.
fn assert_is_whole(bytes: &[u8]) {
    let (types, complaints) = media::pictures(bytes);
    assert!(types.starts_with('I') && complaints.is_empty(), "{types}: {complaints}");
}

#[test]
fn a_feed_that_begins_slowly_is_waited_for_with_a_card() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}, placeholder: true}}
          cam.webm: {{feed: cam, video: {{codec: vp8}}, placeholder: Back soon}}
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}, placeholder: true}}
        ",
        slow(6)
    ));
    for target in ["/cam.ts?header=1&keyframe=1", "/cam.webm?header=1&keyframe=1", "/cam.mjpeg"] {
        let asked = Instant::now();
        let mut viewer = server.get(target);
        let first = viewer.piece(SOON);
        let took = asked.elapsed();
        figure(6, "slow feed with a placeholder: first bytes", took, secs(2));
        // Half a second where nothing else runs; more where the encoder has to be read from a disk first.
        assert!(took < secs(5), "{target} after {took:?}");
        // How long the program takes to begin is nobody's promise.
        let name = target.split(['/', '?']).nth(1).unwrap();
        let (is_there, mut bytes) = (format!("placeholder off stream={name} "), first);
        wait_until("the program begins", SOON, || {
            bytes.extend(viewer.collect(millis(200)));
            server.log.count(&is_there) > 0
        });
        bytes.extend(viewer.collect(secs(3)));
        let bytes = match target {
            "/cam.webm?header=1&keyframe=1" => mkv::trim(&bytes).to_vec(),
            "/cam.mjpeg" => bytes,
            _ => ts::trim(&bytes),
        };
        assert_is_whole(&bytes);
        let runs = runs(&media::lumas(&bytes));
        assert!(matches!(runs[..], [(true, 20..), (false, 20..)]), "{target}: {runs:?}");
        drop(viewer);
        wait_until("the feed rests", SOON, || server.programs("color=white").is_empty());
    }
    assert!(server.log.count("placeholder on .*reason=\"cam: starting\"") >= 1, "{}", server.log.text());
    server.assert_no_zombies();
}

#[test]
fn what_dies_is_stood_in_for_until_it_is_back() {
    if !have("ffmpeg") || !have_failpoints() {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{WHITE}'}}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}, placeholder: true}}
          cam.webm: {{feed: cam, video: {{codec: vp8}}, placeholder: true}}
          plain.ts: {{feed: cam, video: {H264}}}
        "
    ));
    let watch = |target| {
        let mut viewer = server.get(target);
        let begin = viewer.take(5_000, SOON);
        (target, viewer, begin)
    };
    let viewers = [watch("/cam.ts?header=1&keyframe=1"), watch("/cam.webm?header=1&keyframe=1")];
    // A worker that hangs says nothing for longer than a card waits.
    let hung = server.worker("cam");
    process::send(hung, Signal::STOP);
    server.log.wait("placeholder on stream=cam.ts ", SOON);
    server.log.wait("worker killed", secs(8));
    server.log.wait_nth("placeholder off", 2, secs(8));
    for (target, mut viewer, begin) in viewers {
        let bytes = [begin, viewer.collect(secs(2))].concat();
        let bytes = if target.starts_with("/cam.ts") { ts::trim(&bytes) } else { mkv::trim(&bytes).to_vec() };
        assert_is_whole(&bytes);
        let runs = runs(&media::lumas(&bytes));
        assert!(matches!(runs[..], [(false, 5..), (true, 5..), (false, 5..)]), "{runs:?}");
    }
    assert_eq!(server.log.count("panicked"), 0);
}

#[test]
fn stills_are_of_what_viewers_see() {
    let red = tempfile::Builder::new().suffix(".png").tempfile().unwrap();
    image::RgbImage::from_pixel(160, 90, image::Rgb([200, 30, 30])).save(red.path()).unwrap();
    let server = Server::start(&format!(
        "
        feeds: {{gone: {{command: {}}}}}
        streams:
          reason.ts: {{feed: gone, video: {{codec: h264, size: 640x360}}, placeholder: true}}
          text.ts: {{feed: gone, video: {H264}, placeholder: 'a <b> & c'}}
          red.ts: {{feed: gone, video: {{codec: h264, size: 320x180}}, placeholder: {}}}
        ",
        shell("echo no signal at the input >&2; sleep 0.2; exit 3"),
        red.path().display()
    ));
    let still = |name: &str| {
        let mut answer = server.get(&format!("/{name}.ts/pic.png"));
        assert_eq!(answer.status, 200, "{name}");
        let bytes = answer.rest(SOON);
        let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("pages");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("placeholder-{name}.png")), &bytes).unwrap();
        media::picture(&bytes)
    };
    let (reason, text, red) = (still("reason"), still("text"), still("red"));
    media::assert_colour(&red, [200, 30, 30]);
    assert_eq!((reason.width(), reason.height()), (640, 360));
    // Light letters on a dark ground.
    for card in [&reason, &text] {
        let lights = card.to_luma8().pixels().filter(|pixel| pixel.0[0] > 200).count();
        let [red, green, blue] = media::colour(card);
        assert!(lights > 50 && red < 60.0 && green < 70.0 && blue < 80.0, "{lights} {red} {green} {blue}");
    }
    let _viewer = server.get("/reason.ts").kept();
    let shows = || server.get("/stat.json").text().contains("\"placeholder\": true");
    wait_until("the state tells of it", SOON, shows);
    server.terminate();
    server.log.wait(" stopped$", SOON);
    assert!(server.log.count("placeholder failed") == 0, "{}", server.log.text());
}
