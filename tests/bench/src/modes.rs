//! What is measured: each mode runs its systems in turns, a fresh process each time.

#[cfg(feature = "webrtc")]
use crate::{anchor::Echo, channels, webrtc};
use crate::{
    crowd, hls, http2, latency,
    load::{self, Outcome, Plan},
    push,
    report::{Figures, Table, quantile},
    rtmp, rtsp, segments,
    server::System,
    source::Kind,
    srt, stills, usage,
};
use anyhow::{bail, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::{
    net::SocketAddr,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{net::TcpStream, runtime::Runtime};

/// All modes.
pub const NAMES: [&str; 21] = [
    "fanout", "latency", "slow", "storm", "mjpeg", "stills", "memory", "ingest", "record", "core", "http2", "tls",
    "rtmp", "rtsp", "srt", "publish", "push", "hls", "webrtc", "channels", "short",
];

/// Bits a second of the source: a picture of 1080 lines.
const RATE: usize = 4_000_000;
const MJPEG_RATE: usize = 10_000_000;
/// Rounds, unless `VOYANDZ_BENCH_ROUNDS` says another number.
const ROUNDS: usize = 3;

/// How long crowds are measured.
const WINDOW: Duration = Duration::from_secs(4);

/// So many viewers take all of two processors, and pictures come late by some others. A key picture that is late at the end of a
/// short window is 3 % of it, which would pass for one that was lost.
const FULL: usize = 2000;

type Systems = Vec<(&'static str, System)>;

/// Runs a mode with these numbers of viewers, or its usual ones, and prints what came of it; the JSON goes to the file that
/// `VOYANDZ_BENCH_JSON` names.
pub fn run(mode: &str, counts: &[usize]) -> anyhow::Result<()> {
    let or = |usual: &[usize]| if counts.is_empty() { usual.to_vec() } else { counts.to_vec() };
    let tables = match mode {
        "fanout" => or(&[500, 1000, 4000]).into_iter().map(fanout).collect::<Result<Vec<_>, _>>()?,
        "latency" => latency::run(&[0.5, 2.0, 10.0], or(&[6]).into_iter().next().unwrap_or_default())?,
        "slow" => or(&[500]).into_iter().map(slow).collect::<Result<_, _>>()?,
        "storm" => or(&[500]).into_iter().map(storm).collect::<Result<_, _>>()?,
        "mjpeg" => or(&[300]).into_iter().map(mjpeg).collect::<Result<_, _>>()?,
        "stills" => {
            let mut tables = or(&[16]).into_iter().map(still_pictures).collect::<Result<Vec<_>, _>>()?;
            tables.push(new_pictures(60)?);
            tables
        }
        "memory" => vec![memory(&or(&[1000, 4000]))?],
        "ingest" => vec![ingest(1, 100_000_000, &[false])?, ingest(50, 4_000_000, &[false])?],
        "record" => {
            or(&[50]).into_iter().map(|feeds| ingest(feeds, 4_000_000, &[false, true])).collect::<Result<_, _>>()?
        }
        "core" => or(&[4000]).into_iter().map(one_core).collect::<Result<_, _>>()?,
        "rtmp" => or(&[1000]).into_iter().map(over_rtmp).collect::<Result<_, _>>()?,
        "rtsp" => {
            let all = or(&[500, 200]);
            vec![
                over_rtsp(all.first().copied().unwrap_or_default())?,
                in_datagrams(
                    all.last().copied().unwrap_or_default(),
                    RATE / 1_000_000,
                    ("RTSP", "rtsp"),
                    rtsp::play_datagrams,
                )?,
                first_packets(50)?,
            ]
        }
        "srt" => {
            let all = or(&[20, 200]);
            vec![
                in_datagrams(all.first().copied().unwrap_or_default(), 10, ("SRT", "srt"), srt::play)?,
                in_datagrams(all.last().copied().unwrap_or_default(), 4, ("SRT", "srt"), srt::play)?,
                bad_handshakes()?,
            ]
        }
        "publish" => {
            let mut tables = or(&[100]).into_iter().map(publishers).collect::<Result<Vec<_>, _>>()?;
            tables.push(from_publisher_to_player(50)?);
            tables
        }
        "push" => or(&[20]).into_iter().map(targets).collect::<Result<_, _>>()?,
        "http2" => or(&[300]).into_iter().map(over_http2).collect::<Result<_, _>>()?,
        #[cfg(feature = "tls")]
        "tls" => or(&[200]).into_iter().map(over_tls).collect::<Result<_, _>>()?,
        #[cfg(feature = "webrtc")]
        "webrtc" => or(&[400]).into_iter().map(over_webrtc).collect::<Result<_, _>>()?,
        #[cfg(feature = "webrtc")]
        "channels" => or(&[5000]).into_iter().map(over_channels).collect::<Result<_, _>>()?,
        "hls" => vec![
            playlists(or(&[500, 2000]).first().copied().unwrap_or_default(), true)?,
            playlists(or(&[500, 2000]).last().copied().unwrap_or_default(), false)?,
        ],
        "short" => vec![short()?, latency::short()?],
        _ => bail!("there is no mode {mode}: {}", NAMES.join(", ")),
    };
    tables.iter().for_each(Table::print);
    if let Some(file) = std::env::var_os("VOYANDZ_BENCH_JSON") {
        let all: Vec<_> = tables.iter().map(Table::json).collect();
        std::fs::write(&file, serde_json::to_string_pretty(&all)? + "\n")?;
        println!("\n{}", Path::new(&file).display());
    }
    Ok(())
}

fn rounds() -> usize {
    std::env::var("VOYANDZ_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS)
}

fn plan(viewers: usize) -> Plan {
    Plan {
        target: "/live",
        viewers,
        stalled: 0,
        ramp: 2000,
        looking: 20,
        glancing: false,
        settle: Duration::from_secs(1),
        window: Duration::from_secs(4),
    }
}

/// Several rounds; within one, each system in turn.
fn compare(table: &mut Table, systems: &Systems, plan: &Plan) -> anyhow::Result<()> {
    for round in 1..=rounds() {
        for (name, system) in systems {
            let outcome = load::put(&mut system.start()?, plan)?;
            let cost = outcome.cpu_per_gb();
            eprintln!("round {round}, {} viewers, {name}: {cost:.3} CPU s/GB", plan.viewers);
            table.add(name, figures(&outcome, plan));
        }
    }
    Ok(())
}

fn figures(outcome: &Outcome, plan: &Plan) -> Figures {
    let viewers = (plan.viewers + plan.stalled) as f64;
    Figures::from([
        ("CPU s/GB", outcome.cpu_per_gb()),
        ("MB/s", outcome.bytes as f64 / 1e6 / plan.window.as_secs_f64()),
        ("delay p50 ms", quantile(&outcome.latencies, 0.5)),
        ("delay p99 ms", quantile(&outcome.latencies, 0.99)),
        ("first byte p50 ms", quantile(&outcome.first_bytes, 0.5)),
        ("first byte p99 ms", quantile(&outcome.first_bytes, 0.99)),
        ("first frame p50 ms", quantile(&outcome.first_frames, 0.5)),
        ("first frame p99 ms", quantile(&outcome.first_frames, 0.99)),
        ("slowest part", outcome.slowest),
        ("discontinuities", outcome.discontinuities as f64),
        ("lost viewers", outcome.lost as f64),
        ("RSS kB/viewer", outcome.resident / viewers),
        ("kernel kB/viewer", outcome.kernel / viewers),
    ])
}

/// Many viewers of one stream.
fn fanout(viewers: usize) -> anyhow::Result<Table> {
    let ratios = [
        ("CPU s/GB", "voyandz", "limit"),
        ("CPU s/GB", "voyandz", "plain warp"),
        ("CPU s/GB", "voyandz", "plain warp 0.3"),
        ("CPU s/GB", "limit", "plain warp"),
        ("CPU s/GB", "throughput", "voyandz"),
        ("delay p99 ms", "voyandz", "limit"),
    ];
    let mut table = Table::new(format!("{viewers} viewers of {} Mbit/s", RATE / 1_000_000), &ratios);
    let systems = vec![
        ("voyandz", System::voyandz(Kind::Ts, RATE, "")?),
        ("limit", System::Other("limit", Kind::Ts, RATE)),
        ("throughput", System::voyandz(Kind::Ts, RATE, ", throughput: true")?),
        ("plain warp", System::Other("plain", Kind::Ts, RATE)),
        #[cfg(feature = "warp03")]
        ("plain warp 0.3", System::Other("plain03", Kind::Ts, RATE)),
    ];
    let mut plan = plan(viewers);
    if viewers > FULL {
        plan.window *= 4;
    }
    compare(&mut table, &systems, &plan)?;
    Ok(table)
}

/// Good viewers, alone and beside stalled ones.
fn slow(stalled: usize) -> anyhow::Result<Table> {
    const GOOD: usize = 50;
    let ratios = [("delay p99 ms", "beside stalled", "alone")];
    let mut table = Table::new(format!("{GOOD} viewers beside {stalled} stalled ones"), &ratios);
    let system = System::voyandz(Kind::Ts, RATE, "")?;
    for _ in 0..rounds() {
        for (name, stalled) in [("alone", 0), ("beside stalled", stalled)] {
            let plan = Plan { stalled, looking: GOOD, ..plan(GOOD) };
            let outcome = load::put(&mut system.start()?, &plan)?;
            ensure!(outcome.lost == 0, "{name}: {} good viewers were lost", outcome.lost);
            table.add(name, figures(&outcome, &plan));
        }
    }
    Ok(table)
}

/// New viewers, as many a second, who begin with a key picture.
fn storm(ramp: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("{ramp} joins a second for 4 s, each with keyframe=1"), &[]);
    let plan =
        Plan { target: "/live?header=1&keyframe=1", ramp: u32::try_from(ramp)?, glancing: true, ..plan(ramp * 4) };
    compare(&mut table, &vec![("voyandz", System::voyandz(Kind::Ts, RATE, "")?)], &plan)?;
    Ok(table)
}

/// Motion JPEG.
fn mjpeg(viewers: usize) -> anyhow::Result<Table> {
    let ratios = [("CPU s/GB", "voyandz", "limit")];
    let mut table = Table::new(format!("{viewers} viewers of motion JPEG, {} Mbit/s", MJPEG_RATE / 1_000_000), &ratios);
    let systems = vec![
        ("voyandz", System::voyandz(Kind::Mjpeg, MJPEG_RATE, "")?),
        ("limit", System::Other("limit", Kind::Mjpeg, MJPEG_RATE)),
    ];
    compare(&mut table, &systems, &plan(viewers))?;
    Ok(table)
}

/// Bits a second of a stream for many viewers.
const LOW: usize = 600_000;

/// Viewers of a stream of 600 kbit/s, with all of voyandz on one processor and the load on the others.
fn one_core(viewers: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("{viewers} viewers of {} kbit/s from one processor", LOW / 1000), &[]);
    let system = System::voyandz(Kind::Ts, LOW, "")?;
    apart(|first| {
        (0..rounds()).try_for_each(|_| {
            let plan = plan(viewers);
            let outcome = load::put(&mut system.start_on(Some(first))?, &plan)?;
            let mut figures = figures(&outcome, &plan);
            figures.insert("of a processor", outcome.cpu.as_secs_f64() / plan.window.as_secs_f64());
            table.add("voyandz", figures);
            anyhow::Ok(())
        })
    })?;
    Ok(table)
}

/// Measures with the first processor for the server, and the others for the load.
fn apart(measure: impl FnOnce(usize) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let (mut all, before) = (CpuSet::new(), sched_getaffinity(None)?);
    let processors: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|number| before.is_set(*number)).collect();
    let [first, others @ ..] = processors.as_slice() else { bail!("there is no processor") };
    ensure!(!others.is_empty(), "the load needs a processor of its own");
    others.iter().for_each(|number| all.set(*number));
    sched_setaffinity(None, &all)?;
    let measured = measure(*first);
    sched_setaffinity(None, &before)?;
    measured
}

/// Viewers of WebRTC, with all of voyandz on one processor and the viewers on the others. What the worker takes to encode is not counted.
#[cfg(feature = "webrtc")]
fn over_webrtc(viewers: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("{viewers} viewers of WebRTC, of {} kbit/s", LOW / 1000), &[]);
    let system = System::Voyandz(format!("webrtc: {{}}\n{}", camera("600k")));
    apart(|first| {
        (0..rounds()).try_for_each(|_| {
            let sendto = webrtc::calibrate()?;
            let mut server = system.start_on(Some(first))?;
            let address = server.address;
            let seen = Arc::new(webrtc::Seen::default());
            let watch = |address, taken| webrtc::watch(address, taken, seen.clone());
            let outcome = crowd::put(&mut server, (viewers, address), 2 * WINDOW, watch)?;
            let seconds = 2.0 * WINDOW.as_secs_f64();
            let ((all, lost), (joins, slowest)) = (seen.packets(), seen.joins());
            let of_processor = outcome.cpu.as_secs_f64() / seconds;
            let packets = outcome.bytes as f64 / seen.mean_length();
            let first_frames = seen.first_frames();
            table.add(
                "voyandz",
                Figures::from([
                    ("Mbit/s", outcome.bytes as f64 * 8.0 / 1e6 / seconds),
                    ("of a processor", of_processor),
                    ("viewers/processor", viewers as f64 / of_processor),
                    ("first frame p50 ms", quantile(&first_frames, 0.5)),
                    ("first frame p95 ms", quantile(&first_frames, 0.95)),
                    ("packets", all as f64),
                    ("lost packets", lost as f64),
                    ("RSS kB/viewer", outcome.resident / viewers as f64),
                    ("sendto us/packet", sendto * 1e6),
                    ("packets/s", packets / seconds),
                    // What a packet costs the server, against one that is only sent.
                    ("of sendto", outcome.cpu.as_secs_f64() / (packets * sendto)),
                    ("joins/s", joins),
                    ("first packet max ms", slowest.as_secs_f64() * 1000.0),
                ]),
            );
            anyhow::Ok(())
        })
    })?;
    Ok(table)
}

