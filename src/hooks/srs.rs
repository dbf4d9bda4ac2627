//! Events in the words of SRS's HTTP callbacks (SRS manual, “HTTP Callback”), for receivers that were made for it. Pure.

use crate::journal::Record;
use serde_json::{Map, Value, json};

/// SRS's server knows several hosts; this one is what a stream without one is of.
const HOST: &str = "__defaultVhost__";

/// The callback of an event; `None` where SRS has none. `source` names the server.
pub(super) fn callback(record: &Record, source: &str) -> Option<Value> {
    let action = match record.kind.as_str() {
        "publisher.joined" => "on_publish",
        "publisher.left" => "on_unpublish",
        "viewer.joined" => "on_play",
        "viewer.left" => "on_stop",
        "recording.ended" => "on_dvr",
        "hook.test" => "on_test",
        _ => return None,
    };
    let text =
        |from: &Map<String, Value>, key: &str| from.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let subject = record.name.as_deref().unwrap_or_default();
    // As SRS names a stream: what stands before the last slash is the application.
    let (app, stream) = subject.rsplit_once('/').unwrap_or(("live", subject));
    let viewer = record.data.get("viewer").and_then(Value::as_u64);
    let mut body = json!({
        "server_id": source, "service_id": record.number.to_string(), "action": action,
        "client_id": viewer.map_or_else(|| subject.to_owned(), |viewer| viewer.to_string()),
        "ip": text(&record.who, "address"), "vhost": HOST, "app": app, "stream": stream, "param": "",
        "stream_url": format!("/{app}/{stream}"), "stream_id": subject,
    });
    if let Value::Object(body) = &mut body {
        match action {
            "on_publish" | "on_play" => {
                let url = format!("{}://localhost/{app}", text(&record.data, "protocol"));
                body.insert("tcUrl".to_owned(), url.into());
                body.insert("pageUrl".to_owned(), "".into());
            }
            "on_dvr" => {
                body.insert("cwd".to_owned(), text(&record.who, "folder").into());
                body.insert("file".to_owned(), text(&record.data, "file").into());
            }
            _ => {}
        }
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Scope;

    fn record(kind: &str, name: &str, data: Value, who: Value) -> Record {
        let object = |value: Value| value.as_object().cloned().unwrap();
        Record {
            number: 7,
            time: String::new(),
            kind: kind.to_owned(),
            scope: Scope::Stream,
            name: Some(name.to_owned()),
            data: object(data),
            who: object(who),
        }
    }

    #[test]
    fn events_have_the_words_of_srs() {
        let plays = record(
            "viewer.joined",
            "studio/cam",
            json!({"viewer": 3, "protocol": "rtmp"}),
            json!({"address": "192.0.2.1"}),
        );
        let body = callback(&plays, "/voyandz/x").unwrap();
        let expect = json!({
            "server_id": "/voyandz/x", "service_id": "7", "action": "on_play", "client_id": "3", "ip": "192.0.2.1",
            "vhost": "__defaultVhost__", "app": "studio", "stream": "cam", "param": "", "stream_url": "/studio/cam",
            "stream_id": "studio/cam", "tcUrl": "rtmp://localhost/studio", "pageUrl": "",
        });
        assert_eq!(body, expect);
        let action = |kind: &str| {
            let body = callback(&record(kind, "cam", json!({"file": "cam/1.mp4"}), json!({"folder": "/srv"})), "x")?;
            Some((body["action"].as_str().unwrap().to_owned(), body["cwd"].clone(), body["file"].clone()))
        };
        let expect = |action: &str, file: Value| {
            let folder = if file.is_null() { Value::Null } else { json!("/srv") };
            Some((action.to_owned(), folder, file))
        };
        assert_eq!(action("publisher.joined"), expect("on_publish", Value::Null));
        assert_eq!(action("publisher.left"), expect("on_unpublish", Value::Null));
        assert_eq!(action("viewer.left"), expect("on_stop", Value::Null));
        assert_eq!(action("recording.ended"), expect("on_dvr", json!("cam/1.mp4")));
        assert_eq!((action("feed.running"), action("config.changed")), (None, None));
    }
}
