//! `url:` of a feed: the gst-launch pipeline that a user would write for such a source.

use super::{expected::Expected, launch::encoded};

/// How long packets of a network camera wait for those before them, in milliseconds. Over TCP none comes out of order;
/// this evens out what the camera sends in bursts, and keeps its audio and video in sync.
const RTSP_LATENCY: u32 = 100;

/// A way of getting media from an address.
struct Way {
    schemes: &'static [&'static str],
    /// The text before the address and after it.
    text: (&'static str, &'static str),
}

/// `timeout` of what has one is in seconds, and small: who is silent for so long is asked again.
const WAYS: [Way; 5] = [
    Way { schemes: &["http", "https"], text: ("souphttpsrc timeout=5 retries=0 location=", " ! parsebin") },
    // Takes MPEG-TS, as everybody sends it.
    Way { schemes: &["srt"], text: ("srtsrc auto-reconnect=false uri=", " ! parsebin") },
    Way { schemes: &["rtmp", "rtmps"], text: ("rtmp2src timeout=5 location=", " ! parsebin") },
    Way { schemes: &["udp"], text: ("udpsrc buffer-size=4194304 uri=", " ! tsparse ! parsebin") },
    // Its tracks are taken out of their packets where they come out of it.
    Way {
        schemes: &["rtsp", "rtsps"],
        text: ("rtspsrc protocols=tcp tcp-timeout=5000000 latency={latency} location=", ""),
    },
];

/// The source that stands for an address, as the pipeline of a feed with this `url`.
///
/// # Errors
/// What is expected instead.
pub fn url_pipeline(address: &str) -> Result<String, String> {
    pipeline(address).map_err(|expected| format!("expected {}", expected.what))
}

/// The source that stands for an address.
pub(super) fn pipeline(address: &str) -> Result<String, Expected> {
    let schemes = || WAYS.iter().flat_map(|way| way.schemes).map(|scheme| format!("{scheme}://")).collect::<Vec<_>>();
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
    let before = before.replace("{latency}", &RTSP_LATENCY.to_string());
    Ok(format!("{before}{}{behind}", encoded(&format!("{scheme}://{rest}"))))
}

#[cfg(test)]
mod tests {
    use crate::config::{Source, parse};

    #[test]
    fn an_address_becomes_a_text() {
        let table = [
            ("http://a/b.ts", "souphttpsrc timeout=5 retries=0 location=http://a/b.ts ! parsebin"),
            ("HTTPS://a/b?x=1&y=2", "souphttpsrc timeout=5 retries=0 location=\"https://a/b?x=1&y=2\" ! parsebin"),
            ("srt://a:9000", "srtsrc auto-reconnect=false uri=srt://a:9000 ! parsebin"),
            ("rtmp://a/live/b", "rtmp2src timeout=5 location=rtmp://a/live/b ! parsebin"),
            ("udp://239.1.1.1:5000", "udpsrc buffer-size=4194304 uri=udp://239.1.1.1:5000 ! tsparse ! parsebin"),
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
                 udp://, rtsp:// or rtsps://, found \"ftp://a\"",
            ),
            (
                "file:///a",
                "5:12: feeds.f.url: expected an address that begins with http://, https://, srt://, rtmp://, rtmps://, \
                 udp://, rtsp:// or rtsps://, found \"file:///a\": a file is `file:`",
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
                    other => format!("{other:?}"),
                },
                Err(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            };
            assert_eq!(found, expect, "of {address}");
        }
    }
}
