//! Too many, too large, too slow: what is refused, and that those who are in notice nothing.
//!
//! Numbers are those of docs/faults.md at the scale of a busy machine with two processors, as each test says.

use crate::rig::{
    Launch, SOON, Server, have, have_failpoints, holds_for, http, millis, process,
    script::{H264, shell, starts, ticking},
    secs, wait_until,
};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use socket2::{Domain, SockRef, Socket, Type};
use std::{
    fs,
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    process::Command,
    sync::Mutex,
    time::{Duration, Instant},
};

fn ticker() -> (Server, std::path::PathBuf) {
    let launch = Launch::bare();
    let file = launch.folder().join("starts");
    let yaml = format!(
        "feeds: {{ticker: {{command: {}}}}}\nstreams: {{ticks: {{feed: ticker, container: raw}}}}",
        ticking(&file)
    );
    (launch.with(&yaml).start(), file)
}

/// A connection from `127.0.0.<host>`, which the server takes for somebody else.
fn connect_from(host: u8, address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, host), 0)).into()).unwrap();
    socket.connect_timeout(&address.into(), secs(5)).unwrap();
    socket.into()
}

/// Sends a request from `127.0.0.<host>`.
pub fn ask_from(host: u8, address: SocketAddr, target: &str) -> TcpStream {
    let mut socket = connect_from(host, address);
    // One that is closed at once may not even take the request.
    let _ = write!(socket, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    socket
}

/// The first bytes of an answer; none when the connection is closed without one.
fn beginning(socket: &mut TcpStream) -> String {
    socket.set_read_timeout(Some(secs(10))).unwrap();
    let mut bytes = [0; 400];
    let read = socket.read(&mut bytes).unwrap_or_else(|error| {
        assert_ne!(error.kind(), ErrorKind::WouldBlock, "neither answered nor closed");
        0
    });
    String::from_utf8_lossy(&bytes[..read]).into_owned()
}

/// Whether a connection that nobody reads from is closed by now.
fn is_gone(socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).unwrap();
    let mut scratch = [0; 4096];
    loop {
        match (&*socket).read(&mut scratch) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

/// How many descriptors the server has open when nothing begins or ends: the worker in reserve comes after the first answer.
fn settled(server: &Server) -> usize {
    loop {
        let now = descriptors(server);
        if holds_for(millis(400), || descriptors(server) == now) {
            return now;
        }
    }
}

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

fn limit_descriptors(server: &Server, current: u64) {
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    // What is lowered for good cannot be raised again.
    let maximum = line.split_whitespace().nth(4).unwrap().parse().ok();
    prlimit(Pid::from_raw(server.pid()), Resource::Nofile, Rlimit { current: Some(current), maximum }).unwrap();
}

/// How long requests take, the longest last.
fn answering(server: &Server, count: usize) -> Vec<Duration> {
    let mut took: Vec<Duration> = (0..count)
        .map(|_| {
            let began = Instant::now();
            assert_eq!(server.get("/livez").status, 200);
            began.elapsed()
        })
        .collect();
    took.sort();
    took
}

/// Row 13, at a third: 320 clients of 8 addresses where there are descriptors for 128.
#[test]
fn connections_beyond_the_descriptors_are_told_so_and_feeds_go_on() {
    let (server, file) = ticker();
    let mut viewer = server.get("/ticks");
    viewer.take(100, SOON);
    limit_descriptors(&server, 256);
    let mut clients: Vec<TcpStream> =
        (0..320).map(|number| ask_from(2 + (number % 8) as u8, server.address(), "/ticks")).collect();
    let heads: Vec<String> = clients.iter_mut().map(beginning).collect();
    let count = |begin: &str| heads.iter().filter(|head| head.starts_with(begin)).count();
    let (taken, told) = (count("HTTP/1.1 200"), count("HTTP/1.1 503"));
    assert_eq!(taken, 127, "of 128, of which one is the first viewer");
    assert!(told >= 32, "{told} were told");
    assert!(
        heads
            .iter()
            .filter(|head| head.starts_with("HTTP/1.1 503"))
            .all(|head| head.contains("\r\nRetry-After: 2\r\n"))
    );
    // A feed that dies meanwhile has its descriptors.
    let program = server.programs("echo start")[0].pid;
    process::send(program, rustix::process::Signal::KILL);
    wait_until("the feed is started again", SOON, || starts(&file) == 2);
    let before = process::cpu(server.pid());
    assert!(viewer.collect(secs(2)).len() > 200);
    let used = process::cpu(server.pid()) - before;
    assert!(used < millis(400), "{used:?} in 2 s");
    drop(clients);
    let mut early = 0;
    wait_until("there is room again", secs(2), || {
        let is_taken = beginning(&mut ask_from(3, server.address(), "/ticks")).starts_with("HTTP/1.1 200");
        early += usize::from(!is_taken);
        is_taken
    });
    let metrics = server.get("/metrics").text();
    let refused =
        metrics.lines().find_map(|line| line.strip_prefix("voyandz_http_refused_total{reason=\"connections\"} "));
    assert_eq!(refused.unwrap().parse::<usize>().unwrap(), 320 - taken + early, "{metrics}");
}

/// Row 13: no descriptor at all for a connection.
#[test]
fn accepting_without_a_descriptor_does_not_spin() {
    let (server, _) = ticker();
    let mut viewer = server.get("/ticks");
    viewer.take(100, SOON);
    // All below are taken by the server itself.
    limit_descriptors(&server, 8);
    let before = process::cpu(server.pid());
    let mut waiting = ask_from(2, server.address(), "/livez");
    server.log.wait("cannot accept connections", SOON);
    assert!(viewer.collect(secs(2)).len() > 200);
    let used = process::cpu(server.pid()) - before;
    assert!(used < millis(400), "{used:?} in 2 s");
    limit_descriptors(&server, 1024);
    assert!(beginning(&mut waiting).starts_with("HTTP/1.1 200"));
    assert_eq!(server.log.count("cannot accept connections"), 1);
    server.log.wait("connections are accepted again", SOON);
}

#[test]
fn one_address_leaves_places_to_others() {
    let (server, _) = ticker();
    limit_descriptors(&server, 160);
    // 32 places, half of which one address may have.
    let mut greedy: Vec<TcpStream> = (0..20).map(|_| ask_from(2, server.address(), "/ticks")).collect();
    let heads: Vec<String> = greedy.iter_mut().map(beginning).collect();
    assert_eq!(heads.iter().filter(|head| head.starts_with("HTTP/1.1 200")).count(), 16);
    assert!(
        heads[16..].iter().all(|head| head.starts_with("HTTP/1.1 503") && head.contains("this address")),
        "{heads:#?}"
    );
    assert!(beginning(&mut ask_from(3, server.address(), "/ticks")).starts_with("HTTP/1.1 200"));
}

/// Rows 15 and 16, at a twentieth of the clients: beside them, one that reads everything waits no longer.
#[test]
fn stalled_viewers_are_gone_in_time_and_hurt_nobody() {
    let flood = shell("while head -c 40000 /dev/zero; do sleep 0.04; done");
    let server = Server::start(&format!(
        "feeds: {{flood: {{command: {flood}}}}}\nstreams: {{flood: {{feed: flood, container: raw}}}}"
    ));
    let mut good = server.get("/flood");
    good.take(400_000, SOON);
    let (base, memory) = (settled(&server), process::resident(server.pid()));
    let began = Instant::now();
    let stalled: Vec<TcpStream> = (0..50)
        .map(|_| {
            let socket = http::ask(server.address(), "/flood");
            SockRef::from(&socket).set_recv_buffer_size(32 << 10).unwrap();
            socket
        })
        .collect();
    let slow: Vec<TcpStream> = (0..10).map(|_| http::ask(server.address(), "/flood")).collect();
    let longest = Mutex::new(Duration::ZERO);
    let gone = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut before = Instant::now();
            for (at, _) in good.arrivals(secs(13)) {
                let mut longest = longest.lock().unwrap();
                *longest = longest.max(at - before);
                before = at;
            }
        });
        // 20 kB a second of a megabyte.
        scope.spawn(|| {
            let mut scratch = [0; 2000];
            while began.elapsed() < secs(13) {
                slow.iter().for_each(|mut socket| assert!(socket.read(&mut scratch).unwrap() > 0));
                std::thread::sleep(millis(100));
            }
        });
        wait_until("stalled viewers are gone", secs(13), || server.log.count("no progress") == stalled.len());
        began.elapsed()
    });
    println!("gone after {gone:?}, the good one waited {:?}", longest.lock().unwrap());
    assert!(gone > secs(9), "{gone:?}");
    assert!(*longest.lock().unwrap() < secs(2), "{:?}", longest.lock().unwrap());
    let grown = process::resident(server.pid()).saturating_sub(memory);
    assert!(grown < 32 << 10, "{grown} KiB more, with a ring of 4 MB");
    drop(slow);
    wait_until("descriptors are back", secs(5), || descriptors(&server) <= base + 1);
}