/// Parts of the round trips that are measured in turns with those of the machine alone.
#[cfg(feature = "webrtc")]
const TURNS: usize = 20;

/// Messages over data channels of one client, with the server on one processor and the client on another: there and back, and one way.
/// Beside them, in turns: what datagrams alone take there and back between the same processors, while the same server runs, where one
/// thread sends them back and where two do.
#[cfg(feature = "webrtc")]
fn over_channels(messages: usize) -> anyhow::Result<Table> {
    let mut table =
        Table::new(format!("data channels: {messages} messages there and back, and as many as pass one way"), &[]);
    // Encoders would take the processor of the server from it.
    let video =
        "videotestsrc is-live=true pattern=black ! video/x-raw,width=64,height=64,framerate=2/1 ! queue name=video";
    let system = System::Voyandz(format!(
        "webrtc: {{}}\nfeeds: {{cam: {{pipeline: '{video}'}}}}\n\
         streams: {{live: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: 50k, gop: 2}}}}}}\n"
    ));
    apart(|first| {
        (0..rounds()).try_for_each(|_| {
            let server = system.start_on(Some(first))?;
            let mut client = channels::Client::connect(server.address)?;
            let echoes = [Echo::start(first, false)?, Echo::start(first, true)?];
            // What begins is slower.
            client.round_trips(messages / 10)?;
            let (mut times, mut alone) = (Vec::new(), [Vec::new(), Vec::new()]);
            let mut used = Duration::ZERO;
            for _ in 0..TURNS {
                let before = webrtc::used();
                times.extend(client.round_trips(messages.div_ceil(TURNS))?);
                used += webrtc::used() - before;
                for (echo, times) in echoes.iter().zip(&mut alone) {
                    times.extend(echo.round_trips(messages.div_ceil(TURNS))?);
                }
            }
            let bytes = client.acknowledged(WINDOW)?;
            let [p50, p99] = [0.5, 0.99].map(|part| quantile(&times, part));
            let [[one_p50, one_p99], [two_p50, two_p99]] =
                [0, 1].map(|number: usize| [0.5, 0.99].map(|part| quantile(&alone[number], part)));
            table.add(
                "voyandz",
                Figures::from([
                    ("1,000 bytes p50 ms", p50),
                    ("1,000 bytes p99 ms", p99),
                    ("datagram p50 ms", one_p50),
                    ("datagram p99 ms", one_p99),
                    ("by two threads p50 ms", two_p50),
                    ("by two threads p99 ms", two_p99),
                    // What a message takes, against a datagram that one thread sends back.
                    ("p50 of datagram", p50 / one_p50),
                    ("p99 of datagram", p99 / one_p99),
                    // The client is not to be what limits.
                    ("client CPU us/message", used.as_secs_f64() * 1e6 / times.len() as f64),
                    ("4 KiB one way MB/s", bytes as f64 / 1e6 / WINDOW.as_secs_f64()),
                ]),
            );
            anyhow::Ok(())
        })
    })?;
    Ok(table)
}

