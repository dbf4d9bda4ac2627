//! WebRTC: browsers play a stream by WHEP.

use crate::rig::{
    Answer, Launch, Server,
    browser::{Browser, have_browser},
    have, have_failpoints, http, media, mkv,
    script::{H264, PICTURE, TONE, shell},
    secs,
    server::run,
    state::{entry, state},
    tool, wait_until,
};
use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// An offer as Chromium makes it, shortened, of which no client is behind.
pub const OFFER: &str = "v=0\r
o=- 4611731400430051336 2 IN IP4 127.0.0.1\r
s=-\r
t=0 0\r
a=group:BUNDLE 0 1\r
a=msid-semantic: WMS\r
m=video 9 UDP/TLS/RTP/SAVPF 96 97 103 104\r
c=IN IP4 0.0.0.0\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r
a=ice-options:trickle\r
a=fingerprint:sha-256 DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09:DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF\r
a=setup:actpass\r
a=mid:0\r
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r
a=recvonly\r
a=rtcp-mux\r
a=rtcp-rsize\r
a=rtpmap:96 VP8/90000\r
a=rtcp-fb:96 nack\r
a=rtcp-fb:96 nack pli\r
a=rtpmap:97 rtx/90000\r
a=fmtp:97 apt=96\r
a=rtpmap:103 H264/90000\r
a=rtcp-fb:103 nack\r
a=rtcp-fb:103 nack pli\r
a=fmtp:103 level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f\r
a=rtpmap:104 rtx/90000\r
a=fmtp:104 apt=103\r
m=audio 9 UDP/TLS/RTP/SAVPF 111\r
c=IN IP4 0.0.0.0\r
a=rtcp:9 IN IP4 0.0.0.0\r
a=ice-ufrag:EsAw\r
a=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r
a=fingerprint:sha-256 DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF:95:60:18:90:AF:D8:07:09:DA:39:A3:EE:5E:6B:4B:0D:32:55:BF:EF\r
a=setup:actpass\r
a=mid:1\r
a=extmap:9 urn:ietf:params:rtp-hdrext:sdes:mid\r
a=recvonly\r
a=rtcp-mux\r
a=rtpmap:111 opus/48000/2\r
a=fmtp:111 minptime=10;useinbandfec=1\r
";
const FRAGMENT: &str = "a=ice-ufrag:EsAw\r\na=ice-pwd:bP+XJMM09aR8AiX1jdukzR6Y\r\nm=video 9 UDP/TLS/RTP/SAVPF 0\r
a=mid:0\r\na=candidate:1387637174 1 udp 2122260223 x.local 61764 typ host\r\n";

/// A request with a body.
pub fn send(server: &Server, method: &str, target: &str, headers: &str, body: &str) -> Answer {
    let (host, length) = (server.address(), body.len());
    let head = format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n{headers}\r\n");
    http::send(server.address(), &(head + body))
}

pub fn post(server: &Server, target: &str, offer: &str) -> Answer {
    send(server, "POST", target, "Content-Type: application/sdp\r\n", offer)
}

/// A page with a `play(path, kinds)` that shows a stream in a `<video>` and measures it.
const PLAYER: &str = "
    document.body.innerHTML = '<video muted autoplay playsinline></video>';
    const video = document.querySelector('video');
    window.play = async (path, kinds) => {
        window.peer?.close();
        window.first = window.failure = window.measured = undefined;
        const peer = window.peer = new RTCPeerConnection();
        kinds.forEach((kind) => peer.addTransceiver(kind, { direction: 'recvonly' }));
        video.srcObject = new MediaStream();
        peer.ontrack = ({ track }) => video.srcObject.addTrack(track);
        window.prepare?.(peer);
        await peer.setLocalDescription();
        const asked = performance.now();
        video.requestVideoFrameCallback(() => { window.first = performance.now() - asked; });
        const headers = { 'Content-Type': 'application/sdp' };
        const response = await fetch(path, { method: 'POST', headers, body: peer.localDescription.sdp });
        window.answer = await response.text();
        window.session = response.headers.get('location');
        window.tag = response.headers.get('etag');
        if (!response.ok) throw new Error(response.status + ' ' + window.answer);
        await peer.setRemoteDescription({ type: 'answer', sdp: window.answer });
    };
    window.measure = async () => {
        const found = {};
        const peer = window.peer;
        for (const one of (await peer.getStats()).values())
            if (one.type === 'inbound-rtp') found[one.kind] = one;
        if (peer === window.peer) window.measured = found;
    };
    setInterval(() => window.peer && measure(), 100);
