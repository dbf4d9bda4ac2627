//! Streams that are pushed, and their state.

use super::{
    Answer, SOON, Server, media, mkv,
    script::{H264, PICTURE, TONE},
    secs,
    state::state,
    wait_until,
};
use serde_json::Value;

/// A camera that is pushed to these targets.
pub fn camera(targets: &[String]) -> String {
    format!(
        "feeds: {{cam: {{pipeline: '{PICTURE} name=video {TONE} name=audio'}}}}\n\
         streams: {{cam0: {{feed: cam, video: {H264}, audio: aac, push: [{}]}}}}\n",
        targets.join(", ")
    )
}

/// Fails unless what is pushed to the feed of this target arrives in real time and without a fault. Returns a viewer of it.
pub fn assert_arrives(target: &Server) -> Answer {
    let mut viewer = target.get("/studio.mkv");
    let bytes = viewer.collect(secs(3));
    let frames = media::Frames::of(mkv::trim(&bytes), false);
    assert!(frames.complaints.is_empty(), "{}", frames.complaints);
    assert!(frames.pictures.starts_with('I') && frames.pictures.len() > 25, "{}", frames.pictures);
    assert!(frames.sounds > 50, "{}", frames.sounds);
    viewer
}

/// The pushes of the stream, as the state has them.
pub fn pushes(server: &Server, stream: &str) -> Vec<Value> {
    let state = state(server);
    let streams = state["streams"].as_array().unwrap();
    let stream = streams.iter().find(|one| one["name"] == stream).unwrap();
    stream["pushes"].as_array().cloned().unwrap_or_default()
}

pub fn wait_push(server: &Server, stream: &str, number: usize, wish: impl Fn(&Value) -> bool) -> Value {
    wait_until("the push", SOON, || pushes(server, stream).get(number).is_some_and(&wish));
    pushes(server, stream).remove(number)
}

pub fn wait_state(server: &Server, stream: &str, number: usize, wanted: &str) -> Value {
    wait_push(server, stream, number, |push| push["state"] == wanted)
}
