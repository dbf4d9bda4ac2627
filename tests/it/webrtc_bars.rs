//! WebRTC: what browsers see of it, in figures with a bar each. They want a quiet machine; `VOYANDZ_SLACK` says by how much another one
//! may miss a bar of time.

use crate::{
    rig::{
        Dice, Launch, Server,
        browser::{Browser, have_browser},
        figure, have_failpoints, http, media, millis,
        script::{PICTURE, TONE},
        secs,
        state::state,
        times, wait_until,
    },
    webrtc::{PUBLISHER, number, play, player},
};
use rustix::process::Signal;
use std::{
    io::Write,
    net::TcpStream,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use voyandz::media::raw_frame::RawFrameHeader;

/// A feed of 30 frames a second that runs, and a stream with a keyframe every two seconds.
fn film() -> String {
    let picture = PICTURE.replace("25/1", "30/1");
    format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{picture}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams:
          film: {{feeds: [cam, mic], video: {{codec: h264, preset: ultrafast, bitrate: 1M, gop: 60}}, audio: {{codec: opus}}}}
        "
    )
}

const STUDIO: &str = "
    webrtc: {}
    feeds: {studio: {publish: {key: s3cret}}}
    streams: {studio: {feed: studio}}
";

/// Notes a time, and fails when it misses the bar by more than this machine may.
fn judge(what: &str, measured: Duration, bar: Duration) {
    let what = format!("WebRTC: {what}");
    figure(18, &what, measured, bar);
    assert!(measured <= bar * times("VOYANDZ_SLACK", 1), "{what}: {measured:?}");
}

/// Notes a number.
fn count(what: &str, measured: usize, bar: usize) {
    let what = format!("WebRTC: {what}");
    figure(18, &what, measured, bar);
    assert!(measured <= bar, "{what}: {measured}");
}

/// A number of the page that is none below zero.
fn whole(browser: &Browser, script: &str) -> usize {
    let found = number(browser, script);
    assert!(found >= 0.0, "{script} is {found}");
    found as usize
}

/// Milliseconds.
fn time(milliseconds: f64) -> Duration {
    assert!(milliseconds.is_finite(), "{milliseconds}");
    Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0)
}

fn quantile(sorted: &[f64], part: f64) -> Duration {
    time(sorted[((sorted.len() - 1) as f64 * part).round() as usize])
}

/// The numbers that a script returns, sorted.
fn numbers(browser: &Browser, script: &str) -> Vec<f64> {
    let found = browser.run(script);
    let mut found: Vec<f64> = found.as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
    found.sort_by(f64::total_cmp);
    found
}

/// Has the page do something that takes its time; `window.done` is what comes of it.
fn act(browser: &Browser, script: &str, seconds: u64) {
    browser.run(&format!(
        "window.done = window.failure = undefined;
        ({script}).then((done) => {{ window.done = done ?? true; }}, (failure) => {{ window.failure = String(failure); }})"
    ));
    browser.wait("return window.done !== undefined || (window.failure ?? false)", secs(seconds));
}

/// Waits until the page shows a frame.
fn wait_first(browser: &Browser) {
    browser.wait("return window.first !== undefined || (window.failure ?? false)", secs(30));
}

/// A first connection, in which the browser and the encoder get ready.
fn warm_up(browser: &Browser) {
    play(browser, "/film/whep", "['video', 'audio']");
    wait_first(browser);
}

