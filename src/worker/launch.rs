//! gst-launch pipelines: parsing without starting anything, and errors that say where.

use crate::{
    config::suggestion,
    ipc::{TextFault, TextKind},
};
use gst::prelude::*;
use gstreamer as gst;
use std::{borrow::Cow, path::Path};

/// Well-known elements and the packages that have them: Debian, Nix.
const PACKAGES: [(&[&str], &str, &str); 6] = [
    (
        &["x264enc", "amrnbdec", "mpeg2dec", "a52dec", "dvdreadsrc", "asfdemux", "rmdemux"],
        "gstreamer1.0-plugins-ugly",
        "gst_all_1.gst-plugins-ugly",
    ),
    (
        &[
            "h264parse",
            "h265parse",
            "mpegtsmux",
            "tsdemux",
            "tsparse",
            "srtsrc",
            "srtsink",
            "webrtcbin",
            "x265enc",
            "openh264enc",
            "openh264dec",
            "av1parse",
            "av1enc",
            "fdkaacenc",
            "faac",
            "decklinkvideosrc",
            "decklinkaudiosrc",
            "rtmp2src",
            "rtmp2sink",
            "hlsdemux",
            "dashdemux",
            "kmssink",
            "vah264enc",
            "vah264dec",
            "v4l2codecs",
            "nvh264enc",
            "nvh264dec",
            "voaacenc",
            "mpegvideoparse",
            "jpegparse",
            "mpeg2enc",
            "interaudiosrc",
            "intervideosrc",
            "zbar",
            "svtav1enc",
            "uvch264src",
            "ristsrc",
            "dvbsrc",
            "jp2kdecimator",
        ],
        "gstreamer1.0-plugins-bad",
        "gst_all_1.gst-plugins-bad",
    ),
    (
        &[
            "v4l2src",
            "v4l2h264enc",
            "rtspsrc",
            "rtph264depay",
            "rtpjitterbuffer",
            "udpsrc",
            "udpsink",
            "matroskamux",
            "matroskademux",
            "webmmux",
            "vp8enc",
            "vp9enc",
            "vp8dec",
            "vp9dec",
            "jpegenc",
            "jpegdec",
            "pngenc",
            "pngdec",
            "pulsesrc",
            "flvmux",
            "flvdemux",
            "qtdemux",
            "mp4mux",
            "multipartmux",
            "multipartdemux",
            "souphttpsrc",
            "aacparse",
            "deinterlace",
            "videocrop",
            "videoflip",
            "autovideosrc",
            "level",
            "lamemp3enc",
            "flacenc",
            "wavenc",
            "jackaudiosrc",
            "ximagesrc",
            "imagefreeze",
            "multifilesrc",
        ],
        "gstreamer1.0-plugins-good",
        "gst_all_1.gst-plugins-good",
    ),
    (
        &[
            "videotestsrc",
            "audiotestsrc",
            "videoconvert",
            "videoscale",
            "videorate",
            "audioconvert",
            "audioresample",
            "appsrc",
            "appsink",
            "decodebin",
            "decodebin3",
            "parsebin",
            "uridecodebin",
            "opusenc",
            "opusdec",
            "theoraenc",
            "vorbisenc",
            "oggmux",
            "volume",
            "tcpclientsrc",
            "compositor",
            "audiomixer",
        ],
        "gstreamer1.0-plugins-base",
        "gst_all_1.gst-plugins-base",
    ),
    (&["timeoverlay", "textoverlay", "clockoverlay"], "gstreamer1.0-x", "gst_all_1.gst-plugins-base"),
    (&["alsasrc", "alsasink"], "gstreamer1.0-alsa", "gst_all_1.gst-plugins-base"),
];

/// How the names of families of elements begin, and the packages that have them: Debian, Nix. More special ones come first.
const FAMILIES: [(&[&str], &str, &str); 5] = [
    (&["avenc_", "avdec_", "avmux_", "avdemux_"], "gstreamer1.0-libav", "gst_all_1.gst-libav"),
    (&["vaapi"], "gstreamer1.0-vaapi", "gst_all_1.gst-vaapi"),
    (&["pipewire"], "gstreamer1.0-pipewire", "pipewire"),
    (
        &["vaav1", "vah264", "vah265", "vajpeg", "vavp", "vapostproc", "v4l2sl", "nvh26", "nvav1", "nvjpeg", "qsv"],
        "gstreamer1.0-plugins-bad",
        "gst_all_1.gst-plugins-bad",
    ),
    (&["rtp", "v4l2", "pulse", "jack"], "gstreamer1.0-plugins-good", "gst_all_1.gst-plugins-good"),
];

