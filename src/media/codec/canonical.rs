//! Brings the samples of any source into the canonical form of their codec, and follows their parameters.
//!
//! One [`Canonicalizer`] takes the whole access units of one track, in order, and gives each of them as it travels through the
//! server. It judges from the bytes whether a decoder may begin with a unit. Parameters are collected, and take effect with the
//! next unit with which a decoder may begin: until the first of these, nothing leaves.

mod access_unit;
mod form;
mod kept;
mod other;
mod parameter_sets;
mod temporal_unit;
mod unit;

pub use form::SourceForm;
pub(super) use parameter_sets::picture_ids;

use super::super::track::Shape;
use super::{CodecParameters, vp9};
use access_unit::{Codec, Separation};
use bytes::Bytes;
use unit::{Found, Unit};

/// Takes the access units of one track.
#[derive(Debug)]
pub struct Canonicalizer {
    track: Track,
    /// What the units and their form say.
    found: Option<Found>,
    /// The same with what the container says besides.
    known: Option<Found>,
    frame_rate: Option<(u32, u32)>,
}

/// An access unit in canonical form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    /// Its bytes.
    pub data: Bytes,
    /// A decoder that has the parameters may begin with it, judged from its bytes.
    pub is_sync: bool,
    /// [`Canonicalizer::parameters`] are others from this unit on, or known for the first time.
    pub parameters_changed: bool,
}

#[derive(Debug)]
enum Track {
    AccessUnits(access_unit::Track),
    TemporalUnits(temporal_unit::Track),
    Other(other::Track),
}

impl Canonicalizer {
    /// For units in this form, before the first one.
    pub fn new(form: SourceForm) -> Self {
        let (track, found) = Track::new(form);
        let mut this = Self { track, found, known: None, frame_rate: None };
        this.complete();
        this
    }

    /// Begins again with units in this form: what was collected is forgotten, [`Canonicalizer::parameters`] stay until others are found.
    pub fn restart(&mut self, form: SourceForm) {
        let (track, found) = Track::new(form);
        self.track = track;
        if found.is_some() {
            self.found = found;
            self.complete();
        }
    }

    /// Frames a second, as the container says. It counts where the codec does not say it.
    pub fn set_frame_rate(&mut self, frame_rate: Option<(u32, u32)>) {
        self.frame_rate = frame_rate;
        self.complete();
    }

    /// Takes the next whole access unit. `None` while nothing can begin (no parameters yet), when nothing is left of it (only
    /// parameter sets, delimiters or messages), and for what is no access unit.
    pub fn push(&mut self, unit: Bytes) -> Option<Canonical> {
        let Unit { data, is_sync, found } = match &mut self.track {
            Track::AccessUnits(track) => track.push(&unit),
            Track::TemporalUnits(track) => track.push(&unit),
            Track::Other(track) => track.push(unit),
        }?;
        let parameters_changed = found.is_some() && found != self.found;
        if parameters_changed {
            self.found = found;
            self.complete();
        }
        self.known.as_ref()?;
        Some(Canonical { data, is_sync, parameters_changed })
    }

    /// Codec and shape, once known: with containers that have them in their header, immediately.
    pub fn parameters(&self) -> Option<(&CodecParameters, Shape)> {
        self.known.as_ref().map(|known| (&known.codec, known.shape))
    }

    fn complete(&mut self) {
        self.known.clone_from(&self.found);
        let Some(Found { codec, shape: Shape::Video(shape) }) = &mut self.known else { return };
        shape.frame_rate = shape.frame_rate.or(self.frame_rate);
        if let CodecParameters::Vp9(parameters) = codec {
            parameters.level = vp9::level(shape.width, shape.height, shape.frame_rate);
        }
    }
}

impl Track {
    /// And what is known already.
    fn new(form: SourceForm) -> (Self, Option<Found>) {
        let access_units = |codec, separation, sets: Vec<Bytes>| {
            let mut track = access_unit::Track::new(codec, separation);
            sets.iter().for_each(|set| track.insert(set));
            let known = track.found();
            (Self::AccessUnits(track), known)
        };
        match form {
            SourceForm::H264AnnexB => access_units(Codec::H264, Separation::StartCodes, Vec::new()),
            SourceForm::H264Lengths(sets, size) => {
                access_units(Codec::H264, Separation::Lengths(size), [sets.sps, sets.pps].concat())
            }
            SourceForm::H265AnnexB => access_units(Codec::H265, Separation::StartCodes, Vec::new()),
            SourceForm::H265Lengths(sets, size) => {
                access_units(Codec::H265, Separation::Lengths(size), [sets.vps, sets.sps, sets.pps].concat())
            }
            SourceForm::Av1ObuStream(parameters) => {
                let mut track = temporal_unit::Track::new(false);
                let known = parameters.and_then(|parameters| track.begin(&parameters));
                (Self::TemporalUnits(track), known)
            }
            SourceForm::Av1StartCodes => (Self::TemporalUnits(temporal_unit::Track::new(true)), None),
            form => {
                let (track, known) = other::Track::new(form);
                (Self::Other(track), known)
            }
        }
    }
}

#[cfg(test)]
mod tests;
