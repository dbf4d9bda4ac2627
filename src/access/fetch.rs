//! Requests to services that the access control asks. They are made by others, who have the client.

use bytes::Bytes;
use http::Request;
use std::{fmt, future::Future, pin::Pin, sync::Arc};

/// The status and the body of a response, or why there is none.
pub type Fetched = Result<(u16, Bytes), String>;

type Fetching = Pin<Box<dyn Future<Output = Fetched> + Send>>;

/// Makes requests, of which at most `limit` bytes of the response are read. Clones are the same.
#[derive(Clone)]
pub struct Fetch(Arc<dyn Fn(Request<Bytes>, usize) -> Fetching + Send + Sync>);

impl Fetch {
    /// By this function.
    pub fn new<F>(fetch: impl Fn(Request<Bytes>, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Fetched> + Send + 'static,
    {
        Self(Arc::new(move |request, limit| Box::pin(fetch(request, limit))))
    }

    /// Makes a request. Cancel-safe.
    ///
    /// # Errors
    /// Why there is no response.
    pub async fn send(&self, request: Request<Bytes>, limit: usize) -> Fetched {
        (self.0)(request, limit).await
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fetch")
    }
}
