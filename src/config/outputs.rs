//! Checks of a stream with several outputs: `outputs:`, `repair:`, and `video:` and `audio:` with alternatives.

use super::{
    codec::{AudioCodec, Codec, VideoCodec},
    diagnostics::Path,
    encode,
    encoder_settings::{Audio, Track, Video},
    expected::{Expected, kind, place, quoted},
    formats::container,
    model::{Alternative, Outputs, Repair},
    raw,
    spans::Place,
    validator::Validator,
};
use crate::media::Container;
use serde_yaml::Value;

/// All that a stream may be offered in, the most useful first.
pub(super) const ALL: [Container; 11] = [
    Container::Ts,
    Container::Mp4,
    Container::Mkv,
    Container::Webm,
    Container::Flv,
    Container::Ogg,
    Container::Aac,
    Container::Mp3,
    Container::Flac,
    Container::Wav,
    Container::Mjpeg,
];
/// Most encodings of one kind in a list: what a stream can distinguish, with room for repairs.
const MAX_ALTERNATIVES: usize = 4;

/// What is made of the feed for a stream with several outputs.
pub(super) struct Rendition {
    /// Pipelines that end in the tracks of the stream; `None` where all passes as the feed has it.
    pub(super) pipelines: Option<Vec<String>>,
    /// The encodings for outputs that cannot carry these tracks.
    pub(super) alternatives: Vec<Alternative>,
    /// The codec of each encoded track.
    pub(super) codecs: Vec<Codec>,
    /// What becomes of the first video and the first audio.
    pub(super) main: super::renditions::Main,
}

impl Rendition {
    /// Whether a container can carry what is encoded.
    pub(super) fn fits(&self, container: Container) -> bool {
        self.codecs.iter().all(|codec| codec.fits(container))
    }
}

