//! Digest access authentication (RFC 7616, and RFC 2069 without `qop`), as servers and clients of RTSP have it. Pure.
//!
//! The server needs a secret of its own for it: the hash of user, realm and password. What argon2 keeps of a password does not suffice.

use super::secret::Secret;
use aws_lc_rs::{constant_time::verify_slices_are_equal, digest, hmac};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use md5::{Digest as _, Md5};
use std::{fmt, time::Duration};

/// What passwords are for.
pub const REALM: &str = "voyandz";
/// How long a nonce is good.
const FRESH: Duration = Duration::from_secs(300);
/// Longest value of a field that is looked at, in bytes.
const MAX_VALUE: usize = 2048;

/// How hashes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5: all that ffmpeg, VLC and GStreamer know.
    Md5,
    /// SHA-256.
    Sha256,
}

/// The hashes of a user, realm and password, in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestSecret {
    md5: Secret,
    sha256: Secret,
}

/// What a client answers to a challenge.
#[derive(Clone, PartialEq, Eq)]
pub struct DigestAnswer {
    /// The user.
    pub user: String,
    /// The address that was hashed.
    pub uri: String,
    /// The nonce of the challenge.
    pub nonce: String,
    realm: String,
    algorithm: Algorithm,
    response: String,
    /// The count and the nonce of the client, where it has them.
    protection: Option<(String, String)>,
}

/// What a server asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    algorithm: Algorithm,
    has_protection: bool,
}

/// Whether a nonce is ours, and how old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceAge {
    /// It may be used.
    Fresh,
    /// It was, once: the client is to take another one.
    Stale,
    /// It is of nobody.
    Foreign,
}

impl Algorithm {
    /// Both, the one that all clients know first.
    pub const ALL: [Self; 2] = [Self::Md5, Self::Sha256];

    /// As a header names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => HEXLOWER.encode(&Md5::digest(text.as_bytes())),
            Self::Sha256 => HEXLOWER.encode(digest::digest(&digest::SHA256, text.as_bytes()).as_ref()),
        }
    }

    /// The hash of a user, realm and password.
    fn of_user(self, user: &str, realm: &str, password: &str) -> String {
        self.hash(&format!("{user}:{realm}:{password}"))
    }

    /// The response to a challenge, of the hash of a user.
    fn response(self, of_user: &str, nonce: &str, protection: Option<(&str, &str)>, method: &str, uri: &str) -> String {
        let of_request = self.hash(&format!("{method}:{uri}"));
        self.hash(&match protection {
            Some((count, own)) => format!("{of_user}:{nonce}:{count}:{own}:auth:{of_request}"),
            None => format!("{of_user}:{nonce}:{of_request}"),
        })
    }
}

impl DigestSecret {
    /// That of a user with this password.
    pub fn of(user: &str, password: &str) -> Self {
        let [md5, sha256] = Algorithm::ALL.map(|algorithm| Secret::new(algorithm.of_user(user, REALM, password)));
        Self { md5, sha256 }
    }

    /// Reads what [`DigestSecret::text`] writes; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (md5, sha256) = text.strip_prefix("md5:")?.split_once(":sha256:")?;
        let is_hash = |text: &str, bytes: usize| {
            HEXLOWER_PERMISSIVE.decode(text.as_bytes()).is_ok_and(|decoded| decoded.len() == bytes)
        };
        let secret = |text: &str| Secret::new(text.to_ascii_lowercase());
        (is_hash(md5, 16) && is_hash(sha256, 32)).then(|| Self { md5: secret(md5), sha256: secret(sha256) })
    }

    /// The secret as the configuration has it.
    pub fn text(&self) -> Secret {
        Secret::new(format!("md5:{}:sha256:{}", self.md5.expose(), self.sha256.expose()))
    }

    /// One that is shown.
    pub fn masked() -> Self {
        Self { md5: Secret::new(super::MASK), sha256: Secret::new(super::MASK) }
    }

    /// Whether a client has the password. `method` is that of its request.
    pub fn is_answered(&self, answer: &DigestAnswer, method: &str) -> bool {
        let of_user = match answer.algorithm {
            Algorithm::Md5 => &self.md5,
            Algorithm::Sha256 => &self.sha256,
        };
        let protection = answer.protection.as_ref().map(|(count, own)| (count.as_str(), own.as_str()));
        let right = answer.algorithm.response(of_user.expose(), &answer.nonce, protection, method, &answer.uri);
        let is_same = verify_slices_are_equal(right.as_bytes(), answer.response.as_bytes()).is_ok();
        is_same && answer.realm == REALM
    }
}

impl fmt::Debug for DigestSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(super::MASK)
    }
}

impl DigestAnswer {
    /// Reads what follows `Digest` in an `Authorization`; `None` when something is missing or not known.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = fields(text)?;
        let get = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let protection = match get("qop") {
            None => None,
            Some(qop) if qop.eq_ignore_ascii_case("auth") => Some((get("nc")?, get("cnonce")?)),
            Some(_) => return None,
        };
        Some(Self {
            user: get("username")?,
            uri: get("uri")?,
            nonce: get("nonce")?,
            realm: get("realm")?,
            algorithm: algorithm(get("algorithm"))?,
            response: get("response")?.to_ascii_lowercase(),
            protection,
        })
    }
}

