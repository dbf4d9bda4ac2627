//! `hooks:`: who gets events.

use super::{address, diagnostics::Path, expected::Expected, raw, spans::Place, validator::Validator};
use crate::access::{MASK, Pattern, Secret};
use data_encoding::BASE64;
use serde_yaml::Value;
use std::time::Duration;

/// Most hooks: each is a task and a file.
const MOST: usize = 64;
/// Most secrets of a hook: the old one and the new one while they are exchanged.
const SECRETS: usize = 2;
/// Bytes of a secret, as Standard Webhooks has them.
const SECRET: std::ops::RangeInclusive<usize> = 24..=64;

/// Seconds between two heartbeats.
const INTERVALS: std::ops::RangeInclusive<f64> = 1.0..=86_400.0;

/// One receiver of events, or a program that runs beside something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Its name.
    pub name: String,
    /// When it has something to do.
    pub occasion: Occasion,
    /// Of which feeds and streams; empty for all, and for the server.
    pub names: Vec<Pattern>,
    /// What it does then.
    pub target: HookTarget,
}

/// When a hook has something to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Occasion {
    /// When one of these events happens; empty for all.
    Events(Vec<Pattern>),
    /// As long as this lasts: its program runs beside it.
    During(Activity),
    /// Again and again, at this interval.
    Every(Duration),
}

/// What a program can run beside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Activity {
    /// A feed has a publisher.
    Publish,
    /// A stream has viewers.
    Play,
}

impl Activity {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Publish, Self::Play];

    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Play => "play",
        }
    }
}

/// What an event is posted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EventForm {
    /// A CloudEvent.
    #[default]
    CloudEvents,
    /// A callback of SRS, of those events that SRS has.
    Srs,
}

impl EventForm {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::CloudEvents, Self::Srs];

    /// The name in a configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CloudEvents => "cloudevents",
            Self::Srs => "srs",
        }
    }
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookTarget {
    /// They are posted to this address, signed with each of the secrets.
    Url {
        /// The address, whose path may be a secret.
        url: Secret,
        /// As `whsec_` and base64.
        secrets: Vec<Secret>,
        /// What the bodies are.
        form: EventForm,
    },
    /// This program is run for each.
    Run(Vec<String>),
}

impl Hook {
    /// The hook to be shown.
    pub(super) fn masked(&self, words_without_secrets: impl Fn(&[String]) -> Vec<String>) -> Self {
        let target = match &self.target {
            HookTarget::Url { url, secrets, form } => HookTarget::Url {
                form: *form,
                url: Secret::new(address::masked_url(url.expose())),
                secrets: secrets.iter().map(|_| Secret::new(MASK)).collect(),
            },
            HookTarget::Run(words) => HookTarget::Run(words_without_secrets(words)),
        };
        Self { target, ..self.clone() }
    }
}

impl Validator {
    /// The hooks, by name.
    pub(super) fn hooks(&mut self, path: &Path, value: Option<Value>) -> Vec<Hook> {
        let entries = self.entries(path, value);
        if entries.len() > MOST {
            self.note(path, Place::Key, format!("there are {} hooks: at most {MOST}", entries.len()));
        }
        entries.into_iter().take(MOST).filter_map(|(name, value)| self.hook(&path.key(&name), name, value)).collect()
    }

    fn hook(&mut self, path: &Path, name: String, value: Value) -> Option<Hook> {
        let keys: raw::Hook = self.section(path, value);
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(fits) {
            let message = "the name of a hook has 1 to 64 letters, digits, `-` and `_`: a file is named after it";
            self.note(path, Place::Key, message.to_owned());
        }
        let has_events = keys.events.is_some();
        let events = self.name_patterns(&path.key("events"), keys.events);
        let names = self.name_patterns(&path.key("names"), keys.names);
        let during = self.value(&path.key("during"), keys.during, activity);
        let every = self.value(&path.key("every"), keys.every, interval);
        if has_events && (during.is_some() || every.is_some()) {
            let message = "the hook has another occasion: remove `events`, or `during` and `every`";
            self.note(&path.key("events"), Place::Key, message.to_owned());
        }
        if during.is_some() && every.is_some() {
            self.note(&path.key("every"), Place::Key, "expected either `during` or `every`".to_owned());
        }
        if during.is_some() && keys.url.is_some() {
            self.note(&path.key("during"), Place::Key, "a program runs beside it: it is for `run`".to_owned());
        }
        if every.is_some() && !names.is_empty() {
            self.note(&path.key("names"), Place::Key, "a heartbeat is about the server: it has no names".to_owned());
        }
        let occasion = match (during, every) {
            (Some(activity), _) => Occasion::During(activity),
            (None, Some(interval)) => Occasion::Every(interval),
            (None, None) => Occasion::Events(events),
        };
        let secrets = self.secrets(&path.key("secret"), keys.secret);
        let form = self.value(&path.key("form"), keys.form, form);
        let target = match (keys.url, keys.run) {
            (Some(url), None) => {
                let url = self.secret(&path.key("url"), Some(url), address::HTTP_URL, address::http_url);
                HookTarget::Url { url: url?, secrets, form: form.unwrap_or_default() }
            }
            (None, Some(words)) => {
                if form.is_some() {
                    self.note(
                        &path.key("form"),
                        Place::Key,
                        "a program gets the event as it is: it is for `url`".to_owned(),
                    );
                }
                if !secrets.is_empty() {
                    self.note(&path.key("secret"), Place::Key, "a program needs no secret: it is for `url`".to_owned());
                }
                HookTarget::Run(self.plain_words(&path.key("run"), words)?)
            }
            _ => {
                self.note(path, Place::Key, "expected either `url` or `run`".to_owned());
                return None;
            }
        };
        Some(Hook { name, occasion, names, target })
    }

