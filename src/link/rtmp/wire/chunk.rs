//! Chunks (Adobe RTMP 1.0, section 5.3): the pieces that messages are sent in.

use super::kind;
use bytes::{Buf, Bytes, BytesMut};

/// The size of chunks until the other side says another one.
const FIRST_SIZE: usize = 128;
/// Longest chunk that can be agreed on: longer than any message.
const MAX_SIZE: u32 = 0xff_ffff;
/// Longest message: a keyframe of 100 Mbit/s that lasts half a second fits.
pub const MAX_MESSAGE: usize = 8 << 20;
/// Most bytes of messages that are not whole yet, over all chunk streams.
const MAX_HELD: usize = 12 << 20;
/// Most chunk streams: encoders use up to ten.
const MAX_STREAMS: usize = 64;
/// A timestamp that does not fit into three bytes follows the header.
const EXTENDED: u32 = 0xff_ffff;
/// Control messages are sent here.
const CONTROL_STREAM: u8 = 2;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// One of [`kind`].
    pub kind: u8,
    /// Number of the message stream; 0 for the connection itself.
    pub stream: u32,
    /// In milliseconds, with wraps.
    pub time: u32,
    /// What it says.
    pub payload: Bytes,
}

/// Bytes that are no chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A chunk stream begins without saying of what message.
    #[error("a chunk continues chunk stream {0}, which has not begun")]
    NoBegin(u32),
    /// Too many.
    #[error("more than {MAX_STREAMS} chunk streams")]
    TooManyStreams,
    /// Too long.
    #[error("a message of {0} bytes, where {MAX_MESSAGE} are the most")]
    TooLong(usize),
    /// Too much that is not whole.
    #[error("more than {MAX_HELD} bytes of messages that are not whole")]
    TooMuchHeld,
    /// A size that cannot be.
    #[error("chunks of {0} bytes")]
    Size(u32),
}

/// Puts messages together.
#[derive(Debug)]
pub struct ChunkReader {
    bytes: BytesMut,
    size: usize,
    streams: Vec<ChunkStream>,
    /// The chunk whose payload is being read: which stream, and how much is missing.
    current: Option<(usize, usize)>,
    held: usize,
}

#[derive(Debug)]
struct ChunkStream {
    number: u32,
    kind: u8,
    stream: u32,
    length: usize,
    time: u32,
    /// What a message adds to the time of the one before, which says no time of its own.
    delta: u32,
    /// The field of three bytes was full: what stood after the header.
    extended: Option<u32>,
    payload: BytesMut,
    is_partial: bool,
}

impl Default for ChunkReader {
    fn default() -> Self {
        Self { bytes: BytesMut::new(), size: FIRST_SIZE, streams: Vec::new(), current: None, held: 0 }
    }
}

