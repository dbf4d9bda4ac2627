//! WHIP (RFC 9725): a POST of an offer to `/<feed>/whip` makes a session that publishes to the feed.

use super::{
    announce::announced,
    exchange::{
        Asked, Problem, accepted, delete, described, endpoint, has_type, made, not_allowed, patch, permit_offer, place,
        precedes_offer, read, secrets, set_accepted, set_ice_servers,
    },
    ingest::Ingest,
    listener::WebRtc,
    member::Member,
    sdp::Offer,
    session::{Identity, Session},
};
use crate::{
    access::Gate,
    config::PublishProtocol,
    media::MediaKind,
    output::{
        http::{
            authorize::agent,
            cors,
            publish::denial,
            response::{Response, set_common_headers, text},
        },
        publish::{
            find::{ClaimFault, Target},
            permit::{Credentials, Permit},
        },
    },
    source::publisher::{PublishError, PublishSlot, Publisher, PublisherInfo},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, Method, StatusCode, header};
use std::time::Instant;
use str0m::Candidate;

/// Longest name of a program that is kept, with the way of its media.
const AGENT: usize = 256;

/// The path of the feed and the name of the session in a percent-decoded path, if it is one of WHIP.
pub fn endpoint_of(path: &str) -> Option<(&str, Option<&str>)> {
    if let Some(feed) = path.strip_suffix("/whip") {
        return Some((feed, None));
    }
    let (endpoint, session) = path.rsplit_once('/')?;
    Some((endpoint.strip_suffix("/whip")?, Some(session)))
}

/// Responds to a request for the endpoint of a feed, or a session of it. `layers`: those of the feed. `is_loop`: what the client publishes is made of this
/// feed.
pub async fn respond<B, E>(
    webrtc: &WebRtc,
    gate: &Gate,
    (target, layers, is_loop): (Target, Vec<(String, PublishSlot)>, bool),
    session: Option<&str>,
    asked: Asked<'_>,
    body: B,
) -> Response
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    let mut response = match *asked.method {
        Method::OPTIONS => preflight(webrtc, asked),
        Method::GET | Method::HEAD => endpoint(asked.method),
        _ => match permitted(gate, &target, asked).await {
            Ok(permit) => {
                let owner = format!("whip/{}", target.feed());
                let responded = match (asked.method, session) {
                    (&Method::POST, None) if is_loop => Err(looped(&target)),
                    (&Method::POST, None) => publish(webrtc, (target, layers), permit, &owner, asked, body).await,
                    (&Method::PATCH, Some(session)) => patch(webrtc, &owner, session, asked, body).await,
                    (&Method::DELETE, Some(session)) => delete(webrtc, &owner, session),
                    _ => Ok(not_allowed(session.is_some())),
                };
                responded.unwrap_or_else(Problem::response)
            }
            Err(refusal) => *refusal,
        },
    };
    set_common_headers(response.headers_mut());
    cors::allow_any_origin(response.headers_mut());
    response
}

fn looped(target: &Target) -> Problem {
    Problem::new(StatusCode::LOOP_DETECTED, &format!("the feed `{}` would be made of itself", target.feed()))
}

fn preflight(webrtc: &WebRtc, asked: Asked<'_>) -> Response {
    let mut response = text(StatusCode::NO_CONTENT, "");
    cors::permit(asked.headers, &super::exchange::ALLOWED, response.headers_mut());
    response.headers_mut().insert(header::ALLOW, super::exchange::ALLOWED);
    set_accepted(response.headers_mut());
    if precedes_offer(asked.headers) {
        set_ice_servers(webrtc, response.headers_mut());
    }
    response
}

