//! Checks of `streams:`: what a stream is made of, what it is in, and where viewers find it.

use super::{
    diagnostics::Path,
    encode,
    expected::{Expected, flag, kind, place, quoted},
    feed_graph::feed_name,
    formats::container,
    model::{
        Encoding, Feed, FeedName, NameError, Outputs, Pages, Placeholder, Serving, Stream, StreamName, StreamPath,
    },
    raw,
    spans::Place,
    validator::Validator,
};
use crate::media::Container;
use percent_encoding::percent_decode_str;
use serde_yaml::Value;
use std::collections::HashMap;

/// Paths of the server itself. What begins with `/api/`, `/stream/` or `/rec/` is its own too.
const RESERVED: [&str; 17] = [
    "/",
    "/stat",
    "/stat.js",
    "/stat.json",
    "/player.js",
    "/home.js",
    "/watch.js",
    "/recordings.js",
    "/config",
    "/metrics",
    "/livez",
    "/readyz",
    "/healthz",
    "/events",
    "/rec",
    "/api",
    "/stream",
];
/// Ends of the names of images.
const PICTURES: [&str; 3] = ["png", "jpg", "jpeg"];
/// What follows a stream's path in the path of what belongs to it.
pub(super) const BELOW: [(&str, &str); 9] = [
    ("/pic", "still"),
    ("/pic.jpg", "still"),
    ("/pic.jpeg", "still"),
    ("/pic.png", "still"),
    ("/pic.webp", "still"),
    ("/play", "player"),
    ("/offers.json", "list of ways to play"),
    ("/ws", "WebSocket"),
    ("/frames", "raw frames"),
];

/// What streams are checked with.
pub(super) struct Feeds<'a> {
    /// The names of all, even of those with errors.
    pub(super) names: &'a [String],
    /// What those write that declare it.
    pub(super) written: HashMap<FeedName, Container>,
    /// Those without errors.
    pub(super) all: &'a [Feed],
}

impl Feeds<'_> {
    /// What a stream of these is in when it is passthrough.
    fn container(&self, feeds: &[FeedName]) -> Option<Container> {
        let [feed] = feeds else { return None };
        self.written.get(feed).copied()
    }
}

/// How a stream with several outputs is made.
struct Made {
    /// What its own path is in.
    container: Container,
    encoding: Encoding,
    outputs: Outputs,
    /// What its renditions are made from; `None` for a pipeline.
    main: Option<super::renditions::Main>,
}

/// A stream and whether its URL is written in the file, so that a clash is shown where it can be mended.
struct Checked {
    stream: Stream,
    has_url: bool,
}

impl Validator {
    /// Checks all streams.
    pub(super) fn streams(
        &mut self,
        path: &Path,
        entries: raw::Entries<Value>,
        feeds: &Feeds<'_>,
        pages: &Pages,
    ) -> Vec<Stream> {
        let mut checked = Vec::new();
        for (name, value) in entries {
            if self.is_full() {
                break;
            }
            checked.extend(self.stream(&path.key(&name), &name, value, feeds).into_iter().flatten());
        }
        self.paths(path, &checked, pages);
        checked.into_iter().map(|checked| checked.stream).collect()
    }

