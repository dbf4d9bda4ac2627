//! The muxers of all containers, as a closed set.

use super::{
    Container, TrackId, TrackInfo, TrackSet, avi,
    codec::CodecParameters,
    flv, frames, matroska, mp4,
    mux::{Codecs, Muxed, NotCarried},
    ogg, rtp,
    sample::Sample,
    track::MediaKind,
    ts, webrtc,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// The muxer of a container.
#[derive(Debug)]
pub enum Muxer {
    /// Of a transport stream.
    Ts(Box<ts::Muxer>),
    /// Of MP4 in fragments.
    Mp4(Box<mp4::Muxer>),
    /// Of Matroska and WebM.
    Matroska(Box<matroska::Muxer>),
    /// Of FLV.
    Flv(Box<flv::Muxer>),
    /// Of Ogg.
    Ogg(Box<ogg::Muxer>),
    /// Of RTP payloads.
    WebRtc(Box<webrtc::Muxer>),
    /// Of sequences of frames.
    Frames(Box<frames::Muxer>),
    /// Of RTP packets.
    Rtp(Box<rtp::Muxer>),
}

/// What a container is given of one kind of track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selected<T> {
    /// A track of the set.
    Track(TrackId),
    /// What takes the place of tracks that it cannot carry.
    Other(T),
}

impl Muxer {
    /// The muxer of a container; `None` for [`Container::Raw`], of which nothing is known, and [`Container::Avi`], which is for files.
    pub fn new(container: Container) -> Option<Self> {
        Some(match container {
            Container::Ts => Self::Ts(Box::new(ts::Muxer::new())),
            Container::Mp4 => Self::Mp4(Box::new(mp4::Muxer::new())),
            Container::Webm => Self::Matroska(Box::new(matroska::Muxer::new(true))),
            Container::Mkv => Self::Matroska(Box::new(matroska::Muxer::new(false))),
            Container::Flv => Self::Flv(Box::new(flv::Muxer::new())),
            Container::Ogg => Self::Ogg(Box::new(ogg::Muxer::new())),
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav | Container::Mjpeg => {
                Self::Frames(Box::new(frames::Muxer::new(container)?))
            }
            Container::Rtp => Self::Rtp(Box::default()),
            Container::WebRtc => Self::WebRtc(Box::new(webrtc::Muxer::new())),
            Container::Avi | Container::Raw => return None,
        })
    }

