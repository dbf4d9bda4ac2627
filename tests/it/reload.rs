//! A7: a changed configuration is applied, and nobody notices but those whom it concerns.

use crate::rig::{
    Launch, SOON, Server, http, media, millis,
    script::{H264, PICTURE, TONE, shell, starts, ticking},
    secs,
    state::{entry, state, wait_for},
    ts, wait_until,
};
use std::{
    fs,
    net::TcpStream,
    sync::Barrier,
    thread,
    time::{Duration, Instant},
};

/// Two cameras; viewers of `/cam.ts` and `/ff.ts` are to notice nothing of what happens to the rest.
fn cameras(rest: &str) -> String {
    format!(
        "feeds:
  cam: {{pipeline: '{PICTURE}'}}
  tone: {{pipeline: '{TONE}'}}
  ff: {{command: {}}}
streams:
  cam.ts: {{feed: cam, video: {H264}}}
  ff.ts: {{feed: ff}}
{rest}",
        crate::rig::script::counting(25)
    )
}

/// What came, and when.
type Arrivals = Vec<(Instant, Vec<u8>)>;

/// The whole access units of all that came.
fn joined(arrivals: &Arrivals) -> Vec<u8> {
    ts::trim(&arrivals.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<_>>())
}

/// Fails if a picture is missing, or came late, in what a viewer got.
fn assert_unbroken(arrivals: &Arrivals) {
    let bytes = joined(arrivals);
    assert_eq!(ts::continuity(&bytes), (vec![], 0));
    let pictures = ts::times(&bytes).into_values().max_by_key(Vec::len).unwrap();
    let steps = pictures.windows(2).map(|pair| (pair[1] - pair[0] - 0.04).abs());
    assert!(steps.fold(0.0, f64::max) < 0.002, "{pictures:?}");
    let pauses = arrivals.windows(2).map(|pair| pair[1].0 - pair[0].0);
    let longest = pauses.max().unwrap();
    println!("{} pictures, the longest pause {longest:?}", pictures.len());
    // A picture comes every 40 ms; the rest is what a machine that runs all tests at once adds.
    assert!(longest < millis(500), "{longest:?}");
}

/// Watches streams from their first pictures on, for this long while something is done; returns what came.
fn watch<T, const N: usize>(
    server: &Server,
    paths: [&'static str; N],
    time: Duration,
    deed: impl FnOnce() -> T,
) -> ([Arrivals; N], T) {
    let all_see = &Barrier::new(N + 1);
    thread::scope(|scope| {
        let watching = paths.map(|path| {
            scope.spawn(move || {
                let mut answer = server.get(&format!("{path}?header=1&keyframe=1"));
                assert_eq!(answer.status, 200);
                let first = answer.piece(SOON);
                let mut arrivals = vec![(Instant::now(), first)];
                arrivals.extend(answer.arrivals(millis(500)));
                all_see.wait();
                arrivals.extend(answer.arrivals(time));
                arrivals
            })
        });
        all_see.wait();
        let done = deed();
        (watching.map(|watching| watching.join().unwrap()), done)
    })
}

#[test]
fn a7_a_viewer_of_an_unchanged_stream_has_no_gap() {
    let server =
        Server::start(&cameras("  old.ts: {feed: cam, video: {codec: h264, size: 320x120, preset: ultrafast}}\n"));
    let mut old = server.get("/old.ts");
    old.piece(SOON);
    let changes = [
        // In the very worker of the stream that is watched: one more, another one, one less.
        "  old.ts: {feed: cam, video: {codec: h264, size: 320x120, preset: ultrafast}}\n  new.webm: {feed: cam, video: {codec: vp8}}\n",
        "  old.ts: {feed: cam, video: {codec: h264, size: 320x60, preset: ultrafast}}\n  new.ts: {feed: tone, audio: {codec: aac}}\n",
        "  new.ts: {feed: ff, video: {codec: h264, size: 320x60, preset: ultrafast}}\n",
    ];
    let (seen, ()) = watch(&server, ["/cam.ts", "/ff.ts"], secs(6), || {
        for change in changes {
            let line = server.reload(&cameras(change));
            assert!(line.contains("reloaded") && !line.contains("ended=0 begun=0"), "{line}");
            let new = if change.contains("new.webm") { "/new.webm" } else { "/new.ts" };
            let mut answer = server.get(new);
            assert_eq!(answer.status, 200);
            answer.piece(SOON);
        }
    });
    seen.iter().for_each(assert_unbroken);
    // Its size changed, and then it was no more.
    let rest = old.rest(SOON);
    assert!(!rest.is_empty());
    assert_eq!(server.get("/old.ts").status, 404);
    assert_eq!(server.get("/new.webm").status, 404);
}

#[test]
fn a7_a_viewer_of_a_changed_stream_stays_and_sees_the_change() {
    let sized = |height| {
        format!(
            "feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {{codec: h264, size: 320x{height}, preset: ultrafast, gop: 25}}}}}}\n"
        )
    };
    let server = Server::start(&sized(240));
    let ([arrivals], line) = watch(&server, ["/cam.ts"], secs(4), || server.reload(&sized(120)));
    assert!(line.contains("ended=1 begun=1"), "{line}");
    let bytes = joined(&arrivals);
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
    assert_eq!(media::heights(&bytes), [240, 120]);
}

#[test]
fn a7_a_feed_whose_only_stream_changes_runs_on() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("starts");
    let command = shell(&format!(
        "echo start >> {}; exec ffmpeg -v error -re -f lavfi -i testsrc=s=160x120:r=25 -c:v libx264 -preset ultrafast \
         -tune zerolatency -g 25 -pix_fmt yuv420p -f mpegts -",
        file.display()
    ));
    let sized = |height| {
        format!(
            "feeds: {{cam: {{pipeline: '{PICTURE}'}}, ff: {{command: {command}}}}}\nstreams:\n  \
             cam.mjpeg: {{feed: cam, video: {{codec: mjpeg, size: 320x{height}}}}}\n  \
             ff.mjpeg: {{feed: ff, video: {{codec: mjpeg, size: 320x{height}}}}}\n"
        )
    };
    let server = Server::start(&sized(240));
    let mut viewers = ["/cam.mjpeg", "/ff.mjpeg"].map(|path| server.get(path));
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    let line = server.reload(&sized(120));
    assert!(line.contains("ended=2 begun=2"), "{line}");
    for viewer in &mut viewers {
        viewer.take_until(SOON, |bytes| media::heights(media::whole(bytes)).last() == Some(&120));
    }
    for feed in ["cam", "ff"] {
        assert_eq!(entry(&state(&server), "feeds", feed)["starts"], 1, "{feed}");
    }
    assert_eq!(starts(&file), 1);
    // It is not held for longer than that.
    drop(viewers);
    wait_for(&server, "feeds", "ff", |feed| feed["state"] == "idle");
    // What goes with its stream does not stay.
    let _viewer = server.get("/cam.mjpeg");
    server.reload(&sized(120).replace("cam.mjpeg: ", "other.mjpeg: "));
    wait_for(&server, "feeds", "cam", |feed| feed["state"] == "idle");
}

