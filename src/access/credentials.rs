//! What a request presents to prove who it comes from. Pure.

use super::{
    digest::DigestAnswer,
    link::{self, MAX_LINK},
    password::MAX_PASSWORD,
    secret::Secret,
};
use data_encoding::{BASE64, BASE64_NOPAD};
use percent_encoding::percent_decode_str;

/// What tokens of the configuration begin with.
pub const TOKEN_PREFIX: &str = "vyz_";
/// Longest token.
const MAX_TOKEN: usize = 16 << 10;
/// Longest name of a user, in bytes.
const MAX_NAME: usize = 256;

/// What a request presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presented {
    /// Nothing.
    Nothing,
    /// A signed link.
    Link(Secret),
    /// The cookie of a login.
    Session(Secret),
    /// A token.
    Bearer(Secret),
    /// A user and a password.
    Basic {
        /// The name.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An answer to a challenge, for a request with this method.
    Digest {
        /// What is answered.
        answer: Box<DigestAnswer>,
        /// `DESCRIBE`.
        method: String,
    },
}

/// A credential that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// `Authorization` appears twice, or is no text.
    #[error("the header Authorization is not valid")]
    Header,
    /// What follows `Basic` is no base64 of a name and a password.
    #[error("the header Authorization is not valid: expected Basic and base64 of user:password")]
    Basic,
    /// What follows `Digest` misses something, or is of an algorithm that is not known.
    #[error("the header Authorization is not valid: expected Digest by MD5 or SHA-256, with qop=auth if any")]
    Digest,
    /// A token that is empty or too long.
    #[error("the header Authorization is not valid: expected Bearer and a token")]
    Bearer,
    /// The link appears twice or is too long.
    #[error("the signed link is not valid")]
    Link,
}

/// Which kinds of credentials count. Others are ignored, as if they had not been presented: an `Authorization` for a reverse proxy
/// reaches us too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Users with passwords.
    pub basic: bool,
    /// Tokens.
    pub bearer: bool,
    /// Signed links.
    pub links: bool,
}

impl Presented {
    /// A user and a password; `None` where they are longer than any can be, or no text.
    pub fn of_user(user: &str, password: &str) -> Option<Self> {
        let is_text = |text: &str| !text.contains(char::is_control);
        let fits = user.len() <= MAX_NAME && password.len() <= MAX_PASSWORD && is_text(user) && is_text(password);
        fits.then(|| Self::Basic { user: user.to_owned(), password: Secret::new(password) })
    }

    /// Reads the query and the values of `Authorization`. The first of link, token and password counts.
    ///
    /// # Errors
    /// See [`CredentialError`]: what was presented and is wrong is never taken for nothing.
    pub fn read<'a>(
        accepted: Accepted,
        query: &str,
        authorization: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Self, CredentialError> {
        if accepted.links
            && let Some(link) = link_of(query)?
        {
            return Ok(Self::Link(link));
        }
        let mut values = authorization.into_iter();
        let Some(value) = values.next() else { return Ok(Self::Nothing) };
        if !(accepted.basic || accepted.bearer) {
            return Ok(Self::Nothing);
        }
        let value = std::str::from_utf8(value).map_err(|_| CredentialError::Header)?;
        if values.next().is_some() {
            return Err(CredentialError::Header);
        }
        let (scheme, rest) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
        let rest = rest.trim();
        if scheme.eq_ignore_ascii_case("basic") {
            if accepted.basic { basic(rest).ok_or(CredentialError::Basic) } else { Ok(Self::Nothing) }
        } else if scheme.eq_ignore_ascii_case("bearer") {
            let is_token = (1..=MAX_TOKEN).contains(&rest.len()) && !rest.contains(char::is_whitespace);
            match (accepted.bearer, is_token) {
                (false, _) => Ok(Self::Nothing),
                (true, true) => Ok(Self::Bearer(Secret::new(rest))),
                (true, false) => Err(CredentialError::Bearer),
            }
        } else {
            Err(CredentialError::Header)
        }
    }
}

/// The value of the parameter of links.
fn link_of(query: &str) -> Result<Option<Secret>, CredentialError> {
    let value = |part: &str| {
        part.split_once('=').filter(|(name, _)| *name == link::PARAMETER).map(|(_, value)| value.to_owned())
    };
    let mut values = query.split('&').filter_map(value);
    let Some(first) = values.next() else { return Ok(None) };
    if values.next().is_some() || first.len() > MAX_LINK {
        return Err(CredentialError::Link);
    }
    // Some clients escape the dot.
    let decoded = percent_decode_str(&first).decode_utf8().map_err(|_| CredentialError::Link)?;
    Ok(Some(Secret::new(&*decoded)))
}

