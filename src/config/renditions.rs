//! Checks of `renditions:`: a stream in other sizes and bit rates, each a stream of its own.

use super::{
    av_keys,
    diagnostics::Path,
    encode,
    encoder_settings::{Audio, Rate, Track, Video},
    expected::{kind, place, quoted},
    model::{Encoding, Stream},
    raw,
    spans::Place,
    validator::Validator,
};
use serde_yaml::Value;

/// Most renditions of a stream: what the names of files of playlists can distinguish.
const MAX_RENDITIONS: usize = 8;
/// Longest label: `1080p60`.
pub(super) const MAX_LABEL: usize = 16;

/// What renditions are made from: the encoded tracks of their stream, as far as its keys say so.
pub(super) type Main = (Track<Video>, Track<Audio>);

/// One rendition: its label, and the pipelines that make it.
pub(super) struct Rendition {
    label: String,
    pipelines: Vec<String>,
}

impl Validator {
    /// `renditions:` of a stream with several outputs; `main` is what its `video:` and `audio:` say.
    pub(super) fn renditions(&mut self, path: &Path, given: Option<Value>, main: Option<&Main>) -> Vec<Rendition> {
        let entries = match given {
            None => return Vec::new(),
            Some(Value::Mapping(entries)) => entries,
            Some(other) => {
                let message = format!(
                    "expected renditions by their names, like `720: {{height: 720, bitrate: 2M}}`, found {}",
                    kind(&other)
                );
                self.note(path, place(path, &other), message);
                return Vec::new();
            }
        };
        if entries.len() > MAX_RENDITIONS {
            let message = format!("expected at most {MAX_RENDITIONS} renditions, found {}", entries.len());
            self.note(path, Place::Key, message);
            return Vec::new();
        }
        let mut found = Vec::new();
        for (label, value) in entries {
            let Some(label) = label.as_str().map(str::to_owned) else { continue };
            let path = path.key(&label);
            let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            if label.is_empty() || label.len() > MAX_LABEL || !label.chars().all(is_plain) {
                let message =
                    format!("expected 1 to {MAX_LABEL} letters, digits, `-` or `_`, found {}", quoted(&label));
                self.note(&path, Place::Key, message);
                continue;
            }
            let keys: raw::Rendition = self.section(&path, value);
            if let Some(pipelines) = self.rendition_pipelines(&path, keys, main) {
                found.push(Rendition { label, pipelines });
            }
        }
        found
    }

    fn rendition_pipelines(&mut self, path: &Path, keys: raw::Rendition, main: Option<&Main>) -> Option<Vec<String>> {
        let raw::Rendition { height, size, bitrate, quality, fps, preset, pipeline } = keys;
        let given = [("height", &height), ("size", &size), ("bitrate", &bitrate), ("quality", &quality)];
        let given = given.into_iter().chain([("fps", &fps), ("preset", &preset)]);
        let given: Vec<_> = given.filter(|(_, value)| value.is_some()).map(|(key, _)| key).collect();
        if pipeline.is_some() {
            for key in given {
                let message = "`pipeline` says already how the rendition is made, keep one of them".to_owned();
                self.note(&path.key(key), Place::Key, message);
            }
            return self.alternatives(&path.key("pipeline"), pipeline);
        }
        let Some((Track::Encode(video), audio)) = main else {
            let message = "there is no `video:` with an encoding to make it from: give the stream `video: h264`, or the \
                           rendition a `pipeline`";
            self.note(path, Place::Key, message.to_owned());
            return None;
        };
        let has = |key| given.contains(&key);
        if has("height") && has("size") {
            self.note(&path.key("size"), Place::Key, "`height` is given already, keep one of them".to_owned());
        }
        if has("bitrate") && has("quality") {
            self.note(&path.key("quality"), Place::Key, "`bitrate` is given already, keep one of them".to_owned());
        }
        if !has("bitrate") && !has("quality") {
            let message = "expected a `bitrate` or `quality` of its own, like `bitrate: 1M`".to_owned();
            self.note(path, Place::Key, message);
        }
        let codec = video.codec;
        let is_with_presets = av_keys::has_presets(codec);
        if has("preset") && !is_with_presets {
            let message = format!("{} has no presets, h264 and h265 have", codec.name());
            self.note(&path.key("preset"), Place::Key, message);
        }
        let height = self.value(&path.key("height"), height, av_keys::height);
        let size = self.value(&path.key("size"), size, av_keys::size);
        let bitrate = self.value(&path.key("bitrate"), bitrate, av_keys::video_bitrate).map(Rate::Bitrate);
        let quality = self.value(&path.key("quality"), quality, av_keys::quality).map(Rate::Quality);
        let fps = self.value(&path.key("fps"), fps, |text| av_keys::fps(text, codec));
        let preset = self.value(&path.key("preset"), preset, av_keys::preset);
        let mut video = video.clone();
        video.rate = bitrate.or(quality).unwrap_or(video.rate);
        if height.is_some() || size.is_some() {
            (video.height, video.size) = (height, size);
        }
        video.fps = fps.or(video.fps);
        video.preset = preset.or(video.preset);
        Some(encode::track_pipelines(&Track::Encode(video), audio))
    }

