//! Temporal units of AV1: their delimiter and sequence header are taken out, each OBU gets its size.

use super::kept::Kept;
use super::unit::{Found, Unit};
use crate::media::codec::av1::{self, FrameHeader, SequenceHeader};
use crate::media::codec::obu::{self, Obu, Obus};
use crate::media::codec::{CodecParameters, nal, shape};
use bytes::Bytes;

/// Longest sequence header. It needs some 20 bytes; records of containers have lengths of 16 bits.
const MAX_SEQUENCE_HEADER: usize = 4096;

/// A track of AV1.
#[derive(Debug, Default)]
pub(super) struct Track {
    /// OBUs stand after start codes.
    has_start_codes: bool,
    /// The newest sequence header, if it has not taken effect yet.
    pending: Option<(av1::Parameters, SequenceHeader)>,
    /// The newest sequence header.
    sequence: Option<(av1::Parameters, SequenceHeader)>,
}

/// Of a temporal unit.
#[derive(Debug, Default)]
struct Signs {
    /// The first frame header: shows whether a decoder may begin.
    first_frame: Option<FrameHeader>,
}

impl Track {
    pub(super) fn new(has_start_codes: bool) -> Self {
        Self { has_start_codes, ..Self::default() }
    }

    /// Takes a sequence header that comes beside the stream; what is known then.
    pub(super) fn begin(&mut self, parameters: &av1::Parameters) -> Option<Found> {
        self.take_sequence(&Obus::new(&parameters.sequence_header).next()?);
        self.pending = None;
        self.found()
    }

    pub(super) fn push(&mut self, unit: &Bytes) -> Option<Unit> {
        if self.has_start_codes {
            return self.push_row(&without_start_codes(unit));
        }
        self.push_row(unit)
    }

    /// Takes a temporal unit in the low overhead bitstream format.
    fn push_row(&mut self, unit: &Bytes) -> Option<Unit> {
        let mut kept = Kept::new(unit);
        let mut signs = Signs::default();
        // Only the last one may be without a size.
        let mut last = None;
        for unit in Obus::new(unit) {
            if !self.stays(&unit, &mut signs) {
                continue;
            }
            match unit.has_size() {
                true => kept.push(unit.whole),
                false => last = Some(unit),
            }
        }
        let first_frame = signs.first_frame?;
        let is_sync = self.sequence.is_some() && first_frame.is_key && first_frame.is_shown;
        let found = if is_sync && self.pending.take().is_some() { self.found() } else { None };
        let data = match last {
            None => kept.joined(),
            Some(last) => kept.joined_with(last.max_len(), |out| last.write_with_size(out)),
        };
        Some(Unit { data, is_sync, found })
    }

    /// Looks at an OBU; whether it stays.
    fn stays(&mut self, unit: &Obu<'_>, signs: &mut Signs) -> bool {
        match unit.kind {
            obu::SEQUENCE_HEADER => self.take_sequence(unit),
            obu::FRAME_HEADER | obu::FRAME if signs.first_frame.is_none() => {
                let is_reduced_still = self.sequence.as_ref().is_some_and(|(_, sequence)| sequence.is_reduced_still);
                signs.first_frame = FrameHeader::parse(unit.payload, is_reduced_still);
            }
            _ => {}
        }
        !matches!(unit.kind, obu::SEQUENCE_HEADER | obu::TEMPORAL_DELIMITER | obu::PADDING)
    }

    fn take_sequence(&mut self, unit: &Obu<'_>) {
        if unit.whole.len() > MAX_SEQUENCE_HEADER {
            return;
        }
        let Some(sequence) = SequenceHeader::parse(unit.payload) else { return };
        let parameters = av1::Parameters { sequence_header: unit.with_size().into() };
        if self.sequence.as_ref().is_none_or(|(known, _)| *known != parameters) {
            self.pending = Some((parameters.clone(), sequence));
            self.sequence = Some((parameters, sequence));
        }
    }

    fn found(&self) -> Option<Found> {
        let (parameters, sequence) = self.sequence.as_ref()?;
        let shape = shape::video((sequence.width, sequence.height), (1, 1), sequence.frame_rate)?;
        Some(Found { codec: CodecParameters::Av1(parameters.clone()), shape })
    }
}

/// A temporal unit whose OBUs stand after start codes (Carriage of AV1 in MPEG-2 TS, AOM draft, section 4), in the low overhead
/// bitstream format.
fn without_start_codes(unit: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(unit.len() + 16);
    for escaped in nal::annex_b(unit) {
        let mut bytes = nal::unescaped(escaped, escaped.len());
        restore_zeros(&mut bytes);
        if let Some(unit) = Obus::new(&bytes).next() {
            unit.write_with_size(&mut out);
        }
    }
    out.into()
}

/// Zeros at the end of an OBU look like those of the next start code: its size shows that they are missing.
fn restore_zeros(bytes: &mut Vec<u8>) {
    /// More than this is no end of an OBU.
    const MAX_ZEROS: usize = 16;
    let Some(head) = bytes.first().copied() else { return };
    let header = 1 + usize::from(head & 4 != 0);
    if head & 2 == 0 {
        return;
    }
    let size = bytes.get(header..).and_then(obu::read_leb128);
    let end = match size {
        // A size of 0 is a zero itself.
        None => header + 1,
        Some((size, length)) => (header + length).saturating_add(size),
    };
    if end > bytes.len() && end - bytes.len() <= MAX_ZEROS {
        bytes.resize(end, 0);
    }
}