#[test]
fn w1_a_browser_plays_without_a_loss() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let browser = player(&server);
    warm_up(&browser);
    play(&browser, "/film/whep", "['video', 'audio']");
    wait_first(&browser);
    // The first reports are of the beginning.
    browser.wait("return measured?.video?.framesDecoded > 30 && measured?.audio?.packetsReceived > 20", secs(20));
    let seconds = f64::from(times("VOYANDZ_WATCHED", 8));
    browser.run("window.before = { ...measured.video, at: performance.now(), time: document.querySelector('video').currentTime }");
    browser.wait(
        &format!(
            "return performance.now() - before.at >= {} && measured.video.timestamp > before.timestamp + {}",
            seconds * 1000.0,
            seconds * 1000.0
        ),
        secs(60),
    );
    let taken = number(&browser, "(measured.video.timestamp - before.timestamp) / 1000");
    let decoded = number(&browser, "measured.video.framesDecoded - before.framesDecoded");
    let behind = "performance.now() - before.at - (document.querySelector('video').currentTime - before.time) * 1000";
    let behind = number(&browser, &format!("Math.max(0, {behind})"));
    println!("{decoded} frames in {taken:.2} s, {:.2} a second", decoded / taken);
    count("frames of 100 that are not decoded", (100.0 - decoded / taken / 0.3).ceil().max(0.0) as usize, 4);
    judge("time of which the clock of the player is behind", time(behind), millis(500));
    count("lost packets without loss", whole(&browser, "measured.video.packetsLost + measured.audio.packetsLost"), 0);
    count("freezes without loss", whole(&browser, "measured.video.freezeCount"), 0);
    count("keyframe requests without loss", whole(&browser, "measured.video.pliCount"), 1);
    let jitter = "1000 * (measured.video.jitterBufferDelay - before.jitterBufferDelay) / (measured.video.jitterBufferEmittedCount - before.jitterBufferEmittedCount)";
    judge("jitter buffer", time(number(&browser, jitter)), millis(30));
}

#[test]
fn w2_joins_at_any_time() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let browser = player(&server);
    warm_up(&browser);
    let mut dice = Dice::new(18);
    let mut joins: Vec<f64> = Vec::new();
    for _ in 0..20 {
        let pause = dice.below(secs(2)).as_millis();
        let join = format!(
            "(async () => {{
                await new Promise((over) => setTimeout(over, {pause}));
                await play('/film/whep', ['video', 'audio']);
                while (window.first === undefined) await new Promise((over) => setTimeout(over, 5));
                return first;
            }})()"
        );
        act(&browser, &join, 20);
        joins.push(number(&browser, "done"));
    }
    joins.sort_by(f64::total_cmp);
    println!("joins in ms: {joins:.0?}");
    for (part, bar) in [(0.5, 150), (0.95, 300), (1.0, 600)] {
        judge(&format!("from the offer to the first frame, p{:.0}", part * 100.0), quantile(&joins, part), millis(bar));
    }
}

/// Width, height and side of the squares of the clock, 12 in each of two rows.
const CLOCK: (u32, u32, u32) = (384, 64, 32);

/// A publisher of raw frames that show what time it is.
struct Clock {
    stop: Option<Sender<()>>,
    sending: Option<JoinHandle<()>>,
}

impl Clock {
    /// Publishes thirty frames a second to `studio`.
    fn start(server: &Server) -> Self {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.set_nodelay(true).unwrap();
        let host = server.address();
        let head = format!("PUT /studio?key=s3cret HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        let (stop, stopped) = channel();
        let sending = std::thread::spawn(move || send_clock(&mut socket, &stopped));
        Self { stop: Some(stop), sending: Some(sending) }
    }
}

fn send_clock(socket: &mut TcpStream, stopped: &Receiver<()>) {
    let (began, mut number) = (Instant::now(), 0);
    loop {
        let due = began + secs(1) * number / 30;
        if stopped.recv_timeout(due.saturating_duration_since(Instant::now())) == Err(RecvTimeoutError::Disconnected) {
            break;
        }
        let frame = clock_frame(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis());
        let chunk = [format!("{:x}\r\n", frame.len()).as_bytes(), &frame, b"\r\n"].concat();
        // The server ends before its publisher.
        if socket.write_all(&chunk).is_err() {
            break;
        }
        number += 1;
    }
}

/// The lower 24 bits of the time as black and white squares.
fn clock_frame(now: u128) -> Vec<u8> {
    let (width, height, side) = CLOCK;
    let bits = (0..height).flat_map(|y| (0..width).map(move |x| x / side + 12 * (y / side)));
    let luma = bits.map(|bit| if now >> bit & 1 == 1 { 235 } else { 16 });
    let chroma = (width * height / 4) as usize;
    let planes = vec![(0, width), (width * height, width / 2), (width * height * 5 / 4, width / 2)];
    let length = (width * height * 3 / 2) as usize;
    let header = RawFrameHeader { width, height, format: "I420", colorimetry: "", planes, length };
    header.head().into_iter().chain(luma).chain(std::iter::repeat_n(128, 2 * chroma)).collect()
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(sending) = self.sending.take() {
            let _ = sending.join();
        }
    }
}