/// RFC 7617, in UTF-8.
fn basic(text: &str) -> Option<Presented> {
    if text.len() > 2 * (MAX_NAME + MAX_PASSWORD) {
        return None;
    }
    let bytes = BASE64.decode(text.as_bytes()).or_else(|_| BASE64_NOPAD.decode(text.as_bytes())).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Presented::of_user(user, password)
}

/// Parameters whose values no log may show: links, and what publishers present.
const SECRETS: [&str; 5] = [link::PARAMETER, "key", "pass", "password", "pw"];

/// A query without the values of links, keys and passwords, for logs.
pub fn without_link(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let mask = |part: &str| match part.split_once('=') {
        Some((name, _)) if SECRETS.contains(&name) => format!("{name}=***"),
        _ => part.to_owned(),
    };
    let parts: Vec<_> = query.split('&').map(mask).collect();
    format!("{path}?{}", parts.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: Accepted = Accepted { basic: true, bearer: true, links: true };

    fn read(accepted: Accepted, query: &str, headers: &[&str]) -> Result<Presented, CredentialError> {
        Presented::read(accepted, query, headers.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn credentials_are_read() {
        let check = |query: &str, headers: &[&str], expect| {
            assert_eq!(read(ALL, query, headers), expect, "{query} {headers:?}")
        };
        let basic = |user: &str, password: &str| {
            Ok(Presented::Basic { user: user.to_owned(), password: Secret::new(password) })
        };
        let bearer = |token: &str| Ok(Presented::Bearer(Secret::new(token)));
        let link = |text: &str| Ok(Presented::Link(Secret::new(text)));
        check("", &[], Ok(Presented::Nothing));
        check("w=640", &[], Ok(Presented::Nothing));
        // The example of RFC 7617, section 2, and of its section 2.1.
        check("", &["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="], basic("Aladdin", "open sesame"));
        check("", &["basic dGVzdDoxMjPCow=="], basic("test", "123£"));
        check("", &["Basic YTpiOmM"], basic("a", "b:c"));
        check("", &["Bearer  vyz_abc "], bearer("vyz_abc"));
        check("v=a.b", &[], link("a.b"));
        check("w=1&v=a%2Eb&h=2", &["Bearer x"], link("a.b"));
        check("v=a&v=b", &[], Err(CredentialError::Link));
        check(&format!("v={}", "a".repeat(MAX_LINK + 1)), &[], Err(CredentialError::Link));
        check("", &["Bearer x", "Bearer y"], Err(CredentialError::Header));
        check("", &["Digest x"], Err(CredentialError::Header));
        check("", &[""], Err(CredentialError::Header));
        check("", &["Bearer"], Err(CredentialError::Bearer));
        check("", &["Bearer a b"], Err(CredentialError::Bearer));
        check("", &["Basic"], Err(CredentialError::Basic));
        check("", &["Basic YWJj"], Err(CredentialError::Basic));
        check("", &["Basic a:b"], Err(CredentialError::Basic));
        check("", &["Basic YTpiCg=="], Err(CredentialError::Basic));
    }

    #[test]
    fn what_is_not_configured_is_ignored() {
        let none = Accepted { basic: false, bearer: false, links: false };
        for (query, header) in [("v=x", "Basic ???"), ("", "Bearer x"), ("v=a&v=b", "Digest x")] {
            assert_eq!(read(none, query, &[header]), Ok(Presented::Nothing));
        }
        let tokens = Accepted { bearer: true, ..none };
        assert_eq!(read(tokens, "v=x", &["Basic YTpi"]), Ok(Presented::Nothing));
    }

    #[test]
    fn a_link_is_not_logged() {
        let check = |target: &str, expect: &str| assert_eq!(without_link(target), expect);
        check("/a", "/a");
        check("/a?v=x.y", "/a?v=***");
        check("/a?w=1&v=x&h=2", "/a?w=1&v=***&h=2");
        check("/v=1?vv=x", "/v=1?vv=x");
    }

    proptest! {
        #[test]
        fn no_request_panics(query in "[v=&%2a.]{0,20}", header in "(Basic |Bearer )?[A-Za-z0-9=:]{0,24}") {
            let _ = read(ALL, &query, &[&header]);
        }
    }
}