    fn name_patterns(&mut self, path: &Path, value: Option<Value>) -> Vec<Pattern> {
        value.map(|value| self.scalars(path, value, pattern)).unwrap_or_default()
    }

    fn secrets(&mut self, path: &Path, value: Option<Value>) -> Vec<Secret> {
        let values = match value {
            None => Vec::new(),
            Some(Value::Sequence(values)) => values.into_iter().enumerate().collect(),
            Some(value) => vec![(usize::MAX, value)],
        };
        if values.len() > SECRETS {
            self.note(path, Place::Key, format!("there are {} secrets: at most {SECRETS}", values.len()));
        }
        let expected = format!(
            "`whsec_` and {} to {} bytes as base64: `echo whsec_$(openssl rand -base64 32)` makes one",
            SECRET.start(),
            SECRET.end()
        );
        let at = |index| if index == usize::MAX { path.clone() } else { path.index(index) };
        values
            .into_iter()
            .filter_map(|(index, value)| self.secret(&at(index), Some(value), &expected, secret))
            .collect()
    }
}

fn pattern(text: &str) -> Result<Pattern, Expected> {
    Pattern::new(text).ok_or_else(|| "letters, digits, `.`, `-`, `_`, blanks, and `*` for any characters".into())
}

fn activity(text: &str) -> Result<Activity, Expected> {
    let found = Activity::ALL.into_iter().find(|activity| activity.name() == text);
    found.ok_or_else(|| "publish or play".into())
}

fn interval(text: &str) -> Result<Duration, Expected> {
    super::publish::seconds(text, INTERVALS)
}

fn form(text: &str) -> Result<EventForm, Expected> {
    let found = EventForm::ALL.into_iter().find(|form| form.name() == text);
    found.ok_or_else(|| "cloudevents or srs".into())
}

fn secret(text: &str) -> Option<Secret> {
    let bytes = BASE64.decode(text.strip_prefix("whsec_")?.as_bytes()).ok()?;
    SECRET.contains(&bytes.len()).then(|| Secret::new(text))
}

