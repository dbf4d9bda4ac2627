//! The places for connections: as many as there are descriptors for, and never all of them for one address.
//!
//! [`Places`] decides and is pure. The limit is asked for anew with each connection, as the system may lower it.

use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

/// Descriptors that are kept for feeds, files and pipes.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Fewest connections, however few descriptors there are.
const MIN_CONNECTIONS: usize = 16;
/// Most connections, whatever the limit of descriptors.
const MAX_CONNECTIONS: usize = 100_000;

/// The places for connections, shared by all who listen.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<Places>>);

/// The place of one connection, which is free again when this is dropped.
#[derive(Debug)]
pub struct Place {
    connections: Connections,
    origin: IpAddr,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// All are taken.
    All,
    /// Half of all are taken by this address: the others are for others.
    Address,
}

impl fmt::Display for Crowded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::All => "the server has all the connections that it can have",
            Self::Address => "this address has half of all connections already",
        })
    }
}

impl Connections {
    /// As many as the system allows descriptors, whose limit is raised for it.
    pub fn new() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // What cannot be raised is worked with.
        let _ = setrlimit(Resource::Nofile, limit);
        Self::default()
    }

    /// Takes a place for a connection from there.
    ///
    /// # Errors
    /// When there is none.
    pub fn enter(&self, address: IpAddr) -> Result<Place, Crowded> {
        let origin = origin(address);
        self.places().enter(origin, capacity(getrlimit(Resource::Nofile).current))?;
        Ok(Place { connections: self.clone(), origin })
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.places().leave(self.origin);
    }
}

/// Connections that so many descriptors allow.
fn capacity(descriptors: Option<u64>) -> usize {
    let left = descriptors.unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS);
    usize::try_from(left).unwrap_or(usize::MAX).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// Who is behind an address: of IPv6 whoever has a network of 64 bits has all addresses in it (RFC 6177).
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Who is there.
#[derive(Debug, Default)]
struct Places {
    taken: usize,
    /// Never has an entry of zero.
    by_origin: HashMap<IpAddr, usize>,
}

impl Places {
    fn enter(&mut self, origin: IpAddr, capacity: usize) -> Result<(), Crowded> {
        if self.taken >= capacity {
            return Err(Crowded::All);
        }
        let theirs = self.by_origin.get(&origin).copied().unwrap_or_default();
        if theirs >= capacity / 2 {
            return Err(Crowded::Address);
        }
        self.by_origin.insert(origin, theirs + 1);
        self.taken += 1;
        Ok(())
    }

    fn leave(&mut self, origin: IpAddr) {
        let Some(theirs) = self.by_origin.get_mut(&origin) else { return };
        self.taken -= 1;
        *theirs -= 1;
        if *theirs == 0 {
            self.by_origin.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn descriptors_are_kept_for_the_server_itself() {
        assert_eq!([Some(1024), Some(100), Some(1 << 40), None].map(capacity), [896, 16, 100_000, 100_000]);
    }

    #[test]
    fn one_address_leaves_half_of_the_places_to_others() {
        let (mut places, near, far) = (Places::default(), address("192.0.2.1"), address("192.0.2.2"));
        let mut enter = |origin| places.enter(origin, 4);
        assert_eq!(
            [near, near, near, far, far, near].map(&mut enter),
            [Ok(()), Ok(()), Err(Crowded::Address), Ok(()), Ok(()), Err(Crowded::All),]
        );
        places.leave(near);
        assert_eq!(places.enter(near, 4), Ok(()));
        // A limit that was lowered sends nobody away.
        assert_eq!(places.enter(address("192.0.2.3"), 2), Err(Crowded::All));
    }

    #[test]
    fn networks_of_ipv6_are_one_address() {
        let same = |one: &str, other: &str| origin(address(one)) == origin(address(other));
        assert!(same("2001:db8::1", "2001:db8::ffff:2") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    }

    proptest! {
        #[test]
        fn whoever_leaves_makes_room(visits in prop::collection::vec((0u8..4, any::<bool>()), 0..200), capacity in 2usize..20) {
            let (mut places, mut there) = (Places::default(), Vec::new());
            for (who, comes) in visits {
                let origin = IpAddr::from([192, 0, 2, who]);
                if comes {
                    there.extend(places.enter(origin, capacity).ok().map(|()| origin));
                } else if let Some(at) = there.iter().position(|other| *other == origin) {
                    there.swap_remove(at);
                    places.leave(origin);
                }
                prop_assert_eq!(places.taken, there.len());
                prop_assert!(there.len() <= capacity && places.by_origin.values().sum::<usize>() == there.len());
                prop_assert!(places.by_origin.values().all(|theirs| (1..=capacity / 2).contains(theirs)));
            }
        }
    }
}