impl fmt::Debug for DigestAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestAnswer").field("user", &self.user).finish_non_exhaustive()
    }
}

impl Challenge {
    /// Reads what follows `Digest` in a `WWW-Authenticate`; `None` when it asks for what is not known.
    pub fn parse(text: &str) -> Option<Self> {
        let fields = fields(text)?;
        let get = |name: &str| fields.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        let qop = get("qop");
        let is_known = |qop: &String| qop.split(',').any(|one| one.trim().eq_ignore_ascii_case("auth"));
        if qop.as_ref().is_some_and(|qop| !is_known(qop)) {
            return None;
        }
        Some(Self {
            realm: get("realm")?,
            nonce: get("nonce")?,
            opaque: get("opaque"),
            algorithm: algorithm(get("algorithm"))?,
            has_protection: qop.is_some(),
        })
    }

    /// The value of `Authorization` that answers, for a request that is the only one with the nonce `own` of the client.
    pub fn answer(&self, (user, password): (&str, &str), method: &str, uri: &str, own: &str) -> String {
        const COUNT: &str = "00000001";
        let Self { realm, nonce, algorithm, .. } = self;
        let of_user = algorithm.of_user(user, realm, password);
        let protection = self.has_protection.then_some((COUNT, own));
        let response = algorithm.response(&of_user, nonce, protection, method, uri);
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        let (user, realm, nonce, name) = (quoted(user), quoted(realm), quoted(nonce), algorithm.name());
        let mut text = format!(
            "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", algorithm={name}"
        );
        if self.has_protection {
            text += &format!(", qop=auth, nc={COUNT}, cnonce=\"{own}\"");
        }
        if let Some(opaque) = &self.opaque {
            text += &format!(", opaque=\"{}\"", quoted(opaque));
        }
        text
    }
}

/// A challenge of ours with this nonce.
pub fn challenge(algorithm: Algorithm, nonce: &str, is_stale: bool) -> String {
    let stale = if is_stale { ", stale=true" } else { "" };
    format!("Digest realm=\"{REALM}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}", algorithm.name())
}

/// A new nonce: the time and its signature, so that nothing has to be kept. `now` is any clock that does not step.
pub fn nonce(key: &hmac::Key, now: Duration) -> String {
    let time = now.as_millis() as u64;
    let signature = hmac::sign(key, &signed(time));
    let short = signature.as_ref().get(..16).unwrap_or_default();
    BASE64URL_NOPAD.encode(&[&time.to_be_bytes()[..], short].concat())
}

/// Whether a nonce is one of this key, and how old.
pub fn age(key: &hmac::Key, text: &str, now: Duration) -> NonceAge {
    let Ok(bytes) = BASE64URL_NOPAD.decode(text.as_bytes()) else { return NonceAge::Foreign };
    let Some((time, signature)) = bytes.split_first_chunk::<8>() else { return NonceAge::Foreign };
    let time = u64::from_be_bytes(*time);
    let right = hmac::sign(key, &signed(time));
    if verify_slices_are_equal(right.as_ref().get(..16).unwrap_or_default(), signature).is_err() {
        return NonceAge::Foreign;
    }
    let age = now.saturating_sub(Duration::from_millis(time));
    if age < FRESH { NonceAge::Fresh } else { NonceAge::Stale }
}

fn signed(time: u64) -> Vec<u8> {
    [&b"voyandz-nonce-1\n"[..], &time.to_be_bytes()].concat()
}

/// MD5 where nothing is said.
fn algorithm(name: Option<String>) -> Option<Algorithm> {
    let Some(name) = name else { return Some(Algorithm::Md5) };
    Algorithm::ALL.into_iter().find(|algorithm| algorithm.name().eq_ignore_ascii_case(&name))
}

/// Fields like `name="value", name=value`, their names in lower case. `None` when they cannot be read, or one appears twice.
fn fields(text: &str) -> Option<Vec<(String, String)>> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (name, behind) = rest.split_once('=')?;
        let behind = behind.trim_start();
        let (value, after) = match behind.strip_prefix('"') {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let end = behind.find(',').unwrap_or(behind.len());
                let (value, after) = behind.split_at(end);
                (value.trim().to_owned(), after)
            }
        };
        let name = name.trim().to_ascii_lowercase();
        if name.is_empty() || value.len() > MAX_VALUE || fields.iter().any(|(known, _)| *known == name) {
            return None;
        }
        fields.push((name, value));
        let after = after.trim_start();
        rest = match after.strip_prefix(',') {
            Some(more) => more.trim_start(),
            None if after.is_empty() => after,
            None => return None,
        };
    }
    Some(fields)
}

