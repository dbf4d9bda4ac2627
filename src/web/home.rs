//! `/`: every stream with a live view, links, and commands to copy. Complete without JavaScript.

use super::{
    offers::{container_of, shown_output},
    page::Page,
};
use crate::{
    access::Access,
    config::{self, Pages, Serving},
    engine::registry::{Registry, StreamHandle},
    ipc::{Track, TrackKind},
    media::Container,
    status::player_commands,
};
use maud::{Markup, html};

/// The page, with the streams that `access` may see. `site` is the beginning of the addresses of the server as this client knows it.
pub fn page(registry: &Registry, pages: &Pages, access: &Access, site: &str) -> warp::reply::Response {
    let shared = registry.streams().iter().filter(|stream| access.sees(stream.config.name.as_str()));
    let shared: Vec<_> = shared.collect();
    let own = registry.per_request().iter().filter(|stream| access.sees(stream.config.name.as_str()));
    let own: Vec<_> = own.collect();
    let page = Page {
        title: "voyandz",
        style: player_commands::STYLE,
        script: None,
        makes_media: false,
        header: html! {
            p { (count(shared.len() + own.len())) }
            @if let Some(path) = &pages.stat { nav aria-label="Pages" { a href=(path.encoded()) { "State" } } }
        },
        main: html! {
            div.cards {
                @for stream in &shared { (card(stream, site)) }
                @for stream in &own { (private_card(&stream.config)) }
            }
        },
    };
    page.response()
}

fn count(streams: usize) -> String {
    match streams {
        0 => "No streams are configured: add some to the configuration file.".to_owned(),
        1 => "1 stream".to_owned(),
        n => format!("{n} streams"),
    }
}

fn card(stream: &StreamHandle, site: &str) -> Markup {
    let path = stream.config.path.encoded();
    let stream = shown_output(stream);
    let container = container_of(stream);
    let has_video = player_commands::has_video(&stream.config);
    let mut commands = player_commands::player_commands(&stream.config, container, site);
    commands.extend(player_commands::playlists(stream, site));
    let (first, more) = commands.split_at(1.min(commands.len()));
    html! {
        article {
            div.view { (view(stream, container, &path, has_video)) }
            div.text {
                h2 { (stream.config.name) }
                p.kind { (stream.config.mimetype) }
                nav aria-label=(format!("Links of {}", stream.config.name)) {
                    a href=(format!("{path}/play")) { "Play" }
                    a href=(player_commands::play_path(&stream.config, container)) { "Stream" }
                    @if let Some(playlist) = stream.playlist_path() { a href=(playlist) { "HLS" } }
                    @if has_video {
                        a href=(format!("{path}/pic")) { "Still" }
                        a href=(format!("{path}/pic.png")) { "PNG" }
                    }
                }
                (player_commands::list(first))
                details { summary { "More ways to watch " (stream.config.name) } (player_commands::list(more)) }
            }
        }
    }
}

/// A stream that is started for each request: a link only, because showing it starts a command.
fn private_card(stream: &config::Stream) -> Markup {
    let path = stream.path.encoded();
    let (what, of_it) = match stream.serving {
        Serving::Shot => ("started for each request", "Still"),
        Serving::Exclusive | Serving::Shared => ("started for each viewer", "Stream"),
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

/// Live video where a browser can show it by itself, otherwise a still of a running stream; nothing that would start an encoder
/// that nobody requested.
fn view(stream: &StreamHandle, container: Container, path: &str, has_video: bool) -> Markup {
    let (name, media) = (&stream.config.name, stream.config.path.encoded());
    let shows_now = || {
        let record = stream.status.read();
        let is_audio = |track: &Track| track.kind == TrackKind::Audio;
        // The tracks of a worker are known a moment after its start.
        let may_show =
            if record.tracks.is_empty() { stream.in_plan.is_none() } else { !record.tracks.iter().all(is_audio) };
        record.state.has_media() && may_show
    };
    match container {
        Container::Mjpeg => {
            html! { img src=(media) alt=(format!("Live view of {name}")) loading="lazy"; }
        }
        Container::Webm | Container::Mp4 if has_video => html! {
            video src=(player_commands::play_path(&stream.config, container)) aria-label=(name) controls muted playsinline preload="none" {}
        },
        _ if has_video && shows_now() => html! {
            a href=(format!("{path}/play")) {
                img src=(format!("{path}/pic?q=60&w=640&start=0")) alt=(format!("Play {name}")) loading="lazy";
            }
        },
        _ if has_video => html! { a href=(format!("{path}/pic")) { "Show a still" } },
        _ => html! { audio src=(media) aria-label=(name) controls preload="none" {} },
    }
}
