//! The page that plays a stream, with scripts and without.

use crate::rig::{
    SOON, Server,
    browser::{Browser, have_browser},
    have, process,
    script::{H264, PICTURE, TONE},
    secs, wait_until,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Duration;

fn studio() -> Server {
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} {TONE} name=audio', mode: continuous}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 25}}, audio: {{codec: opus}}}}
          cam.mp4: {{feed: cam, video: {{codec: h264, preset: ultrafast, gop: 25}}, audio: {{codec: aac}}}}
          cam.ts: {{feed: cam, video: {H264}}}
          odd.ts: {{feed: cam, url: '/%3Cimg src=x onerror=window.evil=1%3E', video: {{codec: mpeg2}}}}
          radio.mp3: {{feed: cam, audio: {{codec: mp3}}}}
          radio.ogg: {{feed: cam, mimetype: audio/ogg, audio: {{codec: opus}}}}
        "
    ))
}

const VIDEO: &str = "document.querySelector('.view video')";

/// What the page says of how far behind it is, in seconds.
fn behind(browser: &Browser) -> Option<f64> {
    let text = browser.run("return document.getElementById('behind').textContent");
    let (number, unit) = text.as_str()?.split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    Some(if unit == "ms" { number / 1000.0 } else { number })
}

/// Waits until the page says that it is as far behind as wished.
#[track_caller]
fn wait_behind(browser: &Browser, within: Duration, wish: impl Fn(f64) -> bool) -> f64 {
    let mut told = None;
    wait_until("as far behind as wished", within, || {
        told = behind(browser);
        told.is_some_and(&wish)
    });
    told.unwrap()
}

fn words(browser: &Browser, id: &str) -> String {
    browser.run(&format!("return document.getElementById('{id}').textContent")).as_str().unwrap().to_owned()
}

#[test]
fn player_keeps_near_to_the_newest_picture() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    for target in ["/cam.webm/play", "/cam.mp4/play"] {
        browser.open(&server.url(target));
        let frames = format!("{VIDEO}?.getVideoPlaybackQuality().totalVideoFrames");
        browser.wait(&format!("return {frames} > 25 && {VIDEO}.videoWidth === 320"), secs(30));
        let first = wait_behind(&browser, SOON, |seconds| seconds < 1.0);
        wait_behind(&browser, SOON, |seconds| seconds != first);
        assert!(words(&browser, "dropped").contains(" of "), "{}", words(&browser, "dropped"));
    }
    // Somebody stops it for a while. What comes meanwhile is not what is to be seen afterwards.
    browser.run(&format!("{VIDEO}.pause()"));
    wait_behind(&browser, SOON, |seconds| seconds > 2.5);
    browser.run(&format!("{VIDEO}.play()"));
    wait_behind(&browser, secs(5), |seconds| seconds < 1.0);
    // A little behind, it hurries, and does so no longer than needed.
    browser.run(&format!("{VIDEO}.currentTime -= 1"));
    browser.wait(&format!("return {VIDEO}.playbackRate > 1"), secs(5));
    browser.wait(&format!("return {VIDEO}.playbackRate === 1"), secs(30));
    wait_behind(&browser, secs(5), |seconds| seconds < 0.6);
    // What was shown is let go of.
    browser.wait(&format!("return {VIDEO}.buffered.start({VIDEO}.buffered.length - 1) > 3"), secs(30));
    browser.wait(&format!("const {{ buffered }} = {VIDEO}; return buffered.end(0) - buffered.start(0) < 15"), secs(5));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn player_goes_on_when_the_worker_died() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.open(&server.url("/cam.mp4/play"));
    browser.wait(
        // Where it begins is sought: before that, it may have played the moment in front of it.
        &format!("const {{ played }} = {VIDEO}, last = played.length - 1; return last >= 0 && played.end(last) - played.start(last) > 0.5"),
        secs(30),
    );
    browser.run(&format!("window.source = {VIDEO}.src"));
    process::send(server.worker("cam"), Signal::KILL);
    server.log.wait_nth("running stream=cam.mp4", 2, SOON);
    browser.run(&format!("window.then = {VIDEO}.currentTime"));
    browser.wait(&format!("return {VIDEO}.currentTime > window.then + 1 && {VIDEO}.readyState > 2"), secs(30));
    wait_behind(&browser, SOON, |seconds| seconds < 1.0);
    assert_eq!(browser.run(&format!("return {VIDEO}.src === window.source")), true, "its answer did not end");
}

#[test]
fn player_begins_though_the_worker_dies_as_it_joins() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.open(&server.url("/cam.mp4/play"));
    // Some pictures are there, and not enough to begin with.
    browser.wait(&format!("return {VIDEO}.buffered.length > 0"), secs(30));
    process::send(server.worker("cam"), Signal::KILL);
    browser.wait(&format!("return {VIDEO}.currentTime > 1 && {VIDEO}.readyState > 2 && !{VIDEO}.paused"), secs(30));
    wait_behind(&browser, SOON, |seconds| seconds < 1.0);
}

