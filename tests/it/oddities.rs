//! What real cameras, recordings and programs do besides what they should. The kinds are those of `docs/sources.md`.

use crate::rig::{
    Answer, Launch, SOON, Server, have, holds_for, http, media, multipart,
    script::{H264, PICTURE, shell},
    secs, state, ts, wait_until,
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// A JPEG image of one grey, as a camera sends it.
fn image(grey: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pixels = image::RgbImage::from_pixel(160, 120, image::Rgb([grey, grey, grey]));
    image::codecs::jpeg::JpegEncoder::new(&mut bytes).encode_image(&pixels).unwrap();
    bytes
}

/// A camera that speaks HTTP, until it is dropped. Each path is a way to send images, ten a second.
struct Camera {
    address: SocketAddr,
    stills: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
}

impl Camera {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (stills, is_over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, over) = (stills.clone(), is_over.clone());
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (count, over) = (count.clone(), over.clone());
                thread::spawn(move || drop(serve(socket, &count, &over)));
            }
        });
        Self { address, stills, is_over }
    }
}

impl Drop for Camera {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(mut socket: TcpStream, stills: &AtomicUsize, is_over: &AtomicBool) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && socket.read(&mut byte)? > 0 {
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let part = |fields: &str, image: &[u8], end: &str| [fields.as_bytes(), image, end.as_bytes()].concat();
    if path == "/still" {
        let number = stills.fetch_add(1, Ordering::Relaxed);
        let image = image((number * 20 % 200) as u8);
        write!(
            socket,
            "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            image.len()
        )?;
        return socket.write_all(&image);
    }
    let kind = if path == "/bare" { "video/x-motion-jpeg" } else { "multipart/x-mixed-replace;boundary=frame" };
    write!(socket, "HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\n\r\n")?;
    let mut number = 0usize;
    while !is_over.load(Ordering::Relaxed) {
        let image = image((number * 20 % 200) as u8);
        number += 1;
        let bytes = match path {
            "/plain" => {
                let head = format!("--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", image.len());
                part(&head, &image, "\r\n")
            }
            "/late" => part("Content-Type: image/jpeg\r\n\r\n", &image, "\r\n--frame\r\n"),
            "/noblank" => part("--frame\ncontent-type:image/jpeg\n\n", &image, "\n"),
            "/lies" => part("--frame\r\nContent-Length: 7\r\nContent-Type: image/jpeg\r\n\r\n", &image, "\r\n"),
            "/long" => {
                let fill = "x".repeat(3000);
                part(&format!("--frame\r\nX-Fill: {fill}\r\nContent-Type: image/jpeg\r\n\r\n"), &image, "\r\n")
            }
            "/short" => {
                part("--frame\r\nContent-Type: image/jpeg\r\n\r\n", &abbreviated((number * 20 % 200) as u8), "\r\n")
            }
            "/twice" => part("--frame\r\n--frame\r\nContent-Type: image/jpeg\r\n\r\n", &image, "\r\n"),
            _ => image,
        };
        socket.write_all(&bytes)?;
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The whole images of so many seconds of a motion JPEG stream.
fn images(answer: &mut Answer, time: Duration) -> Vec<Vec<u8>> {
    let mimetype = answer.header("content-type").unwrap().to_owned();
    let bytes = answer.collect(time);
    let parts = multipart::parts(&mimetype, &bytes);
    parts.iter().for_each(|part| drop(media::picture(part)));
    parts.into_iter().map(<[u8]>::to_vec).collect()
}

fn of(server: &Server, list: &str, name: &str) -> serde_json::Value {
    state::entry(&state::state(server), list, name).clone()
}

#[test]
fn cameras_on_the_web_are_read_however_they_delimit_their_images() {
    let camera = Camera::start();
    let ways = ["plain", "late", "noblank", "lies", "long", "twice", "bare"];
    let feeds: Vec<_> = ways.map(|way| format!("  {way}: {{url: 'http://{}/{way}'}}\n", camera.address)).into();
    let streams: Vec<_> = ways.map(|way| format!("  {way}.mjpeg: {{feed: {way}}}\n")).into();
    let yaml =
        format!("feeds:\n{}streams:\n{}  coded.ts: {{feed: late, video: {H264}}}\n", feeds.concat(), streams.concat());
    let server = Server::start(&yaml);
    for way in ways {
        let mut answer = server.get(&format!("/{way}.mjpeg"));
        let found = images(&mut answer, secs(3));
        assert!((10..=32).contains(&found.len()), "{way}: {} images in 3 s", found.len());
        assert!(found.windows(2).all(|pair| pair[0] != pair[1]), "{way}: an image came twice");
        assert_eq!(server.get(&format!("/{way}.mjpeg/pic")).status, 200, "{way}");
    }
    let mut answer = server.get("/coded.ts");
    answer.piece(SOON);
    assert_eq!(media::codecs(&ts::trim(&answer.collect(secs(2)))), ["h264"]);
}

#[test]
fn an_address_with_one_image_is_asked_again_at_a_sane_pace() {
    let camera = Camera::start();
    let server = Server::start(&format!(
        "
        feeds: {{cam: {{url: 'http://{}/still'}}}}
        streams: {{cam.mjpeg: {{feed: cam}}, cam.ts: {{feed: cam, video: {H264}}}}}
        ",
        camera.address
    ));
    let mut answer = server.get("/cam.mjpeg");
    let found = images(&mut answer, secs(5));
    let asked = camera.stills.load(Ordering::Relaxed);
    assert!((4..=11).contains(&asked) && found.len() + 2 >= asked, "{} images of {asked} requests in 5 s", found.len());
    server.get("/cam.ts").piece(SOON);
    drop(answer);
    // Nobody watches: the camera is left alone.
    state::wait_for(&server, "feeds", "cam", |feed| feed["state"] == "idle");
    let after = camera.stills.load(Ordering::Relaxed);
    assert!(holds_for(secs(2), || camera.stills.load(Ordering::Relaxed) == after));
}

/// An ffmpeg that writes a moving frame in real time in this codec and format.
fn encoder(codec: &str, format: &str) -> String {
    format!(
        "[ffmpeg, -v, error, -re, -f, lavfi, -i, 'testsrc=s=320x240:r=25', -c:v, {codec}, -g, '25', -bf, '0', -pix_fmt, yuv420p, \
         -f, {format}, '-']"
    )
}

#[test]
fn bare_video_of_a_program_is_served_as_any_other() {
    if !have("ffmpeg") {
        return;
    }
    for (codec, format, name) in
        [("libx264", "h264", "h264"), ("mpeg2video", "mpeg2video", "mpeg2video"), ("libx265", "hevc", "hevc")]
    {
        let yaml = format!(
            "feeds: {{pi: {{command: {}}}}}\nstreams: {{pi.ts: {{feed: pi}}, pi.mkv: {{feed: pi}}}}\n",
            encoder(codec, format)
        );
        let server = Server::start(&yaml);
        // The first viewer gets what the second one does.
        for path in ["/pi.ts?header=1&keyframe=1", "/pi.ts", "/pi.mkv?header=1&keyframe=1"] {
            let mut answer = server.get(path);
            assert_eq!(answer.status, 200, "{path} {name}");
            answer.piece(SOON);
            let bytes = answer.collect(secs(3));
            if path.contains(".ts") {
                assert!(bytes.len() > 188 && bytes.contains(&0x47), "{path} {name}");
                assert_eq!(media::codecs(&ts::trim(&bytes)), [name], "{path}");
            }
        }
        let mut still = server.get("/pi.ts/pic");
        assert_eq!(still.status, 200, "{name}");
        assert_eq!(media::picture(&still.rest(SOON)).width(), 320);
    }
}

#[test]
fn bare_frames_are_shown_in_their_order() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let live = |codec: &str, format: &str| {
        format!(
            "ffmpeg -v error -re -f lavfi -i testsrc=s=320x240:r=25 -c:v {codec} -g 25 -bf 2 -b:v 400k -pix_fmt yuv420p -f {format} -"
        )
    };
    let file = launch.folder().join("film.h264");
    let film =
        ["-v", "error", "-f", "lavfi", "-i", "testsrc=s=320x240:r=25:d=20", "-c:v", "libx264", "-bf", "2", "-g", "25"];
    let film = Command::new("ffmpeg").args(film).args(["-pix_fmt", "yuv420p", "-f", "h264"]).arg(&file).status();
    assert!(film.unwrap().success());
    let server = launch
        .with(&format!(
            "
            feeds:
              avc: {{command: {}}}
              mpeg: {{command: {}}}
              film: {{file: film.h264, loop: true}}
            streams:
              avc.ts: {{feed: avc}}
              mpeg.ts: {{feed: mpeg}}
              film.ts: {{feed: film}}
              again.ts: {{feed: avc, video: {H264}}}
            ",
            live("libx264 -preset ultrafast", "h264"),
            live("mpeg2video", "mpeg2video"),
        ))
        .start();
    for name in ["avc", "mpeg", "film", "again"] {
        let mut answer = server.get(&format!("/{name}.ts"));
        answer.piece(SOON);
        // Behind the first group, of which nobody knows yet how far frames are apart.
        answer.collect(secs(2));
        let bytes = ts::trim(&answer.collect(secs(3)));
        let times: Vec<f64> = shown(&bytes);
        assert!(times.len() > 40, "{name}: {} frames", times.len());
        // A player gets each frame at its time: none twice, and those in another order than that of their display would be late
        // or early in every group. Where the machine made the command wait, a step is longer.
        let steps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let uneven = steps.iter().filter(|step| !(0.02..0.06).contains(*step)).count();
        assert!(steps.iter().all(|step| *step > 0.001) && uneven <= steps.len() / 8, "{name}: {steps:?}");
    }
}

/// When the frames of a stream are shown, as a decoder gives them.
fn shown(bytes: &[u8]) -> Vec<f64> {
    media::measure(bytes, "v", "signalstats", "lavfi.signalstats.YAVG").into_iter().map(|(time, _)| time).collect()
}

#[test]
fn what_a_name_promises_comes_whatever_stands_in_front_of_the_program() {
    if !have("ffmpeg") {
        return;
    }
    let plain = "ffmpeg -v error -re -f lavfi -i testsrc=s=320x240:r=25 -c:v libx264 -preset ultrafast -g 25 -pix_fmt yuv420p -f mpegts -";
    for command in [
        format!("[nice, {}]", plain.replace(' ', ", ")),
        format!("[env, A=1, {}]", plain.replace(' ', ", ")),
        shell(plain),
    ] {
        let yaml = format!(
            "feeds: {{cam: {{command: {command}}}}}\nstreams: {{cam.mkv: {{feed: cam}}, cam.ts: {{feed: cam}}}}\n"
        );
        let server = Server::start(&yaml);
        for _ in 0..2 {
            let mut answer = server.get("/cam.mkv?header=1&keyframe=1");
            assert!(answer.take(1000, SOON).starts_with(&[0x1a, 0x45, 0xdf, 0xa3]), "{command}");
            let mut answer = server.get("/cam.ts?header=1&keyframe=1");
            assert_eq!(answer.take(1000, SOON)[0], 0x47, "{command}");
        }
        // What is in it already is handed on as it is: nothing runs for it.
        let tracks = state::wait_for(&server, "streams", "cam.ts", |stream| stream["container"] == "ts");
        assert_eq!(tracks["encoding"], "copy");
    }
}

/// A transport stream of some seconds with or without sound, whose clock begins at this second.
fn part(file: &Path, seconds: u32, begin: u32, has_sound: bool) {
    let picture = format!("testsrc=s=320x240:r=25:d={seconds}");
    let tone = format!("sine=r=48000:d={seconds}");
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "error", "-f", "lavfi", "-i", &picture]);
    if has_sound {
        command.args(["-f", "lavfi", "-i", &tone, "-c:a", "aac"]);
    }
    command.args(["-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0", "-pix_fmt", "yuv420p"]);
    command.args(["-output_ts_offset", &begin.to_string(), "-muxdelay", "0", "-f", "mpegts"]);
    assert!(command.arg(file).status().unwrap().success());
}

