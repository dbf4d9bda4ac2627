//! `/configuration`: the files of the configuration as texts, with their history. The script checks and applies; without it the page
//! shows both.

use super::{Module, STYLE};
use crate::{
    access::{Access, Action, Decision, Subject},
    config::KnownTemplate,
    status::response,
    web::page::{Menu, Page},
};
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Map, Value, json};

/// The page.
pub const PATH: &str = "/configuration";
/// Its script.
pub const SCRIPT: Module = Module { path: "/configuration.js", text: include_str!("editor/editor.js") };
/// What its script loads: who reads a place of a text, what may stand there, the list of that, and the lines beside the text.
pub const PARTS: [Module; 4] = [
    Module { path: "/configuration/place.js", text: include_str!("editor/place.js") },
    Module { path: "/configuration/proposals.js", text: include_str!("editor/proposals.js") },
    Module { path: "/configuration/completion.js", text: include_str!("editor/completion.js") },
    Module { path: "/configuration/lines.js", text: include_str!("editor/lines.js") },
];
/// Where the schema of configurations is, by which this editor completes, and others may.
pub const SCHEMA_PATH: &str = "/configuration/schema.json";
const SCHEMA: &str = include_str!("../../../config/schema.json");

const OWN: &str = "
#editor{display:grid;gap:.75rem 1.25rem;grid-template-columns:minmax(0,1fr)}#editor[hidden]{display:none}
@media(min-width:64rem){#editor{grid-template-columns:minmax(0,2fr) minmax(18rem,1fr)}}
#box{position:relative;display:grid;grid-template-columns:3.5rem minmax(0,1fr);background:var(--card);border:1px solid var(--line);border-radius:var(--round)}
#box:has(textarea:read-only){background:var(--well)}#box:has(:focus-visible){outline:2px solid var(--mark);outline-offset:2px}
textarea,#lines{font:.8125rem/1.5 ui-monospace,monospace;grid-row:1}
textarea{grid-column:2;width:100%;min-height:60vh;resize:vertical;tab-size:2;white-space:pre;overflow:auto;color:var(--ink);background:none;border:0;padding:.75rem 1rem .75rem .5rem;position:relative}
textarea:focus-visible{outline:0}#keys{margin-top:.375rem}
#lines{grid-column:1/-1;position:relative;overflow:hidden;border-radius:inherit;font-variant-numeric:tabular-nums;color:var(--soft)}
#lines div{position:absolute;left:0;right:0;height:1.5em;padding-right:calc(100% - 3rem);text-align:right;white-space:nowrap}
#lines .wrong{color:var(--bad);font-weight:600;background:color-mix(in srgb,var(--bad) 9%,transparent)}
#completion{position:absolute;z-index:1;width:max-content;max-width:min(26rem,100%);background:var(--card);border:1px solid var(--line);border-radius:.5rem;box-shadow:0 .25rem 1rem rgb(0 0 0/.25);font-size:.8125rem;overflow:hidden}
#proposals{list-style:none;margin:0;padding:.25rem 0;max-height:12.5rem;overflow:auto;position:relative;font-family:ui-monospace,monospace}
#proposals li{padding:.125rem .75rem;cursor:pointer}#proposals li:hover{background:var(--well)}#proposals [aria-selected=true]{background:var(--mark);color:var(--card)}
#about{margin:0;padding:.375rem .75rem;border-top:1px solid var(--line);color:var(--soft);max-height:7rem;overflow:auto}#about:empty{display:none}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap;margin:0}
#faults{list-style:none;padding:0;margin:.5rem 0;display:grid;gap:.25rem;font-size:.875rem}#faults:empty{display:none}#faults li{overflow-wrap:anywhere}
#faults button{min-height:1.75rem;padding:.0625rem .5rem;font-size:.8125rem;color:var(--bad)}
#versions{list-style:none;margin:0;padding:0;display:grid;gap:.75rem;max-height:60vh;overflow:auto}#versions li{display:grid;gap:.125rem;font-size:.875rem}
.what{overflow-wrap:anywhere}.do{display:flex;gap:.375rem;flex-wrap:wrap}.do button{min-height:1.75rem;padding:.0625rem .625rem;font-size:.8125rem}
#difference{margin-top:.75rem}#difference pre{max-height:24rem;overflow:auto}
";

/// A file, as it may be shown.
#[derive(Debug, Clone)]
pub struct File {
    /// As the configuration names it.
    pub name: String,
    /// Without secrets.
    pub text: String,
}

/// A change, as it is listed.
#[derive(Debug, Clone)]
pub struct Change {
    /// Its number.
    pub number: u64,
    /// When, as RFC 3339.
    pub time: String,
    /// Who made it.
    pub by: Option<String>,
    /// What it changed.
    pub paths: Vec<String>,
}

/// What the configuration may refer to.
#[derive(Debug)]
pub struct Known<'a> {
    /// The names of feeds.
    pub feeds: Vec<&'a str>,
    /// Templates of any kind.
    pub templates: &'a [KnownTemplate],
}

