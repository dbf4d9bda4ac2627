//! Images of the past that were made.

use crate::still::cache::Still;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Semaphore;

/// Most images that are kept.
const MAX_IMAGES: usize = 128;
/// Most bytes of them.
const MAX_BYTES: usize = 16 << 20;

/// Images that were made, within a limit of number and bytes.
#[derive(Debug)]
pub(super) struct Images {
    kept: Mutex<VecDeque<(String, Arc<Still>)>>,
    /// Images that are made at a time: one more keeps a core busy.
    pub turns: Semaphore,
    /// Clips that are copied at a time.
    pub saving: Arc<Semaphore>,
}

impl Default for Images {
    fn default() -> Self {
        Self { kept: Mutex::default(), turns: Semaphore::new(2), saving: Arc::new(Semaphore::new(1)) }
    }
}

impl Images {
    /// The image of this name.
    pub fn get(&self, key: &str) -> Option<Arc<Still>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().find(|(own, _)| own == key).map(|(_, still)| still.clone())
    }

    /// Keeps an image.
    pub fn put(&self, key: String, still: Arc<Still>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(own, _)| *own != key);
        kept.push_back((key, still));
        let bytes = |kept: &VecDeque<(String, Arc<Still>)>| {
            kept.iter().map(|(key, still)| key.len() + still.bytes.len()).sum::<usize>()
        };
        while kept.len() > MAX_IMAGES || bytes(&kept) > MAX_BYTES {
            kept.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn images_are_kept_within_limits() {
        let images = Images::default();
        let still = |length: usize| Arc::new(Still::new(vec![7; length].into(), Duration::ZERO, None));
        (0..1000).for_each(|number| images.put(format!("{number}"), still(10)));
        assert_eq!(images.kept.lock().unwrap().len(), MAX_IMAGES);
        assert!(images.get("999").is_some() && images.get("1").is_none());
        images.put("large".to_owned(), still(MAX_BYTES - 100));
        assert!(images.get("large").is_some() && images.get("900").is_none());
        images.put("too large".to_owned(), still(MAX_BYTES + 1));
        assert!(images.kept.lock().unwrap().is_empty());
    }
}
