//! `/livez` and `/readyz`: whether to restart the server, and whether to send viewers to it.

use super::{
    response,
    server_info::RuntimeState,
    snapshot::{StatusReader, StatusSnapshot},
};
use crate::access::{Access, Action, Decision, Subject};
use http::StatusCode;
use serde::Serialize;

/// States of a feed that is needed and delivers nothing.
const IN_TROUBLE: [&str; 5] = ["backoff", "dead", "no-signal", "stalled", "waiting-device"];

/// The result of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    Ready,
    /// Some streams are not served.
    Degraded,
    NotReady,
}

impl Health {
    const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::NotReady => "not-ready",
        }
    }
}

#[derive(Debug, Serialize)]
struct Report {
    status: Health,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Health,
    /// The problem.
    detail: Option<String>,
}

/// Whether the event loops of the server run, whatever its feeds do.
pub fn live(reader: &StatusReader) -> warp::reply::Response {
    let stalled = reader.info().stalled_loops();
    if stalled.is_empty() {
        return response(StatusCode::OK, "alive\n".to_owned(), "text/plain; charset=utf-8");
    }
    let text = format!("stalled event loops: {}\n", stalled.join(", "));
    response(StatusCode::SERVICE_UNAVAILABLE, text, "text/plain; charset=utf-8")
}

/// Whether readers are served; in detail for `?verbose`, which needs the permission to read the state.
pub fn ready(reader: &StatusReader, query: &str, access: &Access) -> warp::reply::Response {
    let stalled = reader.info().stalled_loops();
    let stalled: Vec<&str> = stalled.iter().map(|name| &**name).collect();
    let report = Report::of(&reader.snapshot(), &stalled, &reader.info().state());
    let status = if report.status == Health::NotReady { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let verbose = query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    let may_see = || {
        let decision = access.decide(Action::Status, Subject::Server);
        matches!(decision, Decision::Allowed { .. }) && access.sees_all()
    };
    if verbose && may_see() {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        response(status, text, "application/json")
    } else {
        response(status, format!("{}\n", report.status.name()), "text/plain; charset=utf-8")
    }
}

impl Report {
    fn of(snapshot: &StatusSnapshot, stalled_loops: &[&str], state: &RuntimeState) -> Self {
        let feeds = |is: &dyn Fn(&super::snapshot::Feed) -> bool| {
            snapshot.feeds.iter().filter(|feed| is(feed)).map(|feed| feed.name.as_str()).collect::<Vec<_>>()
        };
        let untried = feeds(&|feed| feed.mode == "continuous" && feed.life.starts == 0);
        let troubled = feeds(&|feed| IN_TROUBLE.contains(&feed.life.state));
        let error = snapshot.server.configuration.error.as_deref();
        let checks = vec![
            Check::new("serving", Health::NotReady, state.stopping.then(|| "the server is shutting down".to_owned())),
            Check::new("loops", Health::NotReady, list(stalled_loops)),
            Check::new("started", Health::NotReady, list(&untried)),
            Check::new("feeds", Health::Degraded, list(&troubled)),
            Check::new(
                "configuration",
                Health::Degraded,
                error.map(|_| "the newest configuration has errors".to_owned()),
            ),
            Check::new("certificate", Health::Degraded, state.bad_certificate.clone()),
        ];
        Self { status: checks.iter().map(|check| check.status).max().unwrap_or(Health::Ready), checks }
    }
}

impl Check {
    fn new(name: &'static str, otherwise: Health, detail: Option<String>) -> Self {
        Self { name, status: if detail.is_some() { otherwise } else { Health::Ready }, detail }
    }
}

fn list(names: &[&str]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::parse, engine::registry::Registry, status::server_info::ServerInfo};

    #[test]
    fn a_stopping_or_stalled_server_is_not_ready() {
        let config = parse("").unwrap();
        let registry = Registry::new(Vec::new(), Vec::new(), Vec::new());
        let info = ServerInfo::new(crate::sys::service::Pulses::default(), std::sync::Arc::default());
        let snapshot = StatusReader::new(&registry, &config, &info).snapshot();
        let state = |stopping, bad_certificate: Option<&str>| RuntimeState {
            loaded: std::time::SystemTime::now(),
            rejected: None,
            bad_certificate: bad_certificate.map(str::to_owned),
            stopping,
            listening: std::collections::BTreeMap::new(),
        };
        let status = |stalled: &[&str], stopping| Report::of(&snapshot, stalled, &state(stopping, None)).status;
        assert_eq!(Report::of(&snapshot, &[], &state(false, Some("old"))).status, Health::Degraded);
        assert_eq!(status(&[], false), Health::Ready);
        assert_eq!(status(&[], true), Health::NotReady);
        assert_eq!(status(&["accept loop"], false), Health::NotReady);
    }
}
