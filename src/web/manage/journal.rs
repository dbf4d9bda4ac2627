//! `/journal`: what happened and what happens, chosen by type and name. The script follows the events of the API.

use super::{Module, STYLE};
use crate::{
    access::Access,
    web::page::{Menu, Page},
};
use maud::html;

/// The page.
pub const PATH: &str = "/journal";
/// Its script.
pub const SCRIPT: Module = Module { path: "/journal.js", text: include_str!("journal.js") };

const OWN: &str = "
#list{list-style:none;margin:0;padding:0}#list li{display:grid;grid-template-columns:12rem 12rem 10rem minmax(0,1fr);gap:.125rem 1rem;padding:.375rem 0;border-top:1px solid var(--line);font-size:.875rem}
#list li:first-child{border-top:0}#list li:target{background:var(--well)}#list a{text-decoration:none;font-variant-numeric:tabular-nums}#list a:hover{text-decoration:underline}
#list span{overflow-wrap:anywhere}.loud .type{color:var(--bad);font-weight:600}
@media(max-width:60rem){#list li{grid-template-columns:12rem 10rem minmax(0,1fr)}.data{grid-column:1/-1}}
@media(max-width:40rem){#list li{grid-template-columns:auto minmax(0,1fr);padding:.5rem 0}#list a{grid-column:1/-1;font-size:.8125rem}#list .type{font-weight:600}}
";

/// The page.
pub fn page(menu: &Menu, access: &Access) -> warp::reply::Response {
    Page {
        title: "Events",
        here: PATH,
        menu,
        access,
        style: &[STYLE, OWN].concat(),
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! {},
        main: html! {
            div id="follow" hidden {
                form.fields id="filter" {
                    label { "Type" input id="type" name="type" placeholder="feed.*, viewer.*" list="types" autocapitalize="none" spellcheck="false"; }
                    label { "Feed or stream" input id="name" name="name" placeholder="cam*" autocapitalize="none" spellcheck="false"; }
                    button { "Choose" }
                    button id="pause" type="button" aria-pressed="false" { "Pause" }
                    datalist id="types" {
                        @for kind in ["feed.*", "stream.*", "viewer.*", "publisher.*", "recording.*", "config.*", "push.*", "server.*", "*.failed"] { option value=(kind) {} }
                    }
                }
                p id="notice" role="status" {}
                section {
                    p.kind id="none" { "Nothing of this has happened." }
                    ul id="list" aria-label="Events, the newest first" {}
                }
            }
            noscript { p { "This page follows events by a script. " code { "voyandz ctl follow" } " prints them on a terminal." } }
        },
    }
    .response()
}
