//! Streams and feeds are paused by the API: their viewers get nothing, stay connected, and continue at a keyframe.

use crate::{
    api::{VIEWER, admin, ask, yaml},
    rig::{
        Answer, SOON, Server, have,
        http::{self, Next},
        log::field,
        media, millis,
        player::{self, Player},
        publisher::{H264_AAC, LIVE, Publisher},
        pushes::{camera, wait_state},
        script::{H264, PICTURE, TONE, counting},
        secs,
        state::{entry, state, wait_for},
        ts, wait_until,
    },
};
use bytes::Bytes;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

/// The rules of [`yaml`], with everybody as a viewer.
fn rules() -> String {
    let rules = yaml("").split_once("auth:").map(|(_, rules)| format!("auth:{rules}")).unwrap();
    rules.replace("tokens:", "anyone: [viewer]\n  tokens:")
}

fn order(server: &Server, path: &str) {
    assert_eq!(admin(server, "POST", path, None).0, 202, "{path}");
}

/// Fails unless a response that runs falls silent within a second, and stays so.
fn assert_silent(viewer: &mut Answer) {
    // What is under way arrives.
    viewer.within(secs(1));
    let quiet = viewer.next(Instant::now() + secs(1));
    assert!(matches!(quiet, Next::Late), "{quiet:?}");
}

/// What a player of RTSP gets, with the time.
fn listen(mut player: Player) -> Arc<Mutex<Vec<(Instant, u8, Bytes)>>> {
    let got = Arc::new(Mutex::new(Vec::new()));
    let list = got.clone();
    // Ends with the server.
    thread::spawn(move || {
        while let Some(player::Item::Packet(channel, bytes)) = player.next(SOON) {
            list.lock().unwrap().push((Instant::now(), channel, bytes));
        }
    });
    got
}

/// Whether an RTP packet begins a keyframe of H.264 (RFC 6184): its parameter sets, or the picture itself.
fn is_keyframe(packet: &[u8]) -> bool {
    match packet[12] & 31 {
        5 | 7 | 8 => true,
        // The first unit of several, and a part of one.
        24 => matches!(packet[15] & 31, 5 | 7 | 8),
        28 => matches!(packet[13] & 31, 5 | 7 | 8),
        _ => false,
    }
}

