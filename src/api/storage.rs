//! The folders of recordings: what is in them, and how long they last.

use super::{
    call::{Answer, Call},
    problem::Problem,
};
use crate::status::recording::Recording;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// `GET /storage`.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let mut folders = BTreeMap::<String, Vec<(String, Recording)>>::new();
    for stream in call.state.registry.streams() {
        let Some(recording) = &stream.config.recording else { continue };
        let folder = recording.folder.display().to_string();
        let own = (stream.config.name.to_string(), Recording::of(&stream.recorder.read()));
        folders.entry(folder).or_default().push(own);
    }
    let items = folders.iter().map(|(folder, streams)| entry(folder, streams)).collect();
    Ok(Answer::json(call.query.page(items, "folder")?))
}

fn entry(folder: &str, streams: &[(String, Recording)]) -> Value {
    let all = || streams.iter().map(|(_, recording)| recording);
    let rates: Vec<u64> = all().filter_map(|recording| recording.bytes_per_day).collect();
    let shown = streams.iter().map(|(stream, recording)| {
        json!({
            "stream": stream,
            "state": recording.state,
            "files": recording.kept_files,
            "bytes": recording.kept_bytes,
            "bytes_per_day": recording.bytes_per_day,
            "holds_seconds": recording.holds_seconds,
            "full_in_seconds": recording.full_in_seconds,
        })
    });
    json!({
        "folder": folder,
        "free_bytes": all().filter_map(|recording| recording.free_bytes).min(),
        "files": all().map(|recording| recording.kept_files).sum::<u64>(),
        "bytes": all().map(|recording| recording.kept_bytes).sum::<u64>(),
        "bytes_per_day": (!rates.is_empty()).then(|| rates.iter().sum::<u64>()),
        "full_in_seconds": all().filter_map(|recording| recording.full_in_seconds).min(),
        "streams": shown.collect::<Vec<_>>(),
    })
}