/// The same viewers over HTTP/1.1 and over HTTP/2.
fn over_http2(viewers: usize) -> anyhow::Result<Table> {
    let ratios = [("CPU s/GB", "HTTP/2", "HTTP/1.1"), ("RSS kB/viewer", "HTTP/2", "HTTP/1.1")];
    let mut table = Table::new(format!("{viewers} viewers of {} Mbit/s", RATE / 1_000_000), &ratios);
    let (system, plan) = (System::voyandz(Kind::Ts, RATE, "")?, plan(viewers));
    for _ in 0..rounds() {
        let usual = load::put(&mut system.start()?, &plan)?;
        let mut server = system.start()?;
        let address = server.address;
        let other = crowd::put(&mut server, (viewers, address), plan.window, http2::watch)?;
        for (name, bytes, cpu, resident) in
            [("HTTP/1.1", usual.bytes, usual.cpu, usual.resident), ("HTTP/2", other.bytes, other.cpu, other.resident)]
        {
            let figures = Figures::from([
                ("MB/s", bytes as f64 / 1e6 / plan.window.as_secs_f64()),
                ("CPU s/GB", cpu.as_secs_f64() / (bytes as f64 / 1e9)),
                ("RSS kB/viewer", resident / viewers as f64),
            ]);
            table.add(name, figures);
        }
    }
    Ok(table)
}

