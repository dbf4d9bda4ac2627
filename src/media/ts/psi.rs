//! Program specific information: which PID carries what (ISO/IEC 13818-1, section 2.4.4).

use super::packet::{PACKET, PAT_PID, Packet};
use super::section::{PAT_TABLE, PMT_TABLE, crc32};

/// Longest section of a PAT or PMT (sections 2.4.4.4 and 2.4.4.9).
const MAX_SECTION: usize = 1024;
/// Most packets that one section may be spread over. Seven are enough for [`MAX_SECTION`] bytes.
const MAX_PACKETS: usize = 16;

/// The tables of a stream, and the first program in them that was described. In a multiplex of several programs the
/// others pass along unseen.
#[derive(Debug, Default)]
pub(super) struct Psi {
    pat: Table,
    pmt: Table,
    pmt_pids: Vec<u16>,
    program: Option<Program>,
}

/// The packets that PAT and PMT came in.
#[derive(Debug)]
pub(super) struct Tables<'a> {
    pub(super) pat: &'a [[u8; PACKET]],
    pub(super) pmt: &'a [[u8; PACKET]],
    pub(super) pmt_pid: u16,
}

/// What a PMT says about its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Program {
    number: u16,
    pmt_pid: u16,
    /// The first video stream.
    pub(super) video: Option<Video>,
    /// The first audio stream.
    pub(super) audio: Option<u16>,
}

/// A video stream of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Video {
    pub(super) pid: u16,
    pub(super) codec: Codec,
}

/// How a video stream is coded (`stream_type`, table 2-34).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    /// MPEG-1 and MPEG-2 video.
    Mpeg2,
    H264,
    H265,
    Av1,
    /// A video codec whose keyframes only `random_access_indicator` marks.
    Other,
}

impl Psi {
    /// Whether packets of `pid` carry a PAT or PMT.
    pub(super) fn is_table(&self, pid: u16) -> bool {
        pid == PAT_PID || self.pmt_pids.contains(&pid)
    }

    /// The program, once its PMT was seen.
    pub(super) fn program(&self) -> Option<&Program> {
        self.program.as_ref()
    }