";

/// A browser with such a page.
pub fn player(server: &Server) -> Browser {
    let browser = Browser::start();
    // Anyone may open it.
    browser.open(&server.url("/livez"));
    browser.run(PLAYER);
    browser
}

/// Plays a stream in such a page.
pub fn play(browser: &Browser, path: &str, kinds: &str) {
    browser.run(&format!("play('{path}', {kinds}).catch((failure) => {{ window.failure = String(failure); }})"));
}

pub fn number(browser: &Browser, script: &str) -> f64 {
    browser.run(&format!("return {script} ?? -1")).as_f64().unwrap()
}

#[test]
fn a_browser_plays_video_and_audio_without_a_loss() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams:
          film: {{feeds: [cam, mic], video: {{codec: h264, gop: 50}}, audio: {{codec: aac}}}}
        "
    ));
    let browser = player(&server);
    // Twice, so that the second one joins a stream that runs, in the middle of a group of pictures.
    for _ in 0..2 {
        play(&browser, "/film/whep", "['video', 'audio']");
        browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 50 || window.failure", secs(20));
        assert!(number(&browser, "measured.audio.packetsReceived") > 50.0);
        assert_eq!(number(&browser, "measured.video.packetsLost"), 0.0);
        browser.wait("return document.querySelector('video').videoWidth === 320", secs(10));
    }
    println!(
        "first frame after {} ms, {} freezes, jitter buffer {} s",
        number(&browser, "first"),
        number(&browser, "measured.video.freezeCount"),
        number(&browser, "measured.video.jitterBufferDelay / measured.video.jitterBufferEmittedCount")
    );
}

#[test]
fn what_a_browser_reports_is_in_the_state() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&("        pages: {clients: true}\n".to_owned() + &film("")));
    let browser = player(&server);
    play(&browser, "/film/whep", "['video', 'audio']");
    let rtp = || {
        let state = state(&server);
        let streams = state["streams"].as_array().unwrap().iter();
        let clients = streams.flat_map(|stream| stream["clients"].as_array().unwrap().clone());
        clients.map(|client| client["rtp"].clone()).find(|rtp| rtp.is_object())
    };
    // It reports about once a second.
    wait_until("the state has its report", secs(20), || rtp().is_some_and(|rtp| rtp["roundTripTime"].is_number()));
    let rtp = rtp().unwrap();
    assert_eq!((&rtp["protocol"], &rtp["packetsLost"]), (&"udp".into(), &0.into()), "{rtp}");
    assert!(rtp["packetsSent"].as_u64() > Some(20) && rtp["roundTripTime"].as_f64() < Some(1.0), "{rtp}");
    let metrics = server.get("/metrics").text();
    let sent = metrics.lines().find_map(|line| line.strip_prefix("voyandz_webrtc_packets_sent_total "));
    assert!(sent.is_some_and(|sent| sent.parse::<u64>().unwrap() > 20), "{metrics}");
}

#[test]
fn data_channels_echo_and_tell_of_frames() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film(""));
    let browser = player(&server);
    browser.run(
        "window.told = [];
        window.stamps = [];
        window.prepare = (peer) => {
            peer.createDataChannel('control').onmessage = ({ data }) => told.push(JSON.parse(data));
        };
        const video = document.querySelector('video');
        const see = (_, { rtpTimestamp }) => { stamps.push(rtpTimestamp); video.requestVideoFrameCallback(see); };
        video.requestVideoFrameCallback(see);
        window.again = async () => {
            const times = [];
            for (let round = 0; round < 100; round++) {
                const channel = peer.createDataChannel('echo');
                await new Promise((opened, failed) => {
                    channel.onopen = opened;
                    setTimeout(() => failed('not open in round ' + round), 10000);
                });
                const asked = performance.now();
                await new Promise((came) => { channel.onmessage = came; channel.send('x'.repeat(1000)); });
                times.push(performance.now() - asked);
                await new Promise((closed) => { channel.onclose = closed; channel.close(); });
            }
            return times.sort((one, other) => one - other);
        };",
    );
    play(&browser, "/film/whep", "['video', 'audio']");
    browser.wait("return window.told.length > 50 || window.failure", secs(20));
    let first = browser.run("return told[0]");
    assert_eq!((&first["type"], &first["name"]), (&"stream".into(), &"film".into()), "{first}");
    assert_eq!(first["tracks"].as_array().map(Vec::len), Some(2), "{first}");
    let frames = "told.filter(({ type, rtpTimestamp }) => type === 'frame' && stamps.includes(rtpTimestamp))";
    assert!(number(&browser, &format!("{frames}.length")) > 20.0, "{}", browser.run("return [told, stamps]"));
    let behind = number(&browser, "Date.now() - told.at(-1).sent");
    assert!((-1000.0..5000.0).contains(&behind), "{behind}");
    browser
        .run("again().then((times) => { window.times = times; }, (failure) => { window.failure = String(failure); })");
    browser.wait("return Boolean(window.times || window.failure)", secs(60));
    assert_eq!(number(&browser, "times?.length"), 100.0, "{}", browser.run("return window.failure"));
    println!("1000 bytes there and back in {} ms (p50)", number(&browser, "times[50]"));
}

