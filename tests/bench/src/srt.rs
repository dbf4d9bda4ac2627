//! Players of SRT, each with a socket of its own: they shake hands, acknowledge every 10 ms what has come, and look at nothing else.

use crate::crowd::Taken;
use anyhow::{Context, bail, ensure};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::Semaphore,
    time::{MissedTickBehavior, interval, timeout},
};

/// Handshakes together: a server decides about a few dozen of one address at a time, and refuses others.
static HANDSHAKES: Semaphore = Semaphore::const_new(16);
/// What a player has room for, in packets.
const WINDOW: u32 = 8192;
/// The number of the first packet.
const FIRST: u32 = 7;
/// Our socket: its number may be the same for all, because their addresses differ.
const SOCKET: u32 = 99;
/// How often receivers acknowledge.
const ACKNOWLEDGED: Duration = Duration::from_millis(10);
/// A stream that does not come.
const SILENCE: Duration = Duration::from_secs(10);
/// Buffer of a socket, if the system permits that.
const BUFFER: usize = 4 << 20;
/// Bytes before a payload.
const HEADER: usize = 16;
/// Control packets: the first word.
const CONTROL: u32 = 0x8000_0000;
const ACK: u32 = CONTROL | 2 << 16;
const SHUTDOWN: u32 = CONTROL | 5 << 16;

/// Plays `live` to its end.
///
/// # Errors
/// When it is refused or cut off.
pub async fn play(address: SocketAddr, taken: Arc<Taken>) -> anyhow::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
    socket.connect(address).await?;
    let turn = HANDSHAKES.acquire().await?;
    socket.send(&shake(4, 2, 1, 0, &[])).await?;
    let cookie = answer(&socket, 1).await?[11];
    // The version and the flags of libsrt 1.5.1, and 120 ms for both directions.
    let hello = extension(1, &words(&[0x0001_0501, 0x3f, 120 << 16 | 120]));
    // Words of text are turned around.
    let stream = extension(5, b"evil");
    socket.send(&shake(5, 5, 0xFFFF_FFFF, cookie, &[hello, stream].concat())).await?;
    let peer = answer(&socket, 0xFFFF_FFFF).await?[10];
    drop(turn);

    let mut clock = interval(ACKNOWLEDGED);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut buffer, mut is_first) = ([0; 2048], true);
    let (mut next, mut acknowledged, mut number) = (FIRST, FIRST, 0);
    loop {
        tokio::select! {
            received = timeout(SILENCE, socket.readable()) => received.context("no packet")??,
            _ = clock.tick() => {
                if next != acknowledged {
                    acknowledged = next;
                    number += 1;
                    socket.send(&words(&[ACK, number, 0, peer, next, 1000, 500, WINDOW, 1000, 1000, 1_000_000])).await?;
                }
                continue;
            }
        }
        while let Ok(length) = socket.try_recv(&mut buffer) {
            let first = u32::from_be_bytes(*buffer.first_chunk().context("a short buffer")?);
            ensure!(first != SHUTDOWN, "cut off");
            if first & CONTROL == 0 && length > HEADER {
                // What is lost on the way is lost here, too: it would be sent again otherwise.
                taken.lose(first.saturating_sub(next));
                next = next.max(first + 1);
                taken.add(length - HEADER, &mut is_first);
            }
        }
    }
}

/// Bad handshakes in a second.
pub const BAD: usize = 1000;
/// How many of them are sent together.
const TOGETHER: usize = 10;

/// Sends bad handshakes from one address until `stop`, each kind in turn: requests for a cookie that is not used, a wrong cookie, a stream
/// that there is not, and what is no handshake. Returns how many.
///
/// # Errors
/// When there is no socket, or no answer to the first one.
pub async fn flood(address: SocketAddr, stop: &AtomicBool) -> anyhow::Result<usize> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(address).await?;
    socket.send(&shake(4, 2, 1, 0, &[])).await?;
    let cookie = answer(&socket, 1).await?[11];
    let extensions = [extension(1, &words(&[0x0001_0501, 0x3f, 120 << 16 | 120])), extension(5, b"gnon")].concat();
    let mut clock = interval(Duration::from_secs(1) * TOGETHER as u32 / BAD as u32);
    let (mut sent, mut buffer) = (0, [0; 2048]);
    while !stop.load(Ordering::Relaxed) {
        clock.tick().await;
        for _ in 0..TOGETHER {
            let mut datagram = match sent % 4 {
                0 => shake(4, 2, 1, 0, &[]),
                1 => shake(5, 5, 0xFFFF_FFFF, cookie ^ 1, &extensions),
                2 => shake(5, 5, 0xFFFF_FFFF, cookie, &extensions),
                _ => shake(9, 9, 0xFFFF_FFFF, cookie, &[]),
            };
            // Each is another socket.
            let number = u32::try_from(sent)? + 1000;
            datagram.get_mut(40..44).context("a short handshake")?.copy_from_slice(&number.to_be_bytes());
            socket.send(&datagram).await?;
            sent += 1;
        }
        while socket.try_recv(&mut buffer).is_ok() {}
    }
    Ok(sent)
}

/// A handshake with extensions behind it.
fn shake(version: u32, flags: u32, kind: u32, cookie: u32, extensions: &[u8]) -> Vec<u8> {
    let fixed = [version, flags, FIRST, 1500, WINDOW, kind, SOCKET, cookie, 0, 0, 0, 0];
    [words(&[CONTROL, 0, 0, 0]), words(&fixed), extensions.to_vec()].concat()
}

fn extension(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len() / 4).unwrap_or_default();
    [&kind.to_be_bytes()[..], &length.to_be_bytes(), content].concat()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

/// The words of the handshake that answers, behind a header of four.
async fn answer(socket: &UdpSocket, kind: u32) -> anyhow::Result<[u32; 16]> {
    let mut buffer = [0; 2048];
    let length = timeout(SILENCE, socket.recv(&mut buffer)).await.context("no answer")??;
    ensure!(length >= 64, "an answer of {length} bytes");
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(buffer.chunks_exact(4)) {
        *word = u32::from_be_bytes(bytes.try_into()?);
    }
    // The fixed part follows the header.
    match words[9] {
        found if found == kind => Ok(words),
        refusal => bail!("refused: {refusal}"),
    }
}
