//! `/viewers`: who watches and who publishes, with buttons that end them. Without scripts the page shows who watched when it was made.

use super::{Module, STYLE};
use crate::{
    access::{Access, Action, Decision, Subject},
    engine::registry::Registry,
    status::human::readable,
    web::page::{Menu, Page},
};
use jiff::Timestamp;
use maud::html;

/// The page.
pub const PATH: &str = "/viewers";
/// Its script.
pub const SCRIPT: Module = Module { path: "/viewers.js", text: include_str!("viewers.js") };

/// The page, with the streams whose viewers `access` may end.
pub fn page(menu: &Menu, access: &Access, registry: &Registry) -> warp::reply::Response {
    let may = |name: &str| matches!(access.decide(Action::Kick, Subject::Stream(name)), Decision::Allowed { .. });
    let streams: Vec<_> = registry.streams().iter().filter(|stream| may(stream.config.name.as_str())).collect();
    let members = streams
        .iter()
        .flat_map(|stream| stream.viewers.list().into_iter().map(|member| (stream.config.name.as_str(), member)));
    let members: Vec<_> = members.collect();
    let time = |at| Timestamp::try_from(at).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    Page {
        title: "Viewers",
        here: PATH,
        menu,
        access,
        style: &[STYLE, "section+section{margin-top:1.25rem}"].concat(),
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! { p id="count" {
            @if members.len() == 1 { "1 viewer" } @else { (members.len()) " viewers" }
        } },
        main: html! {
            div.fields id="choice" hidden {
                label { "Stream" select id="stream" {
                    option value="" { "All streams" }
                    @for stream in &streams { option value=(stream.config.name) { (stream.config.called()) } }
                } }
            }
            p id="notice" role="status" {}
            section {
                p.kind id="none" hidden[!members.is_empty()] { "Nobody watches now." }
                div.scroll tabindex="0" role="region" aria-label="Viewers" {
                    table {
                        thead { tr {
                            @for head in ["Stream", "Protocol", "User", "Address", "Since", "Received", "Trouble"] { th scope="col" { (head) } }
                            td {}
                        } }
                        tbody id="viewers" {
                            @for (stream, member) in &members {
                                tr data-id=(format!("{stream}:{:010}", member.number)) {
                                    td { (stream) }
                                    td { (member.protocol) }
                                    td { (member.user.as_deref().unwrap_or("anyone")) }
                                    td { (member.peer) }
                                    td { (time(member.since).unwrap_or_default()) }
                                    td { (readable("bytes", &member.progress.bytes.into())) }
                                    td { @if member.progress.gaps > 0 { (member.progress.gaps) " gaps" } }
                                }
                            }
                        }
                    }
                }
            }
            section id="publishing" hidden {
                h2 { "Publishers" }
                p.kind id="none-publishes" hidden { "Nobody publishes now." }
                div.scroll tabindex="0" role="region" aria-label="Publishers" {
                    table {
                        thead { tr {
                            @for head in ["Feed", "Protocol", "User", "Address", "Since", "Sent"] { th scope="col" { (head) } }
                            td {}
                        } }
                        tbody id="publishers" {}
                    }
                }
            }
        },
    }
    .response()
}
