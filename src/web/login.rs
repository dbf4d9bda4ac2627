//! `/login`: the form for a user and a password or a one-time code, which works without scripts. Who is logged in sees who that is, and logs out here.

use super::{
    page::{LOGIN, Menu, Page},
    player::javascript,
};
use crate::access::{Access, Identity};
use maud::{Markup, html};
use percent_encoding::percent_decode_str;

/// Its path.
pub const PATH: &str = LOGIN;
/// The path of its script.
pub const SCRIPT_PATH: &str = "/login.js";
const SCRIPT: &str = include_str!("login.js");
/// Where the forms go.
const SESSION: &str = "/api/v1/session";

const STYLE: &str = "
main{max-width:26rem;background:var(--card);border:1px solid var(--line);border-radius:var(--round);padding:1.25rem}main>p{margin-top:0}
details{margin-top:1.25rem}form{display:grid;gap:1rem;}label{display:grid;gap:.25rem}
input{font:inherit;padding:.5rem .625rem;border:1px solid color-mix(in srgb,currentColor 55%,transparent);border-radius:.375rem;background:transparent;color:inherit}
button{font:inherit;padding:.5rem 1rem;min-height:2.75rem;cursor:pointer}.failed{font-weight:600;color:var(--bad)}.failed::before{content:'▲ '}
";

/// The page. `query`: `next`, the path to continue at, and why a try `failed`.
pub fn page(menu: &Menu, access: &Access, query: &str) -> warp::reply::Response {
    let parameter = |wanted: &str| {
        let value = query.split('&').filter_map(|pair| pair.split_once('=')).find(|(name, _)| *name == wanted)?.1;
        percent_decode_str(value).decode_utf8().ok().map(|value| value.into_owned())
    };
    let main = match &access.identity {
        Identity::User { name, .. } => logged_in(name),
        Identity::Code => logged_in("administrator by a one-time code"),
        _ => {
            let has_users = access.gate().policy().has_passwords();
            forms(&parameter("next").unwrap_or_default(), parameter("failed").as_deref(), has_users)
        }
    };
    Page {
        title: "Log in",
        here: PATH,
        menu,
        access,
        style: STYLE,
        script: Some(SCRIPT_PATH),
        makes_media: false,
        period: None,
        header: html! {},
        main,
    }
    .response()
}

/// The script of the page.
pub fn script() -> warp::reply::Response {
    javascript(SCRIPT)
}

fn forms(next: &str, failed: Option<&str>, has_users: bool) -> Markup {
    html! {
        @match failed {
            Some("too-many") => p.failed role="alert" { "Too many attempts. Wait a moment, then try again." },
            Some("code") => p.failed role="alert" { "The code is wrong, was used already, or is older than 15 minutes." },
            Some(_) => p.failed role="alert" { "The user or the password is wrong." },
            None => {}
        }
        @if has_users {
            form method="post" action=(SESSION) {
                input type="hidden" name="next" value=(next);
                label { "User" input name="user" autocomplete="username" autocapitalize="none" spellcheck="false" required autofocus; }
                label { "Password" input name="password" type="password" autocomplete="current-password" required; }
                button.main { "Log in" }
            }
        }
        details open[!has_users || failed == Some("code")] {
            summary { "Log in with a one-time code" }
            p { "For whoever runs the server: a start on a terminal prints one, and so does " code { "voyandz ctl login" } "." }
            form method="post" action=(SESSION) {
                input type="hidden" name="next" value=(next);
                label { "Code" input name="code" autocomplete="one-time-code" autocapitalize="none" spellcheck="false" required; }
                button { "Log in" }
            }
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
