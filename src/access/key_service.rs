//! Keys of JSON Web Tokens from an address: fetched, refreshed, and kept while the address is down. Never under a lock.

use super::{
    gate::Gate,
    jwt::{KeySet, MAX_KEYS_FILE},
    key_pace::Pace,
    policy::KeySource,
    stats::FetchResult,
};
use bytes::Bytes;
use http::{Request, header};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// Interval between two fetches.
const EACH: Duration = Duration::from_secs(3600);
/// The same after one that failed.
const RETRY: Duration = Duration::from_secs(30);
/// Keys serve for so long after the last fetch that succeeded.
const SERVE: Duration = Duration::from_secs(24 * 3600);
/// Time for a fetch.
const WITHIN: Duration = Duration::from_secs(5);

impl Gate {
    /// Fetches keys until `stop`, where the policy names an address for them. To be run as a task.
    pub async fn follow_keys(self, stop: CancellationToken) {
        let mut known: Option<String> = None;
        let (mut fresh, mut next) = (Instant::now(), Instant::now());
        loop {
            let address = self.key_address();
            if address != known {
                (known, fresh, next) = (address, Instant::now(), Instant::now());
            }
            let Some(address) = &known else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.other_address() => continue,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.other_address() => continue,
                () = self.keys_wanted() => {}
                () = tokio::time::sleep(next.saturating_duration_since(Instant::now())) => {}
            }
            self.with_pace(|pace| pace.start(Instant::now()));
            let found = self.fetch_keys(address).await;
            self.with_pace(Pace::end);
            match found {
                Ok(keys) => {
                    (fresh, next) = (Instant::now(), Instant::now() + EACH);
                    self.stats().keys_fetched(FetchResult::Permitted);
                    if self.exchange_keys(address, keys) {
                        tracing::info!(address, "keys of JSON Web Tokens renewed");
                    }
                }
                Err(error) => {
                    next = Instant::now() + RETRY;
                    self.stats().keys_fetched(FetchResult::Failed);
                    if fresh.elapsed() > SERVE && self.exchange_keys(address, KeySet::default()) {
                        tracing::error!(address, error, "keys of JSON Web Tokens are too old: no token is accepted");
                    } else {
                        tracing::warn!(
                            address,
                            error,
                            "keys of JSON Web Tokens not renewed: the previous ones are still used"
                        );
                    }
                }
            }
            self.keys_came();
        }
    }

    async fn fetch_keys(&self, address: &str) -> Result<KeySet, String> {
        let request = Request::get(address)
            .header(header::ACCEPT, "application/jwk-set+json, application/json")
            .header(header::USER_AGENT, concat!("voyandz/", env!("CARGO_PKG_VERSION")));
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        let fetch = self.fetch().ok_or("there is no client for requests")?;
        let fetched = tokio::time::timeout(WITHIN, fetch.send(request, MAX_KEYS_FILE)).await;
        match fetched.map_err(|_| format!("no answer within {} s", WITHIN.as_secs()))?? {
            (200, body) => KeySet::parse(&body).map_err(|error| error.to_string()),
            (status, _) => Err(format!("the address answers {status}")),
        }
    }

    fn key_address(&self) -> Option<String> {
        match &self.policy().policy().jwt.as_ref()?.keys {
            KeySource::Address(address) => Some(address.clone()),
            KeySource::File(_) => None,
        }
    }
}
