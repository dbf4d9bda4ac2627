//! Has the pipelines of a configuration parsed, by a worker: the server has no GStreamer.

use crate::{
    config::{Config, Encoding, Source as FeedKind},
    ipc::{FromWorker, TextFault, TextKind, ToWorker},
    source::worker::Worker,
};
use anyhow::Context;
use indexmap::IndexSet;
use std::time::Duration;

/// Time for a worker to parse all pipelines of a configuration.
const CHECK: Duration = Duration::from_secs(20);

/// An error in a pipeline of the configuration.
#[derive(Debug)]
pub struct LaunchFault {
    /// The path of the pipeline, `feeds.cam0.pipeline`, as its parts.
    pub path: [String; 3],
    /// The error.
    pub fault: TextFault,
}

/// Lets a worker parse the gst-launch pipelines of a configuration. Of several for one stream one
/// that parses is enough where the others only lack what other machines have.
///
/// # Errors
/// When no worker can be had.
pub async fn check_texts(config: &Config) -> anyhow::Result<Vec<LaunchFault>> {
    let feeds = config.feeds.iter().filter_map(|feed| match &feed.source {
        FeedKind::Pipeline(text) => Some(("feeds", feed.name.as_str(), TextKind::Feed, std::slice::from_ref(text))),
        _ => None,
    });
    let streams = config.streams.iter().filter_map(|stream| match &stream.encoding {
        Encoding::Pipeline(texts) => {
            let kind = if stream.outputs.is_some() { TextKind::Tracks } else { TextKind::Stream };
            Some(("streams", stream.name.as_str(), kind, texts.as_slice()))
        }
        _ => None,
    });
    let alternatives = config.streams.iter().flat_map(|stream| {
        let all = stream.outputs.iter().flat_map(|outputs| &outputs.alternatives);
        all.map(|one| ("streams", stream.name.as_str(), TextKind::Tracks, one.pipelines.as_slice()))
    });
    let pipelines: Vec<_> = feeds.chain(streams).chain(alternatives).collect();
    if pipelines.is_empty() {
        return Ok(Vec::new());
    }
    // Encoder settings make the same pipeline for many streams.
    let texts = pipelines.iter().flat_map(|(_, _, kind, texts)| texts.iter().map(|text| (*kind, text.clone())));
    let texts: IndexSet<_> = texts.collect();
    let mut worker = Worker::spawn().await.context("cannot start a worker to check the pipelines")?;
    worker.send(ToWorker::Check(texts.iter().cloned().collect()));
    let answer = tokio::time::timeout(CHECK, async {
        loop {
            match worker.event().await {
                Some(FromWorker::Checked(faults)) => return Some(faults),
                Some(_) => {}
                None => return None,
            }
        }
    });
    let faults = answer.await.ok().flatten().context("the worker that checks the pipelines died")?;
    tokio::spawn(worker.end());
    let fault_of = |kind, text: &String| faults.get(texts.get_index_of(&(kind, text.clone()))?)?.clone();
    let located = pipelines.iter().flat_map(|(section, name, kind, texts)| {
        let path = [*section, *name, "pipeline"].map(str::to_owned);
        let faults = told(texts.iter().map(|text| fault_of(*kind, text)).collect());
        faults.into_iter().map(move |fault| LaunchFault { path: path.clone(), fault })
    });
    Ok(located.collect())
}

/// What is logged of the alternatives of one pipeline, of which one is enough: nothing of those that lack what other machines have where
/// another one is good.
fn told(found: Vec<Option<TextFault>>) -> Vec<TextFault> {
    let (texts, one_is_good) = (found.len(), found.iter().any(Option::is_none));
    let numbered = |(number, fault): (usize, Option<TextFault>)| {
        let mut fault = fault.filter(|fault| !(one_is_good && fault.is_of_machine))?;
        if texts > 1 {
            fault.message = format!("text {number} of {texts}: {}", fault.message);
        }
        Some(fault)
    };
    (1..).zip(found).filter_map(numbered).collect()
}
