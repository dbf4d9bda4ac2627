//! Checks of `video:` and `audio:` of a stream.

use super::{
    codec::{AudioCodec, VideoCodec},
    diagnostics::Path,
    encoder_settings::Choice,
    encoder_settings::{Audio, DEFAULT_VIDEO_BITRATE, Rate, Track, Video},
    encoders::{self, ENCODERS},
    expected::{Expected, flag, suggestion},
    raw,
    spans::Place,
    units::{Bitrate, Fps, Size, whole},
    validator::Validator,
};
use crate::media::Container;
use serde_yaml::Value;
use std::ops::RangeInclusive;

/// Good for stereo with any codec.
const DEFAULT_AUDIO_BITRATE: Bitrate = Bitrate(128_000);
/// Of JPEG frames; stills have the same.
const DEFAULT_QUALITY: u8 = 85;
/// Two seconds of 25 frames. A viewer who asks for a keyframe gets one made.
const DEFAULT_GOP: u32 = 50;
/// Of x264 and x265, fastest first.
pub(super) const PRESETS: [&str; 10] =
    ["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"];
/// What the encoders can hold.
const VIDEO_BITRATES: RangeInclusive<Bitrate> = Bitrate(10_000)..=Bitrate(100_000_000);
/// The rates that MPEG-2 has a code for (ISO/IEC 13818-2, table 6-4).
const MPEG2_RATES: [(u32, u32); 8] =
    [(24_000, 1001), (24, 1), (25, 1), (30_000, 1001), (30, 1), (50, 1), (60_000, 1001), (60, 1)];
/// Names that FFmpeg uses, and GStreamer's for the same.
const PIXEL_FORMAT_ALIASES: [(&str, &str); 6] = [
    ("yuv420p", "I420"),
    ("yuv422p", "Y42B"),
    ("yuv444p", "Y444"),
    ("yuv420p10le", "I420_10LE"),
    ("yuv422p10le", "I422_10LE"),
    ("yuv444p10le", "Y444_10LE"),
];

impl Validator {
    /// What becomes of both tracks; `None` when there are errors.
    pub(super) fn tracks(
        &mut self,
        path: &Path,
        container: Container,
        video: Option<Value>,
        audio: Option<Value>,
        overlay: Option<Value>,
    ) -> Option<(Track<Video>, Track<Audio>)> {
        if container == Container::Raw {
            let given = [("video", &video), ("audio", &audio)].into_iter().find(|(_, value)| value.is_some());
            let key = given.map_or("overlay", |(key, _)| key);
            let message = "a raw stream is not encoded: expected `container: ts`, `webm`, `mkv`, `ogg`, `flv`, `mp4`, `mp3`, `aac`, `flac`, `wav` or `mjpeg`";
            self.note(&path.key(key), Place::Key, message.to_owned());
            return None;
        }
        let overlay_path = path.key("overlay");
        let overlay = overlay.map(|value| self.overlay(&overlay_path, value));
        let video_path = path.key("video");
        let video = match video {
            Some(value) if VideoCodec::of(container).is_empty() => {
                let track = self.track(&video_path, value, |_, _: raw::Video| Some(()));
                if matches!(track, Some(Track::Encode(()))) {
                    self.note(&video_path, Place::Key, format!("{container} has no video here"));
                }
                Some(Track::Drop)
            }
            None if VideoCodec::of(container).is_empty() => Some(Track::Drop),
            Some(value) => self.track(&video_path, value, |checker, keys| checker.video(&video_path, container, keys)),
            // The video may well be something else than JPEG; and nothing can be drawn into what is encoded already.
            None if container == Container::Mjpeg || overlay.is_some() => {
                self.video(&video_path, container, raw::Video::default()).map(Track::Encode)
            }
            None => Some(Track::Copy),
        };
        let audio_path = path.key("audio");
        let audio = match audio {
            Some(value) if container == Container::Mjpeg => {
                let track = self.track(&audio_path, value, |_, _: raw::Audio| Some(()));
                if matches!(track, Some(Track::Encode(()))) {
                    self.note(&audio_path, Place::Key, "mjpeg has no audio".to_owned());
                }
                Some(Track::Drop)
            }
            Some(value) => self.track(&audio_path, value, |checker, keys| checker.audio(&audio_path, container, keys)),
            None if container == Container::Mjpeg => Some(Track::Drop),
            None if matches!(container, Container::Mp3 | Container::Aac | Container::Flac | Container::Wav) => {
                self.audio(&audio_path, container, raw::Audio::default()).map(Track::Encode)
            }
            None => Some(Track::Copy),
        };
        let (mut video, audio) = (video?, audio?);
        match (overlay, &mut video) {
            (Some(overlay), Track::Encode(video)) => video.overlay = Some(overlay?),
            (Some(_), Track::Copy | Track::Drop) => {
                let message = "there is no video in this stream to draw into".to_owned();
                self.note(&overlay_path, Place::Key, message);
                return None;
            }
            (None, _) => {}
        }
        if matches!((&video, &audio), (Track::Drop, Track::Drop)) {
            self.note(path, Place::Key, "nothing is left of this stream without video and audio".to_owned());
            return None;
        }
        Some((video, audio))
    }

