//! Which session a datagram is for, on the one port of all (RFC 7983): STUN requests by the name of their ICE session, all else by
//! the address that a request of the session came from. Pure.

use std::{collections::HashMap, net::SocketAddr};

/// Most addresses of one session: those of its candidates.
const MAX_ADDRESSES: usize = 16;
/// STUN: the cookie (RFC 8489, section 5), and the attribute with the name.
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
/// With which a client chooses a way (RFC 8445, section 7.1.2).
const USE_CANDIDATE: u16 = 0x0025;

/// The type of such a record (RFC 5246, section 6.2.1).
const APPLICATION_DATA: u8 = 23;

/// The number of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// Where a datagram comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source {
    /// The address of the client.
    pub address: SocketAddr,
    /// It came over a connection of TCP.
    pub is_tcp: bool,
}

/// The sessions by names and addresses.
#[derive(Debug, Default)]
pub struct Mux {
    names: HashMap<String, SessionId>,
    addresses: HashMap<Source, SessionId>,
    /// In the order in which they came.
    sessions: HashMap<SessionId, Known>,
}

#[derive(Debug, Default)]
struct Known {
    names: Vec<String>,
    addresses: Vec<Source>,
}

impl Mux {
    /// A session has this name from now on, beside those that it has had.
    pub fn add(&mut self, session: SessionId, name: &str) {
        self.names.insert(name.to_owned(), session);
        let known = self.sessions.entry(session).or_default();
        known.names.push(name.to_owned());
        // A session that is renewed repeatedly keeps the newest two.
        if known.names.len() > 2 {
            self.names.remove(&known.names.remove(0));
        }
    }

    /// A session is gone.
    pub fn remove(&mut self, session: SessionId) {
        let Some(known) = self.sessions.remove(&session) else { return };
        for name in known.names {
            self.names.remove(&name);
        }
        for address in known.addresses {
            if self.addresses.get(&address) == Some(&session) {
                self.addresses.remove(&address);
            }
        }
    }

    /// The session that a datagram is for.
    pub fn route(&mut self, source: Source, datagram: &[u8]) -> Option<SessionId> {
        let Some(name) = ice_name(datagram) else { return self.addresses.get(&source).copied() };
        let session = *self.names.get(name)?;
        // An address may have been another session's.
        if self.addresses.insert(source, session) != Some(session)
            && let Some(known) = self.sessions.get_mut(&session)
        {
            known.addresses.push(source);
            if known.addresses.len() > MAX_ADDRESSES {
                let oldest = known.addresses.remove(0);
                if self.addresses.get(&oldest) == Some(&session) {
                    self.addresses.remove(&oldest);
                }
            }
        }
        Some(session)
    }
}

/// Whether a datagram is a STUN message.
pub fn is_stun(datagram: &[u8]) -> bool {
    matches!(datagram, [0..=3, _, _, _, cookie @ ..] if cookie.starts_with(&COOKIE))
}

/// Whether it is a record of DTLS 1.2 with data: what data channels consist of.
pub fn is_application_data(datagram: &[u8]) -> bool {
    datagram.first() == Some(&APPLICATION_DATA)
}

/// Whether it is a packet of RTP or RTCP.
pub fn is_media(datagram: &[u8]) -> bool {
    matches!(datagram.first(), Some(128..=191))
}

/// Whether it is a request with which the client chooses the way that it came.
pub fn nominates(datagram: &[u8]) -> bool {
    datagram.starts_with(&[0, 1]) && attribute(datagram, USE_CANDIDATE).is_some()
}

/// Whether it is the response to a request that was valid.
pub fn is_success(datagram: &[u8]) -> bool {
    datagram.starts_with(&[1, 1]) && is_stun(datagram)
}

/// The number of a request, which its response has as well (RFC 8489, section 5).
pub type Transaction = [u8; 12];

/// That of a STUN message.
pub fn transaction(datagram: &[u8]) -> Option<Transaction> {
    let message = Some(datagram).filter(|datagram| is_stun(datagram))?;
    message.get(8..20)?.try_into().ok()
}

