//! How each video encoder is configured.
//!
//! Properties are those that GStreamer 1.22 documents, or the version that brought the element. No encoder may keep frames
//! back: there are no B-frames and no look-ahead, by default or by a property. What is in software has run here.

use super::{
    codec::VideoCodec,
    encoder_settings::{Choice, Rate, Video},
    encoders::{Encoder, Family, of},
};

/// Longest distance of keyframes that `va` of GStreamer 1.22 takes; more often is within what `gop` allows.
const MOST_OF_VA: u32 = 1024;

/// Those that may encode this video, in the order in which they are tried.
pub(super) fn candidates(video: &Video) -> impl Iterator<Item = &'static Encoder> + '_ {
    of(video.codec).filter(|encoder| match video.encoder {
        Choice::Auto => encoder.lacks(video).is_none(),
        Choice::Software => !encoder.is_hardware() && encoder.lacks(video).is_none(),
        Choice::Only(only) => *encoder == only,
    })
}

impl Encoder {
    /// The key of `video:` that it can do nothing about.
    pub(super) fn lacks(&self, video: &Video) -> Option<&'static str> {
        let is_full = matches!(self.name, "x264enc" | "x265enc");
        let has_quantizer = match self.family {
            Family::Software => true,
            Family::Va | Family::Nvenc => matches!(self.codec, VideoCodec::H264 | VideoCodec::H265),
            // What there is of it differs with versions and drivers.
            Family::QuickSync | Family::V4l2 => false,
        };
        let is_plain = video.codec.pixel_formats().first() == Some(&video.pixel_format);
        if video.preset.is_some() && !is_full {
            Some("preset")
        } else if matches!(video.rate, Rate::Quality(_)) && !has_quantizer {
            Some("quality")
        } else if !is_plain && (self.is_hardware() || self.name == "openh264enc") {
            Some("pixel_format")
        } else {
            None
        }
    }

    /// The pixels that it takes for this video, by GStreamer's name.
    pub(super) fn pixels(&self, video: &Video) -> &'static str {
        if self.is_hardware() { "NV12" } else { video.pixel_format }
    }

    /// From its pixels to what a muxer takes.
    pub(super) fn text(&self, video: &Video) -> String {
        let element = match self.family {
            Family::Va => format!("{} {}", self.name, self.va(video)),
            Family::Nvenc => format!("{} {}", self.name, nvenc(video)),
            Family::QuickSync => format!("{} {}", self.name, self.quick_sync(video)),
            Family::V4l2 => format!("{} {}", self.name, v4l2(video)),
            Family::Software => self.software(video),
        };
        // The baseline of what players know, unless the pixels need more.
        let profile = match (self.family, self.name, video.pixel_format) {
            // Drivers use level 1 where none is asked for.
            (Family::V4l2, "v4l2h264enc", _) => " ! video/x-h264,profile=main,level=(string){4,4.2,5,5.1}",
            (_, _, "I420") if self.codec == VideoCodec::H264 => " ! video/x-h264,profile=main",
            _ => "",
        };
        let parser = match self.codec {
            VideoCodec::H264 => " ! h264parse config-interval=-1",
            VideoCodec::H265 => " ! h265parse config-interval=-1",
            VideoCodec::Vp9 => " ! vp9parse",
            VideoCodec::Av1 => " ! av1parse",
            VideoCodec::Mpeg2 => " ! mpegvideoparse",
            VideoCodec::Vp8 | VideoCodec::Mjpeg => "",
        };
        format!("{element}{profile}{parser}")
    }

    fn va(&self, video: &Video) -> String {
        let gop = video.gop.min(MOST_OF_VA);
        match video.rate {
            Rate::Bitrate(bitrate) => format!("rate-control=cbr bitrate={} key-int-max={gop}", bitrate.kilobits()),
            Rate::Quality(quality) => {
                let level = quantizer(quality, 51);
                format!("rate-control=cqp qpi={level} qpp={level} key-int-max={gop}")
            }
        }
    }

    fn quick_sync(&self, video: &Video) -> String {
        let Video { rate, gop, .. } = video;
        // Every keyframe is a join point, which is how the others count it.
        let idr = if self.codec == VideoCodec::H265 { " idr-interval=1" } else { "" };
        let bitrate = rate.bitrate().kilobits();
        format!("low-latency=true rate-control=cbr bitrate={bitrate} gop-size={gop}{idr}")
    }

    fn software(&self, video: &Video) -> String {
        let Video { rate, gop, .. } = video;
        let preset = video.preset.unwrap_or(DEFAULT_PRESET);
        match (self.name, rate) {
            ("x264enc", rate) => {
                let rate = match rate {
                    Rate::Bitrate(bitrate) => format!("bitrate={}", bitrate.kilobits()),
                    // The bitrate is only a limit here, and this one is none.
                    Rate::Quality(quality) => {
                        format!("pass=qual quantizer={} bitrate=100000", quantizer(*quality, 50))
                    }
                };
                format!(
                    "x264enc tune=zerolatency speed-preset={preset} {rate} key-int-max={gop} option-string=scenecut=0"
                )
            }
            ("openh264enc", rate) => {
                let rate = match rate {
                    Rate::Bitrate(bitrate) => format!("rate-control=bitrate bitrate={}", bitrate.0),
                    Rate::Quality(quality) => {
                        let level = quantizer(*quality, 51);
                        format!("rate-control=off qp-min={level} qp-max={level}")
                    }
                };
                format!("openh264enc complexity=low scene-change-detection=false {rate} gop-size={gop}")
            }
            ("x265enc", rate) => {
                let (rate, option) = match rate {
                    Rate::Bitrate(bitrate) => (format!(" bitrate={}", bitrate.kilobits()), String::new()),
                    Rate::Quality(quality) => (String::new(), format!("crf={}:", quantizer(*quality, 51))),
                };
                format!(
                    "x265enc tune=zerolatency speed-preset={preset}{rate} key-int-max={gop} \
                     option-string={option}scenecut=0:open-gop=0"
                )
            }
            ("vp8enc", rate) => {
                format!("vp8enc deadline=1 cpu-used=8 threads=4 keyframe-max-dist={gop} {}", vpx_rate(*rate))
            }
            ("vp9enc", rate) => format!(
                "vp9enc deadline=1 cpu-used=8 lag-in-frames=0 row-mt=true keyframe-max-dist={gop} {}",
                vpx_rate(*rate)
            ),
            ("av1enc", rate) => {
                let rate = match rate {
                    Rate::Bitrate(bitrate) => format!("target-bitrate={}", bitrate.kilobits()),
                    Rate::Quality(quality) => {
                        let level = quantizer(*quality, 63);
                        format!("end-usage=q min-quantizer={level} max-quantizer={level}")
                    }
                };
                format!(
                    "av1enc usage-profile=realtime cpu-used=8 lag-in-frames=0 row-mt=true keyframe-max-dist={gop} {rate}"
                )
            }
            ("mpeg2enc", rate) => {
                let rate = match rate {
                    Rate::Bitrate(bitrate) => format!("bitrate={}", bitrate.kilobits()),
                    Rate::Quality(quality) => format!("quantisation={}", quantizer(*quality, 31)),
                };
                format!(
                    "mpeg2enc format=3 {rate} min-gop-size={gop} max-gop-size={gop} b-per-refframe=0 closed-gop=true"
                )
            }
            (name, Rate::Quality(quality)) => format!("{name} quality={quality}"),
            (name, Rate::Bitrate(_)) => name.to_owned(),
        }
    }
}

