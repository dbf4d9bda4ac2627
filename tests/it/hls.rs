//! HLS, LL-HLS and DASH, as players request them.

use crate::rig::{
    SOON, Server,
    browser::{Browser, have_browser},
    have, http, media,
    playlist::Playlist,
    process,
    script::{H264, PICTURE, TONE},
    secs,
    server::password_hash,
    state::{entry, state, wait_for},
    tool, wait_until,
};
use data_encoding::{BASE64, HEXLOWER};
use rustix::process::Signal;
use std::{
    collections::BTreeSet,
    io::Write,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// A server with a stream `cam.mp4`, which has these keys more.
pub fn camera(more: &str) -> Server {
    Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam.mp4: {{feed: cam, video: {H264}, audio: {{codec: aac}}{more}}}
        "
    ))
}

/// Requests a path; the status, the head in lower case, and the body.
pub fn fetch(server: &Server, path: &str) -> (u16, String, Vec<u8>) {
    let mut answer = server.get(path);
    let head = answer.head.to_lowercase();
    (answer.status, head, answer.rest(SOON))
}

/// The body of a response that is one.
pub fn text(server: &Server, path: &str) -> String {
    let (status, _, body) = fetch(server, path);
    let text = String::from_utf8(body).unwrap();
    assert_eq!(status, 200, "{path}: {text}");
    text
}

/// Paths of the media playlists that a multivariant playlist lists, with their tokens.
pub fn media_playlists(server: &Server, path: &str) -> Vec<String> {
    let text = text(server, path);
    let uris = text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned);
    let groups = text.lines().filter_map(|line| Some(line.split_once("URI=\"")?.1.split_once('"')?.0.to_owned()));
    uris.chain(groups).map(|uri| format!("/{uri}")).collect()
}

#[test]
fn playlists_keep_to_the_rules_while_a_player_follows_them() {
    let server = camera(", hls: {segment: 1}");
    let playlists = media_playlists(&server, "/cam.m3u8");
    assert_eq!(playlists.len(), 2, "{playlists:?}");
    let folder = "/cam/hls/";
    thread::scope(|scope| {
        for path in &playlists {
            let server = &server;
            scope.spawn(move || {
                let mut before = Playlist::parse(&text(server, path));
                let mut seen = BTreeSet::new();
                before.check();
                let begin = before.open_number();
                while before.open_number() < begin + 5 {
                    let (segment, part) = (before.open_number(), before.open.len());
                    // The hint is requested at the same time, as players do.
                    let hint = format!("{folder}{}", before.hint.clone().unwrap());
                    let hinted = scope.spawn(move || fetch(server, &hint));
                    let (status, _, body) = fetch(server, &format!("{path}&_HLS_msn={segment}&_HLS_part={part}"));
                    assert_eq!(status, 200);
                    let list = Playlist::parse(&String::from_utf8(body).unwrap());
                    list.check();
                    list.check_after(&before);
                    let (status, head, part) = hinted.join().unwrap();
                    assert_eq!((status, part.is_empty()), (200, false), "{head}");
                    for found in &list.segments {
                        if seen.insert(found.uri.clone()) {
                            let parts: usize = found.parts.len();
                            let (status, head, body) = fetch(server, &format!("{folder}{}", found.uri));
                            assert_eq!(status, 200);
                            assert!(head.contains("immutable") && head.contains("content-length"), "{head}");
                            assert!(body.len() > 100 * parts);
                            let map = found.map.as_ref().unwrap();
                            let (status, _, header) = fetch(server, &format!("{folder}{map}"));
                            assert_eq!((status, &header[4..8]), (200, &b"ftyp"[..]));
                        }
                    }
                    before = list;
                }
                assert!(seen.len() >= 5);
            });
        }
    });
    // All of this was one viewer.
    let viewers = entry(&state(&server), "streams", "cam.mp4")["readers"].clone();
    assert_eq!(viewers, 1, "{:#}", entry(&state(&server), "streams", "cam.mp4"));
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let server = camera("");
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let list = Playlist::parse(&text(&server, &playlist));
    let (open, ahead) = (list.open_number(), list.open_number() + 3);
    let cases = [
        (format!("{playlist}&_HLS_msn={ahead}"), 400),
        (format!("{playlist}&_HLS_msn={}", u64::MAX), 400),
        (format!("{playlist}&_HLS_msn=-1"), 400),
        (format!("{playlist}&_HLS_part=1"), 400),
        (format!("{playlist}&_HLS_msn={open}&_HLS_part=900"), 400),
        (format!("{playlist}&_HLS_skip=maybe"), 400),
        (format!("{playlist}&_HLS_msn=0"), 200),
        ("/cam.m3u8?container=avi".to_owned(), 400),
        ("/cam/hls/v0-1.m4s".to_owned(), 404),
        (format!("/cam/hls/v0-{ahead}.m4s"), 404),
        ("/cam/hls/v0-p1.m4s".to_owned(), 404),
        ("/cam/hls/v0-i1.mp4".to_owned(), 404),
        ("/cam/hls/v1.m3u8".to_owned(), 404),
        ("/cam/hls/".to_owned(), 404),
        ("/other.m3u8".to_owned(), 404),
    ];
    for (path, expect) in cases {
        assert_eq!(fetch(&server, &path).0, expect, "{path}");
    }
    // Whatever was asked, others are served.
    assert_eq!(fetch(&server, &playlist).0, 200);
}

