//! The words of a service that names targets: what it is asked when a publisher begins, and what its answer means. The question is that of
//! SRS (`forward` with a `backend`), so that services which were made for it do for this server as well. Pure.

use crate::{
    access::Secret,
    config::{MOST_PUSHES, PushTarget, PushUrl},
    source::publisher::PublisherInfo,
};
use serde_json::{Value, json};

/// Longest token in bytes.
const TOKEN: usize = 4096;
/// SRS knows several hosts; this one is what a stream without one is of.
const HOST: &str = "__defaultVhost__";

/// What an answer says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) targets: Vec<PushTarget>,
    /// What is expected in place of those that are none. It has nothing of the answer, which may have secrets.
    pub(super) faults: Vec<String>,
}

/// The question about a stream. `server` names this server.
pub(super) fn question(server: &str, stream: &str, publisher: &PublisherInfo) -> Value {
    // As SRS names a stream: what stands before the last slash is the application.
    let (app, name) = stream.rsplit_once('/').unwrap_or(("live", stream));
    json!({
        "action": "on_forward", "server_id": server, "client_id": stream, "ip": publisher.peer.ip().to_string(),
        "vhost": HOST, "app": app, "stream": name, "param": "",
        "tcUrl": format!("{}://localhost/{app}", publisher.protocol.name()),
        "user": publisher.user, "agent": publisher.agent,
    })
}

/// What an answer means: `{"code": 0, "data": {"urls": […]}}` as SRS has it, or `{"urls": […]}`. An entry is an address, or has `to` and `token`.
///
/// # Errors
/// When the service refuses, or what it answers cannot be understood.
pub(super) fn answer(status: u16, body: &[u8]) -> Result<Named, String> {
    if !(200..300).contains(&status) {
        return Err(format!("the service answers {status}"));
    }
    const EXPECTED: &str =
        "the service answers what cannot be understood: expected {\"code\": 0, \"data\": {\"urls\": [...]}}";
    let body: Value = serde_json::from_slice(body).map_err(|_| EXPECTED)?;
    match body.get("code") {
        None => {}
        Some(code) if code.as_i64() == Some(0) => {}
        Some(code) => return Err(format!("the service refuses with the code {}", code.as_i64().unwrap_or(-1))),
    }
    let urls = match body.get("urls").or_else(|| body.get("data")?.get("urls")) {
        Some(Value::Array(urls)) => urls.as_slice(),
        // SRS takes an answer without data as one without targets.
        None | Some(Value::Null) if body.get("code").is_some() => &[],
        _ => return Err(EXPECTED.to_owned()),
    };
    let mut named = Named::default();
    if urls.len() > MOST_PUSHES {
        named.faults.push(format!("{MOST_PUSHES} targets at most, found {}", urls.len()));
    }
    for entry in urls.iter().take(MOST_PUSHES) {
        match target(entry) {
            Ok(target) if named.targets.iter().all(|other| other.to != target.to) => named.targets.push(target),
            Ok(_) => named.faults.push("each target once".to_owned()),
            Err(expected) => named.faults.push(expected),
        }
    }
    Ok(named)
}

