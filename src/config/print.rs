//! Checked values → the YAML that they could have been read from, with everything resolved.

use super::{
    auth,
    model::{Config, Encoding, Feed, Mode, Pages, Placeholder, Repair, Serving, Source, Stream, StreamPath},
    raw, srt, tls,
    units::Fps,
    webrtc,
};
use serde::Serialize;
use serde_yaml::Value;
use std::path::Path;

/// The configuration as YAML that reads as the same configuration again.
///
/// A path that is no UTF-8 is printed with replacement characters; a named pipe is printed as `file:` and becomes
/// one again when it is loaded from disk.
pub fn to_yaml(config: &Config) -> String {
    // Serialising to a string fails for types that are not in here.
    serde_yaml::to_string(&keys(config)).unwrap_or_default()
}

/// The same as JSON, indented.
pub fn to_json(config: &Config) -> String {
    serde_json::to_string_pretty(&keys(config)).unwrap_or_default() + "\n"
}

fn keys(config: &Config) -> raw::File {
    raw::File {
        include: None,
        listenaddr: Some(text(config.listen_addr)),
        listenport: Some(Value::from(config.listen_port)),
        logdir: config.logdir.as_deref().map(path),
        statedir: config.statedir.as_deref().map(path),
        files: config.files.as_deref().map(path),
        memory_max: config.memory_max.map(Value::from),
        pages: Some(value(&pages(&config.pages))),
        tls: config.tls.as_ref().map(tls::printed),
        rtmp: config.rtmp.as_ref().map(super::rtmp::printed),
        rtsp: config.rtsp.as_ref().map(super::rtsp::printed),
        webrtc: config.webrtc.as_ref().map(webrtc::printed),
        srt: config.srt.as_ref().map(srt::printed),
        srs: config.srs.as_ref().map(super::srs::printed),
        hooks: super::hooks::printed(&config.hooks),
        telemetry: config.telemetry.as_ref().map(super::telemetry::printed),
        api: super::api::printed(&config.api),
        publish: super::patterns::printed(&config.patterns),
        auth: auth::printed(&config.auth, &config.pages),
        templates: None,
        pipelines_dir: None,
        sets: None,
        feeds: Some(named(
            config.feeds.iter().filter(|entry| !is_layer(entry)).map(|entry| (entry.name.as_str(), feed(entry))),
        )),
        streams: Some(named(
            config
                .streams
                .iter()
                .filter(|entry| entry.rendition_of.is_none())
                .map(|entry| (entry.name.as_str(), stream(entry, config))),
        )),
    }
}

fn pages(pages: &Pages) -> raw::Pages {
    let usual = Pages::default();
    let flag = |flag| Some(Value::Bool(flag));
    let placed = |page: &Option<StreamPath>, usual: Option<StreamPath>| match page {
        Some(path) if *page != usual => Some(text(path.encoded())),
        page => flag(page.is_some()),
    };
    raw::Pages {
        home: flag(pages.home),
        stat: placed(&pages.stat, usual.stat),
        stat_json: placed(&pages.stat_json, usual.stat_json),
        config: flag(pages.config),
        metrics: flag(pages.metrics),
        events: flag(pages.events),
        clients: flag(pages.clients),
    }
}

/// The feed that it belongs to says that there is one.
fn is_layer(feed: &Feed) -> bool {
    matches!(&feed.source, Source::Publish(publish) if publish.is_layer)
}