impl Known<'_> {
    /// For the script.
    fn json(&self) -> Value {
        let arguments = |template: &KnownTemplate| -> Map<_, _> {
            template.arguments.iter().map(|(name, default)| (name.clone(), json!(default))).collect()
        };
        let templates: Map<_, _> = self
            .templates
            .iter()
            .map(|one| (one.name.clone(), json!({ "is_command": one.is_command, "arguments": arguments(one) })))
            .collect();
        json!({ "feeds": self.feeds, "templates": templates })
    }
}

/// The response with the schema.
pub fn schema() -> warp::reply::Response {
    response(StatusCode::OK, SCHEMA.to_owned(), "application/schema+json")
}

/// The page. `is_writable`: whether the API changes the configuration at all.
pub fn page(
    menu: &Menu,
    access: &Access,
    files: &[File],
    changes: &[Change],
    is_writable: bool,
    known: &Known<'_>,
) -> warp::reply::Response {
    let is_permitted = matches!(access.decide(Action::ConfigWrite, Subject::Server), Decision::Allowed { .. });
    let may_write = is_writable && is_permitted;
    Page {
        title: "Configuration",
        here: PATH,
        menu,
        access,
        style: &[STYLE, OWN].concat(),
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! {
            @if !is_writable { p { "Read-only: " code { "api.config" } " says so." } }
            @else if !is_permitted { p { "You may read it, and not change it." } }
        },
        main: html! {
            div id="editor" hidden data-may-write[may_write] data-known=(known.json()) {
                div {
                    @if files.len() > 1 { (tabs(files)) } @else if let Some(file) = files.first() { p.kind { (file.name) } }
                    p id="locked" hidden { "This file cannot be written: change it on its machine. New entries go to another file." }
                    div id="box" {
                        div id="lines" aria-hidden="true" {}
                        textarea id="text" aria-label="Text of the file" aria-describedby=[may_write.then_some("keys")] spellcheck="false" autocapitalize="none" autocomplete="off" {}
                    }
                    @if may_write { p.kind id="keys" { kbd { "Ctrl" } "+" kbd { "Space" } " shows what may stand at the cursor; " kbd { "Ctrl" } "+" kbd { "S" } " applies." } }
                    p id="notice" role="status" {}
                    ul id="faults" aria-label="Errors" {}
                    @if may_write {
                        p.buttons {
                            button id="apply" type="button" class="main" disabled { "Apply" }
                            button id="check" type="button" disabled { "Show difference" }
                            button id="revert" type="button" disabled { "Discard" }
                        }
                    }
                    div id="conflict" hidden {
                        p.buttons {
                            button id="mine" type="button" { "Keep mine" }
                            button id="theirs" type="button" { "Take theirs" }
                        }
                    }
                    section id="difference" hidden {
                        h2 { "Difference" }
                        pre id="diff" tabindex="0" role="region" aria-label="Difference" {}
                        p.buttons id="then" {}
                    }
                }
                section {
                    h2 { "History" }
                    p.kind id="unchanged" { "No change yet." }
                    ul id="versions" tabindex="0" aria-label="Changes, the newest first" {}
                }
            }
            noscript { (plain(files, changes)) }
        },
    }
    .response()
}

fn tabs(files: &[File]) -> Markup {
    html! {
        div.buttons role="group" aria-label="Files" {
            @for (number, file) in files.iter().enumerate() {
                button type="button" data-file=(number) aria-pressed=(number == 0) { (file.name) }
            }
        }
    }
}

/// Without scripts.
fn plain(files: &[File], changes: &[Change]) -> Markup {
    html! {
        @for file in files {
            section { h2 { (file.name) } pre tabindex="0" role="region" aria-label=(file.name) { code { (file.text) } } }
        }
        section {
            h2 { "History" }
            @if changes.is_empty() { p.kind { "No change yet." } }
            ul { @for change in changes {
                li { (change.number) " · " (change.time) " · " (change.by.as_deref().unwrap_or("on the disk")) " · " (change.paths.join(", ")) }
            } }
        }
    }
}
