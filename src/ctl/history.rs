//! Changes of the configuration: listed, shown, taken back.

use super::{
    client::Client,
    error::CtlError,
    options::History,
    print::{print, print_json},
    table::{self, Column, field, text},
};
use http::Method;
use serde_json::Value;

const COLUMNS: &[Column] = &[
    Column { title: "VERSION", value: |item| text(field(item, "number")) },
    Column { title: "TIME", value: |item| text(field(item, "time")) },
    Column { title: "BY", value: |item| text(field(item, "by")) },
    Column { title: "ACTION", value: |item| text(field(item, "action")) },
    Column { title: "CHANGES", value: |item| text(field(item, "paths")) },
];

/// Does what is wanted with them.
pub(super) async fn run(client: &Client, json: bool, wanted: &History) -> Result<(), CtlError> {
    let root = ["api", "v1", "config", "history"];
    let Some(version) = wanted.version.map(|version| version.to_string()) else {
        let items = client.pages(&root, &[]).await?;
        return if json {
            print_json(&Value::Array(items))
        } else {
            print(&table::table(COLUMNS, &items, table::width()))
        };
    };
    let mut path = root.to_vec();
    path.push(&version);
    let found = match wanted.order.as_str() {
        order @ ("undo" | "restore") => {
            path.push(order);
            let dry: &[(&str, &str)] = if wanted.dry_run { &[("dry_run", "1")] } else { &[] };
            client.json(Method::POST, &path, dry).await?
        }
        _ => {
            let against: Vec<_> = wanted.against.iter().map(|other| ("against", other.as_str())).collect();
            client.get(&path, &against).await?
        }
    };
    if json { print_json(&found) } else { print(field(&found, "diff").as_str().unwrap_or_default()) }
}
