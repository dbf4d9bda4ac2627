//! Pipelines that are run once to see whether they work.

use super::threads::dispose;
use gst::prelude::*;
use gstreamer as gst;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_works_reaches_its_end_and_what_does_not_says_why() {
        gst::init().unwrap();
        assert_eq!(run("videotestsrc num-buffers=2 ! fakesink"), None);
        assert!(run("nosuchelement").unwrap().contains("nosuchelement"));
        assert!(run("filesrc location=/nowhere ! fakesink").is_some());
        assert!(run("identity").is_some());
    }
}
