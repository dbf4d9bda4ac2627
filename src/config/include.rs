//! Reads the files of a configuration: the first one, those that it includes, and the templates in the folders that
//! they name.

use super::{
    diagnostics::{self, Diagnostic},
    expected::path_name,
    files::{LoadError, Replaced, read, resolve},
    merge::{Document, Listed},
    overrides::Override,
    source_map::Owner,
    spans::Place,
    template_store::{TemplateStore, launch_file},
    validator::Validator,
};
use serde_yaml::Value;
use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    fs, io,
    path::{self, Path, PathBuf},
};

/// Most files of one configuration. More of them are not maintained by hand.
const MAX_FILES: usize = 256;
/// In the folder of the state: what the API makes where the first file cannot be written.
const MANAGED: &str = "managed.yaml";
/// Most files that include each other, one inside the other.
const MAX_DEPTH: usize = 8;
/// Most bytes of all files together.
const MAX_BYTES: usize = 4 << 20;

/// All that was read.
pub(super) struct Reading {
    /// With what is wrong so far.
    pub(super) checker: Validator,
    /// The files as one.
    pub(super) tree: Value,
    /// What the environment says.
    pub(super) overrides: Vec<Override>,
    /// Files that are no YAML: of the others nothing more can be said.
    pub(super) broken: Vec<Diagnostic>,
    /// What was read, and the folders in which files were looked for.
    pub(super) files: Vec<PathBuf>,
    /// The folder of each file.
    folders: Vec<PathBuf>,
    /// The files, by the names that the system has for them.
    known: HashSet<PathBuf>,
    /// What to read in place of files.
    replaced: Replaced,
    bytes_left: usize,
    /// The file of what the API makes, whether it exists or not.
    pub(super) managed: Option<PathBuf>,
}

