//! How long viewers wait: from the request to the first decoded picture, and from a picture's capture to its decoding.
//!
//! The source is a camera of raw pictures, each with its number drawn into it as black and white squares. A pipeline of
//! GStreamer decodes them, which begins with the first bytes that it gets, and the numbers are read from the decoded pictures. An
//! encoder of voyandz is in between, so that every container can be had with every length of a group of pictures.

use crate::{
    mark,
    report::{Figures, Table, quantile},
    server::{Server, System},
};
use anyhow::{Context, bail, ensure};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

/// Size of the pictures.
const WIDTH: usize = 640;
const HEIGHT: usize = 360;
/// Pictures a second.
const FPS: u32 = 25;
/// A bit of the number is a square with this side, in two rows: the number, and its complement.
const SIDE: usize = 32;
const BITS: usize = 16;
/// Pictures whose capture is remembered: ten seconds.
const REMEMBERED: usize = 250;
/// Pictures that a viewer decodes for the delay of each.
const WATCHED: usize = 50;
/// Joins are spread over so many seconds at most.
const SPREAD: f64 = 3.0;
/// A picture that is not there by then does not come.
const PATIENCE: Duration = Duration::from_secs(15);
/// The decoder takes this long from its start to its first read; it is not to count.
const DECODER_START: Duration = Duration::from_millis(600);

const H264: &str = "codec: h264, preset: ultrafast, bitrate: 2M";
const AVC: &str = "h264parse ! avdec_h264 max-threads=1";

/// Name, typed keys, demuxer, decoder.
type Container = (&'static str, &'static str, &'static str, &'static str);

/// Containers, the typed keys of their video, and what takes them apart and decodes them.
const CONTAINERS: [Container; 6] = [
    ("ts", H264, "tsdemux", AVC),
    ("mp4", H264, "qtdemux", AVC),
    ("flv", H264, "flvdemux", AVC),
    ("mkv", H264, "matroskademux", AVC),
    ("webm", "codec: vp8, bitrate: 2M", "matroskademux", "vp8dec"),
    ("mjpeg", "codec: mjpeg", "multipartdemux", "jpegdec"),
];

/// A table for each length of the group of pictures, in seconds. Cold joins start the feed; warm ones come while it runs.
pub fn run(gops: &[f64], joins: usize) -> anyhow::Result<Vec<Table>> {
    gops.iter().map(|gop| table(*gop, joins, &CONTAINERS)).collect()
}

/// One join of a few containers.
pub fn short() -> anyhow::Result<Table> {
    table(0.5, 1, &CONTAINERS[..2])
}

fn table(gop: f64, joins: usize, containers: &[Container]) -> anyhow::Result<Table> {
    let camera = Camera::start()?;
    let system = System::Voyandz(configuration(camera.port, gop, containers));
    let mut table = Table::new(format!("group of pictures of {gop} s, {WIDTH}x{HEIGHT}"), &[]);
    for &(container, _, demuxer, decoder) in containers {
        let decoder = format!("{demuxer} ! {decoder}");
        // A fresh server, so that a cold join finds nothing running.
        let mut server = system.start()?;
        let target = format!("/cam.{container}?header=1&keyframe=1");
        let cold = watch(server.address, &target, &decoder, &camera, 1).context(container)?;
        let keeper = Keeper::start(server.address, &target)?;
        let (mut firsts, mut delays) = (Vec::new(), Vec::new());
        for join in 0..joins {
            // Joins are spread over the group of pictures, or over a part of a long one.
            std::thread::sleep(Duration::from_secs_f64(gop.min(SPREAD)) * u32::try_from(join)? / u32::try_from(joins)?);
            let seen = watch(server.address, &target, &decoder, &camera, WATCHED).context(container)?;
            firsts.push(seen.first);
            delays.extend(seen.delays);
        }
        let added = added(&server, container)?;
        drop(keeper);
        server.check()?;
        table.add(
            container,
            Figures::from([
                ("cold first picture ms", quantile(&[cold.first], 0.5)),
                ("warm first picture p50 ms", quantile(&firsts, 0.5)),
                ("warm first picture max ms", quantile(&firsts, 1.0)),
                ("capture to decoded p50 ms", quantile(&delays, 0.5)),
                ("capture to decoded p99 ms", quantile(&delays, 0.99)),
                ("capture to packet p50 ms", added.0 * 1000.0),
                ("packet to socket p50 ms", added.1 * 1000.0),
                ("packet to socket p99 ms", added.2 * 1000.0),
            ]),
        );
    }
    Ok(table)
}

