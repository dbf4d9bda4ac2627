//! Which pipelines make the tracks of a stream.

use crate::{
    config::{Alternative, Encoding, Stream},
    ipc::declaration::without_muxer,
};

/// The pipelines of a stream that end in its tracks, if it is made so; none where the tracks are those of the feed.
pub(super) fn tracks_of(stream: &Stream) -> Option<Vec<String>> {
    match (&stream.encoding, &stream.outputs) {
        (Encoding::Copy, Some(_)) => Some(Vec::new()),
        (Encoding::Pipeline(pipelines), Some(outputs)) => {
            // A muxer at the end of a pipeline that a person wrote is a declaration.
            let containers = &outputs.containers;
            let plain = |pipeline: &str| containers.iter().find_map(|container| without_muxer(pipeline, *container));
            let audio = shared_audio(stream).and_then(|audio| audio.pipelines.first());
            let of_video = |pipeline: &str| without_audio(pipeline, audio?).map(str::to_owned);
            let tracks =
                |pipeline: &String| of_video(pipeline).or_else(|| plain(pipeline)).unwrap_or_else(|| pipeline.clone());
            Some(pipelines.iter().map(tracks).collect())
        }
        (Encoding::Pipeline(pipelines), None) if !stream.feeds.is_empty() => {
            pipelines.iter().map(|pipeline| without_muxer(pipeline, stream.container)).collect()
        }
        _ => None,
    }
}

/// What encodes the audio of a stream with renditions, or of one of them, in a pipeline of its own: all of them share it.
pub(super) fn shared_audio(stream: &Stream) -> Option<&Alternative> {
    let is_of_ladder = !stream.renditions.is_empty() || stream.rendition_of.is_some();
    let (Encoding::Pipeline(pipelines), Some(outputs), true) = (&stream.encoding, &stream.outputs, is_of_ladder) else {
        return None;
    };
    let is_in_all = |one: &&Alternative| match one.pipelines.as_slice() {
        [audio] => pipelines.iter().all(|pipeline| without_audio(pipeline, audio).is_some()),
        _ => false,
    };
    outputs.alternatives.iter().filter(|one| !one.codec.is_video()).find(is_in_all)
}

/// The pipeline of the video, of one that ends with that of the audio.
fn without_audio<'a>(pipeline: &'a str, audio: &str) -> Option<&'a str> {
    pipeline.strip_suffix(audio)?.strip_suffix(' ').filter(|video| !video.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse;

    #[test]
    fn the_streams_of_a_ladder_share_the_encoding_of_their_audio() {
        #[track_caller]
        fn check(stream: &str, audio: Option<&str>) {
            let config =
                parse(&format!("feeds: {{f: {{pipeline: x}}}}\nstreams:\n  s: {{feed: f, {stream}}}")).unwrap();
            for stream in &config.streams {
                let found = shared_audio(stream).map(|found| found.codec.name());
                assert_eq!(found, audio, "{}", stream.name);
                let tracks = tracks_of(stream).unwrap();
                let has_audio = tracks.iter().filter(|pipeline| pipeline.contains("audio. !")).count();
                assert_eq!(has_audio, if audio.is_some() { 0 } else { tracks.len() }, "{tracks:?}");
                assert!(tracks.iter().all(|pipeline| pipeline.starts_with("video. ! ")), "{tracks:?}");
            }
        }
        let ladder = "renditions: {'360': {height: 360, bitrate: 1M}}";
        check(&format!("video: h264, audio: aac, {ladder}"), Some("aac"));
        check(&format!("video: [h264, vp8], audio: [opus, aac], {ladder}"), Some("opus"));
        // One encoder serves one stream, and nothing is encoded of audio that passes.
        check("video: h264, audio: aac", None);
        check(&format!("video: h264, {ladder}"), None);
        check(
            "outputs: all, pipeline: 'video. ! a audio. ! b', renditions: {'360': {pipeline: 'video. ! c audio. ! b'}}",
            None,
        );
    }
}
