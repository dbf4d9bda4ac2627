//! Long recordings: a film of a day, its time-lapse, and players that seek to the frame.

use crate::{
    recordings::{body, json, number, packets, probe},
    rig::{
        Server,
        archive::{Film, Plan},
        browser::{Browser, have_browser},
        have, media, secs, times, tool,
    },
};
use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    io::Read,
    path::Path,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// 2026-11-01T00:00:00Z.
const FROM: i64 = 1_793_491_200;

/// A server with recordings of `cam` and nothing that is recorded now.
fn server(folder: &Path) -> Server {
    let root = folder.display();
    Server::start(&format!(
        "
        feeds: {{cam: {{publish: {{key: s3cret}}}}}}
        streams: {{cam: {{feed: cam, record: {{folder: {root}, plan: manual}}}}}}
        auth: {{anyone: [viewer, playback]}}
        "
    ))
}

fn resident(server: &Server) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// `VOYANDZ_HOURS` makes it longer: `ci/long` has a day.
#[test]
fn a_film_of_many_hours_is_played_in_pieces() {
    let hours = i64::from(times("VOYANDZ_HOURS", 1));
    let folder = TempDir::new().unwrap();
    let film = Film::of(include_bytes!("../data/h264-aac.ts"), 3);
    film.record(&Plan { folder: folder.path(), stream: "cam", from: FROM, seconds: hours * 3600, file: 600, gap: 0 });
    let server = server(folder.path());
    assert_eq!(
        json(&server, &format!("/rec/cam/list?from={FROM}&for={hours}h")).as_array().unwrap().len() as i64,
        hours * 6
    );
    let before = resident(&server);
    let path = format!("/rec/cam/clip.mp4?from={FROM}&for={hours}h");
    let began = Instant::now();
    let answer = server.get(&path);
    assert_eq!(answer.status, 200);
    println!("{hours} h: head after {:?}", began.elapsed());
    // Half a second for a day, where the server is optimised and the machine does nothing else.
    assert!(began.elapsed() < Duration::from_millis(if cfg!(debug_assertions) { 4000 } else { 500 }));
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    drop(answer);
    // All of it once, a hash of it and of each piece of 1 MiB.
    let whole = |range: Option<(usize, usize)>| {
        let request = ureq::get(server.url(&path));
        let request = match range {
            Some((from, to)) => request.header("range", format!("bytes={from}-{}", to - 1)),
            None => request,
        };
        request.call().unwrap().into_body().into_reader()
    };
    const PIECE: usize = 1 << 20;
    let (mut body, mut pieces, mut left) = (whole(None), Vec::new(), length);
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let taken = left.min(PIECE);
        body.read_exact(&mut piece[..taken]).unwrap();
        pieces.push(hash(&piece[..taken]));
        left -= taken;
    }
    assert_eq!(body.read(&mut piece).unwrap(), 0);
    let grown = resident(&server).saturating_sub(before);
    println!("{hours} h: {length} bytes, {} MiB more memory", grown >> 20);
    assert!(grown < 64 << 20, "{grown}");
    // The same in pieces, of which each is a request: all of the index and some of the media.
    for number in (0..pieces.len().min(8)).chain((8..pieces.len()).step_by(1 + pieces.len() / 30)) {
        let (from, to) = (number * PIECE, length.min((number + 1) * PIECE));
        let mut bytes = Vec::new();
        whole(Some((from, to))).read_to_end(&mut bytes).unwrap();
        assert!(bytes.len() == to - from && hash(&bytes) == pieces[number], "piece {number}");
    }
    if !have("ffmpeg") {
        return;
    }
    // A player seeks in it.
    let url = server.url(&path);
    let last = format!("{}", hours * 3600 - 2);
    let frames = packets(&["-ss", &last, "-i", &url], b"", "v");
    assert!((25..=75).contains(&frames.len()), "{}", frames.len());
    let video = &probe(Path::new(&url))["streams"][0];
    assert_eq!(video["nb_frames"], (hours * 3600 * 25).to_string());
    // Its time-lapse is little more than the keyframes that it shows.
    let began = Instant::now();
    let lapse = server.get(&format!("/rec/cam/timelapse.mp4?from={FROM}&for={hours}h&every=60s")).rest(secs(60));
    println!("{hours} h: time-lapse of {} bytes after {:?}", lapse.len(), began.elapsed());
    let path = folder.path().join("lapse");
    fs::write(&path, &lapse).unwrap();
    media::assert_decodes_file(&path);
    assert_eq!(probe(&path)["streams"][0]["nb_frames"], (hours * 60).to_string());
    let sizes = std::process::Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "packet=size", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .unwrap();
    let keyframes: usize = String::from_utf8(sizes.stdout)
        .unwrap()
        .lines()
        .filter_map(|line| line.trim_end_matches(',').parse::<usize>().ok())
        .sum();
    // A head of about a kilobyte beside.
    assert!(lapse.len() < keyframes * 11 / 10 + 1500, "{} bytes with {keyframes} of keyframes", lapse.len());
}