#[test]
fn player_comes_back_with_its_stream() {
    if !have_browser() || !have("ffmpeg") {
        return;
    }
    let server = Server::start(
        "
        feeds:
          cam:
            command: >-
              ffmpeg -v error -re -f lavfi -i testsrc=s=320x240:r=25 -c:v libx264 -preset ultrafast -tune zerolatency -g 25
              -pix_fmt yuv420p -f mp4 -movflags empty_moov+default_base_moof -frag_duration 40000 -flush_packets 1 -
        streams: {cam.mp4: {feed: cam}}
        ",
    );
    let browser = Browser::start();
    browser.open(&server.url("/cam.mp4/play"));
    browser.wait(&format!("return {VIDEO}?.currentTime > 0.5"), secs(30));
    // The answer ends: a second header cannot be sent.
    browser.run(&format!("window.source = {VIDEO}.src"));
    let program = server.programs("libx264").pop().expect("no program");
    process::send(program.pid, Signal::KILL);
    browser.wait(&format!("return {VIDEO}.src !== window.source && {VIDEO}.readyState > 2"), secs(30));
    wait_behind(&browser, SOON, |seconds| seconds < 1.0);
    let notice = "return document.getElementById('notice').textContent";
    browser.wait(&format!("{notice} === ''"), secs(5));
    drop(server);
    browser.wait(&format!("{notice}.includes('Trying again')"), secs(30));
}

/// The best way is blocked for a while: the next one plays, and gives way to it without a break once it works again.
#[test]
fn player_returns_to_the_better_way_without_a_break() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "feeds: {{cam: {{pipeline: '{PICTURE} name=video', mode: continuous}}}}\nstreams: {{cam: {{feed: cam, video: {H264}}}}}\nwebrtc: {{}}\n"
    ));
    let browser = Browser::start();
    // A page without a policy for scripts of its own.
    browser.open(&server.url("/livez"));
    browser.run(
        "window.blocked = true;
         const asked = window.fetch;
         window.tries = 0;
         window.fetch = (address, options) => {
             if (!String(address).includes('/whep')) return asked(address, options);
             window.tries += 1;
             return window.blocked ? Promise.resolve(new Response('blocked', { status: 404 })) : asked(address, options);
         };
         window.states = [];
         import('/player.js').then(() => {
             const view = document.createElement('voyandz-view');
             view.unfitFor = 1000;
             view.setAttribute('src', '/cam');
             view.addEventListener('state', ({ detail }) => window.states.push(`${detail.state} ${detail.way}`));
             document.body.replaceChildren(view);
         });",
    );
    let states = || browser.run("return window.states");
    browser.wait("return window.states.at(-1) === 'playing stream'", secs(20));
    // It is tried again and again, less and less often, and nobody sees that.
    browser.wait("return window.tries >= 3", secs(20));
    assert_eq!(states(), json!(["starting ", "playing stream"]));
    browser.run(
        "window.longest = 0; let last = performance.now();
         const looking = () => {
             const video = document.querySelector('voyandz-view').player;
             video?.requestVideoFrameCallback((now) => {
                 window.longest = Math.max(window.longest, now - last);
                 last = now;
                 window.shown = video;
                 looking();
             });
         };
         looking();
         document.querySelector('voyandz-view').addEventListener('state', looking);
         window.blocked = false;",
    );
    browser.wait("return window.states.at(-1) === 'playing whep'", secs(30));
    browser.wait("return window.shown?.srcObject && window.shown.currentTime > 1", secs(20));
    assert_eq!(states(), json!(["starting ", "playing stream", "playing whep"]));
    assert_eq!(browser.run("return document.querySelectorAll('video').length"), 1);
    // Pictures come every 40 ms.
    let longest = browser.run("return window.longest").as_f64().unwrap();
    assert!(longest < 500.0, "a break of {longest} ms");
}

#[test]
fn what_a_script_cannot_play_is_played_by_the_browser_itself() {
    if !have_browser() {
        return;
    }
    // Sound is written later than it is put in order, as GStreamer does by itself: scripts may not hand that over.
    let command = "gst-launch-1.0 -q videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=24/1 ! \
        vp8enc deadline=1 keyframe-max-dist=24 ! queue ! mux. audiotestsrc is-live=true ! opusenc ! queue ! mux. \
        webmmux name=mux streamable=true ! fdsink";
    let command =
        format!("[{}]", command.split_whitespace().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", "));
    let server = Server::start(&format!(
        "feeds: {{cam: {{command: {command}, mode: continuous}}}}\nstreams: {{cam.webm: {{feed: cam}}}}"
    ));
    let browser = Browser::start();
    browser.open(&server.url("/cam.webm/play"));
    browser.wait(&format!("return {VIDEO}?.currentTime > 1 && !{VIDEO}.src.startsWith('blob:')"), secs(30));
    assert_eq!(words(&browser, "behind"), "–");
}

