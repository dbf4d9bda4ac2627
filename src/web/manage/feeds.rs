//! `/feeds`: where media comes from, how that is and was, what it last printed, and buttons that stop, start, pause and restart it.

use super::{Module, STYLE};
use crate::{
    access::{Access, Action, Decision, Subject},
    engine::registry::Registry,
    status::snapshot::StatusReader,
    web::{
        history_bar::{self, history_bar},
        page::{Menu, Page},
        tile::{STATES, told},
    },
};
use maud::html;
use serde_json::{Map, json};

/// The page.
pub const PATH: &str = "/feeds";
/// Its script.
pub const SCRIPT: Module = Module { path: "/feeds.js", text: include_str!("feeds.js") };

const OWN: &str = "
.cards{grid-template-columns:repeat(auto-fill,minmax(min(24rem,100%),1fr));align-items:start}article{padding:1rem}.problem{color:var(--bad);font-size:.875rem;margin:.25rem 0 0;overflow-wrap:anywhere}.problem:empty{display:none}
.past:not(:empty){margin-top:.75rem}article pre{max-height:10rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}.streams{font-size:.875rem;margin:.5rem 0 0}
";

/// The page, with the feeds of the streams that `access` may see.
pub fn page(menu: &Menu, access: &Access, reader: &StatusReader, registry: &Registry) -> warp::reply::Response {
    let snapshot = reader.snapshot().seen_by(access);
    let history = reader.info().history();
    let may = |subject: Subject<'_>| matches!(access.decide(Action::Kick, subject), Decision::Allowed { .. });
    let may_order = |feed: &str| {
        let streams = registry.streams_of(feed);
        match streams.is_empty() {
            true => may(Subject::EveryStream),
            false => streams.iter().all(|stream| may(Subject::Stream(stream))),
        }
    };
    let states = STATES.iter().map(|state| {
        let (shape, word, class) = told(state);
        ((*state).to_owned(), json!([shape, word, class]))
    });
    Page {
        title: "Feeds",
        here: PATH,
        menu,
        access,
        style: &[STYLE, history_bar::STYLE, OWN].concat(),
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! { p { @if snapshot.feeds.len() == 1 { "1 feed" } @else { (snapshot.feeds.len()) " feeds" } } },
        main: html! {
            p id="notice" role="status" {}
            @if snapshot.feeds.is_empty() { p.kind { "There is no feed that you may see." } }
            div.cards id="feeds" data-states=(json!(states.collect::<Map<_, _>>())) {
                @for feed in &snapshot.feeds {
                    @let (shape, word, class) = told(feed.life.state);
                    article data-feed=(feed.name) data-may[may_order(&feed.name)] aria-label=(feed.name) {
                        div.name {
                            h2 { (feed.name) }
                            span class=(format!("badge {class}")) { span aria-hidden="true" { (shape) } " " (word) }
                        }
                        p.kind {}
                        div.past { (history_bar(&history.of_feed(&feed.name))) }
                        p.problem { @if let Some(error) = &feed.life.last_error { (error) } }
                        pre hidden tabindex="0" role="region" aria-label=(format!("What {} printed", feed.name)) {}
                        p.streams {
                            @for stream in registry.streams_of(&feed.name).iter().filter(|stream| access.sees(stream)) {
                                @if let Some(handle) = registry.streams().iter().find(|handle| handle.config.name.as_str() == *stream) {
                                    a href=(format!("{}/play", handle.config.path.encoded())) { (handle.config.called()) } " "
                                }
                            }
                        }
                        p.buttons {}
                    }
                }
            }
        },
    }
    .response()
}
