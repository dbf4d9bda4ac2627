//! `<stream>/play`: one stream, as large as the window has room, as this browser can play it, and how to watch it elsewhere.
//!
//! Without scripts it is shown as the browser does by itself. The page's script does better: it stays near to the newest
//! picture, says how far behind it is and what was dropped, and comes back when the stream does.

use super::{
    commands::{self, Shown},
    page::Page,
};
use crate::{
    config,
    engine::registry::{Registry, StreamHandle},
    media::Container,
};
use http::{HeaderName, HeaderValue, header};
use maud::{Markup, html};
use std::time::SystemTime;

/// Path of the script of all players.
pub const SCRIPT_PATH: &str = "/player.js";
const SCRIPT: &str = include_str!("player.js");

/// When the page was made, by the server's clock, in seconds since 1970: what its script knows the times of pictures by.
const TIMESTAMP: HeaderName = HeaderName::from_static("x-timestamp");

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

/// The page. `host` is the server's address as this client knows it.
pub fn page(stream: &StreamHandle, registry: &Registry, host: Option<&str>) -> warp::reply::Response {
    let config = &stream.config;
    let container = container_of(stream);
    let shown = Shown::of(config, container);
    let others = others(stream, registry);
    let page = Page {
        title: config.name.as_str(),
        style: &[STYLE, commands::STYLE].concat(),
        script: Some(SCRIPT_PATH),
        makes_media: true,
        header: html! {
            p { (config.mimetype) }
            nav aria-label="Pages" { a href="/" { "All streams" } }
        },
        main: html! {
            (view(config, container, shown))
            @if shown == Shown::Stills {
                p.kind {
                    "Browsers cannot play this stream by themselves: these are still pictures of it. "
                    @if let Some(best) = others.iter().find(|other| plays(other)) {
                        a href=(format!("{}/play", best.config.path.encoded())) { (best.config.name) }
                        " is of the same source and plays here; "
                    }
                    "a player shows all of it, see below."
                }
            }
            (panel(config))
            @if !others.is_empty() {
                h2 { "Of the same source" }
                nav aria-label="Of the same source" {
                    @for other in &others {
                        a href=(format!("{}/play", other.config.path.encoded())) { (other.config.name) }
                    }
                }
            }
            h2 { "Elsewhere" }
            (commands::list(&commands::ways(config, container, host)))
        },
    };
    let mut response = page.answer();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if let Ok(now) = HeaderValue::from_str(&format!("{:.6}", now.as_secs_f64())) {
        response.headers_mut().insert(TIMESTAMP, now);
    }
    response
}

/// The script of the page.
pub fn script() -> warp::reply::Response {
    let mut response = warp::reply::Response::new(SCRIPT.into());
    let mimetype = HeaderValue::from_static("text/javascript; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, mimetype);
    response
}

/// What it is in, as its bytes or else the configuration tell.
pub fn container_of(stream: &StreamHandle) -> Container {
    stream.fanout.container().unwrap_or(stream.config.container)
}

fn plays(stream: &StreamHandle) -> bool {
    Shown::of(&stream.config, container_of(stream)) != Shown::Stills
}

/// Other streams that are made of a feed that this one is made of.
fn others<'a>(stream: &StreamHandle, registry: &'a Registry) -> Vec<&'a StreamHandle> {
    let of_same = |other: &&StreamHandle| {
        other.config.name != stream.config.name
            && commands::has_pictures(&other.config) == commands::has_pictures(&stream.config)
            && other.config.feeds.iter().any(|feed| stream.config.feeds.contains(feed))
    };
    registry.streams().iter().map(AsRef::as_ref).filter(of_same).collect()
}

/// The stream as a browser plays it by itself, in a place where the script puts its own player.
fn view(stream: &config::Stream, container: Container, shown: Shown) -> Markup {
    let (path, address) = (stream.path.encoded(), commands::address(stream, container));
    let picture = format!("{path}/pic");
    let place = if shown == Shown::Audio { "view sound" } else { "view" };
    html! {
        div class=(place) data-player=(shown.word()) data-name=(stream.name) data-src=(address)
            data-pic=[commands::has_pictures(stream).then_some(&picture)] data-container=(container)
        {
            noscript {
                @match shown {
                    Shown::Pictures => { img src=(path) alt=(format!("Live picture of {}", stream.name)); }
                    Shown::Video => { video src=(address) aria-label=(stream.name) controls autoplay muted playsinline {} }
                    Shown::Audio => { audio src=(address) aria-label=(stream.name) controls {} }
                    Shown::Stills => { img src=(picture) alt=(format!("Picture of {}", stream.name)); }
                }
            }
        }
    }
}

/// What only the script can do.
fn panel(stream: &config::Stream) -> Markup {
    let has_pictures = commands::has_pictures(stream);
    html! {
        div id="panel" hidden {
            button id="mute" type="button" hidden { "Mute" }
            @if has_pictures { button id="still" type="button" { "Still picture" } }
            dl.figures {
                div { dt { "Behind live" } dd id="behind" { "–" } }
                @if has_pictures { div { dt { "Dropped pictures" } dd id="dropped" { "–" } } }
            }
        }
        p id="notice" role="status" {}
        @if has_pictures {
            figure id="kept" hidden {
                img alt=(format!("Still picture of {}", stream.name));
                figcaption { span id="captured" {} a id="save" { "Save" } }
            }
        }
    }
}
