//! Opens the layers that viewers switch to: a task for each viewer of a stream with renditions, which waits until one is wanted.

use super::{
    mux::SessionId,
    negotiation::{PlayPlan, still_fits},
    opened::open,
    shard::{Command, Shard},
    viewer::OpenedLayer,
};
use crate::engine::registry::StreamHandle;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Opens what is `wanted` of these layers for a session, until that has ended.
pub(super) async fn open_layers(
    layers: Vec<Arc<StreamHandle>>,
    plan: PlayPlan,
    (shard, id): (Arc<Shard>, SessionId),
    mut wanted: mpsc::Receiver<usize>,
) {
    while let Some(number) = wanted.recv().await {
        let Some(stream) = layers.get(number) else { continue };
        // A decoder cannot be another one in the middle of a track.
        let opened = open(stream).await.ok().filter(|opened| still_fits(&plan, &opened.tracks));
        let opened = opened.map(|opened| {
            let viewers = stream.viewers.clone();
            OpenedLayer { number, fanout: opened.fanout, viewers, lease: opened.lease }
        });
        shard.command(id, Command::Layer(opened));
    }
}