async fn permitted(gate: &Gate, target: &Target, asked: Asked<'_>) -> Result<Permit, Box<Response>> {
    let values = asked.headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let permit = target
        .permit(
            gate,
            Credentials::read(asked.query, values),
            asked.peer.asking("webrtc", asked.query, agent(asked.headers)),
        )
        .await;
    let permit = permit.map_err(|denied| Box::new(denial(gate, denied)))?;
    // Browsers add the credentials of the user to the request of any page.
    if permit.is_ambient && cors::is_cross_origin(asked.headers) {
        let sentence = "pages of other origins cannot publish with your login";
        return Err(Box::new(text(StatusCode::FORBIDDEN, sentence)));
    }
    Ok(permit)
}

async fn publish<B, E>(
    webrtc: &WebRtc,
    (target, layers): (Target, Vec<(String, PublishSlot)>),
    permit: Permit,
    owner: &str,
    asked: Asked<'_>,
    body: B,
) -> Result<Response, Problem>
where
    B: Stream<Item = Result<Bytes, E>> + Send,
{
    permit_offer(webrtc, asked)?;
    has_type(asked.headers, "application/sdp")?;
    let offer = read(body).await?;
    let parsed = Offer::parse(&offer).map_err(|error| Problem::new(StatusCode::BAD_REQUEST, &error.to_string()))?;
    let media = announced(&parsed);
    let media = media.map_err(|refusal| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, &refusal.to_string()))?;
    let place = place(webrtc, asked)?;
    let agent = agent(asked.headers).map(|agent| agent.chars().take(AGENT).collect());
    let feed = target.feed().to_string();
    let info =
        PublisherInfo { protocol: PublishProtocol::Webrtc, peer: asked.peer.address, user: permit.user.clone(), agent };
    let publisher = target.claim(info.clone()).await.map_err(|error| match error.fault() {
        ClaimFault::Conflict => Problem::new(StatusCode::CONFLICT, &error.to_string()),
        ClaimFault::Forbidden => Problem::new(StatusCode::FORBIDDEN, &error.to_string()),
        ClaimFault::Unavailable => Problem::unavailable(&error.to_string()),
    })?;
    let offered = media.iter().any(|one| !one.layers.is_empty());
    let layers = if offered { layers } else { Vec::new() };
    let (names, slots): (Vec<_>, Vec<_>) = layers.into_iter().unzip();
    let publishers = claim_layers(&slots, &info).map_err(|error| Problem::unavailable(&error.to_string()))?;
    let [name, own, password] = secrets().ok_or_else(|| Problem::unavailable("the system has no random numbers"))?;
    let has = |kind| media.iter().any(|one| one.kind == kind);
    let announced = (has(MediaKind::Video), has(MediaKind::Audio));
    let (work, ufrag) = (offer.clone(), own.clone());
    let work = move |identity: &Identity, candidates: &[Candidate]| {
        Session::accept_publisher(&work, (&media, &names), identity, (&ufrag, &password), candidates, Instant::now())
    };
    let (session, answer) = accepted(webrtc, work).await?;
    let number = webrtc.emptiest();
    let shard = webrtc.shard(number).ok_or_else(|| Problem::unavailable("there is no thread for it"))?;
    let who = described(&feed, asked.peer.address, permit.user.clone());
    let mut ingest = Ingest::new(session, (publisher, publishers, permit), announced, Instant::now());
    let theirs = parsed.ufrag.unwrap_or_default();
    let id = webrtc.directory().add(name.clone(), owner.into(), number, offer, [theirs, own.clone()], place);
    webrtc.bridge(&mut ingest.session, (shard.clone(), id), who);
    shard.adopt(id, Member::Publisher(Box::new(ingest)));
    Ok(made(webrtc, asked, &name, &own, answer))
}

fn claim_layers(slots: &[PublishSlot], info: &PublisherInfo) -> Result<Vec<Publisher>, PublishError> {
    slots.iter().map(|slot| slot.claim_layer(info.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_below_their_feeds() {
        assert_eq!(endpoint_of("/studio/whip"), Some(("/studio", None)));
        assert_eq!(endpoint_of("/a/b/whip/0123"), Some(("/a/b", Some("0123"))));
        assert_eq!(endpoint_of("/studio/whep"), None);
        assert_eq!(endpoint_of("/studio"), None);
    }
}
