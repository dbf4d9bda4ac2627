//! Commands in AMF0 (Adobe RTMP 1.0, section 7.2), read and written.

use super::{chunk::Message, kind};
use crate::media::flv::amf::{self, Value};
use bytes::Bytes;

/// The one message stream that a connection has.
pub const STREAM: u32 = 1;

/// A command: its name, its number for the answer, and its arguments.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// As clients write it.
    pub name: String,
    /// 0 when no answer is expected.
    pub transaction: f64,
    /// What follows: first the command object, which most leave `null`.
    pub arguments: Vec<Value>,
}

/// What is wanted by `publish` or `play`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wanted {
    /// The first part of the path, as `connect` had it, with its query.
    pub app: String,
    /// The rest of the path, with its query.
    pub name: String,
    /// The program of the client, as it says.
    pub agent: Option<String>,
    /// The client knows codecs by FourCC.
    pub knows_four_cc: bool,
}

impl Wanted {
    /// The names that may be meant, the whole path first: an encoder has one or two fields for it.
    pub fn names(&self) -> Vec<String> {
        let (app, name) = (without_query(&self.app), without_query(&self.name));
        let parts: Vec<&str> = app.split('/').chain(name.split('/')).filter(|part| !part.is_empty()).collect();
        let mut names = vec![parts.join("/")];
        // Encoders call the first part `live` or `app`, whatever the server calls it.
        names.extend(parts.last().filter(|_| parts.len() > 1).map(|last| (*last).to_owned()));
        names.retain(|name| !name.is_empty());
        names
    }

    /// The queries of both parts.
    pub fn query(&self) -> String {
        let queries = [&self.app, &self.name].into_iter().filter_map(|part| Some(part.split_once('?')?.1));
        queries.collect::<Vec<_>>().join("&")
    }
}

fn without_query(text: &str) -> &str {
    text.split_once('?').map_or(text, |(before, _)| before)
}

impl Command {
    /// Reads a command; `None` when it is none.
    pub fn read(message: &Message) -> Option<Self> {
        let payload = match message.kind {
            kind::COMMAND => &message.payload[..],
            // AMF3 may be announced by a byte, and AMF0 follows.
            kind::COMMAND_AMF3 => message.payload.strip_prefix(&[0]).unwrap_or(&message.payload),
            _ => return None,
        };
        let mut values = amf::read(payload).into_iter();
        let Some(Value::String(name)) = values.next() else { return None };
        let transaction = values.next().and_then(|value| value.number()).unwrap_or_default();
        Some(Self { name, transaction, arguments: values.collect() })
    }

    /// The text at this place after the command object.
    pub fn text(&self, place: usize) -> Option<&str> {
        self.arguments.get(place + 1)?.text()
    }

    /// The member of the command object with this name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.arguments.first()?.get(name)
    }
}

/// A command as a message.
pub fn message(name: &str, transaction: f64, arguments: &[Value], stream: u32) -> Message {
    let mut payload = Vec::new();
    Value::String(name.to_owned()).write(&mut payload);
    Value::Number(transaction).write(&mut payload);
    arguments.iter().for_each(|argument| argument.write(&mut payload));
    Message { kind: kind::COMMAND, stream, time: 0, payload: payload.into() }
}

/// The answer to a command.
pub fn result(transaction: f64, arguments: &[Value]) -> Message {
    message("_result", transaction, arguments, 0)
}

/// Reports the state of its stream to a client.
pub fn status(level: &str, code: &str, description: &str) -> Message {
    let info = object(&[("level", level), ("code", code), ("description", description)]);
    message("onStatus", 0.0, &[Value::Null, info], STREAM)
}

/// An object of texts.
pub fn object(members: &[(&str, &str)]) -> Value {
    Value::Object(members.iter().map(|(name, text)| ((*name).to_owned(), Value::String((*text).to_owned()))).collect())
}

/// A message of four bytes.
pub fn control(kind: u8, number: u32) -> Message {
    Message { kind, stream: 0, time: 0, payload: Bytes::copy_from_slice(&number.to_be_bytes()) }
}

/// A user control message (section 7.1.7).
pub fn user_control(event: u16, number: u32) -> Message {
    let payload = [&event.to_be_bytes()[..], &number.to_be_bytes()].concat();
    Message { kind: kind::USER_CONTROL, stream: 0, time: 0, payload: payload.into() }
}

/// The event that says how much a client buffers of what it plays, in milliseconds (Adobe's specification, section 7.1.7).
pub fn buffer_length(stream: u32, milliseconds: u32) -> Message {
    let payload = [&3u16.to_be_bytes()[..], &stream.to_be_bytes(), &milliseconds.to_be_bytes()].concat();
    Message { kind: kind::USER_CONTROL, stream: 0, time: 0, payload: payload.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_its_parts_in_one_or_two_fields() {
        let check = |app: &str, name: &str, names: &[&str], query: &str| {
            let wanted = Wanted { app: app.to_owned(), name: name.to_owned(), ..Wanted::default() };
            assert_eq!(
                (wanted.names(), wanted.query()),
                (names.iter().map(|name| (*name).to_owned()).collect(), query.to_owned())
            );
        };
        check("live", "studio?key=x", &["live/studio", "studio"], "key=x");
        check("studio", "", &["studio"], "");
        check("studio?key=x", "", &["studio"], "key=x");
        check("", "studio", &["studio"], "");
        check("a/b/", "/studio?c=d", &["a/b/studio", "studio"], "c=d");
        check("live?a=b", "studio?key=x", &["live/studio", "studio"], "a=b&key=x");
        check("", "", &[], "");
    }

    #[test]
    fn commands_are_read_as_they_are_written() {
        let written = message("publish", 5.0, &[Value::Null, Value::String("studio".to_owned())], STREAM);
        let command = Command::read(&written).unwrap();
        assert_eq!((command.name.as_str(), command.transaction, command.text(0)), ("publish", 5.0, Some("studio")));
        let amf3 = Message {
            kind: kind::COMMAND_AMF3,
            payload: [&[0][..], &written.payload].concat().into(),
            ..written.clone()
        };
        assert_eq!(Command::read(&amf3), Some(command));
        assert_eq!(Command::read(&Message { kind: kind::AUDIO, ..written.clone() }), None);
        assert_eq!(Command::read(&Message { payload: Bytes::from_static(b"\x05"), ..written }), None);
    }
}
