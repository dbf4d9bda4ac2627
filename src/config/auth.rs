//! `auth:`: who may do what, checked and printed.

use super::{
    address::http_url,
    diagnostics::Path,
    expected::{Expected, flag, kind, path_name, place},
    model::Pages,
    raw,
    spans::Place,
    validator::Validator,
};
use crate::access::{
    Action, Grant, HookForm, HookSource, JwtRules, JwtSource, KeySource, MASK, MIN_KEY, Network, NetworkError,
    PasswordHash, Pattern, Permission, Permissions, Policy, Secret, Token, User, digest::DigestSecret,
};
use data_encoding::HEXLOWER_PERMISSIVE;
use http::Uri;
use jiff::Timestamp;
use serde::Serialize;
use serde_yaml::{Mapping, Value};
use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Most users, and most tokens. More belong into a service that issues tokens.
const MAX_ENTRIES: usize = 10_000;
/// How long a permission of a hook is remembered, unless the configuration says otherwise.
const KEEP: Duration = Duration::from_secs(10);

impl Validator {
    /// The policy. Without the section, anyone may watch and read what the pages show.
    pub(super) fn auth(&mut self, path: &Path, value: Option<Value>, pages: &Pages) -> Policy {
        let default = unrestricted(pages);
        let Some(value) = value.filter(|value| !value.is_null()) else { return default };
        let keys: raw::Auth = self.section(path, value);
        let proves = keys.users.is_some() || keys.tokens.is_some() || keys.jwt.is_some() || keys.link_keys.is_some();
        let proves = proves || keys.hook.is_some();
        let unnamed = if proves { Permissions::default() } else { default.anyone };
        let proxies = self.networks(&path.key("proxies"), keys.proxies);
        let proxy_protocol = self.value(&path.key("proxy_protocol"), keys.proxy_protocol, flag).unwrap_or(false);
        if proxy_protocol && proxies.is_empty() {
            let message = "there are no `proxies` whose connections would begin with it".to_owned();
            self.note(&path.key("proxy_protocol"), Place::Key, message);
        }
        let anyone = keys.anyone.map(|value| self.permissions(&path.key("anyone"), value));
        Policy {
            anyone: anyone.unwrap_or(unnamed),
            users: self.users(&path.key("users"), keys.users),
            tokens: self.tokens(&path.key("tokens"), keys.tokens),
            link_keys: self.link_keys(&path.key("link_keys"), keys.link_keys),
            deny: self.networks(&path.key("deny"), keys.deny),
            allow: self.allowed_networks(&path.key("allow"), keys.allow),
            jwt: self.jwt(&path.key("jwt"), keys.jwt),
            hook: self.auth_hook(&path.key("hook"), keys.hook),
            proxies,
            proxy_protocol,
            names: keys.names.map(|value| self.scalars(&path.key("names"), value, host_name)).unwrap_or_default(),
            referers: keys
                .referers
                .map(|value| self.scalars(&path.key("referers"), value, page_host))
                .unwrap_or_default(),
        }
    }

    fn users(&mut self, path: &Path, value: Option<Value>) -> Vec<User> {
        let (mut users, mut taken) = (Vec::new(), HashSet::new());
        for (name, value) in self.bounded(path, value) {
            let path = path.key(&name);
            let keys: raw::User = self.section(&path, value);
            if name.contains([':', '\n']) || name.chars().any(char::is_control) || name.len() > 64 {
                let message = "the name of a user has at most 64 bytes, no `:` and no control characters".to_owned();
                self.note(&path, Place::Key, message);
            }
            if keys.password.is_none() && keys.certificate.is_none() {
                self.note(&path, Place::Key, "has no `password`: `voyandz passwd` makes one".to_owned());
            }
            let has_certificate = keys.certificate.is_some();
            let certificates = self.certificates(&path.key("certificate"), keys.certificate, &mut taken);
            let expected = "what `voyandz passwd` prints, $argon2id$...";
            let password = self.secret(&path.key("password"), keys.password, expected, PasswordHash::parse);
            if keys.digest.is_some() && password.is_none() {
                let message = "needs a `password` as well: that of other protocols".to_owned();
                self.note(&path.key("digest"), Place::Key, message);
            }
            let expected = "what `voyandz passwd --digest` prints, md5:...:sha256:...";
            let digest = self.secret(&path.key("digest"), keys.digest, expected, DigestSecret::parse);
            let grant = self.grant(&path, keys.may, keys.from, keys.until);
            if password.is_some() || has_certificate {
                let password = password.map(Arc::new);
                users.push(User { name: name.into(), password, digest, certificates, grant });
            }
        }
        users
    }