fn feed(feed: &Feed) -> raw::Feed {
    let mut keys = raw::Feed { mode: Some(mode(feed.mode)), ..raw::Feed::default() };
    if matches!(feed.source, Source::Publish(_)) {
        keys.mode = None;
    }
    match &feed.source {
        Source::Pipeline(launch) => keys.pipeline = Some(text(launch)),
        Source::Command(words) => keys.command = Some(list(words)),
        Source::File { path: file, looped } => {
            keys.file = Some(path(file));
            keys.looped = looped.then_some(Value::Bool(true));
        }
        Source::Pipe(file) => keys.file = Some(path(file)),
        Source::Link(link) => keys.url = Some(text(link.text())),
        Source::Publish(publish) => keys.publish = Some(super::publish::printed(publish)),
    }
    keys.fps = feed.fps.map(|(frames, seconds)| text(Fps { numerator: frames, denominator: seconds }));
    keys.feed = feed.parent.as_ref().map(text);
    keys.restart = (!feed.restart).then_some(Value::Bool(false));
    (keys.title, keys.labels) = super::about::printed(&feed.about);
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

fn stream(stream: &Stream, config: &Config) -> raw::Stream {
    let mut keys = raw::Stream {
        url: Some(text(stream.path.encoded())),
        mimetype: Some(text(&stream.mimetype)),
        ..raw::Stream::default()
    };
    match stream.serving {
        Serving::Shared => {}
        Serving::Exclusive => keys.client = Some(text("exclusive")),
        Serving::Shot => keys.kind = Some(text("shot")),
    }
    // A shot is in none.
    keys.container = (stream.serving != Serving::Shot).then(|| text(stream.container));
    match stream.feeds.as_slice() {
        [] => {}
        [feed] => keys.feed = Some(text(feed)),
        feeds => keys.feeds = Some(list(feeds)),
    }
    keys.placeholder = stream.placeholder.as_ref().map(|placeholder| match placeholder {
        Placeholder::Reason => Value::Bool(true),
        Placeholder::Text(words) => text(words),
        Placeholder::Picture(file) => path(file),
    });
    (keys.title, keys.labels) = super::about::printed(&stream.about);
    keys.throughput = stream.throughput.then_some(Value::Bool(true));
    keys.hls = super::hls::keys(&stream.hls).map(|keys| value(&keys));
    keys.record = stream.recording.as_ref().map(super::record::printed);
    keys.push = super::push::printed(&stream.pushes, stream.push_service.as_ref());
    if let Some(outputs) = &stream.outputs {
        let is_all = outputs.containers == super::outputs::ALL;
        keys.outputs = Some(if is_all { text("all") } else { list(&outputs.containers) });
        let alternatives = outputs.alternatives.iter();
        let alternatives = alternatives.map(|one| (text(one.codec), pipelines(&one.pipelines)));
        keys.alternatives = (!outputs.alternatives.is_empty()).then(|| Value::Mapping(alternatives.collect()));
        let repaired = [("audio", outputs.repair.audio), ("video", outputs.repair.video)];
        let repaired: Vec<_> = repaired.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect();
        keys.repair = (outputs.repair != Repair::default()).then(|| list(&repaired));
    }
    let renditions = config.streams.iter().filter(|other| other.rendition_of.as_ref() == Some(&stream.name));
    let renditions = renditions.filter_map(|other| {
        let Encoding::Pipeline(texts) = &other.encoding else { return None };
        let (_, label) = other.name.as_str().rsplit_once('@')?;
        Some((text(label), value(&raw::Rendition { pipeline: Some(pipelines(texts)), ..raw::Rendition::default() })))
    });
    keys.renditions = (!stream.renditions.is_empty()).then(|| Value::Mapping(renditions.collect()));
    match &stream.encoding {
        Encoding::Copy => {}
        Encoding::Pipeline(texts) => keys.pipeline = Some(pipelines(texts)),
        Encoding::Command(words) => keys.command = Some(list(words)),
    }
    keys
}

fn pipelines(texts: &[String]) -> Value {
    match texts {
        [launch] => text(launch),
        texts => list(texts),
    }
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
    Value::Sequence(items.iter().map(|item| text(item.to_string())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Api, CertificateSource, Editing, Plain, Rtmp, Tls};
    use crate::{
        config::{Alternative, Codec, FeedName, Outputs, Position, StreamName, outputs, parse},
        media::{Container, segment},
    };
    use proptest::prelude::*;
    use std::{net::IpAddr, time::Duration};

    /// Texts that YAML might take for something else.
    fn any_text() -> impl Strategy<Value = String> {
        let odd = [
            "~",
            "null",
            "true",
            "0x1F",
            "1.10",
            "- a",
            "a: b",
            "#",
            "'",
            "\"",
            "a\nb",
            "\u{85}\u{2028}\u{7f}x",
            "!t",
            "&a",
            "|",
        ];
        prop_oneof![prop::sample::select(odd.to_vec()).prop_map(str::to_owned), "[^\\x00]{1,30}", "[a-z!. =\\n]{1,60}",]
    }

    fn launch() -> impl Strategy<Value = String> {
        any_text().prop_map(|text| format!("a{}b", text))
    }

    const CHANNELS: &str = "webrtc: {channels: {a b: {url: 'wss://h/x?y'}, c: {run: [d, e f]}}}";

    fn words() -> impl Strategy<Value = Vec<String>> {
        (any_text(), prop::collection::vec(prop_oneof![any_text(), Just(String::new())], 0..4))
            .prop_map(|(program, arguments)| [vec![program], arguments].concat())
    }

    fn any_source() -> impl Strategy<Value = Source> {
        prop_oneof![
            launch().prop_map(Source::Pipeline),
            words().prop_map(Source::Command),
            (any_text(), any::<bool>()).prop_map(|(path, looped)| Source::File { path: path.into(), looped }),
        ]
    }

    fn any_fps() -> impl Strategy<Value = Option<(u32, u32)>> {
        prop::option::of(prop::sample::select(vec![(25, 1), (1, 10), (30_000, 1001), (25, 2)]))
    }

    fn any_mode() -> impl Strategy<Value = Mode> {
        prop_oneof![
            Just(Mode::Continuous),
            Just(Mode::OnDemand { linger: Duration::ZERO }),
            (0..31_622_400_000_u64).prop_map(|millis| Mode::OnDemand { linger: Duration::from_millis(millis) }),
        ]
    }

    fn any_encoding() -> impl Strategy<Value = Encoding> {
        prop_oneof![
            Just(Encoding::Copy),
            prop::collection::vec(launch(), 1..4).prop_map(Encoding::Pipeline),
            words().prop_map(Encoding::Command),
        ]
    }

    fn any_outputs() -> impl Strategy<Value = Outputs> {
        let codecs = prop::sample::subsequence(Codec::all().collect::<Vec<_>>(), 0..3);
        let pipelines = prop::collection::vec(launch(), 1..3);
        let containers = prop::sample::subsequence(outputs::ALL.to_vec(), 0..5);
        (containers, codecs, pipelines, any::<[bool; 2]>()).prop_map(
            |(containers, codecs, pipelines, [audio, video])| {
                let alternative = |codec| Alternative { codec, pipelines: pipelines.clone() };
                let alternatives = codecs.into_iter().map(alternative).collect();
                Outputs { containers, alternatives, repair: Repair { audio, video } }
            },
        )
    }

    fn any_config() -> impl Strategy<Value = Config> {
        let name = "[A-Za-z0-9_é-]([a-z0-9 ._-]{0,10}[a-z0-9])?|true|null|1\\.10|007";
        let feeds = prop::collection::btree_map(name, (any_source(), any_fps(), any_mode(), any::<bool>()), 1..4);
        let stream = (
            any_encoding(),
            "[^\\x00-\\x1f\\x7f-\\x9f/?#\\\\.]{1,20}",
            prop::sample::select(&Container::ALL[..]),
            any::<u8>(),
            prop::sample::select(&[Serving::Shared, Serving::Exclusive, Serving::Shot][..]),
            prop::option::of(prop_oneof![
                Just(Placeholder::Reason),
                Just(Placeholder::Text("Back soon: #1 'here'\n\"there\"".to_owned())),
                Just(Placeholder::Picture("a b/c.JPG".into())),
            ]),
            any::<bool>(),
            prop::option::of(any_outputs()),
        );
        let streams = prop::collection::btree_map(name, stream, 0..4);
        let top = (
            any::<IpAddr>(),
            any::<u16>(),
            prop::option::of(any_text()),
            prop::option::of((64 << 20)..u64::MAX >> 12),
            any::<[bool; 7]>(),
        );
        (top, feeds, streams).prop_map(
            |(
                (
                    listen_addr,
                    listen_port,
                    logdir,
                    memory_max,
                    [home, stat_is_on, placed, config, metrics, events, clients],
                ),
                feeds,
                streams,
            )| {
                let mut parent = None;
                let feeds: Vec<_> = feeds
                    .into_iter()
                    .map(|(name, (source, fps, mode, restart))| {
                        let name = FeedName::new(&name).unwrap();
                        let is_command = matches!(source, Source::Command(_));
                        let parent = parent.replace(name.clone()).filter(|_| is_command);
                        let fps = fps.filter(|_| matches!(source, Source::File { .. }));
                        Feed { name, source, fps, parent, mode, restart, about: Default::default() }
                    })
                    .collect();
                let streams = streams.into_iter().enumerate().map(|(index, (name, parts))| {
                    let (mut encoding, path, mut container, count, serving, placeholder, throughput, outputs) = parts;
                    let least = usize::from(matches!(encoding, Encoding::Copy));
                    let count = usize::from(count).clamp(least, feeds.len());
                    let mut used = Serving::Shared;
                    if let Encoding::Command(words) = &mut encoding {
                        words.extend((1..=count).filter(|_| count > 1).map(|number| format!("{{input{number}}}")));
                        used = serving;
                    }
                    let mut mimetype = container.mimetype().to_owned();
                    if used == Serving::Shot {
                        (container, mimetype) = (Container::Raw, "image/jpeg".to_owned());
                    }
                    let has_outputs = used == Serving::Shared && count > 0 && container != Container::Raw;
                    let outputs = outputs.filter(|_| has_outputs && !matches!(encoding, Encoding::Command(_)));
                    let outputs = outputs.map(|mut outputs| {
                        outputs.containers.retain(|other| *other != container);
                        outputs.containers.push(container);
                        outputs
                    });
                    let about = crate::config::About {
                        title: throughput.then(|| "Gate: left".to_owned()),
                        labels: if throughput { [("a/b".to_owned(), "true".to_owned())].into() } else { Default::default() },
                    };
                    Stream {
                        about,
                        outputs,
                        name: StreamName::new(&name).unwrap(),
                        feeds: feeds.iter().take(count).map(|feed| feed.name.clone()).collect(),
                        path: StreamPath::new(&format!("/{index}/{path}")).unwrap(),
                        container,
                        mimetype,
                        placeholder: placeholder.filter(|_| !matches!(encoding, Encoding::Command(_)) && count > 0),
                        encoding,
                        throughput: throughput && used != Serving::Shot && container != Container::Mjpeg,
                        hls: segment::Settings {
                            window: std::time::Duration::from_secs(30 + u64::try_from(index).unwrap()),
                            ..segment::Settings::DEFAULT
                        },
                        renditions: Vec::new(),
                        layers: Vec::new(),
                        rendition_of: None,
                        recording: (used == Serving::Shared && throughput).then(|| crate::config::Recording {
                            folder: "a b/é".into(),
                            format: Container::Ts,
                            plan: crate::config::Plan::Clips,
                            before: Duration::from_secs(7),
                            every: Some(Duration::from_millis(1500)),
                            part: Duration::from_millis(300),
                            name: crate::config::FilePattern::default(),
                            keep: crate::config::Keep { size: Some(1 << 30), ..crate::config::Keep::default() },
                        }),
                        push_service: None,
                        pushes: (used == Serving::Shared && throughput)
                            .then(|| crate::config::PushTarget {
                                to: crate::config::PushUrl::parse("rtmps://host:1/a/b?c").unwrap(),
                                ca: Some("a b".into()),
                                token: None,
                            })
                            .into_iter()
                            .collect(),
                        serving: used,
                    }
                });
                let streams = streams.collect();
                let usual = Pages::default();
                let other = StreamPath::new("/what is it.html").ok();
                let stat = if placed { other } else { usual.stat };
                let stat = stat.filter(|_| stat_is_on);
                let stat_json = usual.stat_json.filter(|_| home);
                let (logdir, pages) =
                    (logdir.map(Into::into), Pages { home, stat, stat_json, config, metrics, events, clients });
                let certificate = match (home, clients) {
                    (true, true) => None,
                    (true, false) => Some(CertificateSource::Files { certificate: "a".into(), key: "b c".into() }),
                    (false, false) if events => {
                        let text = "tls: {acme: {names: [a.example, b.example], accept_terms: true, contact: mailto:a@b.example, authority: c d, challenge: http-01}}";
                        crate::config::parse(text).unwrap().tls.map(|tls| tls.certificate)
                    }
                    (false, named) => {
                        let names = if named { vec!["tv.example".to_owned()] } else { Vec::new() };
                        Some(CertificateSource::Own { folder: "tls".into(), names })
                    }
                };
                let plain = if events { Plain::All } else { Plain::Local };
                let tls = certificate.map(|certificate| Tls { certificate, clients: Some("ca.pem".into()), plain });
                let auth = match (metrics, events) {
                    (true, true) => crate::access::Policy::default(),
                    (true, false) => crate::config::parse("auth: {anyone: [view a*, still]}").unwrap().auth,
                    (false, named) => {
                        let names = if named { "[tv.example]" } else { "[]" };
                        let hash = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
                        let text = format!(
                            "auth: {{users: {{a b: {{password: '{hash}', may: [view x*, admin], from: '::1', until: 2030-01-01T00:00:00Z}}}}, \
                             tokens: {{t: {{sha256: '{0}', may: status}}}}, link_keys: {{k: '{0}'}}, deny: 10.0.0.0/8, \
                             allow: {{users: [127.0.0.1, '::1']}}, jwt: {{keys: a, issuer: b}}, proxies: ['fd00::/8'], proxy_protocol: {named}, names: {names}}}",
                            "ab".repeat(32)
                        );
                        crate::config::parse(&text).unwrap().auth
                    }
                };
                let rtmp = home.then(|| Rtmp { listen: (listen_addr, listen_port).into() });
                let listen = std::net::SocketAddr::new(listen_addr, listen_port);
                let srs = events.then_some(crate::config::Srs { listen });
                let udp = clients.then_some(listen_port / 4 * 2);
                let rtsp = metrics.then_some(super::super::Rtsp { listen, udp, multicast: None });
                let text = "srt: {listen: '[::1]:1', latency: 0.25, passphrase: correct horse, stream: a/b, key_refresh: 256}";
                let srt = if clients { crate::config::parse(text).unwrap().srt } else { None };
                let webrtc = (metrics != clients).then(|| crate::config::WebRtc {
                    hosts: if home { vec!["tv.example".to_owned(), "2001:db8::1".to_owned()] } else { Vec::new() },
                    udp: events.then_some(listen_port),
                    tcp: config,
                    ice_servers: if events { vec!["turn:turn.example:3478?transport=tcp".to_owned()] } else { Vec::new() },
                    channels: if home { crate::config::parse(CHANNELS).unwrap().webrtc.unwrap().channels } else { Vec::new() },
                });
                let editing = if metrics { Editing::Write } else { Editing::ReadOnly };
                let api = Api { editing, exec: events, ..Api::default() };
                let text = "hooks: {a: {url: 'https://h/x', secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw, events: feed.*}, b: {run: [a, b c], names: [x, y*]}}";
                let hooks = if home { crate::config::parse(text).unwrap().hooks } else { Vec::new() };
                let text = "telemetry: {otlp: 'https://h/x', sample: 0.25, headers: {authorization: a b}}";
                let telemetry = if metrics { crate::config::parse(text).unwrap().telemetry } else { None };
                let statedir = events.then(|| "a state".into());
                let files = clients.then(|| "/srv/a b".into());
                Config { listen_addr, listen_port, logdir, statedir, files, memory_max, pages, auth, tls, rtmp, rtsp, srs, webrtc, srt, hooks, telemetry, api, patterns: Vec::new(), feeds, streams }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same(config in any_config()) {
            let printed = to_yaml(&config);
            prop_assert_eq!(parse(&printed), Ok(config), "of\n{}", printed);
        }
    }

    /// The files that are shipped.
    fn shipped() -> Vec<String> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let folders = [root.clone(), root.join("examples")].into_iter();
        let files = folders.flat_map(|folder| std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()));
        files
            .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect()
    }

    /// What someone may do to a file by mistake: lines that move, are doubled or get lost, and words of others in between.
    fn mutated() -> impl Strategy<Value = String> {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ": ",
            "- ",
            "\n",
            "  ",
            "'",
            "\"",
            "~",
            "0",
            "-1",
            "{name}",
            "{{",
            "*a",
            "&a ",
            "use: ",
            "feeds:\n",
            "command: ",
            "sets:\n",
            "video: ",
            "true",
            "any",
            "1x1",
            "0..3",
            "\\",
            "#",
            "é",
            "\u{0}",
        ];
        let change =
            (any::<prop::sample::Index>(), 0..4_u8, any::<prop::sample::Index>(), prop::sample::select(words.to_vec()));
        (prop::sample::select(shipped()), prop::collection::vec(change, 1..6)).prop_map(|(text, changes)| {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for (at, what, other, word) in changes {
                let (at, other) = (at.index(lines.len()), other.index(lines.len()));
                match what {
                    0 => lines.swap(at, other),
                    1 => lines.insert(at, lines[other].clone()),
                    2 if lines.len() > 1 => drop(lines.remove(at)),
                    _ => {
                        let chars = lines[at].chars().count();
                        let column = other % (chars + 1);
                        let (before, behind): (String, String) =
                            (lines[at].chars().take(column).collect(), lines[at].chars().skip(column).collect());
                        lines[at] = format!("{before}{word}{behind}");
                    }
                }
            }
            lines.join("\n")
        })
    }

    proptest! {
        #[test]
        fn whatever_happens_to_a_file_it_is_refused_or_means_what_is_printed(text in mutated()) {
            match parse(&text) {
                Ok(config) => {
                    let printed = to_yaml(&config);
                    prop_assert_eq!(parse(&printed), Ok(config), "of\n{}", printed);
                }
                Err(faults) => {
                    prop_assert!(!faults.is_empty());
                    for fault in faults {
                        let Position::Line { line, column, .. } = fault.position else { panic!("{fault}") };
                        // The end of the text is a line of its own.
                        prop_assert!((1..=text.lines().count() + 2).contains(&line) && column > 0, "{}", fault);
                        prop_assert!(!fault.to_string().contains(['\n', '\0']), "{:?}", fault);
                    }
                }
            }
        }
    }

    #[test]
    fn everything_is_resolved_and_in_order() {
        let config = parse("feeds: {cam: {command: cat, mode: 2.5}}\nstreams: {cam 0.ts: {feed: cam}}").unwrap();
        assert_eq!(
            to_yaml(&config),
            "\
listenaddr: 127.0.0.1
listenport: 8090
pages:
  home: true
  stat: true
  stat_json: true
  config: false
  metrics: true
  events: true
  clients: false
feeds:
  cam:
    command:
    - cat
    mode: 2.5
streams:
  cam 0.ts:
    feed: cam
    url: /cam%200.ts
    container: ts
    mimetype: video/mp2t
"
        );
    }
}
