//! The lines of a server's log, as they come.

use regex::Regex;
use std::{
    io::{BufRead, BufReader, Read},
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Lines>, Condvar)>);

#[derive(Default)]
struct Lines {
    lines: Vec<String>,
    ended: bool,
}

impl Log {
    /// Keeps all lines of `source`; ends with it.
    pub fn read(source: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                kept.0.0.lock().unwrap().lines.push(String::from_utf8_lossy(&line).into_owned());
                kept.0.1.notify_all();
            }
            kept.0.0.lock().unwrap().ended = true;
            kept.0.1.notify_all();
        });
        log
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().lines.clone()
    }

    pub fn text(&self) -> String {
        self.lines().join("\n")
    }

    /// Lines so far that match.
    pub fn matching(&self, pattern: &str) -> Vec<String> {
        let pattern = Regex::new(pattern).unwrap();
        self.lines().into_iter().filter(|line| pattern.is_match(line)).collect()
    }

    pub fn count(&self, pattern: &str) -> usize {
        self.matching(pattern).len()
    }

    /// The first line that matches.
    pub fn wait(&self, pattern: &str, within: Duration) -> String {
        self.wait_nth(pattern, 1, within)
    }

    /// The `nth` line that matches, counted from 1.
    pub fn wait_nth(&self, pattern: &str, nth: usize, within: Duration) -> String {
        let (regex, until) = (Regex::new(pattern).unwrap(), Instant::now() + within);
        let mut lines = self.0.0.lock().unwrap();
        loop {
            if let Some(line) = lines.lines.iter().filter(|line| regex.is_match(line)).nth(nth - 1) {
                return line.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || lines.ended {
                drop(lines);
                panic!("no line {nth} like /{pattern}/ within {within:?}; the last are:\n{}", self.tail());
            }
            lines = self.0.1.wait_timeout(lines, left).unwrap().0;
        }
    }

    fn tail(&self) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Waits until the source has ended.
    pub fn wait_end(&self, within: Duration) {
        let lines = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(lines, within, |lines| !lines.ended).unwrap());
    }
}

/// The value of a field of a line.
pub fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let start = line.find(&format!(" {name}=")).unwrap_or_else(|| panic!("no {name} in: {line}")) + name.len() + 2;
    let value = &line[start..];
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().unwrap(),
        None => value.split(' ').next().unwrap(),
    }
}