impl Validator {
    /// `outputs:` as containers; all where nothing is given.
    pub(super) fn outputs(&mut self, path: &Path, given: Option<Value>) -> Option<Vec<Container>> {
        let items = match given {
            None => return Some(ALL.to_vec()),
            Some(Value::String(text)) if text == "all" => return Some(ALL.to_vec()),
            Some(Value::Sequence(items)) if !items.is_empty() => items,
            Some(other) => {
                let message = format!("expected `all` or a list of containers, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return None;
            }
        };
        let mut found: Vec<Container> = Vec::new();
        let mut has_faults = false;
        for (index, item) in items.into_iter().enumerate() {
            let known = found.clone();
            match self.value(&path.index(index), Some(item), |text| output(text, &known)) {
                Some(container) => found.push(container),
                None => has_faults = true,
            }
        }
        (!has_faults).then_some(found)
    }

    /// `repair:`; audio where nothing is given.
    pub(super) fn repair(&mut self, path: &Path, given: Option<Value>) -> Repair {
        let Some(given) = given else { return Repair::default() };
        let Value::Sequence(items) = given else {
            let message = format!("expected a list of `audio` and `video`, found {}", kind(&given));
            self.note(path, place(path, &given), message);
            return Repair::default();
        };
        let mut repair = Repair { audio: false, video: false };
        for (index, item) in items.into_iter().enumerate() {
            let kind = self.value(&path.index(index), Some(item), |text| match text {
                "audio" => Ok(false),
                "video" => Ok(true),
                _ => Err("`audio` or `video`".into()),
            });
            match kind {
                Some(false) => repair.audio = true,
                Some(true) => repair.video = true,
                None => {}
            }
        }
        repair
    }

    /// `alternatives:`, pipelines by the codec that they make.
    pub(super) fn given_alternatives(&mut self, path: &Path, given: Option<Value>) -> Vec<Alternative> {
        let entries = match given {
            None => return Vec::new(),
            Some(Value::Mapping(entries)) => entries,
            Some(other) => {
                let message = format!("expected pipelines by their codec, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return Vec::new();
            }
        };
        let mut found = Vec::new();
        for (name, value) in entries {
            let Some(name) = name.as_str().map(str::to_owned) else { continue };
            let path = path.key(&name);
            let Some(codec) = Codec::from_name(&name) else {
                let names: Vec<_> = Codec::all().map(Codec::name).collect();
                let message = format!("expected {}, found {}", names.join(", "), quoted(&name));
                self.note(&path, Place::Key, message);
                continue;
            };
            if let Some(pipelines) = self.alternatives(&path, Some(value)) {
                found.push(Alternative { codec, pipelines });
            }
        }
        found
    }

    /// What becomes of both tracks of the feed, and in which other codecs they are offered; `None` when there are errors.
    pub(super) fn rendition(
        &mut self,
        path: &Path,
        outputs: &[Container],
        video: Option<Value>,
        audio: Option<Value>,
        overlay: Option<Value>,
    ) -> Option<Rendition> {
        let has_overlay = overlay.is_some();
        let overlay_path = path.key("overlay");
        let overlay = overlay.map(|value| self.overlay(&overlay_path, value));
        let video_path = path.key("video");
        let mut videos = match video {
            Some(value) => self.encodings(&video_path, value, |checker, path, keys: raw::Video| {
                checker.video(path, container_for_video(&keys), keys)
            })?,
            None if has_overlay => {
                let keys = raw::Video::default();
                vec![Track::Encode(self.video(&video_path, Container::Ts, keys)?)]
            }
            None => vec![Track::Copy],
        };
        let audios = match audio {
            Some(value) => self.encodings(&path.key("audio"), value, |checker, path, keys: raw::Audio| {
                checker.audio(path, container_for_audio(&keys), keys)
            })?,
            None => vec![Track::Copy],
        };
        if let Some(overlay) = overlay {
            let overlay = overlay?;
            let encoded = videos.iter_mut().filter_map(|video| match video {
                Track::Encode(video) => Some(video),
                Track::Copy | Track::Drop => None,
            });
            let written = encoded.map(|video| video.overlay = Some(overlay.clone())).count();
            if written == 0 {
                let message = "there is no video in this stream to write into".to_owned();
                self.note(&overlay_path, Place::Key, message);
                return None;
            }
        }
        let codecs_of_video = videos.iter().filter_map(|video| match video {
            Track::Encode(video) => Some(Codec::Video(video.codec)),
            Track::Copy | Track::Drop => None,
        });
        let codecs_of_audio = audios.iter().filter_map(|audio| match audio {
            Track::Encode(audio) => Some(Codec::Audio(audio.codec)),
            Track::Copy | Track::Drop => None,
        });
        for (key, codec) in codecs_of_video.map(|codec| ("video", codec)).chain(codecs_of_audio.map(|c| ("audio", c))) {
            if !outputs.iter().any(|container| codec.fits(*container)) {
                let names: Vec<_> = outputs.iter().map(|container| container.name()).collect();
                let message = format!("none of the outputs {} can carry {codec}", names.join(", "));
                self.note(&path.key(key), Place::Key, message);
                return None;
            }
        }
        let (first_video, first_audio) = (videos.first()?, audios.first()?);
        if matches!((first_video, first_audio), (Track::Drop, Track::Drop)) {
            self.note(path, Place::Key, "nothing is left of this stream without video and audio".to_owned());
            return None;
        }
        let passes = matches!((first_video, first_audio), (Track::Copy, Track::Copy));
        Some(Rendition {
            pipelines: (!passes).then(|| encode::track_pipelines(first_video, first_audio)),
            alternatives: alternatives(&videos, &audios),
            codecs: encoded(first_video, first_audio),
            main: (first_video.clone(), first_audio.clone()),
        })
    }

    /// One encoding or a list of them: `false`, `true`, a codec, or keys.
    fn encodings<K, T>(
        &mut self,
        path: &Path,
        value: Value,
        read: impl Fn(&mut Self, &Path, K) -> Option<T>,
    ) -> Option<Vec<Track<T>>>
    where
        K: Default + WithCodec + for<'de> serde::Deserialize<'de>,
    {
        let items = match value {
            Value::Sequence(items) if items.is_empty() || items.len() > MAX_ALTERNATIVES => {
                let message = format!("expected 1 to {MAX_ALTERNATIVES} encodings, found {}", items.len());
                self.note(path, Place::Value, message);
                return None;
            }
            Value::Sequence(items) => {
                let items: Vec<_> =
                    items.into_iter().enumerate().map(|(index, item)| (path.index(index), item)).collect();
                if let Some((path, _)) =
                    items.iter().find(|(_, item)| matches!(item.as_str(), Some("false" | "no" | "off")))
                {
                    self.note(path, Place::Value, "`false` stands alone: it leaves the track out".to_owned());
                    return None;
                }
                items
            }
            value => vec![(path.clone(), value)],
        };
        let mut found = Vec::new();
        for (path, item) in items {
            let item = match item {
                Value::String(name) if Codec::from_name(&name).is_some() => K::with_codec(&name),
                item => item,
            };
            found.push(self.track(&path, item, |checker, keys| read(checker, &path, keys))?);
        }
        Some(found)
    }
}

/// Keys that can be given as the name of a codec alone.
trait WithCodec {
    /// The keys as they are in the file.
    fn with_codec(name: &str) -> Value {
        Value::Mapping([(Value::from("codec"), Value::from(name))].into_iter().collect())
    }
}

impl WithCodec for raw::Video {}
impl WithCodec for raw::Audio {}

/// The container whose usual codec is the default: any carries what is named.
fn container_for_video(keys: &raw::Video) -> Container {
    if keys.codec.is_some() { Container::Mkv } else { Container::Ts }
}

fn container_for_audio(keys: &raw::Audio) -> Container {
    if keys.codec.is_some() { Container::Mkv } else { Container::Ts }
}

/// Each encoded track alone, but for the first of video: whoever needs that needs the whole.
fn alternatives(videos: &[Track<Video>], audios: &[Track<Audio>]) -> Vec<Alternative> {
    let videos = videos.iter().skip(1).filter_map(|track| match track {
        Track::Encode(video) => Some(Alternative {
            codec: Codec::Video(video.codec),
            pipelines: encode::track_pipelines(track, &Track::Drop),
        }),
        Track::Copy | Track::Drop => None,
    });
    let audios = audios.iter().filter_map(|track| match track {
        Track::Encode(audio) => Some(Alternative {
            codec: Codec::Audio(audio.codec),
            pipelines: encode::track_pipelines(&Track::Drop, track),
        }),
        Track::Copy | Track::Drop => None,
    });
    let mut found: Vec<Alternative> = Vec::new();
    for alternative in videos.chain(audios) {
        // Of two with one codec outputs take the first.
        if found.iter().all(|known| known.codec != alternative.codec) {
            found.push(alternative);
        }
    }
    found
}

fn encoded(video: &Track<Video>, audio: &Track<Audio>) -> Vec<Codec> {
    let video = match video {
        Track::Encode(video) => Some(Codec::Video(video.codec)),
        Track::Copy | Track::Drop => None,
    };
    let audio = match audio {
        Track::Encode(audio) => Some(Codec::Audio(audio.codec)),
        Track::Copy | Track::Drop => None,
    };
    video.into_iter().chain(audio).collect()
}

/// The encodings that are made on demand for outputs which nothing else fits into, at their usual settings.
pub fn repairs(outputs: &Outputs) -> Vec<Alternative> {
    /// In the order of preference: what most players know first.
    const AUDIO: [AudioCodec; 5] =
        [AudioCodec::Aac, AudioCodec::Opus, AudioCodec::Mp3, AudioCodec::Flac, AudioCodec::Pcm];
    const VIDEO: [VideoCodec; 3] = [VideoCodec::H264, VideoCodec::Vp8, VideoCodec::Mjpeg];
    let audio = AUDIO.map(Codec::Audio).into_iter().filter(|_| outputs.repair.audio);
    let video = VIDEO.map(Codec::Video).into_iter().filter(|_| outputs.repair.video);
    let is_of_use = |codec: &Codec| {
        let mut containers = outputs.containers.iter().chain(&[Container::WebRtc]);
        containers.any(|container| codec.fits(*container))
            && outputs.alternatives.iter().all(|known| known.codec != *codec)
    };
    let repair = |codec| Alternative {
        codec,
        pipelines: match codec {
            Codec::Video(codec) => encode::track_pipelines(&Track::Encode(Video::usual(codec)), &Track::Drop),
            Codec::Audio(codec) => encode::track_pipelines(&Track::Drop, &Track::Encode(Audio::usual(codec))),
        },
    };
    video.chain(audio).filter(is_of_use).map(repair).collect()
}

fn output(text: &str, known: &[Container]) -> Result<Container, Expected> {
    let container = container(text)?;
    match container {
        Container::Raw => Err(Expected::because("a container", ": of raw bytes nothing is known")),
        _ if known.contains(&container) => Err("each container once".into()),
        _ => Ok(container),
    }
}
