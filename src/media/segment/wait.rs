//! When a request for something that is still being made can be answered.

use super::{cut::Segmenter, rendition::Rendition};

/// How many segments after the one that is being made a client may ask for: audio is one behind, and clocks are not the same.
const SEGMENTS_AHEAD: u64 = 2;

/// What a blocking request for a playlist waits for (RFC 8216bis, section 6.2.5.2).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reload {
    /// `_HLS_msn`.
    pub segment: Option<u64>,
    /// `_HLS_part`, counted within the segment.
    pub part: Option<u64>,
}

/// Whether something can be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Now.
    Ready,
    /// Soon.
    Wait,
    /// Not any more, or it never was.
    Gone,
    /// Too far in the future; the client has another stream in mind, or a wrong clock.
    TooFar,
}

/// Whether a playlist has what the client waits for.
pub fn playlist(stream: &Segmenter, rendition: &Rendition, reload: Reload) -> Decision {
    if rendition.listed().next().is_none() {
        return Decision::Wait;
    }
    if reload == (Reload { segment: None, part: None }) {
        return if stream.is_ready() { Decision::Ready } else { Decision::Wait };
    }
    let Some(segment) = reload.segment else { return Decision::TooFar };
    let newest = rendition.newest();
    let open = newest.map(|newest| newest + 1).or(rendition.open().map(|open| open.number));
    let Some(open) = open.filter(|_| stream.is_ready()) else { return Decision::Wait };
    // The newest one in a playlist may be the one that is being made; two more is what a client may ask for.
    if segment > open + 1 {
        return Decision::TooFar;
    }
    let made = rendition.open().map_or(0, |open| open.parts.len() as u64);
    let is_complete = newest.is_some_and(|newest| segment <= newest);
    match reload.part {
        None if is_complete => Decision::Ready,
        Some(part) if is_complete => {
            let parts = rendition.segment(segment).map_or(0, |segment| segment.parts.len() as u64);
            // A part after the last one is the first one of the next segment.
            match part < parts || segment < open.saturating_sub(1) || made > 0 {
                true => Decision::Ready,
                false => Decision::Wait,
            }
        }
        Some(part) if segment == open && part < made => Decision::Ready,
        Some(part) if segment == open && part > made + parts_ahead(rendition) => Decision::TooFar,
        _ => Decision::Wait,
    }
}

/// How many parts after the next one a client may ask for.
fn parts_ahead(rendition: &Rendition) -> u64 {
    3000u64.div_ceil(rendition.part_target().unwrap_or(1000).clamp(1, 1000))
}

/// Whether a segment is complete. The next ones may be asked for by the clock before they begin.
pub fn segment(rendition: &Rendition, number: u64) -> Decision {
    let open = rendition.open().map(|open| open.number);
    match rendition.segment(number) {
        Some(segment) if segment.is_gap => Decision::Gone,
        Some(_) => Decision::Ready,
        None if open.is_some_and(|open| (open..=open + SEGMENTS_AHEAD).contains(&number)) => Decision::Wait,
        None => Decision::Gone,
    }
}

/// Whether a part is complete.
pub fn part(rendition: &Rendition, number: u64) -> Decision {
    match rendition.part(number) {
        Some(_) => Decision::Ready,
        None if number == rendition.next_part() => Decision::Wait,
        None => Decision::Gone,
    }
}
