//! `/`: every stream as a tile with its newest still, its state and its address. Complete without JavaScript; with it, tiles stay fresh and
//! play when they are pointed at.

use super::{
    offers::{container_of, shown_output},
    page::{Menu, Page},
    player::javascript,
    tile::{self, Look},
};
use crate::{
    access::Access,
    config::{self, Serving},
    engine::registry::{Registry, StreamHandle},
    status::{
        player_commands,
        snapshot::{StatusReader, Stream},
    },
};
use maud::{Markup, html};

/// Path of the script of the page and of the wall.
pub const SCRIPT_PATH: &str = "/home.js";
const SCRIPT: &str = include_str!("home.js");
/// Width of the stills, in pixels.
const WIDTH: u32 = 320;

const STYLE: &str = "
h2 a{color:inherit;text-decoration:none}h2 a:hover{text-decoration:underline}
a.view{color:var(--soft);text-decoration:none}.view .play{position:absolute;right:.5rem;bottom:.5rem;width:2rem;height:2rem;border-radius:50%;background:rgb(0 0 0/.6);fill:#fff;padding:.5rem;opacity:0}
.view:hover .play,.view:focus-visible .play{opacity:1}.view:has(voyandz-view) .play{opacity:0}
.view.calm img{filter:grayscale(.8) brightness(.85)}.problem:empty{display:none}.problem{overflow-wrap:anywhere}.view audio{position:relative;width:calc(100% - 2rem);height:2.5rem}.view.sound{align-content:center;gap:.75rem}
#notice{color:var(--bad);margin:0}#notice:empty{display:none}.empty{color:var(--soft);max-width:40rem}
";

/// The page, with the streams that `access` may see. `site` is the beginning of the addresses of the server as this client knows it.
pub fn page(
    reader: &StatusReader,
    registry: &Registry,
    menu: &Menu,
    access: &Access,
    site: &str,
) -> warp::reply::Response {
    let snapshot = reader.snapshot().seen_by(access);
    let shared = |name: &str| registry.streams().iter().find(|stream| stream.config.name.as_str() == name);
    let own = |name: &str| registry.per_request().iter().find(|stream| stream.config.name.as_str() == name);
    let live = snapshot.streams.iter().filter(|stream| matches!(stream.life.state, "running" | "lingering")).count();
    let page = Page {
        title: "Streams",
        here: "/",
        menu,
        access,
        style: STYLE,
        script: Some(SCRIPT_PATH),
        makes_media: true,
        period: None,
        header: html! {
            p data-key="count" { (count(snapshot.streams.len(), live)) }
            p id="notice" aria-live="polite" {}
        },
        main: html! {
            @if snapshot.streams.is_empty() {
                p.empty { "No streams are configured. Add a feed and a stream to the configuration file; they appear here." }
            }
            div.cards {
                @for stream in &snapshot.streams {
                    @if let Some(handle) = shared(&stream.name) { (card(stream, handle, site, access)) }
                    @else if let Some(handle) = own(&stream.name) { (private_card(&handle.config, site)) }
                }
            }
        },
    };
    page.response()
}

/// The script of the page and of the wall.
pub fn script() -> warp::reply::Response {
    javascript(SCRIPT)
}

fn count(streams: usize, live: usize) -> String {
    match streams {
        0 => String::new(),
        1 => format!("1 stream, {live} live"),
        n => format!("{n} streams, {live} live"),
    }
}

fn card(stream: &Stream, handle: &StreamHandle, site: &str, access: &Access) -> Markup {
    let path = handle.config.path.encoded();
    let page = format!("{path}/play");
    let shown = shown_output(handle);
    let address = player_commands::play_path(&shown.config, container_of(shown));
    html! {
        article aria-label=(stream.called()) {
            @if Look::of(handle) == Look::Audio {
                div.view.sound {
                    (Look::Audio.symbol())
                    audio src=(address) aria-label=(stream.called()) controls preload="none" {}
                }
            } @else {
                a class=(format!("view {}", tile::told(stream.life.state).2)) href=(page) aria-label=(format!("Watch {}", stream.called()))
                    data-key=(format!("view of {}", stream.name)) data-src=(path) data-still=[tile::still(handle, WIDTH, access)]
                    data-when=(tile::still_when(handle))
                {
                    (tile::picture(handle, WIDTH, access))
                    svg.play viewBox="0 0 16 16" aria-hidden="true" { path d="M3 1l11 7-11 7z" {} }
                }
            }
            div.text {
                div.name { h2 { a href=(page) { (stream.called()) } } (tile::badges(stream)) }
                p.kind data-key=(format!("facts of {}", stream.name)) { (tile::facts(stream, true).join(" · ")) }
                p.kind.problem data-key=(format!("error of {}", stream.name)) {
                    @if let Some(error) = stream.life.last_error.as_ref().filter(|_| tile::told(stream.life.state).2 == "bad") { (error) }
                }
                p.address { code { (site) (path) } }
            }
        }
    }
}

/// A stream that is started for each request: a link only, because showing it starts a command.
fn private_card(stream: &config::Stream, site: &str) -> Markup {
    let path = stream.path.encoded();
    let what = match stream.serving {
        Serving::Shot => "started for each request",
        Serving::Exclusive | Serving::Shared => "started for each viewer",
    };
    html! {
        article aria-label=(stream.called()) {
            a.view href=(path) aria-label=(format!("Open {}", stream.called())) { (Look::Other.symbol()) }
            div.text {
                div.name { h2 { a href=(path) { (stream.called()) } } span.badge.calm { (what) } }
                p.kind { (stream.mimetype) }
                p.address { code { (site) (path) } }
            }
        }
    }
}
