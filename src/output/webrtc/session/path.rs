//! The way that media takes: str0m knows which pair of candidates is nominated (RFC 8445, section 8) but does not say it, so that it is
//! read from what passes. Pure.

use crate::output::webrtc::mux;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// For so long after a check of a way another one is not taken in its place: over TCP in place of UDP where the client chooses, and any
/// where we do.
const PREFERRED: Duration = Duration::from_secs(5);

/// Where media is sent: the way that the side has chosen which makes the offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Path {
    /// Over UDP, or framed over a connection of TCP.
    pub is_tcp: bool,
    /// To whom.
    pub destination: SocketAddr,
}

/// Who chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The client, by a check with `USE-CANDIDATE`.
    Theirs,
    /// We do.
    Ours,
}

/// The ways of a session.
#[derive(Debug)]
pub struct Ways {
    choice: Choice,
    path: Option<(Path, Instant)>,
    /// Where our newest check with `USE-CANDIDATE` went, and its number.
    asked: Option<(Path, mux::Transaction)>,
}

impl Ways {
    /// None yet.
    pub fn new(choice: Choice) -> Self {
        Self { choice, path: None, asked: None }
    }

    /// That which is chosen.
    pub fn path(&self) -> Option<Path> {
        self.path.map(|(path, _)| path)
    }

    /// This datagram, which is no media, is sent.
    pub fn sent(&mut self, path: Path, datagram: &[u8], now: Instant) {
        if self.choice == Choice::Theirs {
            return;
        }
        if mux::nominates(datagram) {
            self.asked = mux::transaction(datagram).map(|transaction| (path, transaction));
        } else if !mux::is_stun(datagram) {
            // The handshake takes the way that is nominated.
            self.path.get_or_insert((path, now));
        }
    }

    /// This datagram came, and was answered if `is_answered`.
    pub fn received(&mut self, path: Path, datagram: &[u8], is_answered: bool, now: Instant) {
        let is_nominated = match self.choice {
            Choice::Theirs => mux::nominates(datagram) && is_answered,
            Choice::Ours => {
                let answered = mux::transaction(datagram).filter(|_| mux::is_success(datagram));
                answered.is_some_and(|transaction| self.asked == Some((path, transaction)))
            }
        };
        let is_worse = |known: Path| match self.choice {
            Choice::Theirs => path.is_tcp && !known.is_tcp,
            Choice::Ours => path != known,
        };
        let is_kept = self.path.is_some_and(|(known, at)| is_worse(known) && now < at + PREFERRED);
        if is_nominated && !is_kept {
            self.path = Some((path, now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stun(kind: [u8; 2], number: u8, nominates: bool) -> Vec<u8> {
        let attribute: &[u8] = if nominates { &[0, 0x25, 0, 0] } else { &[] };
        let length = [0, attribute.len() as u8];
        [&kind[..], &length, &[0x21, 0x12, 0xa4, 0x42], &[number; 12], attribute].concat()
    }

    fn path(number: u8, is_tcp: bool) -> Path {
        Path { is_tcp, destination: SocketAddr::from(([192, 0, 2, number], 1)) }
    }

    #[test]
    fn the_way_is_that_of_the_handshake_until_another_check_succeeds() {
        let (mut ways, begin) = (Ways::new(Choice::Ours), Instant::now());
        let after = |seconds| begin + Duration::from_secs(seconds);
        let (first, second) = (path(1, false), path(2, false));
        ways.sent(first, &stun([0, 1], 1, false), begin);
        assert_eq!(ways.path(), None);
        ways.sent(first, &[22, 0, 0], begin);
        assert_eq!(ways.path(), Some(first));
        // A check that is answered from elsewhere, or was another, says nothing.
        ways.sent(second, &stun([0, 1], 2, true), after(10));
        for (from, answer) in [(first, stun([1, 1], 2, false)), (second, stun([1, 1], 3, false))] {
            ways.received(from, &answer, false, after(10));
            assert_eq!(ways.path(), Some(first));
        }
        ways.received(second, &stun([1, 1], 2, false), false, after(10));
        assert_eq!(ways.path(), Some(second));
        // Of two that are checked in turns one stays.
        ways.sent(first, &stun([0, 1], 4, true), after(12));
        ways.received(first, &stun([1, 1], 4, false), false, after(12));
        assert_eq!(ways.path(), Some(second));
    }

    #[test]
    fn a_client_chooses_by_its_checks_and_udp_is_preferred() {
        let (mut ways, begin) = (Ways::new(Choice::Theirs), Instant::now());
        ways.received(path(1, true), &stun([0, 1], 1, true), false, begin);
        assert_eq!(ways.path(), None, "an invalid check");
        ways.received(path(1, true), &stun([0, 1], 1, true), true, begin);
        ways.received(path(2, false), &stun([0, 1], 1, true), true, begin);
        ways.received(path(1, true), &stun([0, 1], 1, true), true, begin + Duration::from_secs(1));
        assert_eq!(ways.path(), Some(path(2, false)));
        ways.received(path(1, true), &stun([0, 1], 1, true), true, begin + Duration::from_secs(6));
        assert_eq!(ways.path(), Some(path(1, true)));
    }
}
