//! `<stream>/play`: one stream, as large as the window has room, and how to watch it elsewhere.

use super::page::Page;
use crate::{feed::registry::StreamHandle, media::Container};
use http::{HeaderValue, header};
use maud::{Markup, html};

/// Path of the script of all players.
pub const SCRIPT_PATH: &str = "/player.js";
/// Shows still pictures one after the other, where a browser knows no more of a container.
const SCRIPT: &str = include_str!("player.js");

const STYLE: &str = "
.view{max-height:75vh;width:100%;border-radius:.75rem;overflow:hidden;margin-bottom:1rem}
.view audio{width:min(30rem,90%)}
";

/// How a browser shows a container by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Image,
    Video,
    Audio,
    Stills,
}

/// The page. `host` is the server's address as this client knows it.
pub fn page(stream: &StreamHandle, host: Option<&str>) -> warp::reply::Response {
    let shown = shown(stream.config.container, &stream.config.mimetype);
    let page = Page {
        title: stream.config.name.as_str(),
        style: STYLE,
        script: (shown == Shown::Stills).then_some(SCRIPT_PATH),
        header: html! {
            p { (stream.config.mimetype) }
            nav aria-label="Pages" { a href="/" { "All streams" } }
        },
        main: html! {
            div.view { (view(stream, shown)) }
            @if shown == Shown::Stills {
                p.kind { "Browsers cannot play this stream by themselves: these are still pictures of it. A player shows all of it:" }
            } @else {
                p.kind { "In a player:" }
            }
            pre tabindex="0" { code { (command(stream, host)) } }
        },
    };
    page.answer()
}

/// The script of the page.
pub fn script() -> warp::reply::Response {
    let mut response = warp::reply::Response::new(SCRIPT.into());
    let mimetype = HeaderValue::from_static("text/javascript; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, mimetype);
    response
}

/// What shows a stream on a terminal.
pub fn command(stream: &StreamHandle, host: Option<&str>) -> String {
    let url = format!("http://{}{}", host.unwrap_or("localhost"), address(stream));
    match stream.config.container {
        Container::Mjpeg => format!("mpv '{url}'"),
        _ => format!("ffplay -fflags nobuffer -flags low_delay '{url}'"),
    }
}

/// The path of a stream, with what a player needs to begin at once.
pub fn address(stream: &StreamHandle) -> String {
    let joined = if stream.config.container.is_joinable() { "?header=1&keyframe=1" } else { "" };
    format!("{}{joined}", stream.config.path.encoded())
}

fn shown(container: Container, mimetype: &str) -> Shown {
    match container {
        Container::Mjpeg => Shown::Image,
        _ if mimetype.starts_with("audio/") => Shown::Audio,
        Container::Webm | Container::Ogg | Container::Mp4 => Shown::Video,
        _ => Shown::Stills,
    }
}

fn view(stream: &StreamHandle, shown: Shown) -> Markup {
    let (name, path) = (&stream.config.name, stream.config.path.encoded());
    match shown {
        Shown::Image => html! { img src=(path) alt=(format!("Live picture of {name}")); },
        Shown::Video => html! {
            video src=(address(stream)) aria-label=(name) controls autoplay muted playsinline {}
        },
        Shown::Audio => html! { audio src=(address(stream)) aria-label=(name) controls {} },
        Shown::Stills => html! {
            img src=(format!("{path}/pic")) data-again=(format!("{path}/pic")) alt=(format!("Picture of {name}"));
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_container_is_shown_as_browsers_can() {
        assert_eq!(shown(Container::Mjpeg, Container::Mjpeg.mimetype()), Shown::Image);
        assert_eq!(shown(Container::Webm, "video/webm"), Shown::Video);
        assert_eq!(shown(Container::Webm, "audio/webm"), Shown::Audio);
        assert_eq!(shown(Container::Mp3, "audio/mpeg"), Shown::Audio);
        assert_eq!(shown(Container::Mp4, "video/mp4"), Shown::Video);
        for container in [Container::Ts, Container::Mkv, Container::Flv, Container::Raw] {
            assert_eq!(shown(container, container.mimetype()), Shown::Stills);
        }
    }
}
