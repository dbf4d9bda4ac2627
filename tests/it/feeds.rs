//! Where media comes from, when it runs, and how it comes back.

use crate::rig::{
    Launch, SOON, Server, figure, have, holds_for, media, millis, process, rounds,
    script::{H264, PICTURE, TONE, camera, make_pipe, make_sample, shell, starts, ticking},
    secs, ts, wait_until,
};
use rustix::process::Signal;
use std::{
    fs::{self, File},
    io::Write,
    net::TcpListener,
    path::PathBuf,
    time::{Duration, Instant},
};

/// A server with a ticking command feed in this mode and a stream `ticks` of it.
fn ticker(mode: &str) -> (Server, PathBuf) {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let yaml = format!(
        "feeds:\n  ticker:\n    command: {}\n    {mode}\nstreams:\n  ticks: {{feed: ticker, container: raw}}\n",
        ticking(&file)
    );
    (launch.with(&yaml).start(), file)
}

fn ticks(server: &Server) -> usize {
    server.programs("echo start").len()
}

#[test]
fn f1_pipeline_text_feeds_a_stream() {
    let server = Server::start(
        "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25 ! mpegtsmux'}}
        streams: {cam.ts: {feed: cam}}
        ",
    );
    let mut answer = server.get("/cam.ts?header=1&keyframe=1");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("video/mp2t")));
    let bytes = ts::trim(&answer.collect(secs(2)));
    assert_eq!(media::codecs(&bytes), ["h264"]);
    media::assert_decodes(&bytes);
}

#[test]
fn f1_fault_in_a_pipeline_text_is_refused_with_its_place() {
    let mut server =
        Launch::exact("listenport: 0\nfeeds:\n  cam:\n    pipeline: videotestsrc ! nosuchthing ! x264enc\n").spawn();
    assert_eq!(server.wait(SOON).code(), Some(78));
    let text = server.log.text();
    assert!(text.contains("voyandz.yaml:4:"), "{text}");
    assert!(text.contains("feeds.cam.pipeline") && text.contains("nosuchthing"), "{text}");
    assert!(!text.contains("listening"), "{text}");
}

/// What a client gets of a program that writes these bytes, and as what, from a stream with these keys.
fn passed_through(bytes: &[u8], keys: &str) -> (String, Vec<u8>) {
    let launch = Launch::bare();
    let (file, go) = (launch.folder().join("bytes"), launch.folder().join("go"));
    fs::write(&file, bytes).unwrap();
    make_pipe(&go);
    // The program begins when somebody opens the other end of the pipe: by then the client is there.
    let command = shell(&format!("cat {}; sleep 1; cat {}; sleep 60", go.display(), file.display()));
    let server = launch
        .with(&format!("feeds: {{cam: {{command: {command}}}}}\nstreams: {{it: {{feed: cam, {keys}}}}}\n"))
        .start();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut answer = server.get("/it?header=0&keyframe=0");
            (answer.header("content-type").unwrap().to_owned(), answer.take(bytes.len(), SOON))
        });
        wait_until("the program runs", SOON, || !server.programs("sleep 60").is_empty());
        drop(File::options().write(true).open(&go).unwrap());
        client.join().unwrap()
    })
}

#[test]
fn f2_command_output_is_served_byte_for_byte() {
    if !have("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sample = folder.path().join("sample.ts");
    make_sample(&sample, 30);
    let original = fs::read(&sample).unwrap();
    assert!(original.len() > 1 << 20, "{}", original.len());
    for container in ["raw", "ts"] {
        let (mimetype, received) = passed_through(&original, &format!("container: {container}"));
        assert_eq!(mimetype, "video/mp2t");
        assert!(received == original, "the bytes of {container} differ");
    }
}

#[test]
fn f3_file_plays_in_its_time() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    make_sample(&launch.folder().join("ten.ts"), 10);
    let server =
        launch.with("feeds: {film: {file: ten.ts, restart: false}}\nstreams: {film.ts: {feed: film}}\n").start();
    let mut answer = server.get("/film.ts");
    let mut bytes = answer.piece(SOON);
    let began = Instant::now();
    bytes.extend(answer.rest(secs(15)));
    let seconds = began.elapsed().as_secs_f64();
    assert!((9.5..10.5).contains(&seconds), "it took {seconds} s");
    let (pictures, complaints) = media::pictures(&bytes);
    assert!(pictures.len() >= 245 && complaints.is_empty(), "{} pictures; {complaints}", pictures.len());
}

