//! Signed links: a permission that stands in a URL, for those who have no password. Pure.
//!
//! `?v=<fields>.<signature>`, both as base64url. The fields are lines: the name of the key, the actions, the pattern of streams,
//! when the link cannot be opened any more, when what it opened ends, the network that it is for, and a name for the log. The
//! signature is HMAC-SHA256 of [`CONTEXT`] and the fields, by a key of the configuration.

use super::{
    action::Action,
    network::Network,
    permission::{Pattern, Permission, Permissions},
    secret::Secret,
};
use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The name of the query parameter.
pub const PARAMETER: &str = "v";
/// Longest link in characters: FFmpeg limits whole RTMP URLs to 1,024.
pub const MAX_LINK: usize = 640;
/// Keeps a signature from being one of anything else.
const CONTEXT: &[u8] = b"voyandz-link-1\n";
/// Length of a signature in characters.
const SIGNATURE: usize = 43;
/// Shortest key, in bytes.
pub const MIN_KEY: usize = 32;

/// What a link permits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The name of the key that signs it.
    pub key: String,
    /// What may be done.
    pub actions: Vec<Action>,
    /// With which streams.
    pub streams: Pattern,
    /// Until when it can be opened.
    pub open_until: SystemTime,
    /// When what it opened ends.
    pub until: SystemTime,
    /// From where it can be opened; anywhere without one.
    pub network: Option<Network>,
    /// Who it is for, for the log; may be empty.
    pub name: String,
}

/// Why a link opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It is no link, or the signature is not that of its key, or the key is not known.
    #[error("the link is not valid")]
    Invalid,
    /// It was valid.
    #[error("the link has expired")]
    Expired,
}

/// The actions that a link can permit, and the letters that stand for them.
const LETTERS: [(char, Action); 4] =
    [('v', Action::View), ('s', Action::Still), ('p', Action::Playback), ('i', Action::Publish)];

impl Link {
    /// Whether links can permit the action.
    pub fn can_permit(action: Action) -> bool {
        LETTERS.iter().any(|(_, known)| *known == action)
    }

    /// Signs the link: the value of the parameter.
    pub fn sign(&self, key: &Secret) -> String {
        let fields = self.fields();
        let tag = hmac::sign(&key_of(key), &[CONTEXT, fields.as_bytes()].concat());
        format!("{}.{}", BASE64URL_NOPAD.encode(fields.as_bytes()), BASE64URL_NOPAD.encode(tag.as_ref()))
    }

    /// Reads a link and checks its signature by the key that `key_named` has under its name.
    ///
    /// # Errors
    /// See [`LinkError`].
    pub fn verify<'a>(
        text: &str,
        key_named: impl Fn(&str) -> Option<&'a Secret>,
        now: SystemTime,
    ) -> Result<Self, LinkError> {
        if text.len() > MAX_LINK {
            return Err(LinkError::Invalid);
        }
        let (fields, signature) = text.split_once('.').ok_or(LinkError::Invalid)?;
        if signature.len() != SIGNATURE {
            return Err(LinkError::Invalid);
        }
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| LinkError::Invalid);
        let (fields, signature) = (decode(fields)?, decode(signature)?);
        let fields = String::from_utf8(fields).map_err(|_| LinkError::Invalid)?;
        let name = fields.split('\n').next().unwrap_or_default();
        let key = key_named(name).ok_or(LinkError::Invalid)?;
        let signed = [CONTEXT, fields.as_bytes()].concat();
        hmac::verify(&key_of(key), &signed, &signature).map_err(|_| LinkError::Invalid)?;
        let link = Self::parse(&fields).ok_or(LinkError::Invalid)?;
        if now >= link.open_until || now >= link.until { Err(LinkError::Expired) } else { Ok(link) }
    }

    /// Its permissions.
    pub fn permissions(&self) -> Permissions {
        let of = |action: &Action| Permission::of_action(*action, self.streams.clone());
        Permissions::new(self.actions.iter().map(of).collect())
    }

    fn fields(&self) -> String {
        let letters: String =
            LETTERS.iter().filter(|(_, action)| self.actions.contains(action)).map(|(letter, _)| *letter).collect();
        let network = self.network.map(|network| network.to_string()).unwrap_or_default();
        let Self { key, streams, name, .. } = self;
        let (open_until, until) = (seconds(self.open_until), seconds(self.until));
        // What ends when it cannot be opened any more is the usual case.
        let until = if until == open_until { String::new() } else { format!("{until:x}") };
        format!("{key}\n{letters}\n{streams}\n{open_until:x}\n{until}\n{network}\n{name}")
    }

    fn parse(fields: &str) -> Option<Self> {
        let mut lines = fields.split('\n');
        let mut next = || lines.next();
        let (key, letters, streams) = (next()?.to_owned(), next()?, Pattern::new(next()?)?);
        let action = |letter| LETTERS.iter().find(|(known, _)| *known == letter).map(|(_, action)| *action);
        let actions = letters.chars().map(action).collect::<Option<Vec<_>>>()?;
        let open_until = time(next()?)?;
        let until = match next()? {
            "" => open_until,
            until => time(until)?,
        };
        let network = match next()? {
            "" => None,
            network => Some(network.parse().ok()?),
        };
        let name = next()?.to_owned();
        next().is_none().then_some(Self { key, actions, streams, open_until, until, network, name })
    }
}

