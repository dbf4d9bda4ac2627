//! Many datagrams in one call: the kernel cuts what it is given into datagrams of one length (UDP_SEGMENT, since Linux 4.18).

use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrStorage, sendmsg};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    os::fd::{AsFd, AsRawFd},
};

/// Most datagrams of one call: together they must be shorter than 64 kB.
pub const TOGETHER: usize = 40;

/// Sends `pieces`, one after the other, as datagrams of `length` bytes; the last one may be shorter. The kernel takes all or nothing. Does
/// not wait.
///
/// # Errors
/// `WouldBlock` when there is no room, an error for which [`is_unsupported`] is true, and those of the socket.
pub fn send(socket: &impl AsFd, pieces: &[IoSlice<'_>], length: usize, peer: SocketAddr) -> io::Result<usize> {
    let length = u16::try_from(length).map_err(|_| io::Error::from(nix::Error::EINVAL))?;
    let cut = [ControlMessage::UdpGsoSegments(&length)];
    let to = SockaddrStorage::from(peer);
    Ok(sendmsg(socket.as_fd().as_raw_fd(), pieces, &cut, MsgFlags::MSG_DONTWAIT, Some(&to))?)
}

/// Sends one datagram. Does not wait.
///
/// # Errors
/// `WouldBlock` when there is no room, and those of the socket.
pub fn send_one(socket: &impl AsFd, datagram: &[u8], peer: SocketAddr) -> io::Result<usize> {
    let (pieces, to) = ([IoSlice::new(datagram)], SockaddrStorage::from(peer));
    Ok(sendmsg(socket.as_fd().as_raw_fd(), &pieces, &[], MsgFlags::MSG_DONTWAIT, Some(&to))?)
}

/// Whether this device or kernel does not cut.
pub fn is_unsupported(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(nix::Error::from_raw);
    matches!(number, Some(nix::Error::EIO | nix::Error::EINVAL | nix::Error::EOPNOTSUPP))
}
