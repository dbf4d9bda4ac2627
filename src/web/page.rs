//! The layout and style that all pages share.

use http::{HeaderValue, header};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// No external content; styles are in the page, scripts have their own path.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; object-src 'none'; frame-ancestors 'self'; base-uri 'none'; form-action 'none'";
/// Scripts pass media to the players as blobs.
const MEDIA_POLICY: &str = "; media-src 'self' blob:";

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1b1f24;--soft:#57606a;--line:#d9dee4;--page:#f5f7f9;--card:#fff;--mark:#0b5cad;--good:#1a6b36;--busy:#8a4b00;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#9aa6b2;--line:#2c343d;--page:#12161b;--card:#1a2027;--mark:#6cb6ff;--good:#6fd38f;--busy:#f0b35a;--bad:#ff8a80}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem clamp(1rem,4vw,3rem) 3rem;max-width:80rem;background:var(--page);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.5rem;margin:0}h2{font-size:1.0625rem;margin:0 0 .25rem;overflow-wrap:anywhere}
header{margin-bottom:1.5rem}header p{color:var(--soft);margin:.25rem 0 .5rem}
.cards{display:grid;gap:1.25rem;grid-template-columns:repeat(auto-fill,minmax(min(22rem,100%),1fr))}
article{background:var(--card);border:1px solid var(--line);border-radius:.75rem;overflow:hidden;display:flex;flex-direction:column;min-width:0}
.view{position:relative;aspect-ratio:16/9;background:#000;display:grid;place-items:center;color:#9aa6b2;font-size:.875rem;text-align:center}
.view img,.view video,.view canvas{position:absolute;inset:0;width:100%;height:100%;object-fit:contain}
.view a{color:#6cb6ff;padding:1rem}
summary{cursor:pointer;color:var(--mark);margin:.5rem 0;font-size:.875rem}
.text{padding:1rem;min-width:0}
a{color:var(--mark)}:focus-visible{outline:2px solid var(--mark);outline-offset:2px}
.kind{color:var(--soft);font-size:.875rem;margin:0 0 .75rem}
nav{display:flex;gap:.25rem 1rem;flex-wrap:wrap;margin-bottom:.75rem}
pre{margin:.25rem 0 0;padding:.5rem .625rem;border:1px solid var(--line);border-radius:.375rem;overflow-x:auto;font-size:.8125rem}
footer{color:var(--soft);font-size:.875rem;margin-top:2rem}
";

/// A page.
pub struct Page<'a> {
    /// The title and the first heading.
    pub title: &'a str,
    /// Styles of this page only.
    pub style: &'a str,
    /// The path of its script.
    pub script: Option<&'a str>,
    /// Whether the script plays media that it fetches.
    pub makes_media: bool,
    /// Below the heading.
    pub header: Markup,
    /// The content.
    pub main: Markup,
}

impl Page<'_> {
    /// The response.
    pub fn response(self) -> warp::reply::Response {
        let Self { title, style, script, makes_media, header, main } = self;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width,initial-scale=1";
                    link rel="icon" href="data:,";
                    title { (title) }
                    style { (PreEscaped(STYLE)) (PreEscaped(style)) }
                    @if let Some(script) = script { script type="module" src=(script) {} }
                }
                body {
                    header { h1 { (title) } (header) }
                    main { (main) }
                    footer { "voyandz " (env!("CARGO_PKG_VERSION")) }
                }
            }
        };
        let mut response = warp::reply::Response::new(page.into_string().into());
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        let policy = [POLICY, if makes_media { MEDIA_POLICY } else { "" }].concat();
        if let Ok(policy) = HeaderValue::from_str(&policy) {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
        }
        response
    }
}
