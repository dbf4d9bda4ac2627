//! The command line, the configuration file, and the end of the program.

use crate::rig::{
    Launch, SOON, Server, figure, have, http, millis, process,
    script::{H264, PICTURE, shell, ticking},
    secs,
    server::{PROGRAM, run},
    wait_until,
};
use rustix::process::Signal;
use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Command, Output, Stdio},
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// What a program said, both ways.
fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The configuration of a file with this text, as `voyandz check` sees it.
fn check(yaml: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("voyandz.yaml");
    fs::write(&file, yaml).unwrap();
    run(&["check", "-f", file.to_str().unwrap()])
}

#[test]
fn a1_missing_file_is_named() {
    for arguments in [
        ["-f", "/nowhere/cams.yaml"].as_slice(),
        &["check", "-f", "/nowhere/cams.yaml"],
        &["config", "-f", "/nowhere/cams.yaml"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(78), "{arguments:?}");
        assert!(said(&output).contains("/nowhere/cams.yaml"), "{}", said(&output));
    }
}

#[test]
fn a1_file_of_the_environment_is_used() {
    let launch = Launch::bare();
    let file = launch.folder().join("elsewhere.yaml");
    fs::write(
        &file,
        format!(
            "listenport: 0\nfeeds: {{t: {{command: {}}}}}\nstreams: {{here: {{feed: t, container: raw}}}}\n",
            shell("sleep 100")
        ),
    )
    .unwrap();
    let server = launch.env("VOYANDZ_CONFFILE", &file).start();
    assert!(server.get("/").text().contains("/here"));
    let output = Command::new(PROGRAM).arg("check").env("VOYANDZ_CONFFILE", "/nowhere/else.yaml").output().unwrap();
    assert!(!output.status.success() && said(&output).contains("/nowhere/else.yaml"), "{}", said(&output));
}

#[test]
fn a1_empty_file_runs() {
    for text in ["", "\n", "# nothing\n", "feeds:\nstreams:\n"] {
        let output = check(text);
        assert!(output.status.success(), "{text:?}: {}", said(&output));
    }
    with_default_port(|| {
        let server = Launch::exact("").start();
        assert_eq!(server.address().to_string(), "127.0.0.1:8090");
        assert_eq!(server.get("/").status, 200);
    });
}

#[test]
fn a1_demo_runs_without_a_configuration() {
    let has_file =
        ["/etc/voyandz.yaml", "/etc/voyandz.ini", "/etc/voyandz"].iter().any(|file| fs::exists(file).unwrap());
    let demo = |launch: Launch| {
        let server = launch.start();
        let page = server.get("/").text();
        let streams = regex::Regex::new("data-src=\"([^\"]+)\"").unwrap();
        let streams: Vec<_> = streams.captures_iter(&page).map(|path| path[1].to_owned()).collect();
        assert!(!streams.is_empty(), "{page}");
        for stream in streams {
            assert_eq!(server.get(&format!("{stream}/pic")).status, 200, "{stream}");
            server.get(&stream).take(50_000, SOON);
        }
    };
    if has_file || !with_default_port(|| demo(Launch::bare())) {
        demo(Launch::demo());
    }
}

/// Runs a test that needs the port of the default configuration, one at a time and only when it is free.
fn with_default_port(test: impl FnOnce()) -> bool {
    static PORT: Mutex<()> = Mutex::new(());
    let _only = PORT.lock().unwrap_or_else(PoisonError::into_inner);
    let is_free = TcpStream::connect(("127.0.0.1", 8090)).is_err() && TcpListener::bind(("127.0.0.1", 8090)).is_ok();
    if is_free {
        test();
    } else {
        eprintln!("SKIPPED in part: port 8090 is taken");
    }
    is_free
}

#[test]
fn a1_fault_is_found_before_a_port_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut server =
        Launch::exact(&format!("listenport: {port}\nfeeds:\n  cam:\n    mode: soon\n    file: x.ts\n")).spawn();
    assert_eq!(server.wait(SOON).code(), Some(78));
    let text = server.log.text();
    assert!(text.contains("voyandz.yaml:4:11:") && text.contains("feeds.cam.mode"), "{text}");
    assert!(!text.contains("listen "), "{text}");
}

