//! The shapes and words of SRS's HTTP API, as versions 5 and 6 have them (SRS manual, “HTTP API”). Pure.

use super::rates::Traffic;
use crate::media::{MediaKind, TrackInfo};
use serde_json::{Map, Value, json};
use std::{net::IpAddr, time::Duration};

/// SRS's server knows several hosts; this one is what a stream without one is of.
pub(super) const HOST: &str = "__defaultVhost__";
/// What stands for a word that SRS does not have.
const OTHER: &str = "Other";

/// The numbers of errors that SRS answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    Success,
    /// `ERROR_RTMP_VHOST_NOT_FOUND`.
    NoVhost,
    /// `ERROR_RTMP_STREAM_NOT_FOUND`.
    NoStream,
    /// `ERROR_RTMP_CLIENT_NOT_FOUND`.
    NoClient,
    /// The status of the response, where there is no other number.
    Status(u16),
}

impl Code {
    pub(super) const fn number(self) -> u16 {
        match self {
            Self::Success => 0,
            Self::NoVhost => 2014,
            Self::NoStream => 2048,
            Self::NoClient => 2049,
            Self::Status(status) => status,
        }
    }

    /// The whole body of an error.
    pub(super) fn body(self) -> Value {
        json!({"code": self.number()})
    }
}

/// What all successful answers begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    /// Of the machine.
    pub(super) server: String,
    /// Of this run of the server.
    pub(super) service: String,
    pub(super) pid: u32,
}

impl Envelope {
    /// An answer with these fields.
    pub(super) fn around<const N: usize>(&self, fields: [(&str, Value); N]) -> Value {
        let begin = [
            ("code", json!(Code::Success.number())),
            ("server", json!(self.server)),
            ("service", json!(self.service)),
            ("pid", json!(self.pid.to_string())),
        ];
        let all = begin.into_iter().chain(fields).map(|(key, value)| (key.to_owned(), value));
        Value::Object(all.collect::<Map<_, _>>())
    }
}

/// The application and the stream of a path: what is before its last slash is the application.
pub(super) fn parts(name: &str) -> (&str, &str) {
    name.rsplit_once('/').unwrap_or(("live", name))
}

/// The path of a stream, without the host.
pub(super) fn url(name: &str) -> String {
    let (app, stream) = parts(name);
    format!("/{app}/{stream}")
}

/// The address of the application that a stream is of, by a protocol at this host.
pub(super) fn tc_url(protocol: &str, host: &str, name: &str) -> String {
    let scheme = match protocol {
        "hls" => "http",
        other => other,
    };
    format!("{scheme}://{host}/{}", parts(name).0)
}

/// What SRS calls a client that publishes, or plays, by a protocol.
pub(super) fn client_type(protocol: &str, publishes: bool) -> String {
    let word = match (protocol, publishes) {
        ("rtmp", true) => return "fmle-publish".to_owned(),
        // All that SRS plays over HTTP is of this type.
        ("http", false) => "flv",
        ("webrtc", _) => "rtc",
        (other, _) => other,
    };
    format!("{word}-{}", if publishes { "publish" } else { "play" })
}

fn kbps(rates: Traffic) -> Value {
    json!({"recv_30s": rates.received, "send_30s": rates.sent})
}

/// A stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stream {
    pub(super) id: String,
    pub(super) vhost: String,
    pub(super) name: String,
    /// By which protocol it is published, and the host of this server.
    pub(super) protocol: &'static str,
    pub(super) host: String,
    /// Since 1970.
    pub(super) now: Duration,
    pub(super) clients: usize,
    pub(super) frames: u64,
    pub(super) bytes: Traffic,
    pub(super) rates: Traffic,
    pub(super) is_active: bool,
    /// The client that publishes it.
    pub(super) publisher: Option<String>,
    pub(super) video: Option<Value>,
    pub(super) audio: Option<Value>,
}

