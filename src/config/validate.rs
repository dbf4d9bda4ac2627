//! Tree → checked values. Every error is noted and the check continues with a default, so that one run shows them all.

use super::{
    diagnostics::{Diagnostic, Path},
    expected::{Expected, flag, path_name, port, quoted},
    formats,
    merge::OF_FILES,
    model::{Config, Feed, FeedName, Mode, Source},
    overrides::Override,
    raw,
    session_file::is_session,
    spans::Place,
    streams::Feeds,
    template_store::TemplateStore,
    units::{self, Fps},
    url::{self, CameraSettings, CameraTransport},
    validator::Validator,
};
use serde_yaml::Value;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

/// Where the server listens unless told: reachable from this machine only.
const DEFAULT_LISTEN_ADDR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The port of ffserver.
const DEFAULT_LISTEN_PORT: u16 = 8090;
/// What any worker needs.
const LEAST_MEMORY: u64 = 64 << 20;
/// What a feed says that comes in its own time.
pub(super) const NO_FPS: &str = "only images and bare video have no times of their own: expected a `file` that is no named pipe, or an `url` \
    that begins with http:// or https://";
/// Longest `mode:` in seconds: a year, which is longer than anyone waits.
const MAX_LINGER: f64 = 366.0 * 86_400.0;

/// Reads and checks a whole configuration. Paths are unchanged, and no other file is read: `include` and
/// `pipelines_dir` are for [`load`](super::load()).
///
/// # Errors
/// All errors in the order of the lines, at most 50; only the first when the text is no YAML.
pub fn parse(text: &str) -> Result<Config, Vec<Diagnostic>> {
    let mut checker = Validator::new(TemplateStore::built_in());
    let document = checker.document("", text, &[]).map_err(|fault| vec![fault])?;
    let config = checker.file(document.tree, &[]);
    let faults = checker.findings.into_diagnostics(&checker.places);
    if faults.is_empty() { Ok(config) } else { Err(faults.faults) }
}

impl Validator {
    /// Checks a whole tree, after variables of the environment had their say. What has errors is omitted.
    pub(super) fn file(&mut self, mut tree: Value, overrides: &[Override]) -> Config {
        let root = Path::default();
        let of_entries = ["feeds", "streams"];
        for wanted in overrides.iter().filter(|wanted| !wanted.is_in(&OF_FILES) && !wanted.is_in(&of_entries)) {
            self.override_with(wanted, &root, &mut tree);
        }
        let file: raw::File = self.section(&root, tree);
        let pages = file.pages.map(|pages| self.pages(&root.key("pages"), pages)).unwrap_or_default();
        let webrtc = self.webrtc(&root.key("webrtc"), file.webrtc);
        let srt = self.srt(&root.key("srt"), file.srt);
        let hooks = self.hooks(&root.key("hooks"), file.hooks);
        let telemetry = self.telemetry(&root.key("telemetry"), file.telemetry);
        let api = self.api(&root.key("api"), file.api);
        let auth = self.auth(&root.key("auth"), file.auth, &pages);
        self.templates(&root.key("templates"), file.templates);
        let mut feeds = self.entries(&root.key("feeds"), file.feeds);
        let mut streams = self.entries(&root.key("streams"), file.streams);
        self.sets(&root.key("sets"), file.sets, &mut feeds, &mut streams);
        // Those of sets can be overridden like others.
        self.override_entries(overrides, "feeds", &mut feeds);
        self.override_entries(overrides, "streams", &mut streams);
        let names: Vec<String> = feeds.keys().cloned().collect();
        let parents = &names;
        let path = root.key("feeds");
        let feeds: Vec<_> =
            feeds.into_iter().filter_map(|(name, value)| self.feed(&path.key(&name), &name, value, parents)).collect();
        self.circles(&path, &feeds);
        let feeds = self.feeds_with_layers(&path, feeds);
        let known = Feeds { names: &names, written: formats::written_by(&feeds), all: &feeds };
        let listen_addr = self.value(&root.key("listenaddr"), file.listenaddr, address).unwrap_or(DEFAULT_LISTEN_ADDR);
        let listen_port = self.value(&root.key("listenport"), file.listenport, port).unwrap_or(DEFAULT_LISTEN_PORT);
        Config {
            listen_addr,
            listen_port,
            logdir: self.value(&root.key("logdir"), file.logdir, path_name),
            statedir: self.value(&root.key("statedir"), file.statedir, path_name),
            files: self.value(&root.key("files"), file.files, path_name),
            memory_max: self.value(&root.key("memory_max"), file.memory_max, memory),
            streams: self.streams(&root.key("streams"), streams, &known, &pages),
            feeds,
            pages,
            auth,
            tls: self.tls(&root.key("tls"), file.tls, listen_port),
            patterns: self.patterns(&root.key("publish"), file.publish),
            rtmp: self.rtmp(&root.key("rtmp"), file.rtmp, listen_addr),
            rtsp: self.rtsp(&root.key("rtsp"), file.rtsp, listen_addr),
            srs: self.srs(&root.key("srs"), file.srs, listen_addr),
            webrtc,
            srt,
            hooks,
            telemetry,
            api,
        }
    }

