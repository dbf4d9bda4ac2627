//! Logins of browsers: a cookie stands for a user until it ends. Pure.

use super::{decide::Identity, secret::Secret};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// The name of the cookie over plain HTTP.
const PLAIN: &str = "voyandz_session";
/// The same over TLS, where browsers take it for this host and this scheme only (RFC 6265bis, section 4.1.3.2).
const ENCRYPTED: &str = "__Host-voyandz_session";
/// How long a login lasts.
const LASTS: Duration = Duration::from_secs(12 * 3600);
/// Most logins; one more ends the oldest.
const MAX: usize = 1000;
/// Longest value of the cookie.
const MAX_VALUE: usize = 64;

/// The logins, by the digest of their secret: that itself is not kept.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: HashMap<[u8; 32], (Identity, Instant)>,
}

impl Sessions {
    /// Begins a login of this user.
    pub(super) fn open(&mut self, digest: [u8; 32], identity: Identity, now: Instant) {
        if self.open.len() >= MAX {
            self.open.retain(|_, (_, until)| *until > now);
        }
        if self.open.len() >= MAX
            && let Some(oldest) = self.open.iter().min_by_key(|(_, (_, until))| *until).map(|(digest, _)| *digest)
        {
            self.open.remove(&oldest);
        }
        self.open.insert(digest, (identity, now + LASTS));
    }

    /// Who logged in.
    pub(super) fn find(&self, digest: &[u8; 32], now: Instant) -> Option<Identity> {
        self.open.get(digest).filter(|(_, until)| *until > now).map(|(identity, _)| identity.clone())
    }

    /// Ends a login.
    pub(super) fn close(&mut self, digest: &[u8; 32]) {
        self.open.remove(digest);
    }
}

/// The secret of a login among the values of `Cookie`.
pub fn session_of<'a>(cookies: impl IntoIterator<Item = &'a [u8]>) -> Option<Secret> {
    let values = cookies.into_iter().filter_map(|value| std::str::from_utf8(value).ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let fits =
        |value: &str| (1..=MAX_VALUE).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_graphic());
    let found = pairs.find(|(name, value)| [PLAIN, ENCRYPTED].contains(name) && fits(value));
    found.map(|(_, value)| Secret::new(value))
}

/// The value of `Set-Cookie` that begins a login, or ends it where there is no secret.
pub fn session_cookie(secret: Option<&Secret>, is_encrypted: bool) -> String {
    let (name, secure) = if is_encrypted { (ENCRYPTED, "; Secure") } else { (PLAIN, "") };
    let (value, age) = secret.map_or(("", 0), |secret| (secret.expose(), LASTS.as_secs()));
    format!("{name}={value}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(name: &str) -> Identity {
        let text = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let password = super::super::password::PasswordHash::parse(text).unwrap();
        Identity::User { name: name.into(), password: password.into() }
    }

    fn digest(number: usize) -> [u8; 32] {
        std::array::from_fn(|at| number.to_be_bytes().get(at).copied().unwrap_or_default())
    }

    #[test]
    fn a_login_ends_by_itself_and_by_order() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        sessions.open(digest(1), identity("anna"), now);
        sessions.open(digest(2), identity("ben"), now);
        assert_eq!(sessions.find(&digest(1), now + LASTS - Duration::from_secs(1)), Some(identity("anna")));
        assert_eq!(sessions.find(&digest(1), now + LASTS), None);
        sessions.close(&digest(1));
        assert_eq!((sessions.find(&digest(1), now), sessions.find(&digest(2), now)), (None, Some(identity("ben"))));
    }

    #[test]
    fn logins_are_bounded_and_the_oldest_ends() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        for number in 0..=MAX {
            sessions.open(digest(number), identity("anna"), now + Duration::from_secs(number as u64));
        }
        assert_eq!(sessions.open.len(), MAX);
        assert_eq!(sessions.find(&digest(0), now), None);
        assert!(sessions.find(&digest(MAX), now).is_some());
    }

    #[test]
    fn the_cookie_is_read_as_it_is_set() {
        let secret = Secret::new("abc-_9");
        for is_encrypted in [false, true] {
            let set = session_cookie(Some(&secret), is_encrypted);
            assert!(set.contains("HttpOnly; SameSite=Strict") && set.ends_with("Secure") == is_encrypted, "{set}");
            let sent = format!("theme=dark; {}", set.split(';').next().unwrap());
            assert_eq!(session_of([sent.as_bytes()]), Some(secret.clone()));
            let ended = session_cookie(None, is_encrypted);
            assert!(ended.contains("Max-Age=0"), "{ended}");
            assert_eq!(session_of([ended.split(';').next().unwrap().as_bytes()]), None);
        }
        let foreign: [&[u8]; 4] = [b"voyandz_session", b"xvoyandz_session=a", b"\xff=a", b"voyandz_session=a b"];
        assert_eq!(session_of(foreign), None);
        assert_eq!(session_of([format!("voyandz_session={}", "a".repeat(65)).as_bytes()]), None);
    }
}
