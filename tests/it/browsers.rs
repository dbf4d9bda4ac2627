//! What a browser makes of it.

use crate::rig::{
    Server,
    browser::Browser,
    have,
    script::{PICTURE, TONE},
    secs,
};

fn studio() -> Server {
    Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 50}}}}
        "
    ))
}

fn have_browser() -> bool {
    have("chromedriver") && have("chromium")
}

#[test]
fn page_shows_moving_pictures() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.open(&server.url("/"));
    browser.wait("return document.querySelector('img').naturalWidth === 320", secs(10));
    // A picture of the picture; the ball has moved when it is another one.
    let look = "const img = document.querySelector('img'), canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [img.naturalWidth, img.naturalHeight];
        canvas.getContext('2d').drawImage(img, 0, 0);
        const now = canvas.toDataURL();
        if (now !== window.last) { window.last = now; window.changes = (window.changes ?? 0) + 1 }
        return window.changes > 5";
    browser.wait(look, secs(10));
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn page_plays_webm() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (studio(), Browser::start());
    browser.open(&server.url("/"));
    browser.run("document.querySelector('video').play()");
    browser.wait("return document.querySelector('video').currentTime > 2", secs(15));
    let frames = "document.querySelector('video').getVideoPlaybackQuality()";
    browser.wait(&format!("return {frames}.totalVideoFrames > 40"), secs(15));
    browser.wait("return document.querySelector('video').videoWidth === 320", secs(5));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// A page whose only element of its own plays this stream.
fn play(browser: &Browser, server: &Server, element: &str, target: &str) {
    browser.open(&server.url("/"));
    browser.run(&format!(
        "document.body.innerHTML = '';
        const player = document.createElement('{element}');
        player.muted = true;
        player.src = '{target}?header=1&keyframe=1';
        document.body.append(player);
        player.play()"
    ));
}

#[test]
fn films_and_sound_play_in_plain_elements() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams:
          film.mp4: {{feeds: [cam, mic], video: {{codec: h264, gop: 50}}, audio: {{codec: aac}}}}
          radio.ogg: {{feed: mic, audio: {{codec: opus}}}}
          radio.mp3: {{feed: mic, audio: {{codec: mp3}}}}
        "
    ));
    let browser = Browser::start();
    // Twice, so that the second one joins a stream that runs.
    for _ in 0..2 {
        play(&browser, &server, "video", "/film.mp4");
        browser.wait("return document.querySelector('video').videoWidth === 320", secs(15));
        browser
            .wait("return document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 25", secs(15));
    }
    for target in ["/radio.ogg", "/radio.mp3"] {
        play(&browser, &server, "audio", target);
        browser.wait("return document.querySelector('audio').currentTime > 1", secs(15));
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

#[test]
fn mp4_plays_by_media_source_extensions() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams: {{film.mp4: {{feed: cam, video: {{codec: h264, gop: 50}}}}}}
        "
    ));
    let browser = Browser::start();
    // The pages of voyandz forbid media of scripts, which their own do not need.
    browser.open(&server.url("/nothing"));
    browser.run(
        "document.body.innerHTML = '<video muted autoplay></video>';
        const video = document.querySelector('video'), source = new MediaSource();
        video.src = URL.createObjectURL(source);
        source.addEventListener('sourceopen', async () => {
            const buffer = source.addSourceBuffer('video/mp4; codecs=\"avc1.4d400d\"');
            const reader = (await fetch('/film.mp4?header=1&keyframe=1')).body.getReader();
            for (;;) {
                const { value, done } = await reader.read();
                if (done) return;
                buffer.appendBuffer(value);
                await new Promise(then => buffer.addEventListener('updateend', then, { once: true }));
                // The stream began before we came.
                if (video.buffered.length && video.currentTime < video.buffered.start(0)) {
                    video.currentTime = video.buffered.start(0);
                }
            }
        })",
    );
    browser.wait("return document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 25", secs(15));
}

#[test]
fn stream_can_be_fetched_by_a_page_of_another_origin() {
    if !have_browser() {
        return;
    }
    let (server, other, browser) = (studio(), Server::start(""), Browser::start());
    browser.open(&other.url("/nothing"));
    let script = format!(
        "fetch('{}').then(async answer => {{
            const reader = answer.body.getReader();
            let length = 0;
            while (length < 50000) length += (await reader.read()).value.length;
            await reader.cancel();
            window.fetched = length;
        }}, fault => window.fetched = String(fault))",
        server.url("/cam.webm?header=1&keyframe=1")
    );
    browser.run(&script);
    browser.wait("return window.fetched >= 50000", secs(15));
}