    fn override_entries(&mut self, overrides: &[Override], section: &str, entries: &mut raw::Entries<Value>) {
        let path = Path::default().key(section);
        for wanted in overrides.iter().filter(|wanted| wanted.is_in(&[section])) {
            let before = std::mem::take(entries).into_iter();
            let mut all = Value::Mapping(before.map(|(name, value)| (Value::String(name), value)).collect());
            self.override_with(wanted, &path, &mut all);
            *entries = self.entries(&path, Some(all));
        }
    }

    fn feed(&mut self, path: &Path, name: &str, value: Value, known: &[String]) -> Option<Feed> {
        let name = FeedName::new(name)
            .map_err(|error| self.note(path, Place::Key, format!("{error}, found {}", quoted(name))))
            .ok();
        let feed: raw::Feed = self.section(path, value);
        if feed.publish.is_some() {
            let given = [
                ("mode", feed.mode.is_some()),
                ("restart", feed.restart.is_some()),
                ("no-resurrect", feed.no_resurrect.is_some()),
            ];
            for (key, _) in given.into_iter().filter(|(_, is_given)| *is_given) {
                self.note(&path.key(key), Place::Key, "a publisher decides when this feed runs".to_owned());
            }
        }
        let is_camera = matches!(&feed.url, Some(Value::String(address)) if url::is_camera(address));
        for (key, is_given) in [("transport", feed.transport.is_some()), ("latency", feed.latency.is_some())] {
            if is_given && !is_camera {
                self.note(&path.key(key), Place::Key, "only a `url` of rtsp:// or rtsps:// has it".to_owned());
            }
        }
        let mode = self.value(&path.key("mode"), feed.mode, mode).unwrap_or(Mode::OnDemand { linger: Duration::ZERO });
        let restart = self.restart(path, feed.restart, feed.no_resurrect);
        let given = [
            ("publish", &feed.publish),
            ("pipeline", &feed.pipeline),
            ("command", &feed.command),
            ("file", &feed.file),
            ("url", &feed.url),
        ];
        let given: Vec<_> = given.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect();
        match given.as_slice() {
            [] => {
                let message = "has no source: expected `pipeline`, `command`, `file`, `url` or `publish`";
                self.note(path, Place::Key, message.to_owned());
            }
            [_] => {}
            [first, others @ ..] => {
                for other in others {
                    let message = format!("`{first}` is the source already, keep one of them");
                    self.note(&path.key(other), Place::Key, message);
                }
            }
        }
        if feed.looped.is_some() && feed.file.is_none() {
            self.note(&path.key("loop"), Place::Key, "only a `file` can be looped".to_owned());
        }
        let is_session = feed.file.as_ref().and_then(Value::as_str).is_some_and(|file| is_session(file.as_ref()));
        for (key, given) in [("loop", feed.looped.is_some()), ("fps", feed.fps.is_some())] {
            if is_session && given {
                let message = "an SDP file has no media of its own: what comes by RTP has its own times, and no end";
                self.note(&path.key(key), Place::Key, message.to_owned());
            }
        }
        if feed.feed.is_some() && feed.command.is_none() {
            self.note(&path.key("feed"), Place::Key, "only a `command` reads another feed".to_owned());
        }
        let parent = self.parent(&path.key("feed"), feed.feed, known);
        let looped = self.value(&path.key("loop"), feed.looped, flag).unwrap_or(false);
        let pipeline = self.pipeline(&path.key("pipeline"), feed.pipeline).map(Source::Pipeline);
        let command = feed.command.and_then(|value| self.words(&path.key("command"), value));
        if let Some(words) = &command {
            self.inputs(&path.key("command"), words, parent.as_slice());
        }
        let command = command.map(Source::Command);
        let file = self.value(&path.key("file"), feed.file, path_name).map(|path| Source::File { path, looped });
        let camera = CameraSettings {
            transport: self.value(&path.key("transport"), feed.transport, CameraTransport::parse),
            latency: self.value(&path.key("latency"), feed.latency, url::camera_latency),
        };
        let url = self.value(&path.key("url"), feed.url, |address| url::source(address, camera));
        let publish = feed.publish.map(|value| Source::Publish(self.publish(&path.key("publish"), value)));
        let source = pipeline.or(command).or(file).or(url).or(publish)?;
        let fps = self.feed_fps(&path.key("fps"), feed.fps, &source);
        let about = self.about(path, feed.title, feed.labels);
        Some(Feed { name: name?, source, fps, parent, mode, restart, about })
    }

