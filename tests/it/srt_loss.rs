//! SRT over lines that lose packets, with a latency of four round trips: what is lost comes again in time, in both directions.

use crate::rig::{
    SOON, Server, have, holds_for, media, millis,
    publisher::{H264_AAC, LIVE, Publisher},
    secs,
    srt::{Lossy, ffmpeg, gstreamer, port},
    state, times, ts,
};
use std::{sync::atomic::Ordering, thread};

const PHRASE: &str = "correct horse battery";
/// Callers that only connect, at a time. Those that must lose nothing are alone: who waits for a processor longer than the latency loses packets, too.
const TOGETHER: usize = 3;

/// A line, and the connection over it.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// Datagrams of a thousand that are lost, in each direction.
    loss: u64,
    /// Milliseconds.
    round_trip: u64,
    /// Bytes.
    key: u32,
    seed: u64,
}

impl Line {
    /// This one; with `VOYANDZ_LINES` as many seeds of each loss, round trip and length of keys.
    fn all(usual: Self) -> Vec<Self> {
        let seeds = u64::from(times("VOYANDZ_LINES", 0));
        if seeds == 0 {
            return vec![usual];
        }
        let mut lines = Vec::new();
        for (loss, round_trip, key) in [(20, 20), (50, 20), (20, 100), (50, 100)]
            .into_iter()
            .flat_map(|(loss, round_trip)| [16, 32].map(|key| (loss, round_trip, key)))
        {
            lines.extend((1..=seeds).map(|seed| Self { loss, round_trip, key, seed }));
        }
        lines
    }

    /// In milliseconds.
    const fn latency(self) -> u64 {
        4 * self.round_trip
    }

    fn network(self, server: &Server) -> Lossy {
        Lossy::start(port(server), self.loss, millis(self.round_trip / 2), self.seed)
    }
}

/// What is wrong with each of these lines, so many at a time.
fn faults(lines: &[Line], together: usize, check: impl Fn(Line) -> Result<(), String> + Sync) -> Vec<String> {
    let one = |line: &Line| check(*line).err().map(|fault| format!("{line:?}: {fault}"));
    let mut found = Vec::new();
    for lines in lines.chunks(together) {
        thread::scope(|scope| {
            let running: Vec<_> = lines.iter().map(|line| scope.spawn(|| one(line))).collect();
            found.extend(running.into_iter().filter_map(|one| one.join().unwrap()));
        });
    }
    found
}

#[test]
fn players_lose_nothing() {
    if !have("gst-launch-1.0") {
        return;
    }
    let picture =
        "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=240,framerate=25/1 ! queue name=video";
    let server = Server::start(&format!(
        "
        srt: {{listen: '127.0.0.1:0', latency: 0.02, passphrase: {PHRASE}}}
        feeds: {{cam: {{mode: continuous, pipeline: '{picture}'}}}}
        streams: {{cam0: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: 4M, gop: 50}}}}}}
        "
    ));
    // Whoever comes first waits for the encoder.
    server.get("/cam0.ts").take(20_000, SOON);
    let lines = Line::all(Line { loss: 50, round_trip: 100, key: 32, seed: 1 });
    let found = faults(&lines, 1, |line| {
        let network = line.network(&server);
        let (latency, key) = (format!("latency={}", line.latency()), format!("pbkeylen={}", line.key));
        let phrase = format!("passphrase={PHRASE}");
        let bytes = gstreamer(network.address, "cam0", &[&latency, &key, &phrase], 1200);
        // Before the tables of the stream there are those of the join.
        let (jumps, announced) = ts::continuity(&bytes[2 * 188..]);
        let lost = network.lost.load(Ordering::Relaxed);
        if lost < 10 {
            return Err(format!("only {lost} datagrams are lost"));
        }
        if !jumps.is_empty() || announced > 0 {
            return Err(format!("{jumps:?}, {announced} announced"));
        }
        Ok(())
    });
    assert!(found.is_empty(), "{} of {}: {found:#?}", found.len(), lines.len());
}

#[test]
fn publishers_lose_nothing() {
    let lines = Line::all(Line { loss: 50, round_trip: 100, key: 16, seed: 2 });
    let found = faults(&lines, 1, |line| {
        let server = Server::start(&format!(
            "
            srt: {{listen: '127.0.0.1:0', latency: 0.02, passphrase: {PHRASE}}}
            feeds: {{studio: {{publish: {{key: s3cret}}}}}}
            streams: {{studio: {{feed: studio}}}}
            "
        ));
        let network = line.network(&server);
        // ffmpeg has microseconds.
        let (latency, key) = (line.latency() * 1000, line.key);
        let query = format!("streamid=publish:studio::s3cret&latency={latency}&pbkeylen={key}&passphrase={PHRASE}");
        let to = format!("srt://{}?{query}", network.address);
        let publisher = Publisher::start(&[LIVE, H264_AAC, &["-b:v", "4M", "-f", "mpegts", &to]]);
        state::wait_for(&server, "feeds", "studio", |feed| feed["state"] == "running");
        let bytes = server.get("/studio.ts").collect(secs(4));
        let frames = media::Frames::of(&ts::trim(&bytes[..bytes.len() / 188 * 188]), false);
        let none_is_lost = || server.get("/metrics").text().contains("voyandz_srt_packets_total{what=\"lost\"} 0\n");
        let is_whole = holds_for(secs(1), none_is_lost);
        publisher.kill();
        let lost = network.lost.load(Ordering::Relaxed);
        if lost < 10 {
            return Err(format!("only {lost} datagrams are lost"));
        }
        if !is_whole || !frames.complaints.is_empty() {
            let metrics = server.get("/metrics").text();
            let counts: Vec<_> = metrics.lines().filter(|line| line.starts_with("voyandz_srt_packets")).collect();
            return Err(format!("{counts:?} {}", frames.complaints));
        }
        Ok(())
    });
    assert!(found.is_empty(), "{} of {}: {found:#?}", found.len(), lines.len());
}

/// Where a tenth is lost they connect, each of them: handshakes and their answers are repeated.
#[test]
fn callers_connect_where_a_tenth_is_lost() {
    let server = Server::start(&format!(
        "
        srt: {{listen: '127.0.0.1:0', latency: 0.02}}
        feeds: {{cam: {{mode: continuous, pipeline: '{} name=video'}}}}
        streams: {{cam0: {{feed: cam, video: {}}}}}
        ",
        crate::rig::script::PICTURE,
        crate::rig::script::H264
    ));
    server.get("/cam0.ts").take(20_000, SOON);
    let lines: Vec<_> = (0..u64::from(times("VOYANDZ_CALLERS", 4)))
        .map(|seed| Line { loss: 100, round_trip: if seed % 2 == 0 { 20 } else { 100 }, key: 0, seed: 300 + seed })
        .collect();
    let found = faults(&lines, TOGETHER, |line| {
        let network = line.network(&server);
        // What is lost for good at this loss damages a frame, and no more.
        let (is_well, said) =
            ffmpeg(network.address, &format!("streamid=cam0&latency={}", line.latency() * 1000), "0.5");
        if is_well { Ok(()) } else { Err(said) }
    });
    assert!(found.is_empty(), "{} of {}: {found:#?}", found.len(), lines.len());
}
