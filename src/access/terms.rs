//! The terms of a signed link as somebody says them, checked. Pure.

use super::{action::Action, link::Link, network::NetworkError, permission::Pattern};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Longest name of whom a link is for, in bytes.
const MAX_NAME: usize = 64;

/// What a link should permit, in the words of whoever wants it.
#[derive(Debug, Clone, Default)]
pub struct LinkTerms<'a> {
    /// A stream, or a pattern of streams.
    pub streams: &'a str,
    /// Names of actions; `view` and `still` where there are none.
    pub may: Vec<&'a str>,
    /// How long the link is good.
    pub lasts: Duration,
    /// How long it can be opened, if that is shorter.
    pub open: Option<Duration>,
    /// The network that it is for.
    pub from: Option<&'a str>,
    /// Who it is for.
    pub name: &'a str,
}

/// Why there is no such link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// The pattern is none.
    #[error("expected the name of a stream, in which * stands for any characters")]
    Streams,
    /// A link cannot permit this.
    #[error("a link permits view, still, playback or publish, not {0:?}")]
    Action(String),
    /// The network is none.
    #[error("expected {0}")]
    Network(#[from] NetworkError),
    /// The name is too long, or has control characters.
    #[error("a name has at most 64 bytes and no control characters")]
    Name,
}

impl LinkTerms<'_> {
    /// The link with these terms, for the key with this name. Its times are whole seconds.
    ///
    /// # Errors
    /// See [`TermsError`].
    pub fn link(&self, key: &str, now: SystemTime) -> Result<Link, TermsError> {
        let streams = Pattern::new(self.streams).ok_or(TermsError::Streams)?;
        let action = |name: &&str| {
            let action = Action::from_name(name).filter(|action| Link::can_permit(*action));
            action.ok_or_else(|| TermsError::Action((*name).to_owned()))
        };
        let actions = match self.may.is_empty() {
            true => vec![Action::View, Action::Still],
            false => self.may.iter().map(action).collect::<Result<_, _>>()?,
        };
        let network = self.from.map(str::parse).transpose()?;
        if self.name.len() > MAX_NAME || self.name.chars().any(char::is_control) {
            return Err(TermsError::Name);
        }
        let until = whole_seconds(now, self.lasts);
        let open_until = self.open.map_or(until, |open| whole_seconds(now, open).min(until));
        let (key, name) = (key.to_owned(), self.name.to_owned());
        Ok(Link { key, actions, streams, open_until, until, network, name })
    }
}

fn whole_seconds(now: SystemTime, later: Duration) -> SystemTime {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default().saturating_add(later);
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_become_a_link_or_say_what_is_wrong() {
        let now = UNIX_EPOCH + Duration::from_millis(1_000_500);
        let terms =
            LinkTerms { streams: "cam*", lasts: Duration::from_secs(60), name: "guest", ..LinkTerms::default() };
        let link = terms.link("k1", now).unwrap();
        let end = UNIX_EPOCH + Duration::from_secs(1060);
        assert_eq!((link.open_until, link.until, link.actions), (end, end, vec![Action::View, Action::Still]));
        let short = LinkTerms { open: Some(Duration::from_secs(5)), may: vec!["playback"], ..terms.clone() };
        let link = short.link("k1", now).unwrap();
        let opens = UNIX_EPOCH + Duration::from_secs(1005);
        assert_eq!((link.open_until, link.until, link.actions), (opens, end, vec![Action::Playback]));
        let longer = LinkTerms { open: Some(Duration::from_secs(500)), ..terms.clone() };
        assert_eq!(longer.link("k1", now).unwrap().open_until, end);
        for (wrong, expect) in [
            (LinkTerms { streams: "a/b", ..terms.clone() }, "expected the name of a stream"),
            (
                LinkTerms { may: vec!["kick"], ..terms.clone() },
                "a link permits view, still, playback or publish, not \"kick\"",
            ),
            (LinkTerms { from: Some("10.0.0.0/33"), ..terms.clone() }, "expected "),
            (LinkTerms { name: "a\nb", ..terms.clone() }, "a name has at most 64 bytes"),
            (LinkTerms { name: &"x".repeat(65), ..terms }, "a name has at most 64 bytes"),
        ] {
            let said = wrong.link("k1", now).unwrap_err().to_string();
            assert!(said.starts_with(expect), "{said}");
        }
    }
}