/// As fast as a stream needs it, and still twice as good as `ultrafast`.
const DEFAULT_PRESET: &str = "superfast";

fn nvenc(video: &Video) -> String {
    let rate = match video.rate {
        Rate::Bitrate(bitrate) => format!("rc-mode=cbr bitrate={}", bitrate.kilobits()),
        Rate::Quality(quality) => format!("rc-mode=constqp qp-const={}", quantizer(quality, 51)),
    };
    format!("zerolatency=true {rate} gop-size={}", video.gop)
}

/// The names are those of the kernel's controls; a driver passes over those that it does not have.
fn v4l2(video: &Video) -> String {
    let Video { rate, gop, .. } = video;
    let bitrate = rate.bitrate().0;
    format!(
        "extra-controls=encode,video_bitrate_mode=1,video_bitrate={bitrate},video_gop_size={gop},\
         h264_i_frame_period={gop},repeat_sequence_header=1"
    )
}

/// Rate control of vp8enc and vp9enc.
fn vpx_rate(rate: Rate) -> String {
    match rate {
        Rate::Bitrate(bitrate) => format!("end-usage=cbr target-bitrate={}", bitrate.0),
        Rate::Quality(quality) => {
            let level = quantizer(quality, 63);
            format!("min-quantizer={level} max-quantizer={level}")
        }
    }
}

