//! Whether a caller gets what it asks for.

use super::{
    context::Deployed,
    target,
    wire::{
        handshake::Refusal,
        key::{KeyError, Keys, Passphrase},
        stream_id::StreamId,
    },
};
use crate::{
    access::{Access, Action, Asking, Gate, NotAdmitted, Pass, Presented, Refused, Rejection, Secret, Subject},
    config::PublishProtocol,
    engine::registry::StreamHandle,
    output::publish::{
        feeder::Feeder,
        find::ClaimFault,
        permit::{Credentials, Denied},
    },
    source::publisher::PublisherInfo,
    sys::overload::{CurrentLoad, LoadLevel},
};
use data_encoding::BASE64;
use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// A handshake that holds its cookie.
#[derive(Debug)]
pub struct Request {
    /// Where it comes from.
    pub peer: SocketAddr,
    /// What it asks for.
    pub stream_id: String,
    /// The key that it sends, wrapped.
    pub key: Option<Vec<u8>>,
}

/// What a caller gets.
#[derive(Debug)]
pub struct Granted {
    /// The keys of its payloads.
    pub keys: Option<Keys>,
    /// The name of the stream, or of the feed.
    pub name: Arc<str>,
    /// The name of the identity.
    pub user: Option<String>,
    /// What it may do.
    pub purpose: Purpose,
}

/// What a caller may do.
#[derive(Debug)]
pub enum Purpose {
    /// Receive a stream, until the permission ends.
    Play(Arc<StreamHandle>, Pass),
    /// Publish to a feed.
    Publish(Feeder),
}

/// Decides. Checks the passphrase first, then the name, then the permission. Cancel-safe.
///
/// # Errors
/// What the caller is refused with, and for the log the stream that it named and why.
pub async fn decide(
    deployed: &Deployed,
    gate: &Gate,
    load: &CurrentLoad,
    request: &Request,
) -> Result<Granted, (Refusal, String)> {
    let keys = keys(deployed, gate, request).map_err(|refusal| (refusal, String::new()))?;
    let id = StreamId::parse(&request.stream_id).map_err(|error| {
        tracing::debug!(peer = %request.peer, %error, "invalid stream id");
        (Refusal::BAD_REQUEST, String::new())
    })?;
    let asked = if id.name.is_empty() { deployed.settings.stream.clone().unwrap_or_default() } else { id.name.clone() };
    let shown = if id.name.is_empty() { Cow::Borrowed(asked.as_str()) } else { id.shown() };
    let refuse = |refusal| (refusal, shown.chars().take(64).collect());
    if id.publishes {
        let feeder = publish(deployed, gate, &id, &asked, request.peer).await;
        let (name, user, feeder) = feeder.map_err(refuse)?;
        return Ok(Granted { keys, name, user, purpose: Purpose::Publish(feeder) });
    }
    let stream = target::find(&deployed.registry, &asked).ok_or_else(|| refuse(Refusal::NOT_FOUND))?;
    let name: Arc<str> = stream.config.name.as_str().into();
    let action = Action::View;
    let access = admit(gate, &id, (action, &name), request.peer.ip()).await.map_err(refuse)?;
    if load.level() >= LoadLevel::Overloaded {
        return Err(refuse(Refusal::OVERLOAD));
    }
    let pass = gate.pass(&access, action, Some(name.clone()));
    Ok(Granted { keys, name, user: access.identity.name(), purpose: Purpose::Play(stream.clone(), pass) })
}

