//! What a `TrackEntry` says of a track (RFC 9559, section 5.1.4.1, and the codec mappings).

use super::super::coding::{WAVE_A_LAW, WAVE_FLOAT, WAVE_MU_LAW, WAVE_PCM};
use super::super::element::{self, elements, unsigned};
use super::super::tracks::float;
use crate::media::codec::canonical::SourceForm;
use crate::media::codec::{aac, av1, flac, h264, h265, mpeg4_visual, opus, pcm, xiph};
use crate::media::track::{AudioShape, Shape, VideoShape};
use bytes::Bytes;
use std::time::Duration;

/// Types of tracks (section 5.1.4.1.3).
const VIDEO_TYPE: u64 = 1;
const AUDIO_TYPE: u64 = 2;
/// Formats of `WAVEFORMATEX` whose frames say the rest (RFC 2361).
const WAVE_MPEG: u16 = 0x50;
const WAVE_MP3: u16 = 0x55;
const WAVE_AAC: u16 = 0xff;
const WAVE_AC3: u16 = 0x2000;
/// `BITMAPINFOHEADER` and `WAVEFORMATEX` without what follows them.
const BITMAP_INFO: usize = 40;
const WAVE_INFO: usize = 18;
/// `ContentCompAlgo` that takes the same bytes from the beginning of each frame.
const HEADER_STRIPPING: u64 = 3;
/// Scopes of an encoding.
const OF_FRAMES: u64 = 1;
const OF_PRIVATE: u64 = 2;

/// A track that can be read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) number: u64,
    pub(super) form: SourceForm,
    /// What the container says; 0 where it says nothing.
    pub(super) shape: Shape,
    /// It says how wide a pixel is.
    pub(super) has_aspect: bool,
    /// Of each frame.
    pub(super) duration: Option<Duration>,
    /// Nanoseconds that timestamps are later than frames are shown or heard.
    pub(super) delay: i64,
    /// What each frame begins with, though the block does not have it.
    pub(super) stripped: Bytes,
}

/// All elements of interest, as they are.
#[derive(Debug, Default)]
struct Raw<'a> {
    number: u64,
    kind: u64,
    codec: &'a [u8],
    private: &'a [u8],
    duration: u64,
    delay: u64,
    video: &'a [u8],
    audio: &'a [u8],
    encodings: Option<&'a [u8]>,
}

impl Entry {
    /// Reads a `TrackEntry`. `None` when it is neither video nor audio, or its codec or encoding is not known.
    pub(super) fn read(entry: &[u8]) -> Option<Self> {
        let mut raw = Raw::default();
        for (id, content) in elements(entry) {
            match id {
                element::TRACK_NUMBER => raw.number = unsigned(content),
                element::TRACK_TYPE => raw.kind = unsigned(content),
                element::CODEC_ID => raw.codec = content.split(|byte| *byte == 0).next().unwrap_or_default(),
                element::CODEC_PRIVATE => raw.private = content,
                element::DEFAULT_DURATION => raw.duration = unsigned(content),
                element::CODEC_DELAY => raw.delay = unsigned(content),
                element::VIDEO => raw.video = content,
                element::AUDIO => raw.audio = content,
                element::CONTENT_ENCODINGS => raw.encodings = Some(content),
                _ => {}
            }
        }
        let encoding = raw.encodings.map_or(Some(Encoding::default()), Encoding::read)?;
        let private = match encoding.scope & OF_PRIVATE {
            0 => raw.private.to_vec(),
            _ => [encoding.stripped, raw.private].concat(),
        };
        let (shape, depth, has_aspect) = match raw.kind {
            VIDEO_TYPE => {
                let (shape, has_aspect) = video(raw.video, raw.duration);
                (Shape::Video(shape), 0, has_aspect)
            }
            AUDIO_TYPE => {
                let (shape, depth) = audio(raw.audio);
                (Shape::Audio(shape), depth, false)
            }
            _ => return None,
        };
        let said = match shape {
            Shape::Audio(shape) => shape,
            Shape::Video(_) => AudioShape { rate: 0, channels: 0 },
        };
        let form = form(raw.codec, &private, &said, depth)?;
        let stripped = if encoding.scope & OF_FRAMES == 0 { &[] } else { encoding.stripped };
        Some(Self {
            number: raw.number,
            form,
            shape,
            has_aspect,
            duration: Some(Duration::from_nanos(raw.duration)).filter(|duration| !duration.is_zero()),
            delay: i64::try_from(raw.delay).unwrap_or_default(),
            stripped: Bytes::copy_from_slice(stripped),
        })
    }
}

/// `ContentEncodings` with nothing but header stripping.
#[derive(Debug, Default)]
struct Encoding<'a> {
    scope: u64,
    stripped: &'a [u8],
}

