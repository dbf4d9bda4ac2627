//! The command line.

use crate::telemetry::Format;
use clap::{ArgAction, Parser, Subcommand};
use clap_complete::Shell;
use std::{ffi::OsString, path::PathBuf};

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

/// What can be done instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration file; exit code 78 when it has errors.
    Check(Options),
    /// Print the configuration as voyandz understands it.
    Config(Options),
    /// Report what this machine has and lacks; exit code 1 when voyandz cannot serve here.
    Doctor(Options),
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