#[test]
fn sound_that_comes_later_is_there_for_who_comes_then_and_ends_nobody() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let (silent, loud) = (launch.folder().join("silent.ts"), launch.folder().join("loud.ts"));
    part(&silent, 5, 10, false);
    part(&loud, 15, 15, true);
    let play = |file: &Path| {
        format!("ffmpeg -v error -re -copyts -i {} -c copy -mpegts_copyts 1 -muxdelay 0 -f mpegts -", file.display())
    };
    let command = shell(&format!("{}; {}; sleep 60", play(&silent), play(&loud)));
    let server = launch
        .with(&format!("feeds: {{cam: {{command: {command}}}}}\nstreams: {{cam.mkv: {{feed: cam, video: {H264}}}}}\n"))
        .start();
    thread::scope(|scope| {
        let first = scope.spawn(|| server.get("/cam.mkv?header=1&keyframe=1").collect(secs(14)));
        wait_until("sound is there", SOON, || {
            let feed = of(&server, "feeds", "cam");
            feed["tracks"].as_array().is_some_and(|tracks| tracks.len() == 2)
        });
        wait_until("a viewer has sound", SOON, || {
            let mut answer = server.get("/cam.mkv?header=1&keyframe=1");
            media::codecs(&answer.collect(secs(1))).len() == 2
        });
        let bytes = first.join().unwrap();
        let times = media::packet_times(&bytes, "v");
        let span = times.last().unwrap() - times[0];
        assert!(span > 11.0 && times.windows(2).all(|pair| pair[1] - pair[0] < 1.0), "{span} s of video in 14 s");
        assert_eq!(media::codecs(&bytes), ["h264"]);
    });
    assert_eq!(server.log.count("reason=\"stream ended\""), 0, "{}", server.log.text());
}

