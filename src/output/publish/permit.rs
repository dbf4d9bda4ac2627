//! Who may publish to a feed: whoever has its key, and whom the access control permits it.

use crate::{
    access::{
        Accepted, Action, Asking, CredentialError, Gate, LINK_PARAMETER, NotAdmitted, Pass, Presented, Refused,
        Rejection, Secret, Subject, digest::DigestSecret,
    },
    source::publisher::PublishSlot,
};
use percent_encoding::percent_decode_str;

/// The parameter of a query with the key of a feed.
const KEY: &str = "key";
/// Those with a user and a password, where a protocol has no header for them.
const USER: [&str; 2] = ["user", "username"];
const PASSWORD: [&str; 3] = ["pass", "password", "pw"];

/// What a publisher presents.
#[derive(Debug)]
pub struct Credentials {
    key: Option<Secret>,
    presented: Presented,
}

/// Permission to publish.
#[derive(Debug)]
pub struct Permit {
    /// The name of the identity, for the log; `None` for who has the key.
    pub user: Option<String>,
    /// The identity is one that browsers prove by themselves.
    pub is_ambient: bool,
    /// Ends when the permission does.
    pass: Option<Pass>,
}

/// Why somebody must not publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The credential is wrong or cannot be read.
    #[error(transparent)]
    Credential(#[from] Rejection),
    /// Nothing was presented.
    #[error("publishing to this feed needs a key or a user")]
    NeedsCredential,
    /// The identity must not publish to this feed.
    #[error("publishing to this feed is not permitted: {0}")]
    Refused(Refused),
}

impl Credentials {
    /// Reads those in a query and in the values of `Authorization`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read<'a>(query: &str, authorization: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, CredentialError> {
        let all = Accepted { basic: true, bearer: true, links: true };
        let presented = match Presented::read(all, query, authorization)? {
            Presented::Nothing => of_query(query),
            presented => presented,
        };
        Ok(Self { key: parameter(query, &[KEY]).map(Secret::new), presented })
    }
}

impl Credentials {
    /// What was presented in another way than [`Credentials::read`] knows, and the key in a query.
    pub fn with(query: &str, presented: Presented) -> Self {
        Self { key: parameter(query, &[KEY]).map(Secret::new), presented }
    }

    /// Those that the access control knows, in place of the key of a feed.
    pub fn presented(self) -> Presented {
        self.presented
    }
}

/// Whether a parameter of a query with this name is one that permits something.
pub fn is_credential(name: &str) -> bool {
    name == LINK_PARAMETER || name == KEY || USER.contains(&name) || PASSWORD.contains(&name)
}

/// The user and password in a query.
fn of_query(query: &str) -> Presented {
    match (parameter(query, &USER), parameter(query, &PASSWORD)) {
        (Some(user), Some(password)) => Presented::Basic { user, password: Secret::new(password) },
        _ => Presented::Nothing,
    }
}

fn parameter(query: &str, names: &[&str]) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.into_iter().find(|(name, _)| names.contains(name))?;
    percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned())
}

/// Decides whether this client may publish to the feed of a slot. Cancel-safe.
///
/// # Errors
/// Why not.
pub async fn permit(
    gate: &Gate,
    slot: &PublishSlot,
    credentials: Result<Credentials, CredentialError>,
    asking: Asking<'_>,
) -> Result<Permit, Denied> {
    let peer = asking.peer;
    let Credentials { key: given, presented } = credentials.map_err(|error| gate.malformed(error, peer))?;
    let feed = slot.feed().as_str();
    let settings = slot.settings();
    if let Some(key) = &settings.key {
        let of_presented = match &presented {
            Presented::Bearer(secret) | Presented::Basic { password: secret, .. } => Some(secret),
            Presented::Nothing | Presented::Link(_) | Presented::Session(_) | Presented::Digest { .. } => None,
        };
        let is_same = [given.as_ref(), of_presented].into_iter().flatten().any(|given| given.is_same(key));
        let answered = match &presented {
            Presented::Digest { answer, method } => {
                let secret = DigestSecret::of(&answer.user, key.expose());
                secret.is_answered(answer, method).then_some(answer)
            }
            _ => None,
        };
        if answered.is_some_and(|answer| !gate.is_fresh(answer)) {
            return Err(Rejection::Stale.into());
        }
        if is_same || answered.is_some() {
            if !gate.permits_from(Action::Publish, peer) {
                gate.stats().refused(Action::Publish);
                return Err(Denied::Refused(Refused::Network));
            }
            return Ok(Permit { user: None, is_ambient: false, pass: None });
        }
    }
    let accepted = gate.accepted();
    let is_known = match &presented {
        Presented::Nothing | Presented::Session(_) => false,
        Presented::Link(_) => accepted.links,
        Presented::Bearer(_) => accepted.bearer,
        Presented::Basic { .. } => accepted.basic,
        Presented::Digest { .. } => gate.has_digests(),
    };
    // A wrong key is never taken for nothing.
    let has_wrong_key = given.is_some() || (settings.key.is_some() && presented != Presented::Nothing && !is_known);
    if has_wrong_key {
        return Err(gate.wrong_key(peer).into());
    }
    let presented = if is_known { presented } else { Presented::Nothing };
    let has_nothing = presented == Presented::Nothing && asking.proved.is_none();
    match gate.admit(Ok(presented), Some((Action::Publish, Subject::Stream(feed))), asking).await {
        Ok(access) => Ok(Permit {
            user: access.identity.name(),
            is_ambient: access.identity.is_ambient(),
            pass: Some(gate.pass(&access, Action::Publish, Some(feed.into()))),
        }),
        Err(NotAdmitted::Rejected(rejection)) => Err(rejection.into()),
        Err(NotAdmitted::Refused(why)) => {
            Err(if has_nothing && why != Refused::Network { Denied::NeedsCredential } else { Denied::Refused(why) })
        }
    }
}

