//! What a running source reports of its media.

/// What a running source reports of its media.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Flow {
    /// None arrived yet.
    #[default]
    Nothing,
    /// It arrives.
    Media,
    /// The device captures nothing.
    NoSignal,
    /// There is no publisher.
    NoPublisher,
    /// None has arrived for longer than its usual pauses; the text says what is missing, and for how long. Final.
    Stalled(String),
}
