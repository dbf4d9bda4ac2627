//! The colours of JPEG files (ITU-T T.871: BT.601 with the full range), from other kinds of YCbCr with one chroma sample for two by
//! two pixels. Pure.
//!
//! Both kinds stand for the same R'G'B'. So Cb and Cr of the one depend on Cb and Cr of the other alone, and luma on its own scale
//! plus a share of them: no pixel passes through RGB.

/// Bits behind the point of what is added to luma.
const FRACTION: u32 = 4;
/// Bits by which luma is raised before it is multiplied, and those of the factor: the upper half of the product has `FRACTION` bits.
const RAISED: u32 = 6;
const FACTOR: u32 = 16 + FRACTION - RAISED;
/// Bits behind the point of factors of chroma.
const CHROMA_FACTOR: u32 = 14;
/// The share of red and blue in the luma of BT.601.
const BT601: (f64, f64) = (0.299, 0.114);

/// Converts frames of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToJfif {
    black: i16,
    luma: i16,
    /// What Cb and Cr add to luma, to Cb and to Cr.
    added: [i32; 2],
    cb: [i32; 2],
    cr: [i32; 2],
}

/// One plane: its samples, and how many lie between the begins of two rows.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// Rows of samples.
    pub samples: &'a [u8],
    /// Samples from the begin of a row to that of the next.
    pub stride: usize,
}

/// Cb and Cr, in planes of their own or side by side.
#[derive(Debug, Clone, Copy)]
pub enum Chroma<'a> {
    /// A plane each: I420.
    Planar(Plane<'a>, Plane<'a>),
    /// In turns, Cb first: NV12.
    Interleaved(Plane<'a>),
}

impl ToJfif {
    /// From a kind whose luma has these shares of red and blue (ITU-T H.273, section 8.3), in the full range or that of video (16 to
    /// 235, 16 to 240).
    pub fn new(shares: (f64, f64), is_full: bool) -> Self {
        let ((red, blue), (red_601, blue_601)) = (shares, BT601);
        let (green, green_601) = (1.0 - red - blue, 1.0 - red_601 - blue_601);
        let (luma, chroma) = if is_full { (1.0, 1.0) } else { (255.0 / 219.0, 255.0 / 224.0) };
        // R' and B' from luma, Cr and Cb; G' from all three.
        let (to_red, to_blue) = (2.0 * (1.0 - red), 2.0 * (1.0 - blue));
        let cb_to_luma = blue_601 * to_blue - green_601 * to_blue * blue / green;
        let cr_to_luma = red_601 * to_red - green_601 * to_red * red / green;
        let (from_blue, from_red) = (0.5 / (1.0 - blue_601), 0.5 / (1.0 - red_601));
        let fixed = |value: f64, bits: u32| (value * chroma * f64::from(1u32 << bits)).round() as i32;
        Self {
            black: if is_full { 0 } else { 16 },
            luma: (luma * f64::from(1u32 << FACTOR)).round() as i16,
            added: [cb_to_luma, cr_to_luma].map(|value| fixed(value, CHROMA_FACTOR)),
            cb: [from_blue * (to_blue - cb_to_luma), -from_blue * cr_to_luma].map(|value| fixed(value, CHROMA_FACTOR)),
            cr: [-from_red * cb_to_luma, from_red * (to_red - cr_to_luma)].map(|value| fixed(value, CHROMA_FACTOR)),
        }
    }

    /// Whether frames are those of JPEG files as they are.
    pub fn changes_nothing(&self) -> bool {
        *self == Self::new(BT601, true)
    }