    /// The rate of what has no times of its own. What is live comes in its own time.
    fn feed_fps(&mut self, path: &Path, value: Option<Value>, source: &Source) -> Option<(u32, u32)> {
        let may_have = match source {
            Source::File { .. } => true,
            Source::Pipeline(text) => text.contains("souphttpsrc"),
            Source::Command(_) | Source::Pipe(_) | Source::Publish(_) | Source::Link(_) => false,
        };
        if value.is_some() && !may_have {
            self.note(path, Place::Key, NO_FPS.to_owned());
            return None;
        }
        self.value(path, value, |text| {
            let fps = Fps::parse(text).ok_or("frames per second, like 25, 12.5 or 30000/1001")?;
            Ok((fps.numerator, fps.denominator))
        })
    }

    /// Whether a feed restarts. `no-resurrect` is the old name of the opposite.
    fn restart(&mut self, path: &Path, restart: Option<Value>, no_resurrect: Option<Value>) -> bool {
        let restart = self.value(&path.key("restart"), restart, flag);
        let old = self.value(&path.key("no-resurrect"), no_resurrect, flag).map(|no_resurrect| !no_resurrect);
        if restart.zip(old).is_some_and(|(restart, old)| restart != old) {
            let message =
                "contradicts `restart`: `no-resurrect: true` is the old form of `restart: false`, keep `restart` only";
            self.note(&path.key("no-resurrect"), Place::Key, message.to_owned());
        }
        restart.or(old).unwrap_or(true)
    }
}

fn address(text: &str) -> Result<IpAddr, Expected> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "an IP address like 127.0.0.1, 0.0.0.0 or ::".into())
}

fn memory(text: &str) -> Result<u64, Expected> {
    units::bytes(text)
        .filter(|bytes| *bytes >= LEAST_MEMORY)
        .ok_or_else(|| "bytes, like 512M or 2G, at least 64M".into())
}

