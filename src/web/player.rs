//! `<stream>/play`: one stream as large as the window allows, as this browser can play it, and commands for other players.
//!
//! Without scripts the browser plays it by itself. With them `player.js` does, which pages elsewhere may use as well, and
//! `watch.js` is what is around it.

use super::{
    addresses::{self, Address, Ports, is_elsewhere},
    link::{link_in, with_link},
    offers::{Offers, Reach, container_of, has_video, shown_output},
    page::{Menu, Page},
    qr,
    sparkline::sparkline,
    tile,
};
use crate::{
    access::{Access, Action, Decision, Subject},
    config::{self, Config},
    engine::registry::{Registry, StreamHandle},
    status::{
        history::{LENGTH, Sample},
        human::readable,
        player_commands::{self, Playback},
        snapshot::{StatusReader, Stream},
    },
    stream::ViewerInfo,
};
use http::{HeaderValue, header};
use jiff::Timestamp;
use maud::{Markup, html};
use serde_yaml::{Mapping, Value};
use std::sync::Arc;

/// Path of the script that defines `<voyandz-view>`.
pub const SCRIPT_PATH: &str = "/player.js";
const SCRIPT: &str = include_str!("player.js");
/// Path of the script of the page.
pub const WATCH_PATH: &str = "/watch.js";
const WATCH: &str = include_str!("watch.js");

const STYLE: &str = "
main>.view{max-height:75vh;width:100%;border-radius:var(--round);margin-bottom:.75rem;background:#101418}
main>.sound{aspect-ratio:auto;padding:1.5rem 1rem;background:var(--card);border:1px solid var(--line)}
.sound audio{width:min(40rem,100%);display:block}
#panel{display:flex;flex-wrap:wrap;gap:.75rem 1.5rem;align-items:center}#panel[hidden]{display:none}
.figures{display:flex;flex-wrap:wrap;gap:.25rem 1.5rem;margin:0}.figures div{display:flex;gap:.5rem}.figures dt{color:var(--soft)}
.figures dd{margin:0;font-variant-numeric:tabular-nums;min-width:4.5rem}
#notice{min-height:1.5em;margin:.25rem 0 .75rem}
figure{margin:0 0 1.5rem}figure img{max-width:min(30rem,100%);height:auto;display:block;border-radius:.5rem;margin-bottom:.5rem}
figcaption{display:flex;flex-wrap:wrap;gap:.25rem 1rem;color:var(--soft);font-size:.875rem}
.parts{columns:30rem;gap:1.25rem}.parts>*{break-inside:avoid;margin-bottom:1.25rem}
section{background:var(--card);border:1px solid var(--line);border-radius:var(--round);padding:1rem;min-width:0}section h2{margin:0 0 .75rem}
.addresses{list-style:none;margin:0;padding:0;display:grid;gap:.375rem}.addresses li{display:grid;grid-template-columns:6.5rem 1fr auto;gap:.25rem .75rem;align-items:center;min-height:2rem}
.addresses span{color:var(--soft);font-size:.875rem}.addresses code{font-size:.8125rem;user-select:all;overflow-wrap:anywhere}
.addresses button{min-height:1.75rem;padding:.125rem .625rem;font-size:.8125rem}
@media(max-width:32rem){.addresses li{grid-template-columns:1fr auto}.addresses code{grid-column:1/-1;grid-row:2}}
.qr{width:10rem;height:10rem;border-radius:.5rem;display:block;margin-top:.75rem}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}th,td{text-align:left;padding:.25rem 1rem .25rem 0;font-weight:400;white-space:nowrap}th{color:var(--soft)}
.health dl{display:grid;gap:.75rem;margin:0}.health dl div{display:grid;grid-template-columns:8rem 1fr;gap:.25rem .75rem;align-items:start}
.health dt,.health dd span{color:var(--soft);font-size:.875rem}.health dd{margin:0;font-variant-numeric:tabular-nums}
.spark{display:block;width:100%;height:2.5rem;margin-top:.25rem;border-bottom:1px solid var(--line)}.spark polyline{fill:none;stroke:var(--mark);stroke-width:1.5;vector-effect:non-scaling-stroke}
.spark polygon{fill:var(--mark);opacity:.12}@media(max-width:32rem){.health dl div{grid-template-columns:1fr}}
.scroll{overflow-x:auto}section pre{white-space:pre-wrap;overflow-wrap:anywhere}section p{margin:.25rem 0 .5rem}
";