    /// `false` drops a track, `true` encodes it with all defaults, keys say how.
    pub(super) fn track<K, T>(
        &mut self,
        path: &Path,
        value: Value,
        read: impl FnOnce(&mut Self, K) -> Option<T>,
    ) -> Option<Track<T>>
    where
        K: Default + for<'de> serde::Deserialize<'de>,
    {
        if let Value::String(text) = &value
            && let Ok(is_wanted) = flag(text)
        {
            return if is_wanted { read(self, K::default()).map(Track::Encode) } else { Some(Track::Drop) };
        }
        let keys = self.section(path, value);
        read(self, keys).map(Track::Encode)
    }

    pub(super) fn video(&mut self, path: &Path, container: Container, keys: raw::Video) -> Option<Video> {
        let names: Vec<_> = VideoCodec::of(container).iter().map(|codec| codec.name()).collect();
        let all = VideoCodec::ALL.map(|codec| (codec.name(), codec));
        let has_codec = keys.codec.is_some();
        let codec = self.value(&path.key("codec"), keys.codec, |text| codec(text, container, &all, &names));
        let codec = if has_codec { codec? } else { *VideoCodec::of(container).first()? };
        let name = codec.name();

        if codec == VideoCodec::Mjpeg {
            for (key, value) in [("bitrate", &keys.bitrate), ("gop", &keys.gop)] {
                if value.is_some() {
                    self.note(&path.key(key), Place::Key, format!("mjpeg has no {key}, give a `quality`"));
                }
            }
        } else if keys.bitrate.is_some() && keys.quality.is_some() {
            self.note(&path.key("quality"), Place::Key, "`bitrate` is given already, keep one of them".to_owned());
        }
        let has_quality = keys.quality.is_some();
        let bitrate = self.value(&path.key("bitrate"), keys.bitrate, video_bitrate).unwrap_or(DEFAULT_VIDEO_BITRATE);
        let quality = self.value(&path.key("quality"), keys.quality, quality).unwrap_or(DEFAULT_QUALITY);
        let rate =
            if has_quality || codec == VideoCodec::Mjpeg { Rate::Quality(quality) } else { Rate::Bitrate(bitrate) };

        if keys.preset.is_some() && !has_presets(codec) {
            self.note(&path.key("preset"), Place::Key, format!("{name} has no presets, h264 and h265 have"));
        }
        let fps = self.value(&path.key("fps"), keys.fps, |text| fps(text, codec));
        let format = self.value(&path.key("pixel_format"), keys.pixel_format, |text| pixel_format(text, codec));
        let encoder = self.value(&path.key("encoder"), keys.encoder, |text| encoder(text, codec));
        let video = Video {
            codec,
            rate,
            gop: self.value(&path.key("gop"), keys.gop, gop).unwrap_or(DEFAULT_GOP),
            fps,
            size: self.value(&path.key("size"), keys.size, size),
            height: None,
            encoder: encoder.unwrap_or(Choice::Auto),
            preset: self.value(&path.key("preset"), keys.preset, preset),
            pixel_format: format.or(codec.pixel_formats().first().copied())?,
            overlay: None,
        };
        if let Choice::Only(only) = video.encoder
            && let Some(key) = only.lacks(&video)
        {
            let message = match key {
                "pixel_format" => format!("{} takes I420 only", only.name),
                _ => format!("{} has no such key", only.name),
            };
            self.note(&path.key(key), Place::Key, message);
        }
        Some(video)
    }

    pub(super) fn audio(&mut self, path: &Path, container: Container, keys: raw::Audio) -> Option<Audio> {
        let names: Vec<_> = AudioCodec::of(container).iter().map(|codec| codec.name()).collect();
        let all = AudioCodec::ALL.map(|codec| (codec.name(), codec));
        let has_codec = keys.codec.is_some();
        let codec = self.value(&path.key("codec"), keys.codec, |text| codec(text, container, &all, &names));
        let codec = if has_codec { codec? } else { *AudioCodec::of(container).first()? };
        let bitrate = self.value(&path.key("bitrate"), keys.bitrate, |text| audio_bitrate(text, codec));
        Some(Audio {
            codec,
            bitrate: bitrate.unwrap_or(DEFAULT_AUDIO_BITRATE),
            channels: self.value(&path.key("channels"), keys.channels, channels),
            rate: self.value(&path.key("rate"), keys.rate, |text| sample_rate(text, codec)),
        })
    }
}

