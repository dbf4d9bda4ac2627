//! The cookie of a handshake: the listener keeps nothing of a caller before it has shown that it receives at its address.

use aws_lc_rs::hmac;
use std::{net::SocketAddr, time::Duration};

/// How long a cookie is the same. The one before is good too.
const PERIOD: Duration = Duration::from_secs(60);

/// Makes and checks cookies by a key of this process.
#[derive(Debug)]
pub struct Cookies(hmac::Key);

impl Cookies {
    /// Cookies by a key of these bytes.
    pub fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The cookie of a peer, at this time since any fixed moment.
    pub fn of(&self, peer: SocketAddr, now: Duration) -> u32 {
        self.at(peer, now.as_secs() / PERIOD.as_secs())
    }

    /// Whether a peer has got this cookie lately.
    pub fn is_good(&self, cookie: u32, peer: SocketAddr, now: Duration) -> bool {
        let period = now.as_secs() / PERIOD.as_secs();
        [Some(period), period.checked_sub(1)].into_iter().flatten().any(|period| self.at(peer, period) == cookie)
    }

    fn at(&self, peer: SocketAddr, period: u64) -> u32 {
        let mut text = Vec::with_capacity(32);
        match peer.ip().to_canonical() {
            std::net::IpAddr::V4(address) => text.extend_from_slice(&address.octets()),
            std::net::IpAddr::V6(address) => text.extend_from_slice(&address.octets()),
        }
        text.extend_from_slice(&peer.port().to_be_bytes());
        text.extend_from_slice(&period.to_be_bytes());
        let tag = hmac::sign(&self.0, &text);
        let cookie = tag.as_ref().first_chunk().copied().map_or(0, u32::from_be_bytes);
        // Zero means that there is none.
        cookie.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_peer_and_two_minutes() {
        let (cookies, seconds) = (Cookies::new(b"key"), Duration::from_secs);
        let peer = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let cookie = cookies.of(peer(1), seconds(100));
        assert!(cookies.is_good(cookie, peer(1), seconds(100)) && cookies.is_good(cookie, peer(1), seconds(179)));
        assert!(!cookies.is_good(cookie, peer(1), seconds(180)) && !cookies.is_good(cookie, peer(1), seconds(59)));
        assert!(!cookies.is_good(cookie, peer(2), seconds(100)) && !cookies.is_good(0, peer(1), seconds(100)));
        assert!(!Cookies::new(b"other").is_good(cookie, peer(1), seconds(100)));
    }
}