fn configuration(port: u16, gop: f64, containers: &[Container]) -> String {
    let gop = (gop * f64::from(FPS)).round();
    let camera = format!(
        "tcpclientsrc host=127.0.0.1 port={port} do-timestamp=true blocksize={size} ! \
         rawvideoparse format=gray8 width={WIDTH} height={HEIGHT} framerate={FPS}/1 ! videoconvert ! queue name=video",
        size = WIDTH * HEIGHT
    );
    let streams = containers.iter().map(|(container, video, ..)| {
        // Every picture of these is a key picture.
        let gop = if video.contains("mjpeg") { String::new() } else { format!(", gop: {gop}") };
        format!("  cam.{container}: {{feed: cam, container: {container}, video: {{{video}{gop}}}}}\n")
    });
    format!("feeds: {{cam: {{pipeline: '{camera}'}}}}\nstreams:\n{}", streams.collect::<String>())
}

/// What one viewer saw.
struct Seen {
    /// From its request to the first decoded picture.
    first: Duration,
    /// From the capture of each picture to its decoding, without those that were captured before the request.
    delays: Vec<Duration>,
}

/// Joins, and decodes this many pictures that were captured after the request.
fn watch(server: SocketAddr, target: &str, decoder: &str, camera: &Camera, pictures: usize) -> anyhow::Result<Seen> {
    let mut decoder = Decoder::start(decoder)?;
    std::thread::sleep(DECODER_START);
    let asked = mark::now();
    let body = request(server, target)?;
    let ended = body.get_ref().try_clone()?;
    let mut input = decoder.input.take().context("the decoder has no input")?;
    let copy = std::thread::spawn(move || copy_chunks(body, &mut input));
    let result = (|| {
        let mut first = None;
        let mut delays = Vec::new();
        while delays.len() < pictures {
            let picture = decoder.picture()?;
            let now = mark::now();
            let first = *first.get_or_insert(now - asked);
            ensure!(now - asked < PATIENCE + first, "only {} pictures came in time", delays.len());
            let Some(captured) = number(&picture).and_then(|number| camera.captured(number)) else { continue };
            if captured > asked {
                delays.push(now - captured);
            }
        }
        Ok(Seen { first: first.unwrap_or_default(), delays })
    })();
    let _ = ended.shutdown(std::net::Shutdown::Both);
    drop(decoder);
    let _ = copy.join();
    result
}

/// Asks for a stream; what follows is the body.
fn request(server: SocketAddr, target: &str) -> anyhow::Result<BufReader<TcpStream>> {
    let mut socket = TcpStream::connect(server)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.write_all(format!("GET {target} HTTP/1.1\r\nHost: bench\r\n\r\n").as_bytes())?;
    let mut answer = BufReader::new(socket);
    let mut line = String::new();
    answer.read_line(&mut line)?;
    ensure!(line.starts_with("HTTP/1.1 200"), "{target}: {line}");
    while line.trim_end() != "" {
        line.clear();
        answer.read_line(&mut line)?;
    }
    Ok(answer)
}

/// Hands a chunked body on until either side ends (RFC 9112, section 7.1).
fn copy_chunks(mut body: BufReader<TcpStream>, to: &mut ChildStdin) -> anyhow::Result<()> {
    let (mut line, mut chunk) = (String::new(), Vec::new());
    loop {
        line.clear();
        body.read_line(&mut line)?;
        chunk.resize(usize::from_str_radix(line.trim(), 16)? + 2, 0);
        body.read_exact(&mut chunk)?;
        let Some(data @ [_, ..]) = chunk.strip_suffix(b"\r\n") else { return Ok(()) };
        to.write_all(data)?;
    }
}

/// Reads a stream and throws it away, so that it runs.
struct Keeper(TcpStream);

impl Keeper {
    fn start(server: SocketAddr, target: &str) -> anyhow::Result<Self> {
        let mut body = request(server, target)?;
        let socket = body.get_ref().try_clone()?;
        body.read_exact(&mut [0; 1000])?;
        std::thread::spawn(move || std::io::copy(&mut body, &mut std::io::sink()));
        Ok(Self(socket))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.shutdown(std::net::Shutdown::Both);
    }
}

