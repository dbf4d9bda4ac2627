//! The state in the words of SRS's HTTP API, on a port of its own, for SRS's console and for programs that were made for SRS
//! ([ADR 59](../../../docs/adr/0059-the-api-of-srs-is-a-view.md)). It reads, and ends clients; it changes nothing else.
//!
//! [`ask`] reads a request and [`shape`] has the fields of the answers (both pure); [`facts`] looks at the state that the API shows, and
//! [`rates`] makes rates of its counts (pure). Who may do what is decided as for the API.

mod ask;
mod facts;
mod rates;
mod shape;

use self::{
    ask::{Asked, Span},
    facts::{End, Known, Seen, named},
    rates::{Rates, Traffic},
    shape::{Code, Envelope, HOST},
};
use super::{
    call::{Api, State},
    control::{end_publisher, end_viewer},
    filter::{is_change, permitted},
    problem::{Kind, Problem},
};
use crate::{
    access::{Access, Action, Peer},
    output::http::{
        access_log::LowPriorityLog,
        authorize::{Granted, Need},
        response::set_common_headers,
        site::Site,
    },
    sys::{
        machine_load::{self, MachineLoad},
        proc_stats,
    },
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use warp::{Filter, filters::path::FullPath, reply::Response};

/// Shorter spans say nothing of the load of processors.
const SPAN: Duration = Duration::from_secs(1);

/// What answers the requests.
struct Srs {
    api: Api,
    rates: Mutex<Rates>,
    /// The work of the processors when that was asked last.
    worked: Mutex<Option<Work>>,
}

/// How much processors had worked at a moment.
#[derive(Debug, Clone, Copy)]
struct Work {
    at: Instant,
    /// Of this process.
    own: Duration,
    /// Of all that was possible, and of that nothing.
    machine: (Duration, Duration),
}

/// A request.
struct Request<'a> {
    method: &'a Method,
    path: &'a str,
    query: &'a str,
    headers: &'a HeaderMap,
    site: &'a Site,
}

/// Why there is no answer.
enum Refusal {
    /// The number of an error, with status 200.
    Code(Code),
    /// There is no such thing, or not by this method.
    Status(StatusCode),
    /// Who asks may not.
    Problem(Box<Problem>),
}

/// Answers all requests.
pub fn routes(api: Api) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone {
    let srs = Arc::new(Srs { api, rates: Mutex::default(), worked: Mutex::default() });
    let raw_query = warp::query::raw().or(warp::any().map(String::new)).unify();
    let (peer, site) = (warp::ext::optional::<Peer>(), warp::ext::optional::<Site>());
    let asked = warp::method().and(warp::path::full()).and(raw_query).and(warp::header::headers_cloned());
    asked.and(peer).and(site).then(
        move |method: Method,
              path: FullPath,
              query: String,
              headers: HeaderMap,
              peer: Option<Peer>,
              site: Option<Site>| {
            let srs = srs.clone();
            async move {
                let (path, site) = (path.as_str(), &site.unwrap_or_default());
                let request = Request { method: &method, path, query: &query, headers: &headers, site };
                let mut by = None;
                let answered = srs.answer(&request, peer.as_ref(), &mut by).await;
                let mut response = match answered {
                    Ok((body, granted)) => {
                        let mut response = json_of(StatusCode::OK, &body);
                        response.extensions_mut().insert(granted);
                        if !is_change(&method) {
                            response.extensions_mut().insert(LowPriorityLog);
                        }
                        response
                    }
                    Err(refusal) => {
                        if let (Refusal::Problem(problem), Some(peer)) = (&refusal, &peer)
                            && problem.kind == Kind::Forbidden
                            && is_change(&method)
                        {
                            srs.api.refused((&method, path), &problem.detail, by, peer.address.ip());
                        }
                        refusal.response()
                    }
                };
                set_common_headers(response.headers_mut());
                response
            }
        },
    )
}

impl Srs {
    async fn answer(
        &self,
        request: &Request<'_>,
        peer: Option<&Peer>,
        by: &mut Option<String>,
    ) -> Result<(Value, Granted), Refusal> {
        let Request { method, path, query, headers, .. } = *request;
        let asked = Asked::read(method, path).map_err(Refusal::Status)?;
        let unknown = || Problem::new(Kind::Forbidden, "the address of the client is not known");
        let peer = peer.ok_or_else(|| Refusal::from(unknown()))?;
        // As the same things need it of the API: clients are its viewers and publishers.
        let need = Need::Server(match asked {
            Asked::Clients(_) | Asked::Kick(_) => Action::Kick,
            _ => Action::Status,
        });
        let access = permitted(&self.api, &need, method, query, (headers, peer), by).await?;
        let state = self.api.state.borrow().clone();
        let body = self.body(&asked, request, &state, &access)?;
        Ok((body, Granted { access, need }))
    }

