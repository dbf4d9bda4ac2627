//! An endpoint of WHIP over HTTP (RFC 9725): takes an offer, answers it, and ends what it has made.

use super::error::PushError;
use crate::{
    access::Secret,
    link::server::LinkError,
    net::{HttpClient, tls::client::TlsConnectError},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header, uri::Scheme};
use http_body_util::{BodyExt as _, Full, Limited};
use std::{path::Path, time::Duration};
use tokio::{runtime::Handle, time::timeout};

/// The type of offers and answers.
const SDP: &str = "application/sdp";
/// Most bytes of an answer.
const MOST: usize = 64 << 10;
/// How often an endpoint may name another one in its place.
const REDIRECTS: usize = 3;
/// Most characters of a reason that are shown.
const REASON: usize = 200;
/// How long the last words may take.
const DELETE_WITHIN: Duration = Duration::from_secs(1);

/// Makes the requests of one connection.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: HttpClient,
    token: Option<Secret>,
    agent: String,
    /// What the endpoint has made for us.
    resource: Option<Uri>,
}

impl Endpoint {
    /// Trusts the authorities in a file, or those of the system. Reads the file: blocks for milliseconds.
    pub(super) fn new(ca: Option<&Path>, token: Option<Secret>, agent: String) -> Result<Self, PushError> {
        let client = tokio::task::block_in_place(|| HttpClient::new(ca));
        let client = client.map_err(TlsConnectError::Trust).map_err(LinkError::Tls)?;
        Ok(Self { client, token, agent, resource: None })
    }

    /// Sends the offer to this address. Returns the answer. Cancel-safe, but for what the endpoint has made then.
    pub(super) async fn offer(&mut self, to: &str, offer: &str) -> Result<String, PushError> {
        let mut to: Uri = to.parse().map_err(|_| refused("its address is none of HTTP"))?;
        for _ in 0..=REDIRECTS {
            let request = self.request(Method::POST, &to, offer)?;
            let mut exchange = self.client.send(request).await?;
            let (status, headers) = (exchange.response.status(), exchange.response.headers().clone());
            let body = Limited::new(exchange.response.body_mut(), MOST).collect().await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.and_then(|location| resolved(&to, location));
            match status {
                StatusCode::CREATED => {
                    self.resource = location;
                    return String::from_utf8(body.into()).map_err(|_| refused("its answer is no text"));
                }
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    to = location.ok_or_else(|| refused("it names another address that cannot be used"))?;
                }
                status => return Err(LinkError::Refused(reason(status, &headers, &body)).into()),
            }
        }
        Err(refused("it names another address again and again"))
    }

    /// Ends what the endpoint has made, if it has.
    pub(super) async fn delete(mut self) {
        if let Some(deleting) = self.deleting() {
            deleting.await;
        }
    }

    /// Whether it succeeds does not matter: without media it ends by itself.
    fn deleting(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        let resource = self.resource.take()?;
        let request = self.request(Method::DELETE, &resource, "").ok()?;
        let client = self.client.clone();
        Some(async move {
            let _ = timeout(DELETE_WITHIN, client.send(request)).await;
        })
    }

    fn request(&self, method: Method, to: &Uri, body: &str) -> Result<Request<Full<Bytes>>, PushError> {
        let mut request = Request::builder().method(&method).uri(to).header(header::USER_AGENT, &self.agent);
        if method == Method::POST {
            request = request.header(header::CONTENT_TYPE, SDP).header(header::ACCEPT, SDP);
        }
        if let Some(token) = &self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        request.body(Full::from(body.to_owned())).map_err(|_| refused("its address or our token is none of HTTP"))
    }
}

/// An endpoint that does not know yet that we are gone would refuse another connection.
impl Drop for Endpoint {
    fn drop(&mut self) {
        if let (Some(deleting), Ok(runtime)) = (self.deleting(), Handle::try_current()) {
            // For a second at most.
            runtime.spawn(deleting);
        }
    }
}

fn refused(why: &str) -> PushError {
    LinkError::Refused(why.to_owned()).into()
}

/// What `Location` names; `None` when it is no address of HTTP, or not encrypted where the request was.
fn resolved(base: &Uri, location: &str) -> Option<Uri> {
    let (scheme, authority) = (base.scheme()?, base.authority()?);
    let text = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        // Beside what was asked for (RFC 3986, section 5.2.3).
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let found: Uri = text.parse().ok()?;
    let is_good = match found.scheme() {
        Some(found) if *found == Scheme::HTTPS => true,
        Some(found) => *found == Scheme::HTTP && *scheme == Scheme::HTTP,
        None => false,
    };
    (is_good && found.host().is_some()).then_some(found)
}

/// The status, and what the endpoint says in words: a problem (RFC 9457), something like one, or a line of text.
fn reason(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let words = match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(problem) => {
            let found = ["detail", "title", "error", "message"].into_iter().find_map(|key| problem.get(key)?.as_str());
            found.map(str::to_owned)
        }
        Err(_) if kind.starts_with("text/plain") => String::from_utf8_lossy(body).lines().next().map(str::to_owned),
        Err(_) => None,
    };
    let words: Option<String> = words.map(|words| words.chars().filter(|c| !c.is_control()).take(REASON).collect());
    match words.filter(|words| !words.trim().is_empty()) {
        Some(words) => format!("{status}: {}", words.trim()),
        None => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    #[test]
    fn locations_are_resolved_and_never_less_encrypted() {
        let check = |base: &str, location: &str, expect: Option<&str>| {
            let found = resolved(&base.parse().unwrap(), location);
            assert_eq!(found.map(|uri| uri.to_string()).as_deref(), expect, "{location}");
        };
        let base = "https://a.example:8443/live/whip?key=x";
        check(base, "https://b/s/1", Some("https://b/s/1"));
        check(base, "//b/s/1", Some("https://b/s/1"));
        check(base, "/s/1?t=2", Some("https://a.example:8443/s/1?t=2"));
        check(base, "s/1", Some("https://a.example:8443/live/s/1"));
        check(base, "http://b/s/1", None);
        check("http://a/x", "https://b/", Some("https://b/"));
        check("http://a/x", "ftp://b/", None);
        check("http://a/x", "http://", None);
    }

    #[test]
    fn reasons_are_in_words() {
        let check = |kind: &'static str, body: &str, expect: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(reason(StatusCode::UNAUTHORIZED, &headers, body.as_bytes()), expect);
        };
        check("application/problem+json", "{\"detail\": \"no\\u0007 token\"}", "401 Unauthorized: no token");
        check("application/json", "{\"error\": \"bad key\"}", "401 Unauthorized: bad key");
        check("text/plain; charset=utf-8", " key is wrong\nmore", "401 Unauthorized: key is wrong");
        check("text/html", "<html>", "401 Unauthorized");
        check("application/json", "[1]", "401 Unauthorized");
        check("text/plain", "", "401 Unauthorized");
    }

    proptest! {
        #[test]
        fn foreign_texts_never_panic(location in ".{0,60}", body: Vec<u8>) {
            let base = "http://a/b".parse().unwrap();
            let _ = resolved(&base, &location);
            let text = reason(StatusCode::BAD_REQUEST, &HeaderMap::new(), &body);
            prop_assert!(text.chars().count() < REASON + 40);
        }
    }
}
