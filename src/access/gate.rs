//! The gate that every entrance asks: it finds out who asks, decides by the newest policy, and ends what runs when its permission
//! ends. Clones are the same.

use super::{
    action::Action,
    address_rate::AddressRate,
    answers::Answers,
    code::{self, Codes},
    credentials::{Accepted, CredentialError, Presented, TOKEN_PREFIX},
    decide::{Decision, Identity, decide},
    digest::{self as digest_auth, Algorithm, DigestAnswer, NonceAge},
    fetch::Fetch,
    hook::Claim,
    jwt::{JwtError, KeySet},
    key_file::WatchedKeys,
    key_pace::{Hope, Pace, WAIT},
    link::{Link, LinkError},
    network::any_contains,
    pass::{Pass, Passes},
    password::{self, PasswordHash},
    permission::Subject,
    policy::{IndexedPolicy, KeySource, Policy},
    refusals::Refusals,
    secret::Secret,
    session::Sessions,
    stats::{AccessStats, Mechanism},
    verified::Verified,
};
use crate::telemetry::{Fact, Facts};
use aws_lc_rs::{
    digest, hmac,
    rand::{SecureRandom, SystemRandom},
};
use data_encoding::BASE64URL_NOPAD;
use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};
use tokio::sync::{Notify, Semaphore, watch};
use tokio_util::sync::CancellationToken;

/// Passwords that are checked at a time: each costs a core and its memory for tens of milliseconds.
const CHECKS: usize = 2;
/// Requests that may wait for such a check.
const WAITING: usize = 16;
/// When to try again when there are more.
const BUSY: Duration = Duration::from_secs(1);
/// Interval between two looks at the permissions of what runs.
const SWEEP: Duration = Duration::from_millis(500);

/// Wrong credentials of an address in a row before it has to wait, and after how long it may try once more.
const GUESSES: u32 = 5;
const GUESS_INTERVAL: Duration = Duration::from_secs(2);

/// Who may pass.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    policy: Mutex<Arc<IndexedPolicy>>,
    generation: AtomicU64,
    /// Of this process: for digests that are kept.
    key: hmac::Key,
    /// When the clock of nonces began.
    began: Instant,
    verified: Mutex<Verified>,
    sessions: Mutex<Sessions>,
    codes: Mutex<Codes>,
    guesses: Mutex<AddressRate>,
    checks: Arc<Semaphore>,
    waiting: Semaphore,
    passes: Passes,
    changed: Notify,
    stats: AccessStats,
    refusals: Mutex<Refusals>,
    /// Where refused credentials are reported.
    facts: OnceLock<Facts>,
    /// Makes requests to services.
    fetch: OnceLock<Fetch>,
    answers: Mutex<Answers>,
    hook_is_well: AtomicBool,
    /// Of fetches of keys.
    pace: Mutex<Pace>,
    keys_wanted: Notify,
    keys_came: watch::Sender<()>,
    readdressed: Notify,
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
    /// The token of a service is wrong or has expired.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    /// The link is wrong or has expired.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The challenge that was answered is too old.
    #[error("the nonce is too old: answer the new one")]
    Stale,
    /// Too many wrong ones from this address, or too many checks.
    #[error("too many attempts")]
    TooMany {
        /// When to try again.
        retry_after: Duration,
    },
}

