//! `<stream>/play`: one stream as large as the window allows, as this browser can play it, and commands for other players.
//!
//! Without scripts the browser plays it by itself. The script of the page does better: it stays close to the newest frame, shows
//! its latency and the dropped frames, and reconnects when the stream returns.

use super::page::Page;
use crate::{
    access::{Access, LINK_PARAMETER},
    config,
    engine::registry::{Registry, StreamHandle},
    media::{Container, Muxer},
    status::player_commands::{self, Playback},
};
use http::{HeaderName, HeaderValue, header};
use maud::{Markup, html};
use std::time::SystemTime;

/// Path of the script of all players.
pub const SCRIPT_PATH: &str = "/player.js";
const SCRIPT: &str = include_str!("player.js");

/// When the page was rendered, by the clock of the server, in seconds since 1970: the script compares the times of frames to it.
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

/// The page. `site` is the beginning of the addresses of the server as this client knows it, `query` that of the page: its signed
/// link is passed to what the page requests. `has_webrtc`: browsers may get the stream over WebRTC.
pub fn page(
    stream: &StreamHandle,
    registry: &Registry,
    access: &Access,
    site: &str,
    query: &str,
    has_webrtc: bool,
) -> warp::reply::Response {
    let shown = shown_output(stream);
    let config = &shown.config;
    let container = container_of(shown);
    let playback = Playback::of(config, container);
    let link = link_in(query);
    let whep = (has_webrtc && plays_over_webrtc(stream))
        .then(|| with_link(format!("{}/whep", stream.config.path.encoded()), link));
    let mut others = others(stream, registry);
    others.retain(|other| access.sees(other.config.name.as_str()));
    let page = Page {
        title: config.name.as_str(),
        style: &[STYLE, player_commands::STYLE].concat(),
        script: Some(SCRIPT_PATH),
        makes_media: true,
        header: html! {
            p { (config.mimetype) }
            nav aria-label="Pages" { a href="/" { "All streams" } }
        },
        main: html! {
            (view(config, container, playback, link, whep.as_deref()))
            @if playback == Playback::Stills && whep.is_none() {
                p.kind {
                    "Browsers cannot play this stream by themselves: the page shows stills of it. "
                    @if let Some(best) = others.iter().find(|other| plays(other)) {
                        a href=(format!("{}/play", best.config.path.encoded())) { (best.config.name) }
                        " has the same source and plays here; "
                    }
                    "a player shows the full stream, see below."
                }
            }
            (panel(config))
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
    let mut response = page.response();
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

/// The output of a stream that browsers play best, as far as its tracks are known.
pub fn shown_output(stream: &StreamHandle) -> &StreamHandle {
    /// What a browser plays in a `<video>` or `<audio>`, the best first.
    const PLAYABLE: [Container; 2] = [Container::Mp4, Container::Webm];
    let carried = stream.carried();
    let output = |container| stream.outputs.iter().find(|output| output.config.container == container);
    let playable = PLAYABLE.into_iter().filter(|container| carried.contains(container));
    playable.filter_map(output).next().map_or(stream, AsRef::as_ref)
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

/// Whether browsers may get a stream over WebRTC, as far as its tracks are known.
fn plays_over_webrtc(stream: &StreamHandle) -> bool {
    let Some((sampled, output)) = stream.sampled().and_then(|one| Some((one, one.output.as_ref()?))) else {
        return false;
    };
    if stream.config.container == Container::Mjpeg {
        return false;
    }
    match &sampled.rendition {
        Some(rendition) => !rendition.carried(&[Container::WebRtc]).is_empty(),
        None => {
            let known = output.input().known_tracks().borrow().clone();
            known.is_none_or(|(tracks, _)| Muxer::select(Container::WebRtc, &tracks).is_ok())
        }
    }
}

/// The container of a stream, by its bytes or else by the configuration.
pub fn container_of(stream: &StreamHandle) -> Container {
    stream.current().fanout.container().unwrap_or(stream.config.container)
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

/// The stream as a browser plays it by itself, in an element where the script puts its own player.
fn view(
    stream: &config::Stream,
    container: Container,
    playback: Playback,
    link: Option<&str>,
    whep: Option<&str>,
) -> Markup {
    let path = with_link(stream.path.encoded(), link);
    let address = with_link(player_commands::play_path(stream, container), link);
    let still = with_link(format!("{}/pic", stream.path.encoded()), link);
    let place = if playback == Playback::Audio { "view sound" } else { "view" };
    html! {
        div class=(place) data-player=(playback.name()) data-name=(stream.name) data-src=(address)
            data-whep=[whep] data-pic=[player_commands::has_video(stream).then_some(&still)] data-container=(container)
        {
            noscript {
                @match playback {
                    Playback::Image => { img src=(path) alt=(format!("Live view of {}", stream.name)); }
                    Playback::Video => { video src=(address) aria-label=(stream.name) controls autoplay muted playsinline {} }
                    Playback::Audio => { audio src=(address) aria-label=(stream.name) controls {} }
                    Playback::Stills => { img src=(still) alt=(format!("Still of {}", stream.name)); }
                }
            }
        }
    }
}

/// The signed link of a query, as it stands there.
fn link_in(query: &str) -> Option<&str> {
    query.split('&').find(|part| part.split_once('=').is_some_and(|(name, _)| name == LINK_PARAMETER))
}

/// An address with a signed link.
fn with_link(address: String, link: Option<&str>) -> String {
    match link {
        Some(link) => format!("{address}{}{link}", if address.contains('?') { '&' } else { '?' }),
        None => address,
    }
}

/// The controls of the script.
fn panel(stream: &config::Stream) -> Markup {
    let has_video = player_commands::has_video(stream);
    html! {
        div id="panel" hidden {
            button id="mute" type="button" hidden { "Mute" }
            @if has_video { button id="still" type="button" { "Take a still" } }
            dl.figures {
                div { dt { "Behind live" } dd id="behind" { "–" } }
                @if has_video { div { dt { "Dropped frames" } dd id="dropped" { "–" } } }
            }
        }
        p id="notice" role="status" {}
        @if has_video {
            figure id="kept" hidden {
                img alt=(format!("Still of {}", stream.name));
                figcaption { span id="captured" {} a id="save" { "Save" } }
            }
        }
    }
}