/// The same viewers with and without TLS, and what the ciphers cost alone.
#[cfg(feature = "tls")]
fn over_tls(viewers: usize) -> anyhow::Result<Table> {
    let mut table =
        Table::new(format!("{viewers} viewers of {} Mbit/s", RATE / 1_000_000), &[("CPU s/GB", "TLS", "plain")]);
    let System::Voyandz(yaml) = System::voyandz(Kind::Ts, RATE, "")? else { bail!("voyandz is another system") };
    // Its certificate is kept there.
    let folder = tempfile::tempdir()?;
    let system = System::Voyandz(format!("{yaml}statedir: {}\ntls: {{own: true}}\n", folder.path().display()));
    let connector = crate::tls::trusting()?;
    for _ in 0..rounds() {
        for (name, connector) in [("plain", None), ("TLS", Some(&connector))] {
            let mut server = system.start()?;
            let address = server.address;
            let watch = |address, taken| crate::tls::watch(address, connector.cloned(), taken);
            table.add(name, of_crowd(&crowd::put(&mut server, (viewers, address), WINDOW, watch)?));
        }
        for (name, seconds) in crate::tls::ciphers()? {
            table.add(name, Figures::from([("CPU s/GB", seconds)]));
        }
    }
    Ok(table)
}

fn of_crowd(outcome: &crowd::Outcome) -> Figures {
    Figures::from([
        ("MB/s", outcome.bytes as f64 / 1e6 / WINDOW.as_secs_f64()),
        ("CPU s/GB", outcome.cpu_per_gb()),
        ("RSS MB", outcome.resident / 1e3),
    ])
}

/// The same viewers of FLV over HTTP and over RTMP.
fn over_rtmp(viewers: usize) -> anyhow::Result<Table> {
    let title = format!("{viewers} viewers of FLV, video and audio of 1.5 Mbit/s");
    beside_http(title, camera("1.5M"), (viewers, "/live.flv"), ("RTMP", "rtmp"), rtmp::play)
}

/// The same viewers of MPEG-TS over HTTP, and of RTP between the messages of RTSP.
fn over_rtsp(viewers: usize) -> anyhow::Result<Table> {
    let title = format!("{viewers} viewers of {} Mbit/s, video alone", RATE / 1_000_000);
    beside_http(title, noise(RATE / 1_000_000, ""), (viewers, "/live.ts"), ("RTSP", "rtsp"), rtsp::play)
}

/// Viewers whose packets come in datagrams.
fn in_datagrams<W>(
    viewers: usize,
    megabits: usize,
    (name, protocol): (&'static str, &'static str),
    play: impl Fn(SocketAddr, Arc<crowd::Taken>) -> W,
) -> anyhow::Result<Table>
where
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut table = Table::new(format!("{viewers} viewers of {name} in datagrams, video of {megabits} Mbit/s"), &[]);
    let system = System::Voyandz(format!("{}{protocol}: {{listen: '127.0.0.1:0'}}\n", noise(megabits, "")));
    for _ in 0..rounds() {
        let alone = segments::calibrate()?;
        let mut server = system.start()?;
        let address = server.address_of(protocol)?;
        let outcome = crowd::put(&mut server, (viewers, address), WINDOW, &play)?;
        let mut figures = of_crowd(&outcome);
        figures.insert("of a processor", outcome.cpu.as_secs_f64() / WINDOW.as_secs_f64());
        figures.insert("GSO us/datagram", alone * 1e6);
        table.add(name, figures);
    }
    Ok(table)
}

/// A player of SRT, without and with bad handshakes from one address beside it.
fn bad_handshakes() -> anyhow::Result<Table> {
    let mut table = Table::new(format!("a player of SRT beside {} bad handshakes a second", srt::BAD), &[]);
    let system = System::Voyandz(format!("{}srt: {{listen: '127.0.0.1:0'}}\n", noise(4, "")));
    for _ in 0..rounds() {
        for (name, is_flooded) in [("alone", false), ("beside them", true)] {
            let mut server = system.start()?;
            let address = server.address_of("srt")?;
            let stop = AtomicBool::new(false);
            let (outcome, sent, took) = std::thread::scope(|scope| {
                let flood = || anyhow::Ok((Runtime::new()?.block_on(srt::flood(address, &stop))?, Instant::now()));
                let began = Instant::now();
                let flood = is_flooded.then(|| scope.spawn(flood));
                let outcome = crowd::put(&mut server, (1, address), WINDOW, srt::play);
                stop.store(true, Ordering::Relaxed);
                let flood = flood.map(std::thread::ScopedJoinHandle::join);
                let (sent, ended) = match flood {
                    Some(Ok(flood)) => flood?,
                    Some(Err(_)) => bail!("the flood has failed"),
                    None => (0, Instant::now()),
                };
                anyhow::Ok((outcome?, sent, ended - began))
            })?;
            let figures = Figures::from([
                ("of a processor", outcome.cpu.as_secs_f64() / WINDOW.as_secs_f64()),
                ("bad handshakes/s", sent as f64 / took.as_secs_f64()),
                ("MB/s", outcome.bytes as f64 / 1e6 / WINDOW.as_secs_f64()),
                ("lost packets", outcome.lost as f64),
            ]);
            table.add(name, figures);
        }
    }
    Ok(table)
}