impl Stream {
    pub(super) fn json(&self) -> Value {
        let (app, stream) = parts(&self.name);
        let mut publish = json!({"active": self.is_active});
        if let (Value::Object(publish), Some(publisher)) = (&mut publish, &self.publisher) {
            publish.insert("cid".to_owned(), json!(publisher));
        }
        json!({
            "id": self.id, "name": stream, "vhost": self.vhost, "app": app,
            "tcUrl": tc_url(self.protocol, &self.host, &self.name), "url": url(&self.name),
            "live_ms": u64::try_from(self.now.as_millis()).unwrap_or(u64::MAX),
            "clients": self.clients, "frames": self.frames,
            "send_bytes": self.bytes.sent, "recv_bytes": self.bytes.received, "kbps": kbps(self.rates),
            "publish": publish, "video": self.video, "audio": self.audio,
        })
    }
}

/// A viewer or publisher.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Client {
    pub(super) id: String,
    pub(super) vhost: String,
    /// The id and the name of its stream.
    pub(super) stream: (String, String),
    pub(super) ip: IpAddr,
    pub(super) protocol: &'static str,
    pub(super) host: String,
    pub(super) publishes: bool,
    pub(super) alive: Duration,
    pub(super) bytes: Traffic,
    pub(super) rates: Traffic,
}

impl Client {
    pub(super) fn json(&self) -> Value {
        let (stream, name) = &self.stream;
        json!({
            "id": self.id, "vhost": self.vhost, "stream": stream, "ip": self.ip.to_string(), "pageUrl": "", "swfUrl": "",
            "tcUrl": tc_url(self.protocol, &self.host, name), "url": url(name), "name": parts(name).1,
            "type": client_type(self.protocol, self.publishes), "publish": self.publishes,
            "alive": (self.alive.as_secs_f64() * 1000.0).round() / 1000.0,
            "send_bytes": self.bytes.sent, "recv_bytes": self.bytes.received, "kbps": kbps(self.rates),
        })
    }
}

/// The one host.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vhost {
    pub(super) id: String,
    pub(super) clients: usize,
    pub(super) streams: usize,
    pub(super) bytes: Traffic,
    pub(super) rates: Traffic,
    /// The length of segments, where there are playlists.
    pub(super) fragment: Option<Duration>,
}

impl Vhost {
    pub(super) fn json(&self) -> Value {
        let hls = match self.fragment {
            Some(fragment) => json!({"enabled": true, "fragment": fragment.as_secs_f64()}),
            None => json!({"enabled": false}),
        };
        json!({
            "id": self.id, "name": HOST, "enabled": true, "clients": self.clients, "streams": self.streams,
            "send_bytes": self.bytes.sent, "recv_bytes": self.bytes.received, "kbps": kbps(self.rates), "hls": hls,
        })
    }
}

/// A track in the words of SRS.
pub(super) fn track(track: &TrackInfo) -> Value {
    let name = match track.codec.name() {
        "H.264" => "H264",
        "H.265" => "HEVC",
        other => other,
    };
    let words = track.codec.codec_string().unwrap_or_default();
    match track.kind() {
        MediaKind::Video => {
            let (profile, level) = video_profile(&words);
            let size = track.video().map_or((0, 0), |video| (video.width, video.height));
            json!({"codec": name, "profile": profile, "level": level, "width": size.0, "height": size.1})
        }
        MediaKind::Audio => {
            let (rate, channels) = track.audio().map_or((0, 0), |audio| (audio.rate, audio.channels));
            json!({"codec": name, "sample_rate": rate, "channel": channels, "profile": audio_profile(&words)})
        }
    }
}