/// Reads the clock of each frame that is shown: `seen` has how old it is, in milliseconds, and how long after the first one that was.
const READER: &str = "
    const glass = document.createElement('canvas');
    [glass.width, glass.height] = [12, 2];
    const drawn = glass.getContext('2d', { willReadFrequently: true });
    drawn.imageSmoothingEnabled = false;
    window.read = () => {
        const shown = document.querySelector('video'), seen = window.seen = [];
        let began;
        const see = () => {
            const now = Date.now();
            drawn.drawImage(shown, 0, 0, 12, 2);
            const { data } = drawn.getImageData(0, 0, 12, 2);
            let clock = 0;
            for (let bit = 0; bit < 24; bit++) if (data[4 * bit] > 127) clock += 2 ** bit;
            began ??= now;
            const age = ((now - clock) % 2 ** 24 + 2 ** 24) % 2 ** 24;
            seen.push([now - began, age]);
            if (window.seen === seen) shown.requestVideoFrameCallback(see);
        };
        shown.requestVideoFrameCallback(see);
    };
";

#[test]
fn w3_w4_a_clock_that_is_published_is_read_in_the_browser() {
    if !have_browser() {
        return;
    }
    let server = Server::start(
        "
        webrtc: {}
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {film: {feed: studio, video: {codec: h264, preset: ultrafast, bitrate: 2M, gop: 60}}}
        ",
    );
    let _clock = Clock::start(&server);
    server.log.wait("publisher joined.*feed=studio", secs(10));
    let browser = player(&server);
    browser.run(READER);
    play(&browser, "/film/whep", "['video']");
    wait_first(&browser);
    let mut caught_up = Vec::new();
    for _ in 0..3 {
        play(&browser, "/film/whep", "['video']");
        browser.run("read()");
        wait_first(&browser);
        browser.wait("return (seen.at(-1)?.[0] ?? 0) > 2500", secs(20));
        caught_up
            .extend(numbers(&browser, "return seen.filter(([at]) => at >= 500 && at < 2500).map(([, age]) => age)"));
        let first = browser.run("return seen.slice(0, 20)");
        println!("after the first frame: {first}");
    }
    caught_up.sort_by(f64::total_cmp);
    println!(
        "{} frames from 500 ms after the first one on, at most {} ms old",
        caught_up.len(),
        caught_up.last().unwrap()
    );
    judge("age of frames from 500 ms after the first one on, p95", quantile(&caught_up, 0.95), millis(80));
    let until = f64::from(times("VOYANDZ_WATCHED", 8)) * 1000.0;
    browser.wait(&format!("return seen.at(-1)[0] > {until}"), secs(60));
    let ages = numbers(&browser, "return seen.filter(([at]) => at >= 500).map(([, age]) => age)");
    let widest = number(&browser, "Math.max(...seen.slice(1).map(([at], index) => at - seen[index][0]))");
    println!("{} frames, at most {} ms old, at most {widest} ms apart", ages.len(), ages.last().unwrap());
    judge("from the camera to the browser, p50", quantile(&ages, 0.5), millis(40));
    judge("from the camera to the browser, p95", quantile(&ages, 0.95), millis(80));
    browser.wait("return measured?.video?.framesDecoded > 100", secs(10));
    count("freezes while a clock is watched", whole(&browser, "measured.video.freezeCount"), 0);
}

#[test]
fn w5_five_percent_of_loss() {
    if !have_browser() || !have_failpoints() {
        return;
    }
    let server = Launch::new(&film()).env("FAILPOINTS", "webrtc-loss=5%return").start();
    let browser = player(&server);
    warm_up(&browser);
    let seconds = times("VOYANDZ_WATCHED", 8);
    browser.wait(&format!("return (measured?.video?.framesDecoded ?? 0) > {}", seconds * 30), secs(90));
    println!("{}", browser.run("return measured.video"));
    // What is lost now may still be sent again.
    let missing = number(&browser, "measured.video.packetsLost")
        - number(&browser, "measured.video.retransmittedPacketsReceived");
    let lost = number(&browser, "measured.video.packetsLost").max(1.0);
    count("lost packets of 100 that are not sent again", (100.0 * missing / lost).max(0.0).round() as usize, 10);
    count("freezes with 5 % loss", whole(&browser, "measured.video.freezeCount"), 1);
    count("keyframe requests with 5 % loss", whole(&browser, "measured.video.pliCount"), 2);
}

