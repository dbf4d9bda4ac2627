//! Workers that crash or hang: the others lose nothing, and they come back.

use crate::rig::{
    Answer, Dice, Launch, SOON, Server, figure, have, have_failpoints, holds_for,
    http::Next,
    media, millis, mkv, process, rounds,
    script::{H264, PICTURE, TONE, camera},
    secs, ts, wait_until,
};
use rustix::process::Signal;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// One picture of the streams here.
const FRAME: Duration = millis(40);

/// Two groups, so two workers.
fn two_groups() -> Server {
    Server::start(&format!(
        "
        feeds:
          victim: {{pipeline: '{PICTURE}'}}
          other: {{pipeline: '{PICTURE}'}}
        streams:
          victim.ts: {{feed: victim, video: {H264}}}
          other.ts: {{feed: other, video: {H264}}}
        "
    ))
}

/// Reads on until the group has a new worker and a packet of it is there.
fn wait_back(server: &Server, answer: &mut Answer, workers: usize, received: &mut Vec<u8>) -> Instant {
    let until = Instant::now() + SOON;
    loop {
        match answer.next(until) {
            Next::Data(data) => received.extend(data),
            other => panic!("the stream does not come back: {other:?}"),
        }
        if server.log.count("worker started group=victim ") > workers {
            return Instant::now();
        }
    }
}

/// Sends a signal to the victim's worker again and again; returns how long each time it was away, and what was received.
fn hurt(server: &Server, signal: Signal, times: usize) -> (Vec<Duration>, Vec<u8>) {
    let mut answer = server.get("/victim.ts?header=1&keyframe=1");
    let (mut received, mut away, mut dice) = (answer.take(20_000, SOON), Vec::new(), Dice::new(7));
    for _ in 0..times {
        received.extend(answer.collect(millis(300) + dice.below(millis(1200))));
        let workers = server.log.count("worker started group=victim ");
        let hurt = Instant::now();
        let worker = server.worker("victim");
        if signal == Signal::STOP {
            process::send(worker, signal);
        } else {
            // The handler that Rust has for full stacks takes the first one and lets the second one kill.
            wait_until("the worker is dead", secs(1), || {
                process::look(worker).is_none_or(|worker| {
                    let is_dead = worker.state == 'Z';
                    if !is_dead {
                        process::send(worker.pid, signal);
                    }
                    is_dead
                })
            });
        }
        away.push(wait_back(server, &mut answer, workers, &mut received) - hurt);
    }
    received.extend(answer.collect(secs(1)));
    (away, received)
}

/// Hurts the victim while viewers watch the other group, whose longest silence is returned too.
fn hurt_under_load(server: &Server, signal: Signal, times: usize) -> (Vec<Duration>, Vec<u8>, Duration) {
    let done = AtomicBool::new(false);
    let mut other = server.get("/other.ts");
    other.take(20_000, SOON);
    std::thread::scope(|scope| {
        let crowd: Vec<_> = (0..10)
            .map(|_| {
                scope.spawn(|| {
                    let mut viewer = server.get("/other.ts");
                    while !done.load(Ordering::Relaxed) {
                        viewer.piece(SOON);
                    }
                })
            })
            .collect();
        let watch = scope.spawn(|| {
            let mut longest = Duration::ZERO;
            let mut last = Instant::now();
            while !done.load(Ordering::Relaxed) {
                other.piece(SOON);
                longest = longest.max(last.elapsed());
                last = Instant::now();
            }
            longest
        });
        let hurt = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| hurt(server, signal, times)));
        done.store(true, Ordering::Relaxed);
        crowd.into_iter().for_each(|viewer| viewer.join().unwrap());
        let longest = watch.join().unwrap();
        let (away, received) = hurt.unwrap_or_else(|fault| std::panic::resume_unwind(fault));
        (away, received, longest)
    })
}

