//! Permissions: what an identity may do, with which streams. Pure.

use super::action::{Action, Role};
use std::{fmt, sync::Arc};

/// A list of permissions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(Arc<[Permission]>);

/// An action or a role, with the streams that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    what: What,
    streams: Pattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Action(Action),
    Role(Role),
}

/// Names of streams: a name in which `*` stands for any characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Arc<str>);

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject<'a> {
    /// The server.
    Server,
    /// The stream with this name.
    Stream(&'a str),
    /// Each stream that there may ever be.
    EveryStream,
}

/// Why a text is no permission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PermissionError {
    /// The first word.
    #[error("an action or role: {}", names())]
    Unknown,
    /// A pattern where none can be.
    #[error("no name of a stream after an action that is not done to streams")]
    NoStream,
    /// What follows is no pattern.
    #[error("the name of a stream, in which * stands for any characters, after the action or role")]
    Pattern,
}

fn names() -> String {
    let names: Vec<_> = Role::ALL.map(Role::name).into_iter().chain(Action::ALL.map(Action::name)).collect();
    names.join(", ")
}

impl Permissions {
    /// These.
    pub fn new(permissions: Vec<Permission>) -> Self {
        Self(permissions.into())
    }

    /// Whether one of them allows the action.
    pub fn allow(&self, action: Action, subject: Subject<'_>) -> bool {
        self.0.iter().any(|permission| permission.allows(action, subject))
    }

    /// One after the other.
    pub fn iter(&self) -> impl Iterator<Item = &Permission> {
        self.0.iter()
    }
}

impl Permission {
    /// An action on all streams that the pattern matches.
    pub fn of_action(action: Action, streams: Pattern) -> Self {
        Self { what: What::Action(action), streams }
    }

    /// All that a role may do, on all streams.
    pub fn of_role(role: Role) -> Self {
        Self { what: What::Role(role), streams: Pattern::everything() }
    }

    /// Reads `view`, `view cam*` or `viewer cam*`.
    ///
    /// # Errors
    /// What was expected.
    pub fn parse(text: &str) -> Result<Self, PermissionError> {
        let (word, streams) = text.split_once(' ').map_or((text, None), |(word, rest)| (word, Some(rest.trim())));
        let action = Action::from_name(word).map(What::Action);
        let what = action.or_else(|| Role::from_name(word).map(What::Role)).ok_or(PermissionError::Unknown)?;
        let streams = match streams {
            None => Pattern::everything(),
            Some(_) if matches!(what, What::Action(action) if !action.is_of_a_stream()) => {
                return Err(PermissionError::NoStream);
            }
            Some(streams) => Pattern::new(streams).ok_or(PermissionError::Pattern)?,
        };
        Ok(Self { what, streams })
    }

    fn allows(&self, action: Action, subject: Subject<'_>) -> bool {
        let includes = match self.what {
            What::Action(own) => own == action,
            What::Role(role) => role.includes(action),
        };
        includes
            && match subject {
                Subject::Server => true,
                Subject::Stream(name) => {
                    // Who has a stream has its renditions: `cam0@720`.
                    let of = name.split_once('@').map_or(name, |(of, _)| of);
                    self.streams.matches(name) || self.streams.matches(of)
                }
                Subject::EveryStream => self.streams.is_everything(),
            }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.what {
            What::Action(action) => action.name(),
            What::Role(role) => role.name(),
        })?;
        if self.streams.is_everything() { Ok(()) } else { write!(f, " {}", self.streams) }
    }
}

impl Pattern {
    /// Longest pattern in bytes: twice that of a name.
    const MAX: usize = 128;

    /// Checks a pattern: of what a name of a stream may have, and `*`.
    pub fn new(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ' | '*');
        let is_good = (1..=Self::MAX).contains(&text.len()) && text.trim() == text && text.chars().all(fits);
        is_good.then(|| Self(text.into()))
    }

