//! DASH, as players request it: segments that leave while they are made, and players in a browser a second behind live.

use crate::rig::{
    SOON, Server,
    browser::{Browser, have_browser},
    have,
    http::Next,
    publisher::{H264_AAC, Publisher},
    script::{H264, PICTURE, TONE},
    secs,
    state::wait_for,
    times, tool, wait_until,
};
use regex::Regex;
use std::{
    io::Read,
    thread,
    time::{Duration, Instant},
};

fn camera() -> Server {
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam: {{feed: cam, video: {H264}, audio: [aac, opus]}}
          loud: {{feed: cam, video: null, audio: aac}}
          mute: {{feed: cam, video: {{codec: vp8, bitrate: 400k}}, audio: null}}
        "
    ))
}

fn manifest(server: &Server, path: &str) -> String {
    server.get(path).text()
}

/// Waits until segments are numbered by the clock: the number of the first one, the seconds from one to the next, and the seconds
/// since 1970 of the first one.
fn clock(server: &Server, path: &str) -> (u64, f64, f64) {
    let mut text = String::new();
    wait_until("segments come at a constant distance", secs(20), || {
        text = manifest(server, path);
        text.contains("</Period>") && !text.rsplit_once("<Period").unwrap().1.contains("<SegmentTimeline>")
    });
    let last = text.rsplit_once("<Period").unwrap().1;
    let number = |text: &str, name: &str| -> f64 {
        let found = Regex::new(&format!(" {name}=\"(?:PT)?([0-9.]+)")).unwrap();
        found.captures(text).unwrap_or_else(|| panic!("no {name}: {text}"))[1].parse().unwrap()
    };
    let began = Regex::new("availabilityStartTime=\"([^\"]+)\"").unwrap().captures(&text).unwrap()[1].to_owned();
    let began = began.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1000.0;
    let distance = number(last, "duration") / number(last, "timescale");
    (number(last, "startNumber") as u64, distance, began + number(last, "start"))
}

fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

#[test]
fn segments_leave_while_they_are_made() {
    let server = camera();
    let (first, distance, begins) = clock(&server, "/cam.mpd");
    assert!((1.9..=2.1).contains(&distance), "{distance}");
    // The next one that begins, which a player requests a little early.
    let number = first + ((now() - begins) / distance) as u64 + 1;
    let path = |folder: &str, rendition: &str| format!("/cam/{folder}/{rendition}-{number}.m4s");
    let begin = begins + (number - first) as f64 * distance;
    let (arrivals, whole) = thread::scope(|scope| {
        let whole = scope.spawn(|| {
            // As HLS has it, the answer is the complete segment.
            wait_until("it has begun", secs(10), || now() > begin + 0.1);
            let mut answer = server.get(&path("hls", "v0"));
            assert_eq!(answer.status, 200);
            let bytes = answer.rest(SOON);
            (bytes, now())
        });
        let mut answer = server.get(&path("dash", "v0"));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-length"), None);
        assert!(answer.header("cache-control").unwrap().contains("immutable"));
        let (mut bytes, mut arrivals) = (Vec::new(), Vec::new());
        while let Next::Data(piece) = answer.next(Instant::now() + SOON) {
            arrivals.push(now());
            bytes.extend(piece);
        }
        let (expect, came) = whole.join().unwrap();
        assert!(bytes == expect, "{} bytes while it was made, {} afterwards", bytes.len(), expect.len());
        (arrivals, came)
    });
    // Parts of 0.2 s: the first one leaves long before the segment is complete, the last one with it.
    let [first, .., last] = arrivals[..] else { panic!("{arrivals:?}") };
    assert!(arrivals.len() >= 5, "{arrivals:?}");
    assert!(whole - first > distance / 2.0, "{arrivals:?}, complete {whole}");
    assert!((last - whole).abs() < distance / 2.0, "{arrivals:?}, complete {whole}");
    // What is too far ahead is not waited for.
    assert_eq!(server.get(&format!("/cam/dash/v0-{}.m4s", number + 50)).status, 404);
    assert_eq!(server.get(&path("dash", "a0")).status, 200);
}