#[test]
fn f36_a_paused_stream_sends_nothing_and_continues_at_a_keyframe() {
    if !have("ffprobe") {
        return;
    }
    // Keyframes are so rare that one comes soon only on request.
    let h264 = H264.replace("gop: 25", "gop: 500");
    let server = Server::start(&format!(
        "rtsp: {{listen: 127.0.0.1:0}}\nfeeds:\n  cam: {{pipeline: '{PICTURE} name=video {TONE} name=audio', mode: continuous}}\nstreams:\n  \
         cam: {{feed: cam, video: {h264}, audio: aac}}\n  other: {{feed: cam, video: {H264}}}\n{}",
        rules()
    ));
    let mut viewer = server.get("/cam.ts");
    let mut bytes = viewer.piece(SOON);
    let mut other = server.get("/other.ts");
    other.piece(SOON);
    let mut player = Player::connect(player::address(&server));
    player.play("/cam", &[0]);
    let packets = listen(player);
    bytes.extend(viewer.collect(millis(500)));
    wait_until("RTSP plays", SOON, || packets.lock().unwrap().len() > 10);
    let starts = entry(&state(&server), "feeds", "cam")["starts"].clone();

    let began = Instant::now();
    order(&server, "/streams/cam/pause");
    bytes.extend(viewer.within(secs(1)));
    assert!(matches!(viewer.next(Instant::now() + secs(1)), Next::Late));
    let newest = packets.lock().unwrap().last().unwrap().0;
    assert!(newest < began + secs(1), "{:?}", newest - began);
    for found in [&state(&server), &state(&server)] {
        let stream = entry(found, "streams", "cam");
        assert_eq!((&stream["state"], &stream["paused"]), (&"paused".into(), &true.into()), "{stream:#}");
        let feed = entry(found, "feeds", "cam");
        assert_eq!((&feed["state"], &feed["paused"]), (&"running".into(), &false.into()), "{feed:#}");
    }
    assert_eq!(admin(&server, "GET", "/streams?state=paused", None).1["total"], 1);
    assert!(server.get("/metrics").text().contains("voyandz_stream_state{stream=\"cam\",state=\"paused\"} 1"));
    // Another stream of the feed is not paused, and viewers who come now wait.
    assert!(other.collect(millis(500)).len() > 1000);
    let mut late = ["/cam.ts", "/cam.mkv"].map(|path| server.get(path));
    drop(other);
    for viewer in &mut late {
        assert_eq!(viewer.status, 200);
        assert!(matches!(viewer.next(Instant::now() + millis(700)), Next::Late));
    }
    let paused = began.elapsed();

    let resumed = Instant::now();
    order(&server, "/streams/cam/resume");
    let mut after = viewer.piece(secs(2));
    after.extend(viewer.collect(secs(2)));
    // All are read before anything is decoded: who takes nothing for 10 s is sent away.
    let late = late.map(|mut viewer| viewer.collect(millis(500)));
    let (pictures, complaints) = media::pictures(&ts::trim(&after));
    assert!(complaints.is_empty() && pictures.starts_with('I'), "{pictures} {complaints}");
    assert!(pictures.len() > 25, "{pictures}");
    let whole = [bytes.clone(), after].concat();
    let (faults, _) = ts::continuity(&whole);
    assert!(faults.is_empty(), "{faults:?}");
    let frames = media::Frames::of(&ts::trim(&whole), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    // The pause is a gap, as long as it was.
    let times =
        ts::times(&whole).into_values().map(|times| times.windows(2).map(|two| two[1] - two[0]).fold(0.0, f64::max));
    let gaps: Vec<f64> = times.collect();
    assert!(gaps.iter().all(|gap| *gap > paused.as_secs_f64() - 0.5), "{gaps:?} {paused:?}");
    wait_until("RTSP continues", SOON, || packets.lock().unwrap().last().unwrap().0 > resumed);
    let first = packets.lock().unwrap().iter().find(|(at, channel, _)| *at > resumed && *channel == 0).cloned();
    assert!(is_keyframe(&first.as_ref().unwrap().2), "{first:?}");
    for bytes in late {
        let (pictures, _) = media::pictures(&bytes);
        assert!(pictures.starts_with('I'), "{pictures}");
    }
    let state = state(&server);
    assert_eq!(entry(&state, "feeds", "cam")["starts"], starts);
    let stream = entry(&state, "streams", "cam");
    assert_eq!((&stream["state"], &stream["gaps"]), (&"running".into(), &0.into()), "{stream:#}");
    let (_, events) = admin(&server, "GET", "/events?type=stream.ordered&limit=10", None);
    let orders: Vec<_> = events["items"].as_array().unwrap().iter().map(|event| &event["data"]["order"]).collect();
    assert_eq!(orders, ["pause", "resume"]);
}

#[test]
fn f36_a_pause_ends_by_itself_and_survives_a_reload_and_a_restart_of_the_source() {
    let yaml = yaml("");
    let server = Server::start(&yaml);
    let mut viewer = http::request(server.address(), "GET", "/cam.raw", &format!("Authorization: Bearer {VIEWER}\r\n"));
    viewer.piece(SOON);
    // Bytes of a program: the stream is its feed, which is not paused with it.
    order(&server, "/streams/cam.raw/pause?for=3s");
    assert_silent(&mut viewer);
    let shown = || {
        let state = |path: &str| admin(&server, "GET", path, None).1["paused"].as_bool().unwrap();
        (state("/feeds/ticks"), state("/streams/cam.raw"))
    };
    assert_eq!(shown(), (false, true));
    viewer.piece(secs(3));
    assert_eq!(shown(), (false, false));
    order(&server, "/feeds/ticks/pause");
    assert_silent(&mut viewer);
    assert_eq!(shown(), (true, true));
    server.reload(&format!("{yaml}pages: {{home: false}}\n"));
    assert_silent(&mut viewer);
    assert_eq!(shown(), (true, true));
    let starts = || admin(&server, "GET", "/feeds/ticks", None).1["starts"].as_u64().unwrap();
    let before = starts();
    order(&server, "/feeds/ticks/restart");
    wait_until("it starts again", SOON, || starts() == before + 1);
    assert_silent(&mut viewer);
    // Both have to be resumed.
    order(&server, "/streams/cam.raw/pause");
    order(&server, "/feeds/ticks/resume");
    assert_silent(&mut viewer);
    assert_eq!(shown(), (false, true));
    order(&server, "/streams/cam.raw/resume");
    viewer.piece(SOON);
    // A newer order takes the place of an older one.
    order(&server, "/feeds/ticks/pause?for=1s");
    order(&server, "/feeds/ticks/pause");
    thread::sleep(secs(2));
    assert_eq!(shown(), (true, true));
    order(&server, "/feeds/ticks/resume");
    for path in ["/feeds/ticks/pause?for=0", "/feeds/ticks/resume?for=5s", "/streams/cam.raw/pause?for=2d"] {
        assert_eq!(admin(&server, "POST", path, None).0, 400, "{path}");
    }
    // Who may stop may pause, and nobody else.
    for path in ["/feeds/ticks/pause", "/streams/cam.raw/pause", "/feeds/ticks/resume", "/streams/cam.raw/resume"] {
        assert_eq!(ask(&server, VIEWER, "POST", path, "", None).0, 403, "{path}");
        assert_eq!(http::request(server.address(), "POST", &format!("/api/v1{path}"), "").status, 401, "{path}");
    }
    assert_eq!(admin(&server, "POST", "/streams/none/pause", None).0, 404);
    viewer.piece(SOON);
}

#[test]
fn f36_the_feed_of_a_paused_publisher_goes_to_no_output_and_its_publisher_stays() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "rtmp: {{listen: 127.0.0.1:0}}\nfeeds: {{studio: {{publish: {{key: s3cret, idle: 3}}}}}}\nstreams:\n  studio: {{feed: studio}}\n  \
         small: {{feed: studio, video: {H264}}}\n{}",
        rules()
    ));
    let line = server.log.wait("listening .*protocol=rtmp", SOON);
    let url = format!("rtmp://{}/studio?key=s3cret", field(&line, "address"));
    let _publisher = Publisher::start(&[LIVE, H264_AAC, &["-f", "flv", &url]]);
    wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
    let mut viewers = ["/studio.flv", "/studio.mp4", "/small.ts"].map(|path| server.get(path));
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    wait_until("a playlist", SOON, || server.get("/studio.m3u8").status == 200);
    let list = server.get("/studio.m3u8").text();
    let list = list.lines().find(|line| !line.starts_with('#')).unwrap().to_owned();
    let newest = || {
        let text = server.get(&format!("/{list}")).text();
        crate::rig::playlist::Playlist::parse(&text).open_number()
    };
    let before = newest();
    wait_until("segments are made", SOON, || newest() > before);
    order(&server, "/feeds/studio/pause");
    viewers.iter_mut().for_each(|viewer| drop(viewer.within(millis(400))));
    let shown = state(&server);
    assert_eq!(entry(&shown, "feeds", "studio")["state"], "paused");
    for name in ["studio", "small"] {
        assert_eq!(entry(&shown, "streams", name)["state"], "paused", "{name}");
    }
    let (number, samples) = (newest(), |state: &Value| {
        let publish = &entry(state, "feeds", "studio")["publish"];
        (publish["publishers_ever"].as_u64(), publish["publisher"]["samples"].as_u64())
    });
    // Longer than a publisher may be silent, and a viewer may take nothing.
    thread::sleep(secs(5));
    for viewer in &mut viewers {
        assert!(matches!(viewer.next(Instant::now()), Next::Late));
    }
    assert_eq!(newest(), number);
    let (then, now) = (samples(&shown), samples(&state(&server)));
    assert!(then.0 == now.0 && now.1 > then.1, "{then:?} {now:?}");
    order(&server, "/feeds/studio/resume");
    for viewer in &mut viewers {
        viewer.piece(SOON);
    }
    wait_until("segments are made again", SOON, || newest() > number);
}

