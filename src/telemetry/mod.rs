//! Logging, including repeated failures as counts; statistics of HTTP requests, and latencies.

mod error_chain;
mod facts;
mod failure_log;
mod file;
mod format;
mod hls_stats;
mod hook_stats;
mod http_stats;
mod journal_stats;
mod latency;
mod log;
mod srt_stats;
mod webrtc_stats;

pub use error_chain::chain;
pub use facts::{Fact, Facts, Message, Scope};
pub use failure_log::{FailureLog, Report};
pub use file::Reopen;
pub use format::Format;
pub use hls_stats::{HlsStats, WaitingRequest};
pub use hook_stats::{HookFigures, HookStats};
pub use http_stats::{Histogram, HttpStats, Protocol, Refusal};
pub use journal_stats::JournalStats;
pub use latency::{Figures, Latency, Spread, Times};
pub use log::{LogGuard, init};
pub use srt_stats::SrtStats;
pub use webrtc_stats::{Dropped, WebRtcStats};
