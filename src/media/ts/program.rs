//! Follows PAT and PMTs, and chooses the program that is demuxed (ISO/IEC 13818-1, section 2.4.4).

use super::packet::{PAT_PID, Packet};
use super::psi::{Table, body, word};
use super::section::{PAT_TABLE, PMT_TABLE};

/// Most programs of a PAT that are followed.
const MAX_PROGRAMS: usize = 64;
/// Most elementary streams of a program that are demuxed: track numbers are bytes, and a PMT has room for more.
const MAX_STREAMS: usize = 32;
/// PMTs come ten times a second; after so many tables of any kind, one that is missing does not exist.
const PATIENCE: usize = 100;

/// How the bytes of an elementary stream are coded and framed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::media) enum Coding {
    MpegVideo,
    Mpeg4Visual,
    H264,
    H265,
    Av1,
    MpegAudio,
    /// AAC with ADTS headers.
    Adts,
    /// AAC in LATM with LOAS framing.
    Latm,
    /// AC-3 or E-AC-3; the frames show which.
    Dolby,
    /// Opus; the `channel_config_code` of its descriptor.
    Opus(u8),
}

impl Coding {
    pub(super) const fn is_video(&self) -> bool {
        matches!(self, Self::MpegVideo | Self::Mpeg4Visual | Self::H264 | Self::H265 | Self::Av1)
    }
}

/// An elementary stream that is demuxed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ElementaryStream {
    pub(super) pid: u16,
    pub(super) coding: Coding,
}

/// What the PMT of the chosen program says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ProgramMap {
    /// In the order of the table.
    pub(super) streams: Vec<ElementaryStream>,
    /// Names of what is not demuxed.
    pub(super) unsupported: Vec<&'static str>,
}

/// The programs of a stream.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pat: Table,
    programs: Vec<Program>,
    /// Number of the program that was chosen.
    chosen: Option<u16>,
    /// Tables that came while none was.
    waited: usize,
}

#[derive(Debug)]
struct Program {
    number: u16,
    pid: u16,
    pmt: Table,
    map: Option<ProgramMap>,
}

impl Programs {
    /// Whether packets of this PID carry a PAT or PMT.
    pub(super) fn is_table(&self, pid: u16) -> bool {
        pid == PAT_PID || self.programs.iter().any(|program| program.pid == pid)
    }

    /// Takes a packet for which [`Programs::is_table`] holds; returns the chosen program when it or its map changed.
    pub(super) fn push(&mut self, packet: Packet<'_>) -> Option<&ProgramMap> {
        let mut changed = false;
        if packet.pid() == PAT_PID {
            if self.pat.push(packet, PAT_TABLE, |_| true) {
                self.read_pat();
            }
        } else {
            for program in self.programs.iter_mut().filter(|program| program.pid == packet.pid()) {
                if program.pmt.push(packet, PMT_TABLE, |section| word(section, 3) == Some(program.number)) {
                    let map = read_pmt(&program.pmt.section);
                    changed |= self.chosen == Some(program.number) && program.map.as_ref() != Some(&map);
                    program.map = Some(map);
                }
            }
        }
        if self.chosen.is_none() && packet.starts_unit() {
            self.waited += 1;
            self.chosen = self.choose();
            changed |= self.chosen.is_some();
        }
        let chosen = self.chosen.filter(|_| changed)?;
        self.programs.iter().find(|program| program.number == chosen)?.map.as_ref()
    }

    fn read_pat(&mut self) {
        let mut known = std::mem::take(&mut self.programs);
        let (entries, _) = body(&self.pat.section, 8).as_chunks::<4>();
        for &[n0, n1, p0, p1] in entries.iter().take(MAX_PROGRAMS) {
            let (number, pid) = (u16::from_be_bytes([n0, n1]), u16::from_be_bytes([p0 & 0x1f, p1]));
            // Program 0 is the network information table.
            if number == 0 || self.programs.iter().any(|program| program.number == number) {
                continue;
            }
            let known = known
                .iter()
                .position(|program| (program.number, program.pid) == (number, pid))
                .map(|at| known.remove(at));
            self.programs.push(known.unwrap_or_else(|| Program { number, pid, pmt: Table::default(), map: None }));
        }
        // A program whose PMT moved stays chosen, and is read again.
        if !self.programs.iter().any(|program| Some(program.number) == self.chosen) {
            (self.chosen, self.waited) = (None, 0);
        }
    }