#[test]
fn a7_a_feed_that_changed_begins_anew_below_its_streams() {
    let coloured = |pattern| {
        format!(
            "feeds: {{cam: {{pipeline: '{}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}}}}}\n",
            PICTURE.replace("ball", pattern)
        )
    };
    let server = Server::start(&coloured("white"));
    let ([arrivals], line) = watch(&server, ["/cam.ts"], secs(4), || server.reload(&coloured("black")));
    assert!(line.contains("ended=1 begun=1"), "{line}");
    let bytes = joined(&arrivals);
    let lumas = media::lumas(&bytes);
    assert!(lumas[0] > 200.0 && lumas[lumas.len() - 1] < 50.0, "{lumas:?}");
}

#[test]
fn a7_a_broken_file_keeps_everything_and_says_where_it_is_broken() {
    let server = Server::start(&cameras(""));
    let ([arrivals], lines) = watch(&server, ["/cam.ts"], secs(3), || {
        let lines = [
            server.reload("streams: {cam.ts: {feed: cam}}\n"),
            server.reload(&cameras("  bad.ts: {feed: cam, pipeline: video. ! nosuchelement ! mpegtsmux}\n")),
            server.reload(": no YAML ["),
        ];
        fs::remove_file(server.file()).unwrap();
        crate::rig::process::send(server.pid(), rustix::process::Signal::HUP);
        server.log.wait_nth("running configuration is unchanged", 4, SOON);
        lines
    });
    assert!(lines.iter().all(|line| line.contains("running configuration is unchanged")), "{lines:?}");
    assert_unbroken(&arrivals);
    let log = server.log.text();
    assert!(log.contains("voyandz.yaml:2:") && log.contains("streams.cam.ts.feed"), "{log}");
    assert!(log.contains("streams.bad.ts.pipeline") && log.contains("nosuchelement"), "{log}");
    assert!(log.contains("does not exist"), "{log}");
    assert!(server.reload(&cameras("  new.ts: {feed: ff}\n")).contains("reloaded"));
    assert_eq!(server.get("/new.ts").status, 200);
}

