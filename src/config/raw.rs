//! The language of a configuration file: its keys, none of their meaning.
//!
//! Values arrive as the texts, lists and maps that [`yaml`](super::yaml) makes, and leave as such to be printed.
//! Adding a key here without a word in `docs/configuration.md` fails a test.

use indexmap::IndexMap;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{Error as _, Visitor, value::Error},
    forward_to_deserialize_any,
};
use serde_yaml::Value;

/// The top of a file.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) include: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listenaddr: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listenport: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) logdir: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) statedir: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) memory_max: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pages: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) auth: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tls: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rtmp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rtsp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) webrtc: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) srt: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) srs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hooks: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) telemetry: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publish: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) templates: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pipelines_dir: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sets: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) feeds: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) streams: Option<Value>,
}

/// `pages:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Pages {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) home: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stat: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stat_json: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metrics: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clients: Option<Value>,
}

/// `auth:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Auth {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) anyone: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) users: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tokens: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jwt: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hook: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) link_keys: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) deny: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) allow: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxies: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) proxy_protocol: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) referers: Option<Value>,
}

/// One entry of `auth.users:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct User {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) may: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Value>,
}

/// One entry of `auth.tokens:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Token {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) may: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<Value>,
}

/// `auth.jwt:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Jwt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keys: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) issuer: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audience: Option<Value>,
}

/// `auth.hook:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AuthHook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) form: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep: Option<Value>,
}

/// `srt:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Srt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) passphrase: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key_refresh: Option<Value>,
}

/// An entry of `hooks:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Hook {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) secret: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) form: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) events: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) during: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<Value>,
}

/// `telemetry:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Telemetry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) otlp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sample: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) headers: Option<Value>,
}

/// `api:`.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Api {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) config: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exec: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) socket: Option<Value>,
}

/// `tls:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Tls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) certificate: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) own: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) acme: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) clients: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plain: Option<Value>,
}

/// `tls.acme:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Acme {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) names: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accept_terms: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contact: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) directory: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) authority: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) challenge: Option<Value>,
}

/// `rtmp:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rtmp {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<Value>,
}

/// `srs:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Srs {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<Value>,
}

/// `webrtc:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebRtc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hosts: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) udp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) tcp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ice_servers: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) channels: Option<Value>,
}

/// One entry of `channels` of `webrtc:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Channel {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) run: Option<Value>,
}

/// One entry of `templates:`. Never printed: what uses it is.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Template {
    pub(super) pipeline: Option<Value>,
    pub(super) command: Option<Value>,
    pub(super) defaults: Option<Value>,
}

/// One entry of `sets:`. Never printed: its feeds and streams are.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Set {
    #[serde(rename = "for")]
    pub(super) instances: Option<Value>,
    pub(super) defaults: Option<Value>,
    pub(super) feeds: Option<Value>,
    pub(super) streams: Option<Value>,
}

/// One entry of `feeds:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub(super) struct Feed {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pipeline: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) transport: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) publish: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "loop")]
    pub(super) looped: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fps: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) feed: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mode: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) restart: Option<Value>,
    /// The opposite of `restart`, under its old name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_resurrect: Option<Value>,
}

/// What an entry of `publish:` at the top has beside the keys of `publish:` of a feed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[cfg(test)]
pub(super) struct Pattern {
    pub(super) linger: Option<Value>,
    pub(super) most: Option<Value>,
    pub(super) streams: Option<Value>,
}

/// `publish:` of a feed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Publish {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) protocols: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_packet: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) second: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) layers: Option<Value>,
}

/// One entry of `streams:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Stream {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) feed: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) feeds: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none", rename = "type")]
    pub(super) kind: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) outputs: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mimetype: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pipeline: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) video: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) audio: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) alternatives: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repair: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) renditions: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) placeholder: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) overlay: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) throughput: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hls: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) record: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) push: Option<Value>,
}

/// `push:` of a stream.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Push {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ask: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ca: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) token: Option<Value>,
}

/// `record:` of a stream.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) folder: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) format: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) plan: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zone: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) keep: Option<Value>,
}

/// `keep:` of `record:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Keep {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) age: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) free: Option<Value>,
}