    /// Names of certificates, each for one user only.
    fn certificates(&mut self, path: &Path, value: Option<Value>, taken: &mut HashSet<Arc<str>>) -> Vec<Arc<str>> {
        let name = |text: &str| match text.len() {
            1..=256 => Ok(Arc::from(text)),
            _ => Err("a name in certificates of at most 256 bytes".into()),
        };
        let names: Vec<Arc<str>> = value.map(|value| self.scalars(path, value, name)).unwrap_or_default();
        if let Some(name) = names.iter().find(|name| !taken.insert((*name).clone())) {
            self.note(path, Place::Key, format!("another user has the certificate `{name}` already"));
        }
        names
    }

    fn tokens(&mut self, path: &Path, value: Option<Value>) -> Vec<Token> {
        let (mut tokens, mut digests) = (Vec::new(), HashSet::new());
        for (name, value) in self.bounded(path, value) {
            let path = path.key(&name);
            let keys: raw::Token = self.section(&path, value);
            if keys.sha256.is_none() {
                self.note(&path, Place::Key, "has no `sha256`: `voyandz token` makes a token and prints it".to_owned());
            }
            let expected = "the 64 hexadecimal digits that `voyandz token` prints";
            let digest = self.secret(&path.key("sha256"), keys.sha256, expected, digest);
            let grant = self.grant(&path, keys.may, keys.from, keys.until);
            let Some(digest) = digest else { continue };
            if !digests.insert(digest) {
                self.note(&path.key("sha256"), Place::Key, "another token has this already".to_owned());
            }
            tokens.push(Token { name: name.into(), digest, grant });
        }
        tokens
    }

    fn jwt(&mut self, path: &Path, value: Option<Value>) -> Option<JwtSource> {
        let keys: raw::Jwt = self.section(path, value?);
        if keys.keys.is_none() {
            self.note(path, Place::Key, "has no `keys`: expected the path or address of a JSON Web Key Set".to_owned());
        }
        let whole = |text: &str| if text.is_empty() { Err("a text".into()) } else { Ok(text.to_owned()) };
        let issuer = self.value(&path.key("issuer"), keys.issuer, whole);
        let audience = self.value(&path.key("audience"), keys.audience, whole);
        let keys = self.value(&path.key("keys"), keys.keys, key_source)?;
        Some(JwtSource { keys, rules: JwtRules { issuer, audience } })
    }

    fn auth_hook(&mut self, path: &Path, value: Option<Value>) -> Option<HookSource> {
        let keys: raw::AuthHook = self.section(path, value.filter(|value| !value.is_null())?);
        if keys.url.is_none() {
            self.note(path, Place::Key, "has no `url`: expected the address of the service that decides".to_owned());
        }
        let expected = "an address that begins with http:// or https://, without user and password";
        let url = self.secret(&path.key("url"), keys.url, expected, http_url);
        let form = self.value(&path.key("form"), keys.form, hook_form).unwrap_or(HookForm::Mediamtx);
        let keep = self.value(&path.key("keep"), keys.keep, keep_time).unwrap_or(KEEP);
        Some(HookSource { url: url?, form, keep })
    }

    fn link_keys(&mut self, path: &Path, value: Option<Value>) -> Vec<(Arc<str>, Secret)> {
        let mut keys = Vec::new();
        for (name, value) in self.bounded(path, value) {
            let path = path.key(&name);
            if !(1..=16).contains(&name.len()) || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            {
                let message =
                    "the name of a key has 1 to 16 letters, digits and `-`: it stands in each link".to_owned();
                self.note(&path, Place::Key, message);
            }
            let key = |text: &str| (text.len() >= MIN_KEY).then(|| Secret::new(text));
            let expected = format!("a secret text of at least {MIN_KEY} bytes, like `voyandz sign --new-key` prints");
            if let Some(key) = self.secret(&path, Some(value), &expected, key) {
                keys.push((name.into(), key));
            }
        }
        keys
    }

