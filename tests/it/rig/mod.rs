//! What the tests share: a running server, a raw HTTP client, the processes of the machine, and judges of media.

pub mod acme;
pub mod archive;
pub mod browser;
pub mod fec;
pub mod firefox;
pub mod http;
pub mod log;
pub mod media;
pub mod mkv;
pub mod multipart;
pub mod openapi;
pub mod peer;
pub mod player;
pub mod playlist;
pub mod process;
pub mod publisher;
pub mod pushes;
pub mod receiver;
pub mod room;
pub mod rtsp;
pub mod running;
pub mod script;
pub mod server;
pub mod srt;
pub mod state;
pub mod stub;
pub mod tls;
pub mod ts;

pub use http::Answer;
pub use server::{Launch, Server};

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// How long anything may take that has no limit of its own.
pub const SOON: Duration = Duration::from_secs(20);

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Waits until `condition` holds; returns how long that took.
pub fn wait_until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(millis(5));
    }
    began.elapsed()
}

/// Whether `condition` holds for all of `time`.
pub fn holds_for(time: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let began = Instant::now();
    while began.elapsed() < time {
        if !condition() {
            return false;
        }
        std::thread::sleep(millis(10));
    }
    true
}

/// How often something is done: `few` times, or `many` times where `VOYANDZ_ROUNDS` is `many`, as `ci/chaos MINUTES` has it.
pub fn rounds(few: usize, many: usize) -> usize {
    if std::env::var("VOYANDZ_ROUNDS").is_ok_and(|rounds| rounds == "many") { many } else { few }
}

/// How much of something is done: as much as this variable of the environment says, which `ci/long` sets, or `few`.
pub fn times(variable: &str, few: u32) -> u32 {
    std::env::var(variable).map_or(few, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Whether a program is installed. Its lack is a failure where `CI` is set, and a loud skip elsewhere.
pub fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "{program} is missing");
        eprintln!("SKIPPED: {program} is missing");
    }
    found
}

/// Where `ci/setup` keeps what no package installs. Its lack is a failure where `CI` is set, and a loud skip elsewhere.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("tools").join(name);
    if !path.is_file() {
        assert!(std::env::var_os("CI").is_none(), "{} is missing", path.display());
        eprintln!("SKIPPED: {} is missing; `ci/setup test` gets it", path.display());
        return None;
    }
    Some(path)
}

/// Whether failpoints are compiled in; the same rule as for a missing program.
pub fn have_failpoints() -> bool {
    let found = cfg!(feature = "failpoints");
    if !found {
        assert!(std::env::var_os("CI").is_none(), "built without --features failpoints");
        eprintln!("SKIPPED: built without --features failpoints");
    }
    found
}

/// Notes a measured value and what it may be at most. `row` is the fault in the table of `ci/chaos`, which collects these lines.
pub fn figure(row: u32, what: &str, measured: impl Into<Figure>, bar: impl Into<Figure>) {
    let (Figure(measured, unit), Figure(bar, _)) = (measured.into(), bar.into());
    println!("figure|{row}|{what}|{measured:.3}|{bar:.3}|{unit}");
}

/// A number and its unit.
pub struct Figure(f64, &'static str);

impl From<Duration> for Figure {
    fn from(time: Duration) -> Self {
        Self(time.as_secs_f64(), "s")
    }
}

impl From<usize> for Figure {
    fn from(count: usize) -> Self {
        Self(count as f64, "")
    }
}

/// Pauses that look random and are the same in every run.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub fn below(&mut self, limit: Duration) -> Duration {
        // The constants of Knuth's MMIX generator.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        limit.mul_f64((self.0 >> 33) as f64 / f64::from(1u32 << 31))
    }
}
