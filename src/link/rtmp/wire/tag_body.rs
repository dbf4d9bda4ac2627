//! Media in messages: the bodies of tags of FLV.

use super::{chunk::Message, kind};
use crate::media::flv::tag;
use bytes::{Buf, Bytes};

/// The body of a tag of FLV.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagBody {
    /// [`tag::AUDIO`], [`tag::VIDEO`] or [`tag::SCRIPT`].
    pub kind: u8,
    /// In milliseconds, with wraps.
    pub time: u32,
    /// The body, which is not empty.
    pub body: Bytes,
}

/// Adds the media in a message to `found`.
pub(super) fn tag_bodies(message: &Message, found: &mut Vec<TagBody>) {
    let Message { kind, time, payload, .. } = message;
    let (kind, body) = match *kind {
        kind::AUDIO => (tag::AUDIO, payload.clone()),
        kind::VIDEO => (tag::VIDEO, payload.clone()),
        kind::DATA => (tag::SCRIPT, payload.clone()),
        kind::DATA_AMF3 => (tag::SCRIPT, payload.slice(payload.len().min(1)..)),
        kind::AGGREGATE => return aggregate(*time, payload.clone(), found),
        _ => return,
    };
    if !body.is_empty() {
        found.push(TagBody { kind, time: *time, body });
    }
}

/// Messages in one (Adobe's specification, section 7.1.6): the times count from that of the first one.
fn aggregate(time: u32, mut payload: Bytes, found: &mut Vec<TagBody>) {
    let mut first = None;
    while let Some(&[kind, a, b, c, d, e, f, high, ..]) = payload.first_chunk::<{ tag::FRAME_HEAD }>() {
        let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap_or(usize::MAX);
        payload.advance(tag::FRAME_HEAD);
        if payload.len() < length {
            return;
        }
        let body = payload.split_to(length);
        payload.advance(tag::FRAME_TAIL.min(payload.len()));
        let own = u32::from_be_bytes([high, d, e, f]);
        let time = time.wrapping_add(own.wrapping_sub(*first.get_or_insert(own)));
        if matches!(kind, tag::AUDIO | tag::VIDEO | tag::SCRIPT) && !body.is_empty() {
            found.push(TagBody { kind, time, body });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_taken_apart() {
        let tag = |kind, time, body: &[u8]| [&tag::frame_head(kind, body.len(), time)[..], body, &[0; 4]].concat();
        let payload = [tag(9, 1000, b"one"), tag(8, 1020, b"two"), vec![9, 0, 0, 9]].concat();
        let mut found = Vec::new();
        tag_bodies(&Message { kind: kind::AGGREGATE, stream: 1, time: 50, payload: payload.into() }, &mut found);
        let body = |kind, time, body: &'static [u8]| TagBody { kind, time, body: Bytes::from_static(body) };
        assert_eq!(found, [body(9, 50, b"one"), body(8, 70, b"two")]);
    }
}
