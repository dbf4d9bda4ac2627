//! Protocol control messages that both sides of a connection treat alike: chunk size, acknowledgements, pings (Adobe's RTMP
//! specification, sections 5.4 and 7.1.7).

use super::{
    chunk::{self, Message},
    command, kind,
};

/// The size of our chunks: most frames are one.
pub const CHUNK: usize = 65_536;
/// The size of chunks until a side sets another one.
const FIRST_CHUNK: usize = 128;
/// We acknowledge at the latest after so many bytes, whatever window the other side has.
const ACKNOWLEDGE: u64 = 1_000_000;
/// Longest command that is read.
pub(super) const MAX_COMMAND: usize = 64 << 10;

/// What one side keeps of a connection.
#[derive(Debug)]
pub(super) struct Control {
    /// Bytes so far.
    received: u64,
    acknowledged: u64,
    /// What the other side sends before it waits for an acknowledgement.
    window: u64,
    /// The size of the chunks that are sent.
    size: usize,
}

impl Default for Control {
    fn default() -> Self {
        Self { received: 0, acknowledged: 0, window: 2 * ACKNOWLEDGE, size: FIRST_CHUNK }
    }
}

impl Control {
    /// So many bytes came.
    pub(super) fn count(&mut self, bytes: usize) {
        self.received += bytes as u64;
    }

    /// Acknowledges what came, if that is due.
    pub(super) fn acknowledge(&mut self, out: &mut Vec<u8>) {
        if self.received - self.acknowledged >= ACKNOWLEDGE.min(self.window / 2).max(1) {
            self.acknowledged = self.received;
            // It counts with wraps.
            self.send(&command::control(kind::ACKNOWLEDGEMENT, self.received as u32), out);
        }
    }

    /// Takes a control message; a ping request gets its time back.
    pub(super) fn take(&mut self, message: &Message, out: &mut Vec<u8>) {
        let number = |at: usize| message.payload.get(at..)?.first_chunk().map(|number| u32::from_be_bytes(*number));
        match (message.kind, message.payload.first_chunk::<2>()) {
            (kind::WINDOW, _) => self.window = number(0).map_or(self.window, u64::from),
            (kind::USER_CONTROL, Some([0, 6])) => {
                if let Some(time) = number(2) {
                    self.send(&command::user_control(7, time), out);
                }
            }
            _ => {}
        }
    }

    /// From now on, chunks have our size.
    pub(super) fn set_chunk_size(&mut self, out: &mut Vec<u8>) {
        self.send(&command::control(kind::CHUNK_SIZE, CHUNK as u32), out);
        self.size = CHUNK;
    }

    pub(super) fn send(&self, message: &Message, out: &mut Vec<u8>) {
        chunk::write(message, self.size, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(out: &[u8]) -> Vec<Message> {
        let (mut reader, mut messages) = (chunk::ChunkReader::default(), Vec::new());
        reader.push(out, &mut messages).unwrap();
        messages
    }

    #[test]
    fn bytes_are_acknowledged_within_the_window_of_the_other_side() {
        for (window, due) in [(None, 1_000_000), (Some(200_000), 100_000), (Some(0), 1)] {
            let (mut control, mut out) = (Control::default(), Vec::new());
            if let Some(window) = window {
                control.take(&command::control(kind::WINDOW, window), &mut out);
            }
            control.count(due - 1);
            control.acknowledge(&mut out);
            assert_eq!(sent(&out), [], "{window:?}");
            control.count(1);
            control.acknowledge(&mut out);
            control.acknowledge(&mut out);
            assert_eq!(sent(&out), [command::control(kind::ACKNOWLEDGEMENT, due as u32)], "{window:?}");
        }
    }

    #[test]
    fn a_ping_gets_its_time_back_and_other_messages_nothing() {
        let (mut control, mut out) = (Control::default(), Vec::new());
        control.take(&command::user_control(6, 77), &mut out);
        assert_eq!(sent(&out), [command::user_control(7, 77)]);
        out.clear();
        let short = Message { payload: vec![0, 6, 1].into(), ..command::user_control(6, 0) };
        for message in [short, command::user_control(3, 1), command::control(kind::WINDOW, 5)] {
            control.take(&message, &mut out);
        }
        assert!(out.is_empty());
    }
}
