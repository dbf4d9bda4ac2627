//! What the machine has: devices, and whether an address has media.

use super::{
    call::{Answer, Call},
    problem::{Kind, Problem},
};
use crate::{
    access::{Action, Decision, Subject},
    config::{Source, change::is_remote, text_without_secrets, url_source},
    source::{device_caps::device_caps, probe::probe as tracks_of},
    status::tracks,
    sys::devices::{Device, devices},
};
use serde_json::{Value, json};
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// Time for what is tried to show its tracks, with that for a worker to start.
const WITHIN: Duration = Duration::from_secs(15);
/// Time for a name to be resolved.
const RESOLVED_WITHIN: Duration = Duration::from_secs(3);

/// `GET /devices`.
pub(super) async fn list(call: Call) -> Result<Answer, Problem> {
    let internal = |error: String| Problem::new(Kind::Internal, error);
    let found = tokio::task::spawn_blocking(|| {
        let found = devices();
        let faults: Vec<_> = found.iter().map(Device::fault).collect();
        (found, faults)
    });
    let (found, faults) = found.await.map_err(|error| internal(error.to_string()))?;
    let mut caps = vec![None; found.len()];
    if call.query.flag("caps")? {
        let Ok(_permit) = call.api.examining.try_acquire() else {
            return Err(Problem::new(Kind::TooMany, "the machine is being looked at: try again in a minute"));
        };
        caps = device_caps(&found).await.map_err(internal)?;
    }
    let shown = found.iter().zip(faults).zip(caps).map(|((Device { path, kind, name, id, .. }, fault), caps)| {
        let (caps, closed) = match caps {
            Some(Ok(caps)) => (Some(caps), None),
            Some(Err(why)) => (None, Some(why)),
            None => (None, None),
        };
        json!({"path": path, "kind": kind, "name": name, "id": id, "caps": caps, "fault": fault.or(closed)})
    });
    Ok(Answer::json(call.query.page(shown.collect(), "path")?))
}

/// `GET /doctor`: what `voyandz doctor` finds, but of the configuration.
pub(super) async fn doctor(call: Call) -> Result<Answer, Problem> {
    let Ok(_permit) = call.api.examining.try_acquire() else {
        return Err(Problem::new(Kind::TooMany, "the machine is being looked at: try again in a minute"));
    };
    Ok(Answer::json(call.api.doctor.examine().await))
}

/// `POST /probe`: which tracks an address has, as a feed with it would have them.
pub(super) async fn probe(call: Call) -> Result<Answer, Problem> {
    let body = call.body()?;
    let Some(url) = body.get("url").and_then(Value::as_str) else {
        return Err(Problem::new(Kind::BadRequest, "expected an object with the key `url`"));
    };
    let source =
        url_source(url).map_err(|expected| Problem::new(Kind::BadRequest, format!("url: expected {expected}")))?;
    let is_admin = matches!(call.access.decide(Action::ConfigExec, Subject::Server), Decision::Allowed { .. });
    if !(is_admin && call.state.api.exec) {
        permit(url).await?;
    }
    let Ok(_permit) = call.api.probes.try_acquire() else {
        return Err(Problem::new(Kind::TooMany, "other addresses are tried: try again in ten seconds"));
    };
    let began = Instant::now();
    // Nothing but the address that was checked.
    let source = match source {
        Source::Pipeline(text) => {
            Source::Pipeline(text.replacen("souphttpsrc ", "souphttpsrc automatic-redirect=false ", 1))
        }
        other => other,
    };
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(WITHIN, tracks_of(source)) => {
            outcome.unwrap_or_else(|_| Err("no media came of it in time".to_owned()))
        }
        // Nobody waits for the outcome any more.
        () = call.client.wait() => Err("the client left".to_owned()),
    };
    let (tracks, error) = match outcome {
        Ok(found) => (tracks::of(&found), None),
        Err(error) => (Vec::new(), Some(text_without_secrets(&error))),
    };
    Ok(Answer::json(json!({
        "works": error.is_none(), "error": error, "tracks": tracks, "seconds": began.elapsed().as_secs_f64(),
    })))
}

/// Whoever may only add cameras reaches other machines, not this one nor what clouds have at link-local addresses.
async fn permit(url: &str) -> Result<(), Problem> {
    let refused = |why: &str| {
        let detail = format!("url: {why}: that needs the permission config:exec and `api: {{exec: true}}`");
        Problem::new(Kind::Forbidden, detail)
    };
    if !is_remote(url) {
        return Err(refused("it is an address of this machine, or link-local"));
    }
    let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(host) => host.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let found = tokio::time::timeout(RESOLVED_WITHIN, tokio::net::lookup_host((host, 0))).await;
    // A name that is not known is what the try says.
    let Ok(Ok(found)) = found else { return Ok(()) };
    match found.into_iter().find(|address| !is_far(address.ip())) {
        Some(_) => Err(refused("its name leads to this machine, or to a link-local address")),
        None => Ok(()),
    }
}

/// Whether an address may be another machine's. Private networks are where cameras are.
fn is_far(address: IpAddr) -> bool {
    let shown = if address.is_ipv6() { format!("x://[{address}]/") } else { format!("x://{address}/") };
    is_remote(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn names_of_this_machine_are_not_tried() {
        for (url, expect) in [
            ("rtsp://10.1.2.3/x", true),
            ("rtsp://127.0.0.1/x", false),
            ("rtsp://[::1]/x", false),
            ("http://169.254.169.254/latest", false),
            ("http://localhost:80/", false),
            ("http://2130706433/", false),
        ] {
            assert_eq!(permit(url).await.is_ok(), expect, "{url}");
        }
    }
}
