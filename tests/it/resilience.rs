//! Workers that crash or hang: the others lose nothing, and they come back.

use crate::rig::{
    Answer, Dice, SOON, Server, have,
    http::Next,
    media, millis, mkv, process,
    script::{H264, PICTURE},
    secs, ts, wait_until,
};
use rustix::process::Signal;
use std::{
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
        if server.log.count("worker begins group=victim ") > workers {
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
        let workers = server.log.count("worker begins group=victim ");
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
    println!("away: {away:?}; longest silence of the other group: {longest:?}");
    assert!(away.iter().all(|away| *away <= back_within), "{away:?}");
    assert!(longest <= FRAME + millis(100), "the other group was silent for {longest:?}");
    assert_eq!(server.worker("other"), bystander);
    assert!(process::is_alive(server.pid()));
    server.assert_no_zombies();
    // One connection saw it all.
    let (faults, announced) = ts::continuity(&received);
    assert_eq!(faults, [""; 0]);
    assert!(announced >= times, "{announced} announced jumps for {times} new workers");
    let (pictures, complaints) = media::pictures(&ts::trim(&received));
    assert!(complaints.is_empty(), "{complaints}");
    assert!(pictures.len() > 20 * times, "{} pictures", pictures.len());
}

#[test]
fn crashed_worker_is_replaced_and_nobody_else_notices() {
    check(Signal::SEGV, 20, millis(1500));
}

#[test]
fn hung_worker_is_replaced_and_nobody_else_notices() {
    check(Signal::STOP, 20, secs(4));
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
    server.log.wait("worker died", secs(2));
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
fn hundred_quick_viewers_leave_no_processes_behind() {
    let server = two_groups();
    for _ in 0..20 {
        server.get("/victim.ts").piece(SOON);
        server.get("/other.ts").piece(SOON);
    }
    wait_until("only the reserve is left", secs(6), || server.descendants().len() <= 1);
    server.assert_no_zombies();
}