    /// A stream, and its renditions.
    fn stream(&mut self, path: &Path, name: &str, value: Value, known: &Feeds<'_>) -> Option<Vec<Checked>> {
        let checked_name = StreamName::new(name)
            .map_err(|error| self.note(path, Place::Key, format!("{error}, found {}", quoted(name))))
            .ok();
        let mut stream: raw::Stream = self.section(path, value);
        let feeds = self.feeds(path, &mut stream, known.names);

        let has_url = stream.url.is_some();
        let url = self.value(&path.key("url"), stream.url.take(), url);
        let default_path = || StreamPath::new(&format!("/{}", checked_name.as_ref()?)).ok();
        let stream_path = if has_url { url } else { default_path() };

        let serving = self.serving(path, &mut stream);
        let given_container = stream.container.take();
        let is_container_given = given_container.is_some();
        let given_container = self.value(&path.key("container"), given_container, container);
        let is_command = stream.command.is_some();
        let mimetype = self.value(&path.key("mimetype"), stream.mimetype.take(), mimetype);
        let placeholder = self.placeholder(path, &mut stream, feeds.as_deref());
        let about = self.about(path, stream.title.take(), stream.labels.take());
        let throughput = stream.throughput.take();
        let hls = self.hls(&path.key("hls"), stream.hls.take());
        let recording = self.recording(&path.key("record"), stream.record.take());
        if recording.is_some() && serving != Serving::Shared {
            let message = "a stream that is made for each request cannot be recorded".to_owned();
            self.note(&path.key("record"), Place::Key, message);
        }
        if hls.dvr.is_some() && recording.as_ref().is_none_or(|recording| recording.format != Container::Mp4) {
            let message =
                "what is listed beyond `window` is in recordings: expected `record` with `format: mp4`".to_owned();
            self.note(&path.key("hls").key("dvr"), Place::Key, message);
        }
        let (pushes, push_service) = self.push(&path.key("push"), stream.push.take());
        if !(pushes.is_empty() && push_service.is_none()) && serving != Serving::Shared {
            let message = "a stream that is made for each request cannot be pushed".to_owned();
            self.note(&path.key("push"), Place::Key, message);
        }
        let hint = stream_path.as_ref().and_then(|path| Container::from_extension(path.as_str()));
        let hint = hint.or_else(|| Container::from_extension(name));
        let told = match (given_container.or(hint), &mimetype) {
            _ if serving == Serving::Shot => Some(Container::Raw),
            (Some(container), _) => Some(container),
            (None, Some(mimetype)) if is_command => Some(of_type(mimetype)),
            (None, _) if is_command => Some(Container::Raw),
            (None, _) => None,
        };
        let written = feeds.as_deref().and_then(|feeds| known.container(feeds));
        let given_renditions = stream.renditions.take();
        if given_renditions.is_some() && hls.dvr.is_some() {
            let message = "recordings have one size, and this stream has `renditions`: keep one of them".to_owned();
            self.note(&path.key("hls").key("dvr"), Place::Key, message);
        }
        let outputs = self.offered(path, &mut stream, feeds.as_deref(), told.is_some() || is_container_given);
        let mut renditions = Vec::new();

        let (container, encoding, outputs) = match outputs {
            Some(containers) => {
                // One that is not good is an error already.
                let container = told.or(written.filter(|written| containers.contains(written)));
                let made = self.made(path, stream, containers, container)?;
                renditions = self.renditions(&path.key("renditions"), given_renditions, made.main.as_ref());
                (made.container, made.encoding, Some(made.outputs))
            }
            None => {
                if given_renditions.is_some() {
                    let message = "is for streams with `outputs`: leave out the container, also in the name".to_owned();
                    self.note(&path.key("renditions"), Place::Key, message);
                }
                let container = told.or(written).unwrap_or(Container::Ts);
                // A container that is wrong would make its codecs look wrong.
                let known = (given_container.is_some() || !is_container_given).then_some(container);
                (container, self.encoding(path, stream, known, feeds.as_deref())?, None)
            }
        };
        let throughput = self.throughput(&path.key("throughput"), throughput, serving, container);
        let mimetype = mimetype.unwrap_or_else(|| match (serving, &stream_path) {
            (Serving::Shot, Some(path)) => picture_type(path.as_str()).to_owned(),
            _ => container.mimetype().to_owned(),
        });
        let mut stream = Stream {
            name: checked_name?,
            feeds: feeds?,
            path: stream_path?,
            container,
            mimetype,
            encoding,
            outputs,
            placeholder,
            throughput,
            hls,
            renditions: Vec::new(),
            layers: Vec::new(),
            rendition_of: None,
            recording,
            pushes,
            push_service,
            serving,
            about,
        };
        let renditions = self.rendition_streams(&path.key("renditions"), &mut stream, renditions);
        let layers = self.layer_streams(path, &mut stream, known.all);
        let renditions = renditions.into_iter().chain(layers).map(|stream| Checked { stream, has_url: false });
        Some(std::iter::once(Checked { stream, has_url }).chain(renditions).collect())
    }

