//! Which files a change of the configuration changes, and what it takes to be permitted.

use super::{
    diagnostics::Path,
    edit::{self, Edit, EditError},
    load::{Loaded, Origin},
    source_map::Owner,
};
use serde_yaml::Value;
use std::{fmt::Display, net::IpAddr, path::PathBuf};

/// A file with another text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedFile {
    /// As the configuration names it.
    pub path: PathBuf,
    /// What was read.
    pub before: String,
    /// What it is to have.
    pub after: String,
}

/// Why a change cannot be made.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ChangeError {
    /// A variable of the environment says it.
    #[error("`{path}` is set by the variable {variable} of the environment: change it there")]
    OwnedByVariable {
        /// Which value.
        path: String,
        /// Its name.
        variable: String,
    },
    /// A set has made it.
    #[error("`{path}` is made by a set: change `{set}`")]
    MadeBySet {
        /// Which entry.
        path: String,
        /// What it is made from.
        set: String,
    },
    /// The file that has it is read-only.
    #[error("`{path}` is in {file}, which cannot be written: change it there")]
    NotWritable {
        /// Which value.
        path: String,
        /// Which file.
        file: String,
    },
    /// There is no file.
    #[error("the built-in demonstration cannot be changed: start the server with a configuration file")]
    BuiltIn,
    /// The text does not allow it.
    #[error("{file}: {source}")]
    Edit {
        /// Which file.
        file: String,
        /// Why.
        source: EditError,
    },
}

/// Begins a file that the API makes.
const HEAD: &str = "# Made by the API of voyandz. It may be edited like any other file of the configuration.\n";
/// Sections of which several files may have entries.
const MERGED: [&str; 5] = ["feeds", "streams", "templates", "sets", "hooks"];

/// Keys of feeds that run nothing of the caller's choice.
const SAFE_OF_FEEDS: [&str; 8] = ["title", "labels", "url", "mode", "restart", "no-resurrect", "loop", "publish"];
/// Templates that run nothing of the caller's choice.
const SAFE_TEMPLATES: [&str; 5] = ["v4l2", "v4l2-mjpeg", "alsa", "test-picture", "test-tone"];
/// The same of streams.
const SAFE_OF_STREAMS: [&str; 18] = [
    "title",
    "labels",
    "feed",
    "feeds",
    "url",
    "type",
    "client",
    "container",
    "outputs",
    "mimetype",
    "video",
    "audio",
    "repair",
    "renditions",
    "overlay",
    "throughput",
    "hls",
    "record",
];

impl ChangedFile {
    /// What of the difference has files read that the text names: `include`, `pipelines_dir`.
    pub fn reads_more(&self) -> Option<&'static str> {
        let [before, after] = [&self.before, &self.after]
            .map(|text| super::yaml::parse(text).map(|parsed| parsed.tree).unwrap_or_default());
        super::merge::OF_FILES.into_iter().find(|key| before.get(key) != after.get(key))
    }
}

impl Loaded {
    /// The files that these edits change, each checked to say then what the edits say and nothing else. `can_write` says whether a file
    /// can be written; new entries go to another one where the first cannot.
    ///
    /// # Errors
    /// When one of them cannot be made.
    pub fn plan(
        &self,
        origin: &Origin,
        edits: &[Edit],
        can_write: impl Fn(&std::path::Path) -> bool,
    ) -> Result<Vec<ChangedFile>, ChangeError> {
        if *origin == Origin::Demo {
            return Err(ChangeError::BuiltIn);
        }
        let mut files: Vec<(ChangedFile, Vec<Edit>)> = Vec::new();
        for edit in edits {
            let place = self.file_of(&edit.path, &can_write)?;
            let at = match files.iter().position(|(known, _)| known.path == place) {
                Some(at) => at,
                None => {
                    let known = self.texts().find(|(name, _)| place == std::path::Path::new(name));
                    let before = known.map_or("", |(_, text)| text).to_owned();
                    let after = if before.trim().is_empty() { HEAD.to_owned() } else { before.clone() };
                    files.push((ChangedFile { path: place, before, after }, Vec::new()));
                    files.len() - 1
                }
            };
            if let Some((_, edits)) = files.get_mut(at) {
                edits.push(edit.clone());
            }
        }
        for (file, edits) in &mut files {
            file.after = edit::edit(&file.after, edits)
                .map_err(|source| ChangeError::Edit { file: file.path.display().to_string(), source })?;
        }
        Ok(files.into_iter().map(|(file, _)| file).filter(|file| file.before != file.after).collect())
    }