    fn grant(&mut self, path: &Path, may: Option<Value>, from: Option<Value>, until: Option<Value>) -> Grant {
        if may.is_none() {
            self.note(path, Place::Key, "has no `may`: expected a role like `viewer`, or a list of actions".to_owned());
        }
        Grant {
            may: may.map(|value| self.permissions(&path.key("may"), value)).unwrap_or_default(),
            from: self.networks(&path.key("from"), from),
            until: self.value(&path.key("until"), until, time),
        }
    }

    fn permissions(&mut self, path: &Path, value: Value) -> Permissions {
        let read = |text: &str| Permission::parse(text).map_err(|error| error.to_string().into());
        Permissions::new(self.scalars(path, value, read))
    }

    fn networks(&mut self, path: &Path, value: Option<Value>) -> Vec<Network> {
        value.map(|value| self.scalars(path, value, network)).unwrap_or_default()
    }

    fn allowed_networks(&mut self, path: &Path, value: Option<Value>) -> Vec<(Action, Vec<Network>)> {
        let mut allowed = Vec::new();
        for (name, value) in self.entries(path, value) {
            let path = path.key(&name);
            match Action::from_name(&name) {
                Some(action) => allowed.push((action, self.networks(&path, Some(value)))),
                None => {
                    let names = Action::ALL.map(Action::name).join(", ");
                    self.note(&path, Place::Key, format!("expected an action: {names}"));
                }
            }
        }
        allowed
    }

    /// A list of scalars, or a single one.
    pub(super) fn scalars<T>(
        &mut self,
        path: &Path,
        value: Value,
        read: impl Fn(&str) -> Result<T, Expected>,
    ) -> Vec<T> {
        match value {
            Value::Null => Vec::new(),
            Value::Sequence(items) => {
                let items = items.into_iter().enumerate();
                items.filter_map(|(at, item)| self.value(&path.index(at), Some(item), &read)).collect()
            }
            single => self.value(path, Some(single), &read).into_iter().collect(),
        }
    }

    fn bounded(&mut self, path: &Path, value: Option<Value>) -> raw::Entries<Value> {
        let mut entries = self.entries(path, value);
        if entries.len() > MAX_ENTRIES {
            self.note(path, Place::Key, format!("has {} entries, at most {MAX_ENTRIES} are possible", entries.len()));
            entries.truncate(MAX_ENTRIES);
        }
        entries
    }

