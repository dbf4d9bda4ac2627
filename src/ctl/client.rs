//! Asks a server.

use super::{error::CtlError, options::Ctl};
use crate::{
    access::Secret,
    config::{self, Config, ControlPlace},
    net::{Exchange, HttpClient, places},
};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::{path::PathBuf, time::Duration};

/// Where a server is unless something says otherwise.
const USUAL: &str = "http://127.0.0.1:8090";
const USUAL_PORT: u16 = 8090;
/// What the path of a control socket follows in the address of a server.
const SOCKET: &str = "unix:";
/// Entries that are asked for at a time.
const PAGE: &str = "1000";
/// Time for an answer.
const WITHIN: Duration = Duration::from_secs(30);
/// What is unchanged in a part of a path.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A server that is asked.
#[derive(Debug)]
pub(super) struct Client {
    http: HttpClient,
    /// Without a slash at its end; `unix:` and a path for a control socket.
    server: String,
    /// The address for browsers on this machine.
    site: String,
    token: Option<Secret>,
}

impl Client {
    /// The server of these options.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn new(options: &Ctl) -> Result<Self, CtlError> {
        let file = |path: &PathBuf, source| CtlError::File { path: path.clone(), source };
        let http = HttpClient::new(options.ca.as_deref())?;
        let token = match &options.token_file {
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| file(path, error))?),
            None => std::env::var("VOYANDZ_TOKEN").ok(),
        };
        let token = token.map(|token| token.trim().to_owned()).filter(|token| !token.is_empty()).map(Secret::new);
        let config = match options.server {
            Some(_) => None,
            None => configuration(options.file.as_deref()),
        };
        let site = config.as_ref().map_or_else(|| USUAL.to_owned(), |config| config.local_address(config.listen_port));
        // Who gives a token wants to be that.
        let has_token = token.is_some();
        let socket = || {
            let path = (!has_token).then(|| control_socket(config.as_ref())).flatten()?;
            Some(format!("{SOCKET}{}", path.display()))
        };
        let server = options.server.clone().or_else(socket).unwrap_or_else(|| site.clone());
        Ok(Self { http, server: server.trim_end_matches('/').to_owned(), site, token })
    }

    /// The address of the server for browsers on this machine.
    pub(super) fn site(&self) -> &str {
        if self.server.starts_with(SOCKET) { &self.site } else { &self.server }
    }

    /// Asks for JSON.
    pub(super) async fn get(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CtlError> {
        self.json(Method::GET, path, query).await
    }

    /// All entries of a list that comes in pages.
    pub(super) async fn pages(&self, path: &[&str], chosen: &[(&str, &str)]) -> Result<Vec<Value>, CtlError> {
        let (mut items, mut after) = (Vec::new(), String::new());
        loop {
            let mut query = vec![("limit", PAGE)];
            query.extend((!after.is_empty()).then_some(("after", after.as_str())));
            query.extend_from_slice(chosen);
            let page = self.get(path, &query).await?;
            items.extend(page.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            match page.get("next").and_then(Value::as_str) {
                Some(next) => after = next.to_owned(),
                None => return Ok(items),
            }
        }
    }

    /// Orders something.
    pub(super) async fn post(&self, path: &[&str]) -> Result<(), CtlError> {
        self.json(Method::POST, path, &[]).await.map(drop)
    }

    /// Ends something.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), CtlError> {
        self.json(Method::DELETE, path, &[]).await.map(drop)
    }

    /// Merges a patch (RFC 7386) into something.
    pub(super) async fn patch(&self, path: &[&str], query: &[(&str, &str)], patch: &Value) -> Result<Value, CtlError> {
        self.exchange(Method::PATCH, path, query, Bytes::from(patch.to_string())).await
    }

    /// Asks, and reads the answer as JSON; `null` where there is none.
    pub(super) async fn json(&self, method: Method, path: &[&str], query: &[(&str, &str)]) -> Result<Value, CtlError> {
        self.exchange(method, path, query, Bytes::new()).await
    }

    async fn exchange(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        patch: Bytes,
    ) -> Result<Value, CtlError> {
        let asked = async {
            let exchange = self.send(method, &target(path, query), "application/json", None, patch).await?;
            let bytes = body(exchange).await?;
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_slice(&bytes).map_err(|error| CtlError::Foreign(error.to_string()))
        };
        tokio::time::timeout(WITHIN, asked).await.map_err(|_| CtlError::Late(self.server.clone()))?
    }

    /// Asks for what is at a path.
    pub(super) async fn bytes(&self, target: &str) -> Result<Bytes, CtlError> {
        let asked = async { body(self.open(Method::GET, target, "image/jpeg", None).await?).await };
        tokio::time::timeout(WITHIN, asked).await.map_err(|_| CtlError::Late(self.server.clone()))?
    }

    /// Asks for events after the one with the number `last`.
    pub(super) async fn events(&self, query: &[(&str, &str)], last: Option<&str>) -> Result<Exchange, CtlError> {
        let target = target(&["api", "v1", "events"], query);
        let asked = self.open(Method::GET, &target, "text/event-stream", last);
        tokio::time::timeout(WITHIN, asked).await.map_err(|_| CtlError::Late(self.server.clone()))?
    }

    async fn open(&self, method: Method, target: &str, accept: &str, last: Option<&str>) -> Result<Exchange, CtlError> {
        self.send(method, target, accept, last, Bytes::new()).await
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        accept: &str,
        last: Option<&str>,
        patch: Bytes,
    ) -> Result<Exchange, CtlError> {
        let socket = self.server.strip_prefix(SOCKET).map(std::path::Path::new);
        let address = if socket.is_some() { "http://localhost" } else { &self.server };
        let mut request = Request::builder().method(method).uri(format!("{address}{target}"));
        request = request.header(header::ACCEPT, accept);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        if !patch.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/merge-patch+json");
        }
        let foreign = |error: http::Error| CtlError::Foreign(error.to_string());
        let mut request = request.body(Full::new(patch)).map_err(foreign)?;
        if let Some(token) = &self.token {
            let value = HeaderValue::from_str(&format!("Bearer {}", token.expose()));
            let mut value = value.map_err(|error| foreign(error.into()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        let sent = match socket {
            Some(path) => self.http.send_over(path, request).await,
            None => self.http.send(request).await,
        };
        let exchange = sent.map_err(|source| CtlError::Unreachable { server: self.server.clone(), source })?;
        let status = exchange.response.status();
        if status.is_success() { Ok(exchange) } else { Err(refused(status, &body(exchange).await.unwrap_or_default())) }
    }
}

fn target(path: &[&str], query: &[(&str, &str)]) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, PLAIN).to_string();
    let mut target: String = path.iter().map(|part| format!("/{}", encoded(part))).collect();
    for (number, (name, value)) in query.iter().enumerate() {
        target.push(if number == 0 { '?' } else { '&' });
        target.push_str(&format!("{name}={}", encoded(value)));
    }
    target
}

