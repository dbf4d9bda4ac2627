//! Media of a known rate, a frame at a time as an encoder gives it, each with a [`mark`] of when it was made.
//!
//! It is no media that a decoder could show: what a server looks at is right, and the rest is filling.

use crate::mark;
use rustix::pipe::fcntl_setpipe_size;
use std::{
    io::{Write, stdout},
    str::FromStr,
    time::{Duration, Instant},
};

/// What the frames are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// H.264 in a transport stream, a key picture a second.
    Ts,
    /// JPEG pictures, one behind the other.
    Mjpeg,
}

impl Kind {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Mjpeg => "mjpeg",
        }
    }
}

impl FromStr for Kind {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        [Self::Ts, Self::Mjpeg].into_iter().find(|kind| kind.name() == text).ok_or(anyhow::anyhow!("ts or mjpeg"))
    }
}

/// Frames a second.
pub const FPS: u32 = 30;
/// A key picture is so many times as large as another.
const KEY: usize = 4;
/// A frame must go into a pipe at once, or it would arrive in pieces.
const PIPE: usize = 1 << 20;

const PACKET: usize = 188;
const PAT: u16 = 0;
const PMT: u16 = 0x100;
const VIDEO: u16 = 0x101;

/// Writes frames to standard output, `rate` bits a second, until nobody reads them.
pub fn run(kind: Kind, rate: usize) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let _ = fcntl_setpipe_size(&out, PIPE);
    let mut muxer = Muxer::default();
    let (begin, mut bytes) = (Instant::now(), Vec::new());
    for number in 0u32.. {
        let due = begin + Duration::from_secs(1) * number / FPS;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        bytes.clear();
        match kind {
            Kind::Ts => muxer.frame(number, size(rate, number), &mut bytes),
            Kind::Mjpeg => jpeg(rate / 8 / FPS as usize, &mut bytes),
        }
        if out.write_all(&bytes).and_then(|()| out.flush()).is_err() {
            break;
        }
    }
    Ok(())
}

/// Bytes of a frame of a group of pictures that has one key picture and lasts a second.
fn size(rate: usize, number: u32) -> usize {
    let part = rate / 8 / (FPS as usize - 1 + KEY);
    if number.is_multiple_of(FPS) { part * KEY } else { part }
}

/// A JPEG with the mark in a comment, of about this size.
fn jpeg(size: usize, out: &mut Vec<u8>) {
    out.extend([0xff, 0xd8, 0xff, 0xfe, 0, (mark::LENGTH + 2) as u8]);
    out.extend(mark::write(mark::now()));
    // A scan, which ends at the next marker.
    out.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    out.resize(size.max(64) - 2, 0x55);
    out.extend([0xff, 0xd9]);
}

#[derive(Default)]
struct Muxer {
    counters: [(u16, u8); 3],
}

impl Muxer {
    /// One picture, in a PES packet in transport packets (ISO/IEC 13818-1), with the tables in front of a key picture.
    fn frame(&mut self, number: u32, size: usize, out: &mut Vec<u8>) {
        let is_key = number.is_multiple_of(FPS);
        if is_key {
            self.table(PAT, &[0x00, 0xb0, 0x0d, 0, 1, 0xc1, 0, 0, 0, 1, 0xe1, 0x00], out);
            let video = [0xe1, 0x01];
            let pmt =
                [0x02, 0xb0, 0x12, 0, 1, 0xc1, 0, 0, video[0], video[1], 0xf0, 0, 0x1b, video[0], video[1], 0xf0, 0];
            self.table(PMT, &pmt, out);
        }
        let ticks = u64::from(number) * 90_000 / u64::from(FPS);
        let mut unit = vec![0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5];
        unit.extend(timestamp(ticks + 9_000));
        // Access unit delimiter, then an SEI message of type 5 (H.264, D.1.7), then the picture.
        unit.extend([0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 6, 5, mark::LENGTH as u8]);
        unit.extend(mark::write(mark::now()));
        unit.extend([0x80, 0, 0, 1, if is_key { 0x65 } else { 0x41 }]);
        unit.resize(size.max(unit.len() + 1), 0x55);
        let mut rest = &unit[..];
        let mut is_first = true;
        while !rest.is_empty() {
            let mut adaptation = Vec::new();
            if is_first {
                adaptation.push(if is_key { 0x50 } else { 0x10 });
                adaptation.extend(clock(ticks));
            }
            rest = self.packet(VIDEO, is_first, adaptation, rest, out);
            is_first = false;
        }
    }

