//! From the path of a request to the handler that responds.

use super::{
    admission::Admission,
    authorize::{Granted, Need, agent, authorize},
    cors,
    disconnect::DisconnectWatch,
    exclusive, frames, icecast,
    limits::MAX_BODY,
    live, publish,
    query::StillFormat,
    response::{Response, complete, set_common_headers, text, too_large},
    shot,
    site::Site,
    station, still, websocket,
};
use crate::{
    access::{Access, Action, Gate, Peer},
    config::{self, FeedName, Serving},
    engine::registry::{Registry, StreamHandle},
    output::{
        hls::{
            self,
            stream::SegmentedStreams,
            table::{SegmentRoute, SegmentTable},
        },
        publish::find::Target,
        push::hops,
        record::playback::{
            self, Playback,
            ask::{Asked, What},
        },
        webrtc::{
            WebRtc, exchange,
            table::{WhepRoute, WhepTable},
            whep, whip,
        },
    },
    source::{per_request::PerRequestStream, worker_group::WorkerGroup},
    still::take::StreamStills,
    sys::overload::CurrentLoad,
    telemetry::{HttpStats, Trace},
};
use bytes::{Buf, Bytes};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::{
    borrow::Cow,
    collections::HashMap,
    convert::Infallible,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};
use tokio::sync::watch;
use warp::{Filter, filters::path::FullPath};