#[test]
fn f36_an_encoder_reads_a_feed_of_bytes_while_what_is_passed_through_is_paused() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "feeds:\n  cam: {{command: {}}}\nstreams:\n  cam.ts: {{feed: cam}}\n  small.ts: {{feed: cam, video: {H264}}}\n{}",
        counting(25),
        rules()
    ));
    let [mut plain, mut small] = ["/cam.ts", "/small.ts"].map(|path| server.get(path));
    let mut bytes = plain.piece(SOON);
    small.piece(SOON);
    bytes.extend(plain.collect(millis(500)));
    order(&server, "/streams/cam.ts/pause");
    bytes.extend(plain.within(secs(1)));
    assert!(matches!(plain.next(Instant::now() + millis(500)), Next::Late));
    assert!(small.collect(secs(1)).len() > 1000, "it is not paused");
    order(&server, "/streams/cam.ts/resume");
    let after = plain.take_until(SOON, |bytes| bytes.len() > 20_000);
    let (pictures, complaints) = media::pictures(&ts::trim(&after));
    assert!(pictures.starts_with('I') && complaints.is_empty(), "{pictures} {complaints}");
    let (faults, announced) = ts::continuity(&[bytes, after].concat());
    assert!(faults.is_empty() && announced > 0, "{announced} {faults:?}");
    // A pause of the feed pauses both.
    order(&server, "/feeds/cam/pause");
    [&mut plain, &mut small].into_iter().for_each(assert_silent);
    order(&server, "/feeds/cam/resume");
    [&mut plain, &mut small].into_iter().for_each(|viewer| drop(viewer.piece(SOON)));
}

#[test]
fn f36_a_push_stays_connected_while_its_stream_is_paused() {
    if !have("ffmpeg") {
        return;
    }
    let target = Server::start(
        "
        rtmp: {listen: 0}
        feeds: {studio: {publish: {key: s3cret, idle: 60}}}
        streams: {studio: {feed: studio}}
        ",
    );
    let line = target.log.wait("listening .*protocol=rtmp", SOON);
    let to = format!("'rtmp://{}/live/studio?key=s3cret'", field(&line, "address"));
    let server = Server::start(&format!("{}{}", camera(&[to]), rules()));
    wait_state(&server, "cam0", 0, "established");
    let received =
        || entry(&state(&target), "feeds", "studio")["publish"]["publisher"]["samples"].as_u64().unwrap_or_default();
    wait_until("it arrives", SOON, || received() > 50);
    order(&server, "/streams/cam0/pause");
    thread::sleep(secs(1));
    let before = received();
    // Without an order a push ends after 5 s of silence.
    thread::sleep(Duration::from_millis(7500));
    let push = wait_state(&server, "cam0", 0, "established");
    assert_eq!((received(), &push["connections"]), (before, &1.into()), "{push:#}");
    order(&server, "/streams/cam0/resume");
    wait_until("it continues", SOON, || received() > before + 25);
    assert_eq!(wait_state(&server, "cam0", 0, "established")["connections"], 1);
}