#[test]
fn f3_loop_goes_on_for_the_same_client() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    make_sample(&launch.folder().join("two.ts"), 2);
    let server = launch.with("feeds: {film: {file: two.ts, loop: true}}\nstreams: {film.ts: {feed: film}}\n").start();
    let mut answer = server.get("/film.ts?header=1&keyframe=1");
    answer.piece(SOON);
    drop(answer);
    let mut answer = server.get("/film.ts?header=1&keyframe=1");
    let bytes = ts::trim(&answer.collect(secs(7)));
    let (pictures, complaints) = media::pictures(&bytes);
    assert!(complaints.is_empty(), "{complaints}");
    assert!((150..200).contains(&pictures.len()), "{} pictures in 7 s", pictures.len());
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
}

#[test]
fn f4_named_pipe_survives_its_writers() {
    let launch = Launch::bare();
    let pipe = launch.folder().join("in.pipe");
    make_pipe(&pipe);
    let server = launch.with("feeds: {in: {file: in.pipe}}\nstreams: {in: {feed: in, container: raw}}\n").start();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let mut answer = server.get("/in");
            answer.take_until(SOON, |bytes| bytes.ends_with(b"second"))
        });
        for text in ["first", "second"] {
            // Opening waits for the server to open its end.
            let mut writer = File::options().write(true).open(&pipe).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            drop(writer);
        }
        assert_eq!(client.join().unwrap(), b"firstsecond");
    });
}

#[test]
fn f5_on_demand_feed_runs_while_it_is_used() {
    let (server, file) = ticker("mode: on-demand");
    assert_eq!((starts(&file), ticks(&server)), (0, 0));
    let mut one = server.get("/ticks");
    one.piece(SOON);
    let mut two = server.get("/stream/ticks");
    two.piece(SOON);
    drop(one);
    two.collect(millis(500));
    assert_eq!((starts(&file), ticks(&server)), (1, 1));
    drop(two);
    wait_until("the program is gone", secs(2), || ticks(&server) == 0);
    server.assert_no_zombies();
}

#[test]
fn f5_viewer_who_leaves_a_silent_stream_is_missed() {
    let script = shell("echo hello; exec sleep 999");
    let server = Server::start(&format!(
        "feeds: {{quiet: {{command: {script}}}}}\nstreams: {{quiet: {{feed: quiet, container: raw}}}}\n"
    ));
    server.get("/quiet").take(5, SOON);
    // Nothing is written to it any more; only its end of the connection tells.
    wait_until("the program is gone", secs(5), || server.programs("sleep 999").is_empty());
}

#[test]
fn f5_worker_of_an_on_demand_feed_is_not_kept() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    assert_eq!(server.log.count("worker started"), 0);
    server.get("/cam.ts").take(5000, SOON);
    let worker = server.worker("cam");
    wait_until("the worker is gone", secs(2), || !process::is_alive(worker));
    server.get("/cam.ts").take(5000, SOON);
    assert_ne!(server.worker("cam"), worker);
}

#[test]
fn f6_continuous_feed_runs_from_the_start() {
    for mode in ["continuous", "autostart"] {
        let (server, file) = ticker(&format!("mode: {mode}"));
        wait_until("the program runs", secs(1), || ticks(&server) == 1 && starts(&file) == 1);
        server.get("/ticks").piece(secs(1));
        assert!(holds_for(millis(2500), || ticks(&server) == 1), "it ended with its last reader");
        assert_eq!(starts(&file), 1);
    }
}

#[test]
fn f7_feed_lives_on_for_its_seconds() {
    let (server, file) = ticker("mode: 3");
    server.get("/ticks").piece(SOON);
    assert!(holds_for(secs(2), || ticks(&server) == 1), "it was gone before 2 s");
    server.get("/ticks").piece(SOON);
    assert_eq!(starts(&file), 1);
    let left = Instant::now();
    wait_until("the program is gone", secs(5), || ticks(&server) == 0);
    assert!(left.elapsed() > millis(2500), "gone after {:?}", left.elapsed());
}

#[test]
fn f8_stampede_starts_a_feed_once() {
    let (server, file) = ticker("mode: on-demand");
    let requests = rounds(100, 500);
    let gate = std::sync::Barrier::new(requests);
    std::thread::scope(|scope| {
        for _ in 0..requests {
            scope.spawn(|| {
                gate.wait();
                let mut answer = server.get("/ticks");
                assert_eq!(answer.status, 200);
                answer.piece(secs(5));
                gate.wait();
            });
        }
    });
    figure(31, "requests at once for an idle feed: starts", starts(&file), 1usize);
    assert_eq!(starts(&file), 1);
}