fn mode(text: &str) -> Result<Mode, Expected> {
    match text {
        "on-demand" => return Ok(Mode::OnDemand { linger: Duration::ZERO }),
        "continuous" | "autostart" => return Ok(Mode::Continuous),
        _ => {}
    }
    let seconds = units::decimal(text).filter(|seconds| *seconds <= MAX_LINGER);
    let seconds = seconds.ok_or("\"on-demand\", \"continuous\" or seconds")?;
    // Whole milliseconds are printed and read again without loss.
    Ok(Mode::OnDemand { linger: Duration::from_millis((seconds * 1000.0).round() as u64) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::check;
    use proptest::prelude::*;

    /// The errors of a text, one a line, without the file name in front.
    /// The errors of one stream `s` of the feeds `cam1` and `cam2`; its keys begin at column 6 of line 2.
    fn check_stream(keys: &str, expect: &str) {
        check(
            &format!("feeds: {{cam1: {{command: cat}}, cam2: {{command: cat}}}}\nstreams: {{s: {{{keys}}}}}"),
            expect,
        );
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        for text in ["", "# nothing\n", "---\n", "feeds:\nstreams:\n", "listenport:\n"] {
            let config = parse(text).unwrap();
            assert_eq!(config.listen_addr, DEFAULT_LISTEN_ADDR);
            assert_eq!(config.listen_port, 8090);
            assert!(config.pages.home && config.feeds.is_empty() && config.streams.is_empty());
        }
    }

    #[test]
    fn modes() {
        let mode_of = |mode: &str| parse(&format!("feeds: {{a: {{command: b, mode: {mode}}}}}")).unwrap().feeds[0].mode;
        let on_demand = |millis| Mode::OnDemand { linger: Duration::from_millis(millis) };
        assert_eq!(mode_of(""), on_demand(0));
        assert_eq!(mode_of("on-demand"), on_demand(0));
        assert_eq!(mode_of("10"), on_demand(10_000));
        assert_eq!(mode_of("0.5"), on_demand(500));
        assert_eq!(mode_of("continuous"), Mode::Continuous);
        assert_eq!(mode_of("autostart"), Mode::Continuous);
    }

    #[test]
    fn a_command_gets_its_words_as_they_are_written() {
        let words_of = |command: &str| match parse(&format!("feeds: {{1.10: {{command: {command}}}}}")) {
            Ok(config) => match &config.feeds[0].source {
                Source::Command(words) => words.clone(),
                other => panic!("{other:?}"),
            },
            Err(faults) => panic!("{faults:?}"),
        };
        assert_eq!(words_of("[a, 1.10, 007, 0x1F, True, '']"), ["a", "1.10", "007", "0x1F", "True", ""]);
        assert_eq!(words_of(r#"'a "b c" d\ e $HOME | f'"#), ["a", "b c", "d e", "$HOME", "|", "f"]);
    }

    #[test]
    fn faults_of_the_top_level() {
        check(
            "listenaddr: localhost",
            "1:13: listenaddr: expected an IP address like 127.0.0.1, 0.0.0.0 or ::, found \"localhost\"",
        );
        check("\nlistenport: 70000", "2:13: listenport: expected a port from 0 to 65535, found \"70000\"");
        check("logdir: [a]", "1:1: logdir: expected a single value, found a list");
        check("pages: {home: maybe}", "1:15: pages.home: expected true or false, found \"maybe\"");
        check("feeds: [a]", "1:1: feeds: expected names with keys below them, found a list");
        check("streams: x", "1:10: streams: expected names with keys below them, found \"x\"");
        check("listenprot: 1", "1:1: listenprot: unknown key, did you mean `listenport`?");
        check("[a]", &format!("1:1: expected keys like `{}:`, found a list", raw::keys::<raw::File>().join(":`, `")));
        check("a: b\n c: d", "2:3: mapping values are not allowed in this context");
        check("listenport: 1\nlistenport: 2", "2:1: listenport: appears a second time, keep one");
    }

    #[test]
    fn a_rate_is_for_what_has_no_times() {
        let fps_of = |feed: &str| parse(&format!("feeds: {{a: {{{feed}}}}}")).unwrap().feeds[0].fps;
        assert_eq!(fps_of("file: a.jpg"), None);
        assert_eq!(fps_of("file: a.jpg, fps: 10"), Some((10, 1)));
        assert_eq!(fps_of("file: a.h264, fps: 29.97"), Some((30_000, 1001)));
        assert_eq!(fps_of("url: 'http://a/still', fps: 0.1"), Some((1, 10)));
        assert_eq!(fps_of("pipeline: 'souphttpsrc location=http://a ! parsebin', fps: 1/60"), Some((1, 60)));
        let expected = "expected frames per second, like 25, 12.5 or 30000/1001, found";
        for (feed, fault) in [
            ("file: a.jpg, fps: fast", format!("{expected} \"fast\"")),
            ("file: a.jpg, fps: 0", format!("{expected} \"0\"")),
            ("command: cat, fps: 10", NO_FPS.to_owned()),
            ("url: 'rtsp://a/b', fps: 10", NO_FPS.to_owned()),
            ("pipeline: videotestsrc, fps: 10", NO_FPS.to_owned()),
        ] {
            let text = format!("feeds: {{a: {{{feed}}}}}");
            // At the value, or at the key that is not to be there.
            let place = text.find("fps").unwrap() + if fault == NO_FPS { 1 } else { 6 };
            check(&text, &format!("1:{place}: feeds.a.fps: {fault}"));
        }
    }

    #[test]
    fn faults_of_feeds() {
        let text = "\
feeds:
  cam1:
    command: cat
    mode: soon
  cam2: {}
  cam3: {pipeline: a, file: b}
  cam4: {command: a, loop: true}
  cam5: {command: ''}
  cam6: {command: []}
  cam7: {command: a 'b}
  cam8: {command: {a: b}}
  cam9: {command: [a, [b]]}
  a/b: {pipeline: ' '}
  camA: {file: [a]}
  camB: {command: a, mode: -1, buffer-size: 3, no_resurrect: true}
  cam1: {command: a}
";
        check(
            text,
            "\
4:11: feeds.cam1.mode: expected \"on-demand\", \"continuous\" or seconds, found \"soon\"
5:3: feeds.cam2: has no source: expected `pipeline`, `command`, `file`, `url` or `publish`
6:23: feeds.cam3.file: `pipeline` is the source already, keep one of them
7:22: feeds.cam4.loop: only a `file` can be looped
8:19: feeds.cam5.command: expected a program and its arguments, found none
9:19: feeds.cam6.command: expected a program and its arguments, found none
10:19: feeds.cam7.command: has a quote that is not closed
11:10: feeds.cam8.command: has no `use`: expected a text, or `use:` with the name of a template
12:23: feeds.cam9.command[1]: expected a single value, found a list
13:3: feeds.a/b: expected 1 to 64 letters, digits, `-`, `_`, `.` or inner blanks, not beginning with a dot, found \"a/b\"
13:19: feeds.a/b.pipeline: expected a gst-launch pipeline, found \" \"
14:10: feeds.camA.file: expected a single value, found a list
15:28: feeds.camB.mode: expected \"on-demand\", \"continuous\" or seconds, found \"-1\"
15:32: feeds.camB.buffer-size: voyandz has no buffer sizes: each viewer gets packets at the speed of that viewer, and voyandz itself bounds the memory for it
15:48: feeds.camB.no_resurrect: unknown key, did you mean `no-resurrect`?
16:3: feeds.cam1: appears a second time, keep one",
        );
    }

    #[test]
    fn faults_of_streams() {
        check_stream(
            "feed: cam3",
            "2:21: streams.s.feed: expected the name of a feed, found \"cam3\", did you mean `cam1`?",
        );
        check_stream(
            "feed: cam1, placeholder: [a]",
            "2:27: streams.s.placeholder: expected a single value, found a list",
        );
        check_stream(
            "feed: cam1, command: cat, placeholder: true",
            "2:41: streams.s.placeholder: only a stream that voyandz itself makes of feeds can have a placeholder",
        );
        check_stream(
            "type: shot, command: a, throughput: true",
            "2:39: streams.s.throughput: a shot is sent as a whole anyway",
        );
        check_stream(
            "feed: cam1, container: mjpeg, throughput: true",
            "2:45: streams.s.throughput: of motion JPEG a viewer gets the newest frame: there is nothing to collect",
        );
        check_stream("feed: [cam1]", "2:15: streams.s.feed: expected a single value, found a list");
        check_stream("feeds: cam1", "2:22: streams.s.feeds: expected a list of names of feeds, found \"cam1\"");
        check_stream("feeds: [cam1, cam1]", "2:29: streams.s.feeds[1]: expected each feed once, found \"cam1\"");
        check_stream("feed: cam1, feeds: [cam2]", "2:27: streams.s.feeds: `feed` is given already, keep one of them");
        check_stream(
            "",
            "2:11: streams.s: has no source: expected `feed` or `feeds`, or a `pipeline` or `command` of its own",
        );
        check_stream(
            "video: true",
            "2:11: streams.s: has no source: expected `feed` or `feeds`, or a `pipeline` or `command` of its own",
        );
        check_stream(
            "feed: cam1, command: a, pipeline: b",
            "2:27: streams.s.command: `pipeline` says already how the stream is made, keep one of them",
        );
        check_stream(
            "feed: cam1, command: a, video: true",
            "2:39: streams.s.video: `command` says already how the stream is made, keep one of them",
        );
        check_stream(
            "feeds: [cam1, cam2], command: a",
            "2:45: streams.s.command: the command does not read feed `cam1`: name it `{input1}`, where the file to read stands",
        );
        check_stream("feed: cam1, container: m2ts", "2:38: streams.s.container: expected `ts`, found \"m2ts\"");
        check_stream("feed: cam1, container: ogg, video: true", "2:43: streams.s.video: ogg has no video here");
        check_stream(
            "feed: cam1, container: avi",
            "2:38: streams.s.container: expected `ts`, `webm` or `mkv`, found \"avi\": viewers cannot join it while it runs; `raw` forwards whatever a command writes",
        );
        check_stream(
            "feed: cam1, container: tss",
            "2:38: streams.s.container: expected `ts`, `webm`, `mkv`, `ogg`, `flv`, `mp4`, `mp3`, `aac`, `flac`, `wav`, `mjpeg` or `raw`, found \"tss\"",
        );
        check_stream(
            "feed: cam1, mimetype: video",
            "2:37: streams.s.mimetype: expected a media type like video/mp2t, found \"video\"",
        );
    }

    #[test]
    fn faults_of_typed_keys() {
        check_stream(
            "feed: cam1, container: webm, video: {codec: h264}",
            "2:59: streams.s.video.codec: expected vp8, vp9 or av1, found \"h264\": webm cannot carry it, `container: ts` or `mkv` or `flv` or `mp4` can",
        );
        check_stream(
            "feed: cam1, container: ts, audio: {codec: vorbis}",
            "2:57: streams.s.audio.codec: expected aac, mp3, ac3 or opus, found \"vorbis\": ts cannot carry it, `container: webm` or `mkv` or `ogg` can",
        );
        check_stream(
            "feed: cam1, container: flac, audio: {bitrate: 96k}",
            "2:61: streams.s.audio.bitrate: expected no bitrate, found \"96k\": flac is without loss",
        );
        check_stream(
            "feed: cam1, container: wav, audio: {codec: mp3}",
            "2:58: streams.s.audio.codec: expected pcm, found \"mp3\": wav cannot carry it, `container: ts` or `mkv` or `flv` or `mp4` or `mp3` can",
        );
        check_stream(
            "feed: cam1, container: ts, video: {codec: x264}",
            "2:57: streams.s.video.codec: expected h264, h265 or mpeg2, found \"x264\", did you mean `h264`?",
        );
        check_stream(
            "feed: cam1, container: ts, video: loud",
            "2:49: streams.s.video: expected keys like `codec:`, `bitrate:`, `quality:`, `gop:`, `fps:`, `size:`, `encoder:`, `preset:`, `pixel_format:`, found \"loud\"",
        );
        check_stream(
            "feed: cam1, container: raw, video: true",
            "2:43: streams.s.video: a raw stream is not encoded: expected `container: ts`, `webm`, `mkv`, `ogg`, `flv`, `mp4`, `mp3`, `aac`, `flac`, `wav` or `mjpeg`",
        );
        check_stream("feed: cam1, container: mjpeg, audio: true", "2:45: streams.s.audio: mjpeg has no audio");
        check_stream(
            "feed: cam1, container: ts, video: false, audio: false",
            "2:11: streams.s: nothing is left of this stream without video and audio",
        );
        check_stream(
            "feed: cam1, container: ts, video: {bitrate: fast}",
            "2:59: streams.s.video.bitrate: expected bits per second from 10k to 100M, like 800k or 2M, found \"fast\"",
        );
        check_stream(
            "feed: cam1, container: ts, video: {bitrate: 1M, quality: 5}",
            "2:63: streams.s.video.quality: `bitrate` is given already, keep one of them",
        );
        check_stream(
            "feed: cam1, container: ts, video: {quality: 101}",
            "2:59: streams.s.video.quality: expected a quality from 1 to 100, found \"101\"",
        );
        check_stream(
            "feed: cam1, container: ts, video: {gop: 0}",
            "2:55: streams.s.video.gop: expected a number of frames from 1 to 90000, found \"0\"",
        );
        check_stream(
            "feed: cam1, container: ts, video: {fps: x}",
            "2:55: streams.s.video.fps: expected frames per second, like 25, 12.5 or 30000/1001, found \"x\"",
        );
        check_stream(
            "feed: cam1, container: ts, video: {codec: mpeg2, fps: 10}",
            "2:69: streams.s.video.fps: expected 23.976, 24, 25, 29.97, 30, 50, 59.94 or 60 frames per second, found \"10\": mpeg2 has no others",
        );
        check_stream(
            "feed: cam1, container: ts, video: {size: 1280}",
            "2:56: streams.s.video.size: expected even width and height from 16 to 16384, like 1280x720, found \"1280\"",
        );
        check_stream(
            "feed: cam1, container: webm, video: {preset: fast}",
            "2:52: streams.s.video.preset: vp8 has no presets, h264 and h265 have",
        );
        check_stream(
            "feed: cam1, container: ts, video: {pixel_format: RGB}",
            "2:64: streams.s.video.pixel_format: expected I420, Y42B, Y444, I420_10LE, I422_10LE or Y444_10LE, found \"RGB\": h264 has no others here",
        );
        check_stream(
            "feed: cam1, container: mjpeg, video: {gop: 5}",
            "2:53: streams.s.video.gop: mjpeg has no gop, give a `quality`",
        );
        check_stream(
            "feed: cam1, container: ts, audio: {channels: 5}",
            "2:60: streams.s.audio.channels: expected 1 for mono or 2 for stereo, found \"5\"",
        );
        check_stream(
            "feed: cam1, container: ts, audio: {codec: ac3, rate: 8000}",
            "2:68: streams.s.audio.rate: expected a sample rate of ac3: 32000, 44100 or 48000, found \"8000\"",
        );
        check_stream(
            "feed: cam1, container: ts, audio: {bitrate: 1}",
            "2:59: streams.s.audio.bitrate: expected bits per second from 16k to 512k, like 96k, found \"1\"",
        );
    }

    #[test]
    fn no_two_things_have_one_url() {
        let text = "\
feeds: {c: {command: cat}}
streams:
  stat: {feed: c}
  a: {feed: c, url: /metrics}
  b: {feed: c, url: /api/x}
  own: {feed: c, url: /stream/own}
  d: {feed: c, url: /stream/own}
  e: {feed: c, url: /x/y.ts}
  f: {feed: c, url: /x/y.ts}
  g: {feed: c, url: /x/y.ts/pic}
  h: {feed: c, url: /x%2Fy.ts/pic.png}
  i: {feed: c, url: x.ts}
  j: {feed: c, url: /%ff}
";
        check(
            text,
            "\
3:3: streams.stat: `/stat` belongs to voyandz itself, give another `url`
4:21: streams.a.url: `/metrics` belongs to voyandz itself
5:21: streams.b.url: `/api/x` belongs to voyandz itself
7:21: streams.d.url: `/stream/own` belongs to voyandz itself
9:21: streams.f.url: `/x/y.ts` is the URL of stream `e` already
10:21: streams.g.url: `/x/y.ts/pic` is the still of stream `e`
11:21: streams.h.url: `/x/y.ts/pic.png` is the still of stream `e`
12:21: streams.i.url: expected a path like `/cam0.ts`: beginning with `/`, without empty parts, `.` and `..`, without control characters, `?` and `#`, and below 256 bytes, found \"x.ts\"
13:21: streams.j.url: expected percent-encoded UTF-8, found \"/%ff\"",
        );
    }

    #[test]
    fn a_flood_of_faults_is_cut() {
        let text: String = (0..20_000).map(|index| format!("key{index}: 1\n")).collect();
        assert_eq!(parse(&text).unwrap_err().len(), 50);

        let entries = |entry: fn(usize) -> String| (0..5_000).map(entry).collect::<String>();
        let feeds = entries(|index| format!("  f{index}: {{command: a}}\n"));
        let streams = entries(|index| format!("  s{index}: {{feed: g{index}}}\n"));
        assert_eq!(parse(&format!("feeds:\n{feeds}streams:\n{streams}")).unwrap_err().len(), 50);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,80}") {
            let _ = parse(&text);
        }

        #[test]
        fn no_text_like_a_configuration_panics(
            keys in prop::collection::vec(
                ("[ ]{0,6}", "(feeds|streams|a|b|feed|mode|command|pipeline|video|audio|codec|fps|url|container|size|gop|- )",
                 ":?", "[ \\[{]?(a|b|[0-9./xkM%-]{0,6}|ts|webm|mjpeg|true|false|h264|opus|&a|\\*a|!t|\"\\\\0\"|')?[\\]}]?"),
                0..14,
            )
        ) {
            let text: String = keys.iter().map(|(indent, key, colon, value)| format!("{indent}{key}{colon} {value}\n")).collect();
            let _ = parse(&text);
        }

        #[test]
        fn no_value_panics(value in "\\PC{0,20}", key in 0..17_usize) {
            let keys = ["mode", "command", "file", "pipeline", "feed", "url", "container", "mimetype", "bitrate", "quality",
                        "gop", "fps", "size", "preset", "pixel_format", "channels", "rate"];
            let (key, value) = (keys[key], serde_json::to_string(&value).unwrap());
            let _ = parse(&format!("feeds: {{a: {{{key}: {value}}}}}"));
            let _ = parse(&format!("feeds: {{a: {{command: b}}}}\nstreams: {{s: {{feed: a, {key}: {value}}}}}"));
            let _ = parse(&format!("feeds: {{a: {{command: b}}}}\nstreams: {{s: {{feed: a, video: {{{key}: {value}}}, audio: {{{key}: {value}}}}}}}"));
        }
    }
}
