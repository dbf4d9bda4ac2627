//! The parameters of a request, and pages of lists. Pure.

use super::problem::{Kind, Problem};
use crate::{
    access::{LINK_PARAMETER, Pattern},
    config::is_label_name,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

/// Most entries of a page, and how many there are where nothing is said.
const MOST: usize = 1000;
const USUAL: usize = 100;

/// Begins the name of a parameter that chooses by a label.
const LABEL: &str = "label.";

/// The names of the entries of a page, sorted.
pub(super) struct Window {
    names: Vec<String>,
    /// The last name, if there are further pages.
    next: Option<String>,
    /// Entries of all pages.
    total: usize,
}

impl Window {
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.binary_search_by(|known| known.as_str().cmp(name)).is_ok()
    }

    /// The page with these entries.
    pub(super) fn page(&self, items: Vec<Value>) -> Value {
        json!({"items": items, "next": self.next, "total": self.total})
    }
}

/// The parameters of one request; each is given once at most.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string, in which there may be what `known` names, and a signed link, which others have read.
    ///
    /// # Errors
    /// When there is something else in it.
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Self, Problem> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| {
                let text = text.replace('+', " ");
                percent_decode_str(&text).decode_utf8().map(|text| text.into_owned())
            };
            let (Ok(name), Ok(value)) = (decode(name), decode(value)) else {
                return Err(Problem::new(Kind::BadRequest, "the query is no UTF-8"));
            };
            if name == LINK_PARAMETER {
                continue;
            }
            let is_label = name.strip_prefix(LABEL).is_some_and(is_label_name) && known.contains(&"state");
            if !(is_label || known.contains(&&*name)) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Problem::new(Kind::BadRequest, format!("unknown parameter `{name}`: there are {known}")));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Problem::new(Kind::BadRequest, format!("parameter `{name}` is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Whether a switch is on: `dry_run=1`.
    ///
    /// # Errors
    /// When it is neither `0` nor `1`.
    pub(super) fn flag(&self, name: &str) -> Result<bool, Problem> {
        match self.get(name) {
            None | Some("0") => Ok(false),
            Some("1") => Ok(true),
            Some(other) => Err(Problem::new(Kind::BadRequest, format!("{name}: expected 0 or 1, found `{other}`"))),
        }
    }

    /// The page of a list that is asked for, by `limit`, `after`, `name` (in which `*` stands for any characters) and `state`. `key` names
    /// an entry, in an order that stays.
    ///
    /// # Errors
    /// When `limit` is no number that fits.
    pub(super) fn page(&self, items: Vec<Value>, key: &str) -> Result<Value, Problem> {
        let text = |item: &Value, key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut items = items;
        for filter in ["state", "stream"] {
            if let Some(wanted) = self.get(filter) {
                items.retain(|item| text(item, filter) == wanted);
            }
        }
        for (label, wanted) in self.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(LABEL)?, value))) {
            let bad = || {
                Problem::new(
                    Kind::BadRequest,
                    format!("label.{label}: expected a value, in which * stands for any characters"),
                )
            };
            let pattern = Pattern::new(wanted).ok_or_else(bad)?;
            let value = |item: &Value| Some(item.get("labels")?.get(label)?.as_str()?.to_owned());
            items.retain(|item| value(item).is_some_and(|value| pattern.matches(&value)));
        }
        let window = self.window(items.iter().map(|item| text(item, key)).collect())?;
        items.retain(|item| window.has(&text(item, key)));
        items.sort_by_key(|item| text(item, key));
        Ok(window.page(items))
    }

    /// Whether a list is chosen by the names of its entries alone.
    pub(super) fn is_by_name(&self) -> bool {
        self.0.iter().all(|(name, _)| matches!(&**name, "limit" | "after" | "name"))
    }

    /// Which of these names are on the page that is asked for, by `limit`, `after` and `name`.
    ///
    /// # Errors
    /// As [`Query::page`].
    pub(super) fn window(&self, names: Vec<String>) -> Result<Window, Problem> {
        let limit = match self.get("limit").map(str::parse::<usize>) {
            None => USUAL,
            Some(Ok(limit @ 1..=MOST)) => limit,
            Some(_) => return Err(Problem::new(Kind::BadRequest, format!("limit: expected a number, 1 to {MOST}"))),
        };
        let mut names = names;
        if let Some(pattern) = self.get("name") {
            let bad = || Problem::new(Kind::BadRequest, "name: expected a name, in which * stands for any characters");
            let pattern = Pattern::new(pattern).ok_or_else(bad)?;
            names.retain(|name| pattern.matches(name));
        }
        let total = names.len();
        names.sort();
        if let Some(after) = self.get("after") {
            names.retain(|name| **name > *after);
        }
        let next = (names.len() > limit).then(|| names.get(limit - 1).cloned()).flatten();
        names.truncate(limit);
        Ok(Window { names, next, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_by_name() {
        let items = || ["b", "a", "c1", "c2"].map(|name| json!({"name": name, "state": "idle"})).to_vec();
        let page = |query: &str| {
            let page = Query::parse(query, &["limit", "after", "name", "state"]).unwrap().page(items(), "name")?;
            let names: Vec<_> = page["items"].as_array().unwrap().iter().map(|item| item["name"].clone()).collect();
            Ok::<_, Problem>((json!(names), page["next"].clone(), page["total"].clone()))
        };
        assert_eq!(page("").unwrap(), (json!(["a", "b", "c1", "c2"]), Value::Null, json!(4)));
        assert_eq!(page("limit=2").unwrap(), (json!(["a", "b"]), json!("b"), json!(4)));
        assert_eq!(page("limit=2&after=b").unwrap(), (json!(["c1", "c2"]), Value::Null, json!(4)));
        // What is gone in between does not matter.
        assert_eq!(page("after=bb&limit=1").unwrap(), (json!(["c1"]), json!("c1"), json!(4)));
        assert_eq!(page("name=c*").unwrap(), (json!(["c1", "c2"]), Value::Null, json!(2)));
        assert_eq!(page("state=running").unwrap(), (json!([]), Value::Null, json!(0)));
        let labelled = [
            json!({"name": "a", "labels": {"floor": "2"}}),
            json!({"name": "b", "labels": {"floor": "3"}}),
            json!({"name": "c"}),
        ];
        let by = |query: &str| {
            Query::parse(query, &["state"])
                .and_then(|query| query.page(labelled.to_vec(), "name"))
                .map(|page| page["total"].clone())
        };
        assert_eq!(
            (by("label.floor=2").unwrap(), by("label.floor=*").unwrap(), by("label.x=2").unwrap()),
            (json!(1), json!(2), json!(0))
        );
        assert!(by("label.=2").is_err() && by("label.floor=a/b").is_err());
        assert!(Query::parse("label.floor=2", &["limit"]).is_err());
        for wrong in ["limit=0", "limit=1001", "limit=x", "name=a/b"] {
            assert_eq!(page(wrong).unwrap_err().kind, Kind::BadRequest, "{wrong}");
        }
        assert!(Query::parse("x=1", &["limit"]).unwrap_err().detail.contains("there are limit"));
        assert!(Query::parse("limit=1&limit=2", &["limit"]).is_err());
        assert!(Query::parse("v=a.b&limit=1", &["limit"]).is_ok());
    }
}
