//! Passes of responses that run for longer than a moment. Each ends when its permission does.

use super::{
    action::Action,
    decide::{Decision, Identity, Refused, decide},
    permission::Subject,
    policy::IndexedPolicy,
};
use slab::Slab;
use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};
use tokio_util::sync::CancellationToken;

/// Why a response ends.
const EXPIRED: &str = "permission expired";
const WITHDRAWN: &str = "permission withdrawn";
/// A person ordered that it ends.
pub const KICKED: &str = "ended by an operator";

/// The pass of one response, which has ended when this is dropped.
#[derive(Debug)]
pub struct Pass {
    passes: Passes,
    number: usize,
    end: End,
}

/// Signals that a pass has ended. Clones are the same.
#[derive(Debug, Clone)]
pub struct End {
    token: CancellationToken,
    reason: Arc<Mutex<&'static str>>,
}

/// All passes of a gate. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Passes(Arc<Mutex<Slab<Holder>>>);

#[derive(Debug)]
struct Holder {
    identity: Identity,
    peer: IpAddr,
    action: Action,
    stream: Option<Arc<str>>,
    /// Of the policy that decided last.
    generation: u64,
    until: Option<SystemTime>,
    end: End,
}

impl Pass {
    /// Its end.
    pub fn end(&self) -> &End {
        &self.end
    }

    /// What ends it by order of a person.
    pub fn ended_by_order(&self) -> Box<dyn Fn() + Send + Sync> {
        let end = self.end.clone();
        Box::new(move || end.kick())
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.passes.lock().try_remove(self.number);
    }
}

impl End {
    /// Why it has ended, if it has.
    pub fn reason(&self) -> Option<&'static str> {
        self.token.is_cancelled().then(|| *self.reason.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when it has ended. Cancel-safe.
    pub async fn wait(&self) -> &'static str {
        self.token.cancelled().await;
        self.reason().unwrap_or(WITHDRAWN)
    }

    /// The token that is cancelled then.
    pub fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Ends it by order of a person.
    pub fn kick(&self) {
        self.finish(KICKED);
    }

    fn set(&self, why: Refused) {
        self.finish(if why == Refused::Expired { EXPIRED } else { WITHDRAWN });
    }

    fn finish(&self, reason: &'static str) {
        *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
        self.token.cancel();
    }
}

impl Passes {
    /// A pass that was decided by this generation of the policy.
    pub fn issue(
        &self,
        (identity, peer): (Identity, IpAddr),
        action: Action,
        stream: Option<Arc<str>>,
        generation: u64,
        decision: Decision,
    ) -> Pass {
        let end = End { token: CancellationToken::new(), reason: Arc::new(Mutex::new(WITHDRAWN)) };
        let until = match decision {
            Decision::Allowed { until } => until,
            Decision::Refused(why) => {
                end.set(why);
                None
            }
        };
        let holder = Holder { identity, peer, action, stream, generation, until, end: end.clone() };
        let number = self.lock().insert(holder);
        Pass { passes: self.clone(), number, end }
    }

    /// Ends those that are past their time, and those that a new policy does not permit. `ended` counts them.
    pub fn sweep(&self, policy: &IndexedPolicy, generation: u64, now: SystemTime, ended: impl Fn(Refused)) {
        for (_, holder) in self.lock().iter_mut() {
            let is_decided = holder.generation == generation && holder.until.is_none_or(|until| until > now);
            if is_decided || holder.end.token.is_cancelled() {
                continue;
            }
            let subject = holder.stream.as_deref().map_or(Subject::Server, Subject::Stream);
            match decide(policy, &holder.identity, holder.action, subject, holder.peer, now) {
                Decision::Allowed { until } => (holder.generation, holder.until) = (generation, until),
                Decision::Refused(why) => {
                    holder.end.set(why);
                    ended(why);
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab<Holder>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
