//! What a browser makes of it.

use crate::{
    editor::ENTER,
    rig::{
        Launch, SOON, Server,
        browser::{Browser, have_browser},
        holds_for,
        http::{self, Next},
        process, rounds,
        script::{H264, PICTURE, TONE, shell},
        secs, wait_until,
    },
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::time::Instant;

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

/// How often a picture of the page has been another one since the first call.
const CHANGES: &str = "
    const media = document.querySelector('article canvas, article video'), canvas = document.createElement('canvas');
    if (!media) return 0;
    [canvas.width, canvas.height] = [320, 240];
    canvas.getContext('2d').drawImage(media, 0, 0, 320, 240);
    const now = canvas.toDataURL();
    if (now !== window.last) { window.last = now; window.changes = (window.changes ?? -1) + 1 }
    return window.changes";

#[test]
fn home_page_shows_stills_and_plays_what_is_pointed_at() {
    if have_browser() {
        shows_streams(&Browser::start());
    }
}

pub fn shows_streams(browser: &Browser) {
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          mic: {{pipeline: '{TONE}'}}
          bad: {{command: [false], mode: continuous}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 50}}}}
          radio.mp3: {{feed: mic, audio: {{codec: mp3}}}}
          bad: {{feed: bad, container: ts}}
        "
    ));
    browser.open(&server.url("/"));
    let tile = |name: &str| format!("document.querySelector('article[aria-label=\"{name}\"]')");
    // Stills of what was idle are taken once, and its feed is left alone then.
    let has_still = |name: &str| format!("return {}.querySelector('img')?.naturalWidth === 320", tile(name));
    browser.wait(&has_still("cam.mjpeg"), secs(30));
    browser.wait(&has_still("cam.webm"), secs(30));
    let badge = |name: &str| format!("{}.querySelector('.badges').textContent", tile(name));
    browser.wait(&format!("return {} === '○ Idle'", badge("cam.webm")), secs(30));
    browser.wait(&format!("return {}.endsWith('Trying again')", badge("bad")), secs(30));
    assert_eq!(browser.run(&format!("return {}.querySelector('audio').controls", tile("radio.mp3"))), true);
    assert_eq!(browser.run("return document.querySelectorAll('img').length"), 2, "nothing else has stills");
    let background = "return getComputedStyle(document.querySelector('.view.sound')).backgroundColor";
    assert_ne!(browser.run(background), "rgb(0, 0, 0)");
    // The mouse plays a tile for as long as it is there.
    let point = |name: &str, how: &str| {
        let event = format!("new PointerEvent('{how}', {{ pointerType: 'mouse' }})");
        browser.run(&format!("{}.querySelector('a.view').dispatchEvent({event})", tile(name)));
    };
    point("cam.mjpeg", "pointerenter");
    let changes = || browser.run(CHANGES).as_i64().unwrap();
    wait_until("it moves", secs(30), || changes() > 5);
    browser.wait(&format!("return {} === '● Live'", badge("cam.mjpeg")), secs(30));
    let facts = format!("return {}.querySelector('.kind').textContent", tile("cam.mjpeg"));
    wait_until("its facts", secs(30), || {
        let facts = browser.run(&facts);
        let facts = facts.as_str().unwrap();
        facts.starts_with("320×240 · 25 fps · ") && facts.ends_with("bit/s · 1 viewer")
    });
    point("cam.mjpeg", "pointerleave");
    assert_eq!(browser.run("return document.querySelector('voyandz-view')"), Value::Null);
    // So does Enter.
    browser.run(&format!("{}.querySelector('a.view').focus()", tile("cam.webm")));
    browser.press("", ENTER);
    browser.wait("return document.querySelector('article video')?.videoWidth === 320", secs(30));
    assert_eq!(browser.run("return location.pathname"), "/");
    browser.run(&format!("{}.querySelector('a.view').dispatchEvent(new FocusEvent('blur'))", tile("cam.webm")));
    assert_eq!(browser.run("return document.querySelector('voyandz-view')"), Value::Null);
    assert_eq!(server.log.count(r"path=.?/ .*status=200"), 1, "what its script asks for is no line");
    // Chosen streams play on the wall.
    browser.open(&server.url("/wall?stream=cam.mjpeg&stream=cam.webm"));
    browser.wait("return [...document.querySelectorAll('.tile voyandz-view')].filter(({ now }) => now?.state === 'playing').length === 2", secs(30));
    assert_eq!(browser.run("return document.querySelectorAll('input:checked').length"), 2);
    // A stream may stop in the moment that its still is asked for.
    let complaints = browser.complaints();
    assert!(complaints.iter().all(|complaint| complaint.contains("/pic?")), "{complaints:?}");
}