    /// The files as they were read.
    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..).map_while(|order| self.places.text(order))
    }

    /// What the files say at a path, sets and variables left aside.
    pub fn said(&self, path: &[String]) -> Option<&Value> {
        edit::get(&self.tree, path)
    }

    /// The position of an entry as `file:line`, for people.
    pub fn place_of(&self, path: &[String]) -> String {
        let path = path.iter().fold(Path::default(), |path, key| path.key(key));
        let (owner, path, _) = self.places.source(&path);
        self.places.position(&owner, &path, super::spans::Place::Key).to_string()
    }

    /// What of a feed or stream was made by a set, the path of its text.
    pub fn made_by_set(&self, section: &str, name: &str) -> Option<String> {
        self.places.made_by(section, name).map(ToString::to_string)
    }

    fn file_of(&self, path: &[String], can_write: impl Fn(&std::path::Path) -> bool) -> Result<PathBuf, ChangeError> {
        if let [section, name, ..] = path
            && let Some(set) = self.made_by_set(section, name)
        {
            return Err(ChangeError::MadeBySet { path: path.join("."), set });
        }
        match self.places.owner(&path.iter().fold(Path::default(), |path, key| path.key(key))) {
            Owner::File(order) => {
                let (name, _) = self.places.text(order).ok_or(ChangeError::BuiltIn)?;
                let file = PathBuf::from(name);
                let is_new = match path {
                    [section, name, ..] => {
                        MERGED.contains(&&**section) && self.said(&[section.clone(), name.clone()]).is_none()
                    }
                    _ => false,
                };
                let is_writable = can_write(&file);
                match &self.managed {
                    Some(managed) if is_new && (self.config.api.file.is_some() || !is_writable) => Ok(managed.clone()),
                    _ if is_writable => Ok(file),
                    _ => Err(ChangeError::NotWritable { path: path.join("."), file: name.to_owned() }),
                }
            }
            Owner::Variable(variable) => {
                Err(ChangeError::OwnedByVariable { path: path.join("."), variable: variable.to_string() })
            }
        }
    }

    /// What of the difference to `before` may run a program or read a file of the caller's choice, the first such path. Decided on what
    /// the files say in the end, however it came in.
    pub fn needs_exec(&self, before: &Self) -> Option<String> {
        let empty = Value::Null;
        let (old, new) = (before.tree.as_mapping(), self.tree.as_mapping());
        for (section, value) in new.into_iter().flatten() {
            let known = old.and_then(|old| old.get(section)).unwrap_or(&empty);
            if known == value {
                continue;
            }
            let name = section.as_str().unwrap_or_default();
            let safe: &[&str] = match name {
                "feeds" => &SAFE_OF_FEEDS,
                "streams" => &SAFE_OF_STREAMS,
                _ => return Some(name.to_owned()),
            };
            for (entry, keys) in value.as_mapping().into_iter().flatten() {
                let known = known.get(entry).unwrap_or(&empty);
                let entry = entry.as_str().unwrap_or_default();
                let Some(keys) = keys.as_mapping().filter(|_| keys != known) else { continue };
                let is_risky = |(key, value): &(&Value, &Value)| {
                    let key = key.as_str().unwrap_or_default();
                    known.get(key) != Some(*value)
                        && !(safe.contains(&key) && !(name == "feeds" && key == "url" && !value.as_str().is_some_and(is_remote)))
                        && !(key == "pipeline" && is_safe_use(value))
                        // Whether there is one; what it shows is a file.
                        && !(key == "placeholder" && matches!(value.as_str(), Some("true" | "false")))
                };
                if let Some((key, _)) = keys.iter().find(is_risky) {
                    return Some(path_of(&[&name, &entry, &key.as_str().unwrap_or_default()]));
                }
            }
        }
        // A section that is gone takes rules with it; feeds and streams only themselves.
        let is_rule = |section: &&Value| !matches!(section.as_str(), Some("feeds" | "streams"));
        let gone = |section: &&Value| !new.is_some_and(|new| new.contains_key(*section));
        let mut sections = old.into_iter().flat_map(|old| old.keys());
        sections.find(|section| is_rule(section) && gone(section)).and_then(Value::as_str).map(str::to_owned)
    }
}

