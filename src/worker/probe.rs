//! Pipelines that are run once to see whether they work, and sources that are opened to see what they offer.

use super::threads::dispose;
use gst::prelude::*;
use gstreamer as gst;

/// Most caps of one source: cards list each size and rate by itself.
const MAX_CAPS: usize = 200;
/// How long a probe may take. A driver that hangs is as good as none.
const WITHIN: gst::ClockTime = gst::ClockTime::from_seconds(10);

/// Runs a pipeline to the end of its stream; returns why that was not reached.
pub(super) fn run(text: &str) -> Option<String> {
    let pipeline = match gst::parse::launch(text).map(|element| element.downcast::<gst::Pipeline>()) {
        Ok(Ok(pipeline)) => pipeline,
        Ok(Err(_)) => return Some("the text is no pipeline".to_owned()),
        Err(error) => return Some(error.message().to_owned()),
    };
    let outcome = to_the_end(&pipeline);
    dispose(pipeline, || {});
    outcome
}

fn to_the_end(pipeline: &gst::Pipeline) -> Option<String> {
    let Some(bus) = pipeline.bus() else { return Some("the pipeline has no bus".to_owned()) };
    // What goes wrong is on the bus, with its reason.
    let _ = pipeline.set_state(gst::State::Playing);
    let wanted = [gst::MessageType::Error, gst::MessageType::Eos];
    let message = bus.timed_pop_filtered(WITHIN, &wanted);
    match message.as_ref().map(|message| message.view()) {
        Some(gst::MessageView::Eos(_)) => None,
        Some(gst::MessageView::Error(error)) => Some(error.error().message().to_owned()),
        _ => Some(format!("nothing came out of it within {} s", WITHIN.seconds())),
    }
}

/// Opens a source and returns the caps that it offers, best first, as they stand in a pipeline.
pub(super) fn offers(text: &str) -> Result<Vec<String>, String> {
    let source = gst::parse::launch(text).map_err(|error| error.message().to_owned())?;
    let bus = gst::Bus::new();
    source.set_bus(Some(&bus));
    let opened = source.set_state(gst::State::Ready);
    let offered = match (opened, source.static_pad("src")) {
        (Ok(_), Some(pad)) => {
            let caps = pad.query_caps(None);
            let shown = |structure: &gst::StructureRef| structure.to_string().trim_end_matches(';').to_owned();
            Ok(caps.iter().take(MAX_CAPS).map(shown).collect())
        }
        (Ok(_), None) => Err("it is no source".to_owned()),
        (Err(_), _) => Err(match bus.pop_filtered(&[gst::MessageType::Error]).as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Error(error)) => error.error().message().to_owned(),
            _ => "it cannot be opened".to_owned(),
        }),
    };
    let _ = source.set_state(gst::State::Null);
    source.set_bus(None);
    offered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_offers_can_stand_in_a_pipeline() {
        gst::init().unwrap();
        let offered = offers("videotestsrc").unwrap();
        assert!(offered[0].starts_with("video/x-raw, ") && offered[0].contains("framerate"), "{offered:?}");
        assert_eq!(run(&format!("videotestsrc num-buffers=1 ! {} ! fakesink", offered[0])), None);
        assert_eq!(offers("fakesink").unwrap_err(), "it is no source");
        let absent = offers("v4l2src device=/nowhere").unwrap_err();
        assert!(absent.contains("/nowhere") || absent.contains("v4l2src"), "{absent}");
    }

    #[test]
    fn what_works_reaches_its_end_and_what_does_not_says_why() {
        gst::init().unwrap();
        assert_eq!(run("videotestsrc num-buffers=2 ! fakesink"), None);
        assert!(run("nosuchelement").unwrap().contains("nosuchelement"));
        assert!(run("filesrc location=/nowhere ! fakesink").is_some());
        assert!(run("identity").is_some());
    }
}