#[test]
fn a_file_is_played_in_its_time_whatever_its_clock_does() {
    if !have("ffmpeg") {
        return;
    }
    let launch = Launch::bare();
    let plain = launch.folder().join("plain.ts");
    part(&plain, 6, 10, true);
    let bytes = fs::read(&plain).unwrap();
    let change = |name: &str, change: &dyn Fn(usize, &mut [u8])| {
        let mut bytes = bytes.clone();
        bytes.chunks_exact_mut(188).enumerate().for_each(|(number, raw)| change(number, raw));
        fs::write(launch.folder().join(name), bytes).unwrap();
    };
    let has_pcr = |raw: &[u8]| raw[3] & 0x20 != 0 && raw[4] >= 7 && raw[5] & 0x10 != 0;
    change("nopcr.ts", &|_, raw| {
        if has_pcr(raw) {
            raw[5] &= !0x10;
            raw[6..12].fill(0xff);
        }
    });
    // The clock is an hour off, and runs wild.
    change("wildpcr.ts", &|number, raw| {
        if has_pcr(raw) {
            raw[6] = raw[6].wrapping_add((number % 200) as u8);
        }
    });
    let parts = [fs::read(launch.folder().join("nopcr.ts")).unwrap(), bytes].concat();
    fs::write(launch.folder().join("again.ts"), parts).unwrap();
    let yaml = ["nopcr", "wildpcr", "again"].map(|name| {
        (format!("  {name}: {{file: {name}.ts, loop: true}}\n"), format!("  {name}.ts: {{feed: {name}}}\n"))
    });
    let (feeds, streams): (Vec<_>, Vec<_>) = yaml.into_iter().unzip();
    let server = launch.with(&format!("feeds:\n{}streams:\n{}", feeds.concat(), streams.concat())).start();
    for name in ["nopcr", "wildpcr", "again"] {
        let mut answer = server.get(&format!("/{name}.ts?header=1&keyframe=1"));
        answer.piece(SOON);
        let time = if name == "again" { 9 } else { 4 };
        let times = media::packet_times(&ts::trim(&answer.collect(secs(time))), "v");
        let span = times.last().unwrap() - times[0];
        let ratio = span / time as f64;
        assert!((0.7..1.3).contains(&ratio), "{name}: {span} s in {time} s");
        assert!(times.windows(2).all(|pair| (0.0..0.5).contains(&(pair[1] - pair[0]))), "{name}: {times:?}");
    }
}