#[test]
fn what_a_request_has_besides_goes_into_all_addresses() {
    let server = camera("");
    let playlists = media_playlists(&server, "/cam.m3u8?token=a%2Fb");
    assert!(playlists.iter().all(|path| path.contains("?token=a%2Fb&s=")), "{playlists:?}");
    let list = Playlist::parse(&text(&server, &playlists[0]));
    let segment = list.segments.last().unwrap();
    for uri in [&segment.uri, segment.map.as_ref().unwrap(), list.hint.as_ref().unwrap(), &segment.parts[0].uri] {
        assert!(uri.ends_with("?token=a%2Fb"), "{uri}");
    }
    assert_eq!(fetch(&server, &format!("/cam/hls/{}", segment.uri)).0, 200);
}

#[test]
fn a_stream_that_starts_is_listed_soon_after_its_first_frame() {
    let names = ["a", "b", "c", "d", "e", "f"];
    let of = |line: &dyn Fn(&str) -> String| names.map(line).concat();
    let server = Server::start(&format!(
        "feeds:\n{}streams:\n{}",
        of(&|name| format!("  {name}: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}\n")),
        of(&|name| format!("  {name}: {{feed: {name}, video: {H264}, audio: aac}}\n")),
    ));
    let millis = |times: [u128; 3]| {
        let mut times = times;
        times.sort();
        times
    };
    // How long a viewer of a transport stream waits for the same feed: it gets the first frame.
    let first_frame = millis(["a", "b", "c"].map(|name| {
        let began = Instant::now();
        let mut viewer = server.get(&format!("/{name}.ts"));
        viewer.take(188, SOON);
        began.elapsed().as_millis()
    }));
    let first_playlist = millis(["d", "e", "f"].map(|name| {
        let began = Instant::now();
        let lists = media_playlists(&server, &format!("/{name}.m3u8"));
        let listed: Vec<String> = lists.iter().map(|list| text(&server, list)).collect();
        let took = began.elapsed().as_millis();
        listed.iter().for_each(|list| Playlist::parse(list).check());
        took
    }));
    println!("ms to the first frame {first_frame:?}, to the first playlist {first_playlist:?}");
    // Three short segments take 0.24 s. The bar on a machine that does nothing else is 0.3 s.
    assert!(first_playlist[1] < first_frame[1] + 1000);
}

