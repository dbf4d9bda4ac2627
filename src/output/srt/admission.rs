//! Whether a caller gets what it asks for.

use super::{
    listener::Deployed,
    target,
    wire::{
        handshake::Refusal,
        key::{KeyError, Keys, Passphrase},
        stream_id::StreamId,
    },
};
use crate::{
    access::{Access, Action, Decision, Gate, Pass, Presented, Refused, Rejection, Secret, Subject},
    engine::registry::StreamHandle,
    sys::overload::{CurrentLoad, LoadLevel},
};
use std::{net::IpAddr, sync::Arc};

/// A handshake that holds its cookie.
#[derive(Debug)]
pub struct Request {
    /// Where it comes from.
    pub peer: IpAddr,
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
    /// The name of the stream.
    pub name: Arc<str>,
    /// The stream.
    pub stream: Arc<StreamHandle>,
    /// The name of the identity.
    pub user: Option<String>,
    /// Ends with its permission.
    pub pass: Pass,
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
        tracing::debug!(peer = %request.peer, %error, "stream id not understood");
        (Refusal::BAD_REQUEST, String::new())
    })?;
    let asked = if id.name.is_empty() { deployed.settings.stream.clone().unwrap_or_default() } else { id.name.clone() };
    let refuse = |refusal| (refusal, asked.chars().take(64).collect());
    let stream = target::find(&deployed.registry, &asked).ok_or_else(|| refuse(Refusal::NOT_FOUND))?;
    let name: Arc<str> = stream.config.name.as_str().into();
    let action = if id.publishes { Action::Publish } else { Action::View };
    let access = identify(gate, &id, request.peer).await.map_err(refuse)?;
    if let Decision::Refused(why) = access.decide(action, Subject::Stream(&name)) {
        gate.stats().refused(action);
        return Err(refuse(match why {
            Refused::Unauthenticated | Refused::Expired | Refused::Withdrawn => Refusal::UNAUTHORIZED,
            Refused::Forbidden | Refused::Network => Refusal::FORBIDDEN,
        }));
    }
    if id.publishes {
        return Err(refuse(Refusal::BAD_MODE));
    }
    if load.level() >= LoadLevel::Overloaded {
        return Err(refuse(Refusal::OVERLOAD));
    }
    let pass = gate.pass(&access, action, Some(name.clone()));
    Ok(Granted { keys, name, stream: stream.clone(), user: access.identity.name(), pass })
}

/// The keys of a caller, which both sides must have or both not. A wrong passphrase counts as a guess of its address.
fn keys(deployed: &Deployed, gate: &Gate, request: &Request) -> Result<Option<Keys>, Refusal> {
    let passphrase = deployed.settings.passphrase.as_ref().and_then(|secret| Passphrase::new(secret.expose()));
    match (passphrase, &request.key) {
        (None, None) => Ok(None),
        (None, Some(_)) | (Some(_), None) => Err(Refusal::UNSECURE),
        (Some(passphrase), Some(message)) => {
            let mut malformed = false;
            let found = gate.check_passphrase(request.peer, || {
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

/// Who asks: a link in the query, a user with a password, or a token.
async fn identify(gate: &Gate, id: &StreamId, peer: IpAddr) -> Result<Access, Refusal> {
    let accepted = gate.accepted();
    let presented = match Presented::read(accepted, &id.query, []) {
        Ok(Presented::Nothing) => match (&id.user, &id.secret) {
            (Some(user), Some(password)) if accepted.basic => {
                Presented::Basic { user: user.clone(), password: Secret::new(password.as_str()) }
            }
            (None, Some(token)) if accepted.bearer => Presented::Bearer(Secret::new(token.as_str())),
            _ => Presented::Nothing,
        },
        Ok(presented) => presented,
        Err(error) => {
            gate.malformed(error, peer);
            return Err(Refusal::UNAUTHORIZED);
        }
    };
    match gate.identify(presented, peer).await {
        Ok(identity) => Ok(Access::new(gate.clone(), identity, peer)),
        Err(Rejection::TooMany { .. }) => Err(Refusal::BACKLOG),
        Err(_) => Err(Refusal::UNAUTHORIZED),
    }
}
