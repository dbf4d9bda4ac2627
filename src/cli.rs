//! The command line.

use crate::{ctl::Ctl, telemetry::Format};
use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf, time::Duration};

/// A live audio/video server: any feed in, any stream out.
///
/// Without a configuration file a demo runs: open http://127.0.0.1:8090/ in a browser.
#[derive(Debug, Parser)]
#[command(name = "voyandz", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
    /// Print the licences of this program and its dependencies.
    #[arg(long)]
    pub licenses: bool,
}

/// How to serve.
#[derive(Debug, Clone, clap::Args)]
pub struct Serve {
    /// Which configuration.
    #[command(flatten)]
    pub config: Options,
    /// Read the configuration again whenever its file changes, not only on SIGHUP.
    #[arg(short, long)]
    pub watch: bool,
    /// The format of log lines: text for people, or JSON for programs.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: Format,
    /// Log to this file instead of standard error. SIGHUP reopens it, for log rotation.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,
}

/// What all that read a configuration share.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The configuration file [default: $VOYANDZ_CONFFILE, /etc/voyandz.yaml, else a demo].
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Log more; twice for every packet. VOYANDZ_LOG sets levels by module.
    #[arg(short, long, action = ArgAction::Count)]
    pub verbose: u8,
}

/// Which links to print.
#[derive(Debug, Clone, clap::Args)]
pub struct Sign {
    /// Which configuration.
    #[command(flatten)]
    pub config: Options,
    /// The name of the stream, or a pattern: * stands for any characters.
    #[arg(required_unless_present = "new_key")]
    pub stream: Option<String>,
    /// How long the links are good: 90s, 15m, 12h or 7d.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = time)]
    pub lasts: Duration,
    /// How long they can be opened; what was opened before continues until the end of --for.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub open: Option<Duration>,
    /// What they permit: view, still, playback or publish; may be given several times [default: view and still].
    #[arg(long, value_name = "ACTION")]
    pub may: Vec<String>,
    /// The network that they are for, like 192.0.2.0/24.
    #[arg(long, value_name = "NETWORK")]
    pub from: Option<String>,
    /// Who they are for: a name for the log.
    #[arg(long, value_name = "NAME", default_value = "")]
    pub name: String,
    /// What the links begin with, like `https://tv.example.org` [default: the address of the configuration].
    #[arg(long, value_name = "URL")]
    pub base: Option<String>,
    /// Print a new key for `auth.link_keys` instead.
    #[arg(long, conflicts_with = "stream")]
    pub new_key: bool,
}

/// Reads `90s`, `15m`, `12h` or `7d`.
fn time(text: &str) -> Result<Duration, String> {
    let units = [('s', 1), ('m', 60), ('h', 3600), ('d', 86_400)];
    let seconds = units.into_iter().find_map(|(unit, seconds)| {
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        Some(u64::from(number) * seconds)
    });
    let seconds = seconds.filter(|seconds| (1..=86_400 * 3660).contains(seconds));
    seconds
        .map(Duration::from_secs)
        .ok_or_else(|| "expected a time like 90s, 15m, 12h or 7d, up to ten years".to_owned())
}

/// What of a password is printed.
#[derive(Debug, clap::Args)]
pub struct Passwd {
    /// Print the `digest` of this user as well, for RTSP clients that know no other way.
    #[arg(long, value_name = "USER")]
    pub digest: Option<String>,
}

/// What can be done instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration file; exit code 78 when it has errors.
    Check(Options),
    /// Print the configuration as voyandz understands it.
    Config(Options),
    /// Report what this machine has and lacks; exit code 1 when voyandz cannot serve here.
    Doctor(Options),
    /// Print the hash of a password for `auth.users`; reads the password from the terminal, or a line of standard input.
    Passwd(Passwd),
    /// Make a token for `auth.tokens`; prints it and its digest.
    Token,
    /// Print signed links to a stream, which need no password and end by themselves.
    Sign(Sign),
    /// Ask and order a running server, by its API.
    Ctl(Ctl),
    /// Print the completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print a manual page as roff: 1 of the program, 5 of its configuration file.
    Man {
        /// Which one.
        #[arg(value_parser = ["1", "5"], default_value = "1")]
        section: String,
    },
    /// Run GStreamer for the server.
    #[command(hide = true)]
    Worker,
    /// Run a program for the server, and end with it.
    #[command(hide = true)]
    Guard {
        /// Pid of the server.
        #[arg(long)]
        server: u32,
        /// Descriptors beyond the standard streams that are inputs of the program.
        #[arg(long, default_value_t = 0)]
        inputs: u16,
        /// Limit in bytes of the memory of the program and its descendants.
        #[arg(long)]
        memory_max: Option<u64>,
        /// Program and arguments.
        #[arg(last = true, required = true)]
        argv: Vec<OsString>,
    },
}