#[test]
fn a7_the_file_is_watched_when_asked_for() {
    let launch = Launch::bare();
    let (one, two) = (launch.folder().join("one"), launch.folder().join("two"));
    let yaml = |file| format!("feeds: {{it: {{command: {}, mode: continuous}}}}\n", ticking(file));
    let server = launch.with(&yaml(&one)).arg("--watch").start();
    wait_until("the first runs", SOON, || starts(&one) == 1);
    // An editor writes in place, another one replaces the file.
    fs::write(server.file(), format!("listenport: 0\n{}", yaml(&two))).unwrap();
    wait_until("the second runs", SOON, || starts(&two) == 1);
    let beside = server.file().with_extension("new");
    fs::write(&beside, format!("listenport: 0\n{}", yaml(&one))).unwrap();
    fs::rename(&beside, server.file()).unwrap();
    wait_until("the first runs again", SOON, || starts(&one) == 2);
    assert_eq!((starts(&one), starts(&two)), (2, 1));
    server.log.wait_nth("configuration reloaded", 2, SOON);
}

#[test]
fn a7_without_a_watch_only_the_signal_counts() {
    let server = Server::start("");
    fs::write(server.file(), "listenport: 0\nstreams: {new.ts: {command: [cat, /dev/zero]}}\n").unwrap();
    assert!(crate::rig::holds_for(millis(1500), || server.get("/new.ts").status == 404));
    assert!(server.log.matching("configuration reloaded").is_empty());
}

#[test]
fn a7_a_change_of_mode_does_not_disturb_what_runs() {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let yaml = |mode: &str| {
        format!(
            "feeds: {{it: {{command: {}, mode: {mode}}}}}\nstreams: {{it: {{feed: it, container: raw}}}}\n",
            ticking(&file)
        )
    };
    let server = launch.with(&yaml("on-demand")).start();
    let mut viewer = server.get("/it");
    viewer.piece(SOON);
    assert!(server.reload(&yaml("continuous")).contains("ended=0 begun=0"));
    viewer.piece(SOON);
    drop(viewer);
    server.log.wait("path=/it .*client left", SOON);
    assert!(crate::rig::holds_for(millis(700), || server.programs("echo start").len() == 1), "it is continuous now");
    server.reload(&yaml("on-demand"));
    wait_until("nobody wants it", SOON, || server.programs("echo start").is_empty());
    assert_eq!(starts(&file), 1);
}

#[test]
fn a7_a_new_listener_is_bound_before_the_old_one_closes() {
    let yaml = |listen: &str| {
        format!(
            "{listen}feeds: {{cam: {{pipeline: '{PICTURE}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}}}}}\n"
        )
    };
    let server = Server::start(&yaml(""));
    let old = server.address();
    let ([arrivals], moved) = watch(&server, ["/cam.ts"], secs(4), || {
        let line = server.reload(&yaml("listenaddr: 127.0.0.2\n"));
        assert!(line.contains("reloaded"), "{line}");
        let line = server.log.wait_nth("listening .*address=", 2, SOON);
        let moved: std::net::SocketAddr = crate::rig::log::field(&line, "address").parse().unwrap();
        // The port stays, and the new address has the old one in it.
        server.reload_exact(&format!("listenport: {}\n{}", old.port(), yaml("listenaddr: 127.0.0.1\n")));
        server.reload_exact(&format!("listenport: {}\n{}", old.port(), yaml("listenaddr: 0.0.0.0\n")));
        moved
    });
    assert_unbroken(&arrivals);
    assert!(TcpStream::connect(moved).is_err(), "the second one is closed");
    let all = std::net::SocketAddr::from(([127, 0, 0, 3], old.port()));
    assert_eq!(http::get(all, "/").status, 200);

    // An address that cannot be had changes nothing, the streams neither.
    let line = server.reload("listenaddr: 192.0.2.1\nstreams: {}\n");
    assert!(line.contains("192.0.2.1") && line.contains("running configuration is unchanged"), "{line}");
    assert_eq!(http::get(all, "/cam.ts").status, 200);
    // Nobody else can sneak in beside it.
    assert!(std::net::TcpListener::bind(all).is_err());
}

#[test]
fn a7_many_changes_in_a_row_leave_nothing_behind() {
    let server = Server::start(&cameras(""));
    let ([arrivals], ()) = watch(&server, ["/cam.ts"], secs(8), || {
        for round in 0..12 {
            let extra = match round % 3 {
                0 => "",
                1 => "  more.ts: {feed: tone, audio: {codec: aac}}\n",
                _ => {
                    "  both.ts: {feeds: [ff, tone], video: {codec: h264, size: 320x60, preset: ultrafast}, audio: {codec: aac}}\n"
                }
            };
            assert!(server.reload(&cameras(extra)).contains("reloaded"));
            if round % 3 > 0 {
                server.get(if round % 3 == 1 { "/more.ts" } else { "/both.ts" }).piece(SOON);
            }
        }
    });
    assert_unbroken(&arrivals);
    server.reload(&cameras(""));
    // The worker of the camera, and the one in reserve.
    wait_until("all that is not needed has ended", SOON, || server.programs(" worker").len() <= 2);
    wait_until("the other feeds have ended", SOON, || server.programs("ffmpeg").is_empty());
}
