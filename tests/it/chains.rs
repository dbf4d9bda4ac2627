//! Feeds that read feeds, and commands that read several of them.

use crate::rig::{
    Launch, SOON, Server, have, holds_for, media,
    script::{PICTURE, TONE, camera, shell},
    secs, wait_until,
};
use std::{collections::BTreeSet, fs, process::Command};

/// A server with a chain of three: `ticks`, `upper` which reads it in this mode, and the stream `bold` which reads that.
fn chain(mode: &str) -> Server {
    Server::start(&format!(
        "
        feeds:
          upper: {{feed: ticks, command: {}, mode: {mode}}}
          ticks: {{command: {}}}
        streams:
          bold: {{feed: upper, command: {}}}
          ticks: {{feed: ticks, container: raw}}
        ",
        shell("while read line; do echo \"<$line>\" | tr a-z A-Z; done"),
        shell("while echo tick; do sleep 0.05; done"),
        shell("while read line; do echo \"*$line*\"; done"),
    ))
}

fn parents(server: &Server) -> usize {
    server.programs("echo tick").len()
}

fn children(server: &Server) -> usize {
    server.programs("tr a-z").len()
}

#[test]
fn f12_feed_reads_a_feed_that_lives_as_long() {
    let server = chain("on-demand");
    assert_eq!((parents(&server), children(&server)), (0, 0));
    let mut viewer = server.get("/bold");
    viewer.take_until(SOON, |bytes| bytes.windows(10).any(|line| line == b"*<TICK>*\n*"));
    let mut other = server.get("/ticks");
    other.take_until(SOON, |bytes| bytes.ends_with(b"tick\n"));
    assert_eq!((parents(&server), children(&server)), (1, 1), "one of each for both");
    drop(viewer);
    wait_until("the child is gone", secs(4), || children(&server) == 0);
    assert_eq!(parents(&server), 1, "who watches it keeps it");
    drop(other);
    wait_until("the parent is gone", secs(4), || parents(&server) == 0);
}

#[test]
fn f12_parent_stays_while_its_child_lingers() {
    let server = chain("2.5");
    let mut viewer = server.get("/bold");
    viewer.piece(SOON);
    drop(viewer);
    assert!(holds_for(secs(2), || (parents(&server), children(&server)) == (1, 1)), "the child lingers");
    wait_until("both are gone", secs(5), || (parents(&server), children(&server)) == (0, 0));
    assert!(server.log.matching(" WARN| ERROR").is_empty(), "{}", server.log.text());
}

#[test]
fn f12_continuous_child_keeps_its_parent_and_both_come_back() {
    let server = chain("autostart");
    wait_until("both run", SOON, || (parents(&server), children(&server)) == (1, 1));
    let mut viewer = server.get("/bold");
    viewer.take_until(SOON, |bytes| bytes.ends_with(b"*<TICK>*\n"));
    crate::rig::process::send(server.programs("echo tick")[0].pid, rustix::process::Signal::KILL);
    server.log.wait("ended feed=ticks", SOON);
    viewer.take_until(SOON, |bytes| bytes.len() > 100 && bytes.ends_with(b"*<TICK>*\n"));
}

#[test]
fn f12_command_reads_the_feed_of_a_worker() {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {{pipeline: '{PICTURE}'}}
          small: {{feed: cam, command: 'ffmpeg -v error -i - -vf scale=160:-2 -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -f mpegts -'}}
        streams:
          small.ts: {{feed: small}}
        "
    ));
    let bytes = server.get("/small.ts?header=1&keyframe=1").collect(secs(5));
    assert_eq!(media::codecs(&bytes), ["h264"]);
    assert!(media::lumas(&bytes).len() > 25);
}

