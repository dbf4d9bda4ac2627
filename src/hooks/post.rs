//! A delivery by HTTP, with the headers of Standard Webhooks.

use super::{delivery::Delivery, retry::Failure, signature::signatures};
use crate::{access::Secret, net::HttpClient, telemetry::chain};
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use std::time::{Duration, SystemTime};

/// Time for a delivery.
const WITHIN: Duration = Duration::from_secs(10);
/// What is read of an answer in bytes: receivers may want to have it read.
const ANSWER: usize = 64 << 10;

/// Posts the event.
///
/// # Errors
/// What to do, and why: there is no answer in time, or it is no success.
pub(super) async fn post(
    client: &HttpClient,
    url: &Secret,
    secrets: &[Secret],
    event: &Delivery,
) -> Result<(), (Failure, String)> {
    let again = |reason: String| (Failure::Again(None), reason);
    let timestamp = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let id = event.id.to_string();
    let mut request = Request::post(url.expose())
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::USER_AGENT, concat!("voyandz/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &id)
        .header("webhook-timestamp", timestamp);
    let signed = signatures(secrets, &id, timestamp, event.body.as_bytes());
    if !signed.is_empty() {
        request = request.header("webhook-signature", signed);
    }
    let request = request.body(Full::from(event.body.clone())).map_err(|error| again(error.to_string()))?;
    let sent = tokio::time::timeout(WITHIN, async {
        let mut exchange = client.send(request).await.map_err(|error| again(chain(&error)))?;
        let (status, headers) = (exchange.response.status(), exchange.response.headers());
        let wanted = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let wanted = wanted.map(Duration::from_secs);
        // Whatever it is.
        let _ = Limited::new(exchange.response.body_mut(), ANSWER).collect().await;
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::GONE => Err((Failure::Gone, "410 Gone".to_owned())),
            status => Err((Failure::Again(wanted), format!("the receiver answers {status}"))),
        }
    });
    sent.await.unwrap_or_else(|_| Err(again(format!("no answer within {} s", WITHIN.as_secs()))))
}
