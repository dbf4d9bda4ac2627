//! The configuration: text → checked values. `Config` is immutable and the only form the program sees.

mod model;

pub use model::{Config, Encoding, Feed, FeedName, Mode, Pages, Source, Stream, StreamName, StreamPath};