#[test]
fn browser_shows_the_picture_that_came_last() {
    if !have_browser() {
        return;
    }
    let launch = Launch::bare();
    let file = |name: &str, colour: [u8; 3]| {
        let path = launch.folder().join(name);
        image::RgbImage::from_pixel(64, 64, image::Rgb(colour)).save(&path).unwrap();
        path.display().to_string()
    };
    let (red, blue, go) = (file("red.jpg", [255, 0, 0]), file("blue.jpg", [0, 0, 255]), launch.folder().join("go"));
    // Red again and again, and once it may, blue once and nothing more.
    let command =
        shell(&format!("while [ ! -e {} ]; do cat {red}; sleep 0.2; done; cat {blue}; exec sleep 1000", go.display()));
    let yaml = format!("feeds: {{cam: {{command: {command}}}}}\nstreams: {{cam.mjpeg: {{feed: cam}}}}");
    let (server, browser) = (launch.with(&yaml).start(), Browser::start());
    browser.open(&server.url("/nothing"));
    browser.run("document.body.innerHTML = '<img src=/cam.mjpeg>'");
    let shows = |red: u8, blue: u8| {
        let look = format!(
            "const img = document.querySelector('img'), canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [1, 1];
            const context = canvas.getContext('2d');
            context.drawImage(img, 0, 0, 1, 1);
            const [red, , blue] = context.getImageData(0, 0, 1, 1).data;
            return Math.abs(red - {red}) < 20 && Math.abs(blue - {blue}) < 20"
        );
        browser.wait(&look, secs(4));
    };
    shows(255, 0);
    std::fs::write(go, "").unwrap();
    shows(0, 255);
}

/// A page whose only element of its own plays this stream.
fn play(browser: &Browser, server: &Server, element: &str, target: &str) {
    browser.open(&server.url("/wall?stream=none"));
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
        browser.wait("return document.querySelector('video').videoWidth === 320", secs(30));
        browser
            .wait("return document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 25", secs(30));
    }
    for target in ["/radio.ogg", "/radio.mp3"] {
        play(&browser, &server, "audio", target);
        browser.wait("return document.querySelector('audio').currentTime > 1", secs(30));
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// The same elements play on the same connections, whatever becomes of the worker.
#[test]
fn films_continue_when_the_worker_dies() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams:
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 25}}}}
          cam.mp4: {{feed: cam, video: {{codec: h264, gop: 25}}}}
        "
    ));
    let browser = Browser::start();
    browser.open(&server.url("/wall?stream=none"));
    browser.run(
        "document.body.innerHTML = '';
        window.faults = [];
        for (const name of ['webm', 'mp4']) {
            const player = document.createElement('video');
            for (const event of ['error', 'ended']) {
                player.addEventListener(event, () => faults.push(`${name}: ${event} ${player.error?.message ?? ''}`));
            }
            player.muted = true;
            player.src = `/cam.${name}`;
            document.body.append(player);
            player.play();
        }",
    );
    for round in 1..=rounds(3, 20) {
        // Each shows some new frames.
        browser.wait(
            "const counts = [...document.querySelectorAll('video')].map(it => it.getVideoPlaybackQuality().totalVideoFrames);
            window.before ??= [0, 0];
            if (window.faults.length) return true;
            if (!counts.every((count, at) => count >= window.before[at] + 20)) return false;
            window.before = counts;
            return true",
            secs(30),
        );
        assert_eq!(browser.run("return window.faults"), json!([]), "round {round}: {}", server.log.text());
        if round > 1 {
            assert_eq!(server.log.count("viewer left"), 0, "round {round}");
        }
        process::send(server.worker("cam"), Signal::SEGV);
        server.log.wait_nth("worker exited unexpectedly", round, SOON);
        server.log.wait_nth("worker started group=cam ", round + 1, SOON);
    }
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
    browser.wait("return document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 25", secs(30));
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
    browser.wait("return window.fetched >= 50000", secs(30));
}

