//! The response to a request that publishes: its body, or what follows it, is media, and ends with the publisher.

use super::{
    authorize::{agent, refused, rejected},
    cors::is_cross_origin,
    intake::{Ended, receive},
    response::{Response, text, unavailable},
    station,
    take_once::TakeOnce,
    websocket::{self, Upgrade},
};
use crate::{
    access::{Gate, Peer, Rejection},
    config::PublishProtocol,
    output::publish::{
        feeder::Feeder,
        find::{ClaimError, ClaimFault, Target},
        permit::{Credentials, Denied},
    },
    source::publisher::PublisherInfo,
};
use bytes::Buf;
use futures_util::Stream;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// Longest name of a program that is kept.
const AGENT: usize = 64;
/// The method of source clients of icecast.
pub const SOURCE: &str = "SOURCE";

/// How media comes where it is not the body of a request as hyper reads it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carriage {
    /// It is all that follows the head, up to the end of the connection.
    Rest,
    /// It is in the messages of a WebSocket.
    Messages,
}

/// A request for what is published to.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// Its query, without the `?`.
    pub query: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Who sends it.
    pub peer: &'a Peer,
}

/// Why a request must not publish.
#[derive(Debug, thiserror::Error)]
enum NotPublished {
    #[error(transparent)]
    Denied(#[from] Denied),
    #[error("pages of other origins cannot publish with your login")]
    CrossOrigin,
    #[error(transparent)]
    Unclaimed(#[from] ClaimError),
}

/// Whether a method publishes its body. `SOURCE` is that of clients of icecast.
pub fn is_publishing(method: &Method) -> bool {
    matches!(*method, Method::PUT | Method::POST) || method.as_str() == SOURCE
}

/// Takes the body of a request as media for what is published to.
pub async fn respond(
    target: Target,
    gate: &Gate,
    request: Request<'_>,
    body: impl Stream<Item = Result<impl Buf, impl Sized>> + Send,
) -> Response {
    match admit(target, gate, request).await {
        Ok(feeder) => response(receive(feeder, body).await),
        Err(error) => refusal(gate, error),
    }
}

/// Takes what follows the request as media: the response has what takes it, or refuses.
pub async fn begin(target: Target, gate: &Gate, request: Request<'_>, carriage: Carriage) -> Response {
    let admitted = admit(target, gate, request).await;
    match (carriage, admitted) {
        (Carriage::Rest, Ok(feeder)) => {
            let mut response = text(StatusCode::OK, "");
            response.extensions_mut().insert(TakeOnce::new(feeder));
            response
        }
        (Carriage::Rest, Err(error)) => refusal(gate, error),
        // Scripts see why it is refused only once the WebSocket is open.
        (Carriage::Messages, admitted) => {
            let admitted = admitted.map_err(|error| {
                let sentence = error.to_string();
                Ended { status: refusal(gate, error).status(), sentence }
            });
            let upgrade = match admitted {
                Ok(feeder) => Upgrade::Publisher(Box::new(feeder)),
                Err(ended) => Upgrade::Refused(ended),
            };
            websocket::switch(request.headers, upgrade)
        }
    }
}

/// A publisher that may, in the slot of its feed.
async fn admit(target: Target, gate: &Gate, request: Request<'_>) -> Result<Feeder, NotPublished> {
    let Request { query, headers, peer } = request;
    let values = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let asking = peer.asking("http", query, agent(headers));
    let permit = target.permit(gate, Credentials::read(query, values), asking).await?;
    // Browsers add the credentials of the user to the request of any page.
    if permit.is_ambient && is_cross_origin(headers) {
        return Err(NotPublished::CrossOrigin);
    }
    let agent = agent(headers).map(|agent| agent.chars().take(AGENT).collect());
    let info = PublisherInfo { protocol: PublishProtocol::Http, peer: peer.address, user: permit.user.clone(), agent };
    let publisher = target.claim(info).await?;
    if let Some(station) = station::station_of(headers) {
        publisher.set_station(station);
    }
    Ok(Feeder::new(publisher, permit))
}

fn refusal(gate: &Gate, error: NotPublished) -> Response {
    closing(match error {
        NotPublished::Denied(denied) => denial(gate, denied),
        NotPublished::CrossOrigin => text(StatusCode::FORBIDDEN, &error.to_string()),
        NotPublished::Unclaimed(error) => unclaimed(&error),
    })
}

/// The response to a publisher that has ended. The rest of its body is not read.
fn response(Ended { status, sentence }: Ended) -> Response {
    match status {
        StatusCode::OK => text(status, &sentence),
        StatusCode::SERVICE_UNAVAILABLE => closing(unavailable(&sentence)),
        _ => closing(text(status, &sentence)),
    }
}

/// The response to who cannot have what it may publish to.
pub fn unclaimed(error: &ClaimError) -> Response {
    match error.fault() {
        ClaimFault::Conflict => text(StatusCode::CONFLICT, &error.to_string()),
        ClaimFault::Forbidden => text(StatusCode::FORBIDDEN, &error.to_string()),
        ClaimFault::Unavailable => unavailable(&error.to_string()),
    }
}

/// The response to who must not publish.
pub fn denial(gate: &Gate, denied: Denied) -> Response {
    match denied {
        Denied::Credential(rejection @ Rejection::TooMany { .. }) => rejected(gate, rejection),
        Denied::Refused(why) => refused(gate, why),
        Denied::Credential(_) | Denied::NeedsCredential => {
            let mut response = text(StatusCode::UNAUTHORIZED, &denied.to_string());
            let challenge = HeaderValue::from_static("Basic realm=\"voyandz\", charset=\"UTF-8\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            response
        }
    }
}

/// The rest of the body is not read.
fn closing(mut response: Response) -> Response {
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}