    /// The first program with video, else the first with audio, once all are described or have had their time.
    fn choose(&self) -> Option<u16> {
        let with = |wanted: fn(&ProgramMap) -> bool| {
            self.programs.iter().find(|program| program.map.as_ref().is_some_and(wanted)).map(|program| program.number)
        };
        if let Some(number) = with(|map| map.streams.iter().any(|stream| stream.coding.is_video())) {
            return Some(number);
        }
        let is_complete = self.programs.iter().all(|program| program.map.is_some());
        let described = || with(|map| !map.streams.is_empty()).or(with(|_| true));
        if is_complete || self.waited >= PATIENCE { described() } else { None }
    }
}

fn read_pmt(section: &[u8]) -> ProgramMap {
    let mut map = ProgramMap::default();
    let Some(info) = word(section, 10) else { return map };
    let mut rest = body(section, 12 + usize::from(info & 0x0fff));
    while let &[kind, p0, p1, l0, l1, ref after @ ..] = rest {
        let pid = u16::from_be_bytes([p0 & 0x1f, p1]);
        let length = usize::from(u16::from_be_bytes([l0 & 0x0f, l1])).min(after.len());
        let (descriptors, others) = after.split_at(length);
        rest = others;
        match coding(kind, descriptors) {
            Ok(coding) => {
                let is_new = map.streams.iter().all(|stream| stream.pid != pid);
                if is_new && map.streams.len() < MAX_STREAMS {
                    map.streams.push(ElementaryStream { pid, coding });
                }
            }
            Err(name) if !map.unsupported.contains(&name) => map.unsupported.push(name),
            Err(_) => {}
        }
    }
    map
}

/// How a stream is coded, by its `stream_type` (table 2-34) and descriptors, else the name of what it is.
fn coding(kind: u8, descriptors: &[u8]) -> Result<Coding, &'static str> {
    let has = |wanted: u8| each_descriptor(descriptors).any(|(tag, _)| tag == wanted);
    let registration = each_descriptor(descriptors).find(|(tag, _)| *tag == 0x05).and_then(|(_, body)| body.get(..4));
    Ok(match (kind, registration) {
        (0x01 | 0x02, _) => Coding::MpegVideo,
        (0x10, _) => Coding::Mpeg4Visual,
        (0x1b, _) => Coding::H264,
        (0x24, _) | (0x06, Some(b"HEVC")) => Coding::H265,
        (0x03 | 0x04, _) => Coding::MpegAudio,
        (0x0f, _) => Coding::Adts,
        (0x11, _) => Coding::Latm,
        // AV1G is what GStreamer wrote before it could do AV01.
        (0x06, Some(b"AV01" | b"AV1G")) => Coding::Av1,
        (0x06, Some(b"Opus")) => Coding::Opus(opus_channels(descriptors)),
        // ATSC A/52, annexes A and G; Blu-ray has more numbers for the same.
        (0x81, _) | (0x06, Some(b"AC-3")) => Coding::Dolby,
        (0x87, _) | (0x06, Some(b"EAC3")) => Coding::Dolby,
        (0x84, Some(b"HDMV")) => Coding::Dolby,
        // ETSI EN 300 468, annex D, and section 6.1 for what is private data with one descriptor.
        (0x06, _) if has(0x6a) => Coding::Dolby,
        (0x06, _) if has(0x7a) => Coding::Dolby,
        (0x06, _) if has(0x7b) => return Err("DTS"),
        (0x06, _) if has(0x59) => return Err("DVB subtitles"),
        (0x06, _) if has(0x56) || has(0x46) => return Err("teletext"),
        (0x06, Some(b"VP09")) => return Err("VP9"),
        (0x06, Some(b"DTS1" | b"DTS2" | b"DTS3"))
        | (0x82 | 0x85 | 0x86 | 0x8a, Some(b"HDMV" | b"DTS1" | b"DTS2" | b"DTS3")) => {
            return Err("DTS");
        }
        (0x86, _) => return Err("SCTE-35"),
        (0x82 | 0x85 | 0x8a, _) => return Err("DTS"),
        (0x80, Some(b"HDMV")) => return Err("PCM"),
        (0x83, Some(b"HDMV")) => return Err("TrueHD"),
        (0x90..=0x92, Some(b"HDMV")) => return Err("Blu-ray subtitles"),
        (0x21, _) => return Err("JPEG 2000"),
        (0x33, _) => return Err("H.266"),
        (0xd1, _) | (0x06, Some(b"drac")) => return Err("Dirac"),
        (0xd2, _) => return Err("AVS2"),
        (0xea, _) => return Err("VC-1"),
        (0x05, _) => return Err("private sections"),
        (0x15, _) => return Err("metadata"),
        _ => return Err("private data"),
    })
}