#[test]
fn buttons_of_the_player_do_what_they_say() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.open(&server.url("/cam.webm/play"));
    browser.wait(&format!("return {VIDEO}?.currentTime > 0.5"), secs(30));
    let muted = || (browser.run(&format!("return {VIDEO}.muted")), words(&browser, "mute"));
    assert_eq!(muted(), (json!(true), "Unmute".to_owned()));
    browser.run("document.getElementById('mute').click()");
    browser.wait("return document.getElementById('mute').textContent === 'Mute'", secs(5));
    assert_eq!(muted(), (json!(false), "Mute".to_owned()));
    let kept = "document.querySelector('#kept img')";
    assert_eq!(browser.run(&format!("return {kept}.checkVisibility()")), false);
    browser.run("document.getElementById('still').click()");
    browser.wait(&format!("return {kept}.checkVisibility() && {kept}.naturalWidth === 320"), secs(30));
    let save =
        browser.run("const { href, download } = document.getElementById('save'); return [href.slice(0, 15), download]");
    assert_eq!(save[0], "data:image/jpeg");
    let name = save[1].as_str().unwrap();
    assert!(name.starts_with("cam.webm-20") && name.ends_with("Z.jpg"), "{name}");
    // An address is copied, here without what browsers permit over TLS only.
    browser.run(
        "delete Navigator.prototype.clipboard;
        document.execCommand = () => { window.copied = document.activeElement.value };
        document.querySelector('[data-copy$=\".webm\"]').click()",
    );
    browser.wait(&format!("return window.copied === '{}'", server.url("/cam.webm")), secs(5));
    assert_eq!(browser.run("return document.querySelector('[data-copy$=\".webm\"]').textContent"), "Copied");
    assert!(words(&browser, "captured").starts_with("Captured "), "{}", words(&browser, "captured"));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn pictures_are_shown_with_their_age() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    // Its codec is known then: no browser plays it.
    server.get("/stream/odd.ts").take(1000, SOON);
    let canvas = "document.querySelector('.view canvas')";
    let moves = format!(
        "const canvas = {canvas};
        if (canvas?.width !== 320) return false;
        const now = canvas.toDataURL();
        if (now !== window.last) {{ window.last = now; window.changes = (window.changes ?? 0) + 1 }}
        return window.changes > 3"
    );
    let odd = "/%3Cimg%20src=x%20onerror=window.evil=1%3E/play";
    for (target, age) in [(odd, 2.0), ("/cam.mjpeg/play", 1.0), ("/cam.ts/play", 2.0)] {
        browser.open(&server.url(target));
        browser.wait(&moves, secs(30));
        let first = wait_behind(&browser, SOON, |seconds| seconds < age);
        wait_behind(&browser, SOON, |seconds| seconds != first);
        assert!(words(&browser, "dropped").contains(" of "));
        assert_eq!(browser.run("return window.evil ?? null"), Value::Null);
    }
    // What browsers do not play leads to what they do, of the same camera.
    let links = browser.run("return [...document.querySelectorAll('main a')].map((link) => link.pathname)");
    let links: Vec<_> = links.as_array().unwrap().iter().map(|link| link.as_str().unwrap()).collect();
    assert_eq!(links[0], "/cam.mjpeg/play");
    assert!(links.contains(&"/cam.webm/play") && !links.contains(&"/radio.mp3/play"), "{links:?}");
    let ways = browser.run("return [...document.querySelectorAll('.ways code')].map((code) => code.textContent)");
    let (ways, url) = (ways.as_array().unwrap(), server.url("/cam.ts?header=1&keyframe=1"));
    assert_eq!(ways[0], format!("ffplay -fflags nobuffer -flags low_delay '{url}'"));
    assert_eq!(ways.len(), 5);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn sound_is_played_near_to_its_end() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    for target in ["/radio.mp3/play", "/radio.ogg/play"] {
        browser.open(&server.url(target));
        browser.wait("return document.querySelector('.view audio')?.currentTime > 1", secs(30));
        assert_eq!(words(&browser, "mute"), "Mute");
        assert_eq!(browser.run("return document.getElementById('still')"), Value::Null);
    }
    browser.open(&server.url("/radio.mp3/play"));
    wait_behind(&browser, SOON, |seconds| seconds < 1.0);
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn streams_play_without_scripts() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start_without_scripts());
    browser.open(&server.url("/cam.webm/play"));
    browser.wait(&format!("return {VIDEO}.currentTime > 1"), secs(30));
    assert_eq!(browser.run("return document.getElementById('panel').checkVisibility()"), false, "nothing would happen");
    for target in ["/cam.mjpeg/play", "/cam.ts/play"] {
        browser.open(&server.url(target));
        browser.wait("return document.querySelector('.view img').naturalWidth === 320", secs(30));
    }
    browser.open(&server.url("/radio.ogg/play"));
    let element = "const { controls, src } = document.querySelector('.view audio'); return controls && src";
    assert_eq!(browser.run(element), server.url("/radio.ogg?header=1&keyframe=1"));
    assert_eq!(browser.complaints(), [""; 0]);
}
