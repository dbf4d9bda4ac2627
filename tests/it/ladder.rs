//! Streams in several sizes and bit rates: `renditions:`.

use crate::rig::{
    SOON, Server,
    browser::{Browser, have_browser},
    have,
    playlist::Playlist,
    script::TONE,
    state::{entry, state, wait_for},
    tool, wait_until,
};
use std::{collections::BTreeMap, process::Command, time::Duration};

const PICTURE: &str =
    "videotestsrc is-live=true pattern=ball ! video/x-raw,format=I420,width=640,height=360,framerate=25/1 ! queue";

fn ladder(more: &str) -> Server {
    Server::start(&format!(
        "
        feeds:
          card: {{pipeline: '{PICTURE} name=video  {TONE} name=audio'}}
        streams:
          cam:
            feed: card
            video: {{codec: h264, preset: ultrafast, bitrate: 800k, gop: 40}}
            audio: aac
            renditions:
              '240': {{height: 240, bitrate: 300k}}
              '120': {{height: 120, bitrate: 100k}}
        {more}
        "
    ))
}

fn text(server: &Server, path: &str) -> String {
    let mut answer = server.get(path);
    let text = String::from_utf8(answer.rest(SOON)).unwrap();
    assert_eq!(answer.status, 200, "{path}: {text}");
    text
}

fn attribute<'a>(line: &'a str, name: &str) -> &'a str {
    let after = line.split_once(&format!("{name}=")).unwrap_or_else(|| panic!("no {name} in {line}")).1;
    match after.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap(),
        None => after.split(',').next().unwrap(),
    }
}

/// Path and attributes of each variant of a multivariant playlist.
fn variants(server: &Server, path: &str) -> Vec<(String, String)> {
    let text = text(server, path);
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.windows(2).filter(|pair| pair[0].starts_with("#EXT-X-STREAM-INF:"));
    found.map(|pair| (format!("/{}", pair[1]), pair[0].to_owned())).collect()
}

/// The date and the length of each complete segment, by its number.
fn segments(server: &Server, path: &str, after: u64) -> BTreeMap<u64, (String, f64)> {
    let separator = if path.contains('?') { '&' } else { '?' };
    let text = text(server, &format!("{path}{separator}_HLS_msn={after}"));
    let list = Playlist::parse(&text);
    assert!(list.is_independent, "{text}");
    let numbered = (list.sequence..).zip(&list.segments);
    numbered.map(|(number, one)| (number, (one.date.clone().unwrap(), one.duration))).collect()
}

/// Waits until so many more segments are there; the number of the newest one.
fn with_segments(server: &Server, path: &str, more: u64) -> u64 {
    let open = Playlist::parse(&text(server, path)).open_number();
    (open..=open + more).for_each(|number| drop(text(server, &format!("{path}&_HLS_msn={number}"))));
    open + more
}

fn probed(url: &str) -> String {
    let mut ffprobe = Command::new("ffprobe");
    ffprobe.args(["-v", "error", "-show_entries", "stream=codec_name,width,height", "-of", "csv=p=0", url]);
    let output = ffprobe.output().unwrap();
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    // A transport stream names its tracks once more, in its program.
    let mut lines: Vec<&str> = said.split_whitespace().collect();
    lines.sort_unstable();
    lines.dedup();
    lines.join(" ")
}

