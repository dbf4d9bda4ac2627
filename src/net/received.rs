//! Datagrams that are read many in one call.

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
};

/// Longest datagram that is looked at: more than any path takes.
const MAX_DATAGRAM: usize = 2048;
/// Datagrams that are read in one call.
const TOGETHER: usize = 32;

/// Datagrams that were read in one call.
#[derive(Debug)]
pub struct ReceivedDatagrams {
    buffers: Box<[[u8; MAX_DATAGRAM]; TOGETHER]>,
    headers: MultiHeaders<SockaddrStorage>,
    /// The length and the sender of each.
    received: Vec<(usize, Option<SocketAddr>)>,
}

impl Default for ReceivedDatagrams {
    fn default() -> Self {
        let headers = MultiHeaders::preallocate(TOGETHER, None);
        Self { buffers: Box::new([[0; MAX_DATAGRAM]; TOGETHER]), headers, received: Vec::with_capacity(TOGETHER) }
    }
}

impl ReceivedDatagrams {
    /// Reads the datagrams that are there, as many as there is room for. What was here before is gone. `waits`: until there is one, or for
    /// as long as the socket waits.
    ///
    /// # Errors
    /// `WouldBlock` when there is none, and those of the socket.
    pub fn read(&mut self, socket: impl AsFd, waits: bool) -> io::Result<()> {
        let Self { buffers, headers, received } = self;
        received.clear();
        let flags = if waits { MsgFlags::MSG_WAITFORONE } else { MsgFlags::MSG_DONTWAIT };
        let mut pieces = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let found = recvmmsg(socket.as_fd().as_raw_fd(), headers, pieces.iter_mut(), flags, None)?;
        received.extend(found.map(|message| (message.bytes, message.address.as_ref().and_then(address))));
        Ok(())
    }

    /// The datagrams, each with its sender.
    pub fn datagrams(&self) -> impl Iterator<Item = (&[u8], SocketAddr)> {
        let received = self.buffers.iter().zip(&self.received);
        received.filter_map(|(buffer, (length, peer))| Some((buffer.get(..*length)?, (*peer)?)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.received.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Whether there may be more.
    pub fn is_full(&self) -> bool {
        self.len() == TOGETHER
    }
}

fn address(of: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = of.as_sockaddr_in().map(|address| SocketAddr::from(*address));
    v4.or_else(|| of.as_sockaddr_in6().map(|address| SocketAddr::from(*address)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{net::UdpSocket, time::Duration};

    #[test]
    fn datagrams_are_read_together_with_their_senders() {
        for local in ["127.0.0.1:0", "[::1]:0"] {
            let own = UdpSocket::bind(local).unwrap();
            let senders = [0; 3].map(|_| UdpSocket::bind(local).unwrap());
            let to = own.local_addr().unwrap();
            let mut read = ReceivedDatagrams::default();
            assert_eq!(read.read(&own, false).unwrap_err().kind(), io::ErrorKind::WouldBlock);
            assert!(read.is_empty());
            let mut expect = Vec::new();
            for number in 0..TOGETHER + 3 {
                let (sender, bytes) = (&senders[number % 3], vec![number as u8; 10 + number]);
                sender.send_to(&bytes, to).unwrap();
                expect.push((bytes, sender.local_addr().unwrap()));
            }
            let mut found = Vec::new();
            for is_full in [true, false] {
                read.read(&own, is_full).unwrap();
                assert_eq!(read.is_full(), is_full);
                found.extend(read.datagrams().map(|(bytes, peer)| (bytes.to_vec(), peer)));
            }
            assert_eq!(found, expect);
        }
    }

    #[test]
    fn who_waits_is_woken_by_the_first_one_or_by_time() {
        let (own, sender) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut read = ReceivedDatagrams::default();
        own.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(read.read(&own, true).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        own.set_read_timeout(None).unwrap();
        let to = own.local_addr().unwrap();
        let sending = std::thread::spawn(move || sender.send_to(&[1; 10], to).unwrap());
        read.read(&own, true).unwrap();
        assert_eq!((read.len(), sending.join().unwrap()), (1, 10));
    }
}