/// Where files of a folder that is shared are.
const FILES: &str = "/files/";
const ALLOWED: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// A page of the server.
pub struct Page {
    need: Need,
    render: Box<dyn Fn(PageRequest<'_>) -> Response + Send + Sync>,
    is_for_any_origin: bool,
}

impl Page {
    /// A page for those who may have what it needs.
    pub fn new(need: Need, render: impl Fn(PageRequest<'_>) -> Response + Send + Sync + 'static) -> Self {
        Self { need, render: Box::new(render), is_for_any_origin: false }
    }

    /// The same, for scripts of any page.
    pub fn for_any_origin(self) -> Self {
        Self { is_for_any_origin: true, ..self }
    }
}

/// A request for a page.
#[derive(Debug, Clone, Copy)]
pub struct PageRequest<'a> {
    /// How the client reaches the server.
    pub site: &'a Site,
    /// The query string, without the `?`.
    pub query: &'a str,
    /// The `Last-Event-ID` of a client that was connected before.
    pub last_event: Option<&'a str>,
    /// Reports when the client has disconnected.
    pub client: &'a DisconnectWatch,
    /// Who asks.
    pub access: &'a Access,
}

/// The paths of one server.
pub struct RouteTable {
    streams: HashMap<String, StreamRoute>,
    per_request: HashMap<String, Arc<PerRequestStream>>,
    segments: SegmentTable,
    /// Sessions, and the streams that they are of, where WebRTC is configured.
    webrtc: Option<(WebRtc, WhepTable)>,
    pages: HashMap<String, Page>,
    /// Where browsers are led that need a login.
    login: Option<&'static str>,
    playback: Playback,
    /// The folder of files that are shared.
    files: Option<PathBuf>,
    /// Where media is published to.
    registry: Registry,
}

/// What the path of a stream leads to.
struct StreamRoute {
    /// The stream in the container of this path.
    output: Arc<StreamHandle>,
    /// The stills of the stream, whatever the container.
    stills: Arc<StreamStills>,
    /// The path of its page, if browsers get that in place of the stream.
    page: Option<String>,
}

/// What a path leads to.
pub enum Route<'a> {
    /// A page of the server itself.
    Page(&'a Page),
    /// A stream.
    Stream(&'a Arc<StreamHandle>),
    /// A stream that is started for each request.
    PerRequest(&'a Arc<PerRequestStream>),
    /// A still of a stream, in the format that the path names.
    Still(&'a Arc<StreamStills>, Option<StillFormat>),
    /// Stills of a stream over a WebSocket.
    WebSocket(&'a Arc<StreamStills>),
    /// Raw frames of a stream.
    Frames(&'a Arc<StreamStills>),
    /// A playlist or segment of a stream.
    Segments(SegmentRoute<'a>),
    /// Recordings of a stream, and what decodes stills of them.
    Recordings(&'a Playback, Asked, Option<&'a WorkerGroup>),
    /// A file of a folder that is shared.
    File(&'a Playback, &'a Path, &'a str),
    /// Sessions of WebRTC.
    Whep(&'a WebRtc, WhepRoute<'a>),
}

impl RouteTable {
    /// A table with these streams, each under its own path and under `/stream/<name>`, their `segments`, their sessions of WebRTC,
    /// what was recorded, and these pages, of which `login` is where users log in.
    pub fn new(
        registry: &Registry,
        segments: &SegmentedStreams,
        playback: Playback,
        webrtc: Option<&WebRtc>,
        pages: HashMap<String, Page>,
        login: Option<&'static str>,
    ) -> Self {
        let mut streams = HashMap::new();
        let stills = registry.streams().iter().map(|stream| Arc::new(StreamStills::new(stream.clone())));
        let stills: Vec<_> = stills.collect();
        for stills in &stills {
            let stream = stills.stream();
            let page = (!stream.outputs.is_empty()).then(|| format!("{}/play", stream.config.path));
            for path in own_paths(&stream.config) {
                streams
                    .insert(path, StreamRoute { output: stream.clone(), stills: stills.clone(), page: page.clone() });
            }
        }
        // A path of its own precedes one that another stream implies.
        for stills in &stills {
            for output in &stills.stream().outputs {
                let named = format!("/stream/{}.{}", output.config.name, output.config.container);
                for path in [named, output.config.path.to_string()] {
                    let route = || StreamRoute { output: output.clone(), stills: stills.clone(), page: None };
                    streams.entry(path).or_insert_with(route);
                }
            }
        }
        let per_request = registry.per_request().iter();
        let per_request =
            per_request.flat_map(|stream| own_paths(&stream.config).map(|path| (path, stream.clone()))).collect();
        let segments = SegmentTable::new(&segments.apply(registry.streams()));
        let webrtc = webrtc.map(|webrtc| (webrtc.clone(), WhepTable::new(registry.streams())));
        let registry = registry.clone();
        Self { streams, per_request, segments, webrtc, playback, files: None, pages, login, registry }
    }

    /// The same, with the files of a folder.
    #[must_use]
    pub fn with_files(self, files: Option<PathBuf>) -> Self {
        Self { files, ..self }
    }

    /// Leads a browser that opens a page without any credential to the page where users log in.
    fn login(&self, request: &Request<'_>, refused: StatusCode) -> Option<Response> {
        let Request { method, path, query, headers, .. } = *request;
        let opens_page =
            *method == Method::GET && accepts_page(headers) && !headers.contains_key(header::AUTHORIZATION);
        let login = self.login.filter(|_| opens_page && refused == StatusCode::UNAUTHORIZED)?;
        let next = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        let target = format!("{login}?next={}", utf8_percent_encode(&next, NON_ALPHANUMERIC));
        let mut response = complete(StatusCode::SEE_OTHER, "log in first");
        response.headers_mut().insert(header::LOCATION, HeaderValue::from_str(&target).ok()?);
        Some(response)
    }

    /// What decodes stills of recordings of a stream: its own worker, or any for a stream that is not configured any more.
    fn worker_of(&self, stream: &str) -> Option<&WorkerGroup> {
        let streams = self.registry.streams();
        let own = streams.iter().find(|own| own.config.name.as_str() == stream);
        own.or(streams.first()).map(|stream| &stream.group)
    }

    /// The sessions of WebRTC.
    pub fn webrtc(&self) -> Option<&WebRtc> {
        self.webrtc.as_ref().map(|(webrtc, _)| webrtc)
    }

    /// What is published to by a request for this percent-decoded path.
    fn target(&self, path: &str) -> Option<Target> {
        let target = Target::find(&self.registry, path)?;
        // What is found under its path already is not published to, but for what the pattern has made itself.
        let is_new = |feed: &FeedName| self.registry.publish_slot(feed.as_str()).is_none();
        let is_whip = || whip::endpoint_of(path).is_some_and(|(feed, _)| Target::find(&self.registry, feed).is_some());
        let is_other = match &target {
            Target::Pattern(pattern) => is_new(pattern.feed()) && (self.find(path, false).is_some() || is_whip()),
            Target::Feed(_) => false,
        };
        (!is_other).then_some(target)
    }

    /// What a percent-decoded path leads to. `accepts_page`: the client prefers a page to media.
    pub fn find<'a>(&'a self, path: &'a str, accepts_page: bool) -> Option<Route<'a>> {
        if let Some(page) = self.pages.get(path) {
            return Some(Route::Page(page));
        }
        if let Some(stream) = self.per_request.get(path) {
            return Some(Route::PerRequest(stream));
        }
        if let Some(stream) = self.streams.get(path) {
            let page = stream.page.as_ref().filter(|_| accepts_page).and_then(|page| self.pages.get(page));
            return Some(page.map_or(Route::Stream(&stream.output), Route::Page));
        }
        if let Some(found) = self.segments.find(path) {
            return Some(Route::Segments(found));
        }
        if let Some((webrtc, table)) = &self.webrtc
            && let Some(found) = table.find(path)
        {
            return Some(Route::Whep(webrtc, found));
        }
        if let Some(folder) = &self.files
            && let Some(name) = path.strip_prefix(FILES).filter(|name| playback::is_name(name))
        {
            return Some(Route::File(&self.playback, folder, name));
        }
        let (stream, last) = path.rsplit_once('/')?;
        let stream = &self.streams.get(stream)?.stills;
        let format = match last {
            "ws" => return Some(Route::WebSocket(stream)),
            "frames" => return Some(Route::Frames(stream)),
            "pic" => None,
            "pic.jpg" | "pic.jpeg" => Some(StillFormat::Jpeg),
            "pic.png" => Some(StillFormat::Png),
            "pic.webp" => Some(StillFormat::Webp),
            _ => return None,
        };
        Some(Route::Still(stream, format))
    }
}

impl Route<'_> {
    /// What may be asked for it.
    fn need(&self) -> Need {
        let of = |action, config: &config::Stream| Need::Stream(action, config.name.as_str().into());
        match self {
            Self::Page(page) => page.need.clone(),
            Self::Stream(stream) => of(Action::View, &stream.config),
            Self::PerRequest(stream) if stream.config.serving == Serving::Shot => of(Action::Still, &stream.config),
            Self::PerRequest(stream) => of(Action::View, &stream.config),
            Self::Still(stills, _) => of(Action::Still, &stills.stream().config),
            Self::WebSocket(stills) | Self::Frames(stills) => of(Action::View, &stills.stream().config),
            Self::Segments(route) => Need::Stream(Action::View, route.stream.name().into()),
            Self::Recordings(_, asked, _) => Need::Stream(Action::Playback, asked.stream.as_str().into()),
            // As if all of them were the recordings of a stream with this name.
            Self::File(..) => Need::Stream(Action::Playback, "files".into()),
            Self::Whep(_, route) => of(Action::View, &route.stream.config),
        }
    }

    /// Its path in a trace, with names in braces.
    fn pattern(&self) -> Cow<'static, str> {
        match self {
            Self::Page(_) => "/{page}".into(),
            Self::Stream(_) | Self::PerRequest(_) => "/{stream}".into(),
            Self::Still(..) => "/{stream}/pic".into(),
            Self::WebSocket(_) => "/{stream}/ws".into(),
            Self::Frames(_) => "/{stream}/frames".into(),
            Self::Segments(route) => format!("/{{stream}}/{{{}}}", route.file.kind()).into(),
            Self::Recordings(..) => "/rec/{stream}".into(),
            Self::File(..) => "/files/{name}".into(),
            Self::Whep(..) => "/{stream}/whep".into(),
        }
    }

    /// What its handler waits for, in a trace; pages wait for nothing.
    fn step(&self) -> Option<&'static str> {
        match self {
            Self::Page(_) => None,
            Self::Stream(_) | Self::PerRequest(_) | Self::WebSocket(_) | Self::Frames(_) => Some("open stream"),
            Self::Still(..) => Some("take still"),
            Self::Segments(_) => Some("wait for segments"),
            Self::Recordings(..) | Self::File(..) => Some("read recording"),
            Self::Whep(..) => Some("negotiate"),
        }
    }

    /// Whether scripts of pages of other origins may read it.
    fn is_for_any_origin(&self) -> bool {
        match self {
            Self::Page(page) => page.is_for_any_origin,
            Self::File(..) => false,
            _ => true,
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The paths that a stream is configured to have.
fn own_paths(stream: &config::Stream) -> [String; 2] {
    [format!("/stream/{}", stream.name), stream.path.to_string()]
}

/// Whether a client asks for a page: a browser that follows a link does, what plays media does not.
fn accepts_page(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.split(',').any(|range| range.split(';').next().is_some_and(|range| range.trim() == "text/html"))
}

impl fmt::Debug for RouteTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.streams.keys()).entries(self.per_request.keys()).entries(self.pages.keys()).finish()
    }
}

/// Responds by the newest of these tables, if `gate` permits. While `load` is high, less is admitted, which `stats` counts. Clones are the same.
#[derive(Debug, Clone)]
pub struct Router {
    tables: watch::Receiver<Arc<RouteTable>>,
    gate: Gate,
    admission: Admission,
}

impl Router {
    /// See [`Router`].
    pub fn new(tables: watch::Receiver<Arc<RouteTable>>, gate: Gate, load: CurrentLoad, stats: Arc<HttpStats>) -> Self {
        Self { tables, gate, admission: Admission::new(load, stats) }
    }

    /// Responds to a request of a player for a file of a playlist, which has no body.
    pub async fn respond_to_player(self, head: request::Parts) -> Response {
        let table = self.tables.borrow().clone();
        let request::Parts { method, uri, headers, mut extensions, .. } = head;
        let (client, site) = (extensions.remove().unwrap_or_default(), extensions.remove().unwrap_or_default());
        let request = Request {
            method: &method,
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &headers,
            client: &client,
            site: &site,
            peer: extensions.get(),
            trace: extensions.get(),
        };
        respond(&table, &self.admission, &self.gate, request, stream::empty()).await
    }
}

/// Responds to every request.
pub fn routes(router: Router) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let Router { tables, gate, admission } = router;
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let client = warp::ext::optional().map(Option::unwrap_or_default).and(warp::ext::optional());
    let site = warp::ext::optional().map(Option::unwrap_or_default);
    let trace = warp::ext::optional();
    let asked = warp::method().and(warp::path::full()).and(raw_query).and(warp::header::headers_cloned());
    // It is there: no other filter takes it.
    let body = warp::body::stream().map(Some).or_else(|_| async { Ok::<_, Infallible>((None,)) });
    let carriage = warp::ext::optional();
    let asked = asked.and(client).and(site).and(trace).and(carriage).and(body);
    asked.then(
        move |method,
              path: FullPath,
              query: String,
              headers,
              client,
              peer: Option<Peer>,
              site,
              trace: Option<Trace>,
              carriage: Option<publish::Carriage>,
              body| {
            let (table, admission, gate) = (tables.borrow().clone(), admission.clone(), gate.clone());
            async move {
                let (client, site) = (&client, &site);
                let path = path.as_str();
                let request = Request {
                    method: &method,
                    path,
                    query: &query,
                    headers: &headers,
                    client,
                    site,
                    peer: peer.as_ref(),
                    trace: trace.as_ref(),
                };
                let mut body: Option<_> = body;
                if (carriage.is_some() || publish::is_publishing(&method))
                    && let Ok(decoded) = percent_decode_str(path).decode_utf8()
                    && let (Some(target), Some(peer)) = (table.target(&decoded), request.peer)
                    && let Some(body) = body.take()
                {
                    if let Some(trace) = &trace {
                        trace.leads_to("/{feed}");
                    }
                    let request = publish::Request { query: &query, headers: &headers, peer };
                    let mut response = match carriage {
                        Some(carriage) => publish::begin(target, &gate, request, carriage).await,
                        None => publish::respond(target, &gate, request, body).await,
                    };
                    set_common_headers(response.headers_mut());
                    return response;
                }
                if path == icecast::METADATA
                    && let Some(mount) = station::mount_of(&query)
                    && let (Some(target), Some(peer)) = (table.target(&mount), request.peer)
                {
                    let request = publish::Request { query: &query, headers: &headers, peer };
                    let mut response = icecast::update_metadata(target, &gate, request).await;
                    set_common_headers(response.headers_mut());
                    return response;
                }
                if let Some(webrtc) = table.webrtc()
                    && let Ok(decoded) = percent_decode_str(path).decode_utf8()
                    && let Some((endpoint, session)) = whip::endpoint_of(&decoded)
                    && let (Some(target), Some(peer)) = (table.target(endpoint), request.peer)
                {
                    if let Some(trace) = &trace {
                        trace.leads_to("/{feed}/whip");
                    }
                    let asked = exchange::Asked {
                        method: &method,
                        site: &site.to_string(),
                        path,
                        query: &query,
                        headers: &headers,
                        peer,
                    };
                    let is_loop = hops::is_loop(agent(&headers), &table.registry, target.feed());
                    let layers = target.layers(&table.registry);
                    return whip::respond(webrtc, &gate, (target, layers, is_loop), session, asked, pieces(body)).await;
                }
                if content_length(&headers).is_some_and(|length| length > MAX_BODY) {
                    return too_large();
                }
                respond(&table, &admission, &gate, request, pieces(body)).await
            }
        },
    )
}

/// What a handler may need of a request.
#[derive(Clone, Copy)]
struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    client: &'a DisconnectWatch,
    site: &'a Site,
    /// Missing only where there is no connection.
    peer: Option<&'a Peer>,
    /// Its trace, if that is recorded.
    trace: Option<&'a Trace>,
}

async fn respond(
    table: &RouteTable,
    admission: &Admission,
    gate: &Gate,
    request: Request<'_>,
    body: impl Stream<Item = Result<Bytes, warp::Error>> + Send,
) -> Response {
    fail::fail_point!("request");
    let path = percent_decode_str(request.path).decode_utf8();
    let recordings = path.as_ref().ok().and_then(|path| table.playback.find(path, request.query));
    let route = match recordings {
        Some(Ok(asked)) => {
            let worker = table.worker_of(&asked.stream);
            Some(Route::Recordings(&table.playback, asked, worker))
        }
        Some(Err(error)) => {
            let mut response = playback::refused(&error);
            set_common_headers(response.headers_mut());
            return response;
        }
        None => path.as_ref().ok().and_then(|path| table.find(path, accepts_page(request.headers))),
    };
    let Some(route) = route else {
        return complete(StatusCode::NOT_FOUND, "not found: the streams are listed at /");
    };
    let (need, is_for_any_origin) = (route.need(), route.is_for_any_origin());
    let Request { method, query, headers, peer, trace, .. } = request;
    let Some(peer) = peer else { return complete(StatusCode::FORBIDDEN, "the address of the client is not known") };
    let opens_socket = matches!(route, Route::WebSocket(_));
    if let Some(trace) = trace {
        trace.leads_to(route.pattern());
        if let Need::Stream(_, stream) = &need {
            trace.is_for(stream, table.registry.origins(stream));
        }
    }
    let step = trace.map(|trace| trace.step("authorize"));
    let authorized = authorize(gate, &need, method, query, headers, peer, opens_socket).await;
    drop(step);
    let mut response = match authorized {
        Ok(access) => {
            let _step = trace.and_then(|trace| Some(trace.step(route.step()?)));
            let mut response = match route {
                Route::Whep(webrtc, route) if *method != Method::OPTIONS => {
                    let Request { path, .. } = request;
                    let site = &request.site.to_string();
                    let asked = exchange::Asked { method, site, path, query, headers, peer };
                    whep::respond(webrtc, route, (admission, &access), asked, body).await
                }
                route => dispatch(route, admission, request, &access).await,
            };
            response.extensions_mut().insert(Granted { access, need });
            response
        }
        Err(refusal) => match table.login(&request, refusal.status()) {
            Some(login) => login,
            None => refusal,
        },
    };
    set_common_headers(response.headers_mut());
    if is_for_any_origin {
        cors::allow_any_origin(response.headers_mut());
    }
    response
}

/// The body of a request, in pieces.
fn pieces<B: Buf>(
    body: Option<impl Stream<Item = Result<B, warp::Error>>>,
) -> impl Stream<Item = Result<Bytes, warp::Error>> {
    let body = stream::iter(body).flatten();
    body.map(|piece| piece.map(|mut piece| piece.copy_to_bytes(piece.remaining())))
}

async fn dispatch(route: Route<'_>, admission: &Admission, request: Request<'_>, access: &Access) -> Response {
    let Request { method, path, query, headers, client, site, peer, .. } = request;
    if *method == Method::GET
        && let Route::Stream(_) | Route::PerRequest(_) | Route::WebSocket(_) | Route::Frames(_) = route
        && let Some(refusal) = admission.refuse_viewer()
    {
        return refusal;
    }
    match *method {
        Method::GET | Method::HEAD => match route {
            Route::Page(page) => {
                let value = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
                let last_event = value(HeaderName::from_static("last-event-id"));
                (page.render)(PageRequest { site, query, last_event, client, access })
            }
            Route::Stream(stream) => live::respond(stream, method, query, headers).await,
            Route::PerRequest(stream) => match stream.config.serving {
                Serving::Shot => shot::respond(stream, method, client).await,
                Serving::Exclusive | Serving::Shared => exclusive::respond(stream, method, query, headers).await,
            },
            Route::WebSocket(stream) => websocket::respond(stream, method, query, headers),
            Route::Frames(stream) => frames::respond(stream, method, query),
            Route::Recordings(playback, asked, worker) => {
                let is_image = matches!(asked.what, What::Still(_) | What::Strip(..));
                let worker = worker.filter(|_| !is_image || admission.refuse_still().is_none());
                playback.respond(asked, playback::Request { method, headers, site, worker }).await
            }
            Route::File(playback, folder, name) => {
                let request = playback::Request { method, headers, site, worker: None };
                playback.respond_with_file(folder, name, request).await
            }
            Route::Segments(route) => match peer {
                Some(peer) => {
                    let peer = peer.address.ip();
                    let request = hls::Request { method, site, path, query, headers, peer };
                    hls::respond(route, admission, request).await
                }
                None => complete(StatusCode::FORBIDDEN, "the address of the client is not known"),
            },
            // It takes methods of its own, and has a body.
            Route::Whep(..) => text(StatusCode::NOT_FOUND, ""),
            Route::Still(stream, format) => still::respond(stream, admission, method, query, format, headers).await,
        },
        Method::OPTIONS => {
            let mut response = text(StatusCode::NO_CONTENT, "");
            let allowed = match route {
                Route::Whep(..) => exchange::ALLOWED,
                _ => ALLOWED,
            };
            cors::permit(headers, &allowed, response.headers_mut());
            response.headers_mut().insert(header::ALLOW, allowed);
            if let Route::Whep(webrtc, _) = route {
                exchange::set_accepted(response.headers_mut());
                if exchange::precedes_offer(headers) {
                    exchange::set_ice_servers(webrtc, response.headers_mut());
                }
            }
            response
        }
        _ => {
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "method not allowed: use GET or HEAD");
            response.headers_mut().insert(header::ALLOW, ALLOWED);
            response
        }
    }
}