    /// A frame as I420 without gaps between rows and planes; `None` where a plane is too short for this size.
    pub fn convert(&self, (width, height): (usize, usize), luma: Plane<'_>, chroma: Chroma<'_>) -> Option<Vec<u8>> {
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        let (luma_size, chroma_size) = (width.checked_mul(height)?, half_width.checked_mul(half_height)?);
        let mut out = vec![0; luma_size.checked_add(chroma_size.checked_mul(2)?)?];
        let (luma_out, chroma_out) = out.split_at_mut_checked(luma_size)?;
        let (cb_out, cr_out) = chroma_out.split_at_mut_checked(chroma_size)?;
        let mut added = vec![0; half_width * 2];
        let rows_out = cb_out.chunks_exact_mut(half_width.max(1)).zip(cr_out.chunks_exact_mut(half_width.max(1)));
        for (row, ((cb_out, cr_out), two)) in rows_out.zip(luma_out.chunks_mut((width * 2).max(1))).enumerate() {
            match chroma {
                Chroma::Planar(cb, cr) => {
                    let pairs = cb.row(row, half_width)?.iter().zip(cr.row(row, half_width)?);
                    self.convert_chroma(pairs, cb_out, cr_out, &mut added);
                }
                Chroma::Interleaved(both) => {
                    let (pairs, _) = both.row(row, half_width.checked_mul(2)?)?.as_chunks();
                    self.convert_chroma(pairs.iter().map(|[cb, cr]| (cb, cr)), cb_out, cr_out, &mut added);
                }
            }
            for (line, out) in two.chunks_exact_mut(width).enumerate() {
                self.convert_luma(luma.row(row * 2 + line, width)?, &added, out);
            }
        }
        Some(out)
    }

    /// A row of chroma; `added` is what it adds to each pixel of the two rows of luma.
    fn convert_chroma<'a>(
        &self,
        pairs: impl Iterator<Item = (&'a u8, &'a u8)>,
        cb_out: &mut [u8],
        cr_out: &mut [u8],
        added: &mut [i16],
    ) {
        const HALF: i32 = 1 << (CHROMA_FACTOR - 1);
        let (both, _) = added.as_chunks_mut();
        for (((cb, cr), (cb_out, cr_out)), [one, other]) in pairs.zip(cb_out.iter_mut().zip(cr_out)).zip(both) {
            let (cb, cr) = (i32::from(*cb) - 128, i32::from(*cr) - 128);
            let sum = |[of_cb, of_cr]: [i32; 2]| of_cb * cb + of_cr * cr;
            let byte = |value: i32| (((value + HALF) >> CHROMA_FACTOR) + 128).clamp(0, 255) as u8;
            (*cb_out, *cr_out) = (byte(sum(self.cb)), byte(sum(self.cr)));
            // With one half of the last place of luma, which is cut off below.
            let share = (sum(self.added) >> (CHROMA_FACTOR - FRACTION)) as i16 + (1 << (FRACTION - 1));
            (*one, *other) = (share, share);
        }
    }

    /// A row of luma, in operations that a compiler makes vectors of.
    fn convert_luma(&self, luma: &[u8], added: &[i16], out: &mut [u8]) {
        for ((luma, added), out) in luma.iter().zip(added).zip(out) {
            let raised = (i16::from(*luma) - self.black) << RAISED;
            let scaled = ((i32::from(raised) * i32::from(self.luma)) >> 16) as i16;
            *out = ((scaled + added) >> FRACTION).clamp(0, 255) as u8;
        }
    }
}

