//! Containers by their names, and what commands write, as far as their words show.

use super::{
    expected::Expected,
    model::{Encoding, Feed, FeedName, Source, Stream},
};
use crate::media::Container;
use std::{collections::HashMap, path::Path};

/// What the feeds that are commands write, of those that say it.
pub(super) fn written_by(feeds: &[Feed]) -> HashMap<FeedName, Container> {
    let container = |feed: &Feed| match &feed.source {
        Source::Command(words) => Some((feed.name.clone(), written(words)?)),
        _ => None,
    };
    feeds.iter().filter_map(container).collect()
}

/// The feed whose bytes a stream forwards as they come, if it does: nothing of it is decoded, encoded or muxed again.
pub fn passed_on<'a>(stream: &'a Stream, source: impl Fn(&FeedName) -> Option<&'a Source>) -> Option<&'a FeedName> {
    let (Encoding::Copy, [feed]) = (&stream.encoding, stream.feeds.as_slice()) else { return None };
    let is_same = match source(feed)? {
        Source::Pipe(_) => true,
        Source::Command(words) => match (written(words), stream.container) {
            // Every WebM is Matroska.
            (None, _) | (_, Container::Raw) | (Some(Container::Webm), Container::Mkv) => true,
            (Some(written), wanted) => written == wanted,
        },
        Source::Pipeline(_) | Source::File { .. } | Source::Publish(_) | Source::Link(_) => false,
    };
    is_same.then_some(feed)
}

/// Whether only the bytes of its feed can show if a stream that forwards them is what its name promises: after `nice`, `sh` or a
/// script there may be anything.
pub fn may_differ<'a>(stream: &'a Stream, source: impl Fn(&FeedName) -> Option<&'a Source>) -> bool {
    let promised = Container::from_extension(stream.path.as_str()).or(Container::from_extension(stream.name.as_str()));
    let is_told = |source: &Source| matches!(source, Source::Command(words) if written(words).is_some());
    promised == Some(stream.container)
        && stream.container != Container::Raw
        && passed_on(stream, &source).and_then(&source).is_some_and(|source| !is_told(source))
}

/// The container that a command writes to its standard output; `None` when its words do not show it, or not for sure.
fn written(words: &[String]) -> Option<Container> {
    let (program, arguments) = words.split_first()?;
    if Path::new(program).file_name()? != "ffmpeg" {
        return None;
    }
    // With several outputs, which may be anywhere, the last one is not always this one.
    let [.., option, format, output] = arguments else { return None };
    if option != "-f" || !matches!(output.as_str(), "-" | "pipe:" | "pipe:1") {
        return None;
    }
    of_ffmpeg(format)
}

/// A container by its name in the configuration.
pub(super) fn container(text: &str) -> Result<Container, Expected> {
    if let Some(container) = Container::from_name(text) {
        return Ok(container);
    }
    match text.to_ascii_lowercase().as_str() {
        "mov" | "3gp" | "avi" | "wmv" | "asf" | "mpg" | "mpeg" | "ps" | "vob" => {
            let why = ": viewers cannot join it while it runs; `raw` forwards whatever a command writes";
            Err(Expected::because("`ts`, `webm` or `mkv`", why))
        }
        // The timestamps of the latter are taken away.
        "mpegts" | "m2ts" | "mts" => Err("`ts`".into()),
        "oga" | "ogv" | "opus" => Err("`ogg`".into()),
        "m4v" | "m4a" | "fmp4" => Err("`mp4`".into()),
        "adts" => Err("`aac`".into()),
        "matroska" | "mka" => Err("`mkv`".into()),
        "mjpg" | "jpeg" | "jpg" | "mpjpeg" => Err("`mjpeg`".into()),
        _ => Err("`ts`, `webm`, `mkv`, `ogg`, `flv`, `mp4`, `mp3`, `aac`, `flac`, `wav`, `mjpeg` or `raw`".into()),
    }
}

/// A container by its name in ffmpeg; of those that can be forwarded as they come.
fn of_ffmpeg(format: &str) -> Option<Container> {
    match format {
        "mpegts" => Some(Container::Ts),
        "webm" => Some(Container::Webm),
        "matroska" => Some(Container::Mkv),
        "ogg" | "oga" | "ogv" | "opus" => Some(Container::Ogg),
        "flv" => Some(Container::Flv),
        "mp4" => Some(Container::Mp4),
        "mp3" => Some(Container::Mp3),
        "adts" => Some(Container::Aac),
        "flac" => Some(Container::Flac),
        "wav" => Some(Container::Wav),
        "mpjpeg" => Some(Container::Mjpeg),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn the_words_of_ffmpeg_tell_what_it_writes() {
        let table = [
            ("ffmpeg -f v4l2 -i /dev/video0 -f mpegts -", Some(Container::Ts)),
            ("/usr/bin/ffmpeg -i x -f matroska pipe:1", Some(Container::Mkv)),
            ("ffmpeg -i x -f s16le -", None),
            ("ffmpeg -i x -f mpegts udp://a", None),
            ("ffmpeg -i x out.ts", None),
            ("ffmpeg", None),
            ("recorder -f mpegts -", None),
        ];
        for (command, expect) in table {
            let words: Vec<_> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(written(&words), expect, "{command}");
        }
    }

    #[test]
    fn what_a_name_promises_is_not_sure_of_every_command() {
        let table = [
            ("nice -n 10 ffmpeg -i x -f mpegts -", "cam.mp4: {feed: cam}", true),
            ("sh -c recorder", "cam.ts: {feed: cam}", true),
            ("env A=1 recorder", "cam: {feed: cam, url: /cam.mkv}", true),
            ("ffmpeg -i x -f mpegts -", "cam.ts: {feed: cam}", false),
            ("ffmpeg -i x -f mpegts -", "cam.mp4: {feed: cam}", false),
            ("recorder", "cam: {feed: cam}", false),
            ("recorder", "cam.ts: {feed: cam, container: raw}", false),
            ("recorder", "cam.ts: {feed: cam, video: {codec: h264}}", false),
        ];
        for (command, stream, expect) in table {
            let config = parse(&format!("feeds: {{cam: {{command: {command}}}}}\nstreams: {{{stream}}}")).unwrap();
            let source = |_: &FeedName| Some(&config.feeds[0].source);
            assert_eq!(may_differ(&config.streams[0], source), expect, "{command} {stream}");
        }
    }

    #[test]
    fn a_stream_that_names_no_container_has_the_one_of_its_feed() {
        let table = [
            ("cam: {feed: cam}", Container::Mkv),
            ("cam.ts: {feed: cam}", Container::Ts),
            ("cam: {feed: cam, container: webm}", Container::Webm),
            ("cam: {feeds: [cam, other]}", Container::Ts),
            ("cam: {feed: other}", Container::Ts),
        ];
        for (stream, expect) in table {
            let text = format!(
                "feeds:\n  cam: {{command: ffmpeg -i x -f matroska -}}\n  other: {{command: recorder}}\nstreams: {{{stream}}}"
            );
            let stream = parse(&text).unwrap().streams.remove(0);
            assert_eq!((stream.container, stream.mimetype.as_str()), (expect, expect.mimetype()), "{text}");
        }
    }
}
