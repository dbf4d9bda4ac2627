//! What hooks see of the server beside its events: what is published and played, and how it is.

use crate::{
    config::{Activity, FeedName},
    engine::registry::Registry,
    net::interface_addresses,
    source::publisher::{Phase, PublishSlot},
    status::{snapshot::StatusReader, stream_stats::rfc3339},
};
use serde_json::{Value, json};
use std::{collections::BTreeMap, net::SocketAddr, sync::Arc};

/// The server as a configuration has it.
#[derive(Debug, Clone)]
pub struct Observed {
    /// Its feeds and streams.
    pub registry: Registry,
    /// Its state.
    pub reader: Arc<StatusReader>,
    /// Where it is reached by HTTP from this machine: `http://127.0.0.1:8090`.
    pub site: String,
}

impl Observed {
    /// What has this activity now: the name of each feed or stream, and where it is played by HTTP. A feed that is published is played as its
    /// first stream, and nowhere without one.
    pub(super) fn active(&self, activity: Activity) -> BTreeMap<String, String> {
        let streams = self.registry.streams();
        let address = |path: &str| format!("{}/{}", self.site, path.trim_start_matches('/'));
        match activity {
            Activity::Play => {
                let played = streams.iter().filter(|stream| stream.viewers.are_there());
                let played = played.map(|stream| &stream.config);
                played.map(|config| (config.name.as_str().to_owned(), address(&config.path.encoded()))).collect()
            }
            Activity::Publish => {
                let played_at = |feed: &FeedName| {
                    let stream = streams.iter().find(|stream| stream.config.feeds.contains(feed));
                    stream.map(|stream| address(&stream.config.path.encoded())).unwrap_or_default()
                };
                let is_live = |slot: &PublishSlot| *slot.phase().borrow() == Phase::Live;
                let feeds = self.registry.feeds().iter();
                let published = feeds.filter(|feed| feed.publish.as_ref().is_some_and(is_live));
                let names = published.map(|feed| &feed.config.name);
                names.map(|name| (name.as_str().to_owned(), played_at(name))).collect()
            }
        }
    }

    /// What a heartbeat says of the server: how it is, what it has, and where it listens.
    pub(super) fn heartbeat(&self) -> Value {
        let snapshot = self.reader.snapshot();
        json!({"server": snapshot.server, "totals": snapshot.totals})
    }

    /// The same as SRS says it (`heartbeat` of its configuration, with `ports`). `id` names the server.
    pub(super) fn heartbeat_of_srs(&self, id: &str) -> Value {
        let listening = self.reader.info().state().listening;
        let of = |protocol: &str| -> Vec<String> {
            listening.get(protocol).map(SocketAddr::to_string).into_iter().collect()
        };
        // Another one with each start.
        let service = rfc3339(self.reader.info().started());
        let bound = listening.get("http").map(SocketAddr::ip).filter(|ip| !ip.is_unspecified());
        let ip = bound.or_else(|| interface_addresses().into_iter().find(|ip| ip.is_ipv4() && !ip.is_loopback()));
        json!({
            "device_id": id, "ip": ip.map(|ip| ip.to_string()).unwrap_or_default(), "server": id,
            "service": service, "pid": std::process::id().to_string(),
            "rtmp": of("rtmp"), "http": of("http"), "api": of("srs"), "srt": of("srt"), "rtsp": of("rtsp"),
        })
    }
}