/// A stream of pictures of `cam` and sound of `tone`, mixed by ffmpeg.
fn mixed(cam: &str, tone: &str) {
    if !have("ffmpeg") {
        return;
    }
    let server = Server::start(&format!(
        "
        feeds:
          cam: {cam}
          tone: {tone}
        streams:
          both.ts:
            feeds: [cam, tone]
            command: >-
              ffmpeg -v error -i {{input1}} -i {{input2}} -map 0:v -map 1:a -c:v libx264 -preset ultrafast
              -tune zerolatency -g 25 -pix_fmt yuv420p -c:a aac -f mpegts -
        "
    ));
    let mut viewer = server.get("/both.ts?header=1&keyframe=1");
    let bytes = viewer.take(300_000, secs(40));
    assert_eq!(media::codecs(&bytes), ["aac", "h264"]);
    assert!(media::lumas(&bytes).len() > 25);
    let command = &server.programs("-map 0:v")[0].command;
    assert!(command.contains("-i /dev/fd/3 -i /dev/fd/4 "), "{command}");
    drop(viewer);
    wait_until("no program is left", secs(8), || server.programs("ffmpeg").is_empty());
    assert!(server.log.matching("panic").is_empty());
}

#[test]
fn f14_command_reads_two_commands() {
    let sound = "{command: 'ffmpeg -v error -re -f lavfi -i sine=r=48000 -c:a aac -f mpegts -'}";
    mixed(&format!("{{command: {}}}", camera(25)), sound);
}

#[test]
fn f14_command_reads_a_worker_and_a_command() {
    let sound = "{command: 'ffmpeg -v error -re -f lavfi -i sine=r=48000 -c:a aac -f mpegts -'}";
    mixed(&format!("{{pipeline: '{PICTURE}'}}"), sound);
}

#[test]
fn f14_command_reads_two_workers() {
    mixed(&format!("{{pipeline: '{PICTURE}'}}"), &format!("{{pipeline: '{TONE}'}}"));
}

fn descriptors(list: &str) -> BTreeSet<u32> {
    list.lines().map(|line| line.parse().unwrap()).collect()
}

#[test]
fn f14_inputs_end_with_their_program_only() {
    let launch = Launch::bare();
    let file = launch.folder().join("seen");
    // Twelve inputs, each of which says who it is; the program reads one line of each, forever.
    let feeds: String = (1..=12)
        .map(|at| format!("  f{at}: {{command: {}}}\n", shell(&format!("while echo {at}; do sleep 0.05; done"))))
        .collect();
    let names: Vec<_> = (1..=12).map(|at| format!("f{at}")).collect();
    let inputs: Vec<_> = (1..=12).map(|at| format!("{{input{at}}}")).collect();
    let script = format!(
        "ls /proc/self/fd > {}; paste -d, {} | while read line; do echo \"$line\"; done",
        file.display(),
        inputs.join(" ")
    );
    let server = launch
        .with(&format!(
            "feeds:\n{feeds}streams:\n  all: {{feeds: [{}], command: {}}}\n",
            names.join(", "),
            shell(&script)
        ))
        .start();
    let mut viewer = server.get("/all");
    let text = viewer.take_until(secs(40), |bytes| bytes.ends_with(b"\n"));
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().next(), Some("1,2,3,4,5,6,7,8,9,10,11,12"));
    // Its standard streams, its inputs, the folder that `ls` reads, and what this test got itself: nothing of the server.
    let ours = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let mut expected = descriptors(&String::from_utf8(ours.stdout).unwrap());
    expected.extend(0..=15);
    assert_eq!(descriptors(&fs::read_to_string(&file).unwrap()), expected);
    let guards: Vec<_> = server.descendants().into_iter().filter(|process| process.command.contains("paste")).collect();
    let guard = guards.iter().find(|process| process.command.contains(" guard ")).unwrap();
    let file_of = |number| fs::read_link(format!("/proc/{}/fd/{number}", guard.pid)).unwrap_or_default();
    let held: Vec<_> = (3..15).map(file_of).filter(|file| file.to_string_lossy().starts_with("pipe:")).collect();
    assert!(held.is_empty(), "the guard holds inputs: {held:?}");
    drop(viewer);
    wait_until("all are gone", secs(8), || {
        server.programs("sleep 0.05").is_empty() && server.programs("paste").is_empty()
    });
    server.assert_no_zombies();
}