/// When frames were captured is not known of a publisher.
#[test]
fn what_is_published_has_dates_too() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start("feeds: {studio: {publish: {key: s3cret}}}\nstreams: {studio: {feed: studio}}\n");
    let _publisher = Publisher::put(H264_AAC, "mpegts", &server.url("/studio?key=s3cret"));
    wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    let began = Instant::now();
    let text = manifest(&server, "/studio.mpd");
    assert!(began.elapsed() < secs(3) && text.contains("availabilityStartTime"), "{:?} {text}", began.elapsed());
    let playlist = server.get("/studio.m3u8").text();
    let video = playlist.lines().find(|line| line.contains("v0.m3u8")).unwrap();
    let text = manifest(&server, &format!("/{video}"));
    let date = text
        .lines()
        .find_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:"))
        .unwrap_or_else(|| panic!("{text}"));
    let late = now() - date.parse::<jiff::Timestamp>().unwrap().as_millisecond() as f64 / 1000.0;
    assert!((0.0..10.0).contains(&late), "{late}");
}

#[test]
fn a_segment_that_is_not_completed_ends_its_response() {
    let server = camera();
    let (first, distance, begins) = clock(&server, "/cam.mpd");
    let number = first + ((now() - begins) / distance) as u64 + 1;
    let response = ureq::get(server.url(&format!("/cam/dash/v0-{number}.m4s"))).call().unwrap();
    let mut body = response.into_body().into_reader();
    body.read_exact(&mut [0; 100]).unwrap();
    let began = Instant::now();
    server.reload("");
    let error = body.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(began.elapsed() < secs(10), "{error}");
}

/// Shows a stream by one of the players; `behind()` says how many seconds ago what is shown was captured.
const PLAYERS: &str = "
    // What of the media's own time is at 0 s of the player's.
    const append = SourceBuffer.prototype.appendBuffer;
    SourceBuffer.prototype.appendBuffer = function (bytes) {
        window.shift = this.timestampOffset;
        return append.call(this, bytes);
    };
    window.show = async (player, url) => {
        const text = await (await fetch(url.replace('.m3u8', '.mpd'))).text();
        window.began = Date.parse(/availabilityStartTime=\"([^\"]+)\"/.exec(text)[1]) / 1000;
        document.body.innerHTML = '';
        const video = window.video = document.createElement('video');
        [video.muted, window.waits, window.failed] = [true, 0, []];
        document.body.append(video);
        // What it does to begin is none.
        window.delays = [];
        setTimeout(() => video.addEventListener('waiting', () => { window.waits += 1 }), 2000);
        clearInterval(window.sampling);
        window.sampling = setInterval(() => {
            const delay = video.currentTime > 0 && !video.paused ? window.behind() : NaN;
            if (Number.isFinite(delay)) window.delays.push(delay);
        }, 250);
        const fail = (event) => window.failed.push(JSON.stringify(event.error ?? event.detail ?? event));
        if (player === 'dash.js') {
            const dash = dashjs.MediaPlayer().create();
            dash.updateSettings({ streaming: { liveCatchup: { enabled: true } } });
            dash.on('error', fail);
            dash.initialize(video, url, true);
            window.behind = () => Date.now() / 1000 - window.began - video.currentTime;
            window.end = () => dash.destroy();
        } else if (player === 'hls.js') {
            const hls = new Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1 });
            hls.on(Hls.Events.ERROR, (event, data) => { if (data.fatal) fail(data.details) });
            window.behind = () => (Date.now() - hls.playingDate?.getTime()) / 1000;
            window.end = () => hls.destroy();
            hls.loadSource(url);
            hls.attachMedia(video);
            video.play();
        } else {
            const shown = new shaka.Player();
            // Both kinds have the same fragments. The date that the player tells jumps when the window has moved past its start.
            window.behind = () => Date.now() / 1000 - window.began - (video.currentTime - window.shift);
            window.end = () => shown.destroy();
            shown.addEventListener('error', fail);
            shown.configure({ streaming: { lowLatencyMode: true, liveSync: { enabled: true } } });
            shown.attach(video).then(() => shown.load(url)).then(() => video.play()).catch(fail);
        }
    };