#[test]
fn one_image_as_a_file_is_shown_at_a_sane_pace() {
    let launch = Launch::bare();
    fs::write(launch.folder().join("one.jpg"), image(120)).unwrap();
    let film: Vec<u8> = (0..50u8).flat_map(|number| image(number * 5)).collect();
    fs::write(launch.folder().join("film.mjpeg"), film).unwrap();
    let server = launch
        .with("feeds: {one: {file: one.jpg, loop: true}, film: {file: film.mjpeg, loop: true}}\nstreams: {one.mjpeg: {feed: one}, film.mjpeg: {feed: film}}\n")
        .start();
    for path in ["/one.mjpeg", "/film.mjpeg"] {
        let found = images(&mut server.get(path), secs(4));
        assert!((20..=130).contains(&found.len()), "{path}: {} images in 4 s", found.len());
        assert_eq!(server.get(&format!("{path}/pic")).status, 200);
    }
}

/// The file is read again for each image: a stream that starts between two of them waits for the next one.
#[test]
fn a_looped_image_is_there_whenever_a_viewer_comes() {
    let launch = Launch::bare();
    fs::write(launch.folder().join("one.jpg"), image(120)).unwrap();
    let server = launch.with("feeds: {one: {file: one.jpg, loop: true}}\nstreams: {one.mjpeg: {feed: one}}\n").start();
    for _ in 0..20 {
        server.get("/one.mjpeg").piece(SOON);
        assert_eq!(server.get("/one.mjpeg/pic").status, 200);
    }
    assert_eq!(server.log.count("no feed has a track"), 0, "{}", server.log.text());
}

