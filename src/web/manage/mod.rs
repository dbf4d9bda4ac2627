//! Pages for those who change something: the configuration, viewers, events, permissions. Each shows what the API answers, and asks it
//! for what is ordered; what an identity may not do is not shown.

pub mod access;
pub mod add;
pub mod editor;
pub mod feeds;
pub mod hooks;
pub mod journal;
pub mod viewers;

use super::player::javascript;

/// A script that pages load.
#[derive(Debug, Clone, Copy)]
pub struct Module {
    /// Its path.
    pub path: &'static str,
    /// What it says.
    pub text: &'static str,
}

/// What the scripts of these pages have in common.
pub const SHARED: Module = Module { path: "/manage.js", text: include_str!("manage.js") };

impl Module {
    /// The response.
    pub fn response(self) -> warp::reply::Response {
        javascript(self.text)
    }
}

/// What these pages have in common.
const STYLE: &str = "
section{background:var(--card);border:1px solid var(--line);border-radius:var(--round);padding:1rem;min-width:0;align-self:start}section h2{margin:0 0 .75rem}
section[hidden],[hidden]{display:none}
.buttons{display:flex;flex-wrap:wrap;gap:.5rem;margin:.5rem 0}.buttons:empty{display:none}
button:disabled{opacity:.5;cursor:default}button[aria-pressed=true]{border-color:var(--mark);font-weight:600}
button.main:disabled{background:var(--well);border-color:var(--line);color:var(--soft);opacity:1}
button.danger{color:var(--bad)}
#notice{min-height:1.5em;margin:.25rem 0;overflow-wrap:anywhere}#notice.failed{color:var(--bad)}#notice.good{color:var(--good)}
#notice.failed::before{content:'▲ '}#notice.good::before{content:'● '}
input,select{font:inherit;color:var(--ink);background:var(--card);border:1px solid color-mix(in srgb,currentColor 45%,transparent);border-radius:.5rem;padding:.25rem .625rem;min-height:2.25rem;max-width:100%;min-width:0}
label{display:grid;gap:.125rem;font-size:.875rem}label.wide input{width:100%}
.fields{display:flex;flex-wrap:wrap;gap:.75rem;align-items:end;margin:0 0 .75rem}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums;width:100%}
.scroll+p{margin:.75rem 0 0}section .kind+.fields{margin-top:.75rem}
th,td{text-align:left;padding:.375rem 1rem .375rem 0;font-weight:400;white-space:nowrap}th{color:var(--soft)}tr+tr td{border-top:1px solid var(--line)}
td button{min-height:1.75rem;padding:.0625rem .625rem;font-size:.8125rem}td:last-child:has(button){position:sticky;right:0;background:linear-gradient(to left,var(--card) 75%,transparent);padding:.375rem 0 .375rem 1.5rem;text-align:right}
.add{color:var(--good)}.del{color:var(--bad)}.at{color:var(--soft)}
";