#[test]
fn f9_killed_program_is_back_on_the_same_connection() {
    let (server, file) = ticker("mode: on-demand");
    let mut answer = server.get("/ticks");
    answer.piece(SOON);
    for round in 2..=4 {
        let program = server.programs("echo start").pop().unwrap().pid;
        process::send(program, Signal::KILL);
        let killed = Instant::now();
        let old = format!("tick {program} ");
        let within = if round == 2 { secs(1) } else { secs(2) };
        answer.take_until(within, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            text.lines().any(|line| line.starts_with("tick ") && line.ends_with('.') && !line.starts_with(&old))
        });
        figure(28, "program is killed: back", killed.elapsed(), within);
        assert_eq!(starts(&file), round);
    }
    server.assert_no_zombies();
}

#[test]
fn f9_pipeline_that_ends_is_back_on_the_same_connection() {
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: 'videotestsrc is-live=true num-buffers=60 ! video/x-raw,width=320,height=240,framerate=25/1 ! queue'}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    let mut answer = server.get("/cam.ts?header=1&keyframe=1");
    let bytes = ts::trim(&answer.collect(secs(8)));
    let (pictures, complaints) = media::pictures(&bytes);
    assert!(pictures.len() > 120 && complaints.is_empty(), "{} pictures: {complaints}", pictures.len());
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
}

#[test]
fn f9_file_that_ends_plays_again_on_the_same_connection() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    make_sample(&launch.folder().join("two.ts"), 2);
    let server = launch.with("feeds: {film: {file: two.ts}}\nstreams: {film.ts: {feed: film}}\n").start();
    let bytes = server.get("/film.ts?header=1&keyframe=1").collect(secs(7));
    let (pictures, complaints) = media::pictures(&ts::trim(&bytes));
    assert!(pictures.len() > 100 && complaints.is_empty(), "{} pictures: {complaints}", pictures.len());
    assert_eq!(ts::continuity(&bytes).0, [""; 0]);
}

#[test]
fn f5_viewer_who_comes_while_a_stream_is_stopped_is_served() {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let server = launch
        .with(&format!(
            "
            feeds:
              cam: {{pipeline: '{PICTURE}'}}
              ticker: {{command: {}}}
            streams:
              cam.ts: {{feed: cam, video: {H264}}}
              cam.mjpeg: {{feed: cam, video: {{codec: mjpeg}}}}
              ticks: {{feed: ticker, container: raw}}
            ",
            ticking(&file)
        ))
        .start();
    let pairs = [
        ("/cam.mjpeg", "/cam.mjpeg"),
        ("/cam.mjpeg/pic", "/cam.mjpeg"),
        ("/cam.ts/pic", "/cam.ts"),
        ("/ticks", "/ticks"),
    ];
    for (first, target) in pairs {
        for pause in 0..12 {
            server.get(first).piece(SOON);
            std::thread::sleep(millis(3 * pause));
            server.get(target).piece(secs(4));
            std::thread::sleep(millis(50));
        }
    }
}

#[test]
fn f9_f10_feed_that_always_dies_is_retried_quietly() {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let command = shell(&format!("echo start >> {}; echo out of order >&2; exit 3", file.display()));
    let server = launch
        .with(&format!("feeds: {{bad: {{command: {command}}}}}\nstreams: {{bad: {{feed: bad, container: raw}}}}\n"))
        .start();
    let asked = std::thread::scope(|scope| {
        let client = scope.spawn(|| server.get("/bad").collect(secs(24)).len());
        let took = wait_until("20 attempts", secs(24), || starts(&file) >= 20);
        assert!(took > secs(5), "the attempts are not paced: {took:?}");
        let before = starts(&file);
        wait_until("it goes on", secs(3), || starts(&file) > before + 1);
        client.join().unwrap()
    });
    assert_eq!(asked, 0);
    let lines = server.log.matching("feed=bad");
    assert!(lines.len() < 10, "{} lines: {lines:#?}", lines.len());
    assert!(
        lines.iter().any(|line| line.contains("exited with code 3") && line.contains("out of order")),
        "{lines:#?}"
    );
    let last = server.log.matching("keeps ending.*times=");
    assert!(!last.is_empty(), "no line has the count: {lines:#?}");
}

