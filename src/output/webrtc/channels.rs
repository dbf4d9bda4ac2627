//! Data channels (RFC 8831): what a client asks for by the label of one, and the messages that it gets. Pure.
//!
//! The server closes those only that lead to something which has ended: when both sides close one at a time, browsers use its number again before the other side has
//! released it, and the next channel never opens.

use super::negotiation::PlayPlan;
use crate::media::MediaKind;
use serde_json::json;
use str0m::channel::ChannelId;

/// Most channels of a session that are served; more are open and silent.
const MAX_CHANNELS: usize = 16;

/// What a channel is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Each message comes back, so that the client can measure the time that it takes.
    Echo,
    /// The client gets messages: what the stream is, and when each frame left.
    Control,
    /// The messages go to what has this place in the configuration.
    Hook(usize),
}

impl Purpose {
    fn of(label: &str, hooks: &[String]) -> Option<Self> {
        match label {
            "echo" => Some(Self::Echo),
            "control" => Some(Self::Control),
            _ => hooks.iter().position(|hook| hook == label).map(Self::Hook),
        }
    }
}

/// The open channels of a session.
#[derive(Debug, Default)]
pub struct Channels {
    open: Vec<(ChannelId, Purpose)>,
    is_undescribed: bool,
    /// The labels of those that lead to something outside.
    hooks: Vec<String>,
}

impl Channels {
    /// The labels of channels that lead to something outside.
    pub fn set_hooks(&mut self, labels: Vec<String>) {
        self.hooks = labels;
    }

    /// A channel opened: what it is for, if it is for something.
    pub fn opened(&mut self, id: ChannelId, label: &str) -> Option<Purpose> {
        let purpose = Purpose::of(label, &self.hooks).filter(|_| self.open.len() < MAX_CHANNELS)?;
        self.open.push((id, purpose));
        self.is_undescribed |= purpose == Purpose::Control;
        Some(purpose)
    }

    /// A channel closed.
    pub fn closed(&mut self, id: ChannelId) {
        self.open.retain(|(open, _)| *open != id);
    }

    /// What a channel is for.
    pub fn purpose(&self, id: ChannelId) -> Option<Purpose> {
        self.open.iter().find(|(open, _)| *open == id).map(|(_, purpose)| *purpose)
    }

    /// Those on which the client gets messages.
    pub fn controls(&self) -> impl Iterator<Item = ChannelId> {
        self.open.iter().filter(|(_, purpose)| *purpose == Purpose::Control).map(|(id, _)| *id)
    }

    /// Whether one of them opened since the last call.
    pub fn take_undescribed(&mut self) -> bool {
        std::mem::take(&mut self.is_undescribed)
    }
}

/// What the stream is.
pub fn described(stream: &str, plan: &PlayPlan) -> String {
    let tracks = plan.tracks.iter().map(|track| {
        let kind = if track.kind == MediaKind::Video { "video" } else { "audio" };
        json!({"kind": kind, "codec": track.codec, "mid": track.mid})
    });
    json!({"type": "stream", "name": stream, "tracks": tracks.collect::<Vec<_>>()}).to_string()
}

/// Another layer is sent from now on.
pub fn switched(layer: &str) -> String {
    json!({"type": "layer", "encodingId": layer}).to_string()
}

/// A frame of video left: its timestamp, and when that was, in milliseconds since 1970.
pub fn left(timestamp: u32, sent: u64) -> String {
    json!({"type": "frame", "rtpTimestamp": timestamp, "sent": sent}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_says_what_a_channel_is_for() {
        let of = |label| Purpose::of(label, &["chat".to_owned(), "lights".to_owned()]);
        assert_eq!((of("echo"), of("control")), (Some(Purpose::Echo), Some(Purpose::Control)));
        assert_eq!((of("lights"), of("")), (Some(Purpose::Hook(1)), None));
        assert_eq!((of("Echo"), of("Chat")), (None, None));
    }

    #[test]
    fn a_frame_is_named_with_its_time() {
        assert_eq!(left(90_000, 1_700_000_000_123), r#"{"type":"frame","rtpTimestamp":90000,"sent":1700000000123}"#);
    }
}
