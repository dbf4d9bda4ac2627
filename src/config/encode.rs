//! Encoder settings → gst-launch pipeline: the encoders and muxers of GStreamer, at their lowest latency.
//!
//! Out comes a pipeline like one that a person writes under `pipeline:`; it reads `video.` and `audio.` and ends in one
//! free source pad. Every combination has run on GStreamer 1.22. What is asked for has been checked before.

use super::{
    codec::{AudioCodec, VideoCodec},
    encoder_properties,
    encoder_settings::{Audio, Track, Video},
    encoders::Encoder,
    units::Size,
};
use crate::media::Container;
use std::fmt::Write as _;

/// What stands for a track that passes as the feed has it, in a pipeline that ends in its tracks.
const PASSED: &str = "identity silent=true";

/// The pipelines of a stream that end in its tracks, of which the first is used that works on the machine: one for each encoder
/// that may make its video. A raw track that passes gets the usual encoder.
pub(super) fn track_pipelines(video: &Track<Video>, audio: &Track<Audio>) -> Vec<String> {
    let audio = match audio {
        Track::Copy => Some(PASSED.to_owned()),
        Track::Drop => None,
        Track::Encode(audio) => Some(audio.text()),
    };
    let videos = match video {
        Track::Copy => vec![Some(PASSED.to_owned())],
        Track::Drop => vec![None],
        Track::Encode(video) => {
            encoder_properties::candidates(video).map(|encoder| Some(video.text(encoder))).collect()
        }
    };
    let both = |video: Option<String>| {
        let video = video.map(|video| format!("video. ! {video}"));
        let audio = audio.as_ref().map(|audio| format!("audio. ! {audio}"));
        video.into_iter().chain(audio).collect::<Vec<_>>().join(" ")
    };
    videos.into_iter().map(both).collect()
}

/// The pipelines of a stream, of which the first is used that works on the machine: one for each encoder that may make
/// its video.
pub(super) fn launch_texts(container: Container, video: &Track<Video>, audio: &Track<Audio>) -> Vec<String> {
    match video {
        Track::Copy => vec![launch_text(container, &Track::Copy, audio)],
        Track::Drop => vec![launch_text(container, &Track::Drop, audio)],
        Track::Encode(video) => encoder_properties::candidates(video)
            .map(|encoder| launch_text(container, &Track::Encode(video.text(encoder)), audio))
            .collect(),
    }
}

/// With the pipeline that encodes the video.
fn launch_text(container: Container, video: &Track<String>, audio: &Track<Audio>) -> String {
    let Some(muxer) = muxer(container) else {
        return match (container, audio, video) {
            (Container::Aac, audio, _) => format!("{} ! audio/mpeg,stream-format=adts", frames(audio, "aacparse")),
            (Container::Mp3, audio, _) => frames(audio, "mpegaudioparse"),
            (Container::Flac, audio, _) => frames(audio, "flacparse"),
            (Container::Wav, audio, _) => format!("{} ! wavenc", frames(audio, "audioconvert")),
            (_, _, Track::Encode(video)) => format!("video. ! {video}"),
            (_, _, Track::Copy | Track::Drop) => "video. ! jpegparse".to_owned(),
        };
    };
    let is_pair = !matches!(video, Track::Drop) && !matches!(audio, Track::Drop);
    // A muxer takes the older of its inputs. Without a queue the encoder of the newer one would stand still.
    let queue = if is_pair { " ! queue" } else { "" };
    // The pads of this one are named: it has one of each, and what is not yet known fits either.
    let (picture, sound) = if container == Container::Flv { ("mux.video", "mux.audio") } else { ("mux.", "mux.") };
    let mut text = String::new();
    match video {
        Track::Copy => {
            let _ = write!(text, "video. ! {picture} ");
        }
        Track::Drop => {}
        Track::Encode(video) => {
            let _ = write!(text, "video. ! {video}{queue} ! {picture} ");
        }
    }
    match audio {
        Track::Copy => {
            let _ = write!(text, "audio. ! {sound} ");
        }
        Track::Drop => {}
        Track::Encode(audio) => {
            let _ = write!(text, "audio. ! {}{queue} ! {sound} ", audio.text());
        }
    }
    text.push_str(muxer);
    text
}

/// Audio that needs no muxer.
fn frames(audio: &Track<Audio>, parser: &str) -> String {
    match audio {
        Track::Encode(audio) => format!("audio. ! {}", audio.text()),
        Track::Copy | Track::Drop => format!("audio. ! {parser}"),
    }
}

