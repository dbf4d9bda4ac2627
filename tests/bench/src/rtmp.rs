//! Players and publishers of RTMP, each on a connection of its own.

use crate::{crowd::Taken, mark};
use anyhow::{Context, ensure};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{interval, timeout},
};

/// Bytes of the second and third part of a handshake (Adobe RTMP 1.0, section 5.2).
const PART: usize = 1536;
/// The message stream that servers make first.
const STREAM: u32 = 1;
/// Types of messages.
const COMMAND: u8 = 20;
const VIDEO: u8 = 9;
/// A stream that does not come.
const SILENCE: Duration = Duration::from_secs(10);
/// Pictures a second.
const FPS: u32 = 30;
/// Parameter sets of H.264, baseline, 320x240.
const SPS: [u8; 8] = [0x67, 0x42, 0xc0, 0x1e, 0xda, 0x05, 0x07, 0xe4];
const PPS: [u8; 4] = [0x68, 0xce, 0x38, 0x80];
/// Begins of slices that refer to them, of an IDR picture and of another one (ITU-T H.264, section 7.3.3).
const INTRA: [u8; 3] = [0x65, 0x88, 0x84];
const INTER: [u8; 3] = [0x41, 0x9a, 0x24];
/// Where the content of a picture begins: behind its tag, its length and the begin of its slice.
const CONTENT: usize = 5 + 4 + INTRA.len();

/// Plays `live` to its end.
///
/// # Errors
/// When it is refused or cut off.
pub async fn play(address: SocketAddr, taken: Arc<Taken>) -> anyhow::Result<()> {
    let mut socket = connect(address).await?;
    let play = [string("play"), number(3.0), vec![5], string("live")];
    socket.write_all(&message(COMMAND, 0, STREAM, &play.concat())).await?;
    // Answers are some hundred bytes; what comes after them is media.
    let (mut buffer, mut is_first, mut received) = (vec![0; 64 << 10], true, 0);
    loop {
        let length = socket.read(&mut buffer).await?;
        ensure!(length > 0, "cut off");
        received += length;
        if received > 4096 {
            taken.add(length, &mut is_first);
        }
    }
}

/// Plays a stream that [`publish`] feeds for `window`. Returns how long its first picture took, and how old each picture was on its arrival that
/// was published meanwhile.
///
/// # Errors
/// When it is refused or cut off.
pub async fn watch(address: SocketAddr, name: &str, window: Duration) -> anyhow::Result<(Duration, Vec<Duration>)> {
    let mut socket = connect(address).await?;
    let play = [string("play"), number(3.0), vec![5], string(name)];
    let asked = mark::now();
    socket.write_all(&message(COMMAND, 0, STREAM, &play.concat())).await?;
    let (mut first, mut delays) = (None, Vec::new());
    // What was read before may end within a mark.
    let (mut buffer, mut kept) = (vec![0; 64 << 10], 0);
    while mark::now() < asked + window || first.is_none() {
        let length = timeout(SILENCE, socket.read(&mut buffer[kept..])).await.context("no picture")??;
        ensure!(length > 0, "cut off");
        let (now, end) = (mark::now(), kept + length);
        for published in mark::find(&buffer[..end]) {
            first.get_or_insert(now.saturating_sub(asked));
            if published > asked {
                delays.push(now.saturating_sub(published));
            }
        }
        kept = end.min(mark::LENGTH - 1);
        buffer.copy_within(end - kept..end, 0);
    }
    Ok((first.unwrap_or_default(), delays))
}

/// Publishes H.264 of 320x240 under this name, so many bits a second, with a keyframe every two seconds. No decoder
/// can do anything with the pictures.
///
/// # Errors
/// When it is refused or cut off.
pub async fn publish(address: SocketAddr, name: String, rate: usize, taken: Arc<Taken>) -> anyhow::Result<()> {
    let mut socket = connect(address).await?;
    let publish = [string("publish"), number(3.0), vec![5], string(&name), string("live")];
    socket.write_all(&message(COMMAND, 0, STREAM, &publish.concat())).await?;
    let config = [
        &[0x17, 0, 0, 0, 0, 1, SPS[1], SPS[2], SPS[3], 0xff, 0xe1, 0, SPS.len() as u8][..],
        &SPS,
        &[1, 0, PPS.len() as u8],
        &PPS,
    ];
    socket.write_all(&message(VIDEO, 0, STREAM, &config.concat())).await?;
    let mut picture = vec![0x55; rate / 8 / usize::try_from(FPS)?];
    let length = u32::try_from(picture.len() - 9)?.to_be_bytes();
    picture[5..9].copy_from_slice(&length);
    let mut clock = interval(Duration::from_secs(1) / FPS);
    let mut is_first = true;
    for number in 0_u32.. {
        clock.tick().await;
        let (head, slice) = if number % (2 * FPS) == 0 { (0x17, INTRA) } else { (0x27, INTER) };
        picture[..5].copy_from_slice(&[head, 1, 0, 0, 0]);
        picture[9..CONTENT].copy_from_slice(&slice);
        picture[CONTENT..CONTENT + mark::LENGTH].copy_from_slice(&mark::write(mark::now()));
        socket.write_all(&message(VIDEO, number * 1000 / FPS, STREAM, &picture)).await?;
        taken.add(picture.len(), &mut is_first);
    }
    Ok(())
}

/// Shakes hands and makes a message stream.
async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    socket.write_all(&[&[3][..], &[0; PART]].concat()).await?;
    let mut answer = vec![0; 1 + 2 * PART];
    socket.read_exact(&mut answer).await?;
    socket.write_all(&answer[1..=PART]).await?;
    let connect = [string("connect"), number(1.0), object(&[("app", "live"), ("tcUrl", "rtmp://localhost/live")])];
    let create = [string("createStream"), number(2.0), vec![5]];
    for command in [connect.concat(), create.concat()] {
        socket.write_all(&message(COMMAND, 0, 0, &command)).await?;
    }
    Ok(socket)
}

/// A message in one chunk, or in several of the size that holds before another one is set.
fn message(kind: u8, time: u32, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let time = time.to_be_bytes();
    let mut bytes = vec![3, time[1], time[2], time[3], length[1], length[2], length[3], kind];
    bytes.extend(stream.to_le_bytes());
    for (place, part) in body.chunks(128).enumerate() {
        if place > 0 {
            bytes.push(0xc3);
        }
        bytes.extend(part);
    }
    bytes
}

fn name(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap_or_default().to_be_bytes()[..], text.as_bytes()].concat()
}

fn string(text: &str) -> Vec<u8> {
    [vec![2], name(text)].concat()
}

fn number(value: f64) -> Vec<u8> {
    [&[0][..], &value.to_be_bytes()].concat()
}

fn object(members: &[(&str, &str)]) -> Vec<u8> {
    let members = members.iter().flat_map(|(key, value)| [name(key), string(value)]);
    [vec![3], members.collect::<Vec<_>>().concat(), vec![0, 0, 9]].concat()
}