#[test]
fn what_has_no_times_comes_at_the_rate_that_is_given() {
    let camera = Camera::start();
    let launch = Launch::bare();
    fs::write(launch.folder().join("one.jpg"), image(120)).unwrap();
    let film: Vec<u8> = (0..8u8).flat_map(|number| image(number * 20)).collect();
    fs::write(launch.folder().join("film.mjpeg"), film).unwrap();
    let server = launch
        .with(&format!(
            "
            feeds:
              slow: {{file: one.jpg, loop: true, fps: 2}}
              film: {{file: film.mjpeg, loop: true, fps: 8}}
              still: {{url: 'http://{0}/still', fps: 8}}
              stream: {{url: 'http://{0}/plain', fps: 2}}
            streams:
              slow.mjpeg: {{feed: slow}}
              film.mjpeg: {{feed: film}}
              still.mjpeg: {{feed: still}}
              stream.mjpeg: {{feed: stream}}
            ",
            camera.address
        ))
        .start();
    // In 5 s, with the start: images at 2 a second, at 8 a second over the end of the film, and by 8 requests a second.
    for (name, expect) in [("slow", 6..=12), ("film", 26..=44), ("still", 20..=44)] {
        let found = images(&mut server.get(&format!("/{name}.mjpeg")), secs(5));
        assert!(expect.contains(&found.len()), "{name}: {} images in 5 s", found.len());
    }
    // What comes in its own time does, and the log says that the rate is of no use.
    let found = images(&mut server.get("/stream.mjpeg"), secs(3));
    assert!(found.len() >= 10, "{} images in 3 s", found.len());
    server.log.wait("fps is not used: what comes has times of its own", SOON);
}

#[test]
fn a_slow_camera_is_encoded_without_delay() {
    let launch = Launch::bare();
    let file = launch.folder().join("one.jpg");
    fs::write(&file, image(120)).unwrap();
    let command = shell(&format!("while cat {}; do sleep 1; done", file.display()));
    let slow = |rate: &str| PICTURE.replace("framerate=25/1", &format!("framerate={rate}"));
    let server = launch
        .with(&format!(
            "
            feeds:
              cam: {{command: {command}, mode: continuous}}
              one: {{pipeline: '{}', mode: continuous}}
              half: {{pipeline: '{}', mode: continuous}}
            streams:
              cam.ts: {{feed: cam, video: {H264}}}
              one.webm: {{feed: one, video: {{codec: vp8}}}}
              one.mjpeg: {{feed: one, video: {{codec: mjpeg}}}}
              half.mp4: {{feed: half, video: {H264}}}
            ",
            slow("1/1"),
            slow("1/2")
        ))
        .start();
    let names = ["cam.ts", "one.webm", "one.mjpeg", "half.mp4"];
    thread::scope(|scope| {
        for name in names {
            let server = &server;
            scope.spawn(move || {
                let mut answer = server.get(&format!("/{name}?header=1&keyframe=1"));
                answer.piece(SOON);
                answer.collect(secs(6));
            });
        }
    });
    for name in names {
        let stream = of(&server, "streams", name);
        let late = stream["capture_latency"]["p50_seconds"].as_f64();
        assert!(late < Some(0.4) && late.is_some(), "{name}: {stream:#}");
    }
}