    /// Reads one scalar that no message may quote.
    pub(super) fn secret<T>(
        &mut self,
        path: &Path,
        value: Option<Value>,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Option<T> {
        match value? {
            Value::String(text) => {
                let found = read(&text);
                if found.is_none() {
                    self.note(path, Place::Value, format!("expected {expected}, found another text"));
                }
                found
            }
            other => {
                self.note(path, place(path, &other), format!("expected {expected}, found {}", kind(&other)));
                None
            }
        }
    }
}

/// Without a section: who has configured a page wants it read.
fn unrestricted(pages: &Pages) -> Policy {
    let mut policy = Policy::default();
    if pages.config {
        let of = |permission: &Permission| permission.clone();
        let config = Permission::of_action(Action::ConfigRead, Pattern::everything());
        policy.anyone = Permissions::new(policy.anyone.iter().map(of).chain([config]).collect());
    }
    policy
}

/// The section as it could have been read; `None` where there was none.
pub(super) fn printed(policy: &Policy, pages: &Pages) -> Option<Value> {
    if *policy == unrestricted(pages) {
        return None;
    }
    let Policy { anyone, users, tokens, link_keys, deny, allow, proxies, names, jwt, hook, proxy_protocol, referers } =
        policy;
    let keys = raw::Auth {
        // Always: what it is by default depends on the other keys.
        anyone: Some(list(anyone.iter())),
        users: map(users.iter().map(|user| (&*user.name, value(&printed_user(user))))),
        tokens: map(tokens.iter().map(|token| (&*token.name, value(&printed_token(token))))),
        link_keys: map(link_keys.iter().map(|(name, key)| (&**name, text(key.expose())))),
        deny: some_list(deny),
        allow: map(allow.iter().map(|(action, networks)| (action.name(), list(networks.iter())))),
        jwt: jwt.as_ref().map(|jwt| value(&printed_jwt(jwt))),
        hook: hook.as_ref().map(|hook| value(&printed_hook(hook))),
        proxies: some_list(proxies),
        proxy_protocol: proxy_protocol.then_some(Value::Bool(true)),
        names: some_list(names),
        referers: some_list(referers),
    };
    Some(value(&keys))
}

fn printed_user(user: &User) -> raw::User {
    let Grant { may, from, until } = &user.grant;
    raw::User {
        password: user.password.as_ref().map(|password| text(password.text().expose())),
        digest: user.digest.as_ref().map(|digest| text(digest.text().expose())),
        certificate: some_list(&user.certificates),
        may: Some(list(may.iter())),
        from: some_list(from),
        until: until.and_then(printed_time),
    }
}

fn printed_jwt(jwt: &JwtSource) -> raw::Jwt {
    let JwtSource { keys, rules: JwtRules { issuer, audience } } = jwt;
    raw::Jwt {
        keys: Some(match keys {
            KeySource::File(path) => text(path.to_string_lossy()),
            KeySource::Address(address) => text(address),
        }),
        issuer: issuer.as_ref().map(text),
        audience: audience.as_ref().map(text),
    }
}

fn printed_hook(hook: &HookSource) -> raw::AuthHook {
    let HookSource { url, form, keep } = hook;
    raw::AuthHook {
        url: Some(text(url.expose())),
        form: (*form != HookForm::Mediamtx).then(|| text(form.name())),
        keep: (*keep != KEEP).then(|| serde_yaml::to_value(keep.as_secs_f64()).unwrap_or_default()),
    }
}

fn printed_token(token: &Token) -> raw::Token {
    let Grant { may, from, until } = &token.grant;
    raw::Token {
        // That of a masked policy.
        sha256: Some(if token.digest == [0; 32] {
            text(MASK)
        } else {
            text(HEXLOWER_PERMISSIVE.encode(&token.digest))
        }),
        may: Some(list(may.iter())),
        from: some_list(from),
        until: until.and_then(printed_time),
    }
}

fn value(entry: &impl Serialize) -> Value {
    serde_yaml::to_value(entry).unwrap_or_default()
}

fn text(text: impl ToString) -> Value {
    Value::String(text.to_string())
}

fn list(items: impl Iterator<Item = impl ToString>) -> Value {
    Value::Sequence(items.map(text).collect())
}

fn some_list(items: &[impl ToString]) -> Option<Value> {
    (!items.is_empty()).then(|| list(items.iter().map(ToString::to_string)))
}

fn map<'a>(entries: impl Iterator<Item = (&'a str, Value)>) -> Option<Value> {
    let entries: Mapping = entries.map(|(name, entry)| (text(name), entry)).collect();
    (!entries.is_empty()).then_some(Value::Mapping(entries))
}

fn digest(text: &str) -> Option<[u8; 32]> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn network(text: &str) -> Result<Network, Expected> {
    text.parse().map_err(|error: NetworkError| error.to_string().into())
}

fn time(text: &str) -> Result<SystemTime, Expected> {
    let time: Timestamp = text.parse().map_err(|_| "a time like 2026-12-31T20:00:00Z")?;
    Ok(time.into())
}

fn printed_time(time: SystemTime) -> Option<Value> {
    Timestamp::try_from(time).ok().map(text)
}

/// A path, or an address whose answers nobody can change on their way.
fn key_source(text: &str) -> Result<KeySource, Expected> {
    if !text.contains("://") {
        return path_name(text).map(KeySource::File);
    }
    let uri: Option<Uri> = text.parse().ok();
    let is_safe = |uri: &Uri| match (uri.scheme_str(), uri.host()) {
        (Some("https"), Some(host)) => !host.is_empty(),
        (Some("http"), Some(host)) => matches!(host, "127.0.0.1" | "[::1]" | "localhost"),
        _ => false,
    };
    let has_user = |uri: &Uri| uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    match uri.filter(|uri| is_safe(uri) && !has_user(uri)) {
        Some(_) => Ok(KeySource::Address(text.to_owned())),
        None => Err("a path, an address that begins with https://, or one of this machine with http://".into()),
    }
}

fn hook_form(text: &str) -> Result<HookForm, Expected> {
    let found = HookForm::ALL.into_iter().find(|form| form.name() == text);
    found.ok_or_else(|| "mediamtx or srs".into())
}

