//! How many changes a client may make: a script that runs wild must not keep the server busy. Pure.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Changes of a second.
const RATE: f64 = 20.0;
/// Changes that may come together.
const BURST: f64 = 100.0;
/// Clients that are remembered.
const CLIENTS: usize = 4096;

/// The changes of all clients.
#[derive(Debug, Default)]
pub(super) struct Pace(HashMap<Client, Bucket>);

/// Whom changes are counted for: a name, or an address where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Client {
    Named(String),
    Address(IpAddr),
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Client {
    /// The client with this name at this address. One network of IPv6 is one client.
    pub(super) fn new(name: Option<String>, address: IpAddr) -> Self {
        match (name, address) {
            (Some(name), _) => Self::Named(name),
            (None, IpAddr::V6(address)) => {
                Self::Address(Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into())
            }
            (None, address) => Self::Address(address),
        }
    }
}

impl Pace {
    /// One more change.
    ///
    /// # Errors
    /// When to try again.
    pub(super) fn change(&mut self, client: Client, now: Instant) -> Result<(), Duration> {
        if self.0.len() >= CLIENTS && !self.0.contains_key(&client) {
            let whole = Duration::from_secs_f64(BURST / RATE);
            self.0.retain(|_, bucket| now.saturating_duration_since(bucket.at) < whole);
            if self.0.len() >= CLIENTS {
                return Err(whole);
            }
        }
        let bucket = self.0.entry(client).or_insert(Bucket { left: BURST, at: now });
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        (bucket.left, bucket.at) = ((bucket.left + since * RATE).min(BURST), now);
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / RATE));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_twenty_changes_a_second() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        let anna = || Client::new(Some("anna".to_owned()), [192, 0, 2, 1].into());
        let mut made = 0;
        for millis in 0..3000 {
            made += u32::from(pace.change(anna(), start + Duration::from_millis(millis)).is_ok());
        }
        assert!((158..=160).contains(&made), "{made}");
        let late = start + Duration::from_secs(3);
        let wait = (0..100).find_map(|_| pace.change(anna(), late).err()).unwrap();
        assert!(wait <= Duration::from_millis(50), "{wait:?}");
        assert!(pace.change(Client::new(None, [192, 0, 2, 1].into()), late).is_ok());
        let of_network = |end: u16| Client::new(None, Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 1, 2, 3, end).into());
        assert_eq!(of_network(1), of_network(2));
    }

    #[test]
    fn memory_is_bounded() {
        let (mut pace, now) = (Pace::default(), Instant::now());
        let client = |number: usize| Client::Named(number.to_string());
        assert!((0..CLIENTS).all(|number| pace.change(client(number), now).is_ok()));
        assert!(pace.change(client(CLIENTS), now).is_err());
        assert!(pace.change(client(CLIENTS), now + Duration::from_secs(6)).is_ok());
        assert_eq!(pace.0.len(), 1);
    }
}
