//! Requests below `/api/v1`: read, permitted, dispatched by the table, answered.

use super::{
    call::{Api, Call, FORM, media_type},
    pace::Client,
    path,
    problem::{Kind, Problem},
    query::Query,
    route::{self, May},
    table::ROUTES,
};
use crate::{
    access::{Access, Action, Identity, Peer},
    output::http::{
        authorize::{Granted, Need, authorize},
        cors::is_cross_origin,
        disconnect::DisconnectWatch,
        response::set_common_headers,
        site::Site,
    },
    telemetry::Trace,
};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use std::{pin::pin, time::Duration};
use warp::{Filter, Rejection, filters::path::FullPath, reply::Response};

/// Longest body in bytes.
const MAX_BODY: usize = 1 << 20;
/// How long a client may take to send it.
const BODY_WITHIN: Duration = Duration::from_secs(10);
/// Below this is all of the API.
const ROOT: &str = "/api/v1/";

/// Answers requests below `/api/v1`, and rejects all others.
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Rejection> + Clone {
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let (peer, site, trace) =
        (warp::ext::optional::<Peer>(), warp::ext::optional::<Site>(), warp::ext::optional::<Trace>());
    let client = warp::ext::optional::<DisconnectWatch>().map(Option::unwrap_or_default);
    let asked = warp::method().and(warp::path::full()).and(raw_query).and(warp::header::headers_cloned());
    let below = warp::path("api").and(warp::path("v1"));
    below.and(asked).and(peer).and(site).and(client).and(trace).and(warp::body::stream()).then(
        move |method: Method,
              path: FullPath,
              query: String,
              headers: HeaderMap,
              peer: Option<Peer>,
              site: Option<Site>,
              client,
              trace: Option<Trace>,
              body| {
            let api = api.clone();
            async move {
                let address = peer.as_ref().map(|peer| peer.address.ip());
                let target = (path.as_str(), &*query);
                let mut by = None;
                let asker = (peer, site, client, trace.as_ref());
                let answered = respond(&api, &method, target, headers, asker, body, &mut by).await;
                let mut response = match answered {
                    Ok(response) => response,
                    Err(problem) => {
                        if problem.kind == Kind::Forbidden
                            && is_change(&method)
                            && let Some(address) = address
                        {
                            api.refused((&method, path.as_str()), &problem.detail, by, address);
                        }
                        problem.response()
                    }
                };
                set_common_headers(response.headers_mut());
                response
            }
        },
    )
}

async fn respond(
    api: &Api,
    method: &Method,
    (path, query): (&str, &str),
    headers: HeaderMap,
    (peer, site, client, trace): (Option<Peer>, Option<Site>, DisconnectWatch, Option<&Trace>),
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
    by: &mut Option<String>,
) -> Result<Response, Problem> {
    let state = api.state.borrow().clone();
    let parts = path::parts(path.strip_prefix(ROOT).unwrap_or_default());
    let parts = parts.map_err(|_| Problem::new(Kind::BadRequest, "the path is no UTF-8"))?;
    let (route, parameters) = route::find(ROUTES, method.as_str(), &parts).map_err(|methods| {
        let Some(allow) = Some(methods.join(", ")).filter(|allow| !allow.is_empty()) else {
            return Problem::new(Kind::NotFound, "see /api/v1/openapi.json for what there is");
        };
        let detail = format!("there is {allow}");
        let headers = HeaderValue::from_str(&allow).map(|allow| (header::ALLOW, allow)).into_iter().collect();
        Problem { headers, ..Problem::new(Kind::MethodNotAllowed, detail) }
    })?;
    if let Some(trace) = trace {
        trace.leads_to(format!("{}{}", ROOT.trim_end_matches('/'), route.path));
    }
    let Some(peer) = peer else { return Err(Problem::new(Kind::Forbidden, "the address of the client is not known")) };
    let need = match route.may {
        May::Anyone => Need::Nothing,
        May::Server(action) => Need::Server(action),
        May::Stream(action) => Need::Stream(action, parameters.first().map_or("", |name| name).into()),
    };
    let step = trace.map(|trace| trace.step("authorize"));
    let access = permitted(api, &need, method, query, (&headers, &peer), by).await;
    drop(step);
    let access = access?;
    if is_change(method) && is_of_configuration(route.may) && !state.api.editing.permits_change() {
        return Err(Problem::new(Kind::Forbidden, "the configuration is read-only here: see `api.config`"));
    }
    let body =
        if route.body.is_some() { read_body(&headers, route.body == Some("Login"), body).await? } else { Bytes::new() };
    let query = Query::parse(query, route.query)?;
    let (run, granted) = (route.run, access.clone());
    let is_encrypted = site.is_some_and(|site| site.is_https());
    let call = Call { api: api.clone(), state, access, query, headers, parameters, body, is_encrypted, client };
    let mut response = run(call).await?.response();
    response.extensions_mut().insert(Granted { access: granted, need });
    Ok(response)
}

