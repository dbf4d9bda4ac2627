//! `publish:` of a feed: who may send media into it, and how.

use super::{
    diagnostics::Path,
    expected::{Expected, kind, place},
    raw,
    spans::Place,
    validator::Validator,
};
use crate::access::{MASK, Secret};
use serde_yaml::Value;
use std::{ops::RangeInclusive, time::Duration};

/// Seconds that a publisher may take to its first media, and may be silent.
const FIRST_PACKET: RangeInclusive<f64> = 1.0..=3600.0;
const IDLE: RangeInclusive<f64> = 1.0..=3600.0;
/// Shortest key: shorter ones are found by trying.
const MIN_KEY: usize = 6;
/// Longest key.
const MAX_KEY: usize = 256;
/// What a key looks like.
const KEY: &str = "6 to 256 letters, digits and characters that need no escape in a URL";

/// How a feed is published to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Who has it may publish; others need the permission `publish`.
    pub key: Option<Secret>,
    /// The protocols, at least one.
    pub protocols: Vec<PublishProtocol>,
    /// A publisher that has sent nothing for so long is disconnected.
    pub first_packet: Duration,
    /// A publisher whose media stops for so long is disconnected.
    pub idle: Duration,
    /// What a second publisher does.
    pub second: SecondPublisher,
    /// What publishers of WebRTC call the smaller layers of their video (simulcast), the largest first. Each is a feed of its own, see
    /// [`FeedName::of_layer`](super::FeedName).
    pub layers: Vec<String>,
    /// It is such a feed: nobody publishes to it alone.
    pub is_layer: bool,
}

/// A protocol that publishers use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PublishProtocol {
    /// `PUT` and `POST`.
    Http,
    /// RTMP.
    Rtmp,
    /// RTSP with `ANNOUNCE` and `RECORD`.
    Rtsp,
    /// SRT.
    Srt,
    /// WebRTC by WHIP.
    Webrtc,
    /// Datagrams of MPEG-TS, for feeds with an address only.
    Udp,
    /// The same in packets of RTP.
    Rtp,
}

/// What happens when somebody wants to publish to a feed that has a publisher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondPublisher {
    /// The second one is refused.
    Refuse,
    /// The first one is disconnected.
    Replace,
}

impl PublishProtocol {
    /// Those by which others publish.
    pub const ALL: [Self; 5] = [Self::Http, Self::Rtmp, Self::Rtsp, Self::Srt, Self::Webrtc];

    /// As the configuration, logs and metrics name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Rtmp => "rtmp",
            Self::Rtsp => "rtsp",
            Self::Srt => "srt",
            Self::Webrtc => "webrtc",
            Self::Udp => "udp",
            Self::Rtp => "rtp",
        }
    }
}

impl SecondPublisher {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Refuse, Self::Replace];

    /// As the configuration names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Replace => "replace",
        }
    }
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            key: None,
            protocols: PublishProtocol::ALL.to_vec(),
            first_packet: Duration::from_secs(20),
            idle: Duration::from_secs(7),
            second: SecondPublisher::Refuse,
            layers: Vec::new(),
            is_layer: false,
        }
    }
}

impl Publish {
    /// The same without its secret, to be shown.
    pub fn masked(&self) -> Self {
        Self { key: self.key.as_ref().map(|_| Secret::new(MASK)), ..self.clone() }
    }
}

