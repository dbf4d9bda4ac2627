//! `push:` of a stream: where it is sent to; checked and printed.

use super::{
    address,
    diagnostics::Path,
    expected::{kind, path_name, place},
    push_target::{PushService, PushTarget, PushUrl},
    raw,
    spans::Place,
    validator::Validator,
};
use crate::access::Secret;
use serde_yaml::Value;
use std::path::PathBuf;

/// Most targets of a stream, and of the answer of a service that names some.
pub const MOST_PUSHES: usize = 32;
/// Longest token in bytes.
const MOST_TOKEN: usize = 4096;
const TOKEN: &str = "1 to 4096 characters of ASCII without white space";

/// What an entry of the list is.
enum Entry {
    Target(PushTarget),
    Service(PushService),
}

impl Validator {
    /// The targets of a stream, and the service that names others; those with errors, which are noted, are omitted.
    pub(super) fn push(&mut self, path: &Path, value: Option<Value>) -> (Vec<PushTarget>, Option<PushService>) {
        let items = match value {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Sequence(items)) => {
                items.into_iter().enumerate().map(|(at, item)| (path.index(at), item)).collect()
            }
            Some(one) => vec![(path.clone(), one)],
        };
        if items.len() > MOST_PUSHES {
            self.note(path, Place::Key, format!("has {} targets, where {MOST_PUSHES} are the most", items.len()));
            return (Vec::new(), None);
        }
        let (mut targets, mut service) = (Vec::new(), None);
        for (path, item) in items {
            match self.push_entry(&path, item) {
                Some(Entry::Target(target)) => targets.push(target),
                Some(Entry::Service(_)) if service.is_some() => {
                    let message = "another service is asked for targets already: a stream has one";
                    self.note(&path.key("ask"), Place::Key, message.to_owned());
                }
                Some(Entry::Service(found)) => service = Some(found),
                None => {}
            }
        }
        (targets, service)
    }

    fn push_entry(&mut self, path: &Path, value: Value) -> Option<Entry> {
        let keys = match value {
            Value::Mapping(_) => self.section(path, value),
            Value::String(_) => raw::Push { to: Some(value), ..raw::Push::default() },
            other => {
                let message = format!("expected an address, or keys like `to:`, found {}", kind(&other));
                self.note(path, place(path, &other), message);
                return None;
            }
        };
        if let Some(url) = keys.ask {
            if keys.to.is_some() {
                self.note(&path.key("to"), Place::Key, "expected either `to` or `ask`".to_owned());
            }
            let url = self.secret(&path.key("ask"), Some(url), address::HTTP_URL, address::http_url);
            let ca = self.value(&path.key("ca"), keys.ca, path_name);
            let token = self.secret(&path.key("token"), keys.token, TOKEN, token);
            return Some(Entry::Service(PushService { url: url?, ca, token }));
        }
        if keys.to.is_none() {
            self.note(path, Place::Key, "has no address: expected `to: rtmp://host/app/key`".to_owned());
        }
        let at = if path.steps().is_empty() { path.clone() } else { path.key("to") };
        // What was found is not shown: it may have a key.
        let text = self.value(&at, keys.to, |text| Ok(text.to_owned()))?;
        let to = PushUrl::parse(&text).map_err(|what| self.note(path, Place::Key, format!("expected {what}"))).ok();
        let ca = self.value(&path.key("ca"), keys.ca, path_name);
        let token = self.secret(&path.key("token"), keys.token, TOKEN, token);
        let to = to?;
        if ca.is_some() && !to.protocol().is_tls() {
            self.note(&path.key("ca"), Place::Key, "has no effect: the address is not encrypted by TLS".to_owned());
        }
        if token.is_some() && !matches!(to, PushUrl::Whip(_)) {
            self.note(&path.key("token"), Place::Key, "has no effect: endpoints of WHIP alone take one".to_owned());
        }
        Some(Entry::Target(PushTarget { to, ca, token }))
    }
}

fn token(text: &str) -> Option<Secret> {
    // RFC 6750, section 2.1, and the characters that services have beside it.
    let is_good = (1..=MOST_TOKEN).contains(&text.len()) && text.chars().all(|c| c.is_ascii_graphic());
    is_good.then(|| Secret::new(text))
}

/// The section as it could have been read; `None` without targets.
pub(super) fn printed(targets: &[PushTarget], service: Option<&PushService>) -> Option<Value> {
    let keys = |ca: &Option<PathBuf>, token: &Option<Secret>| raw::Push {
        ca: ca.as_ref().map(|ca| Value::String(ca.to_string_lossy().into_owned())),
        token: token.as_ref().map(|token| Value::String(token.expose().to_owned())),
        ..raw::Push::default()
    };
    let value = |keys: raw::Push| serde_yaml::to_value(keys).unwrap_or_default();
    let targets = targets.iter().map(|PushTarget { to, ca, token }| {
        let to = Value::String(to.text());
        match (ca, token) {
            (None, None) => to,
            _ => value(raw::Push { to: Some(to), ..keys(ca, token) }),
        }
    });
    let service = service.map(|PushService { url, ca, token }| {
        value(raw::Push { ask: Some(Value::String(url.expose().to_owned())), ..keys(ca, token) })
    });
    let printed: Vec<_> = targets.chain(service).collect();
    (!printed.is_empty()).then_some(Value::Sequence(printed))
}

