//! The gate that every entrance asks: it finds out who asks, decides by the newest policy, and ends what runs when its permission
//! ends. Clones are the same.

use super::{
    action::Action,
    credentials::{Accepted, CredentialError, Presented},
    decide::{Decision, Identity, decide},
    guesses::Guesses,
    link::{Link, LinkError},
    pass::{Pass, Passes},
    password::{self, PasswordHash},
    permission::Subject,
    policy::{IndexedPolicy, Policy},
    secret::Secret,
    stats::{AccessStats, Mechanism},
    verified::Verified,
};
use aws_lc_rs::{digest, hmac, rand::SystemRandom};
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

/// Passwords that are checked at a time: each costs a core and its memory for tens of milliseconds.
const CHECKS: usize = 2;
/// Requests that may wait for such a check.
const WAITING: usize = 16;
/// When to try again when there are more.
const BUSY: Duration = Duration::from_secs(1);
/// Interval between two looks at the permissions of what runs.
const SWEEP: Duration = Duration::from_millis(500);

/// Who may pass.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: Mutex<Arc<IndexedPolicy>>,
    generation: AtomicU64,
    /// Of this process: for digests that are kept.
    key: hmac::Key,
    verified: Mutex<Verified>,
    guesses: Mutex<Guesses>,
    checks: Arc<Semaphore>,
    waiting: Semaphore,
    passes: Passes,
    changed: Notify,
    stats: AccessStats,
}

/// Why a credential is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] CredentialError),
    /// It is wrong.
    #[error("the credential is wrong")]
    Wrong,
    /// The link is wrong or has expired.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Too many wrong ones from this address, or too many checks.
    #[error("too many attempts")]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
}

