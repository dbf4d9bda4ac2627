//! The connection limits: as many as there are descriptors for, and at most half of them for one address.
//!
//! [`ConnectionTable`] decides and is pure. The limit is read again for each connection, as the system may lower it.

use rustix::process::{Resource, getrlimit, setrlimit};
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

/// Descriptors that are reserved for feeds, files and pipes.
const RESERVED_DESCRIPTORS: u64 = 128;
/// Fewest connections, however few descriptors there are.
const MIN_CONNECTIONS: usize = 16;
/// Most connections, whatever the limit of descriptors.
const MAX_CONNECTIONS: usize = 100_000;

/// The connection table, shared by all listeners.
#[derive(Debug, Clone, Default)]
pub struct ConnectionLimiter {
    table: Arc<Mutex<ConnectionTable>>,
    open: Arc<AtomicUsize>,
}

/// Permission for one connection; dropping it frees the slot.
#[derive(Debug)]
pub struct ConnectionPermit {
    limiter: ConnectionLimiter,
    origin: IpAddr,
}

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// That of the server.
    Server,
    /// That of the address: half of all connections.
    Address,
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Server => "connection limit reached: the server accepts no more connections",
            Self::Address => "connection limit reached: this address has half of all connections",
        })
    }
}

impl ConnectionLimiter {
    /// As many as the descriptor limit of the system allows, which is raised first.
    pub fn new() -> Self {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // If it cannot be raised, the present limit counts.
        let _ = setrlimit(Resource::Nofile, limit);
        Self::default()
    }

    /// Permits a connection from this address.
    ///
    /// # Errors
    /// When a limit is reached.
    pub fn enter(&self, address: IpAddr) -> Result<ConnectionPermit, LimitReached> {
        let origin = origin(address);
        self.change(|table| table.enter(origin, capacity(getrlimit(Resource::Nofile).current)))?;
        Ok(ConnectionPermit { limiter: self.clone(), origin })
    }

    /// How many connections are open.
    pub fn open(&self) -> Arc<AtomicUsize> {
        self.open.clone()
    }

    fn change<T>(&self, change: impl FnOnce(&mut ConnectionTable) -> T) -> T {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let result = change(&mut table);
        self.open.store(table.count, Ordering::Relaxed);
        result
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.limiter.change(|table| table.leave(self.origin));
    }
}

/// The number of connections for this number of descriptors.
fn capacity(descriptors: Option<u64>) -> usize {
    let left = descriptors.unwrap_or(u64::MAX).saturating_sub(RESERVED_DESCRIPTORS);
    usize::try_from(left).unwrap_or(usize::MAX).clamp(MIN_CONNECTIONS, MAX_CONNECTIONS)
}

/// What counts as one address: for IPv6 the network of 64 bits, whose addresses all belong to one client (RFC 6177).
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// The open connections.
#[derive(Debug, Default)]
struct ConnectionTable {
    count: usize,
    /// Never has an entry of zero.
    by_origin: HashMap<IpAddr, usize>,
}

impl ConnectionTable {
    fn enter(&mut self, origin: IpAddr, capacity: usize) -> Result<(), LimitReached> {
        if self.count >= capacity {
            return Err(LimitReached::Server);
        }
        let own = self.by_origin.get(&origin).copied().unwrap_or_default();
        if own >= capacity / 2 {
            return Err(LimitReached::Address);
        }
        self.by_origin.insert(origin, own + 1);
        self.count += 1;
        Ok(())
    }

    fn leave(&mut self, origin: IpAddr) {
        let Some(own) = self.by_origin.get_mut(&origin) else { return };
        self.count -= 1;
        *own -= 1;
        if *own == 0 {
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
    fn descriptors_are_reserved_for_the_server_itself() {
        assert_eq!([Some(1024), Some(100), Some(1 << 40), None].map(capacity), [896, 16, 100_000, 100_000]);
    }

    #[test]
    fn one_address_leaves_half_of_the_connections_to_others() {
        let (mut table, near, far) = (ConnectionTable::default(), address("192.0.2.1"), address("192.0.2.2"));
        let mut enter = |origin| table.enter(origin, 4);
        assert_eq!(
            [near, near, near, far, far, near].map(&mut enter),
            [Ok(()), Ok(()), Err(LimitReached::Address), Ok(()), Ok(()), Err(LimitReached::Server),]
        );
        table.leave(near);
        assert_eq!(table.enter(near, 4), Ok(()));
        // A lowered limit closes no connection.
        assert_eq!(table.enter(address("192.0.2.3"), 2), Err(LimitReached::Server));
    }

    #[test]
    fn networks_of_ipv6_are_one_address() {
        let same = |one: &str, other: &str| origin(address(one)) == origin(address(other));
        assert!(same("2001:db8::1", "2001:db8::ffff:2") && !same("2001:db8::1", "2001:db8:0:1::1"));
        assert!(same("::ffff:192.0.2.1", "192.0.2.1") && !same("192.0.2.1", "192.0.2.2"));
    }

    proptest! {
        #[test]
        fn a_closed_connection_frees_its_slot(visits in prop::collection::vec((0u8..4, any::<bool>()), 0..200), capacity in 2usize..20) {
            let (mut table, mut there) = (ConnectionTable::default(), Vec::new());
            for (who, comes) in visits {
                let origin = IpAddr::from([192, 0, 2, who]);
                if comes {
                    there.extend(table.enter(origin, capacity).ok().map(|()| origin));
                } else if let Some(at) = there.iter().position(|other| *other == origin) {
                    there.swap_remove(at);
                    table.leave(origin);
                }
                prop_assert_eq!(table.count, there.len());
                prop_assert!(there.len() <= capacity && table.by_origin.values().sum::<usize>() == there.len());
                prop_assert!(table.by_origin.values().all(|own| (1..=capacity / 2).contains(own)));
            }
        }
    }
}
