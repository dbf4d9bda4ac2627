//! The words of a hook that decides: what it is asked, and what its answer means. Pure.
//!
//! Two forms are spoken, those of mediamtx and of SRS: services that decide for these decide for this server as well.

use super::{action::Action, permission::Permissions, secret::Secret};
use serde_json::{Value, json};
use std::{net::IpAddr, time::Duration};

/// A service that decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSource {
    /// Where it is asked. It may hold a secret.
    pub url: Secret,
    /// How it is asked.
    pub form: HookForm,
    /// How long a permission is remembered.
    pub keep: Duration,
}

/// How a hook is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookForm {
    /// All actions but those on the configuration and on users; a status of 2xx permits.
    Mediamtx,
    /// Watching and publishing; the body `0` or `{"code": 0}` permits.
    Srs,
}

/// What was presented, and nobody of the configuration has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The user, or nothing.
    pub user: String,
    /// The password of the user.
    pub password: Secret,
    /// The token, or nothing.
    pub token: Secret,
}

/// What a hook has permitted.
#[derive(Debug, Clone, PartialEq)]
pub struct HookGrant {
    /// The user, as presented.
    pub user: String,
    /// What was asked for.
    pub may: Permissions,
    /// The hook: another one ends what this one permitted.
    pub source: HookSource,
}

/// A question.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// What was presented.
    pub claim: Option<&'a Claim>,
    /// The client.
    pub peer: IpAddr,
    /// What it wants to do.
    pub action: Action,
    /// To which stream; empty for the server.
    pub stream: &'a str,
    /// By which protocol.
    pub protocol: &'a str,
    /// The query of its address.
    pub query: &'a str,
    /// Its program.
    pub agent: &'a str,
}

/// What a hook answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Permitted,
    /// It may not.
    Denied,
    /// There is no answer, or none that can be understood.
    None,
}

impl Claim {
    /// Who presents nothing.
    pub fn nothing() -> Self {
        Self { user: String::new(), password: Secret::new(""), token: Secret::new("") }
    }
}

