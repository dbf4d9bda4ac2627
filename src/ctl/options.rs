//! What can be said on the command line.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// Which server, and what to do with it.
#[derive(Debug, Clone, Args)]
pub struct Ctl {
    /// The server, or `unix:` and the path of its control socket [default: the control socket of the server on this machine, else where
    /// the configuration file listens, else http://127.0.0.1:8090].
    #[arg(long, value_name = "URL", env = "VOYANDZ_SERVER", global = true)]
    pub server: Option<String>,
    /// A file with a token of the server; VOYANDZ_TOKEN may have the token itself.
    #[arg(long, value_name = "FILE", env = "VOYANDZ_TOKEN_FILE", global = true)]
    pub token_file: Option<PathBuf>,
    /// A file with the certificate of the authority of the server, if the system does not know it.
    #[arg(long, value_name = "FILE", global = true)]
    pub ca: Option<PathBuf>,
    /// The configuration file that says where the server listens [default: as for serving].
    #[arg(short, long, value_name = "FILE", global = true)]
    pub file: Option<PathBuf>,
    /// Print JSON, for programs.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What to do with a server.
#[derive(Debug, Clone, Subcommand)]
pub enum Action {
    /// List feeds, streams, viewers, publishers, hooks or devices.
    List {
        /// What to list.
        #[arg(value_enum, default_value_t = List::Streams)]
        what: List,
        /// Only those with this name; * stands for any characters.
        #[arg(long, value_name = "PATTERN")]
        name: Option<String>,
        /// Only those in this state.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
    },
    /// Show all of a feed or stream.
    Show {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
    },
    /// Show how a feed or stream did in the last ten minutes: the states of a feed, the rate and viewers of a stream.
    Past {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
    },
    /// Print events as they happen.
    Follow(Follow),
    /// Let a feed or stream run again that was stopped.
    Start {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
    },
    /// End a feed or stream until it is started.
    Stop {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
        /// Start it again after this time: 90s, 10m, 1h.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<String>,
    },
    /// End a feed or stream and start it again.
    Restart {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
    },
    /// Send viewers of a feed or stream nothing until it is resumed; their connections and all that makes it stay.
    Pause {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
        /// Resume it after this time: 90s, 10m, 1h.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<String>,
    },
    /// Continue a feed or stream that was paused, at a keyframe.
    Resume {
        /// A feed or a stream.
        #[arg(value_enum)]
        what: What,
        /// Its name.
        name: String,
    },
    /// End a viewer, or the publisher of a feed.
    Kick {
        /// The id of the viewer, as `list viewers` prints it.
        #[arg(required_unless_present = "publisher", conflicts_with = "publisher")]
        viewer: Option<String>,
        /// The feed whose publisher is ended.
        #[arg(long, value_name = "FEED")]
        publisher: Option<String>,
    },
    /// Have the encoder of a stream make a keyframe.
    Keyframe {
        /// The stream.
        name: String,
    },
    /// Take a still of a stream, as JPEG.
    Still {
        /// The stream.
        name: String,
        /// The file to write [default: the standard output].
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Start or stop the recorder of a stream with `plan: manual` or `clips`, or show it.
    Record {
        /// The stream.
        name: String,
        /// What the recorder does.
        #[arg(value_parser = ["start", "stop", "show"], default_value = "show")]
        order: String,
        /// Record for this time, and stop then: 90s, 10m, 1h.
        #[arg(long = "for", value_name = "TIME")]
        length: Option<String>,
    },
    /// List the recordings of a stream, protect them from deletion by limits, delete them, or copy a span into a clip of its own.
    Recordings(Recordings),
    /// List the changes of the configuration, show one, take it back, or restore the files as they were after it.
    History(History),
    /// Have the configuration files read again.
    Reload,
    /// Print an address that logs a browser in once, with all permissions.
    Login,
}

/// Which recordings, and what becomes of them.
#[derive(Debug, Clone, Args)]
pub struct Recordings {
    /// The stream.
    pub name: String,
    /// What is done with them.
    #[arg(value_parser = ["list", "protect", "unprotect", "delete", "clips", "clip", "delete-clip"], default_value = "list")]
    pub order: String,
    /// One file or clip, by its id in the list.
    #[arg(long, value_name = "ID", conflicts_with_all = ["from", "to", "length"])]
    pub id: Option<String>,
    /// Those from this time on: 2026-11-28T14:03:07Z, or seconds since 1970.
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// Those before this time.
    #[arg(long, value_name = "TIME")]
    pub to: Option<String>,
    /// Those of this length of time: 90s, 10m, 1h.
    #[arg(long = "for", value_name = "TIME", conflicts_with = "to")]
    pub length: Option<String>,
}

/// Which change of the configuration, and what is done with it.
#[derive(Debug, Clone, Args)]
pub struct History {
    /// What is done.
    #[arg(value_parser = ["list", "show", "undo", "restore"], default_value = "list")]
    pub order: String,
    /// The number of the change, as `list` prints it.
    #[arg(required_if_eq_any = [("order", "show"), ("order", "undo"), ("order", "restore")])]
    pub version: Option<u64>,
    /// Show what differs from another change, or from `now`.
    #[arg(long, value_name = "VERSION")]
    pub against: Option<String>,
    /// Only say what would happen.
    #[arg(long)]
    pub dry_run: bool,
}

/// Which events.
#[derive(Debug, Clone, Args)]
pub struct Follow {
    /// Only these types, separated by commas; * stands for any characters.
    #[arg(long = "type", value_name = "PATTERNS")]
    pub types: Option<String>,
    /// Only of these feeds and streams, separated by commas; * stands for any characters.
    #[arg(long, value_name = "PATTERNS")]
    pub name: Option<String>,
    /// Begin after this number; 0 is from the oldest event that the server has.
    #[arg(long, value_name = "NUMBER")]
    pub after: Option<u64>,
    /// End after so many events.
    #[arg(long, value_name = "COUNT")]
    pub count: Option<u64>,
}

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// A feed.
    Feed,
    /// A stream.
    Stream,
}

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum List {
    /// All feeds.
    Feeds,
    /// All streams.
    Streams,
    /// Who watches.
    Viewers,
    /// Who publishes.
    Publishers,
    /// Who gets events.
    Hooks,
    /// Capture cards, sound cards and graphics cards, and what they offer.
    Devices,
}

/// An order to a feed or stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Start,
    Stop,
    Restart,
    Pause,
    Resume,
}

impl Order {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }
}

impl What {
    pub(super) const fn section(self) -> &'static str {
        match self {
            Self::Feed => "feeds",
            Self::Stream => "streams",
        }
    }
}

impl List {
    pub(super) const fn section(self) -> &'static str {
        match self {
            Self::Feeds => "feeds",
            Self::Streams => "streams",
            Self::Viewers => "viewers",
            Self::Publishers => "publishers",
            Self::Hooks => "hooks",
            Self::Devices => "devices",
        }
    }
}