    /// The newest PAT and PMT, once both are known.
    pub(super) fn tables(&self) -> Option<Tables<'_>> {
        let program = self.program.as_ref()?;
        Some(Tables { pat: &self.pat.packets, pmt: &self.pmt.packets, pmt_pid: program.pmt_pid })
    }

    /// Takes a packet for which [`Psi::is_table`] holds; returns whether [`Psi::tables`] changed.
    pub(super) fn push(&mut self, packet: Packet<'_>) -> bool {
        if packet.is_damaged() || packet.is_scrambled() || !packet.has_payload() {
            return false;
        }
        let pid = packet.pid();
        if pid == PAT_PID {
            return self.pat.push(packet, PAT_TABLE, |_| true) && self.read_pat();
        }
        let number = self.program.as_ref().map(|program| program.number);
        match &self.program {
            Some(program) if program.pmt_pid != pid => return false,
            Some(_) => {}
            // Until one program is known, a table that begins replaces the half of another.
            None if packet.starts_unit() => self.pmt = Table::default(),
            None => {}
        }
        let ours = |section: &[u8]| number.is_none_or(|number| word(section, 3) == Some(number));
        self.pmt.push(packet, PMT_TABLE, ours) && self.read_pmt(pid)
    }

    fn read_pat(&mut self) -> bool {
        self.pmt_pids.clear();
        let (entries, _) = body(&self.pat.section, 8).as_chunks::<4>();
        for &[n0, n1, p0, p1] in entries {
            // Program 0 is the network information table.
            if [n0, n1] != [0, 0] {
                self.pmt_pids.push(u16::from_be_bytes([p0 & 0x1f, p1]));
            }
        }
        if self.program.as_ref().is_some_and(|program| !self.pmt_pids.contains(&program.pmt_pid)) {
            self.program = None;
            self.pmt = Table::default();
        }
        self.program.is_some()
    }

    fn read_pmt(&mut self, pmt_pid: u16) -> bool {
        let section = &self.pmt.section;
        let Some((number, info)) = word(section, 3).zip(word(section, 10)) else { return false };
        let mut program = Program { number, pmt_pid, video: None, audio: None };
        let mut private = None;
        let mut rest = body(section, 12 + usize::from(info & 0x0fff));
        while let &[kind, p0, p1, l0, l1, ref after @ ..] = rest {
            let pid = u16::from_be_bytes([p0 & 0x1f, p1]);
            let length = usize::from(u16::from_be_bytes([l0 & 0x0f, l1]));
            let described = after.get(..length).unwrap_or(after);
            let codec = match kind {
                0x01 | 0x02 => Some(Codec::Mpeg2),
                0x1b => Some(Codec::H264),
                0x24 => Some(Codec::H265),
                // MPEG-4 part 2, JPEG 2000, VVC, AVS2, VC-1, Dirac.
                0x10 | 0x21 | 0x33 | 0xd2 | 0xea | 0xd1 => Some(Codec::Other),
                0x06 => registration(described).and_then(registered),
                _ => None,
            };
            match (codec, kind) {
                (Some(codec), _) => program.video = program.video.or(Some(Video { pid, codec })),
                // MPEG audio, AAC as ADTS and LATM, AC-3, DTS, E-AC-3.
                (None, 0x03 | 0x04 | 0x0f | 0x11 | 0x81 | 0x82 | 0x87) => program.audio = program.audio.or(Some(pid)),
                // Private data: Opus, AC-3 in Europe, but also subtitles. A join point only when nothing else is.
                (None, 0x06) => private = private.or(Some(pid)),
                (None, _) => {}
            }
            rest = after.get(length..).unwrap_or_default();
        }
        program.audio = program.audio.or(private);
        self.program = Some(program);
        true
    }
}

/// What the registration descriptor among these names (section 2.6.8): whose private data a stream has.
fn registration(descriptors: &[u8]) -> Option<[u8; 4]> {
    let mut rest = descriptors;
    while let &[tag, length, ref after @ ..] = rest {
        let (content, others) = after.split_at_checked(usize::from(length))?;
        if tag == 0x05 {
            return content.first_chunk().copied();
        }
        rest = others;
    }
    None
}

/// The video codecs that are private data with a name.
fn registered(name: [u8; 4]) -> Option<Codec> {
    match &name {
        b"AV01" => Some(Codec::Av1),
        b"HEVC" => Some(Codec::H265),
        b"VP09" | b"drac" => Some(Codec::Other),
        _ => None,
    }
}

/// Collects the sections of one PID.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// The newest whole section that was wanted.
    pub(super) section: Vec<u8>,
    /// The packets it came in.
    packets: Vec<[u8; PACKET]>,
    partial: Option<Partial>,
}

/// A section that continues in the next packet.
#[derive(Debug)]
struct Partial {
    bytes: Vec<u8>,
    packets: Vec<[u8; PACKET]>,
}

impl Table {
    /// Takes the next packet; true when a whole, intact and wanted section differs from the one known so far.
    pub(super) fn push(&mut self, packet: Packet<'_>, table: u8, wanted: impl Fn(&[u8]) -> bool) -> bool {
        let mut changed = false;
        let (end_of_last, fresh) = if packet.starts_unit() {
            let Some((&pointer, rest)) = packet.payload().split_first() else { return false };
            let Some((end, fresh)) = rest.split_at_checked(usize::from(pointer)) else { return false };
            (end, Some(fresh))
        } else {
            (packet.payload(), None)
        };
        if let Some(partial) = self.partial.take() {
            changed |= self.go_on(partial, packet, end_of_last, table, &wanted);
        }
        let Some(mut rest) = fresh else { return changed };
        // 0xff in place of a table id: the rest of the packet is stuffing (section 2.4.4.1).
        while rest.first().is_some_and(|&id| id != 0xff) {
            match section_length(rest) {
                Some(length) if length > MAX_SECTION => break,
                Some(length) if length <= rest.len() => {
                    let (section, after) = rest.split_at(length);
                    changed |= self.take(section, &[*packet.raw()], table, &wanted);
                    rest = after;
                }
                _ => {
                    self.partial = Some(Partial { bytes: rest.to_vec(), packets: vec![*packet.raw()] });
                    break;
                }
            }
        }
        changed
    }

