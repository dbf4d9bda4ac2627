//! What pages of other origins may do (<https://fetch.spec.whatwg.org/#http-cors-protocol>): ask for everything that is here, with the
//! headers that they like, and read the headers that media and stills have. Pure.

use http::{HeaderMap, HeaderValue, header};

/// How long a browser may remember what it asked. Nothing of it depends on the configuration.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");
/// Longest list of headers that is allowed as it was asked for.
const MAX_ASKED: usize = 2048;
/// What scripts may read beside the headers that they always may.
const EXPOSED: HeaderValue =
    HeaderValue::from_static("Content-Length, Date, ETag, Retry-After, X-Capture-Time, X-Request-Id, X-Timestamp");

/// Sets what every response says.
pub(super) fn expose(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    // For pages that isolate themselves (COEP), also of elements like `<img>` and `<video>`.
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
}

/// Sets what the response to a preflight says. `methods`: those that the path has.
pub(super) fn permit(asked: &HeaderMap, methods: &HeaderValue, headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, methods.clone());
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    headers.insert(header::VARY, HeaderValue::from_static("access-control-request-headers"));
    // `*` would not do for `Authorization`.
    let mut names = Vec::new();
    for field in asked.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        let Ok(field) = field.to_str() else { continue };
        names.extend(field.split(',').map(str::trim).filter(|name| is_token(name)));
    }
    let names = names.join(", ");
    if let Some(names) = Some(names).filter(|names| (1..=MAX_ASKED).contains(&names.len()))
        && let Ok(names) = HeaderValue::from_str(&names)
    {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names);
    }
}

/// RFC 9110, section 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(asked: &[&str]) -> Option<String> {
        let asked =
            asked.iter().map(|names| (header::ACCESS_CONTROL_REQUEST_HEADERS, names.parse().unwrap())).collect();
        let mut headers = HeaderMap::new();
        permit(&asked, &HeaderValue::from_static("GET"), &mut headers);
        headers.get(header::ACCESS_CONTROL_ALLOW_HEADERS).map(|names| names.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_page_may_send_the_headers_that_it_asks_for() {
        assert_eq!(allowed(&[]), None);
        assert_eq!(allowed(&["icy-metadata,traceparent"]).as_deref(), Some("icy-metadata, traceparent"));
        assert_eq!(allowed(&["authorization", " x-a , x-b"]).as_deref(), Some("authorization, x-a, x-b"));
        assert_eq!(allowed(&["x-a, <b>, ,x c"]).as_deref(), Some("x-a"));
        assert_eq!(allowed(&[&"x,".repeat(MAX_ASKED)]), None);
    }
}
