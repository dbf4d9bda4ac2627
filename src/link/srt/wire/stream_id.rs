//! The stream id of a caller: what it asks for, and as whom.
//!
//! Three ways of writing are known: that of the guidelines of SRT, `#!::r=cam0,m=request,u=anna,s=secret`; that of MediaMTX,
//! `read:cam0:anna:secret`; and plain `cam0?user=anna&pass=secret`.

use percent_encoding::percent_decode_str;
use std::{borrow::Cow, fmt};

/// What a caller asks for.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct StreamId {
    /// Whether it sends media.
    pub publishes: bool,
    /// The name of the stream, without a slash around it; empty when none is named.
    pub name: String,
    /// The user.
    pub user: Option<String>,
    /// The password of the user, or a token or key of its own.
    pub secret: Option<String>,
    /// The rest, as the query of an address.
    pub query: String,
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { publishes, name, user, .. } = self;
        f.debug_struct("StreamId").field("publishes", publishes).field("name", name).field("user", user).finish()
    }
}

/// A stream id that cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// A mode other than `request` and `publish`.
    #[error("the mode of the stream id is unknown: expected m=request or m=publish")]
    Mode,
    /// An item without a value.
    #[error("the stream id is malformed: expected #!::r=NAME,m=request with a value for each key")]
    Item,
    /// It is no text.
    #[error("the stream id is no UTF-8 text, or has control characters")]
    Text,
}

/// What marks the way of writing of the guidelines.
const MARK: &str = "#!::";

impl StreamId {
    /// Reads a stream id.
    ///
    /// # Errors
    /// See [`StreamIdError`].
    pub fn parse(text: &str) -> Result<Self, StreamIdError> {
        let text = if is_encoded(text) { decode(text)? } else { Cow::Borrowed(text) };
        let text = text.trim_end_matches('\0');
        // VLC appends this.
        let text = text.strip_suffix("#feedbackplay").unwrap_or(text);
        if text.chars().any(char::is_control) {
            return Err(StreamIdError::Text);
        }
        if let Some(items) = text.strip_prefix(MARK) {
            return Self::of_items(items);
        }
        let publishes = [("publish:", true), ("read:", false), ("request:", false)];
        match publishes.iter().find_map(|(prefix, publishes)| Some((text.strip_prefix(prefix)?, *publishes))) {
            Some((rest, publishes)) => Self::of_fields(rest, publishes),
            None => Self::plain(text, false),
        }
    }

    /// The name for the log. In an unknown way of writing there may be a secret behind a colon.
    pub fn shown(&self) -> Cow<'_, str> {
        match self.name.split_once(':') {
            Some((first, _)) => format!("{first}:***").into(),
            None => self.name.as_str().into(),
        }
    }

    fn of_items(items: &str) -> Result<Self, StreamIdError> {
        let mut id = Self::default();
        let mut query = Vec::new();
        for item in items.split(',').filter(|item| !item.is_empty()) {
            let (key, value) = item.split_once('=').ok_or(StreamIdError::Item)?;
            match key {
                "r" => {
                    let (name, rest) = value.split_once('?').unwrap_or((value, ""));
                    id.name = trimmed(&decode(name)?);
                    query.extend((!rest.is_empty()).then(|| rest.to_owned()));
                }
                "u" => id.user = Some(value.to_owned()),
                "s" => id.secret = Some(value.to_owned()),
                "m" => {
                    id.publishes = match value {
                        "request" => false,
                        "publish" => true,
                        _ => return Err(StreamIdError::Mode),
                    };
                }
                // The host and the type of the content decide nothing here.
                "h" | "t" => {}
                _ => query.push(item.to_owned()),
            }
        }
        id.query = query.join("&");
        Ok(id.with_query())
    }

    fn of_fields(text: &str, publishes: bool) -> Result<Self, StreamIdError> {
        let mut fields = text.splitn(4, ':');
        let mut id = Self::plain(fields.next().unwrap_or_default(), publishes)?;
        let given = |field: Option<&str>| field.filter(|field| !field.is_empty()).map(str::to_owned);
        let (user, secret) = (given(fields.next()), given(fields.next()));
        (id.user, id.secret) = (user.or(id.user), secret.or(id.secret));
        if let Some(query) = fields.next() {
            query.clone_into(&mut id.query);
        }
        Ok(id.with_query())
    }

    fn plain(text: &str, publishes: bool) -> Result<Self, StreamIdError> {
        let (name, query) = text.split_once('?').unwrap_or((text, ""));
        let id = Self { publishes, name: trimmed(&decode(name)?), query: query.to_owned(), ..Self::default() };
        Ok(id.with_query())
    }

    /// The user and the secret, where the query has them.
    fn with_query(mut self) -> Self {
        let value = |names: &[&str]| {
            let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
            let (_, value) = pairs.into_iter().find(|(key, _)| names.contains(key))?;
            Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let (user, secret) = (value(&["user"]), value(&["pass", "password", "token", "key"]));
        (self.user, self.secret) = (self.user.or(user), self.secret.or(secret));
        self
    }
}

