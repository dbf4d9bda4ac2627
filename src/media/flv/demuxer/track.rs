//! One track of a stream: its configuration, and its frames in canonical form.

use crate::media::codec::canonical::{Canonicalizer, SourceForm};
use crate::media::codec::{aac, adts, av1, flac, h264, h265, mpeg_audio, opus};
use crate::media::flv::tag::Codec;
use crate::media::sample::Sample;
use crate::media::{Time, TrackId, TrackInfo};
use bytes::Bytes;

/// A composition time further below 0 is no time.
const MAX_EARLY: i64 = 2000;

#[derive(Debug)]
pub(super) struct Track {
    id: TrackId,
    /// Among those of its kind.
    pub(super) number: u8,
    pub(super) codec: Codec,
    /// It has come since the header of the file.
    pub(super) is_present: bool,
    /// `None` while the configuration is awaited that it needs.
    canonicalizer: Option<Canonicalizer>,
    /// What it was made of.
    config: Bytes,
    /// Frames a second, as the metadata says.
    frame_rate: Option<(u32, u32)>,
    /// It was reported with its parameters, and they are unchanged.
    is_told: bool,
    /// Something before the next sample is missing.
    is_cut: bool,
    /// How far the earliest frame was shown before it was decoded, in milliseconds: publishers who do not know when frames are
    /// decoded write negative composition times.
    early: i64,
}

impl Track {
    pub(super) fn new(id: TrackId, number: u8, codec: Codec) -> Self {
        Self {
            id,
            number,
            codec,
            is_present: true,
            canonicalizer: without_config(codec).map(Canonicalizer::new),
            config: Bytes::new(),
            frame_rate: None,
            is_told: false,
            is_cut: false,
            early: 0,
        }
    }

    /// Whether it had another codec so far.
    pub(super) fn has_other(&self, codec: Codec) -> bool {
        match (self.codec, codec) {
            // Legacy tags of MP3 err about rate and channels.
            (Codec::Mp3(_), Codec::Mp3(_)) => false,
            (before, now) => before != now,
        }
    }

    /// Its tags have this codec from now on.
    pub(super) fn set_codec(&mut self, codec: Codec) {
        self.is_present = true;
        if self.has_other(codec) {
            let frame_rate = self.frame_rate;
            *self = Self { is_cut: self.is_cut, ..Self::new(self.id, self.number, codec) };
            self.set_frame_rate(frame_rate);
        }
    }

    /// Frames a second, as the metadata says. It counts where the codec does not say it.
    pub(super) fn set_frame_rate(&mut self, frame_rate: Option<(u32, u32)>) {
        self.frame_rate = frame_rate;
        if let Some(canonicalizer) = &mut self.canonicalizer {
            canonicalizer.set_frame_rate(frame_rate);
        }
    }

    /// A new header of a file came.
    pub(super) fn restart(&mut self) {
        self.is_present = false;
        self.is_told = false;
        self.cut();
        self.early = 0;
    }

    /// Bytes were lost.
    pub(super) fn cut(&mut self) {
        self.is_cut = true;
    }

    /// What is known of it; `None` while that is not enough for a decoder, or it has not come since the header of the file.
    pub(super) fn info(&self) -> Option<TrackInfo> {
        let (codec, shape) = self.canonicalizer.as_ref().filter(|_| self.is_present)?.parameters()?;
        Some(TrackInfo { id: self.id, codec: codec.clone(), shape })
    }

    /// Whether this is another configuration than the one so far.
    pub(super) fn is_news(&self, config: &Bytes) -> bool {
        self.canonicalizer.is_none() || *config != self.config
    }

    /// The configuration for the frames that follow. One that cannot be read is ignored, as is an empty one, which some
    /// publishers of AAC send first.
    pub(super) fn configure(&mut self, config: Bytes) {
        if self.is_news(&config)
            && let Some(form) = with_config(self.codec, &config)
        {
            self.config = config;
            self.is_told = false;
            self.begin(form);
        }
    }

