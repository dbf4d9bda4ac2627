//! How many requests of one client may wait at a time. Pure.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// Most requests of one viewer that wait: a player waits for two playlists and two parts, and for those of a stream that it
/// switches to.
const MAX_OF_VIEWER: u32 = 16;
/// Most requests of one address that wait: of the thousand viewers that it may have.
const MAX_OF_ADDRESS: u32 = 4000;

/// The requests that wait. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Waiting(Arc<Mutex<HashMap<Key, u32>>>);

/// An address, and a viewer of it.
type Key = (IpAddr, Option<u64>);

/// The place of one request that waits, until this is dropped.
#[derive(Debug)]
pub struct Place {
    waiting: Waiting,
    keys: [Option<Key>; 2],
}

/// Too many requests of this client wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyWait {
    /// Of one viewer.
    #[error("{MAX_OF_VIEWER} requests of this viewer wait already: ask for the next playlist when one has come")]
    OfViewer,
    /// Of one address.
    #[error("{MAX_OF_ADDRESS} requests of this address wait already")]
    OfAddress,
}

impl TooManyWait {
    /// As metrics name it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OfViewer => "viewer_waits",
            Self::OfAddress => "address_waits",
        }
    }
}

impl Waiting {
    /// One more request waits, of a viewer if it names one.
    ///
    /// # Errors
    /// When there are too many.
    pub fn enter(&self, address: IpAddr, viewer: Option<u64>) -> Result<Place, TooManyWait> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = [Some((address, None)), viewer.map(|viewer| (address, Some(viewer)))];
        let of = |key: Option<Key>| key.and_then(|key| counts.get(&key)).copied().unwrap_or(0);
        let [of_address, of_viewer] = keys.map(of);
        if of_viewer >= MAX_OF_VIEWER {
            return Err(TooManyWait::OfViewer);
        }
        if of_address >= MAX_OF_ADDRESS {
            return Err(TooManyWait::OfAddress);
        }
        keys.into_iter().flatten().for_each(|key| *counts.entry(key).or_default() += 1);
        Ok(Place { waiting: self.clone(), keys })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.waiting.0.lock().unwrap_or_else(PoisonError::into_inner);
        for key in self.keys.into_iter().flatten() {
            if let Some(count) = counts.get_mut(&key) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(&key);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_viewer_and_each_address_has_its_own_limit() {
        let waiting = Waiting::default();
        let [one, other] = [1, 2].map(|last| IpAddr::from([192, 0, 2, last]));
        let mut places: Vec<_> = (0..MAX_OF_VIEWER).map(|_| waiting.enter(one, Some(7)).unwrap()).collect();
        assert_eq!(waiting.enter(one, Some(7)).unwrap_err(), TooManyWait::OfViewer);
        waiting.enter(one, Some(8)).unwrap();
        waiting.enter(other, Some(7)).unwrap();
        places.pop();
        places.push(waiting.enter(one, Some(7)).unwrap());
        places.extend((MAX_OF_VIEWER..MAX_OF_ADDRESS).map(|_| waiting.enter(one, None).unwrap()));
        assert_eq!(waiting.enter(one, Some(9)).unwrap_err(), TooManyWait::OfAddress);
        waiting.enter(other, None).unwrap();
        drop(places);
        assert!(waiting.0.lock().unwrap().is_empty());
    }
}