/// Row 16: a cable is pulled, and no end of a connection is ever told.
#[test]
fn viewers_that_vanish_are_gone_in_time() {
    const INSIDE: &str = "VOYANDZ_TEST_OWN_NETWORK";
    if std::env::var_os(INSIDE).is_none() {
        // This test again, with a network that is its own to be cut off.
        if !have("unshare") || !have("ip") || !Command::new("unshare").args(["-n", "true"]).status().unwrap().success()
        {
            eprintln!("SKIPPED: it takes root to make a network namespace");
            return;
        }
        let mut alone = Command::new("unshare");
        alone.args(["-n", "sh", "-c", "ip link set lo up && exec \"$0\" \"$@\""]).env(INSIDE, "1");
        alone.arg(std::env::current_exe().unwrap());
        alone.args(["--exact", "limits::viewers_that_vanish_are_gone_in_time", "--nocapture"]);
        assert!(alone.status().unwrap().success());
        return;
    }
    let link = |state: &str| assert!(Command::new("ip").args(["link", "set", "lo", state]).status().unwrap().success());
    let (server, _file) = ticker();
    drop(server.get("/ticks").piece(SOON));
    let base = settled(&server);
    let viewers: Vec<http::Answer> = (0..20)
        .map(|_| {
            let mut viewer = server.get("/ticks");
            viewer.piece(SOON);
            viewer
        })
        .collect();
    // And some that are connected and silent.
    let silent: Vec<TcpStream> = (0..10).map(|_| TcpStream::connect(server.address()).unwrap()).collect();
    link("down");
    let began = Instant::now();
    wait_until("vanished viewers are gone", secs(13), || descriptors(&server) <= base);
    println!("gone after {:?}", began.elapsed());
    assert_eq!(server.log.count("request .*/ticks.*no progress"), viewers.len());
    link("up");
    drop((viewers, silent));
    assert_eq!(server.get("/ticks").status, 200);
}

