//! From files to a configuration: finds and reads the file, has it checked, and looks at the files it names.

use super::{
    diagnostics::{self, Diagnostics},
    files::{LoadError, Replaced, read},
    formats::passed_on,
    include::Reading,
    model::{CertificateSource, Config, ControlPlace, Encoding, FeedName, Placeholder, Source, StreamPath},
    source_map::{Findings, SourceMap},
    spans::Place,
    template_store::KnownTemplate,
    validate::NO_FPS,
    validator::Validator,
};
use crate::{access::KeySource, sys::programs};
use serde_yaml::Value;
use std::{
    ffi::{OsStr, OsString},
    fs::{self},
    io::ErrorKind,
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Served when there is no configuration file: a test pattern and a tone.
const DEMO: &str = include_str!("../../config/demo.yaml");
/// Looked for in this order when no file is named. The names without `.yaml` are those of earlier versions.
const DEFAULT_FILES: [&str; 3] = ["/etc/voyandz.yaml", "/etc/voyandz.ini", "/etc/voyandz"];

/// Where a configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// The demonstration that is built in.
    Demo,
}

/// Which configuration to use: the file of `-f`, else that of `VOYANDZ_CONFFILE` unless it is empty, else
/// `/etc/voyandz.yaml`, else `/etc/voyandz.ini`, else `/etc/voyandz`, else the built-in demonstration.
///
/// A default file that has only comments, as the Debian package installs it, does not hide a file under an older name.
///
/// # Errors
/// [`LoadError::Missing`] when a file that was asked for does not exist.
pub fn find(cli: Option<&Path>, env: Option<&Path>) -> Result<Origin, LoadError> {
    find_among(cli, env, &DEFAULT_FILES.map(Path::new))
}

fn find_among(cli: Option<&Path>, env: Option<&Path>, defaults: &[&Path]) -> Result<Origin, LoadError> {
    let env = env.filter(|path| !path.as_os_str().is_empty());
    match cli.or(env) {
        Some(asked) if is_missing(asked) => Err(LoadError::Missing(asked.to_owned())),
        Some(asked) => Ok(Origin::File(asked.to_owned())),
        // One that exists and cannot be read is an error later, not a reason to serve the demonstration.
        None => {
            let found: Vec<&Path> = defaults.iter().copied().filter(|path| !is_missing(path)).collect();
            let used = found.iter().find(|path| found.len() == 1 || has_content(path)).or(found.first());
            Ok(used.map_or(Origin::Demo, |path| Origin::File((*path).to_owned())))
        }
    }
}

/// Whether a file has more than comments. One that cannot be read may have.
fn has_content(path: &Path) -> bool {
    let is_content = |line: &str| !matches!(line.trim(), "" | "---") && !line.trim_start().starts_with('#');
    read(path).map_or(true, |text| text.lines().any(is_content))
}

fn is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err_and(|error| matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory))
}

/// A configuration, and what it was made from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What the program sees.
    pub config: Config,
    /// All that was read for it, absolute: files, and the folders in which files were looked for. When one of them changes,
    /// loading again may give something else. Empty for the demonstration.
    pub files: Vec<PathBuf>,
    /// What may be used by its name: what is built in, of `.launch` files, and of `templates:`.
    pub templates: Vec<KnownTemplate>,
    /// What the files say as one, before variables of the environment and sets.
    pub(super) tree: Value,
    /// As they were read: the files may be others by now.
    pub(super) places: SourceMap,
    /// Where new entries go that the first file does not take, whether it exists or not.
    pub(super) managed: Option<PathBuf>,
}

/// Reads and checks a configuration, with the `VOYANDZ__…` variables of the environment. Relative paths count from the
/// folder of the file that names them, and a `file:` that is a named pipe now becomes [`Source::Pipe`].
///
/// # Errors
/// When a file cannot be read, or something has errors.
pub fn load(origin: &Origin) -> Result<Loaded, LoadError> {
    load_with(origin, &Replaced::new())
}

/// Like [`load`](load()), with other texts in place of what these files have.
///
/// # Errors
/// When a file cannot be read, or something has errors.
pub fn load_with(origin: &Origin, replaced: &Replaced) -> Result<Loaded, LoadError> {
    let (loaded, faults) = examine_with(origin, replaced, std::env::vars_os())?;
    if faults.is_empty() { Ok(loaded) } else { Err(faults.into()) }
}