/// A JPEG image without its Huffman tables, as USB cameras send it.
fn abbreviated(grey: u8) -> Vec<u8> {
    let whole = image(grey);
    let (mut at, mut out) = (2, whole[..2].to_vec());
    // Segments up to the start of the scan.
    while whole[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([whole[at + 2], whole[at + 3]]));
        if whole[at + 1] != 0xc4 {
            out.extend_from_slice(&whole[at..end]);
        }
        at = end;
    }
    out.extend_from_slice(&whole[at..]);
    out
}

#[test]
fn images_without_tables_are_completed_for_all() {
    assert!(image::load_from_memory(&abbreviated(99)).is_err());
    let camera = Camera::start();
    let launch = Launch::bare();
    let film: Vec<u8> = (0..20u8).flat_map(|number| abbreviated(number * 10)).collect();
    fs::write(launch.folder().join("film.mjpeg"), &film).unwrap();
    let one = launch.folder().join("one.jpg");
    fs::write(&one, abbreviated(120)).unwrap();
    let command = shell(&format!("while cat {}; do sleep 0.1; done", one.display()));
    let server = launch
        .with(&format!(
            "
            feeds:
              usb: {{command: {command}}}
              film: {{file: film.mjpeg, loop: true, fps: 10}}
              web: {{url: 'http://{}/short'}}
            streams:
              usb.mjpeg: {{feed: usb}}
              film.mjpeg: {{feed: film}}
              web.mjpeg: {{feed: web}}
              usb.ts: {{feed: usb, video: {H264}}}
            ",
            camera.address
        ))
        .start();
    for path in ["/usb.mjpeg", "/film.mjpeg", "/web.mjpeg"] {
        // Each of them decodes.
        let found = images(&mut server.get(path), secs(2));
        assert!(found.len() >= 5, "{path}: {}", found.len());
        media::picture(&server.get(&format!("{path}/pic")).rest(SOON));
    }
    let mut answer = server.get("/usb.ts");
    answer.piece(SOON);
    assert_eq!(media::codecs(&ts::trim(&answer.collect(secs(2)))), ["h264"]);
}

#[test]
fn sizes_and_channels_that_an_encoder_lacks_are_fitted() {
    let server = Server::start(&format!(
        "
        feeds:
          odd: {{pipeline: '{}'}}
          surround: {{pipeline: 'audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=6,channel-mask=(bitmask)0x3f ! queue'}}
        streams:
          odd.ts: {{feed: odd, video: {H264}}}
          small.webm: {{feed: odd, video: {{codec: vp8}}}}
          mpeg.ts: {{feed: odd, video: {{codec: mpeg2}}}}
          images.mjpeg: {{feed: odd, video: {{codec: mjpeg}}}}
          refused.bin: {{feed: odd, container: raw, pipeline: 'video. ! videoconvert ! avenc_h263p ! avimux'}}
          own.ts: {{feed: odd, pipeline: 'video. ! videoconvert ! x264enc tune=zerolatency speed-preset=ultrafast ! mpegtsmux'}}
          a.mp3: {{feed: surround, audio: {{codec: mp3}}}}
        ",
        PICTURE.replace("width=320,height=240", "width=321,height=241")
    ));
    for path in ["/small.webm", "/mpeg.ts", "/images.mjpeg"] {
        let mut answer = server.get(path);
        let bytes = [answer.piece(SOON), answer.collect(secs(2))].concat();
        let bytes = if path.ends_with(".ts") { ts::trim(&bytes) } else { bytes };
        let heights = media::heights(&bytes);
        assert!(
            heights.iter().all(|height| (240..=241).contains(height)) && !heights.is_empty(),
            "{path}: {heights:?}"
        );
    }
    // An encoder that has some sizes only: the reason has the size.
    let viewer = http::ask(server.address(), "/refused.bin");
    server.log.wait("avenc_h263p: .*with frames of 321x241", SOON);
    drop(viewer);
    for path in ["/odd.ts", "/own.ts"] {
        let mut answer = server.get(path);
        answer.piece(SOON);
        assert_eq!(media::heights(&ts::trim(&answer.collect(secs(2)))), [240], "{path}");
    }
    server.get("/a.mp3").piece(SOON);
    server.log.wait("audio of 6 channels is mixed to stereo", SOON);
}
