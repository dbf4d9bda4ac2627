//! What encoders of a text need and what the text does not say: frames of even size, and no more channels than the codec has.

use super::caps;
use gst::{glib, prelude::*};
use gstreamer as gst;

/// Encoders of 4:2:0 that halve the size of a frame refuse odd ones. Scaling takes away at most a line and a column.
const EVEN: &str = "video/x-raw,width=[2,65534,2],height=[2,65534,2]";
/// In this order: an element that converts prefers what it has, and then the first.
const STEREO: &str = "audio/x-raw,channels=2;audio/x-raw,channels=1";

/// Puts in front of the encoders of a text what makes media fit. `channels` are those of the audio track. Returns what the log should
/// say.
pub(super) fn fit(bin: &gst::Bin, channels: Option<i32>) -> Result<Vec<String>, glib::BoolError> {
    let mut remarks = Vec::new();
    for element in bin.children() {
        let Some(factory) = element.factory() else { continue };
        let class = factory.metadata(gst::ELEMENT_METADATA_KLASS).unwrap_or_default();
        if !class.contains("Encoder") {
            continue;
        }
        if caps::is_video_encoder(&element) && needs_even(&factory) {
            insert(bin, &element, Some("videoscale"), EVEN)?;
        } else if class.contains("Audio") && most_channels(&factory).is_some_and(|most| most <= 2) {
            insert(bin, &element, None, STEREO)?;
            if let Some(channels) = channels.filter(|channels| *channels > 2) {
                remarks
                    .push(format!("audio of {channels} channels is mixed to stereo: {} has no more", factory.name()));
            }
        }
    }
    Ok(remarks)
}

/// Encoders of H.264 and H.265 in system memory. Those on a graphics card align frames themselves.
fn needs_even(factory: &gst::ElementFactory) -> bool {
    let templates = factory.static_pad_templates();
    templates.iter().any(|template| {
        let names = template.caps();
        template.direction() == gst::PadDirection::Src
            && names.iter().any(|form| matches!(form.name().as_str(), "video/x-h264" | "video/x-h265"))
    })
}

/// The most channels that an encoder takes; `None` when its template does not say it.
fn most_channels(factory: &gst::ElementFactory) -> Option<i32> {
    let templates = factory.static_pad_templates();
    let entrance = templates.iter().find(|template| template.direction() == gst::PadDirection::Sink)?;
    let of = |value: &glib::SendValue| {
        let many = value.get::<gst::List>().ok();
        let most = many.and_then(|list| list.iter().filter_map(|value| value.get::<i32>().ok()).max());
        let range = value.get::<gst::IntRange<i32>>().ok().map(|range| range.max());
        value.get::<i32>().ok().or(range).or(most)
    };
    entrance
        .caps()
        .iter()
        .map(|form| form.value("channels").ok().and_then(of))
        .collect::<Option<Vec<_>>>()?
        .into_iter()
        .max()
}

/// Puts a filter in front of an element, behind another element if there is to be one. Nothing happens where the element takes other
/// memory than the system's from what is in front of it.
fn insert(bin: &gst::Bin, element: &gst::Element, with: Option<&str>, filter: &str) -> Result<(), glib::BoolError> {
    let Some(sink) = element.static_pad("sink") else { return Ok(()) };
    let Some(before) = sink.peer() else { return Ok(()) };
    let between = before.query_caps(None).intersect(&sink.query_caps(None));
    let is_plain = |features: &gst::CapsFeaturesRef| features.is_any() || features.contains("memory:SystemMemory");
    if !between.is_any() && !between.iter_with_features().all(|(_, features)| is_plain(features)) {
        return Ok(());
    }
    let filter = gst::ElementFactory::make("capsfilter").property_from_str("caps", filter).build()?;
    let mut elements = Vec::new();
    if let Some(with) = with {
        elements.push(gst::ElementFactory::make(with).build()?);
    }
    elements.push(filter);
    bin.add_many(&elements)?;
    before.unlink(&sink)?;
    gst::Element::link_many(elements.iter().chain([element]))?;
    let entrance = elements.first().and_then(|element| element.static_pad("sink"));
    let entrance = entrance.ok_or_else(|| glib::bool_error!("no sink pad"))?;
    before.link(&entrance).map_err(|error| glib::bool_error!("{}: {error}", before.name()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The caps with which media enters the encoder of a text.
    fn entering(text: &str, encoder: &str, channels: Option<i32>) -> (gst::Structure, Vec<String>) {
        gst::init().unwrap();
        let pipeline = gst::parse::launch(text).unwrap().downcast::<gst::Pipeline>().unwrap();
        let remarks = fit(pipeline.upcast_ref(), channels).unwrap();
        pipeline.set_state(gst::State::Playing).unwrap();
        let bus = pipeline.bus().unwrap();
        let kinds = [gst::MessageType::Error, gst::MessageType::Eos];
        let message = bus.timed_pop_filtered(gst::ClockTime::from_seconds(20), &kinds).unwrap();
        assert_eq!(message.type_(), gst::MessageType::Eos, "{text}: {message:?}");
        let element = pipeline.children().into_iter().find(|element| element.factory().unwrap().name() == encoder);
        let caps = element.unwrap().static_pad("sink").unwrap().current_caps().unwrap();
        pipeline.set_state(gst::State::Null).unwrap();
        (caps.structure(0).unwrap().to_owned(), remarks)
    }

    #[test]
    fn frames_of_odd_size_lose_a_line_and_a_column_at_most() {
        for (size, expect) in
            [((321, 241), (320, 240)), ((320, 241), (320, 240)), ((322, 242), (322, 242)), ((641, 361), (640, 360))]
        {
            for convert in ["videoconvert ! ", ""] {
                let text = format!(
                    "videotestsrc num-buffers=2 ! video/x-raw,format=I420,width={},height={},framerate=25/1 ! {convert}x264enc ! fakesink",
                    size.0, size.1
                );
                let (caps, _) = entering(&text, "x264enc", None);
                assert_eq!((caps.get("width").unwrap(), caps.get("height").unwrap()), expect, "{text}");
            }
        }
    }

    #[test]
    fn surround_becomes_stereo_where_the_codec_has_no_more() {
        let text = |channels: i32, mask: &str, encoder: &str| {
            format!(
                "audiotestsrc num-buffers=3 ! audio/x-raw,rate=48000,channels={channels},channel-mask=(bitmask){mask} ! \
                 audioconvert ! audioresample ! {encoder} ! fakesink"
            )
        };
        for (channels, mask, expect) in [(1, "0x4", 1), (2, "0x3", 2), (6, "0x3f", 2), (8, "0xc3f", 2)] {
            let (caps, remarks) = entering(&text(channels, mask, "lamemp3enc"), "lamemp3enc", Some(channels));
            assert_eq!(
                (caps.get::<i32>("channels").unwrap(), remarks.len()),
                (expect, usize::from(channels > 2)),
                "{remarks:?}"
            );
        }
        // What the codec has stays.
        let (caps, remarks) = entering(&text(6, "0x3f", "avenc_aac"), "avenc_aac", Some(6));
        assert_eq!((caps.get::<i32>("channels").unwrap(), remarks.len()), (6, 0));
    }
}