/// A page that publishes by `publish(…)`; `sent` is what the publisher reports of its video.
fn publisher(server: &Server) -> Browser {
    let browser = player(server);
    browser.run(PUBLISHER);
    browser.run(
        "window.sends = async () => {
            for (const one of (await publisher.getStats()).values())
                if (one.type === 'outbound-rtp' && one.kind === 'video') return one;
        };
        window.stop = async () => {
            for (const sender of publisher.getSenders()) await sender.replaceTrack(null);
            await new Promise((over) => setTimeout(over, 500));
            return await sends();
        };",
    );
    browser
}

/// A server that records what is published.
fn recorder(folder: &std::path::Path) -> Launch {
    Launch::new(&format!(
        "
        webrtc: {{}}
        feeds: {{studio: {{publish: {{key: s3cret}}}}}}
        streams: {{studio: {{feed: studio, record: {{folder: '{}', format: mkv, every: 1h}}}}}}
        ",
        folder.display()
    ))
}

/// Publishes about a hundred frames of a codec; how many were encoded, and what is in the recording, after `done` others.
fn record(
    server: &Server,
    browser: &Browser,
    codec: &str,
    folder: &std::path::Path,
    done: usize,
) -> (f64, media::Frames) {
    act(browser, &format!("publish('/studio/whip', '{codec}', 'L1T1')"), 20);
    browser.wait("return publisher.connectionState === 'connected'", secs(20));
    act(
        browser,
        "(async () => { while ((await sends())?.framesEncoded < 100) await new Promise((over) => setTimeout(over, 50)); })()",
        40,
    );
    act(browser, "stop()", 10);
    let encoded = number(browser, "done.framesEncoded");
    let path = browser.run("return new URL(published).pathname");
    let request = format!(
        "DELETE {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer s3cret\r\n\r\n",
        path.as_str().unwrap(),
        server.address()
    );
    assert_eq!(http::send(server.address(), &request).status, 200);
    browser.run("publisher.close()");
    let line = server.log.wait_nth("recording file closed", done + 1, secs(30));
    let files = walk(folder);
    assert_eq!(files.len(), done + 1, "{files:?}");
    let newest = files.iter().max_by_key(|file| std::fs::metadata(file).unwrap().modified().unwrap()).unwrap();
    let frames = media::Frames::of(&std::fs::read(newest).unwrap(), false);
    assert!(frames.complaints.is_empty(), "{codec}: {} {line}", frames.complaints);
    assert!(frames.sounds > 50, "{codec}: {}", frames.sounds);
    println!("{codec}: {encoded} encoded, {} recorded", frames.pictures.len());
    (encoded, frames)
}

#[test]
fn w6_all_that_a_browser_encodes_is_recorded() {
    if !have_browser() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = recorder(folder.path()).start();
    let browser = publisher(&server);
    for (done, codec) in ["H264", "VP8", "VP9", "AV1"].into_iter().enumerate() {
        let (encoded, frames) = record(&server, &browser, codec, folder.path(), done);
        let missing = (encoded - frames.pictures.len() as f64).abs() as usize;
        count(&format!("frames of a publisher that are not recorded ({codec})"), missing, 2);
    }
}

#[test]
fn w6_what_is_lost_on_its_way_here_is_sent_again_and_recorded() {
    if !have_browser() || !have_failpoints() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let server = recorder(folder.path()).env("FAILPOINTS", "webrtc-received-loss=5%return").start();
    let browser = publisher(&server);
    for (done, codec) in ["H264", "VP8"].into_iter().enumerate() {
        let (encoded, frames) = record(&server, &browser, codec, folder.path(), done);
        let again = number(&browser, "done.retransmittedPacketsSent");
        assert!(again > 0.0, "{codec}: nothing was sent again");
        // What is lost at the end is not missed.
        let missing = (encoded - frames.pictures.len() as f64).abs() as usize;
        count(&format!("frames that are not recorded with 5 % of loss ({codec})"), missing, 5);
    }
}

