//! `/access`: who may what, and links to share that end by themselves. It is complete without scripts.

use super::{Module, STYLE};
use crate::{
    access::{Access, Grant, LINK_PARAMETER, LinkTerms, Permissions, Policy},
    engine::registry::{Registry, StreamHandle},
    web::{
        addresses::is_elsewhere,
        page::{Menu, Page},
        qr,
    },
};
use jiff::{Timestamp, ToSpan, Zoned};
use maud::{Markup, html};
use percent_encoding::percent_decode_str;
use std::time::Duration;

/// The page.
pub const PATH: &str = "/access";
/// Its script.
pub const SCRIPT: Module = Module { path: "/access.js", text: include_str!("access.js") };
/// How long a link can be good.
const LENGTHS: [(&str, &str); 4] =
    [("1h", "1 hour"), ("midnight", "Until midnight"), ("7d", "7 days"), ("30d", "30 days")];

const OWN: &str = "
section+section{margin-top:1.25rem}td.may{white-space:normal;min-width:min(12rem,24vw)}#link{user-select:all;overflow-wrap:anywhere;font-size:.8125rem;display:block;margin:.25rem 0}
.qr{width:11rem;height:11rem;border-radius:.5rem;display:block;margin-top:.75rem}
";

/// The page. `site` is the beginning of the addresses of the server as this client knows it; `query` may ask for a link.
pub fn page(menu: &Menu, access: &Access, registry: &Registry, site: &str, query: &str) -> warp::reply::Response {
    let indexed = access.gate().policy();
    let policy = indexed.policy();
    let streams: Vec<_> = registry.streams().iter().map(AsRef::as_ref).collect();
    let given = |wanted: &str| {
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted)?.1;
        percent_decode_str(&value.replace('+', " ")).decode_utf8().ok().map(|value| value.into_owned())
    };
    let (wanted, lasts) = (given("stream"), given("for"));
    let chosen = wanted.as_deref().and_then(|name| streams.iter().find(|stream| stream.config.name.as_str() == name));
    Page {
        title: "Access",
        here: PATH,
        menu,
        access,
        style: &[STYLE, OWN].concat(),
        script: Some(SCRIPT.path),
        makes_media: false,
        period: None,
        header: html! {},
        main: html! {
            section {
                h2 { "Share a stream" }
                @if policy.link_keys.is_empty() {
                    p.kind { "Links need a key: " code { "voyandz sign --new-key" } " prints one for " code { "auth.link_keys" } " in the configuration file." }
                } @else {
                    p.kind { "Whoever has the link watches this stream and takes stills of it, without a login, until the link ends." }
                    (form(&streams, wanted.as_deref(), lasts.as_deref()))
                    @if let Some(stream) = chosen {
                        @match share(policy, access, stream, lasts.as_deref(), Timestamp::now()) {
                            Some(shared) => (result(stream, &shared, site)),
                            None => p role="alert" { "This link cannot be made: choose how long it is good." },
                        }
                    } @else if wanted.is_some() { p role="alert" { "There is no such stream." } }
                }
            }
            section {
                h2 { "Who may what" }
                div.scroll tabindex="0" role="region" aria-label="Who may what" { (rules(policy)) }
                @if policy.jwt.is_some() { p.kind { "Tokens of a service (" code { "auth.jwt" } ") permit what they say." } }
                @if policy.hook.is_some() { p.kind { "A service is asked about what nothing else permits (" code { "auth.hook" } ")." } }
                p.kind { "Over the control socket of the machine root and the user of the server may do everything." }
            }
        },
    }
    .response()
}

/// A link that was made.
struct Shared {
    /// The signed part.
    link: String,
    until: Timestamp,
}