/// The packages of Debian and of Nix that have an element.
fn package(element: &str) -> Option<(&'static str, &'static str)> {
    let exact = PACKAGES.iter().find(|(elements, ..)| elements.contains(&element));
    let family = || FAMILIES.iter().find(|(starts, ..)| starts.iter().any(|start| element.starts_with(start)));
    exact.or_else(family).map(|(_, debian, nix)| (*debian, *nix))
}

/// A source that a pipeline may refer to.
pub(super) struct Declared {
    /// Its name.
    pub(super) name: String,
    /// What it may deliver, if that is known: it decides which pad of a muxer it is linked to.
    pub(super) caps: Option<gst::Caps>,
}

/// A parsed pipeline, in state NULL.
pub(super) fn parse(text: &str, declared: &[Declared]) -> Result<gst::Bin, TextFault> {
    let mut sources = String::new();
    for Declared { name, caps } in declared {
        // Stands in for the source: unlike an appsrc it shows its caps to whom it is linked to.
        sources += &format!("capsfilter name={name} ");
        if let Some(caps) = caps {
            let caps = caps.to_string().replace('\\', "\\\\").replace('"', "\\\"");
            sources += &format!("caps=\"{caps}\" ");
        }
    }
    if text.trim().is_empty() {
        return Err(misfit("the text is empty"));
    }
    let mut context = gst::ParseContext::new();
    gst::parse::bin_from_description_full(
        &format!("{sources}{}", closed(text)),
        false,
        Some(&mut context),
        gst::ParseFlags::FATAL_ERRORS,
    )
    .map_err(|error| fault(text, error.message(), &context.missing_elements()))
    .and_then(|element| element.downcast::<gst::Bin>().map_err(|_| misfit("the text is no pipeline")))
}

/// A pipeline may end in caps, which GStreamer's parser does not know: caps stand between two elements.
fn closed(text: &str) -> Cow<'_, str> {
    let last = text.rsplit_once('!').map_or("", |(_, last)| last).trim();
    let media = last.split([',', '(']).next().unwrap_or_default().trim();
    let caps = media.split_once('/').is_some_and(|(kind, format)| {
        matches!(kind, "video" | "audio" | "image" | "multipart" | "application")
            && format.chars().all(|c| c.is_ascii_alphanumeric() || "-_.+".contains(c))
    });
    if caps { format!("{text} ! identity silent=true").into() } else { text.into() }
}

/// Whether a pipeline parses and has the pads that its kind needs.
pub(super) fn check(kind: TextKind, text: &str) -> Option<TextFault> {
    let declared = match kind {
        TextKind::Feed | TextKind::Element => Vec::new(),
        TextKind::Stream | TextKind::Tracks => {
            references(text).into_iter().map(|name| Declared { name, caps: None }).collect()
        }
    };
    let bin = match parse(text, &declared) {
        Ok(bin) => bin,
        Err(fault) => return Some(fault),
    };
    let missing = |message: &str| Some(misfit(message));
    match kind {
        TextKind::Feed if free_sources(&bin).is_empty() && dynamic(&bin).is_empty() => {
            missing("no source pad is left free: nothing comes out of this pipeline")
        }
        TextKind::Stream | TextKind::Tracks => match free_sources(&bin).len() {
            0 => missing("no source pad is left free: nothing comes out of this pipeline"),
            1 => None,
            _ if kind == TextKind::Tracks => None,
            _ => missing("more than one source pad is left free: end the text in one muxer or encoder"),
        },
        TextKind::Feed | TextKind::Element => None,
    }
}

/// The device that a pipeline names and that is not there.
pub(super) fn missing_device(text: &str) -> Option<&str> {
    let paths = text.split_whitespace().filter_map(|word| word.strip_prefix("device="));
    let mut devices = paths.map(|path| path.trim_matches('"')).filter(|path| path.starts_with("/dev/"));
    devices.find(|path| !Path::new(path).exists())
}

/// The names of feed tracks that a stream's pipeline reads from, in order, each once.
pub(super) fn references(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let Some((name, _)) = word.trim_start_matches('(').split_once('.') else { continue };
        if reference(name).is_some() && !names.iter().any(|known| known == name) && !defines(text, name) {
            names.push(name.to_owned());
        }
    }
    names
}