#[test]
fn each_stream_has_a_page_that_shows_it() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.webm: {{feed: cam, video: {{codec: vp8, gop: 50}}}}
          cam.ts: {{feed: cam, url: /a b.ts, video: {H264}}}
        "
    ));
    let browser = Browser::start();
    browser.open(&server.url("/cam.mjpeg/play"));
    browser.wait("return document.querySelector('.view canvas')?.width === 320", secs(30));
    browser.open(&server.url("/stream/cam.webm/play"));
    browser.wait("return document.querySelector('.view video')?.currentTime > 1", secs(30));
    // A container that browsers do not know: the same video is in the segments of HLS.
    browser.open(&server.url("/a%20b.ts/play"));
    browser.wait("return document.querySelector('.view video')?.currentTime > 1", secs(30));
    assert_eq!(browser.run("return document.getElementById('way').textContent"), "HLS");
    assert_eq!(browser.run(NAMELESS), Value::Array(vec![]));
    assert_eq!(browser.complaints(), [""; 0]);
    let hidden = Server::start("pages: {home: false}\nfeeds: {f: {command: cat}}\nstreams: {s.ts: {feed: f}}");
    assert_eq!((hidden.get("/s.ts/play").status, hidden.get("/player.js").status), (404, 404));
}

#[test]
fn pages_can_listen_to_events() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (Server::start("feeds: {a: {command: cat}}"), Browser::start());
    browser.open(&server.url("/"));
    browser.run(
        "window.told = [];
        const source = new EventSource('/events');
        for (const kind of ['snapshot', 'feed', 'feed-gone'])
            source.addEventListener(kind, (event) => window.told.push(kind + ':' + JSON.parse(event.data).name))",
    );
    browser.wait("return window.told.join() === 'snapshot:undefined'", secs(30));
    server.reload("feeds: {b: {command: cat}}");
    browser.wait("return window.told.join() === 'snapshot:undefined,feed-gone:a,feed:b'", secs(30));
    assert_eq!(browser.complaints(), [""; 0]);
}

/// Something of each kind, some of it in trouble, with texts that would be harmful as markup.
fn plant() -> Server {
    let evil = "<img src=x onerror=\"window.evil = 1\"><script>window.evil = 1</script>";
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          idle: {{pipeline: '{PICTURE}'}}
          bad: {{command: {bad}, mode: continuous}}
        streams:
          cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          cam.ts: {{feed: cam, video: {H264}}}
          idle.ts: {{feed: idle, video: {H264}}}
          odd:
            feed: bad
            url: '/%3Cimg src=x onerror=evil()%3E&\"x\"'
          shot: {{type: shot, command: [echo, hello], mimetype: text/plain}}
        ",
        bad = shell(&format!(
            "echo {} >&2; sleep 0.2; exit 1",
            format!("\"{}\"", evil.replace('"', "\\\"")).replace('\'', "")
        ))
    ))
}

/// Opens the page when the feed that cannot live has died, while somebody watches a stream.
fn visit(server: &Server, browser: &Browser) {
    watch(server, "/cam.mjpeg");
    server.log.wait("ended feed=bad", secs(30));
    browser.open(&server.url("/stat"));
}

/// Watches a stream as long as the server is there.
fn watch(server: &Server, path: &str) {
    let mut viewer = server.get(path);
    viewer.take(1000, secs(30));
    std::thread::spawn(move || while let Next::Data(_) = viewer.next(Instant::now() + secs(30)) {});
}

/// The value of a fact on the page.
fn fact(browser: &Browser, key: &str) -> Value {
    browser.run(&format!("return document.querySelector('data[data-key=\"{key}\"]')?.value"))
}