/// All files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .filter(|path| path.extension().is_some_and(|kind| kind == "mkv"))
        .collect()
}

/// `watchers` are viewers in one page, with what each reports of its video.
const WATCHERS: &str = "
    window.watch = async (path) => {
        const peer = new RTCPeerConnection();
        peer.addTransceiver('video', { direction: 'recvonly' });
        await peer.setLocalDescription();
        const headers = { 'Content-Type': 'application/sdp' };
        const response = await fetch(path, { method: 'POST', headers, body: peer.localDescription.sdp });
        const answer = await response.text();
        if (!response.ok) throw new Error(response.status + ' ' + answer);
        peer.session = response.headers.get('location');
        peer.onconnectionstatechange = () => {
            if (['disconnected', 'failed', 'closed'].includes(peer.connectionState)) peer.left ??= Date.now();
        };
        // The end of DTLS does not change the state of the connection, which ICE decides about seconds later.
        peer.addEventListener('track', ({ receiver }) => {
            receiver.transport.onstatechange = () => {
                if (receiver.transport.state === 'closed') peer.left ??= Date.now();
            };
        });
        await peer.setRemoteDescription({ type: 'answer', sdp: answer });
        return peer;
    };
    window.received = async (peer) => {
        for (const one of (await peer.getStats()).values()) if (one.type === 'inbound-rtp') return one;
    };
    window.gather = async (path, count) => { window.watchers = await Promise.all(Array.from({ length: count }, () => watch(path))); };
    window.all = async () => { window.reports = await Promise.all(watchers.map(received)); return reports; };
    window.playing = async () => { while (!(await all()).every((one) => one?.framesDecoded > 5)) await new Promise((over) => setTimeout(over, 50)); };
";

#[test]
fn w7_eight_viewers_of_a_publisher() {
    if !have_browser() {
        return;
    }
    let server = Server::start(STUDIO);
    let publishing = publisher(&server);
    act(&publishing, "publish('/studio/whip', 'H264', 'L1T1')", 20);
    server.log.wait("publisher joined.*feed=studio", secs(20));
    act(&publishing, "sends()", 10);
    let before = whole(&publishing, "done.pliCount ?? 0");
    let began = Instant::now();
    let browser = Browser::start();
    browser.open(&server.url("/livez"));
    browser.run(WATCHERS);
    act(&browser, "gather('/studio/whep', 8).then(playing)", 40);
    act(&publishing, "sends()", 10);
    let asked = whole(&publishing, "done.pliCount") - before;
    let most = began.elapsed().as_millis() as usize / 250 + 1;
    println!("{asked} keyframe requests while eight viewers joined");
    count("keyframe requests to the publisher beyond four a second", asked.saturating_sub(most), 0);
    let sent = |publishing: &Browser| {
        act(publishing, "sends()", 10);
        number(publishing, "done.framesSent")
    };
    act(&browser, "all().then((found) => found.map(({ framesReceived }) => framesReceived))", 10);
    browser.run("window.earlier = done");
    let first = sent(&publishing);
    while sent(&publishing) < first + 200.0 {}
    let frames = sent(&publishing) - first;
    act(
        &browser,
        "all().then((found) => found.map(({ framesReceived }, index) => framesReceived - earlier[index]))",
        10,
    );
    let received = numbers(&browser, "return done");
    println!("{frames} frames sent, received: {received:?}");
    count(
        "frames of 100 that the worst of eight viewers misses",
        (100.0 - 100.0 * received[0] / frames).max(0.0).floor() as usize,
        5,
    );
}