/// The name of our ICE session in a STUN request: the first half of its `USERNAME`.
fn ice_name(datagram: &[u8]) -> Option<&str> {
    std::str::from_utf8(attribute(datagram, USERNAME)?).ok()?.split(':').next()
}

/// The value of an attribute of a STUN message.
fn attribute(datagram: &[u8], wanted: u16) -> Option<&[u8]> {
    if !is_stun(datagram) {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([*datagram.get(2)?, *datagram.get(3)?]));
    let mut rest = datagram.get(20..20 + length)?;
    loop {
        let (head, after) = rest.split_first_chunk::<4>()?;
        let [kind, length] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
        let length = usize::from(length);
        if kind == wanted {
            return after.get(..length);
        }
        rest = after.get(length.next_multiple_of(4)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(name: &str) -> Vec<u8> {
        let mut attributes = vec![0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        attributes.extend([0, 6, 0, name.len() as u8]);
        attributes.extend(name.as_bytes());
        attributes.resize(attributes.len().next_multiple_of(4), 0);
        let mut bytes = vec![0, 1];
        bytes.extend((attributes.len() as u16).to_be_bytes());
        bytes.extend(COOKIE);
        bytes.extend([0; 12]);
        bytes.extend(attributes);
        bytes
    }

    fn address(port: u16) -> Source {
        Source { address: SocketAddr::from(([192, 0, 2, 1], port)), is_tcp: port == 9 }
    }

    #[test]
    fn requests_go_by_their_name_and_all_else_by_its_address() {
        let (mut mux, one, two) = (Mux::default(), SessionId(1), SessionId(2));
        mux.add(one, "first");
        mux.add(two, "second");
        let media = [0x80; 40];
        assert_eq!(mux.route(address(1), &media), None);
        assert_eq!(mux.route(address(1), &request("first:peer")), Some(one));
        assert_eq!(mux.route(address(1), &media), Some(one));
        assert_eq!(mux.route(address(1), &request("third:peer")), None);
        // Another session from the same address.
        assert_eq!(mux.route(address(1), &request("second:peer")), Some(two));
        assert_eq!(mux.route(address(1), &media), Some(two));
        mux.remove(one);
        assert_eq!(mux.route(address(1), &media), Some(two));
        assert_eq!(mux.route(address(2), &request("first:peer")), None);
        mux.remove(two);
        assert_eq!(mux.route(address(1), &media), None);
        assert!(mux.names.is_empty() && mux.addresses.is_empty() && mux.sessions.is_empty());
    }

    #[test]
    fn nothing_grows_with_what_a_session_does() {
        let (mut mux, one) = (Mux::default(), SessionId(1));
        for port in 1..500 {
            mux.add(one, &format!("name{port}"));
            assert_eq!(mux.route(address(port), &request(&format!("name{port}:x"))), Some(one));
        }
        assert_eq!((mux.names.len(), mux.addresses.len()), (2, MAX_ADDRESSES));
        assert_eq!(mux.route(address(1), &request("name498:x")), Some(one));
    }

    #[test]
    fn a_client_chooses_a_way_with_a_request() {
        let mut bytes = request("name:peer");
        assert!(!nominates(&bytes) && !is_success(&bytes));
        bytes.extend([0, 0x25, 0, 0]);
        bytes[3] += 4;
        assert!(nominates(&bytes));
        bytes[0] = 1;
        assert!(!nominates(&bytes) && is_success(&bytes));
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(mut bytes: Vec<u8>, is_stun: bool) {
            if is_stun && bytes.len() >= 8 {
                bytes[0] = 0;
                bytes[4..8].copy_from_slice(&COOKIE);
            }
            let mut mux = Mux::default();
            mux.add(SessionId(1), "name");
            let _ = mux.route(address(1), &bytes);
            let _ = nominates(&bytes);
        }
    }
}
