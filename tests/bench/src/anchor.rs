//! What the machine takes for a datagram there and back, without any server: what round trips through one are to be compared by.

use anyhow::{Context, ensure};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::JoinHandle,
    time::{Duration, Instant},
};

/// Bytes of a datagram: a message of 1,000 bytes in SCTP and DTLS.
const DATAGRAM: usize = 1065;
/// How long a datagram may take.
const SOON: Duration = Duration::from_secs(5);
/// Datagrams that wait for the second thread.
const WAITING: usize = 16;

/// A peer that sends back what it gets, on a processor of its own.
pub struct Echo {
    client: UdpSocket,
    server: SocketAddr,
    threads: Vec<JoinHandle<()>>,
}

impl Echo {
    /// A peer on this processor. A datagram that comes wakes one thread up, which sends it back; or `hands_over` it to another thread.
    ///
    /// # Errors
    /// When there is no socket.
    pub fn start(processor: usize, hands_over: bool) -> anyhow::Result<Self> {
        let (client, socket) = (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
        client.set_read_timeout(Some(SOON))?;
        let (server, back) = (socket.local_addr()?, socket.try_clone()?);
        let on = move |work: Box<dyn FnOnce() + Send>| {
            std::thread::spawn(move || {
                let mut own = CpuSet::new();
                own.set(processor);
                let _ = sched_setaffinity(None, &own);
                work();
            })
        };
        let threads = if hands_over {
            let (sender, receiver) = sync_channel(WAITING);
            vec![on(Box::new(move || hand_over(&socket, &sender))), on(Box::new(move || send_back(&back, &receiver)))]
        } else {
            vec![on(Box::new(move || echo(&socket)))]
        };
        Ok(Self { client, server, threads })
    }

    /// How long each of so many datagrams takes there and back, one after the other.
    ///
    /// # Errors
    /// When one does not come back.
    pub fn round_trips(&self, count: usize) -> anyhow::Result<Vec<Duration>> {
        let (datagram, mut buffer) = ([7; DATAGRAM], [0; 2 * DATAGRAM]);
        let trip = |_| {
            let sent = Instant::now();
            self.client.send_to(&datagram, self.server)?;
            ensure!(self.client.recv(&mut buffer)? == DATAGRAM, "another datagram came");
            Ok(sent.elapsed())
        };
        (0..count).map(trip).collect::<anyhow::Result<_>>().context("echo of datagrams")
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // An empty datagram ends the threads.
        if self.client.send_to(&[], self.server).is_ok() {
            self.threads.drain(..).for_each(|thread| drop(thread.join()));
        }
    }
}

fn echo(socket: &UdpSocket) {
    let mut buffer = [0; 2 * DATAGRAM];
    while let Ok((length @ 1.., client)) = socket.recv_from(&mut buffer) {
        let _ = socket.send_to(buffer.get(..length).unwrap_or_default(), client);
    }
}

fn hand_over(socket: &UdpSocket, to: &SyncSender<(Vec<u8>, SocketAddr)>) {
    let mut buffer = [0; 2 * DATAGRAM];
    while let Ok((length @ 1.., client)) = socket.recv_from(&mut buffer) {
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        if to.send((datagram, client)).is_err() {
            return;
        }
    }
}

fn send_back(socket: &UdpSocket, from: &Receiver<(Vec<u8>, SocketAddr)>) {
    for (datagram, client) in from {
        let _ = socket.send_to(&datagram, client);
    }
}
