//! All sessions of a server by their names in URLs, and where their datagrams go.

use super::mux::{Mux, SessionId, Source};
use crate::access::AddressRate;
use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Most sessions of a server, and of one address. Many viewers may be behind one gateway.
const MAX_SESSIONS: usize = 10_000;
const MAX_OF_ADDRESS: usize = 512;
/// Offers of an address in a row, and after how long it may make one more: 20 a second.
const OFFERS: u32 = 64;
const OFFER_INTERVAL: Duration = Duration::from_millis(50);

/// The sessions. Bounded: each has a place before its offer is answered.
#[derive(Debug)]
pub struct Directory {
    entries: Mutex<Entries>,
    offers: Mutex<AddressRate>,
}

impl Default for Directory {
    fn default() -> Self {
        Self { entries: Mutex::default(), offers: Mutex::new(AddressRate::new(OFFERS, OFFER_INTERVAL)) }
    }
}

#[derive(Debug, Default)]
struct Entries {
    mux: Mux,
    next: u64,
    names: HashMap<String, SessionId>,
    sessions: HashMap<SessionId, Entry>,
    places: HashMap<IpAddr, usize>,
    taken: usize,
}

/// One session.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The last part of its URL.
    pub name: String,
    /// The stream or feed that it is of.
    pub owner: Arc<str>,
    /// The shard that has it.
    pub shard: usize,
    /// The offer that it began with.
    pub offer: String,
    /// The name of its ICE session, of the client and of the server.
    pub ice: [String; 2],
    _place: Arc<Place>,
}

/// A place for one session, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    directory: Arc<Directory>,
    address: IpAddr,
}

/// There is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// For anyone.
    #[error("this server has as many WebRTC sessions as it may have")]
    Server,
    /// For this address.
    #[error("this address has as many WebRTC sessions as it may have")]
    Address,
}

impl Directory {
    /// Whether this address may make an offer now.
    pub fn permit_offer(&self, address: IpAddr, now: Instant) -> bool {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner).take(address, now).is_ok()
    }

    /// A place for one more session of a client.
    ///
    /// # Errors
    /// When there are too many.
    pub fn place(self: &Arc<Self>, address: IpAddr) -> Result<Place, Full> {
        let mut entries = self.lock();
        if entries.taken >= MAX_SESSIONS {
            return Err(Full::Server);
        }
        let of_address = entries.places.entry(address).or_default();
        if *of_address >= MAX_OF_ADDRESS {
            return Err(Full::Address);
        }
        *of_address += 1;
        entries.taken += 1;
        Ok(Place { directory: self.clone(), address })
    }

    /// A session that takes a place. `ice` are the names of its ICE session, of the client and of the server.
    pub fn add(
        &self,
        name: String,
        owner: Arc<str>,
        shard: usize,
        offer: String,
        ice: [String; 2],
        place: Place,
    ) -> SessionId {
        let mut entries = self.lock();
        entries.next += 1;
        let id = SessionId(entries.next);
        let [_, own] = &ice;
        entries.mux.add(id, own);
        entries.names.insert(name.clone(), id);
        entries.sessions.insert(id, Entry { name, owner, shard, offer, ice, _place: Arc::new(place) });
        id
    }

    /// The session with this name in its URL.
    pub fn find(&self, name: &str) -> Option<(SessionId, Entry)> {
        let entries = self.lock();
        let id = *entries.names.get(name)?;
        Some((id, entries.sessions.get(&id)?.clone()))
    }

    /// The session has another ICE session beside the one of before.
    pub fn renew(&self, id: SessionId, ice: [String; 2]) {
        let mut entries = self.lock();
        let Entries { mux, sessions, .. } = &mut *entries;
        if let Some(entry) = sessions.get_mut(&id) {
            mux.add(id, &ice[1]);
            entry.ice = ice;
        }
    }

    /// The session is gone.
    pub fn remove(&self, id: SessionId) {
        let mut entries = self.lock();
        entries.mux.remove(id);
        let gone = entries.sessions.remove(&id);
        if let Some(entry) = &gone {
            entries.names.remove(&entry.name);
        }
        drop(entries);
        // Its place needs the lock.
        drop(gone);
    }

    /// The session that a datagram is for, and its shard.
    pub fn route(&self, source: Source, datagram: &[u8]) -> Option<(SessionId, usize)> {
        let mut entries = self.lock();
        let id = entries.mux.route(source, datagram)?;
        Some((id, entries.sessions.get(&id)?.shard))
    }

    /// How many sessions there are, those that are being made among them.
    pub fn taken(&self) -> usize {
        self.lock().taken
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The tag of its ICE session, as it stands in `ETag`.
    pub fn tag(&self) -> String {
        format!("\"{}\"", self.ice[1])
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut entries = self.directory.lock();
        entries.taken = entries.taken.saturating_sub(1);
        if let Some(of_address) = entries.places.get_mut(&self.address) {
            *of_address = of_address.saturating_sub(1);
            if *of_address == 0 {
                entries.places.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_makes_so_many_offers() {
        let (directory, start) = (Directory::default(), Instant::now());
        let offers = |last, after| {
            let (address, now) = (IpAddr::from([192, 0, 2, last]), start + Duration::from_secs(after));
            (0..1000).filter(|_| directory.permit_offer(address, now)).count()
        };
        assert_eq!([offers(1, 0), offers(1, 0), offers(2, 0), offers(1, 1)], [64, 0, 64, 20]);
    }

    #[test]
    fn places_are_bounded_and_come_back() {
        let (directory, address) = (Arc::new(Directory::default()), IpAddr::from([192, 0, 2, 1]));
        let places: Vec<_> = (0..MAX_OF_ADDRESS).map(|_| directory.place(address).unwrap()).collect();
        assert_eq!(directory.place(address).unwrap_err(), Full::Address);
        let place = directory.place(IpAddr::from([192, 0, 2, 2])).unwrap();
        let ice = ["theirs".to_owned(), "ours".to_owned()];
        let id = directory.add("name".into(), "cam".into(), 1, "offer".into(), ice, place);
        drop(places);
        assert_eq!((directory.taken(), directory.lock().places.len()), (1, 1));
        let (found, entry) = directory.find("name").unwrap();
        assert_eq!((found, entry.shard, entry.tag().as_str()), (id, 1, "\"ours\""));
        drop(entry);
        directory.remove(id);
        directory.remove(id);
        assert!(directory.find("name").is_none());
        assert_eq!((directory.taken(), directory.lock().places.len()), (0, 0));
    }
}
