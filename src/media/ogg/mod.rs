//! Ogg (RFC 3533): logical streams of packets in pages.

mod scan;

pub(super) use scan::{Ogg, setups};
