//! A fact with its number, as the files have it: one line of JSON. Pure.

use crate::telemetry::{Fact, Scope};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Longest line in bytes. A fact with longer details loses them.
pub(super) const LONGEST: usize = 16 << 10;
/// The detail that says who did it.
const BY: &str = "by";
/// What each line begins with; the number follows.
const HEAD: &[u8] = b"{\"n\":";

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Its number: greater than those of all facts before.
    #[serde(rename = "n")]
    pub number: u64,
    /// When, as RFC 3339 in UTC.
    pub time: String,
    /// What: `feed.running`.
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(with = "ScopeWord")]
    /// What kind of thing it is about.
    pub scope: Scope,
    /// The name of that.
    #[serde(rename = "subject", default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Details.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub data: Map<String, Value>,
    /// Details of persons.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub who: Map<String, Value>,
}

/// The words of [`Scope`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Scope", rename_all = "lowercase")]
enum ScopeWord {
    Server,
    Feed,
    Stream,
    Audit,
}

impl Record {
    /// A fact with its number.
    pub(super) fn new(number: u64, fact: Fact) -> Self {
        let Fact { time, kind, scope, name, data, who } = fact;
        let time = Timestamp::try_from(time).unwrap_or_default();
        Self { number, time: format!("{time:.6}"), kind: kind.to_owned(), scope, name, data, who }
    }

    /// Whether somebody did it, or was refused it.
    pub(super) fn is_audit(&self) -> bool {
        self.scope == Scope::Audit || self.who.contains_key(BY)
    }

    /// Its line, with the newline.
    pub(super) fn line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        if line.len() > LONGEST {
            let short = Self { data: Map::from_iter([("cut".to_owned(), true.into())]), ..self.clone() };
            let short =
                Self { name: self.name.as_ref().filter(|name| name.len() < 1024).cloned(), who: Map::new(), ..short };
            line = serde_json::to_vec(&short).unwrap_or_default();
        }
        line.push(b'\n');
        line
    }

    /// Reads a line; `None` where it is none, like one that was torn.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }

    /// The number of a line, which is cheaper than reading it.
    pub(super) fn number_of(line: &[u8]) -> Option<u64> {
        let digits = line.strip_prefix(HEAD)?;
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
    }

    /// As an event for other programs: CloudEvents 1.0 in JSON
    /// (<https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md>). `source` names the server, `shows_persons` is
    /// whether the receiver may know who it was.
    pub fn event(&self, source: &str, shows_persons: bool) -> Value {
        let mut data = self.data.clone();
        if shows_persons {
            data.extend(self.who.clone());
        }
        let mut event = json!({
            "specversion": "1.0", "id": self.number.to_string(), "source": source, "type": self.kind, "time": self.time,
        });
        if let Value::Object(event) = &mut event {
            if let Some(name) = &self.name {
                event.insert("subject".to_owned(), name.as_str().into());
            }
            event.insert("data".to_owned(), data.into());
        }
        event
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    fn fact() -> Fact {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_000_000_500);
        Fact { time, ..Fact::stream("viewer.left", "cam 0").with("bytes", 7).who("user", "anna") }
    }

    #[test]
    fn a_line_is_read_back() {
        let record = Record::new(12, fact());
        let line = record.line();
        let expect = "{\"n\":12,\"time\":\"2025-11-24T16:00:00.500000Z\",\"type\":\"viewer.left\",\"scope\":\"stream\",\
                      \"subject\":\"cam 0\",\"data\":{\"bytes\":7},\"who\":{\"user\":\"anna\"}}\n";
        assert_eq!(String::from_utf8(line.clone()).unwrap(), expect);
        assert_eq!(Record::number_of(&line), Some(12));
        assert_eq!(Record::read(&line), Some(record));
        for cut in 0..line.len() - 2 {
            assert_eq!(Record::read(&line[..cut]), None);
        }
        for bad in ["", "{\"n\":", "{\"n\":1", "{\"n\":x}", "\0\0\0"] {
            assert_eq!(Record::number_of(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn an_event_shows_persons_to_those_who_may_know() {
        let record = Record::new(12, fact());
        let event = record.event("/voyandz/studio", false);
        assert_eq!(event["data"], json!({"bytes": 7}));
        assert_eq!(
            (&event["id"], &event["subject"], &event["type"]),
            (&json!("12"), &json!("cam 0"), &json!("viewer.left"))
        );
        assert_eq!(record.event("/x", true)["data"], json!({"bytes": 7, "user": "anna"}));
        assert_eq!(Record::new(1, Fact::server("server.started")).event("/x", true).get("subject"), None);
        // What nobody did is not in the audit log.
        let ordered = Fact::feed("feed.ordered", "cam").who("by", "anna");
        let is_audit = [record, Record::new(2, ordered), Record::new(3, Fact::audit("auth.refused"))]
            .map(|record| record.is_audit());
        assert_eq!(is_audit, [false, true, true]);
    }

    #[test]
    fn a_long_fact_loses_its_details() {
        let record = Record::new(1, fact().with("reason", "x".repeat(2 * LONGEST)));
        let read = Record::read(&record.line()).unwrap();
        assert_eq!((read.number, read.name.as_deref()), (1, Some("cam 0")));
        assert_eq!(Value::from(read.data), json!({"cut": true}));
    }
}