impl ChunkReader {
    /// Takes bytes in pieces of any size, and adds whole messages to `out`. Those that are about chunks themselves count from the next
    /// chunk on, and are not added.
    ///
    /// # Errors
    /// When the bytes are no chunks; nothing can be read after that.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Message>) -> Result<(), ChunkError> {
        self.bytes.extend_from_slice(bytes);
        loop {
            let (at, left) = match self.current {
                Some(current) => current,
                None => match self.header()? {
                    Some(begun) => begun,
                    None => return Ok(()),
                },
            };
            let taken = left.min(self.bytes.len());
            let Some(stream) = self.streams.get_mut(at) else { return Ok(()) };
            stream.payload.extend_from_slice(&self.bytes.split_to(taken));
            self.held += taken;
            if self.held > MAX_HELD {
                return Err(ChunkError::TooMuchHeld);
            }
            if taken < left {
                self.current = Some((at, left - taken));
                return Ok(());
            }
            self.current = None;
            if stream.payload.len() >= stream.length {
                let message = stream.finish();
                self.held = self.held.saturating_sub(message.payload.len());
                self.take(message, out)?;
            }
        }
    }

    /// Reads the header of a chunk. `None` when it is not whole.
    fn header(&mut self) -> Result<Option<(usize, usize)>, ChunkError> {
        let Some((format, number, length)) = basic_header(&self.bytes) else { return Ok(None) };
        let mut rest = self.bytes.get(length..).unwrap_or_default();
        let known = self.streams.iter().position(|stream| stream.number == number);
        let Some(fields) = Fields::read(format, &mut rest) else { return Ok(None) };
        if known.is_none() && format != 0 {
            return Err(ChunkError::NoBegin(number));
        }
        let before = known.and_then(|at| self.streams.get(at));
        let extended = match (&fields.time, before) {
            (Some(EXTENDED), _) => {
                let Some(time) = number4(&mut rest) else { return Ok(None) };
                Some(time)
            }
            (Some(_), _) => None,
            // It stands there again in most streams, and in some it does not.
            (None, Some(ChunkStream { extended: Some(extended), .. })) => {
                let Some(again) = rest.first_chunk() else { return Ok(None) };
                if u32::from_be_bytes(*again) == *extended {
                    rest.advance(4);
                }
                Some(*extended)
            }
            (None, _) => None,
        };
        let is_partial = before.is_some_and(|before| before.is_partial);
        let (length, kind) = fields.message.or(before.map(|before| (before.length, before.kind))).unwrap_or_default();
        if length > MAX_MESSAGE {
            return Err(ChunkError::TooLong(length));
        }
        let used = self.bytes.len() - rest.len();
        self.bytes.advance(used);
        let at = match known {
            Some(at) => at,
            None if self.streams.len() >= MAX_STREAMS => return Err(ChunkError::TooManyStreams),
            None => {
                self.streams.push(ChunkStream::new(number));
                self.streams.len() - 1
            }
        };
        let Some(stream) = self.streams.get_mut(at) else { return Ok(None) };
        // Chunks that continue a message say nothing new, whatever their format.
        if !is_partial || format == 0 {
            if is_partial {
                // Another message begins: the one before will not be whole.
                self.held = self.held.saturating_sub(stream.payload.len());
                stream.payload.clear();
            }
            stream.begin(format, &fields, (length, kind), extended);
        }
        let left = stream.length.saturating_sub(stream.payload.len());
        let begun = (at, left.min(self.size));
        self.current = Some(begun);
        Ok(Some(begun))
    }

    fn take(&mut self, message: Message, out: &mut Vec<Message>) -> Result<(), ChunkError> {
        let number = message.payload.first_chunk().map(|number| u32::from_be_bytes(*number));
        match (message.kind, number) {
            (kind::CHUNK_SIZE, Some(size)) => {
                if !(1..=MAX_SIZE).contains(&size) {
                    return Err(ChunkError::Size(size));
                }
                self.size = usize::try_from(size).unwrap_or(FIRST_SIZE);
            }
            (kind::ABORT, Some(number)) => {
                if let Some(stream) = self.streams.iter_mut().find(|stream| stream.number == number) {
                    self.held = self.held.saturating_sub(stream.payload.len());
                    stream.payload.clear();
                    stream.is_partial = false;
                }
            }
            (kind::CHUNK_SIZE | kind::ABORT, None) => {}
            _ => out.push(message),
        }
        Ok(())
    }
}

impl ChunkStream {
    fn new(number: u32) -> Self {
        Self {
            number,
            kind: 0,
            stream: 0,
            length: 0,
            time: 0,
            delta: 0,
            extended: None,
            payload: BytesMut::new(),
            is_partial: false,
        }
    }

    /// A message begins.
    fn begin(&mut self, format: u8, fields: &Fields, (length, kind): (usize, u8), extended: Option<u32>) {
        let stamp = extended.or(fields.time);
        match (format, stamp) {
            (0, Some(time)) => (self.time, self.delta) = (time, 0),
            (1 | 2, Some(delta)) => {
                self.delta = delta;
                self.time = self.time.wrapping_add(delta);
            }
            _ => self.time = self.time.wrapping_add(self.delta),
        }
        if let Some(stream) = fields.stream {
            self.stream = stream;
        }
        (self.length, self.kind, self.extended, self.is_partial) = (length, kind, extended, true);
    }

    fn finish(&mut self) -> Message {
        self.is_partial = false;
        let payload = std::mem::take(&mut self.payload).freeze();
        Message { kind: self.kind, stream: self.stream, time: self.time, payload }
    }
}

/// What a message header says; formats leave out what is as before.
#[derive(Debug)]
struct Fields {
    time: Option<u32>,
    /// Length and type.
    message: Option<(usize, u8)>,
    stream: Option<u32>,
}