/// `rtsp:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rtsp {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) listen: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) udp: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) multicast: Option<Value>,
}

/// `rtsp.multicast:`.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RtspMulticast {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) groups: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ttl: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interface: Option<Value>,
}

/// `hls:` of a stream.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Hls {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) segment: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) window: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dvr: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encrypt: Option<Value>,
}

/// One of `renditions:` of a stream. Printed with its pipeline.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rendition {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) height: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bitrate: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) quality: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fps: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preset: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pipeline: Option<Value>,
}

/// `video:` of a stream. Never printed: a checked stream has its pipeline.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Video {
    pub(super) codec: Option<Value>,
    pub(super) bitrate: Option<Value>,
    pub(super) quality: Option<Value>,
    pub(super) gop: Option<Value>,
    pub(super) fps: Option<Value>,
    pub(super) size: Option<Value>,
    pub(super) encoder: Option<Value>,
    pub(super) preset: Option<Value>,
    pub(super) pixel_format: Option<Value>,
}

/// `audio:` of a stream. Never printed either.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Audio {
    pub(super) codec: Option<Value>,
    pub(super) bitrate: Option<Value>,
    pub(super) channels: Option<Value>,
    pub(super) rate: Option<Value>,
}

/// `overlay:` of a stream. Never printed either.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Overlay {
    pub(super) text: Option<Value>,
    pub(super) clock: Option<Value>,
    pub(super) counter: Option<Value>,
    pub(super) fps: Option<Value>,
}

/// Entries with a name, in the order of the file.
pub(super) type Entries<T> = IndexMap<String, T>;

/// The keys that a section knows, in the order above.
pub(super) fn keys<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &[&str] = &[];
    // The only thing that this deserializer can do is to look at the question and fail.
    let _ = T::deserialize(Ask(&mut keys));
    keys
}

/// Takes the names of fields that a derived `Deserialize` asks for.
struct Ask<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("no value"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented() {
        let document = include_str!("../../docs/configuration.md");
        let sections = [
            ("Top level", keys::<File>()),
            ("`pages:`", keys::<Pages>()),
            ("`auth:`", keys::<Auth>()),
            ("`auth.users:`", keys::<User>()),
            ("`auth.tokens:`", keys::<Token>()),
            ("`auth.jwt:`", keys::<Jwt>()),
            ("`auth.hook:`", keys::<AuthHook>()),
            ("`tls:`", keys::<Tls>()),
            ("`tls.acme:`", keys::<Acme>()),
            ("`rtmp:`", keys::<Rtmp>()),
            ("`rtsp:`", keys::<Rtsp>()),
            ("`rtsp.multicast:`", keys::<RtspMulticast>()),
            ("`webrtc:`", keys::<WebRtc>()),
            ("`webrtc.channels:`", keys::<Channel>()),
            ("`srt:`", keys::<Srt>()),
            ("`srs:`", keys::<Srs>()),
            ("`hooks:`", keys::<Hook>()),
            ("`telemetry:`", keys::<Telemetry>()),
            ("`api:`", keys::<Api>()),
            ("`templates:`", keys::<Template>()),
            ("`sets:`", keys::<Set>()),
            ("`feeds:`", keys::<Feed>()),
            ("`publish:`", keys::<Publish>()),
            ("Patterns of `publish:`", keys::<Pattern>()),
            ("`streams:`", keys::<Stream>()),
            ("`video:`", keys::<Video>()),
            ("`audio:`", keys::<Audio>()),
            ("`overlay:`", keys::<Overlay>()),
            ("`hls:`", keys::<Hls>()),
            ("`record:`", keys::<Record>()),
            ("`keep:`", keys::<Keep>()),
            ("`push:`", keys::<Push>()),
        ];
        for (title, keys) in sections {
            assert!(!keys.is_empty());
            let start = document.find(&format!("\n## {title}")).unwrap_or_else(|| panic!("no section {title}"));
            let section = document[start + 1..].split("\n## ").next().unwrap();
            for key in keys {
                assert!(section.contains(&format!("\n| `{key}` |")), "{title} says nothing of `{key}`");
            }
        }
    }
}
