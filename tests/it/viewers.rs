//! How viewers are written to: less to who is too slow, less often where that is wanted.

use crate::rig::{SOON, Server, log, media, millis, multipart, script::H264, secs, ts, wait_until};
use socket2::SockRef;
use std::time::{Duration, Instant};

/// Row 15: who is too slow again and again gets less, until it keeps up.
#[test]
fn slow_viewer_is_reduced_to_keyframes_and_back() {
    let picture = "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 ! queue";
    let server = Server::start(&format!(
        "
        pages: {{clients: true}}
        feeds: {{cam: {{pipeline: '{picture}'}}}}
        streams: {{cam.ts: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: 8M, gop: 25}}}}}}
        "
    ));
    let mut slow = server.get("/cam.ts?keyframe=1");
    SockRef::from(&slow.socket).set_recv_buffer_size(32 << 10).unwrap();
    // Told once a second.
    let wait_for = |reductions: u64, reduced: u64| {
        wait_until("the state tells", SOON, || {
            let state: serde_json::Value = serde_json::from_str(&server.get("/stat.json").text()).unwrap();
            let stream = &state["streams"][0];
            stream["reductions"] == reductions
                && stream["reduced_readers"] == reduced
                && stream["clients"][0]["reduced"] == (reduced == 1)
        })
    };
    let mut bytes = Vec::new();
    // A seventh of the stream, and more than its keyframes.
    let mut read_until = |words: &str, within: Duration| {
        let began = Instant::now();
        while server.log.count(words) == 0 {
            assert!(began.elapsed() < within, "no line of {words} after {within:?}");
            bytes.extend(slow.take(15_000, SOON));
            std::thread::sleep(millis(100));
        }
    };
    read_until("viewer too slow: keyframes only", secs(40));
    wait_for(1, 1);
    let line = server.log.wait("viewer too slow: keyframes only", SOON);
    read_until("viewer recovered: full stream", secs(40));
    bytes.extend(slow.take(600_000, SOON));
    wait_for(1, 0);
    assert!(server.get("/metrics").text().contains("voyandz_stream_reductions_total{stream=\"cam.ts\"} 1\n"));
    let bytes = ts::trim(&bytes[..bytes.len() / 188 * 188]);
    let (faults, announced) = ts::continuity(&bytes);
    assert!(faults.is_empty() && announced > 8, "{announced}: {faults:#?}");
    let (pictures, _) = media::pictures(&bytes);
    assert!(pictures.contains("IIIII") && pictures.ends_with('P'), "{pictures}");
    drop(slow);
    let end = server.log.wait("request .*/cam.ts", SOON);
    assert_eq!(log::field(&line, "id"), log::field(&end, "id"));
}

/// How many writes a viewer gets in a second is what it costs.
#[test]
fn throughput_collects_packets_and_keeps_joins() {
    let picture = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=50/1 ! queue";
    let yaml = |more: &str| {
        format!(
            "
            feeds: {{cam: {{pipeline: '{picture}', mode: continuous}}}}
            streams:
              quick.ts: {{feed: cam, video: {H264}}}
              cheap.ts: {{feed: cam, video: {H264}, throughput: true}}
              cheap.mkv: {{feed: cam, video: {H264}, throughput: {more}}}
            "
        )
    };
    let server = Server::start(&yaml("false"));
    // Bytes that come without a pause between them were written at once.
    let bursts = |target: &str| {
        let mut viewer = server.get(target);
        viewer.piece(SOON);
        let arrivals = viewer.arrivals(secs(4));
        let bytes: usize = arrivals.iter().map(|(_, data)| data.len()).sum();
        assert!(bytes > 50_000, "{target}: {bytes} bytes");
        1 + arrivals.windows(2).filter(|pair| pair[1].0 - pair[0].0 > millis(8)).count()
    };
    let counts = ["/quick.ts", "/cheap.ts", "/cheap.mkv"].map(bursts);
    println!("writes in 4 s: {counts:?}");
    assert!(counts[0] > 100 && (10..=16).contains(&counts[1]) && counts[2] > 100, "{counts:?}");
    // It may be changed while the stream runs, for those who come then.
    server.reload(&yaml("true"));
    assert!((10..=16).contains(&bursts("/cheap.mkv")));
    assert_eq!(server.log.count("worker started"), 1);
    let began = Instant::now();
    let mut joined = server.get("/cheap.ts?header=1&keyframe=1");
    let first = joined.piece(SOON);
    println!("first bytes after {:?}", began.elapsed());
    assert!(began.elapsed() < millis(250) && first[0] == 0x47, "{:?}", began.elapsed());
    let bytes = ts::trim(&[first, joined.collect(secs(2))].concat());
    let (pictures, complaints) = media::pictures(&bytes);
    assert!(pictures.starts_with('I') && complaints.is_empty(), "{pictures}: {complaints}");
    assert_eq!(ts::continuity(&bytes).0, Vec::<String>::new());
}

/// What a command turns out to write is told too late for the configuration.
#[test]
fn throughput_leaves_motion_jpeg_alone() {
    let encoder = "[ffmpeg, -v, error, -re, -f, lavfi, -i, testsrc=s=160x120:r=25, -c:v, mjpeg, -f, mpjpeg, '-']";
    let server = Server::start(&format!(
        "feeds: {{f: {{command: {encoder}}}}}\nstreams: {{s: {{feed: f, container: raw, throughput: true}}}}"
    ));
    let mut viewer = server.get("/s");
    let mimetype = viewer.header("content-type").unwrap().to_owned();
    let parts = multipart::parts(&mimetype, &viewer.collect(secs(4))).len();
    assert!(parts > 50, "{parts} pictures in 4 s");
}