#[test]
fn port_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut server = Launch::exact(&format!("listenport: {}\n", address.port())).spawn();
    let status = server.wait(SOON);
    assert!(!status.success() && status.code() != Some(78), "{status}");
    assert!(server.log.text().contains(&address.to_string()), "{}", server.log.text());
}

#[test]
fn a2_faults_come_with_their_lines() {
    let cam = "feeds:\n  cam:\n    pipeline: videotestsrc\n";
    let broken = [
        (1, "listen: 5\n".to_owned()),
        (1, "listenport: many\n".to_owned()),
        (1, "listenport: 70000\n".to_owned()),
        (1, "listenaddr: localhost:5\n".to_owned()),
        (2, "pages:\n  hone: true\n".to_owned()),
        (2, "pages:\n  home: perhaps\n".to_owned()),
        (1, "feeds:\n  - cam\n".to_owned()),
        (2, "feeds:\n  ../x: {file: a}\n".to_owned()),
        (2, "feeds:\n  cam: {}\n".to_owned()),
        (3, "feeds:\n  cam:\n    comand: [true]\n".to_owned()),
        (3, "feeds:\n  cam:\n    command: []\n".to_owned()),
        (4, format!("{cam}  cam:\n    pipeline: videotestsrc\n")),
        (4, format!("{cam}    mode: sometimes\n")),
        (4, format!("{cam}    mode: -1\n")),
        (4, format!("{cam}    buffer-size: 5\n")),
        (4, format!("{cam}    no-resurrect: 17\n")),
        (4, format!("{cam}    loop: true\n")),
        (5, format!("{cam}streams:\n  a: {{feed: cma, video: {{codec: h264}}}}\n")),
        (6, format!("{cam}streams:\n  a.ts: {{feed: cam, url: /x}}\n  b.ts: {{feed: cam, url: /x}}\n")),
        (5, format!("{cam}streams:\n  a: {{feed: cam, container: avi}}\n")),
        (5, format!("{cam}streams:\n  a.ts: {{feed: cam, video: {{codec: vp8}}}}\n")),
        (5, format!("{cam}streams:\n  a: {{feed: cam, url: no-slash}}\n")),
        (5, format!("{cam}streams:\n  a.ts: {{feed: cam, video: {{codec: h264, size: huge}}}}\n")),
        (3, "feeds:\n  cam:\n\tpipeline: x\n".to_owned()),
    ];
    for (line, yaml) in broken {
        let output = check(&yaml);
        assert_eq!(output.status.code(), Some(78), "{yaml}\n{}", said(&output));
        assert!(
            said(&output).contains(&format!("voyandz.yaml:{line}:")),
            "expected line {line} in\n{yaml}\n{}",
            said(&output)
        );
    }
}

#[test]
fn a16_version_and_help() {
    let version = run(&["--version"]);
    assert_eq!(said(&version), format!("voyandz {}\n", env!("CARGO_PKG_VERSION")));
    let help = run(&["--help"]);
    assert!(help.status.success());
    for word in ["--file", "--verbose", "check", "config", "--version"] {
        assert!(said(&help).contains(word), "{word} in {}", said(&help));
    }
    assert!(!said(&help).contains("guard"), "{}", said(&help));
    assert_eq!(run(&["--nonsense"]).status.code(), Some(2));
}

#[test]
fn a16_check_and_config() {
    let yaml = format!(
        "listenport: 0\nfeeds: {{cam: {{pipeline: '{PICTURE}', mode: 2.5}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}}}}}\n"
    );
    assert!(check(&yaml).status.success(), "{}", said(&check(&yaml)));
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (folder.path().join("first.yaml"), folder.path().join("second.yaml"));
    fs::write(&first, &yaml).unwrap();
    let printed = run(&["config", "-f", first.to_str().unwrap()]);
    assert!(printed.status.success(), "{}", said(&printed));
    fs::write(&second, &printed.stdout).unwrap();
    let again = run(&["config", "-f", second.to_str().unwrap()]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), String::from_utf8_lossy(&printed.stdout), "{}", said(&again));
    assert!(said(&printed).contains("x264enc"), "{}", said(&printed));
    // The gst-launch pipelines are checked as well.
    assert_eq!(check("feeds:\n  cam:\n    pipeline: videotestsrc ! nosuchthing\n").status.code(), Some(78));
}