    /// The sample of a frame, decoded at so many nanoseconds and shown so many milliseconds later, and whether the track was not
    /// reported as it is now. `None` while the configuration is missing, and for what is no frame.
    pub(super) fn frame(&mut self, data: Bytes, decoded: i64, composition: i32) -> Option<(Sample, bool)> {
        let mut data = data;
        if self.codec == Codec::Aac {
            data = self.without_adts(data);
        }
        if self.canonicalizer.is_none() && self.codec == Codec::Opus {
            // Without a configuration, it is mono or stereo, as the packet says (RFC 6716, section 3.1).
            let channels = 1 + (data.first()? >> 2 & 1);
            self.begin(SourceForm::Opus(opus::Parameters::simple(channels)));
        }
        let canonicalizer = self.canonicalizer.as_mut()?;
        let canonical = canonicalizer.push(data)?;
        canonicalizer.parameters()?;
        let is_new = !std::mem::replace(&mut self.is_told, true) || canonical.parameters_changed;
        let composition = i64::from(composition);
        if (-MAX_EARLY..0).contains(&composition) {
            self.early = self.early.max(-composition);
        }
        let dts = Time::from_nanos(decoded.saturating_sub(self.early * 1_000_000));
        let pts = Time::from_nanos(decoded.saturating_add(composition * 1_000_000)).max(dts);
        let sample = Sample {
            track: self.id,
            dts,
            pts,
            duration: None,
            is_sync: canonical.is_sync,
            discontinuity: std::mem::take(&mut self.is_cut),
            captured: None,
            entered: None,
            data: canonical.data,
        };
        Some((sample, is_new))
    }

    fn begin(&mut self, form: SourceForm) {
        let mut canonicalizer = Canonicalizer::new(form);
        canonicalizer.set_frame_rate(self.frame_rate);
        self.canonicalizer = Some(canonicalizer);
    }

    /// A frame of AAC without the ADTS header that some publishers leave there; a frame cannot begin with its first bits.
    fn without_adts(&mut self, mut data: Bytes) -> Bytes {
        let Some(header) = adts::Header::parse(&data).filter(|header| header.length <= data.len()) else { return data };
        let block = data.split_off(header.length);
        if self.canonicalizer.is_none()
            && let Some(parameters) = header.parameters(&block)
        {
            self.begin(SourceForm::AacRaw(parameters));
        }
        block
    }
}

/// The frames in the content of a tag, and how many nanoseconds each begins after the first. There are several of MP3 and of
/// AAC with ADTS headers, if the publisher does not cut them apart.
pub(super) fn frames(codec: Codec, data: Bytes) -> impl Iterator<Item = (Bytes, u64)> {
    let (mut rest, mut at) = (data, 0);
    std::iter::from_fn(move || {
        let (length, samples, rate) = match codec {
            Codec::Mp3(_) => {
                mpeg_audio::Header::parse(&rest).map(|header| (header.frame_length, header.samples, header.rate))
            }
            Codec::Aac => {
                adts::Header::parse(&rest).map(|header| (header.frame_length, header.samples(), header.rate()))
            }
            _ => None,
        }
        .unwrap_or((rest.len(), 0, 1));
        if rest.is_empty() {
            return None;
        }
        let frame = rest.split_to(length.clamp(1, rest.len()));
        let begin = at;
        at += u64::from(samples) * 1_000_000_000 / u64::from(rate.max(1));
        Some((frame, begin))
    })
}

/// The form of a codec whose frames say everything.
fn without_config(codec: Codec) -> Option<SourceForm> {
    Some(match codec {
        Codec::Av1 => SourceForm::Av1ObuStream(None),
        Codec::Vp8 => SourceForm::Vp8,
        Codec::Vp9 => SourceForm::Vp9,
        Codec::Mp3(_) => SourceForm::MpegAudio,
        Codec::Ac3 | Codec::Eac3 => SourceForm::Ac3,
        Codec::Pcm(format, shape) => SourceForm::Pcm(format, shape.rate, shape.channels),
        _ => return None,
    })
}

/// The form of a codec with a configuration; `None` when that cannot be read or is of no use.
fn with_config(codec: Codec, config: &Bytes) -> Option<SourceForm> {
    Some(match codec {
        Codec::H264 => {
            let (parameters, length_size) = h264::Parameters::from_record(config)?;
            SourceForm::H264Lengths(parameters, length_size)
        }
        Codec::H265 => {
            let (parameters, length_size) = h265::Parameters::from_record(config)?;
            SourceForm::H265Lengths(parameters, length_size)
        }
        Codec::Av1 => SourceForm::Av1ObuStream(Some(av1::Parameters::from_record(config)?)),
        Codec::Aac => {
            aac::Config::parse(config)?;
            SourceForm::AacRaw(aac::Parameters { config: config.clone() })
        }
        Codec::Opus if config.starts_with(b"OpusHead") => SourceForm::Opus(opus::Parameters { head: config.clone() }),
        Codec::Flac => SourceForm::Flac(flac::Parameters::from_header(config)?),
        _ => return None,
    })
}