    /// The containers that a stream is offered in, if there are several: where `outputs:` says so, and where nothing says which one it
    /// is. `is_told`: something does.
    fn offered(
        &mut self,
        path: &Path,
        stream: &mut raw::Stream,
        feeds: Option<&[FeedName]>,
        is_told: bool,
    ) -> Option<Vec<Container>> {
        let given = stream.outputs.take();
        let is_made_of_feeds = stream.command.is_none() && feeds.is_none_or(|feeds| !feeds.is_empty());
        if is_made_of_feeds && (given.is_some() || (!is_told && stream.pipeline.is_none())) {
            // A list with errors is as good as all, until they are mended.
            return Some(self.outputs(&path.key("outputs"), given).unwrap_or_else(|| super::outputs::ALL.to_vec()));
        }
        for (key, given) in
            [("outputs", given), ("alternatives", stream.alternatives.take()), ("repair", stream.repair.take())]
        {
            if given.is_some() {
                let message = match is_made_of_feeds {
                    true => "is for streams with `outputs`",
                    false => "only a stream that voyandz itself makes of feeds has several outputs",
                };
                self.note(&path.key(key), Place::Key, message.to_owned());
            }
        }
        None
    }

    /// How a stream with several outputs is made; `container` is the one that its own path is in, if the configuration says so.
    fn made(
        &mut self,
        path: &Path,
        mut stream: raw::Stream,
        containers: Vec<Container>,
        container: Option<Container>,
    ) -> Option<Made> {
        if let Some(container) = container.filter(|container| !containers.contains(container)) {
            let message = format!("its own container, {container}, is not among them");
            self.note(&path.key("outputs"), Place::Key, message);
            return None;
        }
        let repair = self.repair(&path.key("repair"), stream.repair.take());
        let given = self.given_alternatives(&path.key("alternatives"), stream.alternatives.take());
        let raw::Stream { pipeline, video, audio, overlay, .. } = stream;
        let typed = [("video", &video), ("audio", &audio), ("overlay", &overlay)];
        let typed: Vec<_> = typed.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect();
        if pipeline.is_some() && !typed.is_empty() {
            for key in typed {
                let message = "`pipeline` says already how the stream is made, keep one of them".to_owned();
                self.note(&path.key(key), Place::Key, message);
            }
            return None;
        }
        let outputs = |alternatives| Outputs { containers: containers.clone(), alternatives, repair };
        let usual = || container.or(containers.first().copied()).unwrap_or(Container::Ts);
        if pipeline.is_some() {
            let encoding = self.alternatives(&path.key("pipeline"), pipeline).map(Encoding::Pipeline)?;
            return Some(Made { container: usual(), encoding, outputs: outputs(given), main: None });
        }
        let made = self.rendition(path, &containers, video, audio, overlay)?;
        let fitting = containers.iter().copied().find(|container| made.fits(*container));
        let alternatives = if given.is_empty() { made.alternatives } else { given };
        Some(Made {
            container: container.or(fitting).unwrap_or_else(usual),
            encoding: made.pipelines.map_or(Encoding::Copy, Encoding::Pipeline),
            outputs: outputs(alternatives),
            main: Some(made.main),
        })
    }

    /// What a stream shows while nothing comes from its feeds.
    fn placeholder(
        &mut self,
        path: &Path,
        stream: &mut raw::Stream,
        feeds: Option<&[FeedName]>,
    ) -> Option<Placeholder> {
        let path = path.key("placeholder");
        let placeholder = self.value(&path, stream.placeholder.take(), placeholder).flatten()?;
        if stream.command.is_some() || feeds.is_some_and(<[_]>::is_empty) {
            let message = "only a stream that voyandz itself makes of feeds can have a placeholder";
            self.note(&path, Place::Key, message.to_owned());
            return None;
        }
        Some(placeholder)
    }

    /// Whether packets are collected; where that has no meaning, it is an error.
    fn throughput(&mut self, path: &Path, given: Option<Value>, serving: Serving, container: Container) -> bool {
        let throughput = self.value(path, given, flag).unwrap_or(false);
        let why_not = match (serving, container) {
            (Serving::Shot, _) => "a shot is sent as a whole anyway",
            (_, Container::Mjpeg) => "of motion JPEG a viewer gets the newest frame: there is nothing to collect",
            _ => return throughput,
        };
        if throughput {
            self.note(path, Place::Key, why_not.to_owned());
        }
        false
    }