    fn body(&self, asked: &Asked, request: &Request<'_>, state: &State, access: &Access) -> Result<Value, Refusal> {
        let envelope = envelope(state);
        let look = || facts::look(state, access, &host(request.site), &self.rates);
        let list = |items: Vec<Value>| Value::Array(Span::read(request.query).of(items).collect());
        Ok(match asked {
            Asked::Root => envelope.around([("urls", json!({"api": "the api root"}))]),
            Asked::Api => envelope.around([("urls", json!({"v1": "the api version 1.0"}))]),
            Asked::V1 => envelope.around([("urls", urls())]),
            Asked::Versions => envelope.around([("data", version())]),
            Asked::Summaries => {
                let bytes = look().vhost.bytes;
                envelope.around([("data", self.summaries(state, bytes))])
            }
            Asked::Features => envelope.around([("data", features())]),
            Asked::Vhosts(None) => envelope.around([("vhosts", json!([look().vhost.json()]))]),
            Asked::Vhosts(Some(id)) if *id == named(HOST) => envelope.around([("vhost", look().vhost.json())]),
            Asked::Vhosts(Some(_)) => return Err(Refusal::Code(Code::NoVhost)),
            Asked::Streams(None) => {
                let Seen { streams, .. } = look();
                let total = streams.len();
                let streams = streams.iter().map(shape::Stream::json).collect();
                envelope.around([("total", json!(total)), ("streams", list(streams))])
            }
            Asked::Streams(Some(id)) => {
                let found = look().streams.into_iter().find(|stream| stream.id == *id);
                let found = found.ok_or(Refusal::Code(Code::NoStream))?;
                envelope.around([("stream", found.json())])
            }
            Asked::Clients(None) => {
                let Seen { clients, .. } = look();
                let total = clients.len();
                let clients = clients.iter().map(|known| known.client.json()).collect();
                envelope.around([("total", json!(total)), ("clients", list(clients))])
            }
            Asked::Clients(Some(id)) => envelope.around([("client", one(look(), id)?.client.json())]),
            Asked::Kick(id) => {
                let id = id.as_ref().ok_or(Refusal::Code(Code::NoClient))?;
                self.end(&one(look(), id)?, access)?;
                envelope.around([])
            }
        })
    }

    /// Ends a client.
    fn end(&self, known: &Known, access: &Access) -> Result<(), Refusal> {
        match &known.end {
            End::Viewer(stream, number) => match end_viewer(&self.api, access, stream, *number) {
                Some(true) => Ok(()),
                // It has no connection, as with SRS.
                Some(false) => Err(Refusal::Code(Code::Status(StatusCode::BAD_REQUEST.as_u16()))),
                None => Err(Refusal::Code(Code::NoClient)),
            },
            End::Publisher(slot) => {
                end_publisher(&self.api, access, slot);
                Ok(())
            }
        }
    }

    fn summaries(&self, state: &State, bytes: Traffic) -> Value {
        let (load, pid) = (machine_load::read(), std::process::id());
        let usage = proc_stats::of(pid);
        let info = state.reader.info();
        let own = (usage.map(|usage| usage.cpu).unwrap_or_default(), info.since().elapsed());
        let (own_busy, machine_busy) = self.busy(&load, own);
        let resident = usage.map_or(0, |usage| usage.resident);
        let now = milliseconds(SystemTime::now());
        let share = |part: u64, of: u64| if of == 0 { 0.0 } else { part as f64 / of as f64 };
        let used = load.memory.saturating_sub(load.available);
        let (swap, free_swap) = load.swap;
        let ppid = rustix::process::getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
        json!({
            "ok": true, "now_ms": now,
            // Where the program is and how it was started is for those who run it.
            "self": {
                "version": env!("CARGO_PKG_VERSION"), "pid": pid, "ppid": ppid, "argv": env!("CARGO_PKG_NAME"), "cwd": "",
                "mem_kbyte": resident >> 10, "mem_percent": share(resident, load.memory), "cpu_percent": own_busy,
                "srs_uptime": info.since().elapsed().as_secs(),
            },
            "system": {
                "cpu_percent": machine_busy, "disk_read_KBps": 0, "disk_write_KBps": 0, "disk_busy_percent": 0.0,
                "mem_ram_kbyte": load.memory >> 10, "mem_ram_percent": share(used, load.memory),
                "mem_swap_kbyte": swap >> 10, "mem_swap_percent": share(swap.saturating_sub(free_swap), swap),
                "cpus": load.processors, "cpus_online": load.processors,
                "uptime": load.uptime.as_secs_f64(), "ilde_time": load.idle.as_secs_f64(),
                "load_1m": load.load[0], "load_5m": load.load[1], "load_15m": load.load[2],
                "net_sample_time": now, "net_recv_bytes": load.network.0, "net_send_bytes": load.network.1,
                "net_recvi_bytes": load.own_network.0, "net_sendi_bytes": load.own_network.1,
                "srs_sample_time": now, "srs_recv_bytes": bytes.received, "srs_send_bytes": bytes.sent,
                "conn_sys": load.tcp.0 + load.tcp.1 + load.udp, "conn_sys_et": load.tcp.0, "conn_sys_tw": load.tcp.1,
                "conn_sys_udp": load.udp, "conn_srs": info.connections(),
            },
        })
    }

