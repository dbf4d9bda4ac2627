//! `sets:`: the same feeds and streams for many instances. They are expanded here, before anything is checked, as if
//! someone had copied and pasted them; errors inside are shown in the set and name the instances they are in.

use super::{
    diagnostics::Path,
    expected::{kind, place, suggestion},
    raw,
    source_map::Provenance,
    spans::Place,
    template::{Argument, Arguments, Filler, Misfit, Piece, holes, pieces},
    units::whole,
    validator::Validator,
};
use serde_yaml::{Mapping, Value};
use std::collections::HashSet;

/// Most instances of one set.
const MAX_INSTANCES: usize = 1000;
/// Most bytes that all sets of a file may become. A thousand cameras with ten streams each need a tenth of it.
const MAX_BYTES: usize = 16 << 20;
/// The argument that every instance has: its name.
const NAME: &str = "name";

/// One of the things that a set is made for.
struct Instance {
    name: String,
    arguments: Arguments,
}

/// What is left of [`MAX_BYTES`], and which arguments were of use.
struct Progress {
    bytes_left: usize,
    used: HashSet<String>,
}

impl Validator {
    /// Adds the feeds and streams of all sets to those of the file.
    pub(super) fn sets(
        &mut self,
        path: &Path,
        value: Option<Value>,
        feeds: &mut raw::Entries<Value>,
        streams: &mut raw::Entries<Value>,
    ) {
        let mut progress = Progress { bytes_left: MAX_BYTES, used: HashSet::new() };
        for (name, value) in self.entries(path, value) {
            if self.is_full() {
                break;
            }
            self.set(&path.key(&name), value, feeds, streams, &mut progress);
        }
    }

    fn set(
        &mut self,
        path: &Path,
        value: Value,
        feeds: &mut raw::Entries<Value>,
        streams: &mut raw::Entries<Value>,
        progress: &mut Progress,
    ) {
        let set: raw::Set = self.section(path, value);
        let Some(instances) = set.instances else {
            self.note(path, Place::Key, "has no `for`: expected the names of its instances".to_owned());
            return;
        };
        let instances = self.instances(&path.key("for"), instances);
        let defaults = self.arguments(&path.key("defaults"), set.defaults);
        let set_feeds = self.entries(&path.key("feeds"), set.feeds);
        let set_streams = self.entries(&path.key("streams"), set.streams);
        progress.used.clear();
        for instance in &instances {
            let mut arguments = defaults.clone();
            arguments.extend(instance.arguments.clone());
            arguments.insert(NAME.to_owned(), Argument::Text(instance.name.clone()));
            let mut expansion = Expansion { checker: self, instance: &instance.name, arguments: &arguments, progress };
            expansion.entries("feeds", &path.key("feeds"), &set_feeds, feeds);
            expansion.entries("streams", &path.key("streams"), &set_streams, streams);
            if progress.bytes_left == 0 {
                let message = format!("becomes more than {} MiB with all its instances", MAX_BYTES >> 20);
                return self.note(path, Place::Key, message);
            }
        }
        if !instances.is_empty() {
            self.unused(path, &defaults, &instances, &progress.used);
        }
    }

    /// Arguments that no placeholder takes are misspelt, or the placeholder is.
    fn unused(&mut self, path: &Path, defaults: &Arguments, instances: &[Instance], used: &HashSet<String>) {
        let message =
            |name: &str| format!("the set has no `{{{name}}}`{}", suggestion(name, used.iter().map(String::as_str)));
        for name in defaults.keys().filter(|name| !used.contains(*name)) {
            self.note(&path.key("defaults").key(name), Place::Key, message(name));
        }
        for instance in instances {
            for name in instance.arguments.keys().filter(|name| !used.contains(*name)) {
                self.note(&path.key("for").key(&instance.name).key(name), Place::Key, message(name));
            }
        }
    }

    /// What `for:` says: names with arguments, a list of names, or a range of numbers.
    fn instances(&mut self, path: &Path, value: Value) -> Vec<Instance> {
        let bare = |name: String| Instance { name, arguments: Arguments::new() };
        let instances: Vec<_> = match value {
            Value::Mapping(map) => {
                let entries = self.entries(path, Some(Value::Mapping(map)));
                let instance = |(name, value): (String, Value)| {
                    let path = path.key(&name);
                    let arguments = self.arguments(&path, Some(value));
                    if arguments.contains_key(NAME) {
                        let message = "`{name}` is the name of the instance already".to_owned();
                        self.note(&path.key(NAME), Place::Key, message);
                    }
                    Instance { name, arguments }
                };
                entries.into_iter().map(instance).collect()
            }
            Value::Sequence(items) => {
                let items = items.into_iter().enumerate();
                let name = |(index, item)| self.value(&path.index(index), Some(item), |name| Ok(name.to_owned()));
                items.filter_map(name).map(bare).collect()
            }
            Value::String(text) => match range(&text) {
                Some(names) => names.into_iter().map(bare).collect(),
                None => {
                    let what = "names with arguments, a list of names, or a range like 0..9";
                    self.note(path, Place::Value, format!("expected {what}, found {}", kind(&Value::String(text))));
                    Vec::new()
                }
            },
            other => {
                self.note(path, place(path, &other), format!("expected names, found {}", kind(&other)));
                Vec::new()
            }
        };
        if instances.len() > MAX_INSTANCES {
            self.note(path, Place::Key, format!("has more than {MAX_INSTANCES} instances: make it more sets"));
            return Vec::new();
        }
        instances
    }
}