impl Video {
    /// With all defaults.
    pub(super) fn usual(codec: VideoCodec) -> Self {
        let rate = match codec {
            VideoCodec::Mjpeg => Rate::Quality(DEFAULT_QUALITY),
            _ => Rate::Bitrate(DEFAULT_VIDEO_BITRATE),
        };
        Self {
            codec,
            rate,
            gop: DEFAULT_GOP,
            fps: None,
            size: None,
            height: None,
            encoder: Choice::Auto,
            preset: None,
            pixel_format: codec.pixel_formats().first().copied().unwrap_or("I420"),
            overlay: None,
        }
    }
}

impl Audio {
    /// With all defaults.
    pub(super) fn usual(codec: AudioCodec) -> Self {
        Self { codec, bitrate: DEFAULT_AUDIO_BITRATE, channels: None, rate: None }
    }
}

/// A codec by its name, if the container can carry it.
fn codec<C: Copy>(text: &str, container: Container, all: &[(&str, C)], fitting: &[&str]) -> Result<C, Expected> {
    let usable = listed(fitting);
    let Some((_, codec)) = all.iter().find(|(name, _)| *name == text) else {
        let spelling = match text.to_ascii_lowercase().as_str() {
            "avc" | "x264" | "h.264" => "h264",
            "hevc" | "x265" | "h.265" => "h265",
            "mpeg2video" | "mpeg-2" => "mpeg2",
            "jpeg" | "jpg" | "mjpg" => "mjpeg",
            _ => text,
        };
        return Err(Expected::because(usable, suggestion(spelling, fitting.iter().copied())));
    };
    if fitting.contains(&text) {
        return Ok(*codec);
    }
    let others = Container::ALL.into_iter().filter(|other| {
        VideoCodec::of(*other).iter().map(|codec| codec.name()).any(|name| name == text)
            || AudioCodec::of(*other).iter().map(|codec| codec.name()).any(|name| name == text)
    });
    let others: Vec<_> = others.map(|container| container.name()).collect();
    let why = format!(": {container} cannot carry it, `container: {}` can", others.join("` or `"));
    Err(Expected::because(usable, why))
}

pub(super) fn video_bitrate(text: &str) -> Result<Bitrate, Expected> {
    let bitrate = Bitrate::parse(text).filter(|bitrate| VIDEO_BITRATES.contains(bitrate));
    bitrate.ok_or_else(|| "bits per second from 10k to 100M, like 800k or 2M".into())
}

fn audio_bitrate(text: &str, codec: AudioCodec) -> Result<Bitrate, Expected> {
    /// ISO/IEC 11172-3 layer III.
    const MP3: [u32; 14] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320];
    /// ATSC A/52, table 5.18.
    const AC3: [u32; 19] = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640];
    let one_of = |steps: &[u32]| {
        let bitrate = Bitrate::parse(text).filter(|bitrate| steps.iter().any(|step| step * 1000 == bitrate.0));
        let steps: Vec<_> = steps.iter().map(|step| format!("{step}k")).collect();
        let steps: Vec<_> = steps.iter().map(String::as_str).collect();
        bitrate.ok_or_else(|| format!("a bitrate of {}: {}", codec.name(), listed(&steps)).into())
    };
    let range = |kilobits: RangeInclusive<u32>| {
        let (least, most) = (*kilobits.start(), *kilobits.end());
        let bitrate = Bitrate::parse(text).filter(|bitrate| (least * 1000..=most * 1000).contains(&bitrate.0));
        bitrate.ok_or_else(|| format!("bits per second from {least}k to {most}k, like 96k").into())
    };
    match codec {
        AudioCodec::Mp3 => one_of(&MP3),
        AudioCodec::Ac3 => one_of(&AC3),
        AudioCodec::Aac => range(16..=512),
        AudioCodec::Opus => range(6..=510),
        // Less or more does not start with every number of channels.
        AudioCodec::Vorbis => range(48..=192),
        AudioCodec::Flac | AudioCodec::Pcm => {
            Err(Expected::because("no bitrate", format!(": {} is without loss", codec.name())))
        }
    }
}

