//! `/stat`: the state of the server, its feeds and its streams. The page renders the values of the JSON, so both always agree. It
//! is complete without its script, which refreshes it.

use super::page::{Menu, Page};
use crate::access::{Access, Action, Decision, Subject};
use crate::status::{
    human::{label, plain, readable},
    response,
    snapshot::{StatusReader, StatusSnapshot, Stream},
};
use http::StatusCode;
use maud::{Markup, html};
use serde_yaml::{Mapping, Value};

/// The script of the page.
const SCRIPT: &str = include_str!("state.js");

const STYLE: &str = "
section{margin-bottom:2rem}section>h2{font-size:1.25rem;margin-bottom:.75rem}h3{font-size:1.0625rem;margin:0;overflow-wrap:anywhere}
.cards{align-items:start;grid-template-columns:repeat(auto-fill,minmax(min(21rem,100%),1fr))}
dl{margin:0;display:grid;grid-template-columns:fit-content(8.5rem) 1fr;gap:.25rem .75rem;font-size:.875rem}
dt{color:var(--soft)}dd{margin:0;min-width:0;overflow-wrap:anywhere;font-variant-numeric:tabular-nums}
dd pre{margin:0;white-space:pre-wrap;overflow-wrap:anywhere}dd:has(pre,table){grid-column:1/-1}
@media(min-width:64rem){section>dl{grid-template-columns:repeat(2,fit-content(12rem) 1fr)}}
section>dl.tiles{grid-template-columns:repeat(2,1fr);gap:.75rem;margin-bottom:1rem}@media(min-width:40rem){section>dl.tiles{grid-template-columns:repeat(5,1fr)}}
.tiles div{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:.75rem 1rem}
.tiles dd{font-size:1.375rem;font-weight:600}
.badge{font-size:.8125rem;font-weight:600;color:var(--busy);border:1px solid currentColor;border-radius:1rem;padding:0 .625rem;white-space:nowrap}
.badge:has([value=running],[value=lingering]){color:var(--good)}.badge:has([value=idle]){color:var(--soft)}
.badge:has([value=dead],[value=backoff],[value=no-signal],[value=stalled],[value=waiting-device]){color:var(--bad)}
details{margin-top:.75rem;font-size:.875rem}summary{cursor:pointer;color:var(--mark);margin-bottom:.5rem}
table{border-collapse:collapse;font-size:.8125rem;white-space:nowrap}th,td{text-align:left;padding:.125rem .5rem .125rem 0;font-weight:400}th{color:var(--soft)}
.scroll{overflow-x:auto}.empty{color:var(--soft)}#notice{color:var(--bad)}
";

/// The values of a feed or stream that are visible immediately; the rest is a click away.
const FIRST: [&str; 13] = [
    "since",
    "kind",
    "mode",
    "mimetype",
    "feeds",
    "tracks",
    "bit_rate",
    "bit_rate_in",
    "readers",
    "bytes_out",
    "latency",
    "restarts",
    "last_error",
];

/// The script of the page.
pub fn script() -> warp::reply::Response {
    response(StatusCode::OK, SCRIPT.to_owned(), "text/javascript; charset=utf-8")
}

/// Whether the script of the page requests a refresh.
pub fn is_refresh(query: &str) -> bool {
    query.split('&').any(|part| part == "refresh=1")
}

/// The page, as far as `access` may see the state.
pub fn page(reader: &StatusReader, menu: &Menu, access: &Access) -> warp::reply::Response {
    let snapshot = reader.snapshot().seen_by(access);
    // As generic values, so that no field can be missing.
    let values = serde_yaml::to_value(&snapshot).unwrap_or_default();
    let pages = reader.pages();
    let script = pages.stat.as_ref().map(|path| format!("{}.js", path.encoded()));
    let page = Page {
        title: "State",
        here: &pages.stat.as_ref().map(ToString::to_string).unwrap_or_default(),
        menu,
        access,
        style: STYLE,
        script: script.as_deref(),
        makes_media: false,
        period: None,
        header: html! {
            p { "The state of the server. The values refresh themselves where scripts are allowed." }
            nav aria-label="For programs" {
                @if let Some(path) = &pages.stat_json { a href=(path.encoded()) { "JSON" } }
                @if pages.metrics { a href="/metrics" { "Metrics" } }
                @if pages.config { a href="/config" { "Configuration" } }
            }
            p id="notice" role="status" {}
        },
        main: content(&snapshot, &values, pages.home, access),
    };
    page.response()
}

fn content(snapshot: &StatusSnapshot, values: &Value, home: bool, access: &Access) -> Markup {
    let list = |name: &str| values.get(name).and_then(Value::as_sequence).into_iter().flatten();
    html! {
        section aria-labelledby="server" {
            h2 id="server" { "Server" }
            dl.tiles {
                @for (key, value) in entries(values.get("totals")) {
                    div { dt { (label(key)) } dd { (fact(&format!("totals.{key}"), key, value)) } }
                }
            }
            (rows("server", entries(values.get("server"))))
        }
        section aria-labelledby="streams" {
            h2 id="streams" { "Streams" }
            @if snapshot.streams.is_empty() { p.empty { "No streams are configured." } }
            div.cards {
                @for (stream, value) in snapshot.streams.iter().zip(list("streams")) {
                    (card("streams", &stream.name, value, thumbnail(stream, access), links(stream, home)))
                }
            }
        }
        section aria-labelledby="feeds" {
            h2 id="feeds" { "Feeds" }
            @if snapshot.feeds.is_empty() { p.empty { "No feeds are configured." } }
            div.cards {
                @for (feed, value) in snapshot.feeds.iter().zip(list("feeds")) {
                    (card("feeds", &feed.name, value, html! {}, html! {}))
                }
            }
        }
    }
}

