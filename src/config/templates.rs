//! Checks of `templates:`, and of `pipeline: {use: ...}` and `command: {use: ...}`, which become what they stand for.

use super::{
    diagnostics::Path,
    expected::{Expected, kind, launch_text, place, quoted, suggestion},
    raw,
    spans::Place,
    template::{Argument, Arguments, Filler, Form, Hole, Misfit, Piece, is_argument_name, pieces},
    template_store::{Body, Template},
    validator::Validator,
};
use serde_yaml::{Mapping, Value};

/// What a template is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pipeline,
    Command,
}

impl Validator {
    /// Adds the templates of a file to the library.
    pub(super) fn templates(&mut self, path: &Path, value: Option<Value>) {
        for (name, value) in self.entries(path, value) {
            if self.is_full() {
                break;
            }
            if let Some(template) = self.template(&path.key(&name), value) {
                self.library.add(&name, template);
            }
        }
    }

    fn template(&mut self, path: &Path, value: Value) -> Option<Template> {
        let raw::Template { pipeline, command, defaults } = self.section(path, value);
        let body = match (pipeline, command) {
            (None, None) => {
                self.note(path, Place::Key, "has no text: expected `pipeline` or `command`".to_owned());
                None
            }
            (Some(_), Some(_)) => {
                let message = "`pipeline` is the text already, keep one of them".to_owned();
                self.note(&path.key("command"), Place::Key, message);
                None
            }
            (Some(pipeline), None) => {
                let path = path.key("pipeline");
                let text = self.value(&path, Some(pipeline), launch_text);
                text.and_then(|text| self.pieces(&path, &text)).map(Body::Pipeline)
            }
            (None, Some(command)) => {
                let path = path.key("command");
                self.plain_words(&path, command).and_then(|words| self.command_pieces(&path, words)).map(Body::Command)
            }
        };
        let path = path.key("defaults");
        let defaults = self.arguments(&path, defaults);
        let template = Template { body: body?, defaults };
        let holes = template.holes();
        let unused = |name: &&String| !holes.iter().any(|hole| hole.name == **name);
        for name in template.defaults.keys().filter(unused) {
            let hint = suggestion(name, holes.iter().map(|hole| hole.name.as_str()));
            self.note(&path.key(name), Place::Key, format!("the template has no `{{{name}}}`{hint}"));
        }
        Some(template)
    }

    /// A text with placeholders, taken apart.
    pub(super) fn pieces(&mut self, path: &Path, text: &str) -> Option<Vec<Piece>> {
        pieces(text).map_err(|message| self.note(path, Place::Value, message)).ok()
    }

    /// The words of a command, taken apart.
    pub(super) fn command_pieces(&mut self, path: &Path, words: Vec<String>) -> Option<Vec<Vec<Piece>>> {
        let words: Option<Vec<_>> = words.iter().map(|word| self.pieces(path, word)).collect();
        let words = words?;
        let is_raw = |piece: &Piece| matches!(piece, Piece::Hole(hole) if hole.form == Form::Raw);
        if words.iter().any(|word| word.len() > 1 && word.iter().any(is_raw)) {
            let message = "expected `{name...}` to be a whole word: it stands for any number of them".to_owned();
            self.note(path, Place::Value, message);
            return None;
        }
        Some(words)
    }

    /// Values with names. A list is the words of a `{name...}`; a name without a value counts as absent.
    pub(super) fn arguments(&mut self, path: &Path, value: Option<Value>) -> Arguments {
        let entries = self.entries(path, value);
        entries.into_iter().filter_map(|(name, value)| self.argument(&path.key(&name), &name, value)).collect()
    }