/// A link to a stream that is good for this long; `None` for an unknown length, or without a key.
fn share(
    policy: &Policy,
    access: &Access,
    stream: &StreamHandle,
    lasts: Option<&str>,
    now: Timestamp,
) -> Option<Shared> {
    let until = ends(lasts?, &now.to_zoned(jiff::tz::TimeZone::system()))?;
    let (key_name, key) = policy.link_keys.last()?;
    let lasts = Duration::try_from(until.duration_since(now)).ok()?;
    let name: String =
        access.identity.name().unwrap_or_default().chars().filter(|c| !c.is_control()).take(16).collect();
    let streams = stream.config.name.as_str();
    let link = LinkTerms { streams, lasts, name: &name, ..LinkTerms::default() }.link(key_name, now.into()).ok()?;
    Some(Shared { link: link.sign(key), until })
}

/// When a link ends that is made now.
fn ends(lasts: &str, now: &Zoned) -> Option<Timestamp> {
    LENGTHS.iter().find(|(known, _)| *known == lasts)?;
    let end = match lasts {
        "1h" => now.checked_add(1.hour()),
        "7d" => now.checked_add(7.days()),
        "30d" => now.checked_add(30.days()),
        _ => now.end_of_day(),
    };
    Some(end.ok()?.timestamp())
}

fn form(streams: &[&StreamHandle], wanted: Option<&str>, lasts: Option<&str>) -> Markup {
    html! {
        form.fields method="get" action=(PATH) {
            label { "Stream" select name="stream" required {
                @for stream in streams {
                    @let name = stream.config.name.as_str();
                    option value=(name) selected[wanted == Some(name)] { (stream.config.called()) }
                }
            } }
            label { "Good for" select name="for" {
                @for (value, label) in LENGTHS { option value=(value) selected[lasts.unwrap_or("midnight") == value] { (label) } }
            } }
            button.main { "Make a link" }
        }
    }
}

fn result(stream: &StreamHandle, Shared { link, until }: &Shared, site: &str) -> Markup {
    let url = format!("{site}{}/play?{LINK_PARAMETER}={link}", stream.config.path.encoded());
    let time = until.strftime("%Y-%m-%d %H:%M UTC").to_string();
    html! {
        p role="status" { "The link to " strong { (stream.config.called()) } " is good until " time datetime=(until) { (time) } "." }
        code id="link" { (url) }
        p.buttons { button id="copy" type="button" data-copy=(url) hidden { "Copy" } a.button href=(url) { "Open" } }
        @if is_elsewhere(site) && let Some(code) = qr::code(&url, "QR code of the link") { (code) }
    }
}

fn rules(policy: &Policy) -> Markup {
    let until = |grant: &Grant| grant.until.and_then(|until| Timestamp::try_from(until).ok());
    let from = |grant: &Grant| grant.from.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let row = |name: &str, kind: &str, grant: &Grant| {
        html! { tr {
            td { (name) } td { (kind) } td.may { (told(&grant.may)) } td { (from(grant)) }
            td { @if let Some(until) = until(grant) { (until.strftime("%Y-%m-%d %H:%M UTC").to_string()) } }
        } }
    };
    html! {
        table {
            thead { tr { @for head in ["Name", "Kind", "May", "From", "Until"] { th scope="col" { (head) } } } }
            tbody {
                (row("Anyone", "no login", &Grant { may: policy.anyone.clone(), ..Grant::default() }))
                @for user in &policy.users { (row(&user.name, if user.password.is_some() { "user" } else { "user with a certificate" }, &user.grant)) }
                @for token in &policy.tokens { (row(&token.name, "token", &token.grant)) }
            }
        }
    }
}

fn told(may: &Permissions) -> String {
    let told: Vec<_> = may.iter().map(ToString::to_string).collect();
    if told.is_empty() { "nothing".to_owned() } else { told.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_ends_when_its_length_says() {
        let now: Zoned = "2026-11-29T20:15:00+01:00[Europe/Warsaw]".parse().unwrap();
        let end = |lasts| ends(lasts, &now).map(|end| end.strftime("%Y-%m-%dT%H:%M:%S").to_string());
        assert_eq!(end("1h").as_deref(), Some("2026-11-29T20:15:00"));
        assert_eq!(end("midnight").as_deref(), Some("2026-11-29T22:59:59"));
        assert_eq!(end("7d").as_deref(), Some("2026-12-06T19:15:00"));
        assert_eq!(end("1000y"), None);
    }
}