pub(super) fn quality(text: &str) -> Result<u8, Expected> {
    let quality =
        whole(text).and_then(|quality| u8::try_from(quality).ok()).filter(|quality| (1..=100).contains(quality));
    quality.ok_or_else(|| "a quality from 1 to 100".into())
}

fn gop(text: &str) -> Result<u32, Expected> {
    /// An hour of 25 frames a second; no encoder takes much more.
    const MAX: u32 = 90_000;
    let gop = whole(text).filter(|gop| (1..=MAX).contains(gop));
    gop.ok_or_else(|| format!("a number of frames from 1 to {MAX}").into())
}

pub(super) fn fps(text: &str, codec: VideoCodec) -> Result<Fps, Expected> {
    let fps = Fps::parse(text).ok_or("frames per second, like 25, 12.5 or 30000/1001")?;
    if codec == VideoCodec::Mpeg2 && !MPEG2_RATES.contains(&(fps.numerator, fps.denominator)) {
        let what = "23.976, 24, 25, 29.97, 30, 50, 59.94 or 60 frames per second";
        return Err(Expected::because(what, ": mpeg2 has no others"));
    }
    Ok(fps)
}

/// Whether encoders of this codec have presets.
pub(super) fn has_presets(codec: VideoCodec) -> bool {
    matches!(codec, VideoCodec::H264 | VideoCodec::H265)
}

/// Lines of a frame.
pub(super) fn height(text: &str) -> Result<u32, Expected> {
    let height = whole(text).filter(|height| (16..=16_384).contains(height) && height % 2 == 0);
    height.ok_or_else(|| "an even number of lines from 16 to 16384, like 720".into())
}

pub(super) fn size(text: &str) -> Result<Size, Expected> {
    Size::parse(text).ok_or_else(|| "even width and height from 16 to 16384, like 1280x720".into())
}

pub(super) fn preset(text: &str) -> Result<&'static str, Expected> {
    let preset = PRESETS.into_iter().find(|preset| *preset == text);
    preset.ok_or_else(|| Expected::because(listed(&PRESETS), suggestion(text, PRESETS.into_iter())))
}

fn encoder(text: &str, codec: VideoCodec) -> Result<Choice, Expected> {
    match text {
        "auto" => return Ok(Choice::Auto),
        "software" => return Ok(Choice::Software),
        _ => {}
    }
    if let Some(only) = encoders::of(codec).find(|encoder| encoder.name == text) {
        return Ok(Choice::Only(only));
    }
    let names: Vec<_> =
        ["auto", "software"].into_iter().chain(encoders::of(codec).map(|encoder| encoder.name)).collect();
    let why = match ENCODERS.iter().find(|encoder| encoder.name == text) {
        Some(other) => format!(": it is for {}", other.codec()),
        None => suggestion(text, names.iter().copied()),
    };
    Err(Expected::because(listed(&names), why))
}

fn pixel_format(text: &str, codec: VideoCodec) -> Result<&'static str, Expected> {
    let formats = codec.pixel_formats();
    let alias = PIXEL_FORMAT_ALIASES.iter().find(|(alias, _)| *alias == text).map_or(text, |(_, format)| format);
    let format = formats.iter().copied().find(|format| *format == alias);
    format.ok_or_else(|| Expected::because(listed(formats), format!(": {} has no others here", codec.name())))
}

fn channels(text: &str) -> Result<u32, Expected> {
    let channels = whole(text).filter(|channels| (1..=2).contains(channels));
    channels.ok_or_else(|| "1 for mono or 2 for stereo".into())
}

fn sample_rate(text: &str, codec: AudioCodec) -> Result<u32, Expected> {
    let rates: &[u32] = match codec {
        AudioCodec::Aac => &[8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000],
        AudioCodec::Mp3 => &[16_000, 22_050, 24_000, 32_000, 44_100, 48_000],
        AudioCodec::Ac3 => &[32_000, 44_100, 48_000],
        // With less, vorbisenc does not start at every bitrate.
        AudioCodec::Vorbis => &[44_100, 48_000],
        AudioCodec::Flac | AudioCodec::Pcm => &[8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000],
        AudioCodec::Opus => &[8_000, 12_000, 16_000, 24_000, 48_000],
    };
    let rate = whole(text).filter(|rate| rates.contains(rate));
    let names: Vec<_> = rates.iter().map(u32::to_string).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    rate.ok_or_else(|| format!("a sample rate of {}: {}", codec.name(), listed(&names)).into())
}

/// "a, b or c".
fn listed(names: &[&str]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [name] => (*name).to_owned(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}