    /// How often a stream is made: `type` and `client`.
    fn serving(&mut self, path: &Path, stream: &mut raw::Stream) -> Serving {
        let (kind, client) = (stream.kind.take(), stream.client.take());
        let is_shot = self.value(&path.key("type"), kind, |text| match text {
            "stream" => Ok(false),
            "shot" => Ok(true),
            _ => Err("`stream` or `shot`".into()),
        });
        let is_shot = is_shot.unwrap_or(false);
        let is_exclusive = self.value(&path.key("client"), client, |text| match text {
            "shared" if is_shot => Err(Expected::because("`exclusive`", ": each request of a shot runs its command")),
            "shared" => Ok(false),
            "exclusive" => Ok(true),
            _ => Err("`shared` or `exclusive`".into()),
        });
        let (key, serving) = match (is_shot, is_exclusive) {
            (true, _) => ("type", Serving::Shot),
            (false, Some(true)) => ("client", Serving::Exclusive),
            (false, _) => return Serving::Shared,
        };
        if stream.command.is_none() {
            let message = "is for streams that have a `command`: it is what runs for each request".to_owned();
            self.note(&path.key(key), Place::Key, message);
        }
        if serving == Serving::Shot && stream.container.take().is_some() {
            let message = "a shot is a file in no container of a stream: `mimetype` says what it is".to_owned();
            self.note(&path.key("container"), Place::Key, message);
        }
        serving
    }

    /// The feeds that a stream refers to; `None` when there are errors.
    fn feeds(&mut self, path: &Path, stream: &mut raw::Stream, known: &[String]) -> Option<Vec<FeedName>> {
        let (feed, feeds) = (stream.feed.take(), stream.feeds.take());
        if feed.is_some() && feeds.is_some() {
            self.note(&path.key("feeds"), Place::Key, "`feed` is given already, keep one of them".to_owned());
            return None;
        }
        let items: Vec<(Path, Value)> = match (feed, feeds) {
            (Some(feed), _) => vec![(path.key("feed"), feed)],
            (None, Some(Value::Sequence(items))) => {
                let path = path.key("feeds");
                items.into_iter().enumerate().map(|(index, item)| (path.index(index), item)).collect()
            }
            (None, Some(other)) => {
                let path = path.key("feeds");
                let message = format!("expected a list of names of feeds, found {}", kind(&other));
                self.note(&path, place(&path, &other), message);
                return None;
            }
            (None, None) => Vec::new(),
        };
        let mut names = Some(Vec::new());
        for (path, item) in items {
            if self.is_full() {
                return None;
            }
            let before = names.as_deref().unwrap_or_default().to_vec();
            let name = self.value(&path, Some(item), |text| another_feed(text, known, &before));
            names = names.zip(name).map(|(mut names, name)| {
                names.push(name);
                names
            });
        }
        names
    }

    /// How a stream is made; `feeds` and `container` are `None` when there are errors in them.
    fn encoding(
        &mut self,
        path: &Path,
        stream: raw::Stream,
        container: Option<Container>,
        feeds: Option<&[FeedName]>,
    ) -> Option<Encoding> {
        let raw::Stream { pipeline, command, video, audio, overlay, .. } = stream;
        let given = [
            ("pipeline", &pipeline),
            ("command", &command),
            ("video", &video),
            ("audio", &audio),
            ("overlay", &overlay),
        ];
        let given: Vec<_> = given.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect();
        match given.as_slice() {
            [] | [_] | ["video" | "audio", ..] => {}
            [first, others @ ..] => {
                for other in others {
                    let message = format!("`{first}` says already how the stream is made, keep one of them");
                    self.note(&path.key(other), Place::Key, message);
                }
                return None;
            }
        }
        let has_feed = feeds.is_none_or(|feeds| !feeds.is_empty());
        if let Some(command) = command {
            let path = path.key("command");
            let words = self.words(&path, command)?;
            if let Some(feeds) = feeds {
                self.inputs(&path, &words, feeds);
            }
            return Some(Encoding::Command(words));
        }
        if pipeline.is_some() {
            return self.alternatives(&path.key("pipeline"), pipeline).map(Encoding::Pipeline);
        }
        if !has_feed {
            let message = "has no source: expected `feed` or `feeds`, or a `pipeline` or `command` of its own";
            self.note(path, Place::Key, message.to_owned());
        }
        if video.is_none() && audio.is_none() && overlay.is_none() {
            return Some(Encoding::Copy);
        }
        let container = container?;
        let (video, audio) = self.tracks(path, container, video, audio, overlay)?;
        Some(Encoding::Pipeline(encode::launch_texts(container, &video, &audio)))
    }