impl Reading {
    /// Reads all that a first file leads to. A text that is built in has no `path`.
    ///
    /// # Errors
    /// When the working directory is not known.
    pub(super) fn of(
        name: &str,
        path: Option<&Path>,
        text: &str,
        replaced: &Replaced,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Self, LoadError> {
        let mut checker = Validator::new(TemplateStore::built_in());
        let environment: Vec<_> = environment.into_iter().collect();
        let state = environment.iter().find(|(name, _)| name == "STATE_DIRECTORY").map(|(_, folders)| folders.clone());
        let overrides = checker.variables(environment);
        let mut reading = Self {
            checker,
            tree: Value::Null,
            overrides,
            broken: Vec::new(),
            files: Vec::new(),
            folders: Vec::new(),
            known: HashSet::new(),
            replaced: replaced.clone(),
            bytes_left: MAX_BYTES.saturating_sub(text.len()),
            managed: None,
        };
        if let Some(path) = path {
            reading.files.push(resolve(Path::new(""), path)?);
            reading.known.extend(fs::canonicalize(path));
        }
        let folder = path.and_then(Path::parent).unwrap_or(Path::new(""));
        reading.add(name, folder, text, 0);
        if path.is_some() {
            reading.add_managed(state.as_deref());
        }
        Ok(reading)
    }

    /// A relative path that someone has written, made absolute.
    ///
    /// # Errors
    /// When the working directory is not known.
    pub(super) fn resolve(&self, owner: &Owner, path: &Path) -> Result<PathBuf, LoadError> {
        resolve(self.folder(owner), path)
    }

    /// The folder that relative paths count from: that of the file, for variables that of the first file.
    fn folder(&self, owner: &Owner) -> &Path {
        let order = match owner {
            Owner::File(order) => *order,
            Owner::Variable(_) => 0,
        };
        self.folders.get(order).map_or(Path::new(""), PathBuf::as_path)
    }

    fn add(&mut self, name: &str, folder: &Path, text: &str, depth: usize) {
        self.folders.push(folder.to_owned());
        let overrides: &[Override] = if depth == 0 { &self.overrides } else { &[] };
        let Document { owner, tree, include, folders } = match self.checker.document(name, text, overrides) {
            Ok(document) => document,
            Err(fault) => return self.broken.push(fault),
        };
        if depth == 0 {
            self.tree = tree;
        } else {
            self.checker.merge(&mut self.tree, &owner, tree);
        }
        for listed in &folders {
            if let Err(message) = self.templates(listed) {
                self.note(listed, message);
            }
        }
        for listed in &include {
            let files = self.found(listed).unwrap_or_else(|message| {
                self.note(listed, message);
                Vec::new()
            });
            for file in files {
                if self.checker.is_full() {
                    return;
                }
                match self.accept(&file, depth + 1) {
                    Ok(text) => {
                        let folder = file.parent().unwrap_or(Path::new(""));
                        self.add(&file.display().to_string(), folder, &text, depth + 1);
                    }
                    Err(message) => self.note(listed, message),
                }
            }
        }
    }

    /// Adds the file of what the API makes: `api.file`, else `managed.yaml` in the folder of the state. It may not be there yet.
    fn add_managed(&mut self, state: Option<&OsStr>) {
        let told = |keys: [&str; 2]| {
            let value = keys.iter().filter(|key| !key.is_empty()).try_fold(&self.tree, |value, key| value.get(*key))?;
            let path =
                keys.iter().filter(|key| !key.is_empty()).fold(diagnostics::Path::default(), |path, key| path.key(key));
            Some(self.folder(&self.checker.places.owner(&path)).join(path_name(value.as_str()?).ok()?))
        };
        let folder = told(["statedir", ""])
            .or_else(|| std::env::split_paths(state?).next().filter(|folder| folder.is_absolute()));
        let Some(file) = told(["api", "file"]).or_else(|| Some(folder?.join(MANAGED))) else { return };
        let text = if file.is_file() { self.accept(&file, 1).ok() } else { self.replaced.get(&file).cloned() };
        if let Some(text) = text {
            let folder = file.parent().unwrap_or(Path::new("")).to_owned();
            self.add(&file.display().to_string(), &folder, &text, 1);
        }
        // One that appears is a change.
        self.files.extend(path::absolute(&file).ok().filter(|file| !self.files.contains(file)));
        self.managed = Some(file);
    }

    /// The text of a file that another one names, or why it cannot be included.
    fn accept(&mut self, file: &Path, depth: usize) -> Result<String, String> {
        let name = file.display();
        if depth > MAX_DEPTH {
            return Err(format!("{name} would be included {depth} files deep: at most {MAX_DEPTH} are good"));
        }
        if self.known.len() >= MAX_FILES {
            return Err(format!("{name} would make it more than {MAX_FILES} files"));
        }
        let cannot = |error: io::Error| format!("cannot read {name}: {error}");
        if !self.known.insert(fs::canonicalize(file).map_err(cannot)?) {
            return Err(format!("{name} is a part of this configuration already: include each file once"));
        }
        // Opening a named pipe would wait for its writer.
        if !fs::metadata(file).map_err(cannot)?.is_file() {
            return Err(format!("{name} is no regular file"));
        }
        self.files.push(path::absolute(file).map_err(cannot)?);
        let text = self.replaced.get(file).map_or_else(|| read(file), |text| Ok(text.clone()));
        let text = text.map_err(|error| with_cause(&error))?;
        let left = self.bytes_left.checked_sub(text.len());
        self.bytes_left =
            left.ok_or_else(|| format!("{name} makes the configuration bigger than {} MiB", MAX_BYTES >> 20))?;
        Ok(text)
    }

    /// The files that a path stands for: itself, or all that fit it where its last part has a `*`.
    fn found(&mut self, listed: &Listed) -> Result<Vec<PathBuf>, String> {
        let path = self.folder(&listed.owner).join(&listed.named);
        let (Some(pattern), Some(folder)) = (path.file_name().and_then(OsStr::to_str), path.parent()) else {
            return Err(format!("{} is no file", path.display()));
        };
        if listed.named.parent().and_then(Path::to_str).is_some_and(|folder| folder.contains('*')) {
            return Err("`*` can stand in the last part of a path only".to_owned());
        }
        if !pattern.contains('*') {
            return Ok(vec![path]);
        }
        let mut files = self.entries(folder)?;
        files.retain(|file| file.file_name().and_then(OsStr::to_str).is_some_and(|name| fits(pattern, name)));
        Ok(files)
    }

    /// Adds the templates of a folder.
    fn templates(&mut self, listed: &Listed) -> Result<(), String> {
        let folder = self.folder(&listed.owner).join(&listed.named);
        for file in
            self.entries(&folder)?.into_iter().filter(|file| file.extension().is_some_and(|end| end == "launch"))
        {
            let Some(name) = file.file_stem().and_then(OsStr::to_str) else { continue };
            self.files.extend(path::absolute(&file));
            match read(&file).map(|text| launch_file(&text)) {
                Ok(Ok(template)) => self.checker.library.add(name, template),
                Ok(Err((line, message))) => self.note(listed, format!("{}:{line}: {message}", file.display())),
                Err(error) => self.note(listed, with_cause(&error)),
            }
        }
        Ok(())
    }

    /// What is in a folder, by name: what a clash of names means must not depend on the file system.
    fn entries(&mut self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        // One that is not there yet may come.
        self.files.extend(path::absolute(folder));
        // That of `*.yaml` has no name.
        let name = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let entries = fs::read_dir(name).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let entries = entries.map_err(|error| format!("cannot read folder {}: {error}", name.display()))?;
        let mut files: Vec<_> = entries.iter().map(|entry| folder.join(entry.file_name())).collect();
        files.sort();
        Ok(files)
    }

    fn note(&mut self, listed: &Listed, message: String) {
        self.checker.note_of(&listed.owner, &listed.path, Place::Value, message);
    }
}

/// Why a file cannot be read, on one line.
fn with_cause(error: &LoadError) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

/// Whether a name fits a pattern, in which `*` stands for any text. Hidden files do not fit unless they are meant.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    for part in middle.split('*') {
        let Some((_, behind)) = name.split_once(part) else { return false };
        name = behind;
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::{super::load::tests::said_of, *};