    /// The kinds of tracks that a container is for. It ignores others.
    pub const fn kinds(container: Container) -> &'static [MediaKind] {
        match container {
            Container::Ts
            | Container::Mp4
            | Container::Webm
            | Container::Mkv
            | Container::Flv
            | Container::Ogg
            | Container::Avi
            | Container::WebRtc
            | Container::Rtp => &[MediaKind::Video, MediaKind::Audio],
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav => &[MediaKind::Audio],
            Container::Mjpeg => &[MediaKind::Video],
            Container::Raw => &[],
        }
    }

    /// Whether a container can carry a track of this codec.
    pub fn carries(container: Container, codec: &CodecParameters) -> bool {
        match container {
            Container::Ts => ts::Muxer::carries(codec),
            Container::Mp4 => mp4::Muxer::carries(codec),
            Container::Webm => matroska::Muxer::carries(true, codec),
            Container::Mkv => matroska::Muxer::carries(false, codec),
            Container::Flv => flv::Muxer::carries(codec),
            Container::Ogg => ogg::Muxer::carries(codec),
            Container::Mp3 | Container::Aac | Container::Flac | Container::Wav | Container::Mjpeg => {
                frames::Muxer::carries(container, codec)
            }
            Container::Rtp => rtp::Muxer::carries(codec),
            Container::WebRtc => webrtc::Muxer::carries(codec),
            Container::Avi => avi::carries(codec),
            Container::Raw => false,
        }
    }

    /// The tracks of a set that a container takes: of each kind the first one that it can carry, video first.
    ///
    /// # Errors
    /// When there are tracks of a kind that the container is for, but none of them can be carried: no reader gets audio alone
    /// who asked for what has video, except in Ogg. Also when there is nothing that it is for.
    pub fn select(container: Container, tracks: &TrackSet) -> Result<Vec<TrackId>, NotCarried> {
        let selected = Self::select_or(container, tracks, |_| None::<TrackId>)?;
        Ok(selected.into_iter().map(|(Selected::Track(id) | Selected::Other(id))| id).collect())
    }

    /// As [`Muxer::select`]; where none of the tracks of a kind can be carried, `other` names what takes their place.
    ///
    /// # Errors
    /// As [`Muxer::select`].
    pub fn select_or<T>(
        container: Container,
        tracks: &TrackSet,
        other: impl Fn(MediaKind) -> Option<T>,
    ) -> Result<Vec<Selected<T>>, NotCarried> {
        let mut selected = Vec::new();
        for kind in Self::kinds(container) {
            let of_kind = || tracks.tracks().iter().filter(|track| track.kind() == *kind);
            if of_kind().next().is_none() {
                continue;
            }
            let carried = of_kind().find(|track| Self::carries(container, &track.codec));
            match carried.map(|track| Selected::Track(track.id)).or_else(|| other(*kind).map(Selected::Other)) {
                Some(found) => selected.push(found),
                None if Self::may_lack(container, *kind, tracks) => {}
                None => {
                    let codecs: Vec<_> = of_kind().cloned().collect();
                    return Err(NotCarried { container, codecs: Codecs::of(&codecs) });
                }
            }
        }
        match selected.is_empty() {
            true => Err(NotCarried { container, codecs: Codecs::of(tracks.tracks()) }),
            false => Ok(selected),
        }
    }

    /// Whether a container does without the tracks of a kind that it cannot carry: Ogg is usually asked for its audio, since the only
    /// video codec that players know in it is Theora. A browser gets the video of a stream whose audio it cannot have.
    fn may_lack(container: Container, kind: MediaKind, tracks: &TrackSet) -> bool {
        let has_audio = || tracks.tracks().iter().any(|track| track.kind() == MediaKind::Audio);
        let has_video = || tracks.tracks().iter().any(|track| track.kind() == MediaKind::Video);
        match (container, kind) {
            (Container::Ogg, MediaKind::Video) => has_audio(),
            (Container::WebRtc, MediaKind::Audio) => has_video(),
            _ => false,
        }
    }

    /// The tracks from now on, which [`Muxer::select`] chose. May be called again at any time.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        match self {
            Self::Ts(muxer) => muxer.set_tracks(tracks, out),
            Self::Mp4(muxer) => muxer.set_tracks(tracks, out),
            Self::Matroska(muxer) => muxer.set_tracks(tracks, out),
            Self::Flv(muxer) => muxer.set_tracks(tracks, out),
            Self::Ogg(muxer) => muxer.set_tracks(tracks, out),
            Self::WebRtc(muxer) => muxer.set_tracks(tracks, out),
            Self::Frames(muxer) => muxer.set_tracks(tracks, out),
            Self::Rtp(muxer) => muxer.set_tracks(tracks, out),
        }
    }

    /// The next sample, which came `now`. It is ignored if its track is unknown.
    pub fn push(&mut self, sample: &Sample, now: Instant, out: &mut Vec<Muxed>) {
        match self {
            Self::Ts(muxer) => muxer.push(sample, out),
            Self::Mp4(muxer) => muxer.push(sample, now, out),
            Self::Matroska(muxer) => muxer.push(sample, out),
            Self::Flv(muxer) => muxer.push(sample, out),
            Self::Ogg(muxer) => muxer.push(sample, out),
            Self::WebRtc(muxer) => muxer.push(sample, out),
            Self::Frames(muxer) => muxer.push(sample, out),
            Self::Rtp(muxer) => muxer.push(sample, out),
        }
    }

    /// What goes before the next packet for a reader that lost data; empty where the container needs nothing.
    pub fn skip_notice(&self) -> Bytes {
        match self {
            Self::Ts(muxer) => muxer.skip_notice(),
            _ => Bytes::new(),
        }
    }

    /// The time since 1970 at which the clock of [`Sample::captured`] was 0, for containers that carry when a frame was
    /// captured. See [`frames::Muxer::set_epoch`].
    pub fn set_epoch(&mut self, epoch: Option<Duration>) {
        match self {
            Self::Frames(muxer) => muxer.set_epoch(epoch),
            Self::Rtp(muxer) => muxer.set_epoch(epoch),
            Self::Ts(_) | Self::Mp4(_) | Self::Matroska(_) | Self::Flv(_) | Self::Ogg(_) | Self::WebRtc(_) => {}
        }
    }
}

