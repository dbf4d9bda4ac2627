//! A program of others that runs beside a test.

use super::{holds_for, process};
use rustix::process::Signal;
use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

/// How long a program may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// It runs until this is dropped.
pub struct Running(Child);

impl Running {
    /// Starts it; what it says is dropped.
    pub fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// A pipeline of GStreamer: the words of a text, behind some that have spaces.
    pub fn pipeline(words: &[&str], text: &str) -> Self {
        let arguments: Vec<_> = words.iter().copied().chain(text.split_whitespace()).collect();
        Self::start("gst-launch-1.0", &arguments)
    }

    /// Has it end as if by its user, and waits for that. GStreamer may hang while it ends: then it is killed.
    pub fn interrupt(mut self) {
        process::send(i32::try_from(self.0.id()).unwrap(), Signal::INT);
        holds_for(ENDS_WITHIN, || self.0.try_wait().unwrap().is_none());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        self.0.wait().unwrap();
    }
}