fn each_descriptor(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> + Clone {
    std::iter::from_fn(move || {
        let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
        let (body, rest) = rest.split_at_checked(length.into())?;
        bytes = rest;
        Some((tag, body))
    })
}

/// `channel_config_code` in the extension descriptor 0x80; stereo where it is missing.
fn opus_channels(descriptors: &[u8]) -> u8 {
    let code = each_descriptor(descriptors).find_map(|(tag, body)| match (tag, body) {
        (0x7f, &[0x80, code, ..]) => Some(code),
        _ => None,
    });
    code.unwrap_or(2)
}

#[cfg(test)]
mod tests {
    use super::super::packet::PACKET;
    use super::super::psi::tests::{described_pmt, packets, pat, pmt, section};
    use super::*;

    fn push(programs: &mut Programs, packets: &[[u8; PACKET]]) -> Option<ProgramMap> {
        let mut found = None;
        for raw in packets {
            let packet = Packet::new(raw).unwrap();
            if programs.is_table(packet.pid()) {
                found = programs.push(packet).cloned().or(found);
            }
        }
        found
    }

    fn one(streams: &[(u8, &[u8])]) -> ProgramMap {
        let mut programs = Programs::default();
        assert_eq!(push(&mut programs, &packets(0, &pat(0x1000))), None);
        push(&mut programs, &packets(0x1000, &described_pmt(0, 0, streams))).unwrap()
    }

    #[test]
    fn streams_are_told_by_type_and_descriptors() {
        #[track_caller]
        fn check(kind: u8, descriptors: &[u8], expect: Result<Coding, &'static str>) {
            let map = one(&[(0x1b, b""), (kind, descriptors)]);
            let found = match (map.streams.get(1), &map.unsupported[..]) {
                (Some(stream), []) => Ok(stream.coding.clone()),
                (None, [name]) => Err(*name),
                other => panic!("{other:?}"),
            };
            assert_eq!(found, expect);
        }
        check(0x01, b"", Ok(Coding::MpegVideo));
        check(0x02, b"", Ok(Coding::MpegVideo));
        check(0x10, b"", Ok(Coding::Mpeg4Visual));
        check(0x24, b"", Ok(Coding::H265));
        check(0x04, b"", Ok(Coding::MpegAudio));
        check(0x0f, b"", Ok(Coding::Adts));
        check(0x11, b"", Ok(Coding::Latm));
        check(0x81, b"", Ok(Coding::Dolby));
        check(0x87, b"", Ok(Coding::Dolby));
        check(0x06, b"\x52\x01\x07\x6a\x01\0", Ok(Coding::Dolby));
        check(0x06, b"\x7a\x01\0", Ok(Coding::Dolby));
        check(0x06, b"\x05\x04EAC3", Ok(Coding::Dolby));
        check(0x06, b"\x05\x04AV01\x80\x04\x81\0\0\0", Ok(Coding::Av1));
        check(0x06, b"\x05\x04Opus\x7f\x02\x80\x06", Ok(Coding::Opus(6)));
        check(0x06, b"\x05\x04Opus", Ok(Coding::Opus(2)));
        check(0x06, b"\x59\0", Err("DVB subtitles"));
        check(0x06, b"\x56\0", Err("teletext"));
        check(0x06, b"", Err("private data"));
        check(0x06, b"\x05\xffAV01", Err("private data"));
        check(0x82, b"", Err("DTS"));
        check(0x8a, b"", Err("DTS"));
        check(0x86, b"", Err("SCTE-35"));
        check(0x86, b"\x05\x04HDMV", Err("DTS"));
        check(0xc0, b"", Err("private data"));
    }

    /// A PAT of programs 1, 2, … with these PIDs.
    fn long_pat(pids: &[u16]) -> Vec<u8> {
        let entry = |(at, pid): (usize, &u16)| [0, at as u8 + 1, 0xe0 | (pid >> 8) as u8, *pid as u8];
        section(PAT_TABLE, 1, 0, &pids.iter().enumerate().flat_map(entry).collect::<Vec<u8>>())
    }

    fn pmt_of(program: u8, pid: u16, kind: u8) -> Vec<u8> {
        let body = [0xe1, 0, 0xf0, 0, kind, 0xe0 | (pid >> 8) as u8, pid as u8, 0xf0, 0];
        section(PMT_TABLE, program.into(), 0, &body)
    }

    fn pids(map: Option<ProgramMap>) -> Option<Vec<u16>> {
        map.map(|map| map.streams.iter().map(|stream| stream.pid).collect())
    }

    #[test]
    fn the_first_program_with_video_is_chosen() {
        let mut programs = Programs::default();
        push(&mut programs, &packets(0, &long_pat(&[0x20, 0x21, 0x22])));
        assert_eq!(push(&mut programs, &packets(0x20, &pmt_of(1, 0x100, 0x0f))), None, "there may be video");
        assert_eq!(pids(push(&mut programs, &packets(0x21, &pmt_of(2, 0x200, 0x1b)))), Some(vec![0x200]));
        assert_eq!(push(&mut programs, &packets(0x22, &pmt_of(3, 0x300, 0x1b))), None);
        // It left: another one follows.
        assert_eq!(pids(push(&mut programs, &packets(0, &long_pat(&[0x20])))), Some(vec![0x100]));
    }

    #[test]
    fn programs_without_description_are_not_waited_for_for_ever() {
        let mut programs = Programs::default();
        push(&mut programs, &packets(0, &long_pat(&[0x20, 0x21])));
        let tables = packets(0x20, &pmt_of(1, 0x100, 0x0f)).repeat(PATIENCE);
        assert_eq!(pids(push(&mut programs, &tables)), Some(vec![0x100]));
    }

    #[test]
    fn two_programs_may_share_a_pid() {
        let mut programs = Programs::default();
        push(&mut programs, &packets(0, &long_pat(&[0x20, 0x20])));
        assert_eq!(push(&mut programs, &packets(0x20, &pmt_of(1, 0x100, 0x0f))), None);
        assert_eq!(pids(push(&mut programs, &packets(0x20, &pmt_of(2, 0x200, 0x0f)))), Some(vec![0x100]));
    }

    #[test]
    fn new_versions_and_places_of_a_map_are_followed() {
        let mut programs = Programs::default();
        push(&mut programs, &packets(0, &pat(0x1000)));
        assert!(push(&mut programs, &packets(0x1000, &pmt(0, 0, &[0x1b]))).is_some());
        assert_eq!(push(&mut programs, &packets(0x1000, &pmt(1, 0, &[0x1b]))), None, "it says the same");
        assert_eq!(push(&mut programs, &packets(0x1000, &pmt(2, 0, &[0x1b, 0x0f]))).unwrap().streams.len(), 2);
        push(&mut programs, &packets(0, &pat(0x1001)));
        assert!(!programs.is_table(0x1000));
        assert_eq!(push(&mut programs, &packets(0x1001, &pmt(0, 0, &[0x24]))).unwrap().streams.len(), 1);
    }
}
