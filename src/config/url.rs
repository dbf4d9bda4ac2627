//! `url:` of a feed: a link that this server opens, or the gst-launch pipeline that a user would write for such a source.

use super::{expected::Expected, launch::encoded, link::Link, model::Source};
use std::{ops::RangeInclusive, time::Duration};

/// How long packets of a network camera wait for those before them, unless said. Over TCP none comes out of order;
/// this evens out what the camera sends in bursts, and keeps its audio and video in sync.
const RTSP_LATENCY: Duration = Duration::from_millis(100);
/// Seconds of that.
const LATENCIES: RangeInclusive<f64> = 0.0..=10.0;

/// How packets of a camera travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CameraTransport {
    /// In the connection of the requests.
    Tcp,
    /// In datagrams.
    Udp,
    /// In datagrams; where they do not come within two seconds, or the camera refuses, in the connection.
    Auto,
}

/// What a feed says of its camera.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CameraSettings {
    /// How its packets travel.
    pub(super) transport: Option<CameraTransport>,
    /// How long they are held.
    pub(super) latency: Option<Duration>,
}

impl CameraTransport {
    /// Reads it as the configuration has it.
    pub(super) fn parse(text: &str) -> Result<Self, Expected> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "auto" => Ok(Self::Auto),
            _ => Err("tcp, udp or auto".into()),
        }
    }

    /// The properties of `rtspsrc`.
    const fn properties(self) -> &'static str {
        match self {
            Self::Tcp => "protocols=tcp tcp-timeout=5000000",
            Self::Udp => "protocols=udp timeout=5000000 udp-buffer-size=4194304",
            Self::Auto => "protocols=tcp+udp timeout=2000000 tcp-timeout=5000000 udp-buffer-size=4194304",
        }
    }
}

/// Seconds that packets of a camera are held.
pub(super) fn camera_latency(text: &str) -> Result<Duration, Expected> {
    let seconds = text.parse().ok().filter(|seconds| LATENCIES.contains(seconds));
    let seconds = seconds.ok_or_else(|| format!("seconds, {} to {}", LATENCIES.start(), LATENCIES.end()))?;
    Ok(Duration::from_secs_f64(seconds))
}

/// Whether an address is that of a camera.
pub(super) fn is_camera(address: &str) -> bool {
    let scheme = address.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    matches!(scheme.as_deref(), Some("rtsp" | "rtsps"))
}

/// A way of getting media from an address.
struct Way {
    schemes: &'static [&'static str],
    /// The text before the address and after it.
    text: (&'static str, &'static str),
}

/// `timeout` of what has one is in seconds, and small: who is silent for so long is asked again.
const WAYS: [Way; 4] = [
    Way { schemes: &["http", "https"], text: ("souphttpsrc timeout=5 retries=0 location=", " ! parsebin") },
    // As a listener; callers are links.
    Way { schemes: &["srt"], text: ("srtsrc auto-reconnect=false uri=", " ! parsebin") },
    // With a user in front of the host; without are links.
    Way { schemes: &["rtmp", "rtmps"], text: ("rtmp2src timeout=5 location=", " ! parsebin") },
    // Its tracks are taken out of their packets where they come out of it.
    Way { schemes: &["rtsp", "rtsps"], text: ("rtspsrc {transport} latency={latency} location=", "") },
];

/// The schemes of links beside those above.
const LINKS: [&str; 2] = ["udp", "rtp"];

/// The source that stands for an address, as a feed with this `url` and no other key has it.
///
/// # Errors
/// What is expected instead.
pub fn url_source(address: &str) -> Result<Source, String> {
    source(address, CameraSettings::default()).map_err(|expected| expected.what)
}

/// The source that stands for an address.
pub(super) fn source(address: &str, camera: CameraSettings) -> Result<Source, Expected> {
    match Link::parse(address) {
        Some(link) => link.map(Source::Link).map_err(Expected::from),
        None => pipeline(address, camera).map(Source::Pipeline),
    }
}