/// Row 17, at a fifteenth: 250 clients that send their requests for ever.
#[test]
fn slow_requests_end_in_time_and_delay_nobody() {
    let (server, _) = ticker();
    let base = settled(&server);
    let began = Instant::now();
    let heads = (0..200).map(|_| (connect_from(2, server.address()), "GET / HTTP/1.1\r\nHost: x\r\n", "X: y\r\n"));
    let bodies = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    let bodies = (0..50).map(|_| (connect_from(3, server.address()), bodies, "x"));
    let mut slow: Vec<(TcpStream, &str)> = heads
        .chain(bodies)
        .map(|(mut socket, begin, more)| {
            socket.write_all(begin.as_bytes()).unwrap();
            (socket, more)
        })
        .collect();
    let mut took = Vec::new();
    while !slow.is_empty() {
        assert!(began.elapsed() < secs(13), "{} are still there", slow.len());
        took.extend(answering(&server, 10));
        slow.retain_mut(|(socket, more)| !is_gone(socket) && socket.write_all(more.as_bytes()).is_ok());
        std::thread::sleep(millis(200));
    }
    took.sort();
    println!("answers took {:?} at most, the slow ones lasted {:?}", took.last().unwrap(), began.elapsed());
    assert!(took[took.len() * 99 / 100] < secs(1), "{took:?}");
    wait_until("descriptors are back", secs(3), || descriptors(&server) <= base);
}

