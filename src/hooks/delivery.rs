//! One event on its way to a receiver. Pure.

/// An event that is delivered.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Its number, which is also how receivers know it again.
    pub(super) id: u64,
    /// Its type.
    pub(super) kind: String,
    /// The feed or stream that it is about.
    pub(super) name: Option<String>,
    /// The event, as JSON.
    pub(super) body: String,
}
