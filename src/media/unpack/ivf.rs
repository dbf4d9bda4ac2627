//! IVF: frames of AV1, VP8 or VP9 after a head of 12 bytes each (<https://wiki.multimedia.cx/index.php/Duck_IVF>).

use super::frames::Frames;
use crate::media::{Time, byte_window::ByteWindow, codec::canonical::SourceForm, demux::Demuxed};
use bytes::Bytes;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 12;
/// Longest frame; a longer one means that the place in the stream is lost.
const MAX_FRAME: usize = 32 << 20;

/// Takes IVF apart from its begin.
#[derive(Debug)]
pub(super) struct Ivf {
    window: ByteWindow,
    frames: Frames,
    /// Ticks a second, as a fraction.
    rate: (u32, u32),
    has_header: bool,
    is_lost: bool,
}

impl Ivf {
    /// Whether these bytes are the begin of such a stream that we know the codec of.
    pub(super) fn begin(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?.strip_prefix(b"DKIF")?;
        let form = match header.get(4..8)? {
            b"AV01" => SourceForm::Av1ObuStream(None),
            b"VP80" => SourceForm::Vp8,
            b"VP90" => SourceForm::Vp9,
            _ => return None,
        };
        let number = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let rate = (number(16)?.max(1), number(20)?.max(1));
        let frames = Frames::new(form);
        Some(Self { window: ByteWindow::default(), frames, rate, has_header: false, is_lost: false })
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<Demuxed>) {
        let Self { window, frames, rate, has_header, is_lost } = self;
        if *is_lost {
            return;
        }
        window.push_steps(bytes, |bytes| {
            if !*has_header {
                *has_header = true;
                return Some(HEADER);
            }
            let head = bytes.first_chunk::<FRAME_HEADER>()?;
            let (size, time) = head.split_first_chunk::<4>()?;
            let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
            if size > MAX_FRAME {
                *is_lost = true;
                return None;
            }
            let frame = bytes.get(FRAME_HEADER..FRAME_HEADER + size)?;
            let ticks = i64::try_from(u64::from_le_bytes(*time.first_chunk()?)).ok()?;
            let time = Time::from_ticks(ticks.saturating_mul(rate.1.into()), rate.0);
            frames.push(Bytes::copy_from_slice(frame), Some(time), out);
            Some(FRAME_HEADER + size)
        });
    }
}