/// The section as it could have been read.
pub(super) fn printed(hooks: &[Hook]) -> Option<Value> {
    let texts = |texts: Vec<&str>| Value::Sequence(texts.into_iter().map(Into::into).collect());
    let patterns =
        |patterns: &[Pattern]| (!patterns.is_empty()).then(|| texts(patterns.iter().map(Pattern::as_str).collect()));
    let entry = |hook: &Hook| {
        let (url, secret, form, run) = match &hook.target {
            HookTarget::Url { url, secrets, form } => {
                let secrets: Vec<_> = secrets.iter().map(Secret::expose).collect();
                (
                    Some(url.expose().into()),
                    (!secrets.is_empty()).then(|| texts(secrets)),
                    (*form != EventForm::default()).then(|| form.name().into()),
                    None,
                )
            }
            HookTarget::Run(words) => (None, None, None, Some(texts(words.iter().map(String::as_str).collect()))),
        };
        let (events, during, every) = match &hook.occasion {
            Occasion::Events(events) => (patterns(events), None, None),
            Occasion::During(activity) => (None, Some(activity.name().into()), None),
            Occasion::Every(interval) => (None, None, Some(interval.as_secs_f64().into())),
        };
        let keys = raw::Hook { url, secret, form, run, events, during, every, names: patterns(&hook.names) };
        (Value::String(hook.name.clone()), serde_yaml::to_value(&keys).unwrap_or_default())
    };
    (!hooks.is_empty()).then(|| Value::Mapping(hooks.iter().map(entry).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Diagnostic, masked, parse, to_yaml};

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    #[test]
    fn hooks_are_read_and_their_secrets_hidden() {
        let text = format!(
            "hooks: {{a: {{url: 'https://h.example/canary?x=1', secret: {SECRET}, events: [feed.*, viewer.left], names: cam*}}, \
             b: {{run: 'logger -t voyandz'}}, c: {{url: 'http://h', form: srs}}, \
             d: {{run: relay, during: publish, names: cam*}}, e: {{url: 'http://h', every: 2.5}}}}"
        );
        let config = parse(&text).unwrap();
        let [a, b, c, d, e] = config.hooks.as_slice() else { panic!("{:?}", config.hooks) };
        let Occasion::Events(events) = &a.occasion else { panic!("{a:?}") };
        assert_eq!((a.name.as_str(), events.len(), a.names[0].as_str()), ("a", 2, "cam*"));
        assert_eq!((&b.occasion, &d.occasion), (&Occasion::Events(Vec::new()), &Occasion::During(Activity::Publish)));
        assert_eq!(e.occasion, Occasion::Every(Duration::from_millis(2500)));
        let url = |url: &str, secrets, form| HookTarget::Url { url: Secret::new(url), secrets, form };
        let secrets = vec![Secret::new(SECRET)];
        assert_eq!(a.target, url("https://h.example/canary?x=1", secrets, EventForm::CloudEvents));
        assert_eq!(c.target, url("http://h", Vec::new(), EventForm::Srs));
        assert_eq!(b.target, HookTarget::Run(["logger", "-t", "voyandz"].map(str::to_owned).to_vec()));
        let shown = to_yaml(&masked(&config));
        assert!(!shown.contains("canary") && !shown.contains("MfKQ"), "{shown}");
        assert!(shown.contains("https://h.example/***"), "{shown}");
        let again = parse(&to_yaml(&config)).unwrap();
        assert_eq!(again.hooks, config.hooks);
        assert!(parse("hooks: {}").unwrap().hooks.is_empty());
    }

    #[test]
    fn faults() {
        let check = |text: &str, expect: &str| {
            let faults = parse(text).err().unwrap_or_default();
            assert_eq!(faults.iter().map(Diagnostic::to_string).collect::<Vec<_>>(), [expect], "{text}");
        };
        check("hooks: {a: {}}", "1:9: hooks.a: expected either `url` or `run`");
        check("hooks: {a: {url: 'http://h', run: x}}", "1:9: hooks.a: expected either `url` or `run`");
        for url in ["'ftp://h'", "h", "'http://u:p@h/'"] {
            check(
                &format!("hooks: {{a: {{url: {url}}}}}"),
                "1:18: hooks.a.url: expected an address that begins with http:// or https://, without user and password, found another text",
            );
        }
        let secret = "`whsec_` and 24 to 64 bytes as base64: `echo whsec_$(openssl rand -base64 32)` makes one";
        check(
            "hooks: {a: {url: 'http://h', secret: short}}",
            &format!("1:38: hooks.a.secret: expected {secret}, found another text"),
        );
        check(
            "hooks: {a: {run: x, events: 'a/b'}}",
            "1:29: hooks.a.events: expected letters, digits, `.`, `-`, `_`, blanks, and `*` for any characters, found \"a/b\"",
        );
        check(
            "hooks: {a: {run: x, form: srs}}",
            "1:21: hooks.a.form: a program gets the event as it is: it is for `url`",
        );
        for (keys, place, fault) in [
            ("url: 'http://h', during: play", "30: hooks.a.during", "a program runs beside it: it is for `run`"),
            ("run: x, during: watch", "29: hooks.a.during", "expected publish or play, found \"watch\""),
            ("run: x, every: 0.2", "28: hooks.a.every", "expected seconds, 1 to 86400, found \"0.2\""),
            ("run: x, during: play, every: 5", "35: hooks.a.every", "expected either `during` or `every`"),
            ("run: x, every: 5, names: a", "31: hooks.a.names", "a heartbeat is about the server: it has no names"),
            (
                "run: x, every: 5, events: a",
                "31: hooks.a.events",
                "the hook has another occasion: remove `events`, or `during` and `every`",
            ),
        ] {
            check(&format!("hooks: {{a: {{{keys}}}}}"), &format!("1:{place}: {fault}"));
        }
        check("hooks: {a: {url: 'http://h', form: x}}", "1:36: hooks.a.form: expected cloudevents or srs, found \"x\"");
        check(
            "hooks: {a b: {run: x}}",
            "1:9: hooks.a b: the name of a hook has 1 to 64 letters, digits, `-` and `_`: a file is named after it",
        );
        check(
            &format!("hooks: {{a: {{run: x, secret: {SECRET}}}}}"),
            "1:21: hooks.a.secret: a program needs no secret: it is for `url`",
        );
    }
}
