//! Tree → checked values. Every fault is noted and the check goes on with a default, so that one run shows them all.

use super::{
    checker::{Checker, Expected, flag, launch_text, quoted},
    fault::{Fault, Path},
    locate::Place,
    model::{Config, Feed, FeedName, Mode, Pages, Source},
    raw, units, yaml,
};
use serde_yaml::Value;
use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

/// Where the server listens unless told: reachable from this machine only.
const DEFAULT_LISTEN_ADDR: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// The port of ffserver.
const DEFAULT_LISTEN_PORT: u16 = 8090;
/// Whether `/` is served.
const DEFAULT_HOME: bool = true;
/// Longest `mode:` in seconds: a year, which nobody waits for.
const MAX_LINGER: f64 = 366.0 * 86_400.0;
/// Reads and checks a whole configuration. Paths stay as they are written.
///
/// # Errors
/// All faults in the order of the lines, at most 50; only the first when the text is no YAML.
pub fn parse(text: &str) -> Result<Config, Vec<Fault>> {
    let (tree, twice) = yaml::parse(text).map_err(|fault| vec![fault])?;
    let mut checker = Checker::default();
    for path in twice {
        checker.note(&path, Place::SecondKey, "appears a second time, keep one".to_owned());
    }
    let config = checker.file(tree);
    let faults = checker.into_faults(text);
    if faults.is_empty() { Ok(config) } else { Err(faults) }
}

impl Checker {
    fn file(&mut self, tree: Value) -> Config {
        let root = Path::default();
        let file: raw::File = self.section(&root, tree);
        let pages = file.pages.map(|pages| self.pages(&root.key("pages"), pages));
        let feeds = self.entries(&root.key("feeds"), file.feeds);
        let streams = self.entries(&root.key("streams"), file.streams);
        let names: Vec<String> = feeds.keys().cloned().collect();
        Config {
            listen_addr: self.value(&root.key("listenaddr"), file.listenaddr, address).unwrap_or(DEFAULT_LISTEN_ADDR),
            listen_port: self.value(&root.key("listenport"), file.listenport, port).unwrap_or(DEFAULT_LISTEN_PORT),
            logdir: self.value(&root.key("logdir"), file.logdir, path_name),
            pages: pages.unwrap_or(Pages { home: DEFAULT_HOME }),
            feeds: feeds
                .into_iter()
                .filter_map(|(name, value)| self.feed(&root.key("feeds").key(&name), &name, value))
                .collect(),
            streams: self.streams(&root.key("streams"), streams, &names),
        }
    }

    fn pages(&mut self, path: &Path, value: Value) -> Pages {
        let pages: raw::Pages = self.section(path, value);
        Pages { home: self.value(&path.key("home"), pages.home, flag).unwrap_or(DEFAULT_HOME) }
    }

    fn feed(&mut self, path: &Path, name: &str, value: Value) -> Option<Feed> {
        let name = FeedName::new(name)
            .map_err(|error| self.note(path, Place::Key, format!("{error}, found {}", quoted(name))))
            .ok();
        let feed: raw::Feed = self.section(path, value);
        let mode = self.value(&path.key("mode"), feed.mode, mode).unwrap_or(Mode::OnDemand { linger: Duration::ZERO });
        let no_resurrect = self.value(&path.key("no-resurrect"), feed.no_resurrect, flag).unwrap_or(false);
        let given = [("pipeline", &feed.pipeline), ("command", &feed.command), ("file", &feed.file)];
        let given: Vec<_> = given.into_iter().filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect();
        match given.as_slice() {
            [] => self.note(path, Place::Key, "has no source: expected `pipeline`, `command` or `file`".to_owned()),
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
        let looped = self.value(&path.key("loop"), feed.looped, flag).unwrap_or(false);
        let pipeline = self.value(&path.key("pipeline"), feed.pipeline, launch_text).map(Source::Pipeline);
        let command = feed.command.and_then(|value| self.words(&path.key("command"), value)).map(Source::Command);
        let file = self.value(&path.key("file"), feed.file, path_name).map(|path| Source::File { path, looped });
        Some(Feed { name: name?, source: pipeline.or(command).or(file)?, mode, no_resurrect })
    }
}

fn address(text: &str) -> Result<IpAddr, Expected> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse().map_err(|_| "an IP address like 127.0.0.1, 0.0.0.0 or ::".into())
}

fn port(text: &str) -> Result<u16, Expected> {
    let port = units::whole(text).and_then(|port| port.try_into().ok());
    port.ok_or_else(|| "a port from 0 to 65535".into())
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

fn path_name(text: &str) -> Result<PathBuf, Expected> {
    if text.is_empty() || text.contains('\0') { Err("the path of a file".into()) } else { Ok(text.into()) }
}