#[test]
fn playlists_list_all_renditions_cut_at_the_same_frames() {
    let server = ladder("");
    let found = variants(&server, "/cam.m3u8");
    let of = |name: &str| found.iter().map(|(_, line)| attribute(line, name).to_owned()).collect::<Vec<_>>();
    assert_eq!(of("RESOLUTION"), ["640x360", "426x240", "212x120"], "{found:?}");
    assert!(
        of("CODECS").iter().all(|codecs| codecs.starts_with("avc1.4") && codecs.ends_with("mp4a.40.2")),
        "{found:?}"
    );
    assert_eq!(of("FRAME-RATE"), ["25.000"; 3]);
    assert_eq!(of("AUDIO"), ["audio"; 3]);
    let rates: Vec<u64> = of("BANDWIDTH").iter().map(|rate| rate.parse().unwrap()).collect();
    assert!(rates[0] > rates[1] && rates[1] > rates[2], "{rates:?}");
    let until = with_segments(&server, &found[0].0, 5);
    let [lead, second, third] = [0, 1, 2].map(|place: usize| segments(&server, &found[place].0, until));
    for other in [second, third] {
        // The first one may begin a frame or two later in one encoder.
        let same = other.iter().skip(1).filter(|(number, segment)| lead.get(number) == Some(segment)).count();
        assert_eq!(same, other.len() - 1, "{lead:?} {other:?}");
        assert!(same >= 4);
    }
    let manifest = text(&server, "/cam.mpd");
    // Where an encoder that had no processor left frames out, another period begins.
    let periods = manifest.matches("<Period").count();
    let in_each = |element: &str| manifest.matches(element).count() as f64 / periods as f64;
    assert_eq!((in_each("<AdaptationSet"), in_each("<Representation")), (2.0, 4.0), "{manifest}");
    for size in ["width=\"640\" height=\"360\"", "width=\"426\" height=\"240\"", "width=\"212\" height=\"120\""] {
        assert!(manifest.contains(size), "{manifest}");
    }
    let of_ts = variants(&server, "/cam.m3u8?container=ts");
    let sizes: Vec<_> = of_ts.iter().map(|(_, line)| attribute(line, "RESOLUTION")).collect();
    assert_eq!(sizes, ["640x360", "426x240", "212x120"]);
    assert!(of_ts.iter().all(|(_, line)| attribute(line, "CODECS").ends_with("mp4a.40.2")), "{of_ts:?}");
    if have("ffprobe") {
        assert_eq!(probed(&server.url(&of_ts[2].0)), "aac h264,212,120");
        assert_eq!(probed(&server.url(&found[1].0)), "h264,426,240");
    }
    // One viewer, of the stream itself.
    assert_eq!(entry(&state(&server), "streams", "cam@240")["readers"], 0);
}

/// The names of the encodings of a stream that run, and how many outputs are made of each.
fn running(server: &Server, stream: &str) -> Vec<(String, u64)> {
    let state = state(server);
    let encodings = entry(&state, "streams", stream)["encodings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["state"] == "running");
    encodings.map(|one| (one["name"].as_str().unwrap().to_owned(), one["outputs"].as_u64().unwrap())).collect()
}

#[test]
fn the_audio_of_a_ladder_is_encoded_once() {
    let server = ladder("");
    text(&server, "/cam.m3u8");
    let expected = [("main".to_owned(), 1), ("aac".to_owned(), 3)];
    for name in ["cam", "cam@240", "cam@120"] {
        wait_until("each video runs, and one audio for all", SOON, || running(&server, name) == expected);
        let tracks = entry(&state(&server), "streams", name)["tracks"].clone();
        let kinds: Vec<_> = tracks.as_array().unwrap().iter().map(|track| track["kind"].clone()).collect();
        assert_eq!(kinds, ["video", "audio"], "{name}: {tracks}");
    }
}

#[test]
fn a_ladder_whose_feed_has_no_audio_plays() {
    let server = Server::start(&format!(
        "
        feeds:
          card: {{pipeline: '{PICTURE} name=video'}}
        streams:
          cam:
            feed: card
            video: {{codec: h264, preset: ultrafast, bitrate: 800k, gop: 40}}
            audio: aac
            renditions: {{'120': {{height: 120, bitrate: 100k}}}}
        "
    ));
    let found = variants(&server, "/cam.m3u8");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|(_, line)| attribute(line, "CODECS").starts_with("avc1.4")), "{found:?}");
    assert!(found.iter().all(|(_, line)| !line.contains("mp4a")), "{found:?}");
}

#[test]
fn a_rendition_is_a_stream_of_its_own_and_runs_alone() {
    if !have("ffprobe") {
        return;
    }
    let server = ladder("");
    assert_eq!(probed(&server.url("/cam@120.ts")), "aac h264,212,120");
    assert_eq!(probed(&server.url("/cam@240.mkv")), "aac h264,426,240");
    let mut viewer = server.get("/cam@240.ts");
    viewer.take(188 * 100, SOON);
    wait_for(&server, "streams", "cam@120", |stream| stream["state"] == "idle");
    for (name, state_of) in [("cam", "idle"), ("cam@120", "idle"), ("cam@240", "running")] {
        assert_eq!(entry(&state(&server), "streams", name)["state"], state_of, "{name}");
    }
    let playlist = variants(&server, "/cam@240.m3u8");
    assert_eq!(playlist.len(), 1, "{playlist:?}");
    assert_eq!(attribute(&playlist[0].1, "RESOLUTION"), "426x240");
}