impl<'a> Plane<'a> {
    fn row(&self, number: usize, width: usize) -> Option<&'a [u8]> {
        let begin = self.stride.checked_mul(number)?;
        self.samples.get(begin..begin.checked_add(width)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BT709: (f64, f64) = (0.2126, 0.0722);
    const BT2020: (f64, f64) = (0.2627, 0.0593);

    /// R'G'B' in 0 to 1 of a pixel.
    fn rgb((red, blue): (f64, f64), is_full: bool, [y, cb, cr]: [u8; 3]) -> [f64; 3] {
        let (black, luma, chroma) = if is_full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
        let y = (f64::from(y) - black) / luma;
        let (cb, cr) = ((f64::from(cb) - 128.0) / chroma, (f64::from(cr) - 128.0) / chroma);
        let (r, b) = (y + 2.0 * (1.0 - red) * cr, y + 2.0 * (1.0 - blue) * cb);
        [r, (y - red * r - blue * b) / (1.0 - red - blue), b]
    }

    fn one(kind: ToJfif, [y, cb, cr]: [u8; 3]) -> [u8; 3] {
        let plane = |samples| Plane { samples, stride: 1 };
        let out = kind.convert((1, 1), plane(&[y]), Chroma::Planar(plane(&[cb]), plane(&[cr]))).unwrap();
        [out[0], out[1], out[2]]
    }

    #[test]
    fn black_white_and_red_are_those_of_jpeg() {
        for shares in [BT601, BT709, BT2020] {
            let video = ToJfif::new(shares, false);
            assert_eq!(one(video, [16, 128, 128]), [0, 128, 128]);
            assert_eq!(one(video, [235, 128, 128]), [255, 128, 128]);
            assert_eq!(one(video, [1, 128, 128]), [0, 128, 128]);
            assert_eq!(one(video, [254, 128, 128]), [255, 128, 128]);
        }
        // ITU-R BT.709: red of the full range of R'G'B'.
        assert_eq!(one(ToJfif::new(BT709, false), [63, 102, 240]), [77, 85, 255]);
        assert!(ToJfif::new(BT601, true).changes_nothing() && !ToJfif::new(BT601, false).changes_nothing());
    }

    #[test]
    fn rows_have_strides_and_sides_may_be_odd() {
        // 3 × 3 pixels; what lies between rows is not looked at.
        let luma = [10, 20, 30, 255, 40, 50, 60, 255, 70, 80, 90];
        let (cb, cr) = ([100, 110, 255, 120, 130], [140, 150, 255, 160, 170]);
        let both = [100, 140, 110, 150, 255, 120, 160, 130, 170];
        let (luma, plane) = (Plane { samples: &luma, stride: 4 }, |samples| Plane { samples, stride: 3 });
        let kind = ToJfif::new(BT601, true);
        let planar = kind.convert((3, 3), luma, Chroma::Planar(plane(&cb), plane(&cr)));
        let all = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150, 160, 170];
        assert_eq!(planar.as_deref(), Some(&all[..]));
        let interleaved = Plane { samples: &both, stride: 5 };
        assert_eq!(kind.convert((3, 3), luma, Chroma::Interleaved(interleaved)).as_deref(), Some(&all[..]));
        assert_eq!(kind.convert((4, 3), luma, Chroma::Interleaved(interleaved)), None, "the last row is too short");
        assert_eq!(kind.convert((0, 0), luma, Chroma::Interleaved(interleaved)), Some(vec![]));
    }

    /// The nearest pixel of these R'G'B', each in 0 to 1.
    fn nearest((red, blue): (f64, f64), is_full: bool, [r, g, b]: [f64; 3]) -> [u8; 3] {
        let (black, luma, chroma) = if is_full { (0.0, 255.0, 255.0) } else { (16.0, 219.0, 224.0) };
        let y = red * r + (1.0 - red - blue) * g + blue * b;
        let (cb, cr) = ((b - y) / 2.0 / (1.0 - blue), (r - y) / 2.0 / (1.0 - red));
        [black + luma * y, 128.0 + chroma * cb, 128.0 + chroma * cr].map(|value| value.round() as u8)
    }

    proptest! {
        #[test]
        fn colours_stay(rgb8: [u8; 3], is_full: bool, shares in prop::sample::select(vec![BT601, BT709, BT2020])) {
            let pixel = nearest(shares, is_full, rgb8.map(|part| f64::from(part) / 255.0));
            let expected = rgb(shares, is_full, pixel).map(|part| part.clamp(0.0, 1.0));
            let found = rgb(BT601, true, one(ToJfif::new(shares, is_full), pixel)).map(|part| part.clamp(0.0, 1.0));
            // One step of luma and of chroma, in the colour that weighs it most.
            let most = (1.0 + 1.772) / 255.0;
            for (expected, found) in expected.iter().zip(found) {
                prop_assert!((expected - found).abs() <= most, "{expected} {found}");
            }
        }
    }
}
