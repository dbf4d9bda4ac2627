//! What encoders of a pipeline need and what the pipeline does not say: frames of even size, a frame rate, and no more channels than the codec
//! has.

use super::{caps, threads::lock};
use gst::{glib, prelude::*};
use gstreamer as gst;
use std::sync::Mutex;

/// Encoders of 4:2:0 that halve the size of a frame refuse odd ones. Scaling takes away at most a line and a column.
const EVEN: &str = "video/x-raw,width=[2,65534,2],height=[2,65534,2]";
/// In this order: an element that converts prefers what it has, and then the first.
const STEREO: &str = "audio/x-raw,channels=2;audio/x-raw,channels=1";

/// Inserts before the encoders of a pipeline what makes media fit. `channels` are those of the audio track. Returns what the log should
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
            tell_rate(&element);
        } else if factory.name() == "mpeg2enc" {
            // It ends the process that it is in otherwise. It has few rates, and its pipeline says one of them.
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

/// Gives an encoder a frame rate where the source has none: x264 holds each frame back until the next one comes otherwise. The
/// times of frames stay what they are. The rate is measured, as the encoder divides its bit rate by it.
fn tell_rate(encoder: &gst::Element) {
    let Some(sink) = encoder.static_pad("sink") else { return };
    let measure = Mutex::new(Measure::default());
    let kinds = gst::PadProbeType::BUFFER | gst::PadProbeType::EVENT_DOWNSTREAM;
    sink.add_probe(kinds, move |pad, info| {
        let mut measure = lock(&measure);
        let caps = info.event().and_then(|event| match event.view() {
            gst::EventView::Caps(caps) => Some(caps.caps_owned()),
            _ => None,
        });
        if let Some(caps) = caps {
            let rate = caps.structure(0).and_then(|form| form.get::<gst::Fraction>("framerate").ok());
            let is_known = rate.is_some_and(|rate| rate.numer() > 0);
            *measure = Measure { caps: (!is_known).then(|| caps.clone()), ..Measure::default() };
            if !is_known {
                let event = gst::event::Caps::new(&with_rate(&caps, USUAL_RATE));
                info.data = Some(gst::PadProbeData::Event(event));
            }
            return gst::PadProbeReturn::Ok;
        }
        let time = info.buffer().and_then(|buffer| buffer.pts());
        let found = time.and_then(|time| measure.frame(time));
        drop(measure);
        if let Some((caps, rate)) = found {
            pad.send_event(gst::event::Caps::new(&with_rate(&caps, rate)));
        }
        gst::PadProbeReturn::Ok
    });
}

/// What most sources have.
const USUAL_RATE: (i32, i32) = (25, 1);
/// The rate is measured over so many frames.
const MEASURED: u32 = 12;

/// Measures the rate of frames once.
#[derive(Default)]
struct Measure {
    /// `None` when there is nothing to measure.
    caps: Option<gst::Caps>,
    first: Option<gst::ClockTime>,
    count: u32,
}

impl Measure {
    /// A frame comes. Returns the rate once it is known, if it is far from the usual one.
    fn frame(&mut self, time: gst::ClockTime) -> Option<(gst::Caps, (i32, i32))> {
        self.caps.as_ref()?;
        let first = *self.first.get_or_insert(time);
        self.count += 1;
        if self.count <= MEASURED {
            return None;
        }
        let caps = self.caps.take()?;
        let step = time.checked_sub(first)?.nseconds() / u64::from(MEASURED);
        let rate = rate_of(step)?;
        Some((caps, rate))
    }
}

/// The rate of frames that are so many nanoseconds apart; `None` when the usual one is good enough.
fn rate_of(step: u64) -> Option<(i32, i32)> {
    const SECOND: u64 = 1_000_000_000;
    // Two thirds to three halves of it.
    if step == 0 || (SECOND * 2 / 75..=SECOND * 3 / 50).contains(&step) {
        return None;
    }
    let part = |number: u64| i32::try_from(number.max(1)).ok();
    match step <= SECOND {
        true => Some((part((SECOND + step / 2) / step)?, 1)),
        false => Some((1, part((step + SECOND / 2) / SECOND)?)),
    }
}

fn with_rate(caps: &gst::Caps, (frames, seconds): (i32, i32)) -> gst::Caps {
    let mut caps = caps.clone();
    caps.make_mut().set("framerate", gst::Fraction::new(frames, seconds));
    caps
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

/// Puts a filter before an element, after another element if there is to be one. Nothing happens where the element takes other
/// memory than the system's from what is before it.
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

    /// The caps with which media enters the encoder of a pipeline.
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
    fn rates_are_told_when_they_are_far_from_the_usual_one() {
        let millis = |millis: u64| rate_of(millis * 1_000_000);
        assert_eq!([0, 40, 33, 50, 27, 60].map(millis), [None; 6]);
        assert_eq!(
            [16, 100, 1000, 10_000, 1400].map(millis),
            [Some((63, 1)), Some((10, 1)), Some((1, 1)), Some((1, 10)), Some((1, 1))]
        );
    }

    #[test]
    fn a_frame_does_not_wait_for_the_next_one() {
        gst::init().unwrap();
        for caps in ["framerate=0/1", "framerate=25/1", "framerate=0/1,max-framerate=30/1"] {
            let text = format!(
                "appsrc name=in is-live=true format=time caps=video/x-raw,format=I420,width=64,height=64,{caps} ! \
                 x264enc tune=zerolatency name=encoder ! appsink name=out sync=false"
            );
            let pipeline = gst::parse::launch(&text).unwrap().downcast::<gst::Pipeline>().unwrap();
            fit(pipeline.upcast_ref(), None).unwrap();
            let source = pipeline.by_name("in").unwrap().downcast::<gstreamer_app::AppSrc>().unwrap();
            let sink = pipeline.by_name("out").unwrap().downcast::<gstreamer_app::AppSink>().unwrap();
            pipeline.set_state(gst::State::Playing).unwrap();
            // One frame a second: after some of them the rate is known, and a new keyframe begins.
            for number in 0..16 {
                let mut buffer = gst::Buffer::from_slice(vec![99; 64 * 64 * 3 / 2]);
                buffer.get_mut().unwrap().set_pts(gst::ClockTime::from_seconds(number));
                source.push_buffer(buffer).unwrap();
                let sample = sink.try_pull_sample(gst::ClockTime::from_seconds(10)).unwrap();
                // The encoder counts from far beyond zero.
                let pts = sample.buffer().unwrap().pts().unwrap().nseconds() % 3_600_000_000_000;
                assert_eq!(pts, number * 1_000_000_000, "{caps}");
            }
            let known = pipeline.by_name("encoder").unwrap().static_pad("sink").unwrap().current_caps().unwrap();
            let rate = known.structure(0).unwrap().get::<gst::Fraction>("framerate").unwrap();
            assert_eq!(rate.numer(), if caps.contains("25/1") { 25 } else { 1 });
            pipeline.set_state(gst::State::Null).unwrap();
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