fn check(signal: Signal, times: usize, back_within: Duration) {
    if !have("ffmpeg") {
        return;
    }
    let server = two_groups();
    let bystander = {
        server.get("/other.ts").take(1000, SOON);
        server.worker("other")
    };
    let (away, received, longest) = hurt_under_load(&server, signal, times);
    let (row, how) = if signal == Signal::STOP { (32, "worker hangs") } else { (1, "worker crashes") };
    let slowest = away.iter().max().copied().unwrap_or_default();
    let silence = FRAME + millis(100);
    figure(row, &format!("{how}: its stream is back"), slowest, back_within);
    figure(row, &format!("{how}: longest silence of another group"), longest, silence);
    // A machine that stands still for a moment keeps no such promise. Where there is time to measure, it has to.
    let slack = if rounds(0, 1) == 1 { 1 } else { 2 };
    assert!(slowest <= back_within * slack, "{away:?}");
    assert!(longest <= silence * slack, "the other group was silent for {longest:?}");
    assert_eq!(server.worker("other"), bystander);
    assert!(process::is_alive(server.pid()));
    server.assert_no_zombies();
    // One connection saw it all.
    let (faults, announced) = ts::continuity(&received);
    assert_eq!(faults, [""; 0]);
    // Timestamps go on: what took more than a second is announced as a jump, and a short gap is not.
    let longer = |than| away.iter().filter(|away| **away > than).count();
    let jumps = longer(millis(1200))..=longer(millis(900));
    assert!(jumps.contains(&announced), "{announced} announced jumps, expected {jumps:?}: {away:?}");
    let (pictures, complaints) = media::pictures(&ts::trim(&received));
    assert!(complaints.is_empty(), "{complaints}");
    assert!(pictures.len() > 20 * times, "{} pictures", pictures.len());
}

#[test]
fn crashed_worker_is_replaced_and_nobody_else_notices() {
    // More than that at a time are not restarted as quickly: row 6.
    (0..rounds(1, 3)).for_each(|_| check(Signal::SEGV, 20, millis(1500)));
}

#[test]
fn hung_worker_is_replaced_and_nobody_else_notices() {
    (0..rounds(1, 3)).for_each(|_| check(Signal::STOP, 10, secs(4)));
}

#[test]
fn viewers_of_other_containers_go_on_or_end_cleanly() {
    let server = Server::start(&format!(
        "
        feeds: {{victim: {{pipeline: '{PICTURE}'}}}}
        streams:
          victim.webm: {{feed: victim, video: {{codec: vp8}}}}
          victim.mjpeg: {{feed: victim, video: {{codec: mjpeg}}}}
        "
    ));
    let mut webm = server.get("/victim.webm?header=1&keyframe=1");
    let mut mjpeg = server.get("/victim.mjpeg");
    let mut bytes = webm.take(10_000, SOON);
    mjpeg.take(10_000, SOON);
    process::send(server.worker("victim"), Signal::KILL);
    server.log.wait("worker exited unexpectedly", secs(2));
    // The new worker's clusters follow the old one's, or the body ends: what comes decodes in both cases.
    let before = bytes.len();
    bytes.extend(webm.collect(secs(3)));
    media::assert_decodes(mkv::trim(&bytes));
    let (pictures, _) = media::pictures(mkv::trim(&bytes));
    let ended = matches!(webm.next(Instant::now()), Next::End);
    assert!(ended || (bytes.len() > before + 10_000 && pictures.len() > 50), "{} pictures", pictures.len());
    server.get("/victim.webm?header=1&keyframe=1").take(10_000, secs(5));
    mjpeg.collect(millis(500));
    mjpeg.take(10_000, secs(3));
}

#[test]
fn pipeline_that_does_not_stop_costs_its_worker() {
    // A thread that sleeps for an hour with a picture in its hand.
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{PICTURE} ! tee name=t ! queue  t. ! queue ! identity sleep-time=3600000000 ! fakesink'}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}}}}}
        "
    ));
    let viewer = server.get("/cam.ts");
    server.log.wait("worker started group=cam ", SOON);
    let worker = server.worker("cam");
    drop(viewer);
    let gone = wait_until("the worker is gone", millis(4500), || !process::is_alive(worker));
    figure(3, "pipeline does not stop: its process is gone", gone, millis(4500));
    server.assert_no_zombies();
}

#[test]
fn kernel_takes_workers_and_programs_before_the_server() {
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          words: {{command: {}}}
        streams:
          cam.ts: {{feed: cam, video: {H264}}}
          words: {{feed: words, container: raw}}
        ",
        crate::rig::script::shell("while echo word; do sleep 0.1; done")
    ));
    let _viewers = ["/cam.ts", "/words"].map(|target| {
        let mut viewer = server.get(target);
        viewer.piece(SOON);
        viewer
    });
    let score = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse::<i32>();
    let program = server.programs("while echo word").pop().unwrap().pid;
    let scores = [server.pid(), server.worker("cam"), program].map(|pid| score(pid).unwrap());
    assert!(scores[0] < 500 && scores[1] >= 500 && scores[2] >= 500, "{scores:?}");
}