/// The hashes of all frames of video, decoded.
fn decoded(bytes: &[u8]) -> Vec<String> {
    let arguments = ["-v", "error", "-i", "pipe:0", "-map", "0:v", "-fps_mode", "passthrough", "-f", "framehash", "-"];
    let output = media::run("ffmpeg", &arguments, bytes);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let frames = text.lines().filter(|line| !line.starts_with('#'));
    frames.map(|line| line.rsplit(',').next().unwrap().trim().to_owned()).collect()
}

#[test]
fn a_film_is_had_in_other_containers_and_with_its_gaps() {
    if !have("ffmpeg") {
        return;
    }
    let folder = TempDir::new().unwrap();
    let film = Film::of(include_bytes!("../data/h264-aac.ts"), 3);
    film.record(&Plan { folder: folder.path(), stream: "cam", from: FROM, seconds: 12, file: 6, gap: 5 });
    let server = server(folder.path());
    let clip = |name: &str, more: &str| body(&server, &format!("/rec/cam/clip.{name}?from={FROM}&for=30{more}"), "");
    let whole = clip("mp4", "").2;
    let (frames, sounds) = (decoded(&whole), media::Frames::of(&whole, false).sounds);
    assert!(frames.len() > 200 && sounds > 400, "{} and {sounds}", frames.len());
    let containers = [
        ("mp4", "&as=fmp4", "video/mp4"),
        ("ts", "", "video/mp2t"),
        ("mkv", "", "video/x-matroska"),
        ("flv", "", "video/x-flv"),
    ];
    for (name, more, mimetype) in containers {
        let (status, head, bytes) = clip(name, more);
        assert_eq!(status, 200, "{name}: {head}");
        for line in [format!("content-type: {mimetype}"), "accept-ranges: none".into(), format!("z.{name}\"")] {
            assert!(head.contains(&line), "{line} in {head}");
        }
        assert!(decoded(&bytes) == frames, "{name}");
        assert_eq!(media::Frames::of(&bytes, false).sounds, sounds, "{name}");
        if name == "mp4" {
            // A second each, whatever pieces it was read in.
            let fragments = bytes.windows(4).filter(|four| four == b"moof").count();
            assert!((11..=13).contains(&fragments), "{fragments}");
        }
    }
    let (status, _, reason) = clip("webm", "");
    let reason = String::from_utf8(reason).unwrap();
    assert!(status == 406 && reason.contains("webm cannot carry H.264"), "{status} {reason}");
    // The last frame before a gap stays, or the gap is left out.
    let lasts = |name: &str, more: &str| {
        let file = folder.path().join(format!("film.{name}"));
        fs::write(&file, clip(name, more).2).unwrap();
        number(&probe(&file)["format"]["duration"])
    };
    for (name, more, expect) in
        [("mp4", "", 12.0), ("mp4", "&gap=hold", 17.0), ("ts", "&gap=skip", 12.0), ("ts", "&gap=hold", 17.0)]
    {
        let found = lasts(name, more);
        assert!((found - expect).abs() < 0.2, "{name}{more}: {found} s");
    }
    let tag = |more: &str| {
        let head = clip("mp4", more).1;
        head.lines().find_map(|line| line.strip_prefix("etag: ").map(str::to_owned)).unwrap()
    };
    assert_ne!(tag(""), tag("&gap=hold"));
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// Frames whose luma counts from 0 to 19.
fn counting(seconds: u32) -> Vec<u8> {
    let frames =
        format!("color=black:s=320x240:r=25:d={seconds},format=yuv420p,geq=lum=16+10*mod(N\\,20):cb=128:cr=128");
    let encoder =
        ["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-crf", "10", "-g", "25", "-sc_threshold", "0"];
    let arguments =
        [&["-v", "error", "-f", "lavfi", "-i", &frames], &encoder[..], &["-f", "mpegts", "-muxdelay", "0", "-"]];
    media::run("ffmpeg", &arguments.concat(), b"").stdout
}

const PLAYERS: &str = "
    document.body.innerHTML = '';
    const video = window.video = document.createElement('video'), canvas = document.createElement('canvas');
    [canvas.width, canvas.height, video.muted] = [32, 24, true];
    document.body.append(video);
    // The number of the frame that is shown: its luma is 16 and ten for each, of 20, in the studio range.
    window.frame = () => {
        const drawing = canvas.getContext('2d', { willReadFrequently: true });
        drawing.drawImage(video, 0, 0, 32, 24);
        const [red] = drawing.getImageData(16, 12, 1, 1).data;
        return Math.round(red * 219 / 255 / 10);
    };
    window.seek = (time) => new Promise((done) => {
        const shown = () => requestAnimationFrame(() => requestAnimationFrame(() => done(frame())));
        video.addEventListener('seeked', shown, { once: true });
        video.currentTime = time;
    });
    window.failed = [];
    window.show = async (player, url) => {
        if (player === 'hls.js') {
            const hls = new Hls();
            hls.on(Hls.Events.ERROR, (event, data) => { if (data.fatal) failed.push(data.details) });
            hls.loadSource(url);
            hls.attachMedia(video);
            window.end = () => hls.destroy();
        } else if (player === 'shaka') {
            const shown = new shaka.Player();
            await shown.attach(video);
            await shown.load(url).catch((error) => failed.push(String(error.code)));
            window.end = () => shown.destroy();
        } else {
            video.src = url;
            window.end = () => {};
        }
    };
";

#[test]
fn players_seek_to_the_frame() {
    let libraries = ["hls.js-1.7.4.js", "shaka-player-5.2.12.js"].map(tool);
    if !have("ffmpeg") || !have_browser() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let film = Film::of(&counting(60), 60);
    film.record(&Plan { folder: folder.path(), stream: "cam", from: FROM, seconds: 600, file: 60, gap: 0 });
    let (server, browser) = (server(folder.path()), Browser::start());
    browser.open(&server.url("/livez"));
    for library in libraries {
        let Some(library) = library else { return };
        let library = serde_json::json!(fs::read_to_string(library).unwrap());
        browser.run(&format!(
            "const script = document.createElement('script'); script.textContent = {library}; document.head.append(script)"
        ));
    }
    browser.run(PLAYERS);
    let span = format!("from={FROM}&for=600");
    for (player, url) in [
        ("hls.js", format!("/rec/cam/index.m3u8?{span}")),
        ("shaka", format!("/rec/cam/index.m3u8?{span}")),
        ("mp4", format!("/rec/cam/clip.mp4?{span}")),
    ] {
        browser.run(&format!("return show('{player}', '{url}')"));
        browser.wait("return video.readyState >= 2 || failed.length > 0", secs(20));
        let mut off = Vec::new();
        for number in 0..20u32 {
            // Moments in all files, near the begin, the middle and the end of a frame.
            let frame = (number * 7919 + 13) % 14_990;
            // With B-frames, the first frame is shown two frames after it is decoded.
            let time = f64::from(frame + 2) / 25.0 + [0.005, 0.02, 0.035][number as usize % 3];
            let shown = browser.run(&format!("return seek({time})")).as_i64().unwrap();
            let apart = (shown - i64::from(frame % 20)).rem_euclid(20);
            off.push(if apart > 10 { apart - 20 } else { apart });
        }
        println!("{player}: frames off {off:?}");
        assert!(off.iter().all(|off| off.abs() <= 1), "{player}: {off:?}");
        assert_eq!(browser.run("return failed.join()"), "", "{player}");
        browser.run("end()");
    }
}
