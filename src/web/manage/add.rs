//! `/add`: a camera, a capture card or a test picture becomes a stream. The script checks it, shows what the file will have, and ends on
//! the page of the stream.

use super::{Module, STYLE};
use crate::{
    access::Access,
    engine::registry::Registry,
    web::page::{Menu, Page},
};
use maud::html;

/// The page.
pub const PATH: &str = "/add";
/// Its script.
pub const SCRIPT: Module = Module { path: "/add.js", text: include_str!("add.js") };

const OWN: &str = "
form{max-width:44rem;display:grid;gap:1rem}fieldset{border:1px solid var(--line);border-radius:var(--round);background:var(--card);padding:.75rem 1rem 1rem;margin:0;min-width:0;display:grid;gap:.75rem}legend{font-weight:600;padding:0 .25rem}
.kinds{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem}.kinds label,label.check{display:flex;gap:.5rem;align-items:center;font-size:1rem}.kinds input,label.check input{min-height:0;width:1.125rem;height:1.125rem;margin:0;flex:none}form #notice:empty{min-height:0;margin:-1rem 0 0}
.wide input{width:100%}#faults{padding-left:1.25rem;margin:0;color:var(--bad)}#faults:empty{display:none}
";

/// The page.
pub fn page(menu: &Menu, access: &Access, registry: &Registry) -> warp::reply::Response {
    let feeds = registry.feeds().iter().map(|feed| feed.config.name.as_str());
    let taken: Vec<_> = feeds.chain(registry.streams().iter().map(|stream| stream.config.name.as_str())).collect();
    Page {
        title: "Add a stream",
        here: PATH,
        menu,
        access,
        style: &[STYLE, OWN].concat(),
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! {},
        main: html! {
            form id="new" hidden data-taken=(taken.join(" ")) {
                fieldset {
                    legend { "Source" }
                    div.kinds role="radiogroup" aria-label="Kind of source" {
                        label { input type="radio" name="kind" value="address" checked; "Network camera or address" }
                        label { input type="radio" name="kind" value="device"; "Capture card or webcam" }
                        label { input type="radio" name="kind" value="test"; "Test picture" }
                    }
                    div data-for="address" {
                        label.wide { "Address" input id="url" type="url" placeholder="rtsp://user:password@192.168.1.20/stream1" autocapitalize="none" spellcheck="false" autocomplete="off"; }
                        p.buttons { button id="probe" type="button" { "Try it" } }
                        label.check { input id="encode" type="checkbox"; "Encode it again, for browsers that cannot play what the camera sends" }
                    }
                    div data-for="device" hidden {
                        div.fields {
                            label { "Device" select id="device" {} }
                            label { "Size" select id="size" {
                                option value="" { "As it delivers" }
                                @for size in ["1920x1080", "1280x720", "640x480"] { option value=(size) { (size) } }
                            } }
                        }
                        p.kind id="no-device" hidden { "This machine has no capture card or webcam that can be seen." }
                    }
                    p.kind data-for="test" hidden { "A test pattern with a clock, to see that all works." }
                }
                fieldset {
                    legend { "Name" }
                    div.fields {
                        label { "Name in addresses" input id="name" required pattern="[A-Za-z0-9][A-Za-z0-9._\\-]*" maxlength="64" autocapitalize="none" spellcheck="false" autocomplete="off"; }
                        label { "Title for people" input id="title" maxlength="100" autocomplete="off" placeholder="Front door"; }
                    }
                }
                p id="notice" role="status" {}
                ul id="faults" aria-label="Errors" {}
                p.buttons {
                    button.main id="add" { "Add and watch" }
                    button id="see" type="button" { "Show what the file will have" }
                }
                section id="preview" hidden {
                    h2 { "Configuration file" }
                    pre id="diff" tabindex="0" role="region" aria-label="What the file will have" {}
                }
            }
            noscript { p { "This page needs scripts. Without them, add a feed and a stream to the configuration file, or by " code { "PUT /api/v1/config/feeds/NAME" } "." } }
        },
    }
    .response()
}