#[test]
fn worker_that_started_many_feeds_is_exchanged() {
    if !have_failpoints() {
        return;
    }
    let yaml = "
        feeds: {cam: {pipeline: 'videotestsrc is-live=true num-buffers=30 ! video/x-raw,width=320,height=240,framerate=25/1 ! queue'}}
        streams: {cam.ts: {feed: cam, video: {codec: h264, preset: ultrafast, gop: 25}}}
        ";
    let server = Launch::new(yaml).env("FAILPOINTS", "used-up=return").start();
    let mut viewer = server.get("/cam.ts");
    viewer.piece(SOON);
    server.log.wait_nth("worker killed group=cam .*feeds often enough", 1, SOON);
    viewer.collect(millis(100));
    server.log.wait_nth("running feed=cam", 3, SOON);
    viewer.piece(SOON);
    server.assert_no_zombies();
}

#[test]
fn crash_in_reserve_is_not_noticed() {
    let server = two_groups();
    let spare =
        || server.descendants().into_iter().filter(|process| process.command.ends_with(" worker")).collect::<Vec<_>>();
    wait_until("a worker in reserve", SOON, || spare().len() == 1);
    for process in spare() {
        process::send(process.pid, Signal::KILL);
    }
    server.get("/victim.ts").take(5000, secs(5));
    server.assert_no_zombies();
}

#[test]
fn quick_viewers_leave_no_processes_behind() {
    let server = two_groups();
    for _ in 0..rounds(20, 500) {
        server.get("/victim.ts").piece(SOON);
        server.get("/other.ts").piece(SOON);
    }
    let rest = wait_until("only the reserve is left", secs(6), || server.descendants().len() <= 1);
    figure(28, "short visits: no process is left", rest, secs(6));
    server.assert_no_zombies();
}

/// Row 4, made faster: a file of five pictures.
#[test]
fn ends_without_end_leave_nothing_behind() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let file = launch.folder().join("short.ts");
    let picture = ["-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x240:r=25:d=0.2", "-c:v", "libx264", "-bf", "0"];
    assert!(std::process::Command::new("ffmpeg").args(picture).arg(&file).status().unwrap().success());
    let server = launch.with("feeds: {film: {file: short.ts, loop: true}}\nstreams: {film.ts: {feed: film}}\n").start();
    let mut viewer = server.get("/film.ts");
    viewer.piece(SOON);
    let worker = server.worker("film");
    let held = |pid| (process::descriptors(pid), process::threads(pid), process::resident(pid));
    let mut looped = |ends: usize| viewer.arrivals(millis(200) * u32::try_from(ends).unwrap());
    looped(30);
    let before = [worker, server.pid()].map(held);
    let arrivals = looped(rounds(60, 1000));
    let after = [worker, server.pid()].map(held);
    let longest = arrivals.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap();
    figure(4, "a source ends: longest silence", longest, secs(1));
    assert!(longest <= secs(1), "{longest:?}");
    for ((files, threads, memory), (files_after, threads_after, memory_after)) in before.into_iter().zip(after) {
        // One run may be ending while the next one has begun.
        assert!(files_after <= files + 10 && threads_after <= threads + 10, "{before:?} {after:?}");
        assert!(memory_after < memory + memory / 10 + 4096, "KiB: {before:?} {after:?}");
    }
    assert_eq!(server.worker("film"), worker);
}

/// Sends raw pictures of 64x48, 25 a second, until the other side is gone or has all of them.
fn send_pictures(mut to: TcpStream, count: usize) -> TcpStream {
    for _ in 0..count {
        if to.write_all(&[128; 64 * 48]).is_err() {
            break;
        }
        std::thread::sleep(FRAME);
    }
    to
}

/// Reads on until each track has five more pictures or pieces of sound than it had.
fn wait_picture(answer: &mut Answer, received: &mut Vec<u8>, within: Duration) {
    let until = Instant::now() + within;
    let before = ts::times(&ts::trim(received)).values().map(Vec::len).min().unwrap_or(0);
    loop {
        match answer.next(until) {
            Next::Data(data) => received.extend(data),
            other => panic!("the picture does not come back: {other:?}"),
        }
        if ts::times(&ts::trim(received)).values().map(Vec::len).min().unwrap_or(0) > before + 5 {
            return;
        }
    }
}

