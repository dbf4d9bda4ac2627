//! `layers` of a feed that is published to: the smaller layers of the video of a publisher of WebRTC (simulcast, RFC 8853). Each is a
//! feed of its own, and a stream that is nothing but the feed has a stream of each beside it.

use super::{
    diagnostics::Path,
    expected::{Expected, kind, place, quoted},
    model::{Encoding, Feed, FeedName, Serving, Source, Stream},
    publish::PublishProtocol,
    renditions::MAX_LABEL,
    spans::Place,
    validator::Validator,
};
use serde_yaml::Value;

/// Most layers below the feed itself: browsers send three in all, some programs four.
const MAX_LAYERS: usize = 3;

impl Validator {
    /// The names of layers, which are identifiers of RTP streams (RFC 8851, section 10).
    pub(super) fn layers(&mut self, path: &Path, given: Option<Value>, protocols: &[PublishProtocol]) -> Vec<String> {
        let Some(given) = given else { return Vec::new() };
        if !matches!(given, Value::Sequence(_)) {
            let message = format!("expected a list like `[m, l]`, found {}", kind(&given));
            self.note(path, place(path, &given), message);
            return Vec::new();
        }
        let names = self.scalars(path, given, layer);
        if names.len() > MAX_LAYERS {
            self.note(path, Place::Key, format!("expected at most {MAX_LAYERS} layers, found {}", names.len()));
        }
        for (at, name) in names.iter().enumerate() {
            if names.iter().take(at).any(|before| before == name) {
                self.note(path, Place::Key, format!("{} is there twice", quoted(name)));
            }
        }
        if !protocols.contains(&PublishProtocol::Webrtc) {
            self.note(path, Place::Key, "only publishers of webrtc send layers, and `protocols` lacks it".to_owned());
        }
        names
    }

    /// These feeds, and behind each one those of its layers.
    pub(super) fn feeds_with_layers(&mut self, path: &Path, feeds: Vec<Feed>) -> Vec<Feed> {
        let mut all = Vec::with_capacity(feeds.len());
        for feed in feeds {
            let mut layers = Vec::new();
            for label in layers_of(&feed) {
                match layer_feed(&feed, label) {
                    Some(layer) => layers.push(layer),
                    None => {
                        let path = path.key(feed.name.as_str()).key("publish").key("layers");
                        self.note(&path, Place::Key, TOO_LONG.to_owned());
                    }
                }
            }
            all.push(feed);
            all.extend(layers);
        }
        all
    }

    /// The streams that are the layers of this one, if it is nothing but a feed with layers.
    pub(super) fn layer_streams(&mut self, path: &Path, of: &mut Stream, known: &[Feed]) -> Vec<Stream> {
        let ([feed], Encoding::Copy, Some(_), Serving::Shared) = (&of.feeds[..], &of.encoding, &of.outputs, of.serving)
        else {
            return Vec::new();
        };
        let Some(feed) = known.iter().find(|known| known.name == *feed) else { return Vec::new() };
        let mut streams = Vec::new();
        for label in layers_of(feed) {
            let (Some(stream), Some(source)) = (of.beside(label), FeedName::of_layer(&feed.name, label)) else {
                self.note(path, Place::Key, TOO_LONG.to_owned());
                continue;
            };
            if of.renditions.contains(&stream.name) {
                let message = format!("the feed `{}` has a layer with this name", feed.name);
                self.note(&path.key("renditions").key(label), Place::Key, message);
                continue;
            }
            of.layers.push(stream.name.clone());
            streams.push(Stream { feeds: vec![source], ..stream });
        }
        streams
    }
}

const TOO_LONG: &str = "the names of a feed or stream and of its layer are too long together";

fn layer(text: &str) -> Result<String, Expected> {
    let is_good = (1..=MAX_LABEL).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric());
    is_good.then(|| text.to_owned()).ok_or_else(|| format!("1 to {MAX_LABEL} letters and digits").into())
}

