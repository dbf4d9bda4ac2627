//! What is counted of access. No clock in here.

use super::{action::Action, decide::Refused};
use std::sync::atomic::{AtomicU64, Ordering};

/// The counts.
#[derive(Debug, Default)]
pub struct AccessStats {
    failures: [AtomicU64; Mechanism::ALL.len()],
    refused: [AtomicU64; Action::ALL.len()],
    ended: [AtomicU64; ENDS.len()],
    hook: [AtomicU64; FetchResult::ALL.len()],
    keys: [AtomicU64; FetchResult::ALL.len()],
}

/// How an identity is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// A user and a password.
    Password,
    /// An answer to a challenge of Digest.
    Digest,
    /// A token.
    Token,
    /// A token of a service.
    Jwt,
    /// A signed link.
    Link,
    /// A code that logs in once.
    Code,
    /// What a hook denied.
    Hook,
    /// The key of a feed that is published to.
    PublishKey,
    /// The passphrase of a connection.
    Passphrase,
    /// A header that cannot be read.
    Malformed,
    /// Any, by an address that presented too many wrong ones.
    Throttled,
}

/// What a request to a service that is asked came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchResult {
    /// It permits, or has keys.
    Permitted,
    /// It denies.
    Denied,
    /// There is no answer, or none that can be understood.
    Failed,
}

impl FetchResult {
    const ALL: [Self; 3] = [Self::Permitted, Self::Denied, Self::Failed];
}

/// Why a running response ends.
const ENDS: [&str; 2] = ["expired", "withdrawn"];

impl Mechanism {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Password,
        Self::Digest,
        Self::Token,
        Self::Jwt,
        Self::Link,
        Self::Code,
        Self::Hook,
        Self::PublishKey,
        Self::Passphrase,
        Self::Malformed,
        Self::Throttled,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Digest => "digest",
            Self::Token => "token",
            Self::Jwt => "jwt",
            Self::Link => "link",
            Self::Code => "code",
            Self::Hook => "hook",
            Self::PublishKey => "publish-key",
            Self::Passphrase => "passphrase",
            Self::Malformed => "malformed",
            Self::Throttled => "throttled",
        }
    }
}

impl AccessStats {
    /// A credential was wrong.
    pub fn failed(&self, mechanism: Mechanism) {
        add(self.failures.get(mechanism as usize));
    }

    /// An action was refused.
    pub fn refused(&self, action: Action) {
        add(self.refused.get(action as usize));
    }

    /// A running response ended because its permission did.
    pub fn ended(&self, why: Refused) {
        add(self.ended.get(usize::from(why != Refused::Expired)));
    }

    /// A hook was asked.
    pub fn hook_asked(&self, result: FetchResult) {
        add(self.hook.get(result as usize));
    }

    /// Keys were fetched.
    pub fn keys_fetched(&self, result: FetchResult) {
        add(self.keys.get(result as usize));
    }

    /// Requests to the hook by their result.
    pub fn hook_requests(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ["permitted", "denied", "failed"].into_iter().zip(self.hook.iter().map(read))
    }

    /// Fetches of keys by their result.
    pub fn key_fetches(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let [fetched, _, failed] = &self.keys;
        [("fetched", read(fetched)), ("failed", read(failed))].into_iter()
    }

    /// Wrong credentials by mechanism.
    pub fn failures(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Mechanism::ALL.iter().map(|mechanism| mechanism.name()).zip(self.failures.iter().map(read))
    }

    /// Refused actions.
    pub fn refusals(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Action::ALL.iter().map(|action| action.name()).zip(self.refused.iter().map(read))
    }

    /// Ended responses by reason.
    pub fn ends(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ENDS.into_iter().zip(self.ended.iter().map(read))
    }
}

fn add(count: Option<&AtomicU64>) {
    if let Some(count) = count {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn read(count: &AtomicU64) -> u64 {
    count.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_count_has_its_label() {
        let stats = AccessStats::default();
        for mechanism in Mechanism::ALL {
            (0..=mechanism as usize).for_each(|_| stats.failed(mechanism));
        }
        let counted: Vec<_> = stats.failures().collect();
        assert_eq!(
            counted,
            [
                ("password", 1),
                ("digest", 2),
                ("token", 3),
                ("jwt", 4),
                ("link", 5),
                ("code", 6),
                ("hook", 7),
                ("publish-key", 8),
                ("passphrase", 9),
                ("malformed", 10),
                ("throttled", 11),
            ]
        );
        stats.refused(Action::ConfigRead);
        assert_eq!(stats.refusals().find(|(name, _)| *name == "config:read"), Some(("config:read", 1)));
        [Refused::Expired, Refused::Withdrawn, Refused::Forbidden].into_iter().for_each(|why| stats.ended(why));
        stats.hook_asked(FetchResult::Denied);
        stats.keys_fetched(FetchResult::Failed);
        assert_eq!(stats.hook_requests().collect::<Vec<_>>(), [("permitted", 0), ("denied", 1), ("failed", 0)]);
        assert_eq!(stats.key_fetches().collect::<Vec<_>>(), [("fetched", 0), ("failed", 1)]);
        assert_eq!(stats.ends().collect::<Vec<_>>(), [("expired", 1), ("withdrawn", 2)]);
    }
}