    fn table(&mut self, pid: u16, section: &[u8], out: &mut Vec<u8>) {
        let mut payload = [&[0], section, &crc(section).to_be_bytes()].concat();
        payload.resize(PACKET - 4, 0xff);
        self.packet(pid, true, Vec::new(), &payload, out);
    }

    /// Writes one packet; returns what did not fit.
    fn packet<'a>(
        &mut self,
        pid: u16,
        starts: bool,
        mut adaptation: Vec<u8>,
        payload: &'a [u8],
        out: &mut Vec<u8>,
    ) -> &'a [u8] {
        let room = PACKET - 4;
        let head = if adaptation.is_empty() { 0 } else { adaptation.len() + 1 };
        let taken = payload.len().min(room - head);
        let stuffing = room - head - taken;
        if stuffing > 0 && adaptation.is_empty() && stuffing > 1 {
            adaptation.push(0);
        }
        let has_adaptation = head > 0 || stuffing > 0;
        if has_adaptation {
            adaptation.resize(room - taken - 1, 0xff);
        }
        let counter = self.counter(pid);
        let control = if has_adaptation { 0x30 } else { 0x10 };
        out.extend([0x47, (u8::from(starts) << 6) | (pid >> 8) as u8, pid as u8, control | counter]);
        if has_adaptation {
            out.push(adaptation.len() as u8);
            out.extend(adaptation);
        }
        let (now, later) = payload.split_at(taken);
        out.extend(now);
        later
    }

    fn counter(&mut self, pid: u16) -> u8 {
        let place = [PAT, PMT, VIDEO].iter().position(|known| *known == pid).unwrap_or_default();
        let (_, counter) = &mut self.counters[place];
        std::mem::replace(counter, (*counter + 1) & 15)
    }
}

/// A PTS (2.4.3.7).
fn timestamp(ticks: u64) -> [u8; 5] {
    let part = |shift: u32, bits: u64| ((ticks >> shift) & bits) as u16;
    let (middle, low) = (part(15, 0x7fff) << 1 | 1, part(0, 0x7fff) << 1 | 1);
    [0x21 | (part(30, 7) << 1) as u8, (middle >> 8) as u8, middle as u8, (low >> 8) as u8, low as u8]
}

/// A PCR (2.4.3.5).
fn clock(ticks: u64) -> [u8; 6] {
    let bits = ticks << 15 | 0x7e00;
    let bytes = bits.to_be_bytes();
    [bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]
}

/// Of a section (annex A).
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| crc << 1 ^ if crc >> 31 == 1 { 0x04c1_1db7 } else { 0 })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_rate_that_is_asked_for_and_whole_packets() {
        let (mut muxer, mut bytes) = (Muxer::default(), Vec::new());
        (0..FPS * 4).for_each(|number| muxer.frame(number, size(4_000_000, number), &mut bytes));
        assert!((1_950_000..2_150_000).contains(&bytes.len()), "{} bytes in 4 s", bytes.len());
        let (packets, rest) = bytes.as_chunks::<PACKET>();
        assert!(rest.is_empty() && packets.iter().all(|packet| packet[0] == 0x47));
        assert_eq!(mark::find(&bytes).count(), 120);
        let mut last = None;
        for packet in packets.iter().filter(|packet| packet[2] == 1 && packet[1] & 0x1f == 1) {
            let counter = packet[3] & 15;
            assert!(last.is_none_or(|last: u8| (last + 1) & 15 == counter));
            last = Some(counter);
        }
    }

    #[test]
    fn pictures_begin_and_end_as_jpeg_does() {
        let mut bytes = Vec::new();
        jpeg(5_000, &mut bytes);
        assert!(bytes.len() == 5_000 && bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]));
        assert_eq!(mark::find(&bytes).count(), 1);
    }

    #[test]
    fn sections_have_the_checksum_of_the_standard() {
        // CRC-32/MPEG-2 of the digits, as catalogues of checksums give it.
        assert_eq!(crc(b"123456789"), 0x0376_e6e7);
    }
}
