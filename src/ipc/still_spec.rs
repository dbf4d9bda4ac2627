//! Format, size and encoding of a still.

use serde::{Deserialize, Serialize};
use std::num::NonZeroU16;

/// Format and size of a still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StillSpec {
    /// How it is encoded.
    pub format: PictureFormat,
    /// It is to be this wide, in pixels.
    pub width: Option<NonZeroU16>,
    /// It is to be this high, in pixels. With both, it is as large as fits into them.
    pub height: Option<NonZeroU16>,
}

/// How a still is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PictureFormat {
    /// JPEG of this quality, 1 to 100.
    Jpeg {
        /// Percent.
        quality: u8,
    },
    /// PNG.
    Png,
    /// WebP of this quality, 1 to 100.
    Webp {
        /// Percent.
        quality: u8,
    },
    /// Not encoded, after a head that describes it: see [`crate::media::raw_frame`].
    Raw(Pixels),
}

/// The pixel format of raw frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pixels {
    /// Luma, then each chroma with a quarter of its samples.
    I420,
    /// Luma, then both chromas by turns.
    Nv12,
    /// Red, green and blue.
    Rgb,
    /// Blue, green and red.
    Bgr,
    /// Luma alone.
    Gray8,
}

impl Pixels {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::I420, Self::Nv12, Self::Rgb, Self::Bgr, Self::Gray8];

    /// GStreamer's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::I420 => "I420",
            Self::Nv12 => "NV12",
            Self::Rgb => "RGB",
            Self::Bgr => "BGR",
            Self::Gray8 => "GRAY8",
        }
    }
}

impl StillSpec {
    /// Largest width and height that may be asked for, in pixels: 4K and a little.
    pub const MAX_SIDE: u16 = 4096;

    /// Smallest: below it, chroma is a pixel or none.
    pub const MIN_SIDE: u16 = 16;

    /// A still of the size of its frame.
    pub const fn of(format: PictureFormat) -> Self {
        Self { format, width: None, height: None }
    }

    /// Width and height for a frame that is shown at `source`, whose ratio they keep; `None` when it is unchanged.
    pub fn size(&self, source: (u32, u32)) -> Option<(u16, u16)> {
        if self.width.is_none() && self.height.is_none() {
            return None;
        }
        let (width, height) = (u64::from(source.0.max(1)), u64::from(source.1.max(1)));
        // A side that is not asked for has a limit all the same.
        let bound = |side: Option<NonZeroU16>| u64::from(side.map_or(Self::MAX_SIDE, NonZeroU16::get));
        let (most_wide, most_high) = (bound(self.width), bound(self.height));
        let nearest = |side: u64, by: u64, of: u64| ((side * by + of / 2) / of).max(1);
        let (wide, high) = if most_wide * height <= most_high * width {
            (most_wide, nearest(most_wide, height, width))
        } else {
            (nearest(most_high, width, height), most_high)
        };
        Some((u16::try_from(wide).unwrap_or(u16::MAX), u16::try_from(high).unwrap_or(u16::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn size(width: u16, height: u16, source: (u32, u32)) -> Option<(u16, u16)> {
        let side = NonZeroU16::new;
        StillSpec { width: side(width), height: side(height), ..StillSpec::of(PictureFormat::Png) }.size(source)
    }

    #[test]
    fn the_ratio_is_kept() {
        // 0 stands for a side that is not asked for.
        for (width, height, source, expected) in [
            (0, 0, (320, 240), None),
            (160, 0, (320, 240), Some((160, 120))),
            (0, 480, (320, 240), Some((640, 480))),
            (640, 640, (1920, 1080), Some((640, 360))),
            (640, 100, (1920, 1080), Some((178, 100))),
            (1, 0, (1920, 1080), Some((1, 1))),
            (4096, 0, (100, 1000), Some((410, 4096))),
            (10, 10, (0, 0), Some((10, 10))),
        ] {
            assert_eq!(size(width, height, source), expected, "{width} {height} {source:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_asked_for_is_never_exceeded(
            width in 1..=StillSpec::MAX_SIDE, height in 1..=StillSpec::MAX_SIDE, source: (u32, u32),
        ) {
            let (wide, high) = size(width, height, source).unwrap();
            prop_assert!(wide <= width && high <= height && (wide == width || high == height));
            prop_assert!(wide > 0 && high > 0);
        }
    }
}