impl Validator {
    /// The settings; the default ones where there are errors, which are noted.
    pub(super) fn publish(&mut self, path: &Path, value: Value) -> Publish {
        let value = match value {
            Value::String(text) if text == "true" => return Publish::default(),
            Value::Mapping(_) => value,
            other => {
                let message = format!("expected keys below it, {{}} or true, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return Publish::default();
            }
        };
        let keys: raw::Publish = self.section(path, value);
        let usual = Publish::default();
        let protocols = keys.protocols.map(|value| self.scalars(&path.key("protocols"), value, protocol));
        if protocols.as_ref().is_some_and(Vec::is_empty) {
            let message = "expected at least one of http, rtmp, rtsp, srt and webrtc".to_owned();
            self.note(&path.key("protocols"), Place::Key, message);
        }
        let mut time =
            |key, value, range, usual| self.value(&path.key(key), value, |text| seconds(text, range)).unwrap_or(usual);
        let (first_packet, idle) = (
            time("first_packet", keys.first_packet, FIRST_PACKET, usual.first_packet),
            time("idle", keys.idle, IDLE, usual.idle),
        );
        let protocols = protocols.filter(|list| !list.is_empty()).unwrap_or(usual.protocols);
        Publish {
            first_packet,
            idle,
            layers: self.layers(&path.key("layers"), keys.layers, &protocols),
            is_layer: false,
            key: self.secret(&path.key("key"), keys.key, KEY, key),
            protocols,
            second: self.value(&path.key("second"), keys.second, second).unwrap_or(usual.second),
        }
    }
}

/// The keys that make these settings.
pub(super) fn printed(publish: &Publish) -> Value {
    let usual = Publish::default();
    let text = |text: &str| Value::String(text.to_owned());
    let time = |time: Duration, usual| (time != usual).then(|| Value::from(time.as_secs_f64()));
    let protocols = || Value::Sequence(publish.protocols.iter().map(|protocol| text(protocol.name())).collect());
    let keys = raw::Publish {
        key: publish.key.as_ref().map(|key| text(key.expose())),
        protocols: (publish.protocols != usual.protocols).then(protocols),
        first_packet: time(publish.first_packet, usual.first_packet),
        idle: time(publish.idle, usual.idle),
        second: (publish.second != usual.second).then(|| text(publish.second.name())),
        layers: (!publish.layers.is_empty())
            .then(|| Value::Sequence(publish.layers.iter().map(|layer| text(layer)).collect())),
    };
    serde_yaml::to_value(&keys).unwrap_or_default()
}

fn key(text: &str) -> Option<Secret> {
    let fits = |c: char| c.is_ascii_graphic() && !matches!(c, '&' | '#' | '%' | '+' | '?' | '=' | '/' | '"' | '\'');
    let is_good = ((MIN_KEY..=MAX_KEY).contains(&text.len()) || text == MASK) && text.chars().all(fits);
    is_good.then(|| Secret::new(text))
}

fn protocol(text: &str) -> Result<PublishProtocol, Expected> {
    let found = PublishProtocol::ALL.into_iter().find(|protocol| protocol.name() == text);
    found.ok_or_else(|| "http, rtmp, rtsp, srt or webrtc".into())
}

fn second(text: &str) -> Result<SecondPublisher, Expected> {
    let found = SecondPublisher::ALL.into_iter().find(|second| second.name() == text);
    found.ok_or_else(|| "refuse or replace".into())
}

/// A time with or without its unit.
pub(super) fn seconds(text: &str, range: RangeInclusive<f64>) -> Result<Duration, Expected> {
    let number = text.strip_suffix('s').unwrap_or(text);
    let number = number.parse().ok().filter(|number| range.contains(number));
    let number = number.ok_or_else(|| format!("seconds, {} to {}", range.start(), range.end()))?;
    Ok(Duration::from_secs_f64(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Source, masked, parse, to_yaml};

    fn publish(keys: &str) -> Result<Publish, String> {
        let parsed = parse(&format!("feeds:\n  studio: {keys}\n"));
        let parsed = parsed.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"));
        parsed.map(|config| match &config.feeds[0].source {
            Source::Publish(publish) => publish.clone(),
            other => panic!("{other:?}"),
        })
    }

    #[test]
    fn settings_are_read_and_printed() {
        let usual = Publish::default();
        assert_eq!(publish("{publish: {}}"), Ok(usual.clone()));
        assert_eq!(publish("{publish: true}"), Ok(usual.clone()));
        let text = "{publish: {key: s3cret, protocols: [webrtc, http], first_packet: 5, idle: 2.5s, second: replace, layers: [m, l]}}";
        let read = Publish {
            key: Some(Secret::new("s3cret")),
            protocols: vec![PublishProtocol::Webrtc, PublishProtocol::Http],
            first_packet: Duration::from_secs(5),
            idle: Duration::from_millis(2500),
            second: SecondPublisher::Replace,
            layers: vec!["m".to_owned(), "l".to_owned()],
            is_layer: false,
        };
        assert_eq!(publish(text), Ok(read));
        for text in [text, "{publish: {}}", "{publish: {protocols: webrtc}}"] {
            let config = parse(&format!("feeds: {{studio: {text}}}")).unwrap();
            assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
            assert!(!to_yaml(&masked(&config)).contains("s3cret"));
            assert!(parse(&to_yaml(&masked(&config))).is_ok());
        }
    }

    #[test]
    fn faults() {
        let check = |keys: &str, expect: &str| assert_eq!(publish(keys), Err(expect.to_owned()), "{keys}");
        check("{publish: maybe}", "2:21: feeds.studio.publish: expected keys below it, {} or true, found \"maybe\"");
        check(
            "{publish: {key: short}}",
            "2:27: feeds.studio.publish.key: expected 6 to 256 letters, digits and characters that need no escape in a URL, found another text",
        );
        check(
            "{publish: {protocols: [http, telnet]}}",
            "2:40: feeds.studio.publish.protocols[1]: expected http, rtmp, rtsp, srt or webrtc, found \"telnet\"",
        );
        check(
            "{publish: {idle: 0, second: both}}",
            "2:28: feeds.studio.publish.idle: expected seconds, 1 to 3600, found \"0\"\n2:39: feeds.studio.publish.second: expected refuse or replace, found \"both\"",
        );
        check(
            "{publish: {}, mode: continuous, restart: false}",
            "2:25: feeds.studio.mode: a publisher decides when this feed runs\n2:43: feeds.studio.restart: a publisher decides when this feed runs",
        );
        check("{publish: {}, file: a}", "2:25: feeds.studio.file: `publish` is the source already, keep one of them");
    }
}
