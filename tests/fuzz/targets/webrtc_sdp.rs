#![no_main]

use voyandz::output::webrtc::{
    announce::announced,
    fragment::{Fragment, answer_of},
    negotiation::finished_answer,
    sdp::Offer,
};

libfuzzer_sys::fuzz_target!(|text: &str| {
    if let Ok(offer) = Offer::parse(text) {
        let _ = announced(&offer);
        let _ = finished_answer(text, &offer, "a=sendonly");
    }
    if let Some(fragment) = Fragment::parse(text) {
        let _ = fragment.renewed(text);
    }
    let _ = answer_of(text);
});