/// Whether what separates its parts is percent-encoded: ffmpeg takes a stream id from an address without decoding it.
fn is_encoded(text: &str) -> bool {
    let starts = text.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("%23"));
    let has_separator = |text: &str| text.contains([':', '?', '#', '=']);
    starts || (!has_separator(text) && percent_decode_str(text).decode_utf8().is_ok_and(|text| has_separator(&text)))
}

fn decode(text: &str) -> Result<Cow<'_, str>, StreamIdError> {
    percent_decode_str(text).decode_utf8().map_err(|_| StreamIdError::Text)
}

fn trimmed(name: &str) -> String {
    name.trim_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(text: &str, publishes: bool, name: &str, user: Option<&str>, secret: Option<&str>, query: &str) {
        let id = StreamId::parse(text).unwrap();
        let found = (id.publishes, id.name.as_str(), id.user.as_deref(), id.secret.as_deref(), id.query.as_str());
        assert_eq!(found, (publishes, name, user, secret, query), "{text}");
    }

    #[test]
    fn every_dialect_is_understood() {
        check("", false, "", None, None, "");
        check("cam0", false, "cam0", None, None, "");
        check("/live/cam0/", false, "live/cam0", None, None, "");
        check("cam%200?v=a.b&w=1", false, "cam 0", None, None, "v=a.b&w=1");
        check("cam0?user=anna&pass=a%3Ab", false, "cam0", Some("anna"), Some("a:b"), "user=anna&pass=a%3Ab");
        check("cam0?key=k", false, "cam0", None, Some("k"), "key=k");
        check("read:cam0", false, "cam0", None, None, "");
        check("publish:cam0:anna:secret", true, "cam0", Some("anna"), Some("secret"), "");
        check("publish:cam0?token=t", true, "cam0", None, Some("t"), "token=t");
        check("read:cam0:::v=a.b", false, "cam0", None, None, "v=a.b");
        check("#!::r=cam0", false, "cam0", None, None, "");
        check("#!::m=publish,r=/cam0,u=anna,s=secret,h=host,t=stream", true, "cam0", Some("anna"), Some("secret"), "");
        check("#!::r=cam0?v=x,m=request,w=1", false, "cam0", None, None, "v=x&w=1");
        check("%23!::r=cam0,m=publish", true, "cam0", None, None, "");
        check("%23%21%3A%3Ar%3Dcam0%2Cm%3Dpublish", true, "cam0", None, None, "");
        check("cam0#feedbackplay", false, "cam0", None, None, "");
        check("read%3Acam0%3Aanna%3Asecret", false, "cam0", Some("anna"), Some("secret"), "");
        check(
            "cam0%3Fuser%3Danna%26pass%3Dsecret",
            false,
            "cam0",
            Some("anna"),
            Some("secret"),
            "user=anna&pass=secret",
        );
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        let error = |text| StreamId::parse(text).unwrap_err();
        assert_eq!(error("#!::r=cam0,m=bidirectional"), StreamIdError::Mode);
        assert_eq!(error("#!::cam0"), StreamIdError::Item);
        assert_eq!(error("cam0\n"), StreamIdError::Text);
        assert_eq!(error("%ff"), StreamIdError::Text);
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown() {
        for (text, expect) in [("cam0", "cam0"), ("play:cam0:anna:canary", "play:***"), ("a%3Ab", "a:***")] {
            assert_eq!(StreamId::parse(text).unwrap().shown(), expect);
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let id = StreamId::parse("#!::r=cam0,u=anna,s=canary,v=canary").unwrap();
        assert!(!format!("{id:?}").contains("canary"));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(#!::|%23!::|read:|publish:)?[a-z%=,:?&/#\u{e4}]{0,40}") {
            let _ = StreamId::parse(&text);
        }
    }
}
