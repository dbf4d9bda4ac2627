//! HLS with requests and media as they should not be.

use crate::{
    hls::{camera, fetch, media_playlists, metric, text},
    limits::ask_from,
    rig::{
        SOON, Server, have, log,
        playlist::Playlist,
        process,
        publisher::Publisher,
        script::{H264, PICTURE, TONE},
        state::{entry, state},
        wait_until,
    },
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

#[test]
fn ten_thousand_requests_that_wait_harm_nobody() {
    /// How many are sent, and how many of two addresses may wait.
    const SENT: usize = 10_000;
    const MAY_WAIT: f64 = 2.0 * 4000.0;
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
          silent: {{pipeline: 'videotestsrc is-live=true ! valve drop=true name=video'}}
        streams:
          cam: {{feed: cam, video: {H264}, audio: aac}}
          silent: {{feed: silent, video: {H264}}}
        "
    ));
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let waiting = || metric(&server, "voyandz_hls_waiting_requests ");
    let before = process::resident(server.pid());
    let mut requests = Vec::with_capacity(SENT);
    let mut longest = Duration::ZERO;
    for viewer in 0..SENT {
        // An address has half of all connections at most.
        let host = 2 + (viewer % 2) as u8;
        requests.push(ask_from(host, server.address(), &format!("/silent/hls/v0.m3u8?s={viewer:x}")));
        if viewer % 1000 == 0 {
            let asked = Instant::now();
            assert_eq!(fetch(&server, &playlist).0, 200);
            longest = longest.max(asked.elapsed());
        }
    }
    wait_until("some are refused", SOON, || {
        metric(&server, "voyandz_hls_refused_total{reason=\"address_waits\"}") > 0.0
    });
    let (waits, grown) = (waiting(), process::resident(server.pid()).saturating_sub(before) / 1024);
    println!("{waits} wait, {grown} MiB more; another viewer waited {longest:?} at most");
    assert!(waits <= MAY_WAIT, "{waits} wait");
    assert!(grown < 600, "the server has grown by {grown} MiB");
    drop(requests);
    wait_until("none waits", SOON, || waiting() == 0.0);
    assert_eq!(fetch(&server, &playlist).0, 200);
}

#[test]
fn a_viewer_that_polls_is_one_viewer_and_gets_what_there_is() {
    let server = camera("");
    let playlists = media_playlists(&server, "/cam.m3u8");
    let mut before = Playlist::parse(&text(&server, &playlists[0]));
    let began = Instant::now();
    let mut polled = 0;
    // Two seconds of it. A machine that is busy answers less often.
    while began.elapsed() < Duration::from_secs(2) {
        let list = Playlist::parse(&text(&server, &playlists[0]));
        list.check();
        list.check_after(&before);
        before = list;
        polled += 1;
    }
    println!("{polled} playlists in {:?}", began.elapsed());
    assert_eq!(entry(&state(&server), "streams", "cam.mp4")["readers"], 1);
    assert_eq!(metric(&server, "voyandz_hls_refused_total{reason=\"viewer_waits\"}"), 0.0);
}

/// Follows a playlist as a player does and checks each version, until `is_over`. The headers that its segments had.
fn follow(server: &Server, path: &str, is_over: &AtomicBool) -> (usize, BTreeSet<String>) {
    let mut before = Playlist::parse(&text(server, path));
    let (mut seen, mut headers) = (0, BTreeSet::new());
    while !is_over.load(Ordering::Relaxed) {
        let next = format!("{path}&_HLS_msn={}&_HLS_part={}", before.open_number(), before.open.len());
        let (status, _, body) = fetch(server, &next);
        if status == 503 {
            // There is no publisher.
            continue;
        }
        let body = String::from_utf8(body).unwrap();
        assert_eq!(status, 200, "{next}: {body}");
        let list = Playlist::parse(&body);
        list.check();
        list.check_after(&before);
        headers.extend(list.segments.iter().filter_map(|segment| segment.map.clone()));
        seen += 1;
        before = list;
    }
    (seen, headers)
}

/// Stamps in milliseconds, 29.97 frames a second, frames that are reordered, audio of 44.1 kHz; each publisher has another size, and
/// times of its own. `VOYANDZ_CHECK_SECONDS` says how long.
#[test]
fn playlists_keep_to_the_rules_while_publishers_come_and_go() {
    if !have("ffmpeg") {
        return;
    }
    let seconds = std::env::var("VOYANDZ_CHECK_SECONDS").ok().and_then(|given| given.parse().ok()).unwrap_or(9);
    let each = (seconds / 3_u64).clamp(3, 30);
    let server = Server::start(
        "
        rtmp: {listen: 0}
        feeds: {cam: {publish: {key: s3cret}}}
        streams: {cam.mp4: {feed: cam}}
        ",
    );
    let address = log::field(&server.log.wait("listening .*protocol=rtmp", SOON), "address").to_owned();
    let publish = |round: u64| {
        let size = ["320x240", "480x360", "320x180"][round as usize % 3];
        let (picture, offset) = (format!("testsrc=s={size}:r=30000/1001"), (round * 1000).to_string());
        let target = format!("rtmp://{address}/live/cam?key=s3cret");
        let input = ["-re", "-f", "lavfi", "-i", &picture, "-re", "-f", "lavfi", "-i", "sine=r=44100"];
        let video = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "30", "-sc_threshold", "0"];
        let rest = ["-pix_fmt", "yuv420p", "-c:a", "aac", "-output_ts_offset", &offset, "-f", "flv", &target];
        Publisher::start(&[&input, &video, &rest])
    };
    let is_over = AtomicBool::new(false);
    let first = publish(0);
    let playlists = media_playlists(&server, "/cam.m3u8");
    assert_eq!(playlists.len(), 2, "{playlists:?}");
    let followed: Vec<_> = thread::scope(|scope| {
        let followers = playlists.iter().map(|path| scope.spawn(|| follow(&server, path, &is_over)));
        let followers: Vec<_> = followers.collect();
        let began = Instant::now();
        let mut publisher = first;
        for round in 1.. {
            // It is its own clock.
            let until = Duration::from_secs(each * round);
            let playlist = || Playlist::parse(&text(&server, &playlists[0]));
            while began.elapsed() < until && !followers.iter().any(|follower| follower.is_finished()) {
                text(&server, &format!("{}&_HLS_msn={}", playlists[0], playlist().open_number()));
            }
            if began.elapsed() >= Duration::from_secs(seconds) || followers.iter().any(|one| one.is_finished()) {
                break;
            }
            publisher.kill();
            publisher = publish(round);
        }
        is_over.store(true, Ordering::Relaxed);
        followers.into_iter().map(|follower| follower.join().unwrap()).collect()
    });
    let counts = followed.iter().map(|(seen, headers)| (*seen, headers.len())).collect::<Vec<_>>();
    println!("playlists that were checked, and headers in them: {counts:?}");
    assert!(counts.iter().all(|(seen, headers)| *seen > 20 && *headers > 1), "{counts:?}");
}
