//! Encodes raw frames as stills.

use super::{colours, mini_pipeline::MiniPipeline};
use crate::{
    ipc::{PictureFault, PictureFormat, StillSpec},
    media::{jfif::ToJfif, raw_frame::RawFrameHeader},
    worker::{default_encoders, gst_util::STILL_DEADLINE},
};
use gstreamer as gst;
use gstreamer_video::{self as gst_video, prelude::*};
use std::{sync::Arc, time::Instant};

/// Encodes frames of one kind, one after the other.
pub(super) struct Encoder {
    pub(super) spec: StillSpec,
    pub(super) caps: gst::Caps,
    line: MiniPipeline,
    /// What frames pass before the line, where they need no element for that.
    colours: Option<ToJfif>,
    pub(super) used: Instant,
}

impl Encoder {
    pub(super) fn new(spec: StillSpec, caps: &gst::Caps) -> Result<Self, PictureFault> {
        let is_jpeg = matches!(spec.format, PictureFormat::Jpeg { .. });
        let colours = colours::converter(caps).filter(|_| is_jpeg);
        let text = match spec.format {
            PictureFormat::Jpeg { quality } if colours.is_some() => format!("jpegenc quality={quality}"),
            PictureFormat::Jpeg { quality } => {
                // Somebody waits for this one frame.
                let pixels = default_encoders::JPEG_PIXELS.replace("videoconvert", "videoconvert n-threads=2");
                format!("{pixels} ! jpegenc quality={quality}")
            }
            PictureFormat::Png => "videoconvert ! pngenc compression-level=1".into(),
            PictureFormat::Webp { quality } => format!("videoconvert ! webpenc quality={quality} speed=2"),
            PictureFormat::Raw(pixels) => format!("videoconvert ! video/x-raw,format={}", pixels.name()),
        };
        let size = shown_at(caps).and_then(|source| spec.size(source));
        let scale = size.map_or_else(String::new, |(width, height)| {
            format!("videoscale ! video/x-raw,width={width},height={height},pixel-aspect-ratio=1/1 ! ")
        });
        let text = format!("appsrc name=in format=time ! {scale}{text} ! appsink name=out sync=false");
        let taken = colours.map_or_else(|| caps.clone(), |_| colours::converted_caps(caps));
        let line = MiniPipeline::new(&text, &taken)?.play();
        Ok(Self { spec, caps: caps.clone(), line, colours, used: Instant::now() })
    }

    pub(super) fn encode(&mut self, buffer: &gst::Buffer) -> Result<Arc<[u8]>, PictureFault> {
        self.used = Instant::now();
        let buffer = match self.colours {
            Some(kind) if !kind.changes_nothing() => colours::convert(kind, &self.caps, buffer)
                .ok_or_else(|| PictureFault::Failed("a frame is smaller than its caps say".into()))?,
            _ => buffer.clone(),
        };
        // The bus reports a failure.
        let _ = self.line.source.push_buffer(buffer);
        let sample = self.line.sink.try_pull_sample(STILL_DEADLINE);
        let picture = sample.as_ref().and_then(|sample| match self.spec.format {
            PictureFormat::Raw(_) => described(sample),
            _ => sample.buffer()?.map_readable().ok().map(|map| map.as_slice().into()),
        });
        picture.ok_or_else(|| PictureFault::Failed(self.line.fault().unwrap_or("the encoder gave nothing".into())))
    }
}

/// A raw frame after its header.
fn described(sample: &gst::Sample) -> Option<Arc<[u8]>> {
    let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
    let bytes = frame.buffer().map_readable().ok()?;
    let number = |value: usize| u32::try_from(value).ok();
    let offsets = frame.plane_offset().iter().map(|offset| number(*offset));
    let strides = frame.plane_stride().iter().map(|stride| u32::try_from(*stride).ok());
    let planes = offsets.zip(strides).map(|(offset, stride)| Some((offset?, stride?)));
    let layout = RawFrameHeader {
        width: info.width(),
        height: info.height(),
        format: info.format().to_str(),
        colorimetry: &info.colorimetry().to_string(),
        planes: planes.collect::<Option<_>>()?,
        length: bytes.len(),
    };
    Some([&layout.head(), bytes.as_slice()].concat().into())
}

/// Width and height of raw frames when their pixels are square.
fn shown_at(caps: &gst::Caps) -> Option<(u32, u32)> {
    let structure = caps.structure(0)?;
    let side = |name| structure.get::<i32>(name).ok().and_then(|side| u32::try_from(side).ok());
    let (width, height) = (side("width")?, side("height")?);
    let ratio = structure.get::<gst::Fraction>("pixel-aspect-ratio").unwrap_or(gst::Fraction::new(1, 1));
    let shown = i64::from(width) * i64::from(ratio.numer()) / i64::from(ratio.denom()).max(1);
    Some((u32::try_from(shown).unwrap_or(width), height))
}
