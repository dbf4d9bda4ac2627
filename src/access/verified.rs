//! Passwords that were right a moment ago, so that not every request costs a hash. Pure.

use super::password::PasswordHash;
use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

/// How long a result is kept.
const KEPT: Duration = Duration::from_secs(60);
/// Most results.
const MAX: usize = 1024;

/// The results, by a keyed digest of user and password: neither is kept.
#[derive(Debug, Default)]
pub struct Verified {
    results: HashMap<[u8; 32], (Arc<PasswordHash>, Instant)>,
}

impl Verified {
    /// Whether this was right for `hash`, which a changed password is not.
    pub fn knows(&self, digest: &[u8; 32], hash: &Arc<PasswordHash>, now: Instant) -> bool {
        let result = self.results.get(digest);
        result.is_some_and(|(known, until)| *until > now && (Arc::ptr_eq(known, hash) || known == hash))
    }

    /// Keeps that it is right.
    pub fn keep(&mut self, digest: [u8; 32], hash: Arc<PasswordHash>, now: Instant) {
        if self.results.len() >= MAX {
            self.results.retain(|_, (_, until)| *until > now);
        }
        if self.results.len() >= MAX
            && let Some(oldest) = self.results.iter().min_by_key(|(_, (_, until))| *until).map(|(digest, _)| *digest)
        {
            self.results.remove(&oldest);
        }
        self.results.insert(digest, (hash, now + KEPT));
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.results.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(last: char) -> Arc<PasswordHash> {
        let text = format!("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPP{last}");
        Arc::new(PasswordHash::parse(&text).unwrap())
    }

    #[test]
    fn a_result_is_kept_for_a_minute_and_for_one_hash() {
        let (mut verified, now) = (Verified::default(), Instant::now());
        let digest =
            |number: usize| std::array::from_fn(|at| number.to_be_bytes().get(at).copied().unwrap_or_default());
        verified.keep(digest(1), hash('c'), now);
        assert!(verified.knows(&digest(1), &hash('c'), now + KEPT - Duration::from_secs(1)));
        assert!(!verified.knows(&digest(1), &hash('c'), now + KEPT));
        assert!(!verified.knows(&digest(1), &hash('w'), now), "the password was changed");
        assert!(!verified.knows(&digest(2), &hash('c'), now));
        (0..2 * MAX).for_each(|number| verified.keep(digest(number), hash('c'), now));
        assert_eq!(verified.results.len(), MAX);
        verified.clear();
        assert!(!verified.knows(&digest(2 * MAX - 1), &hash('c'), now));
    }
}
