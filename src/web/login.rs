//! `/login`: the form for a user and a password, which works without scripts. Who is logged in sees who that is, and logs out here.

use super::page::{Menu, Page};
use crate::access::{Access, Identity};
use maud::{Markup, html};
use percent_encoding::percent_decode_str;

/// Its path.
pub const PATH: &str = "/login";
/// Where the forms go.
const SESSION: &str = "/api/v1/session";

const STYLE: &str = "
form{display:grid;gap:1rem;max-width:22rem}label{display:grid;gap:.25rem}
input{font:inherit;padding:.5rem .625rem;border:1px solid color-mix(in srgb,currentColor 55%,transparent);border-radius:.375rem;background:transparent;color:inherit}
button{font:inherit;padding:.5rem 1rem;min-height:2.75rem;cursor:pointer}.failed{font-weight:600}
";

/// The page. `query`: `next`, the path to continue at, and why a try `failed`.
pub fn page(menu: &Menu, access: &Access, query: &str) -> warp::reply::Response {
    let parameter = |wanted: &str| {
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted)?.1;
        percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned())
    };
    let main = match &access.identity {
        Identity::User { name, .. } => logged_in(name),
        _ => form(&parameter("next").unwrap_or_default(), parameter("failed").as_deref()),
    };
    Page {
        title: "Log in",
        here: PATH,
        menu,
        access,
        style: STYLE,
        script: None,
        makes_media: false,
        period: None,
        header: html! {},
        main,
    }
    .response()
}

fn form(next: &str, failed: Option<&str>) -> Markup {
    html! {
        @match failed {
            Some("too-many") => p.failed role="alert" { "Too many attempts. Wait a moment, then try again." },
            Some(_) => p.failed role="alert" { "The user or the password is wrong." },
            None => {}
        }
        form method="post" action=(SESSION) {
            input type="hidden" name="next" value=(next);
            label { "User" input name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus; }
            label { "Password" input name="password" type="password" autocomplete="current-password" required; }
            button { "Log in" }
        }
    }
}

fn logged_in(name: &str) -> Markup {
    html! {
        p { "You are logged in as " strong { (name) } "." }
        form method="post" action=(SESSION) {
            button name="logout" value="1" { "Log out" }
        }
    }
}