#[test]
fn state_page_keeps_itself_fresh_and_markup_in_it_is_text() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (plant(), Browser::start());
    visit(&server, &browser);
    assert_eq!(fact(&browser, "streams[cam.mjpeg].readers"), "1");
    let before = fact(&browser, "streams[cam.mjpeg].packets");
    let grown = "document.querySelector('data[data-key=\"streams[cam.mjpeg].packets\"]').value";
    browser.wait(&format!("return Number({grown}) > Number({before})"), secs(30));
    // What is open stays open when something comes or goes: another stream begins to run, and has a picture then.
    browser.run("document.getElementById('feeds[cam]').open = true; window.same = true");
    watch(&server, "/cam.ts");
    browser.wait("return document.querySelectorAll('.view img').length === 2", secs(30));
    assert_eq!(browser.run("return document.getElementById('feeds[cam]').open && window.same"), true);
    browser.run("document.querySelectorAll('img').forEach((img) => { img.loading = 'eager' })");
    browser.wait("return [...document.images].every((img) => img.naturalWidth === 320)", secs(30));
    assert_eq!(fact(&browser, "streams[idle.ts].starts"), "0", "a page starts nothing");
    assert_eq!(browser.run("return window.evil ?? null"), Value::Null);
    let words = browser.run("return document.body.textContent");
    assert!(words.as_str().unwrap().contains("<script>window.evil = 1</script>"));
    assert_eq!(browser.complaints(), [""; 0]);
    for (name, width) in [("phone", 390), ("desktop", 1280)] {
        for scheme in ["light", "dark"] {
            browser.prefer(scheme);
            browser.resize(width);
            let fits = "return document.documentElement.scrollWidth <= window.innerWidth";
            assert_eq!(browser.run(fits), true, "wider than a {name}");
            assert_eq!(browser.run(FAINT), Value::Array(vec![]), "hard to read in {scheme}");
        }
    }
    assert_eq!(server.log.count(r"path=.?/stat[ ?]"), 1, "what its script asks for is no line");
    // What was there is old when the server is gone, which is said and nothing else.
    drop(server);
    browser.wait("return document.getElementById('notice').textContent !== ''", secs(30));
}

#[test]
fn state_page_is_complete_without_scripts_and_every_link_answers() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (plant(), Browser::start_without_scripts());
    visit(&server, &browser);
    assert_eq!(fact(&browser, "streams[cam.mjpeg].readers"), "1");
    assert_eq!(fact(&browser, "feeds[bad].kind"), "command");
    server.log.wait("path=/stat ", secs(30));
    assert!(holds_for(secs(3), || server.log.count("path=/stat ") == 1), "a script runs");
    for page in ["/stat", "/"] {
        browser.open(&server.url(page));
        let links = browser.run("return [...document.links].map((link) => new URL(link.href).pathname)");
        let links: Vec<_> = links.as_array().unwrap().iter().map(|link| link.as_str().unwrap().to_owned()).collect();
        assert!(links.len() > 6, "{links:?}");
        for link in links {
            let head = http::request(server.address(), "HEAD", &link, "");
            assert_eq!(head.status, 200, "{link} of {page}");
        }
        assert_eq!(browser.run(NAMELESS), Value::Array(vec![]), "of {page}");
    }
    assert_eq!(browser.complaints(), [""; 0]);
}

/// What has no name for those who do not see it, and what is missing for them to find their way.
const NAMELESS: &str = "
    const named = (element) => element.textContent.trim() || element.getAttribute('aria-label') || element.alt;
    const one = (what) => document.querySelectorAll(what).length === 1 ? [] : [what + ' is not there once'];
    const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
    const levels = [...document.querySelectorAll('h1,h2,h3')].map((element) => Number(element.localName[1]));
    return [
        ...['main', 'h1', 'header:not(article header)', 'html[lang]', 'title', 'meta[name=viewport]'].flatMap(one),
        ...[...document.querySelectorAll('a,nav,img:not([aria-label] img),video[aria-label],summary,th,h1,h2,h3,[role=region]')]
            .filter((element) => !named(element)).map((element) => element.outerHTML),
        ...ids.filter((id, at) => ids.indexOf(id) !== at).map((id) => 'twice: ' + id),
        ...levels.filter((level, at) => at > 0 && level > levels[at - 1] + 1).map((level) => 'skipped to h' + level),
    ]";

/// Texts whose contrast is below 4.5 to 1 (WCAG 2.2, 1.4.3).
const FAINT: &str = "
    const colour = (text) => text.match(/[\\d.]+/g).map(Number);
    const light = (parts) => {
        const [r, g, b] = parts.slice(0, 3).map((part) => part / 255)
            .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const parts = colour(getComputedStyle(at).backgroundColor);
            if (parts.length < 4 || parts[3] > 0) return parts;
        }
        return [255, 255, 255];
    };
    const written = [...document.querySelectorAll('body *')].filter((element) =>
        element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return written.filter((element) => {
        const [a, b] = [light(colour(getComputedStyle(element).color)), light(behind(element))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
    }).map((element) => element.outerHTML)";