    /// No two things may be found under one path.
    fn paths(&mut self, path: &Path, streams: &[Checked], pages: &Pages) {
        let mut owners: HashMap<&str, &str> = HashMap::new();
        let mut clashes = Vec::new();
        for checked in streams {
            let (name, path) = (checked.stream.name.as_str(), checked.stream.path.as_str());
            let is_own = path.strip_prefix("/stream/") == Some(name);
            if is_reserved(path) && !is_own {
                clashes.push((checked, format!("`{path}` belongs to voyandz itself")));
            } else if let Some(page) = pages.at(path) {
                clashes.push((checked, format!("`{path}` is the page of `pages.{page}` already")));
            } else if let Some((what, page)) =
                BELOW.iter().find_map(|(end, what)| Some((what, pages.at(&format!("{path}{end}"))?)))
            {
                clashes.push((checked, format!("its {what} would be the page of `pages.{page}`")));
            } else if let Some(owner) = owners.get(path) {
                clashes.push((checked, format!("`{path}` is the URL of stream `{owner}` already")));
            } else {
                owners.insert(path, name);
            }
        }
        for checked in streams {
            let path = checked.stream.path.as_str();
            let owned = |(end, what)| Some((what, owners.get(path.strip_suffix(end)?)?));
            if let Some((what, owner)) = BELOW.into_iter().find_map(owned) {
                clashes.push((checked, format!("`{path}` is the {what} of stream `{owner}`")));
            }
        }
        for (checked, message) in clashes {
            let path = path.key(checked.stream.name.as_str());
            if checked.has_url {
                self.note(&path.key("url"), Place::Value, message);
            } else {
                self.note(&path, Place::Key, format!("{message}, give another `url`"));
            }
        }
    }
}

/// Whether a path is for the server itself, or may become so.
pub(super) fn is_reserved(path: &str) -> bool {
    RESERVED.contains(&path) || ["/api/", "/stream/", "/rec/"].iter().any(|own| path.starts_with(own))
}

fn another_feed(text: &str, known: &[String], before: &[FeedName]) -> Result<FeedName, Expected> {
    let name = feed_name(text, known)?;
    if before.contains(&name) { Err("each feed once".into()) } else { Ok(name) }
}

/// The container of a media type, whatever its parameters.
fn of_type(mimetype: &str) -> Container {
    let essence = |text: &str| text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let wanted = essence(mimetype);
    Container::ALL.into_iter().find(|container| essence(container.mimetype()) == wanted).unwrap_or(Container::Raw)
}

/// The type of a shot without `mimetype`: the image type of its name.
fn picture_type(path: &str) -> &'static str {
    if path.to_ascii_lowercase().ends_with(".png") { "image/png" } else { "image/jpeg" }
}

/// The checks of names speak for themselves everywhere else.
impl From<NameError> for Expected {
    fn from(error: NameError) -> Self {
        error.to_string().trim_start_matches("expected ").into()
    }
}

pub(super) fn url(text: &str) -> Result<StreamPath, Expected> {
    let decoded = percent_decode_str(text).decode_utf8();
    let decoded = decoded.map_err(|_| "percent-encoded UTF-8")?;
    StreamPath::new(&decoded).map_err(Expected::from)
}

fn placeholder(text: &str) -> Result<Option<Placeholder>, Expected> {
    /// What a card has room for.
    const MAX: usize = 300;
    let is_picture = |end: &str| PICTURES.contains(&end.to_ascii_lowercase().as_str());
    match (flag(text), text.rsplit_once('.')) {
        (Ok(wanted), _) => Ok(wanted.then_some(Placeholder::Reason)),
        (_, Some((_, end))) if is_picture(end) => Ok(Some(Placeholder::Picture(text.into()))),
        _ if text.trim().is_empty() || text.chars().count() > MAX || text.contains('\0') => {
            Err("true, false, text of up to 300 characters, or the path of a PNG or JPEG file".into())
        }
        _ => Ok(Some(Placeholder::Text(text.to_owned()))),
    }
}