/// Who asks, if that may have what is asked for. `by` is its name also where it may not.
///
/// # Errors
/// The refusal.
pub(super) async fn permitted(
    api: &Api,
    need: &Need,
    method: &Method,
    query: &str,
    (headers, peer): (&HeaderMap, &Peer),
    by: &mut Option<String>,
) -> Result<Access, Problem> {
    let access = match authorize(&api.gate, need, method, query, headers, peer, false).await {
        Ok(access) => access,
        Err(refusal) => {
            if refusal.status() == StatusCode::FORBIDDEN {
                // Who lacks the permission is known all the same.
                let known = authorize(&api.gate, &Need::Nothing, method, query, headers, peer, false).await;
                *by = known.ok().and_then(|access| access.identity.name());
            }
            return Err(refused(&refusal, need));
        }
    };
    *by = access.identity.name();
    let changes = is_change(method);
    // Whoever only reaches the server is known by the network alone: a page in its browser is there, too.
    if changes && (access.identity.is_ambient() || access.identity == Identity::Anyone) && is_cross_origin(headers) {
        return Err(Problem::new(Kind::CrossOrigin, "send the request from a page of this server, or with a token"));
    }
    if changes {
        api.change(Client::new(access.identity.name(), access.peer))?;
    }
    Ok(access)
}

/// Whether a request is for more than to read.
pub(super) fn is_change(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_of_configuration(may: May) -> bool {
    may == May::Server(Action::ConfigWrite)
}

/// The body, of the types that no form of a page can send, but where `takes_forms`.
async fn read_body(
    headers: &HeaderMap,
    takes_forms: bool,
    body: impl Stream<Item = Result<impl Buf, warp::Error>>,
) -> Result<Bytes, Problem> {
    let kind = media_type(headers);
    let is_json = matches!(&*kind, "application/json" | "application/merge-patch+json");
    if !(is_json || takes_forms && kind == FORM) {
        let detail = "send the body as application/json (a patch as application/merge-patch+json)";
        return Err(Problem::new(Kind::UnsupportedMediaType, detail));
    }
    let mut body = pin!(body);
    let read = async {
        let mut bytes = BytesMut::new();
        while let Some(piece) = body.next().await {
            let piece = piece.map_err(|_| Problem::new(Kind::BadRequest, "the body ended early"))?;
            if bytes.len() + piece.remaining() > MAX_BODY {
                return Err(Problem::new(Kind::TooLarge, "a body may have at most 1 MiB"));
            }
            bytes.extend_from_slice(piece.chunk());
        }
        Ok(bytes.freeze())
    };
    let late = |_| Problem::new(Kind::BadRequest, "the body did not come within 10 s");
    tokio::time::timeout(BODY_WITHIN, read).await.map_err(late)?
}

fn refused(refusal: &Response, need: &Need) -> Problem {
    let kind = match refusal.status() {
        StatusCode::UNAUTHORIZED => Kind::Unauthorized,
        StatusCode::TOO_MANY_REQUESTS => Kind::TooMany,
        StatusCode::MISDIRECTED_REQUEST => Kind::MisdirectedRequest,
        StatusCode::SERVICE_UNAVAILABLE => Kind::Undecided,
        _ => Kind::Forbidden,
    };
    let action = match need {
        Need::Nothing => "nothing",
        Need::Server(action) | Need::Stream(action, _) => action.name(),
    };
    let kept = [header::WWW_AUTHENTICATE, header::RETRY_AFTER];
    let headers = refusal.headers().iter().filter(|(name, _)| kept.contains(name));
    let headers = headers.map(|(name, value)| (name.clone(), value.clone())).collect();
    Problem { headers, ..Problem::new(kind, format!("this needs the permission {action}")) }
}
