//! The one decision: may this identity do this? Pure.

use super::{
    action::{Action, Role},
    hook::{Claim, HookGrant},
    jwt::Jwt,
    link::Link,
    network::{Network, any_contains},
    password::PasswordHash,
    permission::{Permission, Permissions, Subject},
    policy::{Grant, IndexedPolicy},
};
use std::{net::IpAddr, sync::Arc, time::SystemTime};

/// Who asks, by what was proved. It refers to the policy, so that a changed policy counts for those who came before.
#[derive(Debug, Clone, PartialEq)]
pub enum Identity {
    /// Nothing was presented.
    Anyone,
    /// A user, with the hash that the password matched: a changed password ends what the old one opened.
    User {
        /// The name.
        name: Arc<str>,
        /// What the password matched.
        password: Arc<PasswordHash>,
    },
    /// A program.
    Token {
        /// The name of its token.
        name: Arc<str>,
        /// SHA-256 of the token.
        digest: [u8; 32],
    },
    /// Who has a link.
    Link(Arc<Link>),
    /// Who has a token of a service.
    Jwt(Arc<Jwt>),
    /// Who came over the control socket, which only root and the user of the server may use.
    Socket {
        /// The number of the user.
        uid: u32,
    },
    /// Who logged in with a code that this server printed.
    Code,
    /// Who has a certificate with these names, for which an authority of the configuration vouches.
    Certificate(Arc<[String]>),
    /// Who presents what only a hook can check: this proves nothing yet.
    Claim(Arc<Claim>),
    /// Whom a hook permitted something.
    Hook(Arc<HookGrant>),
}

/// Whether something may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed {
        /// When that ends.
        until: Option<SystemTime>,
    },
    /// It may not.
    Refused(Refused),
}

/// Why something may not be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Anyone may not, and nothing was presented.
    #[error("this needs a login, a token or a signed link")]
    Unauthenticated,
    /// The identity may not.
    #[error("this is not permitted to you")]
    Forbidden,
    /// Not from this address.
    #[error("this is not permitted from your address")]
    Network,
    /// The permission has ended.
    #[error("your permission has expired")]
    Expired,
    /// There is no user with this certificate.
    #[error("no user of this server has your certificate")]
    Stranger,
    /// The hook that should decide does not answer.
    #[error("the service that decides who may do this does not answer: try again")]
    Undecided,
    /// The user, token or key is not in the policy any more, or has another password.
    #[error("your permission was withdrawn")]
    Withdrawn,
}

impl Identity {
    /// The name for the log; `None` for anyone.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Anyone => None,
            Self::User { name, .. } => Some(name.to_string()),
            Self::Token { name, .. } => Some(format!("token:{name}")),
            Self::Jwt(jwt) => Some(format!("jwt:{}", jwt.name)),
            Self::Link(link) if link.name.is_empty() => Some(format!("link:{}", link.key)),
            Self::Link(link) => Some(format!("link:{}:{}", link.key, link.name)),
            Self::Socket { uid } => Some(format!("uid:{uid}")),
            Self::Code => Some("one-time code".to_owned()),
            Self::Claim(_) => None,
            Self::Certificate(names) => Some(format!("cert:{}", names.first().map_or("", String::as_str))),
            Self::Hook(grant) if grant.user.is_empty() => Some("hook".to_owned()),
            Self::Hook(grant) => {
                Some(format!("hook:{}", grant.user.chars().filter(|c| !c.is_control()).collect::<String>()))
            }
        }
    }

    /// Whether a browser proves it by itself, also for requests that pages of other origins make.
    pub fn is_ambient(&self) -> bool {
        match self {
            Self::User { .. } | Self::Code | Self::Certificate(_) => true,
            Self::Hook(grant) => !grant.user.is_empty(),
            _ => false,
        }
    }
}

/// What an identity has at this moment.
struct Standing<'a> {
    may: Permissions,
    from: &'a [Network],
    network: Option<Network>,
    until: Option<SystemTime>,
}

/// Decides. `peer` is the address of the client, after trusted proxies.
pub fn decide(
    policy: &IndexedPolicy,
    identity: &Identity,
    action: Action,
    subject: Subject<'_>,
    peer: IpAddr,
    now: SystemTime,
) -> Decision {
    // It is in no network, and could change the rules as it likes.
    if let Identity::Socket { .. } = identity {
        return Decision::Allowed { until: None };
    }
    let rules = policy.policy();
    let is_elsewhere = |(listed, networks): &(Action, Vec<Network>)| *listed == action && !any_contains(networks, peer);
    if any_contains(&rules.deny, peer) || rules.allow.iter().any(is_elsewhere) {
        return Decision::Refused(Refused::Network);
    }
    if let Identity::Claim(_) = identity {
        return Decision::Refused(Refused::Unauthenticated);
    }
    let Some(standing) = standing(policy, identity) else {
        return Decision::Refused(match identity {
            Identity::Certificate(_) => Refused::Stranger,
            _ => Refused::Withdrawn,
        });
    };
    let Standing { may, from, network, until } = standing;
    if until.is_some_and(|until| until <= now) {
        return Decision::Refused(Refused::Expired);
    }
    if !(from.is_empty() || any_contains(from, peer)) || network.is_some_and(|network| !network.contains(peer)) {
        return Decision::Refused(Refused::Network);
    }
    if may.allow(action, subject) || rules.anyone.allow(action, subject) {
        return Decision::Allowed { until };
    }
    Decision::Refused(match identity {
        Identity::Anyone => Refused::Unauthenticated,
        _ => Refused::Forbidden,
    })
}

