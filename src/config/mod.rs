//! The configuration: text → checked values. `Config` is immutable and the only form the program sees.
//!
//! [`parse`] and all below it are pure; only [`load`](load()), [`examine`] and [`find`] touch files (`load`, `include`). The
//! way of a text: YAML (`yaml`) → one tree of all files (`merge`) → keys (`raw`) → checks (`validate`, `streams`,
//! `av_keys`) → [`Config`]. Before the checks, sets are expanded (`sets`), variables of the environment have their say
//! (`overrides`), and templates are used (`templates`); encoder settings become pipelines (`encode`, `encoders`), and errors get
//! their place (`source_map`, `spans`).

mod about;
mod acme;
mod address;
mod api;
mod auth;
mod av_keys;
pub mod change;
mod channels;
mod codec;
mod datagram_url;
mod diagnostics;
pub mod edit;
mod encode;
mod encoder_properties;
mod encoder_settings;
mod encoders;
mod expected;
mod feed_graph;
mod files;
mod formats;
mod hls;
mod hooks;
mod include;
mod inputs;
mod launch;
mod layers;
mod link;
mod link_paths;
mod listen;
mod load;
mod merge;
mod model;
mod outputs;
mod overlay;
mod overrides;
mod pages;
mod pattern;
mod patterns;
mod print;
mod publish;
mod publish_pattern;
mod push;
mod push_target;
mod raw;
mod record;
mod recording;
mod redact;
mod renditions;
mod rtmp;
mod rtmp_url;
mod rtsp;
mod rtsp_url;
#[cfg(test)]
mod schema;
mod session_file;
mod sets;
mod source_map;
mod spans;
mod srs;
mod srt;
mod srt_url;
mod streams;
mod telemetry;
mod template;
mod template_store;
mod templates;
#[cfg(test)]
mod testing;
mod tls;
mod units;
mod url;
mod validate;
mod validator;
mod webrtc;
mod whip_url;
mod yaml;

pub use about::{About, is_name as is_label_name};
pub use channels::{ChannelHook, ChannelTarget};
pub use codec::{AudioCodec, Codec, VideoCodec};
pub use datagram_url::{DatagramUrl, Fec};
pub use diagnostics::{Diagnostic, Diagnostics, Position};
pub use encoders::{ENCODERS, Encoder};
pub(crate) use expected::suggestion;
pub use files::{LoadError, Replaced};
pub use formats::{may_differ, passed_on};
pub use hooks::{Activity, EventForm, Hook, HookTarget, Occasion};
pub use inputs::with_inputs;
pub use link::Link;
pub use link_paths::link_paths;
pub use load::{Loaded, Origin, examine, find, load, load_with};
pub use model::{
    Acme, Alternative, Api, CertificateSource, Challenge, Config, ControlPlace, Editing, Encoding, Feed, FeedName,
    Mode, Multicast, NameError, Outputs, Pages, Placeholder, Plain, Repair, Rtmp, Rtsp, Serving, Source, Srs, Srt,
    Stream, StreamName, StreamPath, Tls, WebRtc,
};
pub use outputs::repairs;
pub use pattern::{FileName, FilePattern, PatternError, Zone};
pub use patterns::is_free;
pub use print::{to_json, to_yaml};
pub use publish::{Publish, PublishProtocol, SecondPublisher};
pub use publish_pattern::PublishPattern;
pub use push::MOST_PUSHES;
pub use push_target::{PushProtocol, PushService, PushTarget, PushUrl};
pub use recording::{Keep, Plan, Recording};
pub use redact::{is_secret_name, masked, text_without_secrets};
pub use rtmp_url::RtmpUrl;
pub use rtsp_url::RtspUrl;
pub use session_file::{is_session, session_pipeline};
pub use srt_url::SrtUrl;
pub use telemetry::Telemetry;
pub use template_store::KnownTemplate;
pub use url::url_source;
pub use validate::parse;
pub use whip_url::WhipUrl;