impl Gate {
    /// A gate with this policy.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(policy: Policy) -> std::io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| std::io::Error::other("the system has no random numbers"))?;
        Ok(Self(Arc::new(Inner {
            policy: Mutex::new(Arc::new(IndexedPolicy::new(policy))),
            generation: AtomicU64::new(0),
            key,
            verified: Mutex::default(),
            guesses: Mutex::default(),
            checks: Arc::new(Semaphore::new(CHECKS)),
            waiting: Semaphore::new(CHECKS + WAITING),
            passes: Passes::default(),
            changed: Notify::new(),
            stats: AccessStats::default(),
        })))
    }

    /// Sets the policy, also for what runs already. Returns whether it is another one.
    pub fn set_policy(&self, policy: Policy) -> bool {
        let mut current = lock(&self.0.policy);
        if *current.policy() == policy {
            return false;
        }
        *current = Arc::new(IndexedPolicy::new(policy));
        drop(current);
        self.0.generation.fetch_add(1, Ordering::Release);
        lock(&self.0.verified).clear();
        self.0.changed.notify_one();
        true
    }

    /// The policy.
    pub fn policy(&self) -> Arc<IndexedPolicy> {
        lock(&self.0.policy).clone()
    }

    /// Grows with each other policy.
    pub fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// The counts.
    pub fn stats(&self) -> &AccessStats {
        &self.0.stats
    }

    /// The kinds of credentials that the policy knows.
    pub fn accepted(&self) -> Accepted {
        let policy = self.policy();
        let Policy { users, tokens, link_keys, .. } = policy.policy();
        Accepted { basic: !users.is_empty(), bearer: !tokens.is_empty(), links: !link_keys.is_empty() }
    }

    /// Who presents this. Checks at most two passwords at a time. Cancel-safe.
    ///
    /// # Errors
    /// When it is wrong: that is never anyone.
    pub async fn identify(&self, presented: Presented, peer: IpAddr) -> Result<Identity, Rejection> {
        match presented {
            Presented::Nothing => Ok(Identity::Anyone),
            Presented::Link(link) => self.by_link(&link, peer),
            Presented::Bearer(token) => self.by_token(&token, peer),
            Presented::Basic { user, password } => self.by_password(user, password, peer).await,
        }
    }

    /// Counts a credential that could not be read.
    pub fn malformed(&self, error: CredentialError, peer: IpAddr) -> Rejection {
        self.wrong(Mechanism::Malformed, peer, error.into())
    }

    fn by_link(&self, text: &Secret, peer: IpAddr) -> Result<Identity, Rejection> {
        let policy = self.policy();
        match Link::verify(text.expose(), |name| policy.policy().link_key(name), SystemTime::now()) {
            Ok(link) => Ok(Identity::Link(Arc::new(link))),
            // Who has an old link does not guess.
            Err(LinkError::Expired) => {
                self.0.stats.failed(Mechanism::Link);
                Err(LinkError::Expired.into())
            }
            Err(LinkError::Invalid) => Err(self.wrong(Mechanism::Link, peer, LinkError::Invalid.into())),
        }
    }

    fn by_token(&self, token: &Secret, peer: IpAddr) -> Result<Identity, Rejection> {
        let digest = token_digest(token);
        match self.policy().token(&digest) {
            Some(token) => Ok(Identity::Token { name: token.name.clone(), digest }),
            None => Err(self.wrong(Mechanism::Token, peer, Rejection::Wrong)),
        }
    }

    async fn by_password(&self, user: String, password: Secret, peer: IpAddr) -> Result<Identity, Rejection> {
        let known = self.policy().user(&user).map(|user| (user.name.clone(), user.password.clone()));
        let length = u64::try_from(user.len()).unwrap_or_default().to_be_bytes();
        let parts = [&length, user.as_bytes(), password.expose().as_bytes()].concat();
        let tag = hmac::sign(&self.0.key, &parts);
        let digest: [u8; 32] = tag.as_ref().try_into().unwrap_or_default();
        if let Some((name, hash)) = &known
            && lock(&self.0.verified).knows(&digest, hash, Instant::now())
        {
            return Ok(Identity::User { name: name.clone(), password: hash.clone() });
        }
        // A try is taken first, so that many requests at a time are not many tries.
        self.take_try(peer)?;
        let Ok(_waiting) = self.0.waiting.try_acquire() else {
            lock(&self.0.guesses).give_back(peer);
            return Err(Rejection::TooMany { retry_after: BUSY });
        };
        let hash = known.as_ref().map(|(_, hash)| hash.clone());
        let is_right = self.check(hash, password).await;
        match known {
            Some((name, hash)) if is_right => {
                lock(&self.0.guesses).give_back(peer);
                lock(&self.0.verified).keep(digest, hash.clone(), Instant::now());
                Ok(Identity::User { name, password: hash })
            }
            _ => {
                self.0.stats.failed(Mechanism::Password);
                Err(Rejection::Wrong)
            }
        }
    }

    async fn check(&self, hash: Option<Arc<PasswordHash>>, password: Secret) -> bool {
        // The permit goes with the work, which does not end when nobody waits for it any more.
        let Ok(permit) = self.0.checks.clone().acquire_owned().await else { return false };
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            match hash {
                Some(hash) => hash.matches(password.expose()),
                None => {
                    password::pretend(password.expose());
                    false
                }
            }
        });
        work.await.unwrap_or(false)
    }

    fn take_try(&self, peer: IpAddr) -> Result<(), Rejection> {
        let taken = lock(&self.0.guesses).take(peer, Instant::now());
        taken.map_err(|retry_after| {
            self.0.stats.failed(Mechanism::Throttled);
            Rejection::TooMany { retry_after }
        })
    }

    fn wrong(&self, mechanism: Mechanism, peer: IpAddr, rejection: Rejection) -> Rejection {
        if let Err(throttled) = self.take_try(peer) {
            return throttled;
        }
        self.0.stats.failed(mechanism);
        rejection
    }

    /// Decides by the newest policy, now.
    pub fn decide(&self, identity: &Identity, action: Action, subject: Subject<'_>, peer: IpAddr) -> Decision {
        decide(&self.policy(), identity, action, subject, peer, SystemTime::now())
    }

    /// A pass for a response that runs for longer: it ends when its permission does.
    pub fn pass(&self, access: &Access, action: Action, stream: Option<Arc<str>>) -> Pass {
        let generation = self.generation();
        let subject = stream.as_deref().map_or(Subject::Server, Subject::Stream);
        let decision = self.decide(&access.identity, action, subject, access.peer);
        let pass = self.0.passes.issue((access.identity.clone(), access.peer), action, stream, generation, decision);
        if let Decision::Refused(why) = decision {
            self.0.stats.ended(why);
        }
        pass
    }

    /// Ends what runs without a permission, until `stop`. To be run as a task.
    pub async fn sweep(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
            let (generation, policy, now) = (self.generation(), self.policy(), SystemTime::now());
            self.0.passes.sweep(&policy, generation, now, |why| self.0.stats.ended(why));
        }
    }
}

/// Who asks, from where.
#[derive(Debug, Clone)]
pub struct Access {
    gate: Gate,
    /// Who.
    pub identity: Identity,
    /// The address of the client, after trusted proxies.
    pub peer: IpAddr,
}

impl Access {
    /// Who was identified by `gate`.
    pub fn new(gate: Gate, identity: Identity, peer: IpAddr) -> Self {
        Self { gate, identity, peer }
    }

    /// The gate.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Decides.
    pub fn decide(&self, action: Action, subject: Subject<'_>) -> Decision {
        self.gate.decide(&self.identity, action, subject, self.peer)
    }

    /// Whether lists and pages show the stream to it.
    pub fn sees(&self, stream: &str) -> bool {
        self.sees_subject(Subject::Stream(stream))
    }

    /// Whether they show it each stream that there may be, and so what names any of them.
    pub fn sees_all(&self) -> bool {
        self.sees_subject(Subject::EveryStream)
    }

    fn sees_subject(&self, subject: Subject<'_>) -> bool {
        let may = |action| matches!(self.decide(action, subject), Decision::Allowed { .. });
        may(Action::View) || may(Action::Still)
    }
}

/// SHA-256 of a token, as the configuration has it.
pub fn token_digest(token: &Secret) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, token.expose().as_bytes());
    digest.as_ref().try_into().unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