#[test]
fn picture_that_stalls_while_sound_flows_is_brought_back() {
    let camera = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = camera.local_addr().unwrap().port();
    let source = format!("tcpclientsrc host=127.0.0.1 port={port}");
    let picture = "rawvideoparse width=64 height=48 format=gray8 framerate=25/1 ! queue name=video";
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{pipeline: '{source} ! {picture} {TONE} name=audio'}}}}
        streams: {{cam.ts: {{feed: cam, video: {H264}, audio: {{codec: aac}}}}}}
        "
    ));
    let sender = std::thread::spawn(move || {
        let silent = send_pictures(camera.accept().unwrap().0, 75);
        let stopped = Instant::now();
        let (second, _) = camera.accept().unwrap();
        let noticed = stopped.elapsed();
        let alive = std::thread::spawn(move || send_pictures(second, usize::MAX));
        drop(silent);
        (stopped, noticed, alive)
    });
    let mut answer = server.get("/cam.ts?header=1&keyframe=1");
    let mut received = answer.take(20_000, SOON);
    let stalled = server.log.wait("feed=cam .*stalled: its video stopped", secs(12));
    received.extend(answer.collect(millis(1)));
    wait_picture(&mut answer, &mut received, secs(5));
    let back = Instant::now();
    let (stopped, noticed, alive) = sender.join().unwrap();
    println!("{stalled}");
    figure(2, "picture stalls, sound goes on: noticed", noticed, millis(5500));
    figure(2, "picture stalls, sound goes on: picture is back", back - stopped, secs(7));
    assert!(noticed <= millis(5500) && noticed >= secs(3), "{noticed:?}");
    assert!(back - stopped <= secs(7), "{:?}", back - stopped);
    assert_eq!(server.log.count("worker started"), 1, "{}", server.log.text());
    drop(server);
    alive.join().unwrap();
}

#[test]
fn program_that_stalls_is_replaced() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{command: {}}}}}
        streams: {{cam.ts: {{feed: cam}}}}
        ",
        camera(25)
    ));
    let mut answer = server.get("/cam.ts?header=1&keyframe=1");
    let mut received = answer.take(200_000, SOON);
    let program = server.programs("ffmpeg -v error").pop().unwrap().pid;
    process::send(program, Signal::STOP);
    let stopped = Instant::now();
    server.log.wait("feed=cam .*stalled: no output for 4", millis(5500));
    // What was on its way when it stopped is there by now.
    received.extend(answer.collect(millis(1)));
    wait_picture(&mut answer, &mut received, secs(5));
    figure(2, "program stalls: picture is back", stopped.elapsed(), secs(7));
    assert!(stopped.elapsed() <= secs(7), "{:?}", stopped.elapsed());
    assert!(!process::is_alive(program));
    server.assert_no_zombies();
}

#[test]
fn program_of_unknown_bytes_may_be_silent() {
    let server = Server::start(&format!(
        "
        feeds: {{words: {{command: {}}}}}
        streams: {{words: {{feed: words, container: raw}}}}
        ",
        crate::rig::script::shell("while :; do echo word; sleep 1; echo word; sleep 6; done")
    ));
    let mut answer = server.get("/words");
    assert_eq!(answer.collect(secs(9)).len(), 20);
    assert_eq!(server.log.count("stalled"), 0);
}

#[test]
fn feed_waits_for_its_device_and_begins_when_it_is_there() {
    let launch = Launch::bare();
    // Any place below /dev that tests may write to.
    let device = std::path::Path::new("/dev/shm").join(launch.folder().file_name().unwrap());
    let server = launch
        .with(&format!(
            "feeds: {{cam: {{pipeline: 'v4l2src device={} ! video/x-raw', mode: continuous}}}}\n\
             streams: {{cam.ts: {{feed: cam, video: {H264}}}}}\n",
            device.display()
        ))
        .env("VOYANDZ_LOG", "info,voyandz=debug")
        .start();
    server.log.wait("state changed feed=cam state=waiting-device", SOON);
    server.log.wait("feed=cam .* not found", SOON);
    let starts = || server.log.count("starting feed=cam");
    assert!(holds_for(secs(3), || starts() == 1), "{}", server.log.text());
    let appeared = Instant::now();
    std::fs::write(&device, "no camera").unwrap();
    let took = wait_until("it is tried again", millis(2500), || starts() > 1);
    figure(5, "device is there again: tried", took, millis(2500));
    // It is no camera, but it is there.
    server.log.wait("state changed feed=cam state=backoff", SOON);
    std::fs::remove_file(&device).unwrap();
    wait_until("it waits again", SOON, || server.log.count("state changed feed=cam state=waiting-device") > 1);
    let tries = starts();
    assert!(holds_for(secs(2), || starts() == tries), "started {tries} times in {:?}", appeared.elapsed());
    assert_eq!(server.log.count(" WARN .*feed=cam"), 1, "{}", server.log.text());
}

