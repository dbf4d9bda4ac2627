//! Demuxes raw frames, each after the header that `/frames` has as well: see docs/http.md.

use crate::media::{
    Sample, Time, TrackId, TrackInfo, TrackSet,
    codec::{CodecParameters, raw_video::PixelFormat},
    demux::Demuxed,
    raw_frame::{BadHeader, HEAD, MAGIC, RawFrameHeader},
    track::{Shape, VideoShape},
};
use bytes::{Buf, Bytes, BytesMut};

/// Longest side of a frame in pixels.
const MAX_SIDE: u32 = 8192;
/// Most bytes of a frame: what a ring of packets holds of it.
const MAX_FRAME: usize = 32 << 20;
/// Longest header, with what later versions add to it.
const MAX_HEAD: usize = 4096;

/// Takes raw frames apart. They have no times: those of their arrival are better than those of a foreign clock.
#[derive(Debug, Default)]
pub(super) struct RawFrames {
    held: BytesMut,
    track: Option<TrackInfo>,
    count: i64,
}

/// How the pixels of a frame come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    Same(PixelFormat),
    /// I420 with both colours in one plane, by turns.
    Nv12,
}

/// A part of a frame as it comes: where it begins, the bytes from one line to the next, those of a line, and the lines.
type Part = (usize, usize, usize, usize);

impl RawFrames {
    /// Takes the next bytes, in pieces of any size, and adds what is complete to `out`.
    ///
    /// # Errors
    /// When a header cannot be read.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) -> Result<(), BadHeader> {
        self.held.extend_from_slice(bytes);
        loop {
            let known = self.held.len().min(MAGIC.len());
            if self.held.get(..known) != MAGIC.get(..known) {
                return Err(BadHeader::Magic);
            }
            let Some(head) = self.held.get(..HEAD) else { return Ok(()) };
            let (header, begin) = RawFrameHeader::read(head)?;
            let (width, height) = (header.width, header.height);
            if !(1..=MAX_SIDE).contains(&width) || !(1..=MAX_SIDE).contains(&height) {
                return Err(BadHeader::Size);
            }
            if header.length > MAX_FRAME {
                return Err(BadHeader::Length);
            }
            if !(HEAD..=MAX_HEAD).contains(&begin) {
                return Err(BadHeader::Head);
            }
            let input = Input::of(header.format).ok_or(BadHeader::Format)?;
            let parts = input.parts(&header)?;
            let whole = begin + header.length;
            if self.held.len() < whole {
                self.held.reserve(whole - self.held.len());
                return Ok(());
            }
            self.held.advance(begin);
            let pixels = self.held.split_to(whole - begin).freeze();
            let data = input.packed((width as usize, height as usize), &parts, &pixels).ok_or(BadHeader::Planes)?;
            self.frame(input.format(), (width, height), data, out);
        }
    }

    fn frame(&mut self, format: PixelFormat, (width, height): (u32, u32), data: Bytes, out: &mut Vec<Demuxed>) {
        let shape = VideoShape { width, height, pixel_aspect: (1, 1), frame_rate: None };
        let track = TrackInfo { id: TrackId(0), codec: CodecParameters::Raw(format), shape: Shape::Video(shape) };
        if self.track.as_ref() != Some(&track) {
            self.track = Some(track.clone());
            out.push(Demuxed::Tracks(TrackSet::new(vec![track])));
        }
        // Counts frames, 25 a second.
        let time = Time::from_millis(self.count * 40);
        self.count += 1;
        out.push(Demuxed::Sample(Sample {
            track: TrackId(0),
            dts: time,
            pts: time,
            duration: None,
            is_sync: true,
            discontinuity: false,
            captured: None,
            entered: None,
            data,
        }));
    }
}