/// Takes the slot of a feed, by the decision that all publishers are subject to.
async fn publish(
    deployed: &Deployed,
    gate: &Gate,
    id: &StreamId,
    asked: &str,
    peer: SocketAddr,
) -> Result<(Arc<str>, Option<String>, Feeder), Refusal> {
    let target = target::published(&deployed.registry, asked)?;
    let feed: Arc<str> = target.feed().as_str().into();
    let authorization = match (&id.user, &id.secret) {
        (Some(user), Some(password)) => {
            Some(format!("Basic {}", BASE64.encode(format!("{user}:{password}").as_bytes())))
        }
        (None, Some(secret)) => Some(format!("Bearer {secret}")),
        (_, None) => None,
    };
    let credentials = Credentials::read(&id.query, authorization.as_deref().map(str::as_bytes));
    let permit =
        target.permit(gate, credentials, asking(&id.query, peer.ip())).await.map_err(|denied| match denied {
            Denied::Credential(Rejection::TooMany { .. }) => Refusal::BACKLOG,
            Denied::Credential(_) | Denied::NeedsCredential => Refusal::UNAUTHORIZED,
            Denied::Refused(why) => refusal_of(why),
        })?;
    let user = permit.user.clone();
    let info = PublisherInfo { protocol: PublishProtocol::Srt, peer, user: user.clone(), agent: None };
    let publisher = target.claim(info).await.map_err(|error| match error.fault() {
        ClaimFault::Conflict => Refusal::CONFLICT,
        ClaimFault::Forbidden => Refusal::BAD_MODE,
        ClaimFault::Unavailable => Refusal::UNAVAILABLE,
    })?;
    Ok((feed, user, Feeder::new(publisher, permit)))
}

const fn refusal_of(why: Refused) -> Refusal {
    match why {
        Refused::Unauthenticated | Refused::Expired | Refused::Withdrawn | Refused::Stranger => Refusal::UNAUTHORIZED,
        Refused::Undecided => Refusal::UNAVAILABLE,
        Refused::Forbidden | Refused::Network => Refusal::FORBIDDEN,
    }
}

/// The keys of a caller, which both sides must have or both not. A wrong passphrase counts as a guess of its address.
fn keys(deployed: &Deployed, gate: &Gate, request: &Request) -> Result<Option<Keys>, Refusal> {
    let passphrase = deployed.settings.passphrase.as_ref().and_then(|secret| Passphrase::new(secret.expose()));
    match (passphrase, &request.key) {
        (None, None) => Ok(None),
        (None, Some(_)) | (Some(_), None) => Err(Refusal::UNSECURE),
        (Some(passphrase), Some(message)) => {
            let mut malformed = false;
            let found = gate.check_passphrase(request.peer.ip(), || {
                let found = Keys::unwrap(message, passphrase);
                malformed = matches!(found, Err(KeyError::Malformed | KeyError::System));
                found.ok()
            });
            match found {
                Ok(keys) => Ok(Some(keys)),
                Err(_) if malformed => Err(Refusal::ROGUE),
                Err(_) => Err(Refusal::BAD_SECRET),
            }
        }
    }
}

/// Who asks, if that may: by a link in the query, a user with a password, or a token.
async fn admit(gate: &Gate, id: &StreamId, need: (Action, &str), peer: IpAddr) -> Result<Access, Refusal> {
    let accepted = gate.accepted();
    let presented = Presented::read(accepted, &id.query, []).map(|presented| match (presented, &id.user, &id.secret) {
        (Presented::Nothing, Some(user), Some(password)) if accepted.basic => {
            Presented::Basic { user: user.clone(), password: Secret::new(password.as_str()) }
        }
        (Presented::Nothing, None, Some(token)) if accepted.bearer => Presented::Bearer(Secret::new(token.as_str())),
        (presented, ..) => presented,
    });
    let need = Some((need.0, Subject::Stream(need.1)));
    gate.admit(presented, need, asking(&id.query, peer)).await.map_err(|denied| match denied {
        NotAdmitted::Rejected(Rejection::TooMany { .. }) => Refusal::BACKLOG,
        NotAdmitted::Rejected(_) => Refusal::UNAUTHORIZED,
        NotAdmitted::Refused(why) => refusal_of(why),
    })
}

fn asking(query: &str, peer: IpAddr) -> Asking<'_> {
    Asking { peer, proved: None, protocol: "srt", query, agent: None }
}