#[test]
fn nothing_runs_some_time_after_the_last_request() {
    let server = camera("");
    // Neither a segment nor a head starts anything.
    for (path, kind) in [("/cam.m3u8", "application/vnd.apple.mpegurl"), ("/cam.mpd", "application/dash+xml")] {
        let answer = http::request(server.address(), "HEAD", path, "");
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)));
    }
    assert_eq!(fetch(&server, "/cam/hls/v0-1.m4s").0, 404);
    assert_eq!(server.log.count("worker started"), 0);
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    text(&server, &playlist);
    let began = Instant::now();
    server.log.wait("stopped: no viewers", secs(30));
    // 10 s and three target durations of 2 s.
    assert!((secs(14)..secs(22)).contains(&began.elapsed()), "{:?}", began.elapsed());
    server.log.wait("viewer left .*protocol=hls", secs(5));
    wait_for(&server, "streams", "cam.mp4", |stream| stream["readers"] == 0);
    // It begins again with numbers that were not used.
    let before = Playlist::parse(&text(&server, &playlist)).sequence;
    assert!(before > 0);
}

#[test]
fn a_player_continues_after_the_worker_died() {
    let server = camera("");
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let mut before = Playlist::parse(&text(&server, &playlist));
    let follow = |before: &Playlist| {
        let (segment, part) = (before.open_number(), before.open.len());
        let list = Playlist::parse(&text(&server, &format!("{playlist}&_HLS_msn={segment}&_HLS_part={part}")));
        list.check_after(before);
        list
    };
    process::send(server.worker("cam"), Signal::SEGV);
    let until = Instant::now() + SOON;
    let end = before.open_number() + 4;
    while before.open_number() < end {
        assert!(Instant::now() < until);
        before = follow(&before);
    }
    server.log.wait_nth("worker started group=cam ", 2, SOON);
}

#[test]
fn a_configuration_that_does_not_change_the_stream_does_not_disturb_it() {
    let yaml = |more: &str| {
        format!(
            "feeds:\n  cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}\nstreams:\n  \
             cam.mp4: {{feed: cam, video: {H264}, audio: {{codec: aac}}{more}}}"
        )
    };
    let server = Server::start(&yaml(""));
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let before = Playlist::parse(&text(&server, &playlist));
    server.reload(&format!("{}\n  other.ts: {{feed: cam, video: {H264}}}", yaml("")));
    let after = Playlist::parse(&text(&server, &format!("{playlist}&_HLS_msn={}", before.open_number())));
    after.check_after(&before);
    assert!(after.segments.iter().all(|segment| !segment.is_discontinuity));
    // With other settings the playlists begin again.
    server.reload(&yaml(", hls: {segment: 4, part: 0.4}"));
    let list = Playlist::parse(&text(&server, &playlist));
    assert_eq!((list.target, list.part_target), (4.0, Some(0.400_001)));
}

#[test]
fn each_setting_changes_the_playlist() {
    let server = camera(", hls: {segment: 0.5, part: 0.1, window: 3}");
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let length = |list: &Playlist| list.segments.iter().map(|segment| segment.duration).sum::<f64>();
    let mut list = Playlist::parse(&text(&server, &playlist));
    let begin = list.sequence;
    wait_until("the window is full", SOON, || {
        let next = format!("{playlist}&_HLS_msn={}", list.open_number());
        list = Playlist::parse(&text(&server, &next));
        list.sequence > begin + 4
    });
    assert_eq!((list.target, list.part_target), (1.0, Some(0.120_001)));
    assert!((3.0..4.6).contains(&length(&list)), "{}", length(&list));
}

#[test]
fn a_stream_of_every_output_takes_what_a_playlist_can_carry() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam: {{feed: cam, video: [{{codec: vp8, gop: 25}}, {H264}], audio: [opus, aac]}}
          strict: {{feed: cam, video: {{codec: vp8, gop: 25}}, audio: opus, repair: []}}
          nine: {{feed: cam, video: {{codec: vp9, gop: 25}}, audio: opus, repair: []}}
        "
    ));
    let codecs = |path: &str| {
        let mut ffprobe = Command::new("ffprobe");
        ffprobe.args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &server.url(path)]);
        let said = String::from_utf8(ffprobe.output().unwrap().stdout).unwrap();
        said.split_whitespace().map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let set = |names: [&str; 2]| names.map(str::to_owned).into_iter().collect::<BTreeSet<_>>();
    assert_eq!(codecs("/cam.m3u8"), set(["vp8", "opus"]));
    assert_eq!(codecs("/cam.m3u8?container=ts"), set(["h264", "opus"]));
    let (status, _, body) = fetch(&server, "/strict.m3u8?container=ts");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!((status, text.contains("ts cannot carry VP8")), (406, true), "{text}");
    assert!(text.contains("without `container=ts`"), "{text}");
    let (status, _, body) = fetch(&server, "/nine.m3u8?container=ts");
    let text = String::from_utf8_lossy(&body).into_owned();
    assert_eq!((status, text.contains("ts cannot carry VP9")), (406, true), "{text}");
    assert_eq!(codecs("/nine.m3u8"), set(["vp9", "opus"]));
    assert_eq!(codecs("/strict.m3u8"), set(["vp8", "opus"]));
}

