//! Requests of players for files of playlists. Thousands of players send theirs at the same moment, so these do without the filters that
//! look for all else.

use super::{publish::Carriage, response::Response, router::Router};
use crate::output::hls;
use futures_util::future::{BoxFuture, Either};
use http::{Method, Request};
use hyper::service::Service;
use std::convert::Infallible;

/// Where the API is, whose paths come before those of streams.
const API: &str = "/api/";

/// Responds to requests for files of playlists by `router`, and to all others by `others`.
#[derive(Debug, Clone)]
pub struct PlayersFirst<S> {
    /// Knows the streams.
    pub router: Router,
    /// Takes all other requests.
    pub others: S,
}

impl<S, B> Service<Request<B>> for PlayersFirst<S>
where
    S: Service<Request<B>, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<BoxFuture<'static, Result<Response, Infallible>>, S::Future>;

    fn call(&self, request: Request<B>) -> Self::Future {
        if !is_of_player(&request) {
            return Either::Right(self.others.call(request));
        }
        let (head, _) = request.into_parts();
        let router = self.router.clone();
        Either::Left(Box::pin(async move { Ok(router.respond_to_player(head).await) }))
    }
}

fn is_of_player<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    let is_plain = *request.method() == Method::GET && request.extensions().get::<Carriage>().is_none();
    is_plain && !path.starts_with(API) && hls::is_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_playlists_are_for_players() {
        let is_of_player =
            |method: Method, path: &str| is_of_player(&Request::builder().method(method).uri(path).body(()).unwrap());
        for path in ["/cam/hls/v0.m3u8?s=1", "/a/b/hls/a0-p7.m4s", "/cam/dash/v0-3.m4s", "/cam/dash/time"] {
            assert!(is_of_player(Method::GET, path), "{path}");
            assert!(!is_of_player(Method::PUT, path), "{path}");
        }
        for path in ["/", "/cam.m3u8", "/cam.mpd", "/cam/hls/", "/hls/v0.m3u8", "/cam/hls/x.m4s", "/api/v1/hls/v0.m3u8"]
        {
            assert!(!is_of_player(Method::GET, path), "{path}");
        }
    }
}
