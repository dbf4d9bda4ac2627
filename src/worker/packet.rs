//! What a muxer's appsink delivers, as frames for the server: whole access units, join points marked.

use super::{
    codec,
    event::Events,
    event::{Event, Run},
    link::{Outlet, Payload},
};
use crate::{
    ipc::FromWorker,
    media::{Container, Kind, Scanned, Scanner, flv},
};
use gstreamer as gst;
use std::{sync::Arc, time::Duration};

/// Most bytes of a Matroska block that is not whole yet.
const MAX_BLOCK: usize = 32 << 20;

/// How headers of FLAC begin in caps, which have them as Ogg does: so many bytes are in front of what is FLAC itself
/// (RFC 9639, section 10.1).
const OGG_FLAC: &[u8] = b"\x7fFLAC";
const OGG_FLAC_HEAD: usize = 9;

/// Where the packets of one run of a stream leave.
pub(super) struct Exit {
    pub(super) outlet: Arc<Outlet>,
    pub(super) events: Events,
    pub(super) run: Run,
    /// What running times count from, on the machine's monotonic clock, in nanoseconds.
    pub(super) epoch: u64,
}

impl Exit {
    /// When what has this running time was captured.
    pub(super) fn captured(&self, running: u64) -> Duration {
        Duration::from_nanos(self.epoch.saturating_add(running))
    }

    /// Sends a packet, and says so if it is the first one.
    pub(super) fn send(&self, key: bool, captured: Option<Duration>, payload: Payload) {
        // An empty chunk would end an HTTP body.
        if payload.len() > 0 && self.outlet.packet(key, captured, payload) {
            self.events.send(Event::First(self.run));
            self.events.send(Event::Say(FromWorker::Started { item: self.run.owner.item() }));
        }
    }
}

/// Makes frames of one stream.
pub(super) struct Packetizer {
    exit: Exit,
    container: Container,
    header: Option<Vec<u8>>,
    /// A transport stream without pictures: each PAT is a join point.
    sound_only: bool,
    blocks: Blocks,
    stamps: flv::Stamps,
    /// For containers whose muxers do not tell where a reader may begin.
    scanner: Scanner,
}

impl Packetizer {
    pub(super) fn new(exit: Exit, container: Container) -> Self {
        Self {
            exit,
            container,
            header: None,
            sound_only: false,
            blocks: Blocks::of(container),
            stamps: flv::Stamps::default(),
            scanner: Scanner::new(Some(container)),
        }
    }

    /// The muxer's caps, which may hold a new container header.
    pub(super) fn caps(&mut self, caps: &gst::CapsRef) {
        let buffers = caps.structure(0).and_then(|structure| structure.get::<gst::ArrayRef>("streamheader").ok());
        let mut header: Vec<u8> = buffers
            .iter()
            .flat_map(|array| array.iter())
            .filter_map(|value| value.get::<gst::Buffer>().ok())
            .filter_map(|buffer| buffer.map_readable().ok().map(|map| map.to_vec()))
            .flatten()
            .collect();
        // A scanner finds the header among the buffers.
        let is_told = matches!(
            self.container,
            Container::Ts | Container::Webm | Container::Mkv | Container::Flac | Container::Mjpeg
        );
        if header.is_empty() || !is_told {
            return;
        }
        if self.container == Container::Flac && header.starts_with(OGG_FLAC) {
            header.drain(..OGG_FLAC_HEAD);
        }
        self.sound_only = self.container == Container::Ts && !has_pictures(&header);
        if self.header.as_ref() != Some(&header) {
            self.exit.outlet.header(header.clone());
            self.header = Some(header);
        }
    }

    /// What comes first was pushed before: a header that the caps need not tell.
    pub(super) fn comes_late(&mut self, header: &[u8]) {
        match self.container {
            Container::Ogg | Container::Flv | Container::Wav => self.scan(header, None),
            Container::Webm | Container::Mkv if self.header.is_none() => {
                self.exit.outlet.header(header.to_vec());
                self.header = Some(header.to_vec());
            }
            _ => {}
        }
    }

    /// The timeline jumps here.
    pub(super) fn discontinue(&mut self) {
        self.blocks = Blocks::of(self.container);
        self.scanner = Scanner::new(Some(self.container));
        self.exit.outlet.discontinue();
    }

