//! Vorbis: rate and channels, and how long its packets last (Vorbis I, sections 4.2 and 4.3).

use super::super::bits::Bits;
use super::xiph::Headers;

/// What begins a header: its number and the name of the codec.
const IDENTIFICATION: &[u8] = b"\x01vorbis";
const SETUP: &[u8] = b"\x05vorbis";

/// What the headers say, as far as it is needed without a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// Samples a second of each channel.
    pub rate: u32,
    /// Number of channels.
    pub channels: u16,
    /// Samples of a short and of a long block.
    blocks: [u32; 2],
    /// Whether blocks of each mode are long.
    modes: Vec<bool>,
}

impl Stream {
    /// Reads the headers. `None` when they are not those of Vorbis.
    pub fn parse(headers: &Headers) -> Option<Self> {
        let (rate, channels, blocks) = identification(&headers.identification)?;
        let modes = modes(headers.setup.strip_prefix(SETUP)?)?;
        Some(Self { rate, channels, blocks, modes })
    }

    /// Samples of the block that a packet codes; `None` for what is no packet of audio.
    pub fn block(&self, packet: &[u8]) -> Option<u32> {
        let first = *packet.first().filter(|first| *first & 1 == 0)?;
        // As many bits as the highest number of a mode has.
        let bits = usize::BITS - (self.modes.len().checked_sub(1)?).leading_zeros();
        let mode = usize::from(first >> 1) & ((1 << bits) - 1);
        let is_long = *self.modes.get(mode)?;
        self.blocks.get(usize::from(is_long)).copied()
    }

    /// Samples that leave the decoder with a block of this size, after one of the size `previous`: half of each overlaps.
    /// The first packet of a stream gives none.
    pub fn samples(previous: u32, block: u32) -> u32 {
        previous / 4 + block / 4
    }
}

/// Rate, channels, and samples of a short and of a long block (section 4.2.2).
pub fn identification(header: &[u8]) -> Option<(u32, u16, [u32; 2])> {
    let &[0, 0, 0, 0, channels, a, b, c, d] = header.strip_prefix(IDENTIFICATION)?.first_chunk::<9>()? else {
        return None;
    };
    let (rate, blocks) = (u32::from_le_bytes([a, b, c, d]), *header.get(28)?);
    let blocks = [1 << (blocks & 0xf), 1 << (blocks >> 4)];
    (channels > 0 && rate > 0 && blocks[0] <= blocks[1]).then_some((rate, channels.into(), blocks))
}

/// Whether blocks of each mode are long. They are at the end of the setup header (section 4.2.4), after code books whose length
/// nothing shows. So the header is read from its end: numbers begin with their lowest bit, therefore they can be read backwards
/// as numbers that begin with the highest one.
fn modes(setup: &[u8]) -> Option<Vec<bool>> {
    /// Long or short, window type, transform type, mapping.
    const MODE: usize = 1 + 16 + 16 + 8;
    const MAX_MODES: usize = 64;
    let reversed: Vec<u8> = setup.iter().rev().take(8 + MAX_MODES * MODE / 8).copied().collect();
    let mut bits = Bits::new(&reversed);
    // The framing bit is the last that is set.
    while !bits.flag()? {}
    let begin = bits.position();
    // Modes look like modes further in front, too: of the counts that fit, the largest is right.
    let (mut modes, mut count) = (Vec::new(), None);
    while modes.len() < MAX_MODES {
        let read = |bits: &mut Bits<'_>| {
            let (mapping, transform, window) = (bits.take(8)?, bits.take(16)?, bits.take(16)?);
            (mapping < 64 && transform == 0 && window == 0).then_some(())?;
            bits.flag()
        };
        let Some(is_long) = read(&mut bits) else { break };
        modes.push(is_long);
        let mut ahead = Bits::new(&reversed);
        ahead.skip(begin + modes.len() * MODE)?;
        if ahead.take(6).is_some_and(|number| number as usize + 1 == modes.len()) {
            count = Some(modes.len());
        }
    }
    modes.truncate(count?);
    modes.reverse();
    Some(modes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const CAPTURE: &[u8] = include_bytes!("../../../tests/data/theora-vorbis-gst.ogg");

    /// The packets of the stream of Vorbis, each with the granule position of the page on which it ends, if it is the last there.
    fn packets() -> Vec<(Vec<u8>, Option<u64>)> {
        let (mut rest, mut serial, mut packet, mut packets) = (CAPTURE, None, Vec::new(), Vec::new());
        while rest.starts_with(b"OggS") {
            let (head, behind) = rest.split_at(27);
            let (lacing, body) = behind.split_at(head[26].into());
            let length = lacing.iter().map(|length| usize::from(*length)).sum();
            let (mut body, after) = body.split_at(length);
            rest = after;
            if body.starts_with(IDENTIFICATION) {
                serial = Some(&head[14..18]);
            }
            if serial != Some(&head[14..18]) {
                continue;
            }
            for length in lacing {
                let (part, after) = body.split_at((*length).into());
                body = after;
                packet.extend_from_slice(part);
                if *length < 255 {
                    packets.push((std::mem::take(&mut packet), None));
                }
            }
            let granule = u64::from_le_bytes(head[6..14].try_into().unwrap());
            packets.last_mut().unwrap().1 = (granule != u64::MAX).then_some(granule);
        }
        packets
    }

    #[test]
    fn packets_last_as_long_as_the_container_says() {
        let packets = packets();
        let header = |at: usize| Bytes::from(packets[at].0.clone());
        let headers = Headers { identification: header(0), comment: header(1), setup: header(2) };
        let stream = Stream::parse(&headers).unwrap();
        assert_eq!((stream.rate, stream.channels), (44_100, 1));
        assert!(packets[..3].iter().all(|(packet, _)| stream.block(packet).is_none()));
        let (mut previous, mut total, mut checked) = (0, 0, 0);
        let last = packets.len() - 1;
        for (packet, granule) in &packets[3..last] {
            let block = stream.block(packet).unwrap();
            if previous > 0 {
                total += u64::from(Stream::samples(previous, block));
            }
            previous = block;
            if let Some(granule) = granule.filter(|granule| *granule > 0) {
                assert_eq!(total, granule);
                checked += 1;
            }
        }
        assert!(checked > 3, "{checked}");
    }

    proptest! {
        #[test]
        fn foreign_bytes_never_panic(bytes: Vec<u8>, packet: Vec<u8>) {
            let _ = (identification(&bytes), identification(&[IDENTIFICATION, &bytes].concat()), modes(&bytes));
            let head = [IDENTIFICATION, &[0, 0, 0, 0, 2, 0x80, 0xbb, 0, 0][..], &[0; 12], &[0xb8, 1]].concat();
            let setup = [SETUP, &bytes].concat();
            let headers = Headers { identification: head.into(), comment: Bytes::new(), setup: setup.into() };
            if let Some(stream) = Stream::parse(&headers) {
                let _ = stream.block(&packet);
            }
        }
    }
}