/// A quoted text without its first quote, and what follows it.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let (mut value, mut is_escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            _ if is_escaped => {
                value.push(c);
                is_escaped = false;
            }
            '\\' => is_escaped = true,
            '"' => return Some((value, text.get(at + 1..)?)),
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NONCE: &str = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v";
    const OWN: &str = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";

    fn challenge_of(algorithm: &str, qop: &str) -> Challenge {
        let text =
            format!("realm=\"http-auth@example.org\", nonce=\"{NONCE}\", algorithm={algorithm}, opaque=\"x\"{qop}");
        Challenge::parse(&text).unwrap()
    }

    /// The example of RFC 7616, section 3.9.1, and of RFC 2069 (as corrected by its errata) without `qop`.
    #[test]
    fn responses_are_those_of_the_standard() {
        let check = |algorithm, expect: &str| {
            let challenge = challenge_of(algorithm, ", qop=\"auth, auth-int\"");
            let answer = challenge.answer(("Mufasa", "Circle of Life"), "GET", "/dir/index.html", OWN);
            let answer = DigestAnswer::parse(answer.strip_prefix("Digest ").unwrap()).unwrap();
            assert_eq!(answer.response, expect);
            assert_eq!((answer.user.as_str(), answer.uri.as_str()), ("Mufasa", "/dir/index.html"));
        };
        check("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        check("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1");
        let text = "realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"";
        let challenge = Challenge::parse(text).unwrap();
        let answer = challenge.answer(("Mufasa", "CircleOfLife"), "GET", "/dir/index.html", OWN);
        assert!(answer.contains("response=\"1949323746fe6a43ef61f9606e7febea\""), "{answer}");
    }

    #[test]
    fn who_has_the_password_answers() {
        let secret = DigestSecret::of("anna", "right");
        assert_eq!(DigestSecret::parse(secret.text().expose()), Some(secret.clone()));
        for algorithm in Algorithm::ALL {
            let asked = Challenge::parse(challenge(algorithm, "n1", false).strip_prefix("Digest ").unwrap()).unwrap();
            let answered = |user: &str, password: &str| {
                let text = asked.answer((user, password), "DESCRIBE", "rtsp://h/cam0", "own");
                DigestAnswer::parse(text.strip_prefix("Digest ").unwrap()).unwrap()
            };
            let right = answered("anna", "right");
            assert!(secret.is_answered(&right, "DESCRIBE"));
            assert!(!secret.is_answered(&right, "PLAY"));
            assert!(!secret.is_answered(&DigestAnswer { uri: "rtsp://h/cam1".into(), ..right.clone() }, "DESCRIBE"));
            assert!(!secret.is_answered(&DigestAnswer { realm: "x".into(), ..right }, "DESCRIBE"));
            assert!(!secret.is_answered(&answered("anna", "wrong"), "DESCRIBE"));
            assert!(!secret.is_answered(&answered("otto", "right"), "DESCRIBE"));
        }
        assert!(!format!("{secret:?}").contains("md5"));
        for text in ["", "md5:00:sha256:00", "md5:x", &"0".repeat(32)] {
            assert_eq!(DigestSecret::parse(text), None, "{text}");
        }
    }

    #[test]
    fn nonces_grow_old_and_those_of_others_are_none() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[1; 32]);
        let other = hmac::Key::new(hmac::HMAC_SHA256, &[2; 32]);
        let (now, text) = (Duration::from_secs(1000), nonce(&key, Duration::from_secs(1000)));
        assert_eq!(age(&key, &text, now + FRESH / 2), NonceAge::Fresh);
        assert_eq!(age(&key, &text, now + FRESH), NonceAge::Stale);
        assert_eq!(age(&other, &text, now), NonceAge::Foreign);
        for foreign in ["", "AAAA", "é", &text[..10]] {
            assert_eq!(age(&key, foreign, now), NonceAge::Foreign, "{foreign}");
        }
        assert!(challenge(Algorithm::Md5, &text, true).ends_with("qop=\"auth\", stale=true"));
    }

    #[test]
    fn what_is_malformed_is_none() {
        for text in [
            "username=\"a\"",
            "username=\"a, realm=\"b\"",
            "username=a, username=b, realm=r, nonce=n, uri=u, response=x",
            "username=a, realm=r, nonce=n, uri=u, response=x, qop=auth-int",
            "username=a, realm=r, nonce=n, uri=u, response=x, qop=auth",
            "username=a, realm=r, nonce=n, uri=u, response=x, algorithm=MD5-sess",
        ] {
            assert_eq!(DigestAnswer::parse(text), None, "{text}");
        }
        let found = DigestAnswer::parse("username=\"a\\\"b\",realm=r,nonce=n,uri=u,response=X").unwrap();
        assert_eq!((found.user.as_str(), found.response.as_str()), ("a\"b", "x"));
    }

    proptest! {
        #[test]
        fn foreign_text_never_panics(text in "(username|realm|qop|[a-z\",=\\\\ é]|=\"|\", ){0,40}") {
            let _ = (DigestAnswer::parse(&text), Challenge::parse(&text));
        }
    }
}