#[test]
fn each_codec_of_browsers_plays() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&format!(
        "
        webrtc: {{}}
        feeds: {{cam: {{pipeline: '{PICTURE}', mode: continuous}}}}
        streams:
          one: {{feed: cam, video: {{codec: vp8, gop: 50}}}}
          two: {{feed: cam, video: {{codec: vp9, gop: 50}}}}
          three: {{feed: cam, video: {{codec: h264, gop: 50}}}}
          four.ts: {{feed: cam, video: {H264}}}
        "
    ));
    let browser = player(&server);
    for (stream, codec) in [("one", "VP8"), ("two", "VP9"), ("three", "H264"), ("four", "H264")] {
        play(&browser, &format!("/{stream}/whep"), "['video', 'audio']");
        browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 30 || window.failure", secs(20));
        assert_eq!(number(&browser, "measured.video.packetsLost"), 0.0, "{codec}");
        assert!(browser.run("return answer").as_str().unwrap().contains(codec));
    }
}

#[test]
fn an_offer_is_answered_or_it_is_said_why_not() {
    let raw = shell("while :; do echo raw; sleep 0.1; done");
    let server = Server::start(&format!(
        "
        webrtc: {{ice_servers: ['stun:stun.example.org:3478']}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          raw: {{command: {raw}}}
        streams:
          cam: {{feed: cam, video: {H264}}}
          b: {{feed: cam, pipeline: 'video. ! videoconvert ! x264enc speed-preset=ultrafast bframes=2 b-adapt=false rc-lookahead=0 sync-lookahead=0 key-int-max=25 ! h264parse'}}
          jpeg.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
          raw.raw: {{feed: raw}}
        "
    ));
    let mut answer = post(&server, "/cam/whep", OFFER);
    let text = answer.text();
    assert_eq!(answer.status, 201, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/sdp"));
    let expected = ["a=ice-lite", "a=rtcp-mux-only", "a=sendonly", "H264/90000", "a=setup:passive"];
    assert!(expected.iter().all(|part| text.contains(part)), "{text}");
    let candidate = text.lines().find(|line| line.starts_with("a=candidate:")).unwrap();
    assert!(candidate.contains("127.0.0.1"), "{candidate}");
    let location = answer.header("location").unwrap();
    assert!(location.starts_with(&server.url("/cam/whep/")), "{location}");
    assert!(answer.header("etag").unwrap().starts_with('"'));
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-expose-headers").unwrap().contains("Location"));

    let check = |target: &str, offer: &str, status: u16, sentence: &str| {
        let mut answer = post(&server, target, offer);
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(sentence), "{text}");
        if status != 201 && status != 404 {
            let problem: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(problem["status"], status);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        }
    };
    let links = |answer: &Answer| answer.header("link").map(str::to_owned);
    assert_eq!(links(&answer), Some("<stun:stun.example.org:3478>; rel=\"ice-server\"".to_owned()));
    check("/stream/cam/whep", OFFER, 201, "v=0");
    check("/nothing/whep", OFFER, 404, "not found");
    check("/cam/whep", "hello", 400, "must begin with v=0");
    check("/cam/whep", &OFFER.replace("a=fingerprint", "a=x"), 400, "no a=fingerprint");
    check("/cam/whep", &OFFER.replace("recvonly", "sendonly"), 422, "a viewer offers a=recvonly");
    check("/cam/whep", &OFFER.replace("H264", "H265"), 422, "the stream has H.264 (avc1.42c0");
    check("/cam/whep", &"v=0\r\n".repeat(20_000), 413, "64 KiB");
    check("/b/whep", OFFER, 422, "B-frames");
    check("/jpeg/whep", OFFER, 422, "webrtc cannot carry JPEG");
    check("/raw.raw/whep", OFFER, 409, "nothing comes from the source");
    let asked = |method: &str, target: &str, headers: &str| send(&server, method, target, headers, "").status;
    assert_eq!(asked("POST", "/cam/whep", "Content-Type: text/plain\r\n"), 415);
    assert_eq!((asked("PUT", "/cam/whep", ""), asked("DELETE", "/cam/whep", "")), (405, 405));
    assert_eq!((asked("GET", "/cam/whep", ""), asked("HEAD", "/cam/whep", "")), (204, 200));
    let preflight = send(
        &server,
        "OPTIONS",
        "/cam/whep",
        "Origin: http://a.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type, authorization\r\n",
        "",
    );
    assert_eq!((preflight.status, preflight.header("accept-post")), (204, Some("application/sdp")));
    assert_eq!(links(&preflight), links(&answer));
    assert!(preflight.header("access-control-allow-methods").unwrap().contains("PATCH"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("content-type, authorization"));
    let without = Server::start(&format!("feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{cam: {{feed: cam}}}}"));
    assert_eq!(post(&without, "/cam/whep", OFFER).status, 404);
}

#[test]
fn a_session_is_trickled_restarted_and_deleted() {
    let server = Server::start(&format!(
        "webrtc: {{}}\nfeeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{cam: {{feed: cam, video: {H264}}}}}"
    ));
    let made = post(&server, "/cam/whep", OFFER);
    let (session, tag) = (made.header("location").unwrap(), made.header("etag").unwrap().to_owned());
    let session = session.strip_prefix(&server.url("")).unwrap().to_owned();
    let kind = "Content-Type: application/trickle-ice-sdpfrag\r\n";
    let patch = |headers: &str, body: &str| send(&server, "PATCH", &session, headers, body);
    let with = |tag: &str| format!("{kind}If-Match: {tag}\r\n");
    assert_eq!(patch(&with(&tag), FRAGMENT).status, 204);
    assert_eq!(patch(kind, FRAGMENT).status, 428);
    assert_eq!(patch(&with("\"old\""), FRAGMENT).status, 412);
    assert_eq!(patch(&with(&tag), "a=nothing").status, 400);
    assert_eq!(patch("Content-Type: application/sdp\r\n", FRAGMENT).status, 415);
    let other = FRAGMENT.replace("EsAw", "Fresh");
    assert_eq!(patch(&with(&tag), &other).status, 412, "another ICE session needs *");
    let mut restarted = patch(&with("*"), &other);
    let text = restarted.text();
    assert_eq!(restarted.status, 200, "{text}");
    let fresh = restarted.header("etag").unwrap().to_owned();
    assert!(fresh != tag && text.contains(&format!("a=ice-ufrag:{}", fresh.trim_matches('"'))), "{text}");
    assert!(text.contains("a=ice-lite") && text.contains("a=end-of-candidates"), "{text}");
    assert_eq!((patch(&with(&tag), &other).status, patch(&with(&fresh), &other).status), (412, 204));
    // Its events are subscribed to.
    assert!(
        made.header("link")
            .unwrap()
            .contains(&format!("{session}/events>; rel=\"urn:ietf:params:whep:ext:core:server-sent-events\""))
    );
    let events = format!("{session}/events");
    let subscribe = |kind: &str, body: &str| send(&server, "POST", &events, &format!("Content-Type: {kind}\r\n"), body);
    assert_eq!(subscribe("application/json", "[\"left\"]").status, 400);
    assert_eq!(subscribe("text/plain", "[\"inactive\"]").status, 415);
    let subscribed = subscribe("application/json", "[\"inactive\", \"viewercount\"]");
    let url = subscribed.header("location").unwrap().strip_prefix(&server.url("")).unwrap().to_owned();
    assert_eq!((subscribed.status, url.as_str()), (201, format!("{events}?events=inactive,viewercount").as_str()));
    assert_eq!(server.get("/cam/whep/0123/events").status, 404);
    assert_eq!(server.get(&format!("{events}?events=left")).status, 400);
    let told = server.get(&url).collect(secs(1));
    assert_eq!(
        String::from_utf8_lossy(&told),
        "event: inactive\ndata: {}\n\nevent: viewercount\ndata: {\"viewercount\":0}\n\n"
    );
    let delete = |target: &str| send(&server, "DELETE", target, "", "").status;
    let is_there = |target: &str| send(&server, "HEAD", target, "", "").status;
    assert_eq!((is_there(&session), is_there("/cam/whep/0123")), (200, 404));
    assert_eq!(delete("/cam/whep/0123"), 404);
    assert_eq!((delete(&session), delete(&session), is_there(&session)), (200, 404, 404));
    server.log.wait("viewer left.*stream=cam.*reason=deleted", secs(5));
    // Nobody uses the feed any more.
    wait_until("the feed is idle", secs(10), || entry(&state(&server), "feeds", "cam")["state"] == "idle");
}

/// A feed with both tracks that runs, and a stream of them.
fn film(keys: &str) -> String {
    format!(
        "
        webrtc: {{{keys}}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
        streams:
          film: {{feeds: [cam, mic], video: {{codec: h264, gop: 50}}, audio: [aac, opus]}}
          film.ts: {{feeds: [cam, mic], video: {{codec: h264, gop: 50}}, audio: {{codec: aac}}}}
        "
    )
}

#[test]
fn who_has_no_udp_is_served_over_the_port_of_http() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film(""));
    let browser = player(&server);
    browser.run(
        "const ask = window.fetch;
        window.fetch = async (...given) => {
            const response = await ask(...given);
            const text = (await response.text()).replace(/a=candidate:.* udp .*\\r\\n/gi, '');
            return new Response(text, { status: response.status });
        }",
    );
    play(&browser, "/film/whep", "['video', 'audio']");
    browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 50 || window.failure", secs(20));
    assert!(browser.run("return answer").as_str().unwrap().contains(" tcp "));
    assert!(number(&browser, "measured.video.freezeCount") <= 1.0);
    browser.run("peer.close()");
    server.log.wait("viewer left.*protocol=webrtc", secs(20));
    let without = Server::start(&film("tcp: false"));
    let answer = post(&without, "/film/whep", OFFER).text();
    assert!(answer.contains(" udp ") && !answer.contains(" tcp "), "{answer}");
}

#[test]
fn the_player_page_prefers_webrtc_and_does_without() {
    if !have_browser() {
        return;
    }
    let server = Server::start(&film(""));
    let browser = Browser::start();
    for path in ["/film/play", "/film.ts/play"] {
        browser.open(&server.url(path));
        browser.wait("return document.querySelector('.view video')?.videoWidth === 320", secs(30));
        let played = number(&browser, "performance.now()");
        assert_eq!(browser.run("return document.querySelector('.view video').srcObject !== null"), true, "{path}");
        // What the page says of the stream is of now, not of when it was opened, and does not wait for the next look after 5 s.
        browser.wait("return document.body.innerText.includes('1 viewer')", secs(10));
        let looks = "performance.getEntriesByType('resource').filter(({ name }) => name.includes('refresh=1'))";
        let first = number(&browser, &format!("{looks}[0].startTime"));
        assert!(first < 5000.0 || played > 4500.0, "{path}: it played after {played} ms, and looked after {first} ms");
        browser.wait("return /^\\d+ ms$/.test(document.getElementById('behind').textContent)", secs(10));
        let readers = |count: u64| {
            let count = move |state: &serde_json::Value| {
                let streams = state["streams"].as_array().unwrap();
                streams.iter().map(|stream| stream["readers"].as_u64().unwrap_or(0)).sum::<u64>() == count
            };
            wait_until("it is counted", secs(10), || count(&state(&server)));
        };
        readers(1);
        // A page that is left says so.
        browser.open(&server.url("/nothing"));
        readers(0);
    }
    // Nothing reaches the server: the page plays as it can.
    let unreachable = Server::start(&film("hosts: 192.0.2.1"));
    browser.open(&unreachable.url("/film/play"));
    browser.wait("return document.querySelector('.view video')?.currentTime > 1", secs(30));
    assert_eq!(browser.run("return document.querySelector('.view video').src.startsWith('blob:')"), true);
}

#[test]
fn lost_packets_are_sent_again() {
    if !have_browser() || !have_failpoints() {
        return;
    }
    let server = Launch::new(&film("")).env("FAILPOINTS", "webrtc-loss=5%return").start();
    let browser = player(&server);
    play(&browser, "/film/whep", "['video']");
    browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 250 || window.failure", secs(30));
    let (lost, again) =
        (number(&browser, "measured.video.nackCount"), number(&browser, "measured.video.retransmittedPacketsReceived"));
    assert!(lost > 0.0 && again > 0.0, "{lost} {again}");
    // A browser without a processor freezes, too.
    assert!(number(&browser, "measured.video.freezeCount") <= 4.0);
    assert!(number(&browser, "measured.video.pliCount") <= 2.0);
}

#[test]
fn who_may_not_view_a_stream_gets_no_session_of_it() {
    let printed = String::from_utf8(run(&["token"]).stdout).unwrap();
    let value = |name: &str| printed.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (token, digest) = (value("token: "), value("sha256: "));
    let key = "0123456789abcdef0123456789abcdef";
    let rules = |may: &str| {
        format!(
            "        auth: {{anyone: [], tokens: {{t: {{sha256: '{digest}', may: {may}}}}}, link_keys: {{k: '{key}'}}}}\n{}",
            film("")
        )
    };
    let server = Server::start(&rules("[view film*]"));
    let bearer = format!("Content-Type: application/sdp\r\nAuthorization: Bearer {token}\r\n");
    let refused = post(&server, "/film/whep", OFFER);
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").unwrap().starts_with("Bearer"));
    let made = send(&server, "POST", "/film/whep", &bearer, OFFER);
    assert_eq!(made.status, 201);
    let path = |answer: &Answer| answer.header("location").unwrap().strip_prefix(&server.url("")).unwrap().to_owned();
    assert_eq!(send(&server, "DELETE", &path(&made), "", "").status, 401);
    assert_eq!(send(&server, "DELETE", &path(&made), &bearer, "").status, 200);
    // The link of the request is in the URL of the session.
    let printed = run(&["sign", "-f", server.file().to_str().unwrap(), "film*"]).stdout;
    let printed = String::from_utf8(printed).unwrap();
    let link = printed.lines().next().unwrap().split_once('?').unwrap().1;
    let made = post(&server, &format!("/film/whep?{link}"), OFFER);
    assert_eq!(made.status, 201);
    assert_eq!(send(&server, "DELETE", &path(&made), "", "").status, 200);
    // A session ends when its permission does.
    assert_eq!(send(&server, "POST", "/film/whep", &bearer, OFFER).status, 201);
    server.reload(&rules("[still film*]"));
    server.log.wait("viewer left.*user=token:t.*reason=.?permission withdrawn", secs(5));
    assert_eq!(send(&server, "POST", "/film/whep", &bearer, OFFER).status, 403);
}

/// A page with a `publish(path, codec, mode)` that sends a moving picture and a tone.
pub const PUBLISHER: &str = "
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [640, 360];
    const drawing = canvas.getContext('2d');
    let drawn = 0;
    setInterval(() => {
        drawn += 1;
        drawing.fillStyle = `hsl(${drawn * 7 % 360} 80% 50%)`;
        drawing.fillRect(0, 0, 640, 360);
        drawing.fillStyle = 'white';
        drawing.fillRect(drawn * 5 % 640, 100, 40, 40);
    }, 40);
    const sound = new AudioContext(), tone = sound.createOscillator(), sink = sound.createMediaStreamDestination();
    tone.connect(sink);
    tone.start();
    window.publish = async (path, codec, scalabilityMode) => {
        window.failure = undefined;
        const media = canvas.captureStream(25), peer = window.publisher = new RTCPeerConnection();
        const [video] = media.getVideoTracks(), [audio] = sink.stream.getAudioTracks();
        const sendEncodings = [{ scalabilityMode, maxBitrate: 2_000_000 }];
        const sender = peer.addTransceiver(video, { direction: 'sendonly', streams: [media], sendEncodings });
        peer.addTransceiver(audio, { direction: 'sendonly', streams: [media] });
        const all = RTCRtpReceiver.getCapabilities('video').codecs;
        sender.setCodecPreferences(all.filter(({ mimeType }) => mimeType === 'video/' + codec || mimeType === 'video/rtx'));
        await peer.setLocalDescription();
        const headers = { 'Content-Type': 'application/sdp', Authorization: 'Bearer s3cret' };
        const response = await fetch(path, { method: 'POST', headers, body: peer.localDescription.sdp });
        window.published = response.headers.get('location');
        const answer = await response.text();
        if (!response.ok) throw new Error(response.status + ' ' + answer);
        await peer.setRemoteDescription({ type: 'answer', sdp: answer });
    };
";

#[test]
fn what_a_browser_publishes_other_browsers_play() {
    if !have_browser() {
        return;
    }
    let server = Server::start(
        "
        webrtc: {}
        feeds: {studio: {publish: {key: s3cret}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let browser = player(&server);
    browser.run(PUBLISHER);
    let plain = ["H264", "VP8", "VP9", "AV1"].map(|codec| (codec, "L1T1"));
    for (codec, layers) in plain.into_iter().chain(["VP9", "AV1"].map(|codec| (codec, "L2T2"))) {
        browser.run(&format!(
            "publish('/studio/whip', '{codec}', '{layers}').catch((failure) => {{ window.failure = String(failure); }})"
        ));
        browser.wait("return publisher?.connectionState === 'connected' || window.failure", secs(20));
        play(&browser, "/studio/whep", "['video', 'audio']");
        browser.wait("return (window.measured?.video?.framesDecoded ?? 0) > 30 || window.failure", secs(30));
        assert!(browser.run("return answer").as_str().unwrap().contains(codec), "{codec}");
        assert!(number(&browser, "measured.audio?.packetsReceived") > 10.0, "{codec}");
        if layers == "L2T2" {
            // The sender begins with the smaller layer.
            browser.wait("return measured.video.frameWidth === 640 || window.failure", secs(20));
            let bytes = server.get("/studio.mkv").collect(secs(3));
            let frames = media::Frames::of(mkv::trim(&bytes), false);
            assert!(frames.complaints.is_empty(), "{codec}: {}", frames.complaints);
            assert!(frames.pictures.len() > 30, "{codec}: {}", frames.pictures);
        }
        // The feed has a publisher now: another one is refused.
        let sends = OFFER.replace("recvonly", "sendonly");
        let bearer = "Content-Type: application/sdp\r\nAuthorization: Bearer s3cret\r\n";
        assert_eq!(send(&server, "POST", "/studio/whip", bearer, &sends).status, 409);
        let path = browser.run("return new URL(published).pathname");
        assert_eq!(send(&server, "DELETE", path.as_str().unwrap(), bearer, "").status, 200);
        browser.run("publisher.close(); peer.close()");
        wait_until("the feed waits", secs(10), || {
            entry(&state(&server), "feeds", "studio")["state"] == "waiting-publisher"
        });
    }
}

#[test]
fn an_offer_of_a_publisher_is_answered_or_it_is_said_why_not() {
    let server = Server::start(
        "
        webrtc: {}
        publish: {live/*: {key: s3cret}, files/*: {key: s3cret, protocols: [http]}}
        feeds: {studio: {publish: {key: s3cret}}, files: {publish: {key: s3cret, protocols: [http]}}}
        streams: {studio: {feed: studio}, files: {feed: files}}
        ",
    );
    let bearer = "Content-Type: application/sdp\r\nAuthorization: Bearer s3cret\r\n";
    let sends = OFFER.replace("recvonly", "sendonly");
    let check = |target: &str, headers: &str, offer: &str, status: u16, sentence: &str| {
        let mut answer = send(&server, "POST", target, headers, offer);
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(sentence), "{text}");
    };
    check("/studio/whip", "Content-Type: application/sdp\r\n", &sends, 401, "needs a key");
    check("/studio/whip", &bearer.replace("s3cret", "wrong"), &sends, 401, "wrong");
    check("/studio/whip", bearer, OFFER, 422, "a publisher offers a=sendonly");
    check("/studio/whip", bearer, &sends.replace("opus", "isac"), 422, "no codec in common for audio");
    check("/studio/whip", bearer, "hello", 400, "must begin with v=0");
    check("/studio/whip", &bearer.replace("sdp", "json"), &sends, 415, "application/sdp");
    check("/files/whip", bearer, &sends, 403, "protocols");
    check("/nothing/whip", bearer, &sends, 404, "not found");
    let mut made = send(&server, "POST", "/studio/whip?key=s3cret", "Content-Type: application/sdp\r\n", &sends);
    let text = made.text();
    assert_eq!(made.status, 201, "{text}");
    assert!(text.contains("a=recvonly") && text.contains("a=ice-lite"), "{text}");
    let session = made.header("location").unwrap().to_owned();
    assert!(session.starts_with(&server.url("/studio/whip/")) && session.ends_with("?key=s3cret"), "{session}");
    // It ends what it has made; nobody else does.
    let session = session.trim_start_matches(&server.url(""));
    for (target, status) in [(session.trim_end_matches("?key=s3cret"), 401), (session, 200)] {
        assert_eq!(send(&server, "DELETE", target, "", "").status, status);
    }
    // A name that fits a pattern is one like others; nothing is made for who must not publish.
    check("/live/anna/whip", &bearer.replace("s3cret", "wrong"), &sends, 401, "wrong");
    check("/live/anna/whip", bearer, "hello", 400, "must begin with v=0");
    check("/files/anna/whip", bearer, &sends, 403, "protocols");
    assert_eq!(state(&server)["feeds"].as_array().unwrap().len(), 2);
    let mut made = send(&server, "POST", "/live/anna/whip", bearer, &sends);
    let text = made.text();
    assert_eq!(made.status, 201, "{text}");
    assert_eq!(state(&server)["feeds"][2]["publish"]["publisher"]["protocol"], "webrtc");
    check("/live/anna/whip", bearer, &sends, 409, "has a publisher already");
    // OBS has all of ICE before the media, and no lines of them.
    let obs = include_str!("../data/obs_offer.sdp").replace('\n', "\r\n");
    check("/live/obs/whip", bearer, &obs, 201, "a=rtpmap:96 H264/90000");
    let session = made.header("location").unwrap().trim_start_matches(&server.url("")).to_owned();
    assert_eq!(send(&server, "DELETE", &session, "Authorization: Bearer s3cret\r\n", "").status, 200);
    let preflight = "Origin: http://a.example\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization\r\n";
    let preflight = send(&server, "OPTIONS", "/studio/whip", preflight, "");
    assert_eq!((preflight.status, preflight.header("accept-post")), (204, Some("application/sdp")));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("authorization"));
}

/// Another implementation does this with an endpoint.
pub fn aiortc(python: &Path, what: &str, url: &str) -> Child {
    peer(python, "webrtc_peer.py", what, url)
}

pub fn peer(python: &Path, script: &str, what: &str, url: &str) -> Child {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(script);
    Command::new(python).arg(script).args([what, url]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn aiortc_publishes_and_plays() {
    if let Some(python) = tool("aiortc/bin/python") {
        another_implementation_publishes_and_plays(&python, "webrtc_peer.py", ", hello");
    }
}

#[test]
fn webrtcbin_publishes_and_plays() {
    if have("gst-inspect-1.0") {
        another_implementation_publishes_and_plays(Path::new("/usr/bin/python3"), "webrtcbin_peer.py", "");
    }
}

#[test]
fn werift_publishes_and_plays() {
    let Some(package) = tool("werift/node_modules/werift/package.json").filter(|_| have("node")) else { return };
    let server = Server::start(&format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
          studio: {{publish: {{key: s3cret}}}}
        streams:
          film: {{feeds: [cam, mic], video: {{codec: vp8, gop: 50}}, audio: {{codec: opus}}}}
          studio: {{feed: studio}}
        "
    ));
    let peer = |arguments: &[String]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/werift_peer.mjs");
        let folder = package.ancestors().nth(3).unwrap();
        let mut node = Command::new("node");
        node.arg(script).args(arguments).env("WERIFT", folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        node.spawn().unwrap()
    };
    let played = |path: &str| {
        let output = peer(&["play".to_owned(), server.url(path)]).wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(played("/film/whep"), "played 320x240, 48000 Hz, hello\n");
    let mut relay = peer(&["relay".to_owned(), server.url("/film/whep"), server.url("/studio/whip?key=s3cret")]);
    server.log.wait("publisher joined.*feed=studio.*tracks=.VP8, Opus", secs(20));
    assert_eq!(played("/studio/whep"), "played 320x240, 48000 Hz, hello\n");
    let bytes = server.get("/studio.mkv").collect(secs(3));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.len() > 30 && frames.sounds > 50, "{} {}", frames.pictures, frames.sounds);
    drop(relay.stdin.take());
    assert!(relay.wait().unwrap().success());
}

/// `more`: what it says beside the pictures and the tone.
fn another_implementation_publishes_and_plays(python: &Path, script: &str, more: &str) {
    let server = Server::start(&format!(
        "
        webrtc: {{}}
        feeds:
          cam: {{pipeline: '{PICTURE}', mode: continuous}}
          mic: {{pipeline: '{TONE}', mode: continuous}}
          studio: {{publish: {{key: s3cret}}}}
        streams:
          film: {{feeds: [cam, mic], video: {{codec: h264, gop: 50}}, audio: {{codec: opus}}}}
          studio: {{feed: studio}}
        "
    ));
    let played = |path: &str| {
        let output = peer(python, script, "play", &server.url(path)).wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(played("/film/whep"), format!("played 320x240, 48000 Hz{more}\n"));
    let mut publisher = peer(python, script, "publish", &server.url("/studio/whip?key=s3cret"));
    server.log.wait("publisher joined.*feed=studio", secs(20));
    assert_eq!(played("/studio/whep"), format!("played 640x480, 48000 Hz{more}\n"));
    drop(publisher.stdin.take());
    assert!(publisher.wait().unwrap().success());
    server.log.wait("viewer left.*stream=film.*protocol=webrtc", secs(5));
}