#[cfg(test)]
mod cost;
#[cfg(test)]
mod decoded;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{
        Time,
        codec::{aac, mpeg_audio, opus, pcm},
        testing,
    };
    use bytes::Bytes;

    fn aac() -> CodecParameters {
        CodecParameters::Aac(aac::Parameters { config: Bytes::from_static(&[0x11, 0x90]) })
    }

    fn opus() -> CodecParameters {
        CodecParameters::Opus(opus::Parameters::simple(2))
    }

    fn mp3() -> CodecParameters {
        CodecParameters::MpegAudio(mpeg_audio::Parameters { layer: 3, is_low_rate: false })
    }

    #[test]
    fn the_first_track_of_each_kind_that_fits_is_taken() {
        #[track_caller]
        fn check(container: Container, codecs: &[CodecParameters], expected: Result<&[u8], &str>) {
            let found = Muxer::select(container, &testing::tracks(codecs)).map_err(|refused| refused.to_string());
            let expected = expected.map(|ids| ids.iter().copied().map(TrackId).collect()).map_err(str::to_owned);
            assert_eq!(found, expected);
        }
        use CodecParameters::{Jpeg, Mpeg2Video, Vp8};
        check(Container::Webm, &[opus(), Vp8], Ok(&[1, 0]));
        check(Container::Webm, &[Vp8, aac(), opus(), opus()], Ok(&[0, 2]));
        check(Container::Webm, &[Vp8], Ok(&[0]));
        check(Container::Webm, &[opus()], Ok(&[0]));
        check(Container::Webm, &[Vp8, aac(), mp3()], Err("webm cannot carry AAC, MP3"));
        check(Container::Webm, &[Mpeg2Video, opus()], Err("webm cannot carry MPEG-2 video"));
        check(Container::Webm, &[], Err("webm cannot carry no tracks"));
        check(Container::Ts, &[Mpeg2Video, aac(), opus()], Ok(&[0, 1]));
        check(Container::Ogg, &[Vp8, opus()], Ok(&[1]));
        check(Container::Ogg, &[Vp8, aac()], Err("ogg cannot carry AAC"));
        check(Container::Ogg, &[Vp8], Err("ogg cannot carry VP8"));
        check(Container::Ogg, &[opus(), opus()], Ok(&[0]));
        check(Container::Aac, &[Mpeg2Video, opus(), aac()], Ok(&[2]));
        check(Container::Aac, &[Mpeg2Video, opus()], Err("aac cannot carry Opus"));
        check(Container::Mp3, &[Mpeg2Video], Err("mp3 cannot carry MPEG-2 video"));
        check(Container::Mjpeg, &[opus(), Jpeg], Ok(&[1]));
        check(Container::Mjpeg, &[opus()], Err("mjpeg cannot carry Opus"));
        check(Container::Raw, &[Jpeg], Err("raw cannot carry JPEG"));
    }

    #[test]
    fn every_container_but_unknown_bytes_has_a_muxer_whose_samples_leave_immediately() {
        for container in Container::ALL {
            let Some(mut muxer) = Muxer::new(container) else {
                assert_eq!(container, Container::Raw);
                continue;
            };
            let pcm = CodecParameters::Pcm(pcm::Format::S16Le);
            let stream_info = include_bytes!("../../tests/data/sound.flac")[8..42].to_vec();
            let flac = CodecParameters::Flac(crate::media::codec::flac::Parameters { stream_info: stream_info.into() });
            let tracks = [aac(), opus(), mp3(), flac, pcm, CodecParameters::Jpeg];
            let tracks = tracks.map(|codec| testing::tracks(&[codec]));
            let chosen = tracks.iter().find(|tracks| Muxer::select(container, tracks).is_ok()).unwrap();
            let mut out = Vec::new();
            muxer.set_tracks(chosen.tracks(), &mut out);
            muxer.set_epoch(Some(Duration::ZERO));
            let begun = out.len();
            let time = Time::from_millis(5000);
            let sample = Sample {
                track: TrackId(0),
                dts: time,
                pts: time,
                duration: None,
                is_sync: true,
                discontinuity: false,
                captured: None,
                entered: None,
                data: Bytes::from_static(&[0xff, 0xfb, 0x90, 0x64, 1, 2, 3, 4]),
            };
            muxer.push(&sample, Instant::now(), &mut out);
            assert!(out[begun..].iter().any(|muxed| matches!(muxed, Muxed::Packet(_))), "{container}");
        }
    }
}