#[test]
fn hls_js_plays_close_to_live() {
    let Some(library) = tool("hls.js-1.7.4.js") else { return };
    if !have_browser() {
        return;
    }
    let (server, browser) = (camera(""), Browser::start());
    play_by_hls_js(&server, &browser, &library);
    // Seconds between the capture of what is shown and now. Plain HLS would be at 6 s.
    let behind = browser.run("return (Date.now() - hls.playingDate.getTime()) / 1000").as_f64().unwrap();
    assert!((0.2..4.0).contains(&behind), "{behind} s");
}

/// Plays six seconds of the stream. Fails with an error that hls.js cannot recover from.
#[track_caller]
fn play_by_hls_js(server: &Server, browser: &Browser, library: &Path) {
    // Its own pages allow no foreign scripts that make media.
    browser.open(&server.url("/livez"));
    browser.run(&format!("{}; window.Hls = globalThis.Hls ?? this.Hls", std::fs::read_to_string(library).unwrap()));
    browser.run(
        "document.body.innerHTML = '';
        const player = document.createElement('video');
        [player.muted, window.waits] = [true, 0];
        document.body.append(player);
        player.addEventListener('waiting', () => { if (player.currentTime > 2) window.waits += 1 });
        window.hls = new Hls({ lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.1 });
        window.failed = [];
        hls.on(Hls.Events.ERROR, (event, data) => { if (data.fatal) window.failed.push(data.details) });
        hls.loadSource('/cam.m3u8');
        hls.attachMedia(player);
        player.play()",
    );
    let frames = "document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames";
    browser.wait(&format!("return {frames} > 150"), Duration::from_secs(40));
    assert_eq!(browser.run("return window.failed.join()"), "");
}