#[test]
fn a18_included_files_and_variables_are_used_and_shown() {
    let main = "include: more/*.yaml\nlistenport: 1\n";
    let more = "feeds: {cam: {command: cat, mode: 1}}\nstreams: {cam.ts: {feed: cam}}\n";
    let launch = Launch::exact(main);
    let folder = launch.folder().join("more");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("cam.yaml"), more).unwrap();
    let server = launch.env("VOYANDZ__listenport", "0").start();
    assert!(server.get("/").text().contains("/cam.ts"));

    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("more")).unwrap();
    fs::write(folder.path().join("main.yaml"), main).unwrap();
    fs::write(folder.path().join("more/cam.yaml"), more).unwrap();
    let run = |command: &str, name: &str, value: &str| {
        let mut program = Command::new(PROGRAM);
        program.args([command, "-f", "main.yaml"]).current_dir(folder.path()).env(name, value).output().unwrap()
    };
    let shown = run("config", "VOYANDZ__feeds__cam__mode", "10");
    assert!(said(&shown).contains("    mode: 10\n"), "{}", said(&shown));
    let refused = run("check", "VOYANDZ__feeds__cam__mode", "soon");
    assert_eq!(refused.status.code(), Some(78));
    assert_eq!(
        said(&refused),
        "VOYANDZ__feeds__cam__mode: feeds.cam.mode: expected \"on-demand\", \"continuous\" or seconds, found \"soon\"\n"
    );
}

#[test]
fn a_missing_program_is_a_fault_of_a_check_and_a_warning_of_a_server() {
    let yaml = "feeds: {cam: {command: no-such-program-anywhere}}\nstreams: {cam.ts: {feed: cam}}\n";
    let output = check(yaml);
    let line = "voyandz.yaml:1:24: feeds.cam.command: the program `no-such-program-anywhere` is not on PATH\n";
    assert!(output.status.code() == Some(78) && said(&output).ends_with(line), "{}", said(&output));
    let server = Server::start(yaml);
    server.log.wait("WARN .*feeds.cam.command: the program `no-such-program-anywhere` is not on PATH", SOON);
}

#[test]
fn shipped_configurations_are_checked() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/config");
    let examples = fs::read_dir(format!("{folder}/examples")).unwrap().map(|entry| entry.unwrap().path());
    let files = ["voyandz.yaml", "demo.yaml"].map(|name| format!("{folder}/{name}").into()).into_iter().chain(examples);
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "yaml")) {
        let output = run(&["check", "-f", file.to_str().unwrap()]);
        // What this machine has no plugin for cannot be checked on it, and what it has no file for is a warning.
        let is_here = |line: &&str| !line.contains("apt-get install") && !line.contains(": warning: ");
        let text = said(&output);
        let faults: Vec<_> = text.lines().filter(is_here).collect();
        assert!(output.status.success() || faults.is_empty(), "{}: {faults:#?}", file.display());
    }
}

#[test]
fn a17_end_with_viewers_is_clean() {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let mut server = launch
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
    let mut viewers: Vec<_> =
        ["/cam.ts", "/cam.mjpeg", "/ticks"].iter().cycle().take(30).map(|target| server.get(target)).collect();
    viewers.iter_mut().for_each(|viewer| drop(viewer.piece(SOON)));
    let descendants = server.descendants().len();
    assert!(descendants >= 3, "{descendants}");
    server.terminate();
    assert!(server.wait(secs(10)).success());
    server.assert_nothing_left(millis(500));
    viewers.iter_mut().for_each(|viewer| drop(viewer.rest(secs(1))));
}