/// How soon players of RTSP have their first packet, of a stream that runs, one after the other.
fn first_packets(count: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("the first packet of RTP, {count} players one after the other"), &[]);
    let system = System::Voyandz(format!("{}rtsp: {{listen: '127.0.0.1:0'}}\n", noise(RATE / 1_000_000, "")));
    for _ in 0..rounds() {
        let server = system.start()?;
        let address = server.address_of("rtsp")?;
        let (over_connection, in_datagrams) = Runtime::new()?.block_on(async {
            let keeper = tokio::spawn(rtsp::play(address, Arc::default()));
            let (mut over_connection, mut in_datagrams) = (Vec::new(), Vec::new());
            // The encoder starts for the first one.
            rtsp::first_packet(address).await?;
            for _ in 0..count {
                over_connection.push(rtsp::first_packet(address).await?);
                in_datagrams.push(rtsp::first_datagram(address).await?);
            }
            keeper.abort();
            anyhow::Ok((over_connection, in_datagrams))
        })?;
        for (name, all) in [("connection", over_connection), ("datagrams", in_datagrams)] {
            let since_play: Vec<_> = all.iter().map(|first| first.since_play).collect();
            let since_response: Vec<_> = all.iter().map(|first| first.since_response).collect();
            let figures = Figures::from([
                ("after PLAY p50 ms", quantile(&since_play, 0.5)),
                ("after the response p50 ms", quantile(&since_response, 0.5)),
                ("after the response max ms", quantile(&since_response, 1.0)),
                ("keyframes first", all.iter().filter(|first| first.is_keyframe).count() as f64),
            ]);
            table.add(name, figures);
        }
    }
    Ok(table)
}

/// A camera without sound that sends so many million bits a second, and what else its stream has.
fn noise(megabits: usize, more: &str) -> String {
    let video =
        "videotestsrc is-live=true pattern=snow ! video/x-raw,width=640,height=360,framerate=30/1 ! queue name=video";
    format!(
        "feeds: {{cam: {{pipeline: '{video}'}}}}\n\
         streams: {{live: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: {megabits}M, gop: 60}}{more}}}}}\n"
    )
}

/// Viewers over HTTP, and those who `play` over another protocol, each kind of a server of its own.
fn beside_http<W>(
    title: String,
    yaml: String,
    (viewers, path): (usize, &'static str),
    (name, protocol): (&'static str, &'static str),
    play: impl Fn(SocketAddr, Arc<crowd::Taken>) -> W,
) -> anyhow::Result<Table>
where
    W: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let mut table = Table::new(title, &[("CPU s/GB", name, "HTTP"), ("RSS MB", name, "HTTP")]);
    let system = System::Voyandz(format!("{yaml}{protocol}: {{listen: '127.0.0.1:0'}}\n"));
    for _ in 0..rounds() {
        let mut server = system.start()?;
        let address = server.address;
        let watch = |address, taken: Arc<crowd::Taken>| async move {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            crowd::get(socket, (address, path), &taken).await
        };
        table.add("HTTP", of_crowd(&crowd::put(&mut server, (viewers, address), WINDOW, watch)?));
        drop(server);
        let mut server = system.start()?;
        let address = server.address_of(protocol)?;
        table.add(name, of_crowd(&crowd::put(&mut server, (viewers, address), WINDOW, &play)?));
    }
    Ok(table)
}

/// Publishers of RTMP whom nobody watches.
fn publishers(count: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("{count} publishers of RTMP, of 1 Mbit/s"), &[]);
    let each = |line: fn(usize) -> String| (0..count).map(line).collect::<String>();
    let system = System::Voyandz(format!(
        "rtmp: {{listen: '127.0.0.1:0'}}\nfeeds:\n{}streams:\n{}",
        each(|number| format!("  p{number}: {{publish: {{key: studio}}}}\n")),
        each(|number| format!("  p{number}: {{feed: p{number}}}\n")),
    ));
    for _ in 0..rounds() {
        let mut server = system.start()?;
        let address = server.address_of("rtmp")?;
        let next = AtomicUsize::new(0);
        let publish = |address, taken| {
            rtmp::publish(address, format!("p{}?key=studio", next.fetch_add(1, Ordering::Relaxed)), 1_000_000, taken)
        };
        let outcome = crowd::put(&mut server, (count, address), 2 * WINDOW, publish)?;
        let seconds = 2.0 * WINDOW.as_secs_f64();
        table.add(
            "voyandz",
            Figures::from([
                ("MB/s", outcome.bytes as f64 / 1e6 / seconds),
                ("of a processor", outcome.cpu.as_secs_f64() / seconds),
                ("RSS kB/publisher", outcome.resident / count as f64),
            ]),
        );
    }
    Ok(table)
}