    /// The streams that these renditions are; the names of all of them go into the stream itself.
    pub(super) fn rendition_streams(
        &mut self,
        path: &Path,
        of: &mut Stream,
        renditions: Vec<Rendition>,
    ) -> Vec<Stream> {
        let mut streams = Vec::new();
        for Rendition { label, pipelines } in renditions {
            let Some(stream) = of.beside(&label) else {
                let message = "the names of the stream and of its rendition are too long together".to_owned();
                self.note(&path.key(&label), Place::Key, message);
                continue;
            };
            of.renditions.push(stream.name.clone());
            streams.push(Stream { encoding: Encoding::Pipeline(pipelines), ..stream });
        }
        streams
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Encoding, parse, to_yaml};

    fn config(stream: &str) -> String {
        format!("feeds: {{f: {{pipeline: x}}}}\nstreams:\n  s: {{feed: f, {stream}}}")
    }

    #[track_caller]
    fn pipelines(stream: &str) -> Vec<(String, String)> {
        let config = parse(&config(stream)).unwrap_or_else(|faults| panic!("{faults:?}"));
        let soft = |texts: &[String]| texts.iter().find(|text| !text.contains("NV12")).unwrap().clone();
        let of = |encoding: &Encoding| match encoding {
            Encoding::Pipeline(texts) => soft(texts),
            other => panic!("{other:?}"),
        };
        config.streams.iter().map(|stream| (stream.path.as_str().to_owned(), of(&stream.encoding))).collect()
    }

    #[test]
    fn each_rendition_is_a_stream_with_what_it_changes() {
        let found = pipelines(
            "video: {codec: h264, size: 1280x720, gop: 60, bitrate: 4M}, audio: aac, renditions: {'480': {height: 480, \
             bitrate: 1M, fps: 15, preset: fast}, low_1: {size: 320x180, quality: 40}, same: {bitrate: 3M}}",
        );
        let paths: Vec<_> = found.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["/s", "/s@480", "/s@low_1", "/s@same"]);
        let has = |place: usize, texts: &[&str]| {
            texts.iter().for_each(|text| assert!(found[place].1.contains(text), "{text} in {}", found[place].1));
        };
        has(0, &["width=1280,height=720", "bitrate=4000 key-int-max=60", "superfast", "avenc_aac"]);
        let height = "width=(int)[16,16384,2],height=(int)[16,480,2],pixel-aspect-ratio=1/1";
        has(1, &[height, "bitrate=1000 key-int-max=60", "framerate=15/1", "speed-preset=fast", "avenc_aac"]);
        has(2, &["width=320,height=180", "pass=qual", "key-int-max=60"]);
        has(3, &["width=1280,height=720", "bitrate=3000"]);
    }

    #[test]
    fn a_printed_configuration_has_the_same_renditions() {
        for stream in [
            "video: [h264, vp8], audio: [aac, opus], title: A, hls: {segment: 4}, renditions: {'360': {height: 360, bitrate: 1M}}",
            "outputs: all, pipeline: 'video. ! a', renditions: {'360': {pipeline: ['video. ! b', 'video. ! c']}}",
        ] {
            let before = parse(&config(stream)).unwrap();
            let again = parse(&to_yaml(&before)).unwrap_or_else(|faults| panic!("{faults:?} in {}", to_yaml(&before)));
            assert_eq!(again, before, "{}", to_yaml(&before));
            assert_eq!((before.streams.len(), before.streams[0].renditions.len()), (2, 1));
        }
    }

    #[test]
    fn what_cannot_be_a_rendition_is_refused() {
        let check = |stream: &str, expect: &str| {
            let faults = parse(&config(stream)).map(|_| ()).unwrap_err();
            let found: Vec<_> = faults.iter().map(ToString::to_string).collect();
            assert!(found.iter().any(|fault| fault.contains(expect)), "{stream}: {found:?}");
        };
        check(
            "renditions: {'360': {height: 360, bitrate: 1M}}",
            "there is no `video:` with an encoding to make it from",
        );
        check(
            "video: h264, renditions: {'360': {height: 360}}",
            "streams.s.renditions.360: expected a `bitrate` or `quality`",
        );
        check(
            "video: h264, renditions: {'360': {height: 361, bitrate: 1M}}",
            "renditions.360.height: expected an even number",
        );
        check(
            "video: h264, renditions: {'360': {height: 360, size: 640x360, bitrate: 1M}}",
            "`height` is given already",
        );
        check("video: h264, renditions: {'360': {bitrate: 1M, quality: 5}}", "`bitrate` is given already");
        check("video: vp8, renditions: {'360': {bitrate: 1M, preset: fast}}", "vp8 has no presets");
        check("video: h264, renditions: {'360': {bitrate: 1M, pipeline: x}}", "`pipeline` says already");
        check("video: h264, renditions: {'a@b': {bitrate: 1M}}", "expected 1 to 16 letters");
        check("video: h264, renditions: [360]", "expected renditions by their names");
        check("container: ts, video: h264, renditions: {'360': {bitrate: 1M}}", "is for streams with `outputs`");
        check(
            "video: h264, record: {folder: r}, hls: {dvr: 1h}, renditions: {'360': {bitrate: 1M}}",
            "streams.s.hls.dvr: recordings have one size",
        );
        let many: Vec<_> = (0..9).map(|at| format!("'{at}': {{bitrate: 1M}}")).collect();
        check(&format!("video: h264, renditions: {{{}}}", many.join(", ")), "expected at most 8 renditions, found 9");
    }
}
