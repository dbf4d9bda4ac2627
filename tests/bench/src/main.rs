//! What voyandz costs, measured from outside. `ci/bench` calls it; docs/performance.md explains method and figures.
//!
//! One program plays all parts: the source of media ([`source`]), the two servers to compare with ([`limit`], [`plain`]), and
//! the one that starts them all, loads them ([`load`]) and reckons ([`modes`], [`report`]).

#![forbid(unsafe_code)]

#[cfg(feature = "webrtc")]
mod anchor;
#[cfg(feature = "webrtc")]
mod channels;
mod client;
mod crowd;
mod hls;
mod http2;
mod latency;
mod limit;
mod load;
mod mark;
mod modes;
mod plain;
mod push;
mod report;
mod rtmp;
mod rtsp;
mod segments;
mod server;
mod source;
mod srt;
mod stills;
#[cfg(feature = "tls")]
mod tls;
mod usage;
#[cfg(feature = "webrtc")]
mod webrtc;

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["source", kind, rate] => source::run(kind.parse()?, rate.parse().context("the rate is in bits a second")?),
        ["limit"] => limit::run(),
        ["plain"] => plain::run(),
        #[cfg(feature = "warp03")]
        ["plain03"] => plain::run_old(),
        [mode, counts @ ..] => {
            let counts: Result<Vec<usize>, _> = counts.iter().map(|count| count.parse()).collect();
            modes::run(mode, &counts.context("what follows a mode are numbers of viewers")?)
        }
        [] => bail!("which mode? {}", modes::NAMES.join(", ")),
    }
}