    #[test]
    fn patterns() {
        let check =
            |pattern: &str, name: &str, expect: bool| assert_eq!(fits(pattern, name), expect, "{pattern} {name}");
        check("*.yaml", "a.yaml", true);
        check("*.yaml", ".yaml", false);
        check("*.yaml", "a.yaml~", false);
        check(".*", ".a", true);
        check("a*b*c", "abc", true);
        check("a*b*c", "a1b2b3c", true);
        check("a*b*c", "acb", false);
        check("a*a", "a", false);
        check("**", "x", true);
        check("x", "y", false);
    }

    #[test]
    fn files_become_one() {
        let said = said_of(
            &[
                ("main.yaml", "include: [sub/a.yaml, 'conf.d/*.yaml']\npages: {home: false}\nfeeds: {m: {file: m.ts}}"),
                ("sub/a.yaml", "logdir: log\ninclude: ../b.yaml\npipelines_dir: mine\nfeeds: {a: {file: a.ts}}"),
                ("b.yaml", "feeds: {b: {pipeline: {use: own}}}\nstreams: {m.ts: {feed: m}}"),
                ("sub/mine/own.launch", "# needs: x\n# takes:\n# gives: x\nsomesrc\n"),
                ("conf.d/2.yaml", "sets: {s: {for: [x], feeds: {'{name}': {file: '{name}.ts'}}}}"),
                ("conf.d/1.yaml", "feeds:\nlistenport: 1"),
                ("conf.d/3.yaml~", "feeds: ["),
            ],
            &[],
        );
        let expect = "\
# main.yaml
# sub/a.yaml
# sub/mine
# sub/mine/own.launch
# sub/../b.yaml
# conf.d
# conf.d/1.yaml
# conf.d/2.yaml
listenaddr: 127.0.0.1
listenport: 1
logdir: sub/log
pages:
  home: false
  stat: true
  stat_json: true
  config: false
  metrics: true
  events: true
  clients: false
feeds:
  m:
    file: m.ts
    mode: on-demand
  a:
    file: sub/a.ts
    mode: on-demand
  b:
    pipeline: somesrc
    mode: on-demand
  x:
    file: conf.d/x.ts
    mode: on-demand
streams:
  m.ts:
    feed: m
    url: /m.ts
    container: ts
    mimetype: video/mp2t
";
        assert_eq!(said, expect);
    }

    #[test]
    fn faults_of_included_files_are_in_them() {
        let said = said_of(
            &[
                ("main.yaml", "include:\n  - a.yaml\n  - b.yaml\nlistenport: 1\nfeeds:\n  m: {command: cat}\n"),
                ("a.yaml", "feeds:\n  a: {mode: soon, command: cat}\n  m: {command: cat}\nlistenport: 2\nfoo: 1\n"),
                ("b.yaml", "sets: {s: {for: [x], streams: {'{name}': {feed: n}}}}\npages: []\na: 1\na: 2\n"),
            ],
            &[],
        );
        let expect = "\
a.yaml:2:13: feeds.a.mode: expected \"on-demand\", \"continuous\" or seconds, found \"soon\"
a.yaml:3:3: feeds.m: is given at main.yaml:6:3 already, keep one
a.yaml:4:1: listenport: is given at main.yaml:4:1 already, keep one
a.yaml:5:1: foo: unknown key
b.yaml:1:49: sets.s.streams.{name}.feed: expected the name of a feed, found \"n\", did you mean `a`? (of x)
b.yaml:2:1: pages: expected keys like `home:`, `stat:`, `stat_json:`, `config:`, `metrics:`, `events:`, `clients:`, found a list
b.yaml:3:1: a: unknown key
b.yaml:4:1: a: appears a second time, keep one";
        assert_eq!(said, expect);
    }