/// Row D16: what is in a cache is of no use without the key, which only viewers get.
#[test]
fn encrypted_segments_are_for_those_who_get_their_keys() {
    if !have("ffmpeg") || !have("openssl") {
        return;
    }
    let server = Server::start(&format!(
        "
        auth: {{users: {{anna: {{password: {}, may: 'view cam.mp4'}}}}}}
        feeds:
          cam: {{pipeline: '{PICTURE} name=video  {TONE} name=audio', mode: continuous}}
        streams:
          cam.mp4: {{feed: cam, video: {H264}, audio: {{codec: aac}}, hls: {{segment: 0.5, encrypt: 2}}}}
        ",
        password_hash("pass-canary")
    ));
    let login = format!("Authorization: Basic {}\r\n", BASE64.encode(b"anna:pass-canary"));
    let ask = |path: &str| {
        let mut answer = http::request(server.address(), "GET", path, &login);
        (answer.status, answer.rest(SOON))
    };
    let get = |path: &str| {
        let (status, body) = ask(path);
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        body
    };
    for (query, begin) in [("", &b"\0\0\0\x64moof"[4..]), ("?container=ts", &b"\x47\x40"[..])] {
        let multivariant = String::from_utf8(get(&format!("/cam.m3u8{query}"))).unwrap();
        let playlist = format!("/{}", multivariant.lines().find(|line| !line.starts_with('#')).unwrap());
        let mut list = Playlist::default();
        wait_until("a third key", SOON, || {
            list = Playlist::parse(&String::from_utf8(get(&playlist)).unwrap());
            list.segments.iter().map(|segment| &segment.key).collect::<BTreeSet<_>>().len() > 5
        });
        list.check();
        assert_eq!(list.part_target, None);
        let (mut media, mut keys) = (Vec::new(), BTreeSet::new());
        for segment in &list.segments {
            let (key, vector) = segment.key.as_ref().unwrap();
            let (sealed, key_bytes) = (get(&format!("/cam/hls/{}", segment.uri)), get(&format!("/cam/hls/{key}")));
            assert_eq!((sealed.len() % 16, key_bytes.len()), (0, 16));
            keys.insert(key_bytes.clone());
            let mut openssl = Command::new("openssl");
            openssl.args(["enc", "-d", "-aes-128-cbc", "-K", &HEXLOWER.encode(&key_bytes), "-iv", &vector[2..]]);
            let mut child = openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            let writer = thread::spawn(move || input.write_all(&sealed).unwrap());
            let plain = child.wait_with_output().unwrap();
            writer.join().unwrap();
            assert!(plain.status.success());
            let head = if query.is_empty() { &plain.stdout[4..8] } else { &plain.stdout[..2] };
            assert_eq!(head, begin, "{}", segment.uri);
            if let Some(map) = segment.map.as_ref().filter(|_| media.is_empty()) {
                media = get(&format!("/cam/hls/{map}"));
            }
            media.extend(plain.stdout);
        }
        // Two segments a key.
        assert!((3..=list.segments.len() / 2 + 2).contains(&keys.len()), "{} of {}", keys.len(), list.segments.len());
        media::assert_decodes(&media);
        let (key, _) = list.segments[0].key.as_ref().unwrap();
        let key = format!("/cam/hls/{}", key.split('?').next().unwrap());
        assert_eq!(http::get(server.address(), &key).status, 401);
        assert_eq!(ask("/cam/hls/k-00000000-1.key").0, 404);
        let (first, _) = key.rsplit_once('-').unwrap();
        assert_eq!(ask(&format!("{first}-99999999999.key")).0, 404, "of the future");
    }
    assert_eq!(ask("/cam/hls/v0-p1.m4s").0, 404);
    let (status, reason) = ask("/cam.mpd");
    let reason = String::from_utf8(reason).unwrap();
    assert!(status == 406 && reason.contains("use cam.m3u8"), "{status} {reason}");
}

#[test]
fn hls_js_plays_encrypted_segments() {
    let Some(library) = tool("hls.js-1.7.4.js") else { return };
    if !have_browser() {
        return;
    }
    let (server, browser) = (camera(", hls: {segment: 1, encrypt: 2}"), Browser::start());
    play_by_hls_js(&server, &browser, &library);
    let keys = "return performance.getEntriesByType('resource').filter(it => it.name.includes('.key')).length";
    assert!(browser.run(keys).as_u64().unwrap() > 1);
}

#[test]
fn requests_that_wait_are_limited_and_counted() {
    let server = camera("");
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let next = || format!("{playlist}&_HLS_msn={}", Playlist::parse(&text(&server, &playlist)).open_number() + 1);
    // All of them wait for the same segment, which is not begun yet.
    let path = next();
    let mut waiting: Vec<_> = (0..16).map(|_| http::ask(server.address(), &path)).collect();
    wait_until("all of them wait", SOON, || metric(&server, "voyandz_hls_waiting_requests ") >= 16.0);
    let refused = http::get(server.address(), &path);
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    // Another viewer of the same address is served.
    let other = media_playlists(&server, "/cam.m3u8")[0].clone();
    assert_ne!(other, playlist);
    assert_eq!(fetch(&server, &other).0, 200);
    assert_eq!(metric(&server, "voyandz_hls_refused_total{reason=\"viewer_waits\"}"), 1.0);
    waiting.clear();
    wait_until("none waits", SOON, || metric(&server, "voyandz_hls_waiting_requests ") == 0.0);
    for name in ["viewers ", "segments_total ", "parts_total ", "bytes_total ", "requests_total{kind=\"playlist\"}"] {
        assert!(metric(&server, &format!("voyandz_hls_{name}")) >= 2.0, "{name}");
    }
}

/// The value of a metric, by what its line begins with.
pub fn metric(server: &Server, begin: &str) -> f64 {
    let page = text(server, "/metrics");
    let line = page.lines().find_map(|line| line.strip_prefix(begin));
    line.map_or(0.0, |value| value.trim().parse().unwrap())
}