/// Like [`load`](load()), but gives what is good of a configuration beside its errors, so that more of them can be found.
///
/// # Errors
/// When a file cannot be read, or is no YAML.
pub fn examine(origin: &Origin) -> Result<(Loaded, Diagnostics), LoadError> {
    examine_with(origin, &Replaced::new(), std::env::vars_os())
}

fn examine_with(
    origin: &Origin,
    replaced: &Replaced,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<(Loaded, Diagnostics), LoadError> {
    let mut reading = match origin {
        Origin::File(path) => {
            let text = replaced.get(path).map_or_else(|| read(path), |text| Ok(text.clone()))?;
            Reading::of(&path.display().to_string(), Some(path), &text, replaced, environment)?
        }
        Origin::Demo => Reading::of("demo.yaml", None, DEMO, replaced, environment)?,
    };
    let tree = std::mem::take(&mut reading.tree);
    let said = tree.clone();
    if !reading.broken.is_empty() {
        // What the others lack may well be in there.
        let found = reading.checker.findings.into_diagnostics(&reading.checker.places);
        return Err(Diagnostics { faults: reading.broken }.and(found).into());
    }
    let mut config = reading.checker.file(tree, &reading.overrides);
    let resolve = |keys: &[&str], path: &Path| {
        let keys = keys.iter().fold(diagnostics::Path::default(), |path, key| path.key(key));
        let (owner, ..) = reading.checker.places.source(&keys);
        reading.resolve(&owner, path)
    };
    if let Some(logdir) = &mut config.logdir {
        *logdir = resolve(&["logdir"], logdir)?;
    }
    if let Some(statedir) = &mut config.statedir {
        *statedir = resolve(&["statedir"], statedir)?;
    }
    if let Some(files) = &mut config.files {
        *files = resolve(&["files"], files)?;
    }
    if let Some(file) = &mut config.api.file {
        *file = resolve(&["api", "file"], file)?;
    }
    if let ControlPlace::Path(path) = &mut config.api.socket {
        *path = resolve(&["api", "socket"], path)?;
    }
    if let Some(KeySource::File(path)) = config.auth.jwt.as_mut().map(|jwt| &mut jwt.keys) {
        *path = resolve(&["auth", "jwt", "keys"], path)?;
    }
    if let Some(clients) = config.tls.as_mut().and_then(|tls| tls.clients.as_mut()) {
        *clients = resolve(&["tls", "clients"], clients)?;
    }
    match config.tls.as_mut().map(|tls| &mut tls.certificate) {
        Some(CertificateSource::Files { certificate, key }) => {
            *certificate = resolve(&["tls", "certificate"], certificate)?;
            *key = resolve(&["tls", "key"], key)?;
        }
        Some(CertificateSource::Own { folder, .. }) => *folder = resolve(&["tls", "own"], folder)?,
        Some(CertificateSource::Acme(acme)) => {
            if let Some(authority) = &mut acme.authority {
                *authority = resolve(&["tls", "acme", "authority"], authority)?;
            }
        }
        None => {}
    }
    for feed in &mut config.feeds {
        let Source::File { path, .. } = &mut feed.source else { continue };
        let resolved = resolve(&["feeds", feed.name.as_str(), "file"], path)?;
        if fs::metadata(&resolved).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            feed.source = Source::Pipe(resolved);
        } else {
            *path = resolved;
        }
    }
    for stream in &mut config.streams {
        if let Some(Placeholder::Picture(path)) = &mut stream.placeholder {
            *path = resolve(&["streams", stream.name.as_str(), "placeholder"], path)?;
        }
        let services = stream.push_service.iter_mut().filter_map(|service| service.ca.as_mut());
        for ca in stream.pushes.iter_mut().filter_map(|push| push.ca.as_mut()).chain(services) {
            *ca = resolve(&["streams", stream.name.as_str(), "push"], ca)?;
        }
        if let Some(recording) = &mut stream.recording {
            let keys = ["streams", stream.name.as_str(), "record", "folder"];
            recording.folder = resolve(&keys, &recording.folder)?;
        }
    }
    let Reading { checker: Validator { places, mut findings, library, .. }, files, managed, .. } = reading;
    let source = |name: &FeedName| Some(&config.feeds.iter().find(|feed| feed.name == *name)?.source);
    for stream in config.streams.iter().filter(|stream| stream.placeholder.is_some()) {
        let Some(feed) = passed_on(stream, source) else { continue };
        let path = ["streams", stream.name.as_str(), "placeholder"];
        let path = path.iter().fold(diagnostics::Path::default(), |path, key| path.key(key));
        let (owner, path, instance) = places.source(&path);
        let message = format!("the bytes of feed `{feed}` are passthrough: give the stream `video` or `audio`");
        findings.note(owner, &path, Place::Key, message, instance.as_deref());
    }
    for feed in config.feeds.iter().filter(|feed| feed.fps.is_some() && matches!(feed.source, Source::Pipe(_))) {
        let path =
            ["feeds", feed.name.as_str(), "fps"].iter().fold(diagnostics::Path::default(), |path, key| path.key(key));
        let (owner, path, instance) = places.source(&path);
        findings.note(owner, &path, Place::Key, NO_FPS.to_owned(), instance.as_deref());
    }
    let faults = findings.into_diagnostics(&places);
    Ok((Loaded { config, files, templates: library.known(), tree: said, places, managed }, faults))
}

