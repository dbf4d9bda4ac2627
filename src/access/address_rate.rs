//! How often an address may do something. Pure.

use super::network::origin;
use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

/// Most addresses that are remembered.
const MAX_ADDRESSES: usize = 4096;

/// The addresses that did it recently.
#[derive(Debug)]
pub struct AddressRate {
    burst: u32,
    interval: Duration,
    /// When an address will have all its tries again.
    free_at: HashMap<IpAddr, Instant>,
}

impl AddressRate {
    /// An address has `burst` tries, and one more after each `interval`.
    pub fn new(burst: u32, interval: Duration) -> Self {
        Self { burst, interval, free_at: HashMap::new() }
    }

    /// Takes one try of an address.
    ///
    /// # Errors
    /// The time until it has one.
    pub fn take(&mut self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let origin = origin(address);
        let free_at = self.free_at.get(&origin).copied().filter(|at| *at > now).unwrap_or(now);
        let after = free_at + self.interval;
        let wait = after.saturating_duration_since(now).saturating_sub(self.interval * self.burst);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.make_room(origin, now);
        self.free_at.insert(origin, after);
        Ok(())
    }

    /// Gives a try back.
    pub fn give_back(&mut self, address: IpAddr) {
        if let Some(free_at) = self.free_at.get_mut(&origin(address)) {
            *free_at = free_at.checked_sub(self.interval).unwrap_or(*free_at);
        }
    }

    /// Forgets addresses that have all their tries, or else the one that has them soonest.
    fn make_room(&mut self, origin: IpAddr, now: Instant) {
        if self.free_at.len() < MAX_ADDRESSES || self.free_at.contains_key(&origin) {
            return;
        }
        self.free_at.retain(|_, free_at| *free_at > now);
        if self.free_at.len() >= MAX_ADDRESSES
            && let Some(soonest) = self.free_at.iter().min_by_key(|(_, free_at)| **free_at).map(|(origin, _)| *origin)
        {
            self.free_at.remove(&soonest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const INTERVAL: Duration = Duration::from_secs(2);

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn five_tries_and_then_one_in_two_seconds() {
        let (mut rate, start) = (AddressRate::new(5, INTERVAL), Instant::now());
        let tries =
            |rate: &mut AddressRate, who, now| (0..100).filter(|_| rate.take(address(who), now).is_ok()).count();
        assert_eq!(tries(&mut rate, 1, start), 5);
        assert_eq!(rate.take(address(1), start), Err(INTERVAL));
        assert_eq!(tries(&mut rate, 2, start), 5, "others are not slowed");
        let minute: usize = (1..=600).map(|step| tries(&mut rate, 1, start + Duration::from_millis(100) * step)).sum();
        assert_eq!(minute, 30);
        assert_eq!(tries(&mut rate, 1, start + Duration::from_secs(90)), 5);
    }

    #[test]
    fn what_is_given_back_costs_no_try() {
        let (mut rate, now) = (AddressRate::new(5, INTERVAL), Instant::now());
        for _ in 0..100 {
            assert_eq!(rate.take(address(1), now), Ok(()));
            rate.give_back(address(1));
        }
    }

    proptest! {
        // Each case fills the whole table.
        #![proptest_config(ProptestConfig::with_cases(4))]
        #[test]
        fn memory_is_bounded(seed in any::<u32>()) {
            let (mut rate, now) = (AddressRate::new(5, INTERVAL), Instant::now());
            for number in 0..MAX_ADDRESSES as u32 + 100 {
                let _ = rate.take(address(seed.wrapping_add(number)), now);
            }
            prop_assert!(rate.free_at.len() <= MAX_ADDRESSES);
        }
    }
}