/// What a name like `video` or `audio_1` refers to: the kind and the position among the stream's feeds.
pub(super) fn reference(name: &str) -> Option<(crate::ipc::TrackKind, Option<usize>)> {
    use crate::ipc::TrackKind::{Audio, Video};
    let (kind, rest) = match (name.strip_prefix("video"), name.strip_prefix("audio")) {
        (Some(rest), _) => (Video, rest),
        (_, Some(rest)) => (Audio, rest),
        _ => return None,
    };
    match rest.strip_prefix('_') {
        Some(number) => Some((kind, Some(number.parse().ok()?))),
        None => rest.is_empty().then_some((kind, None)),
    }
}

/// Whether the pipeline gives one of its own elements this name.
fn defines(text: &str, name: &str) -> bool {
    text.split_whitespace()
        .filter_map(|word| word.strip_prefix("name="))
        .any(|value| value.trim_matches(['"', '\'', ')']) == name)
}

/// Source pads of the outermost elements that nothing is linked to.
pub(super) fn free_sources(bin: &gst::Bin) -> Vec<gst::Pad> {
    let mut children = bin.children();
    // The newest child comes first; a pipeline is read from its start.
    children.reverse();
    let mut pads = Vec::new();
    for element in children {
        pads.extend(element.src_pads().into_iter().filter(|pad| !pad.is_linked()));
        let wants_pad = matches!(element.name().as_str(), "video" | "audio") && element.src_pads().is_empty();
        if wants_pad && let Some(pad) = element.request_pad_simple("src_%u") {
            pads.push(pad);
        }
    }
    pads
}

/// The outermost elements that get further source pads while they run.
pub(super) fn dynamic(bin: &gst::Bin) -> Vec<gst::Element> {
    let later = |template: &gst::PadTemplate| {
        template.direction() == gst::PadDirection::Src && template.presence() == gst::PadPresence::Sometimes
    };
    bin.children().into_iter().filter(|element| element.pad_template_list().iter().any(later)).collect()
}

fn fault(text: &str, message: &str, missing: &[String]) -> TextFault {
    let at = quoted(message).find_map(|word| find_word(text, word));
    let mut message = message.to_owned();
    // GStreamer has lost the name of an element that is referred to but not there.
    if message.contains("\"(null)\"")
        && let Some((at, name)) = dangling(text)
    {
        let message = format!("no element is named \"{name}\"");
        return TextFault { message, at: Some(at), is_of_machine: false };
    }
    let is_of_machine =
        ["no element ", "no property ", "could not set property "].iter().any(|start| message.starts_with(start));
    // GStreamer lists elements as missing that only lack a property.
    let is_missing = message.starts_with("no element ");
    let unknown = quoted(&message).next().map(str::to_owned).filter(|_| is_missing && missing.is_empty());
    for name in missing.iter().chain(&unknown).filter(|_| is_missing) {
        message += &match package(name) {
            Some((debian, nix)) => format!(" (Debian: apt-get install {debian}; Nix: {nix})"),
            None => near_element(name),
        };
    }
    message += &near_property(&message);
    TextFault { message, at, is_of_machine }
}

/// Whether a pipeline does not parse because the machine does not have an element.
pub(super) fn lacks_element(fault: &TextFault) -> bool {
    fault.is_of_machine && fault.message.starts_with("no element ")
}

/// An error of a whole pipeline.
fn misfit(message: &str) -> TextFault {
    TextFault { message: message.into(), at: None, is_of_machine: false }
}

/// What an unknown element may have been meant to be.
fn near_element(name: &str) -> String {
    let factories = gst::Registry::get().features(gst::ElementFactory::static_type());
    let names: Vec<_> = factories.iter().map(|factory| factory.name()).collect();
    suggestion(name, names.iter().map(glib::GString::as_str))
}

/// What the property of a message like `no property "x" in element "y"` may have been meant to be.
fn near_property(message: &str) -> String {
    let mut words = quoted(message);
    let (Some(name), Some(element), true) = (words.next(), words.next(), message.starts_with("no property ")) else {
        return String::new();
    };
    let Ok(element) = gst::ElementFactory::make(element).build() else { return String::new() };
    suggestion(name, element.list_properties().iter().map(|property| property.name()))
}

/// The words in double quotes, as GStreamer marks what a message is about.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('"').skip(1).step_by(2).filter(|word| !word.is_empty())
}

