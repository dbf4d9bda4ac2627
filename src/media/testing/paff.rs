//! Interlaced H.264 in field pairs (PAFF), as cameras and broadcasters send it, and no free encoder makes it. Frames of raw macroblocks
//! (`I_PCM`) need no more than a writer of bits.

const WIDTH: u32 = 4;
/// Macroblocks from top to bottom of a frame.
const HEIGHT: u32 = 4;

/// Access units as a byte stream (ITU-T H.264, annex B): each third frame is one picture, the others are two fields. With
/// delimiters in front of each picture, or without.
pub(crate) fn byte_stream(frames: u32, with_delimiters: bool) -> Vec<u8> {
    let mut out = Vec::new();
    push(&mut out, 0x67, sequence_parameters());
    push(&mut out, 0x68, picture_parameters());
    for number in 0..frames {
        let is_idr = number % 10 == 0;
        let pictures: &[Picture] = match number % 3 {
            2 => &[Picture::Frame],
            _ => &[Picture::Top, Picture::Bottom],
        };
        for (index, picture) in pictures.iter().enumerate() {
            if with_delimiters {
                out.extend_from_slice(b"\0\0\0\x01\x09\x10");
            }
            // The second field of an IDR picture is none.
            let is_idr = is_idr && index == 0;
            push(&mut out, if is_idr { 0x65 } else { 0x41 }, slice(number, *picture, is_idr));
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq)]
enum Picture {
    Frame,
    Top,
    Bottom,
}

/// A NAL unit with this head.
fn push(out: &mut Vec<u8>, head: u8, bits: BitWriter) {
    let bytes = bits.finish();
    assert!(!bytes.windows(3).any(|three| matches!(three, [0, 0, 0..=3])), "emulation prevention is needed");
    out.extend_from_slice(&[0, 0, 0, 1, head]);
    out.extend(bytes);
}

/// Section 7.3.2.1.1: Main profile, frames or fields, display order as decoded.
fn sequence_parameters() -> BitWriter {
    let mut bits = BitWriter::default();
    bits.put(77, 8);
    bits.put(0, 8);
    bits.put(30, 8);
    // Identifier, 4 bits of `frame_num`, `pic_order_cnt_type` 2, one reference frame.
    [0, 0, 2, 1].into_iter().for_each(|value| bits.golomb(value));
    bits.put(0, 1);
    bits.golomb(WIDTH - 1);
    bits.golomb(HEIGHT / 2 - 1);
    // `frame_mbs_only_flag`, `mb_adaptive_frame_field_flag`, `direct_8x8_inference_flag`, no cropping, no VUI.
    bits.put(0b00100, 5);
    bits
}

/// Section 7.3.2.2.
fn picture_parameters() -> BitWriter {
    let mut bits = BitWriter::default();
    // Identifiers; CAVLC, no order of the bottom field; one slice group, one reference each.
    bits.golomb(0);
    bits.golomb(0);
    bits.put(0, 2);
    (0..3).for_each(|_| bits.golomb(0));
    // No weights; quantisers.
    bits.put(0, 3);
    (0..3).for_each(|_| bits.golomb(0));
    // `deblocking_filter_control_present_flag`.
    bits.put(0b100, 3);
    bits
}

/// Sections 7.3.3 to 7.3.5: intra, of `I_PCM` alone.
fn slice(frame: u32, picture: Picture, is_idr: bool) -> BitWriter {
    let mut bits = BitWriter::default();
    [0, 7, 0].into_iter().for_each(|value| bits.golomb(value));
    bits.put(frame % 10, 4);
    bits.put(u32::from(picture != Picture::Frame), 1);
    if picture != Picture::Frame {
        bits.put(u32::from(picture == Picture::Bottom), 1);
    }
    if is_idr {
        bits.golomb(frame / 10 % 2);
        bits.put(0, 2);
    } else {
        bits.put(0, 1);
    }
    // `slice_qp_delta`, `disable_deblocking_filter_idc` 1.
    bits.golomb(0);
    bits.golomb(1);
    let height = if picture == Picture::Frame { HEIGHT } else { HEIGHT / 2 };
    for block in 0..WIDTH * height {
        // `mb_type` `I_PCM`, zeros up to a byte, 256 of luma and 128 of chroma.
        bits.golomb(25);
        bits.align();
        for sample in 0..256 + 128 {
            let shade = 16 + (frame * 37 + block * 11 + sample / 16 * 3 + picture as u32 * 50) % 200;
            bits.put(shade, 8);
        }
    }
    bits
}

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    used: u32,
}

impl BitWriter {
    fn put(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.last_mut().unwrap();
            *last |= ((value >> bit & 1) as u8) << (7 - self.used % 8);
            self.used += 1;
        }
    }

    /// `ue(v)` (section 9.1).
    fn golomb(&mut self, value: u32) {
        let length = 32 - (value + 1).leading_zeros();
        self.put(0, length - 1);
        self.put(value + 1, length);
    }

    fn align(&mut self) {
        self.used = self.used.next_multiple_of(8);
    }

    fn finish(mut self) -> Vec<u8> {
        self.put(1, 1);
        self.bytes
    }
}