#[test]
fn f11_feed_without_restart_stays_failed() {
    let (server, file) = ticker("restart: false");
    let mut answer = server.get("/ticks");
    answer.piece(SOON);
    process::send(server.programs("echo start").pop().unwrap().pid, Signal::KILL);
    answer.rest(secs(3));
    server.log.wait("restart is disabled .*feed=ticker", SOON);
    assert_eq!(starts(&file), 1);
    drop(answer);
    // On demand: whoever comes after all have left starts it again.
    wait_until("a new start", SOON, || {
        let mut answer = server.get("/ticks");
        if answer.status == 200 {
            answer.piece(secs(5));
        }
        answer.status == 200
    });
    assert_eq!(starts(&file), 2);
}

#[test]
fn f11_continuous_feed_without_restart_is_unavailable() {
    let (server, file) = ticker("mode: continuous\n    no-resurrect: true");
    wait_until("the program runs", secs(2), || ticks(&server) == 1);
    process::send(server.programs("echo start").pop().unwrap().pid, Signal::KILL);
    server.log.wait("restart is disabled", SOON);
    let answer = server.get("/ticks");
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(starts(&file), 1);
}

#[test]
fn f13_picture_and_sound_of_two_feeds_in_one_stream() {
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          mic: {{pipeline: '{TONE}'}}
        streams:
          both.ts: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}
        "
    ));
    let mut answer = server.get("/both.ts?header=1&keyframe=1");
    let bytes = ts::trim(&answer.collect(secs(8)));
    assert_eq!(media::codecs(&bytes), ["aac", "h264"]);
    media::assert_decodes(&bytes);
    let lasts: Vec<f64> = ts::times(&bytes).values().map(|times| times.iter().copied().fold(0.0, f64::max)).collect();
    assert!(lasts.len() == 2 && (lasts[0] - lasts[1]).abs() < 0.08, "last times {lasts:?}");
}

/// Flashes and beeps at the same moments of every second, sent to whoever connects.
struct Clapper {
    video: TcpListener,
    audio: TcpListener,
    began: Instant,
}

impl Clapper {
    fn new() -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        Self { video: listen(), audio: listen(), began: Instant::now() }
    }

    fn is_loud(&self) -> bool {
        self.began.elapsed().subsec_millis() < 300
    }

    /// Sends `piece(loud)` every `period` to a client. Hangs up once, after `first`, and sends to the next one until that
    /// leaves.
    fn send(&self, to: &TcpListener, first: Duration, period: Duration, piece: impl Fn(bool) -> Vec<u8>) {
        for time in [first, Duration::MAX] {
            let (mut client, _) = to.accept().unwrap();
            client.set_nodelay(true).unwrap();
            let (began, mut next) = (Instant::now(), Instant::now());
            while began.elapsed() < time && client.write_all(&piece(self.is_loud())).is_ok() {
                next += period;
                std::thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        }
    }

    fn send_pictures(&self) {
        let jpeg = |luma: u8| {
            let mut bytes = std::io::Cursor::new(Vec::new());
            image::GrayImage::from_pixel(160, 120, image::Luma([luma]))
                .write_to(&mut bytes, image::ImageFormat::Jpeg)
                .unwrap();
            bytes.into_inner()
        };
        let (black, white) = (jpeg(20), jpeg(230));
        self.send(&self.video, secs(20), millis(40), |loud| if loud { white.clone() } else { black.clone() });
    }

    fn send_sound(&self) {
        // 10 ms of 48 kHz, a rough tone of 1 kHz.
        let tone: Vec<u8> =
            (0..480).flat_map(|at| if at / 24 % 2 == 0 { 8000i16 } else { -8000 }.to_le_bytes()).collect();
        self.send(&self.audio, secs(35), millis(10), |loud| if loud { tone.clone() } else { vec![0; 960] });
    }
}