/// What the pages of all streams have in common.
#[derive(Debug)]
pub struct Context {
    registry: Registry,
    reader: Arc<StatusReader>,
    menu: Menu,
    ports: Ports,
    /// The configuration without its secrets.
    configuration: Value,
}

impl Context {
    /// Of the streams of a configuration.
    pub fn new(config: &Config, registry: &Registry, reader: &Arc<StatusReader>, menu: &Menu) -> Self {
        let text = config::to_yaml(&config::masked(config));
        Self {
            registry: registry.clone(),
            reader: reader.clone(),
            menu: menu.clone(),
            ports: Ports::of(config),
            configuration: serde_yaml::from_str(&text).unwrap_or_default(),
        }
    }

    /// The part of the configuration that makes a stream: itself, and its feeds.
    fn part(&self, stream: &config::Stream) -> Option<String> {
        let entry =
            |section: &str, name: &str| Some((Value::from(name), self.configuration.get(section)?.get(name)?.clone()));
        let feeds: Mapping = stream.feeds.iter().filter_map(|feed| entry("feeds", feed.as_str())).collect();
        let streams: Mapping = entry("streams", stream.name.as_str()).into_iter().collect();
        let sections = [("feeds", feeds), ("streams", streams)].into_iter().filter(|(_, entries)| !entries.is_empty());
        let part: Mapping = sections.map(|(name, entries)| (Value::from(name), Value::Mapping(entries))).collect();
        serde_yaml::to_string(&part).ok().filter(|_| !part.is_empty())
    }
}

/// The page. `site` is the beginning of the addresses of the server as this client knows it, `query` that of the page: its signed
/// link is passed to what the page requests.
pub fn page(
    stream: &StreamHandle,
    reach: Reach,
    context: &Context,
    access: &Access,
    site: &str,
    query: &str,
) -> warp::reply::Response {
    let may = |action| matches!(access.decide(action, Subject::Server), Decision::Allowed { .. });
    let name = stream.config.name.as_str();
    let shown = shown_output(stream);
    let container = container_of(shown);
    let link = link_in(query);
    let is_shown_whole =
        Offers::of(stream, reach, link).has_films() || Playback::of(&shown.config, container) != Playback::Stills;
    let mut others = others(stream, &context.registry);
    others.retain(|other| access.sees(other.config.name.as_str()));
    let state = context.reader.stream(name);
    let state = state.iter().next();
    let tells_viewers = may(Action::Status);
    let page = Page {
        title: stream.config.called(),
        here: "",
        menu: &context.menu,
        access,
        style: &[STYLE, player_commands::STYLE].concat(),
        script: Some(WATCH_PATH),
        makes_media: true,
        period: None,
        header: html! {
            @if let Some(state) = state {
                (tile::badges(state))
                p data-key="facts" { (tile::facts(state, tells_viewers).join(" · ")) }
            }
        },
        main: html! {
            (view(stream, shown, link))
            @if !is_shown_whole { (only_stills(&others)) }
            (panel(stream))
            div.parts {
                (addresses(&addresses::of(stream, reach, &context.ports, site, link)))
                (elsewhere(stream, site, link))
                @if tells_viewers && let Some(state) = state { (health(state, &context.reader.info().history().of(name))) }
                @if tells_viewers && context.reader.pages().clients { (viewers(&stream.viewers.list())) }
                @if !others.is_empty() {
                    section {
                        h2 { "From the same source" }
                        nav aria-label="From the same source" {
                            @for other in &others {
                                a href=(format!("{}/play", other.config.path.encoded())) { (other.config.name) }
                            }
                        }
                    }
                }
                section {
                    h2 { "Other players" }
                    (player_commands::list(&player_commands::player_commands(&shown.config, container, site)))
                }
                @if may(Action::ConfigRead) && let Some(part) = context.part(&stream.config) {
                    section { h2 { "Configuration" } pre tabindex="0" role="region" aria-label="Configuration" { code { (part) } } }
                }
            }
        },
    };
    page.response()
}