#[test]
fn who_has_a_stream_has_its_renditions() {
    let server = ladder("  other: {feed: card, video: h264}\n        auth: {anyone: [view cam]}");
    assert_eq!(server.get("/cam@240.ts").status, 200);
    assert_eq!(server.get("/other.ts").status, 403);
}

#[test]
fn nothing_of_a_ladder_runs_after_its_last_viewer() {
    let server = ladder("");
    let found = variants(&server, "/cam.m3u8");
    for name in ["cam", "cam@240", "cam@120"] {
        wait_for(&server, "streams", name, |stream| stream["state"] == "running");
    }
    text(&server, &found[2].0);
    for name in ["cam", "cam@240", "cam@120"] {
        wait_until("all have stopped", Duration::from_secs(40), || {
            entry(&state(&server), "streams", name)["state"] == "idle"
        });
    }
}

#[test]
fn a_rendition_that_fails_is_left_out_and_the_others_play() {
    let server = Server::start(&format!(
        "
        feeds:
          card: {{pipeline: '{PICTURE} name=video'}}
        streams:
          cam:
            feed: card
            video: {{codec: h264, preset: ultrafast, bitrate: 800k, gop: 40}}
            renditions:
              bad: {{pipeline: 'video. ! videoconvert ! video/x-raw,format=I420,width=15,height=15 ! x264enc'}}
              '120': {{height: 120, bitrate: 100k}}
        "
    ));
    let found = variants(&server, "/cam.m3u8");
    let sizes: Vec<_> = found.iter().map(|(_, line)| attribute(line, "RESOLUTION")).collect();
    assert_eq!(sizes, ["640x360", "212x120"]);
}

#[test]
fn hls_js_switches_between_renditions_without_a_stall() {
    let Some(library) = tool("hls.js-1.7.4.js") else { return };
    if !have_browser() {
        return;
    }
    let (server, browser) = (ladder(""), Browser::start());
    // A player begins three segments behind live, if there are so many.
    with_segments(&server, &variants(&server, "/cam.m3u8")[0].0, 6);
    browser.open(&server.url("/livez"));
    browser.run(&format!("{}; window.Hls = globalThis.Hls ?? this.Hls", std::fs::read_to_string(library).unwrap()));
    browser.run(
        "document.body.innerHTML = '';
        const player = document.createElement('video');
        [player.muted, window.waited, window.heights, window.failed] = [true, 0, [], []];
        document.body.append(player);
        let since;
        player.addEventListener('waiting', () => { since ??= performance.now() });
        player.addEventListener('playing', () => {
            if (window.switches && since) window.waited += performance.now() - since;
            since = undefined;
        });
        player.addEventListener('resize', () => window.heights.push(player.videoHeight));
        window.hls = new Hls({ lowLatencyMode: false, startLevel: 0 });
        hls.on(Hls.Events.ERROR, (event, data) => { if (data.fatal) window.failed.push(data.details) });
        hls.loadSource('/cam.m3u8');
        hls.attachMedia(player);
        player.play()",
    );
    let played = |least: f64| {
        browser.wait(&format!("return document.querySelector('video').currentTime > {least}"), Duration::from_secs(60));
    };
    let now = || browser.run("return document.querySelector('video').currentTime").as_f64().unwrap();
    browser.wait(
        "return document.querySelector('video').getVideoPlaybackQuality().totalVideoFrames > 25",
        Duration::from_secs(40),
    );
    let heights = browser.run("return hls.levels.map(level => level.height).join()");
    assert_eq!(heights, "120,240,360");
    // The start of a player on a busy machine says nothing of switches.
    played(now() + 2.0);
    browser.run("window.switches = true");
    for (level, height) in [(2, 360), (1, 240), (0, 120), (2, 360)] {
        browser.run(&format!("hls.loadLevel = {level}"));
        browser.wait(&format!("return window.heights.at(-1) === {height}"), Duration::from_secs(40));
        played(now() + 2.0);
    }
    assert_eq!(browser.run("return window.failed.join()"), "");
    // A busy machine is late for some frames; a rendition that does not fit after a switch stalls the player for a segment.
    let waited = browser.run("return window.waited").as_f64().unwrap();
    assert!(waited < 700.0, "it waited for {waited} ms");
}