fn pipeline(address: &str, camera: CameraSettings) -> Result<String, Expected> {
    let schemes = || {
        let all = WAYS.iter().flat_map(|way| way.schemes).chain(&LINKS);
        all.map(|scheme| format!("{scheme}://")).collect::<Vec<_>>()
    };
    let expected = || {
        let schemes = schemes();
        let (last, others) = schemes.split_last().map_or(("", [].as_slice()), |(last, others)| (last.as_str(), others));
        Expected::because(
            format!("an address that begins with {} or {last}", others.join(", ")),
            match address.split_once("://") {
                Some(("file", _)) => ": a file is `file:`",
                _ => "",
            },
        )
    };
    let (scheme, rest) = address.split_once("://").ok_or_else(expected)?;
    let scheme = scheme.to_ascii_lowercase();
    let way = WAYS.iter().find(|way| way.schemes.contains(&scheme.as_str())).ok_or_else(expected)?;
    if rest.is_empty() || address.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err("an address without blanks, with a host after its `://`".into());
    }
    let (before, behind) = way.text;
    let latency = camera.latency.unwrap_or(RTSP_LATENCY).as_millis();
    let transport = camera.transport.unwrap_or(CameraTransport::Tcp).properties();
    let before = before.replace("{latency}", &latency.to_string()).replace("{transport}", transport);
    Ok(format!("{before}{}{behind}", encoded(&format!("{scheme}://{rest}"))))
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    #[test]
    fn a_camera_has_a_transport_and_a_latency() {
        let check = |keys: &str, expect: &str| {
            let found = match parse(&format!("feeds: {{f: {{url: 'rtsp://a/b', {keys}}}}}")) {
                Ok(config) => match config.feeds.into_iter().next().map(|feed| feed.source) {
                    Some(Source::Pipeline(text)) => text,
                    other => format!("{other:?}"),
                },
                Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            };
            assert_eq!(found, expect, "{keys}");
        };
        check(
            "transport: udp, latency: 0.5",
            "rtspsrc protocols=udp timeout=5000000 udp-buffer-size=4194304 latency=500 location=rtsp://a/b",
        );
        check(
            "transport: auto",
            "rtspsrc protocols=tcp+udp timeout=2000000 tcp-timeout=5000000 udp-buffer-size=4194304 latency=100 location=rtsp://a/b",
        );
        check("transport: tcp, latency: 0", "rtspsrc protocols=tcp tcp-timeout=5000000 latency=0 location=rtsp://a/b");
        check("transport: sctp", "1:43: feeds.f.transport: expected tcp, udp or auto, found \"sctp\"");
        check("latency: 11", "1:41: feeds.f.latency: expected seconds, 0 to 10, found \"11\"");
        let faults = parse("feeds: {f: {url: 'udp://:1', latency: 1}, g: {file: a, transport: udp}}").unwrap_err();
        let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let only = "only a `url` of rtsp:// or rtsps:// has it";
        assert_eq!(found, [format!("1:30: feeds.f.latency: {only}"), format!("1:56: feeds.g.transport: {only}")]);
    }

    #[test]
    fn an_address_becomes_a_text() {
        let table = [
            ("http://a/b.ts", "souphttpsrc timeout=5 retries=0 location=http://a/b.ts ! parsebin"),
            ("HTTPS://a/b?x=1&y=2", "souphttpsrc timeout=5 retries=0 location=\"https://a/b?x=1&y=2\" ! parsebin"),
            ("srt://a:9000", "link srt://a:9000"),
            ("srt://a:9000?streamid=read:cam0:anna:s3cret", "link srt://a:9000?***"),
            ("srt://:9000?mode=listener", "srtsrc auto-reconnect=false uri=\"srt://:9000?mode=listener\" ! parsebin"),
            (
                "srt://a:9000?latency=1",
                "5:12: feeds.f.url: expected a `latency` in milliseconds, 20 to 8000 (that of ffmpeg is in microseconds), \
                 found \"srt://a:9000?latency=1\"",
            ),
            ("rtmp://a/live/b", "link rtmp://a/live/***"),
            ("rtmp://u:p@a/live/b", "rtmp2src timeout=5 location=rtmp://u:p@a/live/b ! parsebin"),
            (
                "rtmp://a",
                "5:12: feeds.f.url: expected an address with a path, like rtmp://host/app/key, found \"rtmp://a\"",
            ),
            ("udp://@239.1.1.1:5000?source=10.0.0.1", "link udp://239.1.1.1:5000?source=10.0.0.1"),
            ("rtp://:5000", "link rtp://:5000"),
            (
                "udp://a:5000",
                "5:12: feeds.f.url: expected an own address or a group, like udp://239.1.1.1:5000 or udp://:5000, \
                 found \"udp://a:5000\"",
            ),
            (
                "rtsp://a/b ! fakesink",
                "5:12: feeds.f.url: expected an address without blanks, with a host after its `://`, found \"rtsp://a/b ! fakesink\"",
            ),
            (
                "rtsp://u:p\"@a/b",
                "rtspsrc protocols=tcp tcp-timeout=5000000 latency=100 location=\"rtsp://u:p\\\"@a/b\"",
            ),
            (
                "ftp://a",
                "5:12: feeds.f.url: expected an address that begins with http://, https://, srt://, rtmp://, rtmps://, \
                 rtsp://, rtsps://, udp:// or rtp://, found \"ftp://a\"",
            ),
            (
                "file:///a",
                "5:12: feeds.f.url: expected an address that begins with http://, https://, srt://, rtmp://, rtmps://, \
                 rtsp://, rtsps://, udp:// or rtp://, found \"file:///a\": a file is `file:`",
            ),
            (
                "rtsp://",
                "5:12: feeds.f.url: expected an address without blanks, with a host after its `://`, found \"rtsp://\"",
            ),
        ];
        for (address, expect) in table {
            let text = format!("\n\n\nfeeds:\n  f: {{url: '{address}'}}\n");
            let found = match parse(&text) {
                Ok(config) => match config.feeds.into_iter().next().map(|feed| feed.source) {
                    Some(Source::Pipeline(text)) => text,
                    Some(Source::Link(link)) => format!("link {link}"),
                    other => format!("{other:?}"),
                },
                Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            };
            assert_eq!(found, expect, "of {address}");
        }
    }
}
