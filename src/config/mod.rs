//! The configuration: text → checked values. `Config` is immutable and the only form the program sees.
//!
//! [`parse`] and all below it are pure; only [`load`](load()), [`examine`] and [`find`] touch files (`load`, `read`). The
//! way of a text: YAML (`yaml`) → one tree of all files (`document`) → keys (`raw`) → checks (`check`, `streams`,
//! `tracks`) → [`Config`]. Before the checks, sets are expanded (`sets`), variables of the environment have their say
//! (`overrides`), and templates are used (`templates`); encoder settings become pipelines (`typed`, `encoders`), and errors get
//! their place (`places`, `locate`).

mod about;
mod api;
mod auth;
mod chains;
pub mod change;
mod check;
mod checker;
mod codec;
mod document;
pub mod edit;
mod encoders;
mod fault;
mod formats;
mod hls;
mod hooks;
mod inputs;
mod launch;
mod library;
mod load;
mod locate;
mod mask;
mod model;
mod outputs;
mod overlay;
mod overrides;
mod pages;
mod pattern;
mod patterns;
mod places;
mod print;
mod publish;
mod publish_pattern;
mod push;
mod push_target;
mod raw;
mod read;
mod record;
mod recording;
mod renditions;
mod rtmp;
mod rtsp;
#[cfg(test)]
mod schema;
mod sets;
mod srt;
mod streams;
mod template;
mod templates;
mod tls;
mod tracks;
mod typed;
mod units;
mod url;
mod webrtc;
mod yaml;

pub use about::{About, is_name as is_label_name};
pub use check::parse;
pub(crate) use checker::suggestion;
pub use codec::{AudioCodec, Codec, VideoCodec};
pub use encoders::{ENCODERS, Encoder};
pub use fault::{Fault, Faults, Position};
pub use formats::{may_differ, passed_on};
pub use hooks::{Hook, HookTarget};
pub use inputs::with_inputs;
pub use load::{LoadError, Loaded, Origin, Replaced, examine, find, load, load_with};
pub use mask::{is_secret_name, masked, text_without_secrets};
pub use model::{
    Alternative, Api, CertificateSource, Config, Editing, Encoding, Feed, FeedName, Mode, NameError, Outputs, Pages,
    Placeholder, Plain, Repair, Rtmp, Rtsp, Serving, Source, Srt, Stream, StreamName, StreamPath, Tls, WebRtc,
};
pub use outputs::repairs;
pub use pattern::{FilePattern, PatternError};
pub use patterns::is_free;
pub use print::{to_json, to_yaml};
pub use publish::{Publish, PublishProtocol, SecondPublisher};
pub use publish_pattern::PublishPattern;
pub use push_target::{PushProtocol, PushTarget, PushUrl};
pub use recording::{Keep, Plan, Recording};
