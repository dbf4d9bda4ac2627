//! Which encodings an output of a stream is made of.

use crate::{
    config::Codec,
    media::{Container, MediaKind, Muxer, NotCarried, Selected, TrackSet},
    source::{
        demand::{Demand, Lease},
        status::Status,
    },
    stream::{Entrances, SampleReader, StreamInput, source_of},
};
use std::time::Duration;

/// How long a viewer of an output that may need another encoding waits for the tracks of the main one to be known.
const KNOWN_WITHIN: Duration = Duration::from_secs(3);

/// What the outputs of one stream are made of: its main encoding, and others for outputs that cannot carry its tracks.
#[derive(Debug)]
pub struct Rendition {
    /// Where the samples of all encodings meet.
    pub input: StreamInput,
    /// Leased while the main encoding is in use.
    pub main: Demand,
    /// Where the samples of the main encoding enter this stream and others.
    pub entrances: Entrances,
    /// In the order of preference.
    pub alternatives: Vec<Alternative>,
    /// What viewers see while the feed is away comes with the main encoding: it is always leased.
    pub has_placeholder: bool,
}

/// One track in another codec.
#[derive(Debug)]
pub struct Alternative {
    /// Which one.
    pub codec: Codec,
    /// The number of its encoding in the rendition.
    pub source: usize,
    /// It is not configured, but encoded on demand.
    pub is_repair: bool,
    /// It is the audio of the main encoding, which is of the video alone. It runs with it.
    pub is_main_audio: bool,
    /// Leased while it is in use.
    pub demand: Demand,
    /// The state of its encoding.
    pub status: Status,
    /// Where its samples enter this stream and others.
    pub entrances: Entrances,
}

impl Rendition {
    /// Leases an output, and the encodings that it is made of. Waits until it is known which these are. Cancel-safe.
    ///
    /// # Errors
    /// When the container can carry neither the tracks of the stream nor what they could be encoded as.
    pub async fn open(&self, container: Container) -> Result<Lease, NotCarried> {
        if let Some(alternative) = self.audio_alone(container) {
            return Ok(self.lease(container, &[alternative.source]));
        }
        let main = self.main.lease();
        let sources = match self.main_tracks(|_| false).await {
            Some(tracks) => self.sources(container, &tracks)?,
            // The feed is slow: the main encoding is what most outputs are made of.
            None => self.main_sources(),
        };
        let lease = self.lease(container, &sources);
        drop(main);
        Ok(lease)
    }

    /// Leases what samples for a container are made of, and reads these. Waits until it is known which encodings these are.
    /// Cancel-safe.
    ///
    /// # Errors
    /// As [`Rendition::open`].
    pub async fn open_samples(&self, container: Container) -> Result<(Lease, SampleReader), NotCarried> {
        let main = self.main.lease();
        let sources = match self.main_tracks(|_| false).await {
            Some(tracks) => self.sources(container, &tracks)?,
            None => self.main_sources(),
        };
        let lease = self.units(&sources);
        drop(main);
        Ok((lease, self.input.samples(container, &sources)))
    }

    /// The configured encoding for an output of audio alone, for which no video has to be encoded. `None` while the main encoding runs
    /// anyway.
    fn audio_alone(&self, container: Container) -> Option<&Alternative> {
        let is_audio = Muxer::kinds(container) == [MediaKind::Audio];
        if !is_audio || self.has_placeholder || self.main.is_used() {
            return None;
        }
        let fits = |one: &&Alternative| !one.is_repair && !one.codec.is_video() && one.codec.fits(container);
        self.alternatives.iter().find(fits)
    }

    /// The tracks of the main encoding, once it runs and all are there, or those that are `enough`.
    async fn main_tracks(&self, enough: impl Fn(&TrackSet) -> bool) -> Option<TrackSet> {
        let mut known = self.input.known_tracks();
        let is_enough = |(tracks, is_complete): &(TrackSet, bool)| *is_complete || enough(tracks);
        let complete = known.wait_for(|known| known.as_ref().is_some_and(is_enough));
        // What there is, if a track has not come in time.
        let _ = tokio::time::timeout(KNOWN_WITHIN, complete).await;
        let known = self.input.known_tracks().borrow().clone();
        known.map(|(tracks, _)| tracks)
    }

    /// The encodings that an output is made of, by their numbers.
    ///
    /// # Errors
    /// See [`Rendition::open`].
    pub fn sources(&self, container: Container, main: &TrackSet) -> Result<Vec<usize>, NotCarried> {
        let alternatives: Vec<_> = self.alternatives.iter().map(|one| (one.codec, one.source)).collect();
        chosen(container, main, &alternatives)
    }