impl Fields {
    fn read(format: u8, rest: &mut &[u8]) -> Option<Self> {
        let mut fields = Self { time: None, message: None, stream: None };
        if format < 3 {
            fields.time = Some(number3(rest)?);
        }
        if format < 2 {
            let length = usize::try_from(number3(rest)?).ok()?;
            let (kind, after) = rest.split_first()?;
            *rest = after;
            fields.message = Some((length, *kind));
        }
        if format == 0 {
            // The one number with its low byte first.
            fields.stream = Some(number4(rest)?.swap_bytes());
        }
        Some(fields)
    }
}

fn number3(rest: &mut &[u8]) -> Option<u32> {
    let ([a, b, c], after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes([0, *a, *b, *c]))
}

fn number4(rest: &mut &[u8]) -> Option<u32> {
    let (four, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u32::from_be_bytes(*four))
}

/// Format, number of the chunk stream, and length of this header.
fn basic_header(bytes: &[u8]) -> Option<(u8, u32, usize)> {
    let first = *bytes.first()?;
    let format = first >> 6;
    Some(match first & 0x3f {
        0 => (format, 64 + u32::from(*bytes.get(1)?), 2),
        1 => (format, 64 + u32::from(*bytes.get(1)?) + 256 * u32::from(*bytes.get(2)?), 3),
        number => (format, number.into(), 1),
    })
}