/// The first reference like `mux.` to a name that nothing has.
fn dangling(text: &str) -> Option<(usize, &str)> {
    let mut from = 0;
    text.split_whitespace().find_map(|word| {
        let at = from + text.get(from..)?.find(word)?;
        from = at + word.len();
        let (name, _) = word.split_once('.')?;
        let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_'));
        (is_name && !defines(text, name) && reference(name).is_none()).then_some((at, name))
    })
}

fn find_word(text: &str, word: &str) -> Option<usize> {
    let inside = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
    text.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(kind: TextKind, text: &str, at: Option<usize>, words: &str) {
        gst::init().unwrap();
        match check(kind, text) {
            Some(fault) => {
                assert!(!words.is_empty() && fault.message.contains(words), "{text}: {fault:?}");
                assert_eq!(fault.at, at, "{text}: {fault:?}");
            }
            None => assert!(words.is_empty(), "{text} has no fault"),
        }
    }

    #[test]
    fn device_that_is_not_there_is_found() {
        let missing = |devices: [&str; 2]| {
            let [video, audio] = devices;
            let text = format!("v4l2src device={video} ! queue name=video alsasrc device={audio} ! queue name=audio");
            missing_device(&text).map(str::to_owned)
        };
        assert_eq!(missing(["/dev/null", "hw:1"]), None);
        assert_eq!(missing(["/dev/null", "/dev/none"]), Some("/dev/none".into()));
        assert_eq!(missing(["\"/dev/none\"", "hw:1"]), Some("/dev/none".into()));
    }

    #[test]
    fn faults_say_what_and_where() {
        use TextKind::{Feed, Stream};
        check_text(Feed, "videotestsrc is-live=true", None, "");
        check_text(Feed, "videotestsrc ! video/x-raw, width=320,framerate=25/1", None, "");
        check_text(Feed, "videotestsrc ! foo ! fakesink", Some(15), "no element \"foo\"");
        check_text(Feed, "videotestsrc foo=1 ! x264enc", Some(13), "no property \"foo\" in element \"videotestsrc\"");
        check_text(Feed, "videotestsrc ! x264en", Some(15), "no element \"x264en\", did you mean `x264enc`?");
        let property = "no property \"is-life\" in element \"videotestsrc\", did you mean `is-live`?";
        check_text(Feed, "videotestsrc is-life=1", Some(13), property);
        check_text(Feed, "videotestsrc ! fakesink", None, "no source pad");
        check_text(Feed, "", None, "empty");
        check_text(Feed, "filesrc location=/nowhere ! decodebin", None, "");
        check_text(Stream, "video. ! videoconvert ! x264enc ! mpegtsmux", None, "");
        check_text(Stream, "video. ! x264enc ! mux. audio_1. ! avenc_aac ! mux. mpegtsmux name=mux", None, "");
        check_text(Stream, "videotestsrc ! x264enc", None, "");
        check_text(Stream, "video. ! x264enc ! mx. mpegtsmux name=mux", Some(19), "mx");
        check_text(Stream, "videotestsrc ! tee name=t t. ! queue t. ! queue", None, "more than one");
    }

    #[test]
    fn a_missing_element_comes_with_its_package() {
        let fault = fault("a ! x264enc", "no element \"x264enc\"", &["x264enc".into()]);
        assert_eq!(fault.at, Some(4));
        assert!(
            fault
                .message
                .ends_with("(Debian: apt-get install gstreamer1.0-plugins-ugly; Nix: gst_all_1.gst-plugins-ugly)")
        );
    }

    #[test]
    fn families_of_elements_have_their_package() {
        let check = |element: &str, expect: &str| assert_eq!(package(element).map(|(debian, _)| debian), Some(expect));
        check("avenc_aac", "gstreamer1.0-libav");
        check("vaapih264enc", "gstreamer1.0-vaapi");
        check("pipewiresrc", "gstreamer1.0-pipewire");
        check("vah265enc", "gstreamer1.0-plugins-bad");
        check("v4l2slh264dec", "gstreamer1.0-plugins-bad");
        check("v4l2h265enc", "gstreamer1.0-plugins-good");
        check("rtph265depay", "gstreamer1.0-plugins-good");
        assert_eq!(package("videotestsrv"), None);
    }

    #[test]
    fn references_are_words_of_the_text_that_it_does_not_define() {
        assert_eq!(references("video. ! x264enc ! m. audio_1. ! m. mpegtsmux name=m video."), ["video", "audio_1"]);
        assert_eq!(references("videotestsrc name=video video. ! jpegenc"), [""; 0]);
        assert_eq!(references("filesrc location=/video.mp4 ! videoconvert"), [""; 0]);
    }
}
