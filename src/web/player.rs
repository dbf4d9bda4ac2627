//! `<stream>/play`: one stream as large as the window allows, as this browser can play it, and commands for other players.
//!
//! Without scripts the browser plays it by itself. With them `player.js` does, which pages elsewhere may use as well, and
//! `watch.js` is what is around it.

use super::{
    link::{link_in, with_link},
    offers::{Offers, Reach, container_of, has_video, shown_output},
    page::{Menu, Page},
};
use crate::{
    access::Access,
    engine::registry::{Registry, StreamHandle},
    status::player_commands::{self, Playback},
};
use http::{HeaderValue, header};
use maud::{Markup, html};

/// Path of the script that defines `<voyandz-view>`.
pub const SCRIPT_PATH: &str = "/player.js";
const SCRIPT: &str = include_str!("player.js");
/// Path of the script of the page.
pub const WATCH_PATH: &str = "/watch.js";
const WATCH: &str = include_str!("watch.js");

const STYLE: &str = "
.view{max-height:75vh;width:100%;border-radius:.75rem;overflow:hidden;margin-bottom:1rem}
.sound{aspect-ratio:auto;padding:1.5rem 1rem;background:var(--card);border:1px solid var(--line)}
.sound audio{width:min(40rem,100%);display:block}
#panel{display:flex;flex-wrap:wrap;gap:.75rem 1.5rem;align-items:center;margin-bottom:1rem}#panel[hidden]{display:none}
button{font:inherit;color:var(--ink);background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.375rem .875rem;cursor:pointer;min-height:2.25rem}
button:hover{border-color:var(--mark)}
.figures{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:0}.figures div{display:flex;gap:.5rem}.figures dt{color:var(--soft)}
.figures dd{margin:0;font-variant-numeric:tabular-nums;min-width:4.5rem}
#notice{min-height:1.5em;margin:0}
figure{margin:0 0 1.5rem}figure img{max-width:min(30rem,100%);height:auto;display:block;border-radius:.5rem;margin-bottom:.5rem}
figcaption{display:flex;flex-wrap:wrap;gap:.25rem 1rem;color:var(--soft);font-size:.875rem}
h2{margin:1rem 0 .5rem}.ways{max-width:50rem}
";

/// The page. `site` is the beginning of the addresses of the server as this client knows it, `query` that of the page: its signed
/// link is passed to what the page requests.
pub fn page(
    stream: &StreamHandle,
    registry: &Registry,
    menu: &Menu,
    access: &Access,
    site: &str,
    query: &str,
    reach: Reach,
) -> warp::reply::Response {
    let shown = shown_output(stream);
    let config = &shown.config;
    let container = container_of(shown);
    let playback = Playback::of(config, container);
    let link = link_in(query);
    let has_films = Offers::of(stream, reach, link).has_films();
    let mut others = others(stream, registry);
    others.retain(|other| access.sees(other.config.name.as_str()));
    let page = Page {
        title: stream.config.name.as_str(),
        here: "",
        menu,
        access,
        style: &[STYLE, player_commands::STYLE].concat(),
        script: Some(WATCH_PATH),
        makes_media: true,
        period: None,
        header: html! {
            p { (config.mimetype) }
        },
        main: html! {
            (view(stream, shown, link))
            @if playback == Playback::Stills && !has_films {
                p.kind {
                    "Browsers cannot play this stream by themselves: the page shows stills of it. "
                    @if let Some(best) = others.iter().find(|other| plays(other)) {
                        a href=(format!("{}/play", best.config.path.encoded())) { (best.config.name) }
                        " has the same source and plays here; "
                    }
                    "a player shows the full stream, see below."
                }
            }
            (panel(stream))
            (outputs(stream, link))
            @if !others.is_empty() {
                h2 { "From the same source" }
                nav aria-label="From the same source" {
                    @for other in &others {
                        a href=(format!("{}/play", other.config.path.encoded())) { (other.config.name) }
                    }
                }
            }
            h2 { "Other players" }
            (player_commands::list(&player_commands::player_commands(config, container, site)))
            (player_commands::list(&player_commands::playlists(stream, site)))
        },
    };
    page.response()
}