#[cfg(test)]
mod tests {
    use crate::config::{MOST_PUSHES, PushUrl, masked, parse, to_yaml};

    fn yaml(keys: &str) -> String {
        format!("feeds: {{f: {{pipeline: x}}}}\nstreams:\n  s: {{feed: f, push: {keys}}}")
    }

    #[test]
    fn targets_are_read_printed_and_masked() {
        let one = parse(&yaml("'rtmp://host/app/s3cret'")).unwrap();
        assert_eq!(one.streams[0].pushes.len(), 1);
        let config =
            parse(&yaml("['rtmp://host/app/s3cret?x=y', {to: 'rtmps://other:444/s3cret', ca: /ca.pem}]")).unwrap();
        let [first, second] = &config.streams[0].pushes[..] else { panic!("{config:?}") };
        let (PushUrl::Rtmp(one), PushUrl::Rtmp(other)) = (&first.to, &second.to) else { panic!("{config:?}") };
        assert_eq!((one.key.as_str(), other.port), ("s3cret?x=y", 444));
        assert_eq!(second.ca.as_deref(), Some(std::path::Path::new("/ca.pem")));
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        let shown = to_yaml(&masked(&config));
        assert!(!shown.contains("s3cret") && shown.contains("rtmp://host/app/***"), "{shown}");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_token_is_a_secret() {
        let config = parse(&yaml("{to: 'whips://host/s3cret', token: s3cret-token}")).unwrap();
        let target = &config.streams[0].pushes[0];
        assert_eq!(target.token.as_ref().map(crate::access::Secret::expose), Some("s3cret-token"));
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        let shown = to_yaml(&masked(&config));
        assert!(!shown.contains("s3cret") && shown.contains("whips://host/***"), "{shown}");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn a_service_is_asked_for_targets() {
        let service = "{ask: 'https://host/s3cret?x=y', token: s3cret-token}";
        let config = parse(&yaml(&format!("['rtmp://host/app/s3cret', {service}]"))).unwrap();
        let stream = &config.streams[0];
        assert_eq!((stream.pushes.len(), stream.push_service.is_some()), (1, true));
        assert_eq!(parse(&yaml(service)).unwrap().streams[0].push_service, stream.push_service);
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        let shown = to_yaml(&masked(&config));
        assert!(!shown.contains("s3cret") && shown.contains("ask: https://host/***"), "{shown}");
        assert!(!format!("{config:?}").contains("s3cret"));
    }

    #[test]
    fn faults_never_show_a_key() {
        let check = |keys: &str, expect: &str| {
            let faults = parse(&yaml(keys)).unwrap_err();
            let found = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
            assert!(found.contains(expect) && !found.contains("s3cret"), "{keys}: {found}");
        };
        check(
            "'ftp://host/app/s3cret'",
            "push: expected an address that begins with rtmp://, rtmps://, rtsp://, rtsps://, srt://, whip://, whips://, udp:// or rtp://",
        );
        check("'https://host/s3cret'", "push: expected whip:// or whips:// in place of http:// or https://");
        check("'whips://s3cret@host/a'", "push: expected an address without a user");
        check("[{to: 'whip://h/a', token: 's3cret x'}]", "push[0].token: expected 1 to 4096 characters of ASCII");
        check("[{to: 'rtmp://h/a', token: s3cret}]", "push[0].token: has no effect: endpoints of WHIP alone take one");
        check("[{to: 'rtmp://host'}]", "push[0]: expected an address with a path, like rtmp://host/app/key");
        check("{ask: 'ftp://s3cret'}", "push.ask: expected an address that begins with http:// or https://");
        check("{ask: 'http://h/a', to: 'rtmp://h/s3cret'}", "push.to: expected either `to` or `ask`");
        check(
            "[{ask: 'http://h/a'}, {ask: 'http://h/b'}]",
            "push[1].ask: another service is asked for targets already",
        );
        check("[{ca: /x}]", "push[0]: has no address: expected `to: rtmp://host/app/key`");
        check("[[a]]", "push[0]: expected an address, or keys like `to:`, found a list");
        check("[{to: 'rtmp://h/s3cret', ca: /x}]", "push[0].ca: has no effect: the address is not encrypted by TLS");
        check("[{to: 'rtmp://h/s3cret', cb: /x}]", "unknown key, did you mean `ca`?");
        check("'srt://host:1?passphrase=s3cret'", "push: expected a `passphrase` of 10 to 79 bytes");
        check(
            "'udp://host:1?s3cret=1'",
            "push: expected the parameters `ttl`, `interface`, `fec`, `columns` and `rows` only",
        );
        let many = vec!["'rtmp://h/s3cret'"; MOST_PUSHES + 1].join(", ");
        check(&format!("[{many}]"), "push: has 33 targets, where 32 are the most");
    }

    #[test]
    fn it_needs_a_stream_that_is_shared() {
        let yaml =
            "feeds: {f: {pipeline: x}}\nstreams: {s: {feed: f, command: [cat], client: exclusive, push: 'rtmp://h/a'}}";
        let faults = parse(yaml).unwrap_err();
        assert!(faults[0].to_string().contains("push: a stream that is made for each request"), "{faults:?}");
    }
}
