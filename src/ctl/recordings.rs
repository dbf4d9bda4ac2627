//! Recordings of a stream: listed, protected, deleted.

use super::{
    client::Client,
    error::CtlError,
    options::Recordings,
    print::{print, print_json},
    table::{self, Column, field, size, text},
};
use http::Method;
use serde_json::{Value, json};

const COLUMNS: &[Column] = &[
    Column { title: "ID", value: |item| text(field(item, "id")) },
    Column { title: "START", value: |item| text(field(item, "start")) },
    Column { title: "SECONDS", value: |item| text(field(item, "duration")) },
    Column { title: "SIZE", value: |item| size(field(item, "bytes")) },
    Column { title: "ENDED", value: |item| text(field(item, "ended")) },
    Column { title: "PROTECTED", value: |item| text(field(item, "protected")) },
    Column { title: "FILE", value: |item| text(field(item, "file")) },
];

const CLIPS: &[Column] = &[
    Column { title: "ID", value: |item| text(field(item, "id")) },
    Column { title: "START", value: |item| text(field(item, "start")) },
    Column { title: "SECONDS", value: |item| text(field(item, "duration")) },
    Column { title: "SIZE", value: |item| size(field(item, "bytes")) },
    Column { title: "PATH", value: |item| text(field(item, "path")) },
];

/// Does what is wanted with them.
pub(super) async fn run(client: &Client, json: bool, wanted: &Recordings) -> Result<(), CtlError> {
    let mut path = vec!["api", "v1", "recordings", &*wanted.name];
    let is_clip = matches!(&*wanted.order, "clip" | "clips" | "delete-clip");
    path.extend(is_clip.then_some("clips"));
    path.extend(wanted.id.as_deref());
    let span = [("from", &wanted.from), ("to", &wanted.to), ("for", &wanted.length)];
    let span: Vec<(&str, &str)> =
        span.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?))).collect();
    let found = match wanted.order.as_str() {
        "protect" => client.patch(&path, &span, &json!({"protected": true})).await?,
        "unprotect" => client.patch(&path, &span, &json!({"protected": false})).await?,
        "clip" => client.json(Method::POST, &path, &span).await?,
        "clips" => return list(client, json, CLIPS, &path, &[]).await,
        "delete-clip" | "delete" if wanted.id.is_some() => return client.delete(&path).await,
        "delete-clip" => return Err(CtlError::Missing("--id")),
        "delete" => client.json(Method::DELETE, &path, &span).await?,
        _ if wanted.id.is_some() => client.get(&path, &span).await?,
        _ => return list(client, json, COLUMNS, &path, &span).await,
    };
    if json { print_json(&found) } else { print(&table::entry(&found)) }
}

async fn list(
    client: &Client,
    json: bool,
    columns: &[Column],
    path: &[&str],
    span: &[(&str, &str)],
) -> Result<(), CtlError> {
    let items = client.pages(path, span).await?;
    if json { print_json(&Value::Array(items)) } else { print(&table::table(columns, &items, table::width())) }
}
