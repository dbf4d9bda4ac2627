//! AAC in LATM with LOAS framing (ISO/IEC 14496-3, section 1.7), for configurations that ADTS cannot state.

use bytes::Bytes;

/// The longest `AudioMuxElement` that a LOAS header can state.
const MAX_FRAME: usize = (1 << 13) - 1;

/// Frames AAC of one configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Latm {
    config: Bytes,
}

impl Latm {
    /// `None` for what is no configuration.
    pub(super) fn new(config: &Bytes) -> Option<Self> {
        // The length of the configuration travels in one byte of bits here; real ones have 2 to 30 bytes.
        (2..=64).contains(&config.len()).then(|| Self { config: config.clone() })
    }

    /// One frame: `AudioSyncStream` with its configuration, so that a decoder can begin with any.
    pub(super) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut bits = Writer::default();
        // `useSameStreamMux` 0. `audioMuxVersion` 1, which has the length of the configuration; `audioMuxVersionA` 0.
        bits.put(0b010, 3);
        // `taraBufferFullness`.
        bits.value(0xff);
        // `allStreamsSameTimeFraming`, one subframe, one program, one layer.
        bits.put(1, 1);
        bits.put(0, 6 + 4 + 3);
        bits.value(self.config.len() as u32 * 8);
        self.config.iter().for_each(|byte| bits.put((*byte).into(), 8));
        // `frameLengthType` 0, `latmBufferFullness`; no other data, no checksum.
        bits.put(0, 3);
        bits.put(0xff, 8);
        bits.put(0, 2);
        (0..payload.len() / 255).for_each(|_| bits.put(255, 8));
        bits.put((payload.len() % 255) as u32, 8);
        payload.iter().for_each(|byte| bits.put((*byte).into(), 8));
        let element = bits.finish();
        let length = element.len().min(MAX_FRAME);
        // Sync word of 11 bits, length of 13.
        let mut frame = vec![0x56, 0xe0 | (length >> 8) as u8, length as u8];
        frame.extend_from_slice(element.get(..length).unwrap_or_default());
        frame
    }
}

/// Writes numbers of some bits, the highest bit first.
#[derive(Debug, Default)]
struct Writer {
    bytes: Vec<u8>,
    /// Bits that do not make a byte yet.
    rest: u64,
    count: u32,
}

impl Writer {
    /// Appends a number of up to 32 bits.
    fn put(&mut self, number: u32, bits: u32) {
        self.rest = self.rest << bits | u64::from(number);
        self.count += bits;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.rest >> self.count) as u8);
        }
    }

    /// `LatmGetValue`: how many bytes, then the number.
    fn value(&mut self, number: u32) {
        let bytes = (4 - number.leading_zeros() / 8).max(1);
        self.put(bytes - 1, 2);
        self.put(number, bytes * 8);
    }

    /// Zeros up to the end of a byte.
    fn finish(mut self) -> Vec<u8> {
        self.put(0, (8 - self.count % 8) % 8);
        self.bytes
    }
}