impl<'a> Encoding<'a> {
    /// `None` when there is more than that.
    fn read(encodings: &'a [u8]) -> Option<Self> {
        let mut all = elements(encodings).filter(|(id, _)| *id == element::CONTENT_ENCODING);
        let Some((_, encoding)) = all.next() else { return Some(Self::default()) };
        // Defaults of section 5.1.4.1.31: frames, compression, zlib.
        let (mut this, mut kind, mut algorithm) = (Self { scope: OF_FRAMES, stripped: &[] }, 0, 0);
        for (id, content) in elements(encoding) {
            match id {
                element::CONTENT_ENCODING_SCOPE => this.scope = unsigned(content),
                element::CONTENT_ENCODING_TYPE => kind = unsigned(content),
                element::CONTENT_COMPRESSION => {
                    for (id, content) in elements(content) {
                        match id {
                            element::CONTENT_COMP_ALGO => algorithm = unsigned(content),
                            element::CONTENT_COMP_SETTINGS => this.stripped = content,
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        (kind == 0 && algorithm == HEADER_STRIPPING && all.next().is_none()).then_some(this)
    }
}

/// The shape of a video track, and whether its pixels are said to be of some width.
fn video(video: &[u8], duration: u64) -> (VideoShape, bool) {
    let (mut width, mut height, mut wide, mut high, mut unit) = (0, 0, 0, 0, 0);
    for (id, content) in elements(video) {
        let value = unsigned(content);
        match id {
            element::PIXEL_WIDTH => width = value,
            element::PIXEL_HEIGHT => height = value,
            element::DISPLAY_WIDTH => wide = value,
            element::DISPLAY_HEIGHT => high = value,
            element::DISPLAY_UNIT => unit = value,
            _ => {}
        }
    }
    let size = |value: u64| u32::try_from(value).unwrap_or_default();
    // Pixels, centimetres, inches or the ratio itself: all of them say the ratio.
    let has_aspect = wide > 0 && high > 0 && unit <= 3 && width > 0 && height > 0;
    let pixel_aspect =
        has_aspect.then(|| fraction(wide.checked_mul(height)?, high.checked_mul(width)?)).flatten().unwrap_or((1, 1));
    let frame_rate = frame_rate(duration);
    (VideoShape { width: size(width), height: size(height), pixel_aspect, frame_rate }, has_aspect)
}

/// Frames a second, by the nanoseconds of one: 1000/1001 of a whole number where that comes near.
fn frame_rate(duration: u64) -> Option<(u32, u32)> {
    const SECOND: u64 = 1_000_000_000;
    if duration == 0 || duration > 1000 * SECOND {
        return None;
    }
    for (over, under) in [(1, 1), (1000, 1001)] {
        let rate = (SECOND * under + duration * over / 2) / (duration * over).max(1);
        let exact = (SECOND * under).checked_div(rate * over).unwrap_or_default();
        // Durations are rounded to nanoseconds, by some to microseconds.
        if rate > 0 && exact.abs_diff(duration) <= 1000 * u64::from(duration > 1_000_000) {
            let (above, below) = (u32::try_from(rate * over).ok()?, u32::try_from(under).ok()?);
            return Some((above, below));
        }
    }
    fraction(SECOND, duration)
}

/// In its lowest terms.
fn fraction(above: u64, below: u64) -> Option<(u32, u32)> {
    let (mut a, mut b) = (above, below);
    while b > 0 {
        (a, b) = (b, a % b);
    }
    let narrow = |value: u64| u32::try_from(value.checked_div(a)?).ok().filter(|value| *value > 0);
    narrow(above).zip(narrow(below))
}

/// The shape of an audio track and the bits of a sample.
fn audio(audio: &[u8]) -> (AudioShape, u64) {
    // Defaults of sections 5.1.4.1.29.1 and 5.1.4.1.29.3.
    let (mut rate, mut output, mut channels, mut depth) = (8000.0, 0.0, 1, 0);
    for (id, content) in elements(audio) {
        match id {
            element::SAMPLING_FREQUENCY => rate = float(content),
            element::OUTPUT_SAMPLING_FREQUENCY => output = float(content),
            element::CHANNELS => channels = unsigned(content),
            element::BIT_DEPTH => depth = unsigned(content),
            _ => {}
        }
    }
    let rate = if output > 0.0 { output } else { rate };
    // A cast of a floating-point number saturates.
    let shape = AudioShape { rate: rate.round() as u32, channels: u16::try_from(channels).unwrap_or_default() };
    (shape, depth)
}

/// The form of the frames, by `CodecID`.
fn form(codec: &[u8], private: &[u8], audio: &AudioShape, depth: u64) -> Option<SourceForm> {
    use SourceForm as F;
    let copy = || Bytes::copy_from_slice(private);
    let pcm = |format| Some(F::Pcm(format, audio.rate, audio.channels));
    Some(match codec {
        b"V_MPEG4/ISO/AVC" => match h264::Parameters::from_record(private) {
            Some((parameters, size)) => F::H264Lengths(parameters, size),
            // Some writers have start codes, and parameter sets in band.
            None => F::H264AnnexB,
        },
        b"V_MPEGH/ISO/HEVC" => match h265::Parameters::from_record(private) {
            Some((parameters, size)) => F::H265Lengths(parameters, size),
            None => F::H265AnnexB,
        },
        b"V_AV1" => F::Av1ObuStream(av1::Parameters::from_record(private)),
        b"V_VP8" => F::Vp8,
        b"V_VP9" => F::Vp9,
        b"V_MPEG1" | b"V_MPEG2" => F::MpegVideo,
        b"V_MPEG4/ISO/SP" | b"V_MPEG4/ISO/ASP" | b"V_MPEG4/ISO/AP" => mpeg4(private),
        b"V_MJPEG" => F::Jpeg,
        b"V_THEORA" => F::Theora(xiph::Headers::from_laced(private)?),
        b"V_MS/VFW/FOURCC" => return bitmap_form(private),
        b"A_VORBIS" => F::Vorbis(xiph::Headers::from_laced(private)?),
        b"A_OPUS" if private.starts_with(b"OpusHead") => F::Opus(opus::Parameters { head: copy() }),
        b"A_FLAC" => F::Flac(flac::Parameters::from_header(private)?),
        b"A_AAC" if !private.is_empty() => F::AacRaw(aac::Parameters { config: copy() }),
        b"A_MPEG/L1" | b"A_MPEG/L2" | b"A_MPEG/L3" => F::MpegAudio,
        b"A_AC3" | b"A_AC3/BSID9" | b"A_AC3/BSID10" | b"A_EAC3" => F::Ac3,
        b"A_PCM/INT/LIT" => return pcm(integer(depth)?),
        b"A_PCM/INT/BIG" if depth == 8 => return pcm(pcm::Format::U8),
        b"A_PCM/INT/BIG" if depth == 16 => return pcm(pcm::Format::S16Be),
        b"A_PCM/FLOAT/IEEE" if depth == 32 || depth == 0 => return pcm(pcm::Format::F32Le),
        b"A_MS/ACM" => return wave_form(private, audio),
        _ => return None,
    })
}

fn mpeg4(config: &[u8]) -> SourceForm {
    SourceForm::Mpeg4Visual(mpeg4_visual::Parameters { config: Bytes::copy_from_slice(config) })
}

fn integer(depth: u64) -> Option<pcm::Format> {
    match depth {
        8 => Some(pcm::Format::U8),
        16 => Some(pcm::Format::S16Le),
        24 => Some(pcm::Format::S24Le),
        32 => Some(pcm::Format::S32Le),
        _ => None,
    }
}

/// By the code of `BITMAPINFOHEADER`.
fn bitmap_form(info: &[u8]) -> Option<SourceForm> {
    let code: [u8; 4] = info.get(16..20)?.try_into().ok()?;
    Some(match &code.map(|byte| byte.to_ascii_uppercase()) {
        b"MJPG" | b"JPEG" => SourceForm::Jpeg,
        b"MPG1" | b"MPG2" => SourceForm::MpegVideo,
        b"H264" | b"AVC1" | b"X264" => SourceForm::H264AnnexB,
        b"XVID" | b"DIVX" | b"DX50" | b"FMP4" | b"MP4V" => mpeg4(info.get(BITMAP_INFO..).unwrap_or_default()),
        _ => return None,
    })
}

/// By the tag of `WAVEFORMATEX`.
fn wave_form(info: &[u8], audio: &AudioShape) -> Option<SourceForm> {
    let half = |at: usize| info.get(at..at + 2)?.try_into().ok().map(u16::from_le_bytes);
    let (tag, depth) = (half(0)?, u64::from(half(14)?));
    let format = match tag {
        WAVE_PCM => integer(depth)?,
        WAVE_FLOAT if depth == 32 => pcm::Format::F32Le,
        WAVE_A_LAW => pcm::Format::ALaw,
        WAVE_MU_LAW => pcm::Format::MuLaw,
        WAVE_MPEG | WAVE_MP3 => return Some(SourceForm::MpegAudio),
        WAVE_AC3 => return Some(SourceForm::Ac3),
        WAVE_AAC => {
            let config = Bytes::copy_from_slice(info.get(WAVE_INFO..).filter(|config| !config.is_empty())?);
            return Some(SourceForm::AacRaw(aac::Parameters { config }));
        }
        _ => return None,
    };
    Some(SourceForm::Pcm(format, audio.rate, audio.channels))
}