/// Each of the two feeds ends once, and begins anew.
#[test]
fn f13_sound_and_picture_of_two_feeds_stay_together() {
    if !have("ffmpeg") {
        return;
    }
    let clapper = Clapper::new();
    let port = |listener: &TcpListener| listener.local_addr().unwrap().port();
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: 'tcpclientsrc host=127.0.0.1 port={} do-timestamp=true ! image/jpeg ! jpegparse ! jpegdec ! queue'}}
          mic: {{pipeline: 'tcpclientsrc host=127.0.0.1 port={} do-timestamp=true blocksize=960 ! rawaudioparse pcm-format=s16le sample-rate=48000 num-channels=1 ! queue'}}
        streams:
          cam.ts: {{feed: cam, video: {H264}}}
          both.ts: {{feeds: [cam, mic], video: {H264}, audio: {{codec: aac}}}}
        ",
        port(&clapper.video),
        port(&clapper.audio),
    ));
    std::thread::scope(|scope| {
        scope.spawn(|| clapper.send_pictures());
        scope.spawn(|| clapper.send_sound());
        // The picture has a start that the sound does not share.
        let mut first = server.get("/cam.ts");
        first.piece(SOON);
        first.collect(millis(1300));
        let mut both = server.get("/both.ts?header=1&keyframe=1");
        let bytes = ts::trim(&both.collect(secs(60)));
        let flashes = media::rises(&media::measure(&bytes, "v", "signalstats", "lavfi.signalstats.YAVG"), 128.0);
        let levels = media::measure(&bytes, "a", "astats=metadata=1:reset=1", "lavfi.astats.Overall.RMS_level");
        let beeps = media::rises(&levels, -35.0);
        println!("flashes {flashes:?}, beeps {beeps:?}");
        let offset = |flash: &f64| beeps.iter().map(|beep| beep - flash).min_by(|a, b| a.abs().total_cmp(&b.abs()));
        // Where one of them is away, the other has none.
        let offsets: Vec<f64> = flashes.iter().filter_map(offset).filter(|offset| offset.abs() < 0.5).collect();
        assert!(offsets.len() > 30, "offsets {offsets:?}");
        let far = offsets.iter().filter(|offset| offset.abs() >= 0.08).count();
        // A feed that is back in the middle of a flash or beep rises too late.
        assert!(far <= 2, "sound behind picture: {offsets:?}");
        let end = offsets[offsets.len() - 10..].iter().map(|offset| offset.abs()).fold(0.0, f64::max);
        assert!(end < 0.08, "{offsets:?}");
        drop((first, both));
        drop(server);
    });
}

#[test]
fn f15_stream_without_a_feed() {
    let server = Server::start(&format!(
        "
        feeds: {{}}
        streams:
          test.ts: {{pipeline: '{PICTURE} ! x264enc tune=zerolatency speed-preset=ultrafast ! mpegtsmux'}}
          words: {{command: {}, container: raw}}
        ",
        shell("while echo word; do sleep 0.1; done")
    ));
    let bytes = ts::trim(&server.get("/test.ts?header=1&keyframe=1").collect(secs(2)));
    assert_eq!(media::codecs(&bytes), ["h264"]);
    assert!(server.get("/words").take(20, SOON).starts_with(b"word\nword\n"));
}

#[test]
fn f17_unknown_container_passes_untouched() {
    // Bytes that no container has, of a small generator; all values occur.
    let mut state = 1u32;
    let noise = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let noise: Vec<u8> = noise.take(1 << 20).collect();
    let (mimetype, received) = passed_through(&noise, "container: raw, mimetype: application/x-odd");
    assert_eq!(mimetype, "application/x-odd");
    assert!(received == noise, "the bytes differ");
}

#[test]
fn command_reads_the_feed_and_writes_the_stream() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams:
          copy.mkv: {{feed: cam, command: [ffmpeg, -v, error, -analyzeduration, '0', -i, pipe:0, -an, -c:v, copy, -f, matroska, '-']}}
        ",
        camera(25)
    ));
    let mut answer = server.get("/copy.mkv?header=1&keyframe=1");
    let bytes = answer.take(100_000, SOON);
    assert_eq!(media::codecs(&bytes), ["h264"]);
    assert_eq!(server.programs("testsrc").len(), 1);
}

#[test]
fn command_reads_a_feed_of_raw_pictures() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE}'}}}}
        streams:
          cam.ts: {{feed: cam, command: [ffmpeg, -v, error, -i, pipe:0, -c:v, mpeg2video, -g, '12', -f, mpegts, '-']}}
        "
    ));
    let bytes = server.get("/cam.ts?header=1&keyframe=1").take(60_000, SOON);
    assert_eq!(media::codecs(&bytes), ["mpeg2video"]);
    wait_until("the encoder is gone", secs(5), || server.programs("mpeg2video").is_empty());
}
