//! Checked values → the YAML that they could have been read from, with everything resolved.

use super::{
    model::{Config, Encoding, Feed, Mode, Source, Stream},
    raw,
};
use serde::Serialize;
use serde_yaml::Value;
use std::path::Path;

/// The configuration as YAML that reads as the same configuration again.
///
/// A path that is no UTF-8 is printed with replacement characters; a named pipe is printed as `file:` and becomes
/// one again when it is loaded from disk.
pub fn to_yaml(config: &Config) -> String {
    let entries = raw::File {
        listenaddr: Some(text(config.listen_addr)),
        listenport: Some(Value::from(config.listen_port)),
        logdir: config.logdir.as_deref().map(path),
        pages: Some(value(&raw::Pages { home: Some(Value::from(config.pages.home)) })),
        feeds: Some(named(config.feeds.iter().map(|entry| (entry.name.as_str(), feed(entry))))),
        streams: Some(named(config.streams.iter().map(|entry| (entry.name.as_str(), stream(entry))))),
    };
    // Serialising to a string fails for types that are not in here.
    serde_yaml::to_string(&entries).unwrap_or_default()
}

fn feed(feed: &Feed) -> raw::Feed {
    let mut keys = raw::Feed { mode: Some(mode(feed.mode)), ..raw::Feed::default() };
    match &feed.source {
        Source::Pipeline(launch) => keys.pipeline = Some(text(launch)),
        Source::Command(words) => keys.command = Some(list(words)),
        Source::File { path: file, looped } => {
            keys.file = Some(path(file));
            keys.looped = looped.then_some(Value::Bool(true));
        }
        Source::Pipe(file) => keys.file = Some(path(file)),
    }
    keys.no_resurrect = feed.no_resurrect.then_some(Value::Bool(true));
    keys
}

fn mode(mode: Mode) -> Value {
    match mode {
        Mode::Continuous => text("continuous"),
        Mode::OnDemand { linger } if linger.is_zero() => text("on-demand"),
        Mode::OnDemand { linger } if linger.subsec_nanos() == 0 => Value::from(linger.as_secs()),
        Mode::OnDemand { linger } => Value::from(linger.as_secs_f64()),
    }
}

fn stream(stream: &Stream) -> raw::Stream {
    let mut keys = raw::Stream {
        url: Some(text(stream.path.encoded())),
        container: Some(text(stream.container)),
        mimetype: Some(text(&stream.mimetype)),
        ..raw::Stream::default()
    };
    match stream.feeds.as_slice() {
        [] => {}
        [feed] => keys.feed = Some(text(feed)),
        feeds => keys.feeds = Some(list(feeds)),
    }
    match &stream.encoding {
        Encoding::Copy => {}
        Encoding::Pipeline(launch) => keys.pipeline = Some(text(launch)),
        Encoding::Command(words) => keys.command = Some(list(words)),
    }
    keys
}

fn named<'a, T: Serialize>(entries: impl Iterator<Item = (&'a str, T)>) -> Value {
    Value::Mapping(entries.map(|(name, entry)| (text(name), value(&entry))).collect())
}

fn value(entry: &impl Serialize) -> Value {
    serde_yaml::to_value(entry).unwrap_or_default()
}

fn text(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

fn path(path: &Path) -> Value {
    text(path.to_string_lossy())
}

fn list(items: &[impl ToString]) -> Value {
    Value::Sequence(items.iter().map(text_of).collect())
}

fn text_of(item: &impl ToString) -> Value {
    text(item.to_string())
}