/// RFC 9110 section 8.3.1, and nothing that could break a header.
fn mimetype(text: &str) -> Result<String, Expected> {
    let is_printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
    let has_two_parts =
        text.split_once('/').is_some_and(|(kind, rest)| !kind.is_empty() && !kind.contains(' ') && !rest.is_empty());
    if is_printable && has_two_parts { Ok(text.into()) } else { Err("a media type like video/mp2t".into()) }
}

#[cfg(test)]
mod tests {
    use crate::{
        config::{Serving, parse},
        media::Container,
    };

    fn stream(name: &str, keys: &str) -> String {
        format!("feeds: {{cam: {{command: cat}}}}\nstreams:\n  {name}: {{{keys}}}\n")
    }

    #[test]
    fn a_command_may_run_for_each_request() {
        let check = |name, keys, serving, mimetype| {
            let config = parse(&stream(name, keys)).unwrap_or_else(|faults| panic!("{faults:?}"));
            assert_eq!((config.streams[0].serving, config.streams[0].mimetype.as_str()), (serving, mimetype), "{keys}");
        };
        check("a", "command: x", Serving::Shared, "application/octet-stream");
        check("a", "command: x, type: stream, client: shared", Serving::Shared, "application/octet-stream");
        check("a.ts", "command: x, client: exclusive", Serving::Exclusive, "video/mp2t");
        check("a", "command: x, client: exclusive, mimetype: audio/x-wav", Serving::Exclusive, "audio/x-wav");
        check("a", "command: x, type: shot, feed: cam", Serving::Shot, "image/jpeg");
        check("a.ts", "command: x, type: shot, url: /b.PNG, client: exclusive", Serving::Shot, "image/png");
        check("a", "command: x, type: shot, mimetype: text/plain", Serving::Shot, "text/plain");
    }

    #[test]
    fn the_type_of_a_command_tells_its_container_where_nothing_else_does() {
        let check =
            |name, keys, container| assert_eq!(parse(&stream(name, keys)).unwrap().streams[0].container, container);
        check("a", "command: x, mimetype: video/mp2t", Container::Ts);
        check("a", "command: x, mimetype: multipart/x-mixed-replace;boundary=ffmpeg", Container::Mjpeg);
        check("a", "command: x, mimetype: Video/WebM; codecs=vp8, client: exclusive", Container::Webm);
        check("a", "command: x, mimetype: video/x-unknown", Container::Raw);
        check("a.mkv", "command: x, mimetype: video/mp2t", Container::Mkv);
        check("a", "command: x, mimetype: video/mp2t, container: raw", Container::Raw);
        check("a", "pipeline: x, mimetype: video/webm", Container::Ts);
        check("a", "command: x, mimetype: video/mp2t, type: shot", Container::Raw);
    }

    #[test]
    fn what_runs_for_each_request_is_a_command() {
        let check = |keys, expect| {
            let faults = parse(&stream("s", keys)).unwrap_err();
            let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert_eq!(found.join("\n"), expect, "of {keys}");
        };
        let is_for = "is for streams that have a `command`: it is what runs for each request";
        check("feed: cam, type: shot", format!("3:18: streams.s.type: {is_for}"));
        check("feed: cam, client: exclusive", format!("3:18: streams.s.client: {is_for}"));
        check("feed: cam, video: true, client: exclusive", format!("3:31: streams.s.client: {is_for}"));
        let why = ": each request of a shot runs its command";
        check(
            "command: x, type: shot, client: shared",
            format!("3:39: streams.s.client: expected `exclusive`, found \"shared\"{why}"),
        );
        check(
            "command: x, type: shot, container: ts",
            "3:31: streams.s.container: a shot is a file in no container of a stream: `mimetype` says what it is"
                .to_owned(),
        );
        check(
            "command: x, type: picture, client: one",
            "\
3:25: streams.s.type: expected `stream` or `shot`, found \"picture\"
3:42: streams.s.client: expected `shared` or `exclusive`, found \"one\""
                .to_owned(),
        );
    }
}