async fn body(mut exchange: Exchange) -> Result<Bytes, CtlError> {
    let collected = exchange.response.body_mut().collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| CtlError::Foreign(error.to_string()))
}

/// What the server says, and what to do about it.
fn refused(status: StatusCode, body: &[u8]) -> CtlError {
    let problem: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| problem.get(key).and_then(Value::as_str);
    let said = match (text("title"), text("detail")) {
        (Some(title), Some(detail)) => format!("{title}: {detail}"),
        _ => String::from_utf8_lossy(body).lines().next().unwrap_or_default().chars().take(200).collect(),
    };
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            ": run it as root or as the user of the server on its machine, or give a token with --token-file, which `voyandz token` makes"
        }
        _ => "",
    };
    let said = if said.is_empty() { status.to_string() } else { said };
    CtlError::Refused { status, detail: format!("{said}{hint}") }
}

/// The configuration that a server on this machine has.
fn configuration(file: Option<&std::path::Path>) -> Option<Config> {
    let environment = std::env::var_os("VOYANDZ_CONFFILE").map(PathBuf::from);
    let origin = config::find(file, environment.as_deref()).ok()?;
    Some(config::load(&origin).ok()?.config)
}

/// The control socket of a server on this machine, if there is one that this user may use.
fn control_socket(config: Option<&Config>) -> Option<PathBuf> {
    let answers = |path: &PathBuf| std::os::unix::net::UnixStream::connect(path).is_ok();
    match config.map(|config| &config.api.socket) {
        Some(ControlPlace::Off) => None,
        Some(ControlPlace::Path(path)) => Some(path.clone()).filter(answers),
        Some(ControlPlace::Usual) | None => {
            places(config.map_or(USUAL_PORT, |config| config.listen_port)).find(answers)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded() {
        assert_eq!(target(&["api", "feeds", "cam 0/ü"], &[]), "/api/feeds/cam%200%2F%C3%BC");
        assert_eq!(target(&["a"], &[("name", "c*"), ("x", "a&b")]), "/a?name=c%2A&x=a%26b");
    }

    #[test]
    fn refusals_say_what_to_do() {
        let body = br#"{"title": "There is no such thing", "detail": "there is no feed `x`"}"#;
        assert_eq!(refused(StatusCode::NOT_FOUND, body).to_string(), "There is no such thing: there is no feed `x`");
        let told = refused(StatusCode::UNAUTHORIZED, b"").to_string();
        assert!(told.contains("give a token"), "{told}");
    }
}