fn layers_of(feed: &Feed) -> &[String] {
    match &feed.source {
        Source::Publish(publish) => &publish.layers,
        _ => &[],
    }
}

fn layer_feed(feed: &Feed, label: &str) -> Option<Feed> {
    let Source::Publish(publish) = &feed.source else { return None };
    let publish = super::Publish { layers: Vec::new(), is_layer: true, ..publish.clone() };
    Some(Feed { name: FeedName::of_layer(&feed.name, label)?, source: Source::Publish(publish), ..feed.clone() })
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse, to_yaml};

    fn names(text: &str) -> (Vec<String>, Vec<(String, String)>) {
        let config = parse(text).unwrap_or_else(|faults| panic!("{faults:?}"));
        assert_eq!(parse(&to_yaml(&config)).unwrap_or_else(|faults| panic!("{faults:?}")), config);
        let feeds = config.feeds.iter().map(|feed| feed.name.to_string()).collect();
        let streams = config.streams.iter().map(|stream| (stream.path.to_string(), stream.feeds[0].to_string()));
        (feeds, streams.collect())
    }

    #[test]
    fn each_layer_is_a_feed_and_a_stream() {
        let feed = "feeds: {studio: {publish: {key: s3cret, layers: [m, l]}}, other: {publish: {}}}\n";
        let (feeds, streams) = names(&format!(
            "{feed}streams: {{cam0: {{feed: studio}}, small: {{feed: studio, video: {{bitrate: 1M}}}}, a.ts: {{feed: studio}}}}"
        ));
        assert_eq!(feeds, ["studio", "studio@m", "studio@l", "other"]);
        let expect = [
            ("/cam0", "studio"),
            ("/cam0@m", "studio@m"),
            ("/cam0@l", "studio@l"),
            ("/small", "studio"),
            ("/a.ts", "studio"),
        ];
        assert_eq!(streams, expect.map(|(path, feed)| (path.to_owned(), feed.to_owned())));
        let config = parse(&format!("{feed}streams: {{cam0: {{feed: studio}}}}")).unwrap();
        let layers: Vec<_> = config.streams[0].layers.iter().map(ToString::to_string).collect();
        assert_eq!(layers, ["cam0@m", "cam0@l"]);
        let is_layer =
            |place: usize| matches!(&config.feeds[place].source, Source::Publish(publish) if publish.is_layer);
        assert_eq!([0, 1, 2, 3].map(is_layer), [false, true, true, false]);
    }

    #[test]
    fn faults() {
        let check = |feed: &str, expect: &str| {
            let faults = parse(&format!(
                "feeds: {{f: {{publish: {feed}}}}}\nstreams: {{s: {{feed: f, renditions: {{m: {{pipeline: x}}}}}}}}"
            ));
            let found: Vec<_> = faults.map(|_| ()).unwrap_err().iter().map(ToString::to_string).collect();
            assert!(found.iter().any(|fault| fault.contains(expect)), "{feed}: {found:?}");
        };
        check("{layers: m}", "publish.layers: expected a list like `[m, l]`, found \"m\"");
        check("{layers: [a-b]}", "publish.layers[0]: expected 1 to 16 letters and digits, found \"a-b\"");
        check("{layers: [a, b, c, d]}", "publish.layers: expected at most 3 layers, found 4");
        check("{layers: [a, a]}", "publish.layers: \"a\" is there twice");
        check("{layers: [a], protocols: [rtmp]}", "only publishers of webrtc send layers");
        check("{layers: [m]}", "streams.s.renditions.m: the feed `f` has a layer with this name");
        let faults = parse("publish: {live/*: {layers: [m]}}").map(|_| ()).unwrap_err();
        let expect = "publish.live/*.layers: only a feed with a name of its own has layers";
        assert!(faults.iter().any(|fault| fault.to_string().contains(expect)), "{faults:?}");
    }
}