/// The element that makes the container; none for a container that one track fills.
const fn muxer(container: Container) -> Option<&'static str> {
    match container {
        Container::Ts => Some("mpegtsmux name=mux"),
        // Without a minimal duration a cluster begins at every keyframe, which makes each of them a join point.
        Container::Webm => Some("webmmux name=mux streamable=true min-cluster-duration=0"),
        Container::Mkv => Some("matroskamux name=mux streamable=true min-cluster-duration=0"),
        Container::Ogg => Some("oggmux name=mux"),
        Container::Flv => Some("flvmux name=mux streamable=true"),
        Container::Mp4 => Some("mp4mux name=mux streamable=true fragment-duration=1"),
        Container::Mp3
        | Container::Aac
        | Container::Flac
        | Container::Wav
        | Container::Mjpeg
        | Container::WebRtc
        | Container::Avi
        | Container::Rtp
        | Container::Raw => None,
    }
}

impl Video {
    /// From decoded video to what the muxer takes.
    fn text(&self, encoder: &Encoder) -> String {
        let mut text = "videoconvertscale".to_owned();
        if self.fps.is_some() {
            // A stream that starts late must not be filled up with frames since the start of the feed.
            text.push_str(" ! videorate skip-to-first=true");
        }
        // JPEG frames are BT.601 with the full range of luma. A converter of 1.22 only copies what differs in its range
        // alone, and loses the colours of unknown primaries when it is set to honour them: RGB in between is right for all.
        let is_jpeg = self.codec == VideoCodec::Mjpeg;
        let format = if is_jpeg { "RGB" } else { encoder.pixels(self) };
        let _ = write!(text, " ! video/x-raw,format={format}");
        if let Some(Size { width, height }) = self.size {
            let _ = write!(text, ",width={width},height={height},pixel-aspect-ratio=1/1");
        }
        if let Some(height) = self.height {
            // Both are even, because most formats keep colour at half the resolution.
            let _ = write!(text, ",width=(int)[16,16384,2],height=(int)[16,{height},2],pixel-aspect-ratio=1/1");
        }
        if let Some(fps) = self.fps {
            let _ = write!(text, ",framerate={fps}");
        }
        if let Some(overlay) = &self.overlay {
            let _ = write!(text, " ! {}", overlay.element());
        }
        if is_jpeg {
            let _ = write!(text, " ! videoconvert ! video/x-raw,format={},colorimetry=1:4:0:1", self.pixel_format);
        }
        let _ = write!(text, " ! {}", encoder.text(self));
        text
    }
}

impl Audio {
    /// From decoded audio to what the muxer takes.
    fn text(&self) -> String {
        let mut text = "audioconvert ! audioresample".to_owned();
        let samples = matches!(self.codec, AudioCodec::Flac | AudioCodec::Pcm).then_some(",format=S16LE");
        if samples.is_some() || self.rate.is_some() || self.channels.is_some() {
            text.push_str(" ! audio/x-raw");
            text.push_str(samples.unwrap_or_default());
            if let Some(rate) = self.rate {
                let _ = write!(text, ",rate={rate}");
            }
            if let Some(channels) = self.channels {
                let _ = write!(text, ",channels={channels}");
            }
        }
        let bits = self.bitrate.0;
        let encoder = match self.codec {
            AudioCodec::Aac => format!("avenc_aac bitrate={bits} ! aacparse"),
            AudioCodec::Mp3 => {
                let kilobits = self.bitrate.kilobits();
                // Left alone, it lowers the sample rate where it thinks that the bitrate is too small.
                let rate = self.rate.map(|rate| format!(" ! audio/mpeg,rate={rate}")).unwrap_or_default();
                format!("lamemp3enc target=bitrate cbr=true bitrate={kilobits}{rate} ! mpegaudioparse")
            }
            AudioCodec::Ac3 => format!("avenc_ac3 bitrate={bits} ! ac3parse"),
            // Half its usual frame is half its delay.
            AudioCodec::Opus => format!("opusenc bitrate={bits} frame-size=10 ! opusparse"),
            AudioCodec::Vorbis => format!("vorbisenc bitrate={bits}"),
            // A quarter of its usual frame is a quarter of its delay.
            AudioCodec::Flac => "flacenc blocksize=1024".to_owned(),
            AudioCodec::Pcm => return text,
        };
        let _ = write!(text, " ! {encoder}");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Encoding, parse};

