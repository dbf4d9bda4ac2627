//! `/livez` and `/readyz`: whether to restart the server, and whether to send viewers to it.

use super::{
    response,
    snapshot::{StatusReader, StatusSnapshot},
};
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

/// Whether readerers are served; in detail for `?verbose`.
pub fn ready(reader: &StatusReader, query: &str) -> warp::reply::Response {
    let stalled = reader.info().stalled_loops();
    let stalled: Vec<&str> = stalled.iter().map(|name| &**name).collect();
    let report = Report::of(&reader.snapshot(), &stalled, reader.info().state().stopping);
    let status = if report.status == Health::NotReady { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let verbose = query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    if verbose {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        response(status, text, "application/json")
    } else {
        response(status, format!("{}\n", report.status.name()), "text/plain; charset=utf-8")
    }
}

impl Report {
    fn of(snapshot: &StatusSnapshot, stalled_loops: &[&str], ending: bool) -> Self {
        let feeds = |is: &dyn Fn(&super::snapshot::Feed) -> bool| {
            snapshot.feeds.iter().filter(|feed| is(feed)).map(|feed| feed.name.as_str()).collect::<Vec<_>>()
        };
        let untried = feeds(&|feed| feed.mode == "continuous" && feed.life.starts == 0);
        let troubled = feeds(&|feed| IN_TROUBLE.contains(&feed.life.state));
        let error = snapshot.server.configuration.error.as_deref();
        let checks = vec![
            Check::new("serving", Health::NotReady, ending.then(|| "the server is shutting down".to_owned())),
            Check::new("loops", Health::NotReady, list(stalled_loops)),
            Check::new("started", Health::NotReady, list(&untried)),
            Check::new("feeds", Health::Degraded, list(&troubled)),
            Check::new(
                "configuration",
                Health::Degraded,
                error.map(|_| "the newest configuration has errors".to_owned()),
            ),
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
        let snapshot = StatusReader::new(
            &registry,
            &config,
            &ServerInfo::new(crate::sys::service::Pulses::default(), std::sync::Arc::default()),
        )
        .snapshot();
        let status = |stalled: &[&str], ending| Report::of(&snapshot, stalled, ending).status;
        assert_eq!(status(&[], false), Health::Ready);
        assert_eq!(status(&[], true), Health::NotReady);
        assert_eq!(status(&["accept loop"], false), Health::NotReady);
    }
}