    /// What the muxer pushed at once, with the running time of its media since the epoch. Streaming thread.
    pub(super) fn push(&mut self, buffers: &[gst::Buffer], running: Option<u64>) {
        let captured = running.map(|running| self.exit.captured(running));
        match self.container {
            Container::Ts => {
                let bytes = joined(buffers);
                let key = if self.sound_only {
                    // PID 0 with the start of a section: a PAT.
                    matches!(bytes.get(..3), Some([0x47, 0x40, 0x00]))
                } else {
                    buffers.iter().any(|buffer| codec::is_key(buffer))
                };
                self.exit.send(key, captured, Payload::Owned(bytes));
            }
            Container::Webm | Container::Mkv => {
                for buffer in buffers {
                    // Headers travel as caps.
                    if buffer.flags().contains(gst::BufferFlags::HEADER) {
                        continue;
                    }
                    let Ok(map) = buffer.map_readable() else { continue };
                    self.blocks.push(&map, codec::is_key(buffer));
                    while let Some((key, bytes)) = self.blocks.next() {
                        self.exit.send(key, captured, Payload::Owned(bytes));
                    }
                }
            }
            Container::Flv => {
                let mut bytes = Vec::new();
                for buffer in buffers {
                    let Ok(map) = buffer.map_readable() else { continue };
                    let from = bytes.len();
                    bytes.extend_from_slice(&map);
                    let tag = bytes.get_mut(from..).unwrap_or_default();
                    if !self.stamps.mend(tag, buffer.pts().map(Duration::from)) {
                        bytes.truncate(from);
                    }
                }
                self.scan(&bytes, captured);
            }
            Container::Ogg | Container::Mp4 | Container::Mp3 | Container::Aac | Container::Wav => {
                self.scan(&joined(buffers), captured);
            }
            Container::Flac => {
                for buffer in buffers {
                    let Ok(map) = buffer.clone().into_mapped_buffer_readable() else { continue };
                    // Metadata travel as caps.
                    if map.starts_with(&[0xff]) {
                        self.exit.send(true, captured, Payload::Mapped(vec![map]));
                    }
                }
            }
            Container::Mjpeg => {
                for buffer in buffers {
                    let Ok(map) = buffer.clone().into_mapped_buffer_readable() else { continue };
                    // What a multipart muxer puts between the pictures is the server's to write.
                    if map.starts_with(&[0xff, 0xd8]) {
                        self.exit.send(true, captured, Payload::Mapped(vec![map]));
                    }
                }
            }
            Container::Raw => {
                let pieces = buffers.iter().filter_map(|buffer| buffer.clone().into_mapped_buffer_readable().ok());
                self.exit.send(true, captured, Payload::Mapped(pieces.collect()));
            }
        }
    }

    fn scan(&mut self, bytes: &[u8], captured: Option<Duration>) {
        let mut found = Vec::new();
        self.scanner.push(bytes, &mut found);
        for found in found {
            match found {
                // Clusters of our own muxers begin with their key pictures.
                Scanned::Container(_) | Scanned::Lead(_) => {}
                Scanned::Header(header) => self.exit.outlet.header(header.to_vec()),
                Scanned::Packet { kind, payload } => {
                    let payload = Payload::Owned(payload.payload().to_vec());
                    self.exit.send(kind == Kind::Keyframe, captured, payload);
                }
            }
        }
    }
}

fn joined(buffers: &[gst::Buffer]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(buffers.iter().map(|buffer| buffer.size()).sum());
    for buffer in buffers {
        if let Ok(map) = buffer.map_readable() {
            bytes.extend_from_slice(&map);
        }
    }
    bytes
}

/// Whether the program map table among these transport packets lists a video stream (ISO/IEC 13818-1, 2.4.4.9).
pub(super) fn has_pictures(packets: &[u8]) -> bool {
    packets.chunks_exact(188).filter_map(map_section).any(|section| {
        let streams = section.get(12..).zip(section.get(10..12).and_then(|pair| pair.first_chunk::<2>()));
        let Some((streams, length)) = streams else { return false };
        let mut rest = streams.get(usize::from(u16::from_be_bytes(*length) & 0xfff)..).unwrap_or_default();
        // The last four bytes of a section are its checksum.
        while let (Some([kind, _, _, high, low]), true) = (rest.first_chunk::<5>(), rest.len() > 4 + 4) {
            let length = usize::from(u16::from_be_bytes([*high, *low]) & 0xfff);
            let described = rest.get(5..5 + length).unwrap_or_default();
            let private = described.windows(4).any(|word| matches!(word, b"AV01" | b"VP09" | b"drac"));
            if matches!(kind, 0x01 | 0x02 | 0x10 | 0x1b | 0x20 | 0x21 | 0x24 | 0x33 | 0x42 | 0xd1 | 0xea) || private {
                return true;
            }
            rest = rest.get(5 + length..).unwrap_or_default();
        }
        false
    })
}

