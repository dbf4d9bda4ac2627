//! How many datagrams leave a UDP socket in few calls. Nothing waits: what the kernel has no room for is lost on the way, as it may be
//! anywhere else.

use super::{
    Outbox,
    segments::{self, TOGETHER},
};
use std::{
    io::IoSlice,
    net::SocketAddr,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, Ordering},
};

/// Sends datagrams. To be shared by all who send over one socket.
#[derive(Debug)]
pub struct DatagramSender {
    /// Whether the kernel cuts one buffer into many datagrams (UDP GSO).
    can_cut: AtomicBool,
}

impl Default for DatagramSender {
    fn default() -> Self {
        Self { can_cut: AtomicBool::new(true) }
    }
}

impl DatagramSender {
    /// Sends what is in an outbox. Returns how many datagrams are lost.
    pub fn send(&self, socket: impl AsFd, outbox: &Outbox, peer: SocketAddr) -> usize {
        let one_by_one = |datagram: &[u8]| usize::from(!self.send_one(&socket, datagram, peer));
        if !self.can_cut.load(Ordering::Relaxed) {
            return outbox.datagrams().map(one_by_one).sum();
        }
        let group = |(bytes, length): (&[u8], usize)| {
            if bytes.len() <= length {
                return one_by_one(bytes);
            }
            match segments::send(&socket, &[IoSlice::new(bytes)], length, peer) {
                Ok(_) => 0,
                Err(error) if segments::is_unsupported(&error) => {
                    // Of this device or kernel: one by one from now on.
                    self.can_cut.store(false, Ordering::Relaxed);
                    bytes.chunks(length).map(one_by_one).sum()
                }
                Err(_) => bytes.len().div_ceil(length),
            }
        };
        outbox.groups(TOGETHER).map(group).sum()
    }

    /// Sends one datagram; `false` when it is lost.
    pub fn send_one(&self, socket: impl AsFd, datagram: &[u8], peer: SocketAddr) -> bool {
        segments::send_one(&socket, datagram, peer).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::UdpSocket, time::Duration};

    #[test]
    fn each_datagram_arrives_whole() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let peer = receiver.local_addr().unwrap();
        for can_cut in [true, false] {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            let sender = DatagramSender { can_cut: AtomicBool::new(can_cut) };
            let mut outbox = Outbox::default();
            let lengths = [1332, 1332, 1332, 700, 16, 1332];
            for (number, length) in lengths.into_iter().enumerate() {
                outbox.push(|bytes| bytes.extend(vec![number as u8; length]));
            }
            assert_eq!(sender.send(&socket, &outbox, peer), 0);
            let mut buffer = [0; 2000];
            for (number, length) in lengths.into_iter().enumerate() {
                let read = receiver.recv(&mut buffer).unwrap();
                assert_eq!((read, buffer[0], buffer[read - 1]), (length, number as u8, number as u8));
            }
        }
    }

    #[test]
    fn what_cannot_leave_is_counted() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut outbox = Outbox::default();
        (0..3).for_each(|_| outbox.push(|bytes| bytes.extend([0; 100])));
        // A socket of IPv4 reaches no address of IPv6.
        assert_eq!(DatagramSender::default().send(&socket, &outbox, "[::1]:9".parse().unwrap()), 3);
    }
}