    /// All streams.
    pub fn everything() -> Self {
        Self("*".into())
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_everything(&self) -> bool {
        self.0.bytes().all(|byte| byte == b'*')
    }

    /// Whether the name matches. Time grows with the product of the lengths at most.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut read) = (0, 0);
        // The last star, and how much of the name it has taken.
        let mut star: Option<(usize, usize)> = None;
        while let Some(byte) = name.get(read) {
            match pattern.get(at) {
                Some(b'*') => {
                    star = Some((at, read));
                    at += 1;
                }
                Some(own) if own == byte => {
                    at += 1;
                    read += 1;
                }
                _ => {
                    let Some((place, taken)) = star else { return false };
                    star = Some((place, taken + 1));
                    at = place + 1;
                    read = taken + 1;
                }
            }
        }
        pattern.get(at..).unwrap_or_default().iter().all(|byte| *byte == b'*')
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_stand_for_any_characters() {
        let check = |pattern: &str, name: &str, expect: bool| {
            assert_eq!(Pattern::new(pattern).unwrap().matches(name), expect, "{pattern} {name}");
        };
        check("*", "", true);
        check("cam*", "cam", true);
        check("cam*", "cam0.ts", true);
        check("cam*", "xcam", false);
        check("*.ts", "cam.ts", true);
        check("*.ts", "cam.tsx", false);
        check("a*b*c", "aXbXbXc", true);
        check("a*b*c", "aXbXbX", false);
        check("Cam", "cam", false);
        check("é*", "éa", true);
        for wrong in ["", " a", "a/b", "a\n", "a?", &"a".repeat(129)] {
            assert_eq!(Pattern::new(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn permissions_are_read_and_written() {
        let check = |text: &str, expect: Result<&str, PermissionError>| {
            let found = Permission::parse(text).map(|permission| permission.to_string());
            assert_eq!(found, expect.map(str::to_owned), "{text}");
        };
        check("view", Ok("view"));
        check("view *", Ok("view"));
        check("still cam 0*", Ok("still cam 0*"));
        check("operator yard*", Ok("operator yard*"));
        check("config:read", Ok("config:read"));
        check("config:read cam", Err(PermissionError::NoStream));
        check("view a/b", Err(PermissionError::Pattern));
        check("view ", Err(PermissionError::Pattern));
        check("watch", Err(PermissionError::Unknown));
        check("", Err(PermissionError::Unknown));
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let list =
            |texts: &[&str]| Permissions::new(texts.iter().map(|text| Permission::parse(text).unwrap()).collect());
        let permissions = list(&["view cam*", "viewer yard"]);
        let check =
            |action, subject, expect| assert_eq!(permissions.allow(action, subject), expect, "{action:?} {subject:?}");
        check(Action::View, Subject::Stream("cam0"), true);
        check(Action::Still, Subject::Stream("cam0"), false);
        check(Action::Still, Subject::Stream("yard"), true);
        check(Action::View, Subject::Stream("street"), false);
        check(Action::View, Subject::EveryStream, false);
        check(Action::Status, Subject::Server, true);
        check(Action::ConfigRead, Subject::Server, false);
        assert!(list(&["admin"]).allow(Action::View, Subject::EveryStream));
        assert!(!Permissions::default().allow(Action::View, Subject::Stream("cam0")));
    }

    /// The same by recursion.
    fn matches(pattern: &[u8], name: &[u8]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((b'*', rest)) => (0..=name.len()).any(|taken| matches(rest, &name[taken..])),
            Some((byte, rest)) => name.first() == Some(byte) && matches(rest, &name[1..]),
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_its_stars_can_be(pattern in "[ab*]{1,8}", name in "[ab]{0,8}") {
            let expected = matches(pattern.as_bytes(), name.as_bytes());
            prop_assert_eq!(Pattern::new(&pattern).unwrap().matches(&name), expected);
        }
    }
}