impl Loaded {
    /// Errors that were found after the files were read, for example by GStreamer, each with the path of its value in the
    /// [`Config`]. A value that no file has, because it was derived, has the place of what is around it, or of what it was
    /// made from.
    pub fn late_faults(&self, found: impl IntoIterator<Item = (Vec<String>, String)>) -> Diagnostics {
        let mut findings = Findings::default();
        for (keys, message) in found {
            let path = keys.iter().fold(diagnostics::Path::default(), |path, key| path.key(key));
            let (owner, path, instance) = self.places.source(&path);
            findings.note(owner, &path, Place::Value, message, instance.as_deref());
        }
        findings.into_diagnostics(&self.places)
    }

    /// Programs of commands that this machine lacks. They may come yet.
    pub fn missing_programs(&self) -> Diagnostics {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let feeds = self.config.feeds.iter().filter_map(|feed| match &feed.source {
            Source::Command(words) => Some(("feeds", feed.name.as_str(), words)),
            _ => None,
        });
        let streams = self.config.streams.iter().filter_map(|stream| match &stream.encoding {
            Encoding::Command(words) => Some(("streams", stream.name.as_str(), words)),
            _ => None,
        });
        let missing = feeds.chain(streams).filter_map(|(section, name, words)| {
            Some(([section, name, "command"].map(str::to_owned).to_vec(), no_program(words, &search)?))
        });
        self.late_faults(missing)
    }

    /// Files of feeds and of placeholders that are not there. They may come yet.
    pub fn missing_files(&self) -> Diagnostics {
        let pictures = self.config.streams.iter().filter_map(|stream| match &stream.placeholder {
            Some(Placeholder::Picture(path)) if is_missing(path) => {
                let keys = ["streams", stream.name.as_str(), "placeholder"].map(str::to_owned).to_vec();
                Some((keys, format!("there is no file {}", path.display())))
            }
            _ => None,
        });
        let missing = self.config.feeds.iter().filter_map(|feed| match &feed.source {
            Source::File { path, .. } if is_missing(path) => {
                let keys = ["feeds", feed.name.as_str(), "file"].map(str::to_owned).to_vec();
                Some((keys, format!("there is no file {}", path.display())))
            }
            _ => None,
        });
        self.late_faults(missing.chain(pictures))
    }

    /// Paths that a stream with several outputs implies, and that are those of another stream.
    pub fn hidden_outputs(&self) -> Diagnostics {
        let streams = &self.config.streams;
        let owner = |path: &StreamPath| streams.iter().find(|stream| stream.path == *path);
        let hidden = streams.iter().filter(|stream| stream.outputs.is_some()).flat_map(|stream| {
            let paths = stream.containers().into_iter().filter_map(|container| stream.output_path(container));
            paths.filter_map(move |path| {
                let other = owner(&path).filter(|other| other.name != stream.name)?;
                let message = format!("`{path}` is stream `{}`, not an output of `{}`", other.name, stream.name);
                Some((["streams", other.name.as_str()].map(str::to_owned).to_vec(), message))
            })
        });
        self.late_faults(hidden.collect::<Vec<_>>())
    }
}