#[test]
fn a17_programs_that_ignore_the_end_are_killed() {
    let mut server = Server::start(&format!(
        "
        feeds: {{deaf: {{command: {}}}}}
        streams: {{deaf: {{feed: deaf, container: raw}}}}
        ",
        shell("trap \"\" TERM; sleep 999 & while echo hello; do sleep 0.1; done")
    ));
    server.get("/deaf").take(5, SOON);
    // On demand: the feed's end, not the server's.
    wait_until("the programs are gone", millis(4500), || server.programs("sleep 999").is_empty());
    let _viewer = server.get("/deaf").take(5, SOON);
    server.terminate();
    assert!(server.wait(secs(10)).success());
    server.assert_nothing_left(millis(500));
}

#[test]
fn a17_second_signal_exits_immediately() {
    let mut server = Server::start(&format!(
        "
        feeds: {{deaf: {{command: {}, mode: continuous}}}}
        streams: {{deaf: {{feed: deaf, container: raw}}}}
        ",
        shell("trap \"\" TERM; sleep 999 & while echo hello; do sleep 0.1; done")
    ));
    server.get("/deaf").take(5, SOON);
    server.terminate();
    server.log.wait("shutting down", secs(2));
    let began = Instant::now();
    process::send(server.pid(), Signal::INT);
    server.wait(secs(1));
    println!("ended {:?} after the second signal", began.elapsed());
    server.assert_nothing_left(secs(5));
}

#[test]
fn a17_nothing_outlives_a_killed_server() {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let mut server = launch
        .with(&format!(
            "
            feeds:
              cam: {{pipeline: '{PICTURE}', mode: continuous}}
              ticker: {{command: {}}}
              deaf: {{command: {}, mode: continuous}}
            streams:
              cam.ts: {{feed: cam, video: {H264}}}
              ticks: {{feed: ticker, container: raw}}
            ",
            ticking(&file),
            shell("trap \"\" TERM; sleep 999 & sleep 999")
        ))
        .start();
    let _viewers = ["/cam.ts", "/ticks"].map(|target| server.get(target).piece(SOON));
    wait_until("the programs run", SOON, || !server.programs("sleep 999 &").is_empty());
    process::send(server.pid(), Signal::KILL);
    server.wait(secs(1));
    let began = Instant::now();
    let workers = || server.descendants().iter().any(|process| process.command.ends_with(" worker"));
    wait_until("the workers are gone", secs(2), || !workers());
    server.assert_nothing_left(secs(5));
    figure(26, "server is killed: nothing of it is left", began.elapsed(), secs(5));
}

#[test]
fn a17_what_an_earlier_server_left_is_ended() {
    let mut first = Server::start("feeds: {far: {command: [setsid, sleep, '998'], mode: continuous}}");
    let guard = |server: &Server| server.descendants().into_iter().find(|process| process.command.contains(" guard "));
    wait_until("the program runs", SOON, || !first.programs("sleep 998").is_empty());
    // A guard that is stopped does not end its program, and a program in a session of its own hears nothing of its end.
    process::send(guard(&first).unwrap().pid, Signal::STOP);
    process::send(first.pid(), Signal::KILL);
    first.wait(secs(1));
    // Servers of other tests may be quicker, so the line in the log is nothing to wait for.
    let _second = Server::start("feeds: {}");
    first.assert_nothing_left(secs(5));
}

#[test]
fn a17_restart_gets_its_port_at_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    drop(taken);
    let yaml = format!(
        "listenport: {port}\nfeeds: {{t: {{command: {}}}}}\nstreams: {{t: {{feed: t, container: raw}}}}\n",
        shell("while echo x; do sleep 0.1; done")
    );
    for _ in 0..2 {
        let mut server = Launch::exact(&yaml).start();
        server.get("/t").piece(SOON);
        let _viewer = server.get("/t");
        process::send(server.pid(), Signal::KILL);
        server.wait(secs(1));
        server.assert_nothing_left(secs(5));
    }
}

