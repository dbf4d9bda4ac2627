//! Video that is not coded: frames in the layout that GStreamer gives such a format unless said otherwise.

use serde::{Deserialize, Serialize};

/// Formats of pixels, by GStreamer's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PixelFormat {
    /// Brightness, and both colours in half of the resolution.
    I420,
    /// Three bytes for each pixel.
    Rgb,
    /// The same in the other order.
    Bgr,
    /// Brightness alone.
    Gray8,
}

/// Part of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane {
    /// Bytes of a line that have pixels.
    pub row: usize,
    /// Bytes from one line to the next.
    pub stride: usize,
    /// Lines that have pixels.
    pub lines: usize,
    /// Bytes until the next plane.
    pub length: usize,
}

impl PixelFormat {
    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I420 => "I420",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Gray8 => "GRAY8",
        }
    }

    /// `ColourSpace` of Matroska.
    pub const fn four_cc(self) -> [u8; 4] {
        match self {
            Self::I420 => *b"I420",
            Self::Rgb => *b"RGB\x18",
            Self::Bgr => *b"BGR\x18",
            Self::Gray8 => *b"Y800",
        }
    }

    /// The planes of a frame of this size.
    pub fn planes(self, width: usize, height: usize) -> Vec<Plane> {
        let plane = |row: usize, lines: usize, all_lines: usize| {
            let stride = row.next_multiple_of(4);
            Plane { row, stride, lines, length: stride * all_lines }
        };
        match self {
            Self::I420 => {
                let (columns, lines) = (width.div_ceil(2), height.div_ceil(2));
                let colour = plane(columns, lines, lines);
                vec![plane(width, height, lines * 2), colour, colour]
            }
            Self::Rgb | Self::Bgr => vec![plane(width * 3, height, height)],
            Self::Gray8 => vec![plane(width, height, height)],
        }
    }
}