fn standing<'a>(policy: &'a IndexedPolicy, identity: &Identity) -> Option<Standing<'a>> {
    let of = |grant: &'a Grant| {
        Some(Standing { may: grant.may.clone(), from: &grant.from, network: None, until: grant.until })
    };
    match identity {
        Identity::Hook(grant) => {
            policy.policy().hook.as_ref().filter(|hook| **hook == grant.source)?;
            Some(Standing { may: grant.may.clone(), from: &[], network: None, until: None })
        }
        Identity::Anyone | Identity::Claim(_) => {
            Some(Standing { may: Permissions::default(), from: &[], network: None, until: None })
        }
        Identity::Socket { .. } | Identity::Code => {
            let may = Permissions::new(vec![Permission::of_role(Role::Admin)]);
            Some(Standing { may, from: &[], network: None, until: None })
        }
        Identity::User { name, password } => {
            of(&policy.user(name).filter(|user| user.password.as_ref() == Some(password))?.grant)
        }
        Identity::Certificate(names) => of(&policy.certified(names)?.grant),
        Identity::Token { name, digest } => of(&policy.token(digest).filter(|token| token.name == *name)?.grant),
        Identity::Jwt(jwt) => {
            // A key that is gone ends its tokens.
            policy.policy().jwt.as_ref().filter(|_| policy.keys().has(&jwt.key))?;
            Some(Standing { may: jwt.may.clone(), from: &[], network: None, until: Some(jwt.until) })
        }
        Identity::Link(link) => {
            policy.policy().link_key(&link.key)?;
            Some(Standing { may: link.permissions(), from: &[], network: link.network, until: Some(link.until) })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{
        permission::Pattern,
        permission::Permission,
        policy::{Policy, Token, User},
        secret::Secret,
    };
    use super::*;
    use crate::access::KeySet;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn permissions(texts: &[&str]) -> Permissions {
        Permissions::new(texts.iter().map(|text| Permission::parse(text).unwrap()).collect())
    }

    fn hash(last: char) -> Arc<PasswordHash> {
        let text = format!("$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPP{last}");
        Arc::new(PasswordHash::parse(&text).unwrap())
    }

    fn grant(may: &[&str]) -> Grant {
        Grant { may: permissions(may), ..Grant::default() }
    }

    fn user(name: &str, may: &[&str]) -> User {
        User { name: name.into(), password: Some(hash('c')), digest: None, certificates: Vec::new(), grant: grant(may) }
    }

    fn policy() -> Policy {
        let mut guest = user("guest", &["view cam*"]);
        guest.grant.until = Some(at(100));
        guest.grant.from = vec!["192.0.2.0/24".parse().unwrap()];
        let mut certified = user("robot", &["view cam*"]);
        (certified.password, certified.certificates) = (None, vec!["cam@example.org".into()]);
        Policy {
            anyone: permissions(&["view lobby"]),
            users: vec![user("anna", &["admin"]), user("olga", &["operator cam*"]), guest, certified],
            tokens: vec![Token { name: "grafana".into(), digest: [7; 32], grant: grant(&["status"]) }],
            link_keys: vec![("k1".into(), Secret::new("x".repeat(32)))],
            deny: vec!["203.0.113.0/24".parse().unwrap()],
            allow: vec![(Action::ConfigRead, vec!["127.0.0.0/8".parse().unwrap()])],
            ..Policy::default()
        }
    }

    fn named(name: &str) -> Identity {
        Identity::User { name: name.into(), password: hash('c') }
    }

    fn link(until: u64) -> Identity {
        Identity::Link(Arc::new(Link {
            key: "k1".to_owned(),
            actions: vec![Action::View],
            streams: Pattern::new("cam0").unwrap(),
            open_until: at(1),
            until: at(until),
            network: Some("192.0.2.0/24".parse().unwrap()),
            name: String::new(),
        }))
    }

    #[test]
    fn decisions() {
        let policy = IndexedPolicy::new(policy(), KeySet::default());
        let check = |identity: &Identity, action, stream: &str, peer: &str, expect: Result<(), Refused>| {
            let subject = if stream.is_empty() { Subject::Server } else { Subject::Stream(stream) };
            let found = match decide(&policy, identity, action, subject, peer.parse().unwrap(), at(50)) {
                Decision::Allowed { .. } => Ok(()),
                Decision::Refused(why) => Err(why),
            };
            assert_eq!(found, expect, "{identity:?} {action:?} {stream} {peer}");
        };
        use Action::{ConfigRead, Kick, Status, Still, View};
        let (here, home) = ("192.0.2.1", "127.0.0.1");
        let token = Identity::Token { name: "grafana".into(), digest: [7; 32] };
        check(&Identity::Anyone, View, "lobby", here, Ok(()));
        check(&Identity::Anyone, View, "cam0", here, Err(Refused::Unauthenticated));
        check(&Identity::Anyone, Status, "", home, Err(Refused::Unauthenticated));
        check(&Identity::Anyone, View, "lobby", "203.0.113.9", Err(Refused::Network));
        check(&named("anna"), View, "cam0", here, Ok(()));
        check(&named("anna"), View, "cam0", "203.0.113.9", Err(Refused::Network));
        check(&named("anna"), ConfigRead, "", home, Ok(()));
        check(&named("anna"), ConfigRead, "", here, Err(Refused::Network));
        check(&named("olga"), Kick, "cam0", here, Ok(()));
        check(&named("olga"), Kick, "street", here, Err(Refused::Forbidden));
        check(&named("olga"), View, "lobby", here, Ok(()));
        check(&named("olga"), Status, "", here, Ok(()));
        check(&named("guest"), View, "cam0", here, Ok(()));
        check(&named("guest"), View, "cam0", home, Err(Refused::Network));
        check(&named("guest"), Still, "cam0", here, Err(Refused::Forbidden));
        check(&named("nobody"), View, "lobby", here, Err(Refused::Withdrawn));
        let changed = Identity::User { name: "anna".into(), password: hash('w') };
        check(&changed, View, "cam0", here, Err(Refused::Withdrawn));
        check(&token, Status, "", here, Ok(()));
        check(&token, View, "cam0", here, Err(Refused::Forbidden));
        let socket = Identity::Socket { uid: 0 };
        for action in Action::ALL {
            let stream = if action.is_of_a_stream() { "cam0" } else { "" };
            check(&socket, action, stream, "203.0.113.9", Ok(()));
            check(&Identity::Code, action, stream, home, Ok(()));
        }
        check(&Identity::Code, ConfigRead, "", here, Err(Refused::Network));
        check(&Identity::Code, View, "cam0", "203.0.113.9", Err(Refused::Network));
        let of = |names: &[&str]| Identity::Certificate(names.iter().map(|name| (*name).to_owned()).collect());
        check(&of(&["x", "cam@example.org"]), View, "cam0", here, Ok(()));
        check(&of(&["cam@example.org"]), Kick, "cam0", here, Err(Refused::Forbidden));
        check(&of(&["anna"]), View, "lobby", here, Err(Refused::Stranger));
        check(&of(&[]), View, "lobby", here, Err(Refused::Stranger));
        check(&link(60), View, "cam0", here, Ok(()));
        check(&link(60), View, "cam1", here, Err(Refused::Forbidden));
        check(&link(60), Still, "cam0", here, Err(Refused::Forbidden));
        check(&link(60), View, "cam0", home, Err(Refused::Network));
        check(&link(50), View, "cam0", here, Err(Refused::Expired));
    }

    #[test]
    fn permissions_end_when_they_say() {
        let policy = IndexedPolicy::new(policy(), KeySet::default());
        let decide = |identity: &Identity, now| {
            decide(&policy, identity, Action::View, Subject::Stream("cam0"), "192.0.2.1".parse().unwrap(), at(now))
        };
        assert_eq!(decide(&named("anna"), 1 << 40), Decision::Allowed { until: None });
        assert_eq!(decide(&named("guest"), 99), Decision::Allowed { until: Some(at(100)) });
        assert_eq!(decide(&named("guest"), 100), Decision::Refused(Refused::Expired));
        assert_eq!(decide(&link(60), 59), Decision::Allowed { until: Some(at(60)) });
    }

    #[test]
    fn without_a_section_anyone_may_watch_and_nothing_else() {
        let policy = IndexedPolicy::new(Policy::default(), KeySet::default());
        let allowed = |action: &Action| {
            let subject = if action.is_of_a_stream() { Subject::EveryStream } else { Subject::Server };
            let decision = decide(&policy, &Identity::Anyone, *action, subject, IpAddr::from([127, 0, 0, 1]), at(0));
            matches!(decision, Decision::Allowed { .. })
        };
        let allowed: Vec<_> = Action::ALL.into_iter().filter(allowed).collect();
        assert_eq!(allowed, [Action::View, Action::Still, Action::Status]);
    }

    proptest! {
        /// Whoever proves something has what anyone has, and a refused network refuses all.
        #[test]
        fn an_identity_has_never_less_than_anyone(
            action in prop::sample::select(Action::ALL.to_vec()), stream in "cam[0-2]|lobby", peer in any::<u32>(), who in 0..3usize
        ) {
            let policy = IndexedPolicy::new(policy(), KeySet::default());
            let identity = [named("anna"), named("olga"), Identity::Anyone][who].clone();
            let peer = IpAddr::from(peer.to_be_bytes());
            let subject = Subject::Stream(&stream);
            let allowed = |identity: &Identity| {
                matches!(decide(&policy, identity, action, subject, peer, at(0)), Decision::Allowed { .. })
            };
            prop_assert!(!allowed(&Identity::Anyone) || allowed(&identity));
            prop_assert!(!allowed(&identity) || allowed(&named("anna")));
        }
    }
}
