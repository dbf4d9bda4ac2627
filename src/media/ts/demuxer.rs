//! Demuxes transport streams from any position: one program, its elementary streams, their access units.

use super::gate::Gate;
use super::packet::Packet;
use super::program::{ElementaryStream, Programs};
use super::stream::Stream;
use super::sync::Synchronizer;
use super::timeline::Timeline;
use crate::media::TrackId;
use crate::media::demux::Demuxed;

/// Most PIDs that get a track number, so that a stream whose PIDs keep changing ends somewhere.
const MAX_TRACKS: usize = 256;
/// Names of video that is not demuxed.
const OTHER_VIDEO: [&str; 6] = ["VP9", "JPEG 2000", "H.266", "Dirac", "AVS2", "VC-1"];

/// Takes bytes of a transport stream in pieces of any size, and gives the tracks and samples of its first program with
/// video, else of its first. Packets may have 188, 192 or 204 bytes. Times are those of the stream, without wraps.
#[derive(Debug, Default)]
pub struct Demuxer {
    sync: Synchronizer,
    core: Core,
}

#[derive(Debug, Default)]
struct Core {
    programs: Programs,
    /// In the order of the PMT.
    streams: Vec<Stream>,
    /// PIDs by track number: a stream that comes back is the same track.
    pids: Vec<u16>,
    unsupported: Vec<&'static str>,
    was_scrambled: bool,
    timeline: Timeline,
    gate: Gate,
}

impl Demuxer {
    /// A demuxer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes, and adds what is complete to `out`.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        let core = &mut self.core;
        self.sync.push(bytes, |packet| core.packet(packet, out));
    }

    /// No more bytes will come: adds what is left to `out`.
    pub fn finish(&mut self, out: &mut Vec<Demuxed>) {
        let core = &mut self.core;
        self.sync.finish(|packet| core.packet(packet, out));
        let Core { streams, timeline, gate, .. } = core;
        streams.iter_mut().for_each(|stream| stream.finish(timeline, gate, out));
        gate.open(out);
    }

    /// What comes next is not waited for: adds samples that seem to be whole, and those that wait for tracks of which nothing came, to
    /// `out`.
    pub fn settle(&mut self, out: &mut Vec<Demuxed>) {
        let Core { streams, timeline, gate, .. } = &mut self.core;
        streams.iter_mut().for_each(|stream| stream.settle(timeline, gate, out));
        gate.open(out);
    }

    /// Whether the program has video, and none that is demuxed.
    pub fn misses_video(&self) -> bool {
        let has_other = self.core.unsupported.iter().any(|name| OTHER_VIDEO.contains(name));
        has_other && !self.has_video()
    }

    /// Whether the program has video that is demuxed.
    pub fn has_video(&self) -> bool {
        self.core.streams.iter().any(|stream| stream.source().coding.is_video())
    }

    /// Names of what is in the program and is not demuxed.
    pub fn unsupported(&self) -> Vec<String> {
        let scrambled = Some("scrambled").filter(|_| self.core.is_scrambled());
        self.core.unsupported.iter().copied().chain(scrambled).map(str::to_owned).collect()
    }
}

impl Core {
    fn packet(&mut self, packet: Packet<'_>, out: &mut Vec<Demuxed>) {
        let pid = packet.pid();
        if packet.is_damaged() {
            return;
        }
        if let Some(stream) = self.streams.iter_mut().find(|stream| stream.source().pid == pid) {
            stream.push(packet, &mut self.timeline, &mut self.gate, out);
        } else if self.programs.is_table(pid)
            && !packet.is_scrambled()
            && packet.has_payload()
            && let Some(map) = self.programs.push(packet)
        {
            self.unsupported.clone_from(&map.unsupported);
            let streams = map.streams.clone();
            self.set_streams(streams, out);
        }
    }

    /// Follows a new PMT: streams that stay continue, others end and begin.
    fn set_streams(&mut self, sources: Vec<ElementaryStream>, out: &mut Vec<Demuxed>) {
        self.was_scrambled = self.is_scrambled();
        let mut before = std::mem::take(&mut self.streams);
        for source in sources {
            match before.iter().position(|stream| *stream.source() == source) {
                Some(at) => self.streams.push(before.remove(at)),
                None => {
                    let Some(id) = self.id(source.pid) else { continue };
                    self.gate.forget(id);
                    self.streams.push(Stream::new(source, id));
                }
            }
        }
        let Self { timeline, gate, .. } = self;
        before.iter_mut().for_each(|stream| stream.finish(timeline, gate, out));
        let ids: Vec<TrackId> = self.streams.iter().map(Stream::id).collect();
        self.gate.announce(&ids, out);
    }

    fn is_scrambled(&self) -> bool {
        self.was_scrambled || self.streams.iter().any(Stream::is_scrambled)
    }

    fn id(&mut self, pid: u16) -> Option<TrackId> {
        let known = self.pids.iter().position(|known| *known == pid);
        let place = known.or_else(|| {
            (self.pids.len() < MAX_TRACKS).then(|| {
                self.pids.push(pid);
                self.pids.len() - 1
            })
        })?;
        u8::try_from(place).ok().map(TrackId)
    }
}

#[cfg(test)]
mod tests;
