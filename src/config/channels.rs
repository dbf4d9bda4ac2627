//! `channels` of `webrtc:`: programs and WebSockets behind data channels.

use super::{address, diagnostics::Path, raw, spans::Place, validator::Validator};
use crate::access::Secret;
use http::Uri;
use serde_yaml::Value;

/// Most of them: labels are searched one by one.
const MOST: usize = 16;
/// Longest label.
const MAX_LABEL: usize = 64;
/// Labels that the server itself serves.
const OWN: [&str; 2] = ["echo", "control"];
/// What [`websocket`] expects.
const WEBSOCKET: &str = "an address that begins with ws:// or wss://, without user and password";

/// What is behind data channels with a label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelHook {
    /// The label.
    pub label: String,
    /// Who gets the messages, and sends some.
    pub target: ChannelTarget,
}

/// The other end of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelTarget {
    /// A program and its arguments, one for each channel. A line is a message.
    Run(Vec<String>),
    /// A WebSocket, one for each channel.
    Url(Secret),
}

impl ChannelHook {
    /// The same without its secrets, to be shown; `words` takes them out of those of a program.
    pub fn masked(&self, words: impl FnOnce(&[String]) -> Vec<String>) -> Self {
        let target = match &self.target {
            ChannelTarget::Url(url) => ChannelTarget::Url(Secret::new(address::masked_url(url.expose()))),
            ChannelTarget::Run(run) => ChannelTarget::Run(words(run)),
        };
        Self { label: self.label.clone(), target }
    }
}

impl Validator {
    /// The hooks of data channels, by their labels.
    pub(super) fn channels(&mut self, path: &Path, value: Option<Value>) -> Vec<ChannelHook> {
        let entries = self.entries(path, value);
        if entries.len() > MOST {
            self.note(path, Place::Key, format!("there are {} channels: at most {MOST}", entries.len()));
        }
        let entries = entries.into_iter().take(MOST);
        entries.filter_map(|(label, value)| self.channel(&path.key(&label), label, value)).collect()
    }

    fn channel(&mut self, path: &Path, label: String, value: Value) -> Option<ChannelHook> {
        let fits = (1..=MAX_LABEL).contains(&label.len()) && !label.chars().any(char::is_control);
        if OWN.contains(&&*label) || !fits {
            let message = format!("expected a label of 1 to {MAX_LABEL} bytes that is not {}", OWN.join(" or "));
            self.note(path, Place::Key, message);
        }
        let keys: raw::Channel = self.section(path, value);
        let target = match (keys.url, keys.run) {
            (Some(url), None) => ChannelTarget::Url(self.secret(&path.key("url"), Some(url), WEBSOCKET, websocket)?),
            (None, Some(words)) => ChannelTarget::Run(self.plain_words(&path.key("run"), words)?),
            _ => {
                self.note(path, Place::Key, "expected either `url` or `run`".to_owned());
                return None;
            }
        };
        Some(ChannelHook { label, target })
    }
}

/// The section as it could have been read; `None` without channels.
pub(super) fn printed(channels: &[ChannelHook]) -> Option<Value> {
    let text = |text: &str| Value::String(text.to_owned());
    let keys = |target: &ChannelTarget| match target {
        ChannelTarget::Run(words) => {
            raw::Channel { run: Some(Value::Sequence(words.iter().map(|word| text(word)).collect())), url: None }
        }
        ChannelTarget::Url(url) => raw::Channel { url: Some(text(url.expose())), run: None },
    };
    let entry = |hook: &ChannelHook| (text(&hook.label), serde_yaml::to_value(keys(&hook.target)).unwrap_or_default());
    (!channels.is_empty()).then(|| Value::Mapping(channels.iter().map(entry).collect()))
}

fn websocket(text: &str) -> Option<Secret> {
    let uri: Uri = text.parse().ok()?;
    let authority = uri.authority().filter(|authority| !authority.host().is_empty())?;
    let is_good = matches!(uri.scheme_str(), Some("ws" | "wss")) && !authority.as_str().contains('@');
    is_good.then(|| Secret::new(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{masked, parse, to_yaml};

    #[test]
    fn channels_are_read_and_printed() {
        let text = "webrtc: {channels: {chat: {url: 'wss://h.example/chat?key=s3cret'}, 'the lights': {run: 'lights --password s3cret'}}}";
        let config = parse(text).unwrap();
        let channels = &config.webrtc.as_ref().unwrap().channels;
        assert_eq!(channels[0].target, ChannelTarget::Url(Secret::new("wss://h.example/chat?key=s3cret")));
        assert_eq!(
            channels[1].target,
            ChannelTarget::Run(["lights", "--password", "s3cret"].map(str::to_owned).into())
        );
        assert_eq!(channels[1].label, "the lights");
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        let shown = to_yaml(&masked(&config));
        assert!(!shown.contains("s3cret") && shown.contains("wss://h.example/***"), "{shown}");
        assert!(parse(&shown).is_ok());
    }

    #[test]
    fn faults() {
        let check = |channels: &str, expect: &str| {
            let faults = parse(&format!("webrtc: {{channels: {channels}}}")).map(|_| ()).unwrap_err();
            let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert!(found.iter().any(|fault| fault.contains(expect)), "{channels}: {found:?}");
        };
        check("[a]", "webrtc.channels: expected names with keys below them");
        check("{a: {}}", "webrtc.channels.a: expected either `url` or `run`");
        check("{a: {url: 'ws://h', run: x}}", "webrtc.channels.a: expected either `url` or `run`");
        check(
            "{echo: {run: x}}",
            "webrtc.channels.echo: expected a label of 1 to 64 bytes that is not echo or control",
        );
        check("{a: {url: 'http://h'}}", "webrtc.channels.a.url: expected an address that begins with ws:// or wss://");
        check("{a: {url: 'ws://u:p@h'}}", "without user and password");
        let many: Vec<_> = (0..17).map(|at| format!("c{at}: {{run: x}}")).collect();
        check(&format!("{{{}}}", many.join(", ")), "there are 17 channels: at most 16");
    }
}
