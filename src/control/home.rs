//! `/`: every stream with a live picture, links, and commands to copy. Complete without JavaScript.

use super::{commands, page::Page, player};
use crate::{
    config::{self, Pages, Serving},
    engine::registry::{Registry, StreamHandle},
    ipc::{Track, TrackKind},
    media::Container,
};
use maud::{Markup, html};

/// The page. `host` is the server's address as this client knows it.
pub fn page(registry: &Registry, pages: &Pages, host: Option<&str>) -> warp::reply::Response {
    let page = Page {
        title: "voyandz",
        style: commands::STYLE,
        script: None,
        makes_media: false,
        header: html! {
            p { (count(registry.streams().len() + registry.per_request().len())) }
            @if let Some(path) = &pages.stat { nav aria-label="Pages" { a href=(path.encoded()) { "State" } } }
        },
        main: html! {
            div.cards {
                @for stream in registry.streams() { (card(stream, host)) }
                @for stream in registry.per_request() { (private_card(&stream.config)) }
            }
        },
    };
    page.answer()
}

fn count(streams: usize) -> String {
    match streams {
        0 => "No streams are configured: name some in the configuration file.".to_owned(),
        1 => "1 stream".to_owned(),
        n => format!("{n} streams"),
    }
}

fn card(stream: &StreamHandle, host: Option<&str>) -> Markup {
    let (path, container) = (stream.config.path.encoded(), player::container_of(stream));
    let has_picture = commands::has_pictures(&stream.config);
    let ways = commands::ways(&stream.config, container, host);
    let (first, more) = ways.split_at(1.min(ways.len()));
    html! {
        article {
            div.view { (view(stream, container, &path, has_picture)) }
            div.text {
                h2 { (stream.config.name) }
                p.kind { (stream.config.mimetype) }
                nav aria-label=(format!("Links of {}", stream.config.name)) {
                    a href=(format!("{path}/play")) { "Play" }
                    a href=(commands::address(&stream.config, container)) { "Stream" }
                    @if has_picture {
                        a href=(format!("{path}/pic")) { "Picture" }
                        a href=(format!("{path}/pic.png")) { "PNG" }
                    }
                }
                (commands::list(first))
                details { summary { "More ways to watch " (stream.config.name) } (commands::list(more)) }
            }
        }
    }
}

/// A stream that is made for each request: a link, because whoever shows it starts a command.
fn private_card(stream: &config::Stream) -> Markup {
    let path = stream.path.encoded();
    let (what, of_it) = match stream.serving {
        Serving::Shot => ("made for each request", "Picture"),
        Serving::Exclusive | Serving::Shared => ("made for each viewer", "Stream"),
    };
    html! {
        article {
            div.view { a href=(path) { (what) } }
            div.text {
                h2 { (stream.name) }
                p.kind { (stream.mimetype) }
                nav aria-label=(format!("Links of {}", stream.name)) { a href=(path) { (of_it) } }
            }
        }
    }
}

/// A live picture where a browser can show one by itself, a still of what runs; nothing that starts an encoder nobody asked
/// for.
fn view(stream: &StreamHandle, container: Container, path: &str, has_picture: bool) -> Markup {
    let name = &stream.config.name;
    let shows_now = || {
        let record = stream.status.read();
        let is_sound = |track: &Track| track.kind == TrackKind::Audio;
        // The tracks of what a worker makes are known a moment after it runs.
        let may_show =
            if record.tracks.is_empty() { stream.in_plan.is_none() } else { !record.tracks.iter().all(is_sound) };
        record.state.has_media() && may_show
    };
    match container {
        Container::Mjpeg => {
            html! { img src=(path) alt=(format!("Live picture of {name}")) loading="lazy"; }
        }
        Container::Webm | Container::Mp4 if has_picture => html! {
            video src=(commands::address(&stream.config, container)) aria-label=(name) controls muted playsinline preload="none" {}
        },
        _ if has_picture && shows_now() => html! {
            a href=(format!("{path}/play")) {
                img src=(format!("{path}/pic?q=60&w=640&start=0")) alt=(format!("Play {name}")) loading="lazy";
            }
        },
        _ if has_picture => html! { a href=(format!("{path}/pic")) { "Show the current picture" } },
        _ => html! { audio src=(path) aria-label=(name) controls preload="none" {} },
    }
}
