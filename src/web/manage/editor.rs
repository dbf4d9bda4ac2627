//! `/configuration`: the files of the configuration as texts, with their history. The script checks and applies; without it the page
//! shows both.

use super::{Module, STYLE};
use crate::{
    access::{Access, Action, Decision, Subject},
    web::page::{Menu, Page},
};
use maud::{Markup, html};

/// The page.
pub const PATH: &str = "/configuration";
/// Its script.
pub const SCRIPT: Module = Module { path: "/configuration.js", text: include_str!("editor.js") };

const OWN: &str = "
#editor{display:grid;gap:.75rem 1.25rem;grid-template-columns:minmax(0,1fr)}#editor[hidden]{display:none}
@media(min-width:64rem){#editor{grid-template-columns:minmax(0,2fr) minmax(18rem,1fr)}}
textarea{width:100%;min-height:60vh;resize:vertical;tab-size:2;white-space:pre;overflow:auto;font:.8125rem/1.5 ui-monospace,monospace;color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:var(--round);padding:.75rem 1rem}
textarea[readonly]{background:var(--well)}
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

/// The page. `is_writable`: whether the API changes the configuration at all.
pub fn page(
    menu: &Menu,
    access: &Access,
    files: &[File],
    changes: &[Change],
    is_writable: bool,
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
            div id="editor" hidden data-may-write[may_write] {
                div {
                    @if files.len() > 1 { (tabs(files)) } @else if let Some(file) = files.first() { p.kind { (file.name) } }
                    p id="locked" hidden { "This file cannot be written: change it on its machine. New entries go to another file." }
                    textarea id="text" aria-label="Text of the file" spellcheck="false" autocapitalize="none" autocomplete="off" {}
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
