//! Muxers at the end of a pipeline that only declare a container: the server muxes in their place.

use crate::media::Container;

/// Options of GStreamer's muxers that concern delivery, which is the server's: a muxer with no others is a plain one.
const OF_DELIVERY: [&str; 22] = [
    "name",
    "parent",
    "alignment",
    "boundary",
    "emit-signals",
    "encoder",
    "faststart",
    "fragment-duration",
    "latency",
    "max-cluster-duration",
    "max-delay",
    "max-page-delay",
    "metadatacreator",
    "min-cluster-duration",
    "min-upstream-latency",
    "movie-timescale",
    "si-interval",
    "start-time",
    "start-time-selection",
    "streamable",
    "trak-timescale",
    "writing-app",
];

/// Whether an option of a muxer concerns delivery alone.
pub fn is_of_delivery(option: &str) -> bool {
    OF_DELIVERY.contains(&option)
}

/// Whether a container is declared by an element of this kind.
pub fn declares(element: &str, container: Container) -> bool {
    match container {
        Container::Ts => element == "mpegtsmux",
        Container::Mp4 => element == "mp4mux",
        Container::Webm => element == "webmmux",
        Container::Mkv => matches!(element, "matroskamux" | "webmmux"),
        Container::Flv => matches!(element, "flvmux" | "eflvmux"),
        Container::Ogg => element == "oggmux",
        Container::Wav => element == "wavenc",
        Container::Mjpeg => element == "multipartmux",
        Container::Mp3
        | Container::Aac
        | Container::Flac
        | Container::Avi
        | Container::WebRtc
        | Container::Rtp
        | Container::Raw => false,
    }
}

/// A pipeline without the plain muxer of its container at its end, so that it ends in its tracks: streams whose pipelines differ
/// in the container alone are made by one. `None` where there is no such muxer, or a track reaches it as the feed has it:
/// what becomes of that depends on the muxer.
pub fn without_muxer(pipeline: &str, container: Container) -> Option<String> {
    let words: Vec<&str> = pipeline.split_whitespace().collect();
    let at = words.iter().rposition(|word| declares(word, container))?;
    let (before, after) = words.split_at_checked(at)?;
    let mut name = None;
    for option in after.get(1..)? {
        let (key, value) = option.split_once('=')?;
        if !is_of_delivery(key) {
            return None;
        }
        if key == "name" {
            name = Some(value);
        }
    }
    let mut tracks: Vec<&str> = Vec::with_capacity(before.len());
    let mut rest = before.iter().peekable();
    while let Some(word) = rest.next() {
        let is_end = match (name, rest.peek()) {
            // A link to the muxer by its name: `! mux.` or `! mux.video`.
            (Some(name), Some(target)) => {
                *word == "!" && target.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))
            }
            // A link to the muxer itself.
            (_, None) => *word == "!",
            (None, Some(_)) => false,
        };
        if !is_end {
            tracks.push(word);
            continue;
        }
        rest.next();
        // What waits before a muxer has nothing to wait for.
        if tracks.ends_with(&["!", "queue"]) {
            tracks.truncate(tracks.len() - 2);
        }
        if tracks.last().is_none_or(|last| last.ends_with('.')) {
            return None;
        }
    }
    (!tracks.is_empty()).then(|| tracks.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipelines_that_differ_in_the_muxer_alone_become_one() {
        #[track_caller]
        fn check(pipeline: &str, container: Container, expect: Option<&str>) {
            assert_eq!(without_muxer(pipeline, container).as_deref(), expect);
        }
        let both = Some("video. ! x264enc audio. ! avenc_aac ! aacparse");
        check(
            "video. ! x264enc ! queue ! mux. audio. ! avenc_aac ! aacparse ! mux. mpegtsmux name=mux",
            Container::Ts,
            both,
        );
        check(
            "video. ! x264enc ! queue ! mux.video audio. ! avenc_aac ! aacparse ! queue ! mux.audio flvmux name=mux streamable=true",
            Container::Flv,
            both,
        );
        check("video. ! x264enc ! mp4mux fragment-duration=1", Container::Mp4, Some("video. ! x264enc"));
        check("videotestsrc ! vp8enc ! webmmux", Container::Mkv, Some("videotestsrc ! vp8enc"));
        check("video. ! x264enc ! mpegtsmux bitrate=5000000", Container::Ts, None);
        check("video. ! x264enc ! mpegtsmux", Container::Mp4, None);
        check("video. ! x264enc ! mpegtsmux ! queue", Container::Ts, None);
        check("video. ! x264enc ! mux. audio. ! mux. mpegtsmux name=mux", Container::Ts, None);
        check("video. ! mpegtsmux", Container::Ts, None);
        check("audio. ! wavenc", Container::Wav, None);
        check("", Container::Ts, None);
    }
}
