//! Frames of recordings, which are MP4.

use super::decoder::{Raw, decode_until};
use crate::{
    ipc::PictureFault,
    media::{MediaKind, TrackInfo, demux::Demuxed, mp4},
    worker::track_caps,
};
use gstreamer as gst;

/// The frame that is shown last until `time`, on the timeline of the bytes.
///
/// # Errors
/// Why there is none.
pub(super) fn frame_until(bytes: &[u8], time: gst::ClockTime) -> Result<Raw, PictureFault> {
    let (_, caps, buffers) = frames(bytes).ok_or(PictureFault::NoVideo)?;
    decode_until(&caps, &buffers, time)
}

/// The video and its frames, as a decoder takes them. `None` without any, or when its codec is not known here.
pub(super) fn frames(bytes: &[u8]) -> Option<(TrackInfo, gst::Caps, Vec<gst::Buffer>)> {
    let (mut demuxer, mut found) = (mp4::Demuxer::new(), Vec::new());
    demuxer.push(bytes, &mut found);
    demuxer.finish(&mut found);
    let (mut video, mut buffers) = (None::<TrackInfo>, Vec::new());
    for found in found {
        match found {
            Demuxed::Tracks(tracks) => {
                video = tracks.lead().filter(|track| track.kind() == MediaKind::Video).cloned();
            }
            Demuxed::Sample(sample) => {
                let Some(video) = video.as_ref().filter(|video| video.id == sample.track) else { continue };
                buffers.push(track_caps::shown_buffer(video, &sample));
            }
        }
    }
    let video = video.filter(|_| !buffers.is_empty())?;
    let caps = track_caps::of(&video)?;
    Some((video, caps, buffers))
}
