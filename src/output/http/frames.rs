//! Raw frames one after the other in one endless body.

use super::{
    disconnect::DisconnectWatch,
    query,
    response::{Response, bad_request, text},
    still_stream::{Framing, refuse_without_video, start},
};
use crate::{
    media::raw_frame,
    still::{cache::Still, sequence::Sequence, take::StreamStills},
};
use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http::{HeaderValue, Method, StatusCode, header};
use http_body::Frame;
use std::{convert::Infallible, sync::Arc};
use tokio_util::sync::CancellationToken;

/// Starts a body of raw frames.
pub fn respond(stills: &Arc<StreamStills>, method: &Method, query: &str) -> Response {
    let asked = query::raw(query).and_then(|rendition| Ok((rendition, query::interval(query)?.unwrap_or_default())));
    let (rendition, interval) = match asked {
        Ok(asked) => asked,
        Err(error) => return bad_request(&error),
    };
    if let Some(refusal) = refuse_without_video(stills.stream()) {
        return refusal;
    }
    let mut response = text(StatusCode::OK, "");
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-voyandz-frames"));
    if method == Method::GET {
        start(&mut response, stills.stream(), Sequence::new(stills, rendition, interval), Framing::Raw);
    }
    response
}

/// The pieces of a body of raw frames, which ends when the client disconnects, or at `stop`.
pub fn body(
    sequence: Sequence,
    disconnect: DisconnectWatch,
    stop: CancellationToken,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let first = Frames { sequence, disconnect, stop, number: 0, data: None };
    stream::unfold(first, |mut frames| async move { Some((Ok(Frame::data(frames.piece().await?)), frames)) })
}

/// The progress of a body of raw frames.
struct Frames {
    sequence: Sequence,
    disconnect: DisconnectWatch,
    stop: CancellationToken,
    number: u64,
    /// The data of the frame whose header was the previous piece.
    data: Option<Bytes>,
}

impl Frames {
    /// A header, or the data after it; `None` at the end.
    async fn piece(&mut self) -> Option<Bytes> {
        if let Some(data) = self.data.take() {
            return Some(data);
        }
        let still: Arc<Still> = tokio::select! {
            () = self.stop.cancelled() => return None,
            () = self.disconnect.wait() => return None,
            // A body can only end; the log of the worker has the reason.
            still = self.sequence.next() => still.ok()?,
        };
        let mut head = BytesMut::from(still.bytes.get(..raw_frame::HEAD)?);
        raw_frame::stamp(&mut head, self.number, still.date, still.taken);
        self.number += 1;
        self.data = Some(still.bytes.slice(raw_frame::HEAD..));
        Some(head.freeze())
    }
}