    fn go_on(
        &mut self,
        mut partial: Partial,
        packet: Packet<'_>,
        bytes: &[u8],
        table: u8,
        wanted: &impl Fn(&[u8]) -> bool,
    ) -> bool {
        let repeated = partial.packets.last().is_some_and(|last| last == packet.raw());
        if !repeated {
            partial.bytes.extend_from_slice(bytes);
            partial.packets.push(*packet.raw());
        }
        match section_length(&partial.bytes) {
            Some(length) if length > MAX_SECTION => false,
            Some(length) if length <= partial.bytes.len() => {
                partial.bytes.truncate(length);
                self.take(&partial.bytes, &partial.packets, table, wanted)
            }
            _ => {
                if partial.packets.len() < MAX_PACKETS {
                    self.partial = Some(partial);
                }
                false
            }
        }
    }

    fn take(&mut self, section: &[u8], packets: &[[u8; PACKET]], table: u8, wanted: &impl Fn(&[u8]) -> bool) -> bool {
        // Long syntax, in force now, the first part of the table.
        let current = matches!(section, [id, flags, _, _, _, version, 0, ..]
            if *id == table && flags & 0x80 != 0 && version & 1 != 0);
        if !current || section == self.section || !wanted(section) || crc32(section) != 0 {
            return false;
        }
        self.section = section.to_vec();
        self.packets = packets.to_vec();
        true
    }
}

/// Length of the section that begins here, as soon as it is known.
fn section_length(bytes: &[u8]) -> Option<usize> {
    word(bytes, 1).map(|word| 3 + usize::from(word & 0x0fff))
}

/// A section's bytes from `at` up to its checksum.
pub(super) fn body(section: &[u8], at: usize) -> &[u8] {
    section.get(at..section.len().saturating_sub(4)).unwrap_or_default()
}

pub(super) fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

#[cfg(test)]
pub(super) mod tests {
    pub(in super::super) use super::super::section::{packets, section};
    use super::*;

    pub(crate) fn pat(pmt_pid: u16) -> Vec<u8> {
        let [high, low] = pmt_pid.to_be_bytes();
        section(PAT_TABLE, 1, 0, &[0, 0, 0xe0, 0x10, 0, 1, 0xe0 | high, low])
    }

    /// A PMT for streams of these types on PIDs 0x100 and following, with `info` bytes of descriptors.
    pub(crate) fn pmt(version: u8, info: usize, types: &[u8]) -> Vec<u8> {
        let streams: Vec<_> = types.iter().map(|kind| (*kind, &b""[..])).collect();
        described_pmt(version, info, &streams)
    }

    /// The same, with descriptors of each stream.
    pub(crate) fn described_pmt(version: u8, info: usize, streams: &[(u8, &[u8])]) -> Vec<u8> {
        let mut body = vec![0xe1, 0x00, 0xf0 | (info >> 8) as u8, info as u8];
        body.extend(vec![0x05; info]);
        for (at, (kind, descriptors)) in streams.iter().enumerate() {
            body.extend([*kind, 0xe1, at as u8, 0xf0, descriptors.len() as u8]);
            body.extend(*descriptors);
        }
        section(PMT_TABLE, 1, version, &body)
    }

    fn push(psi: &mut Psi, packets: &[[u8; PACKET]]) -> Vec<bool> {
        packets.iter().map(|raw| psi.push(Packet::new(raw).unwrap())).collect()
    }

