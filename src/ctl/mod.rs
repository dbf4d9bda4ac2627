//! `voyandz ctl`: a server from the command line, by its API.
//!
//! [`options`] is what can be said, [`client`] asks a server, [`recordings`] is about files of recordings, [`history`] about changes of the configuration, [`past`] about the last minutes, [`mod@print`] prints, [`table`] makes tables of what it answers (pure), [`error`] has the exit codes.

mod client;
mod error;
mod follow;
mod history;
mod options;
mod past;
mod print;
mod recordings;
mod table;

pub use options::Ctl;

use client::Client;
use error::CtlError;
use http::Method;
use options::{Action, List, Order, What};
use print::{print, print_json};
use serde_json::Value;
use std::{io::Write as _, path::Path, process::ExitCode};
use table::{Column, duration, field, rate, size, text};

/// Does what the options say.
pub fn run(options: &Ctl) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return CtlError::from(error).exit(),
    };
    match runtime.block_on(act(options)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.exit(),
    }
}

async fn act(options: &Ctl) -> Result<(), CtlError> {
    let client = Client::new(options)?;
    match &options.action {
        Action::List { what, name, state } => {
            list(&client, options.json, *what, name.as_deref(), state.as_deref()).await
        }
        Action::Show { what, name } => {
            let found = client.get(&["api", "v1", what.section(), name], &[]).await?;
            if options.json { print_json(&found) } else { print(&table::entry(&found)) }
        }
        Action::Past { what, name } => past::run(&client, options.json, *what, name).await,
        Action::Follow(wanted) => follow::follow(&client, options.json, wanted).await,
        Action::Start { what, name } => order(&client, *what, name, Order::Start, None).await,
        Action::Stop { what, name, length } => order(&client, *what, name, Order::Stop, length.as_deref()).await,
        Action::Restart { what, name } => order(&client, *what, name, Order::Restart, None).await,
        Action::Pause { what, name, length } => order(&client, *what, name, Order::Pause, length.as_deref()).await,
        Action::Resume { what, name } => order(&client, *what, name, Order::Resume, None).await,
        Action::Kick { viewer: Some(id), .. } => client.delete(&["api", "v1", "viewers", id]).await,
        Action::Kick { publisher, .. } => {
            let feed = publisher.as_deref().unwrap_or_default();
            client.delete(&["api", "v1", "publishers", feed]).await
        }
        Action::Keyframe { name } => client.post(&["api", "v1", "streams", name, "keyframe"]).await,
        Action::Still { name, output } => still(&client, name, output.as_deref()).await,
        Action::Record { name, order, length } => {
            let method = match order.as_str() {
                "start" => Method::POST,
                "stop" => Method::DELETE,
                _ => Method::GET,
            };
            let query: Vec<_> = length.iter().map(|length| ("for", length.as_str())).collect();
            let found = client.json(method, &["api", "v1", "streams", name, "recording"], &query).await?;
            if options.json { print_json(&found) } else { print(&table::entry(&found)) }
        }
        Action::Recordings(wanted) => recordings::run(&client, options.json, wanted).await,
        Action::History(wanted) => history::run(&client, options.json, wanted).await,
        Action::Login => {
            let found = client.json(Method::POST, &["api", "v1", "session", "code"], &[]).await?;
            let path = field(&found, "path").as_str().unwrap_or_default();
            if options.json { print_json(&found) } else { print(&format!("{}{path}\n", client.site())) }
        }
        Action::Reload => client.post(&["api", "v1", "server", "reload"]).await,
    }
}

async fn order(client: &Client, what: What, name: &str, order: Order, length: Option<&str>) -> Result<(), CtlError> {
    let query: Vec<_> = length.map(|length| ("for", length)).into_iter().collect();
    client.json(Method::POST, &["api", "v1", what.section(), name, order.word()], &query).await.map(drop)
}