#[test]
fn server_listens_on_ipv6() {
    if TcpListener::bind("[::1]:0").is_err() {
        eprintln!("SKIPPED: no IPv6");
        return;
    }
    let server = Server::start("listenaddr: '::1'");
    assert!(server.address().is_ipv6());
    assert_eq!(http::get(server.address(), "/").status, 200);
}

/// What `voyandz doctor` prints with these arguments and this environment, and its exit code.
fn doctor(arguments: &[&str], environment: &[(&str, &str)]) -> (String, Option<i32>) {
    let mut command = Command::new(PROGRAM);
    command.arg("doctor").args(arguments).env_remove("VOYANDZ_CONFFILE").envs(environment.iter().copied());
    let output = command.stdin(Stdio::null()).output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[test]
fn doctor_finds_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("good.yaml");
    fs::write(&file, "listenport: 0\nwebrtc: {udp: 8189}\nfeeds: {cam: {pipeline: videotestsrc}}\n").unwrap();
    let (report, code) = doctor(&["-f", file.to_str().unwrap()], &[]);
    assert_eq!(code, Some(0), "{report}");
    for line in
        ["ok      mpegtsmux", "ok      x264enc ", "ok      ffmpeg ", "ok      open files", "voyandz can serve here."]
    {
        assert!(report.contains(line), "{line}: {report}");
    }
    // Why viewers may not reach it.
    let webrtc = report.lines().find(|line| line.contains(" webrtc ")).unwrap();
    let parts = ["viewers are sent to 127.0.0.1, port 8189 over UDP", "viewers on this machine alone reach it"];
    assert!(parts.iter().all(|part| webrtc.contains(part)), "{webrtc}");
}

#[test]
fn doctor_names_the_packages_of_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let registry = folder.path().join("registry");
    let (report, code) = doctor(
        &[],
        &[("GST_PLUGIN_SYSTEM_PATH_1_0", "/nowhere"), ("GST_REGISTRY", registry.to_str().unwrap()), ("PATH", "")],
    );
    assert_eq!(code, Some(1), "{report}");
    assert!(report.contains("MISSING mpegtsmux"), "{report}");
    assert!(report.contains("apt-get install gstreamer1.0-plugins-bad; Nix: gst_all_1.gst-plugins-bad"), "{report}");
    assert!(report.contains("-       ffmpeg"), "{report}");
    for program in ["ffmpeg; Nix: ffmpeg", "gstreamer1.0-tools; Nix: gst_all_1.gstreamer", "v4l-utils; Nix: v4l-utils"]
    {
        assert!(report.contains(&format!("(not on PATH; Debian: apt-get install {program})")), "{program}: {report}");
    }
    assert!(report.contains("things are missing that voyandz needs."), "{report}");
}

#[test]
fn doctor_tries_what_the_configuration_asks_for() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.yaml");
    let yaml = format!(
        "listenport: {port}\nlogdir: /proc/voyandz\nfeeds:\n  a: {{pipeline: nosuchsrc}}\n  b: {{command: nosuchprogram}}\n"
    );
    fs::write(&file, yaml).unwrap();
    let (report, code) = doctor(&["-f", file.to_str().unwrap()], &[]);
    assert_eq!(code, Some(1), "{report}");
    assert!(
        report.contains(&format!("MISSING address            127.0.0.1:{port} (Address already in use")),
        "{report}"
    );
    assert!(report.contains("MISSING logdir"), "{report}");
    assert!(report.contains("bad.yaml:4:") && report.contains("nosuchsrc"), "{report}");
    assert!(report.contains("nosuchprogram"), "{report}");
    fs::write(&file, "lissenport: 1\n").unwrap();
    let (report, code) = doctor(&["-f", file.to_str().unwrap()], &[]);
    assert!(code == Some(1) && report.contains("did you mean `listenport`?"), "{report}");
}

