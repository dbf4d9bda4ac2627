//! Raw frames in the colours of JPEG files.

use crate::media::jfif::{Chroma, Plane, ToJfif};
use gstreamer as gst;
use gstreamer_video::{self as gst_video, VideoColorMatrix, VideoFormat, prelude::*};

/// BT.601 in the full range, as GStreamer writes it.
const JPEG: &str = "1:4:0:1";

/// What converts frames of these caps; `None` for formats that only GStreamer's elements convert.
pub(super) fn converter(caps: &gst::CapsRef) -> Option<ToJfif> {
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let is_known = matches!(info.format(), VideoFormat::I420 | VideoFormat::Yv12 | VideoFormat::Nv12);
    let is_progressive = info.interlace_mode() == gst_video::VideoInterlaceMode::Progressive;
    let colours = info.colorimetry();
    // ITU-T H.273, table 4.
    let shares = match colours.matrix() {
        VideoColorMatrix::Bt601 => (0.299, 0.114),
        VideoColorMatrix::Bt709 => (0.2126, 0.0722),
        VideoColorMatrix::Bt2020 => (0.2627, 0.0593),
        _ => return None,
    };
    let is_full = match colours.range() {
        gst_video::VideoColorRange::Range0_255 => true,
        gst_video::VideoColorRange::Range16_235 => false,
        _ => return None,
    };
    (is_known && is_progressive).then(|| ToJfif::new(shares, is_full))
}

/// The caps of converted frames of these caps.
pub(super) fn converted_caps(caps: &gst::CapsRef) -> gst::Caps {
    let mut converted = caps.to_owned();
    for structure in converted.make_mut().iter_mut() {
        structure.set("format", VideoFormat::I420.to_str());
        structure.set("colorimetry", JPEG);
        structure.remove_field("chroma-site");
    }
    converted
}

/// A frame of these caps, converted; `None` when it is not as its caps say.
pub(super) fn convert(kind: ToJfif, caps: &gst::CapsRef, buffer: &gst::Buffer) -> Option<gst::Buffer> {
    let info = gst_video::VideoInfo::from_caps(caps).ok()?;
    let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(buffer, &info).ok()?;
    let plane = |number: u32| {
        let stride = *frame.plane_stride().get(usize::try_from(number).ok()?)?;
        Some(Plane { samples: frame.plane_data(number).ok()?, stride: usize::try_from(stride).ok()? })
    };
    let chroma = match info.format() {
        VideoFormat::Nv12 => Chroma::Interleaved(plane(1)?),
        // GStreamer numbers components: it is Cb that lies in the last plane here.
        VideoFormat::Yv12 => Chroma::Planar(plane(2)?, plane(1)?),
        _ => Chroma::Planar(plane(1)?, plane(2)?),
    };
    let size = |side: u32| usize::try_from(side).ok();
    let (width, height) = (size(info.width())?, size(info.height())?);
    let samples = kind.convert((width, height), plane(0)?, chroma)?;
    let (stride, half) = (i32::try_from(width).ok()?, i32::try_from(width.div_ceil(2)).ok()?);
    let (luma, chroma) = (width * height, width.div_ceil(2) * height.div_ceil(2));
    let mut converted = gst::Buffer::from_mut_slice(samples);
    let writable = converted.get_mut()?;
    writable.set_pts(buffer.pts());
    let (offsets, strides) = ([0, luma, luma + chroma], [stride, half, half]);
    let format = VideoFormat::I420;
    let flags = gst_video::VideoFrameFlags::empty();
    gst_video::VideoMeta::add_full(writable, flags, format, info.width(), info.height(), &offsets, &strides).ok()?;
    Some(converted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame in this format and these colours, converted by `convert` and by GStreamer's way through RGB.
    fn check(format: &str, colorimetry: &str, (width, height): (u32, u32)) {
        let caps = format!(
            "video/x-raw,format={format},width={width},height={height},framerate=25/1,colorimetry={colorimetry}"
        );
        let text = format!(
            "videotestsrc num-buffers=1 pattern=smpte ! {caps} ! tee name=t ! queue ! appsink name=raw sync=false \
             t. ! queue ! videoconvert ! video/x-raw,format=RGB ! appsink name=rgb sync=false"
        );
        let (caps, raw) = pulled(&text, "raw");
        let (_, expected) = pulled(&text, "rgb");
        let kind = converter(&caps).unwrap();
        let converted = convert(kind, &caps, &raw).unwrap();
        let line = "appsrc name=in format=time ! videoconvert ! video/x-raw,format=RGB ! appsink name=out sync=false";
        let line = super::super::mini_pipeline::MiniPipeline::new(line, &converted_caps(&caps)).unwrap().play();
        line.source.push_buffer(converted).unwrap();
        let found = line.sink.pull_sample().unwrap().buffer_owned().unwrap();
        let (found, expected) = (found.map_readable().unwrap(), expected.map_readable().unwrap());
        assert_eq!(found.size(), expected.size());
        let off = found.iter().zip(expected.iter()).filter(|(one, other)| one.abs_diff(**other) > 8).count();
        // Where colours meet, chroma of two by two pixels is interpolated in another way.
        assert!(off * 10 < found.size(), "{format} {colorimetry}: {off} of {}", found.size());
    }

    fn pulled(text: &str, name: &str) -> (gst::Caps, gst::Buffer) {
        let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let sink = pipeline.by_name(name).unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let sample = sink.pull_sample().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        (sample.caps_owned().unwrap(), sample.buffer_owned().unwrap())
    }

    #[test]
    fn colours_are_those_that_gstreamer_shows() {
        gst::init().unwrap();
        for format in ["I420", "YV12", "NV12"] {
            check(format, "bt709", (320, 240));
        }
        check("I420", "bt601", (322, 242));
        check("I420", "1:4:0:1", (320, 240));
        check("NV12", "bt709", (1919, 1079));
    }

    #[test]
    fn other_kinds_are_left_to_elements() {
        gst::init().unwrap();
        let of = |more: &str| {
            let caps: gst::Caps = format!("video/x-raw,width=64,height=64,framerate=25/1,{more}").parse().unwrap();
            converter(&caps)
        };
        assert!(of("format=I420,colorimetry=bt709").is_some() && of("format=I420").is_some());
        for other in ["format=YUY2", "format=I420_10LE", "format=BGRx", "format=I420,interlace-mode=interleaved"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}
