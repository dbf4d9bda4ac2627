//! Makes sequences of frames: each sample is a packet of its own, with which a reader may begin.

use super::wav_header;
use crate::media::{
    Container, Kind, Packet, PacketBuf, TrackId, TrackInfo,
    codec::{CodecParameters, adts::Framer, pcm},
    flac::Numbering,
    multipart,
    mux::{HeaderChange, Muxed},
    sample::Sample,
};
use bytes::Bytes;
use std::time::Duration;

/// Makes ADTS, MP3, FLAC, WAV or multipart JPEG of one track.
///
/// None of them has times, so that whatever the source does, frames just follow each other. Frames of FLAC have numbers: they begin
/// anywhere for late joiners, and continue where the encoder begins again.
#[derive(Debug)]
pub struct Muxer {
    container: Container,
    track: Option<(TrackId, Form)>,
    header: Option<Bytes>,
    /// See [`Muxer::set_epoch`].
    epoch: Option<Duration>,
    /// Of frames of FLAC.
    numbering: Numbering,
}

/// What a sample becomes.
#[derive(Debug)]
enum Form {
    /// A frame after a header.
    Adts(Framer),
    /// What it is.
    Bare,
    /// A frame whose number may have to be another one.
    Flac,
    /// Whole blocks of so many bytes, of which each two change places.
    Pcm { block: usize, is_swapped: bool },
    /// A part of a multipart.
    Part,
}

impl Muxer {
    /// A sequence of frames of this container; `None` if it is another kind of container.
    pub fn new(container: Container) -> Option<Self> {
        use Container::{Aac, Avi, Flac, Flv, Mjpeg, Mkv, Mp3, Mp4, Ogg, Raw, Rtp, Ts, Wav, WebRtc, Webm};
        match container {
            Aac | Mp3 | Flac | Wav | Mjpeg => {
                Some(Self { container, track: None, header: None, epoch: None, numbering: Numbering::default() })
            }
            Ts | Webm | Mkv | Ogg | Flv | Mp4 | Avi | WebRtc | Raw | Rtp => None,
        }
    }

    /// Whether a track of this codec can be carried: AAC that ADTS has words for, all layers of MPEG audio, FLAC, PCM and G.711,
    /// JPEG.
    pub fn carries(container: Container, codec: &CodecParameters) -> bool {
        match (container, codec) {
            (Container::Aac, CodecParameters::Aac(parameters)) => Framer::new(parameters).is_ok(),
            (Container::Flac, CodecParameters::Flac(parameters)) => parameters.parse().is_some(),
            (Container::Mp3, CodecParameters::MpegAudio(_))
            | (Container::Wav, CodecParameters::Pcm(_))
            | (Container::Mjpeg, CodecParameters::Jpeg) => true,
            _ => false,
        }
    }

    /// The time since 1970 at which the clock of [`Sample::captured`] was 0. JPEG parts carry their capture time if it is
    /// known. It follows the clock on the wall if it is set again from time to time.
    pub fn set_epoch(&mut self, epoch: Option<Duration>) {
        self.epoch = epoch;
    }

    /// The track from now on: the first of these that can be carried. Readers of FLAC and WAV end when their header changes;
    /// the frames of the others say what they are.
    pub fn set_tracks(&mut self, tracks: &[TrackInfo], out: &mut Vec<Muxed>) {
        let chosen = tracks.iter().find_map(|track| Some((track.id, self.form(track)?)));
        let Some((track, (form, header))) = chosen else {
            self.track = None;
            return;
        };
        self.track = Some((track, form));
        if header.is_empty() || self.header.as_ref() == Some(&header) {
            return;
        }
        let readers = if self.header.is_none() { HeaderChange::None } else { HeaderChange::End };
        self.header = Some(header.clone());
        out.push(Muxed::Header { bytes: header, readers });
    }

    /// The next sample. It is ignored if it is of another track, or cannot be said in this container.
    pub fn push(&mut self, sample: &Sample, out: &mut Vec<Muxed>) {
        let Some((track, form)) = &self.track else { return };
        if *track != sample.track || sample.data.is_empty() {
            return;
        }
        let data = &sample.data;
        let mut packet = match form {
            Form::Bare => Packet::framed(Kind::Keyframe, &[], data, &[]),
            Form::Flac => Packet::framed(Kind::Keyframe, &[], &self.numbering.numbered(data), &[]),
            Form::Adts(framer) => {
                let Some(header) = framer.header(data.len()) else { return };
                Packet::framed(Kind::Keyframe, &[&header], data, &[])
            }
            Form::Pcm { block, is_swapped } => {
                let mut payload = PacketBuf::with_capacity(data.len());
                payload.extend_from_slice(data.get(..data.len() - data.len() % block).unwrap_or_default());
                if *is_swapped {
                    payload.payload_mut().as_chunks_mut::<2>().0.iter_mut().for_each(|two| two.reverse());
                }
                if payload.is_empty() {
                    return;
                }
                payload.finish(Kind::Keyframe)
            }
            Form::Part => {
                let captured = self.epoch.zip(sample.captured).and_then(|(epoch, at)| epoch.checked_add(at));
                multipart::part(Kind::Keyframe, data, captured)
            }
        };
        packet.captured = sample.captured;
        packet.entered = sample.entered;
        packet.discontinuity = sample.discontinuity;
        out.push(Muxed::Packet(packet));
    }

    /// What samples of a track become, and the header, which is empty if there is none; `None` if it is not carried.
    fn form(&self, track: &TrackInfo) -> Option<(Form, Bytes)> {
        Some(match (self.container, &track.codec) {
            (Container::Aac, CodecParameters::Aac(parameters)) => {
                (Form::Adts(Framer::new(parameters).ok()?), Bytes::new())
            }
            (Container::Mp3, CodecParameters::MpegAudio(_)) => (Form::Bare, Bytes::new()),
            (Container::Flac, CodecParameters::Flac(parameters)) => {
                // The only block of metadata (RFC 9639, section 8.1).
                let header = [&b"fLaC\x80\x00\x00\x22"[..], &parameters.endless()?].concat();
                (Form::Flac, header.into())
            }
            (Container::Wav, CodecParameters::Pcm(format)) => {
                let shape = *track.audio()?;
                let block = usize::from(wav_header::block(*format, shape)?);
                let form = Form::Pcm { block, is_swapped: *format == pcm::Format::S16Be };
                (form, wav_header::header(*format, shape)?.into())
            }
            // The opening goes to every reader, also to those who want no header: it is sent with the container's name.
            (Container::Mjpeg, CodecParameters::Jpeg) => (Form::Part, Bytes::new()),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests;
