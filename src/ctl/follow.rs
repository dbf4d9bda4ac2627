//! `voyandz ctl follow`: events as they happen, also over restarts of the server.

use super::{
    client::Client,
    error::CtlError,
    options::Follow,
    table::{field, text},
};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::{io::Write as _, time::Duration};

/// Between two tries to connect again.
const AGAIN: Duration = Duration::from_secs(1);
/// Longest event in bytes.
const LONGEST: usize = 1 << 20;

/// One server-sent event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Event {
    id: String,
    data: String,
}

/// Bytes of a stream of events, taken apart (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). Pure.
#[derive(Debug, Default)]
struct Parser {
    bytes: Vec<u8>,
}

/// Prints events until the output is closed, or there were enough.
pub(super) async fn follow(client: &Client, json: bool, wanted: &Follow) -> Result<(), CtlError> {
    let mut last: Option<String> = None;
    let mut left = wanted.count;
    let mut was_connected = false;
    loop {
        let after = wanted.after.map(|after| after.to_string());
        let mut query = Vec::new();
        query.extend(after.as_deref().map(|after| ("after", after)));
        query.extend(wanted.types.as_deref().map(|types| ("type", types)));
        query.extend(wanted.name.as_deref().map(|name| ("name", name)));
        let mut exchange = match client.events(&query, last.as_deref()).await {
            Ok(exchange) => exchange,
            // It is back soon.
            Err(CtlError::Unreachable { .. } | CtlError::Late(_)) if was_connected => {
                tokio::time::sleep(AGAIN).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        was_connected = true;
        let mut parser = Parser::default();
        while let Some(Ok(frame)) = exchange.response.body_mut().frame().await {
            let Ok(data) = frame.into_data() else { continue };
            parser.bytes.extend_from_slice(&data);
            while let Some(event) = parser.next() {
                print(&event, json)?;
                last = Some(event.id);
                if let Some(left) = &mut left {
                    *left = left.saturating_sub(1);
                    if *left == 0 {
                        return Ok(());
                    }
                }
            }
            if parser.bytes.len() > LONGEST {
                return Err(CtlError::Foreign("an event has no end".to_owned()));
            }
        }
        tokio::time::sleep(AGAIN).await;
    }
}

fn print(event: &Event, json: bool) -> Result<(), CtlError> {
    let line = if json { event.data.clone() } else { shown(event) };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

/// One line for people.
fn shown(event: &Event) -> String {
    let value: Value = serde_json::from_str(&event.data).unwrap_or_default();
    let Some(kind) = value.get("type") else {
        return format!("events lost: {}", text(&Value::from(event.data.clone())));
    };
    let mut line = format!("{}  {}", text(field(&value, "time")), text(kind));
    if let Some(name) = value.get("subject") {
        line.push_str(&format!("  {}", text(name)));
    }
    for (key, value) in field(&value, "data").as_object().into_iter().flatten() {
        line.push_str(&format!("  {key}={}", text(value)));
    }
    line
}

impl Parser {
    fn next(&mut self) -> Option<Event> {
        loop {
            let end = self.bytes.windows(2).position(|pair| pair == b"\n\n")?;
            let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
            let block = String::from_utf8_lossy(&block);
            let value = |name: &str| {
                let lines = block.lines().filter_map(move |line| line.strip_prefix(name)?.strip_prefix(':'));
                lines.map(|value| value.strip_prefix(' ').unwrap_or(value).to_owned()).collect::<Vec<_>>()
            };
            let data = value("data").join("\n");
            if !data.is_empty() {
                return Some(Event { id: value("id").pop().unwrap_or_default(), data });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart_wherever_they_are_cut() {
        let text = "retry:1000\n\n:\n\nid:7\nevent:feed.running\ndata:{\"a\":1}\n\nid: 8\ndata: x\ndata: y\n\n";
        let event = |id: &str, data: &str| Event { id: id.to_owned(), data: data.to_owned() };
        for cut in 0..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for part in [&text[..cut], &text[cut..]] {
                parser.bytes.extend_from_slice(part.as_bytes());
                events.extend(std::iter::from_fn(|| parser.next()));
            }
            assert_eq!(events, [event("7", "{\"a\":1}"), event("8", "x\ny")], "{cut}");
        }
    }

    #[test]
    fn a_line_is_for_people() {
        let data =
            r#"{"type": "feed.failed", "time": "T", "subject": "cam", "data": {"reason": "exited\u001b", "times": 2}}"#;
        let shown = shown(&Event { id: "1".to_owned(), data: data.to_owned() });
        assert_eq!(shown, "T  feed.failed  cam  reason=exited   times=2");
    }
}