/// `0..9`: ten numbers. Those of `00..09` have two digits each.
fn range(text: &str) -> Option<Vec<String>> {
    let (first, last) = text.split_once("..")?;
    let (from, to) = (whole(first)?, whole(last)?);
    let width = if first.starts_with('0') { first.len().min(MAX_NUMBER) } else { 1 };
    // One more than allowed is enough to see that there are too many.
    let numbers = (from..=to).take(MAX_INSTANCES + 1);
    let numbers: Vec<_> = numbers.map(|number| format!("{number:0width$}")).collect();
    if numbers.is_empty() { None } else { Some(numbers) }
}

/// Most digits of a number of a range.
const MAX_NUMBER: usize = 10;

/// One instance while it is made.
struct Expansion<'a> {
    checker: &'a mut Validator,
    instance: &'a str,
    arguments: &'a Arguments,
    progress: &'a mut Progress,
}

impl Expansion<'_> {
    /// Adds the instance's feeds or streams to those that there are.
    fn entries(&mut self, section: &str, path: &Path, entries: &raw::Entries<Value>, all: &mut raw::Entries<Value>) {
        for (template, value) in entries {
            if self.checker.is_full() || self.progress.bytes_left == 0 {
                return;
            }
            let path = path.key(template);
            let Some(name) = self.text(&path, Place::Key, template) else { continue };
            let value = match value {
                Value::Mapping(map) => Value::Mapping(self.item(&path, map)),
                other => self.value(&path, other),
            };
            if all.contains_key(&name) {
                let kind = section.trim_end_matches('s');
                let hint = if *template == name { ": it needs a placeholder like `{name}`" } else { "" };
                self.note(&path, Place::Key, format!("`{name}` is a {kind} already{hint}"));
                continue;
            }
            let origin = Provenance { path, instance: self.instance.to_owned() };
            self.checker.places.made_from(section, &name, origin);
            all.insert(name, value);
        }
    }

    /// A feed or stream. Its pipeline and its command take values as values, like templates do.
    fn item(&mut self, path: &Path, map: &Mapping) -> Mapping {
        let mut filled = Mapping::new();
        for (key, value) in map {
            let path = path.key(key.as_str().unwrap_or_default());
            let value = match (key.as_str(), value) {
                (Some("pipeline"), Value::String(text)) => self.launch(&path, text).map(Value::String),
                (Some("command"), Value::String(_) | Value::Sequence(_)) => self.command(&path, value.clone()),
                _ => Some(self.value(&path, value)),
            };
            // What has an error stays there, so that nothing is said to be missing.
            filled.insert(key.clone(), value.unwrap_or_else(|| Value::String("fault".to_owned())));
        }
        filled
    }

    fn launch(&mut self, path: &Path, text: &str) -> Option<String> {
        let pieces = self.pieces(path, Place::Value, text)?;
        let mut filler = Filler::new(self.arguments);
        let text = filler.launch(&pieces);
        self.filled(path, Place::Value, filler.finish(text))
    }

    fn command(&mut self, path: &Path, value: Value) -> Option<Value> {
        let words = self.checker.plain_words(path, value)?;
        for word in &words {
            self.pieces(path, Place::Value, word)?;
        }
        let words = self.checker.command_pieces(path, words)?;
        let mut filler = Filler::new(self.arguments);
        let words = filler.words(&words);
        let words = self.filled(path, Place::Value, filler.finish(words))?;
        Some(Value::Sequence(words.into_iter().map(Value::String).collect()))
    }

    fn value(&mut self, path: &Path, value: &Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(path, Place::Value, text).unwrap_or_default()),
            Value::Sequence(items) => {
                let items = items.iter().enumerate();
                Value::Sequence(items.map(|(index, item)| self.value(&path.index(index), item)).collect())
            }
            Value::Mapping(map) => {
                let entries = map.iter().map(|(key, value)| {
                    let path = path.key(key.as_str().unwrap_or_default());
                    (key.clone(), self.value(&path, value))
                });
                Value::Mapping(entries.collect())
            }
            other => other.clone(),
        }
    }

    fn text(&mut self, path: &Path, place: Place, text: &str) -> Option<String> {
        let pieces = self.pieces(path, place, text)?;
        let mut filler = Filler::new(self.arguments);
        let text = filler.text(&pieces);
        self.filled(path, place, filler.finish(text))
    }

    /// Takes a text apart and remembers its placeholders and its length.
    fn pieces(&mut self, path: &Path, place: Place, text: &str) -> Option<Vec<Piece>> {
        let pieces = pieces(text).map_err(|message| self.note(path, place, message)).ok()?;
        let mut length = text.len() + 1;
        for hole in holes(&pieces) {
            self.progress.used.insert(hole.name.clone());
            length += match self.arguments.get(&hole.name) {
                Some(Argument::Text(text)) => text.len(),
                Some(Argument::Words(words)) => words.iter().map(String::len).sum(),
                None => 0,
            };
        }
        self.progress.bytes_left = self.progress.bytes_left.saturating_sub(length);
        Some(pieces)
    }

    fn filled<T>(&mut self, path: &Path, place: Place, filled: Result<T, Vec<Misfit>>) -> Option<T> {
        let note = |misfit| match misfit {
            Misfit::Missing(name) => {
                let hint = suggestion(&name, self.arguments.keys().map(String::as_str));
                self.note(path, place, format!("there is no argument `{name}`{hint}; a brace as such is `{{{{`"));
            }
            Misfit::Value { name, message } => self.note(path, place, format!("`{{{name}}}`: {message}")),
        };
        filled.map_err(|misfits| misfits.into_iter().for_each(note)).ok()
    }

    fn note(&mut self, path: &Path, place: Place, message: String) {
        self.checker.unfilled.insert((path.to_string(), self.instance.to_owned()));
        self.checker.note_in(path, place, message, self.instance);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{parse, testing::check, to_yaml};

    const TWO_DEVICES: &str = "\
templates:
  small:
    command: ffmpeg -i - -vf scale={width}:-2 -f mpegts -
feeds:
  film: {file: film.ts}
sets:
  card:
    for:
      cam0: {device: /dev/video0}
      cam1: {device: '/dev/video 1', bitrate: 3M}
    defaults: {bitrate: 2M, mode: 10}
    feeds:
      '{name}': {pipeline: 'v4l2src device={device} ! queue name=video', mode: '{mode}'}
    streams:
      '{name}.ts': {feed: '{name}', url: '/cards/{name}.ts', video: {bitrate: '{bitrate}', fps: 25}}
      '{name}.mjpeg': {feed: '{name}', pipeline: {use: mjpeg, quality: 70}}
      '{name}.small.ts': {feed: '{name}', command: {use: small, width: 320}}
      '{name}.film.ts': {feeds: ['{name}', film], video: true}
";

    #[test]
    fn a_set_is_what_one_would_copy_and_paste() {
        let by_hand = "\
feeds:
  film:
    file: film.ts
  cam0:
    pipeline: v4l2src device=/dev/video0 ! queue name=video
    mode: 10
  cam1:
    pipeline: v4l2src device=\"/dev/video 1\" ! queue name=video
    mode: 10
streams:
  cam0.ts:
    feed: cam0
    url: /cards/cam0.ts
    video: {bitrate: 2M, fps: 25}
  cam0.mjpeg:
    feed: cam0
    pipeline: {use: mjpeg, quality: 70}
  cam0.small.ts:
    feed: cam0
    command: ffmpeg -i - -vf scale=320:-2 -f mpegts -
  cam0.film.ts:
    feeds: [cam0, film]
    video: true
  cam1.ts:
    feed: cam1
    url: /cards/cam1.ts
    video: {bitrate: 3M, fps: 25}
  cam1.mjpeg:
    feed: cam1
    pipeline: {use: mjpeg, quality: 70}
  cam1.small.ts:
    feed: cam1
    command: ffmpeg -i - -vf scale=320:-2 -f mpegts -
  cam1.film.ts:
    feeds: [cam1, film]
    video: true
";
        let expanded = parse(TWO_DEVICES).unwrap();
        let by_hand = parse(by_hand).unwrap();
        assert_eq!(expanded.streams.len(), 8);
        assert_eq!(to_yaml(&expanded), to_yaml(&by_hand));
        assert_eq!(expanded, by_hand);
    }

    #[test]
    fn instances_are_names_or_numbers() {
        let names = |of: &str| -> String {
            let text = format!("sets: {{s: {{for: {of}, feeds: {{'cam{{name}}': {{command: 'cat {{name}}'}}}}}}}}");
            let config = parse(&text).unwrap_or_else(|faults| panic!("{faults:?}"));
            config.feeds.iter().map(|feed| format!("{} ", feed.name)).collect()
        };
        assert_eq!(names("[0, 01, a b]"), "cam0 cam01 cama b ");
        assert_eq!(names("0..3"), "cam0 cam1 cam2 cam3 ");
        assert_eq!(names("09..11"), "cam09 cam10 cam11 ");
        assert_eq!(names("{x: , y: {}}"), "camx camy ");
        assert_eq!(names("[]"), "");
    }

    #[test]
    fn a_fault_is_in_the_set_and_names_the_instances() {
        let text = "\
sets:
  card:
    for: {cam0: {size: 640x480, devise: a}, cam1: {size: 12}, cam2: {size: 12}, cam3: {size: 12}}
    defaults: {gop: 50}
    feeds:
      '{name}':
        pipeline: v4l2src device={device} ! queue
        mode: soon
      fixed: {command: cat}
    streams:
      '{name}.ts': {feed: '{nam}', video: {size: '{size}'}}
      '{name}.x': {feed: '{name}', url: /same, pipeline: 'a ! v/x,w={size.width} ! b'}
";
        check(
            text,
            "\
3:33: sets.card.for.cam0.devise: the set has no `{devise}`, did you mean `device`?
4:16: sets.card.defaults.gop: the set has no `{gop}`
7:19: sets.card.feeds.{name}.pipeline: there is no argument `device`, did you mean `devise`?; a brace as such is `{{` (of cam0)
7:19: sets.card.feeds.{name}.pipeline: there is no argument `device`; a brace as such is `{{` (of cam1, cam2, cam3)
8:15: sets.card.feeds.{name}.mode: expected \"on-demand\", \"continuous\" or seconds, found \"soon\" (of cam0, cam1 and 2 more)
9:7: sets.card.feeds.fixed: `fixed` is a feed already: it needs a placeholder like `{name}` (of cam1, cam2, cam3)
11:27: sets.card.streams.{name}.ts.feed: there is no argument `nam`, did you mean `name`?; a brace as such is `{{` (of cam0, cam1 and 2 more)
11:50: sets.card.streams.{name}.ts.video.size: expected even width and height from 16 to 16384, like 1280x720, found \"12\" (of cam1, cam2, cam3)
12:41: sets.card.streams.{name}.x.url: `/same` is the URL of stream `cam0.x` already (of cam1, cam2, cam3)
12:58: sets.card.streams.{name}.x.pipeline: `{size}`: expected even width and height from 16 to 16384, like 1280x720, found \"12\" (of cam1, cam2, cam3)",
        );
    }

    #[test]
    fn faults_of_the_final_values() {
        let text = "\
feeds: {cam0: {command: cat}}
sets:
  a:
    for: [cam0, cam1]
    feeds: {'{name}': {command: cat}}
    streams: {'{name}.ts': {feed: '{name}', url: /x.ts, video: {bitrate: 1}}}
  b: {for: 5..2, feeds: {x: }}
  c: {feeds: {x: {command: a}}}
  d: {for: 0..1000, feeds: {x: }}
  e: {for: {q: {name: 1}}, feeds: {'{name}': {command: [a, '{x...}']}}}
  f: {for: [1], feeds: {'x{name}': {pipeline: {use: v4l2, size: '{name}'}}}}
";
        check(
            text,
            "\
5:13: sets.a.feeds.{name}: `cam0` is a feed already (of cam0)
6:50: sets.a.streams.{name}.ts.url: `/x.ts` is the URL of stream `cam0.ts` already (of cam1)
6:74: sets.a.streams.{name}.ts.video.bitrate: expected bits per second from 10k to 100M, like 800k or 2M, found \"1\" (of cam0, cam1)
7:12: sets.b.for: expected names with arguments, a list of names, or a range like 0..9, found \"5..2\"
8:3: sets.c: has no `for`: expected the names of its instances
9:7: sets.d.for: has more than 1000 instances: make it more sets
10:17: sets.e.for.q.name: `{name}` is the name of the instance already
10:56: sets.e.feeds.{name}.command: there is no argument `x`; a brace as such is `{{` (of q)
11:65: sets.f.feeds.x{name}.pipeline.size: expected even width and height from 16 to 16384, like 1280x720, found \"1\" (of 1)",
        );
    }

    #[test]
    fn what_becomes_huge_is_refused() {
        let text =
            format!("sets: {{s: {{for: 1..1000, feeds: {{'{{name}}': {{command: a{}}}}}}}}}", "b".repeat(30_000));
        check(&text, "1:8: sets.s: becomes more than 16 MiB with all its instances");
    }
}
