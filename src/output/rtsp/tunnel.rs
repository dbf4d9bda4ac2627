//! RTSP through HTTP, for players behind proxies that let nothing else pass, as QuickTime, ffmpeg and VLC do it: the response to a `GET` has
//! no end and is what the server sends; the body of a `POST` with the same `x-sessioncookie` is what the client sends, in base64.

use crate::{access::Identity, net::ConnectionPermit, net::tls::Transport};
use bytes::BytesMut;
use data_encoding::BASE64;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::{
    io::{ReadHalf, WriteHalf},
    sync::oneshot,
};

/// What precedes all that is sent to the client.
pub const ACCEPTED: &str = "HTTP/1.0 200 OK\r\nServer: voyandz\r\nConnection: close\r\nCache-Control: no-store\r\nPragma: no-cache\r\n\
    Content-Type: application/x-rtsp-tunnelled\r\n\r\n";
/// The response to a `POST` for which there is no `GET`, and to a `GET` whose cookie is in use.
pub const REFUSED: &str = "HTTP/1.0 404 Not Found\r\nServer: voyandz\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// Longest cookie.
const MAX_COOKIE: usize = 128;

/// The client, and its cookie.
type Key = (IpAddr, String);

/// Those that wait for their `POST`. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Tunnels(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// With the number of each.
    waiting: HashMap<Key, (u64, oneshot::Sender<Post>)>,
    number: u64,
}

/// The connection on which a client sends.
#[derive(Debug)]
pub struct Post {
    /// Both sides of it.
    pub halves: (ReadHalf<Transport>, WriteHalf<Transport>),
    /// What was read of its body.
    pub begun: BytesMut,
    /// Who the client is by its certificate.
    pub proved: Option<Identity>,
    /// Whether it is encrypted.
    pub is_tls: bool,
    /// Is held as long as it is connected.
    pub permit: ConnectionPermit,
}

/// A `GET` that waits; it is forgotten when this is dropped.
#[derive(Debug)]
pub struct Waiting {
    tunnels: Tunnels,
    key: Key,
    number: u64,
    post: oneshot::Receiver<Post>,
}

impl Tunnels {
    /// A client has made a `GET`; `None` when another one with this cookie waits.
    pub fn wait(&self, client: IpAddr, cookie: &str) -> Option<Waiting> {
        let key = key(client, cookie)?;
        let (sender, post) = oneshot::channel();
        let mut state = self.lock();
        if state.waiting.contains_key(&key) {
            return None;
        }
        state.number += 1;
        let number = state.number;
        state.waiting.insert(key.clone(), (number, sender));
        Some(Waiting { tunnels: self.clone(), key, number, post })
    }

    /// A client has made a `POST`: who waits for it.
    pub fn find(&self, client: IpAddr, cookie: &str) -> Option<oneshot::Sender<Post>> {
        let key = key(client, cookie)?;
        self.lock().waiting.remove(&key).map(|(_, sender)| sender)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(client: IpAddr, cookie: &str) -> Option<Key> {
    (1..=MAX_COOKIE).contains(&cookie.len()).then(|| (client, cookie.to_owned()))
}

impl Waiting {
    /// Its `POST`; `None` when that has ended already. Cancel-safe.
    pub async fn post(&mut self) -> Option<Post> {
        (&mut self.post).await.ok()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.tunnels.lock();
        // Another one may have come after this one was found.
        if state.waiting.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            state.waiting.remove(&self.key);
        }
    }
}

/// What a client sends by its `POST`.
#[derive(Debug)]
pub struct Body {
    decoder: Decoder,
    /// Of the connection.
    _permit: ConnectionPermit,
}

impl Body {
    /// Nothing of it was read.
    pub fn new(permit: ConnectionPermit) -> Self {
        Self { decoder: Decoder::default(), _permit: permit }
    }

    /// What these bytes stand for, with those before.
    ///
    /// # Errors
    /// When they are not base64. Nothing after them can be read.
    pub fn decode(&mut self, bytes: &[u8]) -> Result<Vec<u8>, NotBase64> {
        self.decoder.decode(bytes)
    }
}

/// Reads base64 in pieces of any size. Clients pad each of their messages.
#[derive(Debug, Default)]
struct Decoder {
    /// Less than four characters.
    begun: Vec<u8>,
}

/// The body of a `POST` is not base64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body of the tunnel is not base64")]
pub struct NotBase64;

impl Decoder {
    fn decode(&mut self, bytes: &[u8]) -> Result<Vec<u8>, NotBase64> {
        let mut text = std::mem::take(&mut self.begun);
        text.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
        let (whole, rest) = text.split_at(text.len() / 4 * 4);
        self.begun = rest.to_vec();
        let mut decoded = Vec::with_capacity(whole.len() / 4 * 3);
        for four in whole.chunks_exact(4) {
            decoded.extend(BASE64.decode(four).map_err(|_| NotBase64)?);
        }
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_post_finds_the_get_of_the_same_client_alone() {
        let (tunnels, own) = (Tunnels::default(), IpAddr::from([192, 0, 2, 1]));
        let waiting = tunnels.wait(own, "c1").unwrap();
        assert!(tunnels.wait(own, "c1").is_none(), "in use");
        assert!(tunnels.find(own, "c2").is_none());
        assert!(tunnels.find(IpAddr::from([192, 0, 2, 2]), "c1").is_none());
        assert!(tunnels.find(own, "c1").is_some());
        assert!(tunnels.find(own, "c1").is_none(), "found once");
        let next = tunnels.wait(own, "c1").unwrap();
        drop(waiting);
        assert!(tunnels.find(own, "c1").is_some(), "the next one");
        drop(next);
        for cookie in [String::new(), "x".repeat(MAX_COOKIE + 1)] {
            assert!(tunnels.wait(own, &cookie).is_none());
        }
        drop(tunnels.wait(own, "c1"));
        assert!(tunnels.find(own, "c1").is_none() && tunnels.lock().waiting.is_empty());
    }

    #[test]
    fn what_is_no_base64_is_an_error() {
        let mut decoder = Decoder::default();
        assert_eq!(decoder.decode(b"T1BUSU9OUw=").unwrap(), b"OPTION");
        assert_eq!(decoder.decode(b"=\r\nQQ==").unwrap(), b"SA");
        assert_eq!(decoder.decode(b"OPT*"), Err(NotBase64));
        assert_eq!(Decoder::default().decode(b"=QQ="), Err(NotBase64));
    }

    proptest! {
        #[test]
        fn messages_are_read_in_pieces_of_any_size(messages: Vec<Vec<u8>>, size in 1..9usize) {
            let text: String = messages.iter().map(|message| BASE64.encode(message)).collect();
            let mut decoder = Decoder::default();
            let pieces = text.as_bytes().chunks(size).map(|piece| decoder.decode(piece).unwrap());
            prop_assert_eq!(pieces.collect::<Vec<_>>().concat(), messages.concat());
        }

        #[test]
        fn foreign_bytes_never_panic(pieces: Vec<Vec<u8>>) {
            let mut decoder = Decoder::default();
            for piece in pieces {
                let _ = decoder.decode(&piece);
            }
        }
    }
}
