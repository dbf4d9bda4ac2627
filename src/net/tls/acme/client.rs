//! Requests of the library for ACME, made by our client: with limits, and with sentences for what is no answer of an authority.

use crate::net::{ClientError, HttpClient};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use instant_acme::{BodyWrapper, BytesResponse, Error};
use std::{error::Error as StdError, future::Future, pin::Pin, time::Duration};

/// How long a request may take.
const WITHIN: Duration = Duration::from_secs(30);
/// Longest body of a response in bytes: a chain has a few KiB.
const MAX_BODY: usize = 1 << 20;
/// Longest pause that an authority may ask for between two looks at an order, in seconds.
const MAX_PAUSE: u64 = 3600;
/// What errors of an authority are (RFC 8555, section 6.7).
const PROBLEM: &str = "application/problem+json";
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("voyandz/", env!("CARGO_PKG_VERSION"), " instant-acme"));

/// Makes the requests of one order.
pub struct Requests(pub HttpClient);

/// Why a request has no answer of an authority.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error("no response from {host} in {WITHIN:?}")]
    TooSlow { host: String },
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the response of {host} ended early, or has more than 1 MiB")]
    Body {
        host: String,
        #[source]
        error: Box<dyn StdError + Send + Sync>,
    },
    #[error("{host} responds with {status}, and not as an authority of ACME")]
    Status { host: String, status: StatusCode },
}

impl instant_acme::HttpClient for Requests {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            let answered = tokio::time::timeout(WITHIN, ask(&client, request, &host)).await;
            let answered = answered.unwrap_or(Err(RequestError::TooSlow { host }));
            answered.map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

async fn ask(
    client: &HttpClient,
    request: Request<BodyWrapper<Bytes>>,
    host: &str,
) -> Result<BytesResponse, RequestError> {
    let (mut parts, body) = request.into_parts();
    parts.headers.insert(header::USER_AGENT, USER_AGENT);
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let mut exchange = client.send(Request::from_parts(parts, Full::new(body))).await?;
    let of = |error| RequestError::Body { host: host.to_owned(), error };
    let body = Limited::new(exchange.response.body_mut(), MAX_BODY).collect().await.map_err(of)?.to_bytes();
    let (mut parts, _) = exchange.response.into_parts();
    if !is_answer(parts.status, &parts.headers) {
        return Err(RequestError::Status { host: host.to_owned(), status: parts.status });
    }
    bound_pause(&mut parts.headers);
    Ok(BytesResponse { parts, body: Box::new(body) })
}

/// Whether a response is what the library can read: a success, or a problem document.
fn is_answer(status: StatusCode, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    status.is_success() || kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(PROBLEM)
}

/// The library adds the seconds of `Retry-After` to the time as they are.
fn bound_pause(headers: &mut HeaderMap) {
    let pause = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    if pause.is_some_and(|pause| pause > MAX_PAUSE) {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(MAX_PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_proxies_are_no_answers() {
        let check = |status: u16, kind: &'static str, expect: bool| {
            let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(kind))]);
            assert_eq!(is_answer(StatusCode::from_u16(status).unwrap(), &headers), expect, "{status} {kind}");
        };
        check(200, "application/json", true);
        check(201, "", true);
        check(403, "application/problem+json", true);
        check(429, "Application/Problem+JSON; charset=utf-8", true);
        check(502, "text/html", false);
        check(404, "", false);
        check(301, "text/html", false);
    }

    #[test]
    fn pauses_have_a_bound() {
        let check = |value: &'static str, expect: &str| {
            let mut headers = HeaderMap::from_iter([(header::RETRY_AFTER, HeaderValue::from_static(value))]);
            bound_pause(&mut headers);
            assert_eq!(headers[header::RETRY_AFTER], expect);
        };
        check("3", "3");
        check("18446744073709551615", "3600");
        check("Fri, 31 Dec 1999 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:59 GMT");
    }
}
