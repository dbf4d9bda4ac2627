//! The configuration: text → checked values. `Config` is immutable and the only form the program sees.
//!
//! [`parse`] and all below it are pure; only [`load`](load()) and [`find`] touch files. The way of a text: YAML
//! (`yaml`) → keys (`raw`) → checks (`check`, `streams`, `tracks`) → [`Config`]; before the checks, sets are expanded
//! (`sets`) and templates used (`templates`); typed keys become launch texts (`typed`), and faults get their place in
//! the text (`locate`).

mod check;
mod checker;
mod fault;
mod launch;
mod library;
mod load;
mod locate;
mod mask;
mod model;
mod print;
mod raw;
#[cfg(test)]
mod schema;
mod sets;
mod streams;
mod template;
mod templates;
mod tracks;
mod typed;
mod units;
mod yaml;

pub use check::parse;
pub use fault::{Fault, Faults};
pub use load::{LoadError, Loaded, Origin, find, load};
pub use mask::masked;
pub use model::{Config, Encoding, Feed, FeedName, Mode, NameError, Pages, Source, Stream, StreamName, StreamPath};
pub use print::to_yaml;