/// How long a permission of a hook is remembered.
fn keep_time(text: &str) -> Result<Duration, Expected> {
    let seconds = text.parse::<f64>().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "seconds from 0 to 3600".into())
}

/// A host whose pages may show media, or `*.` and what the hosts have in common.
fn page_host(text: &str) -> Result<String, Expected> {
    let expected = || "the name of a host like tv.example.org, or *.example.org".into();
    let (wild, name) = text.strip_prefix("*.").map_or(("", text), |name| ("*.", name));
    host_name(name).map(|name| format!("{wild}{name}")).map_err(|_| expected())
}

/// Lower case, as a `Host` is compared.
pub(super) fn host_name(text: &str) -> Result<String, Expected> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    if (1..=253).contains(&text.len()) && text.bytes().all(fits) {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("the name of a host like tv.example.org".into())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{masked, parse, testing::check, to_json, to_yaml};

    const HASH: &str = "$argon2id$v=19$m=64,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    fn full() -> String {
        format!(
            "\
auth:
  anyone: view lobby*
  users:
    anna: {{password: '{HASH}', may: admin}}
    tv: {{password: '{HASH}', certificate: [tv.example, tv@example], may: [view cam*, still cam*], from: 192.168.0.0/16, until: 2026-12-31T20:00:00Z}}
  tokens:
    grafana: {{sha256: {}, may: status}}
  link_keys: {{2026: {}}}
  deny: [203.0.113.0/24]
  allow: {{config:read: [127.0.0.0/8, '::1']}}
  jwt: {{keys: jwks.json, issuer: 'https://id.example', audience: tv}}
  proxies: 127.0.0.1
  proxy_protocol: true
  names: [TV.example.org]
  referers: [Example.org, '*.example.net']
",
            "0a".repeat(32),
            "canary-canary-canary-canary-canary"
        )
    }

    #[test]
    fn a_section_is_read_as_it_is_printed() {
        let config = parse(&full()).unwrap();
        let policy = &config.auth;
        assert_eq!((policy.users.len(), policy.tokens.len(), policy.link_keys.len()), (2, 1, 1));
        assert_eq!(policy.names, ["tv.example.org"]);
        assert_eq!(policy.referers, ["example.org", "*.example.net"]);
        assert_eq!(policy.anyone.iter().map(ToString::to_string).collect::<Vec<_>>(), ["view lobby*"]);
        let printed = to_yaml(&config);
        assert!(printed.contains("until: 2026-12-31T20:00:00Z"), "{printed}");
        assert_eq!(parse(&printed).unwrap(), config, "{printed}");
    }

    #[test]
    fn secrets_are_masked() {
        let config = parse(&full()).unwrap();
        for shown in [to_yaml(&masked(&config)), to_json(&masked(&config)), format!("{config:?}")] {
            for secret in ["canary", "GRPPc", "0a0a"] {
                assert!(!shown.contains(secret), "{secret} in\n{shown}");
            }
        }
        assert!(to_yaml(&masked(&config)).contains("password: '***'"));
    }

    fn digest() -> String {
        format!("md5:{}:sha256:{}", "0b".repeat(16), "0c".repeat(32))
    }

    #[test]
    fn a_secret_for_digest_is_read_printed_and_masked() {
        let text = format!("auth: {{users: {{anna: {{password: '{HASH}', digest: '{}', may: viewer}}}}}}", digest());
        let config = parse(&text).unwrap();
        assert!(config.auth.has_digests());
        assert_eq!(parse(&to_yaml(&config)).unwrap(), config);
        let shown = to_yaml(&masked(&config));
        assert!(!shown.contains("0b0b") && !shown.contains("0c0c") && shown.contains("***"), "{shown}");
    }

    #[test]
    fn anyone_may_do_nothing_once_somebody_can_log_in() {
        let anyone = |text: &str| {
            let config = parse(text).unwrap();
            config.auth.anyone.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(anyone(""), "viewer");
        assert_eq!(anyone("pages: {config: true}"), "viewer config:read");
        assert_eq!(anyone("auth:"), "viewer");
        assert_eq!(anyone("auth: {deny: [192.0.2.0/24]}"), "viewer");
        assert_eq!(anyone("auth: {users: {}}"), "");
        assert_eq!(anyone("auth: {tokens: {}}"), "");
        assert_eq!(anyone(&format!("auth: {{link_keys: {{k: {}}}}}", "x".repeat(32))), "");
        assert_eq!(anyone("auth: {jwt: {keys: a}}"), "");
        assert_eq!(anyone("auth: {users: {}, anyone: [view, still]}"), "view still");
        assert_eq!(anyone("auth: {anyone: []}"), "");
    }

    #[test]
    fn faults_name_no_secret() {
        let expected = "expected what `voyandz passwd` prints, $argon2id$..., found another text";
        check(
            "auth: {users: {anna: {password: canary, may: viewer}}}",
            &format!("1:33: auth.users.anna.password: {expected}"),
        );
        check(
            &format!("auth: {{users: {{anna: {{password: '{HASH}', digest: canary, may: viewer}}}}}}"),
            &format!(
                "1:{}: auth.users.anna.digest: expected what `voyandz passwd --digest` prints, md5:...:sha256:..., found another text",
                45 + HASH.len()
            ),
        );
        check(
            &format!("auth: {{users: {{anna: {{certificate: a, digest: '{}', may: viewer}}}}}}", digest()),
            "1:39: auth.users.anna.digest: needs a `password` as well: that of other protocols",
        );
        check(
            "auth: {users: {anna: {may: viewer}}}",
            "1:16: auth.users.anna: has no `password`: `voyandz passwd` makes one",
        );
        check(
            &format!("auth: {{users: {{anna: {{password: '{HASH}'}}}}}}"),
            "1:16: auth.users.anna: has no `may`: expected a role like `viewer`, or a list of actions",
        );
        check(
            "auth: {tokens: {t: {sha256: canary, may: viewer}}}",
            "1:29: auth.tokens.t.sha256: expected the 64 hexadecimal digits that `voyandz token` prints, found another text",
        );
        check(
            "auth: {link_keys: {k: canary}}",
            "1:23: auth.link_keys.k: expected a secret text of at least 32 bytes, like `voyandz sign --new-key` prints, found another text",
        );
        check(
            "auth: {anyone: watch}",
            "1:16: auth.anyone: expected an action or role: viewer, operator, editor, admin, view, still, playback, publish, status, record, kick, config:read, config:write, config:exec, users, found \"watch\"",
        );
        check(
            "auth: {anyone: [status cam]}",
            "1:17: auth.anyone[0]: expected no name of a stream after an action that is not done to streams, found \"status cam\"",
        );
        check(
            "auth: {deny: [192.0.2.1/24]}",
            "1:15: auth.deny[0]: expected a network like 192.0.2.0/24 or 2001:db8::/32, or an address, found \"192.0.2.1/24\"",
        );
        check(
            "auth: {allow: {look: []}}",
            "1:16: auth.allow.look: expected an action: view, still, playback, publish, status, record, kick, config:read, config:write, config:exec, users",
        );
        check(
            "auth: {jwt: {issuer: x}}",
            "1:8: auth.jwt: has no `keys`: expected the path or address of a JSON Web Key Set",
        );
        check(
            "auth: {jwt: {keys: 'http://id.example/jwks'}}",
            "1:20: auth.jwt.keys: expected a path, an address that begins with https://, or one of this machine with http://, found \"http://id.example/jwks\"",
        );
        check("auth: {hook: {}}", "1:8: auth.hook: has no `url`: expected the address of the service that decides");
        check(
            "auth: {hook: {url: 'http://h', form: x, keep: -1}}",
            "1:38: auth.hook.form: expected mediamtx or srs, found \"x\"\n1:47: auth.hook.keep: expected seconds from 0 to 3600, found \"-1\"",
        );
        check(
            "auth: {proxy_protocol: true}",
            "1:8: auth.proxy_protocol: there are no `proxies` whose connections would begin with it",
        );
        check(
            "auth: {names: [a/b]}",
            "1:16: auth.names[0]: expected the name of a host like tv.example.org, found \"a/b\"",
        );
        check(
            "auth: {users: {a: {certificate: x, may: view}, b: {certificate: x, may: view}}}",
            "1:52: auth.users.b.certificate: another user has the certificate `x` already",
        );
        check(
            "auth: {referers: ['*']}",
            "1:19: auth.referers[0]: expected the name of a host like tv.example.org, or *.example.org, found \"*\"",
        );
        check("auth: {user: {}}", "1:8: auth.user: unknown key, did you mean `users`?");
    }
}