fn target(entry: &Value) -> Result<PushTarget, String> {
    let (to, token) = match entry {
        Value::String(to) => (Some(to.as_str()), None),
        other => (other.get("to").and_then(Value::as_str), other.get("token")),
    };
    let to = PushUrl::parse(to.ok_or("an address, or an object with `to`")?)?;
    let token = match token {
        None | Some(Value::Null) => None,
        Some(token) => {
            let is_good = |token: &&str| {
                matches!(to, PushUrl::Whip(_))
                    && (1..=TOKEN).contains(&token.len())
                    && token.chars().all(|c| c.is_ascii_graphic())
            };
            let token = token.as_str().filter(is_good).ok_or("a `token` that is text, for a target of WHIP")?;
            Some(Secret::new(token))
        }
    };
    // A file of this machine is not for others to name.
    Ok(PushTarget { to, ca: None, token })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublishProtocol;
    use proptest::prelude::*;

    #[test]
    fn the_question_has_the_words_of_srs() {
        let info = PublisherInfo {
            protocol: PublishProtocol::Rtmp,
            peer: "192.0.2.1:5".parse().unwrap(),
            user: None,
            agent: Some("OBS".to_owned()),
        };
        let asked = question("/voyandz/x", "studio/cam", &info);
        let part = |name: &str| asked[name].as_str().unwrap_or("-").to_owned();
        let names = ["action", "server_id", "ip", "app", "stream", "tcUrl", "user", "agent"];
        let expected =
            ["on_forward", "/voyandz/x", "192.0.2.1", "studio", "cam", "rtmp://localhost/studio", "-", "OBS"];
        assert_eq!(names.map(part), expected.map(str::to_owned));
        assert_eq!(question("x", "cam", &info)["app"], "live");
    }

    #[test]
    fn answers() {
        let check = |status, body: &str, expect: Result<(&[&str], usize), &str>| {
            let found = answer(status, body.as_bytes());
            let found = found.map(|named| {
                (named.targets.iter().map(|target| target.to.text()).collect::<Vec<_>>(), named.faults.len())
            });
            let expect = expect.map(|(urls, faults)| (urls.iter().map(|url| (*url).to_owned()).collect(), faults));
            match (found, expect) {
                (Err(found), Err(expect)) => assert!(found.contains(expect), "{body}: {found}"),
                (found, expect) => assert_eq!(found, expect.map_err(str::to_owned), "{body}"),
            }
        };
        let (one, two) = ("rtmp://a/live/x", "srt://b:9000?streamid=publish:x");
        check(200, &format!("{{\"code\": 0, \"data\": {{\"urls\": [\"{one}\", \"{two}\"]}}}}"), Ok((&[one, two], 0)));
        check(200, &format!("{{\"urls\": [{{\"to\": \"{one}\"}}, \"{one}\", 7, \"ftp://x\"]}}"), Ok((&[one], 3)));
        check(200, "{\"code\": 0}", Ok((&[], 0)));
        check(200, "{\"code\": 0, \"data\": null}", Ok((&[], 0)));
        check(200, "{\"code\": 403}", Err("refuses with the code 403"));
        check(200, "{}", Err("cannot be understood"));
        check(200, "ok", Err("cannot be understood"));
        check(500, "{\"code\": 0}", Err("answers 500"));
        let many = (0..40).map(|number| format!("\"rtmp://a/live/{number}\"")).collect::<Vec<_>>().join(",");
        let named = answer(200, format!("{{\"urls\": [{many}]}}").as_bytes()).unwrap();
        assert_eq!((named.targets.len(), named.faults), (MOST_PUSHES, vec!["32 targets at most, found 40".to_owned()]));
    }

    #[test]
    fn tokens_are_for_whip() {
        let token = |to: &str, token: Value| {
            let body = json!({"urls": [{"to": to, "token": token}]}).to_string();
            let named = answer(200, body.as_bytes()).unwrap();
            named.targets.first().map(|target| target.token.as_ref().map(|token| token.expose().to_owned()))
        };
        assert_eq!(token("whips://a/x", json!("s3cret")), Some(Some("s3cret".to_owned())));
        assert_eq!(token("whips://a/x", Value::Null), Some(None));
        for (to, bad) in [("rtmp://a/live/x", json!("s3cret")), ("whip://a/x", json!("a b")), ("whip://a/x", json!(7))]
        {
            assert_eq!(token(to, bad), None);
        }
    }

    proptest! {
        #[test]
        fn foreign_answers_never_panic(
            status in 0u16..1000,
            body in "(\\{\"urls\": \\[.{0,30}\\]\\})|(\\{\"code\": -?[0-9]{1,30}\\})|.{0,60}",
        ) {
            let named = answer(status, body.as_bytes());
            prop_assert!(named.is_err() || (200..300).contains(&status));
        }
    }
}
