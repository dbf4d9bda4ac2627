//! What the kernel takes for datagrams alone that leave many in a call, to compare machines.

use anyhow::Context;
use rustix::time::{ClockId, clock_gettime};
use std::net::UdpSocket;

/// Bytes of a datagram: seven packets of MPEG-TS, and the header of SRT.
const DATAGRAM: usize = 7 * 188 + 16;
/// Datagrams of a call.
const TOGETHER: usize = 16;
/// Calls.
const COUNT: u32 = 5000;

/// Seconds of a processor that one of the datagrams takes. Each call has an empty buffer to fill: to drop would cost less.
///
/// # Errors
/// When there is no socket, or the kernel does not cut what it is given into datagrams.
pub fn calibrate() -> anyhow::Result<f64> {
    let (sender, receiver) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    let length = i32::try_from(DATAGRAM)?;
    nix::sys::socket::setsockopt(&sender, nix::sys::socket::sockopt::UdpGsoSegment, &length)?;
    sender.connect(receiver.local_addr()?)?;
    receiver.set_nonblocking(true)?;
    let (together, mut buffer) = ([0; TOGETHER * DATAGRAM], [0; DATAGRAM]);
    let mut took = 0.0;
    for _ in 0..COUNT {
        let before = used();
        sender.send(&together)?;
        took += used() - before;
        for _ in 0..TOGETHER {
            receiver.recv(&mut buffer).context("a datagram of the calibration is lost")?;
        }
    }
    Ok(took / f64::from(COUNT) / TOGETHER as f64)
}

/// What this thread has taken of a processor.
fn used() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