/// How the stream did in the last ten minutes.
fn health(state: &Stream, samples: &[Sample]) -> Markup {
    let rates: Vec<_> = samples.iter().map(|sample| sample.bit_rate).collect();
    let viewers: Vec<_> = samples.iter().map(|sample| sample.viewers).collect();
    let gaps: Vec<_> = samples.iter().map(|sample| sample.gaps).collect();
    let rate = |rate: u64| readable("bit_rate", &rate.into());
    let total: u64 = gaps.iter().sum();
    let curves = [
        ("Bit rate", &rates, rate(rates.last().copied().unwrap_or(0)), format!("at most {}", rate(most(&rates)))),
        ("Viewers", &viewers, viewers.last().copied().unwrap_or(0).to_string(), format!("at most {}", most(&viewers))),
        ("Skips of slow viewers", &gaps, total.to_string(), "in ten minutes".to_owned()),
    ];
    html! {
        section.health data-key="health" {
            h2 { "Last ten minutes" }
            dl {
                @for (label, values, now, note) in curves {
                    div {
                        dt { (label) }
                        dd { strong { (now) } " " span { (note) } (sparkline(values, LENGTH, &format!("{label}: {now}, {note}"))) }
                    }
                }
            }
            @if let Some(error) = &state.life.last_error { p.kind { "Last failure: " (error) } }
        }
    }
}

fn most(values: &[u64]) -> u64 {
    values.iter().copied().max().unwrap_or(0)
}

/// What to do where browsers play nothing but stills.
fn only_stills(others: &[&StreamHandle]) -> Markup {
    html! {
        p.kind {
            "Browsers cannot play this stream by themselves: the page shows stills of it. "
            @if let Some(best) = others.iter().find(|other| plays(other)) {
                a href=(format!("{}/play", best.config.path.encoded())) { (best.config.name) }
                " has the same source and plays here; "
            }
            "a player shows the full stream, see below."
        }
    }
}

/// The addresses of a stream, to copy.
fn addresses(addresses: &[Address]) -> Markup {
    html! {
        section {
            h2 { "Addresses" }
            ul.addresses {
                @for Address { label, url, note } in addresses {
                    li {
                        span { (label) @if !note.is_empty() { " " (note) } }
                        code { (url) }
                        button type="button" data-copy=(url) aria-label=(format!("Copy the address of {label}")) hidden { "Copy" }
                    }
                }
            }
        }
    }
}

/// How the stream gets to other devices and pages.
fn elsewhere(stream: &StreamHandle, site: &str, link: Option<&str>) -> Markup {
    let path = stream.config.path.encoded();
    let page = with_link(format!("{site}{path}/play"), link);
    let source = with_link(format!("{site}{path}"), link);
    let code = is_elsewhere(site).then(|| qr::code(&page, "QR code of this page")).flatten();
    let embedding = format!(
        "<script type=\"module\" src=\"{site}{SCRIPT_PATH}\"></script>\n<voyandz-view src=\"{source}\"></voyandz-view>"
    );
    html! {
        section {
            h2 { "In a page of yours" }
            p.kind { "These lines show the stream in any page." }
            pre tabindex="0" role="region" aria-label="In a page of yours" { code { (embedding) } }
            p { button type="button" data-copy=(embedding) aria-label="Copy the lines for a page" hidden { "Copy" } }
            @if let Some(code) = code {
                h2 { "On a phone" }
                p.kind { "The camera of a phone reads the address of this page." }
                (code)
            }
        }
    }
}

/// Who watches now.
fn viewers(members: &[ViewerInfo]) -> Markup {
    html! {
        section {
            h2 { "Viewers" }
            div.scroll data-key="viewers" tabindex="0" role="region" aria-label="Viewers" {
                @if members.is_empty() { p.kind { "Nobody watches now." } }
                @else {
                    table {
                        thead { tr { th scope="col" { "Address" } th scope="col" { "Protocol" } th scope="col" { "Since" } th scope="col" { "Received" } } }
                        tbody {
                            @for member in members {
                                tr {
                                    td { (member.peer) }
                                    td { (member.protocol) }
                                    td { (Timestamp::try_from(member.since).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()).unwrap_or_default()) }
                                    td { (readable("bytes", &member.progress.bytes.into())) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
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