fn key_of(key: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn time(text: &str) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_secs(u64::from_str_radix(text, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn link() -> Link {
        Link {
            key: "k1".to_owned(),
            actions: vec![Action::View, Action::Still],
            streams: Pattern::new("cam*").unwrap(),
            open_until: at(1_800_000_000),
            until: at(1_800_000_000),
            network: None,
            name: String::new(),
        }
    }

    fn key() -> Secret {
        Secret::new("0123456789abcdef0123456789abcdef")
    }

    fn verify(text: &str, now: u64) -> Result<Link, LinkError> {
        let key = key();
        Link::verify(text, |name| (name == "k1").then_some(&key), at(now))
    }

    #[test]
    fn a_link_is_read_as_it_was_signed() {
        let text = link().sign(&key());
        assert!(text.len() <= 160, "{text}");
        assert_eq!(verify(&text, 1_799_999_999), Ok(link()));
        assert_eq!(verify(&text, 1_800_000_000), Err(LinkError::Expired));
        let full = Link {
            until: at(1_800_000_600),
            network: Some("192.0.2.0/24".parse().unwrap()),
            name: "the neighbours".to_owned(),
            ..link()
        };
        assert_eq!(verify(&full.sign(&key()), 1_799_999_999), Ok(full));
    }

    #[test]
    fn other_keys_and_changed_links_open_nothing() {
        let text = link().sign(&key());
        let invalid = Err(LinkError::Invalid);
        assert_eq!(verify(&link().sign(&Secret::new("another key of 32 bytes, as it were")), 0), invalid);
        assert_eq!(verify(&Link { key: "k2".to_owned(), ..link() }.sign(&key()), 0), invalid);
        for wrong in ["", ".", "a.b", &format!("{text}="), &format!("{text}.x"), &text.replace('.', "")] {
            assert_eq!(verify(wrong, 0), invalid, "{wrong}");
        }
    }

    #[test]
    fn a_name_cannot_add_fields() {
        let named = Link { name: "x\ny".to_owned(), ..link() };
        assert_eq!(verify(&named.sign(&key()), 0), Err(LinkError::Invalid));
    }

    proptest! {
        #[test]
        fn each_changed_character_is_noticed(at in any::<prop::sample::Index>(), new in "[A-Za-z0-9_.-]") {
            let text = link().sign(&key());
            let at = at.index(text.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &new);
            prop_assert_eq!(verify(&changed, 0).is_ok(), changed == text);
        }

        #[test]
        fn no_text_panics(text in "[A-Za-z0-9_.=-]{0,100}") {
            let _ = verify(&text, 0);
        }
    }
}
