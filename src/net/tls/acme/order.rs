//! One order of a certificate: account, challenges, request, certificate.

use super::{
    challenges::{Challenges, Shown},
    client::Requests,
    store::{Account as Kept, Store},
};
use crate::{
    config::{self, Challenge},
    net::{
        HttpClient,
        tls::{authorities::TrustError, certificate::TlsError},
    },
};
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, Order, OrderStatus, Problem,
    RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use std::{fmt, time::Duration};

/// How the state of an order is looked at until it changes: authorities validate within seconds, and a private one within milliseconds.
const LOOKS: RetryPolicy =
    RetryPolicy::new().initial_delay(Duration::from_millis(100)).backoff(1.5).timeout(Duration::from_secs(180));
/// Most characters of what an authority says that are kept.
const MAX_SAID: usize = 1000;
/// Begins the names of errors (RFC 8555, section 6.7).
const ERRORS: &str = "urn:ietf:params:acme:error:";
/// The authority does not know the account.
const NO_ACCOUNT: &str = "urn:ietf:params:acme:error:accountDoesNotExist";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// The authorities that vouch for the directory cannot be read.
    #[error("cannot read the authorities that vouch for {directory}")]
    Trust {
        /// The address.
        directory: String,
        /// Why.
        #[source]
        error: TrustError,
    },
    /// A step did not succeed.
    #[error("cannot {step}")]
    Step {
        /// Which one.
        step: &'static str,
        /// Why.
        #[source]
        error: Said,
    },
    /// The authority has no challenge that this server could meet.
    #[error("the authority offers no {} for {name}: choose the other `challenge`", challenge.name())]
    NotOffered {
        /// The name to prove.
        name: String,
        /// What was looked for.
        challenge: Challenge,
    },
    /// The authority did not find what proves a name.
    #[error("the authority could not validate {0}")]
    NotValid(String),
    /// A file, or what the authority sent, cannot be used.
    #[error(transparent)]
    Certificate(#[from] TlsError),
    /// No request can be made.
    #[error("cannot make the request for a certificate")]
    Request(#[from] rcgen::Error),
}

/// What went wrong with a step.
#[derive(Debug, thiserror::Error)]
pub enum Said {
    /// In the words of the authority.
    #[error("the authority says: {0}")]
    Authority(String),
    /// It did not come to that.
    #[error(transparent)]
    Other(Error),
}

/// A certificate with those between it and its authority, and its key, as PEM.
pub struct Issued {
    /// The certificates.
    pub chain: String,
    /// The private key.
    pub key: String,
}

/// Orders a certificate. Takes minutes at most; dropped, no challenge stays open.
///
/// # Errors
/// See [`OrderError`].
pub async fn order(wanted: &config::Acme, store: &Store, challenges: &Challenges) -> Result<Issued, OrderError> {
    let client = tokio::task::block_in_place(|| HttpClient::new(wanted.authority.as_deref()));
    let client = client.map_err(|error| OrderError::Trust { directory: wanted.directory.clone(), error })?;
    let account = account(wanted, store, client).await?;
    let identifiers: Vec<_> = wanted.names.iter().cloned().map(Identifier::Dns).collect();
    let opened = account.new_order(&NewOrder::new(&identifiers)).await;
    if opened.as_ref().is_err_and(is_of_no_account) {
        // The next try makes another one.
        tokio::task::block_in_place(|| store.forget_account())?;
    }
    let mut order = opened.map_err(failed("order a certificate"))?;
    let shown = show(wanted, &mut order, challenges).await?;
    match order.poll_ready(&LOOKS).await {
        Ok(OrderStatus::Ready) => {}
        // The order itself seldom has the reason.
        Ok(_) => return Err(OrderError::NotValid(refused(&mut order).await)),
        Err(Error::Api(problem)) => {
            let refused = format!("{} ({})", refused(&mut order).await, said(&problem));
            return Err(OrderError::NotValid(refused));
        }
        Err(error) => return Err(failed("prove the names")(error)),
    }
    drop(shown);
    let key = KeyPair::generate()?;
    let mut parameters = CertificateParams::new(wanted.names.clone())?;
    parameters.distinguished_name = DistinguishedName::new();
    let request = parameters.serialize_request(&key)?;
    order.finalize_csr(request.der()).await.map_err(failed("request the certificate"))?;
    let chain = order.poll_certificate(&LOOKS).await.map_err(failed("fetch the certificate"))?;
    Ok(Issued { chain, key: key.serialize_pem() })
}

/// The account of this server, which is made by the first order.
async fn account(wanted: &config::Acme, store: &Store, client: HttpClient) -> Result<Account, OrderError> {
    let builder = Account::builder_with_http(Box::new(Requests(client)));
    let contact: Vec<&str> = wanted.contact.iter().map(String::as_str).collect();
    let Some(kept) = tokio::task::block_in_place(|| store.account())? else {
        let wish = NewAccount { contact: &contact, terms_of_service_agreed: true, only_return_existing: false };
        let made = builder.create(&wish, wanted.directory.clone(), None).await;
        let (account, credentials) = made.map_err(failed("open an account"))?;
        tracing::info!(account = account.id(), "account opened at the authority");
        let kept = Kept { contact: wanted.contact.clone(), credentials };
        tokio::task::block_in_place(|| store.keep_account(&kept))?;
        return Ok(account);
    };
    let account = builder.from_credentials(kept.credentials).await.map_err(failed("reach the authority"))?;
    if kept.contact != wanted.contact {
        let updated = account.update_contacts(&contact).await;
        if updated.as_ref().is_err_and(is_of_no_account) {
            tokio::task::block_in_place(|| store.forget_account())?;
        }
        updated.map_err(failed("change the contact of the account"))?;
        tokio::task::block_in_place(|| store.change_contact(&wanted.contact))?;
    }
    Ok(account)
}

/// Meets the challenges of an order, and has the authority look. They are met as long as what is returned lives.
async fn show(wanted: &config::Acme, order: &mut Order, challenges: &Challenges) -> Result<Vec<Shown>, OrderError> {
    let mut shown = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization.map_err(failed("read what is to be proven"))?;
        let name = authorization.identifier().to_string();
        match authorization.status {
            AuthorizationStatus::Pending => {}
            // It was proven lately.
            AuthorizationStatus::Valid => continue,
            other => return Err(OrderError::NotValid(format!("{name}: its authorization is {other:?}"))),
        }
        let kind = match wanted.challenge {
            Challenge::TlsAlpn => ChallengeType::TlsAlpn01,
            Challenge::Http => ChallengeType::Http01,
        };
        let challenge = authorization.challenge(kind);
        let not_offered = || OrderError::NotOffered { name: name.clone(), challenge: wanted.challenge };
        let mut challenge = challenge.ok_or_else(not_offered)?;
        let proof = challenge.key_authorization();
        shown.push(match wanted.challenge {
            Challenge::TlsAlpn => {
                let digest = proof.digest();
                let digest = <&[u8; 32]>::try_from(digest.as_ref()).map_err(|_| rcgen::Error::RingUnspecified)?;
                challenges.show_certificate(&name, &challenge.token, digest)?
            }
            Challenge::Http => challenges.show_file(&name, &challenge.token, proof.as_str()),
        });
        challenge.set_ready().await.map_err(failed("begin the validation"))?;
    }
    Ok(shown)
}

