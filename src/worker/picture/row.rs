//! Many frames as one: thumbnails side by side.

use super::{mini_pipeline::MiniPipeline, recorded::frames};
use crate::{
    ipc::{PictureFault, StillSpec},
    media::{TrackInfo, track::Shape},
    worker::gst_util::{STILL_DEADLINE, in_order},
};
use bytes::{Buf, Bytes};
use gstreamer as gst;
use gstreamer_video::{self as gst_video, prelude::*};
use std::{
    num::NonZeroU16,
    time::{Duration, Instant},
};

/// Luma of a place without a frame.
const DARK: u8 = 24;
/// Cb and Cr of grey.
const GREY: u8 = 128;

/// The frames of MP4 files, each file after its length, beside each other: each is `width` pixels wide, and its time in seconds is its place.
///
/// # Errors
/// When no file has a frame that can be decoded.
pub(super) fn of(mut bytes: Bytes, places: u16, width: u16) -> Result<(gst::Caps, gst::Buffer), PictureFault> {
    let failed = |text: &str| PictureFault::Failed(text.to_owned());
    let (mut canvas, mut fault) = (None::<Canvas>, PictureFault::NoVideo);
    while bytes.remaining() >= 4 {
        let length = bytes.get_u32() as usize;
        if length > bytes.len() {
            return Err(failed("a file of the row is cut off"));
        }
        let Some((track, caps, buffers)) = frames(&bytes.split_to(length)) else { continue };
        let canvas = canvas.get_or_insert_with(|| Canvas::new(places, width, height(&track, width)));
        // What cannot be decoded leaves its places dark.
        if let Err(error) = canvas.draw(&caps, &buffers) {
            fault = error;
        }
    }
    match canvas.filter(|canvas| canvas.drawn > 0) {
        Some(canvas) => Ok(canvas.finish()),
        None => Err(fault),
    }
}

/// Pixels of the height of a frame that is so wide; even.
fn height(track: &TrackInfo, width: u16) -> u16 {
    let shown = match &track.shape {
        Shape::Video(video) if video.width > 0 && video.height > 0 => {
            let (wide, high) = (video.pixel_aspect.0.max(1), video.pixel_aspect.1.max(1));
            (video.width.saturating_mul(wide) / high, video.height)
        }
        _ => (16, 9),
    };
    let spec = StillSpec {
        width: NonZeroU16::new(width),
        height: NonZeroU16::new(width.saturating_mul(4)),
        ..StillSpec::of(crate::ipc::PictureFormat::Png)
    };
    let (_, height) = spec.size(shown).unwrap_or((width, width / 2));
    height.max(2).next_multiple_of(2)
}

/// I420 with the places side by side.
struct Canvas {
    places: usize,
    /// Of a place.
    width: usize,
    height: usize,
    planes: [Vec<u8>; 3],
    /// What its numbers mean, as the first frame says.
    colours: Option<String>,
    drawn: usize,
}

impl Canvas {
    fn new(places: u16, width: u16, height: u16) -> Self {
        let (places, width, height) = (usize::from(places), usize::from(width), usize::from(height));
        let luma = places * width * height;
        let planes = [vec![DARK; luma], vec![GREY; luma / 4], vec![GREY; luma / 4]];
        Self { places, width, height, planes, colours: None, drawn: 0 }
    }

    /// Decodes frames and puts each at its place.
    fn draw(&mut self, caps: &gst::Caps, buffers: &[gst::Buffer]) -> Result<(), PictureFault> {
        let text = format!(
            "appsrc name=in format=time ! decodebin ! videoscale add-borders=true \
             ! video/x-raw,width={},height={},pixel-aspect-ratio=1/1 ! videoconvert \
             ! video/x-raw,format=I420 \
             ! appsink name=out sync=false max-buffers=2",
            self.width, self.height
        );
        let line = MiniPipeline::new(&text, caps)?;
        in_order(&line.pipeline);
        let line = line.play();
        for buffer in buffers {
            // The bus reports a failure.
            let _ = line.source.push_buffer(buffer.clone());
        }
        let _ = line.source.end_of_stream();
        let began = Instant::now();
        let mut found = 0;
        while began.elapsed() < Duration::from(STILL_DEADLINE) && !line.sink.is_eos() {
            let Some(sample) = line.sink.try_pull_sample(gst::ClockTime::from_mseconds(250)) else {
                match line.fault() {
                    Some(fault) if found == 0 => return Err(PictureFault::Failed(fault)),
                    Some(_) => break,
                    None => continue,
                }
            };
            found += usize::from(self.put(&sample).is_some());
        }
        self.drawn += found;
        if found > 0 { Ok(()) } else { Err(PictureFault::NotYet) }
    }

    fn put(&mut self, sample: &gst::Sample) -> Option<()> {
        let info = gst_video::VideoInfo::from_caps(sample.caps()?).ok()?;
        let frame = gst_video::VideoFrameRef::from_buffer_ref_readable(sample.buffer()?, &info).ok()?;
        let place = usize::try_from(frame.buffer().pts()?.seconds()).ok().filter(|place| *place < self.places)?;
        self.colours.get_or_insert_with(|| info.colorimetry().to_string());
        for (number, plane) in self.planes.iter_mut().enumerate() {
            let half = if number == 0 { 1 } else { 2 };
            let (width, height) = (self.width / half, self.height / half);
            let stride = usize::try_from(*frame.plane_stride().get(number)?).ok()?;
            let from = frame.plane_data(u32::try_from(number).ok()?).ok()?;
            let rows = plane.chunks_exact_mut(width * self.places).zip(from.chunks(stride)).take(height);
            for (to, from) in rows {
                to.get_mut(place * width..(place + 1) * width)?.copy_from_slice(from.get(..width)?);
            }
        }
        Some(())
    }

    fn finish(self) -> (gst::Caps, gst::Buffer) {
        let side = |side: usize| i32::try_from(side).unwrap_or(i32::MAX);
        let caps = gst::Caps::builder("video/x-raw")
            .field("format", "I420")
            .field("width", side(self.places * self.width))
            .field("height", side(self.height))
            .field("framerate", gst::Fraction::new(0, 1))
            .field("pixel-aspect-ratio", gst::Fraction::new(1, 1))
            .field_if_some("colorimetry", self.colours)
            .build();
        (caps, gst::Buffer::from_slice(self.planes.concat()))
    }
}