/// The program map section that begins in a transport packet.
fn map_section(packet: &[u8]) -> Option<&[u8]> {
    let [sync, high, low, control] = *packet.first_chunk::<4>()?;
    let pid = u16::from_be_bytes([high & 0x1f, low]);
    if sync != 0x47 || pid == 0 || high & 0x40 == 0 {
        return None;
    }
    let adaptation = if control & 0x20 != 0 { 1 + usize::from(*packet.get(4)?) } else { 0 };
    let payload = packet.get(4 + adaptation..)?;
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let length = usize::from(u16::from_be_bytes([*section.get(1)?, *section.get(2)?]) & 0xfff);
    (*section.first()? == 2).then_some(section.get(..3 + length)?)
}

/// The id of a cluster.
const CLUSTER: u32 = 0x1f43_b675;

/// Puts Matroska blocks together: a cluster's header, a block's header and its payload leave as one piece.
#[derive(Default)]
struct Blocks {
    /// Whether there was a cluster. A stream may begin while its feed runs, between the header of a block and what is in it,
    /// and from there on nothing would be understood.
    begun: bool,
    bytes: Vec<u8>,
    /// Up to where elements are known to be whole.
    parsed: usize,
    key: bool,
    /// Times do not step back within a cluster. GStreamer's muxer writes sound later by the delay of its codec, which it does
    /// not know of when it puts blocks in order, and Media Source Extensions refuse what comes of it. In WebM, where pictures
    /// are never reordered, a block that is a few milliseconds too early takes the time of the one in front of it.
    in_order: bool,
    /// Time of the last block, relative to its cluster.
    newest: i16,
}

impl Blocks {
    fn of(container: Container) -> Self {
        Self { in_order: container == Container::Webm, ..Self::default() }
    }

