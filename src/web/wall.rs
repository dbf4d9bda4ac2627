//! `/wall`: all streams, or those that are chosen, with nothing around them. A few play, many are stills that are renewed.

use super::{
    home::SCRIPT_PATH,
    page::{Menu, Page},
    tile::{self, Look},
};
use crate::{
    access::Access,
    engine::registry::{Registry, StreamHandle},
    status::snapshot::StatusReader,
};
use maud::{Markup, html};
use percent_encoding::percent_decode_str;

/// Its path.
pub const PATH: &str = "/wall";
/// More than this many streams do not all play: browsers have few decoders, and few connections to a server.
const PLAYING: usize = 6;
/// Width of the stills, in pixels.
const WIDTH: u32 = 320;
/// Milliseconds between two stills.
const PERIOD: u32 = 2000;

const STYLE: &str = "
body{max-width:none;padding:0 .5rem .5rem}.bar{margin-bottom:.5rem;padding:.375rem .5rem}.heading{display:none}footer{display:none}
.wall{display:grid;gap:.5rem;grid-template-columns:repeat(auto-fit,minmax(min(var(--least),100%),1fr))}
.tile{position:relative;border-radius:.375rem;overflow:hidden;border:0}.tile .view{aspect-ratio:16/9}
.tile figcaption{position:absolute;left:0;right:0;bottom:0;display:flex;justify-content:space-between;gap:.5rem;padding:.25rem .625rem;background:rgb(0 0 0/.72);font-size:.875rem}
.tile figcaption a{color:#fff;text-decoration:none;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.tile .badge{color:#ffd591}
.tile .badge.good{color:#8ee6a8}.tile .badge.calm{color:#d0d7de}.tile .badge.bad{color:#ffb4ab}.tile .badge.recorded{color:#d0d7de}.tile .recorded span{color:#ff8a80}.tile .badges{flex-wrap:nowrap}
figure{margin:0}details{margin:.5rem}form{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;align-items:center;margin-top:.5rem}label{display:flex;gap:.375rem;align-items:center;min-height:1.75rem}
";

/// The page. `query`: the streams that are chosen, as `stream=a&stream=b`; all, where there are none.
pub fn page(
    reader: &StatusReader,
    registry: &Registry,
    menu: &Menu,
    access: &Access,
    query: &str,
) -> warp::reply::Response {
    let snapshot = reader.snapshot().seen_by(access);
    let chosen = chosen(query);
    let all: Vec<(_, &StreamHandle)> = snapshot
        .streams
        .iter()
        .filter_map(|stream| {
            let handle = registry.streams().iter().find(|handle| handle.config.name.as_str() == stream.name)?;
            (Look::of(handle) == Look::Video).then_some((stream, handle.as_ref()))
        })
        .collect();
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|chosen| chosen == name);
    let shown: Vec<_> = all.iter().filter(|(stream, _)| is_chosen(&stream.name)).collect();
    let plays = shown.len() <= PLAYING;
    // As few columns as make the tiles large.
    let least = match shown.len() {
        0..=1 => "60rem",
        2..=4 => "34rem",
        5..=9 => "24rem",
        _ => "15rem",
    };
    let page = Page {
        title: "Wall",
        here: PATH,
        menu,
        access,
        style: &format!("{STYLE}.wall{{--least:{least}}}"),
        script: Some(SCRIPT_PATH),
        makes_media: true,
        period: Some(PERIOD),
        header: html! {},
        main: html! {
            @if shown.is_empty() { p { "There is no video to show." } }
            div.wall {
                @for (stream, handle) in shown {
                    figure.tile {
                        (view(handle, plays, access))
                        figcaption { a href=(format!("{}/play", handle.config.path.encoded())) { (stream.called()) } (tile::badges(stream)) }
                    }
                }
            }
            (choice(&all.iter().map(|(stream, _)| stream.name.as_str()).collect::<Vec<_>>(), &is_chosen))
        },
    };
    page.response()
}

fn view(handle: &StreamHandle, plays: bool, access: &Access) -> Markup {
    let (path, name) = (handle.config.path.encoded(), &handle.config.name);
    let (still, when) = (tile::still(handle, WIDTH, access), tile::still_when(handle));
    html! {
        @if plays {
            div.view role="group" aria-label=(name) data-key=(format!("view of {name}")) data-src=(path) data-still=[still] data-when=(when) {
                (tile::picture(handle, WIDTH, access))
            }
        } @else {
            a.view href=(format!("{path}/play")) aria-label=(format!("Watch {name}")) data-key=(format!("view of {name}")) data-src=(path)
                data-still=[still] data-when=(when) { (tile::picture(handle, WIDTH, access)) }
        }
    }
}

/// A form that chooses, and makes an address that can be kept.
fn choice(names: &[&str], is_chosen: &impl Fn(&str) -> bool) -> Markup {
    html! {
        details {
            summary { "Choose streams" }
            form action=(PATH) {
                @for name in names {
                    label { input type="checkbox" name="stream" value=(name) checked[is_chosen(name)]; (name) }
                }
                button type="submit" { "Show" }
            }
        }
    }
}

/// The streams that a query names, as forms encode them.
fn chosen(query: &str) -> Vec<String> {
    let named = query.split('&').filter_map(|pair| pair.strip_prefix("stream="));
    let decoded = named.filter_map(|name| {
        let name = name.replace('+', " ");
        percent_decode_str(&name).decode_utf8().ok().map(|name| name.into_owned())
    });
    decoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_of_a_form_names_streams() {
        assert_eq!(chosen("stream=a.ts&x=1&stream=b+c%2Bd"), ["a.ts", "b c+d"]);
        assert!(chosen("").is_empty() && chosen("stream=%ff").is_empty());
    }
}