async fn list(
    client: &Client,
    json: bool,
    what: List,
    name: Option<&str>,
    state: Option<&str>,
) -> Result<(), CtlError> {
    let chosen = [("name", name), ("state", state)];
    let caps = (what == List::Devices).then_some(("caps", "1"));
    let chosen: Vec<_> = chosen.into_iter().filter_map(|(key, value)| Some((key, value?))).chain(caps).collect();
    let items = client.pages(&["api", "v1", what.section()], &chosen).await?;
    if json {
        return print_json(&Value::Array(items));
    }
    print(&table::table(columns(what), &items, table::width()))
}

fn columns(what: List) -> &'static [Column] {
    match what {
        List::Feeds => &[
            Column { title: "NAME", value: |item| text(field(item, "name")) },
            Column { title: "STATE", value: |item| text(field(item, "state")) },
            Column { title: "RESTARTS", value: |item| text(field(item, "restarts")) },
            Column { title: "KIND", value: |item| text(field(item, "kind")) },
            Column { title: "LAST ERROR", value: |item| text(field(item, "last_error")) },
        ],
        List::Streams => &[
            Column { title: "NAME", value: |item| text(field(item, "name")) },
            Column { title: "STATE", value: |item| text(field(item, "state")) },
            Column { title: "VIEWERS", value: |item| text(field(item, "readers")) },
            Column { title: "RATE", value: |item| rate(field(item, "bit_rate")) },
            Column { title: "FEEDS", value: |item| text(field(item, "feeds")) },
            Column { title: "LAST ERROR", value: |item| text(field(item, "last_error")) },
        ],
        List::Viewers => &[
            Column { title: "ID", value: |item| text(field(item, "id")) },
            Column { title: "PROTOCOL", value: |item| text(field(item, "protocol")) },
            Column { title: "USER", value: |item| text(field(item, "user")) },
            Column { title: "ADDRESS", value: |item| text(field(item, "address")) },
            Column { title: "FOR", value: |item| duration(field(item, "since")) },
            Column { title: "SENT", value: |item| size(field(item, "bytes_out")) },
            Column { title: "GAPS", value: |item| text(field(item, "gaps")) },
        ],
        List::Publishers => &[
            Column { title: "FEED", value: |item| text(field(item, "feed")) },
            Column { title: "PROTOCOL", value: |item| text(field(item, "protocol")) },
            Column { title: "USER", value: |item| text(field(item, "user")) },
            Column { title: "ADDRESS", value: |item| text(field(item, "address")) },
            Column { title: "FOR", value: |item| duration(field(item, "since")) },
            Column { title: "RECEIVED", value: |item| size(field(item, "bytes")) },
        ],
        List::Hooks => &[
            Column { title: "NAME", value: |item| text(field(item, "name")) },
            Column { title: "STATE", value: |item| text(field(item, "state")) },
            Column { title: "DELIVERED", value: |item| text(field(item, "delivered")) },
            Column { title: "FAILED", value: |item| text(field(item, "failed")) },
            Column { title: "BEHIND", value: |item| text(field(item, "behind")) },
            Column { title: "ERROR", value: |item| text(field(item, "error")) },
        ],
        List::Devices => &[
            Column { title: "PATH", value: |item| text(field(item, "path")) },
            Column { title: "KIND", value: |item| text(field(item, "kind")) },
            Column { title: "NAME", value: |item| text(field(item, "name")) },
            Column { title: "ID", value: |item| text(field(item, "id")) },
            Column { title: "CAPS", value: |item| text(field(item, "caps").get(0).unwrap_or(&Value::Null)) },
            Column { title: "FAULT", value: |item| text(field(item, "fault")) },
        ],
    }
}

/// Takes a still. Without a file it goes to the standard output, unless that is a terminal.
async fn still(client: &Client, name: &str, output: Option<&Path>) -> Result<(), CtlError> {
    if output.is_none() && std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        return Err(CtlError::Terminal);
    }
    let stream = client.get(&["api", "v1", "streams", name], &[]).await?;
    // Percent-encoded already.
    let path = field(&stream, "url").as_str().unwrap_or_default();
    let picture = client.bytes(&format!("{path}/pic")).await?;
    match output {
        Some(path) => std::fs::write(path, &picture).map_err(|source| CtlError::File { path: path.to_owned(), source }),
        None => Ok(std::io::stdout().lock().write_all(&picture)?),
    }
}