    /// How much of a processor this process used, and of all processors the machine, since the last request, or ever. `own`: the work
    /// of this process, and how long it runs.
    fn busy(&self, load: &MachineLoad, (own, lived): (Duration, Duration)) -> (f64, f64) {
        let possible = load.uptime * u32::try_from(load.processors).unwrap_or(1);
        let now = Work { at: Instant::now(), own, machine: (possible, load.idle) };
        let mut worked = self.worked.lock().unwrap_or_else(PoisonError::into_inner);
        let before = worked.filter(|before| now.at.saturating_duration_since(before.at) >= SPAN);
        if before.is_some() || worked.is_none() {
            *worked = Some(now);
        }
        let since = |of: fn(&Work) -> Duration| of(&now).saturating_sub(before.as_ref().map(of).unwrap_or_default());
        let share =
            |part: Duration, of: Duration| if of.is_zero() { 0.0 } else { part.as_secs_f64() / of.as_secs_f64() };
        let lasted = before.map_or(lived, |before| now.at.saturating_duration_since(before.at));
        let idle = share(since(|work| work.machine.1), since(|work| work.machine.0));
        (share(since(|work| work.own), lasted), (1.0 - idle).clamp(0.0, 1.0))
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl Refusal {
    /// Errors of SRS are numbers in the body. What it cannot do, and who may not, is in the status as well.
    fn response(self) -> Response {
        match self {
            Self::Code(code) => json_of(StatusCode::OK, &code.body()),
            Self::Status(status) => json_of(status, &Code::Status(status.as_u16()).body()),
            Self::Problem(problem) => {
                let (_, status, _) = problem.kind.parts();
                let mut response = json_of(status, &Code::Status(status.as_u16()).body());
                for (name, value) in problem.headers {
                    response.headers_mut().append(name, value);
                }
                response
            }
        }
    }
}

fn json_of(status: StatusCode, body: &Value) -> Response {
    let mut response = Response::new(body.to_string().into());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn one(seen: Seen, id: &str) -> Result<Known, Refusal> {
    let found = seen.clients.into_iter().find(|known| known.client.id == id);
    found.ok_or(Refusal::Code(Code::NoClient))
}

fn envelope(state: &State) -> Envelope {
    let machine = rustix::system::uname();
    let started = state.reader.info().started();
    let service = named(("service", started, std::process::id()));
    Envelope {
        server: named(("server", machine.nodename().to_bytes())),
        service: service.chars().rev().take(8).collect(),
        pid: std::process::id(),
    }
}

/// The name or address by which a client reaches the server, without the port.
fn host(site: &Site) -> String {
    let site = site.to_string();
    let host = site.split_once("://").map_or(site.as_str(), |(_, host)| host);
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(host, _)| host).to_owned()
}

fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn version() -> Value {
    let part = |text: &str| text.parse::<u64>().unwrap_or(0);
    json!({
        "major": part(env!("CARGO_PKG_VERSION_MAJOR")), "minor": part(env!("CARGO_PKG_VERSION_MINOR")),
        "revision": part(env!("CARGO_PKG_VERSION_PATCH")), "version": env!("CARGO_PKG_VERSION"),
    })
}

fn urls() -> Value {
    json!({
        "versions": "the version of the server", "summaries": "the load of the server and of the machine",
        "features": "what the server can do", "vhosts": "the one virtual host, or the one with an id",
        "streams": "all streams, or the one with an id; start= and count= choose",
        "clients": "viewers and publishers, or the one with an id; start= and count= choose, DELETE ends one",
    })
}

fn features() -> Value {
    json!({
        "options": "", "options2": "", "build": "", "build2": "",
        "features": {
            "ssl": true, "hls": true, "hds": false, "callback": true, "api": true, "httpd": true, "dvr": true,
            "transcode": true, "ingest": true, "stat": true, "caster": true, "complex_send": false, "tcp_nodelay": true,
            "so_sendbuf": false, "mr": false,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    #[test]
    fn the_host_is_that_of_the_request() {
        let check = |named: &str, expect: &str| {
            let request = Request::builder().uri("/").header("host", named).body(()).unwrap();
            assert_eq!(host(&Site::of(&request, false, false)), expect);
        };
        check("tv.example:1985", "tv.example");
        check("tv.example", "tv.example");
        check("[::1]:1985", "[::1]");
        check("[2001:db8::1]", "[2001:db8::1]");
    }

    #[test]
    fn refusals_are_numbers() {
        let check = |refusal: Refusal, status: u16| assert_eq!(refusal.response().status().as_u16(), status);
        check(Refusal::Code(Code::NoStream), 200);
        check(Refusal::Status(StatusCode::METHOD_NOT_ALLOWED), 405);
        check(Problem::new(Kind::Forbidden, "x").into(), 403);
        let mut problem = Problem::new(Kind::Unauthorized, "x");
        problem.headers.push((header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic")));
        let response = Refusal::from(problem).response();
        assert_eq!((response.status().as_u16(), response.headers().contains_key("www-authenticate")), (401, true));
    }
}
