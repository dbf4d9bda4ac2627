//! Headers that describe a still. Pure.

use crate::{ipc::PictureFormat, media::multipart, still::cache::Still};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

const X_CAPTURE_TIME: HeaderName = HeaderName::from_static("x-capture-time");

/// The content type of a format.
pub fn mimetype(format: PictureFormat) -> HeaderValue {
    HeaderValue::from_static(match format {
        PictureFormat::Jpeg { .. } => "image/jpeg",
        PictureFormat::Png => "image/png",
        PictureFormat::Webp { .. } => "image/webp",
        PictureFormat::Raw(_) => "application/octet-stream",
    })
}

/// Sets the headers that identify the still and its capture time.
pub fn describe(still: &Still, headers: &mut HeaderMap) {
    let mut insert = |name: HeaderName, value: &str| {
        headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
    };
    insert(header::ETAG, &still.etag);
    let Some(Ok(time)) = still.date.map(|date| Timestamp::UNIX_EPOCH.checked_add(date)) else { return };
    insert(X_CAPTURE_TIME, &multipart::capture_time(time));
    if let Ok(date) = DateTimePrinter::new().timestamp_to_rfc9110_string(&time) {
        insert(header::LAST_MODIFIED, &date);
    }
}

/// Whether the client has this still already (RFC 9110, section 13.1.2).
pub fn is_known(headers: &HeaderMap, still: &Still) -> bool {
    let fields = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|field| field.to_str().ok());
    let mut tags = fields.flat_map(|field| field.split(',')).map(str::trim);
    // `*` matches any still, and there is one.
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == still.etag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_still_that_the_client_has_is_recognised() {
        let still = Still::new("picture".into(), Duration::ZERO, None);
        let known = |fields: &[&str]| {
            let fields = fields.iter().map(|field| (header::IF_NONE_MATCH, HeaderValue::from_str(field).unwrap()));
            is_known(&fields.collect(), &still)
        };
        let etag = still.etag.as_str();
        assert!(known(&[etag]) && known(&[&format!("W/{etag}")]) && known(&["*"]));
        assert!(known(&[&format!("\"other\", {etag}")]) && known(&["\"other\"", etag]));
        assert!(!known(&[]) && !known(&["\"other\""]) && !known(&[etag.trim_matches('"')]));
    }
}
