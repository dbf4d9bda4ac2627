//! `pages:`: which pages are served, and where.

use super::{
    diagnostics::Path,
    expected::{Expected, flag},
    model::{Pages, StreamPath},
    raw,
    spans::Place,
    streams,
    validator::Validator,
};
use serde_yaml::Value;

/// Where the state is, for people.
const STAT: &str = "/stat";
/// The same for programs.
const STAT_JSON: &str = "/stat.json";

impl Default for Pages {
    /// All but what shows paths and addresses: the configuration, and who is connected.
    fn default() -> Self {
        let at = |path| StreamPath::new(path).ok();
        Self {
            home: true,
            stat: at(STAT),
            stat_json: at(STAT_JSON),
            config: false,
            metrics: true,
            events: true,
            clients: false,
        }
    }
}

impl Pages {
    /// The script of the page with the state.
    pub fn stat_script(&self) -> Option<String> {
        self.stat.as_ref().map(|path| format!("{path}.js"))
    }

    /// The key of the page that is at this path, if the configuration could have put it there.
    pub(super) fn at(&self, path: &str) -> Option<&'static str> {
        let is_at = |page: &Option<StreamPath>| page.as_ref().is_some_and(|page| page.as_str() == path);
        match path {
            _ if is_at(&self.stat) || self.stat_script().is_some_and(|script| script == path) => Some("stat"),
            _ if is_at(&self.stat_json) => Some("stat_json"),
            _ => None,
        }
    }
}

/// Whether a page is served: `true`, `false`, or where.
#[derive(Debug)]
enum Placing {
    Off,
    Usual,
    At(StreamPath),
}

impl Validator {
    pub(super) fn pages(&mut self, path: &Path, value: Value) -> Pages {
        let keys: raw::Pages = self.section(path, value);
        let default = Pages::default();
        let stat = self.placed(&path.key("stat"), keys.stat, STAT, default.stat);
        let stat_json = self.placed(&path.key("stat_json"), keys.stat_json, STAT_JSON, default.stat_json);
        let script = stat.as_ref().map(|stat| format!("{stat}.js"));
        let clash = stat_json.as_ref().map(StreamPath::as_str);
        if clash.is_some() && (clash == stat.as_ref().map(StreamPath::as_str) || clash == script.as_deref()) {
            self.note(&path.key("stat_json"), Place::Value, "this is the path of `pages.stat` already".to_owned());
        }
        Pages {
            home: self.value(&path.key("home"), keys.home, flag).unwrap_or(default.home),
            stat,
            stat_json,
            config: self.value(&path.key("config"), keys.config, flag).unwrap_or(default.config),
            metrics: self.value(&path.key("metrics"), keys.metrics, flag).unwrap_or(default.metrics),
            events: self.value(&path.key("events"), keys.events, flag).unwrap_or(default.events),
            clients: self.value(&path.key("clients"), keys.clients, flag).unwrap_or(default.clients),
        }
    }

    fn placed(
        &mut self,
        path: &Path,
        value: Option<Value>,
        usual: &str,
        default: Option<StreamPath>,
    ) -> Option<StreamPath> {
        match self.value(path, value, placing) {
            None | Some(Placing::Usual) => default,
            Some(Placing::Off) => None,
            Some(Placing::At(at)) => {
                if at.as_str() != usual && streams::is_reserved(at.as_str()) {
                    self.note(path, Place::Value, format!("`{at}` belongs to voyandz itself"));
                }
                Some(at)
            }
        }
    }
}

fn placing(text: &str) -> Result<Placing, Expected> {
    if text.starts_with('/') {
        return streams::url(text).map(Placing::At);
    }
    match flag(text) {
        Ok(true) => Ok(Placing::Usual),
        Ok(false) => Ok(Placing::Off),
        Err(_) => Err("true, false, or a path that begins with `/`".into()),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Diagnostic, parse, to_yaml};

    fn faults(text: &str) -> Vec<String> {
        parse(text).unwrap_err().iter().map(Diagnostic::to_string).collect()
    }

    #[test]
    fn pages_are_where_they_are_wanted() {
        let pages = parse("pages: {stat: /a b, stat_json: false, clients: true, metrics: false}").unwrap().pages;
        assert_eq!((pages.stat.unwrap().as_str(), pages.stat_json), ("/a b", None));
        assert_eq!((pages.home, pages.config, pages.clients, pages.metrics), (true, false, true, false));
        let text = "pages: {stat: /a b, stat_json: true}";
        assert!(to_yaml(&parse(text).unwrap()).contains("  stat: /a%20b\n  stat_json: true\n"));
    }

    #[test]
    fn two_things_are_never_at_one_path() {
        let check = |text: &str, fault: &str| assert_eq!(faults(text), [fault], "{text}");
        check(
            "pages: {stat: maybe}",
            "1:15: pages.stat: expected true, false, or a path that begins with `/`, found \"maybe\"",
        );
        check("pages: {stat: /config}", "1:15: pages.stat: `/config` belongs to voyandz itself");
        check("pages: {stat: /a, stat_json: /a}", "1:30: pages.stat_json: this is the path of `pages.stat` already");
        check("pages: {stat: /a, stat_json: /a.js}", "1:30: pages.stat_json: this is the path of `pages.stat` already");
        let stream = "feeds: {f: {command: cat}}\nstreams: {a.ts: {feed: f}}";
        check(
            &format!("pages: {{stat: /a.ts}}\n{stream}"),
            "3:11: streams.a.ts: `/a.ts` is the page of `pages.stat` already, give another `url`",
        );
        check(
            &format!("pages: {{stat_json: /a.ts/pic}}\n{stream}"),
            "3:11: streams.a.ts: its still would be the page of `pages.stat_json`, give another `url`",
        );
        let other = "feeds: {f: {command: cat}}\nstreams: {a.ts: {feed: f}, b.ts: {feed: f, url: /a.ts/play}}";
        check(other, "2:49: streams.b.ts.url: `/a.ts/play` is the player of stream `a.ts`");
    }
}
