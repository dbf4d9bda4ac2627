//! `/livez` and `/readyz`: whether to start the server anew, and whether to send it viewers.

use super::{
    answer,
    facts::{Facts, View},
};
use http::StatusCode;
use serde::Serialize;

/// States of a feed that is wanted and delivers nothing.
const IN_TROUBLE: [&str; 5] = ["backoff", "dead", "no-signal", "stalled", "waiting-device"];

/// How well something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Health {
    Ready,
    /// It serves what it can.
    Degraded,
    NotReady,
}

impl Health {
    const fn word(self) -> &'static str {
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
    /// What is wrong.
    detail: Option<String>,
}

/// Whether the server itself still goes round, whatever its feeds do.
pub fn live(view: &View) -> warp::reply::Response {
    let dead = view.about().dead_loops();
    if dead.is_empty() {
        return answer(StatusCode::OK, "alive\n".to_owned(), "text/plain; charset=utf-8");
    }
    let text = format!("these loops do not come round any more: {}\n", dead.join(", "));
    answer(StatusCode::SERVICE_UNAVAILABLE, text, "text/plain; charset=utf-8")
}

/// Whether viewers are served; in detail for `?verbose`.
pub fn ready(view: &View, query: &str) -> warp::reply::Response {
    let dead = view.about().dead_loops();
    let dead: Vec<&str> = dead.iter().map(|name| &**name).collect();
    let report = Report::of(&view.facts(), &dead, view.about().now().ending);
    let status = if report.status == Health::NotReady { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let verbose = query.split('&').any(|part| part.split('=').next() == Some("verbose"));
    if verbose {
        let text = serde_json::to_string_pretty(&report).unwrap_or_default() + "\n";
        answer(status, text, "application/json")
    } else {
        answer(status, format!("{}\n", report.status.word()), "text/plain; charset=utf-8")
    }
}

impl Report {
    fn of(facts: &Facts, dead_loops: &[&str], ending: bool) -> Self {
        let feeds = |is: &dyn Fn(&super::facts::Feed) -> bool| {
            facts.feeds.iter().filter(|feed| is(feed)).map(|feed| feed.name.as_str()).collect::<Vec<_>>()
        };
        let untried = feeds(&|feed| feed.mode == "continuous" && feed.life.starts == 0);
        let troubled = feeds(&|feed| IN_TROUBLE.contains(&feed.life.state));
        let fault = facts.server.configuration.error.as_deref();
        let checks = vec![
            Check::new("serving", Health::NotReady, ending.then(|| "the server ends".to_owned())),
            Check::new("loops", Health::NotReady, list(dead_loops)),
            Check::new("started", Health::NotReady, list(&untried)),
            Check::new("feeds", Health::Degraded, list(&troubled)),
            Check::new("configuration", Health::Degraded, fault.map(|_| "the newest one has faults".to_owned())),
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
    use crate::{config::parse, control::about::About, engine::registry::Registry};

    #[test]
    fn a_server_that_ends_or_hangs_is_not_ready() {
        let config = parse("").unwrap();
        let registry = Registry::new(Vec::new(), Vec::new(), Vec::new());
        let facts = View::new(&registry, &config, &About::new(crate::sys::service::Pulses::default())).facts();
        let status = |dead: &[&str], ending| Report::of(&facts, dead, ending).status;
        assert_eq!(status(&[], false), Health::Ready);
        assert_eq!(status(&[], true), Health::NotReady);
        assert_eq!(status(&["accept loop"], false), Health::NotReady);
    }
}