/// What one publisher sends arrives at players who come one after the other.
fn from_publisher_to_player(players: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("a publisher of RTMP, of 4 Mbit/s, and {players} players, one at a time"), &[]);
    let slot = "feeds: {live: {publish: {key: studio}}}\nstreams: {live: {feed: live}}\n";
    let system = System::Voyandz(format!("rtmp: {{listen: '127.0.0.1:0'}}\n{slot}"));
    for _ in 0..rounds() {
        let mut server = system.start()?;
        let address = server.address_of("rtmp")?;
        let (mut firsts, mut delays) = (Vec::new(), Vec::new());
        tokio::runtime::Runtime::new()?.block_on(async {
            let taken = Arc::<crowd::Taken>::default();
            let publisher = tokio::spawn(rtmp::publish(address, "live?key=studio".to_owned(), RATE, taken));
            // The first one waits for the stream to begin.
            rtmp::watch(address, "live", Duration::ZERO).await?;
            for _ in 0..players {
                let (first, all) = rtmp::watch(address, "live", Duration::from_millis(200)).await?;
                firsts.push(first);
                delays.extend(all);
            }
            publisher.abort();
            anyhow::Ok(())
        })?;
        server.check()?;
        ensure!(!delays.is_empty(), "nothing was measured");
        table.add(
            "voyandz",
            Figures::from([
                ("first picture p50 ms", quantile(&firsts, 0.5)),
                ("first picture max ms", quantile(&firsts, 1.0)),
                ("picture to player p50 ms", quantile(&delays, 0.5)),
                ("picture to player p99 ms", quantile(&delays, 0.99)),
            ]),
        );
    }
    Ok(table)
}

/// One stream that is pushed to so many places of another server.
fn targets(count: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("{count} pushes by RTMP, of 4 Mbit/s"), &[]);
    let each = |line: &dyn Fn(usize) -> String| (0..count).map(line).collect::<String>();
    let slots = each(&|number| format!("  p{number}: {{publish: {{key: studio}}}}\n"));
    for _ in 0..rounds() {
        let target = System::Voyandz(format!("rtmp: {{listen: '127.0.0.1:0'}}\nfeeds:\n{slots}")).start()?;
        let address = target.address_of("rtmp")?;
        let pushes = each(&|number| format!("'rtmp://{address}/live/p{number}?key=studio', "));
        let system = System::Voyandz(noise(RATE / 1_000_000, &format!(", push: [{pushes}]")));
        let mut server = system.start()?;
        push::wait(server.address, count)?;
        std::thread::sleep(Duration::from_secs(1));
        let (began, cpu, before) = (Instant::now(), usage::cpu(server.pid())?, push::read(server.address)?);
        std::thread::sleep(2 * WINDOW);
        let (cpu, after) = (usage::cpu(server.pid())?.saturating_sub(cpu), push::read(server.address)?);
        let seconds = began.elapsed().as_secs_f64();
        server.check()?;
        ensure!(after.established == count, "{} of {count} pushes are established", after.established);
        table.add(
            "voyandz",
            Figures::from([
                ("MB/s", (after.bytes - before.bytes) as f64 / 1e6 / seconds),
                ("of a processor", cpu.as_secs_f64() / seconds),
                ("lost packets", (after.lost - before.lost) as f64),
            ]),
        );
    }
    Ok(table)
}

/// A camera with sound, whose video has this bit rate.
fn camera(rate: &str) -> String {
    let video =
        "videotestsrc is-live=true pattern=snow ! video/x-raw,width=320,height=180,framerate=30/1 ! queue name=video";
    format!(
        "feeds: {{cam: {{pipeline: '{video} audiotestsrc is-live=true ! queue name=audio'}}}}\n\
         streams: {{live: {{feed: cam, video: {{codec: h264, preset: ultrafast, bitrate: {rate}, gop: 60}}, audio: {{codec: aac}}}}}}\n"
    )
}

/// Players of HLS, of low latency or plain.
fn playlists(players: usize, has_parts: bool) -> anyhow::Result<Table> {
    let kind = if has_parts { "LL-HLS" } else { "plain HLS" };
    let mut table = Table::new(format!("{players} players of {kind}, video and audio of 1.5 Mbit/s"), &[]);
    for _ in 0..rounds() {
        let outcome =
            hls::put(&mut System::Voyandz(camera("1.5M")).start()?, players, has_parts, Duration::from_secs(8))?;
        let seconds = outcome.lasted.as_secs_f64();
        let mut figures = Figures::from([
            ("of a processor", outcome.cpu.as_secs_f64() / seconds),
            ("requests/s", outcome.requests as f64 / seconds),
            ("CPU us/request", outcome.cpu.as_secs_f64() * 1e6 / outcome.requests as f64),
            ("MB/s", outcome.bytes as f64 / 1e6 / seconds),
        ]);
        if has_parts {
            figures.insert("behind the first p50 ms", quantile(&outcome.behind, 0.5));
            figures.insert("behind the first p99 ms", quantile(&outcome.behind, 0.99));
        }
        table.add("voyandz", figures);
    }
    Ok(table)
}

/// Still pictures of 1080 lines, each made for its request: of now, and captured after the request.
fn new_pictures(times: usize) -> anyhow::Result<Table> {
    let mut table = Table::new(format!("{times} still pictures of 1080 lines, one after the other"), &[]);
    let source = "videotestsrc is-live=true pattern=smpte ! timeoverlay ! \
                  video/x-raw,format=I420,width=1920,height=1080,framerate=25/1";
    let coded = "x264enc tune=zerolatency speed-preset=ultrafast bitrate=6000 key-int-max=50 ! h264parse";
    let system = System::Voyandz(format!(
        "feeds:\n  raw: {{pipeline: '{source}'}}\n  coded: {{pipeline: '{source} ! {coded}'}}\n\
         streams:\n  encoded.ts: {{feed: raw, video: {{preset: ultrafast, bitrate: 6M}}}}\n  passed.ts: {{feed: coded}}\n"
    ));
    for _ in 0..rounds() {
        for stream in ["encoded", "passed"] {
            let server = system.start()?;
            stills::watch(server.address, &format!("/{stream}.ts"))?;
            let ask = |query| stills::at_leisure(server.address, &format!("/{stream}.ts/pic{query}"), times);
            let (now, fresh) = (ask("")?, ask("?fresh=1")?);
            table.add(
                stream,
                Figures::from([
                    ("p50 ms", quantile(&now, 0.5)),
                    ("p99 ms", quantile(&now, 0.99)),
                    ("fresh p50 ms", quantile(&fresh, 0.5)),
                    ("fresh p99 ms", quantile(&fresh, 0.99)),
                ]),
            );
        }
    }
    Ok(table)
}