#[test]
fn an_operator_ends_a_viewer_like_those_of_other_protocols() {
    let server = camera("}\n        auth: {anyone: [view, status, kick]");
    let playlists = [0, 1].map(|_| media_playlists(&server, "/cam.m3u8")[0].clone());
    playlists.iter().for_each(|path| drop(text(&server, path)));
    let viewers =
        |server: &Server| -> serde_json::Value { serde_json::from_str(&text(server, "/api/v1/viewers")).unwrap() };
    let found = viewers(&server);
    let items = found["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{found:#}");
    let id = items[0]["id"].as_str().unwrap();
    let ended = http::request(server.address(), "DELETE", &format!("/api/v1/viewers/{id}"), "");
    assert!(ended.status < 300, "{}", ended.status);
    let statuses = playlists.clone().map(|path| fetch(&server, &path).0);
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 1, "{statuses:?}");
    server.log.wait("viewer left .*protocol=hls.*reason=\"?ended by", SOON);
    let statuses = playlists.map(|path| fetch(&server, &path).0);
    assert_eq!(statuses.iter().filter(|status| **status == 200).count(), 1, "{statuses:?}");
    // A client that connects again is a new viewer.
    assert_eq!(fetch(&server, &media_playlists(&server, "/cam.m3u8")[0]).0, 200);
}

#[test]
fn playlists_are_compressed_for_those_who_accept_it() {
    let server = camera("");
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    // Longer than a kilobyte.
    let next = Playlist::parse(&text(&server, &playlist)).open_number() + 3;
    (next - 3..=next).for_each(|number| drop(text(&server, &format!("{playlist}&_HLS_msn={number}"))));
    let ask = |encodings: &str| {
        let mut answer =
            http::request(server.address(), "GET", &playlist, &format!("Accept-Encoding: {encodings}\r\n"));
        assert_eq!((answer.status, answer.header("vary")), (200, Some("accept-encoding")));
        let encoding = answer.header("content-encoding").map(str::to_owned);
        (encoding, answer.rest(SOON))
    };
    let (encoding, packed) = ask("gzip, deflate, br");
    assert_eq!(encoding.as_deref(), Some("gzip"));
    let mut list = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut list).unwrap();
    assert!(list.len() > 2 * packed.len(), "{} {}", list.len(), packed.len());
    Playlist::parse(&list).check();
    let (encoding, plain) = ask("gzip;q=0");
    assert_eq!(encoding, None);
    Playlist::parse(std::str::from_utf8(&plain).unwrap()).check();
}

#[test]
fn hls_js_shows_a_running_stream_within_a_segment() {
    let Some(library) = tool("hls.js-1.7.4.js") else { return };
    if !have_browser() {
        return;
    }
    let (server, browser) = (camera(""), Browser::start());
    let playlist = media_playlists(&server, "/cam.m3u8")[0].clone();
    let list = Playlist::parse(&text(&server, &playlist));
    text(&server, &format!("{playlist}&_HLS_msn={}", list.open_number()));
    browser.open(&server.url("/livez"));
    browser.run(&format!("{}; window.Hls = globalThis.Hls ?? this.Hls", std::fs::read_to_string(library).unwrap()));
    browser.run(
        "window.show = () => {
            document.body.innerHTML = '';
            const player = document.createElement('video');
            player.muted = true;
            window.took = null;
            window.hls?.destroy();
            window.hls = new Hls({ lowLatencyMode: true });
            document.body.append(player);
            const began = performance.now();
            player.requestVideoFrameCallback(() => { window.took = (performance.now() - began) / 1000 });
            hls.loadSource('/cam.m3u8');
            hls.attachMedia(player);
            player.play();
        }",
    );
    let mut took: Vec<f64> = (0..5)
        .map(|_| {
            browser.run("window.show()");
            browser.wait("return window.took !== null", Duration::from_secs(30));
            browser.run("return window.took").as_f64().unwrap()
        })
        .collect();
    took.sort_by(f64::total_cmp);
    println!("hls.js: first frame after {took:?} s");
    // It has not waited for a segment: the first frame is there before one could have been made.
    assert!(took[2] < list.target, "{took:?}");
}