/// Profile and level by the name of a codec of RFC 6381: `avc1.64001f`, `hvc1.1.6.L93.90`.
fn video_profile(codec: &str) -> (&'static str, String) {
    let mut fields = codec.split('.');
    let (entry, second) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
    let level = |number: u32, unit: u32| match (number / unit, number % unit * 10 / unit) {
        (whole, 0) => whole.to_string(),
        (whole, tenth) => format!("{whole}.{tenth}"),
    };
    let of_h264 = || {
        let byte = |at: usize| u32::from_str_radix(second.get(at..at + 2)?, 16).ok();
        let profile = match (byte(0)?, byte(2)? & 0x40 != 0) {
            (66, false) => "Baseline",
            (66, true) => "Baseline(Constrained)",
            (77, _) => "Main",
            (88, _) => "Extended",
            (100, _) => "High",
            (110, _) => "High(10)",
            (122, _) => "High(422)",
            (244, _) => "High(444+Predictive)",
            _ => OTHER,
        };
        Some((profile, level(byte(4)?, 10)))
    };
    let of_h265 = || {
        // General profile, compatibility, then the tier with the level times 30.
        let number = fields.clone().find_map(|field| field.strip_prefix(['L', 'H'])?.parse::<u32>().ok())?;
        let profile = match second {
            "1" => "Main",
            "2" => "Main10",
            "3" => "Main Still Picture",
            "4" => "Rext",
            _ => OTHER,
        };
        Some((profile, level(number, 30)))
    };
    let found = match entry {
        "avc1" | "avc3" => of_h264(),
        "hvc1" | "hev1" => of_h265(),
        _ => None,
    };
    found.unwrap_or((OTHER, OTHER.to_owned()))
}