/// Appends a message in chunks of this size. The first one has a whole header, so that it is the same bytes whoever gets it.
pub fn write(message: &Message, size: usize, out: &mut Vec<u8>) {
    let number: u8 = match message.kind {
        kind::AUDIO => 4,
        kind::VIDEO => 6,
        kind::DATA => 5,
        kind::COMMAND => 3,
        _ => CONTROL_STREAM,
    };
    let is_extended = message.time >= EXTENDED;
    let [_, time @ ..] = message.time.min(EXTENDED).to_be_bytes();
    let [_, length @ ..] = u32::try_from(message.payload.len()).unwrap_or(EXTENDED).to_be_bytes();
    out.push(number);
    out.extend_from_slice(&time);
    out.extend_from_slice(&length);
    out.push(message.kind);
    out.extend_from_slice(&message.stream.to_le_bytes());
    for (place, chunk) in message.payload.chunks(size.max(1)).enumerate() {
        if place > 0 {
            out.push(0xc0 | number);
        }
        if is_extended {
            out.extend_from_slice(&message.time.to_be_bytes());
        }
        out.extend_from_slice(chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(kind: u8, stream: u32, time: u32, length: usize) -> Message {
        let payload = (0..length).map(|at| at as u8).collect::<Vec<_>>().into();
        Message { kind, stream, time, payload }
    }

    fn read(bytes: &[u8], size: usize) -> Result<Vec<Message>, ChunkError> {
        let (mut reader, mut out) = (ChunkReader::default(), Vec::new());
        for piece in bytes.chunks(size) {
            reader.push(piece, &mut out)?;
        }
        Ok(out)
    }

    fn set_size(size: u32, out: &mut Vec<u8>) {
        let payload = Bytes::copy_from_slice(&size.to_be_bytes());
        write(&Message { kind: kind::CHUNK_SIZE, stream: 0, time: 0, payload }, FIRST_SIZE, out);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let messages = [
            message(kind::VIDEO, 1, 0, 1000),
            message(kind::AUDIO, 1, 16_777_214, 300),
            message(kind::VIDEO, 1, 16_777_215, 5000),
            message(kind::AUDIO, 1, u32::MAX, 1),
            message(kind::COMMAND, 0, 0, 0),
        ];
        for size in [FIRST_SIZE, 4096, 65_536] {
            let mut bytes = Vec::new();
            if size != FIRST_SIZE {
                set_size(size as u32, &mut bytes);
            }
            messages.iter().for_each(|message| write(message, size, &mut bytes));
            for piece in [1, 7, 4096] {
                assert_eq!(read(&bytes, piece).unwrap(), messages, "chunks of {size} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn short_headers_continue_what_was_said() {
        // Two video messages of 3 bytes, 40 ms apart: formats 1, 2 and 3; the last one of the connection has another length.
        let bytes = [
            &b"\x06\x00\x00\x64\x00\x00\x03\x09\x01\0\0\0abc"[..],
            b"\x46\x00\x00\x28\x00\x00\x02\x09de",
            b"\x86\x00\x00\x14fg",
            b"\xc6hi",
        ]
        .concat();
        let found = read(&bytes, 1).unwrap();
        let found: Vec<_> = found.iter().map(|message| (message.time, message.stream, &message.payload[..])).collect();
        assert_eq!(found, [(100, 1, &b"abc"[..]), (140, 1, b"de"), (160, 1, b"fg"), (180, 1, b"hi")]);
    }

    #[test]
    fn extended_times_are_repeated_or_not() {
        let head = b"\x06\xff\xff\xff\x00\x00\x84\x09\x01\0\0\0\x01\x00\x00\x00";
        let payload: Vec<u8> = (1..=132).collect();
        for again in [&b"\x01\x00\x00\x00"[..], b""] {
            let bytes = [&head[..], &payload[..128], b"\xc6", again, &payload[128..]].concat();
            let found = read(&bytes, 3).unwrap();
            assert_eq!((found[0].time, &found[0].payload[..]), (0x0100_0000, &payload[..]), "{again:?}");
        }
    }

    #[test]
    fn messages_of_several_chunk_streams_interleave() {
        let (mut one, mut other) = (Vec::new(), Vec::new());
        write(&message(kind::VIDEO, 1, 5, 200), FIRST_SIZE, &mut one);
        write(&message(kind::AUDIO, 1, 6, 100), FIRST_SIZE, &mut other);
        let bytes = [&one[..140], &other, &one[140..]].concat();
        let kinds: Vec<_> = read(&bytes, 11).unwrap().iter().map(|message| message.kind).collect();
        assert_eq!(kinds, [kind::AUDIO, kind::VIDEO]);
        // Aborted in the middle: the next message of the stream is whole.
        let mut abort = Vec::new();
        let payload = Bytes::from_static(&[0, 0, 0, 6]);
        write(&Message { kind: kind::ABORT, stream: 0, time: 0, payload }, FIRST_SIZE, &mut abort);
        let found = read(&[&one[..140], &abort, &one].concat(), 11).unwrap();
        assert_eq!(found, [message(kind::VIDEO, 1, 5, 200)]);
    }

    #[test]
    fn what_is_no_chunk_is_refused() {
        assert_eq!(read(b"\xc6", 1), Err(ChunkError::NoBegin(6)));
        assert_eq!(read(b"\x06\0\0\0\xff\xff\xff\x09\x01\0\0\0", 5), Err(ChunkError::TooLong(0xff_ffff)));
        for size in [0, 0x8000_0000] {
            let mut bytes = Vec::new();
            set_size(size, &mut bytes);
            assert_eq!(read(&bytes, 5), Err(ChunkError::Size(size)));
        }
        let many: Vec<u8> = (64..=200u8).flat_map(|at| [0, at, 0, 0, 0, 0, 0, 2, 9, 1, 0, 0, 0, b'x']).collect();
        assert!(matches!(read(&many, 9), Err(ChunkError::TooManyStreams | ChunkError::NoBegin(_))));
        let mut reader = ChunkReader::default();
        let mut big = Vec::new();
        set_size(0xff_ffff, &mut big);
        for stream in 10..13u8 {
            big.extend([stream, 0, 0, 0, 0x7f, 0xff, 0xff, 9, 1, 0, 0, 0]);
            big.extend(vec![0; 0x7f_fffe]);
        }
        assert!(reader.push(&big, &mut Vec::new()).is_ok() || reader.held <= MAX_HELD + big.len());
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_nothing_panics(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(6u8), Just(0xc6u8), Just(0xffu8), any::<u8>()], 0..600),
            size in 1usize..99,
        ) {
            let mut whole = Vec::new();
            let (mut reader, mut out) = (ChunkReader::default(), Vec::new());
            let all = ChunkReader::default().push(&bytes, &mut whole);
            let pieces = bytes.chunks(size).try_for_each(|piece| reader.push(piece, &mut out));
            prop_assert_eq!((all, whole), (pieces, out));
            prop_assert!(reader.held <= MAX_HELD && reader.streams.len() <= MAX_STREAMS);
        }
    }
}
