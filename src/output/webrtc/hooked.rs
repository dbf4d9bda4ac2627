//! The data channels of a session that lead to something outside, as the session knows them: where their messages wait to be taken. No IO.

use str0m::channel::ChannelId;
use tokio::sync::mpsc;

/// Messages of a client that wait for the outside, and those that wait for the shard.
pub const QUEUED: usize = 32;

/// A message of a data channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Text in UTF-8, or bytes.
    pub is_text: bool,
    /// What it says.
    pub data: Vec<u8>,
}

/// A data channel that leads to something outside. It is closed when the sender of its messages is gone.
#[derive(Debug)]
pub struct OpenedChannel {
    /// Its number.
    pub id: ChannelId,
    /// The place of what it leads to in the configuration.
    pub hook: usize,
    /// What the client sends.
    pub messages: mpsc::Receiver<Message>,
}

/// The channels of one session that lead to something outside.
#[derive(Debug, Default)]
pub struct Hooked {
    /// `None` where nothing is configured.
    opened: Option<mpsc::Sender<OpenedChannel>>,
    channels: Vec<(ChannelId, mpsc::Sender<Message>)>,
}

impl Hooked {
    /// Those that open are handed over there.
    pub fn new(opened: mpsc::Sender<OpenedChannel>) -> Self {
        Self { opened: Some(opened), channels: Vec::new() }
    }

    /// A channel opened; `false` when nobody takes it.
    pub fn open(&mut self, id: ChannelId, hook: usize) -> bool {
        let (sender, messages) = mpsc::channel(QUEUED);
        let is_taken =
            self.opened.as_ref().is_some_and(|opened| opened.try_send(OpenedChannel { id, hook, messages }).is_ok());
        if is_taken {
            self.channels.push((id, sender));
        }
        is_taken
    }

    /// The client sent a message; `false` when it is not taken, and the channel is over.
    pub fn send(&mut self, id: ChannelId, message: Message) -> bool {
        let channel = self.channels.iter().find(|(known, _)| *known == id);
        let is_taken = channel.is_some_and(|(_, sender)| sender.try_send(message).is_ok());
        if !is_taken {
            self.close(id);
        }
        is_taken
    }

    /// A channel is over. Whether it was there.
    pub fn close(&mut self, id: ChannelId) -> bool {
        let before = self.channels.len();
        self.channels.retain(|(known, _)| *known != id);
        self.channels.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn who_takes_nothing_loses_the_channel() {
        // Numbers of channels come from str0m alone.
        let id: ChannelId = str0m::Rtc::new(Instant::now()).direct_api().create_data_channel(Default::default());
        let (sender, mut opened) = mpsc::channel(1);
        let mut hooked = Hooked::new(sender);
        assert!(hooked.open(id, 3) && !hooked.open(id, 3), "one waits");
        let mut channel = opened.try_recv().unwrap();
        assert_eq!((channel.id, channel.hook), (id, 3));
        let message = Message { is_text: true, data: b"hello".to_vec() };
        assert!((0..QUEUED).all(|_| hooked.send(id, message.clone())));
        assert!(!hooked.send(id, message.clone()) && !hooked.close(id));
        // What came before is still there, and then the end.
        let left = std::iter::from_fn(|| channel.messages.try_recv().ok()).count();
        assert_eq!((left, channel.messages.try_recv()), (QUEUED, Err(mpsc::error::TryRecvError::Disconnected)));
        assert!(!Hooked::default().open(id, 0));
    }
}