fn path_of(parts: &[&dyn Display]) -> String {
    parts.iter().map(ToString::to_string).collect::<Vec<_>>().join(".")
}

/// Whether a pipeline is a built-in template for a device or a test, with arguments that are no more than names and sizes.
fn is_safe_use(value: &Value) -> bool {
    let Some(entries) = value.as_mapping() else { return false };
    let is_safe = |(key, value): (&Value, &Value)| {
        let (Some(key), Some(value)) = (key.as_str(), value.as_str()) else { return false };
        let is_plain =
            value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | ',' | '.' | '_' | '-'));
        match key {
            "use" => SAFE_TEMPLATES.contains(&value),
            "device" => {
                let is_device =
                    ["/dev/video", "/dev/v4l/", "hw:", "plughw:"].iter().any(|start| value.starts_with(start));
                is_plain && !value.contains("..") && (is_device || value == "default")
            }
            "size" | "fps" | "rate" | "channels" | "pattern" => is_plain && !value.contains('/'),
            _ => false,
        }
    };
    entries.contains_key("use") && entries.iter().all(is_safe)
}

/// Whether a URL names another machine, as far as its text shows. Private networks are where cameras are.
pub fn is_remote(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(host) => host.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_own =
        host.is_empty() || host == "localhost" || host.ends_with(".localhost") || host == "metadata.google.internal";
    let is_address = host.parse::<IpAddr>().is_ok_and(|address| match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified() || address.is_multicast()
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unicast_link_local()
        }
    });
    // `0x7f000001`, `2130706433` and `127.1` are addresses to resolvers.
    let is_odd_number = host.parse::<IpAddr>().is_err()
        && host
            .rsplit('.')
            .next()
            .is_some_and(|last| last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit()));
    scheme != "file" && !is_own && !is_address && !is_odd_number
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Replaced, load_with};

    fn loaded(text: &str) -> Loaded {
        let origin = Origin::File("/config.yaml".into());
        load_with(&origin, &Replaced::from([("/config.yaml".into(), text.to_owned())])).unwrap()
    }

    const TEXT: &str = "feeds:\n  a: {command: cat x}\n  b: {url: 'rtsp://10.0.0.5/x'}\nstreams:\n  a.ts: {feed: a}\n";

    #[test]
    fn what_may_run_programs_is_known_by_the_difference() {
        let check = |text: &str, expect: Option<&str>| {
            let found = loaded(text).needs_exec(&loaded(TEXT));
            assert_eq!(found.as_deref(), expect, "{text}");
        };
        check(TEXT, None);
        let with = |old: &str, new: &str| TEXT.replace(old, new);
        check(&with("  a.ts", "  b.ts: {feed: b, video: {codec: h264}}\n  a.ts"), None);
        check(&with("10.0.0.5", "10.0.0.6"), None);
        check(&with("10.0.0.5", "192.168.1.1:554"), None);
        for own in [
            "127.0.0.1",
            "[::1]",
            "localhost:1",
            "u:p@127.9.9.9",
            "[::ffff:127.0.0.1]",
            "169.254.169.254",
            "0.0.0.0",
            "127.1",
            "0x7f000001",
        ] {
            check(&with("10.0.0.5", own), Some("feeds.b.url"));
        }
        check(&with("cat x", "cat y"), Some("feeds.a.command"));
        check(&with("{url: 'rtsp://10.0.0.5/x'}", "{pipeline: videotestsrc}"), Some("feeds.b.pipeline"));
        check(&with("{url: 'rtsp://10.0.0.5/x'}", "{file: /etc/passwd}"), Some("feeds.b.file"));
        let using = |text: &str| with("{url: 'rtsp://10.0.0.5/x'}", &format!("{{pipeline: {{{text}}}}}"));
        check(&using("use: v4l2, device: /dev/video0, size: 1280x720"), None);
        check(&using("use: test-picture"), None);
        for hostile in [
            "use: v4l2, device: /dev/mem",
            "use: v4l2, device: '/dev/v4l/../sda'",
            "use: rtsp, location: 'rtsp://127.0.0.1/'",
        ] {
            check(&using(hostile), Some("feeds.b.pipeline"));
        }
        check(
            &with("{feed: a}", "{feed: a, placeholder: /etc/x.png, video: {codec: h264}}"),
            Some("streams.a.ts.placeholder"),
        );
        check(&format!("{TEXT}auth: {{anyone: [admin]}}\n"), Some("auth"));
        check(&format!("x: &x\nlogdir: /tmp\n{TEXT}").replace("x: &x\n", ""), Some("logdir"));
        check(&format!("files: /etc\n{TEXT}"), Some("files"));
        check(&format!("sets:\n  s:\n    for: [1]\n    feeds: {{'c{{name}}': {{command: sh}}}}\n{TEXT}"), Some("sets"));
        // A merge key brings what stands elsewhere.
        check(&with("{url: 'rtsp://10.0.0.5/x'}", "{<<: {command: sh}}"), Some("feeds.b.command"));
        let protected = format!("auth: {{anyone: []}}\n{TEXT}");
        assert_eq!(loaded(TEXT).needs_exec(&loaded(&protected)).as_deref(), Some("auth"));
        assert_eq!(loaded("feeds: {}\n").needs_exec(&loaded(TEXT)), None);
    }

    #[test]
    fn an_edit_goes_to_the_file_that_has_the_entry() {
        let origin = Origin::File("/config.yaml".into());
        let of = |path: &str, value: Option<&str>| Edit {
            path: path.split('/').map(str::to_owned).collect(),
            value: value.map(|value| Value::String(value.to_owned())),
        };
        let plan =
            loaded(TEXT).plan(&origin, &[of("feeds/b/mode", Some("5")), of("streams/a.ts", None)], |_| true).unwrap();
        assert_eq!(plan.len(), 1);
        assert_eq!(plan[0].after, "feeds:\n  a: {command: cat x}\n  b: {url: rtsp://10.0.0.5/x, mode: 5}\nstreams:\n");
        // What is new goes elsewhere where the file cannot be written.
        let with_state = loaded(&format!("statedir: /state\n{TEXT}"));
        let new = [of("feeds/c/url", Some("rtsp://h/x"))];
        let plan = with_state.plan(&origin, &new, |_| false).unwrap();
        assert_eq!(
            (plan[0].path.to_str(), &*plan[0].after),
            (Some("/state/managed.yaml"), &*format!("{HEAD}feeds:\n  c:\n    url: rtsp://h/x\n"))
        );
        assert_eq!(with_state.plan(&origin, &new, |_| true).unwrap()[0].path.to_str(), Some("/config.yaml"));
        let error = with_state.plan(&origin, &[of("feeds/b/mode", Some("5"))], |_| false).unwrap_err();
        assert_eq!(error.to_string(), "`feeds.b.mode` is in /config.yaml, which cannot be written: change it there");
        let error = loaded(TEXT).plan(&origin, &new, |_| false).unwrap_err();
        assert!(matches!(error, ChangeError::NotWritable { .. }), "{error}");
        let named = loaded(&format!("api: {{file: more.yaml}}\n{TEXT}"));
        assert_eq!(named.plan(&origin, &new, |_| true).unwrap()[0].path.to_str(), Some("/more.yaml"));
        let sets = loaded("sets:\n  s:\n    for: [1]\n    feeds: {'c{name}': {command: sh}}\n");
        let error = sets.plan(&origin, &[of("feeds/c1/mode", Some("5"))], |_| true).unwrap_err();
        assert_eq!(error.to_string(), "`feeds.c1.mode` is made by a set: change `sets.s.feeds.c{name}`");
        assert_eq!(loaded(TEXT).plan(&Origin::Demo, &[], |_| true), Err(ChangeError::BuiltIn));
    }
}