    /// The pipeline for the first encoder in software.
    fn text_of(name: &str, keys: &str) -> String {
        let text = format!("feeds: {{cam: {{command: cat}}}}\nstreams: {{{name}: {{feed: cam, {keys}}}}}");
        let config = parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        match &config.streams[0].encoding {
            Encoding::Pipeline(texts) => {
                let is_soft = |text: &&String| !text.contains("format=NV12");
                texts.iter().find(is_soft).unwrap().clone()
            }
            other => panic!("{other:?}"),
        }
    }

    fn check(name: &str, keys: &str, expect: &str) {
        assert_eq!(text_of(name, keys), expect);
    }

    const H264: &str = "videoconvertscale ! video/x-raw,format=I420 ! x264enc tune=zerolatency speed-preset=superfast \
                        bitrate=2000 key-int-max=50 option-string=scenecut=0 ! video/x-h264,profile=main \
                        ! h264parse config-interval=-1";

    #[test]
    fn a_track_that_is_not_mentioned_passes_and_false_drops_it() {
        check("a.ts", "video: true", &format!("video. ! {H264} ! queue ! mux. audio. ! mux. mpegtsmux name=mux"));
        check("a.ts", "video: true, audio: false", &format!("video. ! {H264} ! mux. mpegtsmux name=mux"));
        check(
            "a.mkv",
            "video: {codec: h264}, audio: true",
            &format!(
                "video. ! {H264} ! queue ! mux. \
                 audio. ! audioconvert ! audioresample ! opusenc bitrate=128000 frame-size=10 ! opusparse ! queue ! mux. \
                 matroskamux name=mux streamable=true min-cluster-duration=0"
            ),
        );
        check("a.ts", "video: false", "audio. ! mux. mpegtsmux name=mux");
        check("a.ts", "audio: false", "video. ! mux. mpegtsmux name=mux");
    }

    #[test]
    fn sound_without_loss_has_sixteen_bits() {
        check(
            "a.flac",
            "audio: {rate: 48000}",
            "audio. ! audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate=48000 ! flacenc blocksize=1024",
        );
        check("a.wav", "audio: true", "audio. ! audioconvert ! audioresample ! audio/x-raw,format=S16LE ! wavenc");
    }

    #[test]
    fn each_key_has_its_place_in_the_text() {
        check(
            "a.webm",
            "video: {bitrate: 800k, gop: 30, fps: 29.97, size: 640x360}, audio: false",
            "video. ! videoconvertscale ! videorate skip-to-first=true ! \
             video/x-raw,format=I420,width=640,height=360,pixel-aspect-ratio=1/1,framerate=30000/1001 ! \
             vp8enc deadline=1 cpu-used=8 threads=4 keyframe-max-dist=30 end-usage=cbr target-bitrate=800000 ! mux. \
             webmmux name=mux streamable=true min-cluster-duration=0",
        );
        check(
            "a.ts",
            "video: {codec: h265, quality: 60, preset: fast, pixel_format: yuv444p}, audio: false",
            "video. ! videoconvertscale ! video/x-raw,format=Y444 ! \
             x265enc tune=zerolatency speed-preset=fast key-int-max=50 option-string=crf=21:scenecut=0:open-gop=0 ! \
             h265parse config-interval=-1 ! mux. mpegtsmux name=mux",
        );
        check(
            "a.ts",
            "video: false, audio: {codec: mp3, bitrate: 96k, channels: 1, rate: 48000}",
            "audio. ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=1 ! \
             lamemp3enc target=bitrate cbr=true bitrate=96 ! audio/mpeg,rate=48000 ! mpegaudioparse ! mux. \
             mpegtsmux name=mux",
        );
    }

    #[test]
    fn jpeg_pictures_need_no_muxer() {
        let text = "video. ! videoconvertscale ! video/x-raw,format=RGB ! videoconvert ! \
                    video/x-raw,format=I420,colorimetry=1:4:0:1 ! jpegenc quality=85";
        check("a.mjpeg", "video: true", text);
        check("a.mjpeg", "audio: false", text);
    }

    #[test]
    fn every_codec_fits_into_a_container_by_its_name() {
        for container in Container::ALL {
            for codec in VideoCodec::of(container) {
                let text = text_of(&format!("a.{container}"), &format!("video: {{codec: {}}}", codec.name()));
                assert_eq!(text.matches("name=mux").count(), usize::from(container != Container::Mjpeg), "{text}");
            }
            for codec in AudioCodec::of(container) {
                text_of(&format!("a.{container}"), &format!("audio: {{codec: {}}}", codec.name()));
            }
        }
    }
}