/// Row 18, at a third: 3000 connections as fast as they can be made, beside a viewer.
#[test]
fn storm_of_connections_leaves_nothing_behind() {
    let (server, _) = ticker();
    let mut viewer = server.get("/ticks");
    viewer.take(100, SOON);
    drop(answering(&server, 100));
    let (base, memory, began) = (settled(&server), process::resident(server.pid()), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for number in 0..500 {
                    match number % 3 {
                        0 => drop(connect_from(2, server.address())),
                        1 => assert_eq!(server.get("/livez").status, 200),
                        _ => drop(http::ask(server.address(), "/ticks")),
                    }
                }
            });
        }
    });
    println!("{:.0} connections a second", 3000.0 / began.elapsed().as_secs_f64());
    viewer.take(400, secs(5));
    wait_until("descriptors are back", secs(15), || descriptors(&server) <= base + 2);
    let grown = process::resident(server.pid()).saturating_sub(memory);
    assert!(grown < 16 << 10, "{grown} KiB more after 3000 connections");
    drop(viewer);
    assert_eq!(server.log.count("ERROR"), 0);
}

/// Row 20: refused at once, whatever the size.
#[test]
fn requests_that_are_too_large_are_refused_at_once() {
    let (server, _) = ticker();
    let check = |request: String, status: u16| {
        let began = Instant::now();
        let mut socket = connect_from(2, server.address());
        // What is refused is not read to its end.
        let _ = socket.write_all(request.as_bytes());
        let head = beginning(&mut socket);
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{status}: {head}");
        began.elapsed()
    };
    let get = |target: &str, fields: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    drop(answering(&server, 20));
    let memory = process::resident(server.pid());
    let took = [
        check(get(&format!("/livez?{}", "x".repeat(8_000)), ""), 200),
        check(get(&format!("/livez?{}", "x".repeat(8_200)), ""), 414),
        check(get(&format!("/livez?{}", "x".repeat(30_000)), ""), 414),
        check(get("/livez", &"A: b\r\n".repeat(98)), 200),
        check(get("/livez", &"A: b\r\n".repeat(101)), 431),
        check(get("/livez", &format!("A: {}\r\n", "b".repeat(30_000))), 200),
        check(get("/livez", &format!("A: {}\r\n", "b".repeat(70_000))), 431),
        check(get(&format!("/livez?{}", "x".repeat(200_000)), ""), 431),
        check(get("/livez", "Content-Length: 1048577\r\n"), 413),
        check(get("/livez", "Content-Length: 1048576\r\n"), 200),
        check("POST /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n".to_owned(), 413),
    ];
    println!("refused within {took:?}");
    assert!(took.iter().all(|took| *took < secs(2)), "{took:?}");
    let grown = process::resident(server.pid()).saturating_sub(memory);
    assert!(grown < 4 << 10, "{grown} KiB more");
}

/// Pictures first, then newcomers; who is in stays. The measured load is replaced.
#[test]
fn x10_overloaded_machine_refuses_stills_then_viewers() {
    if !have_failpoints() {
        return;
    }
    let picture = "videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1 ! queue";
    let launch = Launch::new(&format!(
        "feeds: {{cam: {{pipeline: '{picture}'}}}}\nstreams: {{cam.ts: {{feed: cam, video: {H264}}}}}"
    ));
    // For four seconds all is well, that there is a picture to give later on.
    let server = launch.env("FAILPOINTS", "load=4*return(10 0)->6*return(99 400)->return(10 0)").start();
    let mut viewer = server.get("/cam.ts");
    viewer.take(10_000, SOON);
    assert_eq!(server.get("/cam.ts/pic").status, 200);
    server.log.wait("WARN .*overloaded: snapshots refused", SOON);
    let refused = server.get("/cam.ts/pic");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert_eq!(server.get("/cam.ts/pic?max_age=60").status, 200, "what is there already costs nothing");
    assert_eq!(server.get("/cam.ts").status, 200, "there is still room for viewers");
    server.log.wait("WARN .*overloaded: snapshots and new viewers refused", SOON);
    assert!(server.get("/stat.json").text().contains("\"load\": \"overloaded\""));
    let refused = server.get("/cam.ts");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("2")));
    assert!(viewer.collect(secs(1)).len() > 10_000, "who is in stays");
    let metrics = server.get("/metrics").text();
    for line in ["{reason=\"picture\"} 1\n", "{reason=\"viewer\"} 1\n", "voyandz_load 2\n"] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    server.log.wait("overload ended: snapshots and new viewers accepted", SOON);
    assert_eq!((server.get("/cam.ts").status, server.get("/cam.ts/pic").status), (200, 200));
}