    /// The containers of these that can be had, as far as the tracks are known.
    pub fn carried(&self, containers: &[Container]) -> Vec<Container> {
        let known = self.input.known_tracks().borrow().clone();
        let Some((tracks, _)) = known else { return containers.to_vec() };
        containers.iter().copied().filter(|container| self.sources(*container, &tracks).is_ok()).collect()
    }

    /// The first of these containers that can carry the video, once that is known, and leases it; one that needs no other encoding is
    /// preferred. `None` where the video does not come in time. Cancel-safe.
    pub async fn open_video(&self, containers: &[Container]) -> Option<(Container, Lease)> {
        // Audio that is slow, or absent, must not delay it.
        let has_video = |tracks: &TrackSet| tracks.tracks().iter().any(|track| track.kind() == MediaKind::Video);
        let tracks = self.main_tracks(has_video).await?;
        let carried = |container: &Container| Some((*container, self.sources(*container, &tracks).ok()?));
        let carried: Vec<_> = containers.iter().filter_map(carried).collect();
        let (container, sources) = carried.iter().find(|(_, sources)| self.is_main(sources)).or(carried.first())?;
        Some((*container, self.lease(*container, sources)))
    }

    /// The numbers of the main encoding, and of its audio where that is apart.
    fn main_sources(&self) -> Vec<usize> {
        let audio = self.alternatives.iter().filter(|one| one.is_main_audio).map(|one| one.source);
        std::iter::once(0).chain(audio).collect()
    }

    /// Whether an output of these encodings is made of the main one alone.
    pub fn is_main(&self, sources: &[usize]) -> bool {
        let main = self.main_sources();
        sources.iter().all(|source| main.contains(source))
    }

    /// Leases an output that is made of these encodings.
    fn lease(&self, container: Container, sources: &[usize]) -> Lease {
        self.units(sources).with(self.input.output(container).lease_of(sources))
    }

    /// Leases these encodings.
    fn units(&self, sources: &[usize]) -> Lease {
        let mut lease = Lease::default();
        if self.has_placeholder || sources.contains(&0) {
            lease.add(self.main.lease());
        }
        let used = self.alternatives.iter().filter(|one| one.source != 0 && sources.contains(&one.source));
        used.for_each(|alternative| lease.add(alternative.demand.lease()));
        lease
    }
}

/// The sources of an output: of each kind of track the one of the main tracks, if the container can carry its track, else the first
/// alternative that it can carry.
fn chosen(container: Container, main: &TrackSet, alternatives: &[(Codec, usize)]) -> Result<Vec<usize>, NotCarried> {
    let alternative = |kind: MediaKind| {
        let is_video = kind == MediaKind::Video;
        let fits = |(codec, _): &&(Codec, usize)| codec.is_video() == is_video && codec.fits(container);
        alternatives.iter().find(fits).map(|(_, source)| *source)
    };
    let mut sources = Vec::new();
    for selected in Muxer::select_or(container, main, alternative)? {
        let source = match selected {
            Selected::Track(track) => source_of(track),
            Selected::Other(source) => source,
        };
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{AudioCodec, VideoCodec},
        media::{
            codec::{CodecParameters, opus},
            testing::tracks,
        },
    };

    #[test]
    fn an_output_takes_the_main_tracks_or_the_first_alternative_that_fits() {
        #[track_caller]
        fn check(container: Container, main: &[CodecParameters], expected: Result<&[usize], &str>) {
            let alternatives = [
                (Codec::Video(VideoCodec::H264), 1),
                (Codec::Audio(AudioCodec::Aac), 2),
                (Codec::Audio(AudioCodec::Mp3), 3),
            ];
            let found = chosen(container, &tracks(main), &alternatives).map_err(|refused| refused.to_string());
            assert_eq!(found, expected.map(<[usize]>::to_vec).map_err(str::to_owned), "{container} of {main:?}");
        }
        use CodecParameters::{Jpeg, Vp8};
        let opus = || CodecParameters::Opus(opus::Parameters::simple(2));
        check(Container::Webm, &[Vp8, opus()], Ok(&[0]));
        check(Container::Ts, &[Vp8, opus()], Ok(&[1, 0]));
        check(Container::Flv, &[Jpeg], Ok(&[1]));
        check(Container::Mp4, &[Jpeg], Ok(&[0]));
        check(Container::Aac, &[Vp8, opus()], Ok(&[2]));
        check(Container::Mp3, &[Vp8, opus()], Ok(&[3]));
        check(Container::Ogg, &[Vp8, opus()], Ok(&[0]));
        check(Container::Ogg, &[Vp8], Err("ogg cannot carry VP8"));
        check(Container::Ogg, &[opus()], Ok(&[0]));
        check(Container::Wav, &[Vp8, opus()], Err("wav cannot carry Opus"));
        check(Container::Mjpeg, &[opus()], Err("mjpeg cannot carry Opus"));
        check(Container::Mjpeg, &[opus(), Jpeg], Ok(&[0]));
    }
}