impl HookForm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Mediamtx, Self::Srs];

    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mediamtx => "mediamtx",
            Self::Srs => "srs",
        }
    }

    /// The question as JSON; `None` for an action that the form has no word for, which is not permitted then.
    pub fn question(self, question: &Question<'_>) -> Option<Value> {
        let Question { claim, peer, action, stream, protocol, query, agent } = *question;
        match self {
            Self::Mediamtx => {
                let action = match action {
                    Action::View | Action::Still => "read",
                    Action::Playback => "playback",
                    Action::Publish => "publish",
                    Action::Status => "metrics",
                    Action::Record | Action::Kick => "api",
                    Action::ConfigRead | Action::ConfigWrite | Action::ConfigExec | Action::Users => return None,
                };
                let nothing = Claim::nothing();
                let Claim { user, password, token } = claim.unwrap_or(&nothing);
                Some(json!({
                    "user": user, "password": password.expose(), "token": token.expose(), "ip": peer.to_string(),
                    "action": action, "path": stream, "protocol": protocol, "id": null, "query": query,
                    "userAgent": agent,
                }))
            }
            Self::Srs => {
                let action = match action {
                    Action::View | Action::Still | Action::Playback => "on_play",
                    Action::Publish => "on_publish",
                    _ => return None,
                };
                let param = if query.is_empty() { String::new() } else { format!("?{query}") };
                // The stream is named as SRS names it: what stands before the last slash is the application.
                let (app, name) = stream.rsplit_once('/').unwrap_or(("live", stream));
                Some(json!({
                    "action": action, "ip": peer.to_string(), "vhost": "__defaultVhost__", "app": app, "stream": name,
                    "param": param, "tcUrl": format!("{protocol}://localhost/{app}"), "pageUrl": "",
                    "user": claim.map_or("", |claim| &claim.user),
                    "password": claim.map_or("", |claim| claim.password.expose()),
                    "token": claim.map_or("", |claim| claim.token.expose()),
                }))
            }
        }
    }

    /// What a response with this status and body means.
    pub fn answer(self, status: u16, body: &[u8]) -> Answer {
        match (self, status) {
            (_, 500..) => Answer::None,
            (Self::Mediamtx, 200..300) => Answer::Permitted,
            (Self::Srs, 200) => match serde_json::from_slice::<Value>(body) {
                Ok(Value::Number(code)) => Self::of_code(code.as_i64()),
                Ok(Value::Object(object)) => Self::of_code(object.get("code").and_then(Value::as_i64)),
                _ => Answer::None,
            },
            _ => Answer::Denied,
        }
    }

    const fn of_code(code: Option<i64>) -> Answer {
        match code {
            Some(0) => Answer::Permitted,
            Some(_) => Answer::Denied,
            None => Answer::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn question(action: Action) -> Question<'static> {
        let peer = IpAddr::from([192, 0, 2, 1]);
        Question { claim: None, peer, action, stream: "live/cam", protocol: "rtsp", query: "a=b", agent: "x" }
    }

    #[test]
    fn questions_have_the_words_of_their_form() {
        let claim = Claim { user: "anna".to_owned(), password: Secret::new("p"), token: Secret::new("") };
        let asked = Question { claim: Some(&claim), ..question(Action::View) };
        let expected = json!({
            "user": "anna", "password": "p", "token": "", "ip": "192.0.2.1", "action": "read", "path": "live/cam",
            "protocol": "rtsp", "id": null, "query": "a=b", "userAgent": "x",
        });
        assert_eq!(HookForm::Mediamtx.question(&asked), Some(expected));
        let found = HookForm::Srs.question(&question(Action::Publish)).unwrap();
        let part = |name: &str| found[name].as_str().unwrap().to_owned();
        assert_eq!(
            ["action", "app", "stream", "param", "ip"].map(part),
            ["on_publish", "live", "cam", "?a=b", "192.0.2.1"].map(str::to_owned)
        );
        let word = |form: HookForm, action| form.question(&question(action)).map(|json| json["action"].clone());
        let words = Action::ALL.map(|action| word(HookForm::Mediamtx, action));
        let words: Vec<_> = words.iter().map(|word| word.as_ref().and_then(Value::as_str).unwrap_or("-")).collect();
        assert_eq!(words.len(), 11);
        for action in [Action::ConfigRead, Action::ConfigWrite, Action::ConfigExec, Action::Users] {
            assert_eq!((word(HookForm::Mediamtx, action), word(HookForm::Srs, action)), (None, None), "{words:?}");
        }
        assert_eq!(word(HookForm::Srs, Action::Kick), None);
    }

    #[test]
    fn answers() {
        let check = |form: HookForm, status, body: &str, expect| {
            assert_eq!(form.answer(status, body.as_bytes()), expect, "{form:?} {status} {body}");
        };
        for (status, expect) in [(200, Answer::Permitted), (204, Answer::Permitted), (302, Answer::Denied)] {
            check(HookForm::Mediamtx, status, "", expect);
        }
        check(HookForm::Mediamtx, 401, "", Answer::Denied);
        check(HookForm::Mediamtx, 500, "", Answer::None);
        for (body, expect) in [
            ("0", Answer::Permitted),
            (" 0\n", Answer::Permitted),
            ("{\"code\": 0, \"data\": null}", Answer::Permitted),
            ("1", Answer::Denied),
            ("{\"code\": 403}", Answer::Denied),
            ("{}", Answer::None),
            ("", Answer::None),
            ("ok", Answer::None),
        ] {
            check(HookForm::Srs, 200, body, expect);
        }
        check(HookForm::Srs, 204, "0", Answer::Denied);
        check(HookForm::Srs, 502, "0", Answer::None);
    }

    proptest! {
        /// Whatever comes back, only what the form says permits.
        #[test]
        fn nothing_else_permits(status in 0u16..1000, body in prop::collection::vec(any::<u8>(), 0..40)) {
            let is_permitted = |form: HookForm| form.answer(status, &body) == Answer::Permitted;
            prop_assert!(!is_permitted(HookForm::Mediamtx) || (200..300).contains(&status));
            prop_assert!(!is_permitted(HookForm::Srs) || status == 200 && body.contains(&b'0'));
        }
    }
}