";

/// Opens a page that has all players; whether they are installed.
pub fn load_players(browser: &Browser, server: &Server) -> bool {
    let libraries = ["dashjs-5.2.1.js", "shaka-player-5.2.12.js", "hls.js-1.7.4.js"].map(tool);
    // Its own pages allow no foreign scripts that make media.
    browser.open(&server.url("/livez"));
    for library in libraries {
        let Some(library) = library else { return false };
        let library = std::fs::read_to_string(library).unwrap();
        browser.run(&format!(
            "const script = document.createElement('script'); script.textContent = {}; document.head.append(script)",
            serde_json::json!(library)
        ));
    }
    browser.run(PLAYERS);
    true
}

/// Plays for so long; how many seconds the player is behind live: at the end, the median, and what it is less than 95 % of the time.
pub fn play(browser: &Browser, player: &str, url: &str, wait: Duration) -> [f64; 3] {
    browser.run(&format!("return show('{player}', '{url}')"));
    let seconds = wait.as_secs_f64();
    let played = "Array.from(video.played, (_, at) => video.played.end(at) - video.played.start(at)).reduce((sum, one) => sum + one, 0)";
    browser.wait(&format!("return {played} > {seconds} || failed.length > 0"), wait + secs(30));
    assert_eq!(browser.run("return failed.join()"), "", "{player} {url}");
    let value = |script: &str| browser.run(&format!("return {script}"));
    let delays = value("clearInterval(sampling) ?? delays.sort((one, other) => one - other)");
    let delays: Vec<f64> = delays.as_array().unwrap().iter().map(|delay| delay.as_f64().unwrap()).collect();
    let end = value("behind()").as_f64().unwrap();
    let [median, most] =
        [0.5, 0.95].map(|part| delays.get((part * delays.len() as f64) as usize).copied().unwrap_or(end));
    let (waits, rate) = (value("waits"), value("video.playbackRate"));
    println!("{player} {url}: {median:.2} s behind, 95 % less than {most:.2} s; {waits} waits, rate {rate}");
    [end, median, most]
}

#[test]
fn players_in_a_browser_are_a_second_behind() {
    if !have_browser() {
        return;
    }
    let (server, browser) = (camera(), Browser::start());
    let (..) = clock(&server, "/cam.mpd");
    if !load_players(&browser, &server) {
        return;
    }
    let seconds = times("VOYANDZ_PLAY_SECONDS", 4);
    for (player, url) in
        [("dash.js", "/cam.mpd"), ("shaka", "/cam.mpd"), ("shaka", "/cam.m3u8"), ("hls.js", "/cam.m3u8")]
    {
        let [end, median, most] = play(&browser, player, url, secs(seconds.into()));
        // Two segments and more without segments that grow. In a minute, on a machine that does nothing else, it is a second.
        let is_near =
            if seconds < 60 { (0.1..4.0).contains(&end) } else { (0.1..=1.3).contains(&median) && most <= 1.6 };
        assert!(is_near, "{player} {url}: {end} s, {median} s, {most} s");
        let waits = browser.run("return waits").as_u64().unwrap();
        assert!(seconds < 60 || waits == 0, "{player} {url} stalls {waits} times");
        browser.run("end()");
    }
    // Audio alone and video alone, in codecs of their own.
    for (player, url) in [("dash.js", "/loud.mpd"), ("shaka", "/loud.mpd"), ("shaka", "/loud.m3u8")] {
        play(&browser, player, url, secs(2));
        browser.run("end()");
    }
    for status in 400..600 {
        assert_eq!(server.log.count(&format!("(dash|hls)/.* status={status} ")), 0, "{}", server.log.text());
    }
}