/// Processor time that a process has used, in hundredths of a second.
fn used(pid: i32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn program_that_floods_its_error_output_costs_little() {
    let server = Server::start(&format!(
        "
        feeds: {{loud: {{command: {}, mode: continuous}}}}
        streams: {{loud: {{feed: loud, container: raw}}}}
        ",
        crate::rig::script::shell("yes >&2 & while echo tick; do sleep 0.05; done")
    ));
    let mut answer = server.get("/loud");
    answer.take(50, SOON);
    let before = used(server.pid());
    answer.collect(secs(4));
    let share = (used(server.pid()) - before) / 4;
    figure(30, "program floods its error output: percent of a processor", share as usize, 15usize);
    assert!(share < 15, "{share} %");
    assert!(server.log.lines().len() < 30, "{}", server.log.text());
    assert!(answer.take(50, secs(2)).len() >= 50, "its output comes all the same");
}

/// Row 14. The queue of one feed grows by 90 MB a second, the memory of a program more quickly.
#[test]
fn what_takes_too_much_memory_is_ended_alone() {
    let server = Server::start(&format!(
        "
        memory_max: 400M
        feeds:
          grows:
            pipeline: >-
              videotestsrc is-live=true ! video/x-raw,width=1920,height=1080,framerate=30/1 ! tee name=both
              both. ! queue max-size-bytes=0 max-size-buffers=0 max-size-time=0 ! fakesink sync=true ts-offset=3600000000000
              both. ! queue ! videoscale ! video/x-raw,width=320,height=240 ! queue name=video
          hog: {{command: [sh, -c, 'echo begins; tail /dev/zero']}}
          other: {{pipeline: '{PICTURE}'}}
        streams:
          grows.ts: {{feed: grows, video: {H264}}}
          hog: {{feed: hog}}
          other.ts: {{feed: other, video: {H264}}}
        "
    ));
    let mut other = server.get("/other.ts");
    other.take(10_000, SOON);
    let (worker, own) = (server.worker("other"), server.pid());
    let _hog = server.get("/hog");
    let mut grows = server.get("/grows.ts");
    server.log.wait("worker killed group=grows .*`memory_max` is 400 MiB", SOON);
    server.log.wait("feed=hog .*`memory_max` is 400 MiB", SOON);
    // It begins anew.
    wait_until("a second worker", SOON, || server.log.count("worker started group=grows") > 1);
    grows.take(10_000, SOON);
    assert_eq!((server.worker("other"), server.pid()), (worker, own));
    let arrivals = other.arrivals(secs(2));
    let longest = arrivals.windows(2).map(|pair| pair[1].0 - pair[0].0).max();
    assert!(longest.is_some_and(|longest| longest < secs(1)), "{longest:?}");
}

/// Row 10: the encoder makes ten of 60 pictures a second.
#[test]
fn encoder_that_is_too_slow_costs_pictures_only() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: 'videotestsrc is-live=true pattern=ball ! video/x-raw,width=1280,height=720,framerate=60/1 ! queue name=video {TONE}'}}
        streams:
          cam.ts:
            feed: cam
            pipeline: >-
              video. ! identity sleep-time=100000 ! videoconvert ! x264enc speed-preset=ultrafast tune=zerolatency key-int-max=60
              ! mux. audio. ! audioconvert ! avenc_aac ! mux. mpegtsmux name=mux
        "
    ));
    let mut viewer = server.get("/cam.ts");
    let mut bytes = viewer.piece(SOON);
    let mut look = |time| {
        let arrivals = viewer.arrivals(time);
        let at = arrivals.last().map(|(at, _)| *at).unwrap();
        bytes.extend(arrivals.into_iter().flat_map(|(_, data)| data));
        let sound = media::packet_times(&bytes, "a");
        (at, sound[sound.len() - 1], process::resident(server.worker("cam")))
    };
    let (first, second) = (look(secs(6)), look(secs(10)));
    let line = server.log.wait("its encoder is too slow: ", secs(1));
    assert!(line.contains("cam.ts"), "{line}");
    let late = (second.0 - first.0).as_secs_f64() - (second.1 - first.1);
    let late = Duration::from_secs_f64(late.max(0.0));
    figure(10, "encoder is too slow: latency added in 10 s", late, secs(1));
    assert!(late < secs(1), "{late:?}");
    let grown = second.2 as f64 / first.2 as f64;
    assert!(grown < 1.05, "{first:?} {second:?}");
    let sound = media::packet_times(&bytes, "a");
    let gap = sound.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
    assert!(gap < 0.06, "a gap of {gap} s in the sound");
    assert!(media::packet_times(&bytes, "v").len() > 10);
}