    /// Takes a buffer of the muxer, which begins a cluster with one of its own.
    fn push(&mut self, bytes: &[u8], key: bool) {
        self.begun |= bytes.starts_with(&CLUSTER.to_be_bytes());
        if !self.begun {
            return;
        }
        if self.bytes.is_empty() {
            self.key = key;
        } else {
            self.key |= key;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole block and whether it is a join point.
    fn next(&mut self) -> Option<(bool, Vec<u8>)> {
        const SIMPLE_BLOCK: u32 = 0xa3;
        const BLOCK_GROUP: u32 = 0xa0;
        loop {
            if self.bytes.len() > MAX_BLOCK {
                return Some(self.take(self.bytes.len()));
            }
            let (id, id_length) = element_id(self.bytes.get(self.parsed..)?)?;
            let (size, size_length) = element_size(self.bytes.get(self.parsed + id_length..)?)?;
            let body = self.parsed + id_length + size_length;
            let end = if id == CLUSTER { body } else { body.checked_add(size)? };
            if end > self.bytes.len() {
                return None;
            }
            self.parsed = end;
            if id == CLUSTER {
                self.newest = i16::MIN;
            }
            if id == SIMPLE_BLOCK || id == BLOCK_GROUP {
                let time = if id == SIMPLE_BLOCK { self.time_of(body) } else { self.time_in_group(body, end) };
                if let Some(at) = time.filter(|_| self.in_order) {
                    self.put_in_order(at);
                }
                return Some(self.take(end));
            }
        }
    }

    /// Where the relative time of the block is whose content begins at `body` (RFC 9559, section 10.1).
    fn time_of(&self, body: usize) -> Option<usize> {
        let (_, track_length) = element_size(self.bytes.get(body..)?)?;
        Some(body + track_length)
    }

    /// The same of the block in a group.
    fn time_in_group(&self, mut at: usize, end: usize) -> Option<usize> {
        const BLOCK: u32 = 0xa1;
        while at < end {
            let (id, id_length) = element_id(self.bytes.get(at..end)?)?;
            let (size, size_length) = element_size(self.bytes.get(at + id_length..end)?)?;
            let body = at + id_length + size_length;
            if id == BLOCK {
                return self.time_of(body);
            }
            at = body.checked_add(size)?;
        }
        None
    }

    fn put_in_order(&mut self, at: usize) {
        if let Some(time) = self.bytes.get_mut(at..).and_then(|bytes| bytes.first_chunk_mut::<2>()) {
            self.newest = self.newest.max(i16::from_be_bytes(*time));
            *time = self.newest.to_be_bytes();
        }
    }

    fn take(&mut self, end: usize) -> (bool, Vec<u8>) {
        let rest = self.bytes.split_off(end.min(self.bytes.len()));
        self.parsed = 0;
        (std::mem::take(&mut self.key), std::mem::replace(&mut self.bytes, rest))
    }
}

/// An element id with its marker bits, and its length (RFC 8794, section 5).
fn element_id(bytes: &[u8]) -> Option<(u32, usize)> {
    let length = bytes.first()?.leading_zeros() as usize + 1;
    // Longer ones do not exist; one byte of rubbish is stepped over as an element of its own.
    let length = if length > 4 { 1 } else { length };
    let id = bytes.get(..length)?.iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
    Some((id, length))
}

/// An element's size, and the length of that number (RFC 8794, section 6).
fn element_size(bytes: &[u8]) -> Option<(usize, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    if length > 8 {
        return Some((0, 1));
    }
    let rest = bytes.get(1..length)?;
    let marker = u64::from(first) & ((1 << (8 - length)) - 1);
    let size = rest.iter().fold(marker, |size, byte| size << 8 | u64::from(*byte));
    Some((usize::try_from(size).ok()?, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn who_begins_within_a_block_waits_for_a_cluster() {
        let cluster = [0x1f, 0x43, 0xb6, 0x75, 0x01, 255, 255, 255, 255, 255, 255, 255];
        let (head, body) = ([0xa3, 0x84], [1, 0, 0, 0x80]);
        let mut blocks = Blocks::default();
        // The content of a block, which says as a size what would be waited for without end.
        for piece in [&[0x10, 0x01, 0xff, 0xff, 0xff, 0xff, 7][..], &head, &body, &cluster, &head, &body] {
            blocks.push(piece, false);
        }
        assert_eq!(blocks.next(), Some((false, [&cluster[..], &head, &body].concat())));
    }

    #[test]
    fn a_block_leaves_with_the_cluster_in_front_of_it() {
        let cluster =
            [&[0x1f, 0x43, 0xb6, 0x75, 0x01, 255, 255, 255, 255, 255, 255, 255][..], &[0xe7, 0x81, 7]].concat();
        let (head, body) = ([0xa3, 0x84], [1, 0, 0, 0x80]);
        let mut blocks = Blocks::default();
        blocks.push(&cluster, true);
        assert!(blocks.next().is_none());
        blocks.push(&head, false);
        assert!(blocks.next().is_none());
        blocks.push(&body, false);
        assert_eq!(blocks.next(), Some((true, [&cluster[..], &head, &body].concat())));
        blocks.push(&[&head[..], &body, &head].concat(), false);
        assert_eq!(blocks.next(), Some((false, [&head[..], &body].concat())));
        assert!(blocks.next().is_none());
    }

    #[test]
    fn times_of_webm_do_not_step_back_within_a_cluster() {
        let cluster = |time| [0x1f, 0x43, 0xb6, 0x75, 0x01, 255, 255, 255, 255, 255, 255, 255, 0xe7, 0x81, time];
        let simple = |time: i16| [&[0xa3, 0x84, 0x81][..], &time.to_be_bytes(), &[0x80]].concat();
        // A duration, then the block.
        let group =
            |time: i16| [&[0xa0, 0x89, 0x9b, 0x81, 10, 0xa1, 0x84, 0x82][..], &time.to_be_bytes(), &[0]].concat();
        let stream =
            [&cluster(1)[..], &simple(0), &group(16), &simple(10), &group(26), &cluster(9), &group(-1), &simple(-3)];
        let shown = |container| {
            let mut blocks = Blocks::of(container);
            blocks.push(&stream.concat(), true);
            std::iter::from_fn(move || blocks.next()).flat_map(|(_, bytes)| bytes).collect::<Vec<u8>>()
        };
        assert_eq!(shown(Container::Mkv), stream.concat(), "pictures may be in another order");
        let (later, early) = (simple(16), simple(-1));
        let expect =
            [&cluster(1)[..], &simple(0), &group(16), &later, &group(26), &cluster(9), &group(-1), &early].concat();
        assert_eq!(shown(Container::Webm), expect);
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>) {
            let mut blocks = Blocks::of(Container::Webm);
            blocks.push(&CLUSTER.to_be_bytes(), false);
            blocks.push(&bytes, false);
            while blocks.next().is_some() {}
            has_pictures(&bytes.repeat(20));
        }
    }
}
