//! What our muxers take, by GStreamer's names.

use crate::media::Container;
use gstreamer as gst;
use std::sync::OnceLock;

/// What each codec has to look like, by GStreamer's names; the forms that need no copy first.
mod accepted {
    pub(super) const H264: &str =
        "video/x-h264, stream-format=(string){ avc, avc3, byte-stream }, alignment=(string)au; ";
    pub(super) const H265: &str =
        "video/x-h265, stream-format=(string){ hvc1, hev1, byte-stream }, alignment=(string)au; ";
    pub(super) const AV1: &str = "video/x-av1, stream-format=(string)obu-stream, alignment=(string)tu; ";
    pub(super) const VP8: &str = "video/x-vp8; ";
    pub(super) const VP9: &str = "video/x-vp9; ";
    pub(super) const MPEG_VIDEO: &str = "video/mpeg, mpegversion=(int){ 1, 2, 4 }, systemstream=(boolean)false; ";
    pub(super) const JPEG: &str = "image/jpeg; ";
    pub(super) const THEORA: &str = "video/x-theora; ";
    pub(super) const AAC: &str = "audio/mpeg, mpegversion=(int){ 2, 4 }, stream-format=(string){ raw, adts }; ";
    pub(super) const MPEG_AUDIO: &str = "audio/mpeg, mpegversion=(int)1; ";
    pub(super) const OPUS: &str = "audio/x-opus, channel-mapping-family=(int)[ 0, 1 ]; ";
    pub(super) const VORBIS: &str = "audio/x-vorbis; ";
    pub(super) const FLAC: &str = "audio/x-flac; ";
    pub(super) const AC3: &str = "audio/x-ac3; audio/x-eac3; ";
    pub(super) const PCM: &str = "audio/x-raw, format=(string){ S16LE, S24LE, S32LE, F32LE, U8 }, \
                                  layout=(string)interleaved; ";
    pub(super) const G711: &str = "audio/x-alaw; audio/x-mulaw; ";
}

/// What our muxer of a container takes; `None` where we have none.
pub(super) fn accepts(container: Container) -> Option<&'static gst::Caps> {
    use accepted::*;
    static CAPS: [OnceLock<gst::Caps>; Container::ALL.len()] = [const { OnceLock::new() }; Container::ALL.len()];
    let parts: &[&str] = match container {
        Container::Ts => &[H264, H265, MPEG_VIDEO, AAC, MPEG_AUDIO, AC3, OPUS],
        Container::Mp4 => &[H264, H265, AV1, VP9, AAC, MPEG_AUDIO, OPUS, AC3, FLAC],
        Container::Webm => &[VP8, VP9, AV1, OPUS, VORBIS],
        Container::Mkv => {
            &[H264, H265, AV1, VP8, VP9, MPEG_VIDEO, JPEG, THEORA, AAC, MPEG_AUDIO, OPUS, VORBIS, FLAC, AC3, PCM, G711]
        }
        Container::Flv => &[H264, H265, AV1, VP8, VP9, AAC, MPEG_AUDIO, OPUS, FLAC, AC3, G711],
        Container::Ogg => &[THEORA, OPUS, VORBIS, FLAC],
        Container::Mp3 => &[MPEG_AUDIO],
        Container::Aac => &[AAC],
        Container::Flac => &[FLAC],
        Container::Wav => &[PCM, G711],
        Container::Mjpeg => &[JPEG],
        Container::Avi | Container::WebRtc | Container::Rtp | Container::Raw => return None,
    };
    let at = Container::ALL.iter().position(|known| *known == container)?;
    let parse = || parts.concat().trim_end_matches("; ").parse().unwrap_or_else(|_| gst::Caps::new_empty());
    CAPS.get(at).map(|caps| caps.get_or_init(parse))
}

/// All codecs that have a canonical form.
pub(super) fn canonical() -> &'static gst::Caps {
    static CAPS: OnceLock<gst::Caps> = OnceLock::new();
    CAPS.get_or_init(|| {
        let mut caps = gst::Caps::new_empty();
        for container in Container::ALL {
            accepts(container).into_iter().for_each(|accepted| caps.merge(accepted.clone()));
        }
        caps
    })
}

/// Whether a muxer of this name can be given such media: where our muxer always takes its place, what that takes.
pub(super) fn may_take(element: &str, caps: &gst::Caps) -> bool {
    // A fragment of GStreamer's mp4mux leaves with the sample after it, so ours is preferred even if media has to be encoded for it.
    element != "mp4mux" || accepts(Container::Mp4).is_none_or(|accepted| accepted.can_intersect(caps))
}
