//! A segment that is sent while it is being made: each part when it is complete, as low-latency players of DASH expect.

use super::{
    changes::Topic,
    feed::{Feed, Sight},
    file::Rendition,
    stream::SegmentedStream,
    viewers::Visit,
    waiting::Place,
};
use crate::media::segment::{Part, Segmenter};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// What the next part is.
enum Next {
    /// Packets of complete parts, and how many parts these are.
    Parts(Vec<Bytes>, usize),
    /// The last ones; nothing follows.
    Last(Vec<Bytes>),
    /// The rest will not come.
    Lost,
}

/// The body of a response.
struct Body {
    feed: Feed,
    rendition: Rendition,
    /// Numbers of the segments of HLS that it is made of.
    numbers: RangeInclusive<u64>,
    /// Parts that were sent.
    sent: usize,
    /// How long a part may take.
    within: Duration,
    is_complete: bool,
    count: Count,
    _place: Place,
}

/// Counts what was sent when the response ends, however it does.
struct Count {
    stream: Arc<SegmentedStream>,
    peer: IpAddr,
    bytes: u64,
}

impl Drop for Count {
    fn drop(&mut self) {
        Visit::media(self.stream.viewers(), self.bytes).count(SocketAddr::new(self.peer, 0));
    }
}

/// The parts of segments as they are completed, which are one together. The body ends with an error, and so the connection, when the segment cannot be
/// completed within `within` after its last part.
pub fn body(
    stream: &Arc<SegmentedStream>,
    rendition: Rendition,
    numbers: RangeInclusive<u64>,
    peer: IpAddr,
    place: Place,
    within: Duration,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let feed = stream.feed(rendition).clone();
    let count = Count { stream: stream.clone(), peer, bytes: 0 };
    let body = Body { feed, rendition, numbers, sent: 0, within, is_complete: false, count, _place: place };
    stream::unfold(Some(body), |body| async move {
        let mut body = body.filter(|body| !body.is_complete)?;
        match body.next().await {
            Some(pieces) => Some((pieces.into_iter().map(Ok).collect::<Vec<_>>(), Some(body))),
            None => Some((vec![Err(io::Error::other("the rest of the segment did not come"))], None)),
        }
    })
    .flat_map(stream::iter)
}

impl Body {
    /// Packets of the next parts; `None` if they do not come.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        let (name, numbers, sent) = (self.rendition.name(), self.numbers.clone(), self.sent);
        let look = |segments: &Segmenter| look(segments, name, &numbers, sent);
        let pieces = match self.feed.wait(Topic::Media(self.rendition.kind()), self.within, look).await? {
            Next::Parts(pieces, parts) => {
                self.sent += parts;
                pieces
            }
            Next::Last(pieces) => {
                self.is_complete = true;
                pieces
            }
            Next::Lost => return None,
        };
        self.count.bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Some(pieces)
    }
}

/// What there is of these segments after so many parts.
fn look(segments: &Segmenter, name: &str, numbers: &RangeInclusive<u64>, sent: usize) -> Sight<Next> {
    let Some(rendition) = segments.rendition(name) else { return Sight::Ready(Next::Lost) };
    let complete = numbers.clone().filter_map(|number| rendition.segment(number));
    let open = rendition.open().filter(|open| numbers.contains(&open.number));
    let parts: Vec<&Part> = complete.chain(open).flat_map(|segment| &segment.parts).collect();
    let rest = || parts.iter().skip(sent).flat_map(|part| part.pieces.iter().cloned()).collect();
    let last = *numbers.end();
    match rendition.open() {
        _ if rendition.segment(last).is_some() => match parts.len() >= sent.max(1) {
            true => Sight::Ready(Next::Last(rest())),
            false => Sight::Ready(Next::Lost),
        },
        Some(open) if open.number <= last => match parts.len() > sent {
            true => Sight::Ready(Next::Parts(rest(), parts.len() - sent)),
            false => Sight::NotYet,
        },
        _ => Sight::Ready(Next::Lost),
    }
}