impl Permit {
    /// Waits until the permission ends: the reason. Cancel-safe.
    pub async fn ended(&self) -> &'static str {
        match &self.pass {
            Some(pass) => pass.end().wait().await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        access::{Grant, KeySet, PasswordHash, Permission, Permissions, Policy, User},
        config::{FeedName, Publish},
        telemetry::Facts,
    };
    use std::{net::IpAddr, sync::Arc};

    fn gate(may: &[&str], anyone: &[&str]) -> Gate {
        let list =
            |texts: &[&str]| Permissions::new(texts.iter().map(|text| Permission::parse(text).unwrap()).collect());
        let user = User {
            name: "anna".into(),
            password: Some(Arc::new(PasswordHash::of("right").unwrap())),
            digest: None,
            certificates: Vec::new(),
            grant: Grant { may: list(may), ..Grant::default() },
        };
        let users = if may.is_empty() { Vec::new() } else { vec![user] };
        let deny = vec!["192.0.2.9".parse().unwrap()];
        Gate::new(Policy { users, deny, anyone: list(anyone), ..Policy::default() }, KeySet::default()).unwrap()
    }

    fn slot(key: Option<&str>) -> PublishSlot {
        let settings = Publish { key: key.map(Secret::new), ..Publish::default() };
        PublishSlot::new(FeedName::new("studio").unwrap(), settings, 0, Facts::default())
    }

    async fn check(
        gate: &Gate,
        key: Option<&str>,
        (query, header): (&str, &str),
        peer: u8,
        expect: Result<Option<&str>, &str>,
    ) {
        let header = (!header.is_empty()).then_some(header.as_bytes());
        let credentials = Credentials::read(query, header);
        let peer = IpAddr::from([192, 0, 2, peer]);
        let asking = Asking { peer, proved: None, protocol: "http", query, agent: None };
        let found = permit(gate, &slot(key), credentials, asking).await;
        let found = found.map(|permit| permit.user).map_err(|denied| denied.to_string());
        assert_eq!(
            found,
            expect.map(|user| user.map(str::to_owned)).map_err(str::to_owned),
            "{key:?} {query} {header:?}"
        );
    }

    // `source:s3cret`, `anna:right` and `anna:wrong`.
    const OF_KEY: &str = "Basic c291cmNlOnMzY3JldA==";
    const OF_ANNA: &str = "Basic YW5uYTpyaWdodA==";
    const OF_OTHER: &str = "Basic YW5uYTp3cm9uZw==";

    #[tokio::test]
    async fn who_has_the_key_may_publish() {
        let (gate, key) = (gate(&[], &["view"]), Some("s3cret"));
        for given in [
            ("key=s3cret", ""),
            ("a=b&key=s3cret", ""),
            ("", OF_KEY),
            ("", "Bearer s3cret"),
            ("user=x&pass=s3cret", ""),
        ] {
            check(&gate, key, given, 1, Ok(None)).await;
        }
        check(
            &gate,
            key,
            ("key=s3cret", ""),
            9,
            Err("publishing to this feed is not permitted: this is not permitted from your address"),
        )
        .await;
        check(&gate, key, ("", ""), 1, Err("publishing to this feed needs a key or a user")).await;
        for wrong in [("key=other", ""), ("", OF_OTHER), ("key=", OF_ANNA)] {
            check(&gate, key, wrong, 2, Err("the credential is wrong")).await;
        }
        // Also where there is none: it is not ignored.
        check(&gate, None, ("key=s3cret", ""), 3, Err("the credential is wrong")).await;
        check(&gate, None, ("", OF_KEY), 3, Err("publishing to this feed needs a key or a user")).await;
    }

    #[tokio::test]
    async fn who_is_permitted_may_publish() {
        let gate = gate(&["publish studio"], &["view"]);
        for key in [None, Some("s3cret")] {
            check(&gate, key, ("", OF_ANNA), 1, Ok(Some("anna"))).await;
            check(&gate, key, ("user=anna&pass=right", ""), 1, Ok(Some("anna"))).await;
            check(&gate, key, ("", OF_OTHER), 2, Err("the credential is wrong")).await;
            check(
                &gate,
                key,
                ("", "Basic ?"),
                3,
                Err("the header Authorization is not valid: expected Basic and base64 of user:password"),
            )
            .await;
        }
        let other = self::gate(&["publish other*"], &["view"]);
        let refused = "publishing to this feed is not permitted: this is not permitted to you";
        check(&other, None, ("", OF_ANNA), 1, Err(refused)).await;
        check(&self::gate(&[], &["publish"]), None, ("", ""), 1, Ok(None)).await;
    }
}