impl Gate {
    /// A gate with this policy, of which `keys` verify JSON Web Tokens.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn new(policy: Policy, keys: KeySet) -> std::io::Result<Self> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new());
        let key = key.map_err(|_| std::io::Error::other("the system has no random numbers"))?;
        Ok(Self(Arc::new(Inner {
            policy: Mutex::new(Arc::new(IndexedPolicy::new(policy, keys))),
            generation: AtomicU64::new(0),
            key,
            began: Instant::now(),
            verified: Mutex::default(),
            sessions: Mutex::default(),
            codes: Mutex::default(),
            guesses: Mutex::new(AddressRate::new(GUESSES, GUESS_INTERVAL)),
            checks: Arc::new(Semaphore::new(CHECKS)),
            waiting: Semaphore::new(CHECKS + WAITING),
            passes: Passes::default(),
            changed: Notify::new(),
            stats: AccessStats::default(),
            refusals: Mutex::default(),
            facts: OnceLock::new(),
            fetch: OnceLock::new(),
            answers: Mutex::default(),
            hook_is_well: AtomicBool::new(true),
            pace: Mutex::default(),
            keys_wanted: Notify::new(),
            keys_came: watch::Sender::new(()),
            readdressed: Notify::new(),
        })))
    }

    /// Sets the policy, also for what runs already. Returns whether it is another one.
    pub fn set_policy(&self, policy: Policy, keys: KeySet) -> bool {
        let mut current = lock(&self.0.policy);
        // Those of an address are fetched by a task: those of before serve until then.
        let keys = if policy.has_key_address_of(current.policy()) { current.keys().clone() } else { keys };
        if *current.policy() == policy && *current.keys() == keys {
            return false;
        }
        *current = Arc::new(IndexedPolicy::new(policy, keys));
        drop(current);
        self.is_changed();
        self.0.readdressed.notify_one();
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
        let Policy { tokens, jwt, link_keys, hook, .. } = policy.policy();
        let bearer = !tokens.is_empty() || jwt.is_some() || hook.is_some();
        Accepted { basic: policy.has_passwords() || hook.is_some(), bearer, links: !link_keys.is_empty() }
    }

    /// Who presents this. Checks at most two passwords at a time. Cancel-safe.
    ///
    /// # Errors
    /// When it is wrong: that is never anyone.
    pub async fn identify(&self, presented: Presented, peer: IpAddr) -> Result<Identity, Rejection> {
        match presented {
            Presented::Nothing => Ok(Identity::Anyone),
            Presented::Link(link) => self.by_link(&link, peer),
            Presented::Session(secret) => Ok(self.of_session(&secret)),
            Presented::Bearer(token) => self.by_token(&token, peer).await,
            Presented::Basic { user, password } => self.by_password(user, password, peer).await,
            Presented::Digest { answer, method } => self.by_digest(&answer, &method, peer),
        }
    }

    /// Makes a code that logs in once, as one who may do all. `None` when the system has no random numbers.
    pub fn issue_code(&self) -> Option<Secret> {
        let mut random = [0; 10];
        SystemRandom::new().fill(&mut random).ok()?;
        let code = code::written(random);
        lock(&self.0.codes).issue(token_digest(&code), Instant::now());
        Some(code)
    }

    /// Takes a code that was typed in, which is not good any more then.
    ///
    /// # Errors
    /// When it is wrong, was used, or is older than 15 minutes.
    pub fn redeem(&self, text: &str, peer: IpAddr) -> Result<Identity, Rejection> {
        self.take_try(peer)?;
        let is_right = code::typed(text).is_some_and(|code| {
            let digest = token_digest(&code);
            lock(&self.0.codes).take(&digest, Instant::now())
        });
        if is_right {
            lock(&self.0.guesses).give_back(peer);
            return Ok(Identity::Code);
        }
        self.failed(Mechanism::Code, peer);
        Err(Rejection::Wrong)
    }

    /// Begins a login of a user, which lasts until it ends by itself, by [`Gate::close_session`], or with the password of the user.
    /// `None` for others, who bring their credential with each request.
    pub fn open_session(&self, identity: &Identity) -> Option<Secret> {
        let (Identity::User { .. } | Identity::Code) = identity else { return None };
        let mut bytes = [0; 32];
        SystemRandom::new().fill(&mut bytes).ok()?;
        let secret = Secret::new(BASE64URL_NOPAD.encode(&bytes));
        lock(&self.0.sessions).open(token_digest(&secret), identity.clone(), Instant::now());
        Some(secret)
    }

    /// Who logged in with this secret; anyone where the login has ended.
    fn of_session(&self, secret: &Secret) -> Identity {
        let found = lock(&self.0.sessions).find(&token_digest(secret), Instant::now());
        let identity = found.unwrap_or(Identity::Anyone);
        let is_known = match &identity {
            Identity::User { name, password } => {
                self.policy().user(name).is_some_and(|user| user.password.as_ref() == Some(password))
            }
            _ => true,
        };
        if is_known { identity } else { Identity::Anyone }
    }

    /// Ends a login.
    pub fn close_session(&self, secret: &Secret) {
        lock(&self.0.sessions).close(&token_digest(secret));
    }

    /// Counts a credential that could not be read.
    pub fn malformed(&self, error: CredentialError, peer: IpAddr) -> Rejection {
        self.wrong(Mechanism::Malformed, peer, error.into())
    }

    /// Counts a wrong key of a feed that is published to.
    pub fn wrong_key(&self, peer: IpAddr) -> Rejection {
        self.wrong(Mechanism::PublishKey, peer, Rejection::Wrong)
    }

    /// Whether an action may be done from this address at all.
    pub fn permits_from(&self, action: Action, peer: IpAddr) -> bool {
        let policy = self.policy();
        let Policy { deny, allow, .. } = policy.policy();
        let is_allowed = |(listed, networks): &(Action, Vec<_>)| *listed != action || any_contains(networks, peer);
        !any_contains(deny, peer) && allow.iter().all(is_allowed)
    }

    fn by_link(&self, text: &Secret, peer: IpAddr) -> Result<Identity, Rejection> {
        let policy = self.policy();
        match Link::verify(text.expose(), |name| policy.policy().link_key(name), SystemTime::now()) {
            Ok(link) => Ok(Identity::Link(Arc::new(link))),
            // Who has an old link does not guess.
            Err(LinkError::Expired) => {
                self.failed(Mechanism::Link, peer);
                Err(LinkError::Expired.into())
            }
            Err(LinkError::Invalid) => Err(self.wrong(Mechanism::Link, peer, LinkError::Invalid.into())),
        }
    }

    async fn by_token(&self, token: &Secret, peer: IpAddr) -> Result<Identity, Rejection> {
        let digest = token_digest(token);
        let mut policy = self.policy();
        if let Some(token) = policy.token(&digest) {
            return Ok(Identity::Token { name: token.name.clone(), digest });
        }
        if policy.policy().jwt.is_none() || token.expose().starts_with(TOKEN_PREFIX) {
            return Err(self.wrong(Mechanism::Token, peer, Rejection::Wrong));
        }
        if policy.keys().lacks_key_of(token) && self.await_keys().await {
            policy = self.policy();
        }
        let rules = policy.policy().jwt.as_ref().map(|jwt| jwt.rules.clone()).unwrap_or_default();
        let verified = policy.keys().verify(token, &rules, SystemTime::now());
        verified.map(|jwt| Identity::Jwt(Arc::new(jwt))).map_err(|error| match error {
            JwtError::Invalid => self.wrong(Mechanism::Jwt, peer, error.into()),
            // Who has an old or a foreign token does not guess.
            JwtError::Time | JwtError::Foreign => {
                self.failed(Mechanism::Jwt, peer);
                error.into()
            }
        })
    }

    /// Waits until keys of JSON Web Tokens were fetched again, where that may be. Whether there was a fetch.
    async fn await_keys(&self) -> bool {
        if !matches!(self.policy().policy().jwt.as_ref().map(|jwt| &jwt.keys), Some(KeySource::Address(_))) {
            return false;
        }
        let mut came = self.0.keys_came.subscribe();
        match self.with_pace(|pace| pace.hope(Instant::now())) {
            Hope::None => return false,
            Hope::Fetch => self.0.keys_wanted.notify_one(),
            Hope::Wait => {}
        }
        tokio::time::timeout(WAIT, came.changed()).await.is_ok()
    }

    /// What only the hook can check: what nobody of the configuration has.
    pub(super) fn claim(&self, presented: &Presented) -> Option<Claim> {
        let policy = self.policy();
        policy.policy().hook.as_ref()?;
        match presented {
            Presented::Basic { user, password } if policy.user(user).is_none() => {
                Some(Claim { user: user.clone(), password: password.clone(), ..Claim::nothing() })
            }
            Presented::Bearer(token) => {
                let is_ours = token.expose().starts_with(TOKEN_PREFIX) || policy.token(&token_digest(token)).is_some();
                (!is_ours && policy.policy().jwt.is_none()).then(|| Claim { token: token.clone(), ..Claim::nothing() })
            }
            _ => None,
        }
    }

    async fn by_password(&self, user: String, password: Secret, peer: IpAddr) -> Result<Identity, Rejection> {
        let known = self.policy().user(&user).and_then(|user| Some((user.name.clone(), user.password.clone()?)));
        let length = u64::try_from(user.len()).unwrap_or_default().to_be_bytes();
        let parts = [&length, user.as_bytes(), password.expose().as_bytes()].concat();
        let digest = self.keyed_digest(&parts);
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
                self.failed(Mechanism::Password, peer);
                Err(Rejection::Wrong)
            }
        }
    }

    /// Whether users may answer a challenge of Digest.
    pub fn has_digests(&self) -> bool {
        self.policy().policy().has_digests()
    }

    /// The challenges of Digest: the better algorithm first, and the one last that all clients know, since some of them take the last one.
    pub fn challenges(&self, is_stale: bool) -> [String; 2] {
        let nonce = digest_auth::nonce(&self.0.key, self.0.began.elapsed());
        [Algorithm::Sha256, Algorithm::Md5].map(|algorithm| digest_auth::challenge(algorithm, &nonce, is_stale))
    }

    /// Whether an answer is to a challenge of this process, and of the last minutes.
    pub fn is_fresh(&self, answer: &DigestAnswer) -> bool {
        digest_auth::age(&self.0.key, &answer.nonce, self.0.began.elapsed()) == NonceAge::Fresh
    }

    fn by_digest(&self, answer: &DigestAnswer, method: &str, peer: IpAddr) -> Result<Identity, Rejection> {
        let known = self
            .policy()
            .user(&answer.user)
            .and_then(|user| Some((user.name.clone(), user.password.clone()?, user.digest.clone()?)));
        self.take_try(peer)?;
        match known.filter(|(.., secret)| secret.is_answered(answer, method)) {
            // One of before a restart of the server is old as well.
            Some(_) if !self.is_fresh(answer) => {
                lock(&self.0.guesses).give_back(peer);
                Err(Rejection::Stale)
            }
            Some((name, password, _)) => {
                lock(&self.0.guesses).give_back(peer);
                Ok(Identity::User { name, password })
            }
            None => {
                self.failed(Mechanism::Digest, peer);
                Err(Rejection::Wrong)
            }
        }
    }

    async fn check(&self, hash: Option<Arc<PasswordHash>>, password: Secret) -> bool {
        // The permit goes with the work, which does not end when the caller no longer waits.
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

    /// Checks the passphrase of a connection, which belongs to no user. A wrong one is a guess of this peer, like a password. The check
    /// takes about a millisecond.
    ///
    /// # Errors
    /// When it is wrong, or has been too often: then nothing is checked.
    pub fn check_passphrase<T>(&self, peer: IpAddr, check: impl FnOnce() -> Option<T>) -> Result<T, Rejection> {
        self.take_try(peer)?;
        match check() {
            Some(found) => {
                lock(&self.0.guesses).give_back(peer);
                Ok(found)
            }
            None => {
                self.failed(Mechanism::Passphrase, peer);
                Err(Rejection::Wrong)
            }
        }
    }

    /// A digest that nobody outside this process can make.
    pub(super) fn keyed_digest(&self, bytes: &[u8]) -> [u8; 32] {
        hmac::sign(&self.0.key, bytes).as_ref().try_into().unwrap_or_default()
    }

    pub(super) fn give_try_back(&self, peer: IpAddr) {
        lock(&self.0.guesses).give_back(peer);
    }

    pub(super) fn with_answers<T>(&self, work: impl FnOnce(&mut Answers) -> T) -> T {
        work(&mut lock(&self.0.answers))
    }

    pub(super) fn with_pace<T>(&self, work: impl FnOnce(&mut Pace) -> T) -> T {
        work(&mut lock(&self.0.pace))
    }

    /// Requests to services are made by this from now on; without it, they fail.
    pub fn fetch_by(&self, fetch: Fetch) {
        let _ = self.0.fetch.set(fetch);
    }

    pub(super) fn fetch(&self) -> Option<Fetch> {
        self.0.fetch.get().cloned()
    }

    /// Logs that the hook does not answer, and that it answers again.
    pub(super) fn report_hook(&self, has_answered: bool, reason: &str) {
        let was_well = self.0.hook_is_well.swap(has_answered, Ordering::Relaxed);
        match (was_well, has_answered) {
            (true, false) => {
                tracing::warn!(reason, "the hook that decides does not answer: what it should permit is refused")
            }
            (false, true) => tracing::info!("the hook that decides answers again"),
            _ => {}
        }
    }

    /// Returns when the policy was changed. Cancel-safe.
    pub(super) async fn other_address(&self) {
        self.0.readdressed.notified().await;
    }

    /// Returns when somebody needs other keys. Cancel-safe.
    pub(super) async fn keys_wanted(&self) {
        self.0.keys_wanted.notified().await;
    }

    /// Those who wait for keys look again.
    pub(super) fn keys_came(&self) {
        self.0.keys_came.send_replace(());
    }

    /// Takes keys that come from an address, if that still counts. Whether they are others.
    pub(super) fn exchange_keys(&self, address: &str, keys: KeySet) -> bool {
        let mut current = lock(&self.0.policy);
        let policy = current.policy().clone();
        let source = policy.jwt.as_ref().map(|jwt| &jwt.keys);
        if !matches!(source, Some(KeySource::Address(known)) if known == address) || *current.keys() == keys {
            return false;
        }
        *current = Arc::new(IndexedPolicy::new(policy, keys));
        drop(current);
        self.is_changed();
        true
    }

    fn is_changed(&self) {
        self.0.generation.fetch_add(1, Ordering::Release);
        lock(&self.0.verified).clear();
        lock(&self.0.answers).clear();
        self.0.changed.notify_one();
    }

    pub(super) fn take_try(&self, peer: IpAddr) -> Result<(), Rejection> {
        let taken = lock(&self.0.guesses).take(peer, Instant::now());
        taken.map_err(|retry_after| {
            self.failed(Mechanism::Throttled, peer);
            Rejection::TooMany { retry_after }
        })
    }

    fn wrong(&self, mechanism: Mechanism, peer: IpAddr, rejection: Rejection) -> Rejection {
        if let Err(throttled) = self.take_try(peer) {
            return throttled;
        }
        self.failed(mechanism, peer);
        rejection
    }

    /// Refused credentials are reported there from now on.
    pub fn report_to(&self, facts: Facts) {
        let _ = self.0.facts.set(facts);
    }

    pub(super) fn failed(&self, mechanism: Mechanism, peer: IpAddr) {
        self.0.stats.failed(mechanism);
        let Some(facts) = self.0.facts.get() else { return };
        if let Some(times) = lock(&self.0.refusals).refused(Instant::now()) {
            let fact = Fact::audit("auth.refused").with("mechanism", mechanism.name());
            facts.report(fact.with("times", times).at(peer));
        }
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

    /// Takes new keys for JSON Web Tokens, if their file has any. A bad file changes nothing.
    async fn renew_keys(&self, mut keys: WatchedKeys) -> WatchedKeys {
        let policy = self.policy();
        let Some(KeySource::File(path)) = policy.policy().jwt.as_ref().map(|jwt| jwt.keys.clone()) else { return keys };
        let looked = tokio::task::spawn_blocking(move || {
            let found = keys.look(&path);
            (keys, found)
        });
        let Ok((keys, found)) = looked.await else { return WatchedKeys::default() };
        match found {
            Some(Ok(found)) => {
                // Not if the policy was changed meanwhile: it came with keys of its own.
                let is_newest = Arc::ptr_eq(&policy, &self.policy());
                if is_newest && self.set_policy(policy.policy().clone(), found) {
                    tracing::info!("keys of JSON Web Tokens renewed");
                }
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "keys of JSON Web Tokens not renewed: the previous ones are still used")
            }
            None => {}
        }
        keys
    }

    /// Takes new keys, and ends what runs without a permission, until `stop`. To be run as a task.
    pub async fn sweep(self, stop: CancellationToken) {
        let mut keys = WatchedKeys::default();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
            keys = self.renew_keys(keys).await;
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

#[cfg(test)]
mod tests;
