//! Stills of streams: taken on request, cached, or one after the other.

pub mod cache;
pub mod sequence;
pub mod take;