    fn argument(&mut self, path: &Path, name: &str, value: Value) -> Option<(String, Argument)> {
        if !is_argument_name(name) {
            let message = format!("expected a letter, then letters, digits, `-` and `_`, found {}", quoted(name));
            self.note(path, Place::Key, message);
            return None;
        }
        let argument = match value {
            Value::Null => return None,
            Value::String(text) => Argument::Text(text),
            Value::Sequence(items) => {
                let word = |(index, item)| self.value(&path.index(index), Some(item), |text| Ok(text.to_owned()));
                Argument::Words(items.into_iter().enumerate().map(word).collect::<Option<_>>()?)
            }
            other => {
                let message = format!("expected a single value, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return None;
            }
        };
        Some((name.to_owned(), argument))
    }

    /// A gst-launch pipeline, written out or by `use:`.
    pub(super) fn pipeline(&mut self, path: &Path, value: Option<Value>) -> Option<String> {
        let Some(Value::Mapping(map)) = value else { return self.value(path, value, launch_text) };
        let (template, arguments) = self.used(path, map, Kind::Pipeline)?;
        let Body::Pipeline(pieces) = &template.body else { return None };
        let mut filler = Filler::new(&arguments);
        let text = filler.launch(pieces);
        let text = self.filled(path, filler.finish(text))?;
        self.value(path, Some(Value::String(text)), launch_text)
    }

    /// gst-launch pipelines of which the first is used that works on the machine; one may stand for itself.
    pub(super) fn alternatives(&mut self, path: &Path, value: Option<Value>) -> Option<Vec<String>> {
        /// More are no help, and all of them are parsed.
        const MAX: usize = 16;
        let Some(Value::Sequence(items)) = value else { return self.pipeline(path, value).map(|text| vec![text]) };
        if !(1..=MAX).contains(&items.len()) {
            self.note(path, Place::Value, format!("expected 1 to {MAX} gst-launch pipelines, found {}", items.len()));
            return None;
        }
        let texts: Vec<_> =
            items.into_iter().enumerate().map(|(index, item)| self.pipeline(&path.index(index), Some(item))).collect();
        texts.into_iter().collect()
    }

    /// The words of a command, written out or by `use:`.
    pub(super) fn words(&mut self, path: &Path, value: Value) -> Option<Vec<String>> {
        let Value::Mapping(map) = value else { return self.plain_words(path, value) };
        let (template, arguments) = self.used(path, map, Kind::Command)?;
        let Body::Command(words) = &template.body else { return None };
        let mut filler = Filler::new(&arguments);
        let words = filler.words(words);
        let words = self.filled(path, filler.finish(words))?;
        self.plain_words(path, Value::Sequence(words.into_iter().map(Value::String).collect()))
    }

    /// The template that `use:` names and all its arguments, given and default.
    fn used(&mut self, path: &Path, mut map: Mapping, wanted: Kind) -> Option<(Template, Arguments)> {
        let Some(name) = map.remove("use") else {
            let message = "has no `use`: expected a text, or `use:` with the name of a template".to_owned();
            self.note(path, Place::Key, message);
            return None;
        };
        let library = self.library.clone();
        let template = self.value(&path.key("use"), Some(name), |name| {
            library
                .get(name)
                .ok_or_else(|| Expected::because("the name of a template", suggestion(name, library.names())))
        })?;
        let found = match template.body {
            Body::Pipeline(_) => Kind::Pipeline,
            Body::Command(_) => Kind::Command,
        };
        if found != wanted {
            let message = match found {
                Kind::Pipeline => "this template is a pipeline, not a command",
                Kind::Command => "this template is a command, not a pipeline",
            };
            self.note(&path.key("use"), Place::Value, message.to_owned());
            return None;
        }
        let holes = template.holes();
        let given = self.arguments(path, Some(Value::Mapping(map)));
        let mut fits = true;
        for name in given.keys().filter(|name| !holes.iter().any(|hole| hole.name == **name)) {
            fits = false;
            let message = match suggestion(name, holes.iter().map(|hole| hole.name.as_str())) {
                none if none.is_empty() => format!("the template has no such argument, it takes {}", named(&holes)),
                hint => format!("the template has no such argument{hint}"),
            };
            self.note(&path.key(name), Place::Key, message);
        }
        let mut arguments = template.defaults.clone();
        arguments.extend(given);
        let mut missing: Vec<_> = holes.iter().filter(|hole| !arguments.contains_key(&hole.name)).collect();
        missing.dedup();
        for hole in missing {
            fits = false;
            self.note(path, Place::Key, format!("the template needs `{}`", hole.name));
        }
        fits.then(|| ((*template).clone(), arguments))
    }

    /// Notes what did not fit, where its value is.
    fn filled<T>(&mut self, path: &Path, filled: Result<T, Vec<Misfit>>) -> Option<T> {
        let note = |misfit| match misfit {
            Misfit::Missing(name) => self.note(path, Place::Key, format!("the template needs `{name}`")),
            Misfit::Value { name, message } => self.note(&path.key(&name), Place::Value, message),
        };
        filled.map_err(|misfits| misfits.into_iter().for_each(note)).ok()
    }
}

/// "`a`, `b`", each once.
fn named(holes: &[&Hole]) -> String {
    let mut names: Vec<_> = Vec::new();
    for hole in holes {
        let name = format!("`{}`", hole.name);
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use crate::config::{Encoding, Source, parse, testing::check};

    fn pipeline_of(value: &str) -> String {
        match parse(&format!("feeds: {{a: {{pipeline: {value}}}}}")).unwrap().feeds[0].source.clone() {
            Source::Pipeline(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_built_in_template_becomes_a_launch_text() {
        assert_eq!(
            pipeline_of("{use: v4l2, device: /dev/video1, size: 1280x720, fps: 25}"),
            "v4l2src device=/dev/video1 ! video/x-raw,width=1280,height=720,framerate=25/1 ! queue name=video"
        );
        assert_eq!(
            pipeline_of("{use: rtsp, location: 'rtsp://u:p w@h/ ! filesink location=/tmp/x'}"),
            "rtspsrc location=\"rtsp://u:p w@h/ ! filesink location=/tmp/x\" latency=200 protocols=tcp \
             ! rtph264depay ! h264parse ! queue name=video"
        );
    }

    #[test]
    fn templates_of_the_file_are_pipelines_and_commands() {
        let text = "\
templates:
  small:
    command: [ffmpeg, -i, '-', -vf, 'scale={width}:-2', '{more...}', '-']
    defaults: {width: 480, more: [-f, mpegts]}
  tone:
    pipeline: audiotestsrc freq={hertz} ! queue name=audio
feeds:
  a: {pipeline: {use: tone, hertz: 1000}}
streams:
  s: {feed: a, command: {use: small}}
  t: {feed: a, command: {use: small, width: '1; rm', more: -f 'a b'}}
  u: {feed: a, command: {use: small, more: [-f, 'a b'], width: }}
";
        let config = parse(text).unwrap();
        assert_eq!(config.feeds[0].source, Source::Pipeline("audiotestsrc freq=1000 ! queue name=audio".into()));
        let words = |index: usize| match &config.streams[index].encoding {
            Encoding::Command(words) => words.join("|"),
            other => panic!("{other:?}"),
        };
        assert_eq!(words(0), "ffmpeg|-i|-|-vf|scale=480:-2|-f|mpegts|-");
        assert_eq!(words(1), "ffmpeg|-i|-|-vf|scale=1; rm:-2|-f|a b|-");
        assert_eq!(words(2), "ffmpeg|-i|-|-vf|scale=480:-2|-f|a b|-");
    }

    #[test]
    fn a_template_of_the_file_hides_a_built_in_one() {
        let text = "templates: {v4l2: {pipeline: 'x y={z}'}}\nfeeds: {a: {pipeline: {use: v4l2, z: 1}}}";
        assert_eq!(parse(text).unwrap().feeds[0].source, Source::Pipeline("x y=1".into()));
    }

    #[test]
    fn faults_of_uses() {
        let text = "\
feeds:
  a: {pipeline: {use: v4l, device: /dev/video1}}
  b: {pipeline: {use: v4l2, devise: x, loud: 1}}
  c: {pipeline: {use: rtsp}}
  d: {pipeline: {use: v4l2, size: 12}}
  e: {pipeline: {use: rtsp, location: x, codec: h264 ! x}}
  f: {command: {use: v4l2}}
  g: {pipeline: {device: x}}
  h: {pipeline: {use: v4l2, device: [a]}}
  i: {pipeline: {use: v4l2, device: {a: b}}}
  j: {pipeline: {use: alsa, 1a: b}}
";
        check(
            text,
            "\
2:23: feeds.a.pipeline.use: expected the name of a template, found \"v4l\", did you mean `v4l2`?
3:29: feeds.b.pipeline.devise: the template has no such argument, did you mean `device`?
3:40: feeds.b.pipeline.loud: the template has no such argument, it takes `device`, `size`, `fps`
4:7: feeds.c.pipeline: the template needs `location`
5:35: feeds.d.pipeline.size: expected even width and height from 16 to 16384, like 1280x720, found \"12\"
6:49: feeds.e.pipeline.codec: expected letters, digits and `_./+-`, because it is no whole property value there, found \"h264 ! x\"
7:22: feeds.f.command.use: this template is a pipeline, not a command
8:7: feeds.g.pipeline: has no `use`: expected a text, or `use:` with the name of a template
9:37: feeds.h.pipeline.device: expected a single value, found a list
10:29: feeds.i.pipeline.device: expected a single value, found a map
11:29: feeds.j.pipeline.1a: expected a letter, then letters, digits, `-` and `_`, found \"1a\"",
        );
    }

    #[test]
    fn faults_of_templates() {
        let text = "\
templates:
  a: {}
  b: {pipeline: x, command: y}
  c: {pipeline: 'x y={z}', defaults: {q: 1}}
  d: {command: [a, 'b{c...}']}
  e: {pipeline: 'x y={size.depth}'}
  f: {pipeline: x, default: {}}
  g: {command: a 'b}
";
        check(
            text,
            "\
2:3: templates.a: has no text: expected `pipeline` or `command`
3:20: templates.b.command: `pipeline` is the text already, keep one of them
4:39: templates.c.defaults.q: the template has no `{q}`, did you mean `z`?
5:16: templates.d.command: expected `{name...}` to be a whole word: it stands for any number of them
6:17: templates.e.pipeline: expected `{size.width}`, `{size.height}`, `{size.fraction}`, `{size.bits}`, `{size.kilobits}` in place of `{size.depth}`
7:20: templates.f.default: unknown key, did you mean `defaults`?
8:16: templates.g.command: has a quote that is not closed",
        );
    }
}
