//! Logging, including repeated failures as counts; statistics of HTTP requests, latencies, and traces.

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
mod otlp_stats;
mod span;
mod srt_stats;
mod start_times;
mod trace;
mod tracer;
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
pub use otlp_stats::OtlpStats;
pub use span::{Attribute, Parent, Span, SpanId, TraceId, random};
pub use srt_stats::SrtStats;
pub use start_times::{Origin, Origins, StartSteps, StartTimes, WorkerStart};
pub use trace::{Step, Trace};
pub use tracer::Tracer;
pub use webrtc_stats::{Dropped, WebRtcStats};