#[test]
fn manual_pages_are_complete_and_well_formed() {
    for (section, words) in [
        ("1", ["voyandz - A live audio/video server", "--watch", "doctor", "SIGHUP", "VOYANDZ_CONFFILE"]),
        ("5", ["the configuration of voyandz(1)", "listenport", "restart", "TEMPLATES", "videotestsrc"]),
    ] {
        let output = run(&["man", section]);
        assert!(output.status.success());
        if !have("man") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join(format!("page.{section}"));
        fs::write(&page, &output.stdout).unwrap();
        let mut command = Command::new("man");
        command.args(["--warnings", "-E", "UTF-8", "-l", "-P", "cat"]).arg(&page).env("MANWIDTH", "200");
        let shown = command.stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&shown.stdout);
        assert!(shown.status.success() && shown.stderr.is_empty(), "{}", String::from_utf8_lossy(&shown.stderr));
        for word in words {
            assert!(text.contains(word), "{word} is not in page {section}: {text}");
        }
    }
}

#[test]
fn completions_are_taken_by_the_shells() {
    for (shell, check) in [("bash", "bash"), ("zsh", "zsh"), ("fish", "fish")] {
        let output = run(&["completions", shell]);
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && script.contains("doctor") && script.contains("watch"), "{script}");
        assert!(!script.contains("guard"), "hidden commands stay hidden");
        if check == "bash" {
            // What bash would offer after `voyandz ch`.
            let ask = format!(
                "{script}\nCOMP_WORDS=(voyandz ch); COMP_CWORD=1; _voyandz voyandz ch voyandz; echo \"${{COMPREPLY[@]}}\""
            );
            let offered = Command::new("bash").args(["-c", &ask]).output().unwrap();
            assert_eq!(String::from_utf8_lossy(&offered.stdout).trim(), "check");
        }
    }
}

/// The exit code of a command whose output goes into a pipe that nobody reads, and what it says on standard error.
fn into_closed_pipe(arguments: &[&str], errors_too: bool) -> (Option<i32>, String) {
    let closed = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer
    };
    let mut command = Command::new(PROGRAM);
    command.args(arguments).stdin(Stdio::null()).stdout(closed());
    command.stderr(if errors_too { Stdio::from(closed()) } else { Stdio::piped() });
    let output = command.spawn().unwrap().wait_with_output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn every_subcommand_ends_quietly_when_its_reader_leaves() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let file = folder.path().join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let good = file("good.yaml", "listenport: 0\nfeeds: {m: {command: cat}}\n");
    let bad = file("bad.yaml", "feeds: {m: {mode: soon, command: cat}}\n");
    let cases: [(&[&str], i32); 8] = [
        (&["config", "-f", &good], 141),
        (&["check", "-f", &good], 141),
        // The verdict stays what it is.
        (&["check", "-f", &bad], 78),
        (&["config", "-f", &bad], 78),
        (&["completions", "bash"], 141),
        (&["man"], 141),
        (&["man", "5"], 141),
        (&["--licenses"], 141),
    ];
    for (arguments, expect) in cases {
        for errors_too in [false, true] {
            let (code, errors) = into_closed_pipe(arguments, errors_too);
            assert_eq!(code, Some(expect), "{arguments:?} {errors}");
            assert_eq!(errors, "", "{arguments:?}");
        }
    }
    // What it says is about the machine, which may lack something.
    let (code, errors) = into_closed_pipe(&["doctor", "-f", &good], true);
    assert!(matches!(code, Some(141 | 1)), "{code:?} {errors}");
    // A log file that cannot be opened has no place but standard error.
    let (code, _) = into_closed_pipe(&["-f", &good, "--log-file", "/nowhere/log"], true);
    assert_eq!(code, Some(1));
}

#[test]
fn a_full_disk_is_reported() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let output = Command::new(PROGRAM).arg("man").stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(74));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.starts_with("cannot write to standard output: ") && errors.lines().count() == 1, "{errors}");
}

#[test]
fn a_guard_without_standard_error_ends_quietly() {
    let parent = std::process::id().to_string();
    let (code, _) = into_closed_pipe(&["guard", "--server", &parent, "--", "/nowhere/program"], true);
    assert_ne!(code, Some(101));
}