#[test]
fn w10_without_udp() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let browser = player(&server);
    browser.run(
        "const ask = window.fetch;
        window.fetch = async (...given) => {
            const response = await ask(...given);
            const text = (await response.text()).replace(/a=candidate:.* udp .*\\r\\n/gi, '');
            return new Response(text, { status: response.status, headers: response.headers });
        }",
    );
    warm_up(&browser);
    play(&browser, "/film/whep", "['video', 'audio']");
    wait_first(&browser);
    judge("from the offer to the first frame over TCP", time(number(&browser, "first")), millis(500));
    browser.wait("return measured?.video?.framesDecoded > 300", secs(30));
    count("freezes over TCP", whole(&browser, "measured.video.freezeCount"), 0);
}

/// `open()` is an open channel, `send(channel)` the milliseconds until 1,000 bytes are back, and `shut(channel)` those until it is closed.
const CHANNELS: &str = "
    window.prepare = (peer) => { window.kept = peer.createDataChannel('echo'); };
    window.open = () => new Promise((opened, failed) => {
        const channel = peer.createDataChannel('echo');
        channel.onopen = () => opened(channel);
        setTimeout(() => failed('a channel does not open'), 5000);
    });
    window.send = (channel) => new Promise((back) => {
        const sent = performance.now();
        channel.onmessage = () => back(performance.now() - sent);
        channel.send('x'.repeat(1000));
    });
    window.shut = (channel) => new Promise((closed) => {
        const asked = performance.now();
        channel.onclose = () => closed(performance.now() - asked);
        channel.close();
    });
";

#[test]
fn w11_w12_channels_echo_close_and_open_again() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film());
    let browser = player(&server);
    browser.run(CHANNELS);
    warm_up(&browser);
    act(
        &browser,
        "open().then(async (channel) => {
            const times = [];
            for (let round = 0; round < 500; round++) times.push(await send(channel));
            await shut(channel);
            return times;
        })",
        60,
    );
    let echoes = numbers(&browser, "return done");
    println!("echo of 1,000 bytes: p50 {:?}, p95 {:?}", quantile(&echoes, 0.5), quantile(&echoes, 0.95));
    judge("1,000 bytes there and back over a data channel, p50", quantile(&echoes, 0.5), millis(1));
    // So many are served at a time.
    act(
        &browser,
        "(async () => {
            const times = [];
            for (let round = 0; round < 10; round++) {
                const channels = await Promise.all(Array.from({ length: 10 }, open));
                await Promise.all(channels.map(send));
                times.push(...await Promise.all(channels.map(shut)));
            }
            const again = await Promise.all(Array.from({ length: 10 }, open));
            await Promise.all(again.map(send));
            return times;
        })()",
        60,
    );
    let closes = numbers(&browser, "return done");
    assert_eq!(closes.len(), 100);
    judge("the slowest of 100 data channels closes", quantile(&closes, 1.0), millis(500));
    let before = whole(&browser, "measured.video.framesDecoded");
    browser.wait(&format!("return measured.video.framesDecoded > {before} + 30"), secs(20));
}

#[test]
fn w16_a_viewer_that_is_killed_and_a_server_that_ends() {
    if !have_browser() {
        return;
    }
    let mut server = Server::start(&film());
    let browser = player(&server);
    warm_up(&browser);
    let readers = || {
        let state = state(&server);
        state["streams"].as_array().unwrap().iter().map(|stream| stream["readers"].as_u64().unwrap_or(0)).sum::<u64>()
    };
    wait_until("the viewer is counted", secs(10), || readers() == 1);
    browser.kill(Signal::KILL);
    let killed = Instant::now();
    server.log.wait("viewer left.*protocol=webrtc", secs(60));
    judge("a viewer was killed: its session is gone", killed.elapsed(), secs(20));
    wait_until("nobody is counted", secs(5), || readers() == 0);
    let browser = Browser::start();
    browser.open(&server.url("/livez"));
    browser.run(WATCHERS);
    act(&browser, "gather('/film/whep', 3).then(playing)", 40);
    server.terminate();
    server.wait(secs(30));
    let ended = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as f64;
    browser.wait("return watchers.every(({ left }) => left !== undefined)", secs(60));
    let last = number(&browser, "Math.max(...watchers.map(({ left }) => left))");
    judge("the server ended: its viewers know", time(last - ended), secs(1));
    println!(
        "{}",
        browser.run("return watchers.map((peer) => [peer.connectionState, peer.getReceivers()[0].transport.state])")
    );
}