/// What the authority says of each name that it could not validate.
async fn refused(order: &mut Order) -> String {
    let mut refused = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let Ok(mut authorization) = authorization else { continue };
        let name = authorization.identifier().to_string();
        if let Ok(state) = authorization.refresh().await {
            let problems = state.challenges.iter().filter_map(|challenge| challenge.error.as_ref());
            refused.extend(problems.map(|problem| format!("{name}: {}", said(problem))));
        }
    }
    if refused.is_empty() { "the names, and does not say why".to_owned() } else { refused.join("; ") }
}

fn is_of_no_account(error: &Error) -> bool {
    matches!(error, Error::Api(problem) if problem.r#type.as_deref() == Some(NO_ACCOUNT))
}

fn failed(step: &'static str) -> impl Fn(Error) -> OrderError {
    move |error| {
        let error = match error {
            Error::Api(problem) => Said::Authority(said(&problem)),
            other => Said::Other(other),
        };
        OrderError::Step { step, error }
    }
}

/// A problem document in a sentence.
fn said(problem: &Problem) -> String {
    let mut text = String::new();
    one(&mut text, problem.detail.as_deref(), problem.r#type.as_deref());
    for part in &problem.subproblems {
        text.push_str("; ");
        if let Some(name) = &part.identifier {
            text += &format!("{}: ", name.authorized(false));
        }
        one(&mut text, part.detail.as_deref(), part.r#type.as_deref());
    }
    text.chars().take(MAX_SAID).collect()
}

fn one(text: &mut String, detail: Option<&str>, kind: Option<&str>) {
    let kind = kind.map(|kind| kind.strip_prefix(ERRORS).unwrap_or(kind));
    match (detail, kind) {
        (Some(detail), Some(kind)) => *text += &format!("{detail} ({kind})"),
        (Some(only), None) | (None, Some(only)) => text.push_str(only),
        (None, None) => text.push_str("no, and not why"),
    }
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(json: &str, expect: &str) {
        assert_eq!(said(&serde_json::from_str(json).unwrap()), expect, "{json}");
    }

    #[test]
    fn problems_are_sentences() {
        check(
            r#"{"type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many certificates", "status": 429}"#,
            "too many certificates (rateLimited)",
        );
        check(
            r#"{"type": "urn:ietf:params:acme:error:malformed", "detail": "Some names are not good",
                "subproblems": [{"type": "urn:ietf:params:acme:error:rejectedIdentifier", "detail": "not this one",
                                 "identifier": {"type": "dns", "value": "a.example"}}]}"#,
            "Some names are not good (malformed); a.example: not this one (rejectedIdentifier)",
        );
        check("{}", "no, and not why");
        check(r#"{"type": "about:blank"}"#, "about:blank");
    }

    proptest! {
        #[test]
        fn what_an_authority_says_has_a_bound(detail in "\\PC{0,2000}", kind in "\\PC{0,2000}") {
            let problem = serde_json::json!({"detail": detail, "type": kind});
            prop_assert!(said(&serde_json::from_value(problem).unwrap()).chars().count() <= MAX_SAID);
        }
    }
}