/// Why a command cannot start; `None` when it can.
fn no_program(words: &[String], search: &OsStr) -> Option<String> {
    let program = words.first()?;
    let can_run =
        |path: &Path| fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
    if program.contains('/') {
        return (!can_run(Path::new(program))).then(|| format!("there is no program {program}"));
    }
    let is_found = std::env::split_paths(search).any(|folder| can_run(&folder.join(program)));
    (!is_found).then(|| {
        let remedy = programs::remedy(program).map_or_else(String::new, |remedy| format!(" ({remedy})"));
        format!("the program `{program}` is not on PATH{remedy}")
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        config::{Mode, parse, to_yaml},
        media::Container,
    };
    use rustix::fs::{CWD, FileType, Mode as Permissions, mknodat};
    use std::time::Duration;

    fn write(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = folder.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// What is said of a folder with these files, the first of which is loaded with these variables; without the folder.
    pub(in crate::config) fn said_of(files: &[(&str, &str)], variables: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let said = match examine_with(&Origin::File(folder.path().join(files[0].0)), &Replaced::new(), variables) {
            Ok((loaded, faults)) if faults.is_empty() => {
                let read = loaded.files.iter().map(|file| format!("# {}\n", file.display())).collect::<String>();
                read + &to_yaml(&loaded.config)
            }
            Ok((_, faults)) => faults.to_string(),
            Err(error) => error.to_string(),
        };
        said.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn files_are_read_as_editors_of_windows_save_them() {
        let windows = |text: &str| text.replace('\n', "\r\n");
        let plain = [
            ("main.yaml", "include: a.yaml\npipelines_dir: d\nlistenport: 1\n".to_owned()),
            ("a.yaml", "feeds:\n  a:\n    pipeline: {use: own}\n    restart: false\n".to_owned()),
            ("d/own.launch", "# needs: x\n# takes:\n# gives: x\nsomesrc\n".to_owned()),
        ];
        let said = |change: &dyn Fn(&str) -> String| {
            let files = plain.each_ref().map(|(name, text)| (*name, change(text)));
            said_of(&files.each_ref().map(|(name, text)| (*name, text.as_str())), &[])
        };
        let expect = said(&str::to_owned);
        assert!(expect.contains("pipeline: somesrc"), "{expect}");
        assert_eq!(said(&windows), expect);
        assert_eq!(said(&|text| format!("\u{feff}{}", windows(text))), expect);
        // An error has the place that an editor shows.
        assert_eq!(said_of(&[("a", "\u{feff}foo: 1")], &[]), "a:1:1: foo: unknown key");
    }

    #[test]
    fn the_file_of_the_command_line_wins_then_the_environment_then_etc() {
        let folder = tempfile::tempdir().unwrap();
        let some = "listenport: 8090\n";
        let [cli, env, ini, plain] = ["cli", "env", "ini", "plain"].map(|name| write(folder.path(), name, some));
        let yaml = write(folder.path(), "yaml", some);
        let missing = folder.path().join("missing");
        let check = |cli, env, defaults: &[&Path], expect: &Path| {
            assert_eq!(find_among(cli, env, defaults).unwrap(), Origin::File(expect.to_owned()));
        };
        check(Some(&cli), Some(&env), &[&ini, &plain], &cli);
        check(None, Some(&env), &[&ini, &plain], &env);
        check(None, Some(Path::new("")), &[&ini, &plain], &ini);
        check(None, None, &[&yaml, &ini, &plain], &yaml);
        check(None, None, &[&missing, &ini, &plain], &ini);
        check(None, None, &[&missing, &missing, &plain], &plain);
        let comments = write(folder.path(), "comments", "---\n# listenport: 8090\n\n  # more\n");
        check(None, None, &[&comments, &ini, &plain], &ini);
        check(None, None, &[&comments, &missing, &comments], &comments);
        check(None, None, &[&comments, &missing, &missing], &comments);
        assert_eq!(find_among(None, None, &[&missing, &missing]).unwrap(), Origin::Demo);
        assert!(matches!(find_among(Some(&missing), None, &[&ini]), Err(LoadError::Missing(path)) if path == missing));
        assert!(matches!(find_among(None, Some(&missing), &[&ini]), Err(LoadError::Missing(path)) if path == missing));
    }

    #[test]
    fn a_missing_file_is_named_and_is_no_fault_of_the_configuration() {
        let error = load(&Origin::File("/nowhere/voyandz.yaml".into())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "configuration file /nowhere/voyandz.yaml does not exist: name another one with -f FILE, or none for the \
             built-in demonstration"
        );
    }

    #[test]
    fn faults_carry_the_name_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = write(folder.path(), "voyandz.yaml", "listenport: high\nlistenadr: ::1\n");
        let error = load(&Origin::File(path.clone())).unwrap_err();
        let file = path.display();
        assert_eq!(
            error.to_string(),
            format!(
                "{file}:1:13: listenport: expected a port from 0 to 65535, found \"high\"\n\
                 {file}:2:1: listenadr: unknown key, did you mean `listenaddr`?"
            )
        );
    }

    #[test]
    fn what_is_no_configuration_is_refused_without_reading_it_all() {
        let folder = tempfile::tempdir().unwrap();
        let binary = write(folder.path(), "binary", b"feeds:\n  \xff\xfe");
        assert!(matches!(load(&Origin::File(binary)), Err(LoadError::NoText { line: 2, .. })));
        let huge = load(&Origin::File("/dev/zero".into())).unwrap_err();
        assert!(matches!(huge, LoadError::Huge(_)));
        let error = load(&Origin::File(folder.path().to_owned())).unwrap_err();
        assert!(matches!(error, LoadError::Read { .. }));
    }

    #[test]
    fn bytes_that_are_passed_on_have_no_placeholder() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Permissions::RUSR | Permissions::WUSR, 0).unwrap();
        let text = "
            feeds: {a: {file: pipe}, b: {command: ffmpeg -i x -f mpegts -}, c: {file: c.ts}}
            streams:
              a.ts: {feed: a, placeholder: true}
              b.ts: {feed: b, placeholder: true}
              b.mkv: {feed: b, placeholder: true}
              c.ts: {feed: c, placeholder: c.png}
              d.ts: {feed: a, video: {codec: h264}, placeholder: false}";
        let origin = Origin::File(write(folder.path(), "voyandz.yaml", text));
        let error = load(&origin).unwrap_err().to_string();
        let faults: Vec<_> = error.lines().map(|line| line.split_once("yaml:").unwrap().1).collect();
        let of = |feed| format!("the bytes of feed `{feed}` are passthrough: give the stream `video` or `audio`");
        assert_eq!(
            faults,
            [
                format!("4:31: streams.a.ts.placeholder: {}", of("a")),
                format!("5:31: streams.b.ts.placeholder: {}", of("b"))
            ]
        );
        let text =
            text.replace("a.ts: {feed: a, placeholder: true}", "").replace("b.ts: {feed: b, placeholder: true}", "");
        let loaded = load(&Origin::File(write(folder.path(), "voyandz.yaml", &text))).unwrap();
        let shown: Vec<_> = loaded.config.streams.iter().map(|stream| stream.placeholder.clone()).collect();
        let picture = folder.path().join("c.png");
        let said = loaded.missing_files().to_string();
        assert!(said.contains("placeholder: there is no file") && said.contains("c.png"), "{said}");
        assert_eq!(shown, [Some(Placeholder::Reason), Some(Placeholder::Picture(picture)), None]);
    }

    #[test]
    fn relative_paths_count_from_the_folder_of_the_file_and_a_fifo_is_a_pipe() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Permissions::RUSR | Permissions::WUSR, 0).unwrap();
        let text = "logdir: log\nfeeds: {a: {file: pipe}, b: {file: sub/b.ts, loop: true}, c: {file: /c.ts}}";
        let origin = Origin::File(write(folder.path(), "voyandz.yaml", text));
        let config = load(&origin).unwrap().config;
        assert_eq!(config.logdir, Some(folder.path().join("log")));
        let sources: Vec<_> = config.feeds.iter().map(|feed| feed.source.clone()).collect();
        assert_eq!(
            sources,
            [
                Source::Pipe(pipe),
                Source::File { path: folder.path().join("sub/b.ts"), looped: true },
                Source::File { path: "/c.ts".into(), looped: false },
            ]
        );
        let printed = Origin::File(write(Path::new(folder.path()), "printed.yaml", to_yaml(&config)));
        assert_eq!(load(&printed).unwrap().config, config);
        // What is written into a pipe comes in its own time.
        let file = write(folder.path(), "rate.yaml", "feeds: {a: {file: pipe, fps: 10}, b: {file: b.mjpeg, fps: 10}}");
        let (_, faults) = examine(&Origin::File(file)).unwrap();
        let said = faults.to_string();
        assert!(faults.faults.len() == 1 && said.contains("feeds.a.fps") && said.contains(NO_FPS), "{said}");
    }

    #[test]
    fn folders_add_templates_and_their_faults_have_a_place() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("mine")).unwrap();
        let file = write(folder.path(), "mine/dvb.launch", "# needs: x\n# takes: n=1\n# gives: x\ndvbsrc n={n}\n");
        write(folder.path(), "mine/README", "no template");
        let text = "pipelines_dir:\n  - mine\nfeeds: {a: {pipeline: {use: dvb, n: 2}}}";
        let origin = Origin::File(write(folder.path(), "voyandz.yaml", text));
        let loaded = load(&origin).unwrap();
        assert_eq!(loaded.config.feeds[0].source, Source::Pipeline("dvbsrc n=2".into()));
        assert_eq!(loaded.files, [folder.path().join("voyandz.yaml"), folder.path().join("mine"), file.clone()]);

        fs::write(&file, "dvbsrc n={n}").unwrap();
        let error = load(&origin).unwrap_err().to_string();
        let wanted =
            format!(":2:5: pipelines_dir[0]: {}:1: expected a line `# needs: ...` in the head", file.display());
        assert!(error.contains(&wanted), "{error}");

        fs::remove_dir_all(folder.path().join("mine")).unwrap();
        let error = load(&origin).unwrap_err().to_string();
        assert!(error.contains(":2:5: pipelines_dir[0]: cannot read folder "), "{error}");
    }

    #[test]
    fn outputs_that_another_stream_hides_are_warnings() {
        let folder = tempfile::tempdir().unwrap();
        let text =
            "feeds: {a: {command: sh}}\nstreams:\n  cam: {feed: a}\n  cam.ts: {feed: a}\n  x: {feed: a, url: /y}\n";
        let path = write(folder.path(), "voyandz.yaml", text);
        let warnings = load(&Origin::File(path.clone())).unwrap().hidden_outputs().as_warnings().to_string();
        let expect = "4:11: streams.cam.ts: warning: `/cam.ts` is stream `cam.ts`, not an output of `cam`";
        assert_eq!(warnings, format!("{}:{expect}", path.display()));
    }

    #[test]
    fn programs_and_files_that_are_missing_are_warnings_with_a_place() {
        let folder = tempfile::tempdir().unwrap();
        let text = "\
feeds:
  a: {command: [no-such-program-here, x]}
  b: {file: nothing.ts}
  c: {command: sh -c true}
sets:
  s: {for: [1, 2], streams: {'x{name}': {command: '/no/such/program {name}'}}}
";
        let path = write(folder.path(), "voyandz.yaml", text);
        let origin = Origin::File(path.clone());
        let loaded = load(&origin).unwrap();
        // What is said is of the text that was read.
        fs::write(&path, "feeds: {}").unwrap();
        let warnings = loaded.missing_programs().and(loaded.missing_files()).as_warnings().to_string();
        let file = path.display();
        assert_eq!(
            warnings,
            format!(
                "\
{file}:2:16: feeds.a.command: warning: the program `no-such-program-here` is not on PATH
{file}:3:13: feeds.b.file: warning: there is no file {}/nothing.ts
{file}:6:51: sets.s.streams.x{{name}}.command: warning: there is no program /no/such/program (of 1, 2)",
                folder.path().display()
            )
        );
        assert!(load(&Origin::Demo).unwrap().missing_programs().is_empty());
    }

    #[test]
    fn the_demonstration_serves_three_containers() {
        let Loaded { config, files, .. } = load(&Origin::Demo).unwrap();
        assert!(files.is_empty());
        let containers: Vec<_> = config.streams.iter().map(|stream| stream.container).collect();
        assert_eq!(containers, [Container::Ts, Container::Webm, Container::Mjpeg]);
        assert!(config.streams.iter().all(|stream| matches!(stream.encoding, Encoding::Pipeline(_))));
        assert!(DEMO.is_ascii());
    }

    #[test]
    fn every_shipped_file_loads_and_survives_being_printed() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
        let mut files = 0;
        for folder in [root.clone(), root.join("examples")] {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|extension| extension != "yaml") {
                    continue;
                }
                let config = load(&Origin::File(path)).unwrap_or_else(|error| panic!("{error}")).config;
                assert_eq!(parse(&to_yaml(&config)), Ok(config));
                files += 1;
            }
        }
        assert!(files >= 13);
    }

    #[test]
    fn the_commented_file_shows_every_key() {
        let origin = Origin::File(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/voyandz.yaml"));
        let config = load(&origin).unwrap().config;
        assert_eq!(config.feeds[0].mode, Mode::OnDemand { linger: Duration::from_secs(10) });
        assert_eq!(config.streams[1].path.as_str(), "/studio/camera 0.ts");
    }
}
