//! What bodies of tags have in them (Enhanced RTMP v2, `AudioPacketType` and `VideoPacketType`).

/// What a body has of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The configuration of its decoder.
    Config,
    /// A frame.
    Frame {
        /// A decoder may begin with it. Of no meaning for audio.
        is_keyframe: bool,
        /// How much later than it is decoded it is shown, in milliseconds.
        composition: i32,
    },
    /// The end of its sequence.
    End,
    /// Metadata, the layout of channels, a configuration for MPEG-2 TS, and what is reserved.
    Other,
}

pub(super) const SEQUENCE_START: u8 = 0;
pub(super) const CODED_FRAMES: u8 = 1;
pub(super) const SEQUENCE_END: u8 = 2;
pub(super) const CODED_FRAMES_X: u8 = 3;
pub(super) const AUDIO_MULTITRACK: u8 = 5;
pub(super) const VIDEO_MULTITRACK: u8 = 6;
pub(super) const MOD_EX: u8 = 7;
