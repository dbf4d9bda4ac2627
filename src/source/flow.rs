//! What a running source reports of its media.

/// What a running source reports of its media.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Flow {
    /// None came yet.
    #[default]
    Nothing,
    /// It comes.
    Media,
    /// The device captures nothing.
    NoSignal,
    /// It has stayed away for longer than its pace explains; the text says what, and for how long. Final.
    Stalled(String),
}
