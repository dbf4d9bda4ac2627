//! `/hooks`: who gets events, how far each is, and why it fails; a button sends a test.

use super::{Module, STYLE};
use crate::{
    access::{Access, Action, Decision, Subject},
    config::Hook,
    web::page::{Menu, Page},
};
use maud::html;

/// The page.
pub const PATH: &str = "/hooks";
/// Its script.
pub const SCRIPT: Module = Module { path: "/hooks.js", text: include_str!("hooks.js") };

/// The page.
pub fn page(menu: &Menu, access: &Access, hooks: &[Hook]) -> warp::reply::Response {
    let may_test = matches!(access.decide(Action::Users, Subject::Server), Decision::Allowed { .. });
    Page {
        title: "Hooks",
        here: PATH,
        menu,
        access,
        style: STYLE,
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! { p { @if hooks.len() == 1 { "1 hook" } @else { (hooks.len()) " hooks" } } },
        main: html! {
            p id="notice" role="status" {}
            section {
                div.scroll tabindex="0" role="region" aria-label="Hooks" {
                    table {
                        thead { tr {
                            @for head in ["Name", "State", "Delivered", "Failed", "Running", "Behind", "Error"] { th scope="col" { (head) } }
                            td {}
                        } }
                        tbody id="hooks" data-may[may_test] {
                            @for hook in hooks { tr data-hook=(hook.name) { td { (hook.name) } } }
                        }
                    }
                }
                p.kind {
                    "Behind is how many events a hook has not had yet; it gets them in order, once it responds. Running is how many of its "
                    "programs run beside something that is published or played."
                }
            }
        },
    }
    .response()
}
