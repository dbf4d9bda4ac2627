//! `/`: every stream with a live picture, links, and commands to copy. Complete without JavaScript.

use super::{page::Page, player};
use crate::{
    config::{self, Pages, Serving},
    feed::registry::{Registry, StreamHandle},
    media::Container,
};
use maud::{Markup, html};

/// The page. `host` is the server's address as this client knows it.
pub fn page(registry: &Registry, pages: &Pages, host: Option<&str>) -> warp::reply::Response {
    let page = Page {
        title: "voyandz",
        style: "",
        script: None,
        header: html! {
            p { (count(registry.streams().len() + registry.private().len())) }
            @if let Some(path) = &pages.stat { nav aria-label="Pages" { a href=(path.encoded()) { "State" } } }
        },
        main: html! {
            div.cards {
                @for stream in registry.streams() { (card(stream, host)) }
                @for stream in registry.private() { (private_card(&stream.config)) }
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
    let path = stream.config.path.encoded();
    let has_picture = !stream.config.mimetype.starts_with("audio/");
    html! {
        article {
            div.view { (view(stream, &path, has_picture)) }
            div.text {
                h2 { (stream.config.name) }
                p.kind { (stream.config.mimetype) }
                nav aria-label=(format!("Links of {}", stream.config.name)) {
                    a href=(format!("{path}/play")) { "Play" }
                    a href=(player::address(stream)) { "Stream" }
                    @if has_picture {
                        a href=(format!("{path}/pic")) { "Picture" }
                        a href=(format!("{path}/pic.png")) { "PNG" }
                    }
                }
                pre tabindex="0" { code { (player::command(stream, host)) } }
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

/// A live picture where a browser can show one by itself; nothing that starts an encoder nobody asked for.
fn view(stream: &StreamHandle, path: &str, has_picture: bool) -> Markup {
    match stream.config.container {
        Container::Mjpeg => {
            html! { img src=(path) alt=(format!("Live picture of {}", stream.config.name)) loading="lazy"; }
        }
        Container::Webm | Container::Mp4 => html! {
            video src=(player::address(stream)) controls muted playsinline preload="none" {}
        },
        _ if has_picture => html! { a href=(format!("{path}/pic")) { "Show the current picture" } },
        _ => html! { audio src=(path) controls preload="none" {} },
    }
}
