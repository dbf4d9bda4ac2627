//! Asks the hook: never under a lock, for two seconds at most, and equal questions once. Without an answer nothing is permitted.

use super::{
    action::Action,
    admit::{Asking, NotAdmitted},
    answers::Look,
    decide::{Identity, Refused},
    gate::{Gate, Rejection},
    hook::{Answer, Claim, HookGrant, HookSource, Question},
    permission::{Pattern, Permission, Permissions, Subject},
    stats::{FetchResult, Mechanism},
};
use bytes::Bytes;
use http::{Request, header};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// Time for an answer.
const WITHIN: Duration = Duration::from_secs(2);
/// What is read of an answer in bytes.
const MAX_ANSWER: usize = 64 << 10;

impl Gate {
    /// Asks whether this may be done: who may, if it may. A denial of what was presented counts as a guess.
    ///
    /// # Errors
    /// When it may not, or there is no answer.
    pub(super) async fn ask_hook(
        &self,
        hook: &HookSource,
        identity: &Identity,
        (action, subject): (Action, Subject<'_>),
        asking: &Asking<'_>,
    ) -> Result<Identity, NotAdmitted> {
        let claim = match identity {
            Identity::Claim(claim) => Some(&**claim),
            _ => None,
        };
        let stream = match subject {
            Subject::Stream(stream) => stream,
            Subject::Server | Subject::EveryStream => "",
        };
        let (peer, protocol, query) = (asking.peer, asking.protocol, asking.query);
        let agent = asking.agent.unwrap_or_default();
        let question = Question { claim, peer, action, stream, protocol, query, agent };
        let Some(question) = hook.form.question(&question) else {
            return Err(NotAdmitted::Refused(if claim.is_some() {
                Refused::Forbidden
            } else {
                Refused::Unauthenticated
            }));
        };
        if claim.is_some() {
            // A try is taken first, so that many questions at a time are not many tries.
            self.take_try(peer)?;
        }
        match self.answer_of(hook, question.to_string()).await {
            Answer::Permitted => {
                if claim.is_some() {
                    self.give_try_back(peer);
                }
                let streams = if stream.is_empty() { Some(Pattern::everything()) } else { Pattern::new(stream) };
                let may = streams.map(|streams| Permission::of_action(action, streams)).into_iter().collect();
                let user = claim.map(|claim| claim.user.clone()).unwrap_or_default();
                Ok(Identity::Hook(Arc::new(HookGrant { user, may: Permissions::new(may), source: hook.clone() })))
            }
            Answer::Denied if claim.is_some() => {
                self.failed(Mechanism::Hook, peer);
                Err(Rejection::Wrong.into())
            }
            Answer::Denied => Err(NotAdmitted::Refused(Refused::Unauthenticated)),
            Answer::None => {
                if claim.is_some() {
                    // It is not known whether it was right.
                    self.give_try_back(peer);
                }
                Err(NotAdmitted::Refused(Refused::Undecided))
            }
        }
    }

    async fn answer_of(&self, hook: &HookSource, question: String) -> Answer {
        let digest = self.keyed_digest(&[hook.url.expose().as_bytes(), b"\n", question.as_bytes()].concat());
        let look = self.with_answers(|answers| answers.look(digest, Instant::now()));
        let mut coming = match look {
            Look::Known(answer) => return answer,
            Look::Full => return Answer::None,
            Look::Wait(coming) => coming,
            Look::Ask(answered) => {
                let coming = answered.subscribe();
                let (gate, hook) = (self.clone(), hook.clone());
                // The question continues when the client that caused it has left: others may wait for it.
                tokio::spawn(async move {
                    let answer = gate.request(&hook, question).await;
                    gate.with_answers(|answers| answers.put(digest, answer, hook.keep, Instant::now()));
                    answered.send_replace(Some(answer));
                });
                coming
            }
        };
        let answer = coming.wait_for(Option::is_some).await;
        answer.ok().and_then(|answer| *answer).unwrap_or(Answer::None)
    }

    async fn request(&self, hook: &HookSource, question: String) -> Answer {
        let request = Request::post(hook.url.expose())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("voyandz/", env!("CARGO_PKG_VERSION")))
            .body(Bytes::from(question));
        let fetched = match (self.fetch(), request) {
            (Some(fetch), Ok(request)) => {
                let fetched = tokio::time::timeout(WITHIN, fetch.send(request, MAX_ANSWER)).await;
                fetched.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())))
            }
            (None, _) => Err("there is no client for requests".to_owned()),
            (_, Err(error)) => Err(error.to_string()),
        };
        let (answer, reason) = match fetched {
            Ok((status, body)) => match hook.form.answer(status, &body) {
                Answer::None => (Answer::None, format!("it answers {status}, and nothing that can be understood")),
                answer => (answer, String::new()),
            },
            Err(reason) => (Answer::None, reason),
        };
        self.stats().hook_asked(match answer {
            Answer::Permitted => FetchResult::Permitted,
            Answer::Denied => FetchResult::Denied,
            Answer::None => FetchResult::Failed,
        });
        self.report_hook(answer != Answer::None, &reason);
        answer
    }
}

impl Claim {
    /// The claim as an identity.
    pub(super) fn identity(self) -> Identity {
        Identity::Claim(Arc::new(self))
    }
}