    #[test]
    fn programs_are_described() {
        #[track_caller]
        fn check(types: &[u8], video: Option<(u16, Codec)>, audio: Option<u16>) {
            let mut psi = Psi::default();
            assert_eq!(push(&mut psi, &packets(0, &pat(0x1000))), [false]);
            assert_eq!(push(&mut psi, &packets(0x1000, &pmt(0, 0, types))), [true]);
            let program = psi.program().unwrap();
            assert_eq!(program.video.map(|video| (video.pid, video.codec)), video);
            assert_eq!(program.audio, audio);
        }
        check(&[0x1b, 0x0f], Some((0x100, Codec::H264)), Some(0x101));
        check(&[0x0f, 0x24, 0x03], Some((0x101, Codec::H265)), Some(0x100));
        check(&[0x06, 0x11, 0x02], Some((0x102, Codec::Mpeg2)), Some(0x101));
        check(&[0x06], None, Some(0x100));
        check(&[0x05], None, None);
    }

    #[test]
    fn private_data_is_told_by_its_registration() {
        #[track_caller]
        fn check(descriptors: &[u8], video: Option<Codec>, audio: Option<u16>) {
            let mut psi = Psi::default();
            push(&mut psi, &packets(0, &pat(0x1000)));
            push(&mut psi, &packets(0x1000, &described_pmt(0, 0, &[(0x06, descriptors), (0x0f, b"")])));
            let program = psi.program().unwrap();
            assert_eq!((program.video.map(|video| video.codec), program.audio), (video, audio), "{descriptors:x?}");
        }
        check(b"\x05\x04AV01", Some(Codec::Av1), Some(0x101));
        // After another descriptor, and with the one of AV1 itself after it.
        check(b"\x52\x01\x07\x05\x04AV01\x80\x04\x81\0\0\0", Some(Codec::Av1), Some(0x101));
        check(b"\x05\x04HEVC", Some(Codec::H265), Some(0x101));
        check(b"\x05\x04VP09", Some(Codec::Other), Some(0x101));
        check(b"\x05\x04Opus\x7f\x02\x80\x02", None, Some(0x101));
        check(b"\x05\x03AV0", None, Some(0x101));
        check(b"\x05\xffAV01", None, Some(0x101));
        check(b"", None, Some(0x101));
    }

    #[test]
    fn a_long_table_comes_in_several_packets() {
        let mut psi = Psi::default();
        push(&mut psi, &packets(0, &pat(0x1000)));
        let long = packets(0x1000, &pmt(0, 700, &[0x1b]));
        assert_eq!(push(&mut psi, &long[..2]), [false, false]);
        // A packet that is sent twice counts once.
        assert_eq!(push(&mut psi, &long[1..]), [false, false, true]);
        assert_eq!(psi.tables().unwrap().pmt, long);
        assert_eq!(push(&mut psi, &long), [false; 4]);
        assert_eq!(push(&mut psi, &packets(0x1000, &pmt(1, 3, &[0x1b]))), [true]);
    }

    #[test]
    fn a_table_with_a_wrong_checksum_is_ignored() {
        let mut psi = Psi::default();
        push(&mut psi, &packets(0, &pat(0x1000)));
        let mut wrong = pmt(0, 0, &[0x1b]);
        wrong[12] ^= 1;
        assert_eq!(push(&mut psi, &packets(0x1000, &wrong)), [false]);
        assert!(psi.tables().is_none());
    }

    #[test]
    fn a_program_that_left_the_stream_is_forgotten() {
        let mut psi = Psi::default();
        push(&mut psi, &packets(0, &pat(0x1000)));
        push(&mut psi, &packets(0x1000, &pmt(0, 0, &[0x1b])));
        assert_eq!(push(&mut psi, &packets(0, &pat(0x1001))), [false]);
        assert!(psi.tables().is_none() && psi.is_table(0x1001) && !psi.is_table(0x1000));
        assert_eq!(push(&mut psi, &packets(0x1001, &pmt(0, 0, &[0x1b]))), [true]);
    }
}
