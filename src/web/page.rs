//! The layout and style that all pages share.

use crate::access::{Access, Action, Decision, Identity, Subject};
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64;
use http::{HeaderValue, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page where one logs in and out.
pub const LOGIN: &str = "/login";
/// No external content; scripts have their own path.
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; img-src 'self' data: blob:; frame-ancestors 'self'; base-uri 'none'; form-action 'self'";
/// Scripts pass media to the players as blobs.
const MEDIA_POLICY: &str = "; media-src 'self' blob:";

const STYLE: &str = include_str!("page.css");

/// The pages of the server, for the line of links above each of them.
#[derive(Debug, Clone, Default)]
pub struct Menu {
    /// Label, path, and what it needs.
    entries: Vec<(&'static str, String, Action)>,
    /// The page where users log in, where there are any.
    login: Option<&'static str>,
}

impl Menu {
    /// A menu of these labels and paths, in this order, each with what it needs.
    pub fn new(entries: Vec<(&'static str, String, Action)>, login: Option<&'static str>) -> Self {
        Self { entries, login }
    }

    /// The links for those who may open them. `here`: the path of the page.
    fn markup(&self, here: &str, access: &Access) -> Markup {
        let may_open = |action| matches!(access.decide(action, Subject::Server), Decision::Allowed { .. });
        let entries = self.entries.iter().filter(|(_, _, action)| may_open(*action));
        let user = match &access.identity {
            Identity::User { name, .. } => Some(&**name),
            Identity::Code => Some("Administrator"),
            _ => None,
        };
        html! {
            @if self.login.is_some() || entries.clone().next().is_some() {
                nav.menu aria-label="Pages" {
                    @for (label, path, _) in entries {
                        a href=(path) aria-current=[(path == here).then_some("page")] { (label) }
                    }
                    @if let Some(path) = self.login.or(user.map(|_| LOGIN)) {
                        a.who href=(path) aria-current=[(path == here).then_some("page")] {
                            @match user { Some(name) => (name), None => "Log in" }
                        }
                    }
                }
            }
        }
    }
}

/// A page.
pub struct Page<'a> {
    /// The title and the first heading.
    pub title: &'a str,
    /// Its path, as the menu has it.
    pub here: &'a str,
    /// The links to other pages.
    pub menu: &'a Menu,
    /// Who reads it.
    pub access: &'a Access,
    /// Styles of this page only.
    pub style: &'a str,
    /// The path of its script.
    pub script: Option<&'a str>,
    /// Whether the script plays media that it fetches.
    pub makes_media: bool,
    /// Milliseconds between two stills, for its script.
    pub period: Option<u32>,
    /// Beside the heading.
    pub header: Markup,
    /// The content.
    pub main: Markup,
}

impl Page<'_> {
    /// The response.
    pub fn response(self) -> warp::reply::Response {
        let Self { title, here, menu, access, style, script, makes_media, period, header, main } = self;
        let style = [STYLE, style].concat();
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    link rel="icon" href="data:,";
                    title { (title) }
                    style { (PreEscaped(&style)) }
                    @if let Some(script) = script { script type="module" src=(script) {} }
                }
                body {
                    header {
                        div.bar { span.brand { "voyandz" } (menu.markup(here, access)) }
                        div.heading { h1 { (title) } (header) }
                    }
                    main data-period=[period] { (main) }
                    footer { "voyandz " (env!("CARGO_PKG_VERSION")) }
                }
            }
        };
        let mut response = warp::reply::Response::new(page.into_string().into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        // This very style sheet (CSP Level 3, section 6.7.3.3), and no other.
        let hash = BASE64.encode(digest(&SHA256, style.as_bytes()).as_ref());
        let media = if makes_media { MEDIA_POLICY } else { "" };
        let policy = format!("{POLICY}; style-src 'sha256-{hash}'{media}");
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}
