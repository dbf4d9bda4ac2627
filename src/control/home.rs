//! `/`: every stream with a live picture, links, and commands to copy. Complete without JavaScript.

use crate::{
    config::{self, Serving},
    feed::registry::{Registry, StreamHandle},
    media::Container,
};
use http::{HeaderValue, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// No foreign content, no scripts; styles are in the page.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; frame-ancestors 'self'; base-uri 'none'",
);

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#5b6570;--line:#d9dee4;--page:#f5f7f9;--card:#fff;--mark:#0b6bcb}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#9aa6b2;--line:#2c343d;--page:#12161b;--card:#1a2027;--mark:#6cb6ff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(1rem,4vw,3rem) 3rem;max-width:80rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0}header p{color:var(--soft);margin:.25rem 0 1.5rem}
main{display:grid;gap:1.25rem;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr))}
article{background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow:hidden;display:flex;flex-direction:column}
.view{aspect-ratio:16/9;background:#000;display:grid;place-items:center;color:#9aa6b2;font-size:.875rem;text-align:center}
.view img,.view video{width:100%;height:100%;object-fit:contain;display:block}
.view a{color:#6cb6ff;padding:1rem}
.text{padding:1rem;min-width:0}h2{font-size:1.0625rem;margin:0 0 .25rem;overflow-wrap:anywhere}
a{color:var(--mark)}.kind{color:var(--soft);font-size:.875rem;margin:0 0 .75rem}
nav{display:flex;gap:.25rem 1rem;flex-wrap:wrap;margin-bottom:.75rem}
pre{margin:.25rem 0 0;padding:.5rem .625rem;border:1px solid var(--line);border-radius:.375rem;overflow-x:auto;font-size:.8125rem}
footer{color:var(--soft);font-size:.875rem;margin-top:2rem}
";

/// The page. `host` is the server's address as this client knows it.
pub fn page(registry: &Registry, host: Option<&str>) -> warp::reply::Response {
    let base = format!("http://{}", host.unwrap_or("localhost"));
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width,initial-scale=1";
                link rel="icon" href="data:,";
                title { "voyandz" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "voyandz" }
                    p { (count(registry.streams().len() + registry.private().len())) }
                }
                main {
                    @for stream in registry.streams() { (card(stream, &base)) }
                    @for stream in registry.private() { (private_card(&stream.config)) }
                }
                footer { "voyandz " (env!("CARGO_PKG_VERSION")) }
            }
        }
    };
    let mut response = warp::reply::Response::new(page.into_string().into());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, POLICY);
    response
}

fn count(streams: usize) -> String {
    match streams {
        0 => "No streams are configured: name some in the configuration file.".to_owned(),
        1 => "1 stream".to_owned(),
        n => format!("{n} streams"),
    }
}

fn card(stream: &StreamHandle, base: &str) -> Markup {
    let path = stream.config.path.encoded();
    let joined = if stream.config.container.is_joinable() { "?header=1&keyframe=1" } else { "" };
    let url = format!("{base}{path}{joined}");
    let has_picture = !stream.config.mimetype.starts_with("audio/");
    html! {
        article {
            div.view { (view(stream, &path, has_picture)) }
            div.text {
                h2 { (stream.config.name) }
                p.kind { (stream.config.mimetype) }
                nav aria-label=(format!("Links of {}", stream.config.name)) {
                    a href=(format!("{path}{joined}")) { "Stream" }
                    @if has_picture {
                        a href=(format!("{path}/pic")) { "Picture" }
                        a href=(format!("{path}/pic.png")) { "PNG" }
                    }
                }
                pre { code { (command(stream.config.container, &url)) } }
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
        Container::Webm => html! {
            video src=(format!("{path}?header=1&keyframe=1")) controls muted playsinline preload="none" {}
        },
        _ if has_picture => html! { a href=(format!("{path}/pic")) { "Show the current picture" } },
        _ => html! { audio src=(path) controls preload="none" {} },
    }
}

fn command(container: Container, url: &str) -> String {
    match container {
        Container::Mjpeg => format!("mpv '{url}'"),
        _ => format!("ffplay -fflags nobuffer -flags low_delay '{url}'"),
    }
}