impl Input {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "I420" => Self::Same(PixelFormat::I420),
            "NV12" => Self::Nv12,
            "RGB" => Self::Same(PixelFormat::Rgb),
            "BGR" => Self::Same(PixelFormat::Bgr),
            "GRAY8" => Self::Same(PixelFormat::Gray8),
            _ => return None,
        })
    }

    const fn format(self) -> PixelFormat {
        match self {
            Self::Same(format) => format,
            Self::Nv12 => PixelFormat::I420,
        }
    }

    /// The parts of a frame, all of which are within its bytes.
    fn parts(self, header: &RawFrameHeader<'_>) -> Result<Vec<Part>, BadHeader> {
        let (width, height) = (header.width as usize, header.height as usize);
        let shapes: Vec<_> = match self {
            Self::Same(format) => format.planes(width, height).iter().map(|plane| (plane.row, plane.lines)).collect(),
            Self::Nv12 => vec![(width, height), (width.div_ceil(2) * 2, height.div_ceil(2))],
        };
        if shapes.len() != header.planes.len() {
            return Err(BadHeader::Planes);
        }
        let part = |((row, lines), (begin, stride)): ((usize, usize), &(u32, u32))| {
            let (begin, stride) = (*begin as usize, *stride as usize);
            let end = lines.checked_sub(1)?.checked_mul(stride)?.checked_add(begin)?.checked_add(row)?;
            (stride >= row && end <= header.length).then_some((begin, stride, row, lines))
        };
        shapes.into_iter().zip(&header.planes).map(part).collect::<Option<_>>().ok_or(BadHeader::Planes)
    }

    /// The frame in the usual layout.
    fn packed(self, (width, height): (usize, usize), parts: &[Part], pixels: &Bytes) -> Option<Bytes> {
        let planes = self.format().planes(width, height);
        let mut out = vec![0; planes.iter().map(|plane| plane.length).sum()];
        let mut rest = out.as_mut_slice();
        for (number, plane) in planes.iter().enumerate() {
            let (own, behind) = rest.split_at_mut_checked(plane.length)?;
            rest = behind;
            let is_mixed = self == Self::Nv12 && number > 0;
            let (begin, stride, row, _) = *parts.get(if is_mixed { 1 } else { number })?;
            for (line, to) in own.chunks_mut(plane.stride).take(plane.lines).enumerate() {
                let from = pixels.get(begin + line * stride..)?.get(..row)?;
                let to = to.get_mut(..plane.row)?;
                if is_mixed {
                    let pairs = from.as_chunks::<2>().0;
                    to.iter_mut().zip(pairs).for_each(|(to, [u, v])| *to = if number == 1 { *u } else { *v });
                } else {
                    to.copy_from_slice(from);
                }
            }
        }
        Some(out.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::split;
    use proptest::prelude::*;

    fn frame(format: &str, (width, height): (u32, u32), planes: &[(u32, u32)], pixels: &[u8]) -> Vec<u8> {
        let planes = planes.to_vec();
        let header = RawFrameHeader { width, height, format, colorimetry: "bt601", planes, length: pixels.len() };
        [&header.head()[..], pixels].concat()
    }

    fn demuxed(bytes: &[u8], size: usize) -> Result<(Vec<TrackSet>, Vec<Sample>), BadHeader> {
        let (mut frames, mut out) = (RawFrames::default(), Vec::new());
        for piece in bytes.chunks(size) {
            frames.push(piece, &mut out)?;
        }
        Ok(split(out))
    }

    #[test]
    fn frames_come_in_the_usual_layout_whatever_theirs_is() {
        // 2x2 with longer lines, and the other planes before the first.
        let i420 = frame("I420", (2, 2), &[(2, 3), (0, 1), (1, 1)], &[5, 6, 1, 2, 9, 3, 4]);
        let nv12 = frame("NV12", (2, 2), &[(0, 2), (4, 2)], &[1, 2, 3, 4, 5, 6]);
        let expected: &[u8] = &[1, 2, 0, 0, 3, 4, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0];
        let rgb = frame("RGB", (1, 2), &[(0, 3)], &[1, 2, 3, 4, 5, 6]);
        for size in [1, 7, 128, 1000] {
            let (tracks, samples) = demuxed(&[i420.clone(), nv12.clone(), rgb.clone()].concat(), size).unwrap();
            let data: Vec<_> = samples.iter().map(|sample| &sample.data[..]).collect();
            assert_eq!(data, [expected, expected, &[1, 2, 3, 0, 4, 5, 6, 0]], "{size}");
            let formats: Vec<_> = tracks.iter().map(|set| set.tracks()[0].codec.clone()).collect();
            assert_eq!(formats, [PixelFormat::I420, PixelFormat::Rgb].map(CodecParameters::Raw));
        }
    }

    #[test]
    fn what_is_wrong_with_a_header_is_said() {
        let good = frame("GRAY8", (2, 2), &[(0, 2)], &[1, 2, 3, 4]);
        let changed = |at: usize, bytes: &[u8]| {
            let mut bad = good.clone();
            bad[at..at + bytes.len()].copy_from_slice(bytes);
            demuxed(&bad, 1000).map(|(_, samples)| samples.len())
        };
        assert_eq!(changed(0, b"V"), Ok(1));
        assert_eq!(changed(3, b"2"), Err(BadHeader::Magic));
        assert_eq!(changed(4, &[1]), Err(BadHeader::Head));
        assert_eq!(changed(12, &[1]), Err(BadHeader::Length));
        assert_eq!(changed(40, &[0]), Err(BadHeader::Size));
        assert_eq!(changed(48, b"X"), Err(BadHeader::Format));
        assert_eq!(changed(80, &[2]), Err(BadHeader::Planes));
        assert_eq!(changed(80, &[9]), Err(BadHeader::Planes));
        assert_eq!(changed(92, &[1]), Err(BadHeader::Planes));
        assert_eq!(changed(92, &[3]), Err(BadHeader::Planes));
        assert_eq!(demuxed(&[&good[..], b"more"].concat(), 5), Err(BadHeader::Magic));
    }

    proptest! {
        #[test]
        fn foreign_headers_never_panic(
            numbers in prop::collection::vec(prop::sample::select(vec![0u32, 1, 2, 3, 128, 4096, u32::MAX]), 30),
            format in prop::sample::select(vec!["I420", "NV12", "RGB", "GRAY8", "é"]),
        ) {
            let mut bytes = [&MAGIC[..], &128u32.to_le_bytes()].concat();
            numbers.iter().for_each(|number| bytes.extend(number.to_le_bytes()));
            bytes[48..48 + format.len()].copy_from_slice(format.as_bytes());
            bytes.resize(9000, 0);
            let _ = demuxed(&bytes, 1000);
        }
    }
}