/// A still picture that is there already, again and again.
fn still_pictures(clients: usize) -> anyhow::Result<Table> {
    let ratios = [("answers/s", "voyandz", "plain warp"), ("p99 ms", "voyandz", "plain warp")];
    let mut table = Table::new(format!("{clients} clients who ask for a still picture that is kept"), &ratios);
    let camera = "feeds: {camera: {mode: continuous, pipeline: 'videotestsrc is-live=true ! \
                  video/x-raw,width=640,height=360,framerate=25/1 ! queue'}}\n\
                  streams: {live: {feed: camera, video: {codec: mjpeg}, container: mjpeg}}\n";
    let systems: Systems =
        vec![("voyandz", System::Voyandz(camera.to_owned())), ("plain warp", System::Other("plain", Kind::Ts, RATE))];
    for _ in 0..rounds() {
        for (name, system) in &systems {
            let server = system.start()?;
            let target = if *name == "voyandz" { "/live/pic?max_age=3600" } else { "/still" };
            // The first one is made.
            stills::make(server.address, target)?;
            let before = usage::cpu(server.pid())?;
            let outcome = stills::ask(server.address, target, clients, Duration::from_secs(4))?;
            let cpu = usage::cpu(server.pid())?.saturating_sub(before);
            let figures = Figures::from([
                ("answers/s", outcome.rate()),
                ("CPU us/answer", cpu.as_secs_f64() * 1e6 / outcome.took.len() as f64),
                ("p50 ms", quantile(&outcome.took, 0.5)),
                ("p99 ms", quantile(&outcome.took, 0.99)),
            ]);
            table.add(name, figures);
        }
    }
    Ok(table)
}

/// What a viewer more costs in memory, and a thousand that read nothing.
fn memory(counts: &[usize]) -> anyhow::Result<Table> {
    let [few, .., many] = counts else { bail!("two numbers of viewers are compared") };
    let mut table = Table::new(format!("memory, from {few} to {many} viewers, and {few} stalled ones"), &[]);
    // What a viewer takes does not depend on the rate; a load that is too much for the machine would be seen instead.
    let (light, full) = (System::voyandz(Kind::Ts, RATE / 8, "")?, System::voyandz(Kind::Ts, RATE, "")?);
    for _ in 0..rounds() {
        let grown = |system: &System, viewers: usize, stalled: usize| -> anyhow::Result<Outcome> {
            load::put(&mut system.start()?, &Plan { stalled, settle: Duration::from_secs(4), ..plan(viewers) })
        };
        let (small, large) = (grown(&light, *few, 0)?, grown(&light, *many, 0)?);
        let stalled = grown(&full, 1, *few)?;
        let figures = Figures::from([
            ("RSS kB/viewer more", (large.resident - small.resident) / (many - few) as f64),
            ("stalled: RSS kB", stalled.resident),
            ("stalled: kernel kB each", stalled.kernel / *few as f64),
        ]);
        table.add("voyandz", figures);
    }
    Ok(table)
}

/// What streams from workers cost the server, each with one viewer.
fn ingest(feeds: usize, rate: usize, recorded: &[bool]) -> anyhow::Result<Table> {
    let title = format!("{feeds} feeds of {} Mbit/s from workers, a viewer each", rate / 1_000_000);
    let mut table = Table::new(title, &[("of a processor", "recorded", "voyandz")]);
    let folder = tempfile::tempdir()?;
    let film = folder.path().join("film.ts");
    encode(&film, rate)?;
    for _ in 0..rounds() {
        for is_recorded in recorded {
            let recordings = is_recorded.then(|| tempfile::tempdir_in(folder.path())).transpose()?;
            let name = if *is_recorded { "recorded" } else { "voyandz" };
            table.add(name, ingested(feeds, &film, recordings.as_ref().map(tempfile::TempDir::path))?);
        }
    }
    Ok(table)
}

/// All feeds of one server, for some seconds.
fn ingested(feeds: usize, film: &Path, recordings: Option<&Path>) -> anyhow::Result<Figures> {
    let (film, mut all, mut streams) = (film.display(), String::new(), String::new());
    let record =
        recordings.map_or(String::new(), |folder| format!(", record: {{folder: '{}', every: 10s}}", folder.display()));
    for number in 0..feeds {
        all += &format!("  f{number}: {{file: '{film}', loop: true}}\n");
        streams += &format!("  s{number}: {{feed: f{number}, container: ts{record}}}\n");
    }
    let system = System::Voyandz(format!("feeds:\n{all}streams:\n{streams}"));
    let server = system.start()?;
    let state = || -> anyhow::Result<serde_json::Value> {
        let mut socket = std::net::TcpStream::connect(server.address)?;
        std::io::Write::write_all(&mut socket, b"GET /stat.json HTTP/1.0\r\n\r\n")?;
        let text = std::io::read_to_string(socket)?;
        let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        Ok(serde_json::from_str(body)?)
    };
    let counted = || anyhow::Ok(state()?["totals"]["bytes_out"].as_u64().unwrap_or_default());
    let (stop, counts) = Default::default();
    let (stop, counts): (&AtomicBool, &AtomicBool) = (&stop, &counts);
    let (measured, gaps) = std::thread::scope(|scope| {
        let watched = |number| scope.spawn(move || watch(server.address, number, stop, counts));
        let watched: Vec<_> = (0..feeds).map(watched).collect();
        let measured = (|| {
            // All workers have begun, and the rings are full: memory is taken no more.
            std::thread::sleep(Duration::from_secs(12));
            counts.store(true, Ordering::Relaxed);
            let (bytes, cpu, began) = (counted()?, usage::cpu(server.pid())?, Instant::now());
            std::thread::sleep(Duration::from_secs(6));
            let cpu = usage::cpu(server.pid())?.saturating_sub(cpu);
            let measured = (cpu, counted()? - bytes, began.elapsed());
            counts.store(false, Ordering::Relaxed);
            anyhow::Ok(measured)
        })();
        stop.store(true, Ordering::Relaxed);
        (measured, watched.into_iter().filter_map(|watched| watched.join().ok()).collect::<Vec<_>>())
    });
    let (cpu, bytes, lasted) = measured?;
    ensure!(bytes > 0, "nothing came");
    let seconds = lasted.as_secs_f64();
    let mut figures = Figures::from([
        ("Mbit/s", bytes as f64 * 8.0 / 1e6 / seconds),
        ("CPU s/GB", cpu.as_secs_f64() / (bytes as f64 / 1e9)),
        ("of a processor", cpu.as_secs_f64() / seconds),
        ("gap p50 ms", quantile(&gaps, 0.5)),
        ("gap max ms", quantile(&gaps, 1.0)),
    ]);
    if recordings.is_some() {
        let state = state()?;
        let of_all = |key: &str| -> Vec<f64> {
            let streams = state["streams"].as_array().into_iter().flatten();
            streams.filter_map(|stream| stream["recording"][key].as_f64()).collect()
        };
        let writes: Vec<_> = of_all("slowest_write_seconds").into_iter().map(Duration::from_secs_f64).collect();
        figures.extend([
            ("recorded MB", of_all("bytes").iter().sum::<f64>() / 1e6),
            ("lost samples", of_all("lost_samples").iter().sum()),
            ("slowest write p50 ms", quantile(&writes, 0.5)),
            ("slowest write p90 ms", quantile(&writes, 0.9)),
            ("slowest write max ms", quantile(&writes, 1.0)),
        ]);
    }
    Ok(figures)
}