fn card(list: &str, name: &str, value: &Value, above: Markup, links: Markup) -> Markup {
    let path = format!("{list}[{name}]");
    let is_first = |key: &str| FIRST.contains(&key);
    let own = |key: &str| !matches!(key, "name" | "state");
    let first = entries(Some(value)).filter(|(key, _)| own(key) && is_first(key));
    let rest = entries(Some(value)).filter(|(key, _)| own(key) && !is_first(key));
    let shown_by = |key: &str| fact(&format!("{path}.{key}"), key, value.get(key).unwrap_or(&Value::Null));
    html! {
        article aria-label=(name) {
            (above)
            div.text {
                div.name { h3 { (shown_by("name")) } span.badge { (shown_by("state")) } }
                (links)
                (rows(&path, first))
                details id=(path) { summary { "All of " (name) } (rows(&path, rest)) }
            }
        }
    }
}

/// A still of a running stream; the request starts nothing.
fn thumbnail(stream: &Stream, access: &Access) -> Markup {
    let may = matches!(access.decide(Action::Still, Subject::Stream(&stream.name)), Decision::Allowed { .. });
    let source = format!("{}/pic?q=60&start=0", stream.url);
    html! {
        @if may && stream.has_live_video() {
            div.view data-key=(format!("still of {}", stream.name)) {
                img src=(source) alt=(format!("Still of {}", stream.name)) loading="lazy";
            }
        }
    }
}

fn links(stream: &Stream, home: bool) -> Markup {
    let has_video = stream.kind == "shared" && !stream.mimetype.starts_with("audio/");
    html! {
        nav aria-label=(format!("Links of {}", stream.name)) {
            @if home && stream.kind == "shared" { a href=(format!("{}/play", stream.url)) { "Play" } }
            a href=(stream.url) { @if stream.kind == "shot" { "Still" } @else { "Stream" } }
            @if has_video { a href=(format!("{}/pic", stream.url)) { "Still" } }
        }
    }
}

fn rows<'a>(path: &str, entries: impl Iterator<Item = (&'a str, &'a Value)>) -> Markup {
    html! { dl { @for (key, value) in entries { (row(&format!("{path}.{key}"), key, value)) } } }
}

fn row(path: &str, key: &str, value: &Value) -> Markup {
    if let Some([median, p99, longest]) = latency_of(value) {
        let data = |inner: &str, value, text: &str| {
            html! {
                data data-key=(format!("{path}.{inner}")) value=(plain(value)) { (text) }
            }
        };
        let time = |value| readable("p50_seconds", value);
        let more = |text: String| if median.is_null() { String::new() } else { text };
        return html! {
            dt { (label(key)) }
            dd {
                (data("p50_seconds", median, &time(median)))
                (data("p99_seconds", p99, &more(format!("; 99 of 100 up to {}", time(p99)))))
                (data("max_seconds", longest, &more(format!(", all up to {}", time(longest)))))
            }
        };
    }
    if let Value::Mapping(inner) = value {
        // `configuration.loaded` → "Configuration loaded".
        return html! { @for (inner, value) in pairs(inner) {
            dt { (label(&format!("{key}_{inner}"))) } dd { (fact(&format!("{path}.{inner}"), inner, value)) }
        } };
    }
    html! {
        dt { (label(key)) }
        dd {
            @match table_of(value) {
                Some(items) => (table(path, key, &items)),
                None => (fact(path, key, value)),
            }
        }
    }
}

/// The quantiles of a latency, which are shown as one sentence.
fn latency_of(value: &Value) -> Option<[&Value; 3]> {
    let [Some(median), Some(p99), Some(longest)] =
        ["p50_seconds", "p99_seconds", "max_seconds"].map(|key| value.get(key))
    else {
        return None;
    };
    Some([median, p99, longest])
}

/// The items of a list whose items have several values.
fn table_of(value: &Value) -> Option<Vec<&Mapping>> {
    let items: Option<Vec<_>> = value.as_sequence()?.iter().map(Value::as_mapping).collect();
    items.filter(|items| !items.is_empty())
}

fn table(path: &str, key: &str, items: &[&Mapping]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(label(key)) {
            table {
                thead { tr {
                    @for (key, _) in items.first().into_iter().flat_map(|item| pairs(item)) { th scope="col" { (label(key)) } }
                } }
                tbody {
                    @for (at, item) in items.iter().enumerate() {
                        tr { @for (key, value) in pairs(item) {
                            td { (fact(&format!("{path}[{at}].{key}"), key, value)) }
                        } }
                    }
                }
            }
        }
    }
}

/// One value: readable for people, and as in the JSON for programs.
fn fact(path: &str, key: &str, value: &Value) -> Markup {
    let data = |text: &str| html! { data data-key=(path) value=(plain(value)) { (text) } };
    match key {
        "source" | "last_lines" | "last_error" | "error" if !plain(value).is_empty() => {
            html! { pre { (data(&plain(value))) } }
        }
        _ => data(&readable(key, value)),
    }
}

fn entries(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    value.and_then(Value::as_mapping).into_iter().flat_map(pairs)
}

fn pairs(mapping: &Mapping) -> impl Iterator<Item = (&str, &Value)> {
    mapping.iter().filter_map(|(key, value)| Some((key.as_str()?, value)))
}