/// Quality 100 is the quantizer 1, quality 1 the coarsest. Quantizer 0 is lossless, which the usual profiles forbid.
fn quantizer(quality: u8, coarsest: u32) -> u32 {
    1 + (100 - u32::from(quality.min(100))) * (coarsest - 1) / 99
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ENCODERS, Encoding, parse};

    /// The pipelines of a stream with these keys of `video:`.
    fn texts(container: &str, keys: &str) -> Vec<String> {
        let text = format!(
            "feeds: {{cam: {{command: cat}}}}\nstreams: {{a.{container}: {{feed: cam, video: {{{keys}}}, audio: false}}}}"
        );
        let config = parse(&text).unwrap_or_else(|faults| panic!("{text}: {faults:?}"));
        match &config.streams[0].encoding {
            Encoding::Pipeline(texts) => texts.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// The encoders of these keys, in their order.
    fn chosen(container: &str, keys: &str) -> String {
        let word = |text: &String| {
            let words: Vec<_> = text.split_whitespace().collect();
            words.into_iter().find(|word| ENCODERS.iter().any(|encoder| encoder.name == *word)).unwrap().to_owned()
        };
        texts(container, keys).iter().map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn hardware_is_tried_before_software() {
        #[track_caller]
        fn check(container: &str, keys: &str, expect: &str) {
            assert_eq!(chosen(container, keys), expect, "{keys}");
        }
        check("ts", "", "vah264enc vah264lpenc nvh264enc qsvh264enc v4l2h264enc x264enc openh264enc");
        check("ts", "encoder: auto, codec: h265", "vah265enc vah265lpenc nvh265enc qsvh265enc v4l2h265enc x265enc");
        check("webm", "", "v4l2vp8enc vp8enc");
        check("webm", "codec: vp9", "vavp9enc vavp9lpenc qsvvp9enc v4l2vp9enc vp9enc");
        check("mp4", "codec: av1", "vaav1enc vaav1lpenc nvav1enc qsvav1enc av1enc");
        check("ts", "codec: mpeg2", "mpeg2enc");
        check("mjpeg", "", "jpegenc");
        check("ts", "encoder: software", "x264enc openh264enc");
        check("ts", "encoder: nvh264enc", "nvh264enc");
        // Who asks for what only some can do gets those.
        check("ts", "preset: fast", "x264enc");
        check("ts", "quality: 60", "vah264enc vah264lpenc nvh264enc x264enc openh264enc");
        check("ts", "pixel_format: Y444", "x264enc");
        check("webm", "codec: vp9, quality: 60", "vp9enc");
    }

    #[test]
    fn each_family_is_told_the_same_in_its_own_words() {
        #[track_caller]
        fn check(container: &str, keys: &str, expect: &str) {
            let texts = texts(container, keys);
            assert!(texts.iter().any(|text| text.contains(expect)), "{expect} in {texts:#?}");
        }
        let nv12 = "video. ! videoconvertscale ! video/x-raw,format=NV12 !";
        let tail = "! video/x-h264,profile=main ! h264parse config-interval=-1 ! mux. mpegtsmux name=mux";
        let keys = "bitrate: 1.5M, gop: 30";
        check("ts", keys, &format!("{nv12} vah264enc rate-control=cbr bitrate=1500 key-int-max=30 {tail}"));
        check("ts", keys, &format!("{nv12} nvh264enc zerolatency=true rc-mode=cbr bitrate=1500 gop-size=30 {tail}"));
        let quick = "qsvh264enc low-latency=true rate-control=cbr bitrate=1500 gop-size=30";
        check("ts", keys, &format!("{nv12} {quick} {tail}"));
        let controls = "video_bitrate_mode=1,video_bitrate=1500000,video_gop_size=30,h264_i_frame_period=30,";
        check("ts", keys, &format!("{nv12} v4l2h264enc extra-controls=encode,{controls}"));
        let open = "openh264enc complexity=low scene-change-detection=false rate-control=bitrate bitrate=1500000";
        check("ts", keys, &format!("format=I420 ! {open} gop-size=30 {tail}"));
        check("ts", "quality: 60", "vah264enc rate-control=cqp qpi=21 qpp=21 key-int-max=50 ");
        check("ts", "quality: 60", "nvh264enc zerolatency=true rc-mode=constqp qp-const=21 gop-size=50 ");
        check("ts", "gop: 9000", "vah264enc rate-control=cbr bitrate=2000 key-int-max=1024 ");
        check(
            "ts",
            "codec: h265",
            "qsvh265enc low-latency=true rate-control=cbr bitrate=2000 gop-size=50 idr-interval=1",
        );
        check("mp4", "codec: av1", "nvav1enc zerolatency=true rc-mode=cbr bitrate=2000 gop-size=50 ! av1parse ! mux.");
    }

    #[test]
    fn quality_has_the_whole_range_of_a_quantizer() {
        assert_eq!(quantizer(100, 51), 1);
        assert_eq!(quantizer(1, 51), 51);
        assert_eq!(quantizer(60, 51), 21);
    }

    #[test]
    fn what_an_encoder_cannot_do_is_a_fault() {
        #[track_caller]
        fn check(keys: &str, expect: &str) {
            let text = format!("feeds: {{cam: {{command: cat}}}}\nstreams:\n  a.ts: {{feed: cam, video: {{{keys}}}}}");
            let faults: Vec<_> = parse(&text).unwrap_err().iter().map(ToString::to_string).collect();
            assert_eq!(faults, [expect]);
        }
        check(
            "encoder: x265enc",
            "3:38: streams.a.ts.video.encoder: expected auto, software, vah264enc, vah264lpenc, nvh264enc, qsvh264enc, \
             v4l2h264enc, x264enc or openh264enc, found \"x265enc\": it is for h265",
        );
        check(
            "encoder: x264en",
            "3:38: streams.a.ts.video.encoder: expected auto, software, vah264enc, vah264lpenc, nvh264enc, qsvh264enc, \
             v4l2h264enc, x264enc or openh264enc, found \"x264en\", did you mean `x264enc`?",
        );
        check("encoder: vah264enc, preset: fast", "3:49: streams.a.ts.video.preset: vah264enc has no such key");
        check("quality: 7, encoder: v4l2h264enc", "3:29: streams.a.ts.video.quality: v4l2h264enc has no such key");
        check(
            "pixel_format: Y444, encoder: openh264enc",
            "3:29: streams.a.ts.video.pixel_format: openh264enc takes I420 only",
        );
    }
}