/// A pipeline that turns a stream into grey pictures of the source's size.
struct Decoder {
    child: Child,
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Decoder {
    fn start(text: &str) -> anyhow::Result<Self> {
        let mut command = Command::new("gst-launch-1.0");
        let text = format!("fdsrc fd=0 ! {text} ! videoconvert ! video/x-raw,format=GRAY8 ! fdsink fd=1 sync=false");
        command.arg("-q").args(text.split(' ')).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("gst-launch-1.0")?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("the decoder has no output")?;
        Ok(Self { child, input, output })
    }

    fn picture(&mut self) -> anyhow::Result<Vec<u8>> {
        let mut picture = vec![0; WIDTH * HEIGHT];
        self.output.read_exact(&mut picture).context("no picture comes out of the decoder")?;
        Ok(picture)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends pictures to whoever connects, and knows when it made each of them.
struct Camera {
    port: u16,
    captured: Arc<Mutex<VecDeque<(u16, Duration)>>>,
}

impl Camera {
    fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let captured: Arc<Mutex<VecDeque<_>>> = Arc::default();
        let log = captured.clone();
        // Ends with the program: it has no client by then.
        std::thread::spawn(move || {
            let mut number = 0;
            for client in listener.incoming().map_while(Result::ok) {
                film(client, &mut number, &log);
            }
        });
        Ok(Self { port, captured })
    }

    fn captured(&self, number: u16) -> Option<Duration> {
        let captured = self.captured.lock().ok()?;
        captured.iter().rev().find(|(known, _)| *known == number).map(|(_, at)| *at)
    }
}

fn film(mut client: TcpStream, number: &mut u16, log: &Mutex<VecDeque<(u16, Duration)>>) {
    let mut due = mark::now();
    loop {
        *number = number.wrapping_add(1);
        let picture = draw(*number);
        if let Ok(mut log) = log.lock() {
            log.push_back((*number, mark::now()));
            if log.len() > REMEMBERED {
                log.pop_front();
            }
        }
        if client.write_all(&picture).is_err() {
            return;
        }
        due += Duration::from_secs(1) / FPS;
        std::thread::sleep(due.saturating_sub(mark::now()));
    }
}

/// Where the square of a bit is, in the row of the number or of its complement.
fn square(bit: usize, row: usize) -> (usize, usize) {
    (SIDE + bit * SIDE, HEIGHT / 2 + row * SIDE)
}

/// A picture of noise with a number: what is too easy to encode makes frames that fill no buffer of a decoder.
fn draw(number: u16) -> Vec<u8> {
    let mut state = u64::from(number) + 1;
    let noise = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes().map(|byte| 112 + byte % 32)
    });
    let mut picture: Vec<u8> = noise.take(WIDTH * HEIGHT / 8).flatten().collect();
    for bit in 0..BITS {
        for row in 0..2 {
            let is_white = (number >> bit & 1 == 1) == (row == 0);
            let (left, top) = square(bit, row);
            for line in picture.chunks_exact_mut(WIDTH).skip(top).take(SIDE) {
                line[left..left + SIDE].fill(if is_white { 235 } else { 16 });
            }
        }
    }
    picture
}

/// The number in a picture, unless it is damaged.
fn number(picture: &[u8]) -> Option<u16> {
    let value = |row: usize| {
        (0..BITS).fold(0, |number, bit| {
            let (left, top) = square(bit, row);
            let middle = picture[(top + SIDE / 2) * WIDTH + left + SIDE / 2];
            number | u16::from(middle > 128) << bit
        })
    };
    (value(0) == !value(1)).then(|| value(0))
}

/// Seconds that the server says it added: half of the packets to their making, half and 99 of 100 of the writes.
fn added(server: &Server, container: &str) -> anyhow::Result<(f64, f64, f64)> {
    let mut socket = TcpStream::connect(server.address)?;
    socket.write_all(b"GET /stat.json HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let Some((_, body)) = answer.split_once("\r\n\r\n") else { bail!("no state: {answer}") };
    let state: serde_json::Value = serde_json::from_str(body)?;
    let name = format!("cam.{container}");
    let streams = state["streams"].as_array().context("no streams")?;
    let stream = streams.iter().find(|stream| stream["name"] == name.as_str()).context("no such stream")?;
    let seconds = |figure: &str, part: &str| stream[figure][part].as_f64().unwrap_or(f64::NAN);
    Ok((
        seconds("capture_latency", "p50_seconds"),
        seconds("latency", "p50_seconds"),
        seconds("latency", "p99_seconds"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_drawn() {
        for expected in [0, 1, 0x5a5a, 0x8000, u16::MAX] {
            assert_eq!(number(&draw(expected)), Some(expected));
        }
        assert_eq!(number(&vec![128; WIDTH * HEIGHT]), None);
    }
}