/// Reads a stream; the longest time without data while that counts.
fn watch(address: std::net::SocketAddr, number: usize, stop: &AtomicBool, counts: &AtomicBool) -> Duration {
    let Ok(mut socket) = std::net::TcpStream::connect(address) else { return Duration::MAX };
    let _ = socket.set_read_timeout(Some(Duration::from_millis(500)));
    let _ = std::io::Write::write_all(&mut socket, format!("GET /s{number} HTTP/1.0\r\n\r\n").as_bytes());
    let (mut scratch, mut longest, mut last) = (vec![0; 256 << 10], Duration::ZERO, Instant::now());
    while !stop.load(Ordering::Relaxed) {
        let read = std::io::Read::read(&mut socket, &mut scratch);
        if counts.load(Ordering::Relaxed) {
            longest = longest.max(last.elapsed());
        }
        match read {
            Ok(0) => return Duration::MAX,
            Ok(_) => last = Instant::now(),
            Err(_) => {}
        }
    }
    longest
}

/// A film of noise at this rate, which is played again and again.
fn encode(film: &Path, rate: usize) -> anyhow::Result<()> {
    let picture = "color=gray:s=1280x720:r=30:d=6,noise=alls=100:allf=t";
    let rate = rate.to_string();
    let encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-g", "30", "-bf", "0", "-pix_fmt", "yuv420p"];
    let rates = ["-b:v", &rate, "-minrate", &rate, "-maxrate", &rate, "-bufsize", &rate, "-f", "mpegts"];
    let mut ffmpeg = Command::new("ffmpeg");
    ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", picture]).args(encoder).args(rates).arg(film);
    ensure!(ffmpeg.status()?.success(), "ffmpeg makes no film");
    Ok(())
}

/// Whether all parts work: a few viewers of each system, for a moment.
fn short() -> anyhow::Result<Table> {
    let mut table = Table::new("short: 40 viewers, one round".to_owned(), &[("CPU s/GB", "voyandz", "limit")]);
    let short = Plan { settle: Duration::from_millis(500), window: Duration::from_secs(1), ..plan(40) };
    let systems: Systems = vec![
        ("voyandz", System::voyandz(Kind::Ts, RATE, "")?),
        ("throughput", System::voyandz(Kind::Ts, RATE, ", throughput: true")?),
        ("motion JPEG", System::voyandz(Kind::Mjpeg, MJPEG_RATE, "")?),
        ("beside stalled", System::voyandz(Kind::Ts, RATE, "")?),
        ("limit", System::Other("limit", Kind::Ts, RATE)),
        ("plain warp", System::Other("plain", Kind::Ts, RATE)),
    ];
    for (name, system) in &systems {
        let stalled = if *name == "beside stalled" { 20 } else { 0 };
        let plan = Plan { stalled, ..short.clone() };
        let outcome = load::put(&mut system.start()?, &plan)?;
        let (lost, wrong) = (outcome.lost, outcome.discontinuities);
        ensure!(lost == 0 && wrong == 0, "{name}: {lost} viewers lost, {wrong} discontinuities");
        let (bytes, cpu, marks) = (outcome.bytes, outcome.cpu, outcome.latencies.len());
        ensure!(bytes > 0 && !cpu.is_zero() && marks > 0, "{name}: {bytes} bytes, {cpu:?}, {marks} marks");
        table.add(name, figures(&outcome, &plan));
    }
    let mut server = systems[0].1.start()?;
    let address = server.address;
    let over_http2 = crowd::put(&mut server, (10, address), short.window, http2::watch)?;
    ensure!(over_http2.bytes > 0, "nothing came over HTTP/2");
    let by_playlist = hls::put(&mut System::Voyandz(camera("1.5M")).start()?, 4, true, short.window)?;
    ensure!(by_playlist.requests > 0 && !by_playlist.behind.is_empty(), "{} requests of HLS", by_playlist.requests);
    let server = systems[5].1.start()?;
    let outcome = stills::ask(server.address, "/still", 4, Duration::from_millis(300))?;
    ensure!(outcome.took.len() > 4, "{} still pictures", outcome.took.len());
    Ok(table)
}