/// The kind of AAC by the name of RFC 6381: `mp4a.40.2`.
fn audio_profile(codec: &str) -> &'static str {
    match codec.strip_prefix("mp4a.40.") {
        Some("1") => "Main",
        Some("2") => "LC",
        Some("3") => "SSR",
        Some("5") => "HE",
        Some("29") => "HEv2",
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        TrackId,
        codec::{CodecParameters, aac, opus},
        track::{AudioShape, Shape, VideoShape},
    };

    #[test]
    fn a_stream_has_the_fields_of_srs() {
        let mut stream = Stream {
            id: "vid-1".to_owned(),
            vhost: "vid-0".to_owned(),
            name: "studio/anna".to_owned(),
            protocol: "rtmp",
            host: "tv.example".to_owned(),
            now: Duration::from_millis(1_790_085_298_078),
            clients: 3,
            frames: 1212,
            bytes: Traffic { received: 1_820_224, sent: 4387 },
            rates: Traffic { received: 298, sent: 1 },
            is_active: true,
            publisher: Some("h409f966".to_owned()),
            video: Some(json!({"codec": "H264"})),
            audio: None,
        };
        let expect = json!({
            "id": "vid-1", "name": "anna", "vhost": "vid-0", "app": "studio", "tcUrl": "rtmp://tv.example/studio",
            "url": "/studio/anna", "live_ms": 1_790_085_298_078u64, "clients": 3, "frames": 1212, "send_bytes": 4387,
            "recv_bytes": 1_820_224, "kbps": {"recv_30s": 298, "send_30s": 1},
            "publish": {"active": true, "cid": "h409f966"}, "video": {"codec": "H264"}, "audio": null,
        });
        assert_eq!(stream.json(), expect);
        stream.name = "cam0".to_owned();
        stream.publisher = None;
        stream.is_active = false;
        let shown = stream.json();
        assert_eq!((&shown["app"], &shown["url"]), (&json!("live"), &json!("/live/cam0")));
        assert_eq!(shown["publish"], json!({"active": false}));
    }

    #[test]
    fn clients_and_the_host_have_the_fields_of_srs() {
        let client = Client {
            id: "c1".to_owned(),
            vhost: "vid-0".to_owned(),
            stream: ("vid-1".to_owned(), "cam0".to_owned()),
            ip: IpAddr::from([192, 0, 2, 1]),
            protocol: "hls",
            host: "[::1]".to_owned(),
            publishes: false,
            alive: Duration::from_micros(1_234_567),
            bytes: Traffic { received: 0, sent: 10 },
            rates: Traffic::default(),
        };
        let expect = json!({
            "id": "c1", "vhost": "vid-0", "stream": "vid-1", "ip": "192.0.2.1", "pageUrl": "", "swfUrl": "",
            "tcUrl": "http://[::1]/live", "url": "/live/cam0", "name": "cam0", "type": "hls-play", "publish": false,
            "alive": 1.235, "send_bytes": 10, "recv_bytes": 0, "kbps": {"recv_30s": 0, "send_30s": 0},
        });
        assert_eq!(client.json(), expect);
        let types =
            [("rtmp", true), ("rtmp", false), ("http", false), ("webrtc", true), ("srt", false), ("rtsp", true)];
        let types = types.map(|(protocol, publishes)| client_type(protocol, publishes));
        assert_eq!(types, ["fmle-publish", "rtmp-play", "flv-play", "rtc-publish", "srt-play", "rtsp-publish"]);
        let mut host = Vhost {
            id: "vid-0".to_owned(),
            clients: 2,
            streams: 1,
            bytes: Traffic { received: 1, sent: 2 },
            rates: Traffic { received: 3, sent: 4 },
            fragment: Some(Duration::from_millis(2500)),
        };
        let expect = json!({
            "id": "vid-0", "name": "__defaultVhost__", "enabled": true, "clients": 2, "streams": 1, "send_bytes": 2,
            "recv_bytes": 1, "kbps": {"recv_30s": 3, "send_30s": 4}, "hls": {"enabled": true, "fragment": 2.5},
        });
        assert_eq!(host.json(), expect);
        host.fragment = None;
        assert_eq!(host.json()["hls"], json!({"enabled": false}));
    }

    #[test]
    fn answers_are_in_the_envelope_of_srs() {
        let envelope = Envelope { server: "vid-s".to_owned(), service: "x".to_owned(), pid: 42 };
        let answer = envelope.around([("streams", json!([]))]);
        assert_eq!(answer.to_string(), r#"{"code":0,"server":"vid-s","service":"x","pid":"42","streams":[]}"#);
        let numbers = [Code::NoVhost, Code::NoStream, Code::NoClient, Code::Status(403)].map(Code::number);
        assert_eq!(numbers, [2014, 2048, 2049, 403]);
        assert_eq!(Code::NoClient.body(), json!({"code": 2049}));
    }

    #[test]
    fn profiles_and_levels_have_the_words_of_srs() {
        for (codec, profile, level) in [
            ("avc1.64001f", "High", "3.1"),
            ("avc1.42c01e", "Baseline(Constrained)", "3"),
            ("avc3.42001e", "Baseline", "3"),
            ("avc1.4d0028", "Main", "4"),
            ("hvc1.1.6.L93.90", "Main", "3.1"),
            ("hev1.2.4.L120.B0", "Main10", "4"),
            ("vp8", "Other", "Other"),
            ("avc1", "Other", "Other"),
            ("avc1.é", "Other", "Other"),
        ] {
            assert_eq!(video_profile(codec), (profile, level.to_owned()), "{codec}");
        }
        let video = TrackInfo {
            id: TrackId(0),
            codec: CodecParameters::Vp8,
            shape: Shape::Video(VideoShape { width: 640, height: 360, pixel_aspect: (1, 1), frame_rate: None }),
        };
        let expect = json!({"codec": "VP8", "profile": "Other", "level": "Other", "width": 640, "height": 360});
        assert_eq!(track(&video), expect);
        let audio = |codec| {
            track(&TrackInfo { id: TrackId(1), codec, shape: Shape::Audio(AudioShape { rate: 48_000, channels: 2 }) })
        };
        let aac = audio(CodecParameters::Aac(aac::Parameters { config: vec![0x11, 0x90].into() }));
        assert_eq!(aac, json!({"codec": "AAC", "sample_rate": 48_000, "channel": 2, "profile": "LC"}));
        assert_eq!(audio(CodecParameters::Opus(opus::Parameters::simple(2)))["profile"], "Other");
    }
}
