//! Streams that are pushed, and their state.

use super::{
    SOON, Server,
    script::{H264, PICTURE, TONE},
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