/// The script that defines `<voyandz-view>`.
pub fn script() -> warp::reply::Response {
    javascript(SCRIPT)
}

/// The script of the page.
pub fn watch_script() -> warp::reply::Response {
    javascript(WATCH)
}

/// A script of a page.
pub(super) fn javascript(text: &'static str) -> warp::reply::Response {
    let mut response = warp::reply::Response::new(text.into());
    let mimetype = HeaderValue::from_static("text/javascript; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, mimetype);
    response
}

/// Links to what a stream is offered in.
fn outputs(stream: &StreamHandle, link: Option<&str>) -> Markup {
    let carried = stream.carried();
    let outputs = stream.outputs.iter().filter(|output| carried.contains(&output.config.container));
    html! {
        @if !stream.outputs.is_empty() {
            h2 { "Outputs" }
            nav aria-label="Outputs" {
                @for output in outputs {
                    a href=(with_link(player_commands::play_path(&output.config, output.config.container), link)) {
                        (output.config.container)
                    }
                }
            }
        }
    }
}

fn plays(stream: &StreamHandle) -> bool {
    Playback::of(&stream.config, container_of(stream)) != Playback::Stills
}

/// Other streams that share a feed with this one.
fn others<'a>(stream: &StreamHandle, registry: &'a Registry) -> Vec<&'a StreamHandle> {
    let of_same = |other: &&StreamHandle| {
        other.config.name != stream.config.name
            && player_commands::has_video(&other.config) == player_commands::has_video(&stream.config)
            && other.config.feeds.iter().any(|feed| stream.config.feeds.contains(feed))
    };
    registry.streams().iter().map(AsRef::as_ref).filter(of_same).collect()
}

/// The stream as a browser plays it by itself, in an element that plays it better where scripts are allowed.
fn view(stream: &StreamHandle, shown: &StreamHandle, link: Option<&str>) -> Markup {
    let (config, container) = (&shown.config, container_of(shown));
    let path = with_link(config.path.encoded(), link);
    let address = with_link(player_commands::play_path(config, container), link);
    let still = with_link(format!("{}/pic", stream.config.path.encoded()), link);
    let own = with_link(stream.config.path.encoded(), link);
    let name = &stream.config.name;
    let is_video = has_video(stream);
    html! {
        voyandz-view class=(if is_video { "view" } else { "view sound" }) src=(own) label=(name) controls bare
            kind=[(!is_video).then_some("audio")] data-pic=[is_video.then_some(&still)] data-name=(name)
        {
            noscript {
                @match Playback::of(config, container) {
                    Playback::Image => { img src=(path) alt=(format!("Live view of {name}")); }
                    Playback::Video => { video src=(address) aria-label=(name) controls autoplay muted playsinline {} }
                    Playback::Audio => { audio src=(address) aria-label=(name) controls {} }
                    Playback::Stills => { img src=(still) alt=(format!("Still of {name}")); }
                }
            }
        }
    }
}

/// The controls of the script.
fn panel(stream: &StreamHandle) -> Markup {
    let has_video = has_video(stream);
    html! {
        div id="panel" hidden {
            button id="mute" type="button" hidden { "Mute" }
            @if has_video { button id="still" type="button" { "Take a still" } }
            dl.figures {
                div { dt { "Behind live" } dd id="behind" { "–" } }
                div { dt { "By" } dd id="way" { "–" } }
                @if has_video { div { dt { "Dropped frames" } dd id="dropped" { "–" } } }
            }
        }
        p id="notice" role="status" {}
        @if has_video {
            figure id="kept" hidden {
                img alt=(format!("Still of {}", stream.config.name));
                figcaption { span id="captured" {} a id="save" { "Save" } }
            }
        }
    }
}