    #[test]
    fn a_flood_of_names_given_twice_is_cut() {
        let feeds: String = (0..20_000).map(|index| format!("  f{index}: {{command: a}}\n")).collect();
        let feeds = format!("feeds:\n{feeds}");
        let said = said_of(&[("main", &format!("include: a\n{feeds}")), ("a", &feeds)], &[]);
        assert_eq!(said.lines().count(), 50);
    }

    #[test]
    fn what_cannot_be_included_is_a_fault() {
        let check = |text: &str, others: &[(&str, &str)], expect: &str| {
            let files: Vec<_> = [("main.yaml", text)].into_iter().chain(others.iter().copied()).collect();
            assert_eq!(said_of(&files, &[]), expect, "of\n{text}");
        };
        check(
            "include: main.yaml",
            &[],
            "main.yaml:1:10: include: main.yaml is a part of this configuration already: include each file once",
        );
        check(
            "include: a.yaml",
            &[("a.yaml", "include: [main.yaml]")],
            "a.yaml:1:11: include[0]: main.yaml is a part of this configuration already: include each file once",
        );
        check(
            "include: [x.yaml]",
            &[],
            "main.yaml:1:11: include[0]: cannot read x.yaml: No such file or directory (os error 2)",
        );
        check("include: conf", &[("conf/a", "")], "main.yaml:1:10: include: conf is no regular file");
        check(
            "include: none/*",
            &[],
            "main.yaml:1:10: include: cannot read folder none: No such file or directory (os error 2)",
        );
        check("include: '*/a'", &[], "main.yaml:1:10: include: `*` can stand in the last part of a path only");
        check("include: ..", &[], "main.yaml:1:10: include: .. is no file");
        check("include: {a: b}", &[], "main.yaml:1:1: include: expected a path or a list of paths, found a map");
        check("include: [[a]]", &[], "main.yaml:1:11: include[0]: expected a single value, found a list");
        check("include: ''", &[], "main.yaml:1:10: include: expected the path of a file, found \"\"");
        check(
            "include: a.yaml\nfoo: 1",
            &[("a.yaml", "x: [")],
            "a.yaml:2:1: did not find expected node content, while parsing a flow node",
        );
        check(
            "include: a.yaml",
            &[("a.yaml", "- x")],
            &format!(
                "a.yaml:1:1: expected keys like `{}:`, found a list",
                super::super::raw::keys::<super::super::raw::File>().join(":`, `")
            ),
        );
        check("include: a.yaml", &[("a.yaml", "feeds: \u{1}")], "a.yaml:1:8: control characters are not allowed");

        let chain: Vec<_> = (0..9).map(|depth| (format!("{depth}"), format!("include: {}", depth + 1))).collect();
        let mut files: Vec<_> = chain.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        files.push(("9", ""));
        assert_eq!(said_of(&files, &[]), "8:1:10: include: 9 would be included 9 files deep: at most 8 are good");

        let many: Vec<_> = (0..256).map(|index| format!("d/{index:03}")).collect();
        let files: Vec<_> =
            [("main", "include: d/*")].into_iter().chain(many.iter().map(|name| (name.as_str(), ""))).collect();
        assert_eq!(said_of(&files, &[]), "main:1:10: include: d/255 would make it more than 256 files");

        let big = format!("#{}", "x".repeat(1_000_000));
        let many: Vec<_> = (0..5).map(|index| format!("d/{index}")).collect();
        let files: Vec<_> = [("main", "include: d/*")]
            .into_iter()
            .chain(many.iter().map(|name| (name.as_str(), big.as_str())))
            .collect();
        assert_eq!(said_of(&files, &[]), "main:1:10: include: d/4 makes the configuration bigger than 4 MiB");
    }
}
